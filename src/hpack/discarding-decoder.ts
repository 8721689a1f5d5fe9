// Reads a header block that is larger than anybody accepts, only to update the table: its fields go nowhere, but later blocks of the
// connection depend on its effect on the table (RFC 7541 section 2.3.2). It is read in the pieces in which it arrives, so it needs no
// memory.
import { DECODE, type Decoder } from './decoder.js';
import type { FieldList } from './field-list.js';
import { leastText } from './huffman.js';
import { Cursor, readInteger } from './integer.js';

const MORE = -1;
const BROKEN = -2;
/** A field up to this size is read once complete, so that errors in it are found; only larger ones are skipped. */
const WHOLE_BYTES = 8192;
const INCREMENTAL = 0x40;
const SIZE_UPDATE = 0x20;

/** What follows the skipped bytes. */
const FIELD = 0;
const VALUE = 1;

const cursor = new Cursor();

export class DiscardingDecoder {
  /** The fields read are those of a gRPC call. */
  grpc = false;
  /** Bytes still to skip, of a string that the table has no room for. */
  private left = 0;
  private next = FIELD;
  private first = true;
  /** After `extent` returned MORE: what is known about the incomplete field. */
  private indexing = false;
  private named = false;
  private nameEnd = 0;
  private nameLength = 0;
  /** Minimum length of its text. */
  private text = 0;
  private valueAt = 0;
  private valueLength = 0;

  constructor(
    private readonly decoder: Decoder,
    private readonly list: FieldList,
  ) {}

  /** Whether the block may end here. */
  get whole(): boolean {
    return this.left === 0 && this.next === FIELD;
  }

  /**
   * Reads [start, end) of `memory.bytes`. Returns how far it was used; the rest, less than 16 KiB, must be presented again with more. -1:
   * COMPRESSION_ERROR.
   */
  read(start: number, end: number): number {
    const { bytes } = this.decoder.memory;
    let p = start;
    for (;;) {
      if (this.left > 0) {
        const count = Math.min(this.left, end - p);
        this.left -= count;
        p += count;
        if (this.left > 0) return p;
      }
      if (this.next === VALUE) {
        const value = stringLength(bytes, p, end);
        if (value < 0) return value === MORE ? p : -1;
        p = cursor.at;
        this.left = value;
        this.next = FIELD;
        continue;
      }
      const from = p;
      let extent = p;
      while (extent >= 0 && extent < end) {
        p = extent;
        extent = this.extent(bytes, p, end);
      }
      if (extent === BROKEN) return -1;
      if (extent >= 0) p = extent;
      if (p > from) {
        if (this.decoder.decodeAndDiscard(from, p, this.list, this.first) !== DECODE.TOO_LARGE) return -1;
        this.first = false;
        // Some clients send this after all other fields.
        if (this.list.facts.grpc) this.grpc = true;
      }
      if (extent !== MORE || !this.skipField(p)) return p;
      p = this.named ? this.valueAt : this.nameEnd;
    }
  }

  /** End of the field at `at`; MORE if it is not here, BROKEN if the field is invalid. */
  private extent(bytes: Uint8Array, at: number, end: number): number {
    const first = bytes[at];
    let bits = 4;
    if (first >= 0x80) bits = 7;
    else if (first >= INCREMENTAL) bits = 6;
    else if (first >= SIZE_UPDATE) bits = 5;
    this.indexing = bits === 6;
    this.named = false;
    this.nameLength = -1;
    const index = prefixed(bytes, at, end, bits);
    if (index < 0) return index;
    if (bits === 7 || bits === 5) return cursor.at;
    this.text = 0;
    let p = cursor.at;
    if (index === 0) {
      const coded = p < end && bytes[p] >= 0x80;
      const length = stringLength(bytes, p, end);
      if (length < 0) return length;
      this.nameLength = length;
      this.text = coded ? leastText(length) : length;
      this.nameEnd = cursor.at;
      p = cursor.at + length;
      if (p > end) return MORE;
    }
    const coded = p < end && bytes[p] >= 0x80;
    const length = stringLength(bytes, p, end);
    if (length < 0) {
      // The name is here, the value is not: only its length is missing.
      this.nameLength = -1;
      return length;
    }
    this.named = true;
    this.valueAt = cursor.at;
    this.valueLength = length;
    this.text += coded ? leastText(length) : length;
    p = cursor.at + length;
    return p > end ? MORE : p;
  }

  /** Whether the incomplete field can be skipped, because no table takes it. An entry that is too large empties the table (section 4.4). */
  private skipField(at: number): boolean {
    const length = this.named ? this.valueLength : this.nameLength;
    if (length < 0 || (this.named ? this.valueAt : this.nameEnd) + length - at <= WHOLE_BYTES) return false;
    if (this.indexing && !this.decoder.overflows(this.text)) return false;
    this.first = false;
    this.left = length;
    if (!this.named) this.next = VALUE;
    return true;
  }
}

function prefixed(bytes: Uint8Array, at: number, end: number, bits: number): number {
  const mask = (1 << bits) - 1;
  const value = bytes[at] & mask;
  cursor.at = at + 1;
  if (value < mask) return value;
  if (readInteger(bytes, end, mask, cursor)) return cursor.value;
  // `readInteger` takes at most five bytes, so what can't be read from that many will never be an integer.
  return end - at > 5 ? BROKEN : MORE;
}

function stringLength(bytes: Uint8Array, at: number, end: number): number {
  return at < end ? prefixed(bytes, at, end, 7) : MORE;
}

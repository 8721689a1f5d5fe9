// The bytes of a header memory: constants, permanent scratch areas of lists, then two halves for the text of the current and the previous
// epoch. The previous epoch's text stays readable until the next one ends, so that a list in use keeps its text while another one is
// decoded.
import { encodeHuffman } from '../huffman.js';

/** Text area of a FieldList without one of its own. */
export const SCRATCH_BYTES = 32 * 1024;
/** Text of permanent names and of constants. */
const CONSTANT_BYTES = 32 * 1024;
/** Maximum number of permanent names, and of permanent atoms: the well-known ones, and those added by `HeaderMemory.constant`. */
export const MAX_PERMANENT = 512;

const WORD = 4;
const PAIR = 2 * WORD;

export class HeaderText {
  /** A view of all of `bytes`. */
  readonly view: DataView;
  /** Differs per process, so that collisions cannot be prepared elsewhere. */
  private readonly seed = (Math.random() * 0x7fffffff) | 0;
  private constantAt: number;
  private readonly constantStart: number;
  private readonly constantEnd: number;
  private scratchAt: number;
  private readonly scratchEnd: number;
  private half = 0;
  private at: number;
  private end: number;

  /** Constants and scratch are in [start, scratchEnd), the text of epochs in two halves of `halfBytes` from `halves` on. */
  constructor(
    readonly bytes: Uint8Array,
    start: number,
    scratchEnd: number,
    private readonly halves: number,
    private readonly halfBytes: number,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.constantStart = start;
    this.constantAt = start;
    this.constantEnd = start + CONSTANT_BYTES;
    this.scratchAt = this.constantEnd;
    this.scratchEnd = scratchEnd;
    this.at = halves;
    this.end = halves + halfBytes;
  }

  /** Permanently takes room for the text of a list. Throws RangeError if there is none. */
  takeScratch(): number {
    const at = this.scratchAt;
    if (at + SCRATCH_BYTES > this.scratchEnd) {
      throw new RangeError(`no header memory left for another field list (${SCRATCH_BYTES} octets each)`);
    }
    this.scratchAt = at + SCRATCH_BYTES;
    return at;
  }

  /** Hash of `length` octets. */
  hash(at: number, length: number, seed: number): number {
    const view = this.view;
    const bytes = this.bytes;
    let h = seed ^ this.seed ^ length;
    const end = at + length;
    let p = at;
    if (length >= PAIR) {
      // Two sums in parallel: each waits only for its own multiplications.
      let other = h ^ 0x2545f491;
      for (; p + PAIR <= end; p += PAIR) {
        h = Math.imul(h ^ view.getInt32(p, true), 0x9e3779b1);
        other = Math.imul(other ^ view.getInt32(p + WORD, true), 0x85ebca6b);
        h ^= h >>> 15;
        other ^= other >>> 13;
      }
      h = Math.imul(h, 0xc2b2ae35) ^ other;
      if (p + WORD < end) h = Math.imul(h ^ view.getInt32(p, true), 0x9e3779b1);
      h ^= h >>> 15;
      // The last word, overlapping the previous one.
      if (p < end) h = Math.imul(h ^ view.getInt32(end - WORD, true), 0x01000193);
    } else {
      if (length >= WORD) {
        h = Math.imul(h ^ view.getInt32(p, true), 0x9e3779b1);
        h ^= h >>> 15;
        p += WORD;
      }
      for (; p < end; p++) h = Math.imul(h ^ bytes[p], 0x01000193);
    }
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    return h ^ (h >>> 13);
  }

  equal(a: number, b: number, length: number): boolean {
    const view = this.view;
    const bytes = this.bytes;
    let i = 0;
    for (; i + WORD <= length; i += WORD) if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
    if (length >= WORD) {
      const last = length - WORD;
      return i === length || view.getInt32(a + last, true) === view.getInt32(b + last, true);
    }
    for (; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
    return true;
  }

  /** Whether the constants have room for `length` more octets. */
  hasConstantRoom(length: number): boolean {
    return this.constantAt + length <= this.constantEnd;
  }

  /** Adds text to the constants; returns where it lies. */
  addConstant(text: string): number {
    const at = this.constantAt;
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    this.constantAt = at + text.length;
    return at;
  }

  /** Whether this epoch has room for `length` more octets. */
  hasRoom(length: number): boolean {
    return this.at + length <= this.end;
  }

  /** Copies text to the current epoch; returns its position. */
  store(at: number, length: number): number {
    const kept = this.at;
    this.bytes.copyWithin(kept, at, at + length);
    this.at = kept + length;
    return kept;
  }

  /** Writes the Huffman code of what was just added, after it; returns its position. */
  storeCode(at: number, length: number): number {
    const permanent = at >= this.constantStart && at < this.constantEnd;
    const code = permanent ? this.constantAt : this.at;
    const end = encodeHuffman(this.bytes, at, at + length, this.bytes, code);
    if (permanent) this.constantAt = end;
    else this.at = end;
    return code;
  }

  /** Switches to the other half for the new epoch. */
  switchHalf(): void {
    this.half ^= 1;
    this.at = this.halves + this.half * this.halfBytes;
    this.end = this.at + this.halfBytes;
  }
}

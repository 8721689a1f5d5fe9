// The decoder of header compression (RFC 7541), one per connection and direction.
import type { FieldList } from './field-list.js';
import { MAX_FIELDS } from './field-list.js';
import { FIRST_REGULAR, NAME } from './field-names.js';
import { BLOCK_BYTES, type HeaderMemory, OVERHEAD, SCRATCH_BYTES, VOLATILE } from './header-memory.js';
import { decodedLength, decodeHuffman, longestText } from './huffman.js';
import { Cursor, readInteger } from './integer.js';
import { LAST_STATIC } from './static-table.js';

export const DECODE = {
  OK: 0,
  /** The list exceeds a limit. The block was read to its end, the table is right: refuse the message, go on. */
  TOO_LARGE: 1,
  /** COMPRESSION_ERROR: the connection is of no more use (RFC 9113 section 4.3). */
  ERROR: 2,
} as const;

/** SETTINGS_HEADER_TABLE_SIZE of a peer that has announced none (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;
/** An entry's name and value must fit in a list's scratch. */
export const MAX_TABLE_BYTES = SCRATCH_BYTES / 2;
/** Section 4.2: at most two, the smallest size since the last block and the final one. */
const MAX_UPDATES = 2;

const NO_BYTES = new Uint8Array(0);
const NO_ENTRIES = new Int32Array(0);
const FIRST_ENTRIES = 16;
const FIRST_TEXT = 512;

// Columns of an entry.
const WIDTH = 5;
/** Where its text (name, then value) begins, counted over all text ever held. */
const TEXT = 0;
const NAME_LENGTH = 1;
const VALUE_LENGTH = 2;
/** Reference of its name and its atom as of the decoder's epoch, or -1. */
const REF = 3;
const ATOM = 4;

/** What the string last read is. One for all decoders: they never run inside each other. */
class Text {
  at = 0;
  length = 0;
  /** Its Huffman code, -1 if it came without. */
  codeAt = -1;
  codeLength = 0;
}
const text = new Text();
const cursor = new Cursor();

// Results of reading a string.
const READ = 0;
/** Sound but longer than the scratch: `text.length` is right, `text.at` is not. */
const LONG = 1;
const BROKEN = 2;

export class Decoder {
  /** Entries that left the table for others. */
  evictions = 0;

  private readonly id: number;
  /** Largest table that the peer may choose. */
  private limit: number;
  /** Size that a size update has to be at most with which the next block must begin; -1 where none must. */
  private demanded = -1;
  /** Changes with every change of the table. */
  private version = 0;
  /** Version for which blocks were last cached: for another one there can be none. */
  private cached = -1;
  private epoch: number;

  // The table: a ring of `capacity` entries, the newest at `next - 1`.
  private max = DEFAULT_TABLE_BYTES;
  private size = 0;
  private count = 0;
  private next = 0;
  private capacity = 0;
  private entries = NO_ENTRIES;
  // Text of the entries, in one piece, of which the octet `textBase` is the first in `bytes`.
  private bytes = NO_BYTES;
  private textBase = 0;
  private textNext = 0;

  /** `tableBytes` is the SETTINGS_HEADER_TABLE_SIZE that we announce, 0 to MAX_TABLE_BYTES. */
  constructor(
    readonly memory: HeaderMemory,
    tableBytes = DEFAULT_TABLE_BYTES,
  ) {
    checkTableBytes(tableBytes);
    // Until the peer has seen our SETTINGS it may use the default (RFC 9113 section 6.5.3).
    this.limit = Math.max(tableBytes, DEFAULT_TABLE_BYTES);
    this.id = memory.owner();
    this.epoch = memory.epoch;
  }

  /**
   * The peer has acknowledged a SETTINGS_HEADER_TABLE_SIZE of ours. If that is less than its table, it must begin its next
   * block with a size update (RFC 7541 section 4.2).
   */
  setTableBytes(bytes: number): void {
    checkTableBytes(bytes);
    this.limit = bytes;
    if (bytes < this.max && (this.demanded < 0 || bytes < this.demanded)) this.demanded = bytes;
  }

  /**
   * Decodes the block [start, end) of `memory.bytes` into `list`, whose text may then lie in the block. Returns DECODE.
   * `maxBytes` is for the list's size (RFC 9113 section 6.5.2).
   */
  decode(start: number, end: number, list: FieldList, maxBytes: number, maxFields: number): number {
    const memory = this.memory;
    list.clear();
    if (this.epoch !== memory.epoch) this.forget();
    const length = end - start;
    if (this.cached === this.version && length <= BLOCK_BYTES && this.demanded < 0) {
      const slot = this.slot(start, length);
      if (
        memory.blockOwner[slot] === this.id &&
        memory.blockVersion[slot] === this.version &&
        memory.blockLength[slot] === length
      ) {
        const template = memory.blockTemplate[slot];
        if (
          template !== null &&
          template.size <= maxBytes &&
          template.count <= maxFields &&
          memory.equal(memory.blockBase + slot * BLOCK_BYTES, start, length)
        ) {
          memory.hits++;
          list.take(template);
          return DECODE.OK;
        }
      }
    }
    memory.misses++;
    const version = this.version;
    const result = this.read(start, end, list, maxBytes, Math.min(maxFields, MAX_FIELDS));
    if (result !== DECODE.OK) {
      list.void();
      return result;
    }
    list.settle();
    if (length <= BLOCK_BYTES && version === this.version && list.count === 0 && list.template !== null) {
      const slot = this.slot(start, length);
      this.cached = version;
      memory.blockOwner[slot] = this.id;
      memory.blockVersion[slot] = version;
      memory.blockLength[slot] = length;
      memory.blockTemplate[slot] = list.template;
      memory.bytes.copyWithin(memory.blockBase + slot * BLOCK_BYTES, start, end);
    }
    return DECODE.OK;
  }

  private slot(start: number, length: number): number {
    const { memory } = this;
    return memory.hash(start, length, Math.imul(this.id, 0x2545f491) ^ this.version) & memory.blockMask;
  }

  /** What the entries were known as in another epoch means nothing now. */
  private forget(): void {
    this.epoch = this.memory.epoch;
    for (let entry = 0; entry < this.entries.length; entry += WIDTH) {
      this.entries[entry + REF] = -1;
      this.entries[entry + ATOM] = -1;
    }
  }

  private read(start: number, end: number, list: FieldList, maxBytes: number, maxFields: number): number {
    const memory = this.memory;
    const bytes = memory.bytes;
    let over = false;
    let updates = 0;
    let p = start;
    // Size updates come first, and nowhere else (section 4.2).
    while (p < end && (bytes[p] & 0xe0) === 0x20) {
      let size = bytes[p++] & 0x1f;
      if (size === 0x1f) {
        cursor.at = p;
        if (!readInteger(bytes, end, size, cursor)) return DECODE.ERROR;
        p = cursor.at;
        size = cursor.value;
      }
      if (size > this.limit || ++updates > MAX_UPDATES) return DECODE.ERROR;
      if (size <= this.demanded) this.demanded = -1;
      this.max = size;
      this.version++;
      this.evict(0);
    }
    if (this.demanded >= 0) return DECODE.ERROR;
    while (p < end) {
      const first = bytes[p++];
      if (first >= 0x80) {
        let index = first & 0x7f;
        if (index === 0x7f) {
          cursor.at = p;
          if (!readInteger(bytes, end, index, cursor)) return DECODE.ERROR;
          p = cursor.at;
          index = cursor.value;
        }
        let atom: number;
        let entry = -1;
        if (index <= LAST_STATIC) {
          if (index === 0) return DECODE.ERROR;
          atom = index - 1;
        } else {
          if (index - LAST_STATIC > this.count) return DECODE.ERROR;
          entry = this.entry(index);
          atom = this.entries[entry + ATOM];
        }
        if (over) continue;
        if (list.count >= maxFields) over = true;
        else if (atom >= 0) {
          const size = memory.atomSize[atom];
          if (list.size + size > maxBytes) over = true;
          else list.pushAtom(atom, size);
        } else if (!this.pushEntry(entry, list, maxBytes)) over = true;
        continue;
      }
      if ((first & 0xe0) === 0x20) return DECODE.ERROR;
      // After a limit was hit the list's text is void, and the scratch free for what the table needs.
      if (over) list.scratch = list.scratchStart;
      const indexing = first >= 0x40;
      const never = !indexing && (first & 0x10) !== 0;
      const mask = indexing ? 0x3f : 0x0f;
      let index = first & mask;
      if (index === mask) {
        cursor.at = p;
        if (!readInteger(bytes, end, index, cursor)) return DECODE.ERROR;
        p = cursor.at;
        index = cursor.value;
      }
      let ref = -1;
      let nameAt = 0;
      let nameLength: number;
      if (index === 0) {
        const result = this.readName(p, end, list);
        if (result === BROKEN) return DECODE.ERROR;
        p = cursor.at;
        ref = cursor.value;
        nameAt = text.at;
        nameLength = text.length;
        if (result === LONG) over = true;
      } else if (index <= LAST_STATIC) {
        ref = memory.staticRef[index];
        nameAt = memory.nameAt[ref];
        nameLength = memory.nameLength[ref];
      } else {
        if (index - LAST_STATIC > this.count) return DECODE.ERROR;
        const entry = this.entry(index);
        nameLength = this.entries[entry + NAME_LENGTH];
        ref = this.entries[entry + REF];
        if (ref >= 0) nameAt = memory.nameAt[ref];
        else {
          if (list.scratch + nameLength > list.scratchEnd) {
            over = true;
            list.scratch = list.scratchStart;
          }
          nameAt = list.scratch;
          this.copyText(this.entries[entry + TEXT], nameLength, nameAt);
          list.scratch = nameAt + nameLength;
          ref = memory.internName(nameAt, nameLength);
          this.entries[entry + REF] = ref;
        }
      }

      // The value: known by its code, or else by its text.
      if (p >= end) return DECODE.ERROR;
      const flag = bytes[p++];
      let length = flag & 0x7f;
      if (length === 0x7f) {
        cursor.at = p;
        if (!readInteger(bytes, end, length, cursor)) return DECODE.ERROR;
        p = cursor.at;
        length = cursor.value;
      }
      if (length > end - p) return DECODE.ERROR;
      const coded = flag >= 0x80;
      const learnable = ref >= 0 && (memory.nameFlags[ref] & VOLATILE) === 0;
      let atom = coded && learnable ? memory.findCoded(ref, p, length, never) : -1;
      let valueAt: number;
      let valueLength: number;
      if (atom >= 0) {
        memory.fieldHits++;
        valueAt = memory.atomAt[atom];
        valueLength = memory.atomLength[atom];
      } else {
        const result = readText(bytes, p, length, coded, list);
        if (result === BROKEN) return DECODE.ERROR;
        valueAt = text.at;
        valueLength = text.length;
        if (result === LONG) {
          over = true;
          // It is needed if it goes to the table, and fits in the scratch then.
          if (indexing && OVERHEAD + nameLength + valueLength <= this.max) {
            bytes.copyWithin(list.scratchStart, nameAt, nameAt + nameLength);
            nameAt = list.scratchStart;
            list.scratch = nameAt + nameLength;
            valueAt = list.scratch;
            decodeHuffman(bytes, p, p + length, bytes, valueAt);
          }
        } else if (learnable) {
          const learned = memory.atomCount;
          atom = memory.internAtom(ref, valueAt, valueLength, never);
          if (atom >= 0 && learned === memory.atomCount) memory.fieldHits++;
          else memory.fieldMisses++;
        } else {
          memory.fieldMisses++;
          if (ref < 0) memory.noteField(valueAt, valueLength, never);
        }
      }
      if (indexing) this.insert(nameAt, nameLength, valueAt, valueLength, ref, atom);
      if (!over) {
        const size = OVERHEAD + nameLength + valueLength;
        if (list.size + size > maxBytes || list.count >= maxFields) over = true;
        else if (atom >= 0) list.pushAtom(atom, size);
        else {
          const known = ref >= 0 ? memory.nameKnown[ref] : unknownName(bytes, nameAt, nameLength);
          list.pushText(ref, known, nameAt, nameLength, valueAt, valueLength, never, coded ? p : -1, length);
        }
      }
      p += length;
    }
    return over ? DECODE.TOO_LARGE : DECODE.OK;
  }

  /**
   * Reads a literal name: `text`; `cursor` has the position after it, and as its value the reference or -1. LONG means
   * that it did not fit, but if it fits in an empty scratch it is there: the table may need it, the list is void.
   */
  private readName(at: number, end: number, list: FieldList): number {
    const memory = this.memory;
    const bytes = memory.bytes;
    if (at >= end) return BROKEN;
    let p = at + 1;
    let length = bytes[at] & 0x7f;
    if (length === 0x7f) {
      cursor.at = p;
      if (!readInteger(bytes, end, length, cursor)) return BROKEN;
      p = cursor.at;
      length = cursor.value;
    }
    if (length > end - p) return BROKEN;
    const coded = bytes[at] >= 0x80;
    let ref = coded ? memory.findCodedName(p, length) : -1;
    let result = READ;
    if (ref >= 0) {
      text.at = memory.nameAt[ref];
      text.length = memory.nameLength[ref];
    } else {
      result = readText(bytes, p, length, coded, list);
      if (result === LONG) {
        list.scratch = list.scratchStart;
        readText(bytes, p, length, coded, list);
      } else if (result === READ) {
        ref = memory.internName(text.at, text.length);
        if (ref >= 0) text.at = memory.nameAt[ref];
      }
    }
    cursor.at = p + length;
    cursor.value = ref;
    return result;
  }

  /** Place of the entry with this index, which must be one of the dynamic table. */
  private entry(index: number): number {
    return ((this.next - (index - LAST_STATIC)) & (this.capacity - 1)) * WIDTH;
  }

  /** A field that the table holds without an atom. False where a limit or the scratch has no room for it. */
  private pushEntry(entry: number, list: FieldList, maxBytes: number): boolean {
    const memory = this.memory;
    const entries = this.entries;
    const nameLength = entries[entry + NAME_LENGTH];
    const valueLength = entries[entry + VALUE_LENGTH];
    const at = list.scratch;
    const size = OVERHEAD + nameLength + valueLength;
    if (list.size + size > maxBytes || at + nameLength + valueLength > list.scratchEnd) return false;
    this.copyText(entries[entry + TEXT], nameLength + valueLength, at);
    list.scratch = at + nameLength + valueLength;
    const valueAt = at + nameLength;
    let ref = entries[entry + REF];
    if (ref < 0) ref = memory.internName(at, nameLength);
    const atom = ref >= 0 ? memory.internAtom(ref, valueAt, valueLength, false) : -1;
    if (ref < 0) memory.noteField(valueAt, valueLength, false);
    entries[entry + REF] = ref;
    entries[entry + ATOM] = atom;
    if (atom >= 0) list.pushAtom(atom, size);
    else {
      const known = ref >= 0 ? memory.nameKnown[ref] : unknownName(memory.bytes, at, nameLength);
      list.pushText(ref, known, at, nameLength, valueAt, valueLength, false, -1, 0);
    }
    return true;
  }

  /** Copies text of the table to `to` of the memory. */
  private copyText(from: number, length: number, to: number): void {
    const own = this.bytes;
    const bytes = this.memory.bytes;
    const at = (from - this.textBase) | 0;
    for (let i = 0; i < length; i++) bytes[to + i] = own[at + i];
  }

  /** Section 4.4. The text is none of the table's, so that what it was read from may be evicted. */
  private insert(
    nameAt: number,
    nameLength: number,
    valueAt: number,
    valueLength: number,
    ref: number,
    atom: number,
  ): void {
    this.version++;
    const size = OVERHEAD + nameLength + valueLength;
    this.evict(size);
    if (size > this.max) return;
    if (this.count === this.capacity) this.growEntries();
    const length = nameLength + valueLength;
    if (((this.textNext - this.textBase) | 0) + length > this.bytes.length) this.makeRoom(length);
    const entry = (this.next & (this.capacity - 1)) * WIDTH;
    const entries = this.entries;
    entries[entry + TEXT] = this.textNext;
    entries[entry + NAME_LENGTH] = nameLength;
    entries[entry + VALUE_LENGTH] = valueLength;
    entries[entry + REF] = ref;
    entries[entry + ATOM] = atom;
    const own = this.bytes;
    const bytes = this.memory.bytes;
    let o = (this.textNext - this.textBase) | 0;
    for (let i = 0; i < nameLength; i++) own[o++] = bytes[nameAt + i];
    for (let i = 0; i < valueLength; i++) own[o++] = bytes[valueAt + i];
    this.textNext = (this.textNext + length) | 0;
    this.next = (this.next + 1) | 0;
    this.count++;
    this.size += size;
  }

  /** Evicts until `size` more octets fit, or nothing is left (sections 4.3 and 4.4). */
  private evict(size: number): void {
    const entries = this.entries;
    while (this.count > 0 && this.size + size > this.max) {
      const entry = ((this.next - this.count) & (this.capacity - 1)) * WIDTH;
      this.size -= OVERHEAD + entries[entry + NAME_LENGTH] + entries[entry + VALUE_LENGTH];
      this.count--;
      this.evictions++;
    }
  }

  private growEntries(): void {
    const capacity = this.capacity === 0 ? FIRST_ENTRIES : 2 * this.capacity;
    const entries = new Int32Array(capacity * WIDTH);
    for (let i = 0; i < this.count; i++) {
      const from = ((this.next - this.count + i) & (this.capacity - 1)) * WIDTH;
      for (let k = 0; k < WIDTH; k++) entries[i * WIDTH + k] = this.entries[from + k];
    }
    this.entries = entries;
    this.capacity = capacity;
    this.next = this.count;
  }

  /** Moves the text to the front, of a larger buffer if it must be: at most every `max` octets. */
  private makeRoom(length: number): void {
    const oldest = ((this.next - this.count) & (this.capacity - 1)) * WIDTH;
    const first = this.count > 0 ? this.entries[oldest + TEXT] : this.textNext;
    const live = (this.textNext - first) | 0;
    const from = (first - this.textBase) | 0;
    let capacity = Math.max(this.bytes.length, FIRST_TEXT);
    while (capacity < 2 * (live + length)) capacity *= 2;
    if (capacity > this.bytes.length) {
      const bytes = new Uint8Array(capacity);
      bytes.set(this.bytes.subarray(from, from + live));
      this.bytes = bytes;
    } else this.bytes.copyWithin(0, from, from + live);
    this.textBase = first;
  }
}

function checkTableBytes(bytes: number): void {
  if (bytes < 0 || bytes > MAX_TABLE_BYTES) {
    throw new RangeError(`a header table has 0 to ${MAX_TABLE_BYTES} octets, not ${bytes}`);
  }
}

function unknownName(bytes: Uint8Array, at: number, length: number): number {
  return length > 0 && bytes[at] === 0x3a ? FIRST_REGULAR - 1 : NAME.OTHER;
}

/** Makes `text` of a string's octets: in place, or decoded to the list's scratch. */
function readText(bytes: Uint8Array, at: number, length: number, coded: boolean, list: FieldList): number {
  if (!coded) {
    text.at = at;
    text.length = length;
    return READ;
  }
  const to = list.scratch;
  if (to + longestText(length) > list.scratchEnd) {
    const needed = decodedLength(bytes, at, at + length);
    if (needed < 0) return BROKEN;
    text.length = needed;
    if (to + needed > list.scratchEnd) return LONG;
  }
  const end = decodeHuffman(bytes, at, at + length, bytes, to);
  if (end < 0) return BROKEN;
  text.at = to;
  text.length = end - to;
  list.scratch = end;
  return READ;
}

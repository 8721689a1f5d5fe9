// The decoder of header compression (RFC 7541), one per connection and direction.

import { FIRST_REGULAR, NAME } from '../http/field-names.js';
import { ATOM, DynamicTable, NAME_LENGTH, REF, VALUE_LENGTH } from './dynamic-table.js';
import { MAX_FIELDS } from './field-columns.js';
import type { FieldList } from './field-list.js';
import { OVERHEAD } from './field-size.js';
import { decoded, decodedLength, decodeHuffman, longestText, textFits } from './huffman.js';
import { Cursor, readInteger } from './integer.js';
import { RECEIVED_BYTES } from './memory/block-cache.js';
import type { HeaderMemory } from './memory/header-memory.js';
import { SCRATCH_BYTES } from './memory/header-text.js';
import { VOLATILE } from './memory/name-table.js';
import { RecurrenceFilter } from './recurrence-filter.js';
import { LAST_STATIC } from './static-table.js';

export const DECODE = {
  OK: 0,
  /**
   * The list exceeds a limit. The block was read to its end and the table is right: refuse the message and continue. `list.facts` are those
   * of the fields up to there.
   */
  TOO_LARGE: 1,
  /** COMPRESSION_ERROR: the connection is unusable (RFC 9113 section 4.3). */
  ERROR: 2,
} as const;

/** SETTINGS_HEADER_TABLE_SIZE of a peer that has not announced one (RFC 9113 section 6.5.2). */
export const DEFAULT_TABLE_BYTES = 4096;
/** An entry's name and value must fit in a list's scratch. */
export const MAX_TABLE_BYTES = SCRATCH_BYTES / 2;
/** Section 4.2: at most two, the smallest size since the last block and the final one. */
const MAX_UPDATES = 2;

/** The last string read. One for all decoders, because they are never nested. */
class Text {
  at = 0;
  length = 0;
  /** Its Huffman code, -1 if it was not encoded. */
  codeAt = -1;
  codeLength = 0;
  /** Whether it is known to consist of visible ASCII and SP. */
  visible = false;
}
const text = new Text();
const cursor = new Cursor();

// Results of reading a string.
const READ = 0;
/** Valid but longer than the scratch: `text.length` is right, `text.at` is not. */
const LONG = 1;
const BROKEN = 2;

export class Decoder {
  private readonly table: DynamicTable;
  private readonly id: number;
  private readonly recurrence = new RecurrenceFilter();
  /** Largest table that the peer may choose. */
  private limit: number;
  /** Maximum for the size update with which the next block must begin; -1 if none is required. */
  private demanded = -1;
  /** Version of the table for which blocks were last cached: other versions have none. */
  private cached = -1;
  private epoch: number;

  /** `tableBytes` is the SETTINGS_HEADER_TABLE_SIZE that we announce, 0 to MAX_TABLE_BYTES. */
  constructor(
    readonly memory: HeaderMemory,
    tableBytes = DEFAULT_TABLE_BYTES,
  ) {
    checkTableBytes(tableBytes);
    // Until the peer has seen our SETTINGS it may use the default (RFC 9113 section 6.5.3).
    this.limit = Math.max(tableBytes, DEFAULT_TABLE_BYTES);
    this.table = new DynamicTable(memory.bytes, memory.text.view, DEFAULT_TABLE_BYTES, memory.names.permanent);
    this.id = memory.owner();
    this.epoch = memory.epoch;
  }

  /** Entries evicted to make room for others. */
  get evictions(): number {
    return this.table.evictions;
  }

  /**
   * The peer has acknowledged our SETTINGS_HEADER_TABLE_SIZE. If that is less than its table, its next block must begin with a size update
   * (RFC 7541 section 4.2).
   */
  setTableBytes(bytes: number): void {
    checkTableBytes(bytes);
    this.limit = bytes;
    if (bytes < this.table.max && (this.demanded < 0 || bytes < this.demanded)) this.demanded = bytes;
  }

  /**
   * Decodes the block [start, end) of `memory.bytes` into `list`, whose text may then be in the block. Returns DECODE. `maxBytes` limits
   * the list's size (RFC 9113 section 6.5.2).
   */
  decode(start: number, end: number, list: FieldList, maxBytes: number, maxFields: number): number {
    const { memory, table } = this;
    if (memory.learning.full) memory.newEpoch();
    if (this.epoch !== memory.epoch) this.forget();
    const version = table.version;
    const length = end - start;
    if (this.cached === version && length <= RECEIVED_BYTES && this.demanded < 0) {
      const template = memory.received.find(start, length, this.id, version);
      if (template !== null && template.size <= maxBytes && template.count <= maxFields) {
        memory.hits++;
        list.useTemplate(template);
        return DECODE.OK;
      }
    }
    memory.misses++;
    list.empty();
    memory.learning.deposit();
    const result = this.read(start, end, list, maxBytes, Math.min(maxFields, MAX_FIELDS), true);
    if (result !== DECODE.OK) {
      list.invalidate();
      return result;
    }
    list.finishDecoded();
    const template = list.template;
    if (length <= RECEIVED_BYTES && version === table.version && list.count === 0 && template !== null) {
      this.cached = version;
      memory.received.keep(start, length, this.id, version, template);
    }
    return DECODE.OK;
  }

  /**
   * Reads [start, end), whole fields of a block that is too large for its list, only to update the table. `first`: the block begins here.
   * `list.facts` are those of the fields that `list` had room for. Returns TOO_LARGE or ERROR.
   */
  decodeAndDiscard(start: number, end: number, list: FieldList, first: boolean): number {
    this.begin(list);
    const result = this.read(start, end, list, list.scratchEnd - list.scratchStart, MAX_FIELDS, first);
    if (result === DECODE.OK) list.computeFacts();
    list.invalidate();
    return result === DECODE.ERROR ? result : DECODE.TOO_LARGE;
  }

  /** Whether an entry with at least `length` bytes of name and value is too large for the table. If so, empties the table (section 4.4). */
  overflows(length: number): boolean {
    const { table } = this;
    if (OVERHEAD + length <= table.max) return false;
    table.insert(0, length, 0, 0, -1, -1);
    return true;
  }

  private begin(list: FieldList): void {
    list.empty();
    if (this.epoch !== this.memory.epoch) this.forget();
  }

  /** The memory has begun a new epoch. */
  private forget(): void {
    this.epoch = this.memory.epoch;
    this.table.forget();
  }

  /** `first`: a block begins here. */
  private read(
    start: number,
    end: number,
    list: FieldList,
    maxBytes: number,
    maxFields: number,
    first: boolean,
  ): number {
    const { memory, table, recurrence } = this;
    const { bytes, names, atoms } = memory;
    let over = false;
    let sketched = false;
    let updates = 0;
    let p = start;
    // Size updates come first, and nowhere else (section 4.2).
    while (first && p < end && (bytes[p] & 0xe0) === 0x20) {
      let size = bytes[p++] & 0x1f;
      if (size === 0x1f) {
        cursor.at = p;
        if (!readInteger(bytes, end, size, cursor)) return DECODE.ERROR;
        p = cursor.at;
        size = cursor.value;
      }
      if (size > this.limit || ++updates > MAX_UPDATES) return DECODE.ERROR;
      if (size <= this.demanded) this.demanded = -1;
      table.resize(size);
    }
    if (this.demanded >= 0) return DECODE.ERROR;
    while (p < end) {
      const octet = bytes[p++];
      if (octet >= 0x80) {
        let index = octet & 0x7f;
        if (index === 0x7f) {
          cursor.at = p;
          if (!readInteger(bytes, end, index, cursor)) return DECODE.ERROR;
          p = cursor.at;
          index = cursor.value;
        }
        let atom: number;
        let place = -1;
        if (index <= LAST_STATIC) {
          if (index === 0) return DECODE.ERROR;
          atom = index - 1;
        } else {
          if (index - LAST_STATIC > table.count) return DECODE.ERROR;
          place = table.place(index);
          atom = table.entries[place + ATOM];
        }
        if (over) continue;
        if (list.count >= maxFields) over = true;
        else if (atom >= 0) {
          const size = atoms.size[atom];
          if (list.size + size > maxBytes) over = true;
          else list.pushAtom(atom, size);
        } else if (!this.pushEntry(place, list, maxBytes)) over = true;
        continue;
      }
      if ((octet & 0xe0) === 0x20) return DECODE.ERROR;
      if (over) {
        // Once a limit is exceeded, the list's text is void, and the scratch is free for what the table needs.
        if (!sketched) list.computeFacts();
        sketched = true;
        list.scratch = list.scratchStart;
      }
      const indexing = octet >= 0x40;
      const neverIndexed = !indexing && (octet & 0x10) !== 0;
      const mask = indexing ? 0x3f : 0x0f;
      let index = octet & mask;
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
        nameAt = text.at | 0;
        nameLength = text.length | 0;
        if (result === LONG) over = true;
      } else if (index <= LAST_STATIC) {
        ref = names.staticRef[index];
        nameAt = names.at[ref];
        nameLength = names.length[ref];
      } else {
        if (index - LAST_STATIC > table.count) return DECODE.ERROR;
        const place = table.place(index);
        nameLength = table.entries[place + NAME_LENGTH];
        ref = table.entries[place + REF];
        if (ref >= 0) nameAt = names.at[ref];
        else {
          if (list.scratch + nameLength > list.scratchEnd) {
            over = true;
            list.scratch = list.scratchStart;
          }
          nameAt = list.scratch;
          table.copyName(place, nameAt);
          list.scratch = nameAt + nameLength;
          ref = names.intern(nameAt, nameLength);
          table.setRef(place, ref);
        }
      }

      // The value: found by its code, or else by its text.
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
      const learnable = ref >= 0 && (names.flags[ref] & VOLATILE) === 0 && recurrence.shouldLookUp(ref);
      let atom = coded && learnable ? atoms.findCoded(ref, p, length, neverIndexed) : -1;
      let valueAt: number;
      let valueLength: number;
      if (atom >= 0) {
        memory.fieldHits++;
        recurrence.recordKnown(ref);
        valueAt = atoms.at[atom];
        valueLength = atoms.length[atom];
      } else {
        const result = readText(bytes, p, length, coded, list);
        if (result === BROKEN) return DECODE.ERROR;
        valueAt = text.at;
        valueLength = text.length;
        if (result === LONG) {
          over = true;
          // It is needed if it goes into the table, and then it fits in the scratch.
          if (indexing && OVERHEAD + nameLength + valueLength <= table.max) {
            bytes.copyWithin(list.scratchStart, nameAt, nameAt + nameLength);
            nameAt = list.scratchStart;
            list.scratch = nameAt + nameLength;
            valueAt = list.scratch;
            decodeHuffman(bytes, memory.text.view, p, p + length, valueAt);
          }
        } else if (learnable) {
          const learned = atoms.count;
          atom = atoms.intern(ref, valueAt, valueLength, neverIndexed);
          if (atom >= 0) recurrence.recordKnown(ref);
          else recurrence.recordNew(ref);
          if (atom >= 0 && learned === atoms.count) memory.fieldHits++;
          else memory.fieldMisses++;
        } else {
          memory.fieldMisses++;
          if (ref < 0) atoms.note(valueAt, valueLength, neverIndexed);
        }
      }
      if (indexing) table.insert(nameAt, nameLength, valueAt, valueLength, ref, atom);
      if (!over) {
        const size = OVERHEAD + nameLength + valueLength;
        if (list.size + size > maxBytes || list.count >= maxFields) over = true;
        else if (atom >= 0) list.pushAtom(atom, size);
        else {
          // `| 0`, as for the name's position: V8 has hardly ever seen the other branch, and would convert the number to a fraction and back.
          const known = ref >= 0 ? names.known[ref] : unknownName(bytes, nameAt, nameLength) | 0;
          list.pushText(ref, known, nameAt, nameLength, valueAt, valueLength, neverIndexed, coded ? p : -1, length);
          if (coded && text.visible) list.markValid();
        }
      }
      p += length;
    }
    if (over && !sketched) list.computeFacts();
    return over ? DECODE.TOO_LARGE : DECODE.OK;
  }

  /**
   * Reads a literal name into `text`; `cursor` has the position after it, and as its value the reference or -1. LONG means that it did not
   * fit. If it fits in an empty scratch it is there, because the table may need it, and the list is void.
   */
  private readName(at: number, end: number, list: FieldList): number {
    const { bytes, names } = this.memory;
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
    let ref = coded ? names.findCoded(p, length) : -1;
    let result = READ;
    if (ref >= 0) {
      text.at = names.at[ref];
      text.length = names.length[ref];
    } else {
      result = readText(bytes, p, length, coded, list);
      if (result === LONG) {
        list.scratch = list.scratchStart;
        readText(bytes, p, length, coded, list);
      } else if (result === READ) {
        ref = names.intern(text.at, text.length);
        if (ref >= 0) text.at = names.at[ref];
      }
    }
    cursor.at = p + length;
    cursor.value = ref;
    return result;
  }

  /** A field that the table holds without an atom. False if a limit or the scratch has no room for it. */
  private pushEntry(place: number, list: FieldList, maxBytes: number): boolean {
    const { memory, table } = this;
    const { names, atoms } = memory;
    const entries = table.entries;
    const nameLength = entries[place + NAME_LENGTH];
    const valueLength = entries[place + VALUE_LENGTH];
    const at = list.scratch;
    const size = OVERHEAD + nameLength + valueLength;
    if (list.size + size > maxBytes || at + nameLength + valueLength > list.scratchEnd) return false;
    let ref = entries[place + REF];
    const named = ref >= 0;
    const nameAt = named ? names.at[ref] : at;
    const valueAt = named ? at : at + nameLength;
    if (!named) table.copyName(place, at);
    table.copyValue(place, valueAt);
    list.scratch = valueAt + valueLength;
    if (!named) ref = names.intern(at, nameLength);
    const atom = ref >= 0 ? atoms.intern(ref, valueAt, valueLength, false) : -1;
    if (ref < 0) atoms.note(valueAt, valueLength, false);
    else this.recurrence.recordKnown(ref);
    if (!named) table.setRef(place, ref);
    entries[place + ATOM] = atom;
    if (atom >= 0) list.pushAtom(atom, size);
    else {
      const known = ref >= 0 ? names.known[ref] : unknownName(memory.bytes, nameAt, nameLength);
      list.pushText(ref, known, nameAt, nameLength, valueAt, valueLength, false, -1, 0);
    }
    return true;
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

/** Loads a string's bytes into `text`: in place, or decoded to the list's scratch. */
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
    if (!textFits(needed, list.scratchEnd - to)) return LONG;
  }
  const end = decodeHuffman(bytes, list.memory.text.view, at, at + length, to);
  if (end < 0) return BROKEN;
  text.at = to;
  text.length = end - to;
  text.visible = decoded.visible;
  list.scratch = end;
  return READ;
}

// The encoder of header compression (RFC 7541), one per connection and direction.
//
// Its table is filled with fields seen before, and then frozen: insertion evicts nothing, so indices stay the same and a template's bytes
// can be copied from one block to the next. When many fields are missing from it, it is emptied and started anew.

import { FIRST_REGULAR, NAME } from '../http/field-names.js';
import type { FieldList } from './field-list.js';
import { OVERHEAD } from './field-size.js';
import { putInteger } from './integer.js';
import type { AtomTable } from './memory/atom-table.js';
import { READY_BYTES } from './memory/block-cache.js';
import type { HeaderMemory } from './memory/header-memory.js';
import { type NameTable, SENSITIVE } from './memory/name-table.js';
import type { Template } from './memory/template.js';
import { LAST_STATIC } from './static-table.js';
import { putCode, putPlain } from './string-literal.js';

const DEFAULT_TABLE_BYTES = 4096;
/** Number of fields that would have been indexed if there had been room, after which the table is started anew. */
const MAX_MISSED = 2000;
/** An entry that takes more than this fraction of the table is left out. */
const LARGEST_PART = 2;
const NO_PLACES = new Int32Array(0);
const FIRST_PLACES = 64;

const INDEXED = 0x80;
const INCREMENTAL = 0x40;
const SIZE_UPDATE = 0x20;
const NEVER_INDEXED = 0x10;
const WITHOUT_INDEXING = 0;

export class Encoder {
  private readonly id: number;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly names: NameTable;
  private readonly atoms: AtomTable;
  private epoch: number;
  /** Size of the table; the peer knows it once `resetPending` has been written. */
  private max: number;
  private used = 0;
  private inserted = 0;
  private missed = 0;
  /** Changes with every change of the table. */
  private version = 0;
  /** The next block begins with an empty table and says so. */
  private resetPending: boolean;
  // Open addressing: an atom or a name, and the number of entries inserted before its entry.
  private places = NO_PLACES;
  private placed = 0;

  /** `tableBytes` is the largest table that we want. */
  constructor(
    readonly memory: HeaderMemory,
    private readonly tableBytes = DEFAULT_TABLE_BYTES,
  ) {
    this.id = memory.owner();
    this.bytes = memory.bytes;
    this.view = memory.text.view;
    this.names = memory.names;
    this.atoms = memory.atoms;
    this.epoch = memory.epoch;
    // What the peer allows before its SETTINGS arrive (RFC 9113 section 6.5.2).
    this.max = Math.min(tableBytes, DEFAULT_TABLE_BYTES);
    this.resetPending = this.max !== DEFAULT_TABLE_BYTES;
  }

  /** Maximum size of the table, as set by the peer. */
  get tableLimit(): number {
    return this.max;
  }

  /** SETTINGS_HEADER_TABLE_SIZE of the peer. The size updates that follow from it begin the next block (section 4.2). */
  setPeerLimit(bytes: number): void {
    const max = Math.min(this.tableBytes, bytes);
    if (max === this.max) return;
    this.max = max;
    this.resetPending = true;
  }

  /**
   * Writes the block of `list` at `at` of `memory.bytes`, where the caller has `list.encodedBound` + 16 bytes of room. Returns the position
   * after it. The block must be sent, because the table has changed with it.
   */
  encode(list: FieldList, at: number): number {
    const memory = this.memory;
    if (list.epoch !== memory.epoch) list.refresh();
    if (this.epoch !== memory.epoch) {
      // The table's keys are from another epoch.
      this.epoch = memory.epoch;
      if (this.inserted > 0) this.resetPending = true;
    }
    let p = this.resetPending ? this.writeReset(at) : at;
    const template = list.template;
    const count = list.count;
    const name = list.name;
    let i = 0;
    if (template !== null) {
      for (; i < count && name[i] !== NAME.OTHER && name[i] < FIRST_REGULAR; i++) p = this.putText(list, i, p);
      p = this.putTemplate(template, p);
    }
    for (; i < count; i++) p = list.atom[i] >= 0 ? this.putAtom(list.atom[i], p) : this.putText(list, i, p);
    if (this.missed >= MAX_MISSED) this.resetPending = true;
    return p;
  }

  /** Empties the table. A size of 0 makes the peer do the same; it is also the smallest size that section 4.2 wants signalled. */
  private writeReset(at: number): number {
    this.resetPending = false;
    this.used = 0;
    this.inserted = 0;
    this.missed = 0;
    this.version++;
    this.placed = 0;
    this.places.fill(0);
    const bytes = this.bytes;
    const p = putInteger(bytes, at, SIZE_UPDATE, 5, 0);
    return this.max > 0 ? putInteger(bytes, p, SIZE_UPDATE, 5, this.max) : p;
  }

  private putTemplate(template: Template, at: number): number {
    const { memory, id } = this;
    const ready = memory.ready;
    const slot = ready.slot(template, id);
    if (ready.has(slot, template, id, this.version)) {
      memory.readyHits++;
      this.missed += ready.missed[slot];
      return ready.copy(slot, at);
    }
    memory.readyMisses++;
    const { version, missed } = this;
    const atoms = template.atom;
    let p = at;
    for (let k = 0; k < atoms.length; k++) p = this.putAtom(atoms[k], p);
    if (version === this.version && p - at <= READY_BYTES) {
      ready.keep(slot, template, id, version, this.missed - missed, at, p);
    }
    return p;
  }

  private putAtom(atom: number, at: number): number {
    const { bytes, view, names, atoms } = this;
    if (atom < LAST_STATIC && (names.flags[atoms.ref[atom]] & SENSITIVE) === 0) {
      bytes[at] = INDEXED | (atom + 1);
      return at + 1;
    }
    const ref = atoms.ref[atom];
    let p: number;
    if (atoms.neverIndexed[atom] !== 0 || (names.flags[ref] & SENSITIVE) !== 0) {
      p = this.putName(ref, NEVER_INDEXED, 4, names.at[ref], names.length[ref], at);
    } else {
      const place = this.find(atom << 1);
      if (place >= 0) return putInteger(bytes, at, INDEXED, 7, LAST_STATIC + this.inserted - place);
      const size = atoms.size[atom];
      if (this.fits(size)) {
        p = this.putName(ref, INCREMENTAL, 6, names.at[ref], names.length[ref], at);
        this.insert(ref, size);
        this.place(atom << 1, this.inserted - 1);
      } else {
        if (size * LARGEST_PART <= this.max) this.missed++;
        p = this.putName(ref, WITHOUT_INDEXING, 4, names.at[ref], names.length[ref], at);
      }
    }
    const length = atoms.length[atom];
    const code = atoms.codeLength[atom];
    if (code >= 0 && code < length) return putCode(bytes, view, atoms.codeAt[atom], code, p);
    return putPlain(bytes, view, atoms.at[atom], length, p);
  }

  private putText(list: FieldList, i: number, at: number): number {
    const { bytes, view, names } = this;
    const ref = list.ref[i];
    const nameAt = list.nameAt[i];
    const nameLength = list.nameLength[i];
    const length = list.valueLength[i];
    let p: number;
    const spelled = ref < 0 || names.static[ref] === 0;
    const place = spelled && ref >= 0 ? this.find((ref << 1) | 1) : -1;
    let first = WITHOUT_INDEXING;
    let bits = 4;
    if (list.neverIndexed[i] !== 0 || (ref >= 0 && (names.flags[ref] & SENSITIVE) !== 0)) first = NEVER_INDEXED;
    else if (spelled && ref >= 0 && place < 0 && this.fits(OVERHEAD + nameLength + length)) {
      // One entry for the name, so that later literals need not spell it.
      first = INCREMENTAL;
      bits = 6;
    }
    if (!spelled) p = putInteger(bytes, at, first, bits, names.static[ref]);
    else if (place >= 0) p = putInteger(bytes, at, first, bits, LAST_STATIC + this.inserted - place);
    else p = this.putSpelled(ref, first, nameAt, nameLength, at);
    if (first === INCREMENTAL) this.insert(ref, OVERHEAD + nameLength + length);
    const codeAt = list.codeAt[i];
    const code = list.codeLength[i];
    if (codeAt >= 0 && code <= length) return putCode(bytes, view, codeAt, code, p);
    return putPlain(bytes, view, list.valueAt[i], length, p);
  }

  /** The first bytes of a literal, up to the end of its name. */
  private putName(ref: number, first: number, bits: number, nameAt: number, nameLength: number, at: number): number {
    const { bytes, names } = this;
    let index = 0;
    if (ref >= 0) {
      index = names.static[ref];
      if (index === 0) {
        const place = this.find((ref << 1) | 1);
        if (place >= 0) index = LAST_STATIC + this.inserted - place;
      }
    }
    if (index === 0) return this.putSpelled(ref, first, nameAt, nameLength, at);
    return putInteger(bytes, at, first, bits, index);
  }

  /** The same if no table has the name. */
  private putSpelled(ref: number, first: number, nameAt: number, nameLength: number, at: number): number {
    const { bytes, view, names } = this;
    bytes[at] = first;
    if (ref >= 0 && names.codeLength[ref] < nameLength) {
      return putCode(bytes, view, names.codeAt[ref], names.codeLength[ref], at + 1);
    }
    return putPlain(bytes, view, nameAt, nameLength, at + 1);
  }

  private fits(size: number): boolean {
    return this.used + size <= this.max && size * LARGEST_PART <= this.max;
  }

  private insert(ref: number, size: number): void {
    this.used += size;
    const place = this.inserted++;
    this.version++;
    if (this.names.static[ref] === 0 && this.find((ref << 1) | 1) < 0) this.place((ref << 1) | 1, place);
  }

  private find(key: number): number {
    const places = this.places;
    if (this.placed === 0) return -1;
    const mask = places.length - 1;
    // Two numbers a place; a key of 0 is none.
    for (let i = (Math.imul(key, 0x9e3779b1) >>> 15) & mask & ~1; ; i = (i + 2) & mask) {
      const found = places[i];
      if (found === key + 1) return places[i + 1];
      if (found === 0) return -1;
    }
  }

  private place(key: number, value: number): void {
    if (this.placed * 4 >= this.places.length) this.grow();
    const places = this.places;
    const mask = places.length - 1;
    let i = (Math.imul(key, 0x9e3779b1) >>> 15) & mask & ~1;
    while (places[i] !== 0) i = (i + 2) & mask;
    places[i] = key + 1;
    places[i + 1] = value;
    this.placed++;
  }

  private grow(): void {
    const old = this.places;
    this.places = new Int32Array(Math.max(FIRST_PLACES, 2 * old.length));
    this.placed = 0;
    for (let i = 0; i < old.length; i += 2) if (old[i] !== 0) this.place(old[i] - 1, old[i + 1]);
  }
}

// The fields of a list in columns, and what can be changed of a list that is complete.
import { column } from '../http/columns.js';
import { FIRST_REGULAR, NAME } from '../http/field-names.js';
import { OVERHEAD, SPARE } from './field-size.js';
import type { AtomTable } from './memory/atom-table.js';
import type { HeaderMemory } from './memory/header-memory.js';
import type { NameTable } from './memory/name-table.js';
import type { Template } from './memory/template.js';

/** Maximum number of fields in a list. */
export const MAX_FIELDS = 1024;

/**
 * A list has one of two forms:
 *
 * - plain: `template` is null, the fields are 0 to `count` in their order;
 * - templated: `template` holds the fields that were seen before, in their order, and 0 to `count` are the others only,
 *   pseudo-header fields before regular ones. No name is among both.
 *
 * But what `append` adds may have the name of others: it comes last.
 *
 * Text is at positions in `memory.bytes`. It may lie in the decoded block itself, so it is valid as long as the block stays
 * where it is, until this list is used again, and until memory has begun two more epochs (thousands of blocks).
 */
export class FieldColumns {
  template: Template | null = null;
  count = 0;
  /** NAME by field. */
  readonly name = column(Uint8Array, MAX_FIELDS);
  readonly nameAt = column(Int32Array, MAX_FIELDS);
  readonly nameLength = column(Int32Array, MAX_FIELDS);
  readonly valueAt = column(Int32Array, MAX_FIELDS);
  readonly valueLength = column(Int32Array, MAX_FIELDS);
  /** Interned name and value, or -1. */
  readonly atom = column(Int32Array, MAX_FIELDS);
  /** 1 if no table may ever hold the field (RFC 7541 section 6.2.3). */
  readonly neverIndexed = column(Uint8Array, MAX_FIELDS);
  /** Interned name, or -1. */
  readonly ref = column(Int32Array, MAX_FIELDS);
  /** Huffman code of the value as received, -1 if not available. */
  readonly codeAt = column(Int32Array, MAX_FIELDS);
  readonly codeLength = column(Int32Array, MAX_FIELDS);
  /** 1 if the value is known to contain no forbidden byte. */
  protected readonly valid = column(Uint8Array, MAX_FIELDS);
  /** List size (RFC 9113 section 6.5.2) of all fields, including the template's. */
  size = 0;
  /** Maximum number of bytes for encoding all fields. */
  encodedBound = 0;
  protected readonly names: NameTable;
  protected readonly atoms: AtomTable;

  constructor(readonly memory: HeaderMemory) {
    this.names = memory.names;
    this.atoms = memory.atoms;
  }

  /** Adds a field for a NAME that has text, like `FieldList.add`. */
  addKnown(name: number, valueAt: number, valueLength: number, neverIndexed = false): boolean {
    return this.addNamed(name, valueAt, valueLength, neverIndexed);
  }

  /** The same for a permanent name's reference. */
  addNamed(ref: number, valueAt: number, valueLength: number, neverIndexed: boolean): boolean {
    const i = this.count;
    if (i === MAX_FIELDS) return false;
    const name = this.names.known[ref];
    this.put(i, ref, name, this.names.at[ref], this.names.length[ref], valueAt, valueLength, neverIndexed);
    this.count = i + 1;
    return true;
  }

  /** Adds the field for which `memory.constant` returned this number. */
  addConstant(constant: number): boolean {
    const i = this.count;
    if (i === MAX_FIELDS) return false;
    this.atom[i] = constant;
    this.fillFromAtom(i);
    this.count = i + 1;
    return true;
  }

  /**
   * Adds a field for a NAME that has text, and no fact, to a complete list. It comes after all others, in both forms. The list must not be
   * full. Its text must stay like that of `add`.
   */
  append(name: number, valueAt: number, valueLength: number): void {
    const before = this.template === null ? 0 : this.template.count;
    if (this.count + before >= MAX_FIELDS || !this.addKnown(name, valueAt, valueLength)) return;
    const size = OVERHEAD + this.nameLength[this.count - 1] + valueLength;
    this.size += size;
    this.encodedBound += size - SPARE;
  }

  /** Gives field `i` of a complete list in plain form another value. The field must have no fact. */
  replace(i: number, valueAt: number, valueLength: number): void {
    const change = valueLength - this.valueLength[i];
    this.atom[i] = -1;
    this.codeAt[i] = -1;
    this.valueAt[i] = valueAt;
    this.valueLength[i] = valueLength;
    this.size += change;
    this.encodedBound += change;
  }

  /** Removes field `i` from a complete list in plain form. The field must have no fact that still matters. */
  drop(i: number): void {
    const size = OVERHEAD + this.nameLength[i] + this.valueLength[i];
    this.size -= size;
    this.encodedBound -= size - SPARE;
    this.count--;
    for (let k = i; k < this.count; k++) this.move(k + 1, k);
  }

  /** Whether a field has this NAME, in either form. */
  has(name: number): boolean {
    const { template, count } = this;
    for (let i = 0; i < count; i++) if (this.name[i] === name) return true;
    if (template === null) return false;
    for (let k = 0; k < template.count; k++) if (template.name[k] === name) return true;
    return false;
  }

  /** Converts to the plain form. */
  expand(): void {
    const template = this.template;
    if (template === null) return;
    const count = this.count;
    const total = template.count;
    let pseudo = 0;
    while (pseudo < count && this.name[pseudo] !== NAME.OTHER && this.name[pseudo] < FIRST_REGULAR) pseudo++;
    for (let i = count - 1; i >= pseudo; i--) this.move(i, i + total);
    for (let k = 0; k < total; k++) {
      const i = pseudo + k;
      this.atom[i] = template.atom[k];
      this.ref[i] = template.ref[k];
      this.name[i] = template.name[k];
      this.nameAt[i] = template.nameAt[k];
      this.nameLength[i] = template.nameLength[k];
      this.valueAt[i] = template.valueAt[k];
      this.valueLength[i] = template.valueLength[k];
      this.neverIndexed[i] = template.neverIndexed[k];
      this.codeAt[i] = -1;
    }
    this.count = count + total;
    this.template = null;
  }

  /** Index of the first field with this NAME, -1 if there is none. Converts to the plain form. */
  find(name: number): number {
    this.expand();
    for (let i = 0; i < this.count; i++) if (this.name[i] === name) return i;
    return -1;
  }

  /** Fills the columns of a field of which only the atom is known. */
  protected fillFromAtom(i: number): void {
    const atom = this.atom[i];
    const ref = this.atoms.ref[atom];
    this.ref[i] = ref;
    this.name[i] = this.atoms.known[atom];
    this.nameAt[i] = this.names.at[ref];
    this.nameLength[i] = this.names.length[ref];
    this.valueAt[i] = this.atoms.at[atom];
    this.valueLength[i] = this.atoms.length[atom];
    this.neverIndexed[i] = this.atoms.neverIndexed[atom];
    this.codeAt[i] = -1;
  }

  protected put(
    i: number,
    ref: number,
    known: number,
    nameAt: number,
    nameLength: number,
    valueAt: number,
    valueLength: number,
    neverIndexed: boolean,
  ): void {
    this.atom[i] = -1;
    this.ref[i] = ref;
    this.name[i] = known;
    this.nameAt[i] = nameAt;
    this.nameLength[i] = nameLength;
    this.valueAt[i] = valueAt;
    this.valueLength[i] = valueLength;
    this.neverIndexed[i] = neverIndexed ? 1 : 0;
    this.codeAt[i] = -1;
    this.valid[i] = 0;
  }

  protected move(from: number, to: number): void {
    if (from === to) return;
    this.atom[to] = this.atom[from];
    this.ref[to] = this.ref[from];
    this.name[to] = this.name[from];
    this.nameAt[to] = this.nameAt[from];
    this.nameLength[to] = this.nameLength[from];
    this.valueAt[to] = this.valueAt[from];
    this.valueLength[to] = this.valueLength[from];
    this.neverIndexed[to] = this.neverIndexed[from];
    this.codeAt[to] = this.codeAt[from];
    this.codeLength[to] = this.codeLength[from];
    this.valid[to] = this.valid[from];
  }
}

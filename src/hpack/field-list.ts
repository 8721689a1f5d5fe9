// The fields of one header block: decoded, or built here for encoding.

import { Facts } from '../http/facts.js';
import { FIRST_REGULAR, NAME } from '../http/field-names.js';
import { nameError, valueError } from '../http/field-syntax.js';
import { MALFORMED } from '../http/malformed.js';
import { OVERHEAD, SPARE } from './field-size.js';
import type { AtomTable } from './memory/atom-table.js';
import type { HeaderMemory } from './memory/header-memory.js';
import { SCRATCH_BYTES } from './memory/header-text.js';
import type { NameTable } from './memory/name-table.js';
import type { Template } from './memory/template.js';
import type { RecurrenceFilter } from './recurrence-filter.js';

/** Maximum number of fields in a list. */
export const MAX_FIELDS = 1024;
/** Lists with more unknown fields than this get no template. */
const MAX_VOLATILE = 32;
/** Between the counters of two sources: odd, so that all are used. */
const SOURCE_STEP = 61;
const COLON = 0x3a;
const SP = 0x20;

/**
 * A list of fields, reused for block after block. Two forms:
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
export class FieldList {
  template: Template | null = null;
  count = 0;
  /** NAME by field. */
  readonly name = new Uint8Array(MAX_FIELDS);
  readonly nameAt = new Int32Array(MAX_FIELDS);
  readonly nameLength = new Int32Array(MAX_FIELDS);
  readonly valueAt = new Int32Array(MAX_FIELDS);
  readonly valueLength = new Int32Array(MAX_FIELDS);
  /** Interned name and value, or -1. */
  readonly atom = new Int32Array(MAX_FIELDS);
  /** 1 if no table may ever hold the field (RFC 7541 section 6.2.3). */
  readonly neverIndexed = new Uint8Array(MAX_FIELDS);
  /** Interned name, or -1. */
  readonly ref = new Int32Array(MAX_FIELDS);
  /** Huffman code of the value as received, -1 if not available. */
  readonly codeAt = new Int32Array(MAX_FIELDS);
  readonly codeLength = new Int32Array(MAX_FIELDS);
  /** 1 if the value is known to contain no forbidden byte. */
  private readonly valid = new Uint8Array(MAX_FIELDS);
  /** List size (RFC 9113 section 6.5.2) of all fields, including the template's. */
  size = 0;
  /** Maximum number of bytes for encoding all fields. */
  encodedBound = 0;
  /** Facts of all fields; valid after `decode` or `finish`. A different object from block to block; do not change it. */
  facts: Facts;
  /** Epoch of references, atoms and template. */
  epoch: number;
  /** Where text goes that is not in the block itself: next free byte, and the bounds. */
  scratch: number;
  readonly scratchStart: number;
  readonly scratchEnd: number;

  private readonly names: NameTable;
  private readonly atoms: AtomTable;
  private readonly own = new Facts();
  private hash = 0;
  private volatileCount = 0;
  /**
   * While fields are pushed: each field's atom, or the inverted row of one without an atom. Those have the rows from 0 on, so that none has
   * to move if the others turn out to be a template.
   */
  private readonly sequence = new Int32Array(MAX_FIELDS);
  private regular = false;
  private misplaced = false;
  /** Names of atoms, as a bit set by reference modulo 32. */
  private stableNames = 0;
  private namesBefore = 0;

  /**
   * Its scratch is [scratchAt, scratchAt + scratchBytes) of `memory.bytes`; by default it permanently takes SCRATCH_BYTES of the memory.
   */
  constructor(
    readonly memory: HeaderMemory,
    scratchAt = -1,
    scratchBytes = SCRATCH_BYTES,
  ) {
    this.facts = this.own;
    this.epoch = memory.epoch;
    this.names = memory.names;
    this.atoms = memory.atoms;
    this.scratchStart = scratchAt >= 0 ? scratchAt : memory.text.takeScratch();
    this.scratchEnd = this.scratchStart + scratchBytes;
    this.scratch = this.scratchStart;
  }

  /** Empties the list, to build another one. */
  clear(): void {
    this.empty();
    this.memory.learning.deposit();
  }

  /**
   * For the decoder: like `clear`, but without an allowance, because a block found whole teaches nothing. Learned entries may be dropped
   * here.
   */
  empty(): void {
    const memory = this.memory;
    if (memory.learning.full) memory.newEpoch();
    this.epoch = memory.epoch;
    this.template = null;
    this.count = 0;
    this.size = 0;
    this.encodedBound = 0;
    this.scratch = this.scratchStart;
    this.facts = this.own;
    this.own.reset();
    this.begin();
  }

  /** Adds a field. Its text must stay until the list has been encoded. False if the list is full. */
  add(nameAt: number, nameLength: number, valueAt: number, valueLength: number, neverIndexed = false): boolean {
    const i = this.count;
    if (i === MAX_FIELDS) return false;
    const ref = this.names.intern(nameAt, nameLength);
    if (ref < 0) this.atoms.note(valueAt, valueLength, neverIndexed);
    this.put(i, ref, this.knownName(ref, nameAt, nameLength), nameAt, nameLength, valueAt, valueLength, neverIndexed);
    this.count = i + 1;
    return true;
  }

  /** Like `add`, for a NAME that has text. */
  addKnown(name: number, valueAt: number, valueLength: number, neverIndexed = false): boolean {
    return this.addNamed(name, valueAt, valueLength, neverIndexed);
  }

  /** Like `add`, for a permanent name's reference. */
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

  /** Completes a list built with `add` and the like: facts, size, bound, template. */
  finish(): void {
    this.complete(null, 0);
  }

  /** The same for an HTTP/1 head, whose parser has validated its values. `source`: a number for the sender. */
  finishParsed(recurrence: RecurrenceFilter, source: number): void {
    this.complete(recurrence, Math.imul(source, SOURCE_STEP));
  }

  private complete(recurrence: RecurrenceFilter | null, salt: number): void {
    const memory = this.memory;
    const count = this.count;
    if (this.epoch !== memory.epoch) this.lookUpAgain();
    const names = this.namesBefore;
    this.begin();
    this.namesBefore = names;
    this.count = 0;
    this.size = 0;
    for (let i = 0; i < count; i++) {
      let atom = this.atom[i];
      const ref = this.ref[i];
      if (atom < 0 && ref >= 0 && (recurrence === null || recurrence.shouldLookUp(ref + salt))) {
        atom = this.atoms.intern(ref, this.valueAt[i], this.valueLength[i], this.neverIndexed[i] !== 0);
        if (recurrence !== null) {
          if (atom >= 0) recurrence.recordKnown(ref + salt);
          else recurrence.recordNew(ref + salt);
        }
      }
      if (atom >= 0) this.pushAtom(atom, this.atoms.size[atom]);
      else {
        const { name, nameAt, nameLength, valueAt, valueLength, neverIndexed, codeAt, codeLength } = this;
        const code = codeAt[i];
        const length = codeLength[i];
        this.pushText(
          ref,
          name[i],
          nameAt[i],
          nameLength[i],
          valueAt[i],
          valueLength[i],
          neverIndexed[i] !== 0,
          code,
          length,
        );
        if (recurrence !== null) this.valid[this.volatileCount - 1] = 1;
      }
    }
    this.finishDecoded();
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

  /** Looks up names and atoms again, because those of another epoch are void. */
  refresh(): void {
    this.expand();
    this.lookUpAgain();
    this.finish();
  }

  /** For the decoder: the whole list is this template; earlier content is dropped. */
  useTemplate(template: Template): void {
    this.template = template;
    this.count = 0;
    this.size = template.size;
    this.encodedBound = template.size - SPARE * template.count;
    this.facts = template.facts;
    this.epoch = this.memory.epoch;
    this.scratch = this.scratchStart;
    this.begin();
  }

  /** For the decoder: a field with an atom. */
  pushAtom(atom: number, size: number): void {
    const i = this.count++;
    const known = this.atoms.known[atom];
    this.sequence[i] = atom;
    this.size += size;
    const h = Math.imul(this.hash ^ atom, 0x9e3779b1);
    this.hash = h ^ (h >>> 15);
    this.stableNames |= 1 << (this.atoms.ref[atom] & 31);
    if (known === NAME.OTHER || known >= FIRST_REGULAR) this.regular = true;
    else if (this.regular) this.misplaced = true;
  }

  /** For the decoder: a field without one. */
  pushText(
    ref: number,
    known: number,
    nameAt: number,
    nameLength: number,
    valueAt: number,
    valueLength: number,
    neverIndexed: boolean,
    codeAt: number,
    codeLength: number,
  ): void {
    const row = this.volatileCount++;
    this.sequence[this.count++] = ~row;
    this.atom[row] = -1;
    this.ref[row] = ref;
    this.name[row] = known;
    this.nameAt[row] = nameAt;
    this.nameLength[row] = nameLength;
    this.valueAt[row] = valueAt;
    this.valueLength[row] = valueLength;
    this.neverIndexed[row] = neverIndexed ? 1 : 0;
    this.valid[row] = 0;
    this.codeAt[row] = codeAt;
    this.codeLength[row] = codeLength;
    this.size += OVERHEAD + nameLength + valueLength;
    if (known === NAME.OTHER || known >= FIRST_REGULAR) this.regular = true;
    else if (this.regular) this.misplaced = true;
  }

  /** For the decoder: the value of the last field pushed without an atom is visible ASCII and SP. */
  markValid(): void {
    const i = this.volatileCount - 1;
    const { bytes } = this.memory;
    const first = this.valueAt[i];
    const length = this.valueLength[i];
    if (length > 0 && bytes[first] !== SP && bytes[first + length - 1] !== SP) this.valid[i] = 1;
  }

  /** For the decoder: all fields have been pushed. */
  finishDecoded(): void {
    const memory = this.memory;
    const bytes = memory.bytes;
    const others = this.volatileCount;
    const stable = this.count - others;
    this.encodedBound = this.size - SPARE * this.count;
    let template: Template | null = null;
    if (stable > 0 && others <= MAX_VOLATILE && !this.misplaced && !this.namesOverlap()) {
      template = memory.templates.intern(this.sequence, this.hash, stable);
    }
    this.template = template;
    if (template !== null && others === 0) {
      this.count = 0;
      this.facts = template.facts;
      return;
    }
    const facts = this.own;
    this.facts = facts;
    if (template !== null) {
      facts.copy(template.facts);
      for (let k = 0; k < others; k++) this.addChecked(facts, k);
      this.count = others;
    } else {
      this.expandSequence();
      facts.reset();
      if (this.misplaced) facts.error = MALFORMED.PSEUDO_ORDER;
      for (let i = 0; i < this.count; i++) {
        if (this.atom[i] < 0) this.addChecked(facts, i);
        else {
          this.fillFromAtom(i);
          facts.add(bytes, this.name[i], this.valueAt[i], this.valueLength[i]);
        }
      }
    }
    facts.close(bytes);
  }

  /**
   * For the decoder: computes the facts of the fields so far, if there are more than the list may have. The answer depends on who asks, and
   * for what.
   */
  computeFacts(): void {
    const { own, name, valueAt, valueLength } = this;
    this.expandSequence();
    own.reset();
    for (let i = 0; i < this.count; i++) {
      if (this.atom[i] >= 0) this.fillFromAtom(i);
      own.add(this.memory.bytes, name[i], valueAt[i], valueLength[i]);
    }
  }

  /** For the decoder: the list is void, because its block was too large. The result of `computeFacts` stays. */
  invalidate(): void {
    this.count = 0;
    this.size = 0;
    this.encodedBound = 0;
    this.template = null;
    this.facts = this.own;
  }

  private begin(): void {
    this.hash = 0;
    this.volatileCount = 0;
    this.regular = false;
    this.misplaced = false;
    this.stableNames = 0;
    this.namesBefore = this.names.count;
  }

  /** Converts to the plain form, after all fields have been pushed. */
  private expandSequence(): void {
    const { sequence, atom } = this;
    // Backwards: no row is behind its own field.
    for (let i = this.count - 1; i >= 0; i--) {
      const entry = sequence[i];
      if (entry < 0) this.move(~entry, i);
      else atom[i] = entry;
    }
  }

  private addChecked(facts: Facts, i: number): void {
    const bytes = this.memory.bytes;
    // Interned names are valid.
    if (this.ref[i] < 0 && nameError(bytes, this.nameAt[i], this.nameLength[i]) !== 0) facts.fail(MALFORMED.NAME);
    if (this.valid[i] === 0 && valueError(bytes, this.valueAt[i], this.valueLength[i]) !== 0)
      facts.fail(MALFORMED.VALUE);
    facts.add(bytes, this.name[i], this.valueAt[i], this.valueLength[i]);
  }

  /** Whether a name is, or may be, both among the fields with an atom and among those without. */
  private namesOverlap(): boolean {
    const { names, atoms, sequence } = this;
    for (let k = 0; k < this.volatileCount; k++) {
      const ref = this.ref[k];
      // A name learned in the middle of the block has no reference in earlier fields.
      if (ref < 0) {
        if (names.count !== this.namesBefore) return true;
        continue;
      }
      if ((this.stableNames & (1 << (ref & 31))) === 0) continue;
      for (let i = 0; i < this.count; i++) if (sequence[i] >= 0 && atoms.ref[sequence[i]] === ref) return true;
    }
    return false;
  }

  /** Fills the columns of a field of which only the atom is known. */
  private fillFromAtom(i: number): void {
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

  private put(
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

  private move(from: number, to: number): void {
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

  private lookUpAgain(): void {
    const memory = this.memory;
    this.epoch = memory.epoch;
    for (let i = 0; i < this.count; i++) {
      if (this.atom[i] >= this.atoms.permanent) this.atom[i] = -1;
      if (this.atom[i] < 0) this.ref[i] = this.names.find(this.nameAt[i], this.nameLength[i]);
    }
  }

  private knownName(ref: number, at: number, length: number): number {
    if (ref >= 0) return this.names.known[ref];
    return length > 0 && this.memory.bytes[at] === COLON ? NAME.UNKNOWN_PSEUDO : NAME.OTHER;
  }
}

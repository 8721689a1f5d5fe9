// The fields of one header block: decoded, or built here for encoding.

import { column } from '../http/columns.js';
import { Facts } from '../http/facts.js';
import { FIRST_REGULAR, NAME } from '../http/field-names.js';
import { nameError, valueError } from '../http/field-syntax.js';
import { MALFORMED } from '../http/malformed.js';
import { FieldColumns, MAX_FIELDS } from './field-columns.js';
import { OVERHEAD, SPARE } from './field-size.js';
import type { HeaderMemory } from './memory/header-memory.js';
import { SCRATCH_BYTES } from './memory/header-text.js';
import type { Template } from './memory/template.js';
import type { RecurrenceFilter } from './recurrence-filter.js';

/** Lists with more unknown fields than this get no template. */
const MAX_VOLATILE = 32;
/** Between the counters of two sources: odd, so that all are used. */
const SOURCE_STEP = 61;
const COLON = 0x3a;
const SP = 0x20;

/** A list of fields, reused for block after block. */
export class FieldList extends FieldColumns {
  /** Facts of all fields; valid after `decode` or `finish`. A different object from block to block; do not change it. */
  facts: Facts;
  /** Epoch of references, atoms and template. */
  epoch: number;
  /** Where text goes that is not in the block itself: next free byte, and the bounds. */
  scratch: number;
  readonly scratchStart: number;
  readonly scratchEnd: number;

  private readonly own = new Facts();
  private hash = 0;
  private volatileCount = 0;
  /**
   * While fields are pushed: each field's atom, or the inverted row of one without an atom. Those have the rows from 0 on, so that none has
   * to move if the others turn out to be a template.
   */
  private readonly sequence = column(Int32Array, MAX_FIELDS);
  private regular = false;
  private misplaced = false;
  /** Names of fields with an atom, and of those without, as bit sets by reference modulo 64: all well-known names differ there. */
  private stableLow = 0;
  private stableHigh = 0;
  private volatileLow = 0;
  private volatileHigh = 0;
  private namesBefore = 0;

  /**
   * Its scratch is [scratchAt, scratchAt + scratchBytes) of `memory.bytes`; by default it permanently takes SCRATCH_BYTES of the memory.
   */
  constructor(memory: HeaderMemory, scratchAt = -1, scratchBytes = SCRATCH_BYTES) {
    super(memory);
    this.facts = this.own;
    this.epoch = memory.epoch;
    this.scratchStart = scratchAt >= 0 ? scratchAt : memory.text.takeScratch();
    this.scratchEnd = this.scratchStart + scratchBytes;
    this.scratch = this.scratchStart;
  }

  /** Empties the list, to build another one. */
  clear(): void {
    this.empty();
    this.own.reset();
    this.memory.learning.deposit();
  }

  /**
   * For the decoder: like `clear`, but without an allowance, because a block found whole teaches nothing, and without facts until all
   * fields are there. Learned entries may be dropped here.
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
    const ref = this.atoms.ref[atom];
    const high = -((ref >>> 5) & 1);
    this.stableLow |= (1 << ref) & ~high;
    this.stableHigh |= (1 << ref) & high;
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
    const high = -((ref >>> 5) & 1);
    this.volatileLow |= (1 << ref) & ~high;
    this.volatileHigh |= (1 << ref) & high;
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
    this.stableLow = 0;
    this.stableHigh = 0;
    this.volatileLow = 0;
    this.volatileHigh = 0;
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
    const { names, atoms, sequence, stableLow, stableHigh, volatileLow, volatileHigh } = this;
    const shared = (stableLow & volatileLow) | (stableHigh & volatileHigh);
    if (shared === 0 && names.count === this.namesBefore) return false;
    for (let k = 0; k < this.volatileCount; k++) {
      const ref = this.ref[k];
      // A name learned in the middle of the block has no reference in earlier fields.
      if (ref < 0) {
        if (names.count !== this.namesBefore) return true;
        continue;
      }
      if ((((ref & 32) === 0 ? stableLow : stableHigh) & (1 << ref)) === 0) continue;
      for (let i = 0; i < this.count; i++) if (sequence[i] >= 0 && atoms.ref[sequence[i]] === ref) return true;
    }
    return false;
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

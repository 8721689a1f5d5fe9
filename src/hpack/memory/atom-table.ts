// Atoms: fields (name and value) known to a header memory, each with a small number. First those of the static table (their index minus
// one), then constants, which are permanent too, then those learned in this epoch.

import { column } from '../../http/columns.js';
import { valueError } from '../../http/field-syntax.js';
import { OVERHEAD } from '../field-size.js';
import { encodedLength } from '../huffman.js';
import { chainLength, MAX_CHAIN, powerOfTwo } from './hash-chains.js';
import { type HeaderText, MAX_PERMANENT } from './header-text.js';
import { type LearningBudget, MAX_LEARNED } from './learning-budget.js';
import { type NameTable, VOLATILE } from './name-table.js';
import { SeenFilter } from './seen-filter.js';

/** Number of fields seen once to remember. */
const SEEN_ENTRIES = 8192;
/** Room for a byte of a value: itself, and a code that is kept only if it is no longer than the text. */
const OCTETS_PER_OCTET = 2;

export class AtomTable {
  count = 0;
  permanent = 0;
  /** Reference of the name, and its NAME. */
  readonly ref: Int32Array;
  readonly known: Uint8Array;
  /** The value. */
  readonly at: Int32Array;
  readonly length: Int32Array;
  readonly codeAt: Int32Array;
  /** Length of the value's Huffman code, -1 if that is longer than the text. */
  readonly codeLength: Int32Array;
  /** Size of the field in a list or a table. */
  readonly size: Int32Array;
  readonly neverIndexed: Uint8Array;
  /** Room that an atom takes in the table, in the units of Learning. */
  private readonly cost: number;
  private readonly hash: Int32Array;
  private readonly next: Uint16Array;
  private readonly heads: Uint16Array;
  private readonly seenOnce = new SeenFilter(SEEN_ENTRIES);
  /** By hash of name and the value's Huffman code: the atom plus 1, or 0. */
  private readonly coded: Uint16Array;

  /** `max` is how many may be learned in an epoch; `room` is what an epoch can learn. */
  constructor(
    private readonly text: HeaderText,
    private readonly names: NameTable,
    private readonly learning: LearningBudget,
    private readonly max: number,
    room: number,
  ) {
    this.cost = Math.floor(room / max);
    const atoms = MAX_PERMANENT + max;
    this.ref = column(Int32Array, atoms);
    this.known = column(Uint8Array, atoms);
    this.at = column(Int32Array, atoms);
    this.length = column(Int32Array, atoms);
    this.codeAt = column(Int32Array, atoms);
    this.codeLength = column(Int32Array, atoms);
    this.size = column(Int32Array, atoms);
    this.neverIndexed = column(Uint8Array, atoms);
    this.hash = column(Int32Array, atoms);
    this.next = column(Uint16Array, atoms);
    const buckets = 2 * powerOfTwo(atoms);
    this.heads = column(Uint16Array, buckets);
    this.coded = column(Uint16Array, buckets);
  }

  /** Atom of a name and the Huffman code of a value, -1 if unknown. */
  findCoded(ref: number, at: number, length: number, neverIndexed: boolean): number {
    const hash = this.codeHash(ref, at, length, neverIndexed);
    const atom = this.coded[hash & (this.coded.length - 1)] - 1;
    if (atom < 0 || this.ref[atom] !== ref || this.codeLength[atom] !== length) return -1;
    if (this.neverIndexed[atom] !== (neverIndexed ? 1 : 0) || !this.text.equal(this.codeAt[atom], at, length))
      return -1;
    return atom;
  }

  /** Atom of a name and a value's text; learned at the second sight. -1 if there is none. */
  intern(ref: number, at: number, length: number, neverIndexed: boolean): number {
    const { names, text, learning } = this;
    if ((names.flags[ref] & VOLATILE) !== 0 || length > MAX_LEARNED) return -1;
    const hash = this.fieldHash(names.hash[ref], at, length, neverIndexed);
    const found = this.find(ref, at, length, neverIndexed, hash);
    if (found >= 0) {
      // Another one may have displaced it.
      if (this.codeLength[found] >= 0) this.linkCode(found);
      return found;
    }
    if (!this.seenOnce.seenBefore(hash)) return -1;
    if (valueError(text.bytes, at, length) !== 0) return -1;
    if (chainLength(this.heads, this.next, hash) >= MAX_CHAIN) return -1;
    const octets = OCTETS_PER_OCTET * length;
    const cost = Math.max(this.cost, octets);
    if (!learning.canSpend(cost) || !names.takesValue(ref)) return -1;
    if (this.count - this.permanent === this.max || !text.hasRoom(octets)) {
      learning.full = true;
      return -1;
    }
    learning.spend(cost);
    return this.put(ref, text.store(at, length), length, neverIndexed, hash);
  }

  /** Records the first sight of a field whose name was just looked up without result. */
  note(at: number, length: number, neverIndexed: boolean): void {
    if (length > MAX_LEARNED) return;
    this.seenOnce.seenBefore(this.fieldHash(this.names.lastHash, at, length, neverIndexed));
  }

  /** Adds a permanent field, unless it is known. */
  addPermanent(ref: number, at: number, length: number): number {
    const hash = this.fieldHash(this.names.hash[ref], at, length, false);
    const found = this.find(ref, at, length, false, hash);
    if (found >= 0) return found;
    const atom = this.put(ref, at, length, false, hash);
    this.permanent = this.count;
    return atom;
  }

  /** Drops what was learned. */
  newEpoch(): void {
    this.count = this.permanent;
    this.heads.fill(0);
    this.coded.fill(0);
    this.seenOnce.clear();
    for (let atom = 0; atom < this.count; atom++) this.link(atom);
  }

  private find(ref: number, at: number, length: number, neverIndexed: boolean, hash: number): number {
    let atom = this.heads[hash & (this.heads.length - 1)] - 1;
    const mark = neverIndexed ? 1 : 0;
    for (let i = 0; atom >= 0 && i < MAX_CHAIN; i++) {
      if (
        this.hash[atom] === hash &&
        this.ref[atom] === ref &&
        this.length[atom] === length &&
        this.neverIndexed[atom] === mark &&
        this.text.equal(this.at[atom], at, length)
      ) {
        return atom;
      }
      atom = this.next[atom] - 1;
    }
    return -1;
  }

  private put(ref: number, at: number, length: number, neverIndexed: boolean, hash: number): number {
    const atom = this.count++;
    this.ref[atom] = ref;
    this.known[atom] = this.names.known[ref];
    this.at[atom] = at;
    this.length[atom] = length;
    this.size[atom] = OVERHEAD + this.names.length[ref] + length;
    this.neverIndexed[atom] = neverIndexed ? 1 : 0;
    this.hash[atom] = hash;
    const codeLength = encodedLength(this.text.bytes, at, at + length);
    this.codeLength[atom] = codeLength <= length ? codeLength : -1;
    if (codeLength <= length) this.codeAt[atom] = this.text.storeCode(at, length);
    this.link(atom);
    return atom;
  }

  private link(atom: number): void {
    const place = this.hash[atom] & (this.heads.length - 1);
    this.next[atom] = this.heads[place];
    this.heads[place] = atom + 1;
    if (this.codeLength[atom] >= 0) this.linkCode(atom);
  }

  private linkCode(atom: number): void {
    const neverIndexed = this.neverIndexed[atom] !== 0;
    const hash = this.codeHash(this.ref[atom], this.codeAt[atom], this.codeLength[atom], neverIndexed);
    this.coded[hash & (this.coded.length - 1)] = atom + 1;
  }

  private codeHash(ref: number, at: number, length: number, neverIndexed: boolean): number {
    return this.text.hash(at, length, Math.imul(ref + 1, 0x2545f491) ^ (neverIndexed ? 3 : 4));
  }

  private fieldHash(nameHash: number, at: number, length: number, neverIndexed: boolean): number {
    return this.text.hash(at, length, Math.imul(nameHash, 0x2545f491) ^ (neverIndexed ? 5 : 6));
  }
}

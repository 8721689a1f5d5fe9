// Names of fields known to a header memory, each with a small number, its reference. The reference of a well-known name is its NAME id;
// then come those of the static table and of constants, which are permanent, then those learned in this epoch.
import { column } from '../../http/columns.js';
import { NAME, NAME_TEXT, SENSITIVE_NAMES, VOLATILE_NAMES } from '../../http/field-names.js';
import { nameError } from '../../http/field-syntax.js';
import { encodedLength } from '../huffman.js';
import { LAST_STATIC } from '../static-table.js';
import { chainLength, MAX_CHAIN, powerOfTwo } from './hash-chains.js';
import { type HeaderText, MAX_PERMANENT } from './header-text.js';
import { type LearningBudget, MAX_LEARNED } from './learning-budget.js';
import { SeenFilter } from './seen-filter.js';

/** Bits of `flags`. */
export const VOLATILE = 1;
export const SENSITIVE = 2;

/** A name with this many different values counts as having a new one every time. */
const MAX_DISTINCT = 256;
/** Number of names seen once to remember. */
const SEEN_ENTRIES = 1024;
/** Room for a byte of a name: itself, and a code of up to 15 bits. */
const OCTETS_PER_OCTET = 3;

export class NameTable {
  count = 0;
  permanent = 0;
  readonly known: Uint8Array;
  readonly at: Int32Array;
  readonly length: Int32Array;
  readonly codeAt: Int32Array;
  readonly codeLength: Int32Array;
  /** Lowest index in the static table, or 0. */
  readonly static: Uint8Array;
  readonly flags: Uint8Array;
  readonly hash: Int32Array;
  /** References of the static table's names by index. */
  readonly staticRef = column(Int32Array, LAST_STATIC + 1);
  /** Hash of the name last looked for. */
  lastHash = 0;
  /** Room that a name takes in the table, in the units of Learning. */
  private readonly cost: number;
  private readonly next: Uint16Array;
  private readonly heads: Uint16Array;
  private readonly distinct: Int32Array;
  private readonly seenOnce = new SeenFilter(SEEN_ENTRIES);
  /** By hash of a name's Huffman code: its reference plus 1, or 0. */
  private readonly coded: Uint16Array;

  /** `max` is how many may be learned in an epoch; `room` is what an epoch can learn. */
  constructor(
    private readonly text: HeaderText,
    private readonly learning: LearningBudget,
    private readonly max: number,
    room: number,
  ) {
    this.cost = Math.floor(room / max);
    const names = MAX_PERMANENT + max;
    this.known = column(Uint8Array, names);
    this.at = column(Int32Array, names);
    this.length = column(Int32Array, names);
    this.codeAt = column(Int32Array, names);
    this.codeLength = column(Int32Array, names);
    this.static = column(Uint8Array, names);
    this.flags = column(Uint8Array, names);
    this.hash = column(Int32Array, names);
    this.next = column(Uint16Array, names);
    this.distinct = column(Int32Array, names);
    const buckets = 2 * powerOfTwo(names);
    this.heads = column(Uint16Array, buckets);
    this.coded = column(Uint16Array, buckets);
    for (let known = 0; known < NAME_TEXT.length; known++) {
      const text = NAME_TEXT[known];
      if (text.length > 0) this.put(this.text.addConstant(text), text.length, known);
      else this.count++;
    }
    for (const known of VOLATILE_NAMES) this.flags[known] |= VOLATILE;
    for (const known of SENSITIVE_NAMES) this.flags[known] |= SENSITIVE;
    this.permanent = this.count;
  }

  /** Reference of a name, -1 if unknown. */
  find(at: number, length: number): number {
    const hash = this.text.hash(at, length, 1);
    this.lastHash = hash;
    let ref = this.heads[hash & (this.heads.length - 1)] - 1;
    for (let i = 0; ref >= 0 && i < MAX_CHAIN; i++) {
      if (this.hash[ref] === hash && this.length[ref] === length && this.text.equal(this.at[ref], at, length))
        return ref;
      ref = this.next[ref] - 1;
    }
    return -1;
  }

  /** Reference of the name with this Huffman code, -1 if unknown. */
  findCoded(at: number, length: number): number {
    const hash = this.text.hash(at, length, 2);
    const ref = this.coded[hash & (this.coded.length - 1)] - 1;
    if (ref < 0 || this.codeLength[ref] !== length || !this.text.equal(this.codeAt[ref], at, length)) return -1;
    return ref;
  }

  /** Like `find`, but learns a name at its second sight. */
  intern(at: number, length: number): number {
    const found = this.find(at, length);
    if (found >= 0) return found;
    const hash = this.lastHash;
    if (!this.seenOnce.seenBefore(hash)) return -1;
    const { text, learning } = this;
    if (length > MAX_LEARNED || nameError(text.bytes, at, length) !== 0) return -1;
    if (chainLength(this.heads, this.next, hash) >= MAX_CHAIN) return -1;
    const octets = OCTETS_PER_OCTET * length;
    const cost = Math.max(this.cost, octets);
    if (!learning.canSpend(cost)) return -1;
    if (this.count - this.permanent === this.max || !text.hasRoom(octets)) {
      learning.full = true;
      return -1;
    }
    learning.spend(cost);
    return this.put(text.store(at, length), length, text.bytes[at] === 0x3a ? NAME.UNKNOWN_PSEUDO : NAME.OTHER);
  }

  /** Adds a permanent name, unless it is known. */
  addPermanent(at: number, length: number): number {
    const found = this.find(at, length);
    if (found >= 0) return found;
    const ref = this.put(at, length, this.text.bytes[at] === 0x3a ? NAME.UNKNOWN_PSEUDO : NAME.OTHER);
    this.permanent = this.count;
    return ref;
  }

  /** Counts another value of a name. False if it has too many: then it is volatile. */
  takesValue(ref: number): boolean {
    // A date changes each second, but is the same for everything answered in that second.
    if (ref === NAME.DATE || ++this.distinct[ref] <= MAX_DISTINCT) return true;
    this.flags[ref] |= VOLATILE;
    return false;
  }

  /** Drops what was learned. */
  newEpoch(): void {
    this.count = this.permanent;
    this.heads.fill(0);
    this.coded.fill(0);
    this.distinct.fill(0);
    this.seenOnce.clear();
    // Volatile names get another chance.
    for (let ref = 0; ref < this.count; ref++) if (!VOLATILE_NAMES.includes(ref)) this.flags[ref] &= ~VOLATILE;
    for (let ref = 1; ref < this.count; ref++) if (this.length[ref] > 0) this.link(ref);
  }

  private put(at: number, length: number, known: number): number {
    const ref = this.count++;
    this.known[ref] = known;
    this.at[ref] = at;
    this.length[ref] = length;
    this.flags[ref] = 0;
    this.static[ref] = 0;
    this.hash[ref] = this.text.hash(at, length, 1);
    this.codeLength[ref] = encodedLength(this.text.bytes, at, at + length);
    this.codeAt[ref] = this.text.storeCode(at, length);
    this.link(ref);
    return ref;
  }

  private link(ref: number): void {
    const place = this.hash[ref] & (this.heads.length - 1);
    this.next[ref] = this.heads[place];
    this.heads[place] = ref + 1;
    const hash = this.text.hash(this.codeAt[ref], this.codeLength[ref], 2);
    this.coded[hash & (this.coded.length - 1)] = ref + 1;
  }
}

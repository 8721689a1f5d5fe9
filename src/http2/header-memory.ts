// What the workers' header compression remembers across all its connections, so that a field or a list of fields that was
// seen before costs a look-up: names, atoms (name and value), templates (lists of atoms), and two caches of octets
// (received blocks, blocks ready to be sent). Nothing here is needed for correctness: decoder and encoder tables own
// their state, and everything here may be forgotten at the start of any block.
//
// Bounded: when any of it is full, a new epoch begins with all of it empty. The text of the epoch before stays readable
// until the next one ends, so that a list which is at hand while another one is decoded keeps its text.
import type { FieldList } from './field-list.js';
import { NAME, NAME_TEXT, SENSITIVE_NAMES, VOLATILE_NAMES } from './field-names.js';
import { encodedLength, encodeHuffman } from './huffman.js';
import { Cursor, putInteger, readInteger } from './integer.js';
import { Facts, nameError, valueError } from './message.js';
import { LAST_STATIC, STATIC_TABLE } from './static-table.js';

export const HEADER_MEMORY_BYTES = 4 * 1024 * 1024;
const MIN_BYTES = 1024 * 1024;

/** Longest received block that is cached whole, and longest one that is kept ready to be sent. */
export const BLOCK_BYTES = 256;
export const READY_BYTES = 512;
/** For the text of one FieldList; more than the largest header list that can be configured (16128 octets). */
export const SCRATCH_BYTES = 32 * 1024;
/** Text of permanent names and of constants. */
const CONSTANT_BYTES = 32 * 1024;
/** Permanent names and atoms: the known ones, and what `constant` may add. */
const MAX_PERMANENT = 512;
/** Longer values are not interned. */
const MAX_VALUE = 4096;
/** A name with so many different values has another one every time, as far as memory is concerned. */
const MAX_DISTINCT = 256;
/** Longest chain of a hash table that is searched or grown: hashes can be made to collide. */
const MAX_CHAIN = 8;
const DOOR = 8192;
const NAME_DOOR = 1024;
/** Overhead of an entry or a field (RFC 7541 section 4.1, RFC 9113 section 6.5.2). */
export const OVERHEAD = 32;
/**
 * What a field's encoding is shorter than its size in a list, at least: at most 11 octets come on top of name and value
 * (a type octet, two lengths of at most five octets each).
 */
export const SPARE = OVERHEAD - 11;

/** Bits of `nameFlags`. */
export const VOLATILE = 1;
export const SENSITIVE = 2;

/** An interned list of fields without errors. Immutable; belongs to an epoch, and with it becomes garbage. */
export class Template {
  next: Template | null = null;
  readonly facts = new Facts();
  readonly atom: Int32Array;
  readonly ref: Int32Array;
  readonly name: Uint8Array;
  readonly nameAt: Int32Array;
  readonly nameLength: Int32Array;
  readonly valueAt: Int32Array;
  readonly valueLength: Int32Array;
  readonly never: Uint8Array;
  /** List size (RFC 9113 section 6.5.2). */
  size = 0;

  constructor(
    readonly id: number,
    readonly hash: number,
    readonly count: number,
  ) {
    this.atom = new Int32Array(count);
    this.ref = new Int32Array(count);
    this.name = new Uint8Array(count);
    this.nameAt = new Int32Array(count);
    this.nameLength = new Int32Array(count);
    this.valueAt = new Int32Array(count);
    this.valueLength = new Int32Array(count);
    this.never = new Uint8Array(count);
  }
}

const powerOfTwo = (most: number): number => 2 ** Math.floor(Math.log2(most));

/** The header memory of one worker. */
export class HeaderMemory {
  readonly view: DataView;
  /** Blocks that were found whole, and those that were not. */
  hits = 0;
  misses = 0;
  /** Literal fields whose text was found without decoding it, and those whose was not. */
  fieldHits = 0;
  fieldMisses = 0;
  /** Of the blocks that were written: templates copied, and templates encoded. */
  readyHits = 0;
  readyMisses = 0;
  epoch = 1;
  /** Something found no room: the next block begins a new epoch. */
  full = false;
  /** Ids of decoders and encoders. */
  private owners = 0;

  // Names. A reference to a known one is its NAME id; then come those of the static table, then what was learned.
  nameCount = 0;
  private permanentNames = 0;
  /** Beyond the permanent ones. */
  private readonly maxNames: number;
  readonly nameKnown: Uint8Array;
  readonly nameAt: Int32Array;
  readonly nameLength: Int32Array;
  readonly nameCodeAt: Int32Array;
  readonly nameCodeLength: Int32Array;
  /** Lowest index in the static table, or 0. */
  readonly nameStatic: Uint8Array;
  readonly nameFlags: Uint8Array;
  private readonly nameHash: Int32Array;
  private readonly nameNext: Int32Array;
  private readonly nameHeads: Int32Array;
  private readonly nameDistinct: Int32Array;
  private readonly nameDoor = new Int32Array(NAME_DOOR);
  /** By hash of the Huffman code of a name: its reference. */
  private readonly codedNames: Int32Array;
  /** References of the static table's names by index. */
  readonly staticRef = new Int32Array(LAST_STATIC + 1);
  /** Hash of the name last looked for. */
  private lastNameHash = 0;

  // Atoms. Those of the static table come first: their index less one. Then constants, then what was learned.
  atomCount = 0;
  permanentAtoms = 0;
  private readonly maxAtoms: number;
  readonly atomRef: Int32Array;
  readonly atomKnown: Uint8Array;
  readonly atomAt: Int32Array;
  readonly atomLength: Int32Array;
  readonly atomCodeAt: Int32Array;
  /** Octets of the value's Huffman code, -1 where that is longer than the text. */
  readonly atomCodeLength: Int32Array;
  readonly atomSize: Int32Array;
  readonly atomNever: Uint8Array;
  private readonly atomHash: Int32Array;
  private readonly atomNext: Int32Array;
  private readonly atomHeads: Int32Array;
  private readonly door = new Int32Array(DOOR);
  /** By hash of name and the value's Huffman code: the atom, or -1. */
  private readonly coded: Int32Array;

  // Templates.
  private templateCount = 0;
  private templateIds = 0;
  private readonly maxTemplates: number;
  private readonly templateHeads: (Template | null)[];
  private readonly templateDoor: Int32Array;

  // Received blocks, direct-mapped.
  readonly blockMask: number;
  readonly blockBase: number;
  readonly blockOwner: Int32Array;
  readonly blockVersion: Int32Array;
  readonly blockLength: Int32Array;
  readonly blockTemplate: (Template | null)[];

  // Blocks ready to be sent, direct-mapped.
  readonly readyMask: number;
  readonly readyBase: number;
  readonly readyOwner: Int32Array;
  readonly readyTemplate: Int32Array;
  readonly readyVersion: Int32Array;
  readonly readyLength: Int32Array;
  readonly readyMissed: Int32Array;

  // Text: constants, then what lists take for good, then two halves for the text of this epoch and of the one before.
  private constantAt: number;
  private readonly constantEnd: number;
  private scratchAt: number;
  private readonly scratchEnd: number;
  private readonly halves: number;
  private readonly halfBytes: number;
  private half = 0;
  private textAt: number;
  private textEnd: number;
  private readonly seed: number;
  private readonly cursor = new Cursor();

  /** Uses [at, at + length) of `bytes`, at least 1 MiB. `maxAtoms`, how many may be learned in an epoch, is for tests. */
  constructor(
    readonly bytes: Uint8Array,
    at: number,
    length: number,
    maxAtoms = Math.floor(length / 256),
  ) {
    if (length < MIN_BYTES || at < 0 || at + length > bytes.length) {
      throw new RangeError(
        `header memory needs ${MIN_BYTES} octets at least, got ${length} at ${at} of ${bytes.length}`,
      );
    }
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.seed = (Math.random() * 0x7fffffff) | 0;
    const quarter = length >>> 2;
    const eighth = length >>> 3;
    this.constantAt = at;
    this.constantEnd = at + CONSTANT_BYTES;
    this.scratchAt = this.constantEnd;
    this.scratchEnd = at + quarter;
    this.blockBase = this.scratchEnd;
    this.readyBase = this.blockBase + eighth;
    this.halves = this.readyBase + eighth;
    this.halfBytes = (at + length - this.halves) >>> 1;
    this.textAt = this.halves;
    this.textEnd = this.halves + this.halfBytes;

    const blocks = powerOfTwo(eighth / BLOCK_BYTES);
    this.blockMask = blocks - 1;
    this.blockOwner = new Int32Array(blocks);
    this.blockVersion = new Int32Array(blocks);
    this.blockLength = new Int32Array(blocks);
    this.blockTemplate = new Array<Template | null>(blocks).fill(null);
    const ready = powerOfTwo(eighth / READY_BYTES);
    this.readyMask = ready - 1;
    this.readyOwner = new Int32Array(ready);
    this.readyTemplate = new Int32Array(ready);
    this.readyVersion = new Int32Array(ready);
    this.readyLength = new Int32Array(ready);
    this.readyMissed = new Int32Array(ready);

    this.maxAtoms = maxAtoms;
    const atoms = MAX_PERMANENT + maxAtoms;
    this.atomRef = new Int32Array(atoms);
    this.atomKnown = new Uint8Array(atoms);
    this.atomAt = new Int32Array(atoms);
    this.atomLength = new Int32Array(atoms);
    this.atomCodeAt = new Int32Array(atoms);
    this.atomCodeLength = new Int32Array(atoms);
    this.atomSize = new Int32Array(atoms);
    this.atomNever = new Uint8Array(atoms);
    this.atomHash = new Int32Array(atoms);
    this.atomNext = new Int32Array(atoms);
    const buckets = 2 * powerOfTwo(atoms);
    this.atomHeads = new Int32Array(buckets).fill(-1);
    this.coded = new Int32Array(buckets).fill(-1);

    this.maxNames = Math.ceil(maxAtoms / 8);
    const names = MAX_PERMANENT + this.maxNames;
    this.nameKnown = new Uint8Array(names);
    this.nameAt = new Int32Array(names);
    this.nameLength = new Int32Array(names);
    this.nameCodeAt = new Int32Array(names);
    this.nameCodeLength = new Int32Array(names);
    this.nameStatic = new Uint8Array(names);
    this.nameFlags = new Uint8Array(names);
    this.nameHash = new Int32Array(names);
    this.nameNext = new Int32Array(names);
    this.nameDistinct = new Int32Array(names);
    const nameBuckets = 2 * powerOfTwo(names);
    this.nameHeads = new Int32Array(nameBuckets).fill(-1);
    this.codedNames = new Int32Array(nameBuckets).fill(-1);

    this.maxTemplates = Math.max(16, powerOfTwo(maxAtoms / 8));
    this.templateHeads = new Array<Template | null>(this.maxTemplates).fill(null);
    this.templateDoor = new Int32Array(this.maxTemplates);

    this.addPermanent();
  }

  /** A number for a decoder or an encoder to mark its blocks with. */
  owner(): number {
    return ++this.owners;
  }

  /** Takes room for the text of a list, for good. Throws RangeError where there is none. */
  takeScratch(): number {
    const at = this.scratchAt;
    if (at + SCRATCH_BYTES > this.scratchEnd) {
      throw new RangeError(`no header memory left for another field list (${SCRATCH_BYTES} octets each)`);
    }
    this.scratchAt = at + SCRATCH_BYTES;
    return at;
  }

  /** Registers a field at start-up; the result is for `FieldList.addConstant`. The name must be in lower case. */
  constant(name: string, value: string): number {
    // What was learned lies behind what is permanent, and makes room for more of it.
    if (this.atomCount > this.permanentAtoms || this.nameCount > this.permanentNames) this.newEpoch();
    let at = this.constantAt;
    const full = at + 5 * (name.length + value.length) > this.constantEnd;
    if (full || this.atomCount === MAX_PERMANENT || this.nameCount === MAX_PERMANENT)
      throw new RangeError('no room for another constant');
    const nameAt = at;
    at = this.putText(name, at);
    const valueAt = at;
    at = this.putText(value, at);
    this.constantAt = at;
    let ref = this.findName(nameAt, name.length);
    if (ref < 0) ref = this.addName(nameAt, name.length, name.startsWith(':') ? NAME.UNKNOWN_PSEUDO : NAME.OTHER);
    const hash = this.fieldHash(ref, valueAt, value.length, false);
    const found = this.findAtom(ref, valueAt, value.length, false, hash);
    if (found >= 0) return found;
    const atom = this.addAtom(ref, valueAt, value.length, false, hash);
    this.permanentNames = this.nameCount;
    this.permanentAtoms = this.atomCount;
    return atom;
  }

  /** Forgets what was learned. Never in the middle of a block. */
  newEpoch(): void {
    this.epoch++;
    this.full = false;
    this.half ^= 1;
    this.textAt = this.halves + this.half * this.halfBytes;
    this.textEnd = this.textAt + this.halfBytes;
    this.nameCount = this.permanentNames;
    this.atomCount = this.permanentAtoms;
    this.nameHeads.fill(-1);
    this.codedNames.fill(-1);
    this.atomHeads.fill(-1);
    this.coded.fill(-1);
    this.nameDistinct.fill(0);
    this.nameDoor.fill(0);
    this.door.fill(0);
    for (let ref = 1; ref < this.nameCount; ref++) if (this.nameLength[ref] > 0) this.linkName(ref);
    for (let atom = 0; atom < this.atomCount; atom++) this.linkAtom(atom);
    this.templateCount = 0;
    this.templateHeads.fill(null);
    this.templateDoor.fill(0);
    // Ready blocks carry the template's id, which is never used again.
    this.blockTemplate.fill(null);
  }

  /** Hash of `length` octets. The seed differs per process, so that collisions cannot be prepared elsewhere. */
  hash(at: number, length: number, seed: number): number {
    const view = this.view;
    const bytes = this.bytes;
    let h = seed ^ this.seed ^ length;
    const end = at + length;
    let p = at;
    for (; p + 4 <= end; p += 4) {
      h = Math.imul(h ^ view.getInt32(p, true), 0x9e3779b1);
      h ^= h >>> 15;
    }
    for (; p < end; p++) h = Math.imul(h ^ bytes[p], 0x01000193);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    return h ^ (h >>> 13);
  }

  equal(a: number, b: number, length: number): boolean {
    const view = this.view;
    const bytes = this.bytes;
    let i = 0;
    for (; i + 4 <= length; i += 4) if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
    for (; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
    return true;
  }

  /** Reference of a name, -1 where it is not known. */
  findName(at: number, length: number): number {
    const hash = this.hash(at, length, 1);
    this.lastNameHash = hash;
    let ref = this.nameHeads[hash & (this.nameHeads.length - 1)];
    for (let i = 0; ref >= 0 && i < MAX_CHAIN; i++) {
      if (this.nameHash[ref] === hash && this.nameLength[ref] === length && this.equal(this.nameAt[ref], at, length)) {
        return ref;
      }
      ref = this.nameNext[ref];
    }
    return -1;
  }

  /** As `findName`, but learns a name at its second sight. */
  internName(at: number, length: number): number {
    const found = this.findName(at, length);
    if (found >= 0) return found;
    const hash = this.lastNameHash;
    const place = hash & (NAME_DOOR - 1);
    if (this.nameDoor[place] !== hash) {
      this.nameDoor[place] = hash;
      return -1;
    }
    if (length > MAX_VALUE || nameError(this.bytes, at, length) !== 0) return -1;
    if (this.chainLength(this.nameHeads, this.nameNext, hash) >= MAX_CHAIN) return -1;
    const codeLength = encodedLength(this.bytes, at, at + length);
    if (this.nameCount - this.permanentNames === this.maxNames || this.textAt + length + codeLength > this.textEnd) {
      this.full = true;
      return -1;
    }
    const text = this.textAt;
    this.bytes.copyWithin(text, at, at + length);
    this.textAt += length;
    return this.addName(text, length, this.bytes[at] === 0x3a ? NAME.UNKNOWN_PSEUDO : NAME.OTHER);
  }

  /** Reference of the name that has this Huffman code, -1 where it is not at hand. */
  findCodedName(at: number, length: number): number {
    const hash = this.hash(at, length, 2);
    const ref = this.codedNames[hash & (this.codedNames.length - 1)];
    if (ref < 0 || this.nameCodeLength[ref] !== length || !this.equal(this.nameCodeAt[ref], at, length)) return -1;
    return ref;
  }

  /** Atom of a name and the Huffman code of a value, -1 where it is not at hand. */
  findCoded(ref: number, at: number, length: number, never: boolean): number {
    const hash = this.codeHash(ref, at, length, never);
    const atom = this.coded[hash & (this.coded.length - 1)];
    if (atom < 0 || this.atomRef[atom] !== ref || this.atomCodeLength[atom] !== length) return -1;
    if (this.atomNever[atom] !== (never ? 1 : 0) || !this.equal(this.atomCodeAt[atom], at, length)) return -1;
    return atom;
  }

  /** Atom of a name and a value's text; learned at the second sight. -1 where there is none. */
  internAtom(ref: number, at: number, length: number, never: boolean): number {
    if ((this.nameFlags[ref] & VOLATILE) !== 0 || length > MAX_VALUE) return -1;
    const hash = this.fieldHash(ref, at, length, never);
    const found = this.findAtom(ref, at, length, never, hash);
    if (found >= 0) {
      // It may have been pushed out of its place by another one.
      if (this.atomCodeLength[found] >= 0) this.linkCode(found);
      return found;
    }
    const place = hash & (DOOR - 1);
    if (this.door[place] !== hash) {
      this.door[place] = hash;
      return -1;
    }
    if (valueError(this.bytes, at, length) !== 0) return -1;
    if (this.chainLength(this.atomHeads, this.atomNext, hash) >= MAX_CHAIN) return -1;
    // A date is another one each second, and the same for all that is answered in it.
    if (ref !== NAME.DATE && ++this.nameDistinct[ref] > MAX_DISTINCT) {
      this.nameFlags[ref] |= VOLATILE;
      return -1;
    }
    const codeLength = encodedLength(this.bytes, at, at + length);
    if (this.atomCount - this.permanentAtoms === this.maxAtoms || this.textAt + length + codeLength > this.textEnd) {
      this.full = true;
      return -1;
    }
    const text = this.textAt;
    this.bytes.copyWithin(text, at, at + length);
    this.textAt += length;
    return this.addAtom(ref, text, length, never, hash);
  }

  /** Notes the first sight of a field whose name was just looked for in vain. */
  noteField(at: number, length: number, never: boolean): void {
    if (length > MAX_VALUE) return;
    const hash = this.mixedHash(this.lastNameHash, at, length, never);
    this.door[hash & (DOOR - 1)] = hash;
  }

  /** The template of the list's `count` atoms with this hash; learned at the second sight. Null where there is none. */
  internTemplate(list: FieldList, hash: number, count: number): Template | null {
    const heads = this.templateHeads;
    const place = hash & (heads.length - 1);
    let chain = 0;
    for (let t = heads[place]; t !== null; t = t.next) {
      if (t.hash === hash && t.count === count && this.sameAtoms(list, t)) return t;
      chain++;
    }
    if (this.templateDoor[place] !== hash) {
      this.templateDoor[place] = hash;
      return null;
    }
    if (chain >= MAX_CHAIN) return null;
    if (this.templateCount === this.maxTemplates) {
      this.full = true;
      return null;
    }
    const template = this.makeTemplate(list, hash, count);
    if (template.facts.error !== 0) return null;
    this.templateCount++;
    template.next = heads[place];
    heads[place] = template;
    return template;
  }

  /**
   * Writes a list to [at, limit) in a form that needs no table: literals, and what the static table has. Returns the
   * position after it, or -1 where it does not fit.
   */
  save(list: FieldList, at: number, limit: number): number {
    const template = list.template;
    if (at + list.bound > limit) return -1;
    let p = at;
    let i = 0;
    const current = list.epoch === this.epoch;
    const { name, nameAt, nameLength, valueAt, valueLength, never, atom } = list;
    if (template !== null) {
      for (; i < list.count && name[i] !== NAME.OTHER && name[i] <= NAME.UNKNOWN_PSEUDO; i++) {
        p = this.saveField(
          p,
          -1,
          current ? list.ref[i] : -1,
          nameAt[i],
          nameLength[i],
          valueAt[i],
          valueLength[i],
          never[i],
        );
      }
      for (let k = 0; k < template.count; k++) {
        const ref = current ? template.ref[k] : -1;
        const { nameAt, nameLength, valueAt, valueLength, never } = template;
        p = this.saveField(p, template.atom[k], ref, nameAt[k], nameLength[k], valueAt[k], valueLength[k], never[k]);
      }
    }
    for (; i < list.count; i++) {
      const ref = current ? list.ref[i] : -1;
      p = this.saveField(p, atom[i], ref, nameAt[i], nameLength[i], valueAt[i], valueLength[i], never[i]);
    }
    return p;
  }

  /** Reads what `save` wrote. The list's text is that of [at, end), which must stay. Throws if it is something else. */
  restore(at: number, end: number, list: FieldList): void {
    const { bytes, cursor } = this;
    list.clear();
    let p = at;
    while (p < end) {
      const first = bytes[p++];
      if (first >= 0x80) {
        list.addConstant((first & 0x7f) - 1);
        continue;
      }
      let index = first & 15;
      if (index === 15) index = this.savedInteger(p, end, 15);
      else cursor.at = p;
      p = cursor.at;
      let nameAt = 0;
      let nameLength = 0;
      if (index === 0) {
        nameLength = this.savedLength(p, end);
        nameAt = cursor.at;
        p = nameAt + nameLength;
      }
      const valueLength = this.savedLength(p, end);
      const valueAt = cursor.at;
      p = valueAt + valueLength;
      const never = (first & 0x10) !== 0;
      if (index === 0) list.add(nameAt, nameLength, valueAt, valueLength, never);
      else list.addNamed(this.staticRef[index], valueAt, valueLength, never);
    }
    list.finish();
  }

  private saveField(
    at: number,
    atom: number,
    ref: number,
    nameAt: number,
    nameLength: number,
    valueAt: number,
    valueLength: number,
    never: number,
  ): number {
    const bytes = this.bytes;
    if (atom >= 0 && atom < LAST_STATIC) {
      bytes[at] = 0x80 | (atom + 1);
      return at + 1;
    }
    const first = never !== 0 ? 0x10 : 0;
    const index = ref >= 0 ? this.nameStatic[ref] : 0;
    let p = putInteger(bytes, at, first, 4, index);
    if (index === 0) p = this.putPlain(nameAt, nameLength, p);
    return this.putPlain(valueAt, valueLength, p);
  }

  /** Writes [at, at + length) as a string literal without Huffman coding to `to`; returns the position after it. */
  putPlain(at: number, length: number, to: number): number {
    const bytes = this.bytes;
    const p = putInteger(bytes, to, 0, 7, length);
    if (length < 16) for (let i = 0; i < length; i++) bytes[p + i] = bytes[at + i];
    else bytes.copyWithin(p, at, at + length);
    return p + length;
  }

  /** As `putPlain`, for `length` octets of Huffman code. */
  putCode(at: number, length: number, to: number): number {
    const bytes = this.bytes;
    const p = putInteger(bytes, to, 0x80, 7, length);
    if (length < 16) for (let i = 0; i < length; i++) bytes[p + i] = bytes[at + i];
    else bytes.copyWithin(p, at, at + length);
    return p + length;
  }

  private savedInteger(at: number, end: number, prefix: number): number {
    this.cursor.at = at;
    if (!readInteger(this.bytes, end, prefix, this.cursor)) throw new Error('no saved header list');
    return this.cursor.value;
  }

  private savedLength(at: number, end: number): number {
    let length = at < end ? this.bytes[at] : 0x80;
    if (length >= 0x80) throw new Error('no saved header list');
    if (length === 0x7f) length = this.savedInteger(at + 1, end, 0x7f);
    else this.cursor.at = at + 1;
    if (this.cursor.at + length > end) throw new Error('no saved header list');
    return length;
  }

  private addPermanent(): void {
    for (let known = 0; known < NAME_TEXT.length; known++) {
      const text = NAME_TEXT[known];
      const at = this.constantAt;
      this.constantAt = this.putText(text, at);
      if (text.length > 0) this.addName(at, text.length, known);
      else this.nameCount++;
    }
    for (const known of VOLATILE_NAMES) this.nameFlags[known] |= VOLATILE;
    for (const known of SENSITIVE_NAMES) this.nameFlags[known] |= SENSITIVE;
    for (let index = 1; index <= LAST_STATIC; index++) {
      const [name, value] = STATIC_TABLE[index - 1];
      const nameAt = this.constantAt;
      const valueAt = this.putText(name, nameAt);
      this.constantAt = this.putText(value, valueAt);
      let ref = this.findName(nameAt, name.length);
      if (ref < 0) ref = this.addName(nameAt, name.length, NAME.OTHER);
      if (this.nameStatic[ref] === 0) this.nameStatic[ref] = index;
      this.staticRef[index] = ref;
      this.addAtom(ref, valueAt, value.length, false, this.fieldHash(ref, valueAt, value.length, false));
    }
    this.permanentNames = this.nameCount;
    this.permanentAtoms = this.atomCount;
  }

  private putText(text: string, at: number): number {
    for (let i = 0; i < text.length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return at + text.length;
  }

  /** Room for the Huffman code of what was just added: behind constants at start-up, in the epoch's text later. */
  private takeCode(at: number, length: number): number {
    const permanent = at < this.constantEnd && at >= this.constantEnd - CONSTANT_BYTES;
    const code = permanent ? this.constantAt : this.textAt;
    const end = encodeHuffman(this.bytes, at, at + length, this.bytes, code);
    if (permanent) this.constantAt = end;
    else this.textAt = end;
    return code;
  }

  private addName(at: number, length: number, known: number): number {
    const ref = this.nameCount++;
    this.nameKnown[ref] = known;
    this.nameAt[ref] = at;
    this.nameLength[ref] = length;
    this.nameFlags[ref] = 0;
    this.nameStatic[ref] = 0;
    this.nameHash[ref] = this.hash(at, length, 1);
    this.nameCodeLength[ref] = encodedLength(this.bytes, at, at + length);
    this.nameCodeAt[ref] = this.takeCode(at, length);
    this.linkName(ref);
    return ref;
  }

  private addAtom(ref: number, at: number, length: number, never: boolean, hash: number): number {
    const atom = this.atomCount++;
    this.atomRef[atom] = ref;
    this.atomKnown[atom] = this.nameKnown[ref];
    this.atomAt[atom] = at;
    this.atomLength[atom] = length;
    this.atomSize[atom] = OVERHEAD + this.nameLength[ref] + length;
    this.atomNever[atom] = never ? 1 : 0;
    this.atomHash[atom] = hash;
    const codeLength = encodedLength(this.bytes, at, at + length);
    this.atomCodeLength[atom] = codeLength <= length ? codeLength : -1;
    if (codeLength <= length) this.atomCodeAt[atom] = this.takeCode(at, length);
    this.linkAtom(atom);
    return atom;
  }

  private linkName(ref: number): void {
    const place = this.nameHash[ref] & (this.nameHeads.length - 1);
    this.nameNext[ref] = this.nameHeads[place];
    this.nameHeads[place] = ref;
    const hash = this.hash(this.nameCodeAt[ref], this.nameCodeLength[ref], 2);
    this.codedNames[hash & (this.codedNames.length - 1)] = ref;
  }

  private linkAtom(atom: number): void {
    const place = this.atomHash[atom] & (this.atomHeads.length - 1);
    this.atomNext[atom] = this.atomHeads[place];
    this.atomHeads[place] = atom;
    if (this.atomCodeLength[atom] >= 0) this.linkCode(atom);
  }

  private linkCode(atom: number): void {
    const never = this.atomNever[atom] !== 0;
    const hash = this.codeHash(this.atomRef[atom], this.atomCodeAt[atom], this.atomCodeLength[atom], never);
    this.coded[hash & (this.coded.length - 1)] = atom;
  }

  private codeHash(ref: number, at: number, length: number, never: boolean): number {
    return this.hash(at, length, Math.imul(ref + 1, 0x2545f491) ^ (never ? 3 : 4));
  }

  private fieldHash(ref: number, at: number, length: number, never: boolean): number {
    return this.mixedHash(this.nameHash[ref], at, length, never);
  }

  private mixedHash(nameHash: number, at: number, length: number, never: boolean): number {
    return this.hash(at, length, Math.imul(nameHash, 0x2545f491) ^ (never ? 5 : 6));
  }

  private findAtom(ref: number, at: number, length: number, never: boolean, hash: number): number {
    let atom = this.atomHeads[hash & (this.atomHeads.length - 1)];
    const mark = never ? 1 : 0;
    for (let i = 0; atom >= 0 && i < MAX_CHAIN; i++) {
      if (
        this.atomHash[atom] === hash &&
        this.atomRef[atom] === ref &&
        this.atomLength[atom] === length &&
        this.atomNever[atom] === mark &&
        this.equal(this.atomAt[atom], at, length)
      ) {
        return atom;
      }
      atom = this.atomNext[atom];
    }
    return -1;
  }

  private chainLength(heads: Int32Array, next: Int32Array, hash: number): number {
    let length = 0;
    for (let i = heads[hash & (heads.length - 1)]; i >= 0; i = next[i]) length++;
    return length;
  }

  private sameAtoms(list: FieldList, template: Template): boolean {
    const atoms = list.atom;
    const wanted = template.atom;
    let k = 0;
    for (let i = 0; k < wanted.length; i++) {
      const atom = atoms[i];
      if (atom < 0) continue;
      if (atom !== wanted[k]) return false;
      k++;
    }
    return true;
  }

  private makeTemplate(list: FieldList, hash: number, count: number): Template {
    const template = new Template(++this.templateIds, hash, count);
    let k = 0;
    for (let i = 0; k < count; i++) {
      const atom = list.atom[i];
      if (atom < 0) continue;
      const ref = this.atomRef[atom];
      template.atom[k] = atom;
      template.ref[k] = ref;
      template.name[k] = this.atomKnown[atom];
      template.nameAt[k] = this.nameAt[ref];
      template.nameLength[k] = this.nameLength[ref];
      template.valueAt[k] = this.atomAt[atom];
      template.valueLength[k] = this.atomLength[atom];
      template.never[k] = this.atomNever[atom];
      template.size += this.atomSize[atom];
      template.facts.add(this.bytes, template.name[k], template.valueAt[k], template.valueLength[k]);
      k++;
    }
    template.facts.close(this.bytes);
    return template;
  }
}

// The shared memory of a worker's header compression across all its connections, so that a known field or list of fields costs one look-up:
// names, atoms (name and value), templates (lists of atoms), and two caches of bytes (received blocks, blocks ready to send). Nothing here
// is needed for correctness: decoder and encoder tables own their state, and everything here may be dropped at the start of any block.
//
// Bounded: when any of it is full, a new epoch begins with all of it empty. learning-budget.ts limits how often that can happen.

import { LAST_STATIC, STATIC_TABLE } from '../static-table.js';
import { AtomTable } from './atom-table.js';
import { ReadyBlocks, ReceivedBlocks } from './block-cache.js';
import { powerOfTwo } from './hash-chains.js';
import { HeaderText, MAX_PERMANENT } from './header-text.js';
import { LearningBudget } from './learning-budget.js';
import { NameTable } from './name-table.js';
import { TemplateTable } from './template.js';

export const HEADER_MEMORY_BYTES = 4 * 1024 * 1024;
const MIN_BYTES = 1024 * 1024;
/** Shares of the region: an eighth for each cache of blocks, a quarter for constants and scratch, the rest for text. */
const CACHE_PART = 8;
const OCTETS_PER_ATOM = 256;
/** Names and templates are fewer than atoms. */
const ATOMS_PER_TEMPLATE = 8;
const MIN_TEMPLATES = 16;

/** The header memory of one worker. */
export class HeaderMemory {
  /** Blocks found whole, and others. */
  hits = 0;
  misses = 0;
  /** Literal fields found without decoding them, and others. */
  fieldHits = 0;
  fieldMisses = 0;
  /** Written blocks: templates copied, and templates encoded. */
  readyHits = 0;
  readyMisses = 0;
  epoch = 1;
  readonly text: HeaderText;
  readonly learning: LearningBudget;
  readonly names: NameTable;
  readonly atoms: AtomTable;
  readonly templates: TemplateTable;
  readonly received: ReceivedBlocks;
  readonly ready: ReadyBlocks;
  /** Ids of decoders and encoders. */
  private owners = 0;

  /** Uses [at, at + length) of `bytes`, at least 1 MiB. `maxAtoms`, the maximum learned per epoch, is for tests. */
  constructor(
    readonly bytes: Uint8Array,
    at: number,
    length: number,
    maxAtoms = Math.floor(length / OCTETS_PER_ATOM),
  ) {
    if (length < MIN_BYTES || at < 0 || at + length > bytes.length) {
      throw new RangeError(
        `header memory needs ${MIN_BYTES} octets at least, got ${length} at ${at} of ${bytes.length}`,
      );
    }
    const cache = Math.floor(length / CACHE_PART);
    const receivedAt = at + 2 * cache;
    const readyAt = receivedAt + cache;
    const halvesAt = readyAt + cache;
    const room = (at + length - halvesAt) >>> 1;
    const few = Math.max(MIN_TEMPLATES, powerOfTwo(maxAtoms / ATOMS_PER_TEMPLATE));
    this.text = new HeaderText(bytes, at, receivedAt, halvesAt, room);
    this.learning = new LearningBudget(room, Math.floor(room / few));
    this.names = new NameTable(this.text, this.learning, few, room);
    this.atoms = new AtomTable(this.text, this.names, this.learning, maxAtoms, room);
    this.templates = new TemplateTable(bytes, this.names, this.atoms, this.learning, few, room);
    this.received = new ReceivedBlocks(this.text, receivedAt, cache);
    this.ready = new ReadyBlocks(bytes, this.text.view, readyAt, cache);
    this.addStaticTable();
  }

  /** A number with which a decoder or an encoder marks its blocks. */
  owner(): number {
    return ++this.owners;
  }

  /** Registers a field at startup; the result is for `FieldList.addConstant`. The name must be in lower case. */
  constant(name: string, value: string): number {
    const { text, names, atoms } = this;
    // Learned entries follow the permanent ones, and are dropped to make room for more of those.
    if (atoms.count > atoms.permanent || names.count > names.permanent) this.newEpoch();
    const full = !text.hasConstantRoom(5 * (name.length + value.length));
    if (full || atoms.count === MAX_PERMANENT || names.count === MAX_PERMANENT) {
      throw new RangeError('no room for another constant');
    }
    const nameAt = text.addConstant(name);
    const valueAt = text.addConstant(value);
    return atoms.addPermanent(names.addPermanent(nameAt, name.length), valueAt, value.length);
  }

  /** Drops what was learned. Never in the middle of a block. */
  newEpoch(): void {
    this.epoch++;
    this.learning.full = false;
    this.text.switchHalf();
    this.names.newEpoch();
    this.atoms.newEpoch();
    this.templates.newEpoch();
    this.received.newEpoch();
  }

  /** Forgets the blocks of all connections. `unused` is told where their octets were. */
  forgetBlocks(unused: (at: number, length: number) => void): void {
    this.received.forget(unused);
    this.ready.forget(unused);
  }

  private addStaticTable(): void {
    const { text, names, atoms } = this;
    for (let index = 1; index <= LAST_STATIC; index++) {
      const [name, value] = STATIC_TABLE[index - 1];
      const nameAt = text.addConstant(name);
      const valueAt = text.addConstant(value);
      const ref = names.addPermanent(nameAt, name.length);
      if (names.static[ref] === 0) names.static[ref] = index;
      names.staticRef[index] = ref;
      atoms.addPermanent(ref, valueAt, value.length);
    }
  }
}

// Templates: lists of fields that came more than once, with everything that the checks found out about them.

import { Facts } from '../../http/facts.js';
import type { AtomTable } from './atom-table.js';
import { MAX_CHAIN } from './hash-chains.js';
import type { LearningBudget } from './learning-budget.js';
import type { NameTable } from './name-table.js';
import { SeenFilter } from './seen-filter.js';

/** An interned list of fields without errors. Immutable; belongs to an epoch, and becomes garbage with it. */
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
  readonly neverIndexed: Uint8Array;
  /** List size (RFC 9113 section 6.5.2). */
  size = 0;
  /** Whether a field has a mesh name: 1 or 0, -1 before it was checked. */
  meshNames = -1;
  /** Whether there is a trace field: 1 or 0, -1 before it was checked. */
  traceNames = -1;

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
    this.neverIndexed = new Uint8Array(count);
  }
}

/** The templates of a header memory. */
export class TemplateTable {
  private count = 0;
  /** One always exists: V8 discards code compiled for templates once it has collected the last of them. */
  readonly shapeAnchor = new Template(0, 0, 0);
  /** Never reset: what was cached for a template of an earlier epoch must not match another one. */
  private ids = 0;
  /** Room that a template takes in the table, in the units of Learning. */
  private readonly cost: number;
  private readonly heads: (Template | null)[];
  private readonly seenOnce: SeenFilter;

  /** `max`, a power of two, is how many may be learned in an epoch; `room` is what an epoch can learn. */
  constructor(
    private readonly bytes: Uint8Array,
    private readonly names: NameTable,
    private readonly atoms: AtomTable,
    private readonly learning: LearningBudget,
    private readonly max: number,
    room: number,
  ) {
    this.cost = Math.floor(room / max);
    this.heads = new Array<Template | null>(max).fill(null);
    this.seenOnce = new SeenFilter(max);
  }

  /**
   * The template for the `count` atoms in `column` (a list's atoms; -1: a field without one), whose hash is `hash`. Learned at the second
   * sight; null if there is none.
   */
  intern(column: Int32Array, hash: number, count: number): Template | null {
    const { heads, learning } = this;
    const place = hash & (heads.length - 1);
    let chain = 0;
    for (let t = heads[place]; t !== null; t = t.next) {
      if (t.hash === hash && t.count === count && sameAtoms(column, t)) return t;
      chain++;
    }
    if (!this.seenOnce.seenBefore(hash)) return null;
    if (chain >= MAX_CHAIN || !learning.canSpend(this.cost)) return null;
    if (this.count === this.max) {
      learning.full = true;
      return null;
    }
    // A malformed list is charged too: building it for nothing costs as much.
    learning.spend(this.cost);
    const template = this.make(column, hash, count);
    if (template.facts.error !== 0) return null;
    this.count++;
    template.next = heads[place];
    heads[place] = template;
    return template;
  }

  /** Drops what was learned. */
  newEpoch(): void {
    this.count = 0;
    this.heads.fill(null);
    this.seenOnce.clear();
  }

  private make(column: Int32Array, hash: number, count: number): Template {
    const { names, atoms } = this;
    const template = new Template(++this.ids, hash, count);
    let k = 0;
    for (let i = 0; k < count; i++) {
      const atom = column[i];
      if (atom < 0) continue;
      const ref = atoms.ref[atom];
      template.atom[k] = atom;
      template.ref[k] = ref;
      template.name[k] = atoms.known[atom];
      template.nameAt[k] = names.at[ref];
      template.nameLength[k] = names.length[ref];
      template.valueAt[k] = atoms.at[atom];
      template.valueLength[k] = atoms.length[atom];
      template.neverIndexed[k] = atoms.neverIndexed[atom];
      template.size += atoms.size[atom];
      template.facts.add(this.bytes, template.name[k], template.valueAt[k], template.valueLength[k]);
      k++;
    }
    template.facts.close(this.bytes);
    return template;
  }
}

function sameAtoms(column: Int32Array, template: Template): boolean {
  const wanted = template.atom;
  let k = 0;
  for (let i = 0; k < wanted.length; i++) {
    const atom = column[i];
    if (atom < 0) continue;
    if (atom !== wanted[k]) return false;
    k++;
  }
  return true;
}

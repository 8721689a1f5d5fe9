// The slots of one kind (listeners, services or endpoints) as the main thread sees them: names, totals, histograms.
import type { HistogramData, SnapshotHolders } from './histogram.js';
import { HistogramTotal } from './histogram.js';
import { HISTOGRAM_SLOTS, SUMS_AT } from './layout.js';
import type { SlotTableOptions } from './slots.js';
import { SlotTable } from './slots.js';

/** A worker's memory. */
export interface WorkerView {
  readonly values: Float64Array;
  readonly counts: Uint32Array;
}

/** Where the layout keeps slots of one kind. */
export interface SlotKind {
  /** Slots assigned by the table, including slot 0. */
  readonly capacity: number;
  /** Further slots, named without being assigned. */
  readonly extra: number;
  /** Fields of a slot. */
  readonly size: number;
  /** Fields that end with their worker. */
  readonly gauges: readonly number[];
  /** Fields that are not 0 while a worker uses the slot. */
  readonly busy: readonly number[];
  readonly histograms: number;
  baseOf(slot: number): number;
  histogramOf(slot: number, index: number): number;
}

/** Adds what a worker recorded in histogram number `histogram` since the last time. */
export function collect(total: HistogramTotal, view: WorkerView, histogram: number): void {
  const from = histogram * HISTOGRAM_SLOTS;
  total.collect(view, view.counts.subarray(from, from + HISTOGRAM_SLOTS), view.values[SUMS_AT + histogram]);
}

export class SlotGroup<Info> {
  readonly table: SlotTable;
  readonly #kind: SlotKind;
  readonly #views: ReadonlySet<WorkerView>;
  readonly #infos = new Map<number, Info>();
  /** Counters of workers that ended. */
  readonly #retired = new Map<number, Float64Array>();
  readonly #totals = new Map<number, readonly HistogramTotal[]>();

  /** `views` are the live workers; `overflow` is the name of slot 0. */
  constructor(
    kind: SlotKind,
    views: ReadonlySet<WorkerView>,
    overflow: Info,
    options: Pick<SlotTableOptions, 'now' | 'retainMs' | 'reuseMs'>,
    private readonly holders: Readonly<SnapshotHolders>,
  ) {
    this.#kind = kind;
    this.#views = views;
    this.#infos.set(0, overflow);
    this.table = new SlotTable(kind.capacity, {
      ...options,
      isQuiet: (slot) => this.isQuiet(slot),
      clear: (slot) => this.#clear(slot),
    });
  }

  /** Names a slot. Slot 0 keeps its name. */
  name(slot: number, info: Info): void {
    const slots = this.#kind.capacity + this.#kind.extra;
    if (!Number.isInteger(slot) || slot < 0 || slot >= slots) {
      throw new RangeError(`slot ${slot} is outside of the metrics table of ${slots}`);
    }
    if (slot !== 0) this.#infos.set(slot, info);
  }

  /** The name of a slot, if it has one. */
  infoOf(slot: number): Info | undefined {
    return this.#infos.get(slot);
  }

  named(): IterableIterator<[number, Info]> {
    return this.#infos.entries();
  }

  /** Whether the slot's key is current. */
  isHeld(slot: number): boolean {
    return slot > 0 && slot < this.#kind.capacity && !this.table.isReleased(slot);
  }

  /** The slot's fields, summed over workers and their predecessors. */
  sum(slot: number): Float64Array {
    const { size } = this.#kind;
    const sums = this.#retired.get(slot)?.slice() ?? new Float64Array(size);
    const base = this.#kind.baseOf(slot);
    for (const { values } of this.#views) {
      for (let field = 0; field < size; field++) sums[field] += values[base + field];
    }
    return sums;
  }

  /** The slot's histograms, summed likewise. */
  histograms(slot: number): (HistogramData | null)[] {
    return this.#collect(slot).map((total) => total.data());
  }

  /** Whether no worker has anything open on it. */
  isQuiet(slot: number): boolean {
    const base = this.#kind.baseOf(slot);
    for (const { values } of this.#views) if (this.#kind.busy.some((field) => values[base + field] !== 0)) return false;
    return true;
  }

  /** Keeps the counts of a worker that ends. Call it while the worker is still among the views. */
  retire(view: WorkerView): void {
    const { size } = this.#kind;
    for (const slot of this.#infos.keys()) {
      for (const total of this.#collect(slot)) total.forget(view);
      const retired = this.#retired.get(slot) ?? new Float64Array(size);
      const base = this.#kind.baseOf(slot);
      for (let field = 0; field < size; field++) retired[field] += view.values[base + field];
      for (const field of this.#kind.gauges) retired[field] = 0;
      this.#retired.set(slot, retired);
    }
  }

  #collect(slot: number): readonly HistogramTotal[] {
    let totals = this.#totals.get(slot);
    if (totals === undefined) {
      totals = Array.from({ length: this.#kind.histograms }, () => new HistogramTotal(this.holders));
      this.#totals.set(slot, totals);
    }
    totals.forEach((total, index) => {
      for (const view of this.#views) collect(total, view, this.#kind.histogramOf(slot, index));
    });
    return totals;
  }

  #clear(slot: number): void {
    const base = this.#kind.baseOf(slot);
    for (const { values, counts } of this.#views) {
      values.fill(0, base, base + this.#kind.size);
      for (let index = 0; index < this.#kind.histograms; index++) {
        const histogram = this.#kind.histogramOf(slot, index);
        values[SUMS_AT + histogram] = 0;
        counts.fill(0, histogram * HISTOGRAM_SLOTS, (histogram + 1) * HISTOGRAM_SLOTS);
      }
    }
    this.#infos.delete(slot);
    this.#retired.delete(slot);
    this.#totals.delete(slot);
  }
}

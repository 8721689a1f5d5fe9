// The reader's side of a histogram: totals over workers, and buckets for Prometheus.
import { HISTOGRAM, HISTOGRAM_SLOTS } from './layout.js';
import { slotOf } from './shared.js';

/** How many read snapshots over several turns now. As long as there are any, what a snapshot holds stays as it was. */
export interface SnapshotHolders {
  count: number;
}

/** A histogram's content. Values are microseconds. */
export interface HistogramData {
  /** Recordings per slot, HISTOGRAM_SLOTS of them. Not a copy: unless somebody holds snapshots they go on with the next one, so copy what you keep. */
  readonly counts: Float64Array;
  /** Recordings: the sum of `counts`. */
  readonly count: number;
  /** Sum of the recorded values, µs. */
  readonly sum: number;
  /** Whose content it is: the same object in each snapshot, whether `counts` had to be copied or not. */
  readonly of: object;
}

/** Smallest value in `slot`, µs. */
export function lowestOf(slot: number): number {
  if (slot < 256) return slot;
  const doublings = (slot >>> 7) - 1;
  return ((slot & 127) + 128) * 2 ** doublings;
}

/** Sum of `counts`. */
export function countOf(counts: Float64Array): number {
  let count = 0;
  for (let slot = 0; slot < counts.length; slot++) count += counts[slot];
  return count;
}

/**
 * Cumulative counts at the bounds (ascending, in units of `unit` µs). A recording in the slot of a bound counts as within it, which is
 * exact for values at the bound and at most 0.8 % off above it.
 */
export function bucketsOf(counts: Float64Array, bounds: readonly number[], unit: number): number[] {
  let slot = 0;
  let count = 0;
  return bounds.map((bound) => {
    const last = slotOf(Math.min(bound * unit, HISTOGRAM.highest));
    for (; slot <= last; slot++) count += counts[slot];
    return count;
  });
}

/** Recordings between two moments; all of `current` if there is no `previous` or it was reset in between. */
export function intervalOf(previous: Float64Array | null, current: Float64Array): Float64Array {
  if (previous === null) return current;
  const difference = new Float64Array(current.length);
  for (let slot = 0; slot < current.length; slot++) {
    difference[slot] = current[slot] - previous[slot];
    if (difference[slot] < 0) return current;
  }
  return difference;
}

interface Seen {
  readonly counts: Uint32Array;
  sum: number;
}

/**
 * One histogram summed over workers and time. The workers' counts are 32 bits wide and wrap; each collection adds what is new since the
 * last one, so totals neither wrap nor end with a worker.
 */
export class HistogramTotal {
  /** Created with the first recording: most endpoints never have one, and each takes 25 KB. */
  #counts: Float64Array | null = null;
  readonly #seen = new Map<object, Seen>();
  #count = 0;
  #sum = 0;
  /** What was given out last, while nothing has been added since. */
  #given: { counts: Float64Array; readonly count: number; readonly sum: number; readonly of: object } | null = null;

  constructor(private readonly holders: Readonly<SnapshotHolders> = { count: 0 }) {}

  /** Adds what `worker` (its identity) recorded since the last time, given its current counts and their sum. */
  collect(worker: object, counts: Uint32Array, sum: number): void {
    let seen = this.#seen.get(worker);
    if (seen === undefined) {
      // Recordings of 0 alone do not change the sum, but appear in the first slot.
      if (sum === 0 && counts[0] === 0) return;
      seen = { counts: new Uint32Array(HISTOGRAM_SLOTS), sum: 0 };
      this.#seen.set(worker, seen);
    } else if (sum === seen.sum && counts[0] === seen.counts[0]) return;
    const before = seen.counts;
    this.#counts ??= new Float64Array(HISTOGRAM_SLOTS);
    this.#leave();
    const totals = this.#counts;
    // No single recording is larger than the growth of the sum. The worker counts before it sums: a recording seen without its share of the
    // sum is found next time.
    const last = slotOf(Math.min(sum - seen.sum, HISTOGRAM.highest));
    let added = 0;
    for (let slot = 0; slot <= last; slot++) {
      const now = counts[slot];
      const then = before[slot];
      if (now === then) continue;
      const more = (now - then) >>> 0;
      before[slot] = now;
      totals[slot] += more;
      added += more;
    }
    this.#count += added;
    this.#sum += sum - seen.sum;
    seen.sum = sum;
  }

  /** Forgets a worker; its recordings stay counted. */
  forget(worker: object): void {
    this.#seen.delete(worker);
  }

  /** The totals; null if nothing was ever recorded. */
  data(): HistogramData | null {
    if (this.#counts === null || this.#count === 0) return null;
    this.#given ??= { counts: this.#counts, count: this.#count, sum: this.#sum, of: this };
    return this.#given;
  }

  /** Before something is added: what was given out stays as it was for those who hold it. */
  #leave(): void {
    if (this.#given !== null && this.holders.count > 0) this.#given.counts = this.#given.counts.slice();
    this.#given = null;
  }
}

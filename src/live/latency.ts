// Latencies between two samples. A snapshot's histograms are not copies, so the earlier sample's counts are kept here, in little space: only
// non-empty slots, shared with the previous sample if nothing has changed.
import type { HistogramData } from '../metrics/histogram.js';
import { lowestOf } from '../metrics/histogram.js';
import { HISTOGRAM_SLOTS } from '../metrics/layout.js';
import type { Steps } from '../metrics/steps.js';
import { BUCKET_SHIFT } from './buckets.js';
import type { LiveLatency } from './state.js';

interface Kept {
  readonly count: number;
  /** Counts of the slots from `from` on. */
  readonly from: number;
  readonly counts: Float64Array;
}

/** The histograms' content at the time of a sample, by histogram. */
export type KeptHistograms = ReadonlyMap<object, Kept>;

export function* keepHistograms(
  all: Iterable<HistogramData | null>,
  before: KeptHistograms | null,
): Steps<KeptHistograms> {
  const kept = new Map<object, Kept>();
  for (const data of all) {
    if (data === null) continue;
    const { counts, count, of } = data;
    const same = before?.get(of);
    if (same?.count === count) {
      kept.set(of, same);
      continue;
    }
    let from = 0;
    while (counts[from] === 0) from++;
    let to = counts.length;
    while (counts[to - 1] === 0) to--;
    kept.set(of, { count, from, counts: counts.slice(from, to) });
    yield;
  }
  return kept;
}

/** The reported quantiles, in this order. */
const QUANTILES = [0.5, 0.95, 0.99, 0.999, 1] as const;

/** Counts by slot. One object can serve many histograms in turn: only the slots between `from` and `to` are used. */
export class Interval {
  readonly counts = new Float64Array(HISTOGRAM_SLOTS);
  total = 0;
  private from = HISTOGRAM_SLOTS;
  private to = 0;

  clear(): void {
    if (this.to > this.from) this.counts.fill(0, this.from, this.to);
    this.total = 0;
    this.from = HISTOGRAM_SLOTS;
    this.to = 0;
  }

  /** Adds what was recorded since the counts were kept. */
  add({ counts: now }: HistogramData, kept: Kept | undefined): void {
    const first = kept?.from ?? HISTOGRAM_SLOTS;
    const then = kept?.counts ?? now;
    const end = kept === undefined ? HISTOGRAM_SLOTS : first + then.length;
    for (let slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
      const count = now[slot];
      if (count === 0) continue;
      const more = slot >= first && slot < end ? count - then[slot - first] : count;
      if (more > 0) this.put(slot, more);
    }
  }

  /** Adds the counts of another one. */
  merge(other: Interval): void {
    for (let slot = other.from; slot < other.to; slot++) if (other.counts[slot] > 0) this.put(slot, other.counts[slot]);
  }

  /** The values at the given quantiles (0 to 1, ascending), in the histogram's unit, as HdrHistogram computes them. */
  quantiles(of: readonly number[]): number[] {
    let seen = 0;
    let slot = this.from;
    return of.map((share) => {
      const wanted = Math.max(1, Math.ceil(share * this.total));
      while (seen < wanted && slot < this.to) seen += this.counts[slot++];
      return lowestOf(slot) - 1;
    });
  }

  distribution(): [bucket: number, count: number][] {
    const pairs: [number, number][] = [];
    for (let slot = this.from; slot < this.to; slot++) {
      const count = this.counts[slot];
      if (count === 0) continue;
      const bucket = slot >> BUCKET_SHIFT;
      const last = pairs.at(-1);
      if (last !== undefined && last[0] === bucket) last[1] += count;
      else pairs.push([bucket, count]);
    }
    return pairs;
  }

  private put(slot: number, count: number): void {
    this.counts[slot] += count;
    this.total += count;
    if (slot < this.from) this.from = slot;
    if (slot >= this.to) this.to = slot + 1;
  }
}

export function latencyOf(interval: Interval, distribution: boolean): LiveLatency | null {
  if (interval.total === 0) return null;
  const [p50, p95, p99, p999, max] = interval.quantiles(QUANTILES).map((micros) => micros / 1000);
  const told = distribution ? { distribution: interval.distribution() } : {};
  return { count: interval.total, p50, p95, p99, p999, max, ...told };
}

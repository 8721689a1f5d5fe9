// Latencies between two moments. Histograms of a snapshot are not copies, so what is needed of the earlier moment is kept here, as short as
// may be: only the slots that have something in them, and shared with the moment before where nothing came.
import type { HistogramData } from '../metrics/histogram.js';
import { lowestOf } from '../metrics/histogram.js';
import { BUCKET_SHIFT } from './buckets.js';
import type { LiveLatency } from './state.js';

interface Kept {
  readonly count: number;
  /** Of slots from `from` on. */
  readonly from: number;
  readonly counts: Float64Array;
}

/** What histograms held at a moment. */
export type KeptHistograms = ReadonlyMap<Float64Array, Kept>;

export function keepHistograms(all: Iterable<HistogramData | null>, before: KeptHistograms | null): KeptHistograms {
  const kept = new Map<Float64Array, Kept>();
  for (const data of all) {
    if (data === null) continue;
    const { counts, count } = data;
    const same = before?.get(counts);
    if (same?.count === count) {
      kept.set(counts, same);
      continue;
    }
    const from = counts.findIndex((value) => value > 0);
    const to = counts.findLastIndex((value) => value > 0) + 1;
    kept.set(counts, { count, from, counts: counts.slice(from, to) });
  }
  return kept;
}

/** Counts by slot. */
export class Interval {
  readonly counts: Float64Array;
  total = 0;

  constructor(slots: number) {
    this.counts = new Float64Array(slots);
  }

  /** Adds what came since it was kept. */
  add(data: HistogramData | null, before: KeptHistograms | null): void {
    if (data === null) return;
    const kept = before?.get(data.counts);
    if (kept !== undefined && kept.count === data.count) return;
    for (let slot = 0; slot < data.counts.length; slot++) {
      const then = kept === undefined ? 0 : (kept.counts[slot - kept.from] ?? 0);
      const more = data.counts[slot] - then;
      if (more <= 0) continue;
      this.counts[slot] += more;
      this.total += more;
    }
  }

  /** Adds what is in another one. */
  merge(other: Interval): void {
    for (let slot = 0; slot < this.counts.length; slot++) this.counts[slot] += other.counts[slot];
    this.total += other.total;
  }

  /** The value that so much of all (0 to 1) does not exceed, in the histogram's unit, as HdrHistogram has it. */
  quantile(of: number): number {
    const wanted = Math.max(1, Math.ceil(of * this.total));
    let seen = 0;
    for (let slot = 0; slot < this.counts.length; slot++) {
      seen += this.counts[slot];
      if (seen >= wanted) return lowestOf(slot + 1) - 1;
    }
    return 0;
  }

  distribution(): [bucket: number, count: number][] {
    const pairs: [number, number][] = [];
    for (let slot = 0; slot < this.counts.length; slot++) {
      const count = this.counts[slot];
      if (count === 0) continue;
      const bucket = slot >> BUCKET_SHIFT;
      const last = pairs.at(-1);
      if (last !== undefined && last[0] === bucket) last[1] += count;
      else pairs.push([bucket, count]);
    }
    return pairs;
  }
}

export function latencyOf(interval: Interval, distribution: boolean): LiveLatency | null {
  if (interval.total === 0) return null;
  const ms = (of: number): number => interval.quantile(of) / 1000;
  return {
    count: interval.total,
    p50: ms(0.5),
    p95: ms(0.95),
    p99: ms(0.99),
    p999: ms(0.999),
    max: ms(1),
    ...(distribution && { distribution: interval.distribution() }),
  };
}

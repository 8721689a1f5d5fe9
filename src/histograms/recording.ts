// A named histogram from any source: a running proxy or a file. Only commands that show histograms load this.
import { build, type Histogram, type JsHistogram } from 'hdr-histogram-js';
import type { Bucket, Unit } from './units.js';

export interface NamedRecording {
  /** `kind.name.histogram`, e.g. `service.web.response_latency_us`; in a file, its tag. */
  readonly id: string;
  /** `service`, `route`, `endpoint`, `listener` or `worker`; empty if unknown. */
  readonly kind: string;
  /** The measured quantity, e.g. `response_latency_us`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly unit: Unit;
  readonly histogram: Histogram;
  /** Sum of the recorded values, in `unit`. For files, computed from the middles of buckets. */
  readonly sum: number;
}

/** What was recorded between two times, ms since the epoch. */
export interface Recording {
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly NamedRecording[];
}

/** An empty histogram that grows as values are recorded. */
export const emptyHistogram = (digits: number, lowest = 1): Histogram =>
  build({
    bitBucketSize: 64,
    autoResize: true,
    lowestDiscernibleValue: lowest,
    highestTrackableValue: Math.max(2, 2 * lowest),
    numberOfSignificantValueDigits: digits as 1 | 2 | 3 | 4 | 5,
  });

/** Non-empty buckets in ascending order. */
export function bucketsIn(histogram: Histogram): Bucket[] {
  // Without WebAssembly, `build` returns no other type.
  const own = histogram as JsHistogram;
  const buckets: Bucket[] = [];
  if (own.totalCount === 0) return buckets;
  const last = own.countsArrayIndex(own.maxValue);
  for (let index = 0; index <= last; index++) {
    const count = own.getCountAtIndex(index);
    if (count === 0) continue;
    const lowest = own.valueFromIndex(index);
    buckets.push({ lowest, highest: own.highestEquivalentValue(lowest), count });
  }
  return buckets;
}

/** The maximum, as the upper end of its bucket. Percentiles are the same, so none is above the maximum. */
export const greatestOf = (histogram: Histogram): number =>
  histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(100);

/** The sum of the values, as precisely as the histogram knows them. */
export const estimatedSum = (histogram: Histogram): number => histogram.mean * histogram.totalCount || 0;

/** `now` minus `then`, which have the same precision; null if any count would be negative. */
export function difference(now: Histogram, then: Histogram): Histogram | null {
  const rest = emptyHistogram(now.numberOfSignificantValueDigits);
  const before = new Map(bucketsIn(then).map(({ lowest, count }) => [lowest, count]));
  for (const { lowest, count } of bucketsIn(now)) {
    const more = count - (before.get(lowest) ?? 0);
    before.delete(lowest);
    if (more < 0) return null;
    if (more > 0) rest.recordValueWithCount(lowest, more);
  }
  return before.size === 0 ? rest : null;
}

/** The sum of `parts`, with `digits` significant digits. */
export function sumOf(parts: readonly Histogram[]): Histogram {
  const digits = Math.min(...parts.map((part) => part.numberOfSignificantValueDigits));
  const sum = emptyHistogram(digits);
  for (const part of parts)
    for (const { lowest, highest, count } of bucketsIn(part))
      sum.recordValueWithCount(
        digits === part.numberOfSignificantValueDigits ? lowest : middle(lowest, highest),
        count,
      );
  return sum;
}

const middle = (lowest: number, highest: number): number => Math.floor((lowest + highest) / 2);

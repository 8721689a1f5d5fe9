// A histogram with a name, wherever it came from: a running proxy or a file. Only what shows histograms loads this.
import { build, type Histogram, type JsHistogram } from 'hdr-histogram-js';
import type { Bucket, Unit } from './units.js';

export interface NamedRecording {
  /** `kind.name.histogram`, e.g. `service.web.response_latency_us`; of a file its tag. */
  readonly id: string;
  /** `service`, `route`, `endpoint`, `listener`, `worker`; empty where nobody has said. */
  readonly kind: string;
  /** What was measured, e.g. `response_latency_us`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly unit: Unit;
  readonly histogram: Histogram;
  /** Recorded values added up, in `unit`. From files it is what the middles of buckets say. */
  readonly sum: number;
}

/** What was recorded from one moment to another, ms since the epoch. */
export interface Recording {
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly NamedRecording[];
}

/** An empty histogram that grows with what is recorded. */
export const emptyHistogram = (digits: number, lowest = 1): Histogram =>
  build({
    bitBucketSize: 64,
    autoResize: true,
    lowestDiscernibleValue: lowest,
    highestTrackableValue: Math.max(2, 2 * lowest),
    numberOfSignificantValueDigits: digits as 1 | 2 | 3 | 4 | 5,
  });

/** Buckets in ascending order, empty ones left out. */
export function bucketsIn(histogram: Histogram): Bucket[] {
  // `build` without WebAssembly makes no other.
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

/** The largest value, as percentiles are written: the upper end of its bucket. So no percentile is above it. */
export const greatestOf = (histogram: Histogram): number =>
  histogram.totalCount === 0 ? 0 : histogram.getValueAtPercentile(100);

/** Values added up as far as a histogram knows them. */
export const estimatedSum = (histogram: Histogram): number => histogram.mean * histogram.totalCount || 0;

/** What `now` has more than `then`, of the same precision; null where it has less of something. */
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

/** `digits` significant digits of everything that `parts` have. */
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

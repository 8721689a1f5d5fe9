// Converts HdrHistogram's buckets to exponential buckets, for OpenTelemetry's exponential and Prometheus' native histograms. Bounds at scale (or
// schema) s are powers of 2^(2^-s).
import type { Bucket } from './units.js';

export interface Exponential {
  readonly scale: number;
  /** Number of zero values. */
  readonly zeros: number;
  /** Counts by bucket index: bucket i holds values above base^i, up to base^(i+1). Ascending, without empty buckets. */
  readonly buckets: readonly (readonly [index: number, count: number])[];
}

/** Prometheus reads schemas up to 8, OpenTelemetry scales up to 20. */
const MAX_SCALE = 8;

/**
 * The finest scale whose buckets are at least as wide as those of a histogram with `digits` significant digits, and which needs at most
 * `most` buckets from the first to the last. A bucket is counted at its middle, so values may be off by half its width. That is
 * HdrHistogram's own precision.
 */
export function exponentialOf(buckets: readonly Bucket[], unitSeconds: number, most: number, digits = 2): Exponential {
  const zeros = buckets[0]?.lowest === 0 && buckets[0].highest === 0 ? buckets[0].count : 0;
  const positive = zeros === 0 ? buckets : buckets.slice(1);
  let scale = Math.min(MAX_SCALE, finest(digits));
  if (positive.length === 0) return { scale, zeros, buckets: [] };
  const middleOf = ({ lowest, highest }: Bucket): number => ((lowest + highest) / 2) * unitSeconds;
  const first = middleOf(positive[0]);
  const last = middleOf(positive[positive.length - 1]);
  while (indexOf(last, scale) - indexOf(first, scale) >= most) scale--;
  const counts = new Map<number, number>();
  for (const bucket of positive) {
    const index = indexOf(middleOf(bucket), scale);
    counts.set(index, (counts.get(index) ?? 0) + bucket.count);
  }
  return { scale, zeros, buckets: [...counts] };
}

/** With d digits, the values in a bucket differ by less than 1 in 10^d. */
const finest = (digits: number): number => Math.floor(Math.log2(Math.LN2 * 10 ** digits));

/** Index of the bucket that holds `value`, which is above 0. */
export const indexOf = (value: number, scale: number): number => Math.ceil(Math.log2(value) * 2 ** scale - 1e-9) - 1;

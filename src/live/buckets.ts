// Buckets of live latency distributions. Each combines eight slots of a histogram, so that a distribution is short enough to send every second.
// Above 256 µs there are 16 per doubling, at most 6 % wide. Below, each is 8 µs wide.

/** The number of histogram slots (src/metrics/layout.ts) per bucket, as a shift. */
export const BUCKET_SHIFT = 3;

/** The smallest value of a bucket, µs. The bucket ends where the next one begins. */
export function bucketFloorUs(bucket: number): number {
  const slot = bucket << BUCKET_SHIFT;
  if (slot < 256) return slot;
  return ((slot & 127) + 128) * 2 ** ((slot >>> 7) - 1);
}

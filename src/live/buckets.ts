// Buckets of live latency distributions: eight slots of the histograms in one, so that a distribution is short enough for every second. Above
// 256 µs there are 16 for each doubling, at most 6 % wide; below, each is 8 µs wide.

/** Slots of a histogram (src/metrics/layout.ts) in a bucket, as a shift. */
export const BUCKET_SHIFT = 3;

/** The smallest value of a bucket, µs. That of the next one is its end. */
export function bucketFloorUs(bucket: number): number {
  const slot = bucket << BUCKET_SHIFT;
  if (slot < 256) return slot;
  return ((slot & 127) + 128) * 2 ** ((slot >>> 7) - 1);
}

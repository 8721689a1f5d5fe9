// Conversion to hdr-histogram-js. Loaded only to show percentiles: the package takes 3 MB of memory.
import type { Histogram } from 'hdr-histogram-js';
import { build } from 'hdr-histogram-js';
import { lowestOf } from './histogram.js';
import { HISTOGRAM } from './layout.js';

/** The same content as an hdr-histogram-js histogram: percentiles, `.hgrm`, encodings. */
export function toHistogram(counts: Float64Array): Histogram {
  const histogram = build({
    bitBucketSize: 64,
    autoResize: false,
    lowestDiscernibleValue: HISTOGRAM.lowest,
    highestTrackableValue: HISTOGRAM.highest,
    numberOfSignificantValueDigits: HISTOGRAM.digits,
  });
  // The last slot is entered with its highest value, because the histogram's maximum is the highest value entered.
  const last = counts.findLastIndex((count) => count > 0);
  for (let slot = 0; slot <= last; slot++) {
    if (counts[slot] === 0) continue;
    histogram.recordValueWithCount(slot < last ? lowestOf(slot) : lowestOf(slot + 1) - 1, counts[slot]);
  }
  return histogram;
}

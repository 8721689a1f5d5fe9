// Converts threads' histograms for HdrHistogram's tools. Loaded after a load, because the package costs time and memory.
import type { Histogram } from 'hdr-histogram-js';
import { build, decodeFromCompressedBase64, encodeIntoCompressedBase64 } from 'hdr-histogram-js';
import type { HistogramCounts } from './measurements.js';
import type { EncodedHistogram } from './result.js';
import { DIGITS, HIGHEST_US, lowestOf, SLOTS } from './tally.js';

function empty(): Histogram {
  return build({
    bitBucketSize: 64,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_US,
    numberOfSignificantValueDigits: DIGITS,
  });
}

/** The same content as an hdr-histogram-js histogram. */
export function toHistogram(counts: Float64Array): Histogram {
  const histogram = empty();
  const last = counts.findLastIndex((count) => count > 0);
  for (let slot = 0; slot <= last; slot++) {
    if (counts[slot] === 0) continue;
    // The maximum is entered as the highest value of its slot, so that percentiles are never understated.
    histogram.recordValueWithCount(slot < last ? lowestOf(slot) : highestOf(slot), counts[slot]);
  }
  return histogram;
}

const highestOf = (slot: number): number => (slot === SLOTS - 1 ? HIGHEST_US : lowestOf(slot + 1) - 1);

export function encode({ counts, sum }: HistogramCounts): EncodedHistogram {
  const histogram = toHistogram(counts);
  return { unit: 'us', v2: encodeIntoCompressedBase64(histogram), count: histogram.totalCount, sum };
}

export const decode = ({ v2 }: EncodedHistogram): Histogram => decodeFromCompressedBase64(v2);

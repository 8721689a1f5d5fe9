// Decodes a result's histograms: percentiles, and series for plots.
import type { Histogram } from 'hdr-histogram-js';
import { build, decodeFromCompressedBase64 } from 'hdr-histogram-js';
import type { EncodedHistogram } from '../load/result.js';
import type { PercentileSeries } from './percentile-plot.js';

/** Points of a plotted line per nine. */
const STEPS = 40;

/** The sum of histograms of the same unit and precision. */
export function merged(encoded: readonly EncodedHistogram[]): Histogram {
  const all = build({ bitBucketSize: 64, autoResize: true, numberOfSignificantValueDigits: 3 });
  for (const { v2 } of encoded) if (v2 !== '') all.add(decodeFromCompressedBase64(v2, 64, false));
  return all;
}

export function seriesOf(name: string, histogram: Histogram): PercentileSeries {
  const count = histogram.totalCount;
  const points: (readonly [number, number])[] = [];
  if (count === 0) return { name, count, points };
  const last = Math.log10(Math.max(count, 10));
  for (let step = 0; step <= last * STEPS; step++) {
    const quantile = 1 - 10 ** -(step / STEPS);
    points.push([quantile, histogram.getValueAtPercentile(quantile * 100)]);
  }
  points.push([1, histogram.getValueAtPercentile(100)]);
  return { name, count, points };
}

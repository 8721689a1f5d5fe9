// Percentiles of what a load has recorded.
import { decodeFromCompressedBase64, type Histogram } from 'hdr-histogram-js';
import type { EncodedHistogram, LoadInterval } from '../load/result.js';

export interface Percentiles {
  /** In µs; 0 where nothing was recorded. */
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

function percentiles(histogram: Histogram): Percentiles {
  const at = (percent: number): number => histogram.getValueAtPercentile(percent);
  return { p50: at(50), p99: at(99), p999: at(99.9), max: at(100) };
}

export function percentilesOf({ v2, count }: EncodedHistogram): Percentiles {
  if (count === 0) return { p50: 0, p99: 0, p999: 0, max: 0 };
  const histogram = decodeFromCompressedBase64(v2);
  try {
    return percentiles(histogram);
  } finally {
    histogram.destroy();
  }
}

const SECOND_MS = 1000;

/** p99 of each second, in µs, of the seconds that are whole. */
export function p99BySecond(intervals: readonly LoadInterval[], seconds: number): number[] {
  const bySecond = new Map<number, Histogram>();
  for (const { startMs, latency } of intervals) {
    if (latency.count === 0) continue;
    const second = Math.floor(startMs / SECOND_MS);
    const one = decodeFromCompressedBase64(latency.v2);
    const before = bySecond.get(second);
    if (before === undefined) bySecond.set(second, one);
    else before.add(one);
  }
  const whole = Math.floor(seconds + 0.05);
  return Array.from({ length: whole }, (_, second) => bySecond.get(second)?.getValueAtPercentile(99) ?? 0);
}

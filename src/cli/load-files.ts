// A load's result as files: JSON, percentiles as .hgrm, intervals as a histogram log.
import { HistogramLogWriter } from 'hdr-histogram-js';
import { decode } from '../load/encode.js';
import type { LoadPlan } from '../load/plan.js';
import type { LoadResult } from '../load/result.js';

/** The plan and the result, without private keys. */
export function jsonOf(plan: LoadPlan, result: LoadResult): string {
  // The user has the file; its content would only be in the way.
  const { body: _, ...shown } = plan;
  const tls = plan.tls === null ? null : { ...plan.tls, key: plan.tls.key === null ? null : '(not shown)' };
  return `${JSON.stringify({ format: 'sluice-load', version: 1, plan: { ...shown, tls }, result }, null, 1)}\n`;
}

/** Latencies in milliseconds, as HdrHistogram's plotter expects them. */
export const hgrmOf = ({ latency }: LoadResult): string =>
  decode(latency).outputPercentileDistribution(5, 1000).trimEnd().concat('\n');

/** One line per interval (HdrHistogram log format 1.3). Values are in µs, which the log states. */
export function logOf({ startedAt, intervals }: LoadResult): string {
  let text = '';
  const writer = new HistogramLogWriter((line) => {
    text += line;
  });
  writer.outputLogFormatVersion();
  writer.outputComment(
    `[StartTime: ${(startedAt / 1000).toFixed(3)} (seconds since epoch), ${new Date(startedAt).toISOString()}]`,
  );
  writer.outputComment('[Values are microseconds; Interval_Max is in milliseconds]');
  writer.outputLegend();
  for (const { startMs, endMs, latency } of intervals)
    writer.outputIntervalHistogram(decode(latency), startMs / 1000, endMs / 1000, 1000);
  return text;
}

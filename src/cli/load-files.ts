// A load's result as files: JSON, the percentiles as .hgrm, intervals as a log of histograms.
import { HistogramLogWriter } from 'hdr-histogram-js';
import { decode } from '../load/encode.js';
import type { LoadPlan } from '../load/plan.js';
import type { LoadResult } from '../load/result.js';

/** The plan with the result, without keys. */
export function jsonOf(plan: LoadPlan, result: LoadResult): string {
  // The contents of a file are the reader's.
  const { body: _, ...shown } = plan;
  const tls = plan.tls === null ? null : { ...plan.tls, key: plan.tls.key === null ? null : '(not shown)' };
  return `${JSON.stringify({ format: 'sluice-load', version: 1, plan: { ...shown, tls }, result }, null, 1)}\n`;
}

/** Latencies, in milliseconds as HdrHistogram's plotter has them. */
export const hgrmOf = ({ latency }: LoadResult): string =>
  decode(latency).outputPercentileDistribution(5, 1000).trimEnd().concat('\n');

/** One line for each interval (HdrHistogram log format 1.3); values are µs, and the log says so. */
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

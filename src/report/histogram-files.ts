// Writes a result's histograms as files for HdrHistogram's tools: a `.hgrm` per scenario and subject, and one log (V2) of all intervals.
import { decodeFromCompressedBase64, HistogramLogWriter } from 'hdr-histogram-js';
import type { HarnessResult, SubjectResult } from '../harness/results.js';
import { merged } from './distribution.js';

const fileName = (text: string): string => text.replace(/[^A-Za-z0-9._-]+/g, '-');

/** Name and content of each file. Values are in milliseconds. */
export function hgrmFiles(result: HarnessResult): [name: string, content: string][] {
  return result.scenarios.flatMap(({ name, subjects }) =>
    subjects.flatMap((subject): [string, string][] => {
      const all = merged(subject.samples.map(({ load }) => load.latency));
      if (all.totalCount === 0) return [];
      return [[`${fileName(name)}.${fileName(subject.name)}.hgrm`, all.outputPercentileDistribution(5, 1000)]];
    }),
  );
}

/** An interval log: a line for each interval of each round, tagged with scenario and subject. Values are in µs. */
export function histogramLog(result: HarnessResult): string {
  const parts: string[] = [];
  const writer = new HistogramLogWriter((part) => parts.push(part));
  const startedMs = Date.parse(result.startedAt);
  writer.outputLogFormatVersion();
  writer.outputComment(`[StartTime: ${(startedMs / 1000).toFixed(3)} (seconds since epoch), ${result.startedAt}]`);
  writer.outputComment('[Values are microseconds]');
  writer.outputLegend();
  for (const { name, subjects } of result.scenarios)
    for (const subject of subjects)
      for (const line of linesOf(subject)) writeLine(writer, `${name}.${subject.name}`, line, startedMs);
  return parts.join('');
}

interface Line {
  readonly startMs: number;
  readonly endMs: number;
  readonly v2: string;
}

/** Intervals, or whole rounds if there are no intervals. */
function linesOf({ samples }: SubjectResult): Line[] {
  return samples.flatMap(({ load }) => {
    const { startedAt, seconds, latency, intervals } = load;
    if (intervals.length === 0) return [{ startMs: startedAt, endMs: startedAt + seconds * 1000, v2: latency.v2 }];
    return intervals.map(({ startMs, endMs, latency: { v2 } }) => ({
      startMs: startedAt + startMs,
      endMs: startedAt + endMs,
      v2,
    }));
  });
}

function writeLine(writer: HistogramLogWriter, tag: string, { startMs, endMs, v2 }: Line, startedMs: number): void {
  if (v2 === '') return;
  const histogram = decodeFromCompressedBase64(v2, 64, false);
  // A tag must not contain commas or blanks.
  histogram.tag = tag.replace(/[,\s]/g, '_');
  writer.outputIntervalHistogram(histogram, (startMs - startedMs) / 1000, (endMs - startedMs) / 1000);
}

// HdrHistogram logs (format 1.3): a line for each interval of each histogram, tagged with its id. HdrHistogram's tools read and write them.

import { estimatedSum, greatestOf, type NamedRecording, type Recording } from './recording.js';
import { perShown, type Unit, unitName, unitNamed } from './units.js';
import { decodeV2, EncodingError, encodeV2 } from './v2.js';

/** Says what is wrong with a file, and where. */
export class HistogramFileError extends Error {}

/** A tag must not contain commas or blanks. */
export const tagOf = (id: string): string => id.replace(/[,\s]/g, '_');

const LEGEND = '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"';
/** Timestamps more than a year before the start time are relative to it, as in HdrHistogram's reader. */
const YEAR_S = 365 * 24 * 3600;

/** The head of a log. Ids end with their unit. If all lines have the same unit, the head names it too. */
export function logHead(startMs: number, units: ReadonlySet<Unit>): string {
  const [unit] = units;
  const said = units.size === 1 && unit !== '' ? [`#[Values are ${unitName(unit)}]`] : [];
  const start = `#[StartTime: ${(startMs / 1000).toFixed(3)} (seconds since epoch), ${new Date(startMs).toISOString()}]`;
  // The base time states that the lines' times are relative to the start.
  const base = `#[BaseTime: ${(startMs / 1000).toFixed(3)} (seconds since epoch)]`;
  return [`#[Histogram log format version 1.3]`, start, base, ...said, LEGEND, ''].join('\n');
}

/** A line for each non-empty histogram. Maxima of times are in milliseconds. */
export function logLines({ startMs, endMs, histograms }: Recording, baseMs: number): string {
  return histograms
    .filter(({ histogram }) => histogram.totalCount > 0)
    .map(({ id, unit, histogram }) => {
      const times = [(startMs - baseMs) / 1000, (endMs - startMs) / 1000, greatestOf(histogram) / perShown(unit)];
      const tag = id === '' ? '' : `Tag=${tagOf(id)},`;
      return `${tag}${times.map((time) => time.toFixed(3)).join(',')},${encodeV2(histogram)}\n`;
    })
    .join('');
}

/** A complete log. */
export const logText = (recordings: readonly Recording[]): string => {
  const startMs = Math.min(...recordings.map((recording) => recording.startMs));
  const units = new Set(recordings.flatMap(({ histograms }) => histograms.map(({ unit }) => unit)));
  return logHead(startMs, units) + recordings.map((recording) => logLines(recording, startMs)).join('');
};

interface Header {
  startS: number;
  baseS: number | null;
  unit: Unit;
}

/** Parses a log, line by line. Errors name `file`. */
export function parseLog(text: string, file: string): Recording[] {
  const header: Header = { startS: 0, baseS: null, unit: '' };
  const recordings: Recording[] = [];
  const lines = text.split(/\r\n|\r|\n/);
  lines.forEach((line, index) => {
    if (line.trim() === '' || line.startsWith('"')) return;
    try {
      if (line.startsWith('#')) comment(line, header);
      else recordings.push(interval(line, header));
    } catch (error) {
      if (!(error instanceof EncodingError)) throw error;
      const cut = index === lines.length - 1 ? ' (the last line: the file may be cut)' : '';
      throw new HistogramFileError(`${file}:${index + 1}: ${error.message}${cut}`);
    }
  });
  return recordings;
}

function comment(line: string, header: Header): void {
  const version = /^#\[Histogram log format version (\S+?)\]/.exec(line)?.[1];
  if (version !== undefined && !/^1\./.test(version))
    throw new EncodingError(`its format is version ${version}, and 1.x is read here`);
  const start = Number(/^#\[StartTime: ([\d.]+)/.exec(line)?.[1]);
  if (!Number.isNaN(start)) header.startS = start;
  const base = Number(/^#\[BaseTime: ([\d.]+)/.exec(line)?.[1]);
  if (!Number.isNaN(base)) header.baseS = base;
  const unit = /^#\[Values are (\w+)\]/.exec(line)?.[1];
  if (unit !== undefined) header.unit = unitNamed(unit);
}

function interval(line: string, header: Header): Recording {
  const fields = line.split(',');
  const tag = fields[0].startsWith('Tag=') ? (fields.shift() ?? '').slice('Tag='.length) : '';
  const [start, length, , encoded] = fields;
  if (encoded === undefined) throw new EncodingError('it has fewer fields than a line of a log');
  const startS = Number(start);
  const lengthS = Number(length);
  if (Number.isNaN(startS) || Number.isNaN(lengthS)) throw new EncodingError('its times are not numbers');
  const baseS = header.baseS ?? (startS < header.startS - YEAR_S ? header.startS : 0);
  const startMs = (baseS + startS) * 1000;
  return { startMs, endMs: startMs + lengthS * 1000, histograms: [tagged(tag, header.unit, decodeV2(encoded))] };
}

/** Reads kind and name from an id that Sluice wrote. */
function tagged(tag: string, unit: Unit, histogram: NamedRecording['histogram']): NamedRecording {
  const [, kind = '', name = ''] = /^([a-z]+)\..+\.([a-z0-9_]+)$/.exec(tag) ?? [];
  const own = /_(us|ms|ns|s)$/.exec(name)?.[1] ?? (name === 'h2_connection_streams' ? 'streams' : '');
  if (own !== '' && unit !== '' && own !== unit)
    throw new EncodingError(
      `its head says that values are ${unitName(unit)}, and its tag ${tag} that they are ${unitName(own)}`,
    );
  return { id: tag, kind, name, labels: {}, unit: own === '' ? unit : own, histogram, sum: estimatedSum(histogram) };
}

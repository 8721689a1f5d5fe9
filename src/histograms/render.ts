// Formats histograms as text: a table for people, JSON, CSV, HdrHistogram's .hgrm.
import { count as countText, time } from '../report/scale.js';
import { bucketsIn, greatestOf, type NamedRecording, type Recording } from './recording.js';
import { isTime, perShown, secondsOf, unitName } from './units.js';
import { encodeV2 } from './v2.js';

/** Percentiles in tables. */
const SHOWN = [50, 90, 99, 99.9];
/** Percentiles in JSON and CSV. */
const PERCENTILES = [50, 75, 90, 95, 99, 99.9, 99.99, 99.999];
/** Ticks per half distance, as in HdrHistogram's tools. */
const TICKS = 5;

/** A value for people. */
export const valueText = ({ unit }: Pick<NamedRecording, 'unit'>, value: number): string =>
  isTime(unit) ? time(value * secondsOf(unit) * 1e6) : countText(value);

const meanOf = ({ sum, histogram }: NamedRecording): number =>
  histogram.totalCount === 0 ? 0 : sum / histogram.totalCount;

/** One line per histogram if the terminal is wide enough, otherwise a block per histogram. */
export function table(histograms: readonly NamedRecording[], columns: number): string {
  if (histograms.length === 0) return 'no histogram in which something was recorded\n';
  const head = ['', 'count', 'mean', ...SHOWN.map((of) => `p${of}`), 'max'];
  const rows = histograms.map((recorded) => [
    recorded.id === '' ? '(no tag)' : recorded.id,
    String(recorded.histogram.totalCount),
    ...[
      meanOf(recorded),
      ...SHOWN.map((of) => recorded.histogram.getValueAtPercentile(of)),
      greatestOf(recorded.histogram),
    ].map((value) => valueText(recorded, value)),
  ]);
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column].length)));
  if (widths.reduce((sum, width) => sum + width + 2, -2) > columns) return blocks(head, rows, columns);
  const line = (cells: readonly string[]): string =>
    cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[at]))).join('  ');
  return `${[head, ...rows].map((cells) => line(cells).trimEnd()).join('\n')}\n`;
}

function blocks(head: readonly string[], rows: readonly (readonly string[])[], columns: number): string {
  const lines = rows.flatMap(([id, ...cells]) => {
    const block = [id];
    let line = ' ';
    cells.forEach((cell, at) => {
      const piece = ` ${head[at + 1]} ${cell}`;
      if (line.length + piece.length > columns && line.trim() !== '') {
        block.push(line);
        line = ' ';
      }
      line += piece;
    });
    return [...block, line];
  });
  return `${lines.join('\n')}\n`;
}

/** A complete description for programs. Values are in the histogram's unit. */
export function jsonOf({ startMs, endMs, histograms }: Recording): object {
  return {
    start: new Date(startMs).toISOString(),
    end: new Date(endMs).toISOString(),
    histograms: histograms.map((recorded) => {
      const { id, kind, name, labels, unit, histogram, sum } = recorded;
      const filled = histogram.totalCount > 0;
      return {
        id,
        kind,
        name,
        labels,
        unit: unitName(unit),
        count: histogram.totalCount,
        sum,
        min: filled ? histogram.getValueAtPercentile(0) : null,
        mean: filled ? meanOf(recorded) : null,
        max: filled ? greatestOf(histogram) : null,
        percentiles: Object.fromEntries(
          PERCENTILES.map((of) => [`p${of}`, filled ? histogram.getValueAtPercentile(of) : null]),
        ),
        significantDigits: histogram.numberOfSignificantValueDigits,
        buckets: bucketsIn(histogram).map(({ lowest, highest, count }) => [lowest, highest, count]),
        v2: encodeV2(histogram),
      };
    }),
  };
}

export const CSV_HEAD = `start,end,id,unit,count,min,mean,${PERCENTILES.map((of) => `p${of}`).join(',')},max\n`;

/** One line per histogram, after CSV_HEAD. */
export function csvLines({ startMs, endMs, histograms }: Recording): string {
  return histograms
    .map((recorded) => {
      const { id, unit, histogram } = recorded;
      const filled = histogram.totalCount > 0;
      const values = [
        histogram.getValueAtPercentile(0),
        Number(meanOf(recorded).toFixed(3)),
        ...PERCENTILES.map((of) => histogram.getValueAtPercentile(of)),
        greatestOf(histogram),
      ];
      const cells = [
        new Date(startMs).toISOString(),
        new Date(endMs).toISOString(),
        quoted(id),
        unitName(unit),
        histogram.totalCount,
        ...values.map((value) => (filled ? value : '')),
      ];
      return `${cells.join(',')}\n`;
    })
    .join('');
}

/** Quotes a field (RFC 4180). Text that a spreadsheet would take for a formula is made harmless. */
function quoted(text: string): string {
  const safe = /^[=+@-]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** HdrHistogram's percentile distribution, with times in milliseconds. */
export const hgrmOf = ({ histogram, unit }: NamedRecording): string =>
  histogram.outputPercentileDistribution(TICKS, perShown(unit));

// Reads .hgrm files: HdrHistogram's percentile distribution as text. They lack the values between their lines, so they can be plotted but not
// added up.
import { HistogramFileError } from './log-file.js';

export interface Distribution {
  /** Ascending: the share of values that are not larger, and the value. */
  readonly points: readonly (readonly [quantile: number, value: number])[];
  readonly count: number;
}

const HEAD = /^\s*"?Value"?[\s,]+"?Percentile"?[\s,]+"?TotalCount"?/;

export const looksLikeHgrm = (text: string): boolean => HEAD.test(text);

/** Throws a HistogramFileError that names the line. */
export function parseHgrm(text: string, file: string): Distribution {
  const lines = text.split(/\r?\n/);
  if (!HEAD.test(lines[0])) throw new HistogramFileError(`${file}:1: it does not begin as a .hgrm does`);
  const points: (readonly [number, number])[] = [];
  let count = 0;
  let whole = false;
  lines.forEach((line, index) => {
    if (index === 0 || line.trim() === '') return;
    if (line.startsWith('#')) {
      whole = true;
      return;
    }
    const [value, quantile, total] = line
      .trim()
      .split(/[\s,]+/)
      .map(Number);
    if ([value, quantile, total].some((number) => number === undefined || Number.isNaN(number))) {
      const cut = index === lines.length - 1 ? ' (the last line: the file may be cut)' : '';
      throw new HistogramFileError(
        `${file}:${index + 1}: ${JSON.stringify(line.slice(0, 60))} is not a line of a .hgrm${cut}`,
      );
    }
    const before = points[points.length - 1];
    if (quantile > 1 || (before !== undefined && (quantile < before[0] || value < before[1])))
      throw new HistogramFileError(`${file}:${index + 1}: it goes back`);
    points.push([quantile, value]);
    count = total;
    if (quantile === 1) whole = true;
  });
  if (points.length > 0 && !whole) throw new HistogramFileError(`${file}: it is cut: 100 % is missing`);
  return { points, count };
}

// Tables for a terminal of any width. If the columns do not fit, each row becomes a few lines.
import { escapeForTerminal } from './terminal-text.js';

export interface Column<Row> {
  readonly head: string;
  readonly left?: boolean;
  /** Only with `--output wide`. */
  readonly wide?: boolean;
  cell(row: Row): string;
}

/** The terminal's width; infinite for a file or a pipe, unless the environment sets it. */
export function terminalWidth(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: NodeJS.ProcessEnv,
): number {
  const said = Number(env.COLUMNS);
  if (Number.isInteger(said) && said > 0) return said;
  return stream.isTTY === true ? (stream.columns ?? 80) : Number.POSITIVE_INFINITY;
}

/** The table's lines. Without rows, the text `none`. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  { width, wide, none }: { readonly width: number; readonly wide: boolean; readonly none: string },
): string[] {
  if (rows.length === 0) return [none];
  const there = columns.filter((column) => wide || column.wide !== true);
  const cells = rows.map((row) => there.map((column) => escapeForTerminal(column.cell(row))));
  const widths = there.map(({ head }, index) => Math.max(head.length, ...cells.map((line) => line[index].length)));
  const total = widths.reduce((sum, each) => sum + each + 2, -2);
  if (total > width) return cells.flatMap((line) => card(there, line, width));
  const line = (parts: readonly string[]): string =>
    parts
      .map((part, index) => (there[index].left ? part.padEnd(widths[index]) : part.padStart(widths[index])))
      .join('  ')
      .trimEnd();
  return [line(there.map(({ head }) => head)), ...cells.map(line)];
}

/** A row as lines: the first column in full, then the others with their names, as many per line as fit. */
function card<Row>(columns: readonly Column<Row>[], cells: readonly string[], width: number): string[] {
  const lines = [...chunks(cells[0], width)];
  let line = '';
  for (const [index, { head }] of columns.entries()) {
    if (index === 0 || cells[index] === '-' || cells[index] === '') continue;
    const pair = `${head.toLowerCase()} ${cells[index]}`;
    if (line !== '' && line.length + 2 + pair.length > width) {
      lines.push(line);
      line = '';
    }
    if (line === '' && pair.length + 2 > width) lines.push(...chunks(pair, width - 2).map((part) => `  ${part}`));
    else line = line === '' ? `  ${pair}` : `${line}, ${pair}`;
  }
  if (line !== '') lines.push(line);
  return lines;
}

function chunks(text: string, width: number): string[] {
  const size = Math.max(8, width);
  const parts: string[] = [];
  for (let at = 0; at < text.length; at += size) parts.push(text.slice(at, at + size));
  return parts.length === 0 ? [''] : parts;
}

export const percent = (share: number | null): string => (share === null ? '-' : `${(share * 100).toFixed(2)}%`);
export const rps = (rate: number): string => `${rate >= 100 ? rate.toFixed(0) : rate.toFixed(1)}rps`;
export const milliseconds = (ms: number | null | undefined): string =>
  ms === null || ms === undefined ? '-' : `${ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2)}ms`;

export function bytesPerSecond(rate: number): string {
  const units = ['B/s', 'kB/s', 'MB/s', 'GB/s'];
  let value = rate;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value.toFixed(0) : value.toFixed(1)}${units[unit]}`;
}

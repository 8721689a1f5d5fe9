// A heat map of latency over time: a column per interval, a row per range of latencies, darker where there were more requests.
import { logarithmic, time } from './scale.js';
import { Svg } from './svg.js';

export interface HeatColumn {
  readonly startMs: number;
  readonly endMs: number;
  /** Ascending latencies in µs, and the number of requests for each. */
  readonly counts: readonly (readonly [value: number, count: number])[];
}

const WIDTH = 460;
const HEIGHT = 170;
const LEFT = 58;
const RIGHT = 12;
const TOP = 26;
const BOTTOM = HEIGHT - 24;
/** Rows per decade. */
const ROWS = 10;

export function heatMap(title: string, columns: readonly HeatColumn[]): Svg {
  const svg = new Svg(WIDTH, HEIGHT);
  svg.text(4, 14, title, { class: 'small strong' });
  const values = columns.flatMap(({ counts }) => counts.map(([value]) => value));
  if (values.length === 0) {
    svg.text(LEFT, TOP + 30, 'no intervals', { class: 'muted small' });
    return svg;
  }
  const y = logarithmic(Math.max(1, Math.min(...values)), Math.max(...values), BOTTOM, TOP);
  const end = Math.max(...columns.map(({ endMs }) => endMs));
  const x = (ms: number): number => LEFT + (ms / end) * (WIDTH - LEFT - RIGHT);
  svg.rectangle(LEFT, TOP, WIDTH - LEFT - RIGHT, BOTTOM - TOP, { class: 'track' });
  const cells = columns.map(({ counts }) => cellsOf(counts));
  const most = Math.max(1, ...cells.flatMap((cell) => [...cell.values()]));
  columns.forEach(({ startMs, endMs }, index) => {
    for (const [row, number] of cells[index]) {
      const top = y.at(10 ** ((row + 1) / ROWS));
      const height = Math.max(1, y.at(10 ** (row / ROWS)) - top);
      // Logarithmic: one slow request among thousands must be visible.
      const opacity = 0.15 + 0.85 * (Math.log(number + 1) / Math.log(most + 1));
      svg.rectangle(x(startMs), top, x(endMs) - x(startMs), height, { class: 'heat', 'fill-opacity': opacity });
    }
  });
  for (const tick of y.ticks.filter((_, index, all) => all.length <= 6 || index % 3 === 0))
    svg.text(LEFT - 6, y.at(tick) + 4, time(tick), { class: 'muted small', 'text-anchor': 'end' });
  svg.text(LEFT, HEIGHT - 8, '0 s', { class: 'muted small' });
  svg.text(WIDTH - RIGHT, HEIGHT - 8, `${Number((end / 1000).toPrecision(3))} s`, {
    class: 'muted small',
    'text-anchor': 'end',
  });
  return svg;
}

/** Number of requests by row. */
function cellsOf(counts: HeatColumn['counts']): Map<number, number> {
  const cells = new Map<number, number>();
  for (const [value, number] of counts) {
    const row = Math.floor(Math.log10(Math.max(1, value)) * ROWS + 1e-9);
    cells.set(row, (cells.get(row) ?? 0) + number);
  }
  return cells;
}

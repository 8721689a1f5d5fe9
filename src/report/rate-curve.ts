// A plot of p99 latency against rate, which shows where each subject saturates.
import { count, linear, logarithmic, time } from './scale.js';
import { SERIES, Svg } from './svg.js';

export interface RateSeries {
  readonly name: string;
  readonly points: readonly { readonly rate: number; readonly p99: number }[];
}

const WIDTH = 460;
const HEIGHT = 290;
const LEFT = 58;
const RIGHT = 12;
const TOP = 34;
const BOTTOM = HEIGHT - 40;
const LEGEND_ROW = 17;

/** `limitUs`: a limit to draw, if there is one. */
export function rateCurve(series: readonly RateSeries[], limitUs: number | null): Svg {
  const drawn = series.filter(({ points }) => points.length > 0);
  const points = drawn.flatMap((one) => one.points);
  const svg = new Svg(WIDTH, HEIGHT + Math.ceil(drawn.length / 2) * LEGEND_ROW);
  svg.text(4, 16, 'p99 of the latency against the rate', { class: 'strong' });
  if (points.length === 0) return svg;
  const latencies = points.map(({ p99 }) => p99);
  const x = linear(Math.max(...points.map(({ rate }) => rate)), LEFT, WIDTH - RIGHT);
  const y = logarithmic(Math.max(1, Math.min(...latencies)), Math.max(...latencies, limitUs ?? 0), BOTTOM, TOP);
  for (const tick of y.ticks) {
    svg.line(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick), { class: 'axis' });
    svg.text(LEFT - 6, y.at(tick) + 4, time(tick), { class: 'muted small', 'text-anchor': 'end' });
  }
  for (const tick of x.ticks)
    svg.text(x.at(tick), BOTTOM + 16, count(tick), { class: 'muted small', 'text-anchor': 'middle' });
  svg.text(WIDTH - RIGHT, BOTTOM + 32, 'requests a second', { class: 'muted small', 'text-anchor': 'end' });
  if (limitUs !== null) svg.line(LEFT, y.at(limitUs), WIDTH - RIGHT, y.at(limitUs), { class: 'bar' });
  drawn.forEach((one, index) => {
    const look = `series s${index % SERIES}`;
    const sorted = [...one.points].sort((a, b) => a.rate - b.rate);
    svg.curve(
      sorted.map(({ rate, p99 }) => [x.at(rate), y.at(p99)] as const),
      { class: look },
    );
    const row = HEIGHT + Math.floor(index / 2) * LEGEND_ROW;
    const column = LEFT + (index % 2) * ((WIDTH - LEFT - RIGHT) / 2);
    svg.line(column, row + 4, column + 26, row + 4, { class: look });
    svg.text(column + 32, row + 8, one.name, { class: 'small' });
  });
  return svg;
}

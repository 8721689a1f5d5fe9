// A plot of latency by percentile. The axis is log(1 / (1 - p)), on which every nine has the same width.
import { logarithmic, percentileName, time } from './scale.js';
import { SERIES, Svg } from './svg.js';

export interface PercentileSeries {
  readonly name: string;
  /** Number of values. Everything beyond 1 - 1/count is a single value. */
  readonly count: number;
  /** Ascending: the share of values that are not larger, 0..1, and the value. */
  readonly points: readonly (readonly [quantile: number, value: number])[];
}

export interface PlotOptions {
  readonly title: string;
  /** Formats a value. Default: a time in µs. */
  readonly value?: (value: number) => string;
  readonly width?: number;
  readonly height?: number;
}

const LEFT = 58;
const RIGHT = 12;
const TOP = 34;
const BELOW = 40;
const LEGEND_ROW = 17;

/** The number of nines: 0 is the left end of the axis, 1 is 90 %, 2 is 99 %. */
const nines = (quantile: number, count: number): number => -Math.log10(Math.max(1 - quantile, 1 / Math.max(count, 10)));

/** The plot. If there are more series than styles, styles are used again. */
export function percentilePlot(series: readonly PercentileSeries[], options: PlotOptions): Svg {
  const { title, value = time, width = 460, height = 290 } = options;
  const drawn = series.filter(({ points }) => points.length > 0);
  const columns = 2;
  const legendRows = Math.ceil(drawn.length / columns);
  const bottom = height - BELOW;
  const svg = new Svg(width, height + legendRows * LEGEND_ROW);
  svg.text(4, 16, title, { class: 'strong' });
  const values = drawn.flatMap(({ points }) => points.map(([, at]) => at));
  if (values.length === 0) {
    svg.text(LEFT, TOP + 40, 'nothing was recorded', { class: 'muted' });
    return svg;
  }
  const farthest = Math.ceil(Math.max(1, ...drawn.map(({ count }) => Math.log10(Math.max(count, 10)))));
  const x = (quantile: number, count: number): number =>
    LEFT + (Math.min(nines(quantile, count), farthest) / farthest) * (width - LEFT - RIGHT);
  const y = logarithmic(Math.max(1, Math.min(...values)), Math.max(...values), bottom, TOP);
  for (const tick of y.ticks) {
    svg.line(LEFT, y.at(tick), width - RIGHT, y.at(tick), { class: 'axis' });
    svg.text(LEFT - 6, y.at(tick) + 4, value(tick), { class: 'muted small', 'text-anchor': 'end' });
  }
  for (let nine = 0; nine <= farthest; nine++) {
    const quantile = 1 - 10 ** -nine;
    const at = LEFT + (nine / farthest) * (width - LEFT - RIGHT);
    svg.line(at, TOP, at, bottom, { class: 'axis' });
    svg.text(at, bottom + 16, `${percentileName(quantile)} %`, {
      class: 'muted small',
      'text-anchor': nine === farthest ? 'end' : 'middle',
    });
  }
  svg.text(width - RIGHT, bottom + 32, 'share of requests that took no longer', {
    class: 'muted small',
    'text-anchor': 'end',
  });
  drawn.forEach(({ name, count, points }, index) => {
    const look = `series s${index % SERIES}`;
    svg.curve(
      points.map(([quantile, at]) => [x(quantile, count), y.at(at)] as const),
      { class: look },
    );
    const row = height + Math.floor(index / columns) * LEGEND_ROW;
    const column = LEFT + (index % columns) * ((width - LEFT - RIGHT) / columns);
    svg.line(column, row + 4, column + 26, row + 4, { class: look });
    svg.text(column + 32, row + 8, name, { class: 'small' });
  });
  return svg;
}

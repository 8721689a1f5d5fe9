// A bar chart of each subject's CPU per unit of work, with the range of its rounds.
import { linear } from './scale.js';
import { Svg } from './svg.js';

export interface Cost {
  readonly name: string;
  /** Median, minimum and maximum of the rounds, µs. */
  readonly median: number;
  readonly least: number;
  readonly most: number;
  /** The share of user space in the median, 0..1. */
  readonly userShare: number;
}

const WIDTH = 460;
const LEFT = 108;
const RIGHT = 62;
const TOP = 30;
const ROW = 26;

/** The bars, lowest first. The darker part of each is user space, the rest the kernel. */
export function costBars(costs: readonly Cost[], unit: string): Svg {
  const rows = costs.filter(({ median }) => Number.isFinite(median) && median > 0).sort((a, b) => a.median - b.median);
  const bottom = TOP + rows.length * ROW;
  const svg = new Svg(WIDTH, bottom + 34);
  svg.text(4, 16, `CPU per ${unit}, µs`, { class: 'strong' });
  const x = linear(Math.max(0, ...rows.map(({ most }) => most)), LEFT, WIDTH - RIGHT);
  for (const tick of x.ticks) {
    svg.line(x.at(tick), TOP, x.at(tick), bottom, { class: 'axis' });
    svg.text(x.at(tick), bottom + 14, String(Number(tick.toPrecision(6))), {
      class: 'muted small',
      'text-anchor': 'middle',
    });
  }
  svg.text(WIDTH - RIGHT, bottom + 30, 'full: user space; light: kernel; line: range of the rounds', {
    class: 'muted small',
    'text-anchor': 'end',
  });
  rows.forEach(({ name, median, least, most, userShare }, index) => {
    const y = TOP + index * ROW;
    svg.text(LEFT - 8, y + 17, name, { class: 'small', 'text-anchor': 'end' });
    svg.rectangle(LEFT, y + 5, x.at(median) - LEFT, ROW - 10, { class: 'c0', 'fill-opacity': 0.4 });
    svg.rectangle(LEFT, y + 5, x.at(median * userShare) - LEFT, ROW - 10, { class: 'c0' });
    svg.line(x.at(least), y + ROW / 2, x.at(most), y + ROW / 2, { class: 'range' });
    svg.text(Math.max(x.at(most), x.at(median)) + 6, y + 17, median.toPrecision(3), { class: 'strong small' });
  });
  return svg;
}

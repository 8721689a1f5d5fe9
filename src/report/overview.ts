// All scenarios of a run in one picture: the cost of a request for each subject.
import type { HarnessResult } from '../harness/results.js';
import { costBars } from './cost-bars.js';
import { rowsOf } from './summary.js';
import { Svg } from './svg.js';

const COLUMNS = 2;
const COLUMN = 470;
const TITLE = 18;
const BETWEEN = 14;

export function overview(result: HarnessResult): Svg {
  const panels = result.scenarios.flatMap((scenario) => {
    const costs = rowsOf(scenario).flatMap(({ cost }) => (cost === null || !(cost.median > 0) ? [] : [cost]));
    return costs.length === 0 ? [] : [{ title: scenario.title, bars: costBars(costs, scenario.unit) }];
  });
  const places: { readonly x: number; readonly y: number }[] = [];
  let bottom = 0;
  for (let first = 0; first < panels.length; first += COLUMNS) {
    const row = panels.slice(first, first + COLUMNS);
    row.forEach((_, column) => {
      places.push({ x: column * COLUMN, y: bottom });
    });
    bottom += TITLE + Math.max(...row.map(({ bars }) => bars.height)) + BETWEEN;
  }
  const svg = new Svg(COLUMN * COLUMNS, Math.max(bottom, 40));
  if (panels.length === 0) svg.text(4, 20, 'nothing was measured', { class: 'muted' });
  panels.forEach(({ title, bars }, index) => {
    const { x, y } = places[index];
    svg.text(x + 4, y + 16, title, { class: 'title' });
    svg.place(bars, x, y + TITLE);
  });
  return svg;
}

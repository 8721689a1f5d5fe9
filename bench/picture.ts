// Draws docs/bench.svg from the JSON of a run: how much Sluice costs of what its rival costs, and where the bar is.
//   node dist/bench/picture.js RESULT.json [docs/bench.svg]
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../src/harness/paths.js';
import { Svg } from '../src/report/svg.js';
import type { BenchResult } from './measure.js';

const WIDTH = 860;
const LEFT = 340;
const RIGHT = 130;
const TOP = 66;
const ROW = 34;

/** The picture as text. Benchmarks without a judged ratio are left out. */
export function draw(results: readonly BenchResult[]): string {
  const rows = results.flatMap(({ judged, bar, title, passed }) =>
    judged && bar && Number.isFinite(judged.median) ? [{ judged, bar, title, passed }] : [],
  );
  if (rows.length === 0) throw new Error('no rival took part in that run: there is nothing to draw');
  const svg = new Svg(WIDTH, TOP + rows.length * ROW + 34);
  const longest = Math.max(1.1, ...rows.flatMap(({ judged, bar }) => [judged.median, bar.limit]));
  const x = (ratio: number) => LEFT + (ratio / longest) * (WIDTH - LEFT - RIGHT);
  svg.text(16, 26, 'Cost of Sluice as a share of the rival that its bar names', { class: 'title' });
  svg.text(16, 46, 'CPU (or memory) per unit of work, measured in the same run; shorter is better', { class: 'muted' });
  const bottom = TOP + rows.length * ROW;
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.line(x(tick), TOP - 4, x(tick), bottom, { class: 'axis' });
    svg.text(x(tick), bottom + 16, tick === 1 ? 'rival' : String(tick), {
      class: 'muted small',
      'text-anchor': 'middle',
    });
  }
  rows.forEach(({ judged, bar, title, passed }, index) => {
    const y = TOP + index * ROW;
    svg.text(LEFT - 10, y + 17, title, { 'text-anchor': 'end' });
    svg.rectangle(LEFT, y + 5, x(judged.median) - LEFT, ROW - 14, { class: passed ? 'c0' : 'fail', rx: 2 });
    svg.line(x(bar.limit), y + 1, x(bar.limit), y + ROW - 5, { class: 'bar' });
    const after = Math.max(x(judged.median), x(bar.limit)) + 6;
    svg.text(after, y + 19, `${judged.median.toFixed(2)} × ${judged.rival}`, { class: 'strong' });
  });
  svg.line(WIDTH - 232, 42, WIDTH - 212, 42, { class: 'bar' });
  svg.text(WIDTH - 206, 46, 'bar: the most that is allowed', { class: 'muted small' });
  return svg.toString();
}

const [input, output = join(packageRoot, 'docs/bench.svg')] = process.argv.slice(2);
if (!input) {
  process.stderr.write('usage: node dist/bench/picture.js RESULT.json [docs/bench.svg]\n');
  process.exit(2);
}
const { results } = JSON.parse(readFileSync(input, 'utf8')) as { results: BenchResult[] };
writeFileSync(output, draw(results));
process.stdout.write(`${output}\n`);

// Formats a result as Markdown: a table per scenario.
import type { CurvePoint, HarnessResult } from '../harness/results.js';
import { formatCount } from '../load/amounts.js';
import { environmentLines, isSearch, planText, runText } from './describe.js';
import { time } from './scale.js';
import { COLUMNS, cellsOf, rowsOf } from './summary.js';

/** Escapes markup in a cell. */
const cell = (text: string): string => text.replace(/[\\`*_[\]<>|]/g, '\\$&').replace(/[\r\n]+/g, ' ');
const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;

/** Every load of a search, in the order of their rates. */
function curveTable(unit: string, curve: readonly CurvePoint[]): string[] {
  const columns = [`${unit}s/s`, 'done /s', 'CPU, µs', 'p50', 'p99', 'p99.9', 'errors', 'held'];
  const points = curve.toSorted((a, b) => a.wantedRate - b.wantedRate);
  return [
    line(columns),
    `|${columns.map(() => ' --- |').join('')}`,
    ...points.map(({ wantedRate, rate, cpuUs, p50, p99, p999, errors, held }) =>
      line([
        formatCount(wantedRate),
        formatCount(rate),
        Number.isFinite(cpuUs) && cpuUs > 0 ? cpuUs.toPrecision(3) : '–',
        ...[p50, p99, p999].map((us) => time(us)),
        formatCount(errors),
        held ? 'yes' : 'no',
      ]),
    ),
  ];
}

export function markdown(result: HarnessResult): string {
  const parts = ['# Proxies under load', '', runText(result), ''];
  for (const [name, value] of environmentLines(result.environment)) parts.push(`- ${name}: ${cell(value)}`);
  for (const note of result.notes ?? []) parts.push(`- ${cell(note)}`);
  for (const scenario of result.scenarios) {
    parts.push('', `## ${cell(scenario.title)}`, '', `\`${scenario.name}\`: ${cell(planText(scenario))}.`);
    parts.push(`CPU is per ${scenario.unit}, of all processes of the subject; latency of all rounds together.`, '');
    const search = isSearch(scenario);
    const rows = rowsOf(scenario);
    if (!search) {
      parts.push(line(COLUMNS), `|${COLUMNS.map(() => ' --- |').join('')}`);
      for (const row of rows) parts.push(line(cellsOf(row)));
    }
    // Where there is a table, what has no figures has its note in it.
    for (const { name, note, cost } of rows)
      if (note !== null && (search || cost !== null)) parts.push('', `${cell(name)}: ${cell(note)}.`);
    for (const { name, curve, saturation } of scenario.subjects) {
      if (saturation !== null) parts.push('', `${cell(name)} holds its limit up to ${formatCount(saturation)}/s.`);
      if (search && curve.length > 0) parts.push('', ...curveTable(scenario.unit, curve));
    }
  }
  return `${parts.join('\n')}\n`;
}

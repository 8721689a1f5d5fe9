// Formats a result as Markdown: a table per scenario.
import type { HarnessResult } from '../harness/results.js';
import { environmentLines, planText, runText } from './describe.js';
import { COLUMNS, cellsOf, rowsOf } from './summary.js';

/** Escapes markup in a cell. */
const cell = (text: string): string => text.replace(/[\\`*_[\]<>|]/g, '\\$&').replace(/[\r\n]+/g, ' ');
const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;

export function markdown(result: HarnessResult): string {
  const parts = ['# Proxies under load', '', runText(result), ''];
  for (const [name, value] of environmentLines(result.environment)) parts.push(`- ${name}: ${cell(value)}`);
  for (const note of result.notes ?? []) parts.push(`- ${cell(note)}`);
  for (const scenario of result.scenarios) {
    parts.push('', `## ${cell(scenario.title)}`, '', `\`${scenario.name}\`: ${cell(planText(scenario.plan))}.`);
    parts.push(`CPU is per ${scenario.unit}, of all processes of the subject; latency of all rounds together.`, '');
    parts.push(line(COLUMNS), `|${COLUMNS.map(() => ' --- |').join('')}`);
    for (const row of rowsOf(scenario)) parts.push(line(cellsOf(row)));
    for (const { name, note, cost } of rowsOf(scenario))
      if (note !== null && cost !== null) parts.push('', `${cell(name)}: ${cell(note)}.`);
    const found = rowsOf(scenario).filter(({ saturation }) => saturation !== null);
    for (const { name, saturation } of found) parts.push('', `${cell(name)} holds its limit up to ${saturation}/s.`);
  }
  return `${parts.join('\n')}\n`;
}

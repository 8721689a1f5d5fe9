// Formats a result as one self-contained HTML page: no script, no font, no requests.
import type { HarnessResult, ScenarioResult } from '../harness/results.js';
import { costBars } from './cost-bars.js';
import { environmentLines, isSearch, planText, runText } from './describe.js';
import { seriesOf } from './distribution.js';
import { heatMap } from './heat-map.js';
import { percentilePlot } from './percentile-plot.js';
import { rateCurve } from './rate-curve.js';
import { count, time } from './scale.js';
import { COLUMNS, cellsOf, heatOf, type Row, rowsOf } from './summary.js';
import { STYLE as PICTURES, type Svg, escapeText as text } from './svg.js';

const STYLE = `
  :root { color-scheme: light dark }
  body { margin: 0 auto; max-width: 1080px; padding: 16px; font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; color: #1f2328; background: #ffffff }
  h1 { font-size: 1.6em; margin: .2em 0 } h2 { font-size: 1.25em; margin: 1.6em 0 .2em; border-top: 1px solid #d1d9e0; padding-top: .8em } p { margin: .4em 0 }
  a { color: #0969da } dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: .6em 0 } dt { color: #59636e } dd { margin: 0; overflow-wrap: anywhere }
  .quiet { color: #59636e } .scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9em } caption { text-align: left; color: #59636e; padding: 4px 0 }
  th, td { text-align: right; padding: 4px 9px; border-bottom: 1px solid #d1d9e0; white-space: nowrap } th:first-child, td:first-child, td:nth-child(3) { text-align: left } td.wide { white-space: normal; text-align: left }
  .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 18px; margin: 14px 0 } figure { margin: 0; break-inside: avoid } svg { width: 100%; height: auto }
  @media screen and (prefers-color-scheme: dark) { body { color: #e6edf3; background: #0d1117 } a { color: #4493f8 } h2, th, td { border-color: #3d444d } dt, .quiet, caption { color: #9198a1 } }
  @media print { body { max-width: none; font-size: 10pt; padding: 0 } h2, table { break-after: avoid } .scroll { overflow: visible } th, td { padding: 2px 5px } }
`;

const figure = (svg: Svg, label: string): string => `<figure>${svg.inline(label)}</figure>`;

/** The whole page. Names and notes may contain anything, so they are escaped. */
export function page(result: HarnessResult): string {
  const scenarios = result.scenarios.map(section).join('\n');
  const contents = result.scenarios.map(({ name, title }) => `<li><a href="#${text(name)}">${text(title)}</a></li>`);
  const environment = environmentLines(result.environment).map(
    ([name, value]) => `<dt>${text(name)}</dt><dd>${text(value)}</dd>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Proxies under load</title>
<style>${STYLE}${PICTURES}</style>
</head>
<body>
<header>
<h1>Proxies under load</h1>
<p>${text(runText(result))} CPU time is the scheduler's, of all processes of a subject. A ratio is the median of the rounds' ratios; the range
behind it is its 95 % interval by bootstrap, and it is <em>unclear</em> where that contains 1.</p>
<dl>${environment.join('')}</dl>
${(result.notes ?? []).map((note) => `<p class="quiet">${text(note)}</p>`).join('')}
</header>
<main>
${contents.length > 1 ? `<nav aria-label="Scenarios"><ul>${contents.join('')}</ul></nav>` : ''}
${scenarios === '' ? '<p>No scenario was measured.</p>' : scenarios}
</main>
</body>
</html>
`;
}

function section(scenario: ScenarioResult): string {
  const rows = rowsOf(scenario);
  return `<section id="${text(scenario.name)}">
<h2>${text(scenario.title)}</h2>
<p class="quiet">${text(planText(scenario))}</p>
${headline(rows)}
${isSearch(scenario) ? notes(rows) : table(scenario, rows)}
<div class="figures">
${figures(scenario, rows).join('\n')}
</div>
${coldLines(rows)}
</section>`;
}

const table = ({ title, unit }: ScenarioResult, rows: readonly Row[]): string =>
  `<div class="scroll" role="region" aria-label="Figures of ${text(title)}" tabindex="0">
<table>
<caption>CPU per ${text(unit)}; latency of all rounds together</caption>
<thead><tr>${COLUMNS.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>
<tbody>
${rows.map(tableRow).join('\n')}
</tbody>
</table>
</div>`;

/** Of a search, whose figures are in its curves: what has none, and why. */
const notes = (rows: readonly Row[]): string =>
  rows.flatMap(({ name, note }) => (note === null ? [] : [`<p>${text(name)}: ${text(note)}</p>`])).join('\n');

/** A sentence about the cheapest subject. */
function headline(rows: readonly Row[]): string {
  const ranked = rows
    .flatMap(({ name, cost }) => (cost === null || name === 'direct' ? [] : [{ name, cost }]))
    .sort((a, b) => a.cost.median - b.cost.median);
  const [first, second] = ranked;
  if (first === undefined || second === undefined) return '';
  const share = (first.cost.median / second.cost.median).toFixed(2);
  // This only states the medians. The ratios, if any, say whether a difference is noise.
  const apart = first.cost.most < second.cost.least ? '' : ' Their rounds overlap.';
  return `<p><strong>${text(first.name)}</strong> needed least CPU: ${share} × that of ${text(second.name)}.${apart}</p>`;
}

/** The cold starts, if they were measured. */
function coldLines(rows: readonly Row[]): string {
  const cold = rows.filter(({ coldP99 }) => coldP99.length > 0);
  if (cold.length === 0) return '';
  const items = cold.map(({ name, coldP99 }) => `<li>${text(name)}: ${text(coldP99.map(time).join(', '))}</li>`);
  return `<p>p99 in each of the first seconds of a new process:</p><ul>${items.join('')}</ul>`;
}

function tableRow(row: Row): string {
  const [name, ...cells] = cellsOf(row);
  const head = `<th scope="row" title="${text(row.version)}">${text(name)}</th>`;
  if (row.cost === null)
    return `<tr>${head}<td class="wide quiet" colspan="${cells.length}">${text(cells[0])}</td></tr>`;
  const line = `<tr>${head}${cells.map((value) => `<td>${text(value)}</td>`).join('')}</tr>`;
  return row.note === null
    ? line
    : `${line}\n<tr><td></td><td class="wide quiet" colspan="${cells.length}">${text(row.note)}</td></tr>`;
}

function figures(scenario: ScenarioResult, rows: readonly Row[]): string[] {
  const measured = rows.filter(({ cost }) => cost !== null);
  const costs = measured.flatMap(({ cost }) => (cost === null ? [] : [cost]));
  const list: string[] = [];
  if (costs.length > 0) {
    const said = costs.map(({ name, median }) => `${name} ${median.toPrecision(3)}`).join(', ');
    list.push(figure(costBars(costs, scenario.unit), `CPU per ${scenario.unit} in µs: ${said}`));
  }
  const timed = measured.filter(({ latency }) => latency.totalCount > 0);
  if (timed.length > 0) {
    const said = timed.map(({ name, latency }) => `${name} ${time(latency.getValueAtPercentile(99))}`).join(', ');
    const series = timed.map(({ name, latency }) => seriesOf(name, latency));
    list.push(figure(percentilePlot(series, { title: 'Latency by percentile' }), `p99 of the latency: ${said}`));
  }
  const curves = scenario.subjects.filter(({ curve }) => curve.length > 0);
  if (curves.length > 0) {
    const series = curves.map(({ name, curve }) => ({ name, points: curve.map(({ rate, p99 }) => ({ rate, p99 })) }));
    const said = curves.map(({ name, saturation }) => `${name} ${saturation === null ? '–' : count(saturation)}`);
    list.push(figure(rateCurve(series, null), `highest rate that held the limit: ${said.join(', ')}`));
  }
  for (const subject of scenario.subjects) {
    const columns = heatOf(subject);
    if (columns.length > 0)
      list.push(figure(heatMap(`${subject.name}: latency over time`, columns), `latency of ${subject.name} over time`));
  }
  return list;
}

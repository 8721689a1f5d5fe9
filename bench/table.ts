// The report for people.

import { median, spread } from '../src/harness/statistics.js';
import { direct } from '../src/harness/subjects/subject.js';
import { BASELINE } from './baseline.js';
import type { BaselineResult, BenchResult, ContenderResult } from './measure.js';

const percent = (share: number): string => `${Math.round(share * 100)} %`;

const MIB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2);
}

function medianOf(
  contender: ContenderResult,
  pick: (sample: ContenderResult['samples'][number]) => number | undefined,
): number {
  return median(contender.samples.map(pick).filter((value) => value !== undefined));
}

/** Of a latency bench, and of one that looks at single seconds. */
const LATENCIES = ['firstMean', 'firstP99', 'tenthMean', 'tenthP99', 'mean', 'p50', 'p99', 'p999', 'max'];

/** Medians over the rounds, and what the contender added to those without a proxy; null where no latency was measured. */
function latencyDetails(result: BenchResult, contender: ContenderResult): string | null {
  const of = (one: ContenderResult, key: string) => medianOf(one, (sample) => sample.extra?.[key]);
  const rate = of(contender, 'requestsPerSecond');
  if (Number.isNaN(rate)) return null;
  const without = result.contenders.find(({ name }) => name === direct.name);
  const added = (key: string) =>
    without && without !== contender ? ` (+${(of(contender, key) - of(without, key)).toFixed(0)})` : '';
  const keys = LATENCIES.filter((key) => !Number.isNaN(of(contender, key)));
  const figures = keys.map((key) => `${key} ${of(contender, key).toFixed(0)}${added(key)}`);
  return `${figures.join('  ')} µs at ${rate}/s`;
}

function details(result: BenchResult, contender: ContenderResult): string {
  const latency = latencyDetails(result, contender);
  if (latency !== null) return latency;
  const rate = medianOf(contender, (sample) => sample.rate);
  const user = medianOf(contender, (sample) => sample.userShare);
  const parts = [`± ${percent(spread(contender.samples.map((sample) => sample.value)) / 2)}`];
  const [before, after] = (['beforeBytes', 'afterBytes'] as const).map((key) =>
    medianOf(contender, (sample) => sample.extra?.[key]),
  );
  if (!Number.isNaN(before)) parts.push(`whole process ${MIB(before)} → ${MIB(after)}`);
  if (!Number.isNaN(user)) parts.push(`user ${percent(user)}`);
  if (!Number.isNaN(rate)) parts.push(`${figure(rate)}/s`);
  return parts.join('  ');
}

/** The text of one benchmark: a line per contender, the ratios, the verdict and the notes. */
export function report(result: BenchResult): string {
  const lines = [`${result.name}: ${result.title}, ${result.unit}`];
  const width = Math.max(...result.contenders.map((contender) => contender.name.length), 8);
  for (const contender of result.contenders) {
    const ratio = result.ratios.find((candidate) => candidate.rival.split(' ')[0] === contender.name);
    const versus = ratio ? `ratio ${ratio.median.toFixed(3)} (spread ${percent(ratio.spread)})` : '';
    lines.push(
      `  ${contender.name.padEnd(width)} ${figure(contender.value).padStart(9)}  ${versus.padEnd(28)} ${details(result, contender)}`,
    );
  }
  if (result.bar) {
    const { limit, ambition, rivals } = result.bar;
    const got = result.judged ? `${result.judged.median.toFixed(3)} × ${result.judged.rival}` : 'not measured';
    lines.push(
      `  ${result.passed ? 'PASS' : 'FAIL'}  ${got}; bar ≤ ${limit} × ${rivals.join(' or ')}, ambition ≤ ${ambition}`,
    );
  }
  if (result.limit) {
    const { value, ambition } = result.limit;
    const own = result.contenders.at(0)?.value ?? Number.NaN;
    lines.push(
      `  ${own <= value ? 'PASS' : 'FAIL'}  ${figure(own)} ${result.unit}; bar ≤ ${value}, ambition ≤ ${ambition}`,
    );
  }
  if (result.baseline) lines.push(`  ${againstBaseline(result.baseline, result.unit)}`);
  for (const note of result.notes) lines.push(`  note: ${note}`);
  return lines.join('\n');
}

function againstBaseline(result: BaselineResult | 'failed', unit: string): string {
  if (result === 'failed') return `FAIL  not measured against ${BASELINE}`;
  const { bar, ratio, difference, passed } = result;
  const sign = difference >= 0 ? '+' : '−';
  const got = `${ratio.median.toFixed(3)} × ${BASELINE} (spread ${percent(ratio.spread)})`;
  const more = `${sign}${figure(Math.abs(difference))} ${unit}`;
  const most = bar.kind === 'ratio' ? `${bar.limit} × ${BASELINE}` : `${BASELINE} + ${bar.limit} ${unit}`;
  return `${passed ? 'PASS' : 'FAIL'}  ${got}, ${more}; bar ≤ ${most}`;
}

/** The last lines: one per benchmark, and one more where there is a baseline. */
export function summary(results: readonly BenchResult[]): string {
  const verdict = (result: BenchResult) => (result.passed === null ? 'info' : result.passed ? 'PASS' : 'FAIL');
  return results
    .flatMap((result) => {
      const own = result.limit ? `${figure(result.contenders.at(0)?.value ?? Number.NaN)} ${result.unit}` : '';
      const got = result.judged ? `${result.judged.median.toFixed(3)} × ${result.judged.rival}` : own;
      const bar = result.bar ? `bar ${result.bar.limit}` : result.limit ? `bar ${result.limit.value}` : '';
      const line = `${verdict(result)}  ${result.name.padEnd(15)} ${got.padEnd(30)} ${bar.padEnd(9)} errors ${result.errors}`;
      const baseline = result.baseline ? [`      ${againstBaseline(result.baseline, result.unit)}`] : [];
      return [line, ...baseline];
    })
    .join('\n');
}

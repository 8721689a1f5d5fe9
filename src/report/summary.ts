// A result as rows: one for each subject of a scenario, with the figures for tables and pictures.
import type { Histogram } from 'hdr-histogram-js';
import { JsHistogram } from 'hdr-histogram-js';
import type { HarnessSample, Ratio, ScenarioResult, SubjectResult } from '../harness/results.js';
import type { Cost } from './cost-bars.js';
import { merged } from './distribution.js';
import type { HeatColumn } from './heat-map.js';
import { count, memory, time } from './scale.js';

export interface Row {
  readonly name: string;
  readonly version: string;
  /** Why figures are missing: skipped or failed. */
  readonly note: string | null;
  readonly cost: Cost | null;
  readonly ratios: readonly Ratio[];
  /** Median of the rounds, bytes. */
  readonly memoryBytes: number;
  /** Per unit of work. */
  readonly switches: number;
  readonly rate: number;
  readonly wantedRate: number | null;
  readonly errors: number;
  /** All rounds together. */
  readonly latency: Histogram;
  readonly coldP99: readonly number[];
  readonly saturation: number | null;
}

const median = (values: readonly number[]): number => {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

export const rowsOf = ({ subjects }: ScenarioResult): Row[] => subjects.map(rowOf);

function rowOf(subject: SubjectResult): Row {
  const { name, version, samples, skipped, failed } = subject;
  const of = (pick: (sample: HarnessSample) => number): number[] => samples.map(pick).filter(Number.isFinite);
  const errorsOf = ({ load }: HarnessSample): number => Object.values(load.errors).reduce((sum, more) => sum + more, 0);
  return {
    name,
    version,
    note: skipped === null ? (failed === null ? null : `failed: ${failed}`) : `skipped: ${skipped}`,
    cost: costOf(
      name,
      of(({ cpuUs }) => cpuUs),
      of(({ userShare }) => userShare),
    ),
    ratios: subject.ratios,
    memoryBytes: median(of(({ memoryBytes }) => memoryBytes)),
    switches: median(
      of(
        ({ contextSwitches, load }) =>
          (contextSwitches.voluntary + contextSwitches.involuntary) / Math.max(1, load.done),
      ),
    ),
    rate: median(of(({ load }) => load.done / load.seconds)),
    wantedRate: samples.at(0)?.load.wantedRate ?? null,
    errors: samples.reduce((sum, sample) => sum + errorsOf(sample), 0),
    latency: merged(samples.map(({ load }) => load.latency)),
    coldP99: subject.coldP99,
    saturation: subject.saturation,
  };
}

function costOf(name: string, values: readonly number[], userShares: readonly number[]): Cost | null {
  if (values.length === 0) return null;
  return {
    name,
    median: median(values),
    least: Math.min(...values),
    most: Math.max(...values),
    userShare: median(userShares),
  };
}

/** Latency over time in the first round that has intervals. */
export function heatOf({ samples }: SubjectResult): HeatColumn[] {
  const intervals = samples.find(({ load }) => load.intervals.length > 1)?.load.intervals ?? [];
  return intervals.map(({ startMs, endMs, latency }) => ({ startMs, endMs, counts: countsOf(merged([latency])) }));
}

/** Each recorded value and its count. */
function countsOf(histogram: Histogram): [number, number][] {
  const counts: [number, number][] = [];
  if (!(histogram instanceof JsHistogram)) return counts;
  const values = histogram.recordedValuesIterator;
  values.reset();
  while (values.hasNext()) {
    const { valueIteratedTo, countAddedInThisIterationStep } = values.next();
    counts.push([valueIteratedTo, countAddedInThisIterationStep]);
  }
  return counts;
}

/** For example `0.61 × (0.58 to 0.64) less than haproxy`. */
export function ratioText({ to, value, low, high, verdict }: Ratio): string {
  const range = `${value.toFixed(2)} × ${to} (${low.toFixed(2)} to ${high.toFixed(2)})`;
  return verdict === 'unclear' ? `${range}, unclear` : range;
}

export const COLUMNS = [
  'subject',
  'CPU, µs',
  'against',
  'rate /s',
  'p50',
  'p99',
  'p99.9',
  'longest',
  'memory',
  'errors',
] as const;

/** The cells of a row, in the order of COLUMNS. */
export function cellsOf(row: Row): string[] {
  if (row.cost === null) return [row.name, row.note ?? 'no samples', ...COLUMNS.slice(2).map(() => '')];
  const { cost, latency } = row;
  const at = (percentile: number): string =>
    latency.totalCount === 0 ? '–' : time(latency.getValueAtPercentile(percentile));
  return [
    row.name,
    `${cost.median.toPrecision(3)}${cost.most > cost.least ? ` (${cost.least.toPrecision(3)} to ${cost.most.toPrecision(3)})` : ''}`,
    row.ratios.map(ratioText).join('; ') || '–',
    count(row.rate),
    at(50),
    at(99),
    at(99.9),
    latency.totalCount === 0 ? '–' : time(latency.getValueAtPercentile(100)),
    memory(row.memoryBytes),
    String(row.errors),
  ];
}

// Compares two runs: what changed, and whether it is more than noise. Pure functions.
import { percentilesOf } from './latencies.js';
import { pairedRatios } from './ratios.js';
import type { HarnessResult, HarnessSample, ScenarioResult, SubjectResult } from './results.js';
import { ENOUGH_ROUNDS, type Interval, median, ratioInterval } from './statistics.js';

export type Figure = 'cpu' | 'p50' | 'p99' | 'p99.9' | 'rate' | 'memory' | 'saturation';

export interface Change {
  readonly scenario: string;
  readonly subject: string;
  readonly figure: Figure;
  readonly unit: string;
  readonly before: number;
  readonly after: number;
  /** After divided by before. */
  readonly ratio: number;
  /** Its 95 % bootstrap interval. */
  readonly low: number;
  readonly high: number;
  /** `noise`: the interval allows no conclusion, or the change is below the threshold; `unclear`: too few rounds or starts to tell. */
  readonly verdict: 'better' | 'worse' | 'noise' | 'unclear';
}

export interface Comparison {
  readonly changes: readonly Change[];
  /** What could not be compared, and what casts doubt on the rest. */
  readonly notes: readonly string[];
  readonly worse: boolean;
}

export interface CompareOptions {
  /** Smaller changes are noise, whatever the interval says: 0.02 is 2 %. */
  readonly threshold: number;
  /** Compare costs relative to this subject's in the same round, so that another day's machine does not matter; null: absolute. */
  readonly relativeTo: string | null;
}

interface Measure {
  readonly figure: Figure;
  readonly unit: string;
  readonly more: 'better' | 'worse';
  /** Up to this ratio (0.2: by 20 %) it differs between starts of the same build. All rounds are of one start, so that is not in their spread. */
  readonly byStart: number;
  /** Value of each round; empty if it has no meaning. */
  values(subject: SubjectResult): readonly number[];
}

const each = (value: (sample: HarnessSample) => number) => (subject: SubjectResult) =>
  subject.samples.map(value).filter((one) => Number.isFinite(one) && one > 0);

const MIB = 2 ** 20;
/** Two runs of one build have differed by 16 %: in what was compiled, and in what of the heap was free when it was looked at. */
const MEMORY_BY_START = 0.2;

/** With a given rate, latency is meaningful; without, throughput is. */
function measures({ plan, unit }: ScenarioResult): Measure[] {
  const latency = (figure: Figure, key: 'p50' | 'p99' | 'p999'): Measure => ({
    figure,
    unit: 'µs',
    more: 'worse',
    byStart: 0,
    values: each(({ load }) => percentilesOf(load.latency)[key]),
  });
  const paced: Measure[] =
    plan.pace.kind === 'closed'
      ? [
          {
            figure: 'rate',
            unit: `${unit}/s`,
            more: 'better',
            byStart: 0,
            values: each(({ load }) => load.done / load.seconds),
          },
        ]
      : [latency('p50', 'p50'), latency('p99', 'p99'), latency('p99.9', 'p999')];
  return [
    { figure: 'cpu', unit: `µs CPU/${unit}`, more: 'worse', byStart: 0, values: each(({ cpuUs }) => cpuUs) },
    ...paced,
    {
      figure: 'memory',
      unit: 'MiB',
      more: 'worse',
      byStart: MEMORY_BY_START,
      values: each(({ memoryBytes }) => memoryBytes / MIB),
    },
  ];
}

function verdict(
  measure: Measure,
  { low, high }: Interval,
  ratio: number,
  rounds: number,
  threshold: number,
): Change['verdict'] {
  if (rounds < ENOUGH_ROUNDS) return Math.abs(ratio - 1) < threshold ? 'noise' : 'unclear';
  const sure = low > 1 || high < 1;
  if (!sure || Math.abs(ratio - 1) < threshold) return 'noise';
  if (Math.abs(ratio - 1) < measure.byStart) return 'unclear';
  const more = ratio > 1;
  return more === (measure.more === 'worse') ? 'worse' : 'better';
}

function change(
  { scenario, subject }: Pick<Change, 'scenario' | 'subject'>,
  measure: Measure,
  before: readonly number[],
  after: readonly number[],
  threshold: number,
): Change | null {
  if (before.length === 0 || after.length === 0) return null;
  const ratio = median(after) / median(before);
  const interval = ratioInterval(after, before);
  return {
    scenario,
    subject,
    figure: measure.figure,
    unit: measure.unit,
    before: median(before),
    after: median(after),
    ratio,
    ...interval,
    verdict: verdict(measure, interval, ratio, Math.min(before.length, after.length), threshold),
  };
}

/** Costs as ratios to those of `to` in the same rounds. */
function relativeCosts(scenario: ScenarioResult, subject: SubjectResult, to: string): readonly number[] {
  const other = scenario.subjects.find(({ name }) => name === to);
  return other === undefined ? [] : pairedRatios(subject.samples, other.samples, ({ cpuUs }) => cpuUs);
}

function compareSubject(
  [before, after]: readonly [ScenarioResult, ScenarioResult],
  [was, is]: readonly [SubjectResult, SubjectResult],
  { threshold, relativeTo }: CompareOptions,
): Change[] {
  const named = { scenario: after.name, subject: is.name };
  const changes = measures(after).map((measure) => {
    if (measure.figure !== 'cpu' || relativeTo === null)
      return change(named, measure, measure.values(was), measure.values(is), threshold);
    if (is.name === relativeTo) return null;
    const relative = { ...measure, unit: `× ${relativeTo}` };
    return change(
      named,
      relative,
      relativeCosts(before, was, relativeTo),
      relativeCosts(after, is, relativeTo),
      threshold,
    );
  });
  const found = changes.filter((one) => one !== null);
  // A single figure from a search: it has no spread.
  if (was.saturation !== null && is.saturation !== null && was.saturation > 0) {
    const ratio = is.saturation / was.saturation;
    const figures = { before: was.saturation, after: is.saturation, ratio, low: ratio, high: ratio };
    const unit = 'request/s';
    found.push({ ...named, figure: 'saturation', unit, ...figures, verdict: ratio === 1 ? 'noise' : 'unclear' });
  }
  return found;
}

/** The parts of a plan that make two scenarios of the same name different work. */
function work({ plan, unit }: ScenarioResult): string {
  const { protocol, method, bodyBytes, pace, connections, streams, keepAlive, tls } = plan;
  return JSON.stringify([unit, protocol, method, bodyBytes, pace, connections, streams, keepAlive, tls === null]);
}

function environmentNotes(before: HarnessResult, after: HarnessResult): string[] {
  const keys = ['cpu', 'cores', 'kernel', 'node', 'architecture'] as const;
  const different = keys.filter((key) => before.environment[key] !== after.environment[key]);
  const notes = different.map(
    (key) => `the runs differ in ${key}: ${before.environment[key]} and ${after.environment[key]}`,
  );
  if (before.interrupted || after.interrupted) notes.push('one of the runs was ended early');
  return notes;
}

function compareScenario(
  before: ScenarioResult,
  after: ScenarioResult,
  options: CompareOptions,
  notes: string[],
): Change[] {
  if (work(before) !== work(after)) {
    notes.push(`${after.name}: the work differs, so nothing is compared`);
    return [];
  }
  const changes: Change[] = [];
  for (const is of after.subjects) {
    const was = before.subjects.find(({ name }) => name === is.name);
    const name = `${after.name}: ${is.name}`;
    if (was === undefined) notes.push(`${name} is only in the second run`);
    else if (was.skipped !== null && is.skipped !== null) continue;
    else if (was.skipped !== null || is.skipped !== null)
      notes.push(
        `${name} was skipped in the ${was.skipped !== null ? 'first' : 'second'} run: ${was.skipped ?? is.skipped}`,
      );
    else {
      if (was.failed !== null || is.failed !== null)
        notes.push(`${name} failed in the ${is.failed !== null ? 'second' : 'first'} run: ${is.failed ?? was.failed}`);
      if (was.version !== is.version) notes.push(`${name}: version ${was.version} and ${is.version}`);
      changes.push(...compareSubject([before, after], [was, is], options));
    }
  }
  for (const { name } of before.subjects)
    if (!after.subjects.some((one) => one.name === name)) notes.push(`${after.name}: ${name} is only in the first run`);
  return changes;
}

export function compare(before: HarnessResult, after: HarnessResult, options: CompareOptions): Comparison {
  const notes = environmentNotes(before, after);
  const changes: Change[] = [];
  for (const is of after.scenarios) {
    const was = before.scenarios.find(({ name }) => name === is.name);
    if (was === undefined) notes.push(`${is.name} is only in the second run`);
    else changes.push(...compareScenario(was, is, options, notes));
  }
  for (const { name } of before.scenarios)
    if (!after.scenarios.some((one) => one.name === name)) notes.push(`${name} is only in the first run`);
  // A subject that worked and no longer does is worse, whatever the figures say.
  const broken = after.scenarios.some(({ name, subjects }) =>
    subjects.some(({ name: subject, failed }) => failed !== null && worked(before, name, subject)),
  );
  return { changes, notes, worse: broken || changes.some(({ verdict: one }) => one === 'worse') };
}

function worked({ scenarios }: HarnessResult, scenario: string, subject: string): boolean {
  const found = scenarios.find(({ name }) => name === scenario)?.subjects.find(({ name }) => name === subject);
  return found !== undefined && found.skipped === null && found.failed === null;
}

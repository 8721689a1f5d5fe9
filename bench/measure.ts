// Interleaved rounds: every contender is measured once per round, so that what disturbs the machine disturbs all of them alike,
// and the ratio is taken within the round.

import type { Started } from '../src/harness/processes.js';
import { median, spread } from '../src/harness/statistics.js';
import type { Running, Subject } from '../src/harness/subjects/subject.js';
import { BASELINE } from './baseline.js';
import type { BaselineBar, Bench, Limit, Sample } from './bench.js';
import type { Session } from './session.js';

export interface ContenderResult {
  readonly name: string;
  readonly samples: readonly Sample[];
  /** Median of the samples' values. */
  readonly value: number;
  readonly errors: number;
}

export interface RatioResult {
  readonly rival: string;
  readonly rounds: readonly number[];
  readonly median: number;
  /** (largest − smallest) / median. */
  readonly spread: number;
}

/** New against old. */
export interface BaselineResult {
  readonly bar: BaselineBar;
  readonly ratio: RatioResult;
  /** New median less the old one, in the benchmark's unit. */
  readonly difference: number;
  readonly passed: boolean;
}

export interface BenchResult {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly bar: { readonly limit: number; readonly ambition: number; readonly rivals: readonly string[] } | null;
  readonly contenders: readonly ContenderResult[];
  readonly limit: Limit | null;
  /** First contender against each of the others. */
  readonly ratios: readonly RatioResult[];
  /** The ratio that the bar judges. */
  readonly judged: RatioResult | null;
  /** null where there is no bar to judge. */
  readonly passed: boolean | null;
  /** null without `--baseline`, or where nothing is asked of it; `failed` where one of both did not run to its end. */
  readonly baseline: BaselineResult | 'failed' | null;
  readonly errors: number;
  /** Contenders that did not run, and why; and anything that casts doubt on the figures. */
  readonly notes: readonly string[];
}

export interface MeasureOptions {
  readonly rounds: number;
  readonly seconds: number;
  readonly progress: (text: string) => void;
}

/** Above this, figures are reported with a warning. */
const NOISE = 0.1;

export async function measure(session: Session, bench: Bench, options: MeasureOptions): Promise<BenchResult> {
  const notes: string[] = [];
  const present: Subject[] = [];
  for (const contender of bench.contenders) {
    const missing = contender.missing();
    if (missing === null) present.push(contender);
    else notes.push(`${contender.name} did not run: ${missing}`);
  }
  const before = session.processes();
  try {
    const work = { ...bench.work, upstream: await bench.upstream(session) };
    const samples = new Map<string, Sample[]>();
    const kept = new Map<string, Running>();
    const sampleOnce = async (contender: Subject): Promise<Sample> => {
      const running = kept.get(contender.name) ?? (await contender.start(session, work));
      if (!bench.fresh) kept.set(contender.name, running);
      try {
        const sample = await bench.sample(session, running, options.seconds);
        return bench.ends || alive(running.started) ? sample : { ...sample, errors: sample.errors + 1 };
      } finally {
        if (bench.fresh) await session.stop(running.started);
      }
    };
    const attempt = async (contender: Subject): Promise<Sample | null> => {
      try {
        return await sampleOnce(contender);
      } catch (error) {
        notes.push(`${contender.name} failed: ${error instanceof Error ? error.message : String(error)}`);
        present.splice(present.indexOf(contender), 1);
        return null;
      }
    };
    // One round to warm up (compilers, pools, page cache), thrown away. Its errors still count.
    for (const contender of [...present]) {
      const sample = bench.fresh ? null : await attempt(contender);
      if (sample && sample.errors > 0) notes.push(`${contender.name}: ${sample.errors} errors while warming up`);
    }
    for (const [name, running] of kept) {
      const complaint = await running.check?.();
      if (complaint) notes.push(`${name} failed: ${complaint}`);
    }
    await bench.calibrate?.(session, [...kept.values()], options.seconds);
    for (let round = 0; round < options.rounds; round++) {
      // Every other round runs backwards: a drift within the round then cancels out.
      for (const contender of round % 2 === 0 ? [...present] : [...present].reverse()) {
        const sample = await attempt(contender);
        if (!sample) continue;
        const list = samples.get(contender.name) ?? [];
        list.push(sample);
        samples.set(contender.name, list);
        options.progress(
          `${bench.name} ${round + 1}/${options.rounds} ${contender.name} ${sample.value.toFixed(2)} ${bench.unit}`,
        );
      }
    }
    return judge(bench, samples, notes);
  } finally {
    for (const started of session.processes()) if (!before.includes(started)) await session.stop(started);
  }
}

function alive(started: Started): boolean {
  return started.child.exitCode === null && started.child.signalCode === null;
}

export function judge(bench: Bench, samples: ReadonlyMap<string, readonly Sample[]>, notes: string[]): BenchResult {
  const contenders: ContenderResult[] = [];
  for (const { name } of bench.contenders) {
    const list = samples.get(name);
    if (!list || list.length === 0) continue;
    const errors = list.reduce((sum, sample) => sum + sample.errors, 0);
    contenders.push({ name, samples: list, value: median(list.map((sample) => sample.value)), errors });
    if (errors > 0) notes.push(`${name}: ${errors} errors`);
    const foreign = median(list.flatMap((sample) => (sample.foreign === undefined ? [] : [sample.foreign])));
    if (foreign > NOISE) notes.push(`${name}: others used ${Math.round(foreign * 100)} % of its core meanwhile`);
  }
  const subject = contenders.find((contender) => contender.name === bench.contenders[0].name);
  const ratios = subject
    ? contenders.filter((rival) => rival !== subject).map((rival) => ratio(subject, rival))
    : ratiosBetweenRivals(contenders);
  for (const { rival, spread: wide } of ratios) {
    if (wide > NOISE) notes.push(`ratio to ${rival} spreads ${Math.round(wide * 100)} % over the rounds`);
  }
  const errors = contenders.reduce((sum, contender) => sum + contender.errors, 0);
  const judged = subject && bench.bar ? best(bench.bar.rivals, contenders, ratios) : null;
  // A rival of the bar that is not there could be the better one: the bar then counts as failed.
  const complete = bench.bar?.rivals.every((name) => contenders.some((contender) => contender.name === name)) ?? true;
  const failed = notes.some((note) => note.includes(' failed: ') || note.includes('while warming up'));
  const { limit = null } = bench;
  const beaten = !bench.bar || (judged !== null && complete && judged.median <= bench.bar.limit);
  const within = limit === null || (subject !== undefined && subject.value <= limit.value);
  const passed = bench.bar || limit ? beaten && within && errors === 0 && !failed : null;
  const baseline = againstBaseline(bench, contenders, errors > 0 || failed);
  const { name, title, unit, bar } = bench;
  const all = errors + (failed ? 1 : 0);
  return { name, title, unit, bar, limit, contenders, ratios, judged, passed, baseline, errors: all, notes };
}

function againstBaseline(
  { baselineBar: bar, contenders: [first] }: Bench,
  contenders: readonly ContenderResult[],
  failed: boolean,
): BaselineResult | 'failed' | null {
  if (!bar) return null;
  const now = contenders.find(({ name }) => name === first.name);
  const old = contenders.find(({ name }) => name === BASELINE);
  if (!now || !old || failed) return 'failed';
  const result = ratio(now, old);
  const difference = now.value - old.value;
  const passed = (bar.kind === 'ratio' ? result.median : difference) <= bar.limit;
  return { bar, ratio: result, difference, passed };
}

function ratio(subject: ContenderResult, rival: ContenderResult): RatioResult {
  const count = Math.min(subject.samples.length, rival.samples.length);
  const rounds = Array.from({ length: count }, (_, i) => subject.samples[i].value / rival.samples[i].value);
  return { rival: rival.name, rounds, median: median(rounds), spread: spread(rounds) };
}

/** Without Sluice, the rivals are compared with each other: it tells how steady the machine is. */
function ratiosBetweenRivals(contenders: readonly ContenderResult[]): RatioResult[] {
  const [first, ...others] = contenders;
  return first ? others.map((rival) => ({ ...ratio(first, rival), rival: `${rival.name} (of ${first.name})` })) : [];
}

function best(
  names: readonly string[],
  contenders: readonly ContenderResult[],
  ratios: readonly RatioResult[],
): RatioResult | null {
  const rivals = contenders.filter((contender) => names.includes(contender.name)).sort((a, b) => a.value - b.value);
  return ratios.find((candidate) => candidate.rival === rivals[0]?.name) ?? null;
}

// Finds the highest rate at which each subject keeps its latency, one after the other, with the curve measured on the way.
import { percentilesOf } from './latencies.js';
import type { MatrixOptions } from './matrix.js';
import { coreList } from './placement.js';
import { type Outcome, RateSearch, type SearchOptions } from './rate-search.js';
import type { CurvePoint, HarnessResult, HarnessSample, ScenarioResult, SubjectResult } from './results.js';
import { ScenarioRun, SubjectRun } from './scenario-run.js';
import { planOf, type Scenario } from './scenarios.js';
import { direct } from './subjects/subject.js';

export interface SaturationOptions extends Omit<MatrixOptions, 'rounds' | 'reference'> {
  /** `from` null: a quarter of what goes through in a closed loop. */
  readonly search: Omit<SearchOptions, 'from'> & { readonly from: number | null };
  /** The percentile to keep under the limit. */
  readonly percentile: 'p50' | 'p99' | 'p999';
  readonly limitUs: number;
}

/** Minimum share of the requested rate that must be achieved: unsent requests have no latency. */
const ENOUGH = 0.97;
/** Maximum share of errors. */
const MAX_ERROR_RATE = 0.001;
/** If the subject's cores are less busy than this, something else was the bottleneck. */
const BUSY = 0.8;
/** Share of cores that others may use. Above it a rate that does not hold says nothing of the subject. */
const DISTURBED = 0.1;
const FIRST_SHARE = 0.25;
/** If nothing goes through in a closed loop. */
const FIRST_RATE = 1000;
const OVERHEAD = 0.3;

/** The result of a load at one rate. */
export function pointOf(
  sample: HarnessSample,
  wantedRate: number,
  { percentile, limitUs }: Pick<SaturationOptions, 'percentile' | 'limitUs'>,
): CurvePoint {
  const { done, seconds, errors: kinds, latency } = sample.load;
  const errors = Object.values(kinds).reduce((sum, count) => sum + count, 0);
  const { p50, p99, p999 } = percentilesOf(latency);
  const rate = done / seconds;
  const right = done > 0 && errors <= (done + errors) * MAX_ERROR_RATE;
  const held = right && rate >= wantedRate * ENOUGH && { p50, p99, p999 }[percentile] <= limitUs;
  return { wantedRate, rate, cpuUs: sample.cpuUs, p50, p99, p999, errors, held };
}

/** Points by rate; if a rate was tried several times, the last one that agrees with the majority. */
export function curveOf(points: readonly CurvePoint[]): CurvePoint[] {
  const rates = [...new Set(points.map(({ wantedRate }) => wantedRate))].sort((a, b) => a - b);
  return rates.flatMap((rate) => {
    const tried = points.filter(({ wantedRate }) => wantedRate === rate);
    const held = tried.filter((point) => point.held).length * 2 >= tried.length;
    return tried.filter((point) => point.held === held).slice(-1);
  });
}

/** Share of the cores that others used: of the subject's, or of those of the load and the server behind. */
const disturbanceOf = ({ foreign, loadForeign = 0 }: HarnessSample): number => Math.max(foreign, loadForeign);

const outcomeOf = ({ held }: CurvePoint, sample: HarnessSample): Outcome =>
  held ? 'held' : disturbanceOf(sample) > DISTURBED ? 'disturbed' : 'failed';

class Saturation {
  /** Largest share of cores that others used while a rate did not hold. */
  #foreign = 0;
  readonly #options: SaturationOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #scenarios: ScenarioResult[] = [];
  readonly #notes: string[];

  constructor(options: SaturationOptions) {
    this.#options = options;
    const { shared } = options.placement;
    this.#notes = [...options.notes, ...(shared === null ? [] : [shared])];
  }

  async run(): Promise<HarnessResult> {
    const { scenarios, subjects, signal, saved } = this.#options;
    for (const scenario of scenarios) {
      const results: SubjectResult[] = [];
      for (const subject of subjects) {
        if (signal.aborted) break;
        results.push(await this.#subject(scenario, new SubjectRun(subject, scenario)));
        saved(this.#result([this.#scenario(scenario, results)]));
      }
      if (results.length > 0) this.#scenarios.push(this.#scenario(scenario, results));
    }
    return this.#result([]);
  }

  async #subject(scenario: Scenario, run: SubjectRun): Promise<SubjectResult> {
    const { coldSeconds, progress } = this.#options;
    const scenarioRun = new ScenarioRun({ ...this.#options, scenario });
    const points: CurvePoint[] = [];
    let search: RateSearch | null = null;
    try {
      if (run.isActive) {
        await scenarioRun.open();
        progress.at(`${scenario.name}: ${run.name} starts`);
        await scenarioRun.start(run);
        await scenarioRun.warm(run, coldSeconds);
        search = new RateSearch({ ...this.#options.search, from: await this.#first(scenarioRun, scenario, run) });
        await this.#search(scenarioRun, scenario, run, search, points);
      }
    } catch (error) {
      run.failed = error instanceof Error ? error.message : String(error);
    } finally {
      await scenarioRun.close([run]);
    }
    if (run.failed !== null) progress.say(`${scenario.name}: ${run.name} failed: ${run.failed}`);
    // If the search was cut short, the rate that held is a lower bound and not an answer.
    const over = search !== null && search.next === null && run.failed === null && points.length > 0;
    if (search !== null && over) this.#tell(scenario, run, search, points);
    // That nothing holds is no answer either if the machine was busy with other things.
    const found = search !== null && over ? (search.found ?? (search.doubtful ? null : 0)) : null;
    return { ...run.result(), curve: curveOf(points), saturation: found };
  }

  /** The first rate: one that can be reached. */
  async #first(scenarioRun: ScenarioRun, scenario: Scenario, run: SubjectRun): Promise<number> {
    const { seconds, progress, search } = this.#options;
    if (search.from !== null) return search.from;
    progress.at(`${scenario.name}: ${run.name}, as much as goes through`);
    const sample = await scenarioRun.sample(run, 0, seconds, { kind: 'closed', thinkMs: 0 });
    const rate = sample === null ? 0 : sample.load.done / sample.load.seconds;
    return rate > 0 ? rate * FIRST_SHARE : FIRST_RATE;
  }

  async #search(
    scenarioRun: ScenarioRun,
    scenario: Scenario,
    run: SubjectRun,
    search: RateSearch,
    points: CurvePoint[],
  ): Promise<void> {
    const { seconds, progress, signal } = this.#options;
    for (let rate = search.next; rate !== null && !signal.aborted; rate = search.next) {
      progress.plan(search.left * (seconds + OVERHEAD));
      progress.at(`${scenario.name}: ${run.name} at ${rate}/s`);
      const sample = await scenarioRun.sample(run, points.length, seconds, { kind: 'constant', rate });
      progress.done(seconds + OVERHEAD);
      if (sample === null) return;
      const point = pointOf(sample, rate, this.#options);
      points.push(point);
      search.record(outcomeOf(point, sample));
      this.#foreign = Math.max(this.#foreign, point.held ? 0 : disturbanceOf(sample));
    }
  }

  /** Prints the result, and what may have limited it. */
  #tell({ name }: Scenario, run: SubjectRun, search: RateSearch, points: readonly CurvePoint[]): void {
    const { progress, placement } = this.#options;
    const found = search.found;
    const last = points.at(-1);
    const cpu = `CPU ${last?.cpuUs.toPrecision(3)} µs`;
    progress.say(
      found === null
        ? `${name}: ${run.name} holds no rate that was tried, down to ${last?.wantedRate}/s, where p99 was ${((last?.p99 ?? 0) / 1000).toPrecision(3)} ms`
        : `${name}: ${run.name} holds ${found}/s, ${cpu}`,
    );
    if (search.doubtful)
      this.#notes.push(
        `${name}: ${run.name}: the machine was busy with other things, up to ${Math.round(this.#foreign * 100)} % of a core, whenever it did not hold: its limit may be higher`,
      );
    if (search.atMost) this.#notes.push(`${name}: ${run.name} held the most that was tried (--most)`);
    const cores = coreList(placement.subject).length;
    const lowest = points.filter(({ held }) => !held).sort((a, b) => a.wantedRate - b.wantedRate)[0];
    if (lowest === undefined || run.subject === direct) return;
    const used = (lowest.cpuUs * lowest.rate) / 1e6 / Math.max(1, cores);
    if (used < BUSY)
      this.#notes.push(
        `${name}: ${run.name} used ${Math.round(used * 100)} % of its cores when it did not hold: the load or the server behind may have given out first`,
      );
  }

  #scenario(scenario: Scenario, subjects: readonly SubjectResult[]): ScenarioResult {
    const { seconds, io, placement, search } = this.#options;
    const threads = Math.max(1, coreList(placement.load).length);
    const plan = planOf(scenario, 0, {
      seconds,
      threads,
      io,
      pace: { kind: 'constant', rate: search.from ?? FIRST_RATE },
    });
    return { name: scenario.name, title: scenario.title, unit: scenario.unit, plan, subjects };
  }

  #result(unfinished: readonly ScenarioResult[]): HarnessResult {
    return {
      format: 'sluice-bench',
      version: 1,
      startedAt: this.#startedAt,
      environment: this.#options.environment,
      rounds: 1,
      interrupted: this.#options.signal.aborted,
      notes: this.#notes,
      scenarios: [...this.#scenarios, ...unfinished],
    };
  }
}

export const runSaturation = (options: SaturationOptions): Promise<HarnessResult> => new Saturation(options).run();

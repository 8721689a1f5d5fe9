// Scenarios × subjects: each round measures every subject once, so that disturbances of the machine affect all of them alike.
import type { LoadPlan } from '../load/plan.js';
import { coreList, type Placement } from './placement.js';
import type { Processes } from './processes.js';
import type { Progress } from './progress.js';
import { referenceOf, withRatios } from './ratios.js';
import type { Environment, HarnessResult, ScenarioResult } from './results.js';
import { type LoadRunner, ScenarioRun, SubjectRun } from './scenario-run.js';
import { planOf, type Scenario } from './scenarios.js';
import type { Subject } from './subjects/subject.js';

export interface MatrixOptions {
  readonly scenarios: readonly Scenario[];
  readonly subjects: readonly Subject[];
  readonly rounds: number;
  readonly seconds: number;
  /** Duration of the load right after the start. */
  readonly coldSeconds: number;
  readonly workers: number;
  readonly io: LoadPlan['io'];
  readonly placement: Placement;
  readonly environment: Environment;
  readonly processes: Processes;
  readonly runLoad: LoadRunner;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** The subject that others are compared with; null: the first one with a cost. */
  readonly reference: string | null;
  /** Printed next to the figures. */
  readonly notes: readonly string[];
  /** Called with everything known so far, after each round. */
  saved(result: HarnessResult): void;
}

/** Time of a load beyond its own duration, s. */
const OVERHEAD = 0.3;
/** Share of a subject's cores used by others, from which on it is reported. */
const NOISE = 0.1;

class Matrix {
  readonly #options: MatrixOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #done: ScenarioResult[] = [];
  readonly #notes: string[];

  constructor(options: MatrixOptions) {
    this.#options = options;
    const { shared } = options.placement;
    this.#notes = [...options.notes, ...(shared === null ? [] : [shared])];
  }

  async run(): Promise<HarnessResult> {
    const { scenarios, subjects, rounds, seconds, coldSeconds, progress, signal } = this.#options;
    const each = coldSeconds + OVERHEAD + rounds * (seconds + OVERHEAD);
    let left = scenarios.length * subjects.length * each;
    for (const scenario of scenarios) {
      if (signal.aborted) break;
      progress.plan(left);
      await this.#scenario(scenario);
      left -= subjects.length * each;
    }
    return this.result();
  }

  result(unfinished: readonly ScenarioResult[] = []): HarnessResult {
    return {
      format: 'sluice-bench',
      version: 1,
      startedAt: this.#startedAt,
      environment: this.#options.environment,
      rounds: this.#options.rounds,
      interrupted: this.#options.signal.aborted,
      notes: this.#notes,
      scenarios: [...this.#done, ...unfinished],
    };
  }

  async #scenario(scenario: Scenario): Promise<void> {
    const { subjects, progress, saved } = this.#options;
    const runs = subjects.map((subject) => new SubjectRun(subject, scenario));
    const scenarioRun = new ScenarioRun({ ...this.#options, scenario });
    try {
      if (runs.some(({ isActive }) => isActive)) {
        await scenarioRun.open();
        await this.#warm(scenarioRun, scenario, runs);
        await this.#rounds(scenarioRun, scenario, runs);
      }
    } catch (error) {
      // The stage itself failed: nobody can be measured on it.
      const why = error instanceof Error ? error.message : String(error);
      for (const run of runs) if (run.isActive) run.failed = why;
    } finally {
      await scenarioRun.close(runs);
    }
    for (const run of runs) {
      if (run.failed !== null) progress.say(`${scenario.name}: ${run.name} failed: ${run.failed}`);
      this.#noise(scenario, run);
    }
    this.#done.push(this.#resultOf(scenario, runs));
    saved(this.result());
  }

  async #warm(scenarioRun: ScenarioRun, scenario: Scenario, runs: readonly SubjectRun[]): Promise<void> {
    const { coldSeconds, seconds, rounds, progress } = this.#options;
    for (const run of runs) {
      // A subject that does not take part needs nothing.
      if (!run.isActive) {
        progress.done(coldSeconds + OVERHEAD + rounds * (seconds + OVERHEAD));
        continue;
      }
      progress.at(`${scenario.name}: ${run.name} starts`);
      await scenarioRun.start(run);
      progress.at(`${scenario.name}: ${run.name}, first load`);
      await scenarioRun.warm(run, coldSeconds);
      progress.done(coldSeconds + OVERHEAD);
    }
  }

  async #rounds(scenarioRun: ScenarioRun, scenario: Scenario, runs: readonly SubjectRun[]): Promise<void> {
    const { rounds, seconds, progress, signal, saved } = this.#options;
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      // Every other round runs backwards, so that drift within rounds cancels out.
      const order = round % 2 === 0 ? runs : [...runs].reverse();
      const figures: string[] = [];
      for (const run of order) {
        if (!run.isActive || signal.aborted) continue;
        progress.at(`${scenario.name}: ${run.name}, round ${round + 1} of ${rounds}`);
        const sample = await scenarioRun.sample(run, round, seconds);
        progress.done(seconds + OVERHEAD);
        if (sample === null) continue;
        run.samples.push(sample);
        figures.push(`${run.name} ${sample.cpuUs.toPrecision(3)}`);
      }
      if (figures.length > 0)
        progress.say(
          `${scenario.name}, round ${round + 1} of ${rounds}, µs CPU/${scenario.unit}: ${figures.join(', ')}`,
        );
      saved(this.result([this.#resultOf(scenario, runs)]));
    }
  }

  #noise(scenario: Scenario, { name, samples }: SubjectRun): void {
    const worst = Math.max(0, ...samples.map(({ foreign }) => foreign));
    if (worst > NOISE)
      this.#notes.push(`${scenario.name}: others used up to ${Math.round(worst * 100)} % of the cores of ${name}`);
  }

  #resultOf(scenario: Scenario, runs: readonly SubjectRun[]): ScenarioResult {
    const { name, title, unit } = scenario;
    const { seconds, io, placement } = this.#options;
    const threads = Math.max(1, coreList(placement.load).length);
    // Each subject has its own port.
    const plan = planOf(scenario, 0, { seconds, threads, io });
    const results = runs.map((each) => each.result());
    return { name, title, unit, plan, subjects: withRatios(results, this.#options.reference ?? referenceOf(results)) };
  }
}

export const runMatrix = (options: MatrixOptions): Promise<HarnessResult> => new Matrix(options).run();

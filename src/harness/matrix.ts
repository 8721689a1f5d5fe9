// Scenarios × subjects: each round measures every subject once, so that disturbances of the machine affect all of them alike.
import type { LoadPlan } from '../load/plan.js';
import { coreList, type Placement } from './placement.js';
import type { Processes } from './processes.js';
import type { Progress } from './progress.js';
import { referenceOf, withRatios } from './ratios.js';
import type { Environment, HarnessResult, ScenarioResult } from './results.js';
import { planOf, type Scenario } from './scenarios.js';
import { Contestant, type LoadRunner, Stage } from './stage.js';
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
    const contestants = subjects.map((subject) => new Contestant(subject, scenario));
    const stage = new Stage({ ...this.#options, scenario });
    try {
      if (contestants.some(({ takesPart }) => takesPart)) {
        await stage.open();
        await this.#warm(stage, scenario, contestants);
        await this.#rounds(stage, scenario, contestants);
      }
    } catch (error) {
      // The stage itself failed: nobody can be measured on it.
      const why = error instanceof Error ? error.message : String(error);
      for (const contestant of contestants) if (contestant.takesPart) contestant.failed = why;
    } finally {
      await stage.close(contestants);
    }
    for (const contestant of contestants) {
      if (contestant.failed !== null) progress.say(`${scenario.name}: ${contestant.name} failed: ${contestant.failed}`);
      this.#noise(scenario, contestant);
    }
    this.#done.push(this.#resultOf(scenario, contestants));
    saved(this.result());
  }

  async #warm(stage: Stage, scenario: Scenario, contestants: readonly Contestant[]): Promise<void> {
    const { coldSeconds, seconds, rounds, progress } = this.#options;
    for (const contestant of contestants) {
      // A subject that does not take part needs nothing.
      if (!contestant.takesPart) {
        progress.done(coldSeconds + OVERHEAD + rounds * (seconds + OVERHEAD));
        continue;
      }
      progress.at(`${scenario.name}: ${contestant.name} starts`);
      await stage.start(contestant);
      progress.at(`${scenario.name}: ${contestant.name}, first load`);
      await stage.warm(contestant, coldSeconds);
      progress.done(coldSeconds + OVERHEAD);
    }
  }

  async #rounds(stage: Stage, scenario: Scenario, contestants: readonly Contestant[]): Promise<void> {
    const { rounds, seconds, progress, signal, saved } = this.#options;
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      // Every other round runs backwards, so that drift within rounds cancels out.
      const order = round % 2 === 0 ? contestants : [...contestants].reverse();
      const figures: string[] = [];
      for (const contestant of order) {
        if (!contestant.takesPart || signal.aborted) continue;
        progress.at(`${scenario.name}: ${contestant.name}, round ${round + 1} of ${rounds}`);
        const sample = await stage.sample(contestant, round, seconds);
        progress.done(seconds + OVERHEAD);
        if (sample === null) continue;
        contestant.samples.push(sample);
        figures.push(`${contestant.name} ${sample.cpuUs.toPrecision(3)}`);
      }
      if (figures.length > 0)
        progress.say(
          `${scenario.name}, round ${round + 1} of ${rounds}, µs CPU/${scenario.unit}: ${figures.join(', ')}`,
        );
      saved(this.result([this.#resultOf(scenario, contestants)]));
    }
  }

  #noise(scenario: Scenario, { name, samples }: Contestant): void {
    const worst = Math.max(0, ...samples.map(({ foreign }) => foreign));
    if (worst > NOISE)
      this.#notes.push(`${scenario.name}: others used up to ${Math.round(worst * 100)} % of the cores of ${name}`);
  }

  #resultOf(scenario: Scenario, contestants: readonly Contestant[]): ScenarioResult {
    const { name, title, unit } = scenario;
    const { seconds, io, placement } = this.#options;
    const threads = Math.max(1, coreList(placement.load).length);
    // Each subject has its own port.
    const plan = planOf(scenario, 0, { seconds, threads, io });
    const results = contestants.map((each) => each.result());
    return { name, title, unit, plan, subjects: withRatios(results, this.#options.reference ?? referenceOf(results)) };
  }
}

export const runMatrix = (options: MatrixOptions): Promise<HarnessResult> => new Matrix(options).run();

// One scenario: the server, the subjects in front of it, and one load on one subject at a time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadPlan, Pace } from '../load/plan.js';
import type { LoadResult } from '../load/result.js';
import { certificates } from './certificates.js';
import { anonymousMemory } from './cpu.js';
import { p99BySecond } from './latencies.js';
import { outputRoot } from './paths.js';
import { coreList, type Placement } from './placement.js';
import { alive, type Processes, type Started } from './processes.js';
import type { HarnessSample, SubjectResult } from './results.js';
import { planOf, type Scenario, unitsOf } from './scenarios.js';
import type { Running, Subject } from './subjects/subject.js';
import { costOf, shareOf, usageOf } from './usage.js';

/** `runLoad` of the load generator. */
export type LoadRunner = (
  plan: LoadPlan,
  report: (progress: unknown) => void,
  signal: AbortSignal,
) => Promise<LoadResult>;

export interface ScenarioRunOptions {
  readonly scenario: Scenario;
  readonly processes: Processes;
  readonly placement: Placement;
  readonly workers: number;
  readonly io: LoadPlan['io'];
  readonly runLoad: LoadRunner;
  readonly signal: AbortSignal;
}

/** Share of wrong or missing answers from which on a subject counts as failed. */
const MAX_ERROR_RATE = 0.01;
/** Minimum part of an interrupted load that still counts as a sample. */
const ENOUGH = 0.5;
/** Before a load whose latency is judged: the generator compiles its code in the first requests of each load, which would be late for it. */
const PACED_WARM_UP_S = 0.5;

/** The subject could not do the work; it gets no further samples. */
class SubjectFailure extends Error {}

export class SubjectRun {
  readonly samples: HarnessSample[] = [];
  coldP99: number[] = [];
  skipped: string | null;
  failed: string | null = null;
  running: Running | null = null;
  readonly version: string;

  constructor(
    readonly subject: Subject,
    scenario: Scenario,
  ) {
    this.skipped = subject.missing() ?? subject.unsupported?.(scenario.work) ?? null;
    this.version = this.skipped === null ? (subject.version?.() ?? '') : '';
  }

  get name(): string {
    return this.subject.name;
  }

  /** Whether it can still be measured. */
  get isActive(): boolean {
    return this.skipped === null && this.failed === null;
  }

  result(): SubjectResult {
    const { name, version, skipped, failed, samples, coldP99 } = this;
    return { name, version, skipped, failed, samples: [...samples], ratios: [], coldP99, curve: [], saturation: null };
  }
}

const list = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${what} × ${count}`)
    .join(', ');

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0);

/** Why a load shows that its subject does not do the work; null: it does. */
export function loadProblem({ done, errors, statuses, interrupted }: LoadResult): string | null {
  const wrong = sum(errors);
  // A wrong answer is still an answer.
  const right = done - (errors.status ?? 0);
  const all = right + wrong;
  if (done === 0 && interrupted) return null;
  if (right <= 0 && wrong === 0) return 'no answer came';
  const said = list(Object.fromEntries(Object.entries(statuses).filter(([status]) => !/^(2..|0)$/.test(status))));
  const what = `${list(errors)}${said === '' ? '' : ` (answers ${said})`}`;
  if (right <= 0) return `no answer was right: ${what}`;
  return wrong / all <= MAX_ERROR_RATE ? null : `${wrong} of ${all} requests failed: ${what}`;
}

function runningOf({ name, running }: SubjectRun): Running {
  if (running === null) throw new Error(`${name} was not started`);
  return running;
}

export class ScenarioRun {
  readonly #options: ScenarioRunOptions;
  #upstream: Started | null = null;
  #upstreamPort = 0;

  constructor(options: ScenarioRunOptions) {
    this.#options = options;
  }

  /** Starts the server behind the subjects. */
  async open(): Promise<void> {
    const { processes, placement, scenario } = this.#options;
    this.#upstreamPort = await processes.port();
    const { kind, bodyBytes } = scenario.upstream;
    const script = join(outputRoot, 'src/harness/upstream/main.js');
    const each = [kind, this.#upstreamPort, bodyBytes, coreList(placement.upstream).length].map(String);
    this.#upstream = processes.start('upstream', placement.upstream, [process.execPath, script, ...each], {
      stdout: 'ignore',
    });
    await processes.listening(this.#upstream, this.#upstreamPort);
  }

  /** Starts a subject; any problem is recorded as its failure. */
  async start(run: SubjectRun): Promise<void> {
    const { processes, placement, scenario, workers } = this.#options;
    await this.#attempt(run, async () => {
      run.running = await run.subject.start(processes, {
        ...scenario.work,
        upstream: this.#upstreamPort,
        workers,
        cores: placement.subject,
        connections: scenario.connections,
      });
    });
  }

  /** The first load after its start warms up compilers, pools and caches; at a given rate, it is measured as the cold start. */
  async warm(run: SubjectRun, seconds: number): Promise<void> {
    await this.#attempt(run, async () => {
      const running = runningOf(run);
      const load = await this.#load(running, seconds);
      this.#check(running, load);
      if (load.wantedRate !== null) run.coldP99 = p99BySecond(load.intervals, load.seconds);
      const complaint = load.interrupted ? null : await running.check?.();
      if (complaint) throw new SubjectFailure(complaint);
    });
  }

  /** One measured load. Null if the subject failed or the run was ended. */
  async sample(run: SubjectRun, round: number, seconds: number, pace?: Pace): Promise<HarnessSample | null> {
    return this.#attempt(run, async () => {
      const running = runningOf(run);
      const { scenario, placement } = this.#options;
      const pids = this.#pidsOf(running);
      const disturbed = this.#watch();
      const before = usageOf(pids, placement.subject);
      const load = await this.#load(running, seconds, pace);
      const after = usageOf(pids, placement.subject);
      if (pace === undefined) this.#check(running, load);
      else this.#alive(running);
      if (load.interrupted && load.seconds < seconds * ENOUGH) return null;
      const cores = coreList(placement.subject);
      const alone = cores.length > 0 && !cores.some((core) => coreList(placement.load).includes(core));
      // The warm-up costs too, and its units are not counted.
      const whole = pace === undefined ? 1 : 1 + PACED_WARM_UP_S / Math.max(load.seconds, PACED_WARM_UP_S);
      const cost = costOf(before, after, unitsOf(scenario, load.done) * whole, cores.length, alone);
      return {
        round,
        cpuUs: cost.cpuUs,
        userShare: cost.userShare,
        memoryBytes: pids.reduce((total, pid) => total + anonymousMemory(pid), 0),
        contextSwitches: { voluntary: cost.voluntary, involuntary: cost.involuntary },
        foreign: cost.foreign,
        loadForeign: disturbed(),
        load,
      };
    });
  }

  async stop(run: SubjectRun): Promise<void> {
    const { running } = run;
    run.running = null;
    if (running === null) return;
    for (const started of [running.started, running.second])
      if (started !== undefined && started !== this.#upstream) await this.#options.processes.stop(started);
    await running.stop?.();
  }

  async close(contestants: readonly SubjectRun[]): Promise<void> {
    for (const run of contestants) await this.stop(run);
    if (this.#upstream !== null) await this.#options.processes.stop(this.#upstream);
  }

  async #load(running: Running, seconds: number, pace?: Pace): Promise<LoadResult> {
    const load = await this.#loadOnce(running, seconds, pace);
    // On a busy machine a short load may produce nothing; a subject that is really silent stays so.
    const silent = load.done === 0 && sum(load.errors) === 0 && !load.interrupted;
    return silent ? this.#loadOnce(running, seconds, pace) : load;
  }

  #loadOnce({ port, address = '127.0.0.1' }: Running, seconds: number, pace?: Pace): Promise<LoadResult> {
    const { scenario, placement, io, runLoad, signal } = this.#options;
    const threads = Math.max(1, coreList(placement.load).length);
    const given = pace === undefined ? {} : { pace, warmupSeconds: PACED_WARM_UP_S };
    const plan = planOf(scenario, port, { seconds, threads, io, ...given });
    const targets = plan.targets.map((target) => ({ ...target, address }));
    return runLoad({ ...plan, targets, tls: this.#tls(plan) }, () => undefined, signal);
  }

  /** Subjects use certificates that were created for this run. */
  #tls({ tls }: LoadPlan): LoadPlan['tls'] {
    if (tls === null) return null;
    const { processes, scenario } = this.#options;
    const { anchors, client } = certificates(processes);
    const text = (file: string): string => readFileSync(file, 'utf8');
    const own = scenario.work.tls === 'mutual' ? { certificate: text(client.certificate), key: text(client.key) } : {};
    return { ...tls, authorities: text(anchors), ...own };
  }

  /** Starts watching the cores of the load and the server behind. The result says which share of them others have used since. */
  #watch(): () => number {
    const { load, upstream, subject } = this.#options.placement;
    const cores = [...new Set([...coreList(load), ...coreList(upstream)])];
    const pids = this.#upstream === null ? [] : [this.#upstream.pid];
    // If the subject shares a core with them, its use is not foreign.
    if (cores.some((core) => coreList(subject).includes(core))) return () => 0;
    const [before, at] = [shareOf(pids, cores), process.hrtime.bigint()];
    return () => {
      const after = shareOf(pids, cores);
      const elapsedUs = (Number(process.hrtime.bigint() - at) / 1000) * cores.length;
      const others = after.busyUs - before.busyUs - (after.ownUs - before.ownUs);
      return Math.min(1, Math.max(0, others / Math.max(1, elapsedUs)));
    };
  }

  /** The processes whose cost counts: none for `direct`. */
  #pidsOf({ started, second }: Running): number[] {
    return [started, second].flatMap((one) => (one === undefined || one === this.#upstream ? [] : [one.pid]));
  }

  #alive({ started, second }: Running): void {
    for (const one of [started, second])
      if (one !== undefined && !alive(one))
        throw new SubjectFailure(`it ended (${one.child.signalCode ?? one.child.exitCode}): ${one.stderr().trim()}`);
  }

  #check(running: Running, load: LoadResult): void {
    this.#alive(running);
    const why = loadProblem(load);
    if (why !== null) throw new SubjectFailure(why);
  }

  /** A rejection ends only this subject. */
  async #attempt<T>(run: SubjectRun, work: () => Promise<T>): Promise<T | null> {
    const { signal } = this.#options;
    if (!run.isActive || signal.aborted) return null;
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return null;
      run.failed = this.#reason(run, error);
      await this.stop(run);
      return null;
    }
  }

  #reason({ running }: SubjectRun, error: unknown): string {
    if (this.#upstream !== null && !alive(this.#upstream))
      return `the server behind it ended: ${this.#upstream.stderr().trim()}`;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof SubjectFailure || running === null || alive(running.started)) return message;
    return `it ended (${running.started.child.signalCode ?? running.started.child.exitCode}): ${running.started.stderr().trim() || message}`;
  }
}

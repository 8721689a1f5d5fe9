// What a benchmark is: contenders, a way to take one sample from one of them, and a bar.
import { type CpuTime, coreBusy, cpuTime } from '../src/harness/cpu.js';
import type { Running, Subject, Work } from '../src/harness/subjects/subject.js';
import type { Load } from './load.js';
import type { Session } from './session.js';

export interface Sample {
  /** Cost in the benchmark's unit: less is better. */
  readonly value: number;
  readonly errors: number;
  /** Work done a second: requests, connections or GB. */
  readonly rate?: number;
  /** User-space share of the CPU time, 0..1. */
  readonly userShare?: number;
  /** Share of the measured core that others used meanwhile, 0..1. */
  readonly foreign?: number;
  /** Further figures for the table and the JSON. */
  readonly extra?: Readonly<Record<string, number>>;
}

export interface Bar {
  readonly limit: number;
  readonly ambition: number;
  /** Names of the rivals; the one with the lowest cost counts. */
  readonly rivals: readonly string[];
}

/** How much more than an older build's the cost may be. */
export type BaselineBar =
  /** At most so many times the baseline's, in the median of the rounds. */
  | { readonly kind: 'ratio'; readonly limit: number }
  /** At most so much above it, in the benchmark's unit: where a sample may be nothing, or less, a ratio means nothing. */
  | { readonly kind: 'difference'; readonly limit: number };

/** What a figure may be by itself, in the benchmark's unit. */
export interface Limit {
  readonly value: number;
  readonly ambition: number;
}

export interface Bench {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  /** null: informational. */
  readonly bar: Bar | null;
  /** Of the first contender, whatever others need. */
  readonly limit?: Limit;
  /** What an older build is held against (`--baseline`); the other figures say nothing of a few percent. */
  readonly measures: 'cpu' | 'memory' | 'latency' | 'process' | 'start';
  /** Judges against the contender of the name `baseline`. */
  readonly baselineBar?: BaselineBar;
  /** The contender that the bar is about comes first. */
  readonly contenders: readonly Subject[];
  readonly work: Omit<Work, 'upstream'>;
  /** A new process for every sample: for what a process does not give back, such as memory. */
  readonly fresh?: boolean;
  /** A sample ends the process itself. */
  readonly ends?: boolean;
  /** Starts the upstream; returns its port. */
  upstream(session: Session): Promise<number>;
  /** Runs before the first round, with all contenders that run. */
  calibrate?(session: Session, running: readonly Running[], seconds: number): Promise<void>;
  sample(session: Session, running: Running, seconds: number): Promise<Sample>;
}

/** CPU time of all that is measured. */
function usage({ started, second }: Running): CpuTime {
  const first = cpuTime(started.pid);
  if (second === undefined) return first;
  const other = cpuTime(second.pid);
  return { total: first.total + other.total, user: first.user + other.user, system: first.system + other.system };
}

/** CPU cost of `load` on `running`, in µs per unit times `scale`. */
export async function cpuSample(
  running: Running,
  cores: string,
  load: () => Promise<Load>,
  scale = 1,
): Promise<Sample> {
  const list = cores.split(',').map(Number);
  const busy = () => list.reduce((sum, core) => sum + coreBusy(core), 0);
  const cpuOf = () => usage(running);
  const [before, busyBefore, from] = [cpuOf(), busy(), process.hrtime.bigint()];
  const { units, errors, seconds } = await load();
  const [after, busyAfter, to] = [cpuOf(), busy(), process.hrtime.bigint()];
  const cpu = after.total - before.total;
  const user = after.user - before.user;
  const system = after.system - before.system;
  const elapsed = (Number(to - from) / 1000) * list.length;
  return {
    value: units > 0 ? (cpu / units) * scale : Number.NaN,
    errors: errors + (units > 0 ? 0 : 1),
    rate: units / seconds,
    userShare: user / Math.max(1, user + system),
    // With one core for the proxy and none of the load on it, whatever else ran there is noise.
    ...(list.length === 1 ? { foreign: Math.max(0, (busyAfter - busyBefore - cpu) / elapsed) } : {}),
    extra: { cores: cpu / (elapsed / list.length) },
  };
}

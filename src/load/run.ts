// Runs a load: starts threads, lets them begin together, watches their measurements, and returns the result.
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { configureCompiler } from '../code/compiler.js';
import { leaveRemovedDirectory } from '../code/removed-directory.js';
import { native } from '../io/native.js';
import { IntervalRecorder, Measurements, merge, percentileOf, type SparseCounts } from './measurements.js';
import type { LoadPlan } from './plan.js';
import type { LoadInterval, LoadResult } from './result.js';
import { sharesOf } from './shares.js';
import { AT, allocateTally, HISTOGRAM, lowestOf, PHASE } from './tally.js';
import { type LoadTask, ORDER } from './task.js';

const THREAD_FILE = fileURLToPath(new URL('../../workers/load.js', import.meta.url));
/** Interval for watching threads before they begin and after the measured time; ms. */
const POLL_MS = 5;
const INTERVAL_MS = 1000;
/** Time from the order to the start, so that all threads have seen it. */
const LEAD_US = 60_000;

/** Progress of a load. */
export interface LoadProgress {
  readonly phase: 'connecting' | 'warm-up' | 'measuring' | 'finishing';
  /** Elapsed time including the warm-up, and the planned total. */
  readonly elapsedSeconds: number;
  readonly totalSeconds: number;
  /** Over the last second. */
  readonly rate: number;
  readonly p50: number;
  readonly p99: number;
  /** Over the whole time. */
  readonly done: number;
  readonly errors: number;
  readonly connections: number;
}

/** No connection could be established. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';

  constructor(
    message: string,
    /** By their kind. */
    readonly errors: Readonly<Record<string, number>>,
    /** As in the result. */
    readonly unexpected: string | undefined,
    readonly goaway: string | undefined,
  ) {
    super(message);
  }
}

/** Runs the requested load. If ended by `signal`, returns what was measured until then. */
export async function runLoad(
  plan: LoadPlan,
  report: (progress: LoadProgress) => void,
  signal: AbortSignal,
): Promise<LoadResult> {
  const threads = new LoadThreads(plan);
  try {
    await Promise.race([threads.prepare(signal), threads.crashed]);
    return await Promise.race([new LoadMonitor(plan, threads, report, signal).result(), threads.crashed]);
  } finally {
    await threads.terminate();
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** The threads. */
class LoadThreads {
  readonly measured: Measurements;
  /** Rejects when one of them has died. */
  readonly crashed: Promise<never>;
  private readonly orders = new Int32Array(new SharedArrayBuffer(ORDER.SIZE * 4));
  private readonly start = new Float64Array(new SharedArrayBuffer(8));
  private readonly threads: readonly Worker[];
  private readonly gone: Promise<unknown>;
  private readonly count: number;

  constructor(plan: LoadPlan) {
    configureCompiler();
    const owner = new SharedArrayBuffer(Math.min(native().raiseFileLimit(), 1 << 20) * 4);
    const parts = sharesOf(plan);
    this.count = plan.connections;
    const memories = parts.map(() => allocateTally());
    this.measured = new Measurements(memories);
    leaveRemovedDirectory();
    this.threads = parts.map((shares, number) => {
      const { orders, start } = this;
      const task: LoadTask = {
        number,
        plan,
        shares,
        memory: memories[number],
        orders: orders.buffer as SharedArrayBuffer,
        start: start.buffer as SharedArrayBuffer,
        owner,
      };
      return new Worker(THREAD_FILE, { workerData: task, name: `load ${number}` });
    });
    this.crashed = new Promise((_, reject) => {
      for (const thread of this.threads) thread.once('error', reject);
    });
    // There may be no listener for it yet.
    this.crashed.catch(() => undefined);
    this.gone = Promise.all(this.threads.map((thread) => new Promise((resolve) => thread.once('exit', resolve))));
  }

  /** Waits until all connections are established, as far as possible. */
  async prepare(signal: AbortSignal): Promise<void> {
    const { measured, count } = this;
    while (measured.min(AT.PHASE) < PHASE.PREPARED && !signal.aborted) await sleep(POLL_MS);
    const failed = measured.sum(AT.FAILED);
    if (failed < count) return;
    const errors = measured.errors();
    const what = Object.entries(errors)
      .map(([kind, times]) => `${times} × ${kind}`)
      .join(', ');
    throw new UnreachableError(
      `none of ${count} connections could be made (${what})`,
      errors,
      measured.unexpected(),
      measured.goaway(),
    );
  }

  /** Starts the load; returns the start time, µs of the monotonic clock. */
  begin(): number {
    const at = monotonic() + LEAD_US;
    this.start[0] = at;
    Atomics.store(this.orders, ORDER.BEGIN, 1);
    return at;
  }

  end(): void {
    Atomics.store(this.orders, ORDER.END, 1);
  }

  async terminate(): Promise<void> {
    this.end();
    let left = false;
    void this.gone.then(() => {
      left = true;
    });
    // The threads close what they opened. A hanging one is not awaited.
    for (const until = performance.now() + 2000; !left && performance.now() < until; ) await sleep(POLL_MS);
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }
}

/** The clock that the threads use. */
const monotonic = (): number => Number(process.hrtime.bigint() / 1000n);

interface Interval {
  readonly startMs: number;
  endMs: number;
  done: number;
  errors: number;
  readonly recorded: SparseCounts[];
}

/** Watches a load once per second, from start to end. */
class LoadMonitor {
  private readonly intervals: Interval[] = [];
  private readonly recorder: IntervalRecorder;
  private readonly measured: Measurements;
  private beganAt = 0;
  private startedAt = 0;
  private done = 0;
  private errors = 0;
  private allDone = 0;
  private sampledAt = 0;

  constructor(
    private readonly plan: LoadPlan,
    private readonly threads: LoadThreads,
    private readonly report: (progress: LoadProgress) => void,
    private readonly signal: AbortSignal,
  ) {
    this.measured = threads.measured;
    this.recorder = new IntervalRecorder(
      this.measured,
      plan.pace.kind === 'closed' ? HISTOGRAM.SERVICE : HISTOGRAM.LATENCY,
    );
  }

  async result(): Promise<LoadResult> {
    const { plan, measured, signal, threads } = this;
    this.beganAt = threads.begin();
    this.startedAt = Date.now() + LEAD_US / 1000 + plan.warmupSeconds * 1000;
    this.sampledAt = this.beganAt;
    const stop = () => threads.end();
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const from = this.beganAt + plan.warmupSeconds * 1e6;
    const until = from + plan.seconds * 1e6;
    let next = this.after(this.beganAt, from);
    while (measured.min(AT.PHASE) < PHASE.CLOSING) {
      const now = monotonic();
      if (now >= next) {
        this.sample(now, from);
        next = this.after(now, from);
      }
      // After the planned end it may be over at any time.
      await sleep(now >= until - 1000 ? POLL_MS : Math.max(1, Math.min(20, (next - now) / 1000)));
    }
    signal.removeEventListener('abort', stop);
    this.sample(monotonic(), from);
    return this.summarize();
  }

  /** Next time to look: whole seconds of the measured time, or before it. */
  private after(now: number, from: number): number {
    const seconds = (now - from) / (INTERVAL_MS * 1000);
    // A second that is almost reached was just looked at.
    return from + (Math.floor(seconds + 0.05) + 1) * INTERVAL_MS * 1000;
  }

  private sample(now: number, from: number): void {
    const { measured, plan } = this;
    const done = measured.sum(AT.DONE);
    const errors = measured.errorCount();
    const recorded = this.recorder.take();
    const startMs = Math.max(0, (this.sampledAt - from) / 1000);
    const endMs = (now - from) / 1000;
    if (endMs > 0) this.note(startMs, endMs, done - this.done, errors - this.errors, recorded);
    this.done = done;
    this.errors = errors;
    const allDone = measured.sum(AT.ALL_DONE);
    const seconds = Math.max(0.001, (now - this.sampledAt) / 1e6);
    const elapsedSeconds = Math.max(0, (now - this.beganAt) / 1e6);
    const totalSeconds = plan.warmupSeconds + plan.seconds;
    this.report({
      phase: now < from ? 'warm-up' : elapsedSeconds < totalSeconds ? 'measuring' : 'finishing',
      elapsedSeconds: Math.min(elapsedSeconds, totalSeconds),
      totalSeconds,
      rate: (allDone - this.allDone) / seconds,
      p50: percentileOf(recorded, 50, lowestOf),
      p99: percentileOf(recorded, 99, lowestOf),
      done,
      errors,
      connections: measured.sum(AT.OPEN),
    });
    this.allDone = allDone;
    this.sampledAt = now;
  }

  /** An interval; a very short one is merged with its neighbour. */
  private note(startMs: number, endMs: number, done: number, errors: number, recorded: SparseCounts): void {
    const last = this.intervals.at(-1);
    const short = (from: number, to: number): boolean => to - from < INTERVAL_MS / 10;
    if (last !== undefined && (short(startMs, endMs) || short(last.startMs, last.endMs))) {
      last.endMs = endMs;
      last.done += done;
      last.errors += errors;
      last.recorded.push(recorded);
    } else this.intervals.push({ startMs, endMs, done, errors, recorded: [recorded] });
  }

  private async summarize(): Promise<LoadResult> {
    const { plan, measured } = this;
    const { encode } = await import('./encode.js');
    const seconds = Math.max(0, (measured.max(AT.ENDED) - measured.min(AT.BEGAN)) / 1e6);
    const service = encode(measured.histogram(HISTOGRAM.SERVICE));
    const closed = plan.pace.kind === 'closed';
    const cpu = measured.sum(AT.CPU);
    const userTicks = measured.sum(AT.USER_TICKS);
    const userShare = userTicks / Math.max(1, userTicks + measured.sum(AT.SYSTEM_TICKS));
    const intervals = this.intervals.map(({ recorded, ...rest }): LoadInterval => {
      return { ...rest, latency: encode(merge(recorded)) };
    });
    return {
      startedAt: this.startedAt,
      seconds,
      done: measured.sum(AT.DONE),
      bytesRead: measured.sum(AT.READ),
      bytesWritten: measured.sum(AT.WRITTEN),
      wantedRate: wantedRate(plan),
      unsent: measured.sum(AT.UNSENT),
      errors: measured.errors(),
      unexpected: measured.unexpected(),
      goaway: measured.goaway(),
      statuses: measured.statuses(),
      connectionsOpened: measured.sum(AT.OPENED),
      pauses: measured.sum(AT.PAUSES),
      latency: closed ? service : encode(measured.histogram(HISTOGRAM.LATENCY)),
      service,
      connect: encode(measured.histogram(HISTOGRAM.CONNECT)),
      ...(plan.messages === undefined
        ? {}
        : {
            messages: {
              sent: measured.sum(AT.MESSAGES_SENT),
              received: measured.sum(AT.MESSAGES_RECEIVED),
              latency: encode(measured.histogram(HISTOGRAM.MESSAGE)),
            },
          }),
      intervals,
      cpu: { userUs: Math.round(cpu * userShare), systemUs: Math.round(cpu * (1 - userShare)) },
      interrupted: this.signal.aborted,
    };
  }
}

/** For steps, their mean. */
export function wantedRate({ pace }: LoadPlan): number | null {
  switch (pace.kind) {
    case 'closed':
      return null;
    case 'constant':
    case 'poisson':
      return pace.rate;
    case 'steps': {
      const seconds = pace.steps.reduce((sum, step) => sum + step.seconds, 0);
      return pace.steps.reduce((sum, step) => sum + step.rate * step.seconds, 0) / seconds;
    }
  }
}

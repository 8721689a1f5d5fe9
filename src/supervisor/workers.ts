// The worker threads, hosted by Piscina: one long-lived task each, whose promise is the sign of life. After a worker's death its resources
// are cleaned up (raw descriptors outlive the thread) and it is replaced; the others notice nothing.
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, type Worker as Thread } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { EndpointLoad } from '../balance/load.js';
import { lowerBackgroundPriority } from '../code/background-threads.js';
import { hasOwnShare } from '../code/cpu-share.js';
import { leaveRemovedDirectory } from '../code/removed-directory.js';
import { native } from '../io/native.js';
import type { Logger } from '../log/logger.js';
import {
  C,
  CLOSE_REASONS,
  clientBase,
  E,
  endpointBase,
  L,
  listenerBase,
  MAX_CLIENT_SERIES,
  MAX_LISTENERS,
} from '../metrics/layout.js';
import type { MetricsReader } from '../metrics/reader.js';
import { allocateWorkerMemory, type WorkerMemory } from '../metrics/shared.js';
import { ENDPOINT_SLOTS } from '../proxy/capacity.js';
import {
  type FromWorker,
  LOAD_BOARD,
  MAX_WORKERS,
  type ServiceSettings,
  type Snapshot,
  type ToWorker,
  type WorkerTask,
} from '../proxy/snapshot.js';

/** What the threads run. */
const WORKER_FILE = fileURLToPath(new URL('../../workers/data-path.cjs', import.meta.url));
const CRASHED = CLOSE_REASONS.indexOf('worker_crash');
/** A worker that dies within this time of its start is likely to do so again. */
const HEALTHY_MS = 5000;
/**
 * V8's space for new objects: three parts of 1 MiB. A worker allocates while it starts, and almost nothing afterwards, so V8 never notices
 * that its default 16 MiB are empty: 5.5 MiB in a process with one worker.
 */
const YOUNG_MB = 3;
/** Pause before the replacement of such a worker: doubled with each consecutive one, so that a crash loop can't spin. */
const MIN_PAUSE_MS = 50;
const MAX_PAUSE_MS = 800;
/** How long to wait for the last messages of drained workers, ms. */
const LAST_MESSAGES_MS = 500;
/**
 * How long to wait for the threads to end, ms. V8 waits there for what its compilers have begun, and these get nothing of a core that other
 * processes want: 2 to 10 s beside four busy processes on two cores. Nothing is open any more then.
 */
const THREADS_END_MS = 500;

interface RunningWorker {
  readonly port: MessagePort;
  readonly memory: WorkerMemory;
  readonly load: EndpointLoad;
  readonly startedAt: number;
  thread: Thread | undefined;
  ready: boolean;
  /** The worker has closed its end: everything it sent has been received. */
  readonly closed: Promise<void>;
}

export interface PoolEvents {
  /** With all services, or only those in `changed`. */
  snapshot(worker: number, changed?: ReadonlySet<string>): Snapshot;
  /** Settings of the services used for warm-up; null: no warm-up. */
  warmup(): ServiceSettings | null;
  message(worker: number, message: FromWorker): void;
  /** Called when the thread is gone, before it is replaced. */
  died(worker: number): void;
}

export class WorkerPool {
  /** Resolves when every worker has drained. */
  readonly done: Promise<void>;
  private readonly piscina: Piscina;
  private readonly owner: SharedArrayBuffer;
  private readonly loadBoard = new SharedArrayBuffer(LOAD_BOARD.SIZE * 4);
  private readonly live: (RunningWorker | undefined)[] = [];
  private readonly finished = new Set<number>();
  private readonly pending = new Map<number, () => void>();
  private pings = 0;
  /** Consecutive early deaths. */
  private readonly earlyDeaths: number[] = [];
  /** Progress of a drain; a replacement is told. */
  private phase: ToWorker | undefined;
  private resolveDone: () => void = () => undefined;
  private started:
    | { resolve(ready: { executor: string; reason: string }): void; reject(error: unknown): void }
    | undefined;
  /** All workers have accepted at some time. */
  private up = false;
  private closing = false;

  constructor(
    private readonly count: number,
    private readonly io: 'auto' | 'uring' | 'epoll',
    private readonly learned: SharedArrayBuffer,
    private readonly reader: MetricsReader,
    private readonly logger: Logger,
    private readonly events: PoolEvents,
    workerFile = WORKER_FILE,
  ) {
    // One cell for each descriptor that the process may ever have.
    this.owner = new SharedArrayBuffer(Math.min(native().raiseFileLimit(), 1 << 20) * 4);
    new Int32Array(this.loadBoard).fill(-1, LOAD_BOARD.RING, LOAD_BOARD.RING + MAX_WORKERS);
    leaveRemovedDirectory();
    this.piscina = new Piscina({
      filename: workerFile,
      name: 'serve',
      minThreads: count,
      maxThreads: count,
      idleTimeout: Number.POSITIVE_INFINITY,
      // Piscina's default blocks an idle worker's event loop.
      atomics: 'disabled',
      concurrentTasksPerWorker: 1,
      recordTiming: false,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.piscina.on('error', (error: unknown) => this.logger.error('worker pool failed', { error }));
    this.done = new Promise((resolve) => {
      this.resolveDone = resolve;
    });
  }

  /** Every worker accepts. */
  get ready(): boolean {
    return this.live.length === this.count && this.live.every((worker) => worker?.ready === true);
  }

  /** How many workers accept. */
  get readyCount(): number {
    return this.live.filter((worker) => worker?.ready === true).length;
  }

  /** Starts all workers; resolves when all accept, rejects if one can't. */
  start(): Promise<{ executor: string; reason: string }> {
    return new Promise((resolve, reject) => {
      this.started = { resolve, reject };
      for (let id = 0; id < this.count; id++) this.launch(id);
    });
  }

  /** Ends warm-ups, because the process is to end. */
  hurry(): void {
    Atomics.store(new Int32Array(this.loadBoard), LOAD_BOARD.HURRY, 1);
  }

  broadcast(message: ToWorker): void {
    if (message.kind === 'drain') this.phase = message;
    for (const worker of this.live) worker?.port.postMessage(message);
  }

  send(id: number, message: ToWorker): void {
    this.live[id]?.port.postMessage(message);
  }

  /** Whether no worker has anything open on this endpoint slot. */
  isIdle(endpoint: number): boolean {
    return this.live.every((worker) => worker === undefined || worker.load.isIdle(endpoint));
  }

  /** Sends every worker a new snapshot, with the services in `changed`; they keep the others. */
  configure(changed: ReadonlySet<string>): void {
    for (let id = 0; id < this.count; id++) {
      this.send(id, { kind: 'snapshot', snapshot: this.events.snapshot(id, changed) });
    }
  }

  /** Resolves when the worker's event loop has answered. */
  ping(id: number): Promise<void> {
    return new Promise((resolve) => {
      const ping = ++this.pings;
      this.pending.set(ping, resolve);
      this.send(id, { kind: 'ping', id: ping });
    });
  }

  /** Resolves when every worker has applied what it was sent, or after `ms`: hanging or dead workers are not waited for. */
  async applied(ms: number): Promise<void> {
    const pongs = Promise.all(this.live.map((worker, id) => (worker?.ready === true ? this.ping(id) : undefined)));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    await Promise.race([pongs, late]);
    clearTimeout(timer);
  }

  /** Ends a worker's thread as a crash would; it is replaced. */
  async terminate(id: number): Promise<void> {
    await this.live[id]?.thread?.terminate();
  }

  async close(): Promise<void> {
    this.closing = true;
    // Workers' last messages may still be on their way although their tasks are done.
    const last = [...this.finished].map((id) => this.live[id]?.closed);
    await Promise.race([Promise.all(last), sleep(LAST_MESSAGES_MS)]);
    for (const worker of this.live) worker?.port.close();
    await Promise.race([this.piscina.destroy(), sleep(THREADS_END_MS, undefined, { ref: false })]);
  }

  private launch(id: number): void {
    const { port1, port2 } = new MessageChannel();
    const memory = allocateWorkerMemory(this.reader.endpointSeries);
    const load = EndpointLoad.allocate(ENDPOINT_SLOTS);
    const live: RunningWorker = {
      port: port1,
      memory,
      load: new EndpointLoad(load),
      startedAt: performance.now(),
      thread: undefined,
      ready: false,
      closed: new Promise((resolve) => port1.once('close', resolve)),
    };
    this.live[id] = live;
    this.reader.addWorker(id, memory);
    if (this.phase !== undefined) port1.postMessage(this.phase);
    port1.on('message', (message: FromWorker) => this.receive(id, live, message));
    const task: WorkerTask = {
      id,
      workers: this.count,
      io: this.io,
      port: port2,
      memory,
      owner: this.owner,
      loadBoard: this.loadBoard,
      learned: this.learned,
      load,
      // Clients are waiting for the replacement of a dead worker.
      warmup: this.up ? null : this.events.warmup(),
      snapshot: this.events.snapshot(id),
    };
    this.piscina.run(task, { transferList: [port2] }).then(
      () => this.finish(id),
      (error: unknown) => this.crashed(id, live, error),
    );
  }

  private receive(id: number, live: RunningWorker, message: FromWorker): void {
    if (message.kind === 'ready') {
      live.ready = true;
      live.thread = this.piscina.threads.find((thread) => thread.threadId === message.threadId);
      if (this.ready) {
        this.up = true;
        // Not earlier, because a warm-up waits for these threads.
        lowerBackgroundPriority(native(), hasOwnShare(process.pid, process.ppid));
        this.started?.resolve(message);
      }
    }
    if (message.kind === 'pong') {
      this.pending.get(message.id)?.();
      this.pending.delete(message.id);
    }
    this.events.message(id, message);
  }

  /** All listeners are closed for good. */
  private get closed(): boolean {
    return this.phase?.kind === 'drain' && this.phase.phase !== 'hold' && this.phase.listeners === null;
  }

  private finish(id: number): void {
    const live = this.live[id];
    if (live !== undefined) live.ready = false;
    // Connections that a sibling handed over too late.
    this.closeOrphans(id);
    this.finished.add(id);
    if (this.finished.size === this.count) this.resolveDone();
  }

  private crashed(id: number, live: RunningWorker, error: unknown): void {
    if (this.closing) return;
    leaveRemovedDirectory();
    const loadBoard = new Int32Array(this.loadBoard);
    Atomics.store(loadBoard, LOAD_BOARD.RING + id, -1);
    if (this.started !== undefined && !this.up) {
      // It never served: the problem will not go away by itself.
      this.started.reject(error);
      return;
    }
    live.ready = false;
    const reason = error instanceof Error ? error.message : String(error);
    this.logger.error('a worker died; its connections are closed and it is replaced', { worker: id, reason, error });
    const { thread } = live;
    if (thread === undefined || thread.threadId === -1) {
      setImmediate(() => this.replace(id, live));
      return;
    }
    // Its descriptors are closed only after the thread is gone: until then its ring may still use them. Piscina ends a thread after an
    // uncaught exception, but keeps one whose task has failed.
    thread.once('exit', () => this.replace(id, live));
    void thread.terminate();
  }

  private replace(id: number, live: RunningWorker): void {
    if (this.closing || this.live[id] !== live) return;
    live.port.close();
    const orphans = this.closeOrphans(id);
    this.countAsClosed(live.memory);
    this.reader.removeWorker(id);
    Atomics.store(new Int32Array(this.loadBoard), LOAD_BOARD.LOAD + id, 0);
    this.events.died(id);
    const young = performance.now() - live.startedAt < HEALTHY_MS;
    const deaths = young ? (this.earlyDeaths[id] ?? 0) + 1 : 0;
    this.earlyDeaths[id] = deaths;
    if (this.closed && deaths > 1) {
      // One that dies again and again must not hold up the drain.
      this.finish(id);
      return;
    }
    const pauseMs = deaths === 0 ? 0 : Math.min(MAX_PAUSE_MS, MIN_PAUSE_MS * 2 ** (deaths - 1));
    this.logger.warn('replacing the worker', { worker: id, closedFds: orphans, pauseMs });
    setTimeout(() => {
      if (!this.closing) this.launch(id);
    }, pauseMs);
  }

  /** Closes every descriptor that the dead worker owned; returns their number. */
  private closeOrphans(id: number): number {
    const owner = new Int32Array(this.owner);
    let closed = 0;
    for (let fd = 0; fd < owner.length; fd++) {
      // A worker whose hand-over to this one failed takes its descriptor back: exactly one of us gets it.
      if (owner[fd] !== id + 1 || Atomics.compareExchange(owner, fd, id + 1, 0) !== id + 1) continue;
      native().close(fd);
      closed++;
    }
    return closed;
  }

  /** The dead worker's open connections count as closed, so that the sums stay right. */
  private countAsClosed(memory: WorkerMemory): void {
    const values = new Float64Array(memory.values);
    for (let slot = 0; slot < MAX_LISTENERS; slot++) {
      const base = listenerBase(slot);
      values[base + L.CLOSE + CRASHED] += values[base + L.OPEN];
      values[base + L.OPEN] = 0;
    }
    for (let slot = 0; slot < this.reader.endpointSeries; slot++) {
      const base = endpointBase(slot);
      values[base + E.CLOSE + CRASHED] += values[base + E.OPEN];
      values[base + E.OPEN] = 0;
      values[base + E.PASSED + E.CLOSE + CRASHED] += values[base + E.PASSED + E.OPEN];
      values[base + E.PASSED + E.OPEN] = 0;
    }
    for (let series = 0; series < MAX_CLIENT_SERIES; series++) {
      const base = clientBase(series);
      values[base + C.CLOSE + CRASHED] += values[base + C.OPEN];
      values[base + C.OPEN] = 0;
    }
  }
}

// A worker: the data path, composed.
//
//   accept → hand over → policy → detect → { http1 | http2 | opaque } → balance → upstream → relay → account → close
//
// Here its parts are put together, configured, drained and sampled; socket-events.ts has what happens on sockets.
import { threadId } from 'node:worker_threads';
import type { Native } from '../io/native.js';
import { Reactor } from '../io/reactor.js';
import { SOCKET } from '../io/sockets.js';
import type { MakeTransport } from '../io/transport.js';
import { E, LIMITS, MAX_ENDPOINTS, W, WORKER_HISTOGRAMS, workerHistogram } from '../metrics/layout.js';
import { Acceptor } from './accept/acceptor.js';
import { Detector } from './accept/detector.js';
import { CLOSE, KIND } from './connect/connections.js';
import { Upstreams } from './connect/upstreams.js';
import { Context } from './context.js';
import type { AccessLog } from './exchange/access-log.js';
import { Http1 } from './http1.js';
import { completionsToAwait } from './http2/coalesce.js';
import { Http2 } from './http2.js';
import { OpaqueRelay } from './relay/opaque.js';
import { BOARD, type FromWorker, type Snapshot, type ToWorker, type WorkerTask } from './snapshot.js';
import { SocketEvents } from './socket-events.js';

/** Gauges that nobody updates per event are sampled so often, ms. */
const SAMPLE_MS = 250;
const LIMIT_DRAIN_GRACE = LIMITS.indexOf('drain-grace');
const LOOP_TURN_US = WORKER_HISTOGRAMS.indexOf('loop_turn_us');

export class Worker {
  private readonly reactor: Reactor;
  private readonly context: Context;
  private readonly upstreams: Upstreams;
  private readonly opaque: OpaqueRelay;
  private readonly http1: Http1;
  private readonly http2: Http2;
  private readonly detector: Detector;
  private readonly acceptor: Acceptor;
  private readonly accessLog: AccessLog;
  private readonly events: SocketEvents;
  private snapshot: Snapshot;
  private stopping = false;
  private resolve: (() => void) | undefined;
  private turnStarted: number;
  private readonly turnHistogram = workerHistogram(LOOP_TURN_US);

  constructor(
    private readonly task: WorkerTask,
    private readonly native: Native,
    transport?: MakeTransport,
  ) {
    this.snapshot = task.snapshot;
    const { limits } = task.snapshot;
    this.reactor = new Reactor(native, {
      io: task.io,
      slabBytes: limits.slabBytes,
      // A client needs an upstream; some room is left for races, lingering and the pool.
      maxSockets: Math.min(1 << 20, limits.maxConnections * 2 + 4096),
      maxPipes: limits.maxPipes,
      owner: task.owner,
      workerId: task.id,
      transport,
    });
    this.context = new Context(task, native, this.reactor);
    this.accessLog = this.context.accessLog;
    this.upstreams = new Upstreams(this.context);
    this.opaque = new OpaqueRelay(this.context, this.upstreams);
    this.http1 = new Http1(this.context, this.upstreams, this.opaque, this.accessLog);
    this.http2 = new Http2(this.context, this.upstreams, this.http1);
    this.detector = new Detector(this.context, this.upstreams, this.opaque, this.http1, this.http2);
    this.acceptor = new Acceptor(
      this.context,
      new Int32Array(task.owner),
      (client) => this.detector.open(client),
      (fd) => {
        this.send({ kind: 'unlistened', fds: [fd] });
        this.finishIfDone();
      },
    );
    this.events = new SocketEvents(
      this.context,
      this.acceptor,
      this.detector,
      this.http1,
      this.http2,
      this.opaque,
      this,
    );
    this.turnStarted = this.reactor.now;
  }

  /** Serves until drained; the promise is the supervisor's sign of life. */
  async run(): Promise<void> {
    const { port, board, id } = this.task;
    this.configure(this.snapshot);
    port.on('message', (message: ToWorker) => this.receive(message));
    const sampler = setInterval(() => this.sample(), SAMPLE_MS);
    const done = new Promise<void>((resolve) => {
      this.resolve = resolve;
    });
    this.reactor.run(this.events);
    Atomics.store(new Int32Array(board), BOARD.RING + id, this.reactor.ring.ringId);
    this.context.values[W.READY] = 1;
    const { executor, reason } = this.reactor.memory;
    this.send({ kind: 'ready', executor, reason, threadId });
    await done;
    clearInterval(sampler);
    this.accessLog.flush(true);
    this.sample();
    Atomics.store(new Int32Array(board), BOARD.RING + id, -1);
    this.context.values[W.READY] = 0;
    this.acceptor.stop();
    // The thread may go on to another task: nothing else would close the idle pipes.
    this.context.splicer.trim();
    this.reactor.stop();
    // Out of the loop's own callback before its memory goes.
    await new Promise((resolve) => setImmediate(resolve));
    this.native.destroy();
    port.close();
  }

  /** A loop turn has ended. */
  turned(): void {
    this.coalesce();
    if (this.stopping) this.finishIfDone();
  }

  /** Sets how many completions the next turn waits for, and how long. */
  private coalesce(): void {
    const { http1, http2, reactor } = this;
    const { coalesceUs } = this.snapshot;
    // Measured: it costs on epoll, where waiting means one more system call.
    const wait =
      coalesceUs > 0 && reactor.ring.executor === 'uring'
        ? completionsToAwait(http1.accounts.inFlight, http2.accounts.inFlight, http2.core.streams.busyClients)
        : 1;
    reactor.waitFor = wait;
    reactor.waitUs = wait > 1 ? coalesceUs : 0;
  }

  private receive(message: ToWorker): void {
    switch (message.kind) {
      case 'snapshot':
        this.configure(message.snapshot);
        break;
      case 'endpoints':
        this.setEndpoints(message.service, message.endpoints);
        break;
      case 'drain':
        this.drain(message.phase);
        break;
      case 'resolved':
      case 'unresolved':
        break;
      case 'ping':
        this.send({ kind: 'pong', id: message.id });
        break;
    }
    // What was submitted here goes out with the loop's next turn.
    this.reactor.wantMicrotasks = true;
  }

  private configure(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    this.context.configure(snapshot);
    for (const { slot, endpoints } of snapshot.services) this.setEndpoints(slot, endpoints);
    this.acceptor.configure(snapshot.listeners);
  }

  private setEndpoints(service: number, endpoints: Parameters<Context['setEndpoints']>[1]): void {
    for (const gone of this.context.setEndpoints(service, endpoints)) {
      this.upstreams.closeIdle(gone);
      this.http2.connections.endpointGone(gone);
    }
  }

  private drain(phase: 'hold' | 'stop' | 'force'): void {
    const { sockets, connections } = this.context;
    this.context.draining = true;
    if (phase !== 'hold') {
      this.acceptor.leave();
      this.upstreams.closeAllIdle();
      this.stopping = true;
    }
    for (let slot = 0; slot < sockets.capacity; slot++) {
      const kind = sockets.kind[slot];
      if (kind === KIND.FREE || (sockets.flags[slot] & SOCKET.CLOSED) !== 0) continue;
      if (phase === 'force') {
        if (connections.over(slot)) {
          sockets.close(slot);
          continue;
        }
        if (connections.listener[slot] >= 0) this.context.limited(LIMIT_DRAIN_GRACE);
        connections.close(slot, CLOSE.DRAIN);
      } else if (kind === KIND.HTTP1_CLIENT && !connections.over(slot)) this.http1.timers.reconsider(slot);
      else if (kind === KIND.DETECT && !connections.over(slot)) this.detector.reconsider(slot);
      else if ((kind === KIND.HTTP2_CLIENT || kind === KIND.HTTP2_UPSTREAM) && !connections.over(slot))
        this.http2.reconsider(slot);
    }
    if (phase === 'force') this.finish();
  }

  private finishIfDone(): void {
    // A listener that is still open may have connections queued.
    if (this.stopping && this.context.sockets.open === 0 && this.acceptor.listening === 0) this.finish();
  }

  private finish(): void {
    const { resolve } = this;
    if (resolve === undefined) return;
    this.resolve = undefined;
    this.send({ kind: 'drained' });
    resolve();
    this.reactor.wantMicrotasks = true;
  }

  private sample(): void {
    const { values, slab, splicer, sockets, balancer, endpoints, reactor } = this.context;
    const now = reactor.clock();
    values[W.LOOP_TURNS] = reactor.turns;
    values[W.COMPLETIONS] = reactor.completions;
    values[W.SLAB_BUFFERS] = slab.buffers;
    values[W.SLAB_FREE] = slab.free + slab.lent;
    values[W.SLAB_PARKS] = sockets.parks;
    values[W.PIPES_OPEN] = splicer.open;
    values[W.SOCKETS_OPEN] = sockets.open;
    values[W.CPU_US] = this.native.threadCpu();
    const lag = Math.max(0, (now - this.turnStarted - SAMPLE_MS) * 1000);
    this.turnStarted = now;
    values[W.LOOP_LAG_MAX_US] = lag;
    this.context.metrics.record(this.turnHistogram, lag);
    for (let endpoint = 1; endpoint < MAX_ENDPOINTS; endpoint++) {
      if (endpoints.service[endpoint] < 0) continue;
      const base = this.context.endpoints.base[endpoint];
      values[base + E.STATE] = balancer.state(endpoint);
      values[base + E.EWMA_MS] = balancer.ewma(endpoint, reactor.clockMs());
    }
  }

  private send(message: FromWorker): void {
    this.task.port.postMessage(message);
  }
}

// A worker: configures, drains and samples its data path (data-path.ts).
import { threadId } from 'node:worker_threads';
import { ownBackgroundThreads } from '../code/background-threads.js';
import { CompilerShare, REST_EVERY_MS, REST_US } from '../code/compiler-share.js';
import { SCRATCH_BUFFERS_BYTES } from '../http/scratch-buffers.js';
import { returnMemory } from '../io/heap.js';
import type { Native } from '../io/native.js';
import { Reactor } from '../io/reactor.js';
import type { MakeTransport } from '../io/transport.js';
import { W, WORKER_HISTOGRAMS, workerHistogram } from '../metrics/layout.js';
import { ServerNames } from '../metrics/server-names.js';
import { TLS_BYTES, TlsTransport } from '../tls/transport.js';
import { packSpans } from '../tracing/packed-spans.js';
import { Acceptor } from './accept/acceptor.js';
import { Passthrough } from './accept/passthrough.js';
import { ProxyHeaders } from './accept/proxy-headers.js';
import { Router } from './accept/router.js';
import { SOCKET_KIND } from './connect/connections.js';
import { DeadPeers } from './connect/dead-peers.js';
import { CONTEXT_BYTES, Context } from './context.js';
import { type DataPath, makeDataPath } from './data-path.js';
import { STATE } from './exchange/exchange.js';
import { completionsToAwait } from './http2/coalesce.js';
import { Leaving } from './leaving.js';
import { MemoryTrim, trimmableOf } from './memory-trim.js';
import { Sampling } from './sampling.js';
import type { ExchangeSlot, SocketSlot } from './slots.js';
import {
  type DrainMessage,
  type FromWorker,
  LOAD_BOARD,
  type ServiceSnapshot,
  type Snapshot,
  type ToWorker,
  type WorkerTask,
} from './snapshot.js';
import { SocketEvents } from './socket-events.js';
import { ProxyTlsTargets, TlsStats } from './tls-reports.js';

/** Interval for updating decaying latencies in the metrics, ms. */
const DECAY_MS = 2000;
const LOOP_TURN_US = WORKER_HISTOGRAMS.indexOf('loop_turn_us');

export class Worker {
  private readonly reactor: Reactor;
  private readonly context: Context;
  private readonly path: DataPath;
  private readonly passthrough: Passthrough;
  private readonly router: Router;
  private readonly proxyHeaders: ProxyHeaders;
  private readonly tlsStats: TlsStats;
  private readonly acceptor: Acceptor;
  private readonly leaving: Leaving;
  private readonly events: SocketEvents;
  private readonly deadPeers: DeadPeers;
  private readonly serverNames = new ServerNames();
  private snapshot: Snapshot;
  private stopping = false;
  private resolve: (() => void) | undefined;
  private readonly sampling = new Sampling();
  private readonly memoryTrim: MemoryTrim;
  private readonly compilers: CompilerShare;
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
      // Each client needs an upstream; the rest is for races, lingering and the pool.
      maxSockets: Math.min(1 << 20, limits.maxConnections * 2 + 4096),
      maxPipes: limits.maxPipes,
      owner: task.owner,
      workerId: task.id,
      fixedBytes: CONTEXT_BYTES + SCRATCH_BUFFERS_BYTES + TLS_BYTES,
      transport: transport ?? ((channel, slab, sockets) => new TlsTransport(channel, slab, sockets, native)),
    });
    this.context = new Context(task, native, this.reactor);
    this.path = makeDataPath(this.context);
    this.passthrough = new Passthrough(this.context, (endpoint) => this.endpointRemoved(endpoint));
    this.router = new Router(
      this.context,
      this.passthrough,
      (client) => this.path.detector.open(client as SocketSlot),
      (message) => this.send(message),
    );
    this.context.clientSeries.named = (name) => this.send({ kind: 'clients', name });
    this.path.traces.send = (spans, skipped) => this.send({ kind: 'spans', spans: packSpans(spans), skipped });
    this.path.taps.send = (records) => this.send({ kind: 'tapped', records });
    this.path.peek.foreignName = (name) => this.serverNames.note(name);
    this.path.transportHeaders.forward = (client, port) => this.router.forward(client, port);
    this.path.clientHandshakes.opened = (client) => this.router.open(client);
    this.path.clientHandshakes.inside = (client) => this.path.detector.couldSpeak(client);
    this.proxyHeaders = new ProxyHeaders(this.context, (client) => this.path.clientHandshakes.open(client));
    this.tlsStats = new TlsStats(this.context);
    this.connectTls();
    this.leaving = new Leaving(this.context, this.path, this.proxyHeaders);
    this.acceptor = new Acceptor(
      this.context,
      new Int32Array(task.owner),
      (client) => {
        this.path.transportHeaders.begin(client as SocketSlot);
        this.proxyHeaders.open(client as SocketSlot);
      },
      (fd) => {
        this.send({ kind: 'unlistened', fds: [fd] });
        this.finishIfDone();
      },
      () => this.leaving.makeRoom(),
      (message) => this.send(message),
    );
    const { path } = this;
    // All by name: of a copy of `path` V8 makes an object of another shape each time, and code that was compiled for one is not for the next.
    this.events = new SocketEvents({
      context: this.context,
      acceptor: this.acceptor,
      router: this.router,
      proxyHeaders: this.proxyHeaders,
      transportHeaders: path.transportHeaders,
      clientHandshakes: path.clientHandshakes,
      detector: path.detector,
      races: path.races,
      dialer: path.dialer,
      clients: path.clients,
      endpoints: path.endpoints,
      http1: path.http1,
      http2: path.http2,
      bodyWriter: path.bodyWriter,
      opaque: path.opaque,
      tunnels: path.tunnels,
      lifecycle: path.lifecycle,
      turnEnded: () => this.turned(),
    });
    this.deadPeers = new DeadPeers(this.context, (slot, errno) => this.events.failed(slot, errno));
    const forgetting = trimmableOf(this.context, this.path, this.deadPeers, native);
    this.memoryTrim = new MemoryTrim(this.reactor, this.path.core.streams, native, forgetting);
    this.compilers = new CompilerShare(native, ownBackgroundThreads());
  }

  private connectTls(): void {
    const { tls } = this.context;
    if (tls === undefined) return;
    tls.reports = this.tlsStats;
    tls.targets = new ProxyTlsTargets(this.context, this.path.dialer);
    tls.blocks = this.path.core.blocks;
  }

  /** Another worker has rehearsed: objects that this one does not have yet get the shapes they have there. */
  rehearsed(): void {
    this.path.http2.renewShapeAnchor();
  }

  /** Serves until drained. The supervisor takes the promise as a sign of life. */
  async run(): Promise<void> {
    const { port, loadBoard, id } = this.task;
    this.configure(this.snapshot);
    this.task.snapshot = this.snapshot;
    // Frees the garbage of startup before anybody waits for this thread; V8 would collect it some seconds later.
    await returnMemory(this.native);
    port.on('message', (message: ToWorker) => this.receive(message));
    this.sampling.start(this.reactor.clockMs());
    this.reactor.wakeMs = this.sampling.at;
    const done = new Promise<void>((resolve) => {
      this.resolve = resolve;
    });
    this.reactor.run(this.events);
    Atomics.store(new Int32Array(loadBoard), LOAD_BOARD.RING + id, this.reactor.ring.ringId);
    this.context.values[W.READY] = 1;
    const { executor, reason } = this.reactor.memory;
    this.send({ kind: 'ready', executor, reason, threadId });
    await done;
    this.context.accessLog.flush(true);
    this.path.taps.flush();
    this.path.traces.flush();
    this.sample();
    this.sampling.stop();
    Atomics.store(new Int32Array(loadBoard), LOAD_BOARD.RING + id, -1);
    this.context.values[W.READY] = 0;
    this.acceptor.stop();
    // The thread may go on to another task, and nothing else would close the idle pipes.
    this.context.splicer.trim();
    this.reactor.stop();
    // Leave the loop's own callback before its memory is freed.
    await new Promise((resolve) => setImmediate(resolve));
    this.native.destroy();
    port.close();
  }

  /** Total number of events so far; a small integer that wraps around. */
  private get eventCount(): number {
    return (this.reactor.completions + this.reactor.fired) | 0;
  }

  /** A loop turn has ended. */
  private turned(): void {
    const { reactor, sampling } = this;
    this.coalesce();
    if (reactor.now >= this.compilers.at) this.restForCompilers();
    if (sampling.due(reactor.ms, this.eventCount)) this.sample();
    reactor.wakeMs = sampling.at;
    if (this.stopping) this.finishIfDone();
  }

  /** Sets how many completions the next turn waits for, and how long. */
  private coalesce(): void {
    const { reactor } = this;
    const { stats, core } = this.path;
    const { coalesceUs } = this.snapshot;
    // On epoll waiting needs another system call, which costs more than it saves (measured).
    const wait =
      coalesceUs > 0 && reactor.ring.executor === 'uring'
        ? completionsToAwait(stats.inHttp1, stats.inHttp2, core.streams.busyClients)
        : 1;
    reactor.waitFor = wait;
    reactor.waitUs = wait > 1 ? coalesceUs : 0;
  }

  private restForCompilers(): void {
    const { reactor, compilers } = this;
    compilers.check(reactor.now);
    reactor.restEvery(compilers.resting ? REST_EVERY_MS : 0, REST_US);
  }

  private receive(message: ToWorker): void {
    switch (message.kind) {
      case 'snapshot':
        this.configure(message.snapshot);
        break;
      case 'endpoints':
        this.context.services.unresolved[message.service] = message.resolved ? 0 : 1;
        this.setEndpoints(message.service, message.endpoints);
        break;
      case 'service':
        this.configureService(message.service);
        break;
      case 'drain':
        this.drain(message);
        break;
      case 'resolved':
        this.router.resolved(message.id, message.destination);
        break;
      case 'unresolved':
        this.router.unresolved();
        break;
      case 'changed':
        this.router.changed(message.host, message.port);
        break;
      case 'taps':
        this.path.taps.configure(message.taps);
        this.context.observe(this.path.taps.active);
        break;
      case 'crowded':
        this.acceptor.crowded();
        break;
      case 'ping':
        this.send({ kind: 'pong', id: message.id });
        break;
    }
    // What is submitted here goes out with the loop's next turn.
    this.reactor.wantMicrotasks = true;
  }

  private configure(snapshot: Snapshot): void {
    // The tables hold its contents; do not keep them twice.
    this.snapshot = { ...snapshot, listeners: [], services: [], tls: [] };
    this.retirePooled(snapshot);
    this.context.configure(snapshot);
    this.path.http1.bodies.maxTrailerBytes = snapshot.limits.http1.maxHeaderBytes;
    for (const { slot, endpoints, resolved } of snapshot.services) {
      this.context.services.unresolved[slot] = resolved ? 0 : 1;
      this.setEndpoints(slot, endpoints);
    }
    this.passthrough.configured();
    this.router.configure(snapshot);
    this.proxyHeaders.configure(snapshot);
    this.path.peek.configure(snapshot);
    this.path.clientHandshakes.configure(snapshot);
    this.configureTls(snapshot);
    this.acceptor.configure(snapshot.listeners);
    if (this.context.authorization.configure(snapshot.listeners, this.native.localPort)) this.reauthorize();
  }

  /** A service that was added while everything else stays the same. */
  private configureService({ slot, series, config, endpoints, resolved }: ServiceSnapshot): void {
    this.context.configureService(slot, series, config);
    this.context.services.unresolved[slot] = resolved ? 0 : 1;
    this.setEndpoints(slot, endpoints);
  }

  /**
   * The rules have changed: connections and tunnels that are relayed unread and now forbidden are closed. Requests are checked one by one
   * anyway.
   */
  private reauthorize(): void {
    const { authorization, sockets, connections } = this.context;
    const { exchanges, opaque, tunnels, permissions } = this.path;
    if (!authorization.active) return;
    for (let slot = 0; slot < sockets.capacity; slot++) {
      if (sockets.kind[slot] !== SOCKET_KIND.OPAQUE || connections.listener[slot] < 0 || connections.closed(slot))
        continue;
      const x = exchanges.ofSocket(slot as SocketSlot);
      if (authorization.tunnelRequests.has(x)) {
        if (permissions.lost(x)) tunnels.deny(x);
      } else if (!authorization.wouldPermitBytes(slot)) {
        authorization.terminated(slot, authorization.codeOfBytes(slot));
        opaque.deny(slot);
      }
    }
    for (let x = 0 as ExchangeSlot; x < exchanges.capacity; x++)
      if (exchanges.state[x] === STATE.TUNNEL && permissions.lost(x)) tunnels.deny(x);
  }

  /** Endpoints whose TLS has changed are dialled anew. */
  private retirePooled({ services }: Snapshot): void {
    for (const { slot, config } of services) {
      if (this.context.services.tls[slot] === config.tls) continue;
      for (const endpoint of Array.from(this.context.balancer.membersOf(slot))) this.endpointRemoved(endpoint);
    }
  }

  private configureTls({ tls, limits }: Snapshot): void {
    const { tls: own } = limits;
    const bounds = {
      timeoutMs: own.handshakeTimeoutMs,
      max: own.maxHandshakes,
      perTurn: own.handshakesPerTurn,
      turnMs: own.handshakeTurnUs / 1000,
      displaceAfterMs: own.handshakePatienceMs,
    };
    const sizes = { maxHello: own.maxHello, maxChain: own.maxChain };
    for (const problem of this.context.tls?.configure(tls, bounds, sizes) ?? [])
      this.send({ kind: 'log', level: 'error', message: 'TLS settings are refused', fields: { problem } });
  }

  private setEndpoints(service: number, endpoints: Parameters<Context['setEndpoints']>[1]): void {
    for (const removed of this.context.setEndpoints(service, endpoints)) this.endpointRemoved(removed);
  }

  private endpointRemoved(endpoint: number): void {
    this.path.idle.retire(endpoint);
    this.path.http2.endpointRemoved(endpoint);
  }

  private drain({ phase, listeners }: DrainMessage): void {
    if (listeners !== null) {
      for (const listener of listeners) this.context.drainingListeners[listener] = 1;
      if (phase !== 'hold') this.acceptor.drainListeners(listeners);
    } else {
      this.context.draining = true;
      if (phase !== 'hold') {
        this.acceptor.drain();
        this.path.idle.closeAll();
        this.stopping = true;
      }
    }
    if (phase !== 'force') {
      this.leaving.drain();
      return;
    }
    this.leaving.closeAll();
    this.finish();
  }

  private finishIfDone(): void {
    // A listener that is still open may have connections in its queue.
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
    const { values, slab, splicer, sockets, reactor } = this.context;
    const now = reactor.clock();
    const lag = Math.max(0, reactor.since(this.sampling.at) * 1000);
    const latest = Math.min(this.router.sweep(), this.deadPeers.check(now), this.trimMemory(now));
    values[W.LOOP_TURNS] = reactor.turns;
    values[W.RESTS] = reactor.rests;
    values[W.COMPLETIONS] = reactor.completions;
    values[W.SLAB_BUFFERS] = slab.buffers;
    values[W.SLAB_FREE] = slab.free + slab.lent;
    values[W.SLAB_PARKS] = sockets.parks;
    values[W.SLAB_DISCARDED] = slab.discarded;
    values[W.SLAB_QUEUED] = sockets.payload.pinnedTotal + this.path.core.pending.pinnedBuffers;
    values[W.SLAB_SHARE] = this.context.outputLimits.maxBuffers;
    values[W.PIPES_OPEN] = splicer.open;
    values[W.SOCKETS_OPEN] = sockets.open;
    if (this.context.tls !== undefined) this.tlsStats.sample(this.context.tls);
    values[W.CPU_US] = this.native.threadCpu();
    values[W.LOOP_LAG_MAX_US] = lag;
    this.context.metrics.record(this.turnHistogram, lag);
    this.context.sampleEndpoints();
    const health = this.context.healthChanges.take();
    if (health.length > 0) this.send({ kind: 'health', changes: health });
    const refused = this.context.refusals.take();
    if (refused.length > 0) this.send({ kind: 'refused', refused });
    const names = this.serverNames.take();
    if (names.length > 0) this.send({ kind: 'serverNames', names });
    const decaying = this.context.balancer.recent.count > 0 ? now + DECAY_MS : Number.POSITIVE_INFINITY;
    const ms = reactor.clockMs();
    this.sampling.taken(ms, this.eventCount, ms + Math.ceil(Math.min(latest, decaying) - now));
  }

  /** Gives the memory of a burst back. Returns when there may be more of it. */
  private trimMemory(now: number): number {
    const { slabIdleMs } = this.context.limits;
    return slabIdleMs === 0 ? Number.POSITIVE_INFINITY : this.memoryTrim.check(now, slabIdleMs, this.eventCount);
  }

  private send(message: FromWorker): void {
    this.task.port.postMessage(message);
  }
}

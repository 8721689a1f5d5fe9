// A load thread, from connecting to its end. Orders and results are in shared memory: nothing interrupts it.
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import type { Native } from '../io/native.js';
import { Reactor } from '../io/reactor.js';
import { TLS_BYTES, TlsTransport } from '../tls/transport.js';
import { Connections } from './connections.js';
import type { DriverFactory } from './driver.js';
import { Events } from './events.js';
import { GrpcMessageStreams, GrpcStreams } from './grpc.js';
import { GrpcCallStreams } from './grpc-calls.js';
import { Http1Driver } from './http1.js';
import { Http2Driver } from './http2.js';
import { Http2Requests } from './http2-requests.js';
import { LoadStreams } from './http2-streams.js';
import type { LoadPlan } from './plan.js';
import { Requests } from './requests.js';
import { secure } from './secure.js';
import type { Share } from './shares.js';
import { AT, PHASE, Tally } from './tally.js';
import { type LoadTask, ORDER } from './task.js';
import { BulkDriver, PingPongDriver } from './tcp.js';
import { WebSocketDriver } from './websocket.js';

/** Buffers of a connection with large answers; most return them at once. */
const SLAB_BYTES = { least: 16 * 2 ** 20, each: 64 * 1024, most: 512 * 2 ** 20 } as const;
/** Timer slack of this thread, ns: the kernel's default of 50 µs would be most of the measurement. */
const SLACK_NS = 1000;

export class LoadThread {
  private readonly reactor: Reactor;
  private readonly connections: Connections;
  private readonly tally: Tally;
  private readonly orders: Int32Array;
  private readonly start: Float64Array;
  private resolve: () => void = () => undefined;
  private phase = -1;
  private measured = false;

  constructor(
    task: LoadTask,
    private readonly native: Native,
  ) {
    const { plan, shares, memory, owner, number } = task;
    const { tls } = plan;
    const count = shares.reduce((sum, { connections }) => sum + connections, 0);
    this.orders = new Int32Array(task.orders);
    this.start = new Float64Array(task.start);
    this.tally = new Tally(memory);
    this.reactor = new Reactor(native, {
      // Measured: epoll costs as little, and answers are read as they arrive, where a ring delivers them in larger batches.
      io: plan.io === 'auto' ? 'epoll' : plan.io,
      slabBytes:
        Http2Requests.slabBytes(plan) + Math.min(SLAB_BYTES.most, Math.max(SLAB_BYTES.least, count * SLAB_BYTES.each)),
      // A dropped connection keeps its slot for a while.
      maxSockets: count * 2 + 1024,
      maxPipes: 0,
      owner,
      workerId: number,
      fixedBytes: Connections.fixedBytes(shares) + fixedBytesOf(plan, shares) + LoadStreams.fixedBytes + TLS_BYTES,
      transport:
        tls === null ? undefined : (channel, slab, sockets) => new TlsTransport(channel, slab, sockets, native),
    });
    if (tls !== null) secure(this.transport, tls, plan);
    this.connections = new Connections({
      plan,
      shares,
      reactor: this.reactor,
      native,
      tally: this.tally,
      tls: this.transport,
      driver: driverFactory(plan),
      poll: () => this.poll(),
    });
  }

  private get transport(): TlsTransport | undefined {
    return this.reactor.transport instanceof TlsTransport ? this.reactor.transport : undefined;
  }

  /** Ends when all connections are closed. */
  async run(): Promise<void> {
    sharpenTimers();
    const done = new Promise<void>((resolve) => {
      this.resolve = resolve;
    });
    this.connections.prepare();
    this.reactor.wakeMs = 0;
    this.reactor.run(new Events(this.connections, this.reactor));
    await done;
    this.reactor.stop();
    // Leave the loop's own callback before its memory is freed.
    await new Promise((resolve) => setImmediate(resolve));
    this.native.destroy();
  }

  /** Every few milliseconds: follows orders, reports progress. */
  private poll(): void {
    const { connections, tally, orders } = this;
    const { values } = tally;
    if (connections.phase === PHASE.PREPARING && values[AT.READY] + values[AT.FAILED] >= connections.count)
      connections.phase = PHASE.PREPARED;
    if (Atomics.load(orders, ORDER.END) === 1) connections.end(true);
    else if (connections.phase === PHASE.PREPARED && Atomics.load(orders, ORDER.BEGIN) === 1)
      connections.begin(this.start[0]);
    if (connections.measuring && !this.measured) this.meter(-1);
    if (connections.phase >= PHASE.DRAINING && this.measured && this.phase < PHASE.DRAINING) this.meter(1);
    if (connections.phase !== this.phase) {
      this.phase = connections.phase;
      values[AT.PHASE] = this.phase;
    }
    if (connections.phase === PHASE.CLOSING && this.reactor.sockets.open === 0) {
      values[AT.PHASE] = PHASE.OVER;
      this.reactor.wantMicrotasks = true;
      this.resolve();
    }
  }

  /** Records the thread's CPU time; the difference is that of the measured time. */
  private meter(sign: 1 | -1): void {
    this.measured = true;
    const { values } = this.tally;
    const [user, system] = ticks();
    values[AT.CPU] += sign * this.native.threadCpu();
    values[AT.USER_TICKS] += sign * user;
    values[AT.SYSTEM_TICKS] += sign * system;
  }
}

/** Bytes of the slab's fixed region for what is sent. */
const fixedBytesOf = (plan: LoadPlan, shares: readonly Share[]): number =>
  plan.protocol === 'websocket'
    ? WebSocketDriver.fixedBytes(
        plan,
        shares.flatMap(({ targets }) => targets),
      )
    : Requests.fixedBytes(plan, shares);

function driverFactory({ protocol }: LoadPlan): DriverFactory {
  switch (protocol) {
    case 'http1':
    case 'connect':
      return (context) => new Http1Driver(context);
    case 'http2':
      return (context) => new Http2Driver(context, new LoadStreams(context));
    case 'grpc':
      return (context) => new Http2Driver(context, new GrpcStreams(context));
    case 'grpc-stream':
      return (context) => new Http2Driver(context, new GrpcMessageStreams(context));
    case 'grpc-server':
    case 'grpc-client':
    case 'grpc-bidi':
      return (context) => new Http2Driver(context, new GrpcCallStreams(context));
    case 'tcp':
      return (context) => new PingPongDriver(context);
    case 'tcp-bulk':
      return (context) => new BulkDriver(context);
    case 'websocket':
      return (context) => new WebSocketDriver(context);
  }
}

/** Time of this thread in user space and in the kernel, in kernel ticks. Without /proc that of the process, of which the ratio is much the same. */
function ticks(): readonly [user: number, system: number] {
  let stat: string;
  try {
    stat = readFileSync('/proc/thread-self/stat', 'latin1');
  } catch {
    const { user, system } = process.cpuUsage();
    return [user, system];
  }
  // The name, in parentheses, may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [Number(fields[11]), Number(fields[12])];
}

function sharpenTimers(): void {
  try {
    const thread = readlinkSync('/proc/thread-self').split('/').at(-1);
    writeFileSync(`/proc/${thread}/timerslack_ns`, String(SLACK_NS));
  } catch {
    // This may be forbidden: then due requests are up to 50 µs late on epoll.
  }
}

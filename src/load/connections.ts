// A thread's connections and their requests. A ProtocolDriver decides what to send on a connection, a Pacer when; the outcomes are counted here.
import type { Native } from '../io/native.js';
import type { Reactor } from '../io/reactor.js';
import type { TlsTransport } from '../tls/transport.js';
import { LoadClock } from './clock.js';
import type { DriverContext, DriverFactory, ProtocolDriver } from './driver.js';
import { Pacer, type RequestStarter } from './pacer.js';
import type { LoadPlan } from './plan.js';
import { BRIEF_US, Retries } from './retries.js';
import { scheduleOf } from './schedule.js';
import type { Share } from './shares.js';
import { AT, ERROR, HISTOGRAM, PHASE, type Tally } from './tally.js';

/** State of a connection; READY: requests may be sent; RETIRED: no longer. */
const STATE = { OFF: 0, CONNECTING: 1, READY: 2, RETIRED: 3 } as const;
/** Kind of all sockets. */
const LOAD = 1;
const NONE = -1;
const NEVER = Number.POSITIVE_INFINITY;
/** Interval for checking connections: timeouts and redials. */
const SWEEP_US = 20_000;

export interface ConnectionsOptions {
  readonly plan: LoadPlan;
  readonly shares: readonly Share[];
  readonly reactor: Reactor;
  readonly native: Native;
  readonly tally: Tally;
  readonly tls: TlsTransport | undefined;
  readonly driver: DriverFactory;
  /** Called in each sweep. */
  readonly poll: () => void;
  /** The ring's clock as of now, µs; without it Node's is asked. */
  readonly micros?: () => number;
}

interface SocketAddress {
  readonly at: number;
  readonly length: number;
  readonly family: 4 | 6;
}

export class Connections implements DriverContext, RequestStarter {
  readonly plan: LoadPlan;
  readonly shares: readonly Share[];
  readonly reactor: Reactor;
  readonly native: Native;
  readonly tally: Tally;
  readonly tls: TlsTransport | undefined;
  readonly driver: ProtocolDriver;
  readonly shareOf: Int32Array;
  readonly due: Float64Array;
  readonly sent: Float64Array;
  /** Of each cell: when the last message of its call was sent or received. */
  private readonly lastMessage: Float64Array;
  /** One of PHASE. */
  phase: number = PHASE.PREPARING;
  /** Connection of each socket. */
  readonly of: Int32Array;
  private readonly pacers: Pacer[] = [];
  private readonly state: Uint8Array;
  private readonly socket: Int32Array;
  /** Number of requests that may be started. */
  private readonly free: Int32Array;
  private readonly connectAt: Float64Array;
  /** Whether a request has been started on the connection. */
  private readonly asked: Uint8Array;
  private readonly retries: Retries;
  /** Without keep-alive: due time of the request for which a connection is being made. */
  private readonly waiting: Float64Array;
  private readonly addresses: readonly SocketAddress[];
  /** Requests in progress. */
  private inFlight = 0;
  /** Outcome of the requests on a connection being dropped. */
  private abortError = 0;
  private readonly clock: LoadClock;
  /** Start and end of the measured time, µs since the start of the load. */
  private from = 0;
  private until = NEVER;
  /** Whether the warm-up is over, and what was due in it and could not be sent is forgotten. */
  private warm = false;
  private sweepAt = 0;
  private readonly closedLoop: boolean;
  /** Lowest status that counts as an error. */
  private readonly minErrorStatus: number;
  private readonly keepAlive: boolean;
  /** Redials, while the load is running. */
  private readonly redial = (connection: number): void => {
    if (this.phase === PHASE.RUNNING) this.connect(connection);
  };

  constructor(private readonly options: ConnectionsOptions) {
    const { plan, shares, reactor, native } = options;
    this.plan = plan;
    this.shares = shares;
    this.reactor = reactor;
    this.native = native;
    this.tally = options.tally;
    this.tls = options.tls;
    this.clock = new LoadClock(reactor, options.micros);
    this.minErrorStatus = plan.protocol.startsWith('grpc') ? 1 : 400;
    this.closedLoop = plan.pace.kind === 'closed';
    this.keepAlive = plan.keepAlive;
    const n = shares.reduce((sum, share) => sum + share.connections, 0);
    this.shareOf = new Int32Array(n);
    this.state = new Uint8Array(n);
    this.socket = new Int32Array(n).fill(NONE);
    this.of = new Int32Array(reactor.sockets.capacity).fill(NONE);
    this.free = new Int32Array(n);
    this.connectAt = new Float64Array(n);
    this.asked = new Uint8Array(n);
    this.retries = new Retries(n);
    this.waiting = new Float64Array(n);
    this.due = new Float64Array(n * plan.streams);
    this.sent = new Float64Array(n * plan.streams);
    this.lastMessage = new Float64Array(n * plan.streams);
    this.addresses = shares.map(({ address, port }) => this.addressOf(address, port));
    let first = 0;
    for (const [i, { connections, portion }] of shares.entries()) {
      this.shareOf.fill(i, first, first + connections);
      const schedule = scheduleOf(plan.pace, plan.warmupSeconds, plan.seconds, portion);
      const thinkUs = plan.pace.kind === 'closed' ? plan.pace.thinkMs * 1000 : 0;
      this.pacers.push(new Pacer(first, connections, plan.streams, schedule, thinkUs, this));
      first += connections;
    }
    this.driver = options.driver(this);
  }

  /** Bytes of the slab's fixed region for addresses. */
  static fixedBytes(shares: readonly Share[]): number {
    return shares.length * 48;
  }

  get count(): number {
    return this.state.length;
  }

  /** Starts to open all connections, if they are kept. */
  prepare(): void {
    for (let c = 0; c < this.count; c++) {
      if (this.keepAlive) this.connect(c);
      else this.rest(c);
    }
  }

  /** Starts the load at `at`, µs of the monotonic clock. */
  begin(at: number): void {
    this.phase = PHASE.RUNNING;
    this.clock.begin(at);
    this.from = this.plan.warmupSeconds * 1e6;
    this.until = this.from + this.plan.seconds * 1e6;
    this.sweepAt = 0;
    for (let c = 0; c < this.count; c++) {
      // Times count from here on.
      this.connectAt[c] -= at;
      if (this.state[c] === STATE.OFF && this.keepAlive) this.retries.wait(c, 0);
      if (this.free[c] > 0) this.offer(c);
    }
  }

  /** Starts no more requests. With a rate, those in progress are awaited, unless the load is `aborted`. */
  end(aborted: boolean): void {
    if (this.phase === PHASE.DRAINING && aborted) this.closeAll();
    if (this.phase >= PHASE.DRAINING) return;
    const { values } = this.tally;
    if (this.phase === PHASE.RUNNING) {
      this.until = Math.max(0, Math.min(this.until, this.now));
      if (this.until > this.from) this.countUnsent();
      values[AT.BEGAN] = this.clock.absolute(Math.min(this.from, this.until));
      values[AT.ENDED] = this.clock.absolute(this.until);
      // It has not begun: no time was measured.
    } else values[AT.BEGAN] = values[AT.ENDED] = this.clock.absolute(this.now);
    this.phase = PHASE.DRAINING;
    if (this.closedLoop || aborted) this.closeAll();
  }

  private countUnsent(): void {
    this.forgetWarmUp();
    const { values } = this.tally;
    for (let p = 0; p < this.pacers.length; p++) values[AT.UNSENT] += this.pacers[p].schedule?.due(this.until) ?? 0;
  }

  /** What was due before the measured time and waits to be sent would only keep others waiting, and does not count. */
  private forgetWarmUp(): void {
    if (this.warm) return;
    this.warm = true;
    for (let p = 0; p < this.pacers.length; p++) this.pacers[p].schedule?.skip(this.from);
  }

  /** Closes all connections and drops requests in progress. */
  closeAll(): void {
    this.phase = PHASE.CLOSING;
    for (let c = 0; c < this.count; c++) this.drop(c);
  }

  /** µs since the start, as of this turn. */
  get now(): number {
    return this.clock.now;
  }

  /** Whether events count now. */
  get measuring(): boolean {
    return this.phase === PHASE.RUNNING && this.now >= this.from;
  }

  /** Once per loop turn: starts what is due, and sets the time of the next call. */
  turn(): void {
    const { now } = this;
    // Everything due before the end is sent, however late this turn is.
    const next = this.phase === PHASE.RUNNING && now >= 0 ? this.pace(now) : NEVER;
    if (this.phase === PHASE.RUNNING && now >= this.until) this.end(false);
    if (this.phase === PHASE.DRAINING && this.inFlight === 0) this.closeAll();
    if (now >= this.sweepAt) this.sweep();
    if (this.retries.soonest > 0) this.retries.takeSoon(this.redial);
    this.driver.turn?.();
    this.reactor.wakeMs = this.clock.wakeMs(Math.min(next, this.sweepAt));
  }

  /** Starts what is due. Returns the time of the next request, µs. */
  private pace(now: number): number {
    const { pacers } = this;
    let next = this.until;
    if (this.closedLoop && now >= next) return next;
    if (now >= this.from) this.forgetWarmUp();
    this.refresh();
    for (let p = 0; p < pacers.length; p++) {
      pacers[p].turn(now);
      next = Math.min(next, pacers[p].next);
    }
    return next;
  }

  refresh(): void {
    this.clock.refresh();
  }

  // Called by pacers.

  room(connection: number): number {
    return this.free[connection];
  }

  start(connection: number, due: Float64Array): void {
    this.free[connection]--;
    this.inFlight++;
    this.asked[connection] = 1;
    if (!this.keepAlive) {
      this.waiting[connection] = due[0];
      this.connect(connection);
      return;
    }
    const cell = this.driver.send(connection, this.socket[connection]);
    this.due[cell] = due[0];
    this.sent[cell] = this.clock.fresh[0];
  }

  // Called by drivers.

  socketOf(connection: number): number {
    return this.socket[connection];
  }

  ready(connection: number, requests: number): void {
    if (this.phase <= PHASE.PREPARED) this.tally.values[AT.READY]++;
    this.state[connection] = STATE.READY;
    if (!this.keepAlive) {
      this.refresh();
      const cell = this.driver.send(connection, this.socket[connection]);
      this.due[cell] = this.waiting[connection];
      this.sent[cell] = this.connectAt[connection];
      return;
    }
    this.free[connection] = requests;
    if (this.phase === PHASE.RUNNING) this.offer(connection);
  }

  connecting(connection: number): boolean {
    return this.state[connection] === STATE.CONNECTING;
  }

  retire(connection: number): void {
    if (this.state[connection] === STATE.READY) this.state[connection] = STATE.RETIRED;
    this.free[connection] = 0;
  }

  retired(connection: number): boolean {
    return this.state[connection] === STATE.RETIRED;
  }

  answered(connection: number, cell: number, status: number, reusable: boolean): void {
    this.inFlight--;
    this.retries.succeeded(connection);
    const { now } = this;
    const { values } = this.tally;
    values[AT.ALL_DONE]++;
    if (this.counts(cell)) {
      values[AT.DONE]++;
      this.tally.record(HISTOGRAM.SERVICE, now - this.sent[cell]);
      if (!this.closedLoop) this.tally.record(HISTOGRAM.LATENCY, now - this.due[cell]);
      if (status >= 0) this.tally.status(status);
      if (status >= this.minErrorStatus) this.tally.error(ERROR.status);
    }
    if (status >= this.minErrorStatus) values[AT.ALL_ERRORS]++;
    if (!this.keepAlive) {
      this.drop(connection);
      this.rest(connection);
    } else if (reusable) this.freed(connection);
    else this.lost(connection, NONE);
  }

  failed(connection: number, cell: number, error: number): void {
    this.inFlight--;
    if (this.counts(cell)) this.tally.error(error);
    this.tally.values[AT.ALL_ERRORS]++;
    this.freed(connection);
  }

  aborted(cell: number): void {
    this.inFlight--;
    if (this.phase === PHASE.CLOSING) return;
    if (this.counts(cell)) this.tally.error(this.abortError);
    this.tally.values[AT.ALL_ERRORS]++;
  }

  lost(connection: number, error: number): void {
    const connecting = this.state[connection] === STATE.CONNECTING;
    const { inFlight, phase } = this;
    const lived = this.now - this.connectAt[connection];
    const unasked = this.asked[connection] === 0;
    // In order, and before it was asked for anything: only GOAWAY ends connections like this.
    this.abortError = error === NONE ? ERROR.goaway : error;
    this.drop(connection);
    if (connecting && !this.keepAlive) this.inFlight--;
    // A server may close a connection that has been idle, but not as soon as it is made.
    const quiet = error === NONE || error === ERROR.closed || error === ERROR.reset;
    const preparing = phase <= PHASE.PREPARED;
    if (connecting || preparing || (inFlight === this.inFlight && (!quiet || (unasked && lived < BRIEF_US))))
      this.connectionError(this.abortError);
    if (preparing) this.tally.values[AT.FAILED]++;
    if (phase !== PHASE.RUNNING) return;
    const pause = this.retries.backoff(connection, lived);
    if (pause > 0) {
      this.tally.values[AT.PAUSES]++;
      this.retries.wait(connection, this.now + pause);
    } else if (this.keepAlive) this.retries.atOnce(connection);
    else this.rest(connection);
  }

  messageSent(cell: number): void {
    this.lastMessage[cell] = this.clock.fresh[0];
    if (this.measuring) this.tally.values[AT.MESSAGES_SENT]++;
  }

  messageReceived(cell: number, times: boolean): void {
    if (this.measuring) {
      this.tally.values[AT.MESSAGES_RECEIVED]++;
      if (times) this.tally.record(HISTOGRAM.MESSAGE, this.now - this.lastMessage[cell]);
    }
    this.lastMessage[cell] = this.now;
  }

  moved(amount: number): void {
    this.tally.values[AT.ALL_DONE] += amount;
    if (this.measuring) this.tally.values[AT.DONE] += amount;
  }

  // Called for sockets.

  /** The connection of `socket` is established, or `error` is one of ERROR. */
  connected(connection: number, socket: number, error: number): void {
    if (error !== NONE) {
      this.lost(connection, error);
      return;
    }
    this.tally.values[AT.OPENED]++;
    this.tally.values[AT.OPEN]++;
    this.tally.record(HISTOGRAM.CONNECT, this.now - this.connectAt[connection]);
    if (this.keepAlive) this.reactor.sockets.resume(socket);
    else this.reactor.sockets.receiveOnce(socket);
    this.driver.opened(connection, socket);
  }

  private addressOf(address: string, port: number): SocketAddress {
    const { slab } = this.reactor;
    const at = slab.fixed(32);
    const length = this.native.sockaddr(address, port, slab.bytes, at);
    if (length === 0) throw new Error(`${address} is not an address`);
    return { at, length, family: length === 16 ? 4 : 6 };
  }

  private offer(connection: number): void {
    this.pacers[this.shareOf[connection]].offer(connection);
  }

  /** A request on the connection is over, and there is room for another. */
  private freed(connection: number): void {
    if (this.state[connection] !== STATE.READY) return;
    this.free[connection]++;
    if (this.phase === PHASE.RUNNING) this.pacers[this.shareOf[connection]].answered(connection, this.now);
  }

  /** Without keep-alive: a connection is opened when its request is due. */
  private rest(connection: number): void {
    if (this.phase <= PHASE.PREPARED) this.tally.values[AT.READY]++;
    this.free[connection] = 1;
    if (this.phase === PHASE.RUNNING) this.pacers[this.shareOf[connection]].answered(connection, this.now);
  }

  /** Whether the outcome of the request of `cell` counts. */
  private counts(cell: number): boolean {
    if (this.closedLoop) return this.phase === PHASE.RUNNING && this.now >= this.from;
    return this.due[cell] >= this.from;
  }

  /** Records an error that was not a request's. */
  private connectionError(error: number): void {
    const { phase } = this;
    if (phase <= PHASE.PREPARED || this.measuring) this.tally.error(error);
    this.tally.values[AT.ALL_ERRORS]++;
  }

  private connect(connection: number): void {
    const { reactor, native } = this;
    const { sockets } = reactor;
    const share = this.shareOf[connection];
    const { at, length, family } = this.addresses[share];
    this.retries.made(connection);
    this.connectAt[connection] = this.now;
    this.state[connection] = STATE.CONNECTING;
    this.asked[connection] = this.keepAlive ? 0 : 1;
    const fd = native.socket(family, 0, 0);
    const socket = fd < 0 ? NONE : sockets.adopt(fd, LOAD);
    if (socket < 0) {
      if (fd >= 0) native.close(fd);
      this.retries.failedAtOnce(connection);
      this.lost(connection, ERROR.local);
      return;
    }
    this.socket[connection] = socket;
    this.of[socket] = connection;
    const layer = reactor.transport?.dials(share, socket) ?? 0;
    if (layer !== 0) sockets.attach(socket, layer, false);
    sockets.connect(socket, at, length);
  }

  /** Closes the connection in any state. */
  private drop(connection: number): void {
    const socket = this.socket[connection];
    this.free[connection] = 0;
    const open = this.state[connection] >= STATE.READY;
    this.state[connection] = STATE.OFF;
    if (socket < 0) return;
    this.socket[connection] = NONE;
    this.of[socket] = NONE;
    if (open) this.tally.values[AT.OPEN]--;
    this.driver.closed(connection);
    this.reactor.sockets.close(socket);
  }

  /** Checks for timeouts and for connections to redial. */
  private sweep(): void {
    this.options.poll();
    const { now } = this;
    this.sweepAt = now + SWEEP_US;
    this.tally.values[AT.BUSY] = this.inFlight;
    if (this.phase >= PHASE.CLOSING) return;
    const late = now - this.plan.timeoutMs * 1000;
    for (let c = 0; c < this.count; c++) {
      switch (this.state[c]) {
        case STATE.OFF:
          if (!this.retries.due(c, now) || this.phase !== PHASE.RUNNING) break;
          if (this.keepAlive) this.connect(c);
          else this.rest(c);
          break;
        case STATE.CONNECTING:
          if (this.connectAt[c] < late) this.lost(c, ERROR.timeout);
          break;
        default:
          this.driver.expire(c, this.socket[c], late);
      }
    }
  }
}

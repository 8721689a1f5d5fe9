// Requests of a load as HTTP/2 streams: events of the proxy's own state machine, and their outcomes.
import { HeaderMemory } from '../hpack/memory/header-memory.js';
import { METHOD, methodOf } from '../http/methods.js';
import { SCRATCH_BUFFERS_BYTES } from '../http/scratch-buffers.js';
import { Connection, ROLE } from '../http2/connection.js';
import { H, H2_ROLES } from '../http2/counters.js';
import { H2_ERROR, MAX_STREAM_ID } from '../http2/frame.js';
import { H2_LIMITS, type Http2Limits } from '../http2/limits.js';
import { Http2Machine } from '../http2/machine.js';
import { Core, type Http2Events } from '../http2/shared-state.js';
import { STREAM } from '../http2/streams.js';
import { HEADER_MEMORY_BYTES } from '../io/reactor.js';
import { SOCKET } from '../io/sockets.js';
import type { DriverContext } from './driver.js';
import { Http2Requests } from './http2-requests.js';
import { ERROR } from './tally.js';

const NONE = -1;
/** In place of an ERROR: the connection ends normally. */
export const IN_ORDER = 100;
const BOTH_ENDS = STREAM.LOCAL_END | STREAM.REMOTE_END;
/** Output of a connection from which on bodies wait. */
const CONGESTED_BYTES = 1024 * 1024;
/** A load generator reads as fast as it can. */
const LIMITS: Http2Limits = {
  maxStreams: 0,
  maxHeaderBytes: 64 * 1024,
  maxHeaders: 256,
  headerTimeoutMs: 0,
  idleTimeoutMs: 0,
  bodyTimeoutMs: 0,
  stallTimeoutMs: 0,
  windowTimeoutMs: 0,
  discardTimeoutMs: 0,
  maxDiscardBytes: 0,
  streamWindow: 16 * 1024 * 1024,
  maxStreamWindow: 16 * 1024 * 1024,
  connectionWindow: 1024 * 1024 * 1024,
  maxBufferedBytes: 1024 * 1024 * 1024,
  keepAliveMs: 0,
  keepAliveTimeoutMs: 0,
  maxAgeMs: 0,
  ageGraceMs: 0,
  maxResets: 1_000_000_000,
  maxProvokedResets: 1_000_000_000,
  maxControlFrames: 1_000_000_000,
  maxEmptyFrames: 1_000_000_000,
  maxTinyFrames: 1_000_000_000,
  maxContinuations: 1000,
  maxReplayBytes: 0,
};

export class LoadStreams implements Http2Events {
  readonly core: Core;
  readonly machine: Http2Machine;
  protected readonly requests: Http2Requests;
  /** By stream: the status of its answer. */
  protected readonly status: Int16Array;
  /** Connections to drop once none of their data is being read; and the reason. */
  private readonly closing: number[] = [];
  private readonly closeError: Int8Array;
  /** Connection of each socket. */
  private readonly bySocket: Int32Array;
  private readonly head: boolean;

  constructor(protected readonly context: DriverContext) {
    const { reactor, plan, shareOf } = context;
    const { slab, sockets } = reactor;
    const memory = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY_BYTES), HEADER_MEMORY_BYTES);
    const sink = {
      queue: (socket: number, at: number, length: number, bid: number) => sockets.queue(socket, at, length, bid),
      sending: (socket: number) => (sockets.flags[socket] & SOCKET.SENDING) !== 0,
      congested: (socket: number, unsent: number) => {
        if (sockets.queued[socket] + unsent <= CONGESTED_BYTES) return false;
        sockets.notifyDrained(socket);
        return true;
      },
    };
    const values = new Float64Array(H2_LIMITS.length + H2_ROLES.length * H.SIZE);
    const capacity = shareOf.length * plan.streams;
    this.core = new Core(slab, memory, sink, values, 0, capacity, slab.fixed(SCRATCH_BUFFERS_BYTES));
    this.machine = new Http2Machine(this.core, this);
    this.requests = new Http2Requests(context, this.core, this.machine.sender);
    this.status = new Int16Array(capacity);
    this.closeError = new Int8Array(shareOf.length).fill(NONE);
    this.bySocket = new Int32Array(sockets.capacity);
    const method = Buffer.from(plan.method, 'latin1');
    this.head = methodOf(method, 0, method.length) === METHOD.HEAD;
  }

  /** Bytes of the slab's fixed region in addition to the reactor's own. */
  static readonly fixedBytes = SCRATCH_BUFFERS_BYTES + 64;

  /** Starts HTTP/2 on a connection. */
  connect(connection: number, socket: number): Connection {
    const { now } = this.context.reactor;
    this.core.clock[0] = now;
    const meter = H2_LIMITS.length + ROLE.CLIENT * H.SIZE;
    const made = new Connection(socket, ROLE.CLIENT, meter, this.core.memory, LIMITS, now);
    this.bySocket[socket] = connection;
    this.closeError[connection] = NONE;
    this.requests.renew(connection);
    this.machine.sender.open(made);
    return made;
  }

  /** Sends a request; returns its stream's slot. */
  send(connection: number, on: Connection): number {
    const slot = this.open(connection, on);
    const { requests } = this;
    const sent =
      requests.head(connection, on, slot, !requests.hasBody) && (!requests.hasBody || requests.body(slot, true));
    if (!sent) this.giveUp(on, ERROR.local);
    return slot;
  }

  /** Ends what was sent before `time` and not answered. */
  expire(connection: number, on: Connection, time: number): void {
    const { streams } = this.core;
    for (let slot = streams.first(on), next = NONE; slot !== NONE; slot = next) {
      next = streams.after(on, slot);
      if (this.context.sent[slot] >= time || !this.waits(slot)) continue;
      this.machine.sender.reset(slot, H2_ERROR.CANCEL);
      this.over(slot);
      this.context.failed(connection, slot, ERROR.timeout);
    }
  }

  /** The connection is over, with all requests in progress. */
  closed(on: Connection): void {
    const { streams } = this.core;
    for (let slot = streams.first(on), next = NONE; slot !== NONE; slot = next) {
      next = streams.after(on, slot);
      const waits = this.waits(slot);
      this.machine.sender.close(slot);
      this.over(slot);
      if (waits) this.context.aborted(slot);
    }
    this.machine.drop(on);
  }

  /** Drops the connection, for an ERROR or IN_ORDER, once none of its data is being read. */
  giveUp(connection: Connection, error: number): void {
    const c = this.numberOf(connection);
    if (c < 0 || this.closeError[c] !== NONE) return;
    this.closeError[c] = error;
    this.closing.push(c);
  }

  /** Whether a connection is marked to be dropped because of an error. */
  get gaveUp(): boolean {
    return this.closing.length > 0 && this.closeError[this.closing[this.closing.length - 1]] !== IN_ORDER;
  }

  /** Drops the connections marked for that. */
  settle(): void {
    while (this.closing.length > 0) {
      const c = this.closing.pop() ?? 0;
      const error = this.closeError[c];
      this.closeError[c] = NONE;
      if (error !== NONE) this.context.lost(c, error === IN_ORDER ? NONE : error);
    }
  }

  /** End of a turn: output goes to the sockets. */
  turn(): void {
    const { outOfMemory, overAllowance, stalled, output, blocks } = this.core;
    for (let on = outOfMemory.pop(); on !== undefined; on = outOfMemory.pop()) this.giveUp(on, ERROR.local);
    overAllowance.length = 0;
    stalled.length = 0;
    this.settle();
    output.commit();
    blocks.trim();
  }

  // Events of the state machine.

  response(connection: Connection, slot: number, end: boolean): void {
    const { status } = this.core.list.facts;
    if (status < 200) return;
    this.status[slot] = status;
    if (end) this.complete(connection, slot);
  }

  data(connection: Connection, slot: number, _at: number, length: number, end: boolean): void {
    this.machine.frames.credit(slot, length);
    if (end) this.complete(connection, slot);
  }

  trailers(connection: Connection, slot: number): void {
    this.complete(connection, slot);
  }

  reset(connection: Connection, slot: number, code: number): void {
    this.failStream(connection, slot, code === H2_ERROR.REFUSED_STREAM ? ERROR.goaway : ERROR.reset);
  }

  streamFailed(connection: Connection, slot: number): void {
    this.failStream(connection, slot, ERROR.protocol);
  }

  tooLarge(connection: Connection, slot: number): void {
    this.failStream(connection, slot, ERROR.protocol);
  }

  connectionFailed(connection: Connection): void {
    this.giveUp(connection, ERROR.protocol);
  }

  /** The peer sets the number of concurrent requests. */
  settings(connection: Connection): void {
    const c = this.numberOf(connection);
    if (c >= 0 && this.context.connecting(c))
      this.context.ready(c, Math.min(this.context.plan.streams, connection.peerStreams));
  }

  /** Streams above `last` are not processed; no new ones are opened. */
  goaway(connection: Connection, last: number, code: number): void {
    const c = this.numberOf(connection);
    if (c < 0) return;
    this.context.tally.goaway(code);
    if (this.context.connecting(c)) {
      this.giveUp(connection, ERROR.goaway);
      return;
    }
    this.context.retire(c);
    const { streams } = this.core;
    for (let slot = streams.first(connection), next = NONE; slot !== NONE; slot = next) {
      next = streams.after(connection, slot);
      if (streams.id[slot] <= last) continue;
      this.machine.sender.close(slot);
      this.failStream(connection, slot, ERROR.goaway);
    }
    this.leaveIfDone(connection);
  }

  // Only servers get requests.
  request(): void {}
  requestTooLarge(): void {}
  shutdownAcknowledged(): void {}
  dataSent(_slot: number): void {}
  flushed(): void {}

  // Overridden by subclasses with other exchanges on streams.

  /** Whether a stream expects an answer. */
  protected waits(_slot: number): boolean {
    return true;
  }

  /** The stream is detached from its connection. */
  protected over(slot: number): void {
    this.core.streams.release(slot);
  }

  /** The answer is complete. */
  protected complete(connection: Connection, slot: number): void {
    const c = this.numberOf(connection);
    this.leave(slot);
    if (c < 0) return;
    this.context.answered(c, slot, this.status[slot], true);
    this.leaveIfDone(connection);
  }

  protected open(connection: number, on: Connection): number {
    const { streams } = this.core;
    const slot = streams.allocate();
    if (slot < 0) throw new Error('more requests than streams');
    this.machine.sender.openStream(slot, on);
    if (this.head) streams.state[slot] |= STREAM.BODILESS;
    if (on.nextId >= MAX_STREAM_ID - 2) this.context.retire(connection);
    return slot;
  }

  /** Detaches a stream; the rest of its request is not sent. */
  protected leave(slot: number): void {
    const { sender } = this.machine;
    if ((this.core.streams.state[slot] & BOTH_ENDS) === BOTH_ENDS) sender.close(slot);
    else sender.reset(slot, H2_ERROR.NO_ERROR);
    this.over(slot);
  }

  /** The number of a connection that still belongs to the load. */
  protected numberOf({ socket }: Connection): number {
    const connection = this.bySocket[socket];
    return this.context.socketOf(connection) === socket ? connection : NONE;
  }

  protected leaveIfDone(connection: Connection): void {
    const c = this.numberOf(connection);
    if (connection.active === 0 && c >= 0 && this.context.retired(c)) this.giveUp(connection, IN_ORDER);
  }

  private failStream(connection: Connection, slot: number, error: number): void {
    const c = this.numberOf(connection);
    const waits = this.waits(slot);
    this.over(slot);
    if (c < 0) return;
    if (waits) this.context.failed(c, slot, error);
    this.leaveIfDone(connection);
  }
}

// A worker's loop: the ring first, libuv as a guest. It blocks in the ring and returns to libuv only when libuv has work (its backend
// descriptor became readable, a timer is due, watchers wait to be registered) or when promises are due.
import { column } from '../http/columns.js';
import { CQE_F, ERRNO, OP, OP_SHIFT, POLLERR, POLLHUP, POLLIN, passing, SLOT_MASK } from './abi.js';
import type { Native, RingMemory } from './native.js';
import { Ring, ringFailure } from './ring.js';
import { SendQueue } from './send-queue.js';
import { RING_BUFFERS, Slab } from './slab.js';
import { FREE, SOCKET, Sockets } from './sockets.js';
import { Splicer } from './splice.js';
import { NO_BUCKET, TimerWheel } from './timer-wheel.js';
import type { ConnectionEvents, MakeTransport, Transport } from './transport.js';
import { TransportSockets, WIRE_MESSAGE_BLOCKS } from './transport-sockets.js';

const ENTRIES = 4096;
const MESSAGE_BLOCKS = 1024;
/** Memory for HTTP/2 header fields. */
export const HEADER_MEMORY_BYTES = 4 * 1024 * 1024;
/** Fixed region of the slab: message headers, header fields, constant bytes; and what the options ask for. */
const FIXED_BYTES = SendQueue.fixedBytes(MESSAGE_BLOCKS) + HEADER_MEMORY_BYTES + 256 * 1024;
/** After a poll of libuv's descriptor failed for lack of memory: when to try again, ms. */
const UV_RETRY_MS = 10;

/** Implemented by the protocols. One object per worker; every call is about a slot of the socket table. */
export interface Handlers extends ConnectionEvents {
  /** A connection from a listening socket of this worker (result >= 0) or an errno (< 0); `more` false: arm it again. */
  accepted(listener: number, result: number, more: boolean): void;
  /** A connection that another worker accepted. */
  handedIn(listener: number, fd: number): void;
  /** A hand-over has completed: `result` < 0 means that the descriptor is still ours. */
  handedOver(listener: number, fd: number, result: number): void;
  /** The kernel took `bytes` of the payload queued. */
  sent(slot: number, bytes: number): void;
  /** A send failed: the peer can no longer be written to. What it sent before may still arrive. */
  sendFailed(slot: number, errno: number): void;
  /** The send queue is empty (after `notifyDrained`). */
  drained(slot: number): void;
  /** The peer of a watched socket has ended its direction, or the connection is `broken`. Earlier data may be unread. */
  hungUp(slot: number, broken: boolean): void;
  /** A poll for a splice from `slot` has fired, or its turn has come again. */
  pump(slot: number): void;
  timer(slot: number): void;
  /** There was no buffer for the peer's data, and there is one now: `pause` leaves the data in the kernel. */
  starved(slot: number): void;
  /** Once per loop turn, after all completions. */
  turn(): void;
}

export interface ReactorOptions {
  readonly io: 'auto' | 'uring' | 'epoll';
  readonly slabBytes: number;
  readonly maxSockets: number;
  readonly maxPipes: number;
  /** The owner of each descriptor (worker id + 1), so that the supervisor can close what a dead worker leaves. */
  readonly owner: SharedArrayBuffer;
  readonly workerId: number;
  /** Room in the slab's fixed region beyond the reactor's own, e.g. for addresses. */
  readonly fixedBytes?: number;
  /** Creates the transport between sockets and protocols; undefined: all sockets are plain. */
  readonly transport?: MakeTransport | undefined;
}

export class Reactor {
  readonly memory: RingMemory;
  readonly ring: Ring;
  readonly slab: Slab;
  readonly wheel: TimerWheel;
  readonly sockets: Sockets;
  readonly splicer: Splicer;
  /** Monotonic time of this loop turn, ms (with fractions). */
  now: number;
  /** The same in whole ms since the start: a small integer, which can be passed on without allocation. */
  ms = 0;
  turns = 0;
  completions = 0;
  /** Timers fired so far. */
  fired = 0;
  /** When `Handlers.turn` wants to be called next at the latest; on the scale of `ms`. */
  wakeMs = Number.POSITIVE_INFINITY;
  /** Set by code that has settled a promise or set a timer that must be handled before the next wait. */
  wantMicrotasks = false;
  /** How many completions to wait for, and for how long (µs), when much is in flight; set by the protocols each turn. */
  waitFor = 1;
  waitUs = 0;

  /** Rests taken so far; see `restEvery`. */
  rests = 0;
  private restAt = Number.POSITIVE_INFINITY;
  private restEveryMs = 0;
  private restUs = 0;
  private readonly origin: number;
  private readonly page: Float64Array;
  private readonly transportSockets: TransportSockets | undefined;
  private handlers: Handlers | undefined;
  private uvArmed = false;
  private uvReady = false;
  private uvRetryAt = 0;

  constructor(
    private readonly native: Native,
    options: ReactorOptions,
  ) {
    const { transport } = options;
    const wireBytes = transport === undefined ? 0 : SendQueue.fixedBytes(WIRE_MESSAGE_BLOCKS);
    // Whole words, whatever its parts are.
    const fixedBytes = (FIXED_BYTES + wireBytes + (options.fixedBytes ?? 0) + 63) & ~63;
    this.memory = native.create(options.io, ENTRIES, RING_BUFFERS, options.slabBytes + fixedBytes);
    this.page = new Float64Array(this.memory.page);
    this.ring = new Ring(native, this.memory);
    native.enter(0, 0, 0, 0);
    this.now = this.page[0] / 1000;
    this.origin = Math.floor(this.now);
    this.slab = new Slab(this.memory, fixedBytes);
    const buckets = column(Int16Array, options.maxSockets);
    this.wheel = new TimerWheel(options.maxSockets, this.now, buckets);
    const owner = new Int32Array(options.owner);
    const id = options.workerId + 1;
    this.sockets = new Sockets(native, this.ring, this.slab, this.wheel, owner, id, options.maxSockets, MESSAGE_BLOCKS);
    this.sockets.setDefault(buckets, NO_BUCKET);
    this.transportSockets =
      transport === undefined ? undefined : new TransportSockets(this.sockets, this.slab, transport);
    this.splicer = new Splicer(native, this.ring, this.sockets, owner, id, options.maxPipes, this.memory.page);
  }

  /** The transport between sockets and protocols, if any. */
  get transport(): Transport | undefined {
    return this.transportSockets?.transport;
  }

  /** Starts the loop. Returns at once: the loop is hosted by the thread's own event loop. */
  run(handlers: Handlers): void {
    this.handlers = handlers;
    if (this.transportSockets !== undefined) this.transportSockets.events = handlers;
    this.native.run(() => this.step());
  }

  /** Ends the loop; the ring stays until the thread ends or `native.destroy` is called. */
  stop(): void {
    this.native.stopRun();
  }

  /**
   * A Node.js timer that does not keep the thread alive. Timers set within a turn must use this: the wait after the turn only knows timers
   * that libuv had before. Cold path.
   */
  later(ms: number, run: () => void): NodeJS.Timeout {
    this.wantMicrotasks = true;
    return setTimeout(run, ms).unref();
  }

  /** From now on, the thread leaves its core to others for `us` in every `everyMs`, if it has so much to do; 0: it does not. */
  restEvery(everyMs: number, us: number): void {
    this.restEveryMs = everyMs;
    this.restUs = us;
    this.restAt = everyMs > 0 ? Math.min(this.restAt, this.now + everyMs) : Number.POSITIVE_INFINITY;
  }

  /** The current time rather than the turn's; ms. Cold path. */
  clock(): number {
    return Math.max(this.now, this.page[0] / 1000);
  }

  /** Time since `at`, which is on the scale of `ms`; ms with fractions. Cold path. */
  since(at: number): number {
    return this.clock() - this.origin - at;
  }

  /** Like `ms`, but the current time. Cold path. */
  clockMs(): number {
    return Math.floor(this.clock()) - this.origin;
  }

  private step(): number {
    const handlers = this.handlers;
    if (handlers === undefined) return 1;
    const uv = this.native.uvTimeout();
    if (!this.uvArmed && this.now >= this.uvRetryAt) {
      this.uvArmed = true;
      this.ring.poll(this.native.uvFd(), 0, 0, POLLIN, OP.UV);
    }
    if (uv === 0) {
      this.turn(handlers, 0, 0);
      this.uvReady = false;
      return 1;
    }
    let uvDeadline = uv < 0 ? Number.POSITIVE_INFINITY : this.now + uv;
    if (!this.uvArmed) uvDeadline = Math.min(uvDeadline, this.uvRetryAt);
    for (;;) {
      const deadline = Math.min(uvDeadline, this.wheel.nextMs(), this.origin + this.wakeMs);
      let timeoutUs = -1;
      if (deadline !== Number.POSITIVE_INFINITY) timeoutUs = Math.max(0, Math.ceil((deadline - this.now) * 1000));
      const idle = this.splicer.runnable === 0;
      this.turn(handlers, idle ? this.waitFor : 0, idle ? timeoutUs : 0);
      if (this.uvReady) {
        this.uvReady = false;
        return 1;
      }
      if (this.now >= uvDeadline) return 1;
      if (this.wantMicrotasks) {
        this.wantMicrotasks = false;
        return 0;
      }
    }
  }

  /** Submits, waits, handles completions, fires timers. */
  private turn(handlers: Handlers, minComplete: number, timeoutUs: number): void {
    // Sends of an earlier turn that the executor has not taken come first.
    const sends = this.sockets.flush(this.sockets.silent.count === 0);
    // A relay has two sockets, and usually data waits in one direction at a time.
    this.slab.guarantee(this.sockets.open >> 1);
    this.slab.lend(this.sockets.multishots > 0);
    // Asked after the flush, in which a transport may have postponed something.
    const sleep = this.transportSockets?.pending !== true && !this.sockets.starved;
    const wait = sleep ? minComplete : 0;
    // A silent send completes while it is submitted and is not among those waited for.
    const coalesce = wait > 1;
    const result = this.ring.enter(coalesce ? wait + sends : wait, sleep ? timeoutUs : 0, coalesce ? this.waitUs : 0);
    if (result < 0 && !passing(result)) throw ringFailure(result);
    // Before anything else is reported, and with the clock of the turn that sent them.
    if (this.sockets.silent.count > 0) this.settle(handlers);
    this.now = this.page[0] / 1000;
    this.ms = Math.floor(this.now) - this.origin;
    this.turns++;
    // What this turn had to send is out.
    if (this.now >= this.restAt) this.rest();
    this.drain(handlers);
    const runnable = this.splicer.runnable;
    if (runnable > 0) {
      for (let i = 0; i < runnable; i++) {
        const slot = this.splicer.takeRunnable(i);
        if (slot >= 0) handlers.pump(slot);
      }
      this.splicer.dropRunnable(runnable);
    }
    const due = this.wheel.advance(this.now);
    this.fired += due;
    for (let i = 0; i < due; i++) {
      const slot = this.wheel.expired(i);
      if ((this.sockets.flags[slot] & SOCKET.CLOSED) === 0 && this.sockets.kind[slot] !== FREE) handlers.timer(slot);
    }
    this.transportSockets?.turn();
    this.sockets.unpark(handlers);
    this.sockets.sweep();
    handlers.turn();
  }

  private rest(): void {
    this.rests++;
    this.restAt = this.now + this.restEveryMs;
    this.native.rest(this.restUs);
  }

  /** Ends the silent sends that have no completion. */
  private settle(handlers: Handlers): void {
    const { ring, sockets } = this;
    const { silent } = sockets;
    // An entry that the executor has not taken is not sent, and completions that do not fit the ring yet are unknown.
    if (ring.queued > 0 || ring.overfull) return;
    const tail = ring.completedTail;
    for (let head = ring.head; head !== tail; head = (head + 1) | 0) {
      const low = ring.completions[ring.completionAt(head)];
      if (low >>> OP_SHIFT === OP.SEND) silent.completed(low & SLOT_MASK);
    }
    for (let i = 0; i < silent.count; i++)
      if (silent.bytes(i) > 0) this.sendEnded(handlers, silent.slot(i), silent.bytes(i));
    silent.clear();
  }

  private sendEnded(handlers: Handlers, slot: number, result: number): void {
    const { sockets } = this;
    if (result > 0) handlers.sent(slot, this.payloadSent(slot, result));
    const sent = sockets.sent(slot, result);
    if (sent < 0) handlers.sendFailed(slot, -sent);
    else if (sockets.takeDrained(slot)) handlers.drained(slot);
  }

  private drain(handlers: Handlers): void {
    const ring = this.ring;
    const sockets = this.sockets;
    const cells = ring.completions;
    const generations = sockets.generation;
    let head = ring.head;
    const tail = ring.completedTail;
    this.completions += (tail - head) | 0;
    while (head !== tail) {
      const at = ring.completionAt(head);
      const low = cells[at];
      const high = cells[at + 1];
      const result = cells[at + 2];
      const flags = cells[at + 3];
      head = (head + 1) | 0;
      // Returned at once: a handler may need room in the submission ring, and so a nested enter.
      ring.head = head;
      const slot = low & SLOT_MASK;
      switch (low >>> OP_SHIFT) {
        case OP.RECV:
          if ((flags & CQE_F.BUFFER) !== 0 && result > this.slab.lentBytes(flags >>> 16))
            this.receivedSeveral(handlers, slot, high & 0xffff, result, flags);
          else if (generations[slot] === (high & 0xffff)) this.received(handlers, slot, result, flags);
          else if ((flags & CQE_F.BUFFER) !== 0) this.dropBuffer(flags);
          break;
        case OP.SEND:
          if (generations[slot] === (high & 0xffff)) {
            if (sockets.silent.count > 0) sockets.silent.completed(slot);
            this.sendEnded(handlers, slot, result);
          }
          break;
        case OP.CONNECT:
          if (generations[slot] === (high & 0xffff) && sockets.connected(slot)) {
            const outcome = result >= 0 && sockets.metItself(slot) ? -ERRNO.ECONNREFUSED : result;
            if (outcome >= 0 && sockets.layer[slot] !== 0) {
              this.transportSockets?.connected(slot);
              break;
            }
            handlers.connected(slot, outcome);
            if (outcome >= 0 && this.isCurrent(slot, high & 0xffff)) sockets.start(slot);
          }
          break;
        case OP.ACCEPT:
          handlers.accepted(slot, result, (flags & CQE_F.MORE) !== 0);
          break;
        case OP.POLL_IN:
          if (generations[slot] === (high & 0xffff)) {
            const verdict = sockets.polledIn(slot, result);
            if (sockets.layer[slot] !== 0) this.receivedBelow(slot, verdict, result, 0);
            else if (verdict > 0) handlers.failed(slot, verdict);
            else if (verdict === -2) handlers.paused(slot);
          }
          break;
        case OP.POLL_OUT:
          if (generations[slot] === (high & 0xffff)) {
            const errno = sockets.polledOut(slot, result);
            if (errno > 0) handlers.sendFailed(slot, errno);
          }
          break;
        case OP.POLL_HUP:
          if (generations[slot] === (high & 0xffff) && sockets.watchEnded(slot, result))
            handlers.hungUp(slot, (result & (POLLERR | POLLHUP)) !== 0);
          break;
        case OP.PUMP_IN:
        case OP.PUMP_OUT:
          if (generations[slot] === (high & 0xffff)) {
            this.splicer.polled(slot, result);
            if (sockets.kind[slot] !== FREE && (sockets.flags[slot] & SOCKET.CLOSED) === 0) handlers.pump(slot);
          }
          break;
        case OP.HANDOVER:
          handlers.handedIn(slot, result);
          break;
        case OP.HANDOVER_SENT:
          handlers.handedOver(slot, high, result);
          break;
        case OP.UV:
          this.uvArmed = false;
          this.uvReady = true;
          if (result < 0) this.uvRetryAt = this.now + UV_RETRY_MS;
          break;
        default:
          break;
      }
    }
  }

  /** Whether the socket is still the one of this generation, and open. A handler that closes it may dial, and get its slot for another. */
  private isCurrent(slot: number, generation: number): boolean {
    return this.sockets.generation[slot] === generation && (this.sockets.flags[slot] & SOCKET.CLOSED) === 0;
  }

  /** Several buffers in one completion: each is treated as a receive of its own, and all but the last announce more. */
  private receivedSeveral(handlers: Handlers, slot: number, generation: number, result: number, flags: number): void {
    const { slab, sockets } = this;
    let bid = flags >>> 16;
    for (let left = result; left > 0; ) {
      const length = Math.min(slab.lentBytes(bid), left);
      const next = slab.lentNext(bid);
      left -= length;
      const its = (bid << 16) | CQE_F.BUFFER | (left > 0 ? CQE_F.MORE : flags & CQE_F.MORE);
      if (sockets.generation[slot] === generation) this.received(handlers, slot, length, its);
      else this.dropBuffer(its);
      bid = next;
    }
  }

  private received(handlers: Handlers, slot: number, result: number, flags: number): void {
    const sockets = this.sockets;
    const more = (flags & CQE_F.MORE) !== 0;
    const closed = (sockets.flags[slot] & SOCKET.CLOSED) !== 0;
    const verdict = sockets.received(slot, result, more);
    if (closed) {
      if ((flags & CQE_F.BUFFER) !== 0) this.dropBuffer(flags);
      return;
    }
    if (sockets.layer[slot] !== 0) {
      this.receivedBelow(slot, verdict, result, flags);
      return;
    }
    if (verdict === 0) {
      if (result > 0) {
        const bid = flags >>> 16;
        const generation = sockets.generation[slot];
        this.slab.received(bid);
        handlers.data(slot, bid, this.slab.dataStart(bid), result);
        if (!more && this.isCurrent(slot, generation)) {
          if ((sockets.flags[slot] & SOCKET.PAUSED) === 0) sockets.rearm(slot);
          else handlers.paused(slot);
        }
      } else {
        if ((flags & CQE_F.BUFFER) !== 0) this.dropBuffer(flags);
        sockets.flags[slot] |= SOCKET.EOF;
        handlers.eof(slot);
      }
    } else {
      if ((flags & CQE_F.BUFFER) !== 0) this.dropBuffer(flags);
      if (verdict > 0) handlers.failed(slot, verdict);
      else if (verdict === -2) handlers.paused(slot);
    }
  }

  /** A receive on a socket that has a transport. */
  private receivedBelow(slot: number, verdict: number, result: number, flags: number): void {
    const { transportSockets } = this;
    if (transportSockets === undefined) return;
    if (verdict === 0 && result > 0) {
      const bid = flags >>> 16;
      const generation = this.sockets.generation[slot];
      this.slab.received(bid);
      transportSockets.received(slot, bid, this.slab.dataStart(bid), result);
      if ((flags & CQE_F.MORE) === 0 && this.sockets.generation[slot] === generation)
        transportSockets.receiveEnded(slot);
      return;
    }
    if ((flags & CQE_F.BUFFER) !== 0) this.dropBuffer(flags);
    if (verdict === 0) transportSockets.ended(slot);
    else if (verdict > 0) transportSockets.failed(slot, verdict);
    else if (verdict === -2) transportSockets.receiveEnded(slot);
  }

  /** How much payload is in `bytes` that the kernel has taken. */
  private payloadSent(slot: number, bytes: number): number {
    const { transportSockets } = this;
    return transportSockets === undefined || this.sockets.layer[slot] === 0
      ? bytes
      : transportSockets.sent(slot, bytes);
  }

  private dropBuffer(flags: number): void {
    const bid = flags >>> 16;
    this.slab.received(bid);
    this.slab.release(bid);
  }
}

// Socket operations for all protocols: the armed receive (receives.ts), the queue of slices to send (one send in flight, the rest vectored
// into the next), flushing once per loop turn, and a clean close: the slot is free again only when every operation on it has completed.
//
// Protocols see plain bytes. If a transport lies between them and the socket (`layer` is not 0), transport-sockets.ts takes over; a plain
// socket pays one branch on a byte for that.
import { column } from '../http/columns.js';
import { ERRNO, OP, POLLOUT, POLLRDHUP, SHUT_WR } from './abi.js';
import { lowestLocalPort } from './local-ports.js';
import type { Native } from './native.js';
import { Receives } from './receives.js';
import type { Ring } from './ring.js';
import { SendQueue } from './send-queue.js';
import { SilentSends } from './silent-sends.js';
import type { Slab } from './slab.js';
import { FREE, SOCKET } from './socket-table.js';
import type { TimerWheel } from './timer-wheel.js';

export { FREE, SOCKET };

/** The owner waits for the end of the send: a completion reports it. */
const AWAITED = SOCKET.NOTIFY_DRAINED | SOCKET.CLOSE_PENDING | SOCKET.SHUT_PENDING;
/** The kernel usually takes this much at once; more is a bulk transfer, which is better waited for. */
const SILENT_BYTES = 16384;

export class Sockets extends Receives {
  /** Bytes queued and not yet taken by the kernel, including a transport's output. */
  readonly queued: Int32Array;
  /** Buffers held by queued data. */
  readonly pinned: Int32Array;
  /** Payload waiting for the kernel, or for the transport. */
  readonly payload: SendQueue;

  /** 1: a poll watches for the close of a peer that is not read. */
  private readonly watched: Uint8Array;
  /** Ports from here on may be given to connections. */
  private readonly localPorts = lowestLocalPort();
  private readonly dirty: Int32Array;
  private dirtyCount = 0;
  /** Submitted sends that report nothing if everything was sent; see `silent`. */
  readonly silent = new SilentSends();

  constructor(
    private readonly native: Native,
    ring: Ring,
    slab: Slab,
    private readonly wheel: TimerWheel,
    owner: Int32Array,
    ownerId: number,
    capacity: number,
    messageBlocks: number,
  ) {
    super(ring, slab, owner, ownerId, capacity);
    this.payload = new SendQueue(slab, capacity, messageBlocks, undefined, true);
    this.queued = this.payload.bytes;
    this.pinned = this.payload.pinned;
    this.watched = column(Uint8Array, capacity);
    this.dirty = column(Int32Array, capacity);
  }

  /** Puts a transport's `layer` between the socket and the protocols; `stands`: the connection is established already. */
  attach(slot: number, layer: number, stands: boolean): void {
    this.layer[slot] = layer;
    // Until somebody asks for data. The transport receives regardless until it is ready.
    this.flags[slot] |= SOCKET.PAUSED;
    if (stands) this.transportSockets?.opened(slot);
  }

  /**
   * Watches for the close of a peer that is not read: this finds its FIN behind unread data in the kernel. With `fin` false only a broken
   * connection is found. One-shot; safe to call while a watch is active.
   */
  watch(slot: number, fin: boolean): void {
    if (this.watched[slot] === 1 || (this.flags[slot] & (SOCKET.CLOSED | SOCKET.EOF)) !== 0) return;
    this.watched[slot] = 1;
    this.pending[slot]++;
    this.ring.poll(this.fd[slot], slot, this.generation[slot], fin ? POLLRDHUP : 0, OP.POLL_HUP);
  }

  /** The watch has ended. True if there is something to report. */
  watchEnded(slot: number, result: number): boolean {
    this.watched[slot] = 0;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return false;
    }
    return result > 0;
  }

  /** Starts connecting to the sockaddr at slab offset `at`. */
  connect(slot: number, at: number, length: number): void {
    // The port is in octets 2 and 3 of both kinds of sockaddr.
    const port = (this.slab.bytes[at + 2] << 8) | this.slab.bytes[at + 3];
    this.flags[slot] |= port >= this.localPorts ? SOCKET.CONNECTING | SOCKET.MAY_MEET_ITSELF : SOCKET.CONNECTING;
    this.pending[slot]++;
    this.ring.connect(this.fd[slot], slot, this.generation[slot], at, length);
  }

  /** Queues `length` bytes at slab offset `at`; takes over one reference to `bid` (-1: nobody's buffer). */
  queue(slot: number, at: number, length: number, bid: number): void {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.CLOSED | SOCKET.SHUT)) !== 0) {
      if (bid >= 0) this.slab.release(bid);
      return;
    }
    this.payload.push(slot, at, length, bid);
    if ((flags & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING)) === 0) this.markDirty(slot);
  }

  /** Queues before everything else, of which nothing may have been sent; otherwise as `queue`. */
  queueFirst(slot: number, at: number, length: number, bid: number): void {
    this.payload.unshift(slot, at, length, bid);
    if ((this.flags[slot] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING | SOCKET.CLOSED)) === 0)
      this.markDirty(slot);
  }

  /** Moves everything queued on `from`, of which nothing may be in flight, to the end of the queue of `to`. */
  moveQueue(from: number, to: number): void {
    if (this.layer[from] !== 0) this.transportSockets?.takeBack(from);
    if (this.payload.empty(from)) return;
    this.payload.move(from, to);
    if ((this.flags[to] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING)) === 0) this.markDirty(to);
  }

  /** Drops what is queued and not in flight. */
  dropQueue(slot: number): void {
    if ((this.flags[slot] & SOCKET.SENDING) !== 0) return;
    this.payload.clear(slot);
    if (this.layer[slot] !== 0) this.transportSockets?.drop(slot);
  }

  /** Ends our direction (FIN) once the queue is sent. */
  shutdown(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.SHUT | SOCKET.CLOSED)) !== 0) return;
    if (this.layer[slot] !== 0) {
      // The transport has something to write first.
      this.flags[slot] = flags | SOCKET.SHUT | SOCKET.SHUT_PENDING;
      this.flushSoon(slot);
    } else if (this.queued[slot] === 0 && (flags & SOCKET.CONNECTING) === 0) {
      this.flags[slot] = flags | SOCKET.SHUT;
      this.finish(slot);
    } else {
      this.flags[slot] = flags | SOCKET.SHUT | SOCKET.SHUT_PENDING;
    }
  }

  /** Closes once the queue is sent. */
  closeWhenSent(slot: number): void {
    if (this.layer[slot] !== 0) this.transportSockets?.closeWhenSent(slot);
    else if (this.queued[slot] === 0) this.close(slot);
    else this.flags[slot] |= SOCKET.CLOSE_PENDING;
  }

  /** Whether an orderly close has only its own goodbye left to write. */
  saysGoodbye(slot: number): boolean {
    return this.layer[slot] !== 0 && this.transportSockets?.closesGracefully(slot) === true;
  }

  /** Makes the close of this socket an abort (RST). */
  abort(slot: number): void {
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) return;
    this.resetOnClose(slot);
    this.close(slot);
  }

  /** Makes any close of this socket an abort. */
  resetOnClose(slot: number): void {
    this.native.resetOnClose(this.fd[slot]);
    if (this.layer[slot] !== 0) this.transportSockets?.resetOnClose(slot);
  }

  /** Closes at once; what is queued is dropped. Safe to call twice. The slot is released when its operations have completed. */
  close(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & SOCKET.CLOSED) !== 0) return;
    const generation = this.generation[slot];
    // Closing with an armed receive would leave the socket open and receiving: cancel in the same batch.
    if ((flags & SOCKET.RECEIVING) !== 0) this.ring.cancel(slot, OP.RECV, generation);
    if ((flags & SOCKET.SENDING) !== 0) this.ring.cancel(slot, OP.SEND, generation);
    if ((flags & SOCKET.CONNECTING) !== 0) this.ring.cancel(slot, OP.CONNECT, generation);
    if ((flags & SOCKET.POLLED) !== 0) {
      this.ring.cancel(slot, OP.POLL_IN, generation);
      this.ring.cancel(slot, OP.POLL_OUT, generation);
    }
    if (this.watched[slot] === 1) this.ring.cancel(slot, OP.POLL_HUP, generation);
    const fd = this.fd[slot];
    // Before the entry, not after: a worker that dies in between leaks at most one descriptor, and closes nobody else's.
    if (fd < this.owner.length) this.owner[fd] = 0;
    this.ring.close(fd);
    this.flags[slot] = (flags & ~(SOCKET.CLOSE_PENDING | SOCKET.SHUT_PENDING | SOCKET.NOTIFY_DRAINED)) | SOCKET.CLOSED;
    this.wheel.cancel(slot);
    if (this.layer[slot] !== 0) this.transportSockets?.closed(slot);
    if ((flags & SOCKET.SENDING) === 0) this.dropQueue(slot);
    this.releaseIfDone(slot);
  }

  /** Adds an outstanding operation other than receive, send and connect (polls of a splice). */
  hold(slot: number): void {
    this.pending[slot]++;
  }

  unhold(slot: number): void {
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
  }

  /**
   * Sends from every socket with queued data, one send each. Called at the end of a loop turn. Returns how many sends will have a
   * completion: all, unless some may be `silent`.
   */
  flush(silent = false): number {
    let sends = 0;
    for (let i = 0; i < this.dirtyCount; i++) {
      const slot = this.dirty[i];
      this.flags[slot] &= ~SOCKET.DIRTY;
      if (this.layer[slot] !== 0 && (this.flags[slot] & SOCKET.CLOSED) === 0)
        sends += this.transportSockets?.flush(slot, silent) ?? 0;
      else if (!this.payload.empty(slot) && (this.flags[slot] & (SOCKET.SENDING | SOCKET.CLOSED)) === 0)
        sends += this.send(slot, silent);
      else if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
    }
    this.dirtyCount = 0;
    return sends;
  }

  /**
   * The poll that replaces a receive on an O_NONBLOCK socket has fired, failed or was cancelled. Returns the errno to report to the owner,
   * -1 if there is nothing to report, or -2 if a pause has taken effect.
   */
  polledIn(slot: number, result: number): number {
    this.flags[slot] &= ~(SOCKET.RECEIVING | SOCKET.CANCELLING);
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return -1;
    }
    if ((this.flags[slot] & SOCKET.PAUSED) !== 0) return -2;
    // Retrying at once would spin while memory is short.
    if (result < 0 && result !== -ERRNO.ECANCELED) return -result;
    // The transport decides whether to arm it again.
    if (this.layer[slot] !== 0) return -2;
    this.arm(slot);
    return -1;
  }

  /** The poll that replaces a send on an O_NONBLOCK socket has fired or failed. Returns the errno to report, or 0. */
  polledOut(slot: number, result: number): number {
    this.flags[slot] &= ~SOCKET.SENDING;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.dropQueue(slot);
      this.releaseIfDone(slot);
    } else if (result < 0 && result !== -ERRNO.ECANCELED) return -result;
    else if (this.queued[slot] !== 0) this.send(slot);
    return 0;
  }

  /** Bookkeeping of a connect completion; true if it is to be reported to the owner. */
  connected(slot: number): boolean {
    this.flags[slot] &= ~SOCKET.CONNECTING;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return false;
    }
    return true;
  }

  /** Whether a connect has succeeded only because the socket is its own peer: nobody listens there. */
  metItself(slot: number): boolean {
    // Not asked of others: it takes two system calls.
    if ((this.flags[slot] & SOCKET.MAY_MEET_ITSELF) === 0) return false;
    if (this.native.connectedToItself(this.fd[slot]) === 0) return false;
    // Without TIME-WAIT: whoever is to listen on the port needs it.
    this.resetOnClose(slot);
    return true;
  }

  /** After a successful connect: sends what was queued meanwhile. */
  start(slot: number): void {
    if (!this.payload.empty(slot)) {
      if ((this.flags[slot] & SOCKET.DIRTY) === 0) this.markDirty(slot);
    } else this.afterDrain(slot);
  }

  /**
   * Bookkeeping of a send completion. Returns bytes sent (> 0 or 0), or -errno if the socket can send no more. `takeDrained` then says
   * whether to report an empty queue to the owner.
   */
  sent(slot: number, result: number): number {
    this.pending[slot]--;
    let flags = this.flags[slot] & ~SOCKET.SENDING;
    this.flags[slot] = flags;
    const queue = this.toSend(slot);
    queue.settle(slot);
    if (result > 0) queue.consume(slot, result);
    if ((flags & SOCKET.CLOSED) !== 0) {
      this.dropQueue(slot);
      this.releaseIfDone(slot);
      return 0;
    }
    if (result < 0) {
      if (result === -ERRNO.EAGAIN) {
        this.flags[slot] = flags | SOCKET.SENDING | SOCKET.POLLED;
        this.pending[slot]++;
        this.ring.poll(this.fd[slot], slot, this.generation[slot], POLLOUT, OP.POLL_OUT);
        return 0;
      }
      if (result !== -ERRNO.EINTR && result !== -ERRNO.ECANCELED) return result;
    }
    flags = this.flags[slot];
    if (this.queued[slot] !== 0) {
      if ((flags & SOCKET.DIRTY) === 0) this.markDirty(slot);
      return Math.max(result, 0);
    }
    this.afterDrain(slot);
    return Math.max(result, 0);
  }

  /** True if the owner asked for it and the queue is empty now; clears the request. */
  takeDrained(slot: number): boolean {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.NOTIFY_DRAINED | SOCKET.CLOSED)) !== SOCKET.NOTIFY_DRAINED || this.queued[slot] !== 0)
      return false;
    this.flags[slot] = flags & ~SOCKET.NOTIFY_DRAINED;
    return true;
  }

  notifyDrained(slot: number): void {
    this.flags[slot] |= SOCKET.NOTIFY_DRAINED;
  }

  /** Sends this socket's queue at the end of the turn. */
  flushSoon(slot: number): void {
    if ((this.flags[slot] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CLOSED)) === 0) this.markDirty(slot);
  }

  /** Everything is sent: does what was waiting for that. */
  private afterDrain(slot: number): void {
    const flags = this.flags[slot];
    if (this.layer[slot] !== 0) {
      if ((flags & (SOCKET.CLOSE_PENDING | SOCKET.SHUT_PENDING)) !== 0) this.flushSoon(slot);
    } else if ((flags & SOCKET.CLOSE_PENDING) !== 0) {
      this.close(slot);
    } else if ((flags & SOCKET.SHUT_PENDING) !== 0) {
      this.flags[slot] = flags & ~SOCKET.SHUT_PENDING;
      this.finish(slot);
    }
  }

  /**
   * Ends our direction of the connection. A call, not an entry: io_uring executes SHUTDOWN in a kernel thread, which looks the descriptor
   * up only then. A CLOSE behind it can win, and the shutdown would hit whoever has the number by then.
   */
  finish(slot: number): void {
    this.native.shutdown(this.fd[slot], SHUT_WR);
  }

  private markDirty(slot: number): void {
    this.flags[slot] |= SOCKET.DIRTY;
    this.dirty[this.dirtyCount++] = slot;
  }

  /** Sends what is first in the queue: payload, or a transport's output. Returns 1 if a completion will report it. */
  send(slot: number, maySilent = false): number {
    this.flags[slot] |= SOCKET.SENDING;
    this.unacknowledged[slot] = 1;
    this.pending[slot]++;
    const fd = this.fd[slot];
    const generation = this.generation[slot];
    const queue = this.toSend(slot);
    const message = queue.vector(slot);
    const bytes = message >= 0 ? queue.vectored : queue.firstLength(slot);
    const silent =
      maySilent &&
      bytes <= SILENT_BYTES &&
      bytes === this.queued[slot] &&
      (this.flags[slot] & AWAITED) === 0 &&
      this.silent.add(slot, bytes);
    if (message >= 0) this.ring.sendMessage(fd, slot, generation, message, silent);
    else this.ring.send(fd, slot, generation, queue.firstAt(slot), bytes, silent);
    return silent ? 0 : 1;
  }

  private toSend(slot: number): SendQueue {
    return this.layer[slot] === 0 || this.transportSockets === undefined ? this.payload : this.transportSockets.wire;
  }
}

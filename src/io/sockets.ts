// What every protocol needs of a socket: the armed receive, the queue of slices to send (one send in flight, the rest vectored
// into the next), flushing once a loop turn, and a close that leaves nothing behind: the slot is free again only when every
// operation on it has completed.
//
// Protocols see plain bytes. Where a transport lies between them and the socket (`layer` is not 0) layered.ts takes over; the
// plain socket pays one branch on a byte for that.
import { ERRNO, OP, POLLIN, POLLOUT, SHUT_WR } from './abi.js';
import type { Native } from './native.js';
import type { Ring } from './ring.js';
import { SendQueue } from './send-queue.js';
import type { Slab } from './slab.js';
import { FREE, SOCKET, SocketTable } from './socket-table.js';
import type { Layering } from './transport.js';
import type { Wheel } from './wheel.js';

export { FREE, SOCKET };

export class Sockets extends SocketTable {
  /** Bytes queued and not yet taken by the kernel; with a transport, those that it wrote included. */
  readonly queued: Int32Array;
  /** Slices queued: each may hold a whole buffer, however few bytes of it are left to send. */
  readonly slices: Int32Array;
  /** Payload that waits to be sent: by the kernel, or by the transport. */
  readonly payload: SendQueue;
  /** What handles sockets with a transport, where there is one. */
  layered: Layering | undefined;
  /** Receives parked for want of buffers, ever. */
  parks = 0;

  private readonly dirty: Int32Array;
  private dirtyCount = 0;
  private readonly parked: Int32Array;
  private parkedCount = 0;

  constructor(
    private readonly native: Native,
    private readonly ring: Ring,
    private readonly slab: Slab,
    private readonly wheel: Wheel,
    owner: Int32Array,
    ownerId: number,
    capacity: number,
    messageBlocks: number,
  ) {
    super(owner, ownerId, capacity);
    this.payload = new SendQueue(slab, capacity, messageBlocks);
    this.queued = this.payload.bytes;
    this.slices = this.payload.slices;
    this.dirty = new Int32Array(capacity);
    this.parked = new Int32Array(capacity);
  }

  /** Whether payload can pass, as far as what lies between the socket and the protocols is concerned. */
  ready(slot: number): boolean {
    return this.layer[slot] === 0 || this.layered?.ready(slot) === true;
  }

  /** Puts a transport's `layer` between the socket and the protocols; `stands`: the connection has been made already. */
  attach(slot: number, layer: number, stands: boolean): void {
    this.layer[slot] = layer;
    // Until somebody asks for data. The transport receives all the same until it is ready.
    this.flags[slot] |= SOCKET.PAUSED;
    if (stands) this.layered?.opened(slot);
  }

  /** Whether bytes may pass between this socket and another without being seen here. */
  spliceable(slot: number): boolean {
    return this.layer[slot] === 0;
  }

  /** Starts connecting to the sockaddr at slab offset `at`. */
  connect(slot: number, at: number, length: number): void {
    this.flags[slot] |= SOCKET.CONNECTING;
    this.pending[slot]++;
    this.ring.connect(this.fd[slot], slot, this.generation[slot], at, length);
  }

  /** Wants data: arms the receive unless one is armed. */
  resume(slot: number): void {
    const before = this.flags[slot];
    const flags = before & ~SOCKET.PAUSED;
    this.flags[slot] = flags;
    if (this.layer[slot] !== 0) this.layered?.resumed(slot, flags !== before);
    else if ((flags & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0) this.arm(slot);
  }

  /**
   * Wants one receive only; the next is asked for with `resume` or `receiveOnce`. For sockets of which more may be ready than
   * is to pass through the slab: a multishot receive would bring in all of it before it could be stopped.
   */
  receiveOnce(slot: number): void {
    if (this.layer[slot] !== 0) {
      this.resume(slot);
      return;
    }
    this.flags[slot] &= ~SOCKET.PAUSED;
    if ((this.flags[slot] & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0) this.armOnce(slot);
  }

  /** Wants no data. What is already on its way is still delivered; true once nothing more can come. */
  pause(slot: number): boolean {
    const flags = this.flags[slot] | SOCKET.PAUSED;
    this.flags[slot] = flags;
    if ((flags & SOCKET.RECEIVING) === 0) return true;
    if ((flags & SOCKET.CANCELLING) === 0 && this.ready(slot)) {
      this.flags[slot] = flags | SOCKET.CANCELLING;
      this.ring.cancel(slot, OP.RECV, this.generation[slot]);
      if ((flags & SOCKET.POLLED) !== 0) this.ring.cancel(slot, OP.POLL_IN, this.generation[slot]);
    }
    return false;
  }

  /** True while a receive is armed or being cancelled: data may still arrive. */
  receiving(slot: number): boolean {
    return (this.flags[slot] & SOCKET.RECEIVING) !== 0;
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

  /** Moves everything queued on `from`, of which nothing is in flight, to the end of the queue of `to`. */
  moveQueue(from: number, to: number): void {
    if (this.layer[from] !== 0) this.layered?.takeBack(from);
    if (this.payload.empty(from)) return;
    this.payload.move(from, to);
    if ((this.flags[to] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING)) === 0) this.markDirty(to);
  }

  /** Forgets what is queued and not in flight. */
  dropQueue(slot: number): void {
    if ((this.flags[slot] & SOCKET.SENDING) !== 0) return;
    this.payload.clear(slot);
    if (this.layer[slot] !== 0) this.layered?.drop(slot);
  }

  /** Ends our direction (FIN) when the queue is sent. */
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

  /** Closes when the queue is sent. */
  closeWhenSent(slot: number): void {
    if (this.layer[slot] !== 0) this.layered?.closeWhenSent(slot);
    else if (this.queued[slot] === 0) this.close(slot);
    else this.flags[slot] |= SOCKET.CLOSE_PENDING;
  }

  /** Makes the close of this socket an abort (RST). */
  abort(slot: number): void {
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) return;
    this.resetOnClose(slot);
    this.close(slot);
  }

  /** Makes whatever closes this socket an abort. */
  resetOnClose(slot: number): void {
    this.native.resetOnClose(this.fd[slot]);
    if (this.layer[slot] !== 0) this.layered?.resetOnClose(slot);
  }

  /** Closes at once; what is queued is dropped. Safe to call twice. The slot is released when its operations have completed. */
  close(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & SOCKET.CLOSED) !== 0) return;
    const generation = this.generation[slot];
    // A close with a receive armed would leave the socket open and receiving: cancel in the same batch.
    if ((flags & SOCKET.RECEIVING) !== 0) this.ring.cancel(slot, OP.RECV, generation);
    if ((flags & SOCKET.SENDING) !== 0) this.ring.cancel(slot, OP.SEND, generation);
    if ((flags & SOCKET.CONNECTING) !== 0) this.ring.cancel(slot, OP.CONNECT, generation);
    if ((flags & SOCKET.POLLED) !== 0) {
      this.ring.cancel(slot, OP.POLL_IN, generation);
      this.ring.cancel(slot, OP.POLL_OUT, generation);
    }
    const fd = this.fd[slot];
    // Before the entry, not after: a worker that dies in between leaks one fd at worst, and closes no stranger's.
    if (fd < this.owner.length) this.owner[fd] = 0;
    this.ring.close(fd);
    this.flags[slot] = (flags & ~(SOCKET.CLOSE_PENDING | SOCKET.SHUT_PENDING | SOCKET.NOTIFY_DRAINED)) | SOCKET.CLOSED;
    this.wheel.cancel(slot);
    if (this.layer[slot] !== 0) this.layered?.closed(slot);
    if ((flags & SOCKET.SENDING) === 0) this.dropQueue(slot);
    this.releaseIfDone(slot);
  }

  /** Operations outstanding beyond receive, send and connect (polls of a splice). */
  hold(slot: number): void {
    this.pending[slot]++;
  }

  unhold(slot: number): void {
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
  }

  /** Writes every socket that has something queued: one send each. Called at the end of a loop turn. Returns how many sends. */
  flush(): number {
    let sends = 0;
    for (let i = 0; i < this.dirtyCount; i++) {
      const slot = this.dirty[i];
      this.flags[slot] &= ~SOCKET.DIRTY;
      if (this.layer[slot] !== 0 && (this.flags[slot] & SOCKET.CLOSED) === 0) sends += this.layered?.flush(slot) ?? 0;
      else if (!this.payload.empty(slot) && (this.flags[slot] & (SOCKET.SENDING | SOCKET.CLOSED)) === 0) {
        this.send(slot);
        sends++;
      } else if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
    }
    this.dirtyCount = 0;
    return sends;
  }

  /** Arms parked receives again while there are buffers for them. */
  unpark(): void {
    // Lent buffers count: what was released outside a turn has been lent before this looks.
    if (this.parkedCount === 0 || !this.slab.lendable) return;
    const n = this.parkedCount;
    this.parkedCount = 0;
    for (let i = 0; i < n; i++) {
      const slot = this.parked[i];
      if ((this.flags[slot] & SOCKET.PARKED) === 0) continue;
      this.flags[slot] &= ~SOCKET.PARKED;
      if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
      else if (this.layer[slot] !== 0) this.layered?.rearm(slot);
      else if ((this.flags[slot] & (SOCKET.PAUSED | SOCKET.RECEIVING | SOCKET.EOF)) === 0) this.arm(slot);
    }
  }

  /**
   * Bookkeeping of a receive completion, before its data is handed on. Returns the errno that the owner must hear of,
   * 0 for data or end of stream, -1 where there is nothing to tell, or -2 where a pause has taken effect.
   */
  received(slot: number, result: number, more: boolean): number {
    if (more) return 0;
    const flags = this.flags[slot] & ~(SOCKET.RECEIVING | SOCKET.CANCELLING | SOCKET.ONCE);
    this.flags[slot] = flags;
    this.pending[slot]--;
    if ((flags & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return -1;
    }
    // With data: ended by the executor (buffers ran low) or by a cancel that lost the race. Armed again by `rearm`.
    if (result >= 0) return 0;
    if (result === -ERRNO.ECANCELED || result === -ERRNO.EINTR) {
      if ((flags & SOCKET.PAUSED) !== 0) return -2;
      this.arm(slot);
      return -1;
    }
    if (result === -ERRNO.ENOBUFS) {
      if ((flags & SOCKET.PAUSED) !== 0) return -2;
      this.slab.grow();
      this.flags[slot] |= SOCKET.PARKED;
      this.parked[this.parkedCount++] = slot;
      this.parks++;
      return -1;
    }
    if (result === -ERRNO.EAGAIN) {
      if ((flags & SOCKET.PAUSED) !== 0) return -2;
      // O_NONBLOCK while splicing the other direction: wait for data, then arm.
      this.flags[slot] |= SOCKET.RECEIVING | SOCKET.POLLED;
      this.pending[slot]++;
      this.ring.poll(this.fd[slot], slot, this.generation[slot], POLLIN, OP.POLL_IN);
      return -1;
    }
    return -result;
  }

  /** After data was delivered: arms the receive again if the executor ended it and it is wanted. */
  rearm(slot: number): void {
    if ((this.flags[slot] & (SOCKET.RECEIVING | SOCKET.PAUSED | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0)
      this.arm(slot);
  }

  /** The poll that stands for a receive on an O_NONBLOCK socket has fired or was cancelled; true where a pause has taken effect. */
  polledIn(slot: number): boolean {
    this.flags[slot] &= ~(SOCKET.RECEIVING | SOCKET.CANCELLING);
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return false;
    }
    if ((this.flags[slot] & SOCKET.PAUSED) !== 0) return true;
    this.arm(slot);
    return false;
  }

  /** The poll that stands for a send on an O_NONBLOCK socket has fired. */
  polledOut(slot: number): void {
    this.flags[slot] &= ~SOCKET.SENDING;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.dropQueue(slot);
      this.releaseIfDone(slot);
    } else if (this.queued[slot] !== 0) this.send(slot);
  }

  /** Bookkeeping of a connect completion; true if the owner is to be told. */
  connected(slot: number): boolean {
    this.flags[slot] &= ~SOCKET.CONNECTING;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return false;
    }
    return true;
  }

  /** After a successful connect: sends what was queued meanwhile. */
  start(slot: number): void {
    if (!this.payload.empty(slot)) {
      if ((this.flags[slot] & SOCKET.DIRTY) === 0) this.markDirty(slot);
    } else this.afterDrain(slot);
  }

  /**
   * Bookkeeping of a send completion. Returns bytes sent (> 0 or 0), or -errno if the socket can send no more.
   * `takeDrained` then says whether the owner is to hear of an empty queue.
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

  /** True if the owner asked for it and the queue is empty now; asks no longer. */
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

  /** Has what waits for this socket sent at the end of the turn. */
  flushSoon(slot: number): void {
    if ((this.flags[slot] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CLOSED)) === 0) this.markDirty(slot);
  }

  /** Everything is sent: what was to be done then. */
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
   * Ends our direction of the connection.
   * A call, not an entry: io_uring carries SHUTDOWN out in a kernel thread, which looks the fd up only then. A CLOSE behind it
   * can win, and the shutdown would hit whoever has the number by then.
   */
  finish(slot: number): void {
    this.native.shutdown(this.fd[slot], SHUT_WR);
  }

  /** Arms one receive. */
  armOnce(slot: number): void {
    this.flags[slot] |= SOCKET.RECEIVING | SOCKET.ONCE;
    this.pending[slot]++;
    this.ring.receiveOnce(this.fd[slot], slot, this.generation[slot]);
  }

  /** Arms the receive. */
  arm(slot: number): void {
    this.flags[slot] |= SOCKET.RECEIVING;
    this.pending[slot]++;
    this.ring.receive(this.fd[slot], slot, this.generation[slot]);
  }

  private markDirty(slot: number): void {
    this.flags[slot] |= SOCKET.DIRTY;
    this.dirty[this.dirtyCount++] = slot;
  }

  /** Sends what is first in line: payload, or with a transport what it has written. */
  send(slot: number): void {
    this.flags[slot] |= SOCKET.SENDING;
    this.pending[slot]++;
    const fd = this.fd[slot];
    const generation = this.generation[slot];
    const queue = this.toSend(slot);
    const message = queue.vector(slot);
    if (message >= 0) this.ring.sendMessage(fd, slot, generation, message);
    else this.ring.send(fd, slot, generation, queue.firstAt(slot), queue.firstLength(slot));
  }

  private toSend(slot: number): SendQueue {
    return this.layer[slot] === 0 || this.layered === undefined ? this.payload : this.layered.wire;
  }
}

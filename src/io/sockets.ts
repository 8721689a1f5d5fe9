// The socket table: one slot a socket, struct of arrays. It owns what every protocol needs of a socket: the armed receive,
// the queue of slices to send (one send in flight, the rest vectored into the next), flushing once a loop turn, and a close
// that leaves nothing behind: the slot is free again only when every operation on it has completed.
import { ERRNO, OP, POLLIN, POLLOUT, SHUT_WR } from './abi.js';
import type { Native } from './native.js';
import type { Ring } from './ring.js';
import { SendQueue } from './send-queue.js';
import type { Slab } from './slab.js';
import type { Wheel } from './wheel.js';

/** Flags of a slot. */
export const SOCKET = {
  /** A receive is armed. */
  RECEIVING: 1,
  /** Its cancellation is under way. */
  CANCELLING: 2,
  /** The owner does not want data now. */
  PAUSED: 4,
  /** Waits for buffers to come back. */
  PARKED: 8,
  /** A send (or the poll before it is tried again) is in flight. */
  SENDING: 16,
  /** In the list of sockets to flush at the end of this turn. */
  DIRTY: 32,
  CONNECTING: 64,
  /** Nothing more comes from the peer. */
  EOF: 128,
  /** We have shut our direction down, or will once the queue is sent. */
  SHUT: 256,
  /** SHUT_WR is to be done when the queue is empty. */
  SHUT_PENDING: 512,
  /** The owner wants `onDrained` when the queue is empty. */
  NOTIFY_DRAINED: 1024,
  /** `close` was called: the fd is gone, completions are reaped. */
  CLOSED: 2048,
  /** O_NONBLOCK is set (splicing), so operations answer EAGAIN instead of waiting. */
  NONBLOCK: 4096,
  /** To be closed when the queue is sent. */
  CLOSE_PENDING: 8192,
  /** One receive at a time: the owner asks for each. */
  ONCE: 16384,
  /** A poll has stood for a receive or a send (EAGAIN while O_NONBLOCK); O_NONBLOCK may be off again while it waits. */
  POLLED: 32768,
} as const;

const NONE = -1;
export class Sockets {
  readonly capacity: number;
  readonly fd: Int32Array;
  readonly kind: Uint8Array;
  readonly flags: Uint16Array;
  readonly generation: Uint16Array;
  /** The other socket of a relay, or -1. Owned by the protocols. */
  readonly peer: Int32Array;
  /** Bytes queued and not yet taken by the kernel. */
  readonly queued: Int32Array;
  /** Slices queued: each may hold a whole buffer, however few bytes of it are left to send. */
  readonly slices: Int32Array;
  /** Sockets in use. */
  open = 0;
  /** Receives parked for want of buffers, ever. */
  parks = 0;

  private readonly pending: Uint8Array;
  private readonly queues: SendQueue;
  private readonly freeSlots: Int32Array;
  private freeCount = 0;
  private nextFresh = 0;

  private readonly dirty: Int32Array;
  private dirtyCount = 0;
  private readonly parked: Int32Array;
  private parkedCount = 0;

  constructor(
    private readonly native: Native,
    private readonly ring: Ring,
    private readonly slab: Slab,
    private readonly wheel: Wheel,
    private readonly owner: Int32Array,
    private readonly ownerId: number,
    capacity: number,
    messageBlocks: number,
  ) {
    this.capacity = capacity;
    this.fd = new Int32Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.flags = new Uint16Array(capacity);
    this.generation = new Uint16Array(capacity);
    this.peer = new Int32Array(capacity);
    this.queues = new SendQueue(slab, capacity, messageBlocks);
    this.queued = this.queues.bytes;
    this.slices = this.queues.slices;
    this.pending = new Uint8Array(capacity);
    this.freeSlots = new Int32Array(capacity);
    this.dirty = new Int32Array(capacity);
    this.parked = new Int32Array(capacity);
  }

  /** A slot for `fd`, or -1 when the table is full. The fd is this worker's from here on. */
  adopt(fd: number, kind: number): number {
    let slot: number;
    if (this.freeCount > 0) slot = this.freeSlots[--this.freeCount];
    else if (this.nextFresh < this.capacity) slot = this.nextFresh++;
    else return NONE;
    this.fd[slot] = fd;
    this.kind[slot] = kind;
    this.flags[slot] = 0;
    this.peer[slot] = NONE;
    this.pending[slot] = 0;
    if (fd < this.owner.length) this.owner[fd] = this.ownerId;
    this.open++;
    return slot;
  }

  /** Starts connecting to the sockaddr at slab offset `at`. */
  connect(slot: number, at: number, length: number): void {
    this.flags[slot] |= SOCKET.CONNECTING;
    this.pending[slot]++;
    this.ring.connect(this.fd[slot], slot, this.generation[slot], at, length);
  }

  /** Wants data: arms the receive unless one is armed. */
  resume(slot: number): void {
    const flags = this.flags[slot] & ~SOCKET.PAUSED;
    this.flags[slot] = flags;
    if ((flags & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0) this.arm(slot);
  }

  /**
   * Wants one receive only; the next is asked for with `resume` or `receiveOnce`. For sockets of which more may be ready than
   * is to pass through the slab: a multishot receive would bring in all of it before it could be stopped.
   */
  receiveOnce(slot: number): void {
    this.flags[slot] &= ~SOCKET.PAUSED;
    if ((this.flags[slot] & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) !== 0) return;
    this.flags[slot] |= SOCKET.RECEIVING | SOCKET.ONCE;
    this.pending[slot]++;
    this.ring.receiveOnce(this.fd[slot], slot, this.generation[slot]);
  }

  /** Wants no data. What is already on its way is still delivered; true once nothing more can come. */
  pause(slot: number): boolean {
    const flags = this.flags[slot] | SOCKET.PAUSED;
    this.flags[slot] = flags;
    if ((flags & SOCKET.RECEIVING) === 0) return true;
    if ((flags & SOCKET.CANCELLING) === 0) {
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
    this.queues.push(slot, at, length, bid);
    if ((flags & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING)) === 0) this.markDirty(slot);
  }

  /** Moves everything queued on `from`, of which nothing is in flight, to the end of the queue of `to`. */
  moveQueue(from: number, to: number): void {
    if (this.queues.empty(from)) return;
    this.queues.move(from, to);
    if ((this.flags[to] & (SOCKET.DIRTY | SOCKET.SENDING | SOCKET.CONNECTING)) === 0) this.markDirty(to);
  }

  /** Forgets what is queued and not in flight. */
  dropQueue(slot: number): void {
    if ((this.flags[slot] & SOCKET.SENDING) !== 0) return;
    this.queues.clear(slot);
  }

  /** Ends our direction (FIN) when the queue is sent. */
  shutdown(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.SHUT | SOCKET.CLOSED)) !== 0) return;
    if (this.queued[slot] === 0 && (flags & SOCKET.CONNECTING) === 0) {
      this.flags[slot] = flags | SOCKET.SHUT;
      this.finish(slot);
    } else {
      this.flags[slot] = flags | SOCKET.SHUT | SOCKET.SHUT_PENDING;
    }
  }

  /** Closes when the queue is sent. */
  closeWhenSent(slot: number): void {
    if (this.queued[slot] === 0) this.close(slot);
    else this.flags[slot] |= SOCKET.CLOSE_PENDING;
  }

  /** Makes the close of this socket an abort (RST). */
  abort(slot: number): void {
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) return;
    this.native.resetOnClose(this.fd[slot]);
    this.close(slot);
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
      if (!this.queues.empty(slot) && (this.flags[slot] & (SOCKET.SENDING | SOCKET.CLOSED)) === 0) {
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
    if (result > 0) {
      // Ended by the executor (buffers ran low) or by a cancel that lost the race: arm it again, unless not wanted.
      return 0;
    }
    if (result === 0) {
      this.flags[slot] = flags | SOCKET.EOF;
      return 0;
    }
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

  /**
   * The poll that stands for a receive on an O_NONBLOCK socket has fired, failed or was cancelled. Returns the errno that the
   * owner must hear of, -1 where there is nothing to tell, or -2 where a pause has taken effect.
   */
  polledIn(slot: number, result: number): number {
    this.flags[slot] &= ~(SOCKET.RECEIVING | SOCKET.CANCELLING);
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return -1;
    }
    if ((this.flags[slot] & SOCKET.PAUSED) !== 0) return -2;
    // Trying again at once would spin for as long as memory is short.
    if (result < 0 && result !== -ERRNO.ECANCELED) return -result;
    this.arm(slot);
    return -1;
  }

  /** The poll that stands for a send on an O_NONBLOCK socket has fired or failed. Returns the errno to tell, or 0. */
  polledOut(slot: number, result: number): number {
    this.flags[slot] &= ~SOCKET.SENDING;
    this.pending[slot]--;
    if ((this.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.dropQueue(slot);
      this.releaseIfDone(slot);
    } else if (result < 0 && result !== -ERRNO.ECANCELED) return -result;
    else if (!this.queues.empty(slot)) this.send(slot);
    return 0;
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
    if (!this.queues.empty(slot)) {
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
    this.queues.settle(slot);
    if (result > 0) this.queues.consume(slot, result);
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
    if (!this.queues.empty(slot)) {
      if ((flags & SOCKET.DIRTY) === 0) this.markDirty(slot);
      return Math.max(result, 0);
    }
    this.afterDrain(slot);
    return Math.max(result, 0);
  }

  /** True if the owner asked for it and the queue is empty now; asks no longer. */
  takeDrained(slot: number): boolean {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.NOTIFY_DRAINED | SOCKET.CLOSED)) !== SOCKET.NOTIFY_DRAINED || !this.queues.empty(slot))
      return false;
    this.flags[slot] = flags & ~SOCKET.NOTIFY_DRAINED;
    return true;
  }

  notifyDrained(slot: number): void {
    this.flags[slot] |= SOCKET.NOTIFY_DRAINED;
  }

  private afterDrain(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & SOCKET.CLOSE_PENDING) !== 0) {
      this.close(slot);
    } else if ((flags & SOCKET.SHUT_PENDING) !== 0) {
      this.flags[slot] = flags & ~SOCKET.SHUT_PENDING;
      this.finish(slot);
    }
  }

  /**
   * A call, not an entry: io_uring carries SHUTDOWN out in a kernel thread, which looks the fd up only then. A CLOSE behind it
   * can win, and the shutdown would hit whoever has the number by then.
   */
  private finish(slot: number): void {
    this.native.shutdown(this.fd[slot], SHUT_WR);
  }

  private arm(slot: number): void {
    this.flags[slot] |= SOCKET.RECEIVING;
    this.pending[slot]++;
    this.ring.receive(this.fd[slot], slot, this.generation[slot]);
  }

  private markDirty(slot: number): void {
    this.flags[slot] |= SOCKET.DIRTY;
    this.dirty[this.dirtyCount++] = slot;
  }

  private send(slot: number): void {
    this.flags[slot] |= SOCKET.SENDING;
    this.pending[slot]++;
    const fd = this.fd[slot];
    const generation = this.generation[slot];
    const message = this.queues.vector(slot);
    if (message >= 0) this.ring.sendMessage(fd, slot, generation, message);
    else this.ring.send(fd, slot, generation, this.queues.firstAt(slot), this.queues.firstLength(slot));
  }

  private releaseIfDone(slot: number): void {
    // A slot still listed as dirty or parked is released when that list is next walked.
    if (this.pending[slot] !== 0 || (this.flags[slot] & (SOCKET.DIRTY | SOCKET.PARKED)) !== 0) return;
    if (this.kind[slot] === FREE) return;
    this.kind[slot] = FREE;
    this.generation[slot]++;
    this.freeSlots[this.freeCount++] = slot;
    this.open--;
  }
}

/** Kind of a slot in nobody's use. */
export const FREE = 0;

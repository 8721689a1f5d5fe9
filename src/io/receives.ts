// The receive of a socket: armed while its owner wants data, cancelled when it does not, parked while there are no buffers.
import { column } from '../http/columns.js';
import { ERRNO, OP, POLLIN } from './abi.js';
import type { Ring } from './ring.js';
import { BUFFER_CAPACITY, type Slab } from './slab.js';
import { SOCKET, SocketTable } from './socket-table.js';
import type { TransportHooks } from './transport.js';

/** After this many single receives without another pause, a socket may receive freely again. */
const SLOW_RECEIVES = 16;
/** Sockets to check per turn while memory is short. */
const SWEEP = 1024;

/**
 * Buffers that a socket with a formerly slow reader may receive in a row, if memory is plentiful. Fewer at a time make the sender's TCP run
 * more often.
 */
const BULK_BUFFERS = 32;
/** Fraction of the share that one may hold. */
const BULK_SHIFT = 1;

/** Flags for ending a receive while memory is short; only the first alone counts. POLLED says nothing here: it stays set once set. */
const SWEPT = SOCKET.MULTISHOT | SOCKET.CANCELLING | SOCKET.CLOSED;

export class Receives extends SocketTable {
  /** Handles sockets with a transport, if there is one. */
  transportSockets: TransportHooks | undefined;
  /** Receives parked for lack of buffers so far. */
  parks = 0;
  /** Armed receives that may take more than one buffer. Those of a transport are not counted, and not ended by `sweep`. */
  multishots = 0;
  private readonly parked: Int32Array;
  private parkedCount = 0;
  /** For SLOW sockets: receives until they are no longer slow. */
  private readonly slowReceives: Uint8Array;
  /** Where the next sweep starts. */
  private sweptTo = 0;

  constructor(
    protected readonly ring: Ring,
    protected readonly slab: Slab,
    owner: Int32Array,
    ownerId: number,
    capacity: number,
  ) {
    super(owner, ownerId, capacity);
    this.parked = column(Int32Array, capacity);
    this.slowReceives = column(Uint8Array, capacity);
  }

  /** Whether payload can pass, as far as the transport is concerned. */
  ready(slot: number): boolean {
    return this.layer[slot] === 0 || this.transportSockets?.ready(slot) === true;
  }

  /** Whether bytes may pass between this socket and another without being seen by the process. */
  spliceable(slot: number): boolean {
    return this.layer[slot] === 0;
  }

  /** Wants data: arms the receive unless one is armed. */
  resume(slot: number): void {
    const before = this.flags[slot];
    const flags = before & ~SOCKET.PAUSED;
    this.flags[slot] = flags;
    if (this.layer[slot] !== 0) this.transportSockets?.resumed(slot, flags !== before);
    else if ((flags & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0) this.arm(slot);
  }

  /**
   * Wants one receive only; the next is requested with `resume` or `receiveOnce`. For sockets that may have more ready than should pass
   * through the slab: a multishot receive would deliver all of it before it could be stopped.
   */
  receiveOnce(slot: number): void {
    if (this.layer[slot] !== 0) {
      this.resume(slot);
      return;
    }
    this.flags[slot] &= ~SOCKET.PAUSED;
    if ((this.flags[slot] & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) === 0) this.armOnce(slot);
  }

  /**
   * Wants data again, after its reader was too slow: one receive at a time. A multishot receive delivers half a megabyte before it can be
   * stopped, and a thousand of them the whole slab.
   */
  resumeSlowly(slot: number): void {
    this.slowDown(slot);
    this.resume(slot);
  }

  /**
   * Once per turn. While memory is short each socket receives one buffer at a time: multishot receives are ended, some each turn. A socket
   * being read at that moment is not known to be slow, and would take what is left before it is.
   */
  sweep(): void {
    if (this.multishots === 0 || this.slab.share > 0) return;
    const n = Math.min(SWEEP, this.nextFresh);
    for (let i = 0; i < n; i++) {
      if (this.sweptTo >= this.nextFresh) this.sweptTo = 0;
      const slot = this.sweptTo++;
      if ((this.flags[slot] & SWEPT) !== SOCKET.MULTISHOT) continue;
      this.slowDown(slot);
      this.flags[slot] |= SOCKET.CANCELLING;
      // It is rearmed for one receive when this one has ended.
      this.ring.cancel(slot, OP.RECV, this.generation[slot]);
    }
  }

  private slowDown(slot: number): void {
    this.flags[slot] |= SOCKET.SLOW;
    this.slowReceives[slot] = SLOW_RECEIVES;
  }

  /** Wants no data. Data already on its way is still delivered; true once nothing more can come. */
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

  /** Whether there are buffers to arm parked receives next turn: the loop must not sleep. */
  get starved(): boolean {
    return this.parkedCount > 0 && this.slab.receivable > 0;
  }

  /**
   * Arms parked receives again while there are buffers, in the order in which they were parked. Calls `starved` first, which may pause one
   * whose data would only wait.
   */
  unpark(starved: { starved(slot: number): void }): void {
    let left = this.parkedCount === 0 ? 0 : this.slab.receivable;
    if (left === 0) return;
    const { parked } = this;
    const n = this.parkedCount;
    let i = 0;
    for (; i < n && left > 0; i++) {
      const slot = parked[i];
      if ((this.flags[slot] & SOCKET.PARKED) === 0) continue;
      this.flags[slot] &= ~SOCKET.PARKED;
      if ((this.flags[slot] & SOCKET.CLOSED) !== 0) this.releaseIfDone(slot);
      else {
        starved.starved(slot);
        left--;
        if (this.layer[slot] !== 0) this.transportSockets?.rearm(slot);
        else if ((this.flags[slot] & (SOCKET.PAUSED | SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED)) === 0)
          this.arm(slot);
        else left++;
      }
    }
    parked.copyWithin(0, i, this.parkedCount);
    this.parkedCount -= i;
  }

  /**
   * Bookkeeping of a receive completion, before its data is passed on. Returns the errno to report to the owner, 0 for data or end of
   * stream, -1 if there is nothing to report, or -2 if a pause has taken effect.
   */
  received(slot: number, result: number, more: boolean): number {
    if (more) return 0;
    if ((this.flags[slot] & SOCKET.MULTISHOT) !== 0) this.multishots--;
    const flags = this.flags[slot] & ~(SOCKET.RECEIVING | SOCKET.CANCELLING | SOCKET.ONCE | SOCKET.MULTISHOT);
    this.flags[slot] = flags;
    this.pending[slot]--;
    if ((flags & SOCKET.CLOSED) !== 0) {
      this.releaseIfDone(slot);
      return -1;
    }
    // With data: ended by the executor (buffers ran low) or by a cancel that lost the race. `rearm` arms it again.
    if (result >= 0) return 0;
    if (result === -ERRNO.ECANCELED || result === -ERRNO.EINTR) {
      if ((flags & SOCKET.PAUSED) !== 0) return -2;
      this.arm(slot);
      return -1;
    }
    if (result === -ERRNO.ENOBUFS) {
      if ((flags & SOCKET.PAUSED) !== 0 && this.ready(slot)) return -2;
      this.slab.grow();
      this.flags[slot] |= SOCKET.PARKED;
      this.parked[this.parkedCount++] = slot;
      this.parks++;
      return -1;
    }
    if (result === -ERRNO.EAGAIN) {
      if ((flags & SOCKET.PAUSED) !== 0) return -2;
      // O_NONBLOCK while splicing the other direction: wait for data, then arm.
      this.armPoll(slot);
      return -1;
    }
    return -result;
  }

  /** After data was delivered: arms the receive again if the executor ended it and it is wanted. */
  rearm(slot: number): void {
    const flags = this.flags[slot];
    if ((flags & (SOCKET.RECEIVING | SOCKET.PAUSED | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) !== 0) return;
    if ((flags & SOCKET.SLOW) !== 0 && --this.slowReceives[slot] === 0) {
      if (this.slab.share > 0) this.flags[slot] = flags & ~SOCKET.SLOW;
      else this.slowReceives[slot] = SLOW_RECEIVES;
    }
    this.arm(slot);
  }

  /** Arms one receive. */
  armOnce(slot: number): void {
    this.flags[slot] |= SOCKET.RECEIVING | SOCKET.ONCE;
    this.pending[slot]++;
    this.ring.receiveOnce(this.fd[slot], slot, this.generation[slot]);
  }

  /** Arms a receive that ends after `buffers` of them. */
  private armBulk(slot: number, buffers: number): void {
    this.flags[slot] |= SOCKET.RECEIVING | SOCKET.ONCE;
    this.pending[slot]++;
    this.ring.receiveUpTo(this.fd[slot], slot, this.generation[slot], buffers * BUFFER_CAPACITY);
  }

  /** Waits for data, and leaves it in the kernel. */
  armPoll(slot: number): void {
    this.flags[slot] |= SOCKET.RECEIVING | SOCKET.POLLED;
    this.pending[slot]++;
    this.ring.poll(this.fd[slot], slot, this.generation[slot], POLLIN, OP.POLL_IN);
  }

  /** Arms the receive. */
  arm(slot: number): void {
    if ((this.flags[slot] & SOCKET.SLOW) !== 0 || this.slab.share === 0) {
      const buffers = this.ring.bundles ? Math.min(BULK_BUFFERS, this.slab.share >> BULK_SHIFT) : 0;
      if (buffers > 1) this.armBulk(slot, buffers);
      else this.armOnce(slot);
      return;
    }
    if (this.layer[slot] === 0) {
      this.multishots++;
      this.flags[slot] |= SOCKET.MULTISHOT;
    }
    this.flags[slot] |= SOCKET.RECEIVING;
    this.pending[slot]++;
    this.ring.receive(this.fd[slot], slot, this.generation[slot]);
  }
}

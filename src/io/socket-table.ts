// The columns of the socket table (one slot per socket, struct of arrays), and the free slots.
import { column } from '../http/columns.js';
import type { SlotOrder } from './free-slots.js';

/** Flags of a slot. */
export const SOCKET = {
  /** A receive is armed. */
  RECEIVING: 1,
  /** Its cancellation is in progress. */
  CANCELLING: 2,
  /** The owner does not want data now. */
  PAUSED: 4,
  /** Waits for free buffers. */
  PARKED: 8,
  /** A send (or the poll before its retry) is in flight. */
  SENDING: 16,
  /** In the list of sockets to flush at the end of this turn. */
  DIRTY: 32,
  CONNECTING: 64,
  /** The peer has ended its direction. */
  EOF: 128,
  /** Our direction is shut down, or will be once the queue is sent. */
  SHUT: 256,
  /** SHUT_WR is to be done when the queue is empty. */
  SHUT_PENDING: 512,
  /** The owner wants `onDrained` when the queue is empty. */
  NOTIFY_DRAINED: 1024,
  /** `close` was called: the fd is gone, completions are reaped. */
  CLOSED: 2048,
  /** O_NONBLOCK is set (splicing), so operations return EAGAIN instead of waiting. */
  NONBLOCK: 4096,
  /** To be closed once the queue is sent. */
  CLOSE_PENDING: 8192,
  /** One receive at a time: the owner asks for each. */
  ONCE: 16384,
  /** A poll has replaced a receive or a send (EAGAIN with O_NONBLOCK); O_NONBLOCK may be off again while it waits. */
  POLLED: 32768,
  /** Its reader was too slow: one receive at a time until that has kept up for a while. */
  SLOW: 65536,
  /** The armed receive continues by itself: it may take any number of buffers before it can be stopped. */
  MULTISHOT: 131072,
  /** It connects to a port that the kernel might give to it as its own. */
  MAY_MEET_ITSELF: 262144,
} as const;

/** A column of any type. */
export interface Column {
  fill(value: number, from: number, to: number): unknown;
}

/** Number of slots whose columns are initialised at a time. */
const CHUNK = 1024;

/** Kind of a free slot. */
export const FREE = 0;
const NONE = -1;

export class SocketTable {
  readonly fd: Int32Array;
  readonly kind: Uint8Array;
  readonly flags: Int32Array;
  readonly generation: Uint16Array;
  /** The other socket of a relay, or -1. Owned by the protocols. */
  readonly peer: Int32Array;
  /** The transport's layer for the socket (see transport.ts); 0: none. */
  readonly layer: Uint8Array;
  /** 1: data was sent, and not all of it is known to be acknowledged. */
  readonly unacknowledged: Uint8Array;
  /** Sockets in use. */
  open = 0;
  /** The most of them since somebody has set it to those in use. */
  peak = 0;

  /** Operations outstanding. */
  protected readonly pending: Uint8Array;
  private readonly freeSlots: Int32Array;
  private freeCount = 0;
  protected nextFresh = 0;
  /** Columns whose resting value is not 0, and that value. */
  private readonly columns: { readonly column: Column; readonly empty: number }[] = [];
  /** Number of slots for which these are initialised. */
  private prepared = 0;

  constructor(
    protected readonly owner: Int32Array,
    private readonly ownerId: number,
    readonly capacity: number,
  ) {
    this.fd = column(Int32Array, capacity);
    this.kind = column(Uint8Array, capacity);
    this.flags = column(Int32Array, capacity);
    this.generation = column(Uint16Array, capacity);
    this.peer = column(Int32Array, capacity);
    this.layer = column(Uint8Array, capacity);
    this.unacknowledged = column(Uint8Array, capacity);
    this.pending = column(Uint8Array, capacity);
    this.freeSlots = column(Int32Array, capacity);
  }

  /** A slot for `fd`, or -1 if the table is full. This worker owns the descriptor from now on. */
  adopt(fd: number, kind: number): number {
    let slot: number;
    if (this.freeCount > 0) slot = this.freeSlots[--this.freeCount];
    else if (this.nextFresh < this.capacity) {
      if (this.nextFresh === this.prepared) this.prepare();
      slot = this.nextFresh++;
    } else return NONE;
    this.fd[slot] = fd;
    this.kind[slot] = kind;
    this.flags[slot] = 0;
    this.peer[slot] = NONE;
    this.layer[slot] = 0;
    this.unacknowledged[slot] = 0;
    this.pending[slot] = 0;
    if (fd < this.owner.length) this.owner[fd] = this.ownerId;
    if (++this.open > this.peak) this.peak = this.open;
    return slot;
  }

  /**
   * Sets the resting value of a socket column. It is written as slots come into use: initialising all possible slots would take 2 MiB, and
   * most are never used.
   */
  setDefault(column: Column, empty: number): void {
    column.fill(empty, 0, this.prepared);
    this.columns.push({ column, empty });
  }

  private prepare(): void {
    const end = Math.min(this.capacity, this.prepared + CHUNK);
    for (const { column, empty } of this.columns) column.fill(empty, this.prepared, end);
    this.prepared = end;
  }

  /** Has `order` put the free slots among those that were ever used into another order. */
  reorder(order: SlotOrder): void {
    this.freeCount = order(this.freeSlots, this.nextFresh, (slot) => this.kind[slot] === FREE);
  }

  /** Slots from here on have never been used. */
  get used(): number {
    return this.nextFresh;
  }

  /** Frees the slot of a closed socket once every operation on it has completed. */
  protected releaseIfDone(slot: number): void {
    // A slot still listed as dirty or parked is released when that list is next walked.
    if (this.pending[slot] !== 0 || (this.flags[slot] & (SOCKET.DIRTY | SOCKET.PARKED)) !== 0) return;
    if (this.kind[slot] === FREE) return;
    this.kind[slot] = FREE;
    this.generation[slot]++;
    this.freeSlots[this.freeCount++] = slot;
    this.open--;
  }
}

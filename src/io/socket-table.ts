// The columns of the socket table: one slot a socket, struct of arrays; and which slots are free.

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
  /** Its reader was too slow for it: one receive at a time until that has kept up for a while. */
  SLOW: 65536,
  /** The receive that is armed goes on by itself: it may take any number of buffers before it can be stopped. */
  MULTISHOT: 131072,
} as const;

/** A column of any type. */
export interface Column {
  fill(value: number, from: number, to: number): unknown;
}

/** Slots of which columns are made ready at a time. */
const CHUNK = 1024;

/** Kind of a slot in nobody's use. */
export const FREE = 0;
const NONE = -1;

export class SocketTable {
  readonly fd: Int32Array;
  readonly kind: Uint8Array;
  readonly flags: Int32Array;
  readonly generation: Uint16Array;
  /** The other socket of a relay, or -1. Owned by the protocols. */
  readonly peer: Int32Array;
  /** What lies between the socket and the protocols: 0 nothing, else a layer of the transport's (see transport.ts). */
  readonly layer: Uint8Array;
  /** 1: something was sent, and the peer has not been seen to have acknowledged all of it. */
  readonly owes: Uint8Array;
  /** Sockets in use. */
  open = 0;

  /** Operations outstanding. */
  protected readonly pending: Uint8Array;
  private readonly freeSlots: Int32Array;
  private freeCount = 0;
  protected nextFresh = 0;
  /** Columns that are not 0 where nobody has written, and what they are there. */
  private readonly columns: { readonly column: Column; readonly empty: number }[] = [];
  /** Slots of which these are ready. */
  private prepared = 0;

  constructor(
    protected readonly owner: Int32Array,
    private readonly ownerId: number,
    readonly capacity: number,
  ) {
    this.fd = new Int32Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.flags = new Int32Array(capacity);
    this.generation = new Uint16Array(capacity);
    this.peer = new Int32Array(capacity);
    this.layer = new Uint8Array(capacity);
    this.owes = new Uint8Array(capacity);
    this.pending = new Uint8Array(capacity);
    this.freeSlots = new Int32Array(capacity);
  }

  /** A slot for `fd`, or -1 when the table is full. The fd is this worker's from here on. */
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
    this.owes[slot] = 0;
    this.pending[slot] = 0;
    if (fd < this.owner.length) this.owner[fd] = this.ownerId;
    this.open++;
    return slot;
  }

  /**
   * Says that a column of sockets is `empty` where nobody has written. It is written as slots come into use: those of all slots
   * that there may be take 2 MiB, and most never are.
   */
  emptyIs(column: Column, empty: number): void {
    column.fill(empty, 0, this.prepared);
    this.columns.push({ column, empty });
  }

  private prepare(): void {
    const end = Math.min(this.capacity, this.prepared + CHUNK);
    for (const { column, empty } of this.columns) column.fill(empty, this.prepared, end);
    this.prepared = end;
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

// The streams of all connections of a worker: one slot each, struct of arrays. The protocol's state is here; the proxy's knowledge about a
// stream (service, endpoint, times) is in other columns under the same slot.
import { column } from '../http/columns.js';
import { objectArray } from '../http/object-array.js';
import type { Connection } from './connection.js';
import { DEFAULT_WINDOW } from './frame.js';

/** Bits of `state`. */
export const STREAM = {
  /** Attached to a connection, with an id. */
  OPEN: 1,
  /** END_STREAM was sent, or is queued behind data. */
  LOCAL_END: 2,
  /** END_STREAM came in. */
  REMOTE_END: 4,
  /** The final head (request, or response with a status of 200 or more) was received. */
  HEAD_IN: 8,
  HEAD_OUT: 16,
  /** In its connection's ring of streams with waiting data. */
  BLOCKED: 32,
  /** END_STREAM follows the waiting data. */
  END_PENDING: 64,
  /** Trailers follow it. */
  TRAILERS_PENDING: 128,
  /** Its data does not count towards a content-length (a tunnel, a response to HEAD). */
  UNCOUNTED: 256,
  /** The request was HEAD: no DATA is allowed. */
  BODILESS: 512,
  /** Its data waits for its own window. */
  STALLED: 1024,
} as const;

/** The other end of an exchange. */
export const PEER = {
  NONE: 0,
  STREAM: 1,
  SOCKET: 2,
  /** A socket whose bytes are the stream's data, in both directions. */
  TUNNEL: 3,
} as const;

/** Index of a stream in the columns: not a socket's, and not the stream's id on its connection. */
export type StreamSlot = number & { readonly _: 'stream' };

const NONE = -1;

export class Streams {
  /** 0: not attached. */
  readonly id: Int32Array;
  readonly state: Uint16Array;
  /** Slot of the other stream or socket of the exchange. */
  readonly peer: Int32Array;
  readonly peerKind: Uint8Array;
  /** DATA bytes that we have sent beyond what the peer returned: its window is the peer's initial one minus this. */
  readonly sendUsed: Int32Array;
  /** What the peer may still send. */
  readonly recvWindow: Int32Array;
  /** To be returned, not yet announced. */
  readonly recvCredit: Int32Array;
  /** The window that we keep open. */
  readonly recvTarget: Int32Array;
  /** Received and not yet passed on. */
  readonly held: Int32Array;
  /** Bytes of body still expected by its content-length; -1: it has none. */
  readonly expected: Float64Array;
  /** When its data began to wait, ms. */
  readonly blockedSince: Float64Array;
  /** Last activity, ms. */
  readonly active: Float64Array;
  /** When a client's stream was opened, ms. */
  readonly since: Float64Array;
  readonly blockedNext: Int32Array;
  readonly blockedPrev: Int32Array;
  /** Its connection; only valid while OPEN. */
  readonly connection = objectArray<Connection | null>();
  /** Slots in use. */
  used = 0;
  /** The most of them since somebody has set it to those in use. */
  peak = 0;
  /** Client connections that have a stream. */
  busyClients = 0;

  private readonly bucketNext: Int32Array;
  private readonly free: Int32Array;
  private freeCount = 0;
  private nextUnused = 0;

  constructor(readonly capacity: number) {
    this.id = column(Int32Array, capacity);
    this.state = column(Uint16Array, capacity);
    this.peer = column(Int32Array, capacity);
    this.peerKind = column(Uint8Array, capacity);
    this.sendUsed = column(Int32Array, capacity);
    this.recvWindow = column(Int32Array, capacity);
    this.recvCredit = column(Int32Array, capacity);
    this.recvTarget = column(Int32Array, capacity);
    this.held = column(Int32Array, capacity);
    this.expected = column(Float64Array, capacity);
    this.blockedSince = column(Float64Array, capacity);
    this.active = column(Float64Array, capacity);
    this.since = column(Float64Array, capacity);
    this.blockedNext = column(Int32Array, capacity);
    this.blockedPrev = column(Int32Array, capacity);
    this.bucketNext = column(Int32Array, capacity);
    this.free = column(Int32Array, capacity);
  }

  /** Columns of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [
      this.id,
      this.state,
      this.peer,
      this.peerKind,
      this.sendUsed,
      this.recvWindow,
      this.recvCredit,
      this.recvTarget,
      this.held,
      this.expected,
      this.blockedSince,
      this.active,
      this.since,
      this.blockedNext,
      this.blockedPrev,
      this.bucketNext,
    ];
  }

  /** Has `order` put the free slots among those that were ever used into another order; it returns how many they are. */
  reorder(order: (free: Int32Array, used: number, isFree: (slot: number) => boolean) => number): void {
    const isFree = new Uint8Array(this.nextUnused);
    for (let i = 0; i < this.freeCount; i++) isFree[this.free[i]] = 1;
    this.freeCount = order(this.free, this.nextUnused, (slot) => isFree[slot] === 1);
  }

  /** A slot not attached to a connection, or -1 if there is none. */
  allocate(): StreamSlot | -1 {
    let slot: number;
    if (this.freeCount > 0) slot = this.free[--this.freeCount];
    else if (this.nextUnused < this.capacity) {
      slot = this.nextUnused++;
      this.connection.push(null);
    } else return NONE;
    if (++this.used > this.peak) this.peak = this.used;
    this.id[slot] = 0;
    this.state[slot] = 0;
    this.peer[slot] = NONE;
    this.peerKind[slot] = PEER.NONE;
    this.sendUsed[slot] = 0;
    this.recvCredit[slot] = 0;
    this.held[slot] = 0;
    this.expected[slot] = NONE;
    return slot as StreamSlot;
  }

  /** Frees the slot, which must be detached. */
  release(slot: number): void {
    this.connection[slot] = null;
    this.used--;
    this.free[this.freeCount++] = slot;
  }

  /** Attaches the stream to a connection under `id`. */
  open(slot: number, connection: Connection, id: number): void {
    this.id[slot] = id;
    this.state[slot] |= STREAM.OPEN;
    this.connection[slot] = connection;
    const window = connection.limits.streamWindow;
    // RFC 9113 section 6.9.3: until it has seen our SETTINGS the peer may send as much as the default allows.
    this.recvWindow[slot] = connection.settingsAcked ? window : Math.max(window, DEFAULT_WINDOW);
    this.recvTarget[slot] = window;
    const bucket = (id >>> 1) & connection.bucketMask;
    this.bucketNext[slot] = connection.buckets[bucket];
    connection.buckets[bucket] = slot;
    if (connection.active++ === 0 && connection.server) this.busyClients++;
    connection.opened++;
  }

  /** Detaches the stream from its connection. */
  close(slot: number): void {
    const connection = this.connection[slot];
    if (connection === null || (this.state[slot] & STREAM.OPEN) === 0) return;
    this.unblock(slot, connection);
    const bucket = (this.id[slot] >>> 1) & connection.bucketMask;
    let at = connection.buckets[bucket];
    if (at === slot) connection.buckets[bucket] = this.bucketNext[slot];
    else {
      while (this.bucketNext[at] !== slot) at = this.bucketNext[at];
      this.bucketNext[at] = this.bucketNext[slot];
    }
    if (connection.dataSlot === slot) connection.dataSlot = NONE;
    if (--connection.active === 0 && connection.server) this.busyClients--;
    this.state[slot] &= ~STREAM.OPEN;
  }

  /** Slot of stream `id` on a connection, or -1. */
  find(connection: Connection, id: number): number {
    let slot = connection.buckets[(id >>> 1) & connection.bucketMask];
    while (slot !== NONE && this.id[slot] !== id) slot = this.bucketNext[slot];
    return slot;
  }

  /** A connection's first stream in no particular order, for a walk that may close the current stream; -1 for none. */
  first(connection: Connection): number {
    return this.from(connection, 0);
  }

  /** The next stream of that walk: ask before `slot` is closed. */
  after(connection: Connection, slot: number): number {
    const next = this.bucketNext[slot];
    return next !== NONE ? next : this.from(connection, ((this.id[slot] >>> 1) & connection.bucketMask) + 1);
  }

  /** Appends the stream to its connection's ring of waiting streams. */
  block(slot: number, connection: Connection, now: number): void {
    if ((this.state[slot] & STREAM.BLOCKED) !== 0) return;
    this.state[slot] |= STREAM.BLOCKED;
    this.blockedSince[slot] = now;
    this.append(slot, connection);
  }

  /** Moves the first waiting stream to the end, so that the others get their turn. */
  rotate(connection: Connection): void {
    const slot = connection.blockedHead;
    if (slot === connection.blockedTail) return;
    this.remove(slot, connection);
    this.append(slot, connection);
  }

  unblock(slot: number, connection: Connection): void {
    if ((this.state[slot] & STREAM.BLOCKED) === 0) return;
    this.state[slot] &= ~STREAM.BLOCKED;
    this.remove(slot, connection);
  }

  private append(slot: number, connection: Connection): void {
    this.blockedNext[slot] = NONE;
    this.blockedPrev[slot] = connection.blockedTail;
    if (connection.blockedTail === NONE) connection.blockedHead = slot;
    else this.blockedNext[connection.blockedTail] = slot;
    connection.blockedTail = slot;
  }

  private remove(slot: number, connection: Connection): void {
    const next = this.blockedNext[slot];
    const prev = this.blockedPrev[slot];
    if (next !== NONE) this.blockedPrev[next] = prev;
    else connection.blockedTail = prev;
    if (prev !== NONE) this.blockedNext[prev] = next;
    else connection.blockedHead = next;
  }

  private from(connection: Connection, bucket: number): number {
    for (let b = bucket; b <= connection.bucketMask; b++) {
      const slot = connection.buckets[b];
      if (slot !== NONE) return slot;
    }
    return NONE;
  }
}

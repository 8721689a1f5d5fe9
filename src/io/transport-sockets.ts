// Sockets with a transport: where they differ from plain sockets in `Sockets` and the loop. Payload waits in the sockets' own queue, so
// that it can be moved to another connection until the transport takes it; the transport's output has a queue of its own. Data delivered
// while nobody wants it waits here, and the loop passes it on.
import { column } from '../http/columns.js';
import { Inbox } from './inbox.js';
import { SendQueue } from './send-queue.js';
import type { Slab } from './slab.js';
import { SOCKET } from './socket-table.js';
import type { Sockets } from './sockets.js';
import type { Channel, ConnectionEvents, MakeTransport, Transport, TransportHooks } from './transport.js';

/** State of a connection's transport. */
const STATE = {
  /** The connection is established. */
  OPEN: 1,
  /** Payload can pass. */
  READY: 2,
  /** Nothing more is received. */
  RECEIVED_ALL: 4,
  /** The peer has ended its stream. */
  END: 8,
  FAILED: 16,
  /** The transport should write the end of the stream ... */
  ENDING: 32,
  /** ... and has done so. */
  ENDED: 64,
  /** The close is an abort: no end is written. */
  RESET: 128,
  /** Some of the output since payload was last taken has been sent. */
  TOUCHED: 256,
  /** In the list of sockets to serve at the end of this turn. */
  LISTED: 512,
  /** A poll replaces the receive. */
  WATCHING: 1024,
} as const;

/** With this much unsent output, the transport takes no more payload. */
const WIRE_BYTES = 256 * 1024;
/** Message headers for vectored sends. */
export const WIRE_MESSAGE_BLOCKS = 256;

export class TransportSockets implements TransportHooks, Channel {
  readonly wire: SendQueue;
  readonly transport: Transport;
  /** The protocols. */
  events: ConnectionEvents | undefined;
  /** Payload taken by the transport, until its ciphertext has been sent: if nothing is sent, it becomes payload again. */
  private readonly taken: SendQueue;
  private readonly incoming: Inbox;
  private readonly state: Uint16Array;
  private readonly errno: Uint8Array;
  /** Bytes in `wire`. */
  private readonly written: Int32Array;
  /** Payload taken but not yet reported as sent to the protocols. */
  private readonly unreported: Int32Array;
  private readonly list: Int32Array;
  private listed = 0;
  /** The socket whose payload the transport is taking. */
  private flushing = -1;

  constructor(
    private readonly sockets: Sockets,
    private readonly slab: Slab,
    make: MakeTransport,
  ) {
    const n = sockets.capacity;
    this.wire = new SendQueue(slab, n, WIRE_MESSAGE_BLOCKS, sockets.payload);
    this.taken = new SendQueue(slab, n, 0);
    this.incoming = new Inbox(slab, n);
    this.state = column(Uint16Array, n);
    this.errno = column(Uint8Array, n);
    this.written = column(Int32Array, n);
    this.unreported = column(Int32Array, n);
    // A socket may be listed once more while it is served.
    this.list = column(Int32Array, 2 * n);
    sockets.transportSockets = this;
    this.transport = make(this, slab, n);
  }

  /** Something waits only for the next turn: the loop must not sleep. */
  get pending(): boolean {
    return this.listed > 0 || this.transport.pending > 0;
  }

  // Events from the loop.

  /** The connection is established. A dialled one stays CONNECTING until its transport is ready. */
  opened(slot: number): void {
    this.state[slot] |= STATE.OPEN;
    if (!this.wire.empty(slot)) this.flushSoon(slot);
    this.transport.opened(slot);
    this.rearm(slot);
  }

  connected(slot: number): void {
    this.sockets.flags[slot] |= SOCKET.CONNECTING;
    this.opened(slot);
  }

  sendAhead(slot: number, at: number, length: number, bid: number): void {
    this.wire.push(slot, at, length, bid);
    this.written[slot] += length;
  }

  received(slot: number, bid: number, at: number, length: number): void {
    this.transport.received(slot, bid, at, length);
  }

  /** The receive has ended: it is rearmed if wanted. */
  receiveEnded(slot: number): void {
    const { flags, generation } = this.sockets;
    if ((flags[slot] & SOCKET.CLOSED) !== 0) return;
    if ((this.state[slot] & STATE.WATCHING) !== 0) {
      const before = generation[slot];
      this.state[slot] &= ~STATE.WATCHING;
      this.transport.readable(slot);
      if (generation[slot] !== before || (flags[slot] & SOCKET.CLOSED) !== 0) return;
    }
    this.rearm(slot);
    if ((flags[slot] & (SOCKET.PAUSED | SOCKET.RECEIVING)) === SOCKET.PAUSED) this.events?.paused(slot);
  }

  ended(slot: number): void {
    this.state[slot] |= STATE.RECEIVED_ALL;
    this.transport.ended(slot);
  }

  failed(slot: number, errno: number): void {
    this.state[slot] |= STATE.RECEIVED_ALL;
    this.transport.failed(slot, errno);
  }

  /** The kernel has taken `bytes` of the output. Returns how much payload that is: everything taken, once all is sent. */
  sent(slot: number, bytes: number): number {
    const left = this.written[slot] - bytes;
    const owed = this.unreported[slot];
    this.written[slot] = left;
    if (left === 0) {
      this.unreported[slot] = 0;
      this.state[slot] &= ~STATE.TOUCHED;
      this.taken.clear(slot);
      return owed;
    }
    if (owed === 0) return 0;
    const payload = Math.min(owed, bytes);
    this.unreported[slot] = owed - payload;
    this.state[slot] |= STATE.TOUCHED;
    return payload;
  }

  /** Once per loop turn: passes on waiting data that is wanted again. */
  turn(): void {
    this.transport.turn();
    const n = this.listed;
    if (n === 0) return;
    for (let i = 0; i < n; i++) {
      const slot = this.list[i];
      this.state[slot] &= ~STATE.LISTED;
      if ((this.sockets.flags[slot] & SOCKET.CLOSED) === 0) this.serve(slot);
    }
    this.list.copyWithin(0, n, this.listed);
    this.listed -= n;
  }

  // What `Sockets` delegates to this class.

  ready(slot: number): boolean {
    return (this.state[slot] & STATE.READY) !== 0;
  }

  /** The protocols want data; `paused`: they did not before. Nothing is delivered from here, because the caller may be anywhere. */
  resumed(slot: number, paused: boolean): void {
    const state = this.state[slot];
    if ((state & STATE.READY) === 0 || (this.sockets.flags[slot] & SOCKET.EOF) !== 0) return;
    if (paused || (state & (STATE.END | STATE.FAILED)) !== 0) this.serveSoon(slot);
    this.rearm(slot);
  }

  /** Arms the receive if the transport needs it, or if the protocols want data and none waits here. */
  rearm(slot: number): void {
    const state = this.state[slot];
    const flags = this.sockets.flags[slot];
    if ((state & (STATE.OPEN | STATE.RECEIVED_ALL)) !== STATE.OPEN) return;
    if ((flags & (SOCKET.RECEIVING | SOCKET.EOF | SOCKET.CLOSED | SOCKET.PARKED)) !== 0) return;
    // Until it is ready a peer gets one receive at a time, because none of its data can be passed on.
    if (this.transport.full(slot)) return;
    if ((state & STATE.READY) === 0) this.sockets.armOnce(slot);
    else if (this.wantsData(slot)) this.sockets.arm(slot);
  }

  /** Lets the transport take payload, and sends its output. Returns how many entries that takes. */
  flush(slot: number, silent: boolean): number {
    const { sockets } = this;
    const { flags, payload } = sockets;
    if ((flags[slot] & (SOCKET.SENDING | SOCKET.CLOSED)) !== 0) return 0;
    if ((this.state[slot] & STATE.READY) !== 0) {
      this.flushing = slot;
      if (!payload.empty(slot) && this.written[slot] < WIRE_BYTES) this.transport.send(slot);
      const ending = (flags[slot] & SOCKET.SHUT_PENDING) !== 0 && payload.empty(slot);
      if (ending && (this.state[slot] & (STATE.ENDING | STATE.RESET)) === 0) {
        this.state[slot] |= STATE.ENDING;
        this.transport.shutdown(slot);
      }
      this.flushing = -1;
    }
    if (!this.wire.empty(slot) && (this.state[slot] & STATE.OPEN) !== 0) {
      return sockets.send(slot, silent);
    }
    if (payload.empty(slot) && (this.state[slot] & (STATE.ENDED | STATE.RESET)) !== 0) this.finish(slot);
    return 0;
  }

  /** Payload taken of which nothing can have been sent becomes payload again. The connection is useless afterwards. */
  takeBack(slot: number): void {
    const { taken, wire } = this;
    const { payload } = this.sockets;
    if (taken.empty(slot) || (this.state[slot] & STATE.TOUCHED) !== 0) return;
    wire.clear(slot);
    this.written[slot] = 0;
    this.unreported[slot] = 0;
    // What has been queued since follows it.
    while (!payload.empty(slot)) this.shift(slot, payload, taken, payload.firstLength(slot));
    while (!taken.empty(slot)) this.shift(slot, taken, payload, taken.firstLength(slot));
  }

  /** Drops what was taken and written. */
  drop(slot: number): void {
    this.wire.clear(slot);
    this.taken.clear(slot);
    this.written[slot] = 0;
    this.unreported[slot] = 0;
  }

  /** Closes once everything is sent, including the end of the stream. */
  closeWhenSent(slot: number): void {
    const { flags, payload, queued } = this.sockets;
    const state = this.state[slot];
    const before = flags[slot];
    if ((before & SOCKET.CLOSED) !== 0) return;
    const reset = (state & STATE.RESET) !== 0 && queued[slot] === 0;
    const ended = (before & (SOCKET.SHUT | SOCKET.SHUT_PENDING)) === SOCKET.SHUT;
    if (reset || ended || ((state & STATE.READY) === 0 && payload.empty(slot))) {
      this.sockets.close(slot);
      return;
    }
    flags[slot] = before | SOCKET.SHUT | SOCKET.SHUT_PENDING | SOCKET.CLOSE_PENDING;
    this.sockets.flushSoon(slot);
  }

  /** A truncated stream must not look complete: only if nothing is left to send. */
  closesGracefully(slot: number): boolean {
    const state = this.state[slot];
    const { flags, queued } = this.sockets;
    const over = (flags[slot] & (SOCKET.CLOSED | SOCKET.SHUT)) !== 0;
    return (state & (STATE.READY | STATE.FAILED | STATE.RESET)) === STATE.READY && !over && queued[slot] === 0;
  }

  resetOnClose(slot: number): void {
    this.state[slot] |= STATE.RESET;
  }

  /** Data being sent is dropped when the send has completed. */
  closed(slot: number): void {
    this.transport.closed(slot);
    this.incoming.clear(slot);
    this.state[slot] &= STATE.LISTED;
  }

  // Calls from the transport.

  established(slot: number): void {
    const { sockets } = this;
    const { flags, generation } = sockets;
    const before = generation[slot];
    this.state[slot] |= STATE.READY;
    if ((flags[slot] & SOCKET.CONNECTING) !== 0) {
      flags[slot] &= ~SOCKET.CONNECTING;
      this.events?.connected(slot, 0);
    } else this.events?.ready(slot);
    // Whoever is told may close the socket, dial, and get its slot for another.
    if (generation[slot] !== before || (flags[slot] & SOCKET.CLOSED) !== 0) return;
    sockets.start(slot);
    // Nobody wants data now; until this point the transport did.
    if ((flags[slot] & SOCKET.PAUSED) !== 0) sockets.pause(slot);
    else if (!this.incoming.empty(slot)) this.serveSoon(slot);
  }

  wantsData(slot: number): boolean {
    const flags = this.sockets.flags[slot];
    return this.ready(slot) && (flags & (SOCKET.PAUSED | SOCKET.CLOSED)) === 0 && this.incoming.empty(slot);
  }

  deliver(slot: number, bid: number, at: number, length: number): void {
    if ((this.sockets.flags[slot] & SOCKET.CLOSED) !== 0) {
      this.slab.release(bid);
      return;
    }
    if (this.wantsData(slot)) this.events?.data(slot, bid, at, length);
    else {
      this.incoming.push(slot, bid, at, at + length);
      if ((this.sockets.flags[slot] & SOCKET.PAUSED) === 0) this.serveSoon(slot);
    }
  }

  receive(slot: number): void {
    this.rearm(slot);
  }

  watchInput(slot: number): void {
    this.state[slot] |= STATE.WATCHING;
    this.sockets.armPoll(slot);
  }

  end(slot: number): void {
    this.state[slot] |= STATE.END;
    this.serveSoon(slot);
  }

  fail(slot: number, errno: number): void {
    this.state[slot] |= STATE.FAILED | STATE.RECEIVED_ALL;
    this.errno[slot] = errno;
    this.serveSoon(slot);
  }

  payloadAt(slot: number): number {
    return this.sockets.payload.empty(slot) ? 0 : this.sockets.payload.firstAt(slot);
  }

  payloadLength(slot: number): number {
    return this.sockets.payload.empty(slot) ? 0 : this.sockets.payload.firstLength(slot);
  }

  take(slot: number, length: number): void {
    this.shift(slot, this.sockets.payload, this.taken, length);
    this.unreported[slot] += length;
  }

  write(slot: number, at: number, length: number, bid: number): void {
    if ((this.sockets.flags[slot] & SOCKET.CLOSED) !== 0) {
      if (bid >= 0) this.slab.release(bid);
      return;
    }
    this.wire.push(slot, at, length, bid);
    this.written[slot] += length;
    this.flushSoon(slot);
  }

  endWire(slot: number): void {
    this.state[slot] |= STATE.ENDED;
    this.flushSoon(slot);
  }

  unsent(slot: number): number {
    return this.written[slot];
  }

  flushSoon(slot: number): void {
    if (slot !== this.flushing) this.sockets.flushSoon(slot);
  }

  /** Passes on waiting data for `slot` while it is wanted; after it the end, or the failure. */
  private serve(slot: number): void {
    const { flags, generation } = this.sockets;
    const { incoming } = this;
    const before = generation[slot];
    if ((this.state[slot] & STATE.READY) === 0) {
      if ((this.state[slot] & STATE.FAILED) !== 0) this.reportFailure(slot);
      return;
    }
    // A socket that closes when all is sent, or has payload that nobody takes any more, reads nothing and would not notice.
    if (
      (this.state[slot] & STATE.FAILED) !== 0 &&
      (flags[slot] & SOCKET.PAUSED) !== 0 &&
      this.discardUnsendable(slot)
    ) {
      this.reportFailure(slot);
      return;
    }
    while ((flags[slot] & (SOCKET.PAUSED | SOCKET.CLOSED)) === 0 && !incoming.empty(slot)) {
      const bid = incoming.shift(slot);
      const at = incoming.startOf(bid);
      this.events?.data(slot, bid, at, incoming.endOf(bid) - at);
      if (generation[slot] !== before) return;
    }
    if (!this.wantsData(slot)) return;
    this.transport.resumed(slot);
    if (generation[slot] !== before || !this.wantsData(slot)) return;
    if ((this.state[slot] & STATE.FAILED) !== 0) this.reportFailure(slot);
    else if ((this.state[slot] & STATE.END) !== 0) {
      if ((flags[slot] & SOCKET.EOF) !== 0) return;
      flags[slot] |= SOCKET.EOF;
      this.events?.eof(slot);
    } else this.rearm(slot);
  }

  private discardUnsendable(slot: number): boolean {
    return (this.sockets.flags[slot] & SOCKET.CLOSE_PENDING) !== 0 || !this.sockets.payload.empty(slot);
  }

  private reportFailure(slot: number): void {
    const { flags } = this.sockets;
    if ((flags[slot] & SOCKET.DIRTY) !== 0) {
      this.serveSoon(slot);
      return;
    }
    this.state[slot] &= ~STATE.FAILED;
    if ((flags[slot] & SOCKET.CONNECTING) === 0) {
      this.events?.failed(slot, this.errno[slot]);
      return;
    }
    flags[slot] &= ~SOCKET.CONNECTING;
    this.events?.connected(slot, -this.errno[slot]);
  }

  /** Everything is sent, including the end of the stream. */
  private finish(slot: number): void {
    const { sockets } = this;
    const flags = sockets.flags[slot];
    if ((flags & SOCKET.CLOSE_PENDING) !== 0) sockets.close(slot);
    else if ((flags & SOCKET.SHUT_PENDING) !== 0) {
      sockets.flags[slot] = flags & ~SOCKET.SHUT_PENDING;
      sockets.finish(slot);
    }
  }

  private shift(slot: number, from: SendQueue, to: SendQueue, length: number): void {
    const bid = from.firstBuffer(slot);
    if (bid >= 0) this.slab.retain(bid);
    to.push(slot, from.firstAt(slot), length, bid);
    from.consume(slot, length);
  }

  private serveSoon(slot: number): void {
    if ((this.state[slot] & STATE.LISTED) !== 0 || (this.sockets.flags[slot] & SOCKET.CLOSED) !== 0) return;
    this.state[slot] |= STATE.LISTED;
    this.list[this.listed++] = slot;
  }
}

// The seam between sockets and protocols: TLS is a transport, and so is the one used by tests.
//
// Protocols call `Sockets` and get `ConnectionEvents`; both are about plain bytes. A transport is on the other side: it gets the received
// bytes, delivers plain ones with `Channel.deliver`, and turns waiting payload into output. It never calls the protocols, the ring or the
// sockets itself.
import type { SendQueue } from './send-queue.js';
import type { Slab } from './slab.js';

/** Events of a connection for the protocols, whatever carries it. */
export interface ConnectionEvents {
  /** The connection is established and its transport ready, or `result` is -errno. */
  connected(slot: number, result: number): void;
  /** The transport of an accepted connection is ready; not called for plain ones, which always are. */
  ready(slot: number): void;
  /** `length` bytes at slab offset `at` in buffer `bid`; the handler takes over the buffer's reference. */
  data(slot: number, bid: number, at: number, length: number): void;
  eof(slot: number): void;
  /** A receive or connect failed: nothing more comes from the peer. */
  failed(slot: number, errno: number): void;
  /** `pause` has taken effect: no more data comes. */
  paused(slot: number): void;
}

/** Implemented by a transport: one object per worker, for all its sockets. Only `opened` may allocate per call. */
export interface Transport {
  /**
   * The layer for connection `slot` accepted on `listener` (its slot): 0 leaves it plain; the transport chooses the meaning of other
   * values.
   */
  accepts(listener: number, slot: number): number;
  /** The same for a connection being dialled to `endpoint` (its slot). */
  dials(endpoint: number, slot: number): number;
  /** The connection is established; call `Channel.established` once payload can pass. Writing is allowed from now on. */
  opened(slot: number): void;
  /** Data is available that has not been received (after `Channel.watchInput`). */
  readable(slot: number): void;
  /** Bytes from the peer; takes over the reference to `bid`. */
  received(slot: number, bid: number, at: number, length: number): void;
  /** Whether it holds so much received data that nothing more is received until it calls `Channel.receive`. */
  full(slot: number): boolean;
  /** The peer has ended its direction. Answer with `Channel.fail` if that truncates the stream, else with `Channel.end`. */
  ended(slot: number): void;
  /** Nothing more can be received. Answer with `Channel.fail`, after what came before. */
  failed(slot: number, errno: number): void;
  /** The protocols want data again: withheld data may be delivered. */
  resumed(slot: number): void;
  /** Payload waits: take as much as you like (`Channel.take`), and write the output. Called again when that has been sent. */
  send(slot: number): void;
  /** All payload has been taken and no more will come: write the end of the stream, now or later, and call `Channel.endWire`. */
  shutdown(slot: number): void;
  /** The connection is over, in whatever state: forget it. */
  closed(slot: number): void;
  /** Once per loop turn. */
  turn(): void;
  /** Amount of work that only waits for the next turn: the loop does not sleep meanwhile. */
  readonly pending: number;
}

/** Called by a transport. */
export interface Channel {
  /** Payload can pass in both directions. Once per connection. */
  established(slot: number): void;
  /** Whether the protocols take data now. Data delivered anyway waits. */
  wantsData(slot: number): boolean;
  /**
   * Plain bytes from the peer, in a separate buffer (`Slab.takeForInput`) between `dataStart` and `dataEnd`: protocols write around them.
   * Takes over the reference.
   */
  deliver(slot: number, bid: number, at: number, length: number): void;
  /** `Transport.full` is no longer true. */
  receive(slot: number): void;
  /**
   * Calls `Transport.readable` when data is available, and leaves it in the kernel; nothing is received meanwhile. Only before
   * `established`.
   */
  watchInput(slot: number): void;
  /** The peer has properly ended its stream. */
  end(slot: number): void;
  /** The connection can't continue, or can't begin. Reported a turn later, so that earlier output (an alert) is sent first. */
  fail(slot: number, errno: number): void;

  /** Slab offset and length of the first slice of waiting payload; length 0 if there is none. */
  payloadAt(slot: number): number;
  payloadLength(slot: number): number;
  /** Takes `length` bytes of that slice; their buffer is held until they have been sent. */
  take(slot: number, length: number): void;
  /** Queues bytes for the kernel; takes over one reference to `bid` (-1: nobody's buffer). */
  write(slot: number, at: number, length: number, bid: number): void;
  /** Nothing more will be written: the connection itself may be shut down next. */
  endWire(slot: number): void;
  /** Output that the kernel has not taken, bytes. */
  unsent(slot: number): number;
  /** Calls `Transport.send` at the end of this turn, after it took nothing. */
  flushSoon(slot: number): void;
}

/** Creates a worker's transport. */
export type MakeTransport = (channel: Channel, slab: Slab, sockets: number) => Transport;

/** What `Sockets` delegates to transport-sockets.ts, for a socket with a transport. */
export interface TransportHooks {
  /** The transport's output that the kernel has not taken. */
  readonly wire: SendQueue;
  opened(slot: number): void;
  /** Queues what is sent before the transport's own output, on a connection being established. */
  sendAhead(slot: number, at: number, length: number, bid: number): void;
  received(slot: number, bid: number, at: number, length: number): void;
  ended(slot: number): void;
  /** Whether an orderly close has something to write first. */
  closesGracefully(slot: number): boolean;
  ready(slot: number): boolean;
  resumed(slot: number, paused: boolean): void;
  rearm(slot: number): void;
  flush(slot: number, silent: boolean): number;
  /** The kernel has taken `bytes` of the output. Returns how much payload that is. */
  sent(slot: number, bytes: number): number;
  takeBack(slot: number): void;
  drop(slot: number): void;
  closeWhenSent(slot: number): void;
  resetOnClose(slot: number): void;
  closed(slot: number): void;
}

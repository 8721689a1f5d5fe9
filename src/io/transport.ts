// The seam between sockets and protocols, for what may come between them: TLS is a transport, and so is the one that the tests use.
//
// Protocols call `Sockets` and hear `ConnectionEvents`; both are about plain bytes. A transport stands on the other side: it gets the
// bytes that were received, hands plain ones up with `Channel.deliver`, and turns the payload that waits into what is sent. It
// never calls the protocols, the ring or the sockets itself.
import type { SendQueue } from './send-queue.js';
import type { Slab } from './slab.js';

/** What protocols hear of a connection, whatever carries it. */
export interface ConnectionEvents {
  /** The connection stands and its transport is ready, or `result` is -errno. */
  connected(slot: number, result: number): void;
  /** The transport of an accepted connection is ready; not told of plain ones, which always are. */
  ready(slot: number): void;
  /** `length` bytes at slab offset `at` in buffer `bid`; the handler takes over the buffer's reference. */
  data(slot: number, bid: number, at: number, length: number): void;
  eof(slot: number): void;
  /** A receive or connect failed: nothing more comes from the peer. */
  failed(slot: number, errno: number): void;
  /** `pause` has taken effect: no more data comes. */
  paused(slot: number): void;
}

/** What a transport implements: one object per worker, for all sockets that have one. Nothing here may allocate per call but `opened`. */
export interface Transport {
  /** The layer for connection `slot` accepted on `listener` (its slot): 0 leaves it plain, any other byte is the transport's to choose. */
  accepts(listener: number, slot: number): number;
  /** The same for a connection that is dialled to `endpoint` (its slot). */
  dials(endpoint: number, slot: number): number;
  /** The connection stands; `Channel.established` is to be called once payload can pass. It may be written to from now on. */
  opened(slot: number): void;
  /** Something has come that has not been received (after `Channel.watchInput`). */
  readable(slot: number): void;
  /** Bytes of the peer; takes over the reference to `bid`. */
  received(slot: number, bid: number, at: number, length: number): void;
  /** Whether it keeps enough of what was received: nothing more is, until `Channel.receive` asks for it. */
  full(slot: number): boolean;
  /** The peer has ended its direction. Where that truncates the stream, the answer is `Channel.fail`, else `Channel.end`. */
  ended(slot: number): void;
  /** Nothing more can be received. The answer is `Channel.fail`, after what came before. */
  failed(slot: number, errno: number): void;
  /** The protocols want data again: what was kept back may be delivered. */
  resumed(slot: number): void;
  /** Payload waits: takes of it as much as it likes (`Channel.take`), and writes what is to be sent. Called again when that has been sent. */
  send(slot: number): void;
  /** All payload has been taken and no more will come: writes the end of the stream, now or later, and calls `Channel.endWire`. */
  shutdown(slot: number): void;
  /** The connection is over, in whatever state: forgets it. */
  closed(slot: number): void;
  /** Once a loop turn. */
  turn(): void;
  /** How much waits for nothing but the next turn: the loop does not sleep meanwhile. */
  readonly pending: number;
}

/** What a transport calls. */
export interface Channel {
  /** Payload can pass, both ways. Once per connection. */
  established(slot: number): void;
  /** Whether the protocols take data now. What is delivered nevertheless waits. */
  wants(slot: number): boolean;
  /**
   * Plain bytes of the peer, in a buffer of their own (`Slab.takeForInput`) within `dataStart` and `dataEnd`: protocols write
   * around them. Takes over the reference.
   */
  deliver(slot: number, bid: number, at: number, length: number): void;
  /** `Transport.full` is no longer true. */
  receive(slot: number): void;
  /** Has `Transport.readable` called when something has come, and leaves it where it is; nothing is received meanwhile. Before `established` only. */
  watchInput(slot: number): void;
  /** The peer has ended its stream, properly. */
  end(slot: number): void;
  /** The connection can't go on, or can't begin. Told a turn later, so that what was written before it (an alert) has left. */
  fail(slot: number, errno: number): void;

  /** Slab offset and length of the first slice of the payload that waits; length 0 where none does. */
  payloadAt(slot: number): number;
  payloadLength(slot: number): number;
  /** Takes `length` bytes of that slice; their buffer is held until they have been sent. */
  take(slot: number, length: number): void;
  /** Queues bytes for the kernel; takes over one reference to `bid` (-1: nobody's buffer). */
  write(slot: number, at: number, length: number, bid: number): void;
  /** Nothing more is written: the connection's own end may follow. */
  endWire(slot: number): void;
  /** Bytes that were written and that the kernel has not taken. */
  unsent(slot: number): number;
  /** Has `Transport.send` called at the end of this turn, after it took nothing. */
  flushSoon(slot: number): void;
}

/** Makes a worker's transport. */
export type MakeTransport = (channel: Channel, slab: Slab, sockets: number) => Transport;

/** What `Sockets` leaves to layered.ts, for a socket that has a transport. */
export interface Layering {
  /** What the transport has written and the kernel has not taken. */
  readonly wire: SendQueue;
  opened(slot: number): void;
  /** Queues what goes out before anything that the transport has to say, on a connection that is being made. */
  precede(slot: number, at: number, length: number, bid: number): void;
  received(slot: number, bid: number, at: number, length: number): void;
  ended(slot: number): void;
  /** Whether an orderly close has something to write first. */
  saysGoodbye(slot: number): boolean;
  ready(slot: number): boolean;
  resumed(slot: number, paused: boolean): void;
  rearm(slot: number): void;
  flush(slot: number, silent: boolean): number;
  /** The kernel has taken `bytes` of what was written. Returns how much payload that is. */
  sent(slot: number, bytes: number): number;
  takeBack(slot: number): void;
  drop(slot: number): void;
  closeWhenSent(slot: number): void;
  resetOnClose(slot: number): void;
  closed(slot: number): void;
}

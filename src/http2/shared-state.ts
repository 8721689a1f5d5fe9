// What the parts of the protocol share: one of each per worker.

import { FieldList } from '../hpack/field-list.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import { AREA_BYTES, Areas } from '../http/areas.js';
import { Chains } from './chains.js';
import { type Connection, GOING, READING } from './connection.js';
import { Output, type Sink } from './output.js';
import { SavedLists } from './saved-lists.js';
import { Blocks, type Buffers } from './small-buffers.js';
import { Streams } from './streams.js';

export class Core {
  readonly bytes: Uint8Array;
  readonly streams: Streams;
  readonly output: Output;
  readonly blocks: Blocks;
  /** Data that waits to be sent, by stream. */
  readonly pending: Chains;
  /** Trailers that wait behind that, by stream. */
  readonly heldTrailers: SavedLists;
  /** Where what is larger than a buffer is put together. */
  readonly areas: Areas;
  /** The fields of the block that was read last, and what is about to be written. */
  readonly list: FieldList;
  /** For fields that are written while those in `list` are in use. */
  readonly spare: FieldList;
  /** Time of this turn, ms: [0]. A cell, as a number handed from function to function would be allocated anew each time. */
  readonly clock = new Float64Array(1);
  /** Connections that ran out of memory: their owner closes them at the end of the turn. */
  readonly lost: Connection[] = [];
  /** Endpoints' connections at whose window data has begun to wait: their owner looks after them. */
  readonly stalled: Connection[] = [];
  /** Endpoints' connections that have gone beyond an allowance: their owner opens no more streams on them. */
  readonly excessive: Connection[] = [];

  constructor(
    readonly slab: Buffers,
    readonly memory: HeaderMemory,
    readonly sink: CongestionSink,
    /** Where counters live: those of H from a connection's `meter` on, those of H2_LIMITS from `limitsAt` on. */
    readonly values: Float64Array,
    readonly limitsAt: number,
    maxStreams: number,
    /** AREAS_BYTES of `slab.bytes`. */
    areasAt: number,
  ) {
    this.bytes = slab.bytes;
    this.streams = new Streams(maxStreams);
    this.output = new Output(slab, sink);
    this.blocks = new Blocks(slab);
    this.pending = new Chains(slab, this.blocks, maxStreams);
    this.areas = new Areas(areasAt);
    this.heldTrailers = new SavedLists(slab, this.blocks, this.areas, maxStreams);
    this.list = new FieldList(memory, this.areas.decoded, AREA_BYTES);
    this.spare = new FieldList(memory);
  }

  /** There was no buffer for something that must be said: the connection is out of step with its peer, and is to be closed. */
  starved(connection: Connection): void {
    connection.going = GOING.FAILED;
    connection.reading = READING.NOTHING;
    this.lost.push(connection);
  }
}

export interface CongestionSink extends Sink {
  /** Whether the socket has as much queued as it should. `true` makes it call back when all is sent. */
  congested(socket: number, unsent: number): boolean;
}

/** What happens on connections. Called while bytes are read; `core.list` holds the fields of `request`, `response` and `trailers`. */
export interface Http2Events {
  /** A request on a new stream, which is its callee's from here on. `end`: it has no body. */
  request(connection: Connection, slot: number, end: boolean): void;
  /** As `request`, but its fields are more than the limits allow; `core.list` holds no fields, its facts are of some of them. */
  requestTooLarge(connection: Connection, slot: number, end: boolean): void;
  /**
   * A later block of a stream is more than the limits allow: a request's trailers, which end it; or a response's head or trailers, whose
   * stream is off its connection.
   */
  tooLarge(connection: Connection, slot: number): void;
  /** A response head, interim (1xx) or final. */
  response(connection: Connection, slot: number, end: boolean): void;
  /** Trailers; they end the stream. */
  trailers(connection: Connection, slot: number): void;
  /** A piece of body at `at`, in a buffer that the caller holds; the 9 octets before it may be overwritten. Each octet is to be given back with `Receiver.credit`. */
  data(connection: Connection, slot: number, at: number, length: number, end: boolean): void;
  /** The peer has reset the stream, which is off its connection. */
  reset(connection: Connection, slot: number, code: number): void;
  /** The peer has broken a rule of the stream: RST_STREAM is out and the stream off its connection. */
  streamFailed(connection: Connection, slot: number, code: number): void;
  /** The connection is over: GOAWAY with `code` is queued. Its streams are still on it. */
  connectionFailed(connection: Connection, code: number): void;
  settings(connection: Connection): void;
  /** The peer will not look at streams above `last`. */
  goaway(connection: Connection, last: number, code: number): void;
  /** The peer has read what came before the PING of `Sender.beginShutdown`. */
  shutdownRead(connection: Connection): void;
  /** `count` octets of the stream's data that had waited are on their way. */
  moved(slot: number, count: number): void;
  /** So is its END_STREAM. */
  flushed(slot: number): void;
}

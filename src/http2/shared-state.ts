// State shared by the parts of the protocol: one of each per worker.

import { FieldList } from '../hpack/field-list.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import { objectArray } from '../http/object-array.js';
import { SCRATCH_BUFFER_BYTES, ScratchBuffers } from '../http/scratch-buffers.js';
import { BlockAllocator, type SlabBuffers } from './block-allocator.js';
import { BufferChains } from './buffer-chains.js';
import { CONNECTION_STATE, type Connection, READ_STATE } from './connection.js';
import { Output, type Sink } from './output.js';
import { SavedLists } from './saved-lists.js';
import { Streams } from './streams.js';

export class Core {
  readonly bytes: Uint8Array;
  readonly streams: Streams;
  readonly output: Output;
  readonly blocks: BlockAllocator;
  /** Data waiting to be sent, by stream. */
  readonly pending: BufferChains;
  /** Trailers waiting behind it, by stream. */
  readonly heldTrailers: SavedLists;
  /** Where anything larger than a buffer is assembled. */
  readonly scratch: ScratchBuffers;
  /** The fields of the last block read, and of what is about to be written. */
  readonly list: FieldList;
  /** For writing fields while `list` is in use. */
  readonly spare: FieldList;
  /** Time of this turn, ms, in [0]. A cell, because passing a number between functions would allocate. */
  readonly clock = new Float64Array(1);
  /** Connections that ran out of memory: the owner closes them at the end of the turn. */
  readonly outOfMemory = objectArray<Connection>();
  /** Endpoints' connections with data waiting for the connection window: the owner watches them. */
  readonly stalled = objectArray<Connection>();
  /** Endpoints' connections over an allowance: the owner opens no more streams on them. */
  readonly overAllowance = objectArray<Connection>();

  constructor(
    readonly slab: SlabBuffers,
    readonly memory: HeaderMemory,
    readonly sink: CongestionSink,
    /** The array of counters: those of H from a connection's `meter` on, those of H2_LIMITS from `limitsAt` on. */
    readonly values: Float64Array,
    readonly limitsAt: number,
    maxStreams: number,
    /** SCRATCH_BUFFERS_BYTES of `slab.bytes`. */
    areasAt: number,
  ) {
    this.bytes = slab.bytes;
    this.streams = new Streams(maxStreams);
    this.output = new Output(slab, sink);
    this.blocks = new BlockAllocator(slab);
    this.pending = new BufferChains(slab, this.blocks, maxStreams);
    this.scratch = new ScratchBuffers(areasAt);
    this.heldTrailers = new SavedLists(slab, this.blocks, this.scratch, maxStreams);
    this.list = new FieldList(memory, this.scratch.decoded, SCRATCH_BUFFER_BYTES);
    this.spare = new FieldList(memory);
  }

  /** There was no buffer for something that must be sent: the connection is out of step with its peer and must be closed. */
  failOutOfMemory(connection: Connection): void {
    connection.state = CONNECTION_STATE.FAILED;
    connection.readState = READ_STATE.FAILED;
    this.outOfMemory.push(connection);
  }
}

export interface CongestionSink extends Sink {
  /** Whether the socket's queue is full enough. `true` makes it call back when everything is sent. */
  congested(socket: number, unsent: number): boolean;
}

/** Events of connections. Called while bytes are read; `core.list` holds the fields of `request`, `response` and `trailers`. */
export interface Http2Events {
  /** A request on a new stream, which the callee owns from now on. `end`: it has no body. */
  request(connection: Connection, slot: number, end: boolean): void;
  /** Like `request`, but its fields exceed the limits; `core.list` holds no fields, and its facts are those of some of them. */
  requestTooLarge(connection: Connection, slot: number, end: boolean): void;
  /**
   * A later block of a stream exceeds the limits: a request's trailers, which end it; or a response's head or trailers, whose stream is
   * detached.
   */
  tooLarge(connection: Connection, slot: number): void;
  /** A response head, interim (1xx) or final. */
  response(connection: Connection, slot: number, end: boolean): void;
  /** Trailers; they end the stream. */
  trailers(connection: Connection, slot: number): void;
  /**
   * A piece of body at `at`, in a buffer that the caller holds; the 9 bytes before it may be overwritten. Each byte must be returned with
   * `credit`.
   */
  data(connection: Connection, slot: number, at: number, length: number, end: boolean): void;
  /** The peer has reset the stream, which is detached. */
  reset(connection: Connection, slot: number, code: number): void;
  /** The peer has violated a rule of the stream: RST_STREAM is queued and the stream detached. */
  streamFailed(connection: Connection, slot: number, code: number): void;
  /** The connection is over: GOAWAY with `code` is queued. Its streams are still attached. */
  connectionFailed(connection: Connection, code: number): void;
  settings(connection: Connection): void;
  /** The peer will not process streams above `last`. */
  goaway(connection: Connection, last: number, code: number): void;
  /** The peer has read everything before the PING of `Sender.beginShutdown`. */
  shutdownAcknowledged(connection: Connection): void;
  /** `count` waiting bytes of the stream's data are on their way. */
  dataSent(slot: number, count: number): void;
  /** So is its END_STREAM. */
  flushed(slot: number): void;
}

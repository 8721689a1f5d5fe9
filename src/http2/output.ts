// A connection's output: small frames back to back in a buffer, large payloads as slices of the buffers they arrived in. It is passed to
// the socket once per loop turn, in one piece if possible.

import { objectArray } from '../http/object-array.js';
import type { SlabBuffers } from './block-allocator.js';
import type { Connection } from './connection.js';

const NONE = -1;

/** Destination of output. */
export interface Sink {
  /** Takes over one reference to `bid`. */
  queue(socket: number, at: number, length: number, bid: number): void;
  /** Whether a send is in progress, so that nothing queued now would leave now. */
  sending(socket: number): boolean;
}

export class Output {
  /** Connections with output, the first `count` entries; never shortened, which would release its memory. */
  private readonly dirty = objectArray<Connection | null>();
  private count = 0;

  constructor(
    private readonly slab: SlabBuffers,
    private readonly sink: Sink,
  ) {}

  /** Offset at which `length` bytes may be written, to be confirmed with `wrote`; -1 if the slab is exhausted. */
  room(connection: Connection, length: number): number {
    if (connection.outEnd + length <= connection.outLimit) return connection.outEnd;
    this.flush(connection);
    const bid = this.slab.take();
    if (bid < 0) return NONE;
    let start = this.slab.dataStart(bid);
    let limit = this.slab.dataEnd(bid);
    if (length > limit - start) {
      // The largest heads need headroom and tailroom as well.
      start = this.slab.bufferStart(bid);
      limit = start + this.slab.bufferBytes;
      if (length > limit - start) {
        this.slab.release(bid);
        return NONE;
      }
    }
    connection.outBuffer = bid;
    connection.outStart = start;
    connection.outEnd = start;
    connection.outLimit = limit;
    return start;
  }

  /** Confirms output up to `end`. */
  wrote(connection: Connection, end: number): void {
    connection.outEnd = end;
    if (!connection.dirty) {
      connection.dirty = true;
      this.dirty[this.count++] = connection;
    }
  }

  /** Adds bytes that stay where they are; takes over one reference to `bid`. */
  slice(connection: Connection, at: number, length: number, bid: number): void {
    if (connection.outEnd > connection.outStart) {
      this.slab.retain(connection.outBuffer);
      this.sink.queue(
        connection.socket,
        connection.outStart,
        connection.outEnd - connection.outStart,
        connection.outBuffer,
      );
      connection.outStart = connection.outEnd;
    }
    this.sink.queue(connection.socket, at, length, bid);
  }

  /** Bytes written and not yet passed to the socket. */
  unsent(connection: Connection): number {
    return connection.outEnd - connection.outStart;
  }

  /** Passes all output to the sockets. During a send it waits, so that more goes out in one piece. */
  commit(): void {
    const { dirty, count } = this;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const connection = dirty[i];
      if (connection === null) continue;
      if (this.sink.sending(connection.socket)) dirty[kept++] = connection;
      else {
        connection.dirty = false;
        // The socket has taken everything queued before.
        connection.answersQueued = 0;
        this.flush(connection);
      }
    }
    for (let i = kept; i < count; i++) dirty[i] = null;
    this.count = kept;
  }

  /** Passes this connection's output to its socket now. */
  flush(connection: Connection): void {
    const bid = connection.outBuffer;
    if (bid === NONE) return;
    const { outStart, outEnd } = connection;
    connection.outBuffer = NONE;
    connection.outStart = 0;
    connection.outEnd = 0;
    connection.outLimit = 0;
    if (outEnd > outStart) this.sink.queue(connection.socket, outStart, outEnd - outStart, bid);
    else this.slab.release(bid);
  }

  /** The connection is over: discards its remaining output. */
  drop(connection: Connection): void {
    if (connection.outBuffer !== NONE) this.slab.release(connection.outBuffer);
    connection.outBuffer = NONE;
    connection.outStart = 0;
    connection.outEnd = 0;
    connection.outLimit = 0;
  }
}

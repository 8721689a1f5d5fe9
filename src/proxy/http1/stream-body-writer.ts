// Writes DATA frames to an HTTP/1 connection: plain, in chunks, or as the bytes of a tunnel. Small pieces are gathered in a buffer that all
// connections of a turn share; large ones are sent from where they are.
import type { FieldList } from '../../hpack/field-list.js';
import { ascii } from '../../http/octets.js';
import { chunkSizeBefore } from '../../http1/body.js';
import type { Core } from '../../http2/shared-state.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import { writeEnd } from '../../translate/trailers.js';
import type { Context } from '../context.js';
import type { SocketSlot } from '../slots.js';
import { LargeOutput } from './large-output.js';

const NONE = -1;
/** Pieces of at least this size are sent from where they were received; for smaller ones a copy is cheaper than another slice. */
const SLICE_BYTES = 2048;
const CHUNK_ROOM = 16;
const SIZE_ROOM = 8;
const AFTER_CHUNK = ascii('\r\n0\r\n\r\n');
const CRLF_LENGTH = 2;

/** `trailers` returns this if there is no buffer. */
export const NO_BUFFER = -1000;

export class StreamBodyWriter {
  /** Buffer for small pieces of this turn; -1 for none. `limit` is its end. */
  private buffer = NONE;
  private at = 0;
  limit = 0;
  /** For anything larger than a buffer. */
  readonly large: LargeOutput;
  /** Separators after a chunk and after the last one: AFTER_CHUNK in the slab. */
  private readonly afterChunk: number;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
  ) {
    this.large = new LargeOutput(context, core);
    this.afterChunk = context.slab.fixed(AFTER_CHUNK.length);
    context.bytes.set(AFTER_CHUNK, this.afterChunk);
  }

  /** Called once per loop turn. */
  turn(): void {
    if (this.buffer === NONE) return;
    this.context.slab.release(this.buffer);
    this.buffer = NONE;
    this.at = 0;
    this.limit = 0;
  }

  /** Position where `length` bytes can be written, up to `limit`; -1 if the slab is exhausted. */
  room(length: number): number {
    if (this.at + length <= this.limit) return this.at;
    const { slab } = this.context;
    this.turn();
    const bid = slab.take();
    if (bid < 0) return NONE;
    this.buffer = bid;
    this.at = slab.dataStart(bid);
    this.limit = slab.dataEnd(bid);
    return this.at;
  }

  /** Queues what was written up to `to`. */
  wrote(socket: SocketSlot, to: number): void {
    const { slab, sockets } = this.context;
    slab.retain(this.buffer);
    sockets.queue(socket, this.at, to - this.at, this.buffer);
    this.at = to;
  }

  /** Queues bytes in a buffer that the caller holds. False if the slab is exhausted. */
  put(socket: SocketSlot, at: number, length: number): boolean {
    if (length === 0) return true;
    const { slab, sockets, bytes } = this.context;
    if (length < SLICE_BYTES) {
      const to = this.room(length);
      if (to < 0) return false;
      bytes.copyWithin(to, at, at + length);
      this.wrote(socket, to + length);
    } else {
      const bid = slab.bufferOf(at);
      slab.retain(bid);
      sockets.queue(socket, at, length, bid);
    }
    return true;
  }

  /**
   * A chunk; with `end` also the last one. `own`: the bytes before `at` are free, so the size can be written there, as in place of a frame
   * header. Nothing is written after the data, where the next frame may be.
   */
  chunk(socket: SocketSlot, at: number, length: number, end: boolean, own: boolean): boolean {
    const { bytes, sockets } = this.context;
    const { afterChunk } = this;
    const after = end ? AFTER_CHUNK.length : CRLF_LENGTH;
    if (length >= SLICE_BYTES) {
      if (own) {
        const from = chunkSizeBefore(bytes, at, length);
        if (!this.put(socket, from, at + length - from)) return false;
      } else if (!this.size(socket, length) || !this.put(socket, at, length)) return false;
      sockets.queue(socket, afterChunk, after, NONE);
      return true;
    }
    const room = this.room(length + CHUNK_ROOM);
    if (room < 0) return false;
    let to = room;
    if (length > 0) {
      const data = room + SIZE_ROOM;
      this.at = chunkSizeBefore(bytes, data, length);
      bytes.copyWithin(data, at, at + length);
      to = data + length;
      bytes.copyWithin(to, afterChunk, afterChunk + after);
      this.wrote(socket, to + after);
    } else if (end) {
      bytes.copyWithin(to, afterChunk + CRLF_LENGTH, afterChunk + after);
      this.wrote(socket, to + after - CRLF_LENGTH);
    }
    return true;
  }

  /** The last chunk with the trailers in `list`. Returns 0, NO_BUFFER, or -ERROR. */
  trailers(socket: SocketSlot, list: FieldList): number {
    if (list.size + CHUNK_ROOM > BUFFER_CAPACITY) {
      const { large } = this;
      const to = writeEnd(this.core.bytes, list, large.at, large.limit);
      if (to < 0) return to;
      return large.send(socket, to) ? 0 : NO_BUFFER;
    }
    const at = this.room(list.size + CHUNK_ROOM);
    if (at < 0) return NO_BUFFER;
    const to = writeEnd(this.core.bytes, list, at, this.limit);
    if (to < 0) return to;
    this.wrote(socket, to);
    return 0;
  }

  /** Whether the socket's queue has reached its mark. */
  full(socket: SocketSlot): boolean {
    return this.context.outputLimits.full(socket);
  }

  /** Whether the source of this socket may continue; if not, `drained` returns the rest of the window. */
  belowLimit(socket: SocketSlot): boolean {
    if (!this.full(socket)) return true;
    const { sockets, outputLimits } = this.context;
    if ((sockets.flags[socket] & SOCKET.NOTIFY_DRAINED) === 0) {
      outputLimits.count();
      sockets.notifyDrained(socket);
    }
    return false;
  }

  /** The size line of a chunk whose data is not right after it. */
  private size(socket: SocketSlot, length: number): boolean {
    const room = this.room(CHUNK_ROOM);
    if (room < 0) return false;
    const end = room + SIZE_ROOM;
    this.at = chunkSizeBefore(this.context.bytes, end, length);
    this.wrote(socket, end);
    return true;
  }
}

// Requests of HTTP/2 clients to HTTP/1 endpoints, on a connection that stands: the head written as HTTP/1, the body framed as its
// length asks for, as fast as the connection takes it.
import { randomFillSync } from 'node:crypto';
import type { FieldList } from '../hpack/field-list.js';
import { restoreList } from '../hpack/memory/saved-list.js';
import { CONNECT_PROTOCOL } from '../http/facts.js';
import { METHOD } from '../http/methods.js';
import { ascii } from '../http/octets.js';
import { KEY_LENGTH, NONCE_LENGTH, putKey } from '../http/web-socket.js';
import { frameChunk } from '../http1/body.js';
import { MESSAGE_ERRORS } from '../http1/errors.js';
import { FRAMING } from '../http1/head.js';
import { STREAM } from '../http2/streams.js';
import { RequestBridge, requestFraming } from '../translate/request.js';
import { writeEnd } from '../translate/trailers.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';

const NONE = -1;
/** What a queued piece counts at least, as in bodies.ts: little data must not hold many buffers. */
const SLICE_BYTES = 4096;

const CRLF = ascii('\r\n');
const LAST_CHUNK = ascii('0\r\n\r\n');

/** How what the client sends goes on to the endpoint. */
export const SENDING = {
  /** As it is: its length is known. */
  PLAIN: 0,
  CHUNKED: 1,
  /** Kept until the endpoint has agreed to a tunnel. */
  AGREEING: 2,
  TUNNEL: 3,
  /** All of it is on its way. */
  DONE: 4,
  /** The endpoint takes no more: it is thrown away. */
  REFUSED: 5,
} as const;

export class BridgedRequests {
  /** Of a socket: SENDING. */
  readonly sending: Uint8Array;
  /** Of a socket: the key that was sent to open a WebSocket. */
  readonly keys = new Map<number, Uint8Array>();
  private readonly bridge: RequestBridge;
  private readonly noKey = new Uint8Array(KEY_LENGTH);
  private readonly crlfAt: number;
  private readonly lastChunkAt: number;

  constructor(private readonly http2: Http2) {
    const { sockets, slab } = http2.context;
    this.sending = new Uint8Array(sockets.capacity);
    this.bridge = new RequestBridge(http2.core.memory);
    this.crlfAt = slab.fixed(CRLF.length);
    slab.bytes.set(CRLF, this.crlfAt);
    this.lastChunkAt = slab.fixed(LAST_CHUNK.length);
    slab.bytes.set(LAST_CHUNK, this.lastChunkAt);
  }

  /** Writes the request to its connection, which stands: from `core.list` if it is `listed` there, else from where it is kept. */
  begin(upstream: number, listed: boolean): void {
    const { http2 } = this;
    const { core, exchanges, context } = http2;
    const { slab, sockets, services } = context;
    const { streams, list } = core;
    const { replay } = exchanges;
    const slot = streams.peer[upstream];
    const socket = exchanges.socket[upstream];
    const saved = exchanges.saved[upstream];
    const body = listed ? 0 : replay.bytes[upstream] - saved;
    const whole = listed ? (streams.state[slot] & STREAM.REMOTE_END) !== 0 : exchanges.whole[upstream] === 1;
    if (!listed) {
      const at = replay.pieceAt(replay.start(upstream));
      restoreList(list, at, at + saved);
    }
    const end = whole && body === 0;
    const { facts } = list;
    const buffer = slab.take();
    if (buffer < 0) {
      http2.lifecycle.giveUp(slot, upstream, 503, WHY.MEMORY);
      return;
    }
    const service = exchanges.service[slot];
    const from = slab.dataStart(buffer);
    const to = this.bridge.write(
      list,
      from,
      slab.dataEnd(buffer),
      end,
      facts.protocol === CONNECT_PROTOCOL.WEBSOCKET ? this.key(socket) : this.noKey,
      0,
      services.hostAt[service],
      services.hostLength[service],
    );
    if (to < 0) {
      slab.release(buffer);
      const { status, reasonIndex } = MESSAGE_ERRORS[-to];
      http2.lifecycle.giveUp(slot, upstream, status, reasonIndex);
      return;
    }
    if (facts.method === METHOD.CONNECT) {
      this.sending[socket] = SENDING.AGREEING;
      if (end) streams.state[upstream] |= STREAM.END_PENDING;
    } else if (end) this.sending[socket] = SENDING.DONE;
    else this.sending[socket] = requestFraming(facts, end) === FRAMING.CHUNKED ? SENDING.CHUNKED : SENDING.PLAIN;
    sockets.queue(socket, from, to - from, buffer);
    if (listed) return;
    // The rest goes through the chain of what waits, which leaves the kept copy as it is.
    let skip = saved;
    for (let piece = replay.start(upstream); piece !== NONE; piece = replay.following(piece)) {
      const length = replay.pieceLength(piece) - skip;
      if (length > 0 && !core.pending.append(upstream, replay.pieceAt(piece) + skip, length)) {
        http2.lifecycle.giveUp(slot, upstream, 503, WHY.MEMORY);
        return;
      }
      skip = 0;
    }
    if (body > 0 && whole) streams.state[upstream] |= STREAM.END_PENDING;
    if (body > services.replayBytes[service] || (streams.state[upstream] & STREAM.TRAILERS_PENDING) !== 0)
      exchanges.forget(upstream);
    this.drain(upstream, socket);
  }

  /** A piece of the request. Returns how much of it is on its way; the rest waits. -1: there is no memory for it to wait in. */
  data(upstream: number, socket: number, at: number, length: number, end: boolean): number {
    const { core, context } = this.http2;
    const { slab, sockets } = context;
    const sending = this.sending[socket];
    if (sending === SENDING.REFUSED) return length;
    if (sending === SENDING.AGREEING || !core.pending.empty(upstream) || this.full(socket)) {
      if (length > 0 && !core.pending.append(upstream, at, length)) return NONE;
      if (end) core.streams.state[upstream] |= STREAM.END_PENDING;
      if (sending !== SENDING.AGREEING) sockets.notifyDrained(socket);
      return 0;
    }
    if (length > 0) {
      const bid = slab.bufferOf(at);
      slab.retain(bid);
      if (sending === SENDING.CHUNKED) {
        // What follows in the buffer is the client's next frame: the line's end comes from elsewhere.
        const start = chunkSize(context.bytes, at, length);
        sockets.queue(socket, start, at - start + length, bid);
        sockets.queue(socket, this.crlfAt, CRLF.length, NONE);
      } else sockets.queue(socket, at, length, bid);
    }
    if (end) this.finish(upstream, socket, null);
    return length;
  }

  /** The request ends with the trailers in `list`. */
  trailers(upstream: number, socket: number, list: FieldList): void {
    const { core, retries } = this.http2;
    const sending = this.sending[socket];
    if (sending === SENDING.REFUSED) return;
    if (sending === SENDING.AGREEING || !core.pending.empty(upstream)) retries.holdTrailers(upstream, list);
    else this.finish(upstream, socket, list);
  }

  /** Sends what waits, as far as the connection takes it. */
  drain(upstream: number, socket: number): void {
    const { http2 } = this;
    const { core, context, machine } = http2;
    const { slab, sockets } = context;
    const { pending, streams } = core;
    const slot = streams.peer[upstream];
    while (!pending.empty(upstream)) {
      if (this.full(socket)) {
        sockets.notifyDrained(socket);
        return;
      }
      const buffer = slab.take();
      if (buffer < 0) {
        http2.lifecycle.shed(slot, upstream);
        return;
      }
      const limit = slab.dataEnd(buffer);
      let start = slab.dataStart(buffer);
      let end = start;
      while (end < limit && !pending.empty(upstream)) {
        const count = Math.min(pending.firstLength(upstream), limit - end);
        const at = pending.firstAt(upstream);
        context.bytes.copyWithin(end, at, at + count);
        pending.consume(upstream, count);
        end += count;
      }
      machine.frames.credit(slot, end - start);
      if (this.sending[socket] === SENDING.CHUNKED) {
        start = frameChunk(context.bytes, start, end);
        end += CRLF.length;
      }
      sockets.queue(socket, start, end - start, buffer);
    }
    const state = streams.state[upstream];
    if ((state & STREAM.TRAILERS_PENDING) !== 0) {
      const at = slab.dataStart(streams.trailersBuffer[upstream]);
      restoreList(core.spare, at, at + streams.trailersLength[upstream]);
      streams.state[upstream] &= ~STREAM.TRAILERS_PENDING;
      http2.retries.dropTrailers(upstream);
      this.finish(upstream, socket, core.spare);
    } else if ((state & STREAM.END_PENDING) !== 0) {
      streams.state[upstream] &= ~STREAM.END_PENDING;
      this.finish(upstream, socket, null);
    }
  }

  /** Whether the exchange is a tunnel whose client may still have something to say. */
  tunnelling(upstream: number): boolean {
    const socket = this.http2.exchanges.socket[upstream];
    return socket >= 0 && this.sending[socket] === SENDING.TUNNEL;
  }

  /** The request is complete. */
  private finish(upstream: number, socket: number, list: FieldList | null): void {
    const { http2 } = this;
    const { context, core } = http2;
    const { slab, sockets } = context;
    const sending = this.sending[socket];
    this.sending[socket] = SENDING.DONE;
    if (sending === SENDING.CHUNKED) {
      if (list === null) {
        sockets.queue(socket, this.lastChunkAt, LAST_CHUNK.length, NONE);
        return;
      }
      const slot = core.streams.peer[upstream];
      const buffer = slab.take();
      const at = buffer < 0 ? NONE : slab.dataStart(buffer);
      const to = buffer < 0 ? NONE : writeEnd(context.bytes, list, at, slab.dataEnd(buffer));
      if (to >= 0) {
        sockets.queue(socket, at, to - at, buffer);
        return;
      }
      if (buffer >= 0) slab.release(buffer);
      // The endpoint must not take the request for whole: its connection is closed.
      http2.lifecycle.shed(slot, upstream);
    } else if (sending === SENDING.TUNNEL) {
      sockets.shutdown(socket);
      const slot = core.streams.peer[upstream];
      if ((core.streams.state[slot] & STREAM.LOCAL_END) !== 0) http2.lifecycle.responded(slot, upstream);
    }
  }

  private full(socket: number): boolean {
    const { sockets, limits } = this.http2.context;
    return (
      sockets.queued[socket] > limits.maxBufferedBytes || sockets.slices[socket] * SLICE_BYTES > limits.maxBufferedBytes
    );
  }

  /** Makes the key of a WebSocket. */
  private key(socket: number): Uint8Array {
    const key = new Uint8Array(KEY_LENGTH);
    putKey(randomFillSync(new Uint8Array(NONCE_LENGTH)), 0, key, 0);
    this.keys.set(socket, key);
    return key;
  }
}

/** Writes the size line of a chunk right before it: at most 6 octets, as a frame holds 16 KiB. Returns where it begins. */
function chunkSize(bytes: Uint8Array, at: number, length: number): number {
  let p = at;
  bytes[--p] = 0x0a;
  bytes[--p] = 0x0d;
  let size = length;
  do {
    const digit = size & 15;
    bytes[--p] = digit < 10 ? 0x30 + digit : 0x57 + digit;
    size >>>= 4;
  } while (size !== 0);
  return p;
}

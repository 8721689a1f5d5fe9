// Responses of HTTP/2 endpoints, as HTTP/1 clients get them: framed by length, in chunks or by the end of the connection. A client
// that is slow holds its endpoint back by the stream's window.

import { METHOD } from '../http/methods.js';
import { ascii } from '../http/octets.js';
import { chunkSizeBefore } from '../http1/body.js';
import { FRAMING } from '../http1/head.js';
import { CONNECTION } from '../http1/write.js';
import { H2_ERROR } from '../http2/frame.js';
import { STREAM } from '../http2/streams.js';
import { SOCKET } from '../io/sockets.js';
import { LIMITS, W } from '../metrics/layout.js';
import { ResponseBridge, responseFraming, responseLength } from '../translate/response.js';
import { writeEnd } from '../translate/trailers.js';
import type { FromHttp1 } from './bridge-from-http1.js';
import { CLOSE } from './connect/connections.js';
import { REQUEST } from './exchange.js';
import { MAX_LATENCY_US } from './http2-exchange.js';

const NONE = -1;
/** Pieces of at least so much are sent from where they were received; below, a copy is cheaper than one more slice. */
const SLICE_BYTES = 2048;
/** What a queued piece counts at least towards the bound of what may wait. */
const PIECE_BYTES = 4096;
/** Status line and the fields that are ours; room for a chunk's framing. */
const HEAD_ROOM = 256;
const CHUNK_ROOM = 16;
const SIZE_ROOM = 8;
const LIMIT_BUFFERED = LIMITS.indexOf('buffered-bytes');
const NO_KEY = new Uint8Array(0);
const AFTER_CHUNK = ascii('\r\n0\r\n\r\n');
const CRLF_LENGTH = 2;

export class BridgeResponses {
  private readonly responses: ResponseBridge;
  /** Buffer that heads and small pieces of this turn are written to, one client's after another's; -1 for none. */
  private buffer = NONE;
  private at = 0;
  private limit = 0;
  /** What follows a chunk, and the last one: AFTER_CHUNK in the slab. */
  private readonly afterChunk: number;

  constructor(private readonly bridge: FromHttp1) {
    const { core, context } = bridge.http2;
    this.responses = new ResponseBridge(core.memory);
    this.afterChunk = context.slab.fixed(AFTER_CHUNK.length);
    context.bytes.set(AFTER_CHUNK, this.afterChunk);
  }

  /** Once a loop turn. */
  turn(): void {
    if (this.buffer === NONE) return;
    this.bridge.http2.context.slab.release(this.buffer);
    this.buffer = NONE;
    this.at = 0;
    this.limit = 0;
  }

  /** A response head, interim or final, is in `core.list`. */
  head(upstream: number, end: boolean): void {
    const { http2, http1 } = this.bridge;
    const { context, core, exchanges } = http2;
    const { facts } = core.list;
    const { status } = facts;
    const slot = core.streams.peer[upstream];
    const client = exchanges.client[slot];
    const mine = http1.exchanges;
    const minor = mine.minor[client];
    if (status < 200) {
      // HTTP/1.0 knows no interim responses (RFC 9110 section 15.2).
      // There may be any number of them: a client that does not read gets no more.
      const { sockets, limits } = context;
      const waiting = Math.max(sockets.queued[client], sockets.slices[client] * PIECE_BYTES);
      if (minor === 1 && waiting <= limits.maxBufferedBytes)
        this.write(client, upstream, FRAMING.NONE, -1, CONNECTION.NONE, NO_KEY);
      return;
    }
    exchanges.forget(upstream);
    exchanges.status[upstream] = status;
    const latency = (context.reactor.now - mine.started[client]) * 1000;
    exchanges.latencyUs[upstream] = Math.min(latency, MAX_LATENCY_US) | 0;
    const method = exchanges.extended[upstream] === 1 && status < 300 ? METHOD.CONNECT : mine.method[client];
    const tunnel = method === METHOD.CONNECT && status < 300;
    const framing = responseFraming(facts, method, minor, end);
    const last = this.bridge.ending(client);
    if (last || framing === FRAMING.CLOSE || context.draining || mine.request[client] !== REQUEST.COMPLETE)
      mine.keep[client] = 0;
    let connection: number = CONNECTION.NONE;
    if (tunnel) connection = exchanges.extended[upstream] === 1 ? CONNECTION.UPGRADE : CONNECTION.NONE;
    else if (mine.keep[client] === 0) connection = CONNECTION.CLOSE;
    else if (minor === 0) connection = CONNECTION.KEEP_ALIVE;
    const key = connection === CONNECTION.UPGRADE ? (this.bridge.keys.get(client) ?? NO_KEY) : NO_KEY;
    const length = responseLength(facts, method, end);
    if (!this.write(client, upstream, framing, length, connection, key)) return;
    exchanges.answered[slot] = 1;
    mine.answered[client] = 1;
    mine.framingOut[client] = framing;
    context.connections.active[client] = context.reactor.now;
    if (tunnel) this.bridge.tunnels.open(client, slot, upstream, end);
    else if (end) this.complete(client, slot, upstream);
    else http1.timers.exchange(client);
  }

  /** A piece of the response's body. */
  data(upstream: number, at: number, length: number, end: boolean): void {
    const { core, exchanges } = this.bridge.http2;
    const slot = core.streams.peer[upstream];
    const client = exchanges.client[slot];
    const chunked = this.bridge.chunked(client);
    if (chunked ? !this.chunk(client, at, length, end) : !this.put(client, at, length)) {
      this.bridge.http1.outOfMemory(client);
      return;
    }
    if (end) this.complete(client, slot, upstream);
    else this.pace(client, upstream, length);
  }

  /** Trailers, which end the response, are in `core.list`: an HTTP/1 client gets them where it gets chunks. */
  trailers(upstream: number): void {
    const { http2, http1 } = this.bridge;
    const { core, exchanges } = http2;
    const slot = core.streams.peer[upstream];
    const client = exchanges.client[slot];
    if (this.bridge.chunked(client)) {
      const at = this.room(core.list.size + CHUNK_ROOM);
      if (at < 0) {
        http1.outOfMemory(client);
        return;
      }
      const to = writeEnd(core.bytes, core.list, at, this.limit);
      if (to < 0) {
        this.bad(client, slot, upstream, -to);
        return;
      }
      this.wrote(client, to);
    }
    this.complete(client, slot, upstream);
  }

  /** Queues octets that lie in a buffer which the caller holds. False if the slab is out. */
  put(client: number, at: number, length: number): boolean {
    if (length === 0) return true;
    const { slab, sockets, bytes } = this.bridge.http2.context;
    if (length < SLICE_BYTES) {
      const to = this.room(length);
      if (to < 0) return false;
      bytes.copyWithin(to, at, at + length);
      this.wrote(client, to + length);
    } else {
      const bid = slab.bufferOf(at);
      slab.retain(bid);
      sockets.queue(client, at, length, bid);
    }
    return true;
  }

  /** Gives the endpoint back what the client's socket has room for; the rest when it has sent everything. */
  pace(client: number, upstream: number, length: number): void {
    const { context, machine } = this.bridge.http2;
    const { sockets, limits, values } = context;
    const { maxBufferedBytes } = limits;
    if (sockets.queued[client] <= maxBufferedBytes && sockets.slices[client] * PIECE_BYTES <= maxBufferedBytes) {
      machine.frames.credit(upstream, length);
      return;
    }
    if ((sockets.flags[client] & SOCKET.NOTIFY_DRAINED) !== 0) return;
    values[W.BACKPRESSURE]++;
    context.limited(LIMIT_BUFFERED);
    sockets.notifyDrained(client);
  }

  /** The client has everything that was queued. */
  drained(upstream: number): void {
    const { core, machine, context } = this.bridge.http2;
    core.clock[0] = context.reactor.now;
    machine.frames.credit(upstream, core.streams.held[upstream]);
  }

  /** A chunk, and with `end` the last one. Nothing is written behind the data, where the next frame may lie. */
  private chunk(client: number, at: number, length: number, end: boolean): boolean {
    const { bytes, sockets } = this.bridge.http2.context;
    const { afterChunk } = this;
    const after = end ? AFTER_CHUNK.length : CRLF_LENGTH;
    if (length >= SLICE_BYTES) {
      const from = chunkSizeBefore(bytes, at, length);
      if (!this.put(client, from, at + length - from)) return false;
      sockets.queue(client, afterChunk, after, NONE);
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
      this.wrote(client, to + after);
    } else if (end) {
      bytes.copyWithin(to, afterChunk + CRLF_LENGTH, afterChunk + after);
      this.wrote(client, to + after - CRLF_LENGTH);
    }
    return true;
  }

  /** Writes the head in `core.list`. False if the exchange has ended over it. */
  private write(
    client: number,
    upstream: number,
    framing: number,
    length: number,
    connection: number,
    key: Uint8Array,
  ): boolean {
    const { http2, http1 } = this.bridge;
    const { list, bytes, streams } = http2.core;
    const at = this.room(list.size + HEAD_ROOM);
    if (at < 0) {
      http1.outOfMemory(client);
      return false;
    }
    const to = this.responses.write(list, at, this.limit, framing, length, connection, key.length > 0 ? key : bytes, 0);
    if (to < 0) {
      this.bad(client, streams.peer[upstream], upstream, -to);
      return false;
    }
    this.wrote(client, to);
    return true;
  }

  /** The response is whole, and on its way. */
  private complete(client: number, slot: number, upstream: number): void {
    const { http2, http1 } = this.bridge;
    http2.accounts.account(slot, upstream, false);
    http1.accounts.ended(client, false);
    this.leave(client, slot, upstream, H2_ERROR.NO_ERROR);
    http1.next(client);
  }

  /** The response can't be said in HTTP/1: 502, or an aborted response. */
  private bad(client: number, slot: number, upstream: number, error: number): void {
    const { http2, http1 } = this.bridge;
    http2.accounts.account(slot, upstream, true);
    this.leave(client, slot, upstream, H2_ERROR.CANCEL);
    if (http1.exchanges.answered[client] === 1) http1.truncated(client);
    else http1.answers.reject(client, error, CLOSE.PROTOCOL);
  }

  /** Parts client and stream, which is ended if it has not ended. */
  leave(client: number, slot: number, upstream: number, code: number): void {
    const { http2 } = this.bridge;
    const { streams } = http2.core;
    const connection = streams.connection[upstream];
    const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
    const ended = STREAM.LOCAL_END | STREAM.REMOTE_END;
    if (opened && (streams.state[upstream] & ended) !== ended) http2.machine.sender.reset(upstream, code);
    http2.lifecycle.part(slot, upstream);
    streams.release(slot);
    this.bridge.forget(client);
    if (opened && connection !== null) http2.connections.reuse(connection);
  }

  /** Where `length` octets can be written, up to `limit` at most; -1 when the slab is out. */
  private room(length: number): number {
    if (this.at + length <= this.limit) return this.at;
    const { slab } = this.bridge.http2.context;
    this.turn();
    const bid = slab.take();
    if (bid < 0) return NONE;
    this.buffer = bid;
    this.at = slab.dataStart(bid);
    this.limit = slab.dataEnd(bid);
    return this.at;
  }

  /** Queues what was written up to `to`. */
  private wrote(client: number, to: number): void {
    const { slab, sockets } = this.bridge.http2.context;
    slab.retain(this.buffer);
    sockets.queue(client, this.at, to - this.at, this.buffer);
    this.at = to;
  }
}

// Responses: read from the endpoint, written anew, sent to the client.

import { METHOD } from '../http/methods.js';
import { BODY } from '../http1/body.js';
import { MESSAGE_ERROR, UPSTREAM } from '../http1/errors.js';
import { FRAMING } from '../http1/head.js';
import { headEnd, MORE, parseResponse } from '../http1/head-parser.js';
import { writeResponse } from '../http1/write.js';
import { FIRST, firstFrame } from '../http2/first-frame.js';
import { SOCKET } from '../io/sockets.js';
import { type Context, SERVICE_PROTOCOL } from './context.js';
import { type Exchanges, REQUEST, RESPONSE } from './exchange.js';
import type { BodyRelay } from './http1/bodies.js';
import type { Http1 } from './http1.js';

const NONE = -1;
/** Interim responses that may wait to be sent; each has a buffer. */
const MAX_INTERIM = 16;
/** Bodies up to this size are sent in one piece with the head. */
const INLINE_BYTES = 4096;

/** The `connection` argument of writeResponse. */
const CONNECTION = { NONE: 0, CLOSE: 1, KEEP_ALIVE: 2, UPGRADE: 3 } as const;

export class ResponseReader {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly bodies: BodyRelay,
    private readonly http1: Http1,
  ) {}

  data(upstream: number, bid: number, at: number, length: number): void {
    const { inbox, sockets } = this.context;
    if (inbox.empty(upstream)) {
      this.consume(upstream, bid, at, at + length);
      return;
    }
    inbox.push(upstream, bid, at, at + length);
    let merged = inbox.merge(upstream);
    for (;;) {
      const client = sockets.peer[upstream];
      if (merged < 0) {
        if (merged === -1) this.http1.badGateway(client, upstream, MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM);
        else this.http1.outOfMemory(client);
        return;
      }
      const first = inbox.shift(upstream);
      if (first < 0) return;
      const used = this.consume(upstream, first, inbox.startOf(first), inbox.endOf(first));
      if (sockets.peer[upstream] < 0) return;
      merged = used ? 1 : inbox.merge(upstream);
      if (merged === 0) return;
    }
  }

  /** The body has ended with the connection. */
  ended(client: number, upstream: number): void {
    const { bodies } = this.exchanges;
    bodies.trailerStart = 0;
    bodies.trailerEnd = 0;
    if (this.exchanges.chunkedOut(client) && !this.bodies.lastChunk(client)) {
      this.http1.outOfMemory(client);
      return;
    }
    this.http1.complete(client, upstream);
  }

  /** Uses [start, end) of `bid`, whose reference it takes over. False if the rest waits in the inbox for more. */
  private consume(upstream: number, bid: number, start: number, end: number): boolean {
    const { bytes, slab, inbox, limits, sockets } = this.context;
    const exchanges = this.exchanges;
    const client = sockets.peer[upstream];
    let at = start;
    if (exchanges.response[upstream] === RESPONSE.HEAD) {
      for (;;) {
        if (bytes[at] === 0 && exchanges.heard[upstream] === 0) {
          const first = firstFrame(bytes, at, end);
          if (first === FIRST.MORE) return this.wait(upstream, bid, at, end);
          if (first === FIRST.YES) {
            slab.release(bid);
            this.http1.retries.answeredInHttp2(client, upstream);
            return true;
          }
        }
        const searched = exchanges.scanned[upstream];
        if (searched > 0) {
          const found = headEnd(bytes, searched > 3 ? at + searched - 3 : at, end);
          if (found === 0 && end - at <= limits.http1.maxHeaderBytes) return this.wait(upstream, bid, at, end);
        }
        exchanges.heard[upstream] = 1;
        const next = parseResponse(bytes, at, end, exchanges.head, exchanges.method[client], limits.http1);
        if (next === MORE) return this.wait(upstream, bid, at, end);
        if (next < 0) {
          slab.release(bid);
          this.http1.badGateway(client, upstream, -next);
          return true;
        }
        exchanges.scanned[upstream] = 0;
        this.http1.dropRetained(client);
        const { status } = exchanges.head;
        if (status >= 200 || status === 101) {
          at = this.final(client, upstream, bid, next, end);
          break;
        }
        // 1xx: passed on, but HTTP/1.0 knows none (RFC 9110 section 15.2).
        if (exchanges.minor[client] === 1 && !this.interim(client)) {
          slab.release(bid);
          return true;
        }
        at = next;
        if (at === end) {
          slab.release(bid);
          return true;
        }
      }
    } else at = this.body(client, upstream, bid, at, end);
    if (at < 0 || at === end) {
      slab.release(bid);
      return true;
    }
    inbox.unshift(upstream, bid, at, end);
    return false;
  }

  private wait(upstream: number, bid: number, at: number, end: number): boolean {
    this.exchanges.scanned[upstream] = end - at;
    this.context.inbox.unshift(upstream, bid, at, end);
    return false;
  }

  private interim(client: number): boolean {
    const { slab, bytes, sockets } = this.context;
    // There may be any number of them: a client that does not read gets no more.
    if (sockets.slices[client] >= MAX_INTERIM) return true;
    const buffer = slab.take();
    if (buffer < 0) {
      this.http1.outOfMemory(client);
      return false;
    }
    const from = slab.dataStart(buffer);
    const to = writeResponse(bytes, this.exchanges.head, from, slab.dataEnd(buffer), FRAMING.NONE, -1, CONNECTION.NONE);
    if (to < 0) slab.release(buffer);
    else sockets.queue(client, from, to - from, buffer);
    return true;
  }

  /** The head of the final response is in `exchanges.head`; [at, end) follows it. Returns how far bytes were used, -1 if it is over. */
  private final(client: number, upstream: number, bid: number, at: number, end: number): number {
    const { bytes, slab, sockets, reactor, connections, endpoints } = this.context;
    const exchanges = this.exchanges;
    const { head, bodies } = exchanges;
    const { status } = head;
    const endpoint = connections.endpoint[upstream];
    if (endpoints.protocol[endpoint] !== SERVICE_PROTOCOL.HTTP1)
      this.context.learnProtocol(endpoint, SERVICE_PROTOCOL.HTTP1);
    const buffer = slab.take();
    if (buffer < 0) {
      this.http1.outOfMemory(client);
      return NONE;
    }
    const switching = status === 101;
    const tunnel = switching || (exchanges.method[client] === METHOD.CONNECT && status < 300);
    if (switching && exchanges.upgrade[client] === 0) {
      slab.release(buffer);
      this.http1.badGateway(client, upstream, MESSAGE_ERROR.SWITCHING + UPSTREAM);
      return NONE;
    }
    // A body whose end is not known beforehand is chunked for those who know chunks, and ends the connection of those who don't.
    let framing = head.framing;
    if (framing === FRAMING.CHUNKED || framing === FRAMING.CLOSE) {
      framing = exchanges.minor[client] === 1 ? FRAMING.CHUNKED : FRAMING.CLOSE;
    }
    const last = (sockets.flags[client] & SOCKET.EOF) !== 0 && this.context.inbox.empty(client);
    if (last || framing === FRAMING.CLOSE || this.context.draining || exchanges.request[client] !== REQUEST.COMPLETE) {
      exchanges.keep[client] = 0;
    }
    let connection: number = CONNECTION.NONE;
    if (switching) connection = CONNECTION.UPGRADE;
    else if (tunnel) connection = CONNECTION.NONE;
    else if (exchanges.keep[client] === 0) connection = CONNECTION.CLOSE;
    else if (exchanges.minor[client] === 0) connection = CONNECTION.KEEP_ALIVE;
    const from = slab.dataStart(buffer);
    const limit = slab.dataEnd(buffer);
    let to = writeResponse(bytes, head, from, limit, framing, head.contentLength, connection);
    if (to < 0) {
      slab.release(buffer);
      this.http1.badGateway(client, upstream, MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM);
      return NONE;
    }
    exchanges.answered[client] = 1;
    exchanges.response[upstream] = RESPONSE.BODY;
    exchanges.framingOut[client] = framing;
    exchanges.status[upstream] = status;
    exchanges.latency[upstream] = reactor.now - exchanges.started[client];
    exchanges.reusable[upstream] = head.keepAlive ? 1 : 0;
    connections.active[client] = reactor.now;
    if (tunnel) {
      sockets.queue(client, from, to - from, buffer);
      if (at < end) {
        slab.retain(bid);
        this.context.inbox.push(upstream, bid, at, end);
      }
      this.http1.tunnel(client, upstream);
      return NONE;
    }
    bodies.begin(upstream, head.framing, head.contentLength);
    if (!head.hasBody) {
      sockets.queue(client, from, to - from, buffer);
      if (at < end) exchanges.reusable[upstream] = 0;
      this.http1.complete(client, upstream);
      return NONE;
    }
    const result = bodies.read(upstream, bytes, at, end);
    if (result < 0) {
      sockets.queue(client, from, to - from, buffer);
      this.http1.badGateway(client, upstream, -result + UPSTREAM);
      return NONE;
    }
    const { consumed } = bodies;
    const length = bodies.dataEnd - bodies.dataStart;
    const chunked = framing === FRAMING.CHUNKED;
    if (!chunked && length <= INLINE_BYTES && to + length <= limit) {
      if (length > 0) bytes.copyWithin(to, bodies.dataStart, bodies.dataEnd);
      to += length;
      sockets.queue(client, from, to - from, buffer);
    } else {
      sockets.queue(client, from, to - from, buffer);
      if (!this.bodies.forward(client, bid, chunked, result === BODY.DONE)) {
        this.http1.outOfMemory(client);
        return NONE;
      }
    }
    return this.after(client, upstream, result, consumed, end);
  }

  private body(client: number, upstream: number, bid: number, start: number, end: number): number {
    const exchanges = this.exchanges;
    const { bodies } = exchanges;
    const result = bodies.read(upstream, this.context.bytes, start, end);
    if (result < 0) {
      this.http1.badGateway(client, upstream, -result + UPSTREAM);
      return NONE;
    }
    const { consumed } = bodies;
    if (!this.bodies.forward(client, bid, exchanges.chunkedOut(client), result === BODY.DONE)) {
      this.http1.outOfMemory(client);
      return NONE;
    }
    return this.after(client, upstream, result, consumed, end);
  }

  private after(client: number, upstream: number, result: number, consumed: number, end: number): number {
    if (result === BODY.DONE) {
      // Bytes after the response belong to no request: they are dropped with the connection.
      if (consumed < end) this.exchanges.reusable[upstream] = 0;
      this.http1.complete(client, upstream);
      return NONE;
    }
    this.bodies.pace(upstream, client, result);
    this.http1.timers.exchange(client);
    return consumed;
  }
}

// Responses of HTTP/1 endpoints: reads the heads, then the body piece by piece, and passes them to the client's leg.

import { METHOD } from '../../http/methods.js';
import { BODY } from '../../http1/body.js';
import { MESSAGE_ERROR, UPSTREAM } from '../../http1/errors.js';
import { headEnd, MORE, parseResponse } from '../../http1/head-parser.js';
import { FIRST, firstFrame } from '../../http2/first-frame.js';
import type { Context } from '../context.js';
import { type Exchanges, UPGRADE } from '../exchange/exchange.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { GATHER, type LargeInput } from './large-input.js';
import { type Http1Sockets, RESPONSE } from './sockets.js';

const NONE = -1;

export class ResponseReader {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly input: LargeInput,
    private readonly reports: Reports,
    /** The exchange has everything it wants from the connection. */
    private readonly done: (socket: SocketSlot, x: ExchangeSlot) => void,
  ) {}

  data(socket: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox } = this.context;
    const x = this.http1.exchange(socket) as ExchangeSlot;
    if (inbox.empty(socket)) {
      this.consume(socket, x, bid, at, at + length);
      return;
    }
    inbox.push(socket, bid, at, at + length);
    let merged = this.http1.large[socket] === 1 ? -1 : inbox.merge(socket);
    for (;;) {
      if (merged === -2) {
        this.reports.events.outOfMemory(x);
        return;
      }
      if (merged === -1) {
        if (!this.gathered(socket, x)) return;
        merged = 1;
      }
      const first = inbox.shift(socket);
      if (first < 0) return;
      const used = this.consume(socket, x, first, inbox.startOf(first), inbox.endOf(first));
      if (!this.serves(socket, x) || this.http1.response[socket] === RESPONSE.TUNNEL) return;
      merged = used ? 1 : inbox.merge(socket);
      if (merged === 0) return;
    }
  }

  /** A head or trailer section larger than a buffer. False if it waits for more, or the exchange is over. */
  private gathered(socket: SocketSlot, x: ExchangeSlot): boolean {
    const { events } = this.reports;
    const { input } = this;
    const head = this.http1.response[socket] === RESPONSE.HEAD;
    const end = input.gather(socket);
    switch (end) {
      case GATHER.MORE:
        return false;
      case GATHER.TOO_LARGE:
        events.malformed(x, (head ? MESSAGE_ERROR.HEADER_TOO_LARGE : MESSAGE_ERROR.TRAILER_TOO_LARGE) + UPSTREAM);
        return false;
      case GATHER.MEMORY:
        events.outOfMemory(x);
        return false;
      default:
    }
    if (head) this.heads(socket, x, NONE, input.at, end);
    else this.body(socket, x, NONE, input.at, end);
    return this.serves(socket, x) && this.http1.response[socket] !== RESPONSE.TUNNEL;
  }

  /** The endpoint has ended its direction. True if that is a valid end of its response. */
  ended(socket: SocketSlot, x: ExchangeSlot): boolean {
    const { bodies, response, reusable } = this.http1;
    if (response[socket] !== RESPONSE.BODY || !bodies.eof(socket)) return false;
    reusable[socket] = 0;
    bodies.dataStart = 0;
    bodies.dataEnd = 0;
    bodies.trailerStart = 0;
    bodies.trailerEnd = 0;
    this.finish(socket, x, NONE);
    return true;
  }

  /** Whether the connection still serves the exchange. */
  private serves(socket: SocketSlot, x: ExchangeSlot): boolean {
    return this.http1.exchange(socket) === x;
  }

  /** Processes [start, end) of `bid`, whose reference it takes over. False if the rest waits in the inbox for more. */
  private consume(socket: SocketSlot, x: ExchangeSlot, bid: number, start: number, end: number): boolean {
    const { slab, inbox } = this.context;
    const { response } = this.http1;
    let at = start;
    if (response[socket] === RESPONSE.HEAD) {
      at = this.heads(socket, x, bid, start, end);
      if (at >= 0 && at < end && response[socket] === RESPONSE.HEAD) {
        this.http1.scanned[socket] = end - at;
        inbox.unshift(socket, bid, at, end);
        return false;
      }
    } else at = this.body(socket, x, bid, start, end);
    if (at < 0 || at === end) {
      slab.release(bid);
      return true;
    }
    inbox.unshift(socket, bid, at, end);
    return false;
  }

  /** Reads heads up to the final one. Returns how far bytes were used, -1 if the connection has no more to do with the exchange. */
  private heads(socket: SocketSlot, x: ExchangeSlot, bid: number, start: number, end: number): number {
    const { bytes, limits } = this.context;
    const { responseBegun, scanned, head } = this.http1;
    const { events } = this.reports;
    for (let at = start; at < end; ) {
      if (bytes[at] === 0 && responseBegun[socket] === 0) {
        const first = firstFrame(bytes, at, end);
        if (first === FIRST.MORE) return at;
        if (first === FIRST.YES) {
          events.wrongVersion(x);
          return NONE;
        }
      }
      const searched = scanned[socket];
      if (searched > 0) {
        const found = headEnd(bytes, searched > 3 ? at + searched - 3 : at, end);
        if (found === 0 && end - at <= limits.http1.maxHeaderBytes) return at;
      }
      responseBegun[socket] = 1;
      const next = parseResponse(bytes, at, end, head, this.exchanges.methodInHttp1(x), limits.http1);
      if (next === MORE) return at;
      if (next < 0) {
        events.malformed(x, -next);
        return NONE;
      }
      scanned[socket] = 0;
      if (head.status >= 200 || head.status === 101) return this.final(socket, x, bid, next, end);
      this.reports.responses.interimHead(x);
      if (!this.serves(socket, x)) return NONE;
      at = next;
    }
    return end;
  }

  /** The final head is in `head`; [at, end) follows it. Returns as `heads`. */
  private final(socket: SocketSlot, x: ExchangeSlot, bid: number, at: number, end: number): number {
    const { exchanges, http1 } = this;
    const { head, bodies } = http1;
    const { events } = this.reports;
    const switching = head.status === 101;
    const asked = exchanges.upgrade[x] !== UPGRADE.NONE;
    if (switching && !asked) {
      events.malformed(x, MESSAGE_ERROR.SWITCHING + UPSTREAM);
      return NONE;
    }
    http1.reusable[socket] = head.keepAlive ? 1 : 0;
    if (switching || (exchanges.methodInHttp1(x) === METHOD.CONNECT && head.status < 300)) {
      http1.response[socket] = RESPONSE.TUNNEL;
      http1.reusable[socket] = 0;
      return this.reports.responses.finalHead(x, bid, at, end);
    }
    http1.response[socket] = RESPONSE.BODY;
    bodies.begin(socket, head.framing, head.contentLength, true);
    if (!head.hasBody && at < end) http1.reusable[socket] = 0;
    const used = this.reports.responses.finalHead(x, bid, at, end);
    if (used < 0) return NONE;
    if (!head.hasBody) {
      this.done(socket, x);
      return NONE;
    }
    // Body read along with the head was passed on with it.
    return used > at || bodies.finished(socket)
      ? this.after(socket, x, used, end)
      : this.body(socket, x, bid, used, end);
  }

  /** More of the body, or of a tunnel's bytes. Returns as `heads`. */
  private body(socket: SocketSlot, x: ExchangeSlot, bid: number, start: number, end: number): number {
    const { bodies } = this.http1;
    const { events } = this.reports;
    const result = bodies.read(socket, this.context.bytes, start, end);
    if (result < 0) {
      events.malformed(x, -result + UPSTREAM);
      return NONE;
    }
    const { consumed } = bodies;
    if (result === BODY.DONE) {
      // Bytes after the response belong to no request: they are dropped with the connection.
      if (consumed < end) this.http1.reusable[socket] = 0;
      this.finish(socket, x, bid);
      return NONE;
    }
    if (!this.reports.responses.piece(x, bid, result)) return NONE;
    return this.serves(socket, x) ? consumed : NONE;
  }

  /** Passes on the last piece, in buffer `bid` (-1: it is empty), and returns the connection to the pool. */
  private finish(socket: SocketSlot, x: ExchangeSlot, bid: number): void {
    if (!this.reports.responses.piece(x, bid, BODY.DONE) || !this.serves(socket, x)) return;
    this.done(socket, x);
  }

  private after(socket: SocketSlot, x: ExchangeSlot, used: number, end: number): number {
    if (!this.http1.bodies.finished(socket)) return used;
    if (used < end) this.http1.reusable[socket] = 0;
    this.done(socket, x);
    return NONE;
  }
}

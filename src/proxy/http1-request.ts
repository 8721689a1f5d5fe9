// Requests: read from the client, written anew, sent to an endpoint.
import { VERDICT } from '../detect/matcher.js';
import { BODY } from '../http1/body.js';
import { ERROR } from '../http1/errors.js';
import { FRAMING, headEnd, MORE, parseRequest } from '../http1/head.js';
import { writeRequest } from '../http1/write.js';
import { SOCKET } from '../io/sockets.js';
import { L, LIMITS, listenerBase, S } from '../metrics/layout.js';
import { CLOSE } from './connect/connections.js';
import type { Context } from './context.js';
import { type Exchanges, FLOW, REQUEST } from './exchange.js';
import type { BodyRelay } from './http1/bodies.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';

const NONE = -1;
/** Bodies up to this size are sent in one piece with the head. */
const INLINE_BYTES = 4096;
/** A head or trailer that has to wait for more may not take the last buffers: they keep complete requests going. */
const RESERVE_BUFFERS = 128;

const LIMIT = {
  HEADER_BYTES: LIMITS.indexOf('header-bytes'),
  HEADERS: LIMITS.indexOf('headers'),
  TARGET: LIMITS.indexOf('target-bytes'),
  REQUESTS: LIMITS.indexOf('requests'),
  PIPELINED: LIMITS.indexOf('pipelined-bytes'),
  SLAB: LIMITS.indexOf('slab'),
} as const;

export class RequestReader {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly bodies: BodyRelay,
    private readonly http1: Http1,
  ) {}

  data(client: number, bid: number, at: number, length: number): void {
    const { inbox } = this.context;
    if (inbox.empty(client) && this.exchanges.request[client] !== REQUEST.COMPLETE) {
      this.consume(client, bid, at, at + length);
      if (!inbox.empty(client)) this.hold(client);
      return;
    }
    inbox.push(client, bid, at, at + length);
    this.advance(client);
  }

  /** Goes on with what is in the inbox, as far as it can be used now. */
  advance(client: number): void {
    const { inbox } = this.context;
    const exchanges = this.exchanges;
    for (;;) {
      if (this.over(client)) return;
      if (exchanges.request[client] === REQUEST.COMPLETE) break;
      const bid = inbox.shift(client);
      if (bid < 0) {
        // `readAhead` may have stopped the client while this request waited for its turn.
        if (exchanges.flow[client] === FLOW.COPY && exchanges.throttled[client] === 0) {
          this.context.sockets.resume(client);
        }
        return;
      }
      if (this.consume(client, bid, inbox.startOf(bid), inbox.endOf(bid))) continue;
      if (exchanges.request[client] === REQUEST.COMPLETE) break;
      const merged = inbox.merge(client);
      if (merged === 1) continue;
      if (merged === -1) this.refuse(client, ERROR.HEADER_TOO_LARGE);
      else if (merged === -2) this.http1.outOfMemory(client);
      else this.hold(client);
      return;
    }
    this.readAhead(client);
  }

  /** The body has been sent (spliced, or its last byte came). */
  complete(client: number): void {
    this.exchanges.request[client] = REQUEST.COMPLETE;
    this.http1.timers.exchange(client);
  }

  /**
   * Requests wait in the inbox for their turn: beyond the limit no more are read. A multishot receive brings in what the
   * kernel has before its cancellation takes effect, so where buffers are getting short as well the connection is ended.
   */
  private readAhead(client: number): void {
    const { inbox, sockets, slab, limits } = this.context;
    if (inbox.bytes[client] <= limits.http1.maxPipelinedBytes) return;
    if ((sockets.flags[client] & SOCKET.PAUSED) === 0) {
      this.context.limited(LIMIT.PIPELINED);
      sockets.pause(client);
    }
    if (slab.free + slab.lent < slab.buffers >> 2) {
      this.context.limited(LIMIT.SLAB);
      this.http1.overrun(client);
    }
  }

  /** What is in the inbox waits for more: not for ever, and not with the last buffers. */
  private hold(client: number): void {
    const { slab, wheel, reactor, limits, sockets } = this.context;
    const exchanges = this.exchanges;
    if (this.over(client)) return;
    if (exchanges.request[client] === REQUEST.COMPLETE) {
      this.readAhead(client);
      return;
    }
    if (slab.free + slab.lent < Math.min(RESERVE_BUFFERS, slab.buffers >> 2)) {
      this.context.limited(LIMIT.SLAB);
      this.http1.outOfMemory(client);
      return;
    }
    if (exchanges.request[client] === REQUEST.HEAD) {
      if (exchanges.headSince[client] === 0) exchanges.headSince[client] = reactor.now;
      if (limits.http1.headerTimeoutMs > 0)
        wheel.pull(client, exchanges.headSince[client] + limits.http1.headerTimeoutMs);
    }
    sockets.resume(client);
  }

  /** Uses [start, end) of `bid`, whose reference it takes over; what can't be used yet goes to the front of the inbox. False then. */
  private consume(client: number, bid: number, start: number, end: number): boolean {
    const { bytes, slab, inbox, limits } = this.context;
    const exchanges = this.exchanges;
    let at = start;
    if (exchanges.request[client] === REQUEST.HEAD) {
      const searched = exchanges.scanned[client];
      if (searched > 0) {
        const found = headEnd(bytes, searched > 3 ? start + searched - 3 : start, end);
        if (found === 0 && end - start <= limits.http1.maxHeaderBytes) {
          exchanges.scanned[client] = end - start;
          inbox.unshift(client, bid, start, end);
          return false;
        }
      }
      at = parseRequest(bytes, start, end, exchanges.head, limits.http1);
      if (at === MORE) {
        exchanges.scanned[client] = end - start;
        inbox.unshift(client, bid, start, end);
        return false;
      }
      if (at < 0) {
        slab.release(bid);
        this.refuse(client, -at);
        return true;
      }
      at = this.begin(client, bid, at, end);
    } else at = this.body(client, bid, start, end);
    if (at < 0 || at === end) {
      slab.release(bid);
      return true;
    }
    inbox.unshift(client, bid, at, end);
    return false;
  }

  /** Whether the client has been answered in the proxy's own name: it is not read any further. */
  private over(client: number): boolean {
    const { answered, stream } = this.exchanges;
    return answered[client] === 1 && this.context.sockets.peer[client] < 0 && stream[client] < 0;
  }

  private refuse(client: number, error: number): void {
    if (error === ERROR.HEADER_TOO_LARGE) this.context.limited(LIMIT.HEADER_BYTES);
    else if (error === ERROR.TOO_MANY_FIELDS) this.context.limited(LIMIT.HEADERS);
    else if (error === ERROR.TARGET_TOO_LONG) this.context.limited(LIMIT.TARGET);
    this.http1.answers.reject(client, error, CLOSE.PROTOCOL);
  }

  /** The head in `exchanges.head` starts an exchange; [at, end) follows it. Returns how far bytes were used, -1 if it was refused. */
  private begin(client: number, bid: number, at: number, end: number): number {
    const { bytes, slab, sockets, values, connections, reactor, limits, services, budget, balancer } = this.context;
    const exchanges = this.exchanges;
    const { head } = exchanges;
    const listener = connections.listener[client];
    // Asked anew for each request: a reload may have given the listener another service.
    const service = this.context.serviceFor(client, VERDICT.HTTP1);
    exchanges.service[client] = service;
    values[listenerBase(listener) + L.REQUESTS]++;
    exchanges.method[client] = head.method;
    exchanges.minor[client] = head.minor;
    exchanges.request[client] = REQUEST.COMPLETE;
    exchanges.upgrade[client] = head.upgrade ? 1 : 0;
    exchanges.answered[client] = 0;
    exchanges.attempts[client] = 0;
    exchanges.started[client] = reactor.now;
    exchanges.headSince[client] = 0;
    exchanges.scanned[client] = 0;
    if (!head.keepAlive) exchanges.keep[client] = 0;
    if (limits.http1.maxRequests > 0 && ++exchanges.requests[client] >= limits.http1.maxRequests) {
      if (exchanges.keep[client] === 1) this.context.limited(LIMIT.REQUESTS);
      exchanges.keep[client] = 0;
    }
    if (this.context.access) this.http1.accessLog.target(client, exchanges);
    if (service < 0) {
      this.http1.answers.respond(client, 421, WHY.MISDIRECTED, null, CLOSE.PROTOCOL);
      return NONE;
    }
    values[this.context.services.base[service] + S.REQUESTS]++;
    values[this.context.services.base[service] + S.IN_FLIGHT]++;
    exchanges.pending[client] = 1;
    budget.deposit(service, reactor.ms);
    const endpoint = this.http1.dispatcher.pick(client);
    if (endpoint < 0) return NONE;
    if (this.http1.bridge.speaksHttp2(endpoint)) return this.http1.bridge.begin(client, endpoint, at, end);
    const buffer = slab.take();
    if (buffer < 0) {
      balancer.abandon(endpoint);
      this.http1.outOfMemory(client);
      return NONE;
    }
    const from = slab.dataStart(buffer);
    const limit = slab.dataEnd(buffer);
    let to = writeRequest(
      bytes,
      head,
      from,
      limit,
      head.framing,
      head.contentLength,
      head.upgrade,
      services.hostAt[service],
      services.hostLength[service],
    );
    if (to < 0) {
      slab.release(buffer);
      balancer.abandon(endpoint);
      this.refuse(client, ERROR.HEADER_TOO_LARGE);
      return NONE;
    }
    let consumed = at;
    let result: number = BODY.DONE;
    const { bodies } = exchanges;
    bodies.begin(client, head.framing, head.contentLength);
    if (head.hasBody) {
      result = bodies.read(client, bytes, at, end);
      if (result < 0) {
        slab.release(buffer);
        balancer.abandon(endpoint);
        this.http1.answers.reject(client, -result, CLOSE.PROTOCOL);
        return NONE;
      }
      consumed = bodies.consumed;
    }
    const chunked = head.framing === FRAMING.CHUNKED;
    const whole = result === BODY.DONE;
    if (!whole) exchanges.request[client] = REQUEST.BODY;
    const length = head.hasBody ? bodies.dataEnd - bodies.dataStart : 0;
    // A small body that is already here goes out, and can be sent again, with the head.
    const inline = length > 0 && whole && !chunked && length <= INLINE_BYTES && to + length <= limit;
    if (inline) {
      bytes.copyWithin(to, bodies.dataStart, bodies.dataEnd);
      to += length;
    }
    const upstream = this.http1.dispatcher.dispatch(client, NONE, false, endpoint);
    if (upstream < 0) {
      slab.release(buffer);
      return NONE;
    }
    if (whole && (length === 0 || inline) && !chunked) {
      slab.retain(buffer);
      exchanges.retained[client] = buffer;
      exchanges.retainedAt[client] = from;
      exchanges.retainedLength[client] = to - from;
    }
    sockets.queue(upstream, from, to - from, buffer);
    if (head.hasBody && !inline) {
      if (!this.bodies.forward(upstream, bid, chunked, whole)) {
        this.http1.outOfMemory(client);
        return NONE;
      }
      this.bodies.pace(client, upstream, result);
    }
    if (whole && exchanges.keep[client] === 0) {
      // Nothing more is wanted from this client; an armed receive stays as it is.
      if (!sockets.receiving(client)) sockets.pause(client);
    }
    if (!whole || services.responseTimeoutMs[service] > 0) this.http1.timers.exchange(client);
    return consumed;
  }

  /** More of the body. Returns how far bytes were used, -1 if the exchange has ended. */
  private body(client: number, bid: number, start: number, end: number): number {
    const { bytes, sockets } = this.context;
    const exchanges = this.exchanges;
    const { bodies } = exchanges;
    const upstream = sockets.peer[client];
    const stream = exchanges.stream[client];
    if (upstream < 0 && stream < 0) return NONE;
    const chunked = bodies.remaining(client) < 0;
    const result = bodies.read(client, bytes, start, end);
    if (result < 0) {
      this.http1.badRequestBody(client, -result);
      return NONE;
    }
    const consumed = bodies.consumed;
    if (stream >= 0) {
      // The response may have ended the exchange while this was sent.
      if (!this.http1.bridge.body(client, stream, result)) return NONE;
      if (result === BODY.DONE) this.complete(client);
      return consumed;
    }
    if (!this.bodies.forward(upstream, bid, chunked, result === BODY.DONE)) {
      this.http1.outOfMemory(client);
      return NONE;
    }
    if (result === BODY.DONE) this.complete(client);
    else this.bodies.pace(client, upstream, result);
    return consumed;
  }
}

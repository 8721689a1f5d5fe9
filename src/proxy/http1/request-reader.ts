// Requests of HTTP/1 clients: read one at a time; later ones wait in the inbox.

import { VERDICT } from '../../detect/matcher.js';
import { ascii } from '../../http/octets.js';
import { BODY } from '../../http1/body.js';
import { MESSAGE_ERROR } from '../../http1/errors.js';
import { headEnd, MORE, parseRequest } from '../../http1/head-parser.js';
import { SOCKET } from '../../io/sockets.js';
import { LIMITS } from '../../metrics/layout.js';
import { countsForwards, spendForward } from '../../translate/max-forwards.js';
import { asksForWebSocket } from '../../translate/request.js';
import type { Context } from '../context.js';
import { type Exchanges, LEG, STATE, UPGRADE } from '../exchange/exchange.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { GATHER, type LargeInput } from './large-input.js';
import type { RequestWriter } from './request-writer.js';
import { FLOW, type Http1Sockets, REQUEST } from './sockets.js';

const NONE = -1;
const CONTINUE = ascii('HTTP/1.1 100 Continue\r\n\r\n');
/** An incomplete head or trailer section may not take the last buffers: complete requests need them. */
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
  private readonly continueAt: number;
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly writer: RequestWriter,
    private readonly input: LargeInput,
    private readonly reports: Reports,
  ) {
    this.continueAt = context.slab.fixed(CONTINUE.length);
    context.bytes.set(CONTINUE, this.continueAt);
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    const { inbox } = this.context;
    if (inbox.empty(client) && this.http1.request[client] !== REQUEST.COMPLETE && !this.waits(client)) {
      this.consume(client, bid, at, at + length);
      if (!inbox.empty(client)) this.hold(client);
      return;
    }
    inbox.push(client, bid, at, at + length);
    this.advance(client);
  }

  /** Whether the next request has to wait until the client has read more of its previous responses. */
  waits(client: SocketSlot): boolean {
    const { sockets, outputLimits } = this.context;
    return sockets.queued[client] > 0 && this.http1.request[client] === REQUEST.HEAD && outputLimits.full(client);
  }

  /** Continues with the inbox as far as possible. */
  advance(client: SocketSlot): void {
    const { inbox } = this.context;
    const { http1 } = this;
    for (;;) {
      if (this.over(client)) return;
      if (http1.request[client] === REQUEST.COMPLETE) break;
      if (this.waits(client)) {
        if (inbox.empty(client)) return;
        this.context.outputLimits.pauseUntilDrained(client, client);
        break;
      }
      if (http1.large[client] === 1) {
        if (this.gathered(client)) continue;
        return;
      }
      const bid = inbox.shift(client);
      if (bid < 0) {
        // `readAhead` may have paused the client while this request waited for its turn.
        if (http1.flow[client] === FLOW.COPY && http1.throttled[client] === 0) this.context.sockets.resume(client);
        return;
      }
      if (this.consume(client, bid, inbox.startOf(bid), inbox.endOf(bid))) continue;
      if (http1.request[client] === REQUEST.COMPLETE) break;
      const merged = inbox.merge(client);
      if (merged === 1) continue;
      if (merged === -1) {
        if (this.gathered(client)) continue;
      } else if (merged === -2) this.reports.events.outOfMemory(this.exchanges.ofSocket(client));
      else this.hold(client);
      return;
    }
    this.readAhead(client);
  }

  /** A head or trailer section larger than a buffer. False if it waits for more, or is refused. */
  private gathered(client: SocketSlot): boolean {
    const { bytes, limits } = this.context;
    const { http1, input } = this;
    const head = http1.request[client] === REQUEST.HEAD;
    const end = input.gather(client);
    switch (end) {
      case GATHER.MORE:
        this.hold(client);
        return false;
      case GATHER.TOO_LARGE:
        this.refuse(client, head ? MESSAGE_ERROR.HEADER_TOO_LARGE : MESSAGE_ERROR.TRAILER_TOO_LARGE);
        return false;
      case GATHER.MEMORY:
        this.context.limited(LIMIT.SLAB);
        this.reports.events.outOfMemory(this.exchanges.ofSocket(client));
        return false;
      default:
    }
    if (!head) this.body(client, NONE, input.at, end);
    else {
      const at = parseRequest(bytes, input.at, end, http1.head, limits.http1);
      if (at > 0 && this.awaitsBody(at, end)) this.refuse(client, MESSAGE_ERROR.UPGRADE_BODY);
      else if (at <= 0) this.refuse(client, at === MORE ? MESSAGE_ERROR.HEADER_TOO_LARGE : -at);
      else this.begin(client, NONE, at, end);
    }
    return true;
  }

  /** The body has been sent (it was spliced, or its last byte arrived). */
  complete(client: SocketSlot): void {
    const x = this.exchanges.ofSocket(client);
    this.http1.request[client] = REQUEST.COMPLETE;
    this.exchanges.requestComplete[x] = 1;
    this.reports.events.requestReceived(x);
  }

  /**
   * Requests wait in the inbox for their turn; over the limit, reading stops. A multishot receive still delivers what the kernel has before
   * its cancellation takes effect. So if buffers are getting short as well, the connection is closed.
   */
  private readAhead(client: SocketSlot): void {
    const { inbox, sockets, slab, limits } = this.context;
    if (inbox.bytes[client] <= limits.http1.maxPipelinedBytes) return;
    if ((sockets.flags[client] & SOCKET.PAUSED) === 0) {
      this.context.limited(LIMIT.PIPELINED);
      sockets.pause(client);
      this.context.watchSoon(client);
    }
    if (slab.free + slab.lent < slab.buffers >> 2) {
      this.context.limited(LIMIT.SLAB);
      this.reports.events.overflowed(this.exchanges.ofSocket(client));
    }
  }

  /** The inbox waits for more: with a deadline, and not with the last buffers. */
  private hold(client: SocketSlot): void {
    const { slab, wheel, reactor, limits, sockets, inbox } = this.context;
    const { http1 } = this;
    if (this.over(client)) return;
    if (http1.request[client] === REQUEST.COMPLETE) {
      this.readAhead(client);
      return;
    }
    if (slab.free + slab.lent < Math.max(Math.min(RESERVE_BUFFERS, slab.buffers >> 2), slab.buffers >> 4)) {
      this.context.limited(LIMIT.SLAB);
      this.reports.events.outOfMemory(this.exchanges.ofSocket(client));
      return;
    }
    if (http1.request[client] === REQUEST.HEAD) {
      if (http1.headSince[client] === 0) http1.headSince[client] = reactor.now;
      if (limits.http1.headerTimeoutMs > 0) wheel.pull(client, http1.headSince[client] + limits.http1.headerTimeoutMs);
    }
    inbox.rest(client);
    sockets.resume(client);
  }

  /**
   * Processes [start, end) of `bid`, whose reference it takes over. What can't be processed yet goes to the front of the inbox; then it
   * returns false.
   */
  private consume(client: SocketSlot, bid: number, start: number, end: number): boolean {
    const { bytes, slab, inbox, limits } = this.context;
    const { http1 } = this;
    let at = start;
    if (http1.request[client] === REQUEST.HEAD) {
      const searched = http1.scanned[client];
      if (searched > 0) {
        const found = headEnd(bytes, searched > 3 ? start + searched - 3 : start, end);
        if (found === 0 && end - start <= limits.http1.maxHeaderBytes) {
          http1.scanned[client] = end - start;
          inbox.unshift(client, bid, start, end);
          return false;
        }
      }
      at = parseRequest(bytes, start, end, http1.head, limits.http1);
      if (at === MORE) {
        http1.scanned[client] = end - start;
        inbox.unshift(client, bid, start, end);
        return false;
      }
      if (at < 0) {
        slab.release(bid);
        this.refuse(client, -at);
        return true;
      }
      if (this.awaitsBody(at, end)) {
        http1.scanned[client] = 0;
        inbox.unshift(client, bid, start, end);
        return false;
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

  /** Whether the request in `http1.head` asks for an upgrade and its body, which must be complete first, is not all in [at, end). */
  private awaitsBody(at: number, end: number): boolean {
    const { head } = this.http1;
    return head.upgrade && head.hasBody && end - at < head.contentLength;
  }

  /** Whether the proxy has answered the client itself: it is not read any further. */
  private over(client: SocketSlot): boolean {
    return this.exchanges.state[client] === STATE.LOCAL_REPLY || this.context.connections.closed(client);
  }

  private refuse(client: SocketSlot, error: number): void {
    this.http1.large[client] = 0;
    if (error === MESSAGE_ERROR.HEADER_TOO_LARGE || error === MESSAGE_ERROR.TRAILER_TOO_LARGE)
      this.context.limited(LIMIT.HEADER_BYTES);
    else if (error === MESSAGE_ERROR.TOO_MANY_FIELDS) this.context.limited(LIMIT.HEADERS);
    else if (error === MESSAGE_ERROR.TARGET_TOO_LONG) this.context.limited(LIMIT.TARGET);
    this.reports.events.reject(this.exchanges.ofSocket(client), error);
  }

  /** The head in `http1.head` starts an exchange; [at, end) follows it. Returns how far bytes were used, -1 if it was answered. */
  private begin(client: SocketSlot, bid: number, at: number, end: number): number {
    const { exchanges, http1 } = this;
    const { bytes, sockets, reactor } = this.context;
    const { head, bodies } = http1;
    const { events } = this.reports;
    const x = exchanges.ofSocket(client);
    // Looked up for each request, because a reload may have changed the listener's service.
    exchanges.begin(x, this.context.serviceFor(client, VERDICT.HTTP1), head.method, false);
    exchanges.started[x] = reactor.now;
    if (head.upgrade)
      exchanges.upgrade[x] = asksForWebSocket(bytes, head) && !head.hasBody ? UPGRADE.WEBSOCKET : UPGRADE.OTHER;
    this.count(client);
    // The client waits for permission before it sends the body.
    if (head.continueNow) sockets.queue(client, this.continueAt, CONTINUE.length, NONE);
    let consumed = at;
    let result: number = BODY.DONE;
    bodies.begin(client, head.framing, head.contentLength);
    if (head.hasBody) {
      result = bodies.read(client, bytes, at, end);
      consumed = bodies.consumed;
      if (this.context.observed) exchanges.received[x] += bodies.dataEnd - bodies.dataStart;
    }
    const bad = result < 0;
    const whole = result === BODY.DONE;
    http1.request[client] = whole || bad ? REQUEST.COMPLETE : REQUEST.BODY;
    exchanges.requestComplete[x] = whole ? 1 : 0;
    const rest = head.hasBody && !bad && (bodies.dataEnd > bodies.dataStart || bodies.trailerEnd > bodies.trailerStart);
    exchanges.bodyless[x] = whole && !rest ? 1 : 0;
    const hasBody = head.hasBody;
    let error = bad ? -result : 0;
    if (!bad && countsForwards(head.method)) error = spendForward(bytes, head);
    const { added, meshFields, traceFields, connections } = this.context;
    if (traceFields.active) traceFields.inHead(head);
    if (meshFields.active) meshFields.inHead(head, client);
    if (added.active) added.toRequest(head, client);
    http1.beginning = client;
    events.request(x, connections.meter[client], error);
    http1.beginning = NONE;
    if (exchanges.state[x] !== STATE.SENT && exchanges.state[x] !== STATE.PENDING) return NONE;
    // A small body went with the head. An empty one needs no end, unless it is chunked.
    const inlined = exchanges.kind[x] === LEG.HTTP1 && this.writer.inlined;
    const bodyWriter = hasBody && !inlined && (rest || exchanges.kind[x] === LEG.HTTP1 || !whole);
    if (bodyWriter && !this.reports.requests.piece(x, bid, result)) return NONE;
    // Nothing more is wanted from this client; an armed receive stays armed.
    if (whole && http1.keepAlive[client] === 0 && !sockets.receiving(client)) {
      sockets.pause(client);
      this.context.watchSoon(client);
    }
    events.requestReceived(x);
    return consumed;
  }

  /** Counts the request against the limit of its connection. */
  private count(client: SocketSlot): void {
    const { http1 } = this;
    const { limits } = this.context;
    const { head } = http1;
    http1.minor[client] = head.minor;
    http1.expectsContinue[client] = head.expectContinue ? 1 : 0;
    http1.headSince[client] = 0;
    http1.scanned[client] = 0;
    if (!head.keepAlive) http1.keepAlive[client] = 0;
    if (limits.http1.maxRequests > 0 && ++http1.requests[client] >= limits.http1.maxRequests) {
      if (http1.keepAlive[client] === 1) this.context.limited(LIMIT.REQUESTS);
      http1.keepAlive[client] = 0;
    }
  }

  /** More of the body. Returns how far bytes were used, -1 if the exchange has ended. */
  private body(client: SocketSlot, bid: number, start: number, end: number): number {
    const { http1 } = this;
    const { bodies } = http1;
    const { events } = this.reports;
    const x: ExchangeSlot = this.exchanges.ofSocket(client);
    if (this.exchanges.kind[x] === LEG.NONE) return NONE;
    const result = bodies.read(client, this.context.bytes, start, end);
    if (result < 0) {
      events.reject(x, -result);
      return NONE;
    }
    const { consumed } = bodies;
    if (this.exchanges.telemetry[x] !== 0) this.exchanges.received[x] += bodies.dataEnd - bodies.dataStart;
    // The response may have ended the exchange during this send.
    if (!this.reports.requests.piece(x, bid, result)) return NONE;
    if (result === BODY.DONE) this.complete(client);
    return consumed;
  }
}

// HTTP/1 clients: events of their sockets, and what happens to a connection after an exchange.
import { VERDICT } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import { SOCKET } from '../../io/sockets.js';
import { PUMP } from '../../io/splice.js';
import { LIMITS } from '../../metrics/layout.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import { type Exchanges, STATE } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import { REFUSED } from '../refusals.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { BodyRelay } from './bodies.js';
import type { RequestReader } from './request-reader.js';
import { type Http1Sockets, REQUEST } from './sockets.js';

/**
 * While draining, or while others wait for a file descriptor, a connection idle for this long is closed: a client about to send would have
 * done so.
 */
const DRAIN_IDLE_MS = 1000;
/** A client that was answered early and has been silent for this long has nothing on its way that could destroy the answer, ms. */
const LINGER_SILENCE_MS = 2000;
const LIMIT = {
  HEADER_TIME: LIMITS.indexOf('header-time'),
  IDLE_TIME: LIMITS.indexOf('idle-time'),
  LINGER: LIMITS.indexOf('linger'),
  FILES: LIMITS.indexOf('file-descriptors'),
} as const;

export class Http1Clients {
  /** For a client answered before the end of its request: bytes discarded since, and since when, ms. */
  private readonly lingered: Float64Array;
  private readonly lingersSince: Float64Array;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly requests: RequestReader,
    private readonly bodies: BodyRelay,
    private readonly reports: Reports,
  ) {
    this.lingered = column(Float64Array, context.sockets.capacity);
    this.lingersSince = column(Float64Array, context.sockets.capacity);
  }

  /** A client connection that speaks HTTP/1; its data so far is in its inbox. */
  open(client: SocketSlot): void {
    const { sockets, inbox } = this.context;
    sockets.kind[client] = SOCKET_KIND.HTTP1_CLIENT;
    this.http1.openClient(client);
    this.exchanges.clear(this.exchanges.ofSocket(client), this.context.serviceFor(client, VERDICT.HTTP1));
    this.armIdle(client);
    if (inbox.empty(client)) sockets.receiveOnce(client);
    else this.requests.advance(client);
  }

  data(client: SocketSlot, bid: number, at: number, length: number): void {
    this.context.connections.active[client] = this.context.reactor.now;
    this.requests.data(client, bid, at, length);
  }

  eof(client: SocketSlot): void {
    const { inbox, connections } = this.context;
    const { http1, exchanges } = this;
    const { events } = this.reports;
    const x = exchanges.ofSocket(client);
    if (http1.request[client] === REQUEST.COMPLETE) {
      // Like other proxies: most clients that half-close have left. If they may still be there (`halfClose`), they get this response and
      // those to earlier requests.
      if (this.context.allowsHalfClose(client)) events.requestReceived(x);
      else events.clientHalfClosed(x, CLOSE.OK);
      return;
    }
    if (!inbox.empty(client) && this.requests.waits(client)) {
      // It reads slowly: its requests are answered once it has read, unless it has left.
      if (this.context.allowsHalfClose(client)) return;
      inbox.clear(client);
    }
    http1.keepAlive[client] = 0;
    if (this.reports.requests.endEarly(x)) return;
    if (http1.request[client] === REQUEST.HEAD && inbox.empty(client)) {
      connections.closeWhenSent(client, CLOSE.OK);
      return;
    }
    events.truncated(x);
  }

  /** The client is gone, or can no longer be written to. */
  failed(client: SocketSlot, errno: number): void {
    if (this.reports.requests.endEarly(this.exchanges.ofSocket(client))) return;
    this.reports.events.clientGone(this.exchanges.ofSocket(client), closeOf(errno));
  }

  /** Watches for the close of a client that has an exchange and is not read; its timer fires soon after reading has stopped. */
  watch(client: SocketSlot): void {
    const { sockets } = this.context;
    if (!sockets.receiving(client)) sockets.watch(client, !this.context.allowsHalfClose(client));
  }

  /** A watched client has closed, behind unread data. If it is being read, reading finds the close. */
  hungUp(client: SocketSlot, broken: boolean): void {
    if (this.isBetweenRequests(client) || this.context.sockets.receiving(client)) return;
    const { events, requests } = this.reports;
    const x = this.exchanges.ofSocket(client);
    if (requests.endEarly(x)) return;
    if (broken) events.clientGone(x, CLOSE.RESET);
    else events.clientHalfClosed(x, CLOSE.OK);
  }

  paused(client: SocketSlot): void {
    const endpoint = this.reports.requests.oppositeSocket(client);
    if (endpoint >= 0) this.bodies.paused(client, endpoint as SocketSlot);
  }

  starved(client: SocketSlot): void {
    const endpoint = this.reports.requests.oppositeSocket(client);
    if (endpoint >= 0 && this.http1.request[client] === REQUEST.BODY)
      this.bodies.starved(client, endpoint as SocketSlot);
  }

  /** Everything queued has been sent. */
  drained(client: SocketSlot): void {
    if (this.isBetweenRequests(client) && !this.context.inbox.empty(client)) this.continueWithNext(client);
    else this.reports.responses.drained(this.exchanges.ofSocket(client));
  }

  /** Moves spliced bytes of a request. */
  pump(client: SocketSlot): void {
    const endpoint = this.reports.requests.oppositeSocket(client);
    if (endpoint < 0) return;
    switch (this.bodies.pump(client, endpoint as SocketSlot)) {
      case PUMP.WAIT:
      case PUMP.SLOW:
        return;
      case PUMP.DONE:
        this.requests.complete(client);
        return;
      case PUMP.EOF:
        this.context.sockets.flags[client] |= SOCKET.EOF;
        this.eof(client);
        return;
      case PUMP.DESTINATION_FAILED:
        this.reports.requests.endpointSendFailed(endpoint as SocketSlot);
        return;
      default:
        this.failed(client, this.context.splicer.errno);
    }
  }

  /** The client has its response: continues with its next request, or ends its connection. */
  next(client: SocketSlot): void {
    const { sockets, connections, inbox, reactor } = this.context;
    const { http1, exchanges } = this;
    const x = exchanges.ofSocket(client);
    const whole = http1.request[client] === REQUEST.COMPLETE;
    const ended = (sockets.flags[client] & SOCKET.EOF) !== 0;
    if (http1.keepAlive[client] === 1 && whole && !(ended && inbox.empty(client))) {
      http1.request[client] = REQUEST.HEAD;
      http1.headSince[client] = 0;
      http1.scanned[client] = 0;
      exchanges.state[x] = STATE.FREE;
      connections.active[client] = reactor.now;
      http1.resetFlow(client);
      if (!inbox.empty(client)) {
        this.continueWithNext(client);
      } else {
        this.armIdle(client);
        sockets.resume(client);
      }
      return;
    }
    exchanges.state[x] = STATE.LOCAL_REPLY;
    if (whole && inbox.empty(client)) connections.closeWhenSent(client, CLOSE.OK);
    else this.linger(client, CLOSE.OK);
  }

  /** Continues with the next request in the inbox, if it is complete. */
  private continueWithNext(client: SocketSlot): void {
    const { sockets, connections } = this.context;
    this.requests.advance(client);
    if (this.requests.waits(client)) this.armIdle(client);
    const ended = (sockets.flags[client] & SOCKET.EOF) !== 0;
    // What is left is the beginning of a request that will never be complete.
    if (ended && sockets.kind[client] === SOCKET_KIND.HTTP1_CLIENT && !connections.closed(client)) this.eof(client);
  }

  /**
   * Keeps reading from a client that was answered early, and ends only our direction: closing a socket with unread bytes sends a reset,
   * which destroys the answer if it arrives first (RFC 9112 section 9.6). Many clients write a whole request before they read.
   */
  linger(client: SocketSlot, reason: number): void {
    const { sockets, inbox, wheel, reactor, connections } = this.context;
    inbox.clear(client);
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) {
      connections.closeWhenSent(client, reason);
      return;
    }
    sockets.kind[client] = SOCKET_KIND.LINGER;
    this.lingered[client] = 0;
    this.lingersSince[client] = reactor.now;
    connections.active[client] = reactor.now;
    sockets.shutdown(client);
    sockets.resume(client);
    wheel.schedule(client, reactor.now + Math.min(LINGER_SILENCE_MS, this.context.limits.http1.lingerTimeoutMs));
  }

  lingerData(client: SocketSlot, bid: number, length: number): void {
    const { slab, connections, sockets, limits, reactor } = this.context;
    slab.release(bid);
    this.lingered[client] += length;
    connections.active[client] = reactor.now;
    if (this.lingered[client] < limits.http1.maxLingerBytes || (sockets.flags[client] & SOCKET.PAUSED) !== 0) return;
    // Enough was read. The answer may still be on its way: the socket stays until the client closes it or time is up.
    this.context.limited(LIMIT.LINGER);
    sockets.pause(client);
    sockets.watch(client, true);
  }

  /** The timer of a client that was answered early: closes it when it falls silent, or when its time is up. */
  lingerTimer(client: SocketSlot): void {
    const { connections, sockets, limits, reactor, wheel } = this.context;
    const end = this.lingersSince[client] + limits.http1.lingerTimeoutMs;
    const paused = (sockets.flags[client] & SOCKET.PAUSED) !== 0;
    const silent = connections.active[client] + LINGER_SILENCE_MS;
    const due = paused ? end : Math.min(end, silent);
    if (reactor.now < due) {
      wheel.schedule(client, due);
      return;
    }
    if (!paused && due === end && due < silent) this.context.limited(LIMIT.LINGER);
    connections.closeWhenSent(client, CLOSE.OK);
  }

  /** The timer of a client between requests. Rearmed unless its time is over. */
  timer(client: SocketSlot): void {
    const { reactor, connections, inbox, limits, wheel, clientRoom } = this.context;
    const { http1 } = limits;
    const leaves = this.context.isDraining(client);
    const roomWanted = clientRoom.wanted();
    let deadline: number;
    if (inbox.empty(client) || this.requests.waits(client)) {
      const idle =
        leaves || roomWanted ? Math.min(DRAIN_IDLE_MS, http1.idleTimeoutMs || DRAIN_IDLE_MS) : http1.idleTimeoutMs;
      if (idle === 0) return;
      deadline = connections.active[client] + idle;
      if (reactor.now >= deadline) {
        if (leaves) connections.close(client, CLOSE.DRAIN);
        else if (roomWanted) this.makeRoom(client);
        else {
          this.context.limited(LIMIT.IDLE_TIME);
          connections.close(client, CLOSE.TIMEOUT);
        }
        return;
      }
    } else {
      if (http1.headerTimeoutMs === 0) return;
      deadline = this.http1.headSince[client] + http1.headerTimeoutMs;
      if (reactor.now >= deadline) {
        this.context.limited(LIMIT.HEADER_TIME);
        this.reports.events.replyLocally(this.exchanges.ofSocket(client), 408, REPLY_REASON.HEADER_TIMEOUT);
        return;
      }
    }
    // An integer, because a fraction would be allocated.
    wheel.schedule(client, Math.ceil(Math.max(deadline, reactor.now + 1)));
  }

  exchange(client: SocketSlot): ExchangeSlot {
    return this.exchanges.ofSocket(client);
  }

  /** Whether the client is between requests, or in the middle of a head. */
  isBetweenRequests(client: SocketSlot): boolean {
    return this.http1.request[client] === REQUEST.HEAD;
  }

  /** After a change of configuration or the start of a drain: checks the deadline of an idle client again. */
  reconsider(client: SocketSlot): void {
    const { wheel, reactor, inbox } = this.context;
    if (this.isBetweenRequests(client) && inbox.empty(client)) wheel.pull(client, reactor.clock() + 1);
  }

  /** Whether nothing more can come of the client's connection. */
  ending(client: SocketSlot): boolean {
    const { sockets, inbox } = this.context;
    return (sockets.flags[client] & SOCKET.EOF) !== 0 && inbox.empty(client);
  }

  /** Others wait for the file descriptor of an idle client. */
  private makeRoom(client: SocketSlot): void {
    const { connections, refusals } = this.context;
    this.context.limited(LIMIT.FILES);
    refusals.note(REFUSED.IDLE_CLOSED, client, -1, -1);
    connections.close(client, CLOSE.LIMIT);
  }

  /** Arms the idle deadline; a later one is discovered when the timer fires. */
  private armIdle(client: SocketSlot): void {
    const { wheel, reactor, limits } = this.context;
    const idle =
      this.context.isDraining(client) || this.context.clientRoom.full ? DRAIN_IDLE_MS : limits.http1.idleTimeoutMs;
    if (idle > 0) wheel.pull(client, reactor.now + idle);
  }
}

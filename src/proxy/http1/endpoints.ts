// HTTP/1 connections to endpoints: leased from the idle pool or dialled, returned or closed. Their events during an exchange are reported
// upwards.
import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { SOCKET } from '../../io/sockets.js';
import { PUMP } from '../../io/splice.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, type Dialer, PURPOSE } from '../connect/dialer.js';
import type { IdlePool } from '../connect/idle-pool.js';
import type { Context } from '../context.js';
import { type Exchanges, LEG, MAX_ATTEMPTS, STATE } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { BodyRelay } from './bodies.js';
import type { LargeInput } from './large-input.js';
import { ResponseReader } from './response-reader.js';
import { ENDED, FLOW, type Http1Sockets, RESPONSE, SENDING } from './sockets.js';

const NONE = -1;

export class Http1Endpoints implements Caller {
  readonly reader: ResponseReader;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly bodies: BodyRelay,
    private readonly dialer: Dialer,
    readonly idle: IdlePool,
    input: LargeInput,
    private readonly reports: Reports,
  ) {
    this.reader = new ResponseReader(context, exchanges, http1, input, reports, (socket, x) =>
      this.responseDone(socket, x),
    );
    dialer.serve(PURPOSE.HTTP1, this);
  }

  /**
   * Gives the exchange a connection to `endpoint`: an idle one unless it must be new (`newConnection`), or a new one. Returns 0 or a DIAL
   * code.
   */
  lease(x: ExchangeSlot, endpoint: number, newConnection: boolean): number {
    const { context, http1, exchanges } = this;
    let socket: number = newConnection ? NONE : this.idle.take(endpoint);
    if (socket < 0) {
      socket = this.dialer.dial(endpoint, PURPOSE.HTTP1);
      if (socket < 0) return socket;
      http1.openEndpoint(socket as SocketSlot);
    }
    http1.link(socket as SocketSlot, x);
    context.connections.active[socket] = context.reactor.now;
    exchanges.kind[x] = LEG.HTTP1;
    exchanges.id[x] = socket;
    return 0;
  }

  /** Takes over a connection that was opened for something else: it serves requests like a pooled one. */
  adopt(socket: SocketSlot): void {
    const { sockets } = this.context;
    sockets.peer[socket] = NONE;
    this.http1.openEndpoint(socket);
    this.context.connections.setOpaque(socket, false);
    // By the time of a request it has been idle and may be stale, like one that has served.
    this.http1.served[socket] = 1;
    if (sockets.kind[socket] === SOCKET_KIND.DIALLING) {
      this.dialer.reassign(socket, PURPOSE.HTTP1);
      // The request it was opened for may come before it is established, and there may be room for no other.
      this.idle.await(socket);
    } else {
      sockets.kind[socket] = SOCKET_KIND.HTTP1_ENDPOINT;
      this.idle.release(socket);
    }
  }

  /**
   * The response is complete. An endpoint that answers early without an error, and keeps the connection, is still reading: it gets the rest
   * of the request (RFC 9112 section 9.3).
   */
  responseDone(socket: SocketSlot, x: ExchangeSlot): void {
    const { exchanges, http1, context } = this;
    const taken = exchanges.requestComplete[x] === 1 && context.sockets.queued[socket] === 0;
    const readsOn = !taken && http1.reusable[socket] === 1;
    if (
      readsOn &&
      (exchanges.isStream(x) ? exchanges.continuesUpload(x) : http1.mayReadOn[exchanges.clientSocket(x)] === 1)
    ) {
      http1.response[socket] = RESPONSE.DONE;
      if (exchanges.requestComplete[x] === 1) context.sockets.notifyDrained(socket);
      this.reports.events.progress(x);
      return;
    }
    this.release(socket);
    this.reports.events.ended(x);
  }

  /** Ends an exchange that was answered early and whose endpoint accepts no more of the request, if it is one. */
  private abandonUpload(socket: SocketSlot, x: ExchangeSlot): boolean {
    if (!this.answeredEarly(x)) return false;
    this.http1.reusable[socket] = 0;
    return this.endEarly(x);
  }

  /** Whether the response of the exchange is complete while its request is not. */
  answeredEarly(x: ExchangeSlot): boolean {
    const { exchanges, http1 } = this;
    return exchanges.kind[x] === LEG.HTTP1 && http1.response[exchanges.endpointSocket(x)] === RESPONSE.DONE;
  }

  /** Ends an exchange that was answered early: its endpoint has the whole request, or should get no more. False if it is not one. */
  endEarly(x: ExchangeSlot): boolean {
    if (!this.answeredEarly(x)) return false;
    this.release(this.exchanges.endpointSocket(x));
    this.reports.events.ended(x);
    return true;
  }

  /** The exchange has its response: returns the connection to the pool if it can be reused. */
  release(socket: SocketSlot): void {
    const { http1, exchanges } = this;
    const { sockets, inbox, splicer, connections } = this.context;
    const x = http1.exchange(socket) as ExchangeSlot;
    const reusable =
      http1.reusable[socket] === 1 &&
      exchanges.requestComplete[x] === 1 &&
      http1.sending[socket] === SENDING.DONE &&
      inbox.empty(socket) &&
      sockets.queued[socket] === 0 &&
      (sockets.flags[socket] & (SOCKET.EOF | SOCKET.CLOSED)) === 0;
    this.detach(x, socket);
    splicer.stop(socket);
    if (!reusable) {
      connections.close(socket, CLOSE.OK);
      return;
    }
    http1.served[socket]++;
    http1.resetFlow(socket);
    sockets.resume(socket);
    this.idle.release(socket);
  }

  /** Detaches the exchange from the connection; the caller decides about the connection. */
  detach(x: ExchangeSlot, socket: SocketSlot): void {
    const { http1, exchanges, context } = this;
    http1.unlink(socket);
    exchanges.kind[x] = LEG.NONE;
    if (exchanges.isStream(x)) return;
    const client = exchanges.clientSocket(x);
    context.splicer.stop(client);
  }

  /** The exchange ends early, and the connection with it. */
  drop(x: ExchangeSlot, socket: SocketSlot, reason: number): void {
    const { splicer, connections } = this.context;
    this.detach(x, socket);
    splicer.stop(socket);
    connections.close(socket, reason);
  }

  // The end of a dial.

  ready(socket: SocketSlot): void {
    const { sockets } = this.context;
    sockets.kind[socket] = SOCKET_KIND.HTTP1_ENDPOINT;
    sockets.resume(socket);
    if (this.http1.exchange(socket) >= 0) return;
    // A connection that joined the pool early is behind the others, without a deadline.
    this.idle.remove(socket);
    this.idle.release(socket);
  }

  mayHedge(socket: SocketSlot): boolean {
    const x = this.http1.exchange(socket);
    return x >= 0 && this.exchanges.attempts[x] < MAX_ATTEMPTS;
  }

  /** Another endpoint was faster: the request goes there through the pool, as after a failed dial. */
  overtaken(socket: SocketSlot, next: SocketSlot): boolean {
    const { connections } = this.context;
    const x = this.http1.exchange(socket);
    this.idle.remove(socket);
    this.http1.openEndpoint(next);
    // It is still being established and joins the pool later.
    if (connections.dialPending[next] === 1) return false;
    this.ready(next);
    if (x >= 0) this.reports.events.connectFailed(x as ExchangeSlot, REPLY_REASON.CONNECT_TIMEOUT);
    return true;
  }

  failed(socket: SocketSlot, reason: number): void {
    this.idle.remove(socket);
    const x = this.http1.exchange(socket);
    if (x >= 0)
      this.reports.events.connectFailed(
        x as ExchangeSlot,
        reason === CLOSE.TIMEOUT ? REPLY_REASON.CONNECT_TIMEOUT : REPLY_REASON.CONNECT_FAILED,
      );
  }

  // Events of established connections.

  data(socket: SocketSlot, bid: number, at: number, length: number): void {
    const { connections, reactor, slab } = this.context;
    connections.active[socket] = reactor.now;
    const x = this.http1.exchange(socket);
    if (x >= 0 && this.answeredEarly(x as ExchangeSlot)) {
      // The endpoint sent more than its response; the extra bytes belong to no request.
      slab.release(bid);
      this.abandonUpload(socket, x as ExchangeSlot);
      return;
    }
    if (x < 0) {
      // Unsolicited data: the connection can't be trusted with a request.
      slab.release(bid);
      this.idle.remove(socket);
      connections.close(socket, CLOSE.PROTOCOL);
      return;
    }
    this.reader.data(socket, bid, at, length);
  }

  eof(socket: SocketSlot): void {
    this.ended(socket, CLOSE.OK);
  }

  broken(socket: SocketSlot, errno: number): void {
    this.ended(socket, closeOf(errno));
  }

  /** The endpoint accepts no more of the request; a response may still come. */
  sendFailed(socket: SocketSlot): void {
    const { http1, exchanges } = this;
    const { sockets } = this.context;
    const x = http1.exchange(socket);
    if (x < 0) {
      this.ended(socket, CLOSE.RESET);
      return;
    }
    // A request that can be sent again need not wait for an unlikely response.
    if (this.stale(socket) && exchanges.state[x] === STATE.SENT && this.reports.events.retry(x as ExchangeSlot)) return;
    if (this.abandonUpload(socket, x as ExchangeSlot)) return;
    sockets.dropQueue(socket);
    http1.reusable[socket] = 0;
    http1.sending[socket] = SENDING.REFUSED;
    if ((sockets.flags[socket] & SOCKET.EOF) !== 0 || http1.ended[socket] !== ENDED.NO) this.ended(socket, CLOSE.RESET);
    else {
      this.reports.requests.refused(x as ExchangeSlot);
      if (http1.flow[socket] === FLOW.COPY) sockets.resume(socket);
    }
  }

  /** The receive of a connection whose body is to be spliced is off. */
  paused(socket: SocketSlot): void {
    const client = this.reports.requests.oppositeSocket(socket);
    if (client >= 0) this.bodies.paused(socket, client as SocketSlot);
  }

  starved(socket: SocketSlot): void {
    const client = this.reports.requests.oppositeSocket(socket);
    if (client >= 0 && this.http1.response[socket] === RESPONSE.BODY) this.bodies.starved(socket, client as SocketSlot);
  }

  /** Everything queued has been sent. */
  drained(socket: SocketSlot): void {
    const { ended } = this.http1;
    const x = this.http1.exchange(socket);
    if (x < 0) return;
    if (ended[socket] !== ENDED.NO) this.ended(socket, ended[socket] === ENDED.CLOSED ? CLOSE.OK : CLOSE.RESET);
    else if (this.exchanges.requestComplete[x] === 0 || !this.endEarly(x as ExchangeSlot))
      this.reports.requests.drained(x as ExchangeSlot);
  }

  /** Moves spliced bytes of a response. */
  pump(socket: SocketSlot): void {
    const { events } = this.reports;
    const client = this.reports.requests.oppositeSocket(socket);
    if (client < 0) return;
    const x = this.http1.exchange(socket) as ExchangeSlot;
    const result = this.bodies.pump(socket, client as SocketSlot);
    switch (result) {
      case PUMP.WAIT:
      case PUMP.SLOW:
        return;
      case PUMP.DONE:
        this.responseDone(socket, x);
        return;
      case PUMP.EOF:
        this.context.sockets.flags[socket] |= SOCKET.EOF;
        this.ended(socket, CLOSE.OK);
        return;
      case PUMP.DESTINATION_FAILED:
        events.clientGone(x, CLOSE.RESET);
        return;
      default:
        this.ended(socket, CLOSE.RESET);
    }
  }

  /** The timer of an idle connection; otherwise the client's leg has the deadlines. */
  timer(socket: SocketSlot): void {
    if (this.idle.holds(socket)) this.idle.timer(socket);
  }

  /** Whether the connection may have been closed before the request reached it: it was pooled, and nothing has been received. */
  stale(socket: SocketSlot): boolean {
    return this.http1.served[socket] > 0 && this.http1.responseBegun[socket] === 0;
  }

  /** The connection, or its direction towards us, has ended. */
  private ended(socket: SocketSlot, reason: number): void {
    const { http1 } = this;
    const { sockets, connections } = this.context;
    const x = http1.exchange(socket);
    if (x < 0) {
      this.idle.remove(socket);
      connections.close(socket, reason);
      return;
    }
    if (this.abandonUpload(socket, x as ExchangeSlot)) return;
    if (reason === CLOSE.OK && this.reader.ended(socket, x as ExchangeSlot)) return;
    const sending = (sockets.flags[socket] & SOCKET.SENDING) !== 0;
    if (sending && http1.response[socket] === RESPONSE.HEAD && this.stale(socket)) {
      // How much of the request was taken is known once the current send has completed; then this is called again.
      http1.ended[socket] = reason === CLOSE.OK ? ENDED.CLOSED : ENDED.BROKEN;
      sockets.notifyDrained(socket);
      return;
    }
    this.reports.events.connectionLost(x as ExchangeSlot, reason, this.stale(socket), HEALTH_SIGNAL.RESET);
  }
}

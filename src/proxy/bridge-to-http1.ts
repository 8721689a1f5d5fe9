// Streams of HTTP/2 clients for endpoints that speak HTTP/1. The endpoint's side of such an exchange is a stream slot that is on no
// connection; `exchanges.socket` names the HTTP/1 connection that serves it, from the pool that HTTP/1 clients use as well.
// Here are these connections; the way of the request and that of the response have a file each.

import { isIdempotent } from '../http/methods.js';
import { H2_ERROR } from '../http2/frame.js';
import { ERRNO } from '../io/abi.js';
import { SOCKET } from '../io/sockets.js';
import { LIMITS, W } from '../metrics/layout.js';
import { BridgedRequests, SENDING } from './bridge-to-http1-request.js';
import { BridgedResponses } from './bridge-to-http1-response.js';
import { CLOSE, SOCKET_KIND } from './connect/connections.js';
import { DIAL } from './connect/upstreams.js';
import { SERVICE_PROTOCOL } from './context.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import { GONE, WAITING } from './http2-exchange.js';
import { MAX_ATTEMPTS } from './http2-retry.js';

const NONE = -1;
const LIMIT_BUFFERED = LIMITS.indexOf('buffered-bytes');

export class BridgeToHttp1 {
  /** Of a socket: the endpoint's stream of the exchange that it serves, -1 for none. */
  readonly stream: Int32Array;
  readonly requests: BridgedRequests;
  private readonly responses: BridgedResponses;
  /** Requests that a pooled connection has lost are sent on new ones. */
  private fresh = false;

  constructor(private readonly http2: Http2) {
    this.stream = new Int32Array(http2.context.sockets.capacity).fill(NONE);
    this.requests = new BridgedRequests(http2);
    this.responses = new BridgedResponses(http2, this);
  }

  /** Whether requests of `service` go to `endpoint` by HTTP/1. */
  speaksHttp1(service: number, endpoint: number): boolean {
    const { services, endpoints } = this.http2.context;
    const protocol = services.protocol[service];
    return (
      protocol === SERVICE_PROTOCOL.HTTP1 ||
      (protocol === SERVICE_PROTOCOL.AUTO && endpoints.protocol[endpoint] === SERVICE_PROTOCOL.HTTP1)
    );
  }

  /**
   * A connection to `endpoint` for the exchange: an idle one, or one that is dialled; then the exchange is WAITING.DIALLED, and
   * the request begins once it stands. Returns 0 or a DIAL code.
   */
  take(upstream: number, endpoint: number, kept: boolean): number {
    const { http1, exchanges, context, upstreams } = this.http2;
    let socket = this.fresh ? NONE : upstreams.takeIdle(endpoint);
    if (socket < 0) {
      // Until the connection stands the request has no other place than where it is kept.
      if (!kept) return DIAL.FAILED;
      socket = upstreams.dial(endpoint, SOCKET_KIND.BRIDGE_UPSTREAM);
      if (socket < 0) return socket;
      http1.exchanges.openUpstream(socket);
      exchanges.waiting[upstream] = WAITING.DIALLED;
    } else context.sockets.kind[socket] = SOCKET_KIND.BRIDGE_UPSTREAM;
    http1.exchanges.link(socket);
    context.connections.active[socket] = context.reactor.now;
    this.stream[socket] = upstream;
    exchanges.socket[upstream] = socket;
    return 0;
  }

  /** Some of the response that had waited for the client is on its way. */
  moved(upstream: number, slot: number): void {
    const { core, context, exchanges } = this.http2;
    const { sockets, limits } = context;
    const socket = exchanges.socket[upstream];
    if (socket < 0 || (sockets.flags[socket] & SOCKET.PAUSED) === 0) return;
    if (core.pending.bytes[slot] <= limits.http2.streamWindow >> 1) sockets.resume(socket);
  }

  /** Holds the endpoint back while its client is slow: no more waits than a stream of an HTTP/2 endpoint may have under way. */
  pace(socket: number, slot: number): void {
    const { core, context } = this.http2;
    const { sockets, limits, values } = context;
    const waits = core.pending.bytes[slot];
    if (waits === 0 || (sockets.flags[socket] & SOCKET.PAUSED) !== 0) return;
    if (waits < limits.http2.streamWindow && core.pending.total <= limits.http2.maxBufferedBytes) return;
    values[W.BACKPRESSURE]++;
    context.limited(LIMIT_BUFFERED);
    sockets.pause(socket);
  }

  /** The exchange is over, whatever its connection is at. */
  drop(upstream: number): void {
    const { core, context, exchanges } = this.http2;
    const { sockets, connections, balancer } = context;
    const socket = exchanges.socket[upstream];
    exchanges.socket[upstream] = NONE;
    core.pending.clear(upstream);
    if (exchanges.waiting[upstream] === WAITING.DIALLED) exchanges.waiting[upstream] = WAITING.NO;
    if (socket < 0) return;
    this.unlink(socket);
    if ((sockets.flags[socket] & SOCKET.CONNECTING) !== 0) balancer.connectAbandoned(connections.endpoint[socket]);
    // A tunnel that both sides have ended: its last octets are on their way.
    const ended = (sockets.flags[socket] & (SOCKET.EOF | SOCKET.SHUT)) === (SOCKET.EOF | SOCKET.SHUT);
    if (ended) connections.closeWhenSent(socket, CLOSE.OK);
    else connections.close(socket, CLOSE.OK);
  }

  /** The response is complete: the connection is ready for another request, or closed. The exchange goes on without it. */
  letGo(upstream: number, socket: number): void {
    const { core, context, exchanges, http1, upstreams, machine } = this.http2;
    const { sockets, inbox, connections } = context;
    const reusable =
      http1.exchanges.reusable[socket] === 1 &&
      this.requests.sending[socket] === SENDING.DONE &&
      inbox.empty(socket) &&
      sockets.queued[socket] === 0 &&
      (sockets.flags[socket] & (SOCKET.EOF | SOCKET.CLOSED)) === 0;
    this.unlink(socket);
    exchanges.socket[upstream] = GONE;
    if (!core.pending.empty(upstream)) {
      machine.frames.credit(core.streams.peer[upstream], core.pending.bytes[upstream]);
      core.pending.clear(upstream);
    }
    if (!reusable) {
      connections.close(socket, CLOSE.OK);
      return;
    }
    http1.exchanges.served[socket]++;
    http1.bodies.reset(socket);
    sockets.kind[socket] = SOCKET_KIND.HTTP1_UPSTREAM;
    sockets.peer[socket] = NONE;
    sockets.resume(socket);
    upstreams.release(socket);
  }

  // Events of the sockets.

  socketConnected(socket: number, result: number): void {
    const { context, exchanges, upstreams } = this.http2;
    const upstream = this.stream[socket];
    if (!upstreams.connected(socket, result)) {
      this.dialFailed(socket, WHY.CONNECT_FAILED, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
      return;
    }
    context.sockets.resume(socket);
    context.wheel.cancel(socket);
    exchanges.waiting[upstream] = WAITING.NO;
    this.requests.begin(upstream, false);
  }

  socketData(socket: number, bid: number, at: number, length: number): void {
    const { core, context } = this.http2;
    context.connections.active[socket] = context.reactor.now;
    core.streams.active[this.stream[socket]] = context.reactor.now;
    core.clock[0] = context.reactor.now;
    this.responses.data(socket, bid, at, length);
  }

  /** The endpoint has ended its direction, or the connection is broken. */
  socketEnded(socket: number, reason: number): void {
    const { http2 } = this;
    const { context, core } = http2;
    const { sockets, connections } = context;
    const upstream = this.stream[socket];
    core.clock[0] = context.reactor.now;
    if (this.responses.ended(socket, upstream, reason)) return;
    const answered = http2.exchanges.answered[core.streams.peer[upstream]] === 1;
    if (!answered && this.retriable(socket, upstream)) {
      if ((sockets.flags[socket] & SOCKET.SENDING) !== 0) {
        // How much of the request was taken is known when the send under way has ended: then this is called again.
        http2.http1.exchanges.ended[socket] = reason === CLOSE.OK ? 1 : 2;
        sockets.notifyDrained(socket);
        return;
      }
      if (this.retry(socket, upstream)) return;
    }
    connections.close(socket, reason);
    http2.lifecycle.endpointFailed(core.streams.peer[upstream], upstream, H2_ERROR.INTERNAL_ERROR, WHY.UPSTREAM_RESET);
  }

  /** The endpoint takes no more of the request; a response may still come. */
  socketSendFailed(socket: number): void {
    const { core, context, http1, machine } = this.http2;
    const { sockets } = context;
    const upstream = this.stream[socket];
    if (this.retriable(socket, upstream) && this.retry(socket, upstream)) return;
    sockets.dropQueue(socket);
    http1.exchanges.reusable[socket] = 0;
    if ((sockets.flags[socket] & SOCKET.EOF) !== 0 || http1.exchanges.ended[socket] !== 0) {
      this.socketEnded(socket, CLOSE.RESET);
      return;
    }
    this.requests.sending[socket] = SENDING.REFUSED;
    machine.frames.credit(core.streams.peer[upstream], core.pending.bytes[upstream]);
    core.pending.clear(upstream);
    sockets.resume(socket);
  }

  /** All that was queued is sent. */
  socketDrained(socket: number): void {
    const { core, context, http1 } = this.http2;
    const { ended } = http1.exchanges;
    const upstream = this.stream[socket];
    if (upstream < 0) return;
    core.clock[0] = context.reactor.now;
    if (ended[socket] !== 0) this.socketEnded(socket, ended[socket] === 1 ? CLOSE.OK : CLOSE.RESET);
    else this.requests.drain(upstream, socket);
  }

  /** Only dials have a deadline of their own: all else is bounded by the client's stream. */
  socketTimer(socket: number): void {
    const { context, upstreams } = this.http2;
    const { sockets, reactor, wheel } = context;
    if ((sockets.flags[socket] & SOCKET.CONNECTING) === 0) return;
    const deadline = upstreams.connectDeadline(socket);
    if (reactor.now < deadline) {
      if (deadline !== Number.POSITIVE_INFINITY) wheel.schedule(socket, deadline);
      return;
    }
    upstreams.connectTimedOut(socket);
    this.dialFailed(socket, WHY.CONNECT_TIMEOUT, CLOSE.TIMEOUT);
  }

  /** Takes the exchange off a connection that did not process it, and sends it again. False if it can't be; then it is on none. */
  again(socket: number, upstream: number): boolean {
    const { core, exchanges, retries } = this.http2;
    this.unlink(socket);
    exchanges.socket[upstream] = NONE;
    core.pending.clear(upstream);
    this.fresh = true;
    const sent = retries.again(core.streams.peer[upstream], upstream, true);
    this.fresh = false;
    return sent;
  }

  private dialFailed(socket: number, why: number, reason: number): void {
    const { context, core, exchanges, retries } = this.http2;
    const upstream = this.stream[socket];
    this.unlink(socket);
    exchanges.socket[upstream] = NONE;
    exchanges.waiting[upstream] = WAITING.NO;
    core.clock[0] = context.reactor.now;
    context.connections.close(socket, reason);
    retries.elsewhere(core.streams.peer[upstream], upstream, exchanges.endpoint[upstream], why);
  }

  /** A pooled connection that was lost before any byte of the response may have been closed before the request reached it. */
  private retriable(socket: number, upstream: number): boolean {
    const { http1, exchanges, core } = this.http2;
    return (
      http1.exchanges.served[socket] > 0 &&
      http1.exchanges.heard[socket] === 0 &&
      exchanges.attempts[core.streams.peer[upstream]] < MAX_ATTEMPTS
    );
  }

  /** The rules are those of http1-retry.ts: nothing of it was taken, or taking it twice does no harm. */
  private retry(socket: number, upstream: number): boolean {
    const { http1, exchanges, core, context } = this.http2;
    const slot = core.streams.peer[upstream];
    if ((context.sockets.flags[socket] & SOCKET.SENDING) !== 0 || exchanges.saved[upstream] === 0) return false;
    if (http1.exchanges.sent[socket] > 0 && !isIdempotent(exchanges.method[slot])) return false;
    const sent = this.again(socket, upstream);
    context.connections.close(socket, CLOSE.RESET);
    if (!sent) this.http2.lifecycle.endpointFailed(slot, upstream, H2_ERROR.INTERNAL_ERROR, WHY.UPSTREAM_RESET);
    return true;
  }

  private unlink(socket: number): void {
    this.stream[socket] = NONE;
    if (this.requests.keys.size > 0) this.requests.keys.delete(socket);
  }
}

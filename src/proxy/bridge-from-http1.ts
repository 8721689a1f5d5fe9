// Exchanges of HTTP/1 clients with endpoints that speak HTTP/2: here are the request and the life of the exchange, in
// bridge-response.ts is what the client gets, in bridge-tunnel.ts what is no message any more.
//
// The client's side has a stream slot too, which stands for the socket and is on no connection: so picking, waiting, retries and
// accounting are the same as for a client that speaks HTTP/2.

import { KEY_LENGTH } from '../http/web-socket.js';
import { BODY } from '../http1/body.js';
import { FRAMING, METHOD, parseRequest } from '../http1/head.js';
import type { Connection } from '../http2/connection.js';
import { ERROR } from '../http2/frame.js';
import { PEER, STREAM } from '../http2/streams.js';
import { SOCKET } from '../io/sockets.js';
import { E, LIMITS, W } from '../metrics/layout.js';
import { asksForWebSocket, RequestBridge } from '../translate/request.js';
import { listTrailers } from '../translate/trailers.js';
import { BridgeResponses } from './bridge-response.js';
import { CLOSE } from './connect/connections.js';
import { PROTOCOL } from './context.js';
import { REQUEST } from './exchange.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import { WAITING } from './http2-exchange.js';
import { Tunnels } from './relay/tunnel.js';

const NONE = -1;
/** How soon an exchange is looked at again that waits for a dial to end, ms. */
const DIALING_MS = 100;
/** How often an exchange is looked at that may last as long as it likes, ms. */
const LOOK_MS = 60_000;
const LIMIT = {
  BUFFERED: LIMITS.indexOf('buffered-bytes'),
  POOL: LIMITS.indexOf('pool-connections'),
  RESPONSE_TIME: LIMITS.indexOf('response-time'),
  BODY_TIME: LIMITS.indexOf('body-time'),
} as const;

export class FromHttp1 {
  readonly responses: BridgeResponses;
  readonly tunnels: Tunnels;
  /** Sec-WebSocket-Key of clients that have asked for a WebSocket and not been answered. */
  readonly keys = new Map<number, Uint8Array>();
  private readonly requests: RequestBridge;

  constructor(
    readonly http2: Http2,
    readonly http1: Http1,
  ) {
    this.requests = new RequestBridge(http2.core.memory);
    this.responses = new BridgeResponses(this);
    this.tunnels = new Tunnels(this);
  }

  /** Whether requests go to `endpoint` by HTTP/2. */
  speaksHttp2(endpoint: number): boolean {
    const { services, endpoints } = this.http2.context;
    const protocol = services.protocol[endpoints.service[endpoint]];
    return (
      protocol === PROTOCOL.HTTP2 || (protocol === PROTOCOL.AUTO && endpoints.protocol[endpoint] === PROTOCOL.HTTP2)
    );
  }

  /**
   * Sends the request whose head is in `exchanges.head` to `endpoint`, which has been picked for it; [at, end) follows the head.
   * Returns how far bytes were used, -1 if it was answered.
   */
  begin(client: number, endpoint: number, at: number, end: number): number {
    const { bytes, balancer, sockets } = this.http2.context;
    const { exchanges } = this.http1;
    const { head, bodies } = exchanges;
    let consumed = at;
    let result: number = BODY.DONE;
    bodies.begin(client, head.framing, head.contentLength);
    if (head.hasBody) {
      result = bodies.read(client, bytes, at, end);
      if (result < 0) {
        balancer.abandon(endpoint);
        this.http1.answers.reject(client, -result, CLOSE.PROTOCOL);
        return NONE;
      }
      consumed = bodies.consumed;
    }
    const whole = result === BODY.DONE;
    if (!whole) exchanges.request[client] = REQUEST.BODY;
    const length = head.hasBody ? bodies.dataEnd - bodies.dataStart : 0;
    const trailers = head.hasBody && whole && bodies.trailerEnd > bodies.trailerStart;
    const upstream = this.start(client, endpoint, whole && length === 0 && !trailers);
    if (upstream < 0) return NONE;
    if ((length > 0 || trailers) && !this.body(client, upstream, result)) return NONE;
    // Nothing more is wanted from this client; an armed receive stays as it is.
    if (whole && exchanges.keep[client] === 0 && !sockets.receiving(client)) sockets.pause(client);
    this.http1.timers.exchange(client);
    return consumed;
  }

  /** Sends a request that is kept as HTTP/1 wrote it to `endpoint`, which has been picked for it. False if none is. */
  again(client: number, endpoint: number): boolean {
    const { bytes, limits } = this.http2.context;
    const { exchanges } = this.http1;
    const buffer = exchanges.retained[client];
    if (buffer < 0) return false;
    const from = exchanges.retainedAt[client];
    const end = from + exchanges.retainedLength[client];
    const at = parseRequest(bytes, from, end, exchanges.head, limits.http1);
    if (at < 0) return false;
    const upstream = this.start(client, endpoint, at === end);
    if (upstream >= 0) {
      if (at < end) this.data(client, upstream, at, end - at, true);
      this.http1.timers.exchange(client);
    }
    this.http1.dropRetained(client);
    return true;
  }

  /** Passes on what `bodies.read` has just found. False if the exchange has ended over it. */
  body(client: number, upstream: number, result: number): boolean {
    const { bodies } = this.http1.exchanges;
    const { dataStart, dataEnd, trailerStart, trailerEnd } = bodies;
    const done = result === BODY.DONE;
    const trailers = done && trailerEnd > trailerStart;
    this.http2.core.clock[0] = this.http2.context.reactor.now;
    const length = dataEnd - dataStart;
    if (length > 0 || (done && !trailers)) {
      if (!this.data(client, upstream, dataStart, length, done && !trailers)) return false;
    }
    return !trailers || this.trailers(client, upstream, trailerStart, trailerEnd);
  }

  /** Octets that had waited are on their way to the endpoint: its client may send on. */
  moved(upstream: number): void {
    const { http2, http1 } = this;
    const { streams, pending } = http2.core;
    const client = http2.exchanges.client[streams.peer[upstream]];
    const { throttled } = http1.exchanges;
    streams.active[upstream] = http2.context.reactor.now;
    if (throttled[client] === 0 || pending.bytes[upstream] > http2.context.limits.maxBufferedBytes >> 1) return;
    throttled[client] = 0;
    http2.context.sockets.resume(client);
  }

  /** Holds the client back while too much of what it sent waits. */
  hold(client: number, upstream: number): void {
    const { context, core, exchanges } = this.http2;
    const { throttled } = this.http1.exchanges;
    const waits =
      exchanges.waiting[upstream] !== WAITING.NO ? exchanges.replay.bytes[upstream] : core.pending.bytes[upstream];
    if (waits <= context.limits.maxBufferedBytes || throttled[client] === 1) return;
    throttled[client] = 1;
    context.values[W.BACKPRESSURE]++;
    context.limited(LIMIT.BUFFERED);
    context.sockets.pause(client);
  }

  /** The client is gone, or its request can't be read: the endpoint is told at once, and is not to blame. */
  drop(client: number): void {
    const { http2 } = this;
    const upstream = this.http1.exchanges.stream[client];
    http2.core.clock[0] = http2.context.reactor.now;
    this.forget(client);
    http2.lifecycle.cancelled(http2.core.streams.peer[upstream], upstream);
  }

  /** Its slots are parted: answers in the proxy's own name, or cuts off the answer that has begun. */
  failed(slot: number, status: number, why: number): void {
    const { http1 } = this;
    const client = this.http2.exchanges.client[slot];
    this.forget(client);
    this.http2.core.streams.release(slot);
    if (http1.exchanges.answered[client] === 1) http1.truncated(client);
    else http1.answers.respond(client, status, why, null, CLOSE.ERROR);
  }

  /** The client's socket serves no stream any more. */
  forget(client: number): void {
    this.http1.exchanges.stream[client] = NONE;
    if (this.keys.size > 0) this.keys.delete(client);
  }

  /** The timer of a client in an exchange. */
  timer(client: number): void {
    const { http2, http1 } = this;
    const { context, core, exchanges } = http2;
    const { reactor, services, connections, wheel, limits } = context;
    const { streams } = core;
    const { now } = reactor;
    const upstream = http1.exchanges.stream[client];
    const slot = streams.peer[upstream];
    let deadline = now + LOOK_MS;
    core.clock[0] = now;
    if (exchanges.waiting[upstream] === WAITING.POOL) {
      const timeout = services.connectTimeoutMs[http1.exchanges.service[client]];
      if (timeout > 0) deadline = exchanges.waitSince[upstream] + timeout;
      if (now >= deadline) {
        if (!http2.pool.dialing(exchanges.endpoint[upstream])) {
          context.limited(LIMIT.POOL);
          http2.lifecycle.giveUp(slot, upstream, 503, WHY.POOL_EXHAUSTED);
          return;
        }
        deadline = now + DIALING_MS;
      }
    } else if (http1.exchanges.request[client] === REQUEST.COMPLETE && http1.exchanges.answered[client] === 0) {
      const timeout = http1.timers.responseTimeout(client);
      if (timeout > 0) deadline = streams.active[upstream] + timeout;
      if (now >= deadline) {
        context.limited(LIMIT.RESPONSE_TIME);
        this.blame(slot, upstream, WHY.RESPONSE_TIMEOUT);
        return;
      }
    } else {
      const timeout = limits.http1.bodyTimeoutMs;
      if (timeout === 0) return;
      deadline = Math.max(connections.active[client], streams.active[upstream]) + timeout;
      if (now >= deadline) {
        this.bodyTimedOut(client, slot, upstream);
        return;
      }
    }
    wheel.schedule(client, Math.max(deadline, now + 1));
  }

  /** Neither side has moved a byte of a body for too long: the blame is with the one that was to send or to take some. */
  private bodyTimedOut(client: number, slot: number, upstream: number): void {
    const { http2, http1 } = this;
    const { context } = http2;
    const answered = http1.exchanges.answered[client] === 1;
    context.limited(LIMIT.BODY_TIME);
    const endpointStalls = answered ? context.sockets.queued[client] === 0 : !http2.core.pending.empty(upstream);
    if (endpointStalls) {
      this.blame(slot, upstream, WHY.BODY_TIMEOUT);
      return;
    }
    this.drop(client);
    if (answered) {
      http1.accounts.ended(client, true);
      context.connections.abort(client, CLOSE.TIMEOUT);
    } else http1.answers.respond(client, 408, WHY.BODY_TIMEOUT, null, CLOSE.TIMEOUT);
  }

  /** Ends the exchange for a fault of its endpoint. */
  private blame(slot: number, upstream: number, why: number): void {
    const { http2 } = this;
    const connection = http2.core.streams.connection[upstream];
    http2.machine.sender.reset(upstream, ERROR.CANCEL);
    http2.lifecycle.endpointFailed(slot, upstream, ERROR.CANCEL, why);
    if (connection !== null) http2.connections.reuse(connection);
  }

  /**
   * Begins the exchange of the request in `exchanges.head`. `ends`: it has no body. Returns the endpoint's stream, which may be
   * waiting for a connection; -1 if the request was answered.
   */
  private start(client: number, endpoint: number, ends: boolean): number {
    const { http2, http1 } = this;
    const { context, core, exchanges } = http2;
    const { bytes, services, balancer, reactor } = context;
    const { streams, list } = core;
    const { head, service } = http1.exchanges;
    const webSocket = head.upgrade && asksForWebSocket(bytes, head);
    const tunnel = webSocket || head.method === METHOD.CONNECT;
    const name = service[client];
    const error = this.requests.list(head, list, true, services.hostAt[name], services.hostLength[name]);
    if (error < 0) {
      balancer.abandon(endpoint);
      http1.answers.reject(client, -error, CLOSE.PROTOCOL);
      return NONE;
    }
    const slot = streams.allocate();
    const upstream = slot < 0 ? NONE : streams.allocate();
    if (upstream < 0) {
      if (slot >= 0) streams.release(slot);
      balancer.abandon(endpoint);
      http1.outOfMemory(client);
      return NONE;
    }
    core.clock[0] = reactor.now;
    exchanges.openClient(slot, name, head.method, false);
    exchanges.started[slot] = http1.exchanges.started[client];
    exchanges.client[slot] = client;
    exchanges.attempts[slot] = http1.exchanges.attempts[client];
    streams.peer[slot] = upstream;
    streams.peer[upstream] = slot;
    streams.peerKind[upstream] = PEER.SOCKET;
    exchanges.openUpstream(upstream);
    exchanges.extended[upstream] = webSocket ? 1 : 0;
    http1.exchanges.stream[client] = upstream;
    http2.accounts.inFlight++;
    if (webSocket) this.keys.set(client, bytes.slice(this.requests.keyAt, this.requests.keyAt + KEY_LENGTH));
    const kept = http2.retries.keep(upstream, list, ends && !tunnel);
    const connection = this.take(slot, upstream, endpoint, kept);
    if (http1.exchanges.stream[client] !== upstream) return NONE;
    if (connection === null) {
      const timeout = services.connectTimeoutMs[name];
      if (timeout > 0) context.wheel.pull(client, reactor.now + timeout);
      return upstream;
    }
    if (webSocket && !connection.peerConnect) {
      http2.lifecycle.giveUp(slot, upstream, 501, WHY.NOT_IMPLEMENTED);
      return NONE;
    }
    http2.lifecycle.send(slot, upstream, connection, ends && !tunnel);
    return upstream;
  }

  /** As `Http2Lifecycle.pick`, with the first endpoint given. */
  private take(slot: number, upstream: number, endpoint: number, kept: boolean): Connection | null {
    const { http2 } = this;
    const { context, exchanges, pool } = http2;
    exchanges.endpoint[upstream] = endpoint;
    const connection = pool.ready(endpoint);
    if (connection === null && (!kept || pool.wait(upstream, endpoint) < 0)) {
      context.balancer.abandon(endpoint);
      return http2.lifecycle.pick(slot, upstream, endpoint, kept, true);
    }
    const base = this.http2.context.endpoints.base[endpoint];
    context.values[base + E.REQUESTS]++;
    context.values[base + E.IN_FLIGHT]++;
    return connection;
  }

  /** A piece of the request's body. False if there was no memory for it, and the request has been answered. */
  private data(client: number, upstream: number, at: number, length: number, end: boolean): boolean {
    const { http2 } = this;
    const { streams } = http2.core;
    streams.active[upstream] = http2.context.reactor.now;
    const kept = http2.retries.keepData(upstream, at, length, end);
    const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
    if (opened ? http2.machine.sender.data(upstream, at, length, end) < 0 : !kept) {
      this.http1.outOfMemory(client);
      return false;
    }
    this.hold(client, upstream);
    return true;
  }

  /** The request ends with trailers. False as `data`. */
  private trailers(client: number, upstream: number, start: number, end: number): boolean {
    const { http2, http1 } = this;
    const { core, exchanges, retries } = http2;
    const count = listTrailers(core.bytes, start, end, core.list);
    if (count < 0) {
      http1.badRequestBody(client, -count);
      return false;
    }
    if (count === 0) return this.data(client, upstream, end, 0, true);
    if (exchanges.waiting[upstream] !== WAITING.NO) {
      retries.holdTrailers(upstream, core.list);
      return http1.exchanges.stream[client] === upstream;
    }
    exchanges.forget(upstream);
    if (http2.machine.sender.trailers(upstream, core.list)) return true;
    http1.outOfMemory(client);
    return false;
  }

  /** Whether nothing more can come of the client's connection. */
  ending(client: number): boolean {
    const { sockets, inbox } = this.http2.context;
    return (sockets.flags[client] & SOCKET.EOF) !== 0 && inbox.empty(client);
  }

  chunked(client: number): boolean {
    return this.http1.exchanges.framingOut[client] === FRAMING.CHUNKED;
  }
}

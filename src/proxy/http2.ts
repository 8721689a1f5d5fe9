// HTTP/2 and gRPC: every stream of a client is an exchange of its own, balanced by itself over pooled connections to the endpoints.
// Here is the life of an exchange; the protocol is in src/http2, the pool, retries, answers and deadlines in files beside this one.
import { VERDICT } from '../detect/matcher.js';
import { METHOD } from '../http1/head.js';
import { Chains } from '../http2/chains.js';
import { Connection, GOING, ROLE } from '../http2/connection.js';
import { type CongestionSink, Core, type Http2Events } from '../http2/core.js';
import { ERROR } from '../http2/frame.js';
import { HeaderMemory } from '../http2/header-memory.js';
import { Http2Machine } from '../http2/http2.js';
import { PEER, STREAM } from '../http2/streams.js';
import { ERRNO } from '../io/abi.js';
import { HEADER_MEMORY_BYTES } from '../io/reactor.js';
import { SOCKET } from '../io/sockets.js';
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointBase,
  endpointHistogram,
  GRPC_CODES,
  H,
  isGrpcFailure,
  L,
  LIMITS,
  listenerBase,
  S,
  SERVICE_HISTOGRAMS,
  serviceBase,
  serviceHistogram,
  W,
  WORKER_HISTOGRAMS,
  workerHistogram,
} from '../metrics/layout.js';
import { FromHttp1 } from './bridge-from-http1.js';
import { BridgeToHttp1 } from './bridge-to-http1.js';
import { CLOSE, KIND } from './connections.js';
import { type Context, PROTOCOL } from './context.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';
import { Http2Answers } from './http2-answers.js';
import { GONE, StreamExchanges, WAITING } from './http2-exchange.js';
import { Http2Pool } from './http2-pool.js';
import { Http2Retries } from './http2-retry.js';
import { Http2Timers } from './http2-timers.js';
import { DIAL, type Upstreams } from './upstreams.js';

const NONE = -1;
/** Streams that a worker may have, both sides counted. */
const MAX_STREAMS = 65_536;
/** Output beyond this much stops the reading of requests: their answers would only add to it. */
const OUTPUT_FACTOR = 4;
export const MAX_ATTEMPTS = 3;
const GRPC_PERMISSION_DENIED = 7;
const LATENCY_US = SERVICE_HISTOGRAMS.indexOf('response_latency_us');
const ENDPOINT_LATENCY_US = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');
const CONNECTION_STREAMS = workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams'));
const LIMIT_SLAB = LIMITS.indexOf('slab');

export class Http2 implements Http2Events {
  readonly core: Core;
  readonly machine: Http2Machine;
  readonly exchanges: StreamExchanges;
  readonly pool: Http2Pool;
  readonly answers: Http2Answers;
  readonly timers: Http2Timers;
  readonly retries: Http2Retries;
  readonly bridge: BridgeToHttp1;
  readonly fromHttp1: FromHttp1;
  /** Exchanges under way. */
  inFlight = 0;
  private readonly bySocket: (Connection | undefined)[] = [];

  constructor(
    readonly context: Context,
    readonly upstreams: Upstreams,
    readonly http1: Http1,
  ) {
    const { slab, values } = context;
    const memory = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY_BYTES), HEADER_MEMORY_BYTES);
    this.core = new Core(slab, memory, this.sink(), values, MAX_STREAMS);
    this.machine = new Http2Machine(this.core, this);
    this.exchanges = new StreamExchanges(MAX_STREAMS, new Chains(slab, this.core.blocks, MAX_STREAMS));
    this.pool = new Http2Pool(context, this.exchanges, (endpoint) => this.dial(endpoint));
    this.answers = new Http2Answers(this);
    this.timers = new Http2Timers(this);
    this.retries = new Http2Retries(this);
    this.bridge = new BridgeToHttp1(this);
    this.fromHttp1 = new FromHttp1(this, http1);
    http1.bridge = this.fromHttp1;
  }

  /** A client connection that speaks HTTP/2; what it has sent is in its inbox. */
  open(client: number): void {
    const { sockets, inbox, slab, reactor } = this.context;
    sockets.kind[client] = KIND.HTTP2_CLIENT;
    const connection = this.connect(client, ROLE.SERVER);
    this.machine.sender.open(connection);
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      this.core.clock[0] = reactor.now;
      this.machine.receive(connection, inbox.startOf(bid), inbox.endOf(bid));
      slab.release(bid);
    }
    if (!this.context.connections.over(client) && sockets.kind[client] === KIND.HTTP2_CLIENT) {
      this.timers.start(connection);
      sockets.resume(client);
    }
  }

  /** Octets from a client or an endpoint. */
  socketData(socket: number, bid: number, at: number, length: number): void {
    const { connections, reactor, slab } = this.context;
    const connection = this.bySocket[socket];
    if (connection !== undefined) {
      connections.active[socket] = reactor.now;
      this.core.clock[0] = reactor.now;
      this.machine.receive(connection, at, at + length);
      // A header block or a frame that is not whole has a deadline of its own.
      if (connection.role === ROLE.SERVER && connection.partial) this.timers.start(connection);
    }
    slab.release(bid);
  }

  socketEof(socket: number): void {
    this.gone(socket, CLOSE.OK);
  }

  socketFailed(socket: number, errno: number): void {
    this.gone(socket, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** All that was queued is sent. */
  socketDrained(socket: number): void {
    const connection = this.bySocket[socket];
    if (connection === undefined) return;
    this.core.clock[0] = this.context.reactor.now;
    connection.congested = false;
    if ((this.context.sockets.flags[socket] & SOCKET.PAUSED) !== 0) this.context.sockets.resume(socket);
    this.machine.sender.pump(connection);
    if (connection.role === ROLE.CLIENT) this.serve(this.context.connections.endpoint[socket]);
  }

  socketConnected(socket: number, result: number): void {
    if (this.upstreams.connected(socket, result)) {
      this.context.sockets.resume(socket);
      return;
    }
    this.dialFailed(socket, WHY.CONNECT_FAILED, result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED);
  }

  /** Once a loop turn: what was written goes to the sockets. */
  turn(): void {
    const { lost, output } = this.core;
    while (lost.length > 0) {
      const connection = lost.pop();
      if (connection !== undefined && this.bySocket[connection.socket] === connection)
        this.gone(connection.socket, CLOSE.LIMIT);
    }
    this.fromHttp1.responses.turn();
    output.commit();
  }

  /** Whether the socket is still being connected. */
  connecting(socket: number): boolean {
    return (this.context.sockets.flags[socket] & SOCKET.CONNECTING) !== 0;
  }

  /** A drain began or settings changed. */
  reconsider(socket: number): void {
    const connection = this.bySocket[socket];
    if (connection === undefined) return;
    this.core.clock[0] = this.context.reactor.clock();
    this.timers.reconsider(connection);
  }

  connectionOf(socket: number): Connection | undefined {
    return this.bySocket[socket];
  }

  // What the protocol reports.

  request(connection: Connection, slot: number, end: boolean): void {
    const { list, streams } = this.core;
    const { facts } = list;
    const { connections, listeners, values, reactor, budget } = this.context;
    const { exchanges } = this;
    const listener = connections.listener[connection.socket];
    const service = listeners.service[listener * 4 + VERDICT.HTTP2];
    exchanges.openClient(slot, service, facts.method, facts.grpc, reactor.now);
    values[listenerBase(listener) + L.REQUESTS]++;
    if (this.context.access) this.context.accessLog.streamTarget(slot, exchanges, list);
    if (service < 0) {
      this.answers.respond(slot, 421, WHY.MISDIRECTED);
      return;
    }
    const base = serviceBase(service);
    values[base + S.REQUESTS]++;
    values[base + S.IN_FLIGHT]++;
    if (facts.grpc) values[base + S.GRPC_REQUESTS]++;
    exchanges.pending[slot] = 1;
    budget.deposit(service, reactor.now);
    const upstream = streams.allocate();
    if (upstream < 0) {
      this.answers.respond(slot, 503, WHY.MEMORY);
      return;
    }
    streams.peer[slot] = upstream;
    streams.peerKind[slot] = PEER.STREAM;
    streams.peer[upstream] = slot;
    streams.peerKind[upstream] = PEER.STREAM;
    exchanges.openUpstream(upstream);
    exchanges.extended[upstream] = facts.protocol === 0 ? 0 : 1;
    this.inFlight++;
    const kept = this.retries.keep(upstream, list, end);
    this.timers.exchange(connection, service);
    const next = this.pick(slot, upstream, NONE, kept, true);
    if (next !== null) this.send(slot, upstream, next, end);
  }

  requestTooLarge(connection: Connection, slot: number, _end: boolean): void {
    const { connections, listeners, reactor } = this.context;
    const listener = connections.listener[connection.socket];
    this.exchanges.openClient(slot, listeners.service[listener * 4 + VERDICT.HTTP2], METHOD.GET, false, reactor.now);
    this.answers.respond(slot, 431, WHY.HEADER_TOO_LARGE);
  }

  response(_connection: Connection, upstream: number, end: boolean): void {
    this.endpointResponse(this.core.streams.peer[upstream], upstream, end);
  }

  /** The head in `core.list` has come from the endpoint, whatever version of HTTP it speaks. */
  endpointResponse(slot: number, upstream: number, end: boolean): void {
    if (this.core.streams.peerKind[upstream] === PEER.SOCKET) {
      this.fromHttp1.responses.head(upstream, end);
      return;
    }
    const { list } = this.core;
    const { facts } = list;
    const { exchanges } = this;
    if (facts.status < 200) {
      // Of interim responses there may be any number: a client that does not read gets no more of them.
      const client = this.core.streams.connection[slot];
      if (client === null || client.congested) return;
      client.congested = this.core.sink.congested(client.socket, this.core.output.unsent(client));
      if (!client.congested) this.machine.sender.headers(slot, list, false);
      return;
    }
    exchanges.forget(upstream);
    exchanges.status[upstream] = facts.status;
    exchanges.answeredNow(slot, upstream, this.context.reactor.now);
    if (end) exchanges.grpcStatus[upstream] = facts.grpcStatus;
    exchanges.answered[slot] = 1;
    // What the endpoint calls gRPC is read as such only where the client has asked for it.
    if (!this.machine.sender.headers(slot, list, end)) return;
    if (end) this.responded(slot, upstream);
  }

  trailers(connection: Connection, slot: number): void {
    const { list, streams } = this.core;
    const other = streams.peer[slot];
    if (connection.role === ROLE.CLIENT) {
      this.endpointTrailers(other, slot);
      return;
    }
    if (other < 0) return;
    const { exchanges } = this;
    if (exchanges.waiting[other] !== WAITING.NO) {
      this.retries.holdTrailers(other, list);
      return;
    }
    exchanges.whole[other] = 0;
    exchanges.forget(other);
    const socket = exchanges.socket[other];
    if (socket >= 0) this.bridge.trailers(other, socket, list);
    else if (
      socket !== GONE &&
      !this.machine.sender.trailers(other, list) &&
      (streams.state[other] & STREAM.OPEN) !== 0
    )
      this.shed(slot, other);
  }

  /** The trailers in `core.list` end the endpoint's response. */
  endpointTrailers(slot: number, upstream: number): void {
    const { list, streams } = this.core;
    if (streams.peerKind[upstream] !== PEER.STREAM) {
      if (streams.peerKind[upstream] === PEER.SOCKET) this.fromHttp1.responses.trailers(upstream);
      else this.fromHttp1.tunnels.received(upstream, 0, 0, true);
      return;
    }
    this.exchanges.grpcStatus[upstream] = list.facts.grpcStatus;
    if (!this.machine.sender.trailers(slot, list)) this.shed(slot, upstream);
    else if ((streams.state[slot] & STREAM.LOCAL_END) !== 0) this.responded(slot, upstream);
  }

  data(connection: Connection, slot: number, at: number, length: number, end: boolean): void {
    const { streams } = this.core;
    const other = streams.peer[slot];
    if (connection.role === ROLE.SERVER) {
      const socket = other < 0 ? GONE : this.exchanges.socket[other];
      if (socket === GONE) {
        // Answered already: the rest of the request is not wanted.
        this.machine.frames.credit(slot, length);
        return;
      }
      const kept = this.retries.keepData(other, at, length, end);
      if (this.exchanges.waiting[other] !== WAITING.NO) {
        if (!kept) this.shed(slot, other);
        return;
      }
      const moved =
        socket >= 0
          ? this.bridge.data(other, socket, at, length, end)
          : this.machine.sender.data(other, at, length, end);
      if (moved < 0) this.shed(slot, other);
      else if (moved > 0) this.machine.frames.credit(slot, moved);
      return;
    }
    this.endpointData(other, slot, at, length, end);
  }

  /** A piece of the endpoint's response. What can't go on now waits for `moved` and `flushed`. */
  endpointData(slot: number, upstream: number, at: number, length: number, end: boolean): void {
    const { streams } = this.core;
    if (streams.peerKind[upstream] !== PEER.STREAM) {
      if (streams.peerKind[upstream] === PEER.SOCKET) this.fromHttp1.responses.data(upstream, at, length, end);
      else this.fromHttp1.tunnels.received(upstream, at, length, end);
      return;
    }
    const moved = this.machine.sender.data(slot, at, length, end);
    if (moved < 0) this.shed(slot, upstream);
    else {
      if (moved > 0) this.machine.frames.credit(upstream, moved);
      if (end && (streams.state[slot] & STREAM.LOCAL_END) !== 0) this.responded(slot, upstream);
    }
  }

  reset(connection: Connection, slot: number, code: number): void {
    const other = this.core.streams.peer[slot];
    if (connection.role === ROLE.SERVER) {
      this.cancelled(slot, other);
      return;
    }
    this.reuse(connection);
    const { streams } = this.core;
    // RFC 9113 section 8.1: the response is whole, and no more of the request is wanted. `flushed` ends the exchange.
    if ((streams.state[slot] & STREAM.REMOTE_END) !== 0 && streams.peerKind[slot] !== PEER.TUNNEL) return;
    if (code === ERROR.REFUSED_STREAM && this.retries.again(other, slot)) return;
    const why = code === ERROR.REFUSED_STREAM ? WHY.STREAM_REFUSED : WHY.UPSTREAM_RESET;
    this.endpointFailed(other, slot, code === ERROR.NO_ERROR ? ERROR.INTERNAL_ERROR : code, why);
  }

  streamFailed(connection: Connection, slot: number, _code: number): void {
    const other = this.core.streams.peer[slot];
    if (connection.role === ROLE.SERVER) {
      this.cancelled(slot, other);
      return;
    }
    this.reuse(connection);
    this.endpointFailed(other, slot, ERROR.INTERNAL_ERROR, WHY.UPSTREAM_PROTOCOL);
  }

  connectionFailed(connection: Connection, code: number): void {
    const { socket } = connection;
    const reason = code === ERROR.ENHANCE_YOUR_CALM ? CLOSE.LIMIT : CLOSE.PROTOCOL;
    this.core.output.flush(connection);
    this.release(connection, WHY.UPSTREAM_PROTOCOL);
    const { connections } = this.context;
    if (connection.role === ROLE.SERVER) this.http1.answers.linger(socket, reason);
    else {
      const endpoint = connections.endpoint[socket];
      connections.closeWhenSent(socket, reason);
      if (!connection.settingsSeen) this.refused(endpoint, saysHttp1(connection), WHY.UPSTREAM_PROTOCOL);
    }
  }

  settings(connection: Connection): void {
    if (connection.role === ROLE.SERVER) {
      if (this.context.draining) this.machine.sender.warn(connection);
      return;
    }
    const { connections, endpoints, wheel } = this.context;
    const endpoint = connections.endpoint[connection.socket];
    if (endpoints.protocol[endpoint] !== PROTOCOL.HTTP2) this.context.learnProtocol(endpoint, PROTOCOL.HTTP2);
    wheel.cancel(connection.socket);
    connection.timerAt = 0;
    this.timers.start(connection);
    this.pool.gauge(endpoint);
    this.serve(endpoint);
    this.pool.spare(endpoint);
  }

  goaway(connection: Connection, last: number, code: number): void {
    if (connection.role === ROLE.SERVER) {
      // The client opens no more; it is gone when its streams are.
      this.machine.sender.leave(connection);
      this.leaveIfDone(connection);
      return;
    }
    const { streams } = this.core;
    const { connections } = this.context;
    connection.going = Math.max(connection.going, GOING.LEAVING);
    // Streams above `last` were not and will not be processed (RFC 9113 section 6.8).
    for (let slot = streams.first(connection); slot !== NONE; ) {
      if (streams.id[slot] <= last) {
        slot = streams.after(connection, slot);
        continue;
      }
      const client = streams.peer[slot];
      this.machine.sender.close(slot);
      if (!this.retries.again(client, slot)) {
        this.endpointFailed(client, slot, code === ERROR.NO_ERROR ? ERROR.REFUSED_STREAM : code, WHY.STREAM_REFUSED);
      }
      // Anything may have ended meanwhile: the walk begins anew.
      slot = streams.first(connection);
    }
    const endpoint = connections.endpoint[connection.socket];
    this.pool.gauge(endpoint);
    this.serve(endpoint);
    this.leaveIfDone(connection);
    this.pool.spare(endpoint);
  }

  warned(connection: Connection): void {
    // The second step of leaving: what the client sent before it saw the first has arrived.
    if (connection.role === ROLE.SERVER && connection.going === GOING.WARNED) {
      this.machine.sender.leave(connection);
      this.leaveIfDone(connection);
    }
  }

  moved(slot: number, count: number): void {
    const { streams } = this.core;
    // The endpoint is done with it already: what still goes out is nobody's to give back.
    if (streams.peerKind[slot] === PEER.NONE) return;
    if (streams.peerKind[slot] !== PEER.STREAM) {
      this.fromHttp1.moved(slot);
      return;
    }
    const other = streams.peer[slot];
    if (this.exchanges.socket[other] >= 0) this.bridge.moved(other, slot);
    else this.machine.frames.credit(other, count);
  }

  flushed(slot: number): void {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    if (streams.peerKind[slot] === PEER.TUNNEL) this.fromHttp1.tunnels.flushed(slot);
    if (connection === null || connection.role !== ROLE.SERVER) return;
    const upstream = streams.peer[slot];
    if (upstream >= 0) this.responded(slot, upstream);
    else this.finish(slot);
  }

  // The life of an exchange.

  /**
   * Picks an endpoint for the request of `slot`. Returns a connection that takes it now; null where it waits for one (it must be
   * kept for that), where the bridge to HTTP/1 has it, or where there is no endpoint and it has been answered. `listed`: it is in
   * `core.list` too.
   */
  pick(slot: number, upstream: number, exclude: number, kept: boolean, listed: boolean): Connection | null {
    const { balancer, reactor, values } = this.context;
    const { exchanges } = this;
    const service = exchanges.service[slot];
    let why: number = WHY.NO_ENDPOINT;
    let avoid = exclude;
    while (exchanges.attempts[slot] < MAX_ATTEMPTS) {
      exchanges.attempts[slot]++;
      let endpoint = balancer.pickRequest(service, reactor.now, avoid);
      // Rather the same endpoint again than none: it may have only restarted.
      if (endpoint < 0 && avoid === exclude && avoid >= 0) endpoint = balancer.pickRequest(service, reactor.now, NONE);
      if (endpoint < 0) break;
      balancer.begin(endpoint);
      exchanges.endpoint[upstream] = endpoint;
      const bridged = exchanges.client[slot] < 0 && this.speaksHttp1(service, endpoint);
      const connection = bridged ? null : this.pool.ready(endpoint);
      if (connection === null) {
        let result: number = DIAL.FAILED;
        if (bridged) result = this.bridge.take(upstream, endpoint, kept);
        else if (kept) result = this.pool.wait(upstream, endpoint);
        if (result < 0) {
          balancer.abandon(endpoint);
          why = !kept ? WHY.MEMORY : result === DIAL.LIMIT ? WHY.POOL_EXHAUSTED : WHY.CONNECT_FAILED;
          avoid = endpoint;
          continue;
        }
      }
      values[endpointBase(endpoint) + E.REQUESTS]++;
      values[endpointBase(endpoint) + E.IN_FLIGHT]++;
      if (bridged && exchanges.waiting[upstream] === WAITING.NO) this.bridge.begin(upstream, listed);
      return connection;
    }
    if (why === WHY.NO_ENDPOINT) values[serviceBase(service) + S.NO_ENDPOINT]++;
    this.inFlight--;
    this.part(slot, upstream);
    this.answers.respond(slot, 503, why);
    return null;
  }

  /** Streams that wait for a connection of `endpoint` get one, as far as there are any. */
  serve(endpoint: number): void {
    for (;;) {
      const upstream = this.pool.firstWaiting(endpoint);
      if (upstream < 0) return;
      const connection = this.pool.ready(endpoint);
      if (connection === null) {
        this.pool.ensure(endpoint);
        return;
      }
      this.pool.unwait(upstream);
      this.retries.replay(upstream, connection);
    }
  }

  /** Opens the endpoint's stream on `connection` with the head in `core.list`. */
  send(slot: number, upstream: number, connection: Connection, end: boolean): void {
    const { core, exchanges } = this;
    const { sender } = this.machine;
    // RFC 8441 section 3: not before the endpoint has said that it takes them.
    if (exchanges.extended[upstream] === 1 && !connection.peerConnect) {
      this.giveUp(slot, upstream, 501, WHY.NOT_IMPLEMENTED);
      return;
    }
    sender.openStream(upstream, connection);
    this.timers.used(connection);
    this.context.values[endpointBase(exchanges.endpoint[upstream]) + E.H2_STREAMS]++;
    core.streams.active[upstream] = this.context.reactor.now;
    if (exchanges.method[slot] === METHOD.HEAD) core.streams.state[upstream] |= STREAM.BODILESS;
    sender.headers(upstream, core.list, end);
  }

  /** The response is on its way, whole. */
  responded(slot: number, upstream: number): void {
    const { streams } = this.core;
    // A tunnel is over when both directions are.
    if ((streams.state[upstream] & STREAM.UNCOUNTED) !== 0 && this.bridge.tunnelling(upstream)) return;
    this.account(slot, upstream, false);
    const connection = streams.connection[upstream];
    const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
    // An endpoint that has answered before it had the whole request wants no more of it (RFC 9113 section 8.1).
    if (opened && (streams.state[upstream] & STREAM.LOCAL_END) === 0)
      this.machine.sender.reset(upstream, ERROR.NO_ERROR);
    this.part(slot, upstream);
    this.finish(slot);
    if (opened && connection !== null) this.reuse(connection);
  }

  /** The client's stream has all of its response. */
  finish(slot: number): void {
    const { streams } = this.core;
    const state = streams.state[slot];
    // Without memory for what it should have got, its end has not gone out.
    if ((state & STREAM.LOCAL_END) === 0) this.machine.sender.reset(slot, ERROR.INTERNAL_ERROR);
    else if ((state & STREAM.REMOTE_END) === 0) this.machine.sender.reset(slot, ERROR.NO_ERROR);
    this.closed(slot);
  }

  /** Takes the client's stream off its connection, and gives its slot back. */
  closed(slot: number): void {
    const { streams } = this.core;
    const connection = streams.connection[slot];
    this.ended(slot, false);
    this.machine.sender.close(slot);
    streams.release(slot);
    if (connection !== null) this.leaveIfDone(connection);
  }

  /** Parts the two sides; the endpoint's side is over. */
  part(slot: number, upstream: number): void {
    const { streams } = this.core;
    const { values } = this.context;
    const { exchanges } = this;
    if ((streams.state[upstream] & STREAM.OPEN) !== 0) this.machine.sender.close(upstream);
    if (streams.id[upstream] !== 0) values[endpointBase(exchanges.endpoint[upstream]) + E.H2_STREAMS]--;
    if (exchanges.socket[upstream] !== NONE) this.bridge.drop(upstream);
    this.pool.unwait(upstream);
    exchanges.forget(upstream);
    this.retries.dropTrailers(upstream);
    streams.peer[slot] = NONE;
    streams.peerKind[slot] = PEER.NONE;
    streams.release(upstream);
  }

  /** The client has taken its request back, or broken the rules: the endpoint is told at once, and is not to blame. */
  cancelled(slot: number, upstream: number): void {
    const { streams } = this.core;
    if (upstream >= 0) {
      const connection = streams.connection[upstream];
      const opened = (streams.state[upstream] & STREAM.OPEN) !== 0;
      this.abandon(upstream);
      this.inFlight--;
      if (opened) this.machine.sender.reset(upstream, ERROR.CANCEL);
      this.part(slot, upstream);
      if (opened && connection !== null) this.reuse(connection);
    }
    const client = streams.connection[slot];
    this.ended(slot, true);
    this.machine.sender.close(slot);
    streams.release(slot);
    if (client !== null) this.leaveIfDone(client);
  }

  /** No memory for what waits: both sides are told. */
  shed(slot: number, upstream: number): void {
    this.context.limited(LIMIT_SLAB);
    if (this.exchanges.client[slot] >= 0) {
      this.http1.outOfMemory(this.exchanges.client[slot]);
      return;
    }
    this.machine.sender.reset(slot, ERROR.ENHANCE_YOUR_CALM);
    this.cancelled(slot, upstream);
  }

  /** The endpoint did not bring its response to an end; its stream is off its connection. */
  endpointFailed(slot: number, upstream: number, code: number, why: number): void {
    if (this.core.streams.peerKind[upstream] === PEER.TUNNEL) {
      this.fromHttp1.tunnels.lost(slot, upstream);
      return;
    }
    this.account(slot, upstream, true);
    this.part(slot, upstream);
    this.fail(slot, code, why, why === WHY.RESPONSE_TIMEOUT || why === WHY.BODY_TIMEOUT ? 504 : 502);
  }

  /** Tells the client of a failure: with an answer where none has begun, else by a reset. */
  fail(slot: number, code: number, why: number, status: number): void {
    const { streams } = this.core;
    if (this.exchanges.client[slot] >= 0) {
      this.fromHttp1.failed(slot, status, why);
      return;
    }
    if (this.exchanges.answered[slot] === 0) {
      this.answers.respond(slot, status, why, code);
      return;
    }
    this.machine.sender.reset(slot, code);
    const client = streams.connection[slot];
    this.ended(slot, true);
    streams.release(slot);
    if (client !== null) this.leaveIfDone(client);
  }

  /** Answers in the proxy's own name instead of the endpoint, which did nothing wrong. */
  giveUp(slot: number, upstream: number, status: number, why: number): void {
    this.abandon(upstream);
    this.inFlight--;
    this.part(slot, upstream);
    this.answers.respond(slot, status, why);
  }

  /** Takes the exchange back from its endpoint, which did nothing wrong. */
  abandon(upstream: number): void {
    const { values, balancer } = this.context;
    const endpoint = this.exchanges.endpoint[upstream];
    const base = endpointBase(endpoint);
    values[base + E.IN_FLIGHT]--;
    values[base + E.ABANDONED]++;
    balancer.abandon(endpoint);
  }

  /** Accounts for the end of an exchange. `failed`: the endpoint did not bring it to its end. */
  account(slot: number, upstream: number, failed: boolean): void {
    const { balancer, reactor, values, metrics } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[upstream];
    const base = endpointBase(endpoint);
    const status = exchanges.status[upstream];
    this.inFlight--;
    values[base + E.IN_FLIGHT]--;
    if (failed) {
      values[base + E.FAILURES]++;
      balancer.finish(endpoint, reactor.now, reactor.now - exchanges.started[slot], true);
      return;
    }
    const latency = exchanges.latencyUs[upstream];
    let bad = status >= 500;
    if (exchanges.grpc[slot] === 1 && status === 200) {
      const code = exchanges.grpcStatus[upstream];
      const service = serviceBase(exchanges.service[slot]);
      if (code >= 0 && code < GRPC_CODES) {
        values[base + E.GRPC_STATUS + code]++;
        values[service + S.GRPC_STATUS + code]++;
        // A caller that may not do what it asks for says nothing about the endpoint.
        bad = isGrpcFailure(code) && code !== GRPC_PERMISSION_DENIED;
      } else {
        // Whatever it said, it did not say how it ended.
        values[base + E.GRPC_MISSING]++;
        values[service + S.GRPC_MISSING]++;
        bad = true;
      }
    } else values[base + E.STATUS + status - 100]++;
    balancer.finish(endpoint, reactor.now, latency / 1000, bad);
    metrics.record(serviceHistogram(exchanges.service[slot], LATENCY_US), latency);
    metrics.record(endpointHistogram(endpoint, ENDPOINT_LATENCY_US), latency);
    if (!this.context.access) return;
    const client = exchanges.client[slot];
    if (client >= 0) this.context.accessLog.request(client, endpoint, status, this.http1.exchanges);
    else this.context.accessLog.stream(slot, endpoint, status, this.core.streams, exchanges);
  }

  /** The request of `slot` is over. `unanswered`: the client has not got a whole response. */
  ended(slot: number, unanswered: boolean): void {
    const { values } = this.context;
    const { exchanges } = this;
    if (exchanges.pending[slot] === 0) return;
    exchanges.pending[slot] = 0;
    const base = serviceBase(exchanges.service[slot]);
    values[base + S.IN_FLIGHT]--;
    if (!unanswered) return;
    values[base + S.UNANSWERED]++;
    if (this.context.access) this.context.accessLog.streamUnanswered(slot, this.core.streams, exchanges);
  }

  // Connections.

  /** A place on a connection to an endpoint has become free. */
  reuse(connection: Connection): void {
    const endpoint = this.context.connections.endpoint[connection.socket];
    if (this.pool.firstWaiting(endpoint) >= 0) this.serve(endpoint);
    if (connection.active === 0) {
      if (connection.closing) this.leaveIfDone(connection);
      else if (this.context.draining) this.retire(connection);
      else this.timers.idle(connection);
    }
  }

  /** A connection on which nothing is begun any more, and nothing is left, is closed. */
  leaveIfDone(connection: Connection): void {
    if (connection.going !== GOING.LEAVING || connection.active > 0) return;
    const { connections } = this.context;
    const { socket } = connection;
    if (connections.over(socket) || this.bySocket[socket] !== connection) return;
    this.core.output.flush(connection);
    this.release(connection, WHY.UPSTREAM_RESET);
    connections.closeWhenSent(socket, this.context.draining ? CLOSE.DRAIN : CLOSE.OK);
  }

  /** Starts to leave: a client is warned first, an endpoint gets no more streams. */
  retire(connection: Connection): void {
    if (connection.role === ROLE.SERVER) this.machine.sender.warn(connection);
    else {
      this.machine.sender.leave(connection);
      this.pool.gauge(this.context.connections.endpoint[connection.socket]);
      this.leaveIfDone(connection);
    }
  }

  /** The endpoint was removed: its connections end with their streams, and what waits goes elsewhere. */
  endpointGone(endpoint: number): void {
    for (const connection of [...this.pool.of(endpoint)]) {
      if (connection.settingsSeen) this.retire(connection);
      else this.dialFailed(connection.socket, WHY.CONNECT_FAILED, CLOSE.OK);
    }
    this.elsewhere(endpoint, WHY.CONNECT_FAILED);
  }

  /** The connection has ended or broken: so have its streams. */
  gone(socket: number, reason: number): void {
    const connection = this.bySocket[socket];
    const { connections, sockets, balancer } = this.context;
    if (connection !== undefined) {
      const endpoint = connections.endpoint[socket];
      if (connection.role === ROLE.CLIENT && (sockets.flags[socket] & SOCKET.CONNECTING) !== 0)
        balancer.connectAbandoned(endpoint);
      if (connection.role === ROLE.CLIENT && !connection.settingsSeen) {
        const stood = (sockets.flags[socket] & SOCKET.CONNECTING) === 0;
        if (stood && (reason === CLOSE.OK || reason === CLOSE.RESET)) {
          this.release(connection, WHY.UPSTREAM_RESET);
          connections.close(socket, reason);
          this.refused(endpoint, false, WHY.UPSTREAM_RESET);
        } else this.dialFailed(socket, WHY.CONNECT_FAILED, reason);
        return;
      }
      this.release(connection, WHY.UPSTREAM_RESET);
    }
    connections.close(socket, reason);
  }

  /** The connection could not be made, or its endpoint does not speak HTTP/2: nothing was sent on it that was processed. */
  dialFailed(socket: number, why: number, reason: number): void {
    const connection = this.bySocket[socket];
    const { connections } = this.context;
    const endpoint = connections.endpoint[socket];
    if (connection !== undefined) this.release(connection, why);
    connections.close(socket, reason);
    this.undialled(endpoint, why);
  }

  /** A connection to `endpoint` did not come to be: who waits there goes elsewhere, unless there is another to wait for. */
  private undialled(endpoint: number, why: number): void {
    if (!this.pool.of(endpoint).some((other) => other.going === GOING.OPEN)) this.elsewhere(endpoint, why);
  }

  /**
   * `endpoint` has closed, or `said` something else, before its SETTINGS. One whose protocol is to be found out speaks HTTP/1 then;
   * one that has spoken HTTP/2 until now may only be on its way out, and is to be asked again.
   */
  private refused(endpoint: number, said: boolean, why: number): void {
    const { services, endpoints } = this.context;
    const service = endpoints.service[endpoint];
    if (service >= 0 && services.protocol[service] === PROTOCOL.AUTO) {
      const known = endpoints.protocol[endpoint];
      this.context.learnProtocol(endpoint, known === PROTOCOL.HTTP2 && !said ? PROTOCOL.AUTO : PROTOCOL.HTTP1);
      if (this.speaksHttp1(service, endpoint)) this.overBridge(endpoint, why);
    } else this.upstreams.unusable(endpoint);
    this.undialled(endpoint, why);
  }

  /** Whoever waits for a connection of `endpoint` goes there by HTTP/1. */
  private overBridge(endpoint: number, why: number): void {
    for (let upstream = this.pool.firstWaiting(endpoint); upstream >= 0; upstream = this.pool.firstWaiting(endpoint)) {
      const slot = this.core.streams.peer[upstream];
      this.pool.unwait(upstream);
      // A client of HTTP/1 comes here for an endpoint that is known to speak HTTP/2: this one does not.
      if (this.exchanges.client[slot] >= 0 || this.bridge.take(upstream, endpoint, true) < 0)
        this.retries.elsewhere(slot, upstream, endpoint, why);
      else if (this.exchanges.waiting[upstream] === WAITING.NO) this.bridge.begin(upstream, false);
    }
  }

  /** Whether requests of `service` go to `endpoint` by HTTP/1. */
  private speaksHttp1(service: number, endpoint: number): boolean {
    const { services, endpoints } = this.context;
    const protocol = services.protocol[service];
    return (
      protocol === PROTOCOL.HTTP1 || (protocol === PROTOCOL.AUTO && endpoints.protocol[endpoint] === PROTOCOL.HTTP1)
    );
  }

  /** Whoever waits for a connection of `endpoint` is sent to another one. */
  private elsewhere(endpoint: number, why: number): void {
    for (let upstream = this.pool.firstWaiting(endpoint); upstream >= 0; upstream = this.pool.firstWaiting(endpoint)) {
      this.pool.unwait(upstream);
      this.retries.elsewhere(this.core.streams.peer[upstream], upstream, endpoint, why);
    }
  }

  /** Ends every stream of a connection, and forgets it. */
  private release(connection: Connection, why: number): void {
    const { streams } = this.core;
    const { socket } = connection;
    const { connections, metrics, values } = this.context;
    if (this.bySocket[socket] !== connection) return;
    this.bySocket[socket] = undefined;
    connection.going = GOING.FAILED;
    const endpoint = connections.endpoint[socket];
    if (connection.role === ROLE.CLIENT) this.pool.remove(endpoint, connection);
    for (let slot = streams.first(connection); slot !== NONE; slot = streams.first(connection)) {
      this.machine.sender.close(slot);
      const other = streams.peer[slot];
      if (connection.role === ROLE.SERVER) this.cancelled(slot, other);
      // An endpoint that has said all it had to say has not failed, though the client has not got all of it yet.
      else if ((streams.state[slot] & STREAM.REMOTE_END) === 0 || streams.peerKind[slot] === PEER.TUNNEL)
        this.endpointFailed(other, slot, ERROR.INTERNAL_ERROR, why);
    }
    this.machine.drop(connection);
    values[connection.meter + H.CONNECTIONS]--;
    metrics.record(CONNECTION_STREAMS, connection.opened);
    // Who waits for a connection that never came to be is `dialFailed`'s: dialled from here, it would be again and again.
    if (connection.role === ROLE.CLIENT && connection.settingsSeen && this.pool.firstWaiting(endpoint) >= 0)
      this.serve(endpoint);
  }

  private dial(endpoint: number): number {
    const { reactor } = this.context;
    const socket = this.upstreams.dial(endpoint, KIND.HTTP2_UPSTREAM);
    if (socket < 0) return socket;
    this.core.clock[0] = reactor.now;
    const connection = this.connect(socket, ROLE.CLIENT);
    this.pool.add(endpoint, connection);
    this.machine.sender.open(connection);
    return 0;
  }

  private connect(socket: number, role: number): Connection {
    const { limits, values, reactor } = this.context;
    this.core.clock[0] = reactor.now;
    const connection = new Connection(socket, role, this.core.memory, limits.http2, reactor.now);
    while (this.bySocket.length <= socket) this.bySocket.push(undefined);
    this.bySocket[socket] = connection;
    values[connection.meter + H.CONNECTIONS_TOTAL]++;
    values[connection.meter + H.CONNECTIONS]++;
    return connection;
  }

  private sink(): CongestionSink {
    const { sockets, limits, values } = this.context;
    const { context } = this;
    const hard = OUTPUT_FACTOR * limits.maxBufferedBytes;
    return {
      queue: (socket, at, length, bid) => {
        sockets.queue(socket, at, length, bid);
        if (sockets.queued[socket] > hard && context.connections.listener[socket] >= 0) {
          sockets.pause(socket);
          sockets.notifyDrained(socket);
        }
      },
      sending: (socket) => (sockets.flags[socket] & SOCKET.SENDING) !== 0,
      congested: (socket, unsent) => {
        if (sockets.queued[socket] + unsent <= context.limits.maxBufferedBytes) return false;
        values[W.BACKPRESSURE]++;
        sockets.notifyDrained(socket);
        return true;
      },
    };
  }
}

/** Whether what came in place of the first frame header was the beginning of `HTTP/1.x`. */
function saysHttp1(connection: Connection): boolean {
  return connection.length === 0x485454 && connection.type === 0x50 && connection.flags === 0x2f;
}

// HTTP/2 and gRPC: every stream of a client is an exchange of its own, balanced by itself over pooled connections to the endpoints.
// Here they are composed, and what sockets and the protocol (src/http2) report is handed to whom it concerns: http2-lifecycle.ts has the
// life of an exchange, http2-connections.ts that of a connection; the pool, accounts, retries, answers and deadlines have a file each.
import { VERDICT } from '../detect/matcher.js';
import { HeaderMemory } from '../hpack/memory/header-memory.js';
import { METHOD } from '../http1/head.js';
import { Chains } from '../http2/chains.js';
import { type Connection, ROLE } from '../http2/connection.js';
import { ERROR } from '../http2/frame.js';
import { Http2Machine } from '../http2/machine.js';
import { Core, type Http2Events } from '../http2/shared-state.js';
import { PEER, STREAM } from '../http2/streams.js';
import { ERRNO } from '../io/abi.js';
import { HEADER_MEMORY_BYTES } from '../io/reactor.js';
import { SOCKET } from '../io/sockets.js';
import { L, listenerBase, S } from '../metrics/layout.js';
import { FromHttp1 } from './bridge-from-http1.js';
import { BridgeToHttp1 } from './bridge-to-http1.js';
import { CLOSE, KIND } from './connect/connections.js';
import { Http2Pool } from './connect/http2-pool.js';
import type { Upstreams } from './connect/upstreams.js';
import type { Context } from './context.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';
import { Http2Accounts } from './http2-accounts.js';
import { Http2Answers } from './http2-answers.js';
import { congestionSink, Http2Connections } from './http2-connections.js';
import { GONE, MAX_LATENCY_US, StreamExchanges, WAITING } from './http2-exchange.js';
import { Http2Lifecycle } from './http2-lifecycle.js';
import { Http2Retries } from './http2-retry.js';
import { Http2Timers } from './http2-timers.js';

const NONE = -1;
/** Streams that a worker may have, both sides counted. */
const MAX_STREAMS = 65_536;

export class Http2 implements Http2Events {
  readonly core: Core;
  readonly machine: Http2Machine;
  readonly exchanges: StreamExchanges;
  readonly pool: Http2Pool;
  readonly accounts: Http2Accounts;
  readonly connections: Http2Connections;
  readonly lifecycle: Http2Lifecycle;
  readonly answers: Http2Answers;
  readonly timers: Http2Timers;
  readonly retries: Http2Retries;
  readonly bridge: BridgeToHttp1;
  readonly fromHttp1: FromHttp1;

  constructor(
    readonly context: Context,
    readonly upstreams: Upstreams,
    readonly http1: Http1,
  ) {
    const { slab, values } = context;
    const memory = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY_BYTES), HEADER_MEMORY_BYTES);
    this.core = new Core(slab, memory, congestionSink(context), values, MAX_STREAMS);
    this.machine = new Http2Machine(this.core, this);
    this.exchanges = new StreamExchanges(MAX_STREAMS, new Chains(slab, this.core.blocks, MAX_STREAMS));
    this.pool = new Http2Pool(context, this.exchanges, (endpoint) => this.connections.dial(endpoint));
    this.accounts = new Http2Accounts(this);
    this.connections = new Http2Connections(this);
    this.lifecycle = new Http2Lifecycle(this);
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
    const connection = this.connections.connect(client, ROLE.SERVER);
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
    const connection = this.connections.bySocket[socket];
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
    this.connections.gone(socket, CLOSE.OK);
  }

  socketFailed(socket: number, errno: number): void {
    this.connections.gone(socket, errno === ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.RESET);
  }

  /** All that was queued is sent. */
  socketDrained(socket: number): void {
    const connection = this.connections.bySocket[socket];
    if (connection === undefined) return;
    this.core.clock[0] = this.context.reactor.now;
    connection.congested = false;
    if ((this.context.sockets.flags[socket] & SOCKET.PAUSED) !== 0) this.context.sockets.resume(socket);
    this.machine.sender.pump(connection);
    if (connection.role === ROLE.CLIENT) this.lifecycle.serve(this.context.connections.endpoint[socket]);
  }

  socketConnected(socket: number, result: number): void {
    if (this.upstreams.connected(socket, result)) {
      this.context.sockets.resume(socket);
      return;
    }
    this.connections.dialFailed(
      socket,
      WHY.CONNECT_FAILED,
      result === -ERRNO.ETIMEDOUT ? CLOSE.TIMEOUT : CLOSE.REFUSED,
    );
  }

  /** Once a loop turn: what was written goes to the sockets. */
  turn(): void {
    const { lost, output } = this.core;
    while (lost.length > 0) {
      const connection = lost.pop();
      if (connection !== undefined && this.connections.bySocket[connection.socket] === connection)
        this.connections.gone(connection.socket, CLOSE.LIMIT);
    }
    this.fromHttp1.responses.turn();
    output.commit();
  }

  /** A drain began or settings changed. */
  reconsider(socket: number): void {
    const connection = this.connections.bySocket[socket];
    if (connection === undefined) return;
    this.core.clock[0] = this.context.reactor.clock();
    this.timers.reconsider(connection);
  }

  // What the protocol reports.

  request(connection: Connection, slot: number, end: boolean): void {
    const { list, streams } = this.core;
    const { facts } = list;
    const { connections, values, reactor, budget } = this.context;
    const { exchanges } = this;
    const listener = connections.listener[connection.socket];
    const service = this.context.serviceFor(connection.socket, VERDICT.HTTP2);
    exchanges.openClient(slot, service, facts.method, facts.grpc);
    exchanges.started[slot] = reactor.now;
    values[listenerBase(listener) + L.REQUESTS]++;
    if (this.context.access) this.context.accessLog.streamTarget(slot, exchanges, list);
    if (service < 0) {
      this.answers.respond(slot, 421, WHY.MISDIRECTED);
      return;
    }
    const base = this.context.services.base[service];
    values[base + S.REQUESTS]++;
    values[base + S.IN_FLIGHT]++;
    if (facts.grpc) values[base + S.GRPC_REQUESTS]++;
    exchanges.pending[slot] = 1;
    budget.deposit(service, reactor.ms);
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
    this.accounts.inFlight++;
    const kept = this.retries.keep(upstream, list, end);
    this.timers.exchange(connection, service);
    const next = this.lifecycle.pick(slot, upstream, NONE, kept, true);
    if (next !== null) this.lifecycle.send(slot, upstream, next, end);
  }

  requestTooLarge(connection: Connection, slot: number, _end: boolean): void {
    const { reactor } = this.context;
    const service = this.context.serviceFor(connection.socket, VERDICT.HTTP2);
    this.exchanges.openClient(slot, service, METHOD.GET, false);
    this.exchanges.started[slot] = reactor.now;
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
    // In place: a time that is handed to a function is allocated.
    const latency = (this.context.reactor.now - exchanges.started[slot]) * 1000;
    exchanges.latencyUs[upstream] = Math.min(latency, MAX_LATENCY_US) | 0;
    if (end) exchanges.grpcStatus[upstream] = facts.grpcStatus;
    exchanges.answered[slot] = 1;
    // What the endpoint calls gRPC is read as such only where the client has asked for it.
    if (!this.machine.sender.headers(slot, list, end)) return;
    if (end) this.lifecycle.responded(slot, upstream);
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
    if (socket >= 0) this.bridge.requests.trailers(other, socket, list);
    else if (
      socket !== GONE &&
      !this.machine.sender.trailers(other, list) &&
      (streams.state[other] & STREAM.OPEN) !== 0
    )
      this.lifecycle.shed(slot, other);
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
    if (!this.machine.sender.trailers(slot, list)) this.lifecycle.shed(slot, upstream);
    else if ((streams.state[slot] & STREAM.LOCAL_END) !== 0) this.lifecycle.responded(slot, upstream);
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
        if (!kept) this.lifecycle.shed(slot, other);
        return;
      }
      const moved =
        socket >= 0
          ? this.bridge.requests.data(other, socket, at, length, end)
          : this.machine.sender.data(other, at, length, end);
      if (moved < 0) this.lifecycle.shed(slot, other);
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
    if (moved < 0) this.lifecycle.shed(slot, upstream);
    else {
      if (moved > 0) this.machine.frames.credit(upstream, moved);
      if (end && (streams.state[slot] & STREAM.LOCAL_END) !== 0) this.lifecycle.responded(slot, upstream);
    }
  }

  reset(connection: Connection, slot: number, code: number): void {
    const other = this.core.streams.peer[slot];
    if (connection.role === ROLE.SERVER) {
      this.lifecycle.cancelled(slot, other);
      return;
    }
    this.connections.reuse(connection);
    const { streams } = this.core;
    // RFC 9113 section 8.1: the response is whole, and no more of the request is wanted. `flushed` ends the exchange.
    if ((streams.state[slot] & STREAM.REMOTE_END) !== 0 && streams.peerKind[slot] !== PEER.TUNNEL) return;
    if (code === ERROR.REFUSED_STREAM && this.retries.again(other, slot)) return;
    const why = code === ERROR.REFUSED_STREAM ? WHY.STREAM_REFUSED : WHY.UPSTREAM_RESET;
    this.lifecycle.endpointFailed(other, slot, code === ERROR.NO_ERROR ? ERROR.INTERNAL_ERROR : code, why);
  }

  streamFailed(connection: Connection, slot: number, _code: number): void {
    const other = this.core.streams.peer[slot];
    if (connection.role === ROLE.SERVER) {
      this.lifecycle.cancelled(slot, other);
      return;
    }
    this.connections.reuse(connection);
    this.lifecycle.endpointFailed(other, slot, ERROR.INTERNAL_ERROR, WHY.UPSTREAM_PROTOCOL);
  }

  connectionFailed(connection: Connection, code: number): void {
    this.connections.failed(connection, code);
  }

  settings(connection: Connection): void {
    this.connections.settings(connection);
  }

  goaway(connection: Connection, last: number, code: number): void {
    this.connections.goaway(connection, last, code);
  }

  warned(connection: Connection): void {
    this.connections.warned(connection);
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
    if (upstream >= 0) this.lifecycle.responded(slot, upstream);
    else this.lifecycle.finish(slot);
  }
}

// HTTP/2 connections as sockets: how they begin and end, and what happens to the streams on a connection, or waiting for one, that has
// ended.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { objectArray } from '../../http/object-array.js';
import { CONNECTION_STATE, Connection, ROLE } from '../../http2/connection.js';
import { H } from '../../http2/counters.js';
import { H2_ERROR, isErrorCode } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { ERRNO } from '../../io/abi.js';
import { SOCKET } from '../../io/sockets.js';
import { h2Base, WORKER_HISTOGRAMS, workerHistogram } from '../../metrics/layout.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, type Dialer, PURPOSE } from '../connect/dialer.js';
import { Http2Pool } from '../connect/http2-pool.js';
import { PendingRequests } from '../connect/pending-requests.js';
import { KNOWN, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import { type Exchanges, STATE } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot, StreamSlot } from '../slots.js';
import { ReadPauses } from './read-pauses.js';
import type { ConnectionEvents, Http2Streams } from './streams.js';
import { ConnectionTimers } from './timers.js';

const NONE = -1;
const CONNECTION_STREAMS = workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams'));

export class Http2Connections implements Caller, ConnectionEvents {
  readonly pool: Http2Pool;
  readonly timers: ConnectionTimers;
  private readonly pending: PendingRequests;
  private readonly readPauses: ReadPauses;
  /** The connection that a socket carries. */
  private readonly bySocket = objectArray<Connection | undefined>();
  /** One always exists: V8 discards code compiled for connections once it has collected the last of them. */
  shapeAnchor: Connection;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly machine: Http2Machine,
    private readonly exchanges: Exchanges,
    private readonly streams: Http2Streams,
    private readonly dialer: Dialer,
    private readonly reports: Reports,
    /** Keeps reading from a client whose connection has failed, so that it gets our last frames. */
    private readonly linger: (client: SocketSlot, reason: number) => void,
  ) {
    this.shapeAnchor = this.connection(0, ROLE.SERVER);
    this.pool = new Http2Pool(context, exchanges, (endpoint) => this.dial(endpoint));
    this.pending = new PendingRequests(context, this.pool, dialer, reports);
    this.readPauses = new ReadPauses(context, (socket) => this.bySocket[socket]);
    this.timers = new ConnectionTimers(context, core, machine, exchanges, streams, this.pool, reports, this);
    dialer.serve(PURPOSE.HTTP2, this);
  }

  /** The HTTP/2 connection on a socket, if there is one. */
  of(socket: number): Connection | undefined {
    return this.bySocket[socket];
  }

  /** A client connection that speaks HTTP/2; its data so far is in its inbox. */
  open(client: SocketSlot): void {
    const { sockets, inbox, slab, reactor } = this.context;
    sockets.kind[client] = SOCKET_KIND.HTTP2_CLIENT;
    const connection = this.connect(client, ROLE.SERVER);
    this.machine.sender.open(connection);
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      this.core.clock[0] = reactor.now;
      this.machine.receive(connection, inbox.startOf(bid), inbox.endOf(bid));
      slab.release(bid);
    }
    if (!this.context.connections.closed(client) && sockets.kind[client] === SOCKET_KIND.HTTP2_CLIENT) {
      this.timers.start(connection);
      sockets.resume(client);
    }
  }

  // Events of sockets.

  /** Bytes from a client or an endpoint. */
  data(socket: SocketSlot, bid: number, at: number, length: number): void {
    const { connections, reactor, slab } = this.context;
    const connection = this.bySocket[socket];
    if (connection !== undefined) {
      connections.active[socket] = reactor.now;
      this.core.clock[0] = reactor.now;
      this.machine.receive(connection, at, at + length);
      // An incomplete header block or frame has its own deadline.
      if (connection.role === ROLE.SERVER && connection.partial) this.timers.start(connection);
      this.readPauses.check(connection);
    }
    slab.release(bid);
  }

  eof(socket: SocketSlot): void {
    this.reportReset(socket);
    this.closed(socket, CLOSE.OK);
  }

  broken(socket: SocketSlot, errno: number): void {
    this.reportReset(socket);
    this.closed(socket, closeOf(errno));
  }

  /** A client that was not read, because it accepts nothing, has closed. If it is being read, reading finds the close. */
  hungUp(socket: SocketSlot, broken: boolean): void {
    if (!this.context.sockets.receiving(socket)) this.closed(socket, broken ? CLOSE.RESET : CLOSE.OK);
  }

  /**
   * The endpoint can no longer be written to. What it sent before is still processed: it may contain a response that ignores the rest of
   * its request. The end of its direction follows.
   */
  sendFailed(socket: SocketSlot, errno: number): void {
    const { sockets, connections } = this.context;
    const connection = this.bySocket[socket];
    const ended = errno === ERRNO.EPIPE || errno === ERRNO.ECONNRESET;
    if (!ended || connection === undefined || connection.active === 0 || (sockets.flags[socket] & SOCKET.EOF) !== 0) {
      this.broken(socket, errno);
      return;
    }
    sockets.dropQueue(socket);
    connection.state = Math.max(connection.state, CONNECTION_STATE.DRAINING);
    this.pool.gauge(connections.endpoint[socket]);
    sockets.resume(socket);
  }

  /** Everything queued has been sent. */
  drained(socket: SocketSlot): void {
    const connection = this.bySocket[socket];
    if (connection === undefined) return;
    const { sockets, reactor, connections } = this.context;
    this.core.clock[0] = reactor.now;
    connection.congested = false;
    if ((sockets.flags[socket] & SOCKET.PAUSED) !== 0) sockets.resume(socket);
    this.machine.sender.pump(connection);
    if (connection.role === ROLE.CLIENT) this.pending.serve(connections.endpoint[socket]);
  }

  timer(socket: SocketSlot): void {
    const connection = this.bySocket[socket];
    if (connection !== undefined) this.timers.fired(connection);
  }

  /** Once per loop turn: passes what was written to the sockets. */
  turn(): void {
    const { outOfMemory, overAllowance, stalled, output } = this.core;
    while (outOfMemory.length > 0) {
      const connection = outOfMemory.pop();
      if (connection !== undefined && this.bySocket[connection.socket] === connection)
        this.closed(connection.socket as SocketSlot, CLOSE.LIMIT);
    }
    while (overAllowance.length > 0) {
      const connection = overAllowance.pop();
      if (connection !== undefined && this.bySocket[connection.socket] === connection) this.drain(connection);
    }
    while (stalled.length > 0) {
      const connection = stalled.pop();
      if (connection !== undefined && this.bySocket[connection.socket] === connection) this.timers.stalled(connection);
    }
    output.commit();
    this.readPauses.turn();
    this.core.blocks.trim();
  }

  /** A drain has begun or settings have changed. */
  reconsider(socket: SocketSlot): void {
    const connection = this.bySocket[socket];
    if (connection === undefined) return;
    this.core.clock[0] = this.context.reactor.clock();
    this.timers.reconsider(connection);
  }

  // Dials.

  /** The endpoint has sent its SETTINGS: it accepts streams from now on. */
  ready(socket: SocketSlot): void {
    const connection = this.bySocket[socket];
    if (connection === undefined) return;
    const { connections, sockets } = this.context;
    const endpoint = connections.endpoint[socket];
    sockets.kind[socket] = SOCKET_KIND.HTTP2_ENDPOINT;
    this.context.protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    connection.timerAt = 0;
    this.timers.start(connection);
    this.pending.capacityChanged(endpoint);
  }

  /** The connection could not be established, or its endpoint does not speak HTTP/2: nothing sent on it was processed. */
  failed(socket: SocketSlot, reason: number): void {
    const connection = this.bySocket[socket];
    const { connections, sockets } = this.context;
    const endpoint = connections.endpoint[socket];
    const stood = (sockets.flags[socket] & SOCKET.CONNECTING) === 0;
    if (connection !== undefined) this.release(connection, reason);
    let why: number = reason === CLOSE.TIMEOUT ? REPLY_REASON.CONNECT_TIMEOUT : REPLY_REASON.CONNECT_FAILED;
    if (stood && (reason === CLOSE.OK || reason === CLOSE.RESET || reason === CLOSE.PROTOCOL)) {
      why = reason === CLOSE.PROTOCOL ? REPLY_REASON.UPSTREAM_PROTOCOL : REPLY_REASON.UPSTREAM_RESET;
      if (this.pending.learnNotHttp2(socket, reason === CLOSE.PROTOCOL && this.rejectsHttp2(socket, connection))) {
        this.pending.sendOverHttp1(endpoint);
        return;
      }
    }
    // Queued requests wait for another dial if there is one; otherwise they go elsewhere.
    if (!this.pool.of(endpoint).some((other) => other.state === CONNECTION_STATE.OPEN))
      this.pending.failover(endpoint, why);
  }

  /** Whether the endpoint has shown that it does not speak HTTP/2: by HTTP/1 bytes, or in its TLS handshake. */
  private rejectsHttp2(socket: SocketSlot, connection: Connection | undefined): boolean {
    const { tls, sockets } = this.context;
    const agreed = tls === undefined || sockets.layer[socket] === 0 || !tls.declinedHttp2(socket);
    return !agreed || (connection !== undefined && isHttp1Response(connection));
  }

  // Protocol events of connections.

  settings(connection: Connection): void {
    const socket = connection.socket as SocketSlot;
    if (connection.role === ROLE.SERVER) {
      // A connection that begins during a drain is told after a moment.
      if (this.context.isDraining(socket)) this.timers.start(connection);
    } else if (this.context.sockets.kind[socket] === SOCKET_KIND.DIALLING) this.dialer.complete(socket);
    else this.pending.capacityChanged(this.context.connections.endpoint[socket]);
  }

  reuse(connection: Connection): void {
    const endpoint = this.context.connections.endpoint[connection.socket];
    if (this.pool.first(endpoint) >= 0) this.pending.serve(endpoint);
    if (connection.active === 0) {
      if (connection.closing) this.closeIfDrained(connection);
      else if (this.context.draining) this.retire(connection);
      else this.timers.idle(connection);
    }
  }

  endpointStreamOpened(connection: Connection): void {
    this.timers.endpointStreamOpened(connection);
  }

  clientStreamOpened(connection: Connection, service: number): void {
    this.timers.clientStreamOpened(connection, service);
  }

  discardBegun(connection: Connection): void {
    this.timers.discardBegun(connection);
  }

  /** The peer has read everything before the PING of `Sender.beginShutdown`. */
  shutdownRead(connection: Connection): void {
    // The second step of leaving: everything the client sent before it saw the first has arrived.
    if (connection.role === ROLE.SERVER && connection.state === CONNECTION_STATE.SHUTTING_DOWN) {
      this.machine.sender.goaway(connection);
      this.closeIfDrained(connection);
    }
  }

  /** The peer is leaving, and will not process streams above `last`. */
  goaway(connection: Connection, last: number, code: number): void {
    if (connection.role === ROLE.SERVER) {
      // The client opens no more streams; it is gone when the current ones end.
      this.machine.sender.goaway(connection);
      this.closeIfDrained(connection);
      return;
    }
    const { streams } = this.core;
    connection.state = Math.max(connection.state, CONNECTION_STATE.DRAINING);
    if (isErrorCode(code)) connection.errorReceived = true;
    // Streams above `last` were not and will not be processed (RFC 9113 section 6.8).
    for (let slot = streams.first(connection); slot !== NONE; ) {
      if (streams.id[slot] <= last) {
        slot = streams.after(connection, slot);
        continue;
      }
      const x = this.streams.exchange(slot) as ExchangeSlot;
      this.machine.sender.close(slot);
      this.streams.detach(x);
      this.reports.events.refused(x, code);
      // Anything may have ended meanwhile: start over.
      slot = streams.first(connection);
    }
    this.pending.capacityChanged(this.context.connections.endpoint[connection.socket]);
    this.closeIfDrained(connection);
  }

  /** The peer has violated the protocol: GOAWAY is queued; the streams are still on the connection. */
  violated(connection: Connection, code: number): void {
    const socket = connection.socket as SocketSlot;
    const reason = code === H2_ERROR.ENHANCE_YOUR_CALM ? CLOSE.LIMIT : CLOSE.PROTOCOL;
    this.core.output.flush(connection);
    if (this.context.sockets.kind[socket] === SOCKET_KIND.DIALLING) {
      this.dialer.refuse(socket, CLOSE.PROTOCOL);
      return;
    }
    this.release(connection, CLOSE.PROTOCOL);
    if (connection.role === ROLE.SERVER && this.context.observed) this.context.connectionLog.violated(socket, reason);
    if (connection.role === ROLE.SERVER) this.linger(socket, reason);
    else this.context.connections.closeWhenSent(socket, reason);
  }

  // Ends of connections.

  /** Starts to leave: a client is warned first; an endpoint gets no more streams. */
  retire(connection: Connection): void {
    if (connection.role === ROLE.SERVER) this.machine.sender.beginShutdown(connection);
    else {
      this.machine.sender.goaway(connection);
      this.pool.gauge(this.context.connections.endpoint[connection.socket]);
      this.closeIfDrained(connection);
    }
  }

  /**
   * An endpoint keeps the connection window shut, like one that answers uploads early and never returns their window. The connection gets
   * no more streams, and requests that have sent none of their body on it move to another.
   */
  retireStalled(connection: Connection): void {
    const { streams } = this.core;
    this.machine.sender.goaway(connection);
    for (let slot = streams.first(connection); slot !== NONE; ) {
      const next = streams.after(connection, slot);
      const waits = (streams.state[slot] & STREAM.BLOCKED) !== 0;
      const moved = waits && this.reports.events.retryStalled(this.streams.exchange(slot) as ExchangeSlot);
      // Anything may have ended meanwhile: start over.
      slot = moved ? streams.first(connection) : next;
    }
    this.pending.capacityChanged(this.context.connections.endpoint[connection.socket]);
    this.closeIfDrained(connection);
  }

  /**
   * An endpoint's connection gets no more streams. It gets a GOAWAY when its streams are over; until then violations may still cut it off.
   */
  private drain(connection: Connection): void {
    if (connection.state !== CONNECTION_STATE.OPEN) return;
    connection.state = CONNECTION_STATE.DRAINING;
    this.pending.capacityChanged(this.context.connections.endpoint[connection.socket]);
    this.closeIfDrained(connection);
  }

  /** Closes a connection that accepts no new streams and has none left. */
  closeIfDrained(connection: Connection): void {
    if (connection.state !== CONNECTION_STATE.DRAINING || connection.active > 0) return;
    const { connections } = this.context;
    const { socket } = connection;
    if (connections.closed(socket) || this.bySocket[socket] !== connection) return;
    if (connection.overAllowance) this.machine.sender.frames.goaway(connection, 0, H2_ERROR.ENHANCE_YOUR_CALM);
    this.core.output.flush(connection);
    this.release(connection, CLOSE.OK);
    connections.closeWhenSent(socket, this.context.isDraining(socket) ? CLOSE.DRAIN : CLOSE.OK);
  }

  /** The endpoint was removed: its connections end with their streams, and waiting requests go elsewhere. */
  endpointRemoved(endpoint: number): void {
    for (const connection of [...this.pool.of(endpoint)]) {
      if (connection.settingsSeen) this.retire(connection);
      else {
        const socket = connection.socket as SocketSlot;
        this.release(connection, CLOSE.OK);
        this.context.connections.close(socket, CLOSE.OK);
      }
    }
    this.pending.failover(endpoint, REPLY_REASON.CONNECT_FAILED);
  }

  /** The connection has ended or broken, and with it its streams. */
  closed(socket: SocketSlot, reason: number): void {
    const connection = this.bySocket[socket];
    if (connection !== undefined) this.release(connection, reason);
    this.context.connections.close(socket, reason);
  }

  /** The socket speaks HTTP/2 from now on. */
  private connect(socket: SocketSlot, role: number): Connection {
    const { values, reactor } = this.context;
    this.core.clock[0] = reactor.now;
    const connection = this.connection(socket, role);
    while (this.bySocket.length <= socket) this.bySocket.push(undefined);
    this.bySocket[socket] = connection;
    values[connection.meter + H.CONNECTIONS_TOTAL]++;
    values[connection.meter + H.CONNECTIONS]++;
    return connection;
  }

  /** Call this when the shape of connections may have changed: the anchor still has the old one. */
  renewShapeAnchor(): void {
    this.shapeAnchor = this.connection(0, ROLE.SERVER);
  }

  private connection(socket: number, role: number): Connection {
    const { limits, reactor } = this.context;
    return new Connection(socket, role, h2Base(role), this.core.memory, limits.http2, reactor.now);
  }

  /** Dials a connection to `endpoint`. Returns 0 or a DIAL code. */
  private dial(endpoint: number): number {
    const socket = this.dialer.dial(endpoint, PURPOSE.HTTP2);
    if (socket < 0) return socket;
    const connection = this.connect(socket as SocketSlot, ROLE.CLIENT);
    this.pool.add(endpoint, connection);
    this.machine.sender.open(connection);
    return 0;
  }

  /** The peer has ended the connection. An endpoint that owed responses has failed: once, however many there were. */
  private reportReset(socket: SocketSlot): void {
    const connection = this.bySocket[socket];
    if (connection === undefined || connection.role === ROLE.SERVER || connection.errorReceived) return;
    const { streams } = this.core;
    const { exchanges } = this;
    const { balancer, connections, reactor } = this.context;
    let ejections = NONE;
    for (let slot = streams.first(connection); slot !== NONE; slot = streams.after(connection, slot)) {
      const x = this.streams.exchange(slot) as ExchangeSlot;
      if (exchanges.status[x] === 0) ejections = Math.max(ejections, exchanges.ejections[x]);
    }
    if (ejections !== NONE) balancer.failed(connections.endpoint[socket], reactor.ms, HEALTH_SIGNAL.RESET, ejections);
  }

  /** Ends every stream of a connection, and removes it. */
  private release(connection: Connection, reason: number): void {
    const { streams } = this.core;
    const { socket } = connection;
    const { connections, metrics, values } = this.context;
    if (this.bySocket[socket] !== connection) return;
    this.bySocket[socket] = undefined;
    connection.state = CONNECTION_STATE.FAILED;
    const endpoint = connections.endpoint[socket];
    if (connection.role === ROLE.CLIENT) this.pool.remove(endpoint, connection);
    for (let slot = streams.first(connection); slot !== NONE; slot = streams.first(connection)) {
      this.machine.sender.close(slot);
      if (connection.role === ROLE.SERVER) {
        this.reports.events.clientGone(this.exchanges.ofStream(slot as StreamSlot), reason);
        continue;
      }
      const x = this.streams.exchange(slot) as ExchangeSlot;
      const whole = (streams.state[slot] & STREAM.REMOTE_END) !== 0;
      // One that had served before may have ended before the request reached its endpoint.
      const stale = connection.opened > 1;
      this.streams.detach(x);
      // An endpoint that has sent everything has not failed, though the client has not got all of it yet.
      if (whole && this.exchanges.state[x] !== STATE.TUNNEL && this.exchanges.respondedEarly[x] === 0) continue;
      if (reason === CLOSE.PROTOCOL)
        this.reports.events.failed(x, REPLY_REASON.UPSTREAM_PROTOCOL, H2_ERROR.INTERNAL_ERROR, HEALTH_SIGNAL.NONE);
      else this.reports.events.connectionLost(x, reason, stale, HEALTH_SIGNAL.NONE);
    }
    this.machine.drop(connection);
    values[connection.meter + H.CONNECTIONS]--;
    metrics.record(CONNECTION_STREAMS, connection.opened);
    // `failed` handles requests waiting for a connection that was never established; dialled from here, it would be dialled again and
    // again.
    if (connection.role === ROLE.CLIENT && connection.settingsSeen && this.pool.first(endpoint) >= 0)
      this.pending.serve(endpoint);
  }
}

/** Whether the bytes in place of the first frame header were the beginning of `HTTP/1.x`. */
function isHttp1Response(connection: Connection): boolean {
  return connection.length === 0x485454 && connection.type === 0x50 && connection.flags === 0x2f;
}

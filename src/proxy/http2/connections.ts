// HTTP/2 connections as sockets: how they begin, and their events. connection-ends.ts has how they end.

import { CONNECTION_STATE, Connection, ROLE } from '../../http2/connection.js';
import { H } from '../../http2/counters.js';
import { H2_ERROR, isErrorCode } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { ERRNO } from '../../io/abi.js';
import { SOCKET } from '../../io/sockets.js';
import { h2Base } from '../../metrics/layout.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import { type Caller, type Dialer, PURPOSE } from '../connect/dialer.js';
import { Http2Pool } from '../connect/http2-pool.js';
import { PendingRequests } from '../connect/pending-requests.js';
import { KNOWN, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { Exchanges } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { ConnectionEnds } from './connection-ends.js';
import { ReadPauses } from './read-pauses.js';
import type { ConnectionEvents, Http2Streams } from './streams.js';
import { ConnectionTimers } from './timers.js';

const NONE = -1;

export class Http2Connections implements Caller, ConnectionEvents {
  readonly pool: Http2Pool;
  readonly timers: ConnectionTimers;
  private readonly pending: PendingRequests;
  private readonly readPauses: ReadPauses;
  private readonly ends: ConnectionEnds;
  /** The connection that a socket carries. */
  private readonly bySocket: (Connection | undefined)[];
  /** One always exists: V8 discards code compiled for connections once it has collected the last of them. */
  shapeAnchor: Connection;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly machine: Http2Machine,
    exchanges: Exchanges,
    private readonly streams: Http2Streams,
    private readonly dialer: Dialer,
    private readonly reports: Reports,
    /** Keeps reading from a client whose connection has failed, so that it gets our last frames. */
    private readonly linger: (client: SocketSlot, reason: number) => void,
  ) {
    this.shapeAnchor = this.connection(0, ROLE.SERVER);
    this.pool = new Http2Pool(context, exchanges, (endpoint) => this.dial(endpoint));
    this.pending = new PendingRequests(context, this.pool, dialer, reports);
    this.ends = new ConnectionEnds(context, core, machine, exchanges, streams, this.pool, this.pending, reports);
    this.bySocket = this.ends.bySocket;
    this.readPauses = new ReadPauses(context, (socket) => this.bySocket[socket]);
    this.timers = new ConnectionTimers(context, core, machine, exchanges, streams, this.pool, reports, this, this.ends);
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
    this.ends.reportReset(socket);
    this.ends.closed(socket, CLOSE.OK);
  }

  broken(socket: SocketSlot, errno: number): void {
    this.ends.reportReset(socket);
    this.ends.closed(socket, closeOf(errno));
  }

  /** A client that was not read, because it accepts nothing, has closed. If it is being read, reading finds the close. */
  hungUp(socket: SocketSlot, broken: boolean): void {
    if (!this.context.sockets.receiving(socket)) this.ends.closed(socket, broken ? CLOSE.RESET : CLOSE.OK);
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
        this.ends.closed(connection.socket as SocketSlot, CLOSE.LIMIT);
    }
    while (overAllowance.length > 0) {
      const connection = overAllowance.pop();
      if (connection !== undefined && this.bySocket[connection.socket] === connection) this.ends.drain(connection);
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
    if (connection !== undefined) this.ends.release(connection, reason);
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
      if (connection.closing) this.ends.closeIfDrained(connection);
      else if (this.context.draining) this.ends.retire(connection);
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
      this.ends.closeIfDrained(connection);
    }
  }

  /** The peer is leaving, and will not process streams above `last`. */
  goaway(connection: Connection, last: number, code: number): void {
    if (connection.role === ROLE.SERVER) {
      // The client opens no more streams; it is gone when the current ones end.
      this.machine.sender.goaway(connection);
      this.ends.closeIfDrained(connection);
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
    this.ends.closeIfDrained(connection);
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
    this.ends.release(connection, CLOSE.PROTOCOL);
    if (connection.role === ROLE.SERVER && this.context.observed) this.context.connectionLog.violated(socket, reason);
    if (connection.role === ROLE.SERVER) this.linger(socket, reason);
    else this.context.connections.closeWhenSent(socket, reason);
  }

  closeIfDrained(connection: Connection): void {
    this.ends.closeIfDrained(connection);
  }

  /** The endpoint was removed: its connections end with their streams, and waiting requests go elsewhere. */
  endpointRemoved(endpoint: number): void {
    for (const connection of [...this.pool.of(endpoint)]) {
      if (connection.settingsSeen) this.ends.retire(connection);
      else {
        const socket = connection.socket as SocketSlot;
        this.ends.release(connection, CLOSE.OK);
        this.context.connections.close(socket, CLOSE.OK);
      }
    }
    this.pending.failover(endpoint, REPLY_REASON.CONNECT_FAILED);
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
}

/** Whether the bytes in place of the first frame header were the beginning of `HTTP/1.x`. */
function isHttp1Response(connection: Connection): boolean {
  return connection.length === 0x485454 && connection.type === 0x50 && connection.flags === 0x2f;
}

// HTTP/2 connections as sockets: how they begin, how they are left, and what becomes of those who used or awaited one that has ended.

import { Connection, GOING, ROLE } from '../http2/connection.js';
import { H } from '../http2/counters.js';
import { H2_ERROR } from '../http2/frame.js';
import type { Http2Machine } from '../http2/machine.js';
import type { CongestionSink, Core } from '../http2/shared-state.js';
import { PEER, STREAM } from '../http2/streams.js';
import { SOCKET } from '../io/sockets.js';
import { h2Base, W, WORKER_HISTOGRAMS, workerHistogram } from '../metrics/layout.js';
import { CLOSE, SOCKET_KIND } from './connect/connections.js';
import type { Http2Pool } from './connect/http2-pool.js';
import { type Context, SERVICE_PROTOCOL } from './context.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import { WAITING } from './http2-exchange.js';

const NONE = -1;
/** Output beyond this much stops the reading of requests: their answers would only add to it. */
const OUTPUT_FACTOR = 4;
const CONNECTION_STREAMS = workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams'));

export class Http2Connections {
  /** The connection that a socket carries. */
  readonly bySocket: (Connection | undefined)[] = [];
  private readonly context: Context;
  private readonly core: Core;
  private readonly machine: Http2Machine;
  private readonly pool: Http2Pool;

  constructor(private readonly http2: Http2) {
    this.context = http2.context;
    this.core = http2.core;
    this.machine = http2.machine;
    this.pool = http2.pool;
  }

  /** The socket speaks HTTP/2 from here on. */
  connect(socket: number, role: number): Connection {
    const { limits, values, reactor } = this.context;
    this.core.clock[0] = reactor.now;
    const connection = new Connection(socket, role, h2Base(role), this.core.memory, limits.http2, reactor.now);
    while (this.bySocket.length <= socket) this.bySocket.push(undefined);
    this.bySocket[socket] = connection;
    values[connection.meter + H.CONNECTIONS_TOTAL]++;
    values[connection.meter + H.CONNECTIONS]++;
    return connection;
  }

  /** Begins a connection to `endpoint`. Returns 0 or a DIAL code. */
  dial(endpoint: number): number {
    const { reactor } = this.context;
    const socket = this.http2.upstreams.dial(endpoint, SOCKET_KIND.HTTP2_UPSTREAM);
    if (socket < 0) return socket;
    this.core.clock[0] = reactor.now;
    const connection = this.connect(socket, ROLE.CLIENT);
    this.pool.add(endpoint, connection);
    this.machine.sender.open(connection);
    return 0;
  }

  /** The peer has said its SETTINGS: an endpoint takes streams from now on. */
  settings(connection: Connection): void {
    if (connection.role === ROLE.SERVER) {
      if (this.context.draining) this.machine.sender.warn(connection);
      return;
    }
    const { connections, endpoints, wheel } = this.context;
    const endpoint = connections.endpoint[connection.socket];
    if (endpoints.protocol[endpoint] !== SERVICE_PROTOCOL.HTTP2)
      this.context.learnProtocol(endpoint, SERVICE_PROTOCOL.HTTP2);
    wheel.cancel(connection.socket);
    connection.timerAt = 0;
    this.http2.timers.start(connection);
    this.pool.gauge(endpoint);
    this.http2.lifecycle.serve(endpoint);
    this.pool.spare(endpoint);
  }

  /** A place on a connection to an endpoint has become free. */
  reuse(connection: Connection): void {
    const endpoint = this.context.connections.endpoint[connection.socket];
    if (this.pool.firstWaiting(endpoint) >= 0) this.http2.lifecycle.serve(endpoint);
    if (connection.active === 0) {
      if (connection.closing) this.leaveIfDone(connection);
      else if (this.context.draining) this.retire(connection);
      else this.http2.timers.idle(connection);
    }
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

  /** The peer has read what came before the PING of `Sender.warn`. */
  warned(connection: Connection): void {
    // The second step of leaving: what the client sent before it saw the first has arrived.
    if (connection.role === ROLE.SERVER && connection.going === GOING.WARNED) {
      this.machine.sender.leave(connection);
      this.leaveIfDone(connection);
    }
  }

  /** The peer leaves, and will not look at streams above `last`. */
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
      if (!this.http2.retries.again(client, slot)) {
        this.http2.lifecycle.endpointFailed(
          client,
          slot,
          code === H2_ERROR.NO_ERROR ? H2_ERROR.REFUSED_STREAM : code,
          WHY.STREAM_REFUSED,
        );
      }
      // Anything may have ended meanwhile: the walk begins anew.
      slot = streams.first(connection);
    }
    const endpoint = connections.endpoint[connection.socket];
    this.pool.gauge(endpoint);
    this.http2.lifecycle.serve(endpoint);
    this.leaveIfDone(connection);
    this.pool.spare(endpoint);
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

  /** The endpoint was removed: its connections end with their streams, and what waits goes elsewhere. */
  endpointGone(endpoint: number): void {
    for (const connection of [...this.pool.of(endpoint)]) {
      if (connection.settingsSeen) this.retire(connection);
      else this.dialFailed(connection.socket, WHY.CONNECT_FAILED, CLOSE.OK);
    }
    this.elsewhere(endpoint, WHY.CONNECT_FAILED);
  }

  /** The peer has broken the rules: GOAWAY is queued, and the streams are still on the connection. */
  failed(connection: Connection, code: number): void {
    const { socket } = connection;
    const reason = code === H2_ERROR.ENHANCE_YOUR_CALM ? CLOSE.LIMIT : CLOSE.PROTOCOL;
    this.core.output.flush(connection);
    this.release(connection, WHY.UPSTREAM_PROTOCOL);
    const { connections } = this.context;
    if (connection.role === ROLE.SERVER) this.http2.http1.answers.linger(socket, reason);
    else {
      const endpoint = connections.endpoint[socket];
      connections.closeWhenSent(socket, reason);
      if (!connection.settingsSeen) this.refused(endpoint, saysHttp1(connection), WHY.UPSTREAM_PROTOCOL);
    }
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
    if (service >= 0 && services.protocol[service] === SERVICE_PROTOCOL.AUTO) {
      const known = endpoints.protocol[endpoint];
      this.context.learnProtocol(
        endpoint,
        known === SERVICE_PROTOCOL.HTTP2 && !said ? SERVICE_PROTOCOL.AUTO : SERVICE_PROTOCOL.HTTP1,
      );
      if (this.http2.bridge.speaksHttp1(service, endpoint)) this.overBridge(endpoint, why);
    } else this.http2.upstreams.unusable(endpoint);
    this.undialled(endpoint, why);
  }

  /** Whoever waits for a connection of `endpoint` goes there by HTTP/1. */
  private overBridge(endpoint: number, why: number): void {
    for (let upstream = this.pool.firstWaiting(endpoint); upstream >= 0; upstream = this.pool.firstWaiting(endpoint)) {
      const slot = this.core.streams.peer[upstream];
      this.pool.unwait(upstream);
      // A client of HTTP/1 comes here for an endpoint that is known to speak HTTP/2: this one does not.
      if (this.http2.exchanges.client[slot] >= 0 || this.http2.bridge.take(upstream, endpoint, true) < 0)
        this.http2.retries.elsewhere(slot, upstream, endpoint, why);
      else if (this.http2.exchanges.waiting[upstream] === WAITING.NO) this.http2.bridge.requests.begin(upstream, false);
    }
  }

  /** Whoever waits for a connection of `endpoint` is sent to another one. */
  private elsewhere(endpoint: number, why: number): void {
    // Where there is no other endpoint they come back to the end of this line, for the connection that is dialled next.
    const last = this.pool.lastWaiting(endpoint);
    for (let upstream = this.pool.firstWaiting(endpoint); upstream >= 0; upstream = this.pool.firstWaiting(endpoint)) {
      this.pool.unwait(upstream);
      this.http2.retries.elsewhere(this.core.streams.peer[upstream], upstream, endpoint, why);
      if (upstream === last) return;
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
      if (connection.role === ROLE.SERVER) this.http2.lifecycle.cancelled(slot, other);
      // An endpoint that has said all it had to say has not failed, though the client has not got all of it yet.
      else if ((streams.state[slot] & STREAM.REMOTE_END) === 0 || streams.peerKind[slot] === PEER.TUNNEL)
        this.http2.lifecycle.endpointFailed(other, slot, H2_ERROR.INTERNAL_ERROR, why);
    }
    this.machine.drop(connection);
    values[connection.meter + H.CONNECTIONS]--;
    metrics.record(CONNECTION_STREAMS, connection.opened);
    // Who waits for a connection that never came to be is `dialFailed`'s: dialled from here, it would be again and again.
    if (connection.role === ROLE.CLIENT && connection.settingsSeen && this.pool.firstWaiting(endpoint) >= 0)
      this.http2.lifecycle.serve(endpoint);
  }
}

/** Whether what came in place of the first frame header was the beginning of `HTTP/1.x`. */
function saysHttp1(connection: Connection): boolean {
  return connection.length === 0x485454 && connection.type === 0x50 && connection.flags === 0x2f;
}

/** How the protocol's output reaches sockets, and how it learns that one has enough. */
export function congestionSink(context: Context): CongestionSink {
  const { sockets, values } = context;
  return {
    queue: (socket, at, length, bid) => {
      sockets.queue(socket, at, length, bid);
      const hard = OUTPUT_FACTOR * context.limits.maxBufferedBytes;
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

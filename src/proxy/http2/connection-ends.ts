// How HTTP/2 connections end, and what then happens to their streams.
import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { objectArray } from '../../http/object-array.js';
import { CONNECTION_STATE, type Connection, ROLE } from '../../http2/connection.js';
import { H } from '../../http2/counters.js';
import { H2_ERROR } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { WORKER_HISTOGRAMS, workerHistogram } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import type { Http2Pool } from '../connect/http2-pool.js';
import type { PendingRequests } from '../connect/pending-requests.js';
import type { Context } from '../context.js';
import { type Exchanges, STATE } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, SocketSlot, StreamSlot } from '../slots.js';
import type { Http2Streams } from './streams.js';

const NONE = -1;
const CONNECTION_STREAMS = workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams'));

export class ConnectionEnds {
  /** The connection that a socket carries. */
  readonly bySocket = objectArray<Connection | undefined>();

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly machine: Http2Machine,
    private readonly exchanges: Exchanges,
    private readonly streams: Http2Streams,
    private readonly pool: Http2Pool,
    private readonly pending: PendingRequests,
    private readonly reports: Reports,
  ) {}

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
  drain(connection: Connection): void {
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

  /** The connection has ended or broken, and with it its streams. */
  closed(socket: SocketSlot, reason: number): void {
    const connection = this.bySocket[socket];
    if (connection !== undefined) this.release(connection, reason);
    this.context.connections.close(socket, reason);
  }

  /** The peer has ended the connection. An endpoint that owed responses has failed: once, however many there were. */
  reportReset(socket: SocketSlot): void {
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
  release(connection: Connection, reason: number): void {
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

// Deadlines of HTTP/2 connections and their streams. A connection has one timer; when it fires all its streams are checked, and it is
// rearmed for the earliest remaining deadline.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { VERDICT } from '../../detect/matcher.js';
import { CONNECTION_STATE, type Connection, READ_STATE, ROLE } from '../../http2/connection.js';
import { H2_ERROR } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { LIMITS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import type { Http2Pool } from '../connect/http2-pool.js';
import type { Context } from '../context.js';
import type { Exchanges } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import { REFUSED } from '../refusals.js';
import type { ExchangeSlot, SocketSlot, StreamSlot } from '../slots.js';
import type { ConnectionEnds } from './connection-ends.js';
import { DISCARD_SILENCES, type Http2Streams } from './streams.js';

const NONE = -1;
const NEVER = Number.POSITIVE_INFINITY;
/** Interval for checking a connection's streams, ms: the precision of their deadlines. */
const CHECK_INTERVAL_MS = 100;
/** Endpoints treat PINGs on silent connections more often than this as flooding: gRPC's limit (gRFC A8), ms. */
const ENDPOINT_PING_MS = 300_000;
/** The second GOAWAY follows when the PING is answered, or after this, ms. */
const SHUTDOWN_TIMEOUT_MS = 1000;
/** How often to check a discarded stream within one silence. */
const DISCARD_CHECKS = 5;
/**
 * While draining, a connection without streams is closed after this time, ms. A new connection gets this time before its GOAWAY: libraries
 * cancel the requests they have not sent when a GOAWAY arrives, so a client told before its first request would never get any through.
 */
const DRAIN_IDLE_MS = 1000;

const LIMIT = {
  FILES: LIMITS.indexOf('file-descriptors'),
  HEADER_TIME: LIMITS.indexOf('h2-header-time'),
  STALLED: LIMITS.indexOf('h2-stalled'),
  WINDOW: LIMITS.indexOf('h2-window'),
  KEEPALIVE: LIMITS.indexOf('h2-keepalive'),
  IDLE_TIME: LIMITS.indexOf('h2-idle-time'),
  AGE: LIMITS.indexOf('h2-connection-age'),
} as const;

/** Who has the connections. */
interface Owner {
  of(socket: number): Connection | undefined;
  reuse(connection: Connection): void;
}

export class ConnectionTimers {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly machine: Http2Machine,
    private readonly exchanges: Exchanges,
    private readonly streams: Http2Streams,
    private readonly pool: Http2Pool,
    private readonly reports: Reports,
    private readonly owner: Owner,
    private readonly ends: Pick<ConnectionEnds, 'retire' | 'retireStalled' | 'closed' | 'closeIfDrained'>,
  ) {}

  /** A connection is ready to serve. */
  start(connection: Connection): void {
    this.arm(connection, this.next(connection));
  }

  /** A stream has begun on a client's connection. */
  clientStreamOpened(connection: Connection, service: number): void {
    const { context } = this;
    const { limits, services, reactor } = context;
    let wait = limits.http2.stallTimeoutMs;
    const response = services.responseTimeoutMs[service];
    if (response > 0 && response < wait) wait = response;
    const body = context.bodyTimeout(service);
    if (body > 0 && body < wait) wait = body;
    const connect = services.connectTimeoutMs[service];
    if (connect > 0 && connect < wait) wait = connect;
    // Compared here, because passing a time on would allocate.
    if (connection.timerAt === 0 || connection.timerAt > reactor.now + wait) this.arm(connection, reactor.now + wait);
  }

  /** A stream has begun on an endpoint's connection. */
  endpointStreamOpened(connection: Connection): void {
    const { reactor } = this.context;
    const wait = connection.limits.stallTimeoutMs;
    if (connection.timerAt === 0 || connection.timerAt > reactor.now + wait) this.arm(connection, reactor.now + wait);
  }

  /** The rest of a request is being discarded. */
  discardBegun(connection: Connection): void {
    const { reactor } = this.context;
    connection.discardsUntil = reactor.now + DISCARD_SILENCES * connection.limits.discardTimeoutMs;
    this.arm(connection, reactor.now + connection.limits.discardTimeoutMs);
  }

  /** A pooled connection has no stream. */
  idle(connection: Connection): void {
    const { reactor } = this.context;
    connection.idleSince = reactor.now;
    this.arm(connection, reactor.now + this.idleMs(connection));
  }

  /** Data waits for the window of an endpoint's connection. */
  stalled(connection: Connection): void {
    this.arm(connection, this.next(connection));
  }

  /** A drain has begun or the configuration has changed. */
  reconsider(connection: Connection): void {
    const { context } = this;
    if (connection.role === ROLE.SERVER) {
      const known = connection.opened > 0 || context.reactor.clock() >= connection.since + DRAIN_IDLE_MS;
      if (known && context.isDraining(connection.socket)) this.machine.sender.beginShutdown(connection);
    } else if (context.draining && connection.active === 0 && connection.settingsSeen) {
      this.ends.retire(connection);
      return;
    }
    connection.timerAt = 0;
    context.wheel.pull(connection.socket, context.reactor.clock() + 1);
  }

  /** The timer of a connection's socket. */
  fired(connection: Connection): void {
    this.core.clock[0] = this.context.reactor.now;
    connection.timerAt = 0;
    this.machine.sender.returnCredit(connection, 0);
    if (connection.role === ROLE.SERVER ? this.client(connection) : this.endpoint(connection)) return;
    if (this.keepAlive(connection)) return;
    this.walk(connection);
    if (this.owner.of(connection.socket) === connection) this.arm(connection, this.next(connection));
  }

  /** True if the connection has ended. */
  private client(connection: Connection): boolean {
    const { context, machine } = this;
    const { connections, reactor } = context;
    const { limits, socket } = connection;
    const { now } = reactor;
    if (connection.readState === READ_STATE.PREFACE || !connection.settingsSeen) {
      if (now < connection.since + limits.headerTimeoutMs) return false;
      context.limited(LIMIT.HEADER_TIME);
      this.ends.closed(socket as SocketSlot, CLOSE.TIMEOUT);
      return true;
    }
    if (connection.partial && now >= connection.blockSince + limits.headerTimeoutMs) {
      context.limited(LIMIT.HEADER_TIME);
      machine.sender.fail(connection, H2_ERROR.ENHANCE_YOUR_CALM);
      return true;
    }
    if (connection.state === CONNECTION_STATE.SHUTTING_DOWN && now >= connection.pingSentAt + SHUTDOWN_TIMEOUT_MS) {
      machine.sender.goaway(connection);
    }
    if (connection.state === CONNECTION_STATE.OPEN) {
      if (limits.maxAgeMs > 0 && now >= connection.since + limits.maxAgeMs) {
        context.limited(LIMIT.AGE);
        machine.sender.beginShutdown(connection);
      } else if (now >= connection.since + DRAIN_IDLE_MS && context.isDraining(socket)) {
        machine.sender.beginShutdown(connection);
      } else if (
        connection.active === 0 &&
        now >= connections.active[socket] + DRAIN_IDLE_MS &&
        context.clientRoom.wanted()
      ) {
        context.limited(LIMIT.FILES);
        context.refusals.note(REFUSED.IDLE_CLOSED, socket, NONE, NONE);
        machine.sender.beginShutdown(connection);
      } else if (connection.active === 0 && now >= connections.active[socket] + this.idleMs(connection)) {
        context.limited(LIMIT.IDLE_TIME);
        machine.sender.beginShutdown(connection);
      }
    } else if (
      limits.maxAgeMs > 0 &&
      now >= connection.since + limits.maxAgeMs + limits.ageGraceMs &&
      connection.active > 0
    ) {
      this.ends.closed(socket as SocketSlot, CLOSE.TIMEOUT);
      return true;
    }
    this.ends.closeIfDrained(connection);
    return this.owner.of(socket) !== connection;
  }

  /** True if the connection has ended. */
  private endpoint(connection: Connection): boolean {
    const { reactor } = this.context;
    const { socket } = connection;
    if (connection.state === CONNECTION_STATE.OPEN) {
      const idle = connection.active === 0 && reactor.now >= connection.idleSince + this.idleMs(connection);
      if (idle && !this.pool.isSpare(connection)) this.ends.retire(connection);
      else if (reactor.now >= this.pool.expires(connection)) this.ends.retire(connection);
      else if (reactor.now >= this.windowDeadline(connection)) {
        this.context.limited(LIMIT.WINDOW);
        this.ends.retireStalled(connection);
      }
    }
    return this.owner.of(socket) !== connection;
  }

  /** PINGs a silent peer that owes us something; true if it did not answer and the connection has ended. */
  private keepAlive(connection: Connection): boolean {
    const { context, machine } = this;
    const { limits, socket } = connection;
    if (limits.keepAliveMs === 0) return false;
    const { now } = context.reactor;
    // Any data counts as an answer: a busy connection is never closed because of a late PING.
    const heard = context.connections.active[socket];
    if (connection.pingPending) {
      const asked = Math.max(heard, connection.pingSentAt);
      if (now < asked + limits.keepAliveTimeoutMs || connection.state === CONNECTION_STATE.SHUTTING_DOWN) return false;
      context.limited(LIMIT.KEEPALIVE);
      this.ends.closed(socket as SocketSlot, CLOSE.TIMEOUT);
      return true;
    }
    if (connection.active > 0 && now >= heard + this.pingMs(connection)) machine.sender.ping(connection);
    return false;
  }

  private walk(connection: Connection): void {
    const { streams } = this.core;
    const { socket } = connection;
    for (let slot = streams.first(connection); slot !== NONE; ) {
      const next = streams.after(connection, slot);
      if (this.stream(connection, slot)) {
        // Others may have ended with it: start over, unless the connection has ended too.
        if (this.owner.of(socket) !== connection) return;
        slot = streams.first(connection);
      } else slot = next;
    }
  }

  /** True if the stream has ended. */
  private stream(connection: Connection, slot: number): boolean {
    const { streams } = this.core;
    if (this.waitsTooLong(connection, slot)) {
      this.context.limited(LIMIT.STALLED);
      this.machine.sender.reset(slot, H2_ERROR.CANCEL);
      if (connection.role === ROLE.SERVER) {
        this.reports.events.clientGone(this.exchanges.ofStream(slot as StreamSlot), CLOSE.TIMEOUT);
        return true;
      }
      const x = this.streams.exchange(slot) as ExchangeSlot;
      this.streams.detach(x);
      this.reports.events.failed(x, REPLY_REASON.BODY_TIMEOUT, H2_ERROR.INTERNAL_ERROR, HEALTH_SIGNAL.NONE);
      this.owner.reuse(connection);
      return true;
    }
    if (connection.role !== ROLE.SERVER || (streams.state[slot] & STREAM.OPEN) === 0) return false;
    if (this.streams.discardsTooLong(connection, slot)) {
      this.streams.refuseRest(this.exchanges.ofStream(slot as StreamSlot));
      return true;
    }
    return this.reports.events.expireIfDue(this.exchanges.ofStream(slot as StreamSlot));
  }

  /** Whether data of the stream has waited too long for the peer's windows. */
  private waitsTooLong(connection: Connection, slot: number): boolean {
    const { streams } = this.core;
    const state = streams.state[slot];
    if ((state & (STREAM.STALLED | STREAM.BLOCKED)) === 0) return false;
    let since = streams.blockedSince[slot];
    // At the connection window it has waited since that closed, but no longer than it has waited at all.
    if ((state & STREAM.STALLED) === 0)
      since = connection.stalledSince === 0 ? 0 : Math.max(since, connection.stalledSince);
    return since !== 0 && this.context.reactor.now >= since + connection.limits.stallTimeoutMs;
  }

  /** When to leave an endpoint's connection because its window stays shut while data waits, ms; Infinity for never. */
  private windowDeadline(connection: Connection): number {
    const { windowTimeoutMs } = connection.limits;
    if (windowTimeoutMs === 0 || connection.stalledSince === 0 || connection.state !== CONNECTION_STATE.OPEN)
      return NEVER;
    return connection.emptySince + windowTimeoutMs;
  }

  private idleMs(connection: Connection): number {
    const { context } = this;
    if (connection.role === ROLE.SERVER) return connection.limits.idleTimeoutMs;
    const { services, endpoints, connections } = context;
    const service = endpoints.service[connections.endpoint[connection.socket]];
    return service < 0 ? 0 : services.poolIdleMs[service];
  }

  private pingMs(connection: Connection): number {
    const { keepAliveMs } = connection.limits;
    return connection.role === ROLE.SERVER ? keepAliveMs : Math.max(keepAliveMs, ENDPOINT_PING_MS);
  }

  /** When to check a connection next, ms. */
  private next(connection: Connection): number {
    const { context, pool } = this;
    const { limits, socket } = connection;
    const { now } = context.reactor;
    const heard = context.connections.active[socket];
    let at = NEVER;
    if (connection.role === ROLE.SERVER) {
      if (connection.readState === READ_STATE.PREFACE || !connection.settingsSeen)
        return connection.since + limits.headerTimeoutMs;
      if (connection.partial) at = connection.blockSince + limits.headerTimeoutMs;
      if (connection.state === CONNECTION_STATE.SHUTTING_DOWN)
        at = Math.min(at, connection.pingSentAt + SHUTDOWN_TIMEOUT_MS);
      if (connection.active === 0)
        at = Math.min(at, heard + (context.clientRoom.wanted() ? DRAIN_IDLE_MS : limits.idleTimeoutMs));
      if (connection.state === CONNECTION_STATE.OPEN && context.isDraining(socket))
        at = Math.min(at, connection.since + DRAIN_IDLE_MS);
      if (limits.maxAgeMs > 0) {
        const age = connection.since + limits.maxAgeMs;
        at = Math.min(at, now < age ? age : age + limits.ageGraceMs);
      }
    } else {
      at = Math.min(pool.expires(connection), this.windowDeadline(connection));
      if (connection.active === 0) at = Math.min(at, connection.idleSince + this.idleMs(connection));
    }
    if (connection.active > 0) {
      at = Math.min(at, now + this.streamMs(connection));
      if (connection.discardsUntil > now) at = Math.min(at, now + limits.discardTimeoutMs / DISCARD_CHECKS);
      if (limits.keepAliveMs > 0) {
        const ping = connection.pingPending
          ? Math.max(heard, connection.pingSentAt) + limits.keepAliveTimeoutMs
          : heard + this.pingMs(connection);
        at = Math.min(at, ping);
      }
    }
    return Math.max(at, now + CHECK_INTERVAL_MS);
  }

  /** Interval for checking the streams of a connection: a tenth of the shortest timeout. */
  private streamMs(connection: Connection): number {
    const { context } = this;
    const { limits } = connection;
    let shortest = limits.stallTimeoutMs;
    if (connection.role === ROLE.SERVER) {
      const { services } = context;
      const service = context.serviceFor(connection.socket, VERDICT.HTTP2);
      const body = context.bodyTimeout(service);
      if (body > 0) shortest = Math.min(shortest, body);
      if (service >= 0) {
        const response = services.responseTimeoutMs[service];
        if (response > 0) shortest = Math.min(shortest, response);
        const connect = services.connectTimeoutMs[service];
        if (connect > 0) shortest = Math.min(shortest, connect);
      }
    }
    return shortest / 10;
  }

  private arm(connection: Connection, at: number): void {
    if (at === NEVER || (connection.timerAt !== 0 && connection.timerAt <= at)) return;
    connection.timerAt = at;
    this.context.wheel.pull(connection.socket, at);
  }
}

// Deadlines of HTTP/2 connections and of the streams on them. A connection has one timer; when it fires all of its streams are
// looked at, and it is armed for the earliest of what is left.
import { VERDICT } from '../detect/matcher.js';
import { type Connection, GOING, READING, ROLE } from '../http2/connection.js';
import { ERROR } from '../http2/frame.js';
import { STREAM } from '../http2/streams.js';
import { LIMITS } from '../metrics/layout.js';
import { CLOSE } from './connect/connections.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import { WAITING } from './http2-exchange.js';

const NONE = -1;
const NEVER = Number.POSITIVE_INFINITY;
/** Between two looks at a connection's streams, ms: deadlines are met within this. */
const LOOK_MS = 100;
/** Endpoints take PINGs on silent connections no oftener than this as flooding: gRPC's own bound (gRFC A8), ms. */
const ENDPOINT_PING_MS = 300_000;
/** The second GOAWAY follows when the PING is answered, or after this, ms. */
const WARNED_MS = 1000;
/** A connection without streams is let go this soon while draining, ms. */
const DRAIN_IDLE_MS = 1000;
/** How long an endpoint may take to say its SETTINGS where there is no connect timeout, ms. */
const SETTINGS_MS = 10_000;

const LIMIT = {
  HEADER_TIME: LIMITS.indexOf('h2-header-time'),
  STALLED: LIMITS.indexOf('h2-stalled'),
  KEEPALIVE: LIMITS.indexOf('h2-keepalive'),
  IDLE_TIME: LIMITS.indexOf('h2-idle-time'),
  AGE: LIMITS.indexOf('h2-connection-age'),
  BODY_TIME: LIMITS.indexOf('body-time'),
  RESPONSE_TIME: LIMITS.indexOf('response-time'),
  POOL: LIMITS.indexOf('pool-connections'),
} as const;

export class Http2Timers {
  constructor(private readonly http2: Http2) {}

  /** A connection is ready to serve. */
  start(connection: Connection): void {
    this.arm(connection, this.next(connection));
  }

  /** A stream has begun on a client's connection. */
  exchange(connection: Connection, service: number): void {
    const { context } = this.http2;
    const { limits, services, reactor } = context;
    let wait = limits.http2.stallTimeoutMs;
    const response = services.responseTimeoutMs[service];
    if (response > 0 && response < wait) wait = response;
    const body = limits.http2.bodyTimeoutMs;
    if (body > 0 && body < wait) wait = body;
    const connect = services.connectTimeoutMs[service];
    if (connect > 0 && connect < wait) wait = connect;
    // Looked at here, as a time that is handed on is allocated.
    if (connection.timerAt === 0 || connection.timerAt > reactor.now + wait) this.arm(connection, reactor.now + wait);
  }

  /** A stream has begun on an endpoint's connection. */
  used(connection: Connection): void {
    const { reactor } = this.http2.context;
    const wait = connection.limits.stallTimeoutMs;
    if (connection.timerAt === 0 || connection.timerAt > reactor.now + wait) this.arm(connection, reactor.now + wait);
  }

  /** A pooled connection has no stream. */
  idle(connection: Connection): void {
    const { reactor } = this.http2.context;
    connection.idleSince = reactor.now;
    this.arm(connection, reactor.now + this.idleMs(connection));
  }

  /** A drain began or the configuration changed. */
  reconsider(connection: Connection): void {
    const { context } = this.http2;
    if (context.draining) {
      if (connection.role === ROLE.SERVER) this.http2.machine.sender.warn(connection);
      else if (connection.active === 0 && connection.settingsSeen) {
        this.http2.connections.retire(connection);
        return;
      }
    }
    connection.timerAt = 0;
    context.wheel.pull(connection.socket, context.reactor.clock() + 1);
  }

  /** The timer of a connection's socket. */
  fired(socket: number): void {
    const { http2 } = this;
    const { context } = http2;
    const { reactor } = context;
    const connection = http2.connections.bySocket[socket];
    if (connection === undefined) return;
    http2.core.clock[0] = reactor.now;
    connection.timerAt = 0;
    if (connection.role === ROLE.CLIENT && !connection.settingsSeen) {
      this.dialing(connection);
      return;
    }
    if (connection.role === ROLE.SERVER ? this.client(connection) : this.endpoint(connection)) return;
    if (this.keepAlive(connection)) return;
    this.streams(connection);
    if (http2.connections.bySocket[socket] === connection) this.arm(connection, this.next(connection));
  }

  /** A connection that is being made: neither the handshake nor the endpoint's SETTINGS may take longer than a dial. */
  private dialing(connection: Connection): void {
    const { context } = this.http2;
    const { wheel, reactor } = context;
    const { socket } = connection;
    const connect = this.http2.upstreams.connectDeadline(socket);
    const deadline = connect === NEVER ? connection.since + SETTINGS_MS : connect;
    if (reactor.now < deadline) {
      wheel.schedule(socket, deadline);
      return;
    }
    this.http2.upstreams.connectTimedOut(socket);
    this.http2.connections.dialFailed(socket, WHY.CONNECT_TIMEOUT, CLOSE.TIMEOUT);
  }

  /** True if the connection has ended. */
  private client(connection: Connection): boolean {
    const { http2 } = this;
    const { context, machine } = http2;
    const { connections, reactor } = context;
    const { limits, socket } = connection;
    const { now } = reactor;
    if (connection.reading === READING.PREFACE || !connection.settingsSeen) {
      if (now < connection.since + limits.headerTimeoutMs) return false;
      context.limited(LIMIT.HEADER_TIME);
      http2.connections.gone(socket, CLOSE.TIMEOUT);
      return true;
    }
    if (connection.partial && now >= connection.blockSince + limits.headerTimeoutMs) {
      context.limited(LIMIT.HEADER_TIME);
      machine.sender.fail(connection, ERROR.ENHANCE_YOUR_CALM);
      return true;
    }
    if (connection.going === GOING.WARNED && now >= connection.pingSentAt + WARNED_MS) {
      machine.sender.leave(connection);
    }
    if (connection.going === GOING.OPEN) {
      if (limits.maxAgeMs > 0 && now >= connection.since + limits.maxAgeMs) {
        context.limited(LIMIT.AGE);
        machine.sender.warn(connection);
      } else if (connection.active === 0 && now >= connections.active[socket] + this.idleMs(connection)) {
        if (!context.draining) context.limited(LIMIT.IDLE_TIME);
        machine.sender.warn(connection);
      }
    } else if (
      limits.maxAgeMs > 0 &&
      now >= connection.since + limits.maxAgeMs + limits.ageGraceMs &&
      connection.active > 0
    ) {
      http2.connections.gone(socket, CLOSE.TIMEOUT);
      return true;
    }
    http2.connections.leaveIfDone(connection);
    return http2.connections.bySocket[socket] !== connection;
  }

  /** True if the connection has ended. */
  private endpoint(connection: Connection): boolean {
    const { http2 } = this;
    const { reactor } = http2.context;
    const { socket } = connection;
    if (connection.going === GOING.OPEN) {
      const idle = connection.active === 0 && reactor.now >= connection.idleSince + this.idleMs(connection);
      if (idle && !http2.pool.isSpare(connection)) http2.connections.retire(connection);
      else if (reactor.now >= http2.pool.expires(connection)) http2.connections.retire(connection);
    }
    return http2.connections.bySocket[socket] !== connection;
  }

  /** PINGs a silent peer that owes us something; true if it has not answered and the connection has ended. */
  private keepAlive(connection: Connection): boolean {
    const { http2 } = this;
    const { context, machine } = http2;
    const { limits, socket } = connection;
    if (limits.keepAliveMs === 0) return false;
    const { now } = context.reactor;
    // Anything that comes is as good as an answer: a busy connection is never given up for a late PING.
    const heard = context.connections.active[socket];
    if (connection.pingPending) {
      const asked = Math.max(heard, connection.pingSentAt);
      if (now < asked + limits.keepAliveTimeoutMs || connection.going === GOING.WARNED) return false;
      context.limited(LIMIT.KEEPALIVE);
      http2.connections.gone(socket, CLOSE.TIMEOUT);
      return true;
    }
    if (connection.active > 0 && now >= heard + this.pingMs(connection)) machine.sender.ping(connection);
    return false;
  }

  private streams(connection: Connection): void {
    const { http2 } = this;
    const { streams } = http2.core;
    const { socket } = connection;
    for (let slot = streams.first(connection); slot !== NONE; ) {
      const next = streams.after(connection, slot);
      if (this.stream(connection, slot)) {
        // Others may have ended with it: the walk begins anew, unless the connection has ended too.
        if (http2.connections.bySocket[socket] !== connection) return;
        slot = streams.first(connection);
      } else slot = next;
    }
  }

  /** True if the stream has ended. */
  private stream(connection: Connection, slot: number): boolean {
    const { http2 } = this;
    const { core, context, exchanges, machine } = http2;
    const { streams } = core;
    const { limits } = connection;
    const { now } = context.reactor;
    if ((streams.state[slot] & STREAM.STALLED) !== 0 || (streams.state[slot] & STREAM.BLOCKED) !== 0) {
      let since = streams.blockedSince[slot];
      // At the connection's window it waits since that is closed, but no longer than it has waited at all.
      if ((streams.state[slot] & STREAM.STALLED) === 0)
        since = connection.stalledSince === 0 ? 0 : Math.max(since, connection.stalledSince);
      if (since !== 0 && now >= since + limits.stallTimeoutMs) {
        context.limited(LIMIT.STALLED);
        const other = streams.peer[slot];
        machine.sender.reset(slot, ERROR.CANCEL);
        if (connection.role === ROLE.SERVER) http2.lifecycle.cancelled(slot, other);
        else {
          http2.lifecycle.endpointFailed(other, slot, ERROR.INTERNAL_ERROR, WHY.BODY_TIMEOUT);
          http2.connections.reuse(connection);
        }
        return true;
      }
    }
    if (connection.role !== ROLE.SERVER) return false;
    const upstream = streams.peer[slot];
    if (upstream < 0 || exchanges.answered[slot] === 1) return this.body(connection, slot, upstream);
    // A dial has a timer of its own.
    if (exchanges.waiting[upstream] === WAITING.DIALLED) return false;
    if (exchanges.waiting[upstream] === WAITING.POOL) {
      const timeout = context.services.connectTimeoutMs[exchanges.service[slot]];
      if (
        timeout === 0 ||
        now < exchanges.waitSince[upstream] + timeout ||
        http2.pool.dialing(exchanges.endpoint[upstream])
      )
        return false;
      context.limited(LIMIT.POOL);
      http2.lifecycle.giveUp(slot, upstream, 503, WHY.POOL_EXHAUSTED);
      return true;
    }
    const timeout = context.services.responseTimeoutMs[exchanges.service[slot]];
    const whole = (streams.state[slot] & STREAM.REMOTE_END) !== 0;
    if (timeout > 0 && whole && now >= Math.max(exchanges.started[slot], streams.active[slot]) + timeout) {
      context.limited(LIMIT.RESPONSE_TIME);
      const serving = (streams.state[upstream] & STREAM.OPEN) !== 0 ? streams.connection[upstream] : null;
      machine.sender.reset(upstream, ERROR.CANCEL);
      http2.lifecycle.endpointFailed(slot, upstream, ERROR.CANCEL, WHY.RESPONSE_TIMEOUT);
      if (serving !== null) http2.connections.reuse(serving);
      return true;
    }
    return whole ? false : this.body(connection, slot, upstream);
  }

  /** A body on which neither side moves. */
  private body(connection: Connection, slot: number, upstream: number): boolean {
    const { http2 } = this;
    const { core, context, machine } = http2;
    const { streams } = core;
    const timeout = connection.limits.bodyTimeoutMs;
    if (timeout === 0) return false;
    // A tunnel is silent as long as its ends like.
    if (upstream >= 0 && (streams.state[upstream] & STREAM.UNCOUNTED) !== 0) return false;
    // Calls that stream may be silent for as long as they like (a watch): keepalive finds those that are dead.
    if (http2.exchanges.grpc[slot] === 1) return false;
    let heard = streams.active[slot];
    if (upstream >= 0) heard = Math.max(heard, streams.active[upstream]);
    if (context.reactor.now < heard + timeout) return false;
    context.limited(LIMIT.BODY_TIME);
    machine.sender.reset(slot, ERROR.CANCEL);
    http2.lifecycle.cancelled(slot, upstream);
    return true;
  }

  private idleMs(connection: Connection): number {
    const { context } = this.http2;
    if (connection.role === ROLE.SERVER)
      return context.draining
        ? Math.min(DRAIN_IDLE_MS, connection.limits.idleTimeoutMs)
        : connection.limits.idleTimeoutMs;
    const { services, endpoints, connections } = context;
    const service = endpoints.service[connections.endpoint[connection.socket]];
    return service < 0 ? 0 : services.poolIdleMs[service];
  }

  private pingMs(connection: Connection): number {
    const { keepAliveMs } = connection.limits;
    return connection.role === ROLE.SERVER ? keepAliveMs : Math.max(keepAliveMs, ENDPOINT_PING_MS);
  }

  /** When a connection is to be looked at next, ms. */
  private next(connection: Connection): number {
    const { context, pool } = this.http2;
    const { limits, socket } = connection;
    const { now } = context.reactor;
    const heard = context.connections.active[socket];
    let at = NEVER;
    if (connection.role === ROLE.SERVER) {
      if (connection.reading === READING.PREFACE || !connection.settingsSeen)
        return connection.since + limits.headerTimeoutMs;
      if (connection.partial) at = connection.blockSince + limits.headerTimeoutMs;
      if (connection.going === GOING.WARNED) at = Math.min(at, connection.pingSentAt + WARNED_MS);
      if (connection.active === 0) at = Math.min(at, heard + this.idleMs(connection));
      if (limits.maxAgeMs > 0) {
        const age = connection.since + limits.maxAgeMs;
        at = Math.min(at, now < age ? age : age + limits.ageGraceMs);
      }
    } else {
      at = pool.expires(connection);
      if (connection.active === 0) at = Math.min(at, connection.idleSince + this.idleMs(connection));
    }
    if (connection.active > 0) {
      at = Math.min(at, now + this.streamMs(connection));
      if (limits.keepAliveMs > 0) {
        const ping = connection.pingPending
          ? Math.max(heard, connection.pingSentAt) + limits.keepAliveTimeoutMs
          : heard + this.pingMs(connection);
        at = Math.min(at, ping);
      }
    }
    return Math.max(at, now + LOOK_MS);
  }

  /** How often the streams of a connection are looked at: a tenth of the shortest time that one may take. */
  private streamMs(connection: Connection): number {
    const { context } = this.http2;
    const { limits } = connection;
    let shortest = limits.stallTimeoutMs;
    if (limits.bodyTimeoutMs > 0) shortest = Math.min(shortest, limits.bodyTimeoutMs);
    if (connection.role === ROLE.SERVER) {
      const { services } = context;
      const service = context.serviceFor(connection.socket, VERDICT.HTTP2);
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
    this.http2.context.wheel.pull(connection.socket, at);
  }
}

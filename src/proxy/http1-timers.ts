// Deadlines of HTTP/1 connections. Each connection has one timer; what it means depends on what the connection is doing when it
// fires, and a deadline that has moved later meanwhile is armed again then.
import { SOCKET } from '../io/sockets.js';
import { LIMITS } from '../metrics/layout.js';
import { CLOSE } from './connect/connections.js';
import type { Context } from './context.js';
import { type Exchanges, REQUEST } from './exchange.js';
import type { BodyRelay } from './http1/bodies.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';

/** While draining, a connection idle for this long is ended: a client that was about to send would have. */
const DRAIN_IDLE_MS = 1000;

const LIMIT = {
  HEADER_TIME: LIMITS.indexOf('header-time'),
  BODY_TIME: LIMITS.indexOf('body-time'),
  IDLE_TIME: LIMITS.indexOf('idle-time'),
  RESPONSE_TIME: LIMITS.indexOf('response-time'),
} as const;

export class Http1Timers {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly bodies: BodyRelay,
    private readonly http1: Http1,
  ) {}

  client(client: number): void {
    const { reactor, connections, inbox, limits, sockets, wheel } = this.context;
    const exchanges = this.exchanges;
    const { http1 } = limits;
    const now = reactor.now;
    let deadline: number;
    if (exchanges.request[client] === REQUEST.HEAD) {
      if (inbox.empty(client)) {
        const idle = this.context.draining
          ? Math.min(DRAIN_IDLE_MS, http1.idleTimeoutMs || DRAIN_IDLE_MS)
          : http1.idleTimeoutMs;
        if (idle === 0) return;
        deadline = connections.active[client] + idle;
        if (now >= deadline) {
          if (!this.context.draining) this.context.limited(LIMIT.IDLE_TIME);
          connections.close(client, this.context.draining ? CLOSE.DRAIN : CLOSE.TIMEOUT);
          return;
        }
      } else {
        if (http1.headerTimeoutMs === 0) return;
        deadline = exchanges.headSince[client] + http1.headerTimeoutMs;
        if (now >= deadline) {
          this.context.limited(LIMIT.HEADER_TIME);
          this.http1.answers.respond(client, 408, WHY.HEADER_TIMEOUT, null, CLOSE.TIMEOUT);
          return;
        }
      }
    } else {
      const upstream = sockets.peer[client];
      if (upstream < 0) {
        if (exchanges.stream[client] >= 0) this.http1.bridge.timer(client);
        return;
      }
      const waiting = exchanges.request[client] === REQUEST.COMPLETE && exchanges.answered[client] === 0;
      if (waiting) {
        const timeout = this.responseTimeout(client);
        const connecting = (sockets.flags[upstream] & SOCKET.CONNECTING) !== 0;
        // Not the client's last activity: pipelining must not put the timeout off.
        const since = connecting ? now : connections.active[upstream];
        deadline = timeout > 0 ? since + timeout : now + 60_000;
        if (timeout > 0 && now >= deadline) {
          this.context.limited(LIMIT.RESPONSE_TIME);
          this.http1.accounts.account(client, upstream, true);
          this.http1.unlink(client, upstream);
          connections.close(upstream, CLOSE.TIMEOUT);
          this.http1.answers.respond(client, 504, WHY.RESPONSE_TIMEOUT, null, CLOSE.TIMEOUT);
          return;
        }
      } else {
        if (http1.bodyTimeoutMs === 0) return;
        deadline = Math.max(connections.active[client], connections.active[upstream]) + http1.bodyTimeoutMs;
        if (now >= deadline) {
          this.bodyTimedOut(client, upstream);
          return;
        }
      }
    }
    wheel.schedule(client, Math.max(deadline, now + 1));
  }

  upstream(upstream: number): void {
    const { sockets, reactor, wheel, connections } = this.context;
    if (this.http1.upstreams.idle(upstream)) {
      this.http1.upstreams.idleTimer(upstream);
      return;
    }
    if ((sockets.flags[upstream] & SOCKET.CONNECTING) === 0) return;
    const deadline = this.http1.upstreams.connectDeadline(upstream);
    if (reactor.now < deadline) {
      if (deadline !== Number.POSITIVE_INFINITY) wheel.schedule(upstream, deadline);
      return;
    }
    this.http1.upstreams.connectTimedOut(upstream);
    this.http1.retries.connectFailed(sockets.peer[upstream], upstream, WHY.CONNECT_TIMEOUT);
    connections.close(upstream, CLOSE.TIMEOUT);
  }

  /** After the configuration changed or a drain began: looks at the deadline of an idle client anew. */
  reconsider(client: number): void {
    const { wheel, reactor, inbox } = this.context;
    if (this.exchanges.request[client] === REQUEST.HEAD && inbox.empty(client)) wheel.pull(client, reactor.clock() + 1);
  }

  /** Arms the idle or header deadline; a later one is found when the timer fires. */
  idle(client: number): void {
    const { wheel, reactor, limits } = this.context;
    const idle = this.context.draining ? DRAIN_IDLE_MS : limits.http1.idleTimeoutMs;
    if (idle > 0) wheel.pull(client, reactor.now + idle);
  }

  /** Arms a deadline for the exchange as it is now. */
  exchange(client: number): void {
    const { wheel, reactor, limits } = this.context;
    const exchanges = this.exchanges;
    let timeout = limits.http1.bodyTimeoutMs;
    if (exchanges.request[client] === REQUEST.COMPLETE && exchanges.answered[client] === 0) {
      timeout = this.responseTimeout(client);
    }
    if (timeout > 0) wheel.pull(client, reactor.now + timeout);
  }

  /** Neither side has moved a byte of a body for too long: the blame is with the one that was to send or to take some. */
  private bodyTimedOut(client: number, upstream: number): void {
    const { connections } = this.context;
    const answered = this.exchanges.answered[client] === 1;
    this.context.limited(LIMIT.BODY_TIME);
    const endpointStalls = answered ? !this.bodies.waitsFor(upstream, client) : this.bodies.waitsFor(client, upstream);
    if (endpointStalls) {
      this.http1.accounts.account(client, upstream, true);
      this.http1.unlink(client, upstream);
      connections.close(upstream, CLOSE.TIMEOUT);
    } else this.http1.dropUpstream(client);
    if (answered) {
      this.http1.accounts.ended(client, true);
      connections.abort(client, CLOSE.TIMEOUT);
    } else this.http1.answers.respond(client, endpointStalls ? 504 : 408, WHY.BODY_TIMEOUT, null, CLOSE.TIMEOUT);
  }

  /**
   * How long the endpoint may take to answer, ms; 0: as long as it likes. A client that has ended its direction may have
   * left altogether (a FIN does not tell), so its response is not waited for without bound.
   */
  responseTimeout(client: number): number {
    const { services, sockets, limits } = this.context;
    const timeout = services.responseTimeoutMs[this.exchanges.service[client]];
    return timeout > 0 || (sockets.flags[client] & SOCKET.EOF) === 0 ? timeout : limits.http1.bodyTimeoutMs;
  }
}

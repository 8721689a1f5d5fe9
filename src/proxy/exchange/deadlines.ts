// Deadlines of exchanges: how long one may wait for a connection, for a response, and within a body. The timer belongs to the client's
// socket or connection; its meaning for an exchange is here.

import { SOCKET } from '../../io/sockets.js';
import { LIMITS } from '../../metrics/layout.js';
import type { Http2Pool } from '../connect/http2-pool.js';
import { VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import { unreachable } from '../unreachable.js';
import { type Exchanges, STATE, type StateKind } from './exchange.js';
import type { Legs } from './legs.js';

const NEVER = Number.POSITIVE_INFINITY;
/** Interval for checking an exchange that waits for a dial, ms. */
const DIAL_CHECK_INTERVAL_MS = 100;
/** Interval for checking an exchange without a deadline, ms. */
const CHECK_INTERVAL_MS = 60_000;

/** What has taken too long. */
export const OVERDUE = {
  NO: 0,
  /** A connection: it is queued for one. */
  PENDING: 1,
  /** The endpoint's response. */
  RESPONSE: 2,
  /** A body without progress in either direction. */
  BODY: 3,
  /** An unused tunnel. */
  TUNNEL: 4,
} as const;

const LIMIT = {
  POOL: LIMITS.indexOf('pool-connections'),
  RESPONSE_TIME: LIMITS.indexOf('response-time'),
  BODY_TIME: LIMITS.indexOf('body-time'),
  IDLE: LIMITS.indexOf('opaque-idle'),
  LIFETIME: LIMITS.indexOf('opaque-lifetime'),
  HALF_CLOSE: LIMITS.indexOf('half-close'),
} as const;

export class Deadlines {
  /** Set by `check`: when to check again, ms; Infinity for never. */
  next = NEVER;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly legs: Legs,
    private readonly pool: Http2Pool,
  ) {}

  /** Arms the timer of a client's socket for the current state of its exchange; a later deadline is discovered when it fires. */
  arm(x: ExchangeSlot): void {
    const { exchanges, context } = this;
    if (exchanges.isStream(x)) return;
    let timeout = 0;
    if (exchanges.state[x] === STATE.PENDING) timeout = context.services.connectTimeoutMs[exchanges.service[x]];
    else if (this.awaitsResponse(x)) timeout = this.responseTimeout(x);
    else timeout = this.bodyTimeout(x);
    if (timeout > 0) context.wheel.pull(exchanges.clientSocket(x), context.reactor.now + timeout);
  }

  /** Returns what has taken too long, as an OVERDUE, and counts it. If nothing has, `next` says when to check again. */
  check(x: ExchangeSlot): number {
    const state = this.exchanges.state[x] as StateKind;
    switch (state) {
      case STATE.PENDING:
        return this.pending(x);
      case STATE.TUNNEL:
        return this.tunnel(x);
      case STATE.SENT:
        return this.awaitsResponse(x) ? this.response(x) : this.body(x);
      case STATE.RESPONDING:
      case STATE.FLUSHING:
      case STATE.LOCAL_REPLY:
        return this.body(x);
      case STATE.FREE:
        this.next = NEVER;
        return OVERDUE.NO;
      default:
        return unreachable(state);
    }
  }

  /** Timeout for the endpoint's response, ms; 0: none. */
  private responseTimeout(x: ExchangeSlot): number {
    const { exchanges, context } = this;
    const timeout = context.services.responseTimeoutMs[exchanges.service[x]];
    if (timeout > 0 || exchanges.isStream(x)) return timeout;
    // A client that half-closed may have left altogether (a FIN does not tell), so its response has a timeout in any case.
    const left = (context.sockets.flags[exchanges.clientSocket(x)] & SOCKET.EOF) !== 0;
    return left ? context.limits.http1.bodyTimeoutMs : 0;
  }

  /** Whether the whole request has been sent, and nothing received. */
  private awaitsResponse(x: ExchangeSlot): boolean {
    return this.exchanges.state[x] === STATE.SENT && this.exchanges.requestComplete[x] === 1;
  }

  private pending(x: ExchangeSlot): number {
    const { exchanges, context } = this;
    const { now } = context.reactor;
    const timeout = context.services.connectTimeoutMs[exchanges.service[x]];
    this.next = timeout > 0 ? exchanges.pendingSince[x] + timeout : now + CHECK_INTERVAL_MS;
    if (timeout === 0 || now < this.next) return OVERDUE.NO;
    if (this.pool.dialing(exchanges.endpoint[x])) {
      // A dial has its own deadline.
      this.next = now + DIAL_CHECK_INTERVAL_MS;
      return OVERDUE.NO;
    }
    context.limited(LIMIT.POOL);
    return OVERDUE.PENDING;
  }

  private response(x: ExchangeSlot): number {
    const { context, legs, exchanges } = this;
    const { now } = context.reactor;
    const timeout = this.responseTimeout(x);
    this.next = now + CHECK_INTERVAL_MS;
    if (timeout === 0) return OVERDUE.NO;
    // Not from the client's last activity: pipelining must not extend the timeout. Dialling has its own deadline.
    const since = legs.dialling(x) ? now : Math.max(exchanges.started[x], legs.activeEndpoint(x));
    this.next = since + timeout;
    if (now < this.next) return OVERDUE.NO;
    context.limited(LIMIT.RESPONSE_TIME);
    return OVERDUE.RESPONSE;
  }

  private body(x: ExchangeSlot): number {
    const { context, legs } = this;
    const timeout = this.bodyTimeout(x);
    this.next = NEVER;
    if (timeout === 0) return OVERDUE.NO;
    this.next = Math.max(legs.activeClient(x), legs.activeEndpoint(x)) + timeout;
    if (context.reactor.now < this.next) return OVERDUE.NO;
    context.limited(LIMIT.BODY_TIME);
    return OVERDUE.BODY;
  }

  /** How long a body may make no progress, ms: the service's limit, or else each version's limit for its side. 0: no limit. */
  private bodyTimeout(x: ExchangeSlot): number {
    const { exchanges } = this;
    const { services, limits } = this.context;
    const service = exchanges.service[x];
    // Streams that may be silent by design (a watch, events): keepalive detects dead peers.
    if (exchanges.grpc[x] === 1 || exchanges.eventStream[x] === 1) return services.streamTimeoutMs[service];
    // The client has its response; the rest of the request gets less time.
    if (this.legs.answeredEarly(x)) return limits.http1.lingerTimeoutMs;
    const own = services.bodyTimeoutMs[service];
    if (own >= 0) return own;
    const { http1, http2 } = limits;
    const client = exchanges.isStream(x) ? http2.bodyTimeoutMs : http1.bodyTimeoutMs;
    const endpoint = exchanges.version[x] === VERSION.HTTP2 ? http2.bodyTimeoutMs : http1.bodyTimeoutMs;
    return client === 0 || endpoint === 0 ? Math.max(client, endpoint) : Math.min(client, endpoint);
  }

  /** A tunnel has the limits of an opaque connection, whatever carries its sides. */
  private tunnel(x: ExchangeSlot): number {
    const { context, legs, exchanges } = this;
    const { opaque } = context.limits;
    const { now } = context.reactor;
    const active = Math.max(legs.activeClient(x), legs.activeEndpoint(x));
    const lifetime = opaque.lifetimeMs > 0 ? exchanges.started[x] + opaque.lifetimeMs : NEVER;
    const half = opaque.halfCloseTimeoutMs > 0 && legs.halfClosed(x) ? active + opaque.halfCloseTimeoutMs : NEVER;
    const idle = opaque.idleTimeoutMs > 0 ? active + opaque.idleTimeoutMs : NEVER;
    this.next = Math.min(lifetime, half, idle);
    if (now < this.next) return OVERDUE.NO;
    context.limited(now >= lifetime ? LIMIT.LIFETIME : now >= half ? LIMIT.HALF_CLOSE : LIMIT.IDLE);
    return OVERDUE.TUNNEL;
  }
}

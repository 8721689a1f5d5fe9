// The life of an exchange, from its request to its end. Legs report events; table.ts says which action follows; the actions are here.
// dispatch.ts picks and sends, exchange-stats.ts counts, local-replies.ts has the proxy's own answers.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { MESSAGE_ERROR, MESSAGE_ERRORS, UPSTREAM } from '../../http1/errors.js';
import { H2_ERROR } from '../../http2/frame.js';
import { LIMITS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import type { Context } from '../context.js';
import type { Tunnels } from '../relay/tunnel.js';
import type { ExchangeSlot } from '../slots.js';
import { type Deadlines, OVERDUE } from './deadlines.js';
import type { Dispatcher } from './dispatch.js';
import type { Endings } from './endings.js';
import { type Exchanges, STATE } from './exchange.js';
import type { ExchangeStats } from './exchange-stats.js';
import { type Legs, SOURCE } from './legs.js';
import { OUTCOME } from './outcome.js';
import type { Permissions } from './permissions.js';
import type { ReplayBuffers } from './replay-buffers.js';
import { REPLY_REASON } from './reply-reasons.js';
import type { ExchangeEvents } from './reports.js';
import type { Retries } from './retry.js';
import { ACTION, EVENT, EVENT_COUNT, EVENTS, STATES, TABLE } from './table.js';

const NONE = -1;
const LIMIT_SLAB = LIMITS.indexOf('slab');

export class Lifecycle implements ExchangeEvents {
  /** Detail of a lost connection: see `connectionLost`. */
  private stale = false;
  /** Detail of a refused request: see `refused`. */
  private connectionClosing = false;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly legs: Legs,
    private readonly stats: ExchangeStats,
    private readonly endings: Endings,
    private readonly dispatcher: Dispatcher,
    private readonly retries: Retries,
    private readonly deadlines: Deadlines,
    private readonly tunnels: Tunnels,
    private readonly permissions: Permissions,
  ) {}

  // Reports of the legs.

  request(x: ExchangeSlot, meter: number, error: number): void {
    const { exchanges, stats, context, permissions } = this;
    stats.begun(x, meter);
    if (context.authorization.active && !permissions.permits(x)) this.replyLocally(x, 403, REPLY_REASON.UNAUTHORIZED);
    else if (exchanges.service[x] < 0) this.replyLocally(x, 421, REPLY_REASON.MISDIRECTED);
    else if (error !== 0) this.reject(x, error);
    else this.step(x, EVENT.REQUEST);
  }

  reject(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.setOutcome(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.step(x, EVENT.REPLY_LOCALLY);
  }

  replyLocally(x: ExchangeSlot, status: number, why: number): void {
    this.setOutcome(status, why, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.REPLY_LOCALLY);
  }

  outOfMemory(x: ExchangeSlot): void {
    this.context.limited(LIMIT_SLAB);
    this.setOutcome(503, REPLY_REASON.MEMORY, H2_ERROR.ENHANCE_YOUR_CALM);
    this.endings.outcome.reason = CLOSE.LIMIT;
    this.step(x, EVENT.REPLY_LOCALLY);
  }

  truncated(x: ExchangeSlot): void {
    if (this.endIfResponded(x)) return;
    this.setOutcome(400, REPLY_REASON.BAD_REQUEST, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.REPLY_LOCALLY);
  }

  overflowed(x: ExchangeSlot): void {
    this.clientGone(x, CLOSE.LIMIT);
  }

  requestReceived(x: ExchangeSlot): void {
    const { exchanges, legs } = this;
    if (
      exchanges.respondedEarly[x] === 1 &&
      exchanges.requestComplete[x] === 1 &&
      exchanges.state[x] === STATE.RESPONDING
    ) {
      if (legs.requestSent(x)) this.endIfResponded(x);
      return;
    }
    if (!legs.uploaded(x)) this.deadlines.arm(x);
  }

  progress(x: ExchangeSlot): void {
    this.deadlines.arm(x);
  }

  ready(x: ExchangeSlot): void {
    this.step(x, EVENT.READY);
  }

  connectFailed(x: ExchangeSlot, why: number): void {
    this.setOutcome(why === REPLY_REASON.CONNECT_TIMEOUT ? 504 : 502, why, H2_ERROR.INTERNAL_ERROR);
    this.step(x, EVENT.CONNECT_FAILED);
  }

  wrongVersion(x: ExchangeSlot): void {
    this.step(x, EVENT.WRONG_VERSION);
  }

  refused(x: ExchangeSlot, code: number): void {
    if (this.endIfResponded(x)) return;
    this.setOutcome(502, REPLY_REASON.STREAM_REFUSED, H2_ERROR.REFUSED_STREAM);
    this.connectionClosing = code === H2_ERROR.NO_ERROR;
    this.endings.outcome.reason = CLOSE.ERROR;
    this.step(x, EVENT.REFUSED);
  }

  connectionLost(x: ExchangeSlot, reason: number, stale: boolean, signal: number): void {
    if (this.endIfResponded(x)) return;
    this.setOutcome(502, REPLY_REASON.UPSTREAM_RESET, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.reason = reason;
    this.endings.outcome.signal = signal;
    this.stale = stale;
    this.step(x, EVENT.CONNECTION_LOST);
  }

  retry(x: ExchangeSlot): boolean {
    if (this.exchanges.state[x] !== STATE.SENT || !this.retries.afterLoss(x, true)) return false;
    this.setOutcome(502, REPLY_REASON.UPSTREAM_RESET, H2_ERROR.INTERNAL_ERROR);
    this.resend(x);
    return true;
  }

  retryStalled(x: ExchangeSlot): boolean {
    if (this.exchanges.state[x] !== STATE.SENT || !this.retries.afterStall(x)) return false;
    this.setOutcome(504, REPLY_REASON.RESPONSE_TIMEOUT, H2_ERROR.CANCEL);
    this.resend(x);
    return true;
  }

  failed(x: ExchangeSlot, why: number, code: number, signal: number): void {
    if (this.endIfResponded(x)) return;
    this.setOutcome(why === REPLY_REASON.RESPONSE_TIMEOUT || why === REPLY_REASON.BODY_TIMEOUT ? 504 : 502, why, code);
    this.endings.outcome.reset = why === REPLY_REASON.UPSTREAM_RESET;
    this.endings.outcome.reason = why === REPLY_REASON.UPSTREAM_PROTOCOL ? CLOSE.PROTOCOL : CLOSE.RESET;
    this.endings.outcome.signal = signal;
    this.step(x, EVENT.FAILED);
  }

  malformed(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.setOutcome(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.endings.outcome.reason = CLOSE.PROTOCOL;
    // A message too large only for our limits says nothing about the endpoint.
    this.step(x, info.limit ? EVENT.REPLY_LOCALLY : EVENT.FAILED);
  }

  firstMessage(x: ExchangeSlot): void {
    this.stats.firstMessage(x);
  }

  responded(x: ExchangeSlot, status: number): void {
    this.endings.outcome.status = status;
    this.step(x, EVENT.RESPONDED);
  }

  responding(x: ExchangeSlot): void {
    this.exchanges.state[x] = STATE.RESPONDING;
  }

  upgraded(x: ExchangeSlot, ended: boolean): void {
    this.step(x, EVENT.UPGRADED);
    if (ended && this.exchanges.state[x] === STATE.TUNNEL) this.tunnels.fromEndpoint(x, 0, 0, true);
  }

  ended(x: ExchangeSlot): void {
    this.step(x, EVENT.ENDED);
  }

  flushed(x: ExchangeSlot): void {
    this.step(x, EVENT.FLUSHED);
  }

  clientGone(x: ExchangeSlot, reason: number): void {
    // It has its whole response.
    if (this.endIfResponded(x) && this.exchanges.isStream(x) && this.exchanges.state[x] === STATE.FREE) return;
    this.endings.outcome.reason = reason;
    this.endings.outcome.code = H2_ERROR.CANCEL;
    this.step(x, EVENT.CLIENT_GONE);
  }

  clientHalfClosed(x: ExchangeSlot, reason: number): void {
    if (this.legs.clientHasResponse(x)) this.deadlines.arm(x);
    else this.clientGone(x, reason);
  }

  expireIfDue(x: ExchangeSlot): boolean {
    const what = this.deadlines.check(x);
    if (what !== OVERDUE.NO) this.expire(x, what);
    return what !== OVERDUE.NO;
  }

  timer(x: ExchangeSlot): void {
    const { deadlines, exchanges, context } = this;
    if (this.expireIfDue(x) || deadlines.next === Number.POSITIVE_INFINITY) return;
    context.wheel.schedule(exchanges.clientSocket(x), Math.max(deadlines.next, context.reactor.now + 1));
  }

  // Performs the action for an event.

  private step(x: ExchangeSlot, event: number): void {
    const { exchanges, legs } = this;
    const action = TABLE[exchanges.state[x] * EVENT_COUNT + event];
    switch (action) {
      case ACTION.DISPATCH:
        this.dispatch(x, SOURCE.FRESH, NONE, NONE, NONE, false);
        break;
      case ACTION.SEND:
        if (!this.dispatcher.dequeue(x)) this.undispatched(x);
        break;
      case ACTION.BEGIN:
        this.stats.responded(x, this.endings.outcome.status);
        // Data waiting for a tunnel to be agreed on is still to be sent.
        if (!exchanges.asksForTunnel(x)) this.replay.release(x);
        break;
      case ACTION.FLUSH:
        exchanges.state[x] = STATE.FLUSHING;
        if (legs.clientEnded(x)) this.endings.complete(x);
        break;
      case ACTION.COMPLETE:
        this.endings.complete(x);
        break;
      case ACTION.FAILOVER:
        if (this.retries.failover(x)) this.resend(x);
        else this.endings.replyLocally(x);
        break;
      case ACTION.TRANSLATE:
        this.translate(x, false);
        break;
      case ACTION.RETRY:
        if (this.retries.afterRefusal(x, this.connectionClosing)) this.resend(x);
        else if (this.exchanges.isStream(x) && !this.replay.has(x)) this.finish(x, ACTION.ABORT_BLAMELESS, event);
        else this.endings.blame(x);
        break;
      case ACTION.RETRY_OR_BLAME:
        if (this.retries.isWrongVersion(x)) this.translate(x, true);
        else if (this.retries.afterLoss(x, this.stale)) this.resend(x);
        else this.endings.blame(x);
        break;
      default:
        this.finish(x, action, event);
    }
  }

  /** The actions that end an exchange, and those of tunnels. */
  private finish(x: ExchangeSlot, action: number, event: number): void {
    const { legs, stats, tunnels } = this;
    switch (action) {
      case ACTION.NONE:
        break;
      case ACTION.BLAME:
        this.endings.blame(x);
        break;
      case ACTION.ABORT:
        stats.failed(x, HEALTH_SIGNAL.NONE);
        this.endings.abort(x);
        break;
      case ACTION.ABORT_BLAMELESS:
        stats.abandoned(x);
        this.endings.abort(x);
        break;
      case ACTION.ABANDON:
        this.endings.abandon(x);
        break;
      case ACTION.LOCAL_REPLY:
        this.endings.replyLocally(x);
        break;
      case ACTION.TUNNEL:
        stats.succeeded(x, true);
        stats.ended(x, OUTCOME.COMPLETE, 0);
        tunnels.open(x);
        if (this.context.authorization.active && this.permissions.lost(x)) tunnels.deny(x);
        break;
      case ACTION.TUNNEL_FLUSHED:
        tunnels.flushed(x);
        break;
      case ACTION.TUNNEL_BROKEN:
        tunnels.broken(x, this.endings.outcome.code, this.endings.outcome.reason);
        break;
      case ACTION.TUNNEL_CLIENT_GONE:
        tunnels.clientGone(x, this.endings.outcome.reason);
        break;
      case ACTION.END:
        legs.next(x);
        break;
      default:
        throw new Error(
          `exchange ${x} is in state ${STATES[this.exchanges.state[x]]}, which can't have event ${EVENTS[event]}`,
        );
    }
  }

  /** Ends the exchange if only the rest of its request, behind a complete response, was still on its way. False otherwise. */
  private endIfResponded(x: ExchangeSlot): boolean {
    const { exchanges, legs } = this;
    if (exchanges.state[x] !== STATE.RESPONDING) return false;
    if (exchanges.respondedEarly[x] === 0) return legs.endEarly(x);
    exchanges.respondedEarly[x] = 0;
    this.step(x, EVENT.ENDED);
    return true;
  }

  /** Sends the request, or answers it. */
  private dispatch(
    x: ExchangeSlot,
    source: number,
    from: number,
    exclude: number,
    first: number,
    newConnection: boolean,
  ): void {
    if (!this.dispatcher.send(x, source, from, exclude, first, newConnection)) this.undispatched(x);
  }

  /**
   * Tells the client why its request could not be sent. If no endpoint can have it any more, the reason is what happened at the last one.
   */
  private undispatched(x: ExchangeSlot): void {
    const { dispatcher } = this;
    if (!dispatcher.unsendable) {
      this.setOutcome(dispatcher.status, dispatcher.why, H2_ERROR.NO_ERROR);
      this.endings.outcome.detail = dispatcher.detail;
    }
    this.endings.replyLocally(x);
  }

  /** Sends a request again, as `retries` has decided. */
  private resend(x: ExchangeSlot): void {
    const { retries, context, legs, exchanges } = this;
    // Read these before anything else is sent again.
    const { source, from, exclude, first, newConnection, ended, reason } = retries;
    const endpoint = exchanges.endpoint[x];
    this.dispatch(x, source, from, exclude, first, newConnection);
    if (from < 0) return;
    // What was queued on the connection has been moved, or is dropped with it.
    if (ended) context.connections.close(from, reason);
    // The endpoint does not speak the version of these connections. A queued request was on none of them.
    if (first >= 0) legs.closeIdle(endpoint);
  }

  /** The endpoint does not speak the version it was asked in: try the other version if possible. */
  private translate(x: ExchangeSlot, guessed: boolean): void {
    const waited = this.exchanges.state[x] === STATE.PENDING;
    if (waited && this.exchanges.grpc[x] === 1) {
      // gRPC is HTTP/2: an HTTP/1 server cannot answer such a call. Another endpoint may, or this one later.
      this.connectFailed(x, REPLY_REASON.HTTP2_REFUSED);
      return;
    }
    const info = MESSAGE_ERRORS[MESSAGE_ERROR.STATUS_LINE + UPSTREAM];
    this.setOutcome(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.endings.outcome.reason = CLOSE.PROTOCOL;
    if (this.retries.otherVersion(x, guessed)) this.resend(x);
    else if (waited) this.endings.replyLocally(x);
    else this.endings.blame(x);
  }

  /** Something has taken too long. */
  private expire(x: ExchangeSlot, what: number): void {
    const { exchanges, legs, tunnels, context } = this;
    switch (what) {
      case OVERDUE.PENDING:
        this.replyLocally(x, 503, REPLY_REASON.POOL_EXHAUSTED);
        break;
      case OVERDUE.RESPONSE:
        this.setOutcome(504, REPLY_REASON.RESPONSE_TIMEOUT, H2_ERROR.CANCEL);
        this.endings.outcome.reason = CLOSE.TIMEOUT;
        // Silence counts against an endpoint only if a timeout is configured.
        if (context.services.responseTimeoutMs[exchanges.service[x]] > 0)
          this.endings.outcome.signal = HEALTH_SIGNAL.TIMEOUT;
        this.step(x, EVENT.FAILED);
        break;
      case OVERDUE.BODY:
        if (this.endIfResponded(x)) return;
        if (exchanges.state[x] === STATE.LOCAL_REPLY) this.clientGone(x, CLOSE.TIMEOUT);
        else {
          // The side that should have sent, or accepted, is at fault.
          const held = legs.endpointStalls(x);
          this.setOutcome(held ? 504 : 408, REPLY_REASON.BODY_TIMEOUT, H2_ERROR.CANCEL);
          this.endings.outcome.reason = CLOSE.TIMEOUT;
          this.step(x, held ? EVENT.FAILED : EVENT.REPLY_LOCALLY);
        }
        break;
      case OVERDUE.TUNNEL:
        tunnels.expired(x);
        break;
    }
  }

  private setOutcome(status: number, why: number, code: number): void {
    const { outcome } = this.endings;
    outcome.status = status;
    outcome.why = why;
    outcome.detail = null;
    outcome.code = code;
    outcome.reset = false;
    // Whoever has a reason to close sets it after this; the reason of an earlier event must not remain.
    outcome.reason = CLOSE.OK;
    outcome.signal = HEALTH_SIGNAL.NONE;
  }
}

// The life of an exchange, from its request to its end. Legs report events; table.ts says which action follows; the actions are here.
// dispatch.ts picks and sends, accounts.ts counts, answers.ts has the proxy's own answers.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { MESSAGE_ERROR, MESSAGE_ERRORS, UPSTREAM } from '../../http1/errors.js';
import { H2_ERROR } from '../../http2/frame.js';
import { LIMITS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import type { Context } from '../context.js';
import type { Tunnels } from '../relay/tunnel.js';
import type { ExchangeSlot } from '../slots.js';
import type { Accounts } from './accounts.js';
import { type Deadlines, OVERDUE } from './deadlines.js';
import type { Dispatcher } from './dispatch.js';
import type { Endings } from './endings.js';
import { type Exchanges, STATE } from './exchange.js';
import type { KeptRequests } from './kept.js';
import { type Legs, SOURCE } from './legs.js';
import { OUTCOME } from './outcome.js';
import type { Permissions } from './permissions.js';
import { WHY } from './reasons.js';
import type { Control } from './reports.js';
import type { Retries } from './retry.js';
import { ACTION, EVENT, EVENT_COUNT, EVENTS, STATES, TABLE } from './table.js';

const NONE = -1;
const LIMIT_SLAB = LIMITS.indexOf('slab');

export class Lifecycle implements Control {
  /** Detail of a lost connection: see `lost`. */
  private stale = false;
  /** Detail of a refused request: see `refused`. */
  private leaving = false;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly kept: KeptRequests,
    private readonly legs: Legs,
    private readonly accounts: Accounts,
    private readonly endings: Endings,
    private readonly dispatcher: Dispatcher,
    private readonly retries: Retries,
    private readonly deadlines: Deadlines,
    private readonly tunnels: Tunnels,
    private readonly permissions: Permissions,
  ) {}

  // Reports of the legs.

  request(x: ExchangeSlot, meter: number, error: number): void {
    const { exchanges, accounts, context, permissions } = this;
    accounts.begun(x, meter);
    if (context.authorization.active && !permissions.permits(x)) this.giveUp(x, 403, WHY.UNAUTHORIZED);
    else if (exchanges.service[x] < 0) this.giveUp(x, 421, WHY.MISDIRECTED);
    else if (error !== 0) this.reject(x, error);
    else this.step(x, EVENT.REQUEST);
  }

  reject(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.step(x, EVENT.GIVE_UP);
  }

  giveUp(x: ExchangeSlot, status: number, why: number): void {
    this.tell(status, why, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.GIVE_UP);
  }

  outOfMemory(x: ExchangeSlot): void {
    this.context.limited(LIMIT_SLAB);
    this.tell(503, WHY.MEMORY, H2_ERROR.ENHANCE_YOUR_CALM);
    this.endings.outcome.reason = CLOSE.LIMIT;
    this.step(x, EVENT.GIVE_UP);
  }

  truncated(x: ExchangeSlot): void {
    if (this.over(x)) return;
    this.tell(400, WHY.BAD_REQUEST, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.GIVE_UP);
  }

  overrun(x: ExchangeSlot): void {
    this.left(x, CLOSE.LIMIT);
  }

  uploaded(x: ExchangeSlot): void {
    const { exchanges, legs } = this;
    if (exchanges.over[x] === 1 && exchanges.whole[x] === 1 && exchanges.state[x] === STATE.ANSWERING) {
      if (legs.requestOut(x)) this.over(x);
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

  undialled(x: ExchangeSlot, why: number): void {
    this.tell(why === WHY.CONNECT_TIMEOUT ? 504 : 502, why, H2_ERROR.INTERNAL_ERROR);
    this.step(x, EVENT.UNDIALLED);
  }

  misunderstood(x: ExchangeSlot): void {
    this.step(x, EVENT.MISUNDERSTOOD);
  }

  refused(x: ExchangeSlot, code: number): void {
    if (this.over(x)) return;
    this.tell(502, WHY.STREAM_REFUSED, H2_ERROR.REFUSED_STREAM);
    this.leaving = code === H2_ERROR.NO_ERROR;
    this.endings.outcome.reason = CLOSE.ERROR;
    this.step(x, EVENT.REFUSED);
  }

  lost(x: ExchangeSlot, reason: number, stale: boolean, signal: number): void {
    if (this.over(x)) return;
    this.tell(502, WHY.UPSTREAM_RESET, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.reason = reason;
    this.endings.outcome.signal = signal;
    this.stale = stale;
    this.step(x, EVENT.LOST);
  }

  retry(x: ExchangeSlot): boolean {
    if (this.exchanges.state[x] !== STATE.SENT || !this.retries.afterLoss(x, true)) return false;
    this.tell(502, WHY.UPSTREAM_RESET, H2_ERROR.INTERNAL_ERROR);
    this.resend(x);
    return true;
  }

  stuck(x: ExchangeSlot): boolean {
    if (this.exchanges.state[x] !== STATE.SENT || !this.retries.afterStall(x)) return false;
    this.tell(504, WHY.RESPONSE_TIMEOUT, H2_ERROR.CANCEL);
    this.resend(x);
    return true;
  }

  failed(x: ExchangeSlot, why: number, code: number, signal: number): void {
    if (this.over(x)) return;
    this.tell(why === WHY.RESPONSE_TIMEOUT || why === WHY.BODY_TIMEOUT ? 504 : 502, why, code);
    this.endings.outcome.reset = why === WHY.UPSTREAM_RESET;
    this.endings.outcome.reason = why === WHY.UPSTREAM_PROTOCOL ? CLOSE.PROTOCOL : CLOSE.RESET;
    this.endings.outcome.signal = signal;
    this.step(x, EVENT.FAILED);
  }

  malformed(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.endings.outcome.reason = CLOSE.PROTOCOL;
    // A message too large only for our limits says nothing about the endpoint.
    this.step(x, info.limit ? EVENT.GIVE_UP : EVENT.FAILED);
  }

  spoke(x: ExchangeSlot): void {
    this.accounts.spoke(x);
  }

  responded(x: ExchangeSlot, status: number): void {
    this.endings.outcome.status = status;
    this.step(x, EVENT.RESPONDED);
  }

  answering(x: ExchangeSlot): void {
    this.exchanges.state[x] = STATE.ANSWERING;
  }

  agreed(x: ExchangeSlot, ended: boolean): void {
    this.step(x, EVENT.AGREED);
    if (ended && this.exchanges.state[x] === STATE.TUNNEL) this.tunnels.fromEndpoint(x, 0, 0, true);
  }

  ended(x: ExchangeSlot): void {
    this.step(x, EVENT.ENDED);
  }

  flushed(x: ExchangeSlot): void {
    this.step(x, EVENT.FLUSHED);
  }

  left(x: ExchangeSlot, reason: number): void {
    // It has its whole response.
    if (this.over(x) && this.exchanges.isStream(x) && this.exchanges.state[x] === STATE.FREE) return;
    this.endings.outcome.reason = reason;
    this.endings.outcome.code = H2_ERROR.CANCEL;
    this.step(x, EVENT.LEFT);
  }

  hungUp(x: ExchangeSlot, reason: number): void {
    if (this.legs.clientHasAll(x)) this.deadlines.arm(x);
    else this.left(x, reason);
  }

  overdue(x: ExchangeSlot): boolean {
    const what = this.deadlines.check(x);
    if (what !== OVERDUE.NO) this.expire(x, what);
    return what !== OVERDUE.NO;
  }

  timer(x: ExchangeSlot): void {
    const { deadlines, exchanges, context } = this;
    if (this.overdue(x) || deadlines.next === Number.POSITIVE_INFINITY) return;
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
        if (!this.dispatcher.leaveLine(x)) this.undispatched(x);
        break;
      case ACTION.BEGIN:
        this.accounts.responded(x, this.endings.outcome.status);
        // Data waiting for a tunnel to be agreed on is still to be sent.
        if (!exchanges.asksForTunnel(x)) this.kept.forget(x);
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
        else this.endings.answer(x);
        break;
      case ACTION.TRANSLATE:
        this.translate(x, false);
        break;
      case ACTION.RETRY:
        if (this.retries.afterRefusal(x, this.leaving)) this.resend(x);
        else if (this.exchanges.isStream(x) && !this.kept.keeps(x)) this.finish(x, ACTION.CUT_ABANDONED, event);
        else this.endings.blame(x);
        break;
      case ACTION.RETRY_OR_BLAME:
        if (this.retries.isMisunderstanding(x)) this.translate(x, true);
        else if (this.retries.afterLoss(x, this.stale)) this.resend(x);
        else this.endings.blame(x);
        break;
      default:
        this.finish(x, action, event);
    }
  }

  /** The actions that end an exchange, and those of tunnels. */
  private finish(x: ExchangeSlot, action: number, event: number): void {
    const { legs, accounts, tunnels } = this;
    switch (action) {
      case ACTION.NONE:
        break;
      case ACTION.BLAME:
        this.endings.blame(x);
        break;
      case ACTION.CUT:
        accounts.failed(x, HEALTH_SIGNAL.NONE);
        this.endings.cut(x);
        break;
      case ACTION.CUT_ABANDONED:
        accounts.abandoned(x);
        this.endings.cut(x);
        break;
      case ACTION.ABANDON:
        this.endings.abandon(x);
        break;
      case ACTION.ANSWER:
        this.endings.answer(x);
        break;
      case ACTION.TUNNEL:
        accounts.succeeded(x, true);
        accounts.ended(x, OUTCOME.WHOLE, 0);
        tunnels.open(x);
        if (this.context.authorization.active && this.permissions.lost(x)) tunnels.forbid(x);
        break;
      case ACTION.TUNNEL_FLUSHED:
        tunnels.flushed(x);
        break;
      case ACTION.TUNNEL_BROKEN:
        tunnels.broken(x, this.endings.outcome.code, this.endings.outcome.reason);
        break;
      case ACTION.TUNNEL_LEFT:
        tunnels.left(x, this.endings.outcome.reason);
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
  private over(x: ExchangeSlot): boolean {
    const { exchanges, legs } = this;
    if (exchanges.state[x] !== STATE.ANSWERING) return false;
    if (exchanges.over[x] === 0) return legs.endEarly(x);
    exchanges.over[x] = 0;
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
    fresh: boolean,
  ): void {
    if (!this.dispatcher.send(x, source, from, exclude, first, fresh)) this.undispatched(x);
  }

  /**
   * Tells the client why its request could not be sent. If no endpoint can have it any more, the reason is what happened at the last one.
   */
  private undispatched(x: ExchangeSlot): void {
    const { dispatcher } = this;
    if (!dispatcher.unsendable) {
      this.tell(dispatcher.status, dispatcher.why, H2_ERROR.NO_ERROR);
      this.endings.outcome.detail = dispatcher.detail;
    }
    this.endings.answer(x);
  }

  /** Sends a request again, as `retries` has decided. */
  private resend(x: ExchangeSlot): void {
    const { retries, context, legs, exchanges } = this;
    // Read these before anything else is sent again.
    const { source, from, exclude, first, fresh, ended, reason } = retries;
    const endpoint = exchanges.endpoint[x];
    this.dispatch(x, source, from, exclude, first, fresh);
    if (from < 0) return;
    // What was queued on the connection has been moved, or is dropped with it.
    if (ended) context.connections.close(from, reason);
    // The endpoint does not speak the version of these connections. A request that waited in line was on none of them.
    if (first >= 0) legs.closeIdle(endpoint);
  }

  /** The endpoint does not speak the version it was asked in: try the other version if possible. */
  private translate(x: ExchangeSlot, guessed: boolean): void {
    const waited = this.exchanges.state[x] === STATE.WAITING;
    if (waited && this.exchanges.grpc[x] === 1) {
      // gRPC is HTTP/2: an HTTP/1 server cannot answer such a call. Another endpoint may, or this one later.
      this.undialled(x, WHY.HTTP2_REFUSED);
      return;
    }
    const info = MESSAGE_ERRORS[MESSAGE_ERROR.STATUS_LINE + UPSTREAM];
    this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.endings.outcome.detail = info.detailBytes;
    this.endings.outcome.reason = CLOSE.PROTOCOL;
    if (this.retries.otherVersion(x, guessed)) this.resend(x);
    else if (waited) this.endings.answer(x);
    else this.endings.blame(x);
  }

  /** Something has taken too long. */
  private expire(x: ExchangeSlot, what: number): void {
    const { exchanges, legs, tunnels, context } = this;
    switch (what) {
      case OVERDUE.LINE:
        this.giveUp(x, 503, WHY.POOL_EXHAUSTED);
        break;
      case OVERDUE.RESPONSE:
        this.tell(504, WHY.RESPONSE_TIMEOUT, H2_ERROR.CANCEL);
        this.endings.outcome.reason = CLOSE.TIMEOUT;
        // Silence counts against an endpoint only if a timeout is configured.
        if (context.services.responseTimeoutMs[exchanges.service[x]] > 0)
          this.endings.outcome.signal = HEALTH_SIGNAL.TIMEOUT;
        this.step(x, EVENT.FAILED);
        break;
      case OVERDUE.BODY:
        if (this.over(x)) return;
        if (exchanges.state[x] === STATE.OWN) this.left(x, CLOSE.TIMEOUT);
        else {
          // The side that should have sent, or accepted, is at fault.
          const held = legs.endpointHolds(x);
          this.tell(held ? 504 : 408, WHY.BODY_TIMEOUT, H2_ERROR.CANCEL);
          this.endings.outcome.reason = CLOSE.TIMEOUT;
          this.step(x, held ? EVENT.FAILED : EVENT.GIVE_UP);
        }
        break;
      case OVERDUE.TUNNEL:
        tunnels.expired(x);
        break;
    }
  }

  private tell(status: number, why: number, code: number): void {
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

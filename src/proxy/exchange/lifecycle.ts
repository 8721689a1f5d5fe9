// The life of an exchange, from its request to its end. Legs report what happens; table.ts says what is to be done then, and here it is
// done: picking and sending in dispatch.ts, what is counted in accounts.ts, what the proxy says itself in answers.ts.

import { MESSAGE_ERROR as ERROR1, MESSAGE_ERRORS, UPSTREAM } from '../../http1/errors.js';
import { H2_ERROR } from '../../http2/frame.js';
import { LIMITS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import type { Context } from '../context.js';
import type { Tunnels } from '../relay/tunnel.js';
import type { ExchangeSlot } from '../slots.js';
import type { Accounts } from './accounts.js';
import type { Answers } from './answers.js';
import { type Deadlines, OVERDUE } from './deadlines.js';
import { type Dispatcher, MAX_ATTEMPTS } from './dispatch.js';
import { type Exchanges, STATE } from './exchange.js';
import type { KeptRequests } from './kept.js';
import { type Legs, SOURCE } from './legs.js';
import { WHY } from './reasons.js';
import type { Control } from './reports.js';
import type { Retries } from './retry.js';
import { ACTION, EVENT, EVENT_COUNT, EVENTS, TABLE } from './table.js';

const NONE = -1;
const LIMIT_SLAB = LIMITS.indexOf('slab');

export class Lifecycle implements Control {
  // What the last event brought with it. Fields, as an object for each would be allocated.
  private status = 0;
  private why = 0;
  private detail: Uint8Array | null = null;
  private code: number = H2_ERROR.NO_ERROR;
  private reason = 0;
  private stale = false;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly kept: KeptRequests,
    private readonly legs: Legs,
    private readonly accounts: Accounts,
    private readonly answers: Answers,
    private readonly dispatcher: Dispatcher,
    private readonly retries: Retries,
    private readonly deadlines: Deadlines,
    private readonly tunnels: Tunnels,
  ) {}

  // Reports of the legs.

  request(x: ExchangeSlot, meter: number, error: number): void {
    const { exchanges, accounts } = this;
    accounts.begun(x, meter);
    if (exchanges.service[x] < 0) this.giveUp(x, 421, WHY.MISDIRECTED);
    else if (error !== 0) this.reject(x, error);
    else this.step(x, EVENT.REQUEST);
  }

  reject(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.detail = info.detailBytes;
    this.step(x, EVENT.GIVE_UP);
  }

  giveUp(x: ExchangeSlot, status: number, why: number): void {
    this.tell(status, why, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.GIVE_UP);
  }

  outOfMemory(x: ExchangeSlot): void {
    this.context.limited(LIMIT_SLAB);
    this.tell(503, WHY.MEMORY, H2_ERROR.ENHANCE_YOUR_CALM);
    this.step(x, EVENT.GIVE_UP);
  }

  truncated(x: ExchangeSlot): void {
    this.tell(400, WHY.BAD_REQUEST, H2_ERROR.NO_ERROR);
    this.step(x, EVENT.GIVE_UP);
  }

  overrun(x: ExchangeSlot): void {
    this.left(x, CLOSE.LIMIT);
  }

  uploaded(x: ExchangeSlot): void {
    this.deadlines.arm(x);
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
    this.tell(502, WHY.STREAM_REFUSED, code);
    this.reason = CLOSE.ERROR;
    this.step(x, EVENT.REFUSED);
  }

  lost(x: ExchangeSlot, reason: number, stale: boolean): void {
    this.tell(502, WHY.UPSTREAM_RESET, H2_ERROR.INTERNAL_ERROR);
    this.reason = reason;
    this.stale = stale;
    this.step(x, EVENT.LOST);
  }

  retry(x: ExchangeSlot): boolean {
    this.stale = true;
    return this.exchanges.state[x] === STATE.SENT && this.retryLost(x);
  }

  failed(x: ExchangeSlot, why: number, code: number): void {
    this.tell(why === WHY.RESPONSE_TIMEOUT || why === WHY.BODY_TIMEOUT ? 504 : 502, why, code);
    this.reason = why === WHY.UPSTREAM_PROTOCOL ? CLOSE.PROTOCOL : CLOSE.RESET;
    this.step(x, EVENT.FAILED);
  }

  malformed(x: ExchangeSlot, error: number): void {
    const info = MESSAGE_ERRORS[error];
    this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
    this.detail = info.detailBytes;
    this.reason = CLOSE.PROTOCOL;
    this.step(x, EVENT.FAILED);
  }

  responded(x: ExchangeSlot, status: number): void {
    this.status = status;
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
    this.reason = reason;
    this.code = H2_ERROR.CANCEL;
    this.step(x, EVENT.LEFT);
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

  // What is done.

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
        this.accounts.responded(x, this.status);
        // What waits for a tunnel to be agreed to is still to be sent.
        if (!exchanges.asksForTunnel(x)) this.kept.forget(x);
        break;
      case ACTION.FLUSH:
        exchanges.state[x] = STATE.FLUSHING;
        if (legs.clientEnded(x)) this.complete(x);
        break;
      case ACTION.COMPLETE:
        this.complete(x);
        break;
      case ACTION.FAILOVER:
        this.failover(x);
        break;
      case ACTION.TRANSLATE:
        this.translate(x);
        break;
      case ACTION.RETRY:
        if (!this.retryRefused(x)) this.blame(x);
        break;
      case ACTION.RETRY_OR_BLAME:
        if (this.retries.isMisunderstanding(x)) this.translate(x);
        else if (!this.retryLost(x)) this.blame(x);
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
        this.blame(x);
        break;
      case ACTION.CUT:
        accounts.failed(x);
        this.cut(x);
        break;
      case ACTION.CUT_ABANDONED:
        accounts.abandoned(x);
        this.cut(x);
        break;
      case ACTION.ABANDON:
        this.abandon(x);
        break;
      case ACTION.ANSWER:
        this.answer(x);
        break;
      case ACTION.TUNNEL:
        accounts.succeeded(x);
        accounts.ended(x, true);
        tunnels.open(x);
        break;
      case ACTION.TUNNEL_FLUSHED:
        tunnels.flushed(x);
        break;
      case ACTION.TUNNEL_BROKEN:
        tunnels.broken(x, this.code, this.reason);
        break;
      case ACTION.TUNNEL_LEFT:
        tunnels.left(x, this.reason);
        break;
      case ACTION.END:
        legs.next(x);
        break;
      default:
        throw new Error(`an exchange in state ${this.exchanges.state[x]} can't have event ${EVENTS[event]}`);
    }
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

  /** Tells the client why its request could not be sent. */
  private undispatched(x: ExchangeSlot): void {
    const { dispatcher } = this;
    this.tell(dispatcher.status, dispatcher.why, H2_ERROR.NO_ERROR);
    this.detail = dispatcher.detail;
    this.answer(x);
  }

  /** No connection could be made: the request goes elsewhere, whatever its method. */
  private failover(x: ExchangeSlot): void {
    const { exchanges, accounts, legs } = this;
    const endpoint = exchanges.endpoint[x];
    accounts.abandoned(x);
    const from = legs.takeBack(x);
    exchanges.state[x] = STATE.FREE;
    if (exchanges.attempts[x] >= MAX_ATTEMPTS) this.answer(x);
    else this.dispatch(x, from < 0 ? SOURCE.KEPT : SOURCE.QUEUED, from, endpoint, NONE, false);
  }

  /** The endpoint does not speak the version in which it was asked: it is asked again in the other. */
  private translate(x: ExchangeSlot): void {
    const { exchanges, accounts, legs, kept, retries, context } = this;
    const endpoint = exchanges.endpoint[x];
    const waited = exchanges.state[x] === STATE.WAITING;
    if ((!waited && !retries.learnHttp2(x)) || !kept.keeps(x)) {
      const info = MESSAGE_ERRORS[ERROR1.STATUS_LINE + UPSTREAM];
      this.tell(info.status, info.reasonIndex, H2_ERROR.INTERNAL_ERROR);
      this.detail = info.detailBytes;
      this.reason = CLOSE.PROTOCOL;
      this.blame(x);
      return;
    }
    accounts.abandoned(x);
    const from = legs.takeBack(x);
    exchanges.state[x] = STATE.FREE;
    this.dispatch(x, SOURCE.KEPT, NONE, NONE, endpoint, true);
    if (from < 0) return;
    context.connections.close(from, CLOSE.PROTOCOL);
    legs.closeIdle(endpoint);
  }

  /** Sends a request to another endpoint than the one that has refused it. False if that may not be. */
  private retryRefused(x: ExchangeSlot): boolean {
    const { exchanges, accounts, legs, retries } = this;
    if (!retries.mayAfterRefusal(x)) return false;
    const endpoint = exchanges.endpoint[x];
    accounts.abandoned(x);
    legs.takeBack(x);
    exchanges.state[x] = STATE.FREE;
    this.dispatch(x, SOURCE.KEPT, NONE, endpoint, NONE, false);
    return true;
  }

  /** Sends a request again whose connection was lost. False if that may not be. */
  private retryLost(x: ExchangeSlot): boolean {
    const { exchanges, accounts, legs, retries, context } = this;
    const { stale } = this;
    if (!retries.mayAfterLoss(x, stale)) return false;
    const source = legs.untouched(x) ? SOURCE.QUEUED : SOURCE.KEPT;
    accounts.abandoned(x);
    const from = legs.takeBack(x);
    exchanges.state[x] = STATE.FREE;
    this.dispatch(x, source, from, NONE, NONE, true);
    if (from >= 0) context.connections.close(from, CLOSE.RESET);
    return true;
  }

  /** The endpoint has not brought its response to an end, and nothing of it has gone to the client. */
  private blame(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    accounts.failed(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, this.reason);
    this.sendAnswer(x);
    legs.reuse(connection);
  }

  /** Answers in the proxy's own name; an endpoint that has the request did nothing wrong. */
  private answer(x: ExchangeSlot): void {
    const { legs } = this;
    this.disengage(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, CLOSE.OK);
    this.sendAnswer(x);
    legs.reuse(connection);
  }

  private sendAnswer(x: ExchangeSlot): void {
    const { accounts, answers, legs } = this;
    this.forget(x);
    const { why } = this;
    const status = answers.send(x, this.status, why, this.detail, this.code);
    accounts.answered(x, status);
    legs.afterAnswer(x, closeReason(why));
  }

  /** The client's response ends too early; what the endpoint has to do with it is accounted for. */
  private cut(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    const connection = legs.leave(x, H2_ERROR.CANCEL, this.reason);
    accounts.ended(x, false);
    this.forget(x);
    legs.cut(x, this.code, this.why === WHY.BODY_TIMEOUT ? CLOSE.TIMEOUT : CLOSE.ERROR);
    legs.reuse(connection);
  }

  /** The client has left. */
  private abandon(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    const { reason } = this;
    this.disengage(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, CLOSE.OK);
    accounts.ended(x, false);
    this.forget(x);
    legs.close(x, reason);
    legs.reuse(connection);
  }

  /** The client has all of the response. */
  private complete(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    accounts.succeeded(x);
    accounts.ended(x, true);
    // An endpoint that has answered before it had the whole request wants no more of it (RFC 9113 section 8.1).
    const connection = legs.leave(x, H2_ERROR.NO_ERROR, CLOSE.OK);
    this.forget(x);
    legs.next(x);
    legs.reuse(connection);
  }

  /** Something has taken too long. */
  private expire(x: ExchangeSlot, what: number): void {
    const { exchanges, legs, tunnels } = this;
    switch (what) {
      case OVERDUE.LINE:
        this.giveUp(x, 503, WHY.POOL_EXHAUSTED);
        break;
      case OVERDUE.RESPONSE:
        this.reason = CLOSE.TIMEOUT;
        this.tell(504, WHY.RESPONSE_TIMEOUT, H2_ERROR.CANCEL);
        this.step(x, EVENT.FAILED);
        break;
      case OVERDUE.BODY:
        if (exchanges.state[x] === STATE.OWN) this.left(x, CLOSE.TIMEOUT);
        else {
          // The blame is with the side that was to send or to take some.
          const held = legs.endpointHolds(x);
          this.reason = CLOSE.TIMEOUT;
          this.tell(held ? 504 : 408, WHY.BODY_TIMEOUT, H2_ERROR.CANCEL);
          this.step(x, held ? EVENT.FAILED : EVENT.GIVE_UP);
        }
        break;
      case OVERDUE.TUNNEL:
        tunnels.expired(x);
        break;
    }
  }

  /** Takes the exchange from its endpoint, if one has it. */
  private disengage(x: ExchangeSlot): void {
    const { exchanges, accounts } = this;
    const state = exchanges.state[x];
    if (state >= STATE.WAITING && state <= STATE.FLUSHING) accounts.abandoned(x);
  }

  /** What was kept for the exchange is given up. */
  private forget(x: ExchangeSlot): void {
    const { kept, exchanges } = this;
    kept.forget(x);
    kept.dropTrailers(x);
    if (exchanges.keys.size > 0) exchanges.keys.delete(x);
  }

  private tell(status: number, why: number, code: number): void {
    this.status = status;
    this.why = why;
    this.detail = null;
    this.code = code;
  }
}

/** CLOSE of the connection of an HTTP/1 client that is told WHY. */
function closeReason(why: number): number {
  switch (why) {
    case WHY.HEADER_TIMEOUT:
    case WHY.BODY_TIMEOUT:
    case WHY.RESPONSE_TIMEOUT:
      return CLOSE.TIMEOUT;
    case WHY.MEMORY:
      return CLOSE.LIMIT;
    case WHY.UPSTREAM_RESET:
    case WHY.STREAM_REFUSED:
      return CLOSE.ERROR;
    case WHY.NO_ENDPOINT:
    case WHY.POOL_EXHAUSTED:
    case WHY.CONNECT_FAILED:
    case WHY.CONNECT_TIMEOUT:
      return CLOSE.OK;
    default:
      return CLOSE.PROTOCOL;
  }
}

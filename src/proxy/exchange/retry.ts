// Which requests may be sent again: those that an endpoint has not processed, and those that may be processed twice if that is unknown.

import { isIdempotent } from '../../http/methods.js';
import { ROLE } from '../../http2/connection.js';
import { H } from '../../http2/counters.js';
import { H2_ERROR } from '../../http2/frame.js';
import { h2Base, LIMITS, S, W } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Accounts } from './accounts.js';
import { type Exchanges, MAX_ATTEMPTS, STATE } from './exchange.js';
import type { KeptRequests } from './kept.js';
import { type Legs, SOURCE } from './legs.js';

const NONE = -1;
const LIMIT_RETRY_BUDGET = LIMITS.indexOf('retry-budget');

export class Retries {
  // How to send the request, as parameters of `Dispatcher.send`.
  source: number = SOURCE.KEPT;
  /** The socket it was on, -1 for none. */
  from: SocketSlot | -1 = NONE;
  exclude = NONE;
  first = NONE;
  fresh = false;
  /** Whether to close that socket, and its CLOSE. */
  ended = true;
  reason = 0;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly kept: KeptRequests,
    private readonly legs: Legs,
    private readonly accounts: Accounts,
  ) {}

  /**
   * No connection could be established, so nothing was processed: tries another endpoint, whatever the method. False after too many
   * attempts.
   */
  failover(x: ExchangeSlot): boolean {
    const endpoint = this.exchanges.endpoint[x];
    const again = this.left(x);
    this.takeBack(x);
    this.plan(this.from < 0 ? SOURCE.KEPT : SOURCE.QUEUED, endpoint, NONE, false);
    // The dialer closes the socket of a failed dial.
    this.ended = false;
    return again;
  }

  /**
   * The endpoint has refused the request unprocessed: tries another one, within the budget. `leaving`: a connection that is closing refuses
   * whatever is on its way to it, which says nothing about its endpoint's capacity and costs no budget. False if no retry is allowed.
   */
  afterRefusal(x: ExchangeSlot, leaving: boolean): boolean {
    if (!this.left(x) || !this.kept.secure(x)) return false;
    if (leaving) this.counted(x);
    else if (!this.paid(x)) return false;
    this.context.values[h2Base(ROLE.CLIENT) + H.RETRIES_REFUSED]++;
    const endpoint = this.exchanges.endpoint[x];
    this.takeBack(x);
    this.plan(SOURCE.KEPT, endpoint, NONE, false);
    return true;
  }

  /**
   * The connection was lost before any of the response: sends the request again on a new one if none of it had been sent, or processing it
   * twice does no harm, within the budget. `stale`: the connection had served before, so it may have closed before the request reached it.
   * False if not allowed.
   */
  afterLoss(x: ExchangeSlot, stale: boolean): boolean {
    const { exchanges, legs } = this;
    if (!stale || !this.left(x) || legs.sending(x)) return false;
    const untouched = legs.untouched(x);
    if (!untouched && !(isIdempotent(exchanges.method[x]) && this.kept.secure(x))) return false;
    if (!this.paid(x)) return false;
    this.takeBack(x);
    this.plan(untouched ? SOURCE.QUEUED : SOURCE.KEPT, NONE, NONE, true);
    this.reason = CLOSE.RESET;
    return true;
  }

  /**
   * The endpoint's connection has taken the head of the request, and accepts no more: the request is cancelled and sent on another. The
   * endpoint can't have done much without the body; if some of that has been sent, processing it twice must do no harm. False if not
   * allowed.
   */
  afterStall(x: ExchangeSlot): boolean {
    const { exchanges, legs, kept } = this;
    if (!this.left(x) || !(legs.unfed(x) || isIdempotent(exchanges.method[x])) || !kept.secure(x)) return false;
    this.counted(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, CLOSE.OK);
    this.takeBack(x);
    legs.reuse(connection);
    this.plan(SOURCE.KEPT, NONE, NONE, false);
    return true;
  }

  /**
   * The endpoint can't have processed what it could not read: asks it again in the other version. False if the service fixes the protocol,
   * or the request is no longer available. `guessed`: see `isMisunderstanding`.
   */
  otherVersion(x: ExchangeSlot, guessed: boolean): boolean {
    const { exchanges, context, kept } = this;
    const endpoint = exchanges.endpoint[x];
    // For requests waiting in line this is already known.
    if (exchanges.state[x] !== STATE.WAITING) {
      if (context.services.protocol[exchanges.service[x]] !== SERVICE_PROTOCOL.AUTO) return false;
      // Without a word from the endpoint this is only a guess.
      context.protocols.learn(endpoint, VERSION.HTTP1, KNOWN.REFUSED, guessed);
      context.protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    }
    // Do not ask an endpoint that refuses both versions forever.
    if (!kept.secure(x) || !this.left(x)) return false;
    exchanges.attempts[x]++;
    this.takeBack(x);
    this.plan(SOURCE.KEPT, NONE, endpoint, true);
    this.reason = CLOSE.PROTOCOL;
    return true;
  }

  /** Whether the endpoint is taken not to speak the version it was asked in: it closed without a word, and is known to speak the other. */
  isMisunderstanding(x: ExchangeSlot): boolean {
    const { exchanges, context, legs } = this;
    const { protocols, services } = context;
    const endpoint = exchanges.endpoint[x];
    return (
      services.protocol[exchanges.service[x]] === SERVICE_PROTOCOL.AUTO &&
      exchanges.version[x] === VERSION.HTTP1 &&
      protocols.uncertain(endpoint, VERSION.HTTP1) &&
      protocols.spoken(endpoint, VERSION.HTTP2) &&
      !legs.heard(x) &&
      this.kept.keeps(x) &&
      isIdempotent(exchanges.method[x])
    );
  }

  /** Detaches the exchange from its endpoint, which is not at fault. */
  private takeBack(x: ExchangeSlot): void {
    this.accounts.abandoned(x);
    this.from = this.legs.takeBack(x);
    this.exchanges.state[x] = STATE.FREE;
  }

  private plan(source: number, exclude: number, first: number, fresh: boolean): void {
    this.source = source;
    this.exclude = exclude;
    this.first = first;
    this.fresh = fresh;
    this.ended = true;
  }

  private left(x: ExchangeSlot): boolean {
    return this.exchanges.attempts[x] < MAX_ATTEMPTS;
  }

  private paid(x: ExchangeSlot): boolean {
    const { budget, reactor, values, services } = this.context;
    const service = this.exchanges.service[x];
    const base = services.base[service];
    if (!budget.tryWithdraw(service, reactor.ms)) {
      this.context.limited(LIMIT_RETRY_BUDGET);
      values[W.RETRIES_BUDGET]++;
      values[base + S.RETRIES_DENIED]++;
      return false;
    }
    this.counted(x);
    return true;
  }

  private counted(x: ExchangeSlot): void {
    const { values, services } = this.context;
    values[W.RETRIES]++;
    values[services.base[this.exchanges.service[x]] + S.RETRIES]++;
  }
}

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
import { type Exchanges, MAX_ATTEMPTS, STATE } from './exchange.js';
import type { ExchangeStats } from './exchange-stats.js';
import { type Legs, SOURCE } from './legs.js';
import type { ReplayBuffers } from './replay-buffers.js';

const NONE = -1;
const LIMIT_RETRY_BUDGET = LIMITS.indexOf('retry-budget');

export class Retries {
  // How to send the request, as parameters of `Dispatcher.send`.
  source: number = SOURCE.REPLAY;
  /** The socket it was on, -1 for none. */
  from: SocketSlot | -1 = NONE;
  exclude = NONE;
  first = NONE;
  newConnection = false;
  /** Whether to close that socket, and its CLOSE. */
  ended = true;
  reason = 0;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly legs: Legs,
    private readonly stats: ExchangeStats,
  ) {}

  /**
   * No connection could be established, so nothing was processed: tries another endpoint, whatever the method. False after too many
   * attempts.
   */
  failover(x: ExchangeSlot): boolean {
    const endpoint = this.exchanges.endpoint[x];
    const again = this.attemptsLeft(x);
    this.detach(x);
    this.plan(this.from < 0 ? SOURCE.REPLAY : SOURCE.QUEUED, endpoint, NONE, false);
    // The dialer closes the socket of a failed dial.
    this.ended = false;
    return again;
  }

  /**
   * The endpoint has refused the request unprocessed: tries another one, within the budget. `leaving`: a connection that is closing refuses
   * whatever is on its way to it, which says nothing about its endpoint's capacity and costs no budget. False if no retry is allowed.
   */
  afterRefusal(x: ExchangeSlot, leaving: boolean): boolean {
    if (!this.attemptsLeft(x) || !this.replay.materialize(x)) return false;
    if (leaving) this.countRetry(x);
    else if (!this.withdrawBudget(x)) return false;
    this.context.values[h2Base(ROLE.CLIENT) + H.RETRIES_REFUSED]++;
    const endpoint = this.exchanges.endpoint[x];
    this.detach(x);
    this.plan(SOURCE.REPLAY, endpoint, NONE, false);
    return true;
  }

  /**
   * The connection was lost before any of the response: sends the request again on a new one if none of it had been sent, or processing it
   * twice does no harm, within the budget. `stale`: the connection had served before, so it may have closed before the request reached it.
   * False if not allowed.
   */
  afterLoss(x: ExchangeSlot, stale: boolean): boolean {
    const { exchanges, legs } = this;
    if (!stale || !this.attemptsLeft(x) || legs.sending(x)) return false;
    const untouched = legs.unsent(x);
    if (!untouched && !(isIdempotent(exchanges.method[x]) && this.replay.materialize(x))) return false;
    if (!this.withdrawBudget(x)) return false;
    this.detach(x);
    this.plan(untouched ? SOURCE.QUEUED : SOURCE.REPLAY, NONE, NONE, true);
    this.reason = CLOSE.RESET;
    return true;
  }

  /**
   * The endpoint's connection has taken the head of the request, and accepts no more: the request is cancelled and sent on another. The
   * endpoint can't have done much without the body; if some of that has been sent, processing it twice must do no harm. False if not
   * allowed.
   */
  afterStall(x: ExchangeSlot): boolean {
    const { exchanges, legs, replay } = this;
    if (!this.attemptsLeft(x) || !(legs.bodyUnsent(x) || isIdempotent(exchanges.method[x])) || !replay.materialize(x))
      return false;
    this.countRetry(x);
    const connection = legs.endEndpoint(x, H2_ERROR.CANCEL, CLOSE.OK);
    this.detach(x);
    legs.reuse(connection);
    this.plan(SOURCE.REPLAY, NONE, NONE, false);
    return true;
  }

  /**
   * The endpoint can't have processed what it could not read: asks it again in the other version. False if the service fixes the protocol,
   * or the request is no longer available. `guessed`: see `isWrongVersion`.
   */
  otherVersion(x: ExchangeSlot, guessed: boolean): boolean {
    const { exchanges, context, replay } = this;
    const endpoint = exchanges.endpoint[x];
    // For queued requests this is already known.
    if (exchanges.state[x] !== STATE.PENDING) {
      if (context.services.protocol[exchanges.service[x]] !== SERVICE_PROTOCOL.AUTO) return false;
      // Without a word from the endpoint this is only a guess.
      context.protocols.learn(endpoint, VERSION.HTTP1, KNOWN.REFUSED, guessed);
      context.protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    }
    // Do not ask an endpoint that refuses both versions forever.
    if (!replay.materialize(x) || !this.attemptsLeft(x)) return false;
    exchanges.attempts[x]++;
    this.detach(x);
    this.plan(SOURCE.REPLAY, NONE, endpoint, true);
    this.reason = CLOSE.PROTOCOL;
    return true;
  }

  /** Whether the endpoint is taken not to speak the version it was asked in: it closed without a word, and is known to speak the other. */
  isWrongVersion(x: ExchangeSlot): boolean {
    const { exchanges, context, legs } = this;
    const { protocols, services } = context;
    const endpoint = exchanges.endpoint[x];
    return (
      services.protocol[exchanges.service[x]] === SERVICE_PROTOCOL.AUTO &&
      exchanges.version[x] === VERSION.HTTP1 &&
      protocols.uncertain(endpoint, VERSION.HTTP1) &&
      protocols.spoken(endpoint, VERSION.HTTP2) &&
      !legs.responseBegun(x) &&
      this.replay.has(x) &&
      isIdempotent(exchanges.method[x])
    );
  }

  /** Detaches the exchange from its endpoint, which is not at fault. */
  private detach(x: ExchangeSlot): void {
    this.stats.abandoned(x);
    this.from = this.legs.detach(x);
    this.exchanges.state[x] = STATE.FREE;
  }

  private plan(source: number, exclude: number, first: number, newConnection: boolean): void {
    this.source = source;
    this.exclude = exclude;
    this.first = first;
    this.newConnection = newConnection;
    this.ended = true;
  }

  private attemptsLeft(x: ExchangeSlot): boolean {
    return this.exchanges.attempts[x] < MAX_ATTEMPTS;
  }

  private withdrawBudget(x: ExchangeSlot): boolean {
    const { budget, reactor, values, services } = this.context;
    const service = this.exchanges.service[x];
    const base = services.base[service];
    if (!budget.tryWithdraw(service, reactor.ms)) {
      this.context.limited(LIMIT_RETRY_BUDGET);
      values[W.RETRIES_BUDGET]++;
      values[base + S.RETRIES_DENIED]++;
      return false;
    }
    this.countRetry(x);
    return true;
  }

  private countRetry(x: ExchangeSlot): void {
    const { values, services } = this.context;
    values[W.RETRIES]++;
    values[services.base[this.exchanges.service[x]] + S.RETRIES]++;
  }
}

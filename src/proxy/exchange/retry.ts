// Requests that are sent again: what an endpoint has not processed, and what may be processed twice where it is not known whether it was.

import { isIdempotent } from '../../http/methods.js';
import { ROLE } from '../../http2/connection.js';
import { H } from '../../http2/counters.js';
import { h2Base, LIMITS, S, W } from '../../metrics/layout.js';
import { KNOWN, SERVICE_PROTOCOL, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import { MAX_ATTEMPTS } from './dispatch.js';
import type { Exchanges } from './exchange.js';
import type { KeptRequests } from './kept.js';
import type { Legs } from './legs.js';

const LIMIT_RETRY_BUDGET = LIMITS.indexOf('retry-budget');

export class Retries {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly kept: KeptRequests,
    private readonly legs: Legs,
  ) {}

  /** Whether a request that its endpoint has refused unprocessed may be sent to another one. Then it is taken from the budget. */
  mayAfterRefusal(x: ExchangeSlot): boolean {
    if (!this.left(x) || !this.kept.keeps(x) || !this.paid(x)) return false;
    this.context.values[h2Base(ROLE.CLIENT) + H.RETRIES_REFUSED]++;
    return true;
  }

  /**
   * Whether a request may be sent again whose connection was lost before any of the response. `stale`: the connection had served before,
   * so that it may have been closed before the request reached it. Then it is taken from the budget.
   */
  mayAfterLoss(x: ExchangeSlot, stale: boolean): boolean {
    const { exchanges, legs } = this;
    if (!stale || !this.left(x) || legs.sending(x)) return false;
    const again = legs.untouched(x) || (this.kept.keeps(x) && isIdempotent(exchanges.method[x]));
    return again && this.paid(x);
  }

  /**
   * Whether the endpoint is taken for one that does not speak the version in which it was asked: it has closed without a word, and is
   * known to speak the other.
   */
  isMisunderstanding(x: ExchangeSlot): boolean {
    const { exchanges, context, legs } = this;
    const { protocols, services } = context;
    const endpoint = exchanges.endpoint[x];
    return (
      services.protocol[exchanges.service[x]] === SERVICE_PROTOCOL.AUTO &&
      exchanges.version[x] === VERSION.HTTP1 &&
      protocols.unknown(endpoint, VERSION.HTTP1) &&
      protocols.spoken(endpoint, VERSION.HTTP2) &&
      !legs.heard(x) &&
      this.kept.keeps(x) &&
      isIdempotent(exchanges.method[x])
    );
  }

  /** Notes that the endpoint of the exchange does not speak HTTP/1 but HTTP/2. False where the service says what its endpoints speak. */
  learnHttp2(x: ExchangeSlot): boolean {
    const { context, exchanges } = this;
    if (context.services.protocol[exchanges.service[x]] !== SERVICE_PROTOCOL.AUTO) return false;
    const endpoint = exchanges.endpoint[x];
    context.protocols.learn(endpoint, VERSION.HTTP1, KNOWN.REFUSED);
    context.protocols.learn(endpoint, VERSION.HTTP2, KNOWN.SPOKEN);
    return true;
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
    values[W.RETRIES]++;
    values[base + S.RETRIES]++;
    return true;
  }
}

// Requests that are sent again: those that were not processed, or that may be processed twice, and those whose endpoint could
// not be dialled.
import { ERROR, UPSTREAM } from '../http1/errors.js';
import { SOCKET } from '../io/sockets.js';
import { LIMITS, S, W } from '../metrics/layout.js';
import { CLOSE } from './connect/connections.js';
import { type Context, PROTOCOL } from './context.js';
import { type Exchanges, FLOW } from './exchange.js';
import type { BodyRelay } from './http1/bodies.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';

const NONE = -1;
/** Endpoints tried for one request, connect failures included. */
export const MAX_ATTEMPTS = 3;
const LIMIT_RETRY_BUDGET = LIMITS.indexOf('retry-budget');

export class Retries {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly bodies: BodyRelay,
    private readonly http1: Http1,
  ) {}

  /**
   * A pooled connection was lost before any byte of the response: sends the request again on a new one, if nothing of it
   * was processed (no byte was taken) or processing it twice does no harm. Once, and within the budget.
   */
  retry(client: number, upstream: number): boolean {
    const { sockets, budget, reactor, values, connections, slab } = this.context;
    const exchanges = this.exchanges;
    if (!this.retriable(client, upstream) || (sockets.flags[upstream] & SOCKET.SENDING) !== 0) return false;
    const untouched = exchanges.sent[upstream] === 0;
    const retained = exchanges.retained[client];
    if (!untouched && (retained < 0 || !exchanges.idempotent(client))) return false;
    const service = exchanges.service[client];
    if (!budget.tryWithdraw(service, reactor.ms)) {
      this.context.limited(LIMIT_RETRY_BUDGET);
      values[W.RETRIES_BUDGET]++;
      values[this.context.services.base[service] + S.RETRIES_DENIED]++;
      return false;
    }
    values[W.RETRIES]++;
    values[this.context.services.base[service] + S.RETRIES]++;
    const endpoint = connections.endpoint[upstream];
    this.http1.accounts.abandon(endpoint);
    this.splitOff(client, upstream);
    const next = this.http1.dispatcher.dispatch(client, NONE, true, NONE);
    if (next >= 0) {
      if (untouched) sockets.moveQueue(upstream, next);
      else {
        sockets.dropQueue(upstream);
        slab.retain(retained);
        sockets.queue(next, exchanges.retainedAt[client], exchanges.retainedLength[client], retained);
      }
    }
    connections.close(upstream, CLOSE.RESET);
    return true;
  }

  retriable(client: number, upstream: number): boolean {
    const exchanges = this.exchanges;
    return (
      exchanges.served[upstream] > 0 && exchanges.heard[upstream] === 0 && exchanges.attempts[client] < MAX_ATTEMPTS
    );
  }

  /** Dialling failed, so nothing was processed: the request goes to another endpoint, whatever its method. */
  connectFailed(client: number, upstream: number, why: number): void {
    const { sockets, connections } = this.context;
    if (client < 0) return;
    const exchanges = this.exchanges;
    const endpoint = connections.endpoint[upstream];
    this.http1.accounts.abandon(endpoint);
    this.splitOff(client, upstream);
    if (exchanges.attempts[client] >= MAX_ATTEMPTS) {
      this.http1.answers.respond(client, why === WHY.CONNECT_TIMEOUT ? 504 : 502, why, null, CLOSE.OK);
      return;
    }
    const next = this.http1.dispatcher.dispatch(client, endpoint, false, NONE);
    if (next >= 0) sockets.moveQueue(upstream, next);
  }

  /**
   * The endpoint has answered an HTTP/1 request as HTTP/2 servers begin. It can't have processed what it could not read: the request
   * is sent again over HTTP/2, if the service leaves open what its endpoints speak and the request is still at hand.
   */
  answeredInHttp2(client: number, upstream: number): void {
    const { connections, services, balancer } = this.context;
    const endpoint = connections.endpoint[upstream];
    const learning = services.protocol[this.exchanges.service[client]] === PROTOCOL.AUTO;
    if (learning) {
      this.context.learnProtocol(endpoint, PROTOCOL.HTTP2);
      this.http1.upstreams.closeIdle(endpoint);
    }
    if (!learning || this.exchanges.retained[client] < 0) {
      this.http1.badGateway(client, upstream, ERROR.STATUS_LINE + UPSTREAM);
      return;
    }
    this.http1.accounts.abandon(endpoint);
    this.splitOff(client, upstream);
    balancer.begin(endpoint);
    if (!this.http1.bridge.again(client, endpoint)) {
      balancer.abandon(endpoint);
      this.http1.answers.respond(client, 502, WHY.UPSTREAM_PROTOCOL, null, CLOSE.ERROR);
    }
    connections.close(upstream, CLOSE.PROTOCOL);
  }

  /** Parts the two without touching the copy of the request. */
  private splitOff(client: number, upstream: number): void {
    const { sockets } = this.context;
    sockets.peer[client] = NONE;
    sockets.peer[upstream] = NONE;
    const { flow, throttled } = this.exchanges;
    // Whoever it waited for will not report to it any more; if the next is as slow, it is held back anew.
    if (flow[client] !== FLOW.COPY || throttled[client] === 1) {
      this.bodies.reset(client);
      sockets.resume(client);
    }
  }
}

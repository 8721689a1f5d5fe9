// Where a request goes: an endpoint is picked, and a connection found for it.
import { E, S } from '../metrics/layout.js';
import { CLOSE, KIND } from './connect/connections.js';
import { DIAL } from './connect/upstreams.js';
import type { Context } from './context.js';
import type { Exchanges } from './exchange.js';
import type { Http1 } from './http1.js';
import { WHY } from './http1-answers.js';
import { MAX_ATTEMPTS } from './http1-retry.js';

const NONE = -1;

export class Dispatcher {
  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1,
  ) {}

  /** Picks the first endpoint for a request; -1 if there is none, and it was answered. */
  pick(client: number): number {
    const { balancer, reactor, values } = this.context;
    const exchanges = this.exchanges;
    const service = exchanges.service[client];
    exchanges.attempts[client]++;
    const endpoint = balancer.pickRequest(service, reactor.ms, NONE);
    if (endpoint >= 0) balancer.begin(endpoint);
    else {
      values[this.context.services.base[service] + S.NO_ENDPOINT]++;
      this.http1.answers.respond(client, 503, WHY.NO_ENDPOINT, null, CLOSE.OK);
    }
    return endpoint;
  }

  /**
   * Finds a connection for a request, beginning with the endpoint `first` if that is not -1. Returns it, or -1 if the request was
   * answered, or sent over HTTP/2.
   */
  dispatch(client: number, exclude: number, fresh: boolean, first: number): number {
    const { balancer, reactor, values } = this.context;
    const exchanges = this.exchanges;
    const service = exchanges.service[client];
    let why: number = WHY.NO_ENDPOINT;
    let avoid = exclude;
    let picked = first;
    while (picked >= 0 || exchanges.attempts[client] < MAX_ATTEMPTS) {
      let endpoint = picked;
      picked = NONE;
      if (endpoint < 0) {
        exchanges.attempts[client]++;
        endpoint = balancer.pickRequest(service, reactor.ms, avoid);
        // Rather the same endpoint again than none: it may have only restarted.
        if (endpoint < 0 && avoid === exclude && avoid >= 0) endpoint = balancer.pickRequest(service, reactor.ms, NONE);
        if (endpoint < 0) break;
        balancer.begin(endpoint);
        if (this.http1.bridge.speaksHttp2(endpoint)) {
          if (this.http1.bridge.again(client, endpoint)) return NONE;
          // What is left of the request has HTTP/1 framing around it.
          balancer.abandon(endpoint);
          avoid = endpoint;
          continue;
        }
      }
      let upstream = fresh ? NONE : this.http1.upstreams.takeIdle(endpoint);
      if (upstream < 0) {
        upstream = this.http1.upstreams.dial(endpoint, KIND.HTTP1_UPSTREAM);
        if (upstream < 0) {
          balancer.abandon(endpoint);
          why = upstream === DIAL.LIMIT ? WHY.POOL_EXHAUSTED : WHY.CONNECT_FAILED;
          avoid = endpoint;
          continue;
        }
        exchanges.openUpstream(upstream);
      }
      values[this.context.endpoints.base[endpoint] + E.REQUESTS]++;
      values[this.context.endpoints.base[endpoint] + E.IN_FLIGHT]++;
      this.http1.accounts.inFlight++;
      exchanges.link(upstream);
      this.context.connections.active[upstream] = reactor.now;
      this.context.sockets.peer[client] = upstream;
      this.context.sockets.peer[upstream] = client;
      return upstream;
    }
    if (why === WHY.NO_ENDPOINT) values[this.context.services.base[service] + S.NO_ENDPOINT]++;
    this.http1.answers.respond(client, 503, why, null, CLOSE.OK);
    return NONE;
  }
}

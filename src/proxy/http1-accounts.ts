// What is counted of exchanges, and what the balancer learns from them.
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointHistogram,
  S,
  SERVICE_HISTOGRAMS,
  serviceHistogram,
} from '../metrics/layout.js';
import type { Context } from './context.js';
import type { Exchanges } from './exchange.js';

const MAX_LATENCY_US = 0x7fffffff;
const LATENCY_US = SERVICE_HISTOGRAMS.indexOf('response_latency_us');
const ENDPOINT_LATENCY_US = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');

export class Http1Accounts {
  /** Exchanges under way. */
  inFlight = 0;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
  ) {}

  /** Accounts for the end of an exchange. `failed`: the endpoint did not bring it to its end. */
  account(client: number, upstream: number, failed: boolean): void {
    const { balancer, reactor, values, connections, metrics } = this.context;
    const exchanges = this.exchanges;
    const endpoint = connections.endpoint[upstream];
    const base = this.context.endpoints.base[endpoint];
    const status = exchanges.status[upstream];
    values[base + E.IN_FLIGHT]--;
    this.inFlight--;
    if (failed) {
      values[base + E.FAILURES]++;
      balancer.finish(endpoint, reactor.ms, reactor.now - exchanges.started[client], true);
      return;
    }
    // In whole µs: a fraction that is handed on is allocated.
    const latency = Math.min(exchanges.latency[upstream] * 1000, MAX_LATENCY_US) | 0;
    values[base + E.STATUS + status - 100]++;
    balancer.finishUs(endpoint, reactor.ms, latency, status >= 500);
    metrics.record(serviceHistogram(this.context.services.series[exchanges.service[client]], LATENCY_US), latency);
    metrics.record(endpointHistogram(this.context.endpoints.series[endpoint], ENDPOINT_LATENCY_US), latency);
    if (this.context.access) this.context.accessLog.request(client, endpoint, status, exchanges);
    this.ended(client, false);
  }

  /** Takes an exchange back from `endpoint`, which did nothing wrong. */
  abandon(endpoint: number): void {
    const { balancer, values } = this.context;
    values[this.context.endpoints.base[endpoint] + E.IN_FLIGHT]--;
    this.inFlight--;
    values[this.context.endpoints.base[endpoint] + E.ABANDONED]++;
    balancer.abandon(endpoint);
  }

  /** The request of `client`, if one is under way, is over. `unanswered`: the client has not got a whole response. */
  ended(client: number, unanswered: boolean): void {
    const { values } = this.context;
    const exchanges = this.exchanges;
    if (exchanges.pending[client] === 0) return;
    exchanges.pending[client] = 0;
    const base = this.context.services.base[exchanges.service[client]];
    values[base + S.IN_FLIGHT]--;
    if (!unanswered) return;
    values[base + S.UNANSWERED]++;
    if (this.context.access) this.context.accessLog.unanswered(client, exchanges);
  }
}

// What is counted of exchanges, and what the balancer learns from them.
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointHistogram,
  GRPC_CODES,
  isGrpcFailure,
  S,
  SERVICE_HISTOGRAMS,
  serviceHistogram,
} from '../metrics/layout.js';
import type { Context } from './context.js';
import type { Http2 } from './http2.js';
import type { StreamExchanges } from './http2-exchange.js';

const GRPC_PERMISSION_DENIED = 7;
const LATENCY_US = SERVICE_HISTOGRAMS.indexOf('response_latency_us');
const ENDPOINT_LATENCY_US = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');

export class Http2Accounts {
  /** Exchanges under way. */
  inFlight = 0;
  private readonly context: Context;
  private readonly exchanges: StreamExchanges;

  constructor(private readonly http2: Http2) {
    this.context = http2.context;
    this.exchanges = http2.exchanges;
  }

  /** Accounts for the end of an exchange. `failed`: the endpoint did not bring it to its end. */
  account(slot: number, upstream: number, failed: boolean): void {
    const { balancer, reactor, values, metrics } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[upstream];
    const base = this.context.endpoints.base[endpoint];
    const status = exchanges.status[upstream];
    this.inFlight--;
    values[base + E.IN_FLIGHT]--;
    if (failed) {
      values[base + E.FAILURES]++;
      balancer.finish(endpoint, reactor.ms, reactor.now - exchanges.started[slot], true);
      return;
    }
    const latency = exchanges.latencyUs[upstream];
    let bad = status >= 500;
    if (exchanges.grpc[slot] === 1 && status === 200) {
      const code = exchanges.grpcStatus[upstream];
      const service = this.context.services.base[exchanges.service[slot]];
      if (code >= 0 && code < GRPC_CODES) {
        values[base + E.GRPC_STATUS + code]++;
        values[service + S.GRPC_STATUS + code]++;
        // A caller that may not do what it asks for says nothing about the endpoint.
        bad = isGrpcFailure(code) && code !== GRPC_PERMISSION_DENIED;
      } else {
        // Whatever it said, it did not say how it ended.
        values[base + E.GRPC_MISSING]++;
        values[service + S.GRPC_MISSING]++;
        bad = true;
      }
    } else values[base + E.STATUS + status - 100]++;
    balancer.finishUs(endpoint, reactor.ms, latency, bad);
    metrics.record(serviceHistogram(this.context.services.series[exchanges.service[slot]], LATENCY_US), latency);
    metrics.record(endpointHistogram(this.context.endpoints.series[endpoint], ENDPOINT_LATENCY_US), latency);
    if (!this.context.access) return;
    const client = exchanges.client[slot];
    if (client >= 0) this.context.accessLog.request(client, endpoint, status, this.http2.http1.exchanges);
    else this.context.accessLog.stream(slot, endpoint, status, this.http2.core.streams, exchanges);
  }

  /** Takes the exchange back from its endpoint, which did nothing wrong. */
  abandon(upstream: number): void {
    const { values, balancer } = this.context;
    const endpoint = this.exchanges.endpoint[upstream];
    const base = this.context.endpoints.base[endpoint];
    values[base + E.IN_FLIGHT]--;
    values[base + E.ABANDONED]++;
    balancer.abandon(endpoint);
  }

  /** The request of `slot` is over. `unanswered`: the client has not got a whole response. */
  ended(slot: number, unanswered: boolean): void {
    const { values } = this.context;
    const { exchanges } = this;
    if (exchanges.pending[slot] === 0) return;
    exchanges.pending[slot] = 0;
    const base = this.context.services.base[exchanges.service[slot]];
    values[base + S.IN_FLIGHT]--;
    if (!unanswered) return;
    values[base + S.UNANSWERED]++;
    if (this.context.access) this.context.accessLog.streamUnanswered(slot, this.http2.core.streams, exchanges);
  }
}

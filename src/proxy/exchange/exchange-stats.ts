// Metrics of exchanges, the balancer's feedback and the access log: each exchange is counted exactly once.
import { HEALTH_SIGNAL, isFailure } from '../../balance/health-signals.js';
import {
  E,
  ENDPOINT_HISTOGRAMS,
  endpointHistogram,
  GRPC_CODES,
  isGrpcFailure,
  L,
  S,
  serviceHistogram,
} from '../../metrics/layout.js';
import { isFailedResponse } from '../../metrics/outcomes.js';
import { responseCell, routeClassOf } from '../../metrics/response-cells.js';
import { VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { ExchangeSlot } from '../slots.js';
import { type Exchanges, MAX_LATENCY_US } from './exchange.js';
import { OUTCOME } from './outcome.js';
import type { RequestLog } from './request-log.js';

/** A client's deadline may have been too short ... */
const GRPC_DEADLINE_EXCEEDED = 4;
/** ... or the client lacks permission; either way the endpoint has answered. */
const GRPC_PERMISSION_DENIED = 7;
const ENDPOINT_LATENCY_US = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');

export class ExchangeStats {
  /** Exchanges in progress with HTTP/1 on both sides, and all others. */
  inHttp1 = 0;
  inHttp2 = 0;

  constructor(
    private readonly context: Context,
    private readonly exchanges: Exchanges,
    private readonly log: Pick<RequestLog, 'begun' | 'ended'>,
  ) {}

  /** A request has arrived on `listener`. */
  begun(x: ExchangeSlot, listenerMeter: number): void {
    const { values, services, budget, reactor } = this.context;
    const { exchanges } = this;
    const service = exchanges.service[x];
    values[listenerMeter + L.REQUESTS]++;
    if (this.context.observed) this.log.begun(x);
    if (service < 0) return;
    const base = services.base[service];
    values[base + S.REQUESTS]++;
    values[base + S.IN_FLIGHT]++;
    if (exchanges.grpc[x] === 1) values[base + S.GRPC_REQUESTS]++;
    exchanges.inFlight[x] = 1;
    budget.deposit(service, reactor.ms);
  }

  /** It is sent to its endpoint, or waits for a connection being dialled. */
  dispatched(x: ExchangeSlot): void {
    if (this.exchanges.endpointInFlight[x] === 1) return;
    this.exchanges.endpointInFlight[x] = 1;
    const { values, endpoints } = this.context;
    const base = endpoints.base[this.exchanges.endpoint[x]];
    values[base + E.REQUESTS]++;
    values[base + E.IN_FLIGHT]++;
    if (this.onlyHttp1(x)) this.inHttp1++;
    else this.inHttp2++;
  }

  /** The head of its response has arrived. The endpoint is judged by this, except for gRPC, where the status comes later. */
  responded(x: ExchangeSlot, status: number): void {
    const { exchanges } = this;
    const { balancer, reactor } = this.context;
    exchanges.status[x] = status;
    // Computed in place and as an integer: passing a fraction on would allocate.
    const latency = (this.context.reactor.now - exchanges.started[x]) * 1000;
    exchanges.latencyUs[x] = Math.min(latency, MAX_LATENCY_US) | 0;
    let signal: number = status >= 500 && status < 600 ? HEALTH_SIGNAL.ERROR : HEALTH_SIGNAL.SUCCESS;
    if (status === 200 && exchanges.grpc[x] === 1) {
      exchanges.awaitsMessage[x] = 1;
      signal = HEALTH_SIGNAL.NONE;
    }
    balancer.responded(exchanges.endpoint[x], reactor.ms, exchanges.latencyUs[x], signal, exchanges.ejections[x]);
  }

  /** The first message of a gRPC response has arrived. */
  firstMessage(x: ExchangeSlot): void {
    const { balancer, reactor } = this.context;
    const { exchanges } = this;
    exchanges.awaitsMessage[x] = 0;
    balancer.recordSignal(exchanges.endpoint[x], reactor.ms, HEALTH_SIGNAL.SUCCESS, exchanges.ejections[x]);
  }

  /** The endpoint has completed its response, or agreed to a `tunnel`, which is logged when it ends. */
  succeeded(x: ExchangeSlot, tunnel = false): void {
    const { balancer, values, metrics, services, endpoints } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[x];
    const service = exchanges.service[x];
    const base = endpoints.base[endpoint];
    const status = exchanges.status[x];
    const latency = exchanges.latencyUs[x];
    const grpc = exchanges.grpc[x] === 1;
    const failed = isFailedResponse(status, grpc, exchanges.grpcStatus[x]);
    this.leaveEndpoint(x, base);
    if (grpc && status === 200) {
      this.recordGrpcSignal(x, this.grpc(x, base, services.base[service]));
    } else {
      values[base + (status < 600 ? E.STATUS + status - 100 : E.STATUS_BEYOND)]++;
      // The client of this call will get no status.
      if (grpc) values[services.base[service] + S.GRPC_MISSING]++;
      balancer.ended(endpoint);
    }
    const cell = responseCell(routeClassOf(exchanges.methodInHttp1(x), grpc), failed);
    metrics.record(serviceHistogram(services.series[service], cell), latency);
    metrics.record(endpointHistogram(endpoints.series[endpoint], ENDPOINT_LATENCY_US), latency);
    if (this.context.observed && !tunnel) this.log.ended(x, OUTCOME.COMPLETE, status, 0);
  }

  /** The endpoint has failed. `signal`: its HEALTH_SIGNAL, which is none after the head of the response. */
  failed(x: ExchangeSlot, signal: number): void {
    const { balancer, reactor, values, endpoints } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[x];
    const base = endpoints.base[endpoint];
    this.leaveEndpoint(x, base);
    values[base + E.FAILURES]++;
    if (!isFailure(signal) || exchanges.status[x] !== 0) {
      balancer.abandon(endpoint, exchanges.ejections[x]);
      return;
    }
    const latency = (reactor.now - exchanges.started[x]) * 1000;
    balancer.responded(endpoint, reactor.ms, Math.min(latency, MAX_LATENCY_US) | 0, signal, exchanges.ejections[x]);
    balancer.ended(endpoint);
  }

  /** Cancels the exchange at its endpoint, which is not at fault. A queued request was never sent. */
  abandoned(x: ExchangeSlot): void {
    const { balancer, values, endpoints } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[x];
    balancer.abandon(endpoint, exchanges.ejections[x]);
    if (exchanges.endpointInFlight[x] === 0) return;
    const base = endpoints.base[endpoint];
    this.leaveEndpoint(x, base);
    values[base + E.ABANDONED]++;
  }

  /** The proxy has answered itself: `why` is an index into RESPONSE_REASONS. */
  repliedLocally(x: ExchangeSlot, status: number, why: number): void {
    if (this.context.observed) this.log.ended(x, OUTCOME.LOCAL_REPLY, status, why);
    this.ended(x, OUTCOME.COMPLETE, why);
  }

  /** The client left before its response was complete. */
  clientGone(x: ExchangeSlot): void {
    const { values, services } = this.context;
    const { exchanges } = this;
    if (exchanges.inFlight[x] === 1) values[services.base[exchanges.service[x]] + S.CLIENT_LEFT]++;
  }

  /** The request is over, if one is in progress. `why`: as for OUTCOME. */
  ended(x: ExchangeSlot, outcome: number, why: number): void {
    const { values, services } = this.context;
    const { exchanges } = this;
    if (exchanges.inFlight[x] === 0) return;
    exchanges.inFlight[x] = 0;
    const base = services.base[exchanges.service[x]];
    values[base + S.IN_FLIGHT]--;
    if (outcome === OUTCOME.COMPLETE) return;
    values[base + S.UNANSWERED]++;
    if (this.context.observed) this.log.ended(x, outcome, exchanges.answered(x) ? exchanges.status[x] : 0, why);
  }

  private leaveEndpoint(x: ExchangeSlot, base: number): void {
    this.exchanges.endpointInFlight[x] = 0;
    this.context.values[base + E.IN_FLIGHT]--;
    if (this.onlyHttp1(x)) this.inHttp1--;
    else this.inHttp2--;
  }

  private onlyHttp1(x: ExchangeSlot): boolean {
    return this.exchanges.version[x] === VERSION.HTTP1 && !this.exchanges.isStream(x);
  }

  /** Judges a gRPC call by this HEALTH_SIGNAL. */
  private recordGrpcSignal(x: ExchangeSlot, signal: number): void {
    const { balancer, reactor } = this.context;
    const { exchanges } = this;
    const endpoint = exchanges.endpoint[x];
    if (signal === HEALTH_SIGNAL.NONE) {
      balancer.abandon(endpoint, exchanges.ejections[x]);
      return;
    }
    if (isFailure(signal)) balancer.failed(endpoint, reactor.ms, signal, exchanges.ejections[x]);
    else balancer.recordSignal(endpoint, reactor.ms, signal, exchanges.ejections[x]);
    balancer.ended(endpoint);
  }

  /** Counts the status of a gRPC call and returns its HEALTH_SIGNAL. */
  private grpc(x: ExchangeSlot, endpoint: number, service: number): number {
    const { values } = this.context;
    const code = this.exchanges.grpcStatus[x];
    if (code >= 0 && code < GRPC_CODES) {
      values[endpoint + E.GRPC_STATUS + code]++;
      values[service + S.GRPC_STATUS + code]++;
      if (code === GRPC_DEADLINE_EXCEEDED) return HEALTH_SIGNAL.NONE;
      return isGrpcFailure(code) && code !== GRPC_PERMISSION_DENIED ? HEALTH_SIGNAL.ERROR : HEALTH_SIGNAL.SUCCESS;
    }
    // It ended without a status.
    values[endpoint + E.GRPC_MISSING]++;
    values[service + S.GRPC_MISSING]++;
    return HEALTH_SIGNAL.ERROR;
  }
}

// The state of services and their endpoints, from the difference of two samples.
import { RESPONSE_REASONS } from '../http/response-reasons.js';
import { direction } from '../metrics/family.js';
import { ENDPOINT_PROTOCOLS, ENDPOINT_STATES } from '../metrics/fields.js';
import { E, ENDPOINT_HISTOGRAMS, S } from '../metrics/layout.js';
import { endpointOutcomes, type Outcomes, refusalOutcomes } from '../metrics/outcomes.js';
import type { EndpointSeries, MetricsSnapshot } from '../metrics/reader.js';
import { OUTCOMES, ROUTE_CLASSES, responseCell } from '../metrics/response-cells.js';
import type { Steps } from '../metrics/steps.js';
import { Interval, latencyOf } from './latency.js';
import { keyOf, type SampleDelta } from './metrics-sample.js';
import type { LiveEndpoint, LiveLatency, LiveRoute, LiveService } from './state.js';

/** Maximum number of services, and of endpoints, with a distribution: the busiest. A distribution takes a few hundred bytes. */
const MAX_DISTRIBUTIONS = 50;

const ENDPOINT_LATENCY = ENDPOINT_HISTOGRAMS.indexOf('response_latency_us');

export interface Traffic {
  readonly services: LiveService[];
  readonly endpoints: LiveEndpoint[];
  readonly latency: LiveLatency | null;
  readonly outcomes: Outcomes;
}

const sum = (a: Outcomes, b: Outcomes): Outcomes => ({
  successes: a.successes + b.successes,
  failures: a.failures + b.failures,
});

/** The increase since then; everything if the counters were reset. */
function grown(before: Outcomes | null, now: Outcomes): Outcomes {
  if (before === null || now.successes < before.successes || now.failures < before.failures) return now;
  return { successes: now.successes - before.successes, failures: now.failures - before.failures };
}

export const successOf = ({ successes, failures }: Outcomes): number | null =>
  successes + failures === 0 ? null : successes / (successes + failures);

/** Sums over the endpoints of a service. */
interface Sums {
  outcomes: Outcomes;
  requests: number;
  opened: number;
  connections: number;
  read: number;
  written: number;
  ready: number;
  of: number;
}

const noSums = (): Sums => ({
  outcomes: { successes: 0, failures: 0 },
  requests: 0,
  opened: 0,
  connections: 0,
  read: 0,
  written: 0,
  ready: 0,
  of: 0,
});

function endpointOf(
  between: SampleDelta,
  series: EndpointSeries,
  outcomes: Outcomes,
  distribution: boolean,
): LiveEndpoint {
  const { info, values, states, histograms } = series;
  const before = between.before?.endpoints.get(keyOf.endpoint(series));
  const rate = (field: number): number => between.rate(before, values, field);
  const { tls = '', server_id: identity = '', no_tls_reason: noTlsReason = '' } = info.tls ?? {};
  return {
    service: info.service,
    address: info.address,
    direction: direction(info),
    state: ENDPOINT_STATES[values[E.STATE]] ?? '',
    outAt: states.slice(1).reduce((all, count) => all + count, 0),
    workers: states.reduce((all, count) => all + count, 0),
    protocols: ENDPOINT_PROTOCOLS.filter((_, index) => (values[E.PROTOCOL] >> index) & 1),
    identity,
    tls,
    noTlsReason,
    ewma: values[E.EWMA_MS] > 0 ? values[E.EWMA_MS] : null,
    share: null,
    requests: rate(E.REQUESTS),
    success: successOf(outcomes),
    latency: between.latency(histograms[ENDPOINT_LATENCY], distribution),
    read: rate(E.READ_BYTES),
    written: rate(E.WRITE_BYTES),
    inFlight: values[E.IN_FLIGHT],
    pool: {
      open: values[E.OPEN],
      opened: rate(E.OPEN_TOTAL),
      idle: values[E.POOL_IDLE],
      http2: values[E.H2_CONNECTIONS],
      streams: values[E.H2_STREAMS],
      streamCapacity: values[E.H2_STREAM_CAPACITY],
    },
    connectFailures: rate(E.CONNECT_FAILURES),
    lost: rate(E.FAILURES),
  };
}

function serviceOf(
  between: SampleDelta,
  series: MetricsSnapshot['services'][number],
  sums: Sums,
  outcomes: Outcomes,
  latency: LiveLatency | null,
): LiveService {
  const { info, values } = series;
  const before = between.before?.services.get(keyOf.service(series));
  const rate = (field: number): number => between.rate(before, values, field);
  const refused = RESPONSE_REASONS.map((reason, index) => [reason, rate(S.RESPONSE + index)] as const);
  return {
    name: info.name,
    direction: direction(info),
    requests: rate(S.REQUESTS),
    success: successOf(outcomes),
    latency,
    grpc: rate(S.GRPC_REQUESTS),
    inFlight: values[S.IN_FLIGHT],
    retries: rate(S.RETRIES),
    clientLeft: rate(S.CLIENT_LEFT),
    unanswered: rate(S.UNANSWERED),
    refused: Object.fromEntries(refused.filter(([, count]) => count > 0)),
    connections: sums.connections,
    opened: sums.opened,
    read: sums.read,
    written: sums.written,
    endpoints: { ready: sums.ready, of: sums.of },
    routes: routesOf(between, series),
  };
}

function routesOf(between: SampleDelta, { cells }: MetricsSnapshot['services'][number]): LiveRoute[] {
  return ROUTE_CLASSES.flatMap((route, index) => {
    const own = OUTCOMES.map((_, failed) => cells[responseCell(index, failed === 1)] ?? null);
    if (own.every((cell) => cell === null)) return [];
    const [successes, failures] = own.map((cell) => between.interval([cell])?.total ?? 0);
    const interval = between.interval(own);
    return [
      {
        route,
        requests: (successes + failures) / between.seconds,
        success: successOf({ successes, failures }),
        latency: interval === null ? null : latencyOf(interval, false),
      },
    ];
  });
}

/** The services or endpoints that get a distribution. */
function busiestOf<Series>(all: readonly Series[], requests: (series: Series) => number): ReadonlySet<Series> {
  const counted = all.map((series) => ({ series, requests: requests(series) })).filter((one) => one.requests > 0);
  const busiest = counted.toSorted((a, b) => b.requests - a.requests).slice(0, MAX_DISTRIBUTIONS);
  return new Set(busiest.map(({ series }) => series));
}

function* endpointsOf(between: SampleDelta, sums: Map<string, Sums>): Steps<LiveEndpoint[]> {
  const endpoints: LiveEndpoint[] = [];
  const shown = between.now.snapshot.endpoints.filter(({ held, touched }) => held || touched);
  const busiest = busiestOf(shown, (series) =>
    between.grown(between.before?.endpoints.get(keyOf.endpoint(series)), series.values, E.REQUESTS),
  );
  for (const series of shown) {
    const before = between.before?.endpoints.get(keyOf.endpoint(series));
    const outcomes = grown(before === undefined ? null : endpointOutcomes(before), endpointOutcomes(series.values));
    const endpoint = endpointOf(between, series, outcomes, busiest.has(series));
    endpoints.push(endpoint);
    const of = sums.get(endpoint.service) ?? noSums();
    sums.set(endpoint.service, of);
    of.outcomes = sum(of.outcomes, outcomes);
    of.requests += endpoint.requests;
    of.opened += endpoint.pool.opened;
    of.connections += endpoint.pool.open;
    of.read += endpoint.read;
    of.written += endpoint.written;
    if (series.held) of.of++;
    if (series.held && endpoint.state === ENDPOINT_STATES[0]) of.ready++;
    yield;
  }
  return endpoints.map((endpoint) => ({ ...endpoint, share: shareOf(endpoint, sums.get(endpoint.service)) }));
}

function shareOf({ requests, pool }: LiveEndpoint, sums: Sums | undefined): number | null {
  if (sums === undefined) return null;
  if (sums.requests > 0) return requests / sums.requests;
  return sums.opened > 0 ? pool.opened / sums.opened : null;
}

export function* trafficOf(between: SampleDelta): Steps<Traffic> {
  const sums = new Map<string, Sums>();
  const endpoints = yield* endpointsOf(between, sums);
  const all = new Interval();
  let outcomes: Outcomes = { successes: 0, failures: 0 };
  const shown = between.now.snapshot.services.filter(
    ({ held, touched, info }) => held || touched || sums.has(info.name),
  );
  const busiest = busiestOf(shown, (series) =>
    between.grown(between.before?.services.get(keyOf.service(series)), series.values, S.REQUESTS),
  );
  const services: LiveService[] = [];
  for (const series of shown) {
    const before = between.before?.services.get(keyOf.service(series));
    const of = sums.get(series.info.name) ?? noSums();
    const refused = grown(before === undefined ? null : refusalOutcomes(before), refusalOutcomes(series.values));
    const own = sum(of.outcomes, refused);
    outcomes = sum(outcomes, own);
    const interval = between.interval(series.cells);
    if (interval !== null) all.merge(interval);
    const latency = interval === null ? null : latencyOf(interval, busiest.has(series));
    services.push(serviceOf(between, series, of, own, latency));
    yield;
  }
  return { services, endpoints, outcomes, latency: latencyOf(all, true) };
}

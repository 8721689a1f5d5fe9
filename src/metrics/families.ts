// The series in a snapshot: Linkerd's names and labels where Linkerd has them, `sluice_` for the rest.

import { RESPONSE_REASONS } from '../http/response-reasons.js';
import { CONNECT_BOUNDS_S, LATENCY_BOUNDS_MS, LATENCY_BOUNDS_S, LOOP_BOUNDS_S, STREAM_BOUNDS } from './bounds.js';
import { CERTIFICATE_FAMILIES } from './certificate-families.js';
import { detectFamilies, VERDICT_FAMILY } from './detection-families.js';
import {
  blockSamples,
  cellsOf,
  clientLabels,
  clientSourceLabels,
  clientsOf,
  direction,
  endpointLabels,
  endpointsOf,
  type Family,
  fieldFamily,
  histogramFamily,
  histogramsFamily,
  listenerLabels,
  listenersOf,
  NONE,
  passedLabels,
  passedOf,
  requestLabels,
  type Sample,
  serviceLabels,
  servicesOf,
  sourceLabels,
  sourcesOf,
  targetLabels,
  targetsOf,
} from './family.js';
import type { FieldMetric } from './fields.js';
import { ENDPOINT_FIELDS, ENDPOINT_PROTOCOLS, ENDPOINT_STATES, LISTENER_FIELDS, SERVICE_FIELDS } from './fields.js';
import type { Direction } from './groups.js';
import { identityFamilies } from './identity-families.js';
import { C, CLOSE_REASONS, E, L, LIMITS, LISTENER_TLS, R, S, W, WORKER_HISTOGRAMS } from './layout.js';
import { lookupFamilies } from './lookup-families.js';
import { MAIN_LIMITS } from './main-limits.js';
import { NAME_FAMILIES } from './name-families.js';
import { pushFamilies } from './push-families.js';
import type { EndpointSeries } from './reader.js';
import { GRPC_FAMILY, RESPONSE_FAMILY } from './response-families.js';
import { tapFamilies } from './tap-families.js';
import { TLS_FAMILIES } from './tls-families.js';
import { tracingFamilies } from './tracing-families.js';
import { http2Families, workerBlockFamily, workerFamilies, workerHistogramFamily } from './worker-families.js';

const DIRECTIONS: readonly Direction[] = ['inbound', 'outbound'];

const CLOSE_FAMILY: Family = {
  name: 'tcp_close_total',
  type: 'counter',
  help: 'Connections closed, by how they ended',
  samples: (snapshot) => [
    ...blockSamples(sourcesOf(snapshot), sourceLabels, L.CLOSE, CLOSE_REASONS, 'errno'),
    ...blockSamples(clientsOf(snapshot), clientSourceLabels, C.CLOSE, CLOSE_REASONS, 'errno'),
    ...blockSamples(targetsOf(snapshot), targetLabels, E.CLOSE, CLOSE_REASONS, 'errno'),
    ...blockSamples(passedOf(snapshot), passedLabels, E.CLOSE, CLOSE_REASONS, 'errno'),
  ],
};

const LISTENER_TLS_FAMILY: Family = {
  name: 'sluice_listener_tls_total',
  type: 'counter',
  help: 'Client connections on mesh listeners: with TLS terminated here, with TLS relayed unchanged, or without TLS and why',
  samples: (snapshot) =>
    snapshot.listeners.flatMap((series) =>
      LISTENER_TLS.flatMap((labels, index) => {
        const value = series.values[L.TLS + index];
        return value === 0 ? [] : [{ value, labels, sharedLabels: listenerLabels(series) }];
      }),
    ),
};

/** Endpoints of services, as Linkerd's balancer counts them. */
const balancerFamily = (of: Direction): Family => ({
  name: `${of}_http_balancer_endpoints`,
  type: 'gauge',
  help: 'Endpoints of a service, ready (to at least one worker) or pending',
  samples: (snapshot) => balancerSamples(snapshot.endpoints.filter((series) => direction(series.info) === of)),
});

function balancerSamples(endpoints: readonly EndpointSeries[]): Sample[] {
  const services = new Map<string, { ready: number; pending: number }>();
  for (const series of endpoints) {
    if (!series.held) continue;
    const count = services.get(series.info.service) ?? { ready: 0, pending: 0 };
    count[series.values[E.STATE] === 0 ? 'ready' : 'pending']++;
    services.set(series.info.service, count);
  }
  return [...services].flatMap(([service, { ready, pending }]) => [
    { value: ready, labels: { service, endpoint_state: 'ready' } },
    { value: pending, labels: { service, endpoint_state: 'pending' } },
  ]);
}

const STATE_FAMILY: Family = {
  ...ENDPOINT_FIELDS.STATE,
  samples: (snapshot) =>
    snapshot.endpoints
      .filter((series) => series.held)
      .flatMap((series) =>
        series.states.flatMap((value, index) =>
          value === 0
            ? []
            : [{ value, labels: { state: ENDPOINT_STATES[index] }, sharedLabels: endpointLabels(series) }],
        ),
      ),
};

const PROTOCOL_FAMILY: Family = {
  ...ENDPOINT_FIELDS.PROTOCOL,
  samples: (snapshot) =>
    snapshot.endpoints
      .filter((series) => series.held)
      .flatMap((series) =>
        series.protocols.flatMap((value, index) =>
          value === 0
            ? []
            : [{ value, labels: { protocol: ENDPOINT_PROTOCOLS[index] }, sharedLabels: endpointLabels(series) }],
        ),
      ),
};

const WORKER_LIMITS = workerBlockFamily('sluice_limit_total', 'Times a limit fired', W.LIMIT, LIMITS, 'limit');

/** The workers' limits, and those of the main thread. */
const LIMIT_FAMILY: Family = {
  ...WORKER_LIMITS,
  samples: (snapshot) => [
    ...WORKER_LIMITS.samples(snapshot),
    { value: snapshot.endpointFiles.tooLarge, labels: { limit: 'file-size' } },
    ...MAIN_LIMITS.map((limit) => ({ value: snapshot.limits[limit], labels: { limit } })),
  ],
};

/** Decisions of authorization rules about requests and connections. */
function ruleFamily(name: string, help: string, fields: Readonly<Record<string, number>>): Family {
  return {
    name,
    type: 'counter',
    help,
    samples: ({ rules }) =>
      rules
        .filter(({ slot, touched }) => slot > 0 || touched)
        .flatMap(({ info: { listener, rule }, values }) =>
          Object.entries(fields).map(([kind, field]) => ({
            value: values[field],
            labels: kind === '' ? { listener, rule } : { listener, rule, kind },
          })),
        ),
  };
}

const ROUTE_FAMILY = histogramsFamily(
  'sluice_route_response_latency_seconds',
  'Requests by class of routes and by outcome',
  {
    bounds: LATENCY_BOUNDS_S,
    unit: 1e6,
    series: cellsOf,
  },
);

const SERVICE_FAMILY = histogramsFamily(
  'sluice_service_response_latency_seconds',
  'Time from a request to the first byte of its response as the client sees it, retries included',
  {
    bounds: LATENCY_BOUNDS_S,
    unit: 1e6,
    series: (snapshot) =>
      servicesOf(snapshot).flatMap((series) => {
        const [data] = series.histograms;
        if (data === null || data === undefined) return [];
        return [{ data, labels: serviceLabels(series), exemplars: snapshot.exemplars.of(series.info.name) }];
      }),
  },
);

/** Families of listeners and endpoints share tcp_*: merges their samples by name. */
function merged(families: readonly Family[]): Family[] {
  const byName = new Map<string, Family>();
  for (const family of families) {
    const first = byName.get(family.name);
    byName.set(
      family.name,
      first === undefined
        ? family
        : { ...first, samples: (snapshot) => [...first.samples(snapshot), ...family.samples(snapshot)] },
    );
  }
  return [...byName.values()];
}

const listenerKeys = Object.keys(LISTENER_FIELDS) as (keyof typeof LISTENER_FIELDS)[];
const serviceKeys = Object.keys(SERVICE_FIELDS) as (keyof typeof SERVICE_FIELDS)[];
const endpointKeys = (Object.keys(ENDPOINT_FIELDS) as (keyof typeof ENDPOINT_FIELDS)[]).filter(
  (key) => key !== 'STATE' && key !== 'PROTOCOL' && key !== 'STATUS_BEYOND',
);
const isTcp = (metric: FieldMetric): boolean => metric.name.startsWith('tcp_');

/** Every family, in the order of the page. */
export const FAMILIES: readonly Family[] = merged([
  ...endpointKeys.flatMap((key) => {
    const metric = ENDPOINT_FIELDS[key];
    if (!isTcp(metric))
      return [fieldFamily(metric, E[key], endpointsOf, key === 'REQUESTS' ? requestLabels : endpointLabels)];
    return [fieldFamily(metric, E[key], targetsOf, targetLabels), fieldFamily(metric, E[key], passedOf, passedLabels)];
  }),
  fieldFamily(
    ENDPOINT_FIELDS.REQUESTS,
    C.REQUESTS,
    (snapshot) => clientsOf(snapshot).filter(({ info }) => info.direction === 'inbound'),
    clientLabels,
  ),
  RESPONSE_FAMILY,
  histogramFamily(
    'response_latency_ms',
    'Time from a request to the first byte of its response, per endpoint',
    LATENCY_BOUNDS_MS,
    1000,
    0,
    endpointsOf,
    requestLabels,
  ),
  histogramFamily(
    'sluice_connect_latency_seconds',
    'Time to connect to the endpoint',
    CONNECT_BOUNDS_S,
    1e6,
    1,
    endpointsOf,
    endpointLabels,
  ),
  STATE_FAMILY,
  PROTOCOL_FAMILY,
  ...listenerKeys.flatMap((key) => {
    const metric = LISTENER_FIELDS[key];
    if (!isTcp(metric)) return [fieldFamily(metric, L[key], listenersOf, listenerLabels)];
    return [
      fieldFamily(metric, L[key], sourcesOf, sourceLabels),
      fieldFamily(metric, L[key], clientsOf, clientSourceLabels),
    ];
  }),
  CLOSE_FAMILY,
  VERDICT_FAMILY,
  LISTENER_TLS_FAMILY,
  ...DIRECTIONS.flatMap((of) => [...detectFamilies(of), balancerFamily(of)]),
  ...serviceKeys.map((key) => fieldFamily(SERVICE_FIELDS[key], S[key], servicesOf, serviceLabels)),
  SERVICE_FAMILY,
  ROUTE_FAMILY,
  {
    name: 'sluice_service_proxy_response_total',
    type: 'counter',
    help: 'Responses generated by the proxy itself for requests of a service',
    samples: (snapshot) => blockSamples(snapshot.services, serviceLabels, S.RESPONSE, RESPONSE_REASONS, 'reason'),
  },
  GRPC_FAMILY,
  workerBlockFamily(
    'sluice_proxy_response_total',
    'Responses generated by the proxy itself',
    W.RESPONSE,
    RESPONSE_REASONS,
    'reason',
  ),
  ruleFamily('sluice_authorization_allowed_total', 'Requests and connections allowed by a rule', {
    http: R.HTTP_ALLOWED,
    tcp: R.TCP_ALLOWED,
  }),
  ruleFamily('sluice_authorization_denied_total', 'Requests and connections denied by a rule', {
    http: R.HTTP_DENIED,
    tcp: R.TCP_DENIED,
  }),
  ruleFamily('sluice_authorization_terminated_total', 'Opaque connections and tunnels ended by a change of the rules', {
    '': R.TERMINATED,
  }),
  LIMIT_FAMILY,
  ...workerFamilies(),
  workerHistogramFamily(
    'sluice_loop_turn_seconds',
    'Time of one turn of the event loop, not counting the wait',
    LOOP_BOUNDS_S,
    1e6,
    WORKER_HISTOGRAMS.indexOf('loop_turn_us'),
  ),
  ...http2Families(),
  ...identityFamilies(),
  ...lookupFamilies(),
  ...tapFamilies(),
  ...tracingFamilies(),
  ...pushFamilies(),
  workerHistogramFamily(
    'sluice_http2_connection_streams',
    'Streams that an HTTP/2 connection had served when it closed',
    STREAM_BOUNDS,
    1,
    WORKER_HISTOGRAMS.indexOf('h2_connection_streams'),
  ),
  ...TLS_FAMILIES,
  {
    name: 'sluice_metrics_overflow_total',
    type: 'counter',
    help: 'Names that found no room in the metrics tables and count in the series "overflow"',
    samples: ({ overflows }) => [{ value: overflows, labels: NONE }],
  },
  {
    name: 'sluice_series_overflow',
    type: 'gauge',
    help: 'Listeners, services and endpoints without series of their own, which count in "overflow"',
    samples: ({ unassigned }) => Object.entries(unassigned).map(([table, value]) => ({ value, labels: { table } })),
  },
  {
    name: 'sluice_endpoint_files',
    type: 'gauge',
    help: 'Endpoint files named by services',
    samples: ({ endpointFiles }) => [{ value: endpointFiles.watched, labels: NONE }],
  },
  {
    name: 'sluice_endpoint_files_broken',
    type: 'gauge',
    help: 'Endpoint files that cannot be read, have a mistake, or lack a list that a service names: their last usable content stays in use',
    samples: ({ endpointFiles }) => [{ value: endpointFiles.broken, labels: NONE }],
  },
  ...CERTIFICATE_FAMILIES,
  {
    name: 'sluice_tls_sni_total',
    type: 'counter',
    help: 'TLS connections on mesh listeners that asked for another server, by server name',
    samples: ({ serverNames }) => serverNames.map(([sni, value]) => ({ value, labels: { sni } })),
  },
  {
    name: 'sluice_services_unready',
    type: 'gauge',
    help: 'Services that have no endpoint',
    samples: ({ unready }) => [{ value: unready, labels: NONE }],
  },
  ...NAME_FAMILIES,
]);

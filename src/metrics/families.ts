// Which series a snapshot makes: Linkerd's names and labels where Linkerd has them, `sluice_` for the rest.
import { RESPONSE_REASONS } from '../http/response-reasons.js';
import { H, H2_ERRORS, H2_ROLES } from '../http2/counters.js';
import type { FieldMetric } from './fields.js';
import {
  ENDPOINT_FIELDS,
  ENDPOINT_PROTOCOLS,
  ENDPOINT_STATES,
  HTTP2_FIELDS,
  LISTENER_FIELDS,
  SERVICE_FIELDS,
  WORKER_FIELDS,
} from './fields.js';
import type { HistogramData } from './histogram.js';
import { bucketsOf } from './histogram.js';
import {
  CLOSE_REASONS,
  E,
  GRPC_CODES,
  h2Base,
  isGrpcFailure,
  L,
  LIMITS,
  REASONS,
  S,
  VERDICTS,
  W,
  WORKER_HISTOGRAMS,
} from './layout.js';
import type { Direction, EndpointInfo, EndpointSeries, MetricsSnapshot, Series } from './reader.js';

export type Labels = Readonly<Record<string, string>>;

/** A sample as prom-client's formatter takes it. `sharedLabels` are formatted once per object and then cached. */
export interface Sample {
  readonly value: number;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels?: Labels;
  /** Where it differs from the family's: `_bucket`, `_sum`, `_count`. */
  readonly metricName?: string;
}

export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  samples(snapshot: MetricsSnapshot): Sample[];
}

/** Bucket bounds of Linkerd's `response_latency_ms`. */
export const LATENCY_BOUNDS_MS = [
  1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10_000, 20_000, 30_000,
  40_000, 50_000,
];
/** Bucket bounds of Linkerd's `*_tcp_detect_http_duration_seconds`. */
export const DETECT_BOUNDS_S = [0.001, 0.1];
const CONNECT_BOUNDS_MS = [1, 5, 10, 50, 100, 500, 1000, 5000, 10_000];
const STREAM_BOUNDS = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000];
const LOOP_BOUNDS_S = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1];

const DIRECTIONS: readonly Direction[] = ['inbound', 'outbound'];
const NONE: Labels = {};

/** Labels made once per named slot: as long as a slot keeps its name they are the same object, which keeps them cached. */
function remembered<Info extends object>(make: (info: Info) => Labels): (series: Series<Info>) => Labels {
  const made = new WeakMap<Info, Labels>();
  return ({ info }) => {
    let labels = made.get(info);
    if (labels === undefined) {
      labels = make(info);
      made.set(info, labels);
    }
    return labels;
  };
}

const direction = (info: { readonly direction?: Direction }): Direction => info.direction ?? 'outbound';

const listenerLabels = remembered((info: MetricsSnapshot['listeners'][number]['info']) => ({
  direction: info.direction,
  listener: info.name,
}));
const sourceLabels = remembered((info: MetricsSnapshot['listeners'][number]['info']) => ({
  direction: info.direction,
  peer: 'src',
  listener: info.name,
}));
const serviceLabels = remembered((info: MetricsSnapshot['services'][number]['info']) => ({
  direction: direction(info),
  service: info.name,
}));
const endpointLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  service: info.service,
  target_addr: info.address,
}));
const targetLabels = remembered((info: EndpointInfo) => ({
  direction: direction(info),
  peer: 'dst',
  service: info.service,
  target_addr: info.address,
}));

/** Listeners and services that are there show zeros; endpoints, and what is gone or overflow, show only what they counted. */
const isShown = (series: Series<unknown>): boolean => series.held || series.touched;
const listenersOf = (snapshot: MetricsSnapshot) => snapshot.listeners.filter(isShown);
const servicesOf = (snapshot: MetricsSnapshot) => snapshot.services.filter(isShown);
const endpointsOf = (snapshot: MetricsSnapshot) => snapshot.endpoints.filter((series) => series.touched);

/** Series of one field of a kind of slots. */
function fieldFamily<Info>(
  metric: FieldMetric,
  index: number,
  seriesOf: (snapshot: MetricsSnapshot) => readonly Series<Info>[],
  labelsOf: (series: Series<Info>) => Labels,
): Family {
  const scale = metric.scale ?? 1;
  return {
    ...metric,
    samples: (snapshot) =>
      seriesOf(snapshot).map((series) => ({
        value: series.values[index] * scale,
        labels: NONE,
        sharedLabels: labelsOf(series),
      })),
  };
}

/** Series of a block of fields, one for each name of a list; what is 0 is left out. */
function blockSamples<Info>(
  all: readonly Series<Info>[],
  labelsOf: (series: Series<Info>) => Labels,
  at: number,
  names: readonly string[],
  label: string,
): Sample[] {
  return all.flatMap((series) =>
    names.flatMap((name, index) => {
      const value = series.values[at + index];
      return value === 0 ? [] : [{ value, labels: { [label]: name }, sharedLabels: labelsOf(series) }];
    }),
  );
}

/** `bounds` and the sum are in units of `unit` recorded ones, mostly µs. */
function histogramSamples(
  name: string,
  data: HistogramData,
  sharedLabels: Labels,
  bounds: readonly number[],
  unit: number,
): Sample[] {
  const metricName = `${name}_bucket`;
  return [
    ...bucketsOf(data.counts, bounds, unit).map((value, index) => ({
      metricName,
      value,
      labels: { le: bounds[index] },
      sharedLabels,
    })),
    { metricName, value: data.count, labels: { le: '+Inf' }, sharedLabels },
    { metricName: `${name}_sum`, value: data.sum / unit, labels: NONE, sharedLabels },
    { metricName: `${name}_count`, value: data.count, labels: NONE, sharedLabels },
  ];
}

/** Series of the histogram `index` of a kind of slots. */
function histogramFamily<Info>(
  name: string,
  help: string,
  bounds: readonly number[],
  unit: number,
  index: number,
  seriesOf: (snapshot: MetricsSnapshot) => readonly Series<Info>[],
  labelsOf: (series: Series<Info>) => Labels,
): Family {
  return {
    name,
    type: 'histogram',
    help,
    samples: (snapshot) =>
      seriesOf(snapshot).flatMap((series) => {
        const data = series.histograms[index];
        return data === null ? [] : histogramSamples(name, data, labelsOf(series), bounds, unit);
      }),
  };
}

const CLOSE_FAMILY: Family = {
  name: 'tcp_close_total',
  type: 'counter',
  help: 'Connections closed, by how they ended',
  samples: (snapshot) => [
    ...blockSamples(snapshot.listeners, sourceLabels, L.CLOSE, CLOSE_REASONS, 'errno'),
    ...blockSamples(snapshot.endpoints, targetLabels, E.CLOSE, CLOSE_REASONS, 'errno'),
  ],
};

const RESPONSE_FAMILY: Family = {
  name: 'response_total',
  type: 'counter',
  help: 'Responses of endpoints; 5xx are failures, and of gRPC the statuses 2, 4, 7, 13, 14, 15 and none at all',
  samples: (snapshot) =>
    snapshot.endpoints.flatMap((series) => {
      const samples: Sample[] = [];
      const sharedLabels = endpointLabels(series);
      for (let code = 100; code < 600; code++) {
        const value = series.values[E.STATUS + code - 100];
        if (value === 0) continue;
        const labels = { status_code: String(code), classification: code < 500 ? 'success' : 'failure' };
        samples.push({ value, labels, sharedLabels });
      }
      for (const { grpc_status, value } of grpcCounts(series.values, E.GRPC_STATUS, E.GRPC_MISSING)) {
        const failed = grpc_status === MISSING || isGrpcFailure(Number(grpc_status));
        const labels = { status_code: '200', classification: failed ? 'failure' : 'success', grpc_status };
        samples.push({ value, labels, sharedLabels });
      }
      return samples;
    }),
};

/** Value of the label `grpc_status` where there was none. */
const MISSING = 'missing';

/** What was counted for each grpc-status, the code as a number as in Linkerd's label. */
function grpcCounts(values: Float64Array, at: number, missing: number): { grpc_status: string; value: number }[] {
  const counts = Array.from({ length: GRPC_CODES }, (_, code) => ({
    grpc_status: `${code}`,
    value: values[at + code],
  }));
  counts.push({ grpc_status: MISSING, value: values[missing] });
  return counts.filter(({ value }) => value !== 0);
}

const GRPC_FAMILY: Family = {
  name: 'sluice_grpc_responses_total',
  type: 'counter',
  help: 'gRPC calls by the status that the client got, from an endpoint or from the proxy itself',
  samples: (snapshot) =>
    snapshot.services.flatMap((series) =>
      grpcCounts(series.values, S.GRPC_STATUS, S.GRPC_MISSING).map(({ grpc_status, value }) => ({
        value,
        labels: { grpc_status },
        sharedLabels: serviceLabels(series),
      })),
    ),
};

/** Linkerd's word for the outcome of detection; null where nothing was detected. */
function detectResult(verdict: string, reason: string): string | null {
  if (reason === 'annotation' || reason === 'default-port' || reason === 'hint') return null;
  if (reason === 'timeout') return 'read_timeout';
  if (reason === 'eof') return 'error';
  return verdict === 'http1' ? 'http/1' : verdict === 'http2' ? 'http/2' : 'not_http';
}

const VERDICT_FAMILY: Family = {
  name: 'sluice_verdict_total',
  type: 'counter',
  help: 'Connections by what they were taken for and why',
  samples: (snapshot) =>
    snapshot.listeners.flatMap((series) =>
      VERDICTS.flatMap((verdict, row) =>
        REASONS.flatMap((reason, column) => {
          const value = series.values[L.VERDICT + row * 8 + column];
          return value === 0 ? [] : [{ value, labels: { verdict, reason }, sharedLabels: listenerLabels(series) }];
        }),
      ),
    ),
};

function detectFamilies(of: Direction): Family[] {
  const listeners = (snapshot: MetricsSnapshot) => snapshot.listeners.filter((series) => series.info.direction === of);
  return [
    {
      name: `${of}_tcp_detect_http_results_total`,
      type: 'counter',
      help: 'Outcomes of protocol detection',
      samples: (snapshot) =>
        listeners(snapshot).flatMap((series) => {
          const results = new Map<string, number>();
          VERDICTS.forEach((verdict, row) => {
            REASONS.forEach((reason, column) => {
              const result = detectResult(verdict, reason);
              const value = series.values[L.VERDICT + row * 8 + column];
              if (result !== null && value > 0) results.set(result, (results.get(result) ?? 0) + value);
            });
          });
          return [...results].map(([result, value]) => ({
            value,
            labels: { result },
            sharedLabels: listenerLabels(series),
          }));
        }),
    },
    histogramFamily(
      `${of}_tcp_detect_http_duration_seconds`,
      'Time that protocol detection took',
      DETECT_BOUNDS_S,
      1e6,
      0,
      listeners,
      listenerLabels,
    ),
    {
      name: `${of}_http_balancer_endpoints`,
      type: 'gauge',
      help: 'Endpoints of a service, ready (to at least one worker) or pending',
      samples: (snapshot) => balancerSamples(snapshot.endpoints.filter((series) => direction(series.info) === of)),
    },
  ];
}

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
          value === 0 || index === 0
            ? []
            : [{ value, labels: { protocol: ENDPOINT_PROTOCOLS[index] }, sharedLabels: endpointLabels(series) }],
        ),
      ),
};

/** Sums over the workers of a block of W, one series for each name; zeros are shown, so that a rate sees the first. */
function workerBlockFamily(name: string, help: string, at: number, names: readonly string[], label: string): Family {
  return {
    name,
    type: 'counter',
    help,
    samples: ({ workers }) =>
      names.map((entry, index) => ({
        value: workers.reduce((sum, { values }) => sum + values[at + index], 0),
        labels: { [label]: entry },
      })),
  };
}

function workerFamilies(): Family[] {
  const keys = Object.keys(WORKER_FIELDS) as (keyof typeof WORKER_FIELDS)[];
  return keys.map((key) => {
    const { scale = 1, ...metric } = WORKER_FIELDS[key];
    return {
      ...metric,
      samples: ({ workers }) =>
        workers.map(({ id, values }) => ({ value: values[W[key]] * scale, labels: { worker: id } })),
    };
  });
}

/** Once for every worker and role. */
const perRole = (
  { workers }: MetricsSnapshot,
  samplesOf: (values: Float64Array, base: number, labels: Labels) => Sample[],
): Sample[] =>
  workers.flatMap(({ id, values }) =>
    H2_ROLES.flatMap((role, index) => samplesOf(values, h2Base(index), { role, worker: String(id) })),
  );

function http2Families(): Family[] {
  const keys = Object.keys(HTTP2_FIELDS) as (keyof typeof HTTP2_FIELDS)[];
  const fields = keys.map((key): Family => {
    const { scale = 1, ...metric } = HTTP2_FIELDS[key];
    return {
      ...metric,
      samples: (snapshot) =>
        perRole(snapshot, (values, base, labels) => [{ value: values[base + H[key]] * scale, labels }]),
    };
  });
  const codes = (name: string, help: string, at: number): Family => ({
    name,
    type: 'counter',
    help,
    samples: (snapshot) =>
      perRole(snapshot, (values, base, shared) =>
        H2_ERRORS.flatMap((code, index) => {
          const value = values[base + at + index];
          return value === 0 ? [] : [{ value, labels: { code, ...shared } }];
        }),
      ),
  });
  return [
    ...fields,
    codes('sluice_http2_resets_sent_total', 'Streams that Sluice reset', H.RESET_SENT),
    codes('sluice_http2_resets_received_total', 'Streams that the peer reset', H.RESET_RECEIVED),
    codes('sluice_http2_goaways_sent_total', 'GOAWAY frames sent', H.GOAWAY_SENT),
    codes('sluice_http2_goaways_received_total', 'GOAWAY frames that the peer sent', H.GOAWAY_RECEIVED),
  ];
}

/** A histogram of the workers. */
function workerHistogramFamily(
  name: string,
  help: string,
  bounds: readonly number[],
  unit: number,
  index: number,
): Family {
  return {
    name,
    type: 'histogram',
    help,
    samples: ({ workers }) =>
      workers.flatMap(({ id, histograms }) => {
        const data = histograms[index];
        return data === null ? [] : histogramSamples(name, data, { worker: String(id) }, bounds, unit);
      }),
  };
}

/** Families of listeners and endpoints share tcp_*: their samples are put together by name. */
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
  (key) => key !== 'STATE' && key !== 'PROTOCOL',
);
const isTcp = (metric: FieldMetric): boolean => metric.name.startsWith('tcp_');

/** Every family, in the order of the page. */
export const FAMILIES: readonly Family[] = merged([
  ...endpointKeys.map((key) => {
    const metric = ENDPOINT_FIELDS[key];
    return fieldFamily(metric, E[key], endpointsOf, isTcp(metric) ? targetLabels : endpointLabels);
  }),
  RESPONSE_FAMILY,
  histogramFamily(
    'response_latency_ms',
    'Time from a request to the first byte of its response, per endpoint',
    LATENCY_BOUNDS_MS,
    1000,
    0,
    endpointsOf,
    endpointLabels,
  ),
  histogramFamily(
    'sluice_connect_latency_ms',
    'Time to connect to the endpoint',
    CONNECT_BOUNDS_MS,
    1000,
    1,
    endpointsOf,
    endpointLabels,
  ),
  STATE_FAMILY,
  PROTOCOL_FAMILY,
  ...listenerKeys.map((key) => {
    const metric = LISTENER_FIELDS[key];
    return fieldFamily(metric, L[key], listenersOf, isTcp(metric) ? sourceLabels : listenerLabels);
  }),
  CLOSE_FAMILY,
  VERDICT_FAMILY,
  ...DIRECTIONS.flatMap(detectFamilies),
  ...serviceKeys.map((key) => fieldFamily(SERVICE_FIELDS[key], S[key], servicesOf, serviceLabels)),
  histogramFamily(
    'sluice_service_response_latency_ms',
    'Time from a request to the first byte of its response as the client sees it, retries included',
    LATENCY_BOUNDS_MS,
    1000,
    0,
    servicesOf,
    serviceLabels,
  ),
  {
    name: 'sluice_service_proxy_response_total',
    type: 'counter',
    help: 'Responses that the proxy made itself for requests of a service',
    samples: (snapshot) => blockSamples(snapshot.services, serviceLabels, S.RESPONSE, RESPONSE_REASONS, 'reason'),
  },
  GRPC_FAMILY,
  workerBlockFamily(
    'sluice_proxy_response_total',
    'Responses that the proxy made itself',
    W.RESPONSE,
    RESPONSE_REASONS,
    'reason',
  ),
  workerBlockFamily('sluice_limit_total', 'Times a limit fired', W.LIMIT, LIMITS, 'limit'),
  ...workerFamilies(),
  workerHistogramFamily(
    'sluice_loop_turn_seconds',
    'Time of one turn of the event loop, waiting not counted',
    LOOP_BOUNDS_S,
    1e6,
    WORKER_HISTOGRAMS.indexOf('loop_turn_us'),
  ),
  ...http2Families(),
  workerHistogramFamily(
    'sluice_http2_connection_streams',
    'Streams that an HTTP/2 connection had served when it closed',
    STREAM_BOUNDS,
    1,
    WORKER_HISTOGRAMS.indexOf('h2_connection_streams'),
  ),
  {
    name: 'sluice_metrics_overflow_total',
    type: 'counter',
    help: 'Times that a name found no room in the metrics tables and went to the series "overflow"',
    samples: ({ overflows }) => [{ value: overflows, labels: NONE }],
  },
  {
    name: 'sluice_series_overflow',
    type: 'gauge',
    help: 'Listeners, services and endpoints that have no series of their own and count in "overflow"',
    samples: ({ homeless }) => Object.entries(homeless).map(([table, value]) => ({ value, labels: { table } })),
  },
]);

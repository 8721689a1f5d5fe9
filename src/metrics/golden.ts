// Golden metrics between two moments: rates, success, latency and traffic per service, verdicts per listener.
import { toHistogram } from './hdr.js';
import { countOf, intervalOf } from './histogram.js';
import { E, L, REASONS, S, VERDICTS, verdictField } from './layout.js';
import { endpointOutcomes, refusalOutcomes } from './outcomes.js';
import type { MetricsSnapshot } from './reader.js';

/** Totals of a service at one moment. */
export interface ServiceTotals {
  readonly requests: number;
  /** Endpoint responses that response_total counts as success, and refusals caused by the client. */
  readonly successes: number;
  /** Other endpoint responses, and the proxy's own caused by failures of the service. */
  readonly failures: number;
  readonly connections: number;
  /** Bytes from the endpoints. */
  readonly readBytes: number;
  /** Bytes to the endpoints. */
  readonly writeBytes: number;
  /** Latency slots in the layout's index; null if nothing was recorded. */
  readonly latency: Float64Array | null;
}

export interface ListenerTotals {
  readonly connections: number;
  /** Open connections now: not a total. */
  readonly open: number;
  readonly verdicts: Readonly<Record<string, number>>;
}

export interface EndpointTotals {
  readonly requests: number;
  /** Open connections now. */
  readonly open: number;
  /** The balancer's current latency estimate, ms. */
  readonly estimateMs: number;
}

/** Input of golden metrics, by name. */
export interface GoldenTotals {
  readonly services: ReadonlyMap<string, ServiceTotals>;
  readonly listeners: ReadonlyMap<string, ListenerTotals>;
  /** By service and address, as `SERVICE ADDRESS`. */
  readonly endpoints: ReadonlyMap<string, EndpointTotals>;
}

export interface ServiceGolden {
  readonly name: string;
  readonly requestsPerSecond: number;
  /** 0 to 1; null if there was no response. */
  readonly successRate: number | null;
  /** Milliseconds; null if nothing was recorded. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  readonly connectionsPerSecond: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
}

export interface ListenerGolden {
  readonly name: string;
  readonly connectionsPerSecond: number;
  readonly open: number;
  /** Connections of the interval by verdict, without empty entries. */
  readonly verdicts: Readonly<Record<string, number>>;
}

export interface EndpointGolden {
  /** `SERVICE ADDRESS` */
  readonly name: string;
  readonly requestsPerSecond: number;
  readonly open: number;
  readonly estimateMs: number;
}

export interface GoldenMetrics {
  readonly services: readonly ServiceGolden[];
  readonly listeners: readonly ListenerGolden[];
  readonly endpoints: readonly EndpointGolden[];
}

const NO_SERVICE: ServiceTotals = {
  requests: 0,
  successes: 0,
  failures: 0,
  connections: 0,
  readBytes: 0,
  writeBytes: 0,
  latency: null,
};
const NO_LISTENER: ListenerTotals = { connections: 0, open: 0, verdicts: {} };
const NO_ENDPOINT: EndpointTotals = { requests: 0, open: 0, estimateMs: 0 };

/** Totals by name from a snapshot. */
export function totalsOf(snapshot: MetricsSnapshot): GoldenTotals {
  const services = new Map<string, ServiceTotals>();
  for (const { info, values, histograms } of snapshot.services) {
    const latency = histograms[0]?.counts.slice() ?? null;
    services.set(info.name, { ...NO_SERVICE, ...refusalOutcomes(values), requests: values[S.REQUESTS], latency });
  }
  const endpoints = new Map<string, EndpointTotals>();
  for (const { info, values } of snapshot.endpoints) {
    const numbers = { requests: values[E.REQUESTS], open: values[E.OPEN], estimateMs: values[E.EWMA_MS] };
    endpoints.set(`${info.service} ${info.address}`, numbers);
    const before = services.get(info.service) ?? NO_SERVICE;
    const { successes, failures } = endpointOutcomes(values);
    services.set(info.service, {
      ...before,
      successes: before.successes + successes,
      failures: before.failures + failures,
      connections: before.connections + values[E.OPEN_TOTAL],
      readBytes: before.readBytes + values[E.READ_BYTES],
      writeBytes: before.writeBytes + values[E.WRITE_BYTES],
    });
  }
  const listeners = new Map<string, ListenerTotals>();
  for (const { info, values } of snapshot.listeners) {
    const verdicts: Record<string, number> = {};
    VERDICTS.forEach((verdict, row) => {
      const at = verdictField(row, 0);
      verdicts[verdict] = countOf(values.subarray(at, at + REASONS.length));
    });
    listeners.set(info.name, { connections: values[L.OPEN_TOTAL], open: values[L.OPEN], verdicts });
  }
  return { services, listeners, endpoints };
}

/** What happened in the `seconds` between `previous` and `current`. A total that decreased was reset: it counts in full. */
export function goldenMetrics(previous: GoldenTotals, current: GoldenTotals, seconds: number): GoldenMetrics {
  return {
    services: [...current.services].map(([name, now]) =>
      serviceGolden(name, previous.services.get(name) ?? NO_SERVICE, now, seconds),
    ),
    listeners: [...current.listeners].map(([name, now]) => {
      const before = previous.listeners.get(name) ?? NO_LISTENER;
      const verdicts = Object.entries(now.verdicts).map(([verdict, count]) => [
        verdict,
        increase(before.verdicts[verdict] ?? 0, count),
      ]);
      return {
        name,
        connectionsPerSecond: increase(before.connections, now.connections) / seconds,
        open: now.open,
        verdicts: Object.fromEntries(verdicts.filter(([, count]) => count !== 0)),
      };
    }),
    endpoints: [...current.endpoints].map(([name, { requests, open, estimateMs }]) => {
      const before = previous.endpoints.get(name) ?? NO_ENDPOINT;
      return { name, requestsPerSecond: increase(before.requests, requests) / seconds, open, estimateMs };
    }),
  };
}

function increase(before: number, now: number): number {
  return now >= before ? now - before : now;
}

function serviceGolden(name: string, before: ServiceTotals, now: ServiceTotals, seconds: number): ServiceGolden {
  const rate = (key: 'requests' | 'connections' | 'readBytes' | 'writeBytes') =>
    increase(before[key], now[key]) / seconds;
  const successes = increase(before.successes, now.successes);
  const responses = successes + increase(before.failures, now.failures);
  const latency = now.latency === null ? null : toHistogram(intervalOf(before.latency, now.latency));
  const percentile = (of: number) =>
    latency === null || latency.totalCount === 0 ? null : latency.getValueAtPercentile(of) / 1000;
  return {
    name,
    requestsPerSecond: rate('requests'),
    successRate: responses === 0 ? null : successes / responses,
    p50Ms: percentile(50),
    p95Ms: percentile(95),
    p99Ms: percentile(99),
    connectionsPerSecond: rate('connections'),
    readBytesPerSecond: rate('readBytes'),
    writeBytesPerSecond: rate('writeBytes'),
  };
}

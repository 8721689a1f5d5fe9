// Reads a running proxy's golden totals from its admin port, as any tool could.
import { HistogramLogReader, JsHistogram } from 'hdr-histogram-js';
import { request } from 'undici';
import { CLIENT_REASONS } from '../http/response-reasons.js';
import type { EndpointTotals, GoldenTotals, ListenerTotals, ServiceTotals } from '../metrics/golden.js';
import { HISTOGRAM_SLOTS } from '../metrics/layout.js';
import type { ParsedSample } from '../metrics/parse.js';
import { parseMetrics } from '../metrics/parse.js';

/** Reads `/metrics` and the services' histograms. `admin` is the URL of the admin port, without a trailing slash. */
export async function readTotals(admin: string): Promise<GoldenTotals> {
  const page = await get(`${admin}/metrics`);
  const list = JSON.parse(await get(`${admin}/histograms`)) as HistogramList;
  const latencies = new Map<string, Float64Array>();
  for (const { kind, labels, urls } of list.histograms) {
    if (kind === 'service') latencies.set(labels.service, countsOf(await get(`${admin}${urls.log}`)));
  }
  return totalsOfPage(parseMetrics(page), latencies);
}

interface HistogramList {
  readonly histograms: readonly {
    readonly kind: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly urls: { readonly log: string };
  }[];
}

async function get(url: string): Promise<string> {
  const { statusCode, body } = await request(url, { headersTimeout: 2000, bodyTimeout: 2000 });
  const text = await body.text();
  if (statusCode !== 200) throw new Error(`${url} answered ${statusCode}: ${text.trim()}`);
  return text;
}

/** The slots of the histogram in an HdrHistogram log, which was made from slots of the same layout. */
export function countsOf(log: string): Float64Array {
  const histogram = new HistogramLogReader(log).nextIntervalHistogram();
  const counts = new Float64Array(HISTOGRAM_SLOTS);
  if (!(histogram instanceof JsHistogram)) throw new Error('the log holds no histogram');
  for (let slot = 0; slot < HISTOGRAM_SLOTS; slot++) counts[slot] = histogram.getCountAtIndex(slot);
  return counts;
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

export function totalsOfPage(
  samples: readonly ParsedSample[],
  latencies: ReadonlyMap<string, Float64Array>,
): GoldenTotals {
  const services = new Map<string, Mutable<ServiceTotals>>();
  const listeners = new Map<string, Mutable<ListenerTotals> & { verdicts: Record<string, number> }>();
  const service = (name: string): Mutable<ServiceTotals> => {
    let totals = services.get(name);
    if (totals === undefined) {
      const latency = latencies.get(name) ?? null;
      totals = { requests: 0, successes: 0, failures: 0, connections: 0, readBytes: 0, writeBytes: 0, latency };
      services.set(name, totals);
    }
    return totals;
  };
  const listener = (name: string): Mutable<ListenerTotals> & { verdicts: Record<string, number> } => {
    let totals = listeners.get(name);
    if (totals === undefined) {
      totals = { connections: 0, open: 0, verdicts: {} };
      listeners.set(name, totals);
    }
    return totals;
  };
  const endpoints = new Map<string, Mutable<EndpointTotals>>();
  const endpoint = (name: string): Mutable<EndpointTotals> => {
    const totals = endpoints.get(name) ?? { requests: 0, open: 0, estimateMs: 0 };
    endpoints.set(name, totals);
    return totals;
  };
  const clientReasons: ReadonlySet<string> = CLIENT_REASONS;
  for (const { name, labels, value } of samples) {
    if (labels.target_addr !== undefined) {
      const of = endpoint(`${labels.service} ${labels.target_addr}`);
      if (name === 'request_total') of.requests += value;
      if (name === 'tcp_open_connections') of.open += value;
      if (name === 'sluice_endpoint_ewma_seconds') of.estimateMs += value * 1000;
    }
    if (labels.service !== undefined) {
      if (name === 'sluice_service_requests_total') service(labels.service).requests += value;
      if (name === 'response_total') {
        service(labels.service)[labels.classification === 'failure' ? 'failures' : 'successes'] += value;
      }
      if (name === 'sluice_service_proxy_response_total') {
        service(labels.service)[clientReasons.has(labels.reason) ? 'successes' : 'failures'] += value;
      }
      if (name === 'tcp_open_total') service(labels.service).connections += value;
      if (name === 'tcp_read_bytes_total') service(labels.service).readBytes += value;
      if (name === 'tcp_write_bytes_total') service(labels.service).writeBytes += value;
    } else if (labels.listener !== undefined) {
      if (name === 'tcp_open_total') listener(labels.listener).connections += value;
      if (name === 'tcp_open_connections') listener(labels.listener).open += value;
      if (name === 'sluice_verdict_total') {
        const { verdicts } = listener(labels.listener);
        verdicts[labels.verdict] = (verdicts[labels.verdict] ?? 0) + value;
      }
    }
  }
  return { services, listeners, endpoints };
}

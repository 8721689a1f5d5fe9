// The histograms that the admin port shows: which there are, and each as JSON, as .hgrm or as a log that tools read.
import { HistogramLogWriter } from 'hdr-histogram-js';
import { toHistogram } from '../metrics/hdr.js';
import type { HistogramData } from '../metrics/histogram.js';
import { ENDPOINT_HISTOGRAMS, LISTENER_HISTOGRAMS, SERVICE_HISTOGRAMS, WORKER_HISTOGRAMS } from '../metrics/layout.js';
import type { MetricsSnapshot } from '../metrics/reader.js';

export interface NamedHistogram {
  /** `kind.name.histogram`, e.g. `service.web.response_latency_us`. */
  readonly id: string;
  readonly kind: 'worker' | 'listener' | 'service' | 'endpoint';
  readonly histogram: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly data: HistogramData;
}

export const FORMATS = ['json', 'hgrm', 'log'] as const;
export type Format = (typeof FORMATS)[number];

const PERCENTILES = [50, 75, 90, 95, 99, 99.9, 99.99, 99.999];

/** Every histogram in which something was recorded. */
export function histogramsOf(snapshot: MetricsSnapshot): NamedHistogram[] {
  const all: NamedHistogram[] = [];
  const add = (
    kind: NamedHistogram['kind'],
    name: string,
    labels: NamedHistogram['labels'],
    names: readonly string[],
    histograms: readonly (HistogramData | null)[],
  ): void => {
    names.forEach((histogram, index) => {
      const data = histograms[index];
      if (data !== null) all.push({ id: `${kind}.${name}.${histogram}`, kind, histogram, labels, data });
    });
  };
  for (const { info, histograms } of snapshot.services) {
    add('service', info.name, { service: info.name }, SERVICE_HISTOGRAMS, histograms);
  }
  for (const { info, histograms } of snapshot.endpoints) {
    const labels = { service: info.service, target_addr: info.address };
    add('endpoint', `${info.service}.${info.address}`, labels, ENDPOINT_HISTOGRAMS, histograms);
  }
  for (const { info, histograms } of snapshot.listeners) {
    add('listener', info.name, { listener: info.name, direction: info.direction }, LISTENER_HISTOGRAMS, histograms);
  }
  for (const { id, histograms } of snapshot.workers) {
    add('worker', String(id), { worker: String(id) }, WORKER_HISTOGRAMS, histograms);
  }
  return all;
}

/** Times end in `_us`; what is no time is a number of streams. */
const unitOf = (histogram: string): string => (histogram.endsWith('_us') ? 'microseconds' : 'streams');

/** The list, with where to get each. */
export function listing(histograms: readonly NamedHistogram[]): object {
  return {
    histograms: histograms.map(({ id, kind, histogram, labels, data }) => {
      const path = `/histograms/${encodeURIComponent(id)}`;
      const urls = Object.fromEntries(FORMATS.map((format) => [format, `${path}?format=${format}`]));
      return { id, kind, name: histogram, labels, unit: unitOf(histogram), count: data.count, urls };
    }),
  };
}

export function percentiles({ id, kind, histogram, labels, data }: NamedHistogram): object {
  const values = toHistogram(data.counts);
  return {
    id,
    kind,
    name: histogram,
    labels,
    unit: unitOf(histogram),
    count: data.count,
    min: values.getValueAtPercentile(0),
    mean: data.sum / data.count,
    max: values.getValueAtPercentile(100),
    percentiles: Object.fromEntries(PERCENTILES.map((of) => [`p${of}`, values.getValueAtPercentile(of)])),
  };
}

/** HdrHistogram's percentile distribution, times in milliseconds. */
export function hgrm({ histogram, data }: NamedHistogram): string {
  return toHistogram(data.counts).outputPercentileDistribution(5, histogram.endsWith('_us') ? 1000 : 1);
}

/** An interval log (format 1.3) of one line, V2 compressed: everything from `startMs` to `endMs` since the epoch. */
export function log({ id, data }: NamedHistogram, startMs: number, endMs: number): string {
  const values = toHistogram(data.counts);
  // A log's fields are parted by commas and its tag ends at the first one or at a blank.
  values.tag = id.replace(/[,\s]/g, '_');
  let text = '';
  const writer = new HistogramLogWriter((part) => {
    text += part;
  });
  writer.outputLogFormatVersion();
  writer.outputComment(
    `[StartTime: ${(startMs / 1000).toFixed(3)} (seconds since epoch), ${new Date(startMs).toISOString()}]`,
  );
  writer.outputLegend();
  writer.outputIntervalHistogram(values, 0, (endMs - startMs) / 1000);
  return text;
}

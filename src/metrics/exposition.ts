// The Prometheus page. prom-client keeps the registry and formats; the numbers come from a snapshot at scrape time.
import type { Metric, OpenMetricsContentType, PrometheusContentType } from 'prom-client';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { FAMILIES } from './families.js';
import type { Family, Labels, Sample } from './family.js';
import type { MetricsReader, MetricsSnapshot } from './reader.js';

export interface BuildInfo {
  readonly version: string;
  readonly executor: string;
}

export interface Page {
  readonly contentType: string;
  readonly body: string;
}

/** A page that is not text. */
export interface BinaryPage {
  readonly contentType: string;
  readonly octets: Buffer;
}

/** Interface of a metric for prom-client's formatter. */
interface RegisteredMetric {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  get(): Promise<{ name: string; type: string; help: string; values: readonly Sample[] }>;
  reset(): void;
}

/** MetricFamily messages with a length prefix each. */
const PROTOBUF_TYPE = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';

/** Gauges of prom-client whose names OpenMetrics keeps for counters. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

export class Exposition {
  readonly #reader: MetricsReader;
  readonly #families: readonly Family[];
  #snapshot: MetricsSnapshot;
  #prometheus: Registry<PrometheusContentType> | undefined;
  #openMetrics: Registry<OpenMetricsContentType> | undefined;

  constructor(reader: MetricsReader, build: BuildInfo) {
    this.#reader = reader;
    this.#snapshot = reader.snapshot();
    const labels: Labels = { version: build.version, node: process.versions.node, executor: build.executor };
    this.#families = [
      { name: 'sluice_build_info', type: 'gauge', help: 'What runs here', samples: () => [{ value: 1, labels }] },
      ...FAMILIES,
    ];
  }

  /** The page in the format that the Accept header prefers. */
  answer(accept: string): Promise<Page | BinaryPage> {
    return prefersProtobuf(accept) ? this.#protobuf() : this.page(accept);
  }

  /** The same as text. */
  async page(accept: string): Promise<Page> {
    const registry = prefersOpenMetrics(accept) ? this.#openMetricsRegistry() : this.#prometheusRegistry();
    this.#snapshot = this.#reader.snapshot();
    // The registry calls every get() before it first waits, so that one page is of one snapshot.
    // prom-client spells NaN (of its event loop gauges before their first sample) in a way that OpenMetrics does not know.
    const body = (await registry.metrics()).replaceAll(' Nan\n', ' NaN\n');
    return { contentType: registry.contentType, body };
  }

  /** prom-client's metrics of the process are asked; ours are taken as they are. */
  async #protobuf(): Promise<BinaryPage> {
    const { protobufPage } = await import('./protobuf-page.js');
    const own = new Set(this.#families.map(({ name }) => name));
    const metrics = this.#prometheusRegistry().getMetricsAsArray() as unknown as RegisteredMetric[];
    const theirs = await Promise.all(metrics.filter(({ name }) => !own.has(name)).map((metric) => metric.get()));
    this.#snapshot = this.#reader.snapshot();
    const snapshot = this.#snapshot;
    const ours = this.#families.map(({ name, help, type, histogram, samples }) => ({
      name,
      help,
      type: type as string,
      samples: histogram === undefined ? samples(snapshot) : [],
      histogram,
    }));
    const others = theirs.map(({ name, help, type, values }) => ({ name, help, type, samples: values }));
    return { contentType: PROTOBUF_TYPE, octets: protobufPage([...ours, ...others], snapshot) };
  }

  // A registry per format: the OpenMetrics formatter cuts `_total` off the names of the metrics it is given.
  #prometheusRegistry(): Registry<PrometheusContentType> {
    this.#prometheus ??= this.#fill(new Registry<PrometheusContentType>());
    return this.#prometheus;
  }

  #openMetricsRegistry(): Registry<OpenMetricsContentType> {
    if (this.#openMetrics === undefined) {
      const registry = new Registry<OpenMetricsContentType>();
      registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
      this.#openMetrics = this.#fill(registry);
    }
    return this.#openMetrics;
  }

  #fill<Content extends PrometheusContentType | OpenMetricsContentType>(
    registry: Registry<Content>,
  ): Registry<Content> {
    for (const family of this.#families) {
      const metric: RegisteredMetric = {
        name: family.name,
        type: family.type,
        help: family.help,
        // An arrow function would not see the name that the formatter may have changed.
        async get() {
          return { name: this.name, type: this.type, help: this.help, values: samples() };
        },
        reset() {},
      };
      const samples = () => family.samples(this.#snapshot);
      registry.registerMetric(metric as unknown as Metric);
    }
    collectDefaultMetrics({
      register: registry as Registry<PrometheusContentType>,
      // The main thread's own lag is sampled twice a second; prom-client's default of 10 ms would keep an idle proxy awake.
      eventLoopMonitoringPrecision: 500,
    });
    for (const name of MISNAMED) registry.removeSingleMetric(name);
    return registry;
  }
}

interface Range {
  readonly type: string;
  readonly parameters: readonly string[];
  readonly quality: number;
}

function rangesOf(accept: string): Range[] {
  return accept.split(',').map((range) => {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    return { type, parameters, quality: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
}

const qualityOf = (ranges: readonly Range[]): number => Math.max(0, ...ranges.map(({ quality }) => quality));

/** Whether an Accept header ranks OpenMetrics at least as high as the plain text format. */
export function prefersOpenMetrics(accept: string): boolean {
  const ranges = rangesOf(accept);
  const openMetrics = qualityOf(ranges.filter(({ type }) => type === 'application/openmetrics-text'));
  return openMetrics > 0 && openMetrics >= qualityOf(ranges.filter(({ type }) => type === 'text/plain'));
}

/** Whether it ranks protocol buffers above all text formats, as a server does that accepts native histograms. */
export function prefersProtobuf(accept: string): boolean {
  const ranges = rangesOf(accept);
  const wanted = ranges.filter(
    ({ type, parameters }) =>
      type === 'application/vnd.google.protobuf' &&
      parameters.includes('encoding=delimited') &&
      parameters.some((parameter) => /^proto="?io\.prometheus\.client\.metricfamily"?$/.test(parameter)),
  );
  const text = ranges.filter(({ type }) => type === 'application/openmetrics-text' || type === 'text/plain');
  return qualityOf(wanted) > 0 && qualityOf(wanted) >= qualityOf(text);
}

// The Prometheus page. prom-client formats, and has the metrics of the process; the numbers come from a snapshot at scrape time. A page is made
// in pieces, with a turn of the event loop between them: the main thread stays responsive however many series there are.
import { setImmediate as nextTurn } from 'node:timers/promises';
// Not the whole library, which is five times as much to load.
import collectDefaultMetrics from 'prom-client/lib/defaultMetrics.js';
import Registry, { type Formattable } from 'prom-client/lib/registry.js';
import { FAMILIES } from './families.js';
import { type Family, type Labels, piecesOf, type Sample } from './family.js';
import type { MetricsReader } from './reader.js';
import { inPieces } from './steps.js';

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

export interface ExpositionOptions {
  /** Pages that may be in the making at once. */
  readonly most?: number;
  /** Lets the event loop turn, after so many samples. */
  readonly turn?: (samples: number) => Promise<unknown>;
}

/** What prom-client knows of a metric of its own. */
type PromClientMetric = Pick<Formattable, 'name' | 'type' | 'help'> & { readonly values: readonly Sample[] };

/** MetricFamily messages with a length prefix each. */
const PROTOBUF_TYPE = 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';

/** Gauges of prom-client whose names OpenMetrics keeps for counters. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Samples of one piece: prom-client formats so many in a few milliseconds. */
export const PIECE_SAMPLES = 1000;
const MAX_CONCURRENT = 4;

export class Exposition {
  readonly #reader: MetricsReader;
  readonly #families: readonly Family[];
  readonly #most: number;
  readonly #turn: (samples: number) => Promise<unknown>;
  #making = 0;
  #process: Registry | undefined;
  #prometheus: Registry | undefined;
  #openMetrics: Registry | undefined;

  constructor(reader: MetricsReader, build: BuildInfo, options: ExpositionOptions = {}) {
    this.#reader = reader;
    this.#most = options.most ?? MAX_CONCURRENT;
    this.#turn = options.turn ?? (() => nextTurn());
    const labels: Labels = { version: build.version, node: process.versions.node, executor: build.executor };
    this.#families = [
      { name: 'sluice_build_info', type: 'gauge', help: 'The running version', samples: () => [{ value: 1, labels }] },
      ...FAMILIES,
    ];
  }

  /** The page in the format that the Accept header prefers; null if too many are being made. */
  async answer(accept: string): Promise<Page | BinaryPage | null> {
    if (this.#making >= this.#most) {
      this.#reader.limits.scrapes++;
      return null;
    }
    this.#making++;
    try {
      return await (prefersProtobuf(accept) ? this.#protobuf() : this.page(accept));
    } finally {
      this.#making--;
    }
  }

  /** The same as text. */
  async page(accept: string): Promise<Page> {
    const openMetrics = prefersOpenMetrics(accept);
    const registry = openMetrics ? this.#openMetricsRegistry() : this.#prometheusRegistry();
    const theirs = await this.#promClientMetrics();
    const release = this.#reader.hold();
    try {
      const snapshot = await inPieces(this.#reader.steps(), () => this.#turn(0));
      const parts: string[] = [];
      let samples = 0;
      const add = async (
        family: Pick<Family, 'name' | 'type' | 'help'> | PromClientMetric,
        pieces: Iterable<Sample[]>,
      ) => {
        let text = '';
        for (const piece of pieces) {
          if (samples > 0 && samples + piece.length > PIECE_SAMPLES) {
            await this.#turn(samples);
            samples = 0;
          }
          samples += piece.length;
          text += await formatted(registry, openMetrics, family, piece, text === '');
        }
        parts.push(text === '' ? await formatted(registry, openMetrics, family, [], true) : text);
      };
      for (const family of this.#families) await add(family, piecesOf(family, snapshot, PIECE_SAMPLES));
      for (const metric of theirs) await add(metric, [[...metric.values]]);
      await this.#turn(samples);
      // prom-client spells NaN (of its event loop gauges before their first sample) in a way that OpenMetrics does not know.
      const body = parts.map((part) => part.replaceAll(' Nan\n', ' NaN\n').replace(/ Nan$/, ' NaN'));
      return {
        contentType: registry.contentType,
        body: openMetrics ? `${body.join('\n')}\n# EOF\n` : `${body.join('\n\n')}\n`,
      };
    } finally {
      release();
    }
  }

  /** prom-client's metrics of the process are asked; ours are taken as they are. */
  async #protobuf(): Promise<BinaryPage> {
    const { protobufPage } = await import('./protobuf-page.js');
    const theirs = (await this.#promClientMetrics()).map(({ values, ...metric }) => ({ ...metric, samples: values }));
    const release = this.#reader.hold();
    try {
      const snapshot = await inPieces(this.#reader.steps(), () => this.#turn(0));
      const ours = this.#families.map(({ name, help, type, histogram, samples }) => ({
        name,
        help,
        type,
        histogram,
        samples: histogram === undefined ? samples(snapshot) : [],
      }));
      return {
        contentType: PROTOBUF_TYPE,
        octets: await protobufPage([...ours, ...theirs], snapshot, this.#turn),
      };
    } finally {
      release();
    }
  }

  /** Of the process. */
  async #promClientMetrics(): Promise<PromClientMetric[]> {
    if (this.#process === undefined) {
      // What was loaded and what is made now are a turn each.
      await this.#turn(0);
      this.#process ??= ofProcess();
      await this.#turn(0);
    }
    const metrics = this.#process.getMetricsAsArray();
    return Promise.all(metrics.map((metric) => metric.get()));
  }

  // A registry for each format: it is what formats.
  #prometheusRegistry(): Registry {
    this.#prometheus ??= new Registry();
    return this.#prometheus;
  }

  #openMetricsRegistry(): Registry {
    this.#openMetrics ??= new Registry(Registry.OPENMETRICS_CONTENT_TYPE);
    return this.#openMetrics;
  }
}

function ofProcess(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({
    register: registry,
    // The main thread's own lag is sampled twice a second; prom-client's default of 10 ms would keep an idle proxy awake.
    eventLoopMonitoringPrecision: 500,
  });
  for (const name of MISNAMED) registry.removeSingleMetric(name);
  return registry;
}

/** A family's samples, or some of them: only the first have lines that say what the family is. */
async function formatted(
  registry: Registry,
  openMetrics: boolean,
  { name: own, type, help }: Pick<Family, 'name' | 'help'> & { readonly type: string },
  values: readonly Sample[],
  first: boolean,
): Promise<string> {
  // The formatter of OpenMetrics adds `_total` to the names of counters.
  const name = openMetrics && type === 'counter' ? own.replace(/_total$/, '') : own;
  const metric: Formattable = { name, type, help, get: async () => ({ name, type, help, values }) };
  const text = await registry.getMetricsAsString(metric);
  if (first) return text;
  const lines = text.indexOf('\n', text.indexOf('\n') + 1);
  return lines < 0 ? '' : text.slice(lines);
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

// Histograms on the admin port: the list, each one as JSON, .hgrm or a log for tools, or all of them at once. They are written in
// pieces, between which the main thread does other things.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { histogramsOf, type NamedHistogram, unitOf } from '../histograms/catalog.js';
import { INTERVALS, Intervals, SNAPSHOT_INTERVAL_MS } from '../histograms/intervals.js';
import { logHead, logLines } from '../histograms/log-file.js';
import type { NamedRecording } from '../histograms/recording.js';
import { perShown, unitNamed } from '../histograms/units.js';
import { wireText } from '../histograms/wire.js';
import { toHistogram } from '../metrics/hdr.js';
import type { MetricsReader } from '../metrics/reader.js';
import { inPieces, type Steps } from '../metrics/steps.js';
import type { Answer } from './answer.js';
import { json, text } from './answer.js';

/** Formats of one histogram. */
const FORMATS = ['json', 'hgrm', 'log'] as const;
/** Formats of all. */
const LIST_FORMATS = ['json', 'log', 'full'] as const;
const PERCENTILES = [50, 75, 90, 95, 99, 99.9, 99.99, 99.999];

interface Part {
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly NamedHistogram[];
}

export interface HistogramPagesOptions {
  /** Start of the totals. */
  readonly startedMs: number;
  /** Answers that may be in the making at once. */
  readonly most: number;
  /** Lets the event loop turn. */
  readonly turn?: () => Promise<unknown>;
}

export class HistogramPages {
  readonly #reader: MetricsReader;
  readonly #startedMs: number;
  readonly #intervals: Intervals;
  readonly #most: number;
  readonly #turn: () => Promise<unknown>;
  #making = 0;

  constructor(reader: MetricsReader, { startedMs, most, turn = () => nextTurn() }: HistogramPagesOptions) {
    this.#reader = reader;
    this.#startedMs = startedMs;
    this.#most = most;
    this.#turn = turn;
    this.#intervals = new Intervals({
      take: async () => {
        const release = reader.hold();
        return { histograms: histogramsOf(await this.#inPieces(reader.steps())), release };
      },
      now: Date.now,
      later: (run, ms) => void setTimeout(run, ms).unref(),
      turn,
    });
  }

  /** All of them. */
  list(query: URLSearchParams): Promise<Answer> {
    return this.#answer(query, async (part) => {
      const ids = query.getAll('id');
      const histograms = ids.length === 0 ? part.histograms : part.histograms.filter(({ id }) => ids.includes(id));
      const format = query.get('format') ?? 'json';
      if (format === 'json') return json(listing(histograms));
      if (format === 'full') {
        const body = await this.#inPieces(wireText(histograms, part.startMs, part.endMs));
        return { status: 200, type: 'application/json', body: `${body}\n` };
      }
      if (format === 'log') return text(200, await this.#inPieces(log({ ...part, histograms })));
      return unknownFormat(format, LIST_FORMATS);
    });
  }

  /** One of them. */
  one(id: string, query: URLSearchParams): Promise<Answer> {
    return this.#answer(query, async (part) => {
      const found = part.histograms.find((candidate) => candidate.id === id);
      if (found === undefined) {
        return text(404, `no histogram "${id}" with recorded values\n/histograms lists those that exist.`);
      }
      const format = query.get('format') ?? 'json';
      if (format === 'json') return json(percentiles(found));
      if (format === 'hgrm') return text(200, hgrm(found));
      if (format === 'log') return text(200, await this.#inPieces(log({ ...part, histograms: [found] })));
      return unknownFormat(format, FORMATS);
    });
  }

  /** Histograms stay as they are while `make` is at work, at the price of copies: so this is done for only so many at once. */
  async #answer(query: URLSearchParams, make: (part: Part) => Promise<Answer>): Promise<Answer> {
    if (this.#making >= this.#most) {
      this.#reader.limits.scrapes++;
      const headers = { 'Retry-After': '1' };
      return text(503, 'too many histograms are being written already (metrics.maxScrapes); ask again', headers);
    }
    this.#making++;
    const release = this.#reader.hold();
    try {
      const part = await this.#part(query.get('interval'));
      return 'status' in part ? part : await make(part);
    } finally {
      release();
      this.#making--;
    }
  }

  /** Totals since the start, or the last whole interval; or why there is none. */
  async #part(interval: string | null): Promise<Part | Answer> {
    if (interval === null) {
      const snapshot = await this.#inPieces(this.#reader.steps());
      return { startMs: this.#startedMs, endMs: snapshot.atMs, histograms: histogramsOf(snapshot) };
    }
    const names = Object.keys(INTERVALS);
    if (!names.includes(interval))
      return text(400, `interval "${interval}" is unknown; expected one of ${names.join(', ')}.`);
    const part = await this.#intervals.ask(INTERVALS[interval]);
    if (typeof part !== 'number') return part;
    const seconds = Math.ceil(part / 1000);
    const every = `Intervals are kept while somebody asks at least every two minutes, and end every ${SNAPSHOT_INTERVAL_MS / 1000} s.`;
    return text(503, `no whole interval yet; ask again in ${seconds} s\n${every}`, { 'Retry-After': String(seconds) });
  }

  #inPieces<Result>(steps: Steps<Result>): Promise<Result> {
    return inPieces(steps, this.#turn);
  }
}

function unknownFormat(format: string, known: readonly string[]): Answer {
  return text(400, `format "${format}" is unknown; expected one of ${known.join(', ')}.`);
}

/** The list, with where to get each. */
function listing(histograms: readonly NamedHistogram[]): object {
  return {
    histograms: histograms.map(({ id, kind, histogram, labels, data }) => {
      const path = `/histograms/${encodeURIComponent(id)}`;
      const urls = Object.fromEntries(FORMATS.map((format) => [format, `${path}?format=${format}`]));
      return { id, kind, name: histogram, labels, unit: unitOf(histogram), count: data.count, urls };
    }),
  };
}

function percentiles({ id, kind, histogram, labels, data }: NamedHistogram): object {
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
function hgrm({ histogram, data }: NamedHistogram): string {
  return toHistogram(data.counts).outputPercentileDistribution(5, perShown(unitNamed(unitOf(histogram))));
}

/** A log of HdrHistogram. */
function* log({ startMs, endMs, histograms }: Part): Steps<string> {
  const units = new Set(histograms.map(({ histogram }) => unitNamed(unitOf(histogram))));
  const lines: string[] = [];
  for (const named of histograms) {
    lines.push(logLines({ startMs, endMs, histograms: [recorded(named)] }, startMs));
    yield;
  }
  return logHead(startMs, units) + lines.join('');
}

const recorded = ({ id, kind, histogram, labels, data }: NamedHistogram): NamedRecording => ({
  id,
  kind,
  name: histogram,
  labels,
  unit: unitNamed(unitOf(histogram)),
  histogram: toHistogram(data.counts),
  sum: data.sum,
});

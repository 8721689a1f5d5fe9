// The page as protocol buffers (io.prometheus.client.MetricFamily with a length prefix each), the format in which Prometheus accepts native
// histograms. They appear next to the classic buckets; the server chooses. Loaded on demand.
import { Writer } from '../protobuf/writer.js';
import type { Exemplar } from './exemplars.js';
import type { HistogramContent, HistogramSeries, Labels, Sample } from './family.js';
import { bucketsOf, lowestOf } from './histogram.js';
import { HISTOGRAM, HISTOGRAM_SLOTS } from './layout.js';
import type { MetricsSnapshot } from './reader.js';

const TYPES: Readonly<Record<string, number>> = { counter: 0, gauge: 1, summary: 2, untyped: 3, histogram: 4 };
/** Limit on a native histogram, from its first bucket to its last: a server may refuse more. */
const MAX_BUCKETS = 320;
/** Buckets of schema 6 are 1.1 % wide, those of two digits up to 0.8 %. */
const FINEST_SCHEMA = 6;

/** One of our families, or one of prom-client's. */
export interface PageFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
  readonly histogram?: HistogramContent;
}

/** Middle of each slot except the first, which is zero, as a power of 2. */
const LOGS = new Float64Array(HISTOGRAM_SLOTS);
for (let slot = 1; slot < HISTOGRAM_SLOTS; slot++) {
  const highest = slot + 1 < HISTOGRAM_SLOTS ? lowestOf(slot + 1) - 1 : HISTOGRAM.highest;
  LOGS[slot] = Math.log2((lowestOf(slot) + highest) / 2);
}

/** Encoding so many histograms, or numbers, takes a few milliseconds. */
const HISTOGRAMS_PER_PIECE = 50;
const NUMBERS_PER_PIECE = 2000;

/** `turn`: lets the event loop turn, after so many samples. */
export async function protobufPage(
  families: readonly PageFamily[],
  snapshot: MetricsSnapshot,
  turn: (samples: number) => Promise<unknown>,
): Promise<Buffer> {
  const page = new Writer();
  const writer = new Writer();
  let done = 0;
  const add = async <One>(all: readonly One[], most: number, write: (one: One) => void): Promise<void> => {
    for (const one of all) {
      if (done >= most) {
        await turn(done);
        done = 0;
      }
      write(one);
      done++;
    }
  };
  for (const family of families) {
    const { name, help, type, samples, histogram } = family;
    const series = histogram?.series(snapshot) ?? [];
    if (histogram === undefined ? samples.length === 0 : series.length === 0) continue;
    writer
      .string(1, name)
      .string(2, help)
      .uint32(3, TYPES[type] ?? TYPES.untyped);
    if (histogram !== undefined)
      await add(series, HISTOGRAMS_PER_PIECE, (one) => histogramMetric(writer, histogram, one));
    else if (type === 'histogram' || type === 'summary') flattened(writer, family);
    else await add(samples, NUMBERS_PER_PIECE, (sample) => plainMetric(writer, type, sample));
    page.delimited(writer.finish());
  }
  return page.finish();
}

function labelPairs(writer: Writer, labels: Readonly<Record<string, string | number>> | undefined): void {
  for (const name in labels) {
    const pair = writer.begin(1);
    writer.string(1, name).string(2, String(labels[name]));
    writer.end(pair);
  }
}

function plainMetric(writer: Writer, type: string, { value, labels, sharedLabels }: Sample): void {
  const metric = writer.begin(4);
  labelPairs(writer, sharedLabels);
  labelPairs(writer, labels);
  const content = writer.begin(type === 'counter' ? 3 : type === 'gauge' ? 2 : 5);
  writer.double(1, value);
  writer.end(content);
  writer.end(metric);
}

function histogramMetric(writer: Writer, { bounds, unit }: HistogramContent, series: HistogramSeries): void {
  const { data, labels, exemplars } = series;
  const metric = writer.begin(4);
  labelPairs(writer, labels);
  const histogram = writer.begin(7);
  writer.uint64(1, data.count).double(2, data.sum / unit);
  const counts = bucketsOf(data.counts, bounds, unit);
  for (let index = 0; index < bounds.length; index++)
    classicBucket(writer, counts[index], bounds[index], unit, exemplars?.get(bounds[index]));
  const infinite = Number.POSITIVE_INFINITY;
  classicBucket(writer, data.count, infinite, unit, exemplars?.get(infinite));
  native(writer, data.counts, unit);
  for (const exemplar of exemplars?.values() ?? []) exemplarOf(writer, 16, exemplar, unit);
  writer.end(histogram);
  writer.end(metric);
}

function classicBucket(
  writer: Writer,
  count: number,
  bound: number,
  unit: number,
  exemplar: Exemplar | undefined,
): void {
  const bucket = writer.begin(3);
  writer.uint64(1, count).double(2, bound);
  if (exemplar !== undefined) exemplarOf(writer, 3, exemplar, unit);
  writer.end(bucket);
}

function exemplarOf(writer: Writer, field: number, { traceId, valueUs, atMs }: Exemplar, unit: number): void {
  const exemplar = writer.begin(field);
  labelPairs(writer, { trace_id: traceId });
  writer.double(2, valueUs / unit);
  const time = writer.begin(3);
  writer.uint64(1, Math.floor(atMs / 1000)).uint32(2, Math.floor((atMs % 1000) * 1e6));
  writer.end(time);
  writer.end(exemplar);
}

/** Bucket i of schema s holds what is above 2^((i - 1) 2^-s) and no larger than 2^(i 2^-s). */
function native(writer: Writer, counts: Float64Array, unit: number): void {
  const shift = Math.log2(unit);
  let first = 1;
  while (first < counts.length && counts[first] === 0) first++;
  let last = counts.length - 1;
  while (last >= first && counts[last] === 0) last--;
  let schema = FINEST_SCHEMA;
  const indexOf = (slot: number): number => Math.ceil((LOGS[slot] - shift) * 2 ** schema);
  if (first <= last) while (indexOf(last) - indexOf(first) >= MAX_BUCKETS) schema--;
  writer.sint32(5, schema).double(6, 0).uint64(7, counts[0]);
  const spans: number[] = [];
  const deltas: number[] = [];
  let index = 0;
  let before = 0;
  let value = 0;
  for (let slot = first; slot <= last; slot++) {
    if (counts[slot] === 0) continue;
    const own = indexOf(slot);
    if (deltas.length > 0 && own === index) {
      deltas[deltas.length - 1] += counts[slot];
      value += counts[slot];
      continue;
    }
    if (deltas.length === 0 || own !== index + 1) spans.push(deltas.length === 0 ? own : own - index - 1, 1);
    else spans[spans.length - 1]++;
    before = value;
    value = counts[slot];
    deltas.push(value - before);
    index = own;
  }
  for (let at = 0; at < spans.length; at += 2) {
    const span = writer.begin(12);
    writer.sint32(1, spans[at]).uint32(2, spans[at + 1]);
    writer.end(span);
  }
  // At least one span distinguishes an empty native histogram from none.
  if (spans.length === 0) writer.empty(12);
  if (deltas.length > 0) writer.sint64s(13, deltas);
}

/** prom-client's histograms, whose samples are buckets, sums and counts in sequence. */
function flattened(writer: Writer, { name, type, samples }: PageFamily): void {
  const groups = new Map<string, { labels: Labels; samples: Sample[] }>();
  for (const sample of samples) {
    const { le, quantile, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    const group = groups.get(key) ?? { labels: labels as Labels, samples: [] };
    group.samples.push(sample);
    groups.set(key, group);
  }
  for (const { labels, samples: own } of groups.values()) {
    const metric = writer.begin(4);
    labelPairs(writer, labels);
    const content = writer.begin(type === 'histogram' ? 7 : 4);
    const numberOf = (suffix: string): number =>
      own.find(({ metricName }) => metricName === `${name}${suffix}`)?.value ?? 0;
    writer.uint64(1, numberOf('_count')).double(2, numberOf('_sum'));
    for (const { value, labels: all } of own) {
      const place = type === 'histogram' ? all.le : all.quantile;
      if (place === undefined) continue;
      const bucket = writer.begin(3);
      const bound = place === '+Inf' ? Number.POSITIVE_INFINITY : Number(place);
      if (type === 'histogram') writer.uint64(1, value).double(2, bound);
      else writer.double(1, bound).double(2, value);
      writer.end(bucket);
    }
    writer.end(content);
    writer.end(metric);
  }
}

// Encodes metrics as OTLP's ExportMetricsServiceRequest (opentelemetry/proto/metrics/v1): histograms as exponential histograms, which keep
// percentiles, and numbers as sums and gauges.
import { type Exponential, exponentialOf } from '../histograms/exponential.js';
import { type Bucket, isTime, secondsOf, type Unit } from '../histograms/units.js';
import { Writer } from '../protobuf/writer.js';

const DELTA = 1;
const CUMULATIVE = 2;
/** The limit of OpenTelemetry's SDKs. */
const MAX_BUCKETS = 160;
/** Field numbers of Metric. */
const GAUGE = 5;
const SUM = 7;
const EXPONENTIAL = 10;

export interface OtlpResource {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Start and end, ms since the epoch. `delta`: the values are of this interval only; otherwise they are cumulative. */
export interface OtlpSpan {
  readonly startMs: number;
  readonly endMs: number;
  readonly delta: boolean;
}

type Labels = Readonly<Record<string, string>>;

export interface OtlpHistogram {
  readonly labels: Labels;
  readonly count: number;
  /** In the metric's unit, like the buckets. */
  readonly sum: number;
  readonly buckets: readonly Bucket[];
  /** Significant digits of the buckets. */
  readonly digits: number;
  readonly exemplars?: Iterable<OtlpExemplar>;
}

export interface OtlpExemplar {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** The value, µs. */
  readonly valueUs: number;
  readonly atMs: number;
}

export interface OtlpNumber {
  readonly labels: Labels;
  readonly value: number;
}

interface Described {
  readonly name: string;
  readonly description: string;
  /** Times are sent in seconds, everything else unchanged. */
  readonly unit: Unit;
}

export type OtlpMetric = Described &
  (
    | { readonly kind: 'histogram'; readonly points: readonly OtlpHistogram[] }
    /** `sum` only grows. */
    | { readonly kind: 'sum' | 'gauge'; readonly points: readonly OtlpNumber[] }
  );

/** For example `sluice.service.response_latency` for a service's `response_latency_us`. */
export const otlpName = (kind: string, name: string): string =>
  ['sluice', kind, (name === '' ? 'recorded' : name).replace(/_(us|ms|ns|s)$/, '')]
    .filter((part) => part !== '')
    .join('.');

/** Encodes one message. */
export function encodeMetrics(metrics: readonly OtlpMetric[], span: OtlpSpan, resource: OtlpResource): Buffer {
  const writer = new Writer();
  const resourceMetrics = writer.begin(1);
  const own = writer.begin(1);
  attributes(writer, 1, { 'service.name': resource.name, ...resource.attributes });
  writer.end(own);
  const scopeMetrics = writer.begin(2);
  const scope = writer.begin(1);
  writer.string(1, 'sluice');
  writer.end(scope);
  for (const one of metrics) metric(writer, one, span);
  writer.end(scopeMetrics);
  writer.end(resourceMetrics);
  return writer.finish();
}

function attributes(writer: Writer, field: number, labels: Labels): void {
  for (const [key, value] of Object.entries(labels)) {
    const pair = writer.begin(field);
    writer.string(1, key);
    const any = writer.begin(2);
    writer.string(1, value);
    writer.end(any);
    writer.end(pair);
  }
}

/** The unit in UCUM, where the name of a counted thing is in braces. */
const ucum = (unit: Unit): string => {
  if (isTime(unit)) return 's';
  return unit === 'By' ? unit : `{${unit === '' ? 'unit' : unit}}`;
};

function metric(writer: Writer, one: OtlpMetric, span: OtlpSpan): void {
  const begin = writer.begin(2);
  writer.string(1, one.name).string(2, one.description).string(3, ucum(one.unit));
  if (one.kind === 'histogram') {
    const histogram = writer.begin(EXPONENTIAL);
    for (const point of one.points) histogramPoint(writer, point, secondsOf(one.unit), span);
    writer.uint32(2, span.delta ? DELTA : CUMULATIVE).end(histogram);
  } else {
    const numbers = writer.begin(one.kind === 'sum' ? SUM : GAUGE);
    for (const point of one.points) numberPoint(writer, point, secondsOf(one.unit), span);
    if (one.kind === 'sum') writer.uint32(2, span.delta ? DELTA : CUMULATIVE).bool(3, true);
    writer.end(numbers);
  }
  writer.end(begin);
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n;

function numberPoint(writer: Writer, { labels, value }: OtlpNumber, per: number, { startMs, endMs }: OtlpSpan): void {
  const begin = writer.begin(1);
  writer.fixed64(2, nanoseconds(startMs)).fixed64(3, nanoseconds(endMs));
  const scaled = value * per;
  if (Number.isSafeInteger(scaled)) writer.fixed64(6, BigInt.asUintN(64, BigInt(scaled)));
  else writer.double(4, scaled);
  attributes(writer, 7, labels);
  writer.end(begin);
}

function histogramPoint(writer: Writer, point: OtlpHistogram, per: number, { startMs, endMs }: OtlpSpan): void {
  const { labels, count, sum, buckets: filled, digits, exemplars = [] } = point;
  const begin = writer.begin(1);
  attributes(writer, 1, labels);
  writer.fixed64(2, nanoseconds(startMs)).fixed64(3, nanoseconds(endMs));
  writer.fixed64(4, BigInt(count)).double(5, sum * per);
  const exponential = exponentialOf(filled, per, MAX_BUCKETS, digits);
  writer.sint32(6, exponential.scale).fixed64(7, BigInt(exponential.zeros));
  buckets(writer, exponential);
  for (const exemplar of exemplars) exemplarOf(writer, exemplar);
  if (filled.length > 0) writer.double(12, filled[0].lowest * per).double(13, filled[filled.length - 1].highest * per);
  writer.end(begin);
}

function exemplarOf(writer: Writer, { traceId, valueUs, atMs }: OtlpExemplar): void {
  const begin = writer.begin(11);
  writer.fixed64(2, nanoseconds(atMs)).double(3, valueUs / 1e6);
  writer.bytes(5, Buffer.from(traceId, 'hex')).end(begin);
}

/** One count for each bucket from the first to the last. */
function buckets(writer: Writer, exponential: Exponential): void {
  const positive = writer.begin(8);
  const [first] = exponential.buckets;
  if (first !== undefined) {
    const [offset] = first;
    const last = exponential.buckets[exponential.buckets.length - 1][0];
    const counts = new Array<number>(last - offset + 1).fill(0);
    for (const [index, count] of exponential.buckets) counts[index - offset] = count;
    writer.sint32(1, offset).uint64s(2, counts);
  }
  writer.end(positive);
}

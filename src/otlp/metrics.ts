// Histograms as ExportMetricsServiceRequest of OTLP (opentelemetry/proto/metrics/v1): exponential ones, which keep percentiles.
import { type Exponential, exponentialOf } from '../histograms/exponential.js';
import { bucketsIn, isTime, type Recorded, type Recording, secondsOf } from '../histograms/recorded.js';
import { Writer } from '../protobuf/writer.js';

const DELTA = 1;
const CUMULATIVE = 2;
/** What OpenTelemetry's SDKs allow. */
const MAX_BUCKETS = 160;

export interface OtlpResource {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** `sluice.service.response_latency` of `response_latency_us` of a service. */
export const otlpName = ({ kind, name }: Recorded): string =>
  ['sluice', kind, (name === '' ? 'recorded' : name).replace(/_(us|ms|ns|s)$/, '')]
    .filter((part) => part !== '')
    .join('.');

/** `delta`: the recording is an interval; else it counts since its start. */
export function otlpMetrics(recording: Recording, resource: OtlpResource, delta: boolean): Buffer {
  const writer = new Writer();
  const resourceMetrics = writer.begin(1);
  const own = writer.begin(1);
  attributes(writer, 1, { 'service.name': resource.name, ...resource.attributes });
  writer.end(own);
  const scopeMetrics = writer.begin(2);
  const scope = writer.begin(1);
  writer.string(1, 'sluice');
  writer.end(scope);
  const byName = new Map<string, Recorded[]>();
  for (const recorded of recording.histograms) {
    const name = otlpName(recorded);
    byName.set(name, [...(byName.get(name) ?? []), recorded]);
  }
  for (const [name, all] of byName) metric(writer, name, all, recording, delta);
  writer.end(scopeMetrics);
  writer.end(resourceMetrics);
  return writer.finish();
}

function attributes(writer: Writer, field: number, labels: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(labels)) {
    const pair = writer.begin(field);
    writer.string(1, key);
    const any = writer.begin(2);
    writer.string(1, value);
    writer.end(any);
    writer.end(pair);
  }
}

function metric(writer: Writer, name: string, all: readonly Recorded[], recording: Recording, delta: boolean): void {
  const begin = writer.begin(2);
  const { unit, name: own } = all[0];
  writer
    .string(1, name)
    .string(2, own)
    .string(3, isTime(unit) ? 's' : `{${unit === '' ? 'unit' : unit}}`);
  const histogram = writer.begin(10);
  for (const recorded of all) point(writer, recorded, recording);
  writer.uint32(2, delta ? DELTA : CUMULATIVE);
  writer.end(histogram);
  writer.end(begin);
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms)) * 1_000_000n;

function point(writer: Writer, recorded: Recorded, { startMs, endMs }: Recording): void {
  const { histogram, unit, labels, id, sum } = recorded;
  const per = secondsOf(unit);
  const filled = bucketsIn(histogram);
  const begin = writer.begin(1);
  attributes(writer, 1, Object.keys(labels).length > 0 || id === '' ? labels : { id });
  writer.fixed64(2, nanoseconds(startMs)).fixed64(3, nanoseconds(endMs));
  writer.fixed64(4, BigInt(histogram.totalCount)).double(5, sum * per);
  const exponential = exponentialOf(filled, per, MAX_BUCKETS, histogram.numberOfSignificantValueDigits);
  writer.sint32(6, exponential.scale).fixed64(7, BigInt(exponential.zeros));
  buckets(writer, exponential);
  if (filled.length > 0) writer.double(12, filled[0].lowest * per).double(13, histogram.maxValue * per);
  writer.end(begin);
}

/** One number for each bucket from the first to the last. */
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

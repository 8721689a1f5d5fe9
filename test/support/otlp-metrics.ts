// Metrics of OTLP, read by another implementation of protocol buffers with OpenTelemetry's definitions.
import protobuf from 'protobufjs';

const OTLP = `syntax = "proto3"; package otlp;
message AnyValue { string string_value = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
message Resource { repeated KeyValue attributes = 1; }
message Scope { string name = 1; }
message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
message Exemplar { fixed64 time_unix_nano = 2; double as_double = 3; bytes span_id = 4; bytes trace_id = 5; }
message HistogramPoint { repeated KeyValue attributes = 1; fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; fixed64 count = 4; double sum = 5; sint32 scale = 6; fixed64 zero_count = 7;
  Buckets positive = 8; repeated Exemplar exemplars = 11; double min = 12; double max = 13; }
message NumberPoint { fixed64 start_time_unix_nano = 2; fixed64 time_unix_nano = 3; oneof value { double as_double = 4; sfixed64 as_int = 6; } repeated KeyValue attributes = 7; }
message Gauge { repeated NumberPoint data_points = 1; }
message Sum { repeated NumberPoint data_points = 1; uint32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Exponential { repeated HistogramPoint data_points = 1; uint32 aggregation_temporality = 2; }
message Metric { string name = 1; string description = 2; string unit = 3; oneof data { Gauge gauge = 5; Sum sum = 7; Exponential exponential_histogram = 10; } }
message ScopeMetrics { Scope scope = 1; repeated Metric metrics = 2; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scope_metrics = 2; }
message Request { repeated ResourceMetrics resource_metrics = 1; }`;

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue: string };
}

interface Point {
  readonly attributes: readonly Attribute[];
  readonly startTimeUnixNano: number;
  readonly timeUnixNano: number;
}

export interface SeenHistogram extends Point {
  readonly count: number;
  readonly sum: number;
  readonly scale: number;
  readonly zeroCount: number;
  readonly positive: { readonly offset: number; readonly bucketCounts: readonly number[] };
  readonly exemplars: readonly { readonly asDouble: number; readonly traceId: Uint8Array }[];
  readonly min: number;
  readonly max: number;
}

export interface SeenNumber extends Point {
  readonly asDouble?: number;
  readonly asInt?: number;
}

export interface SeenMetric {
  readonly name: string;
  readonly unit: string;
  readonly gauge?: { readonly dataPoints: readonly SeenNumber[] };
  readonly sum?: {
    readonly dataPoints: readonly SeenNumber[];
    readonly aggregationTemporality: number;
    readonly isMonotonic: boolean;
  };
  readonly exponentialHistogram?: {
    readonly dataPoints: readonly SeenHistogram[];
    readonly aggregationTemporality: number;
  };
}

export interface SeenMetrics {
  readonly resource: Readonly<Record<string, string>>;
  readonly metrics: readonly SeenMetric[];
}

const type = protobuf.parse(OTLP).root.lookupType('otlp.Request');

const textsOf = (attributes: readonly Attribute[]): Record<string, string> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue]));

/** One message. Throws where it is none. */
export function readMetrics(body: Uint8Array): SeenMetrics {
  const message = type.toObject(type.decode(body), { longs: Number, arrays: true, defaults: false }) as {
    resourceMetrics: {
      resource: { attributes: Attribute[] };
      scopeMetrics: { metrics: SeenMetric[] }[];
    }[];
  };
  const [{ resource, scopeMetrics }] = message.resourceMetrics;
  return { resource: textsOf(resource.attributes), metrics: scopeMetrics.flatMap(({ metrics }) => metrics) };
}

const matches = (point: Point, labels: Readonly<Record<string, string>>): boolean => {
  const own = textsOf(point.attributes);
  return Object.entries(labels).every(([name, value]) => own[name] === value);
};

/** The newest value with these attributes, of messages one behind the other. */
export function numberIn(
  messages: readonly SeenMetrics[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  return messages
    .flatMap(({ metrics }) => metrics)
    .filter((metric) => metric.name === name)
    .flatMap(({ sum, gauge }) => [...(sum?.dataPoints ?? []), ...(gauge?.dataPoints ?? [])])
    .filter((point) => matches(point, labels))
    .map(({ asInt, asDouble }) => asInt ?? asDouble ?? 0)
    .at(-1);
}

/** The newest histogram with these attributes. */
export function histogramIn(
  messages: readonly SeenMetrics[],
  name: string,
  labels: Readonly<Record<string, string>> = {},
): SeenHistogram | undefined {
  return messages
    .flatMap(({ metrics }) => metrics)
    .filter((metric) => metric.name === name)
    .flatMap(({ exponentialHistogram }) => exponentialHistogram?.dataPoints ?? [])
    .filter((point) => matches(point, labels))
    .at(-1);
}

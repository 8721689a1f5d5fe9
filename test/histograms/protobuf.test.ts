// Histograms as protocol buffers, read by another implementation with the definitions of Prometheus and of OpenTelemetry.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import protobuf from 'protobufjs';
import { emptyHistogram, type NamedRecording } from '../../src/histograms/recording.js';
import { Exemplars } from '../../src/metrics/exemplars.js';
import { Exposition, prefersProtobuf } from '../../src/metrics/exposition.js';
import { serviceHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { otlpMetrics } from '../../src/otlp/recordings.js';
import { readMetrics } from '../support/otlp-metrics.js';

const PROMETHEUS = `syntax = "proto3"; package io.prometheus.client;
message LabelPair { string name = 1; string value = 2; }
message Gauge { double value = 1; }
message Counter { double value = 1; }
message Timestamp { int64 seconds = 1; int32 nanos = 2; }
message Exemplar { repeated LabelPair label = 1; double value = 2; Timestamp timestamp = 3; }
message Bucket { uint64 cumulative_count = 1; double upper_bound = 2; Exemplar exemplar = 3; }
message BucketSpan { sint32 offset = 1; uint32 length = 2; }
message Histogram { uint64 sample_count = 1; double sample_sum = 2; repeated Bucket bucket = 3; sint32 schema = 5; double zero_threshold = 6; uint64 zero_count = 7;
  repeated BucketSpan positive_span = 12; repeated sint64 positive_delta = 13; repeated Exemplar exemplars = 16; }
message Metric { repeated LabelPair label = 1; Gauge gauge = 2; Counter counter = 3; Histogram histogram = 7; }
message MetricFamily { string name = 1; string help = 2; uint32 type = 3; repeated Metric metric = 4; }`;

interface Family {
  name: string;
  type: number;
  metric: { label: { name: string; value: string }[]; gauge?: { value: number }; histogram?: Histogram }[];
}

interface Histogram {
  sampleCount: number;
  sampleSum: number;
  bucket: { cumulativeCount: number; upperBound: number; exemplar?: { value: number; label: { value: string }[] } }[];
  schema: number;
  zeroCount: number;
  positiveSpan: { offset: number; length: number }[];
  positiveDelta: number[];
}

const asNumbers = { longs: Number, defaults: true };

describe('the page as protocol buffers', () => {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const service = reader.services.acquire('web');
  reader.setService(service, { name: 'web' });
  const metrics = new WorkerMetrics(memory);
  const exposition = new Exposition(reader, { version: '1', executor: 'epoll' });
  const type = protobuf.parse(PROMETHEUS).root.lookupType('io.prometheus.client.MetricFamily');

  async function families(): Promise<Map<string, Family>> {
    const page = await exposition.answer(
      'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited',
    );
    assert.ok(page !== null && 'octets' in page);
    const source = protobuf.Reader.create(page.octets);
    const all = new Map<string, Family>();
    while (source.pos < source.len) {
      const family = type.toObject(type.decodeDelimited(source), asNumbers) as Family;
      assert.ok(!all.has(family.name), `${family.name} comes twice`);
      all.set(family.name, family);
    }
    return all;
  }

  it('has every family of the text once, with the same labels', async () => {
    metrics.record(serviceHistogram(service, 0), 1500);
    const text = (await exposition.page('')).body;
    const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name);
    const found = await families();
    // A family without samples has a line of its type, and no message.
    for (const name of names)
      if (new RegExp(`^${name}(_bucket)?[{ ]`, 'm').test(text)) assert.ok(found.has(name), name);
    assert.equal(found.get('sluice_build_info')?.metric[0].gauge?.value, 1);
  });

  it('has classic buckets and native ones of the same recordings', async () => {
    const recorded = [0, 0, 1, 2, 999, 1000, 1001, 50_000, 2_000_000];
    for (const value of recorded) metrics.record(serviceHistogram(service, 0), value);
    const [metric] = (await families()).get('sluice_service_response_latency_seconds')?.metric ?? [];
    const { histogram } = metric;
    assert.ok(histogram !== undefined);
    assert.deepEqual(
      metric.label.map(({ name, value }) => [name, value]),
      [
        ['direction', 'outbound'],
        ['service', 'web'],
      ],
    );
    assert.equal(histogram.sampleCount, recorded.length + 1);
    assert.equal(histogram.zeroCount, 2);
    const last = histogram.bucket[histogram.bucket.length - 1];
    assert.deepEqual([last.upperBound, last.cumulativeCount], [Number.POSITIVE_INFINITY, recorded.length + 1]);
    // Native buckets, as their definition has them: each recording is in the one that its slot's middle falls into.
    const base = 2 ** (2 ** -histogram.schema);
    let index = 0;
    let count = 0;
    let delta = 0;
    let total = histogram.zeroCount;
    const bounds: number[] = [];
    histogram.positiveSpan.forEach(({ offset, length }) => {
      index += offset;
      for (let at = 0; at < length; at++) {
        count += histogram.positiveDelta[delta++];
        assert.ok(count > 0);
        total += count;
        bounds.push(base ** index);
        index++;
      }
    });
    assert.equal(total, recorded.length + 1);
    assert.equal(delta, histogram.positiveDelta.length);
    for (const value of [1, 2, 999, 50_000, 2_000_000]) {
      const seconds = value / 1e6;
      const near = bounds.find((bound) => bound >= seconds * 0.995);
      assert.ok(near !== undefined && near <= seconds * 1.005 * base, `${value}: ${near}`);
    }
  });

  it('carries exemplars in the bucket of their value, in OpenMetrics too', async () => {
    reader.exemplars.note('web', 0, { traceId: 'ab'.repeat(16), valueUs: 45_000, atMs: 1_700_000_000_500 });
    const [metric] = (await families()).get('sluice_service_response_latency_seconds')?.metric ?? [];
    const bucket = metric.histogram?.bucket.find(({ upperBound }) => upperBound === 0.05);
    assert.deepEqual([bucket?.exemplar?.value, bucket?.exemplar?.label[0].value], [0.045, 'ab'.repeat(16)]);
    const text = (await exposition.page('application/openmetrics-text; version=1.0.0')).body;
    assert.match(
      text,
      /^sluice_service_response_latency_seconds_bucket\{le="0\.05",direction="outbound",service="web"\} \d+ # \{trace_id="(ab){16}"\} 0\.045 1700000000\.5$/m,
    );
    // The route class and outcome that it belongs to has it too.
    assert.match(
      text,
      /^sluice_route_response_latency_seconds_bucket\{le="0\.05",direction="outbound",service="web",route_class="read",classification="success"\} \d+ # \{trace_id="(ab){16}"\} 0\.045 1700000000\.5$/m,
    );
    assert.doesNotMatch((await exposition.page('')).body, /trace_id/);
  });

  it('is given to who ranks it above text', () => {
    const full = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited';
    assert.equal(
      prefersProtobuf(`${full},application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5,*/*;q=0.1`),
      true,
    );
    assert.equal(prefersProtobuf(`${full};q=0.4,text/plain;q=0.5`), false);
    assert.equal(prefersProtobuf('application/vnd.google.protobuf'), false);
    assert.equal(prefersProtobuf(full.replace('delimited', 'text')), false);
    assert.equal(prefersProtobuf('text/plain'), false);
    assert.equal(prefersProtobuf('*/*'), false);
  });
});

describe('exemplars', () => {
  it('are the newest of each bucket, of so many services', () => {
    const kept = new Exemplars(2);
    const note = (service: string, valueUs: number, traceId: string, cell = 0, atMs = 1): void =>
      kept.note(service, cell, { traceId, valueUs, atMs });
    note('a', 900, 'first');
    note('a', 950, 'second');
    note('a', 900_000_000, 'long');
    assert.deepEqual(
      [...kept.of('a')].map(([bound, { traceId }]) => [bound, traceId]),
      [
        [0.001, 'second'],
        [Number.POSITIVE_INFINITY, 'long'],
      ],
    );
    note('a', 960, 'failed', 3, 2);
    note('a', 40_000, 'none of the cells', 99);
    const ids = (cell?: number): string[] => [...kept.of('a', cell).values()].map(({ traceId }) => traceId);
    assert.deepEqual([ids(0), ids(3), ids(1), ids()], [['second', 'long'], ['failed'], [], ['failed', 'long']]);
    note('b', 1, 'x');
    note('c', 1, 'y');
    assert.deepEqual([kept.of('a').size, kept.of('b').size, kept.of('c').size], [0, 1, 1]);
  });
});

describe('exponential histograms of OTLP', () => {
  it('are what the definition says', () => {
    const histogram = emptyHistogram(2);
    for (const value of [0, 1000, 1000, 2000, 1_000_000]) histogram.recordValue(value);
    const recorded: NamedRecording = {
      id: 'service.web.response_latency_us',
      kind: 'service',
      name: 'response_latency_us',
      labels: { direction: 'outbound', service: 'web' },
      unit: 'us',
      histogram,
      sum: 1_004_000,
    };
    const decode = (delta: boolean) =>
      readMetrics(
        otlpMetrics(
          { startMs: 1000, endMs: 2500, histograms: [recorded] },
          { name: 'x', attributes: { a: 'b' } },
          delta,
        ),
      );
    const { resource, metrics: sent } = decode(false);
    assert.deepEqual(resource, { 'service.name': 'x', a: 'b' });
    const [{ name, unit, exponentialHistogram }] = sent;
    assert.deepEqual([name, unit], ['sluice.service.response_latency', 's']);
    assert.equal(exponentialHistogram?.aggregationTemporality, 2);
    assert.equal(decode(true).metrics[0].exponentialHistogram?.aggregationTemporality, 1);
    const [point] = exponentialHistogram?.dataPoints ?? [];
    assert.deepEqual([point.startTimeUnixNano, point.timeUnixNano], [1e9, 2.5e9]);
    assert.deepEqual([point.count, point.zeroCount, point.sum, point.min], [5, 1, 1.004, 0]);
    assert.ok(Math.abs(point.max - 1) < 0.01);
    const base = 2 ** (2 ** -point.scale);
    const filled = point.positive.bucketCounts.flatMap((count, at) =>
      count === 0 ? [] : [[base ** (point.positive.offset + at), base ** (point.positive.offset + at + 1), count]],
    );
    assert.equal(point.positive.bucketCounts.length <= 160, true);
    for (const [index, seconds] of [0.001, 0.002, 1].entries()) {
      const [above, upTo, count] = filled[index];
      assert.ok(above < seconds * 1.008 && seconds <= upTo, `${seconds} in ${above} to ${upTo}`);
      assert.equal(count, index === 0 ? 2 : 1);
    }
  });
});

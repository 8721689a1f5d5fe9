import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { goldenMetrics, totalsOf } from '../../src/metrics/golden.js';
import {
  E,
  endpointBase,
  L,
  listenerBase,
  S,
  serviceBase,
  serviceHistogram,
  verdictField,
} from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';

function proxy() {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  reader.setListener(1, { name: 'edge', direction: 'inbound' });
  reader.setService(1, { name: 'web' });
  reader.setEndpoint(1, { service: 'web', address: '127.0.0.1:9001' });
  reader.setEndpoint(2, { service: 'web', address: '127.0.0.1:9002' });
  return { reader, metrics: new WorkerMetrics(memory) };
}

const web = <T extends { readonly name: string }>(all: readonly T[]) => all.find(({ name }) => name !== 'overflow');

test('golden metrics tell what happened between two snapshots only', () => {
  const { reader, metrics } = proxy();
  const { values } = metrics;
  values[serviceBase(1) + S.REQUESTS] = 1000;
  metrics.record(serviceHistogram(1, 0), 5_000_000);
  const previous = totalsOf(reader.snapshot());

  values[serviceBase(1) + S.REQUESTS] += 100;
  values[endpointBase(1) + E.STATUS + 100] += 60;
  values[endpointBase(2) + E.STATUS + 304] += 20;
  values[endpointBase(2) + E.STATUS + 400] += 10;
  values[serviceBase(1) + S.RESPONSE + RESPONSE_REASONS.indexOf('no-endpoint')] += 10;
  values[endpointBase(1) + E.READ_BYTES] += 4000;
  values[endpointBase(2) + E.WRITE_BYTES] += 200;
  values[listenerBase(1) + L.OPEN_TOTAL] += 6;
  values[listenerBase(1) + L.OPEN] = 3;
  values[listenerBase(1) + L.VERDICT] += 4;
  values[listenerBase(1) + verdictField(3, 4)] += 2;
  for (let count = 0; count < 99; count++) metrics.record(serviceHistogram(1, 0), 1000);
  metrics.record(serviceHistogram(1, 0), 100_000);

  const { services, listeners } = goldenMetrics(previous, totalsOf(reader.snapshot()), 2);
  const service = web(services);
  assert.equal(service?.requestsPerSecond, 50);
  assert.equal(service?.successRate, 0.8);
  assert.equal(service?.readBytesPerSecond, 2000);
  assert.equal(service?.writeBytesPerSecond, 100);
  assert.ok(Math.abs((service?.p50Ms ?? 0) - 1) < 0.01, `p50 ${service?.p50Ms}`);
  assert.ok(Math.abs((service?.p99Ms ?? 0) - 1) < 0.01, `p99 ${service?.p99Ms}`);
  assert.deepEqual(web(listeners), {
    name: 'edge',
    connectionsPerSecond: 3,
    open: 3,
    verdicts: { http1: 4, opaque: 2 },
  });
});

test('an idle interval has no success rate and no percentiles', () => {
  const { reader, metrics } = proxy();
  metrics.record(serviceHistogram(1, 0), 1000);
  const totals = totalsOf(reader.snapshot());
  const service = web(goldenMetrics(totals, totals, 1).services);
  assert.equal(service?.successRate, null);
  assert.equal(service?.p99Ms, null);
  assert.equal(service?.requestsPerSecond, 0);
});

test('totals that fell back count from their reset', () => {
  const { reader, metrics } = proxy();
  metrics.values[serviceBase(1) + S.REQUESTS] = 1000;
  const previous = totalsOf(reader.snapshot());
  metrics.values[serviceBase(1) + S.REQUESTS] = 30;
  const service = web(goldenMetrics(previous, totalsOf(reader.snapshot()), 1).services);
  assert.equal(service?.requestsPerSecond, 30);
});

test('gRPC calls count by their grpc-status, whatever the status of HTTP', () => {
  const { reader, metrics } = proxy();
  const { values } = metrics;
  const previous = totalsOf(reader.snapshot());
  values[endpointBase(1) + E.GRPC_STATUS] = 6;
  values[endpointBase(1) + E.GRPC_STATUS + 5] = 2;
  values[endpointBase(2) + E.GRPC_STATUS + 14] = 1;
  values[endpointBase(2) + E.GRPC_MISSING] = 1;
  // What the proxy answered itself is in both: it must not count twice.
  values[serviceBase(1) + S.RESPONSE + RESPONSE_REASONS.indexOf('stream-refused')] = 10;
  values[serviceBase(1) + S.GRPC_STATUS + 14] = 11;
  assert.equal(web(goldenMetrics(previous, totalsOf(reader.snapshot()), 1).services)?.successRate, 0.4);
});

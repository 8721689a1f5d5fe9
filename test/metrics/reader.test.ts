import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { H } from '../../src/http2/counters.js';
import { OVERFLOW } from '../../src/metrics/groups.js';
import { toHistogram } from '../../src/metrics/hdr.js';
import { bucketsOf, HistogramTotal, lowestOf } from '../../src/metrics/histogram.js';
import {
  E,
  endpointBase,
  endpointHistogram,
  HISTOGRAM,
  HISTOGRAM_SLOTS,
  h2Base,
  L,
  listenerBase,
  MAX_LISTENERS,
  S,
  serviceBase,
  W,
  workerHistogram,
} from '../../src/metrics/layout.js';
import { MetricsReader, ORIGINAL_DESTINATION } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, slotOf, WorkerMetrics } from '../../src/metrics/shared.js';
import { runs } from '../support/runs.js';

function endpointsOf(reader: MetricsReader) {
  return new Map(reader.snapshot().endpoints.map((series) => [series.info.address, series]));
}

test('each slot begins at the value that falls into it first', () => {
  for (let slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
    assert.equal(slotOf(lowestOf(slot)), slot);
    if (slot > 0) assert.equal(slotOf(lowestOf(slot) - 1), slot - 1);
  }
});

test('hdr-histogram-js reads from a total what it would have recorded itself', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: HISTOGRAM.highest }), { minLength: 1 }), (values) => {
      const counts = new Float64Array(HISTOGRAM_SLOTS);
      for (const value of values) counts[slotOf(value)]++;
      const own = toHistogram(new Float64Array(HISTOGRAM_SLOTS));
      for (const value of values) own.recordValue(value);
      const read = toHistogram(counts);
      for (const percentile of [1, 50, 90, 99, 100]) {
        assert.equal(read.getValueAtPercentile(percentile), own.getValueAtPercentile(percentile));
      }
      assert.equal(read.totalCount, values.length);
    }),
    { numRuns: runs(30) },
  );
});

test('buckets are cumulative and hold values at their bound', () => {
  const counts = new Float64Array(HISTOGRAM_SLOTS);
  for (const value of [0, 1000, 2000, 2100, 5_000_000]) counts[slotOf(value)]++;
  assert.deepEqual(bucketsOf(counts, [1, 2, 3, 10_000_000], 1000), [2, 3, 4, 5]);
});

test('a total goes on when a 32-bit count wraps', () => {
  const total = new HistogramTotal();
  const worker = {};
  const counts = new Uint32Array(HISTOGRAM_SLOTS);
  counts[5] = 0xffff_fff0;
  total.collect(worker, counts, 5);
  counts[5] = 16;
  total.collect(worker, counts, 10);
  assert.equal(total.data()?.counts[5], 0x1_0000_0010);
  assert.equal(total.data()?.count, 0x1_0000_0010);
});

test('a recording of 0 is seen although the sum stays', () => {
  const total = new HistogramTotal();
  const worker = {};
  const counts = new Uint32Array(HISTOGRAM_SLOTS);
  counts[0] = 1;
  total.collect(worker, counts, 0);
  counts[0] = 3;
  total.collect(worker, counts, 0);
  assert.equal(total.data()?.count, 3);
});

test('counters and histograms are summed over the workers', () => {
  const reader = new MetricsReader();
  const slot = reader.endpoints.acquire('a');
  reader.setEndpoint(slot, { service: 'web', address: 'a' });
  for (const [id, latency] of [
    [0, 100],
    [1, 300],
  ]) {
    const memory = allocateWorkerMemory();
    reader.addWorker(id, memory);
    const metrics = new WorkerMetrics(memory);
    metrics.values[endpointBase(slot) + E.REQUESTS] += 10 + id;
    metrics.values[endpointBase(slot) + E.EWMA_MS] = latency / 10;
    metrics.values[endpointBase(slot) + E.STATE] = id;
    metrics.record(endpointHistogram(slot, 0), latency);
  }
  const series = endpointsOf(reader).get('a');
  assert.ok(series);
  assert.equal(series.values[E.REQUESTS], 21);
  assert.equal(series.values[E.EWMA_MS], 20);
  assert.equal(series.values[E.STATE], 0);
  assert.deepEqual(series.states, [1, 1, 0]);
  assert.equal(series.histograms[0]?.count, 2);
  assert.equal(series.histograms[0]?.sum, 400);
  assert.equal(series.histograms[1], null);
});

test('counters and histograms survive a worker and its replacement, gauges do not', () => {
  const reader = new MetricsReader();
  const slot = reader.listeners.acquire('edge');
  reader.setListener(slot, { name: 'edge', direction: 'inbound' });
  for (let life = 0; life < 3; life++) {
    const memory = allocateWorkerMemory();
    reader.addWorker(0, memory);
    const { values } = new WorkerMetrics(memory);
    const metrics = new WorkerMetrics(memory);
    values[W.LOOP_TURNS] = 100;
    values[W.CONNECTIONS_OPEN] = 5;
    for (const role of [0, 1]) {
      values[h2Base(role) + H.STREAMS_TOTAL] = 11 + role;
      values[h2Base(role) + H.STREAMS] = 5;
      values[h2Base(role) + H.RESET_SENT + 8] = 1;
    }
    values[listenerBase(slot) + L.OPEN_TOTAL] = 7;
    values[listenerBase(slot) + L.OPEN] = 5;
    metrics.record(workerHistogram(0), 10);
    // With and without a look at it while it lived.
    if (life === 1) reader.snapshot();
    reader.removeWorker(0);
    reader.removeWorker(0);
  }
  const { workers, listeners } = reader.snapshot();
  const edge = listeners.find(({ info }) => info.name === 'edge');
  assert.equal(workers[0].values[W.LOOP_TURNS], 300);
  assert.equal(workers[0].values[W.CONNECTIONS_OPEN], 0);
  for (const role of [0, 1]) {
    assert.equal(workers[0].values[h2Base(role) + H.STREAMS_TOTAL], 33 + 3 * role);
    assert.equal(workers[0].values[h2Base(role) + H.STREAMS], 0);
    assert.equal(workers[0].values[h2Base(role) + H.RESET_SENT + 8], 3);
  }
  assert.equal(workers[0].histograms[0]?.count, 3);
  assert.equal(workers[0].histograms[0]?.sum, 30);
  assert.equal(edge?.values[L.OPEN_TOTAL], 21);
  assert.equal(edge?.values[L.OPEN], 0);
});

test('adding a worker that is being read is an error', () => {
  const reader = new MetricsReader();
  reader.addWorker(3, allocateWorkerMemory());
  assert.throws(() => reader.addWorker(3, allocateWorkerMemory()), /worker 3 is already being read/);
});

test('a reused slot begins at zero', () => {
  let now = 0;
  const reader = new MetricsReader({ now: () => now, retainMs: 1000 });
  const memory = allocateWorkerMemory();
  const dead = allocateWorkerMemory();
  reader.addWorker(0, memory);
  reader.addWorker(1, dead);
  const metrics = new WorkerMetrics(memory);
  const slot = reader.endpoints.acquire('old');
  reader.setEndpoint(slot, { service: 'web', address: 'old' });
  for (const recorder of [metrics, new WorkerMetrics(dead)]) {
    recorder.values[endpointBase(slot) + E.REQUESTS] = 9;
    recorder.values[endpointBase(slot) + E.EWMA_MS] = 30;
    recorder.record(endpointHistogram(slot, 0), 50);
  }
  reader.removeWorker(1);
  reader.endpoints.release('old');
  assert.equal(endpointsOf(reader).get('old')?.held, false);
  assert.equal(endpointsOf(reader).get('old')?.values[E.REQUESTS], 18);
  now = 1000;
  assert.equal(endpointsOf(reader).has('old'), false);
  assert.equal(reader.endpoints.acquire('new'), slot);
  reader.setEndpoint(slot, { service: 'web', address: 'new' });
  metrics.record(endpointHistogram(slot, 0), 60);
  const series = endpointsOf(reader).get('new');
  assert.equal(series?.values[E.REQUESTS], 0);
  assert.equal(series?.values[E.EWMA_MS], 0);
  assert.equal(series?.histograms[0]?.count, 1);
  assert.equal(series?.histograms[0]?.sum, 60);
});

test('a slot that a worker still uses is kept past its time', () => {
  let now = 0;
  const reader = new MetricsReader({ now: () => now, retainMs: 1000 });
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const { values } = new WorkerMetrics(memory);
  const slot = reader.endpoints.acquire('draining');
  reader.setEndpoint(slot, { service: 'web', address: 'draining' });
  values[endpointBase(slot) + E.OPEN] = 1;
  reader.endpoints.release('draining');
  now = 5000;
  assert.equal(endpointsOf(reader).has('draining'), true);
  values[endpointBase(slot) + E.OPEN] = 0;
  assert.equal(endpointsOf(reader).has('draining'), false);
});

test('what finds no room counts in the overflow series', () => {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  for (let index = 1; index < MAX_LISTENERS; index++) assert.equal(reader.listeners.acquire(`l${index}`), index);
  assert.equal(reader.listeners.acquire('one too many'), 0);
  reader.setListener(0, { name: 'one too many', direction: 'inbound' });
  new WorkerMetrics(memory).values[listenerBase(0) + L.OPEN_TOTAL] = 4;
  const { listeners, overflows } = reader.snapshot();
  assert.equal(overflows, 1);
  assert.equal(listeners.find(({ slot }) => slot === 0)?.info.name, OVERFLOW);
  assert.equal(listeners.find(({ slot }) => slot === 0)?.values[L.OPEN_TOTAL], 4);
  assert.throws(() => reader.setEndpoint(reader.endpointSeries, { service: '', address: '' }), RangeError);
});

test('the number of series is configured, and what goes to its original destination has one beside them', () => {
  const reader = new MetricsReader({ maxServices: 1, maxEndpoints: 2 });
  assert.equal(reader.endpointSeries, 4);
  const memory = allocateWorkerMemory(reader.endpointSeries);
  reader.addWorker(0, memory);
  assert.deepEqual([reader.services.acquire('a'), reader.services.acquire('b')], [1, 0]);
  assert.deepEqual(
    ['a', 'b', 'c'].map((key) => reader.endpoints.acquire(key)),
    [1, 2, 0],
  );
  assert.deepEqual(reader.snapshot().unassigned, { listener: 0, service: 1, endpoint: 1, rule: 0 });
  const { service, endpoint } = reader.originalDestination();
  const { values } = new WorkerMetrics(memory);
  values[serviceBase(service) + S.REQUESTS] = 3;
  values[endpointBase(endpoint) + E.REQUESTS] = 4;
  const { services, endpoints } = reader.snapshot();
  assert.equal(services.find(({ info }) => info.name === ORIGINAL_DESTINATION)?.values[S.REQUESTS], 3);
  const shared = endpoints.find(({ info }) => info.service === ORIGINAL_DESTINATION);
  assert.equal(shared?.values[E.REQUESTS], 4);
  assert.equal(shared?.held, false, 'it is no endpoint, and has no state of its own');
  assert.equal(values.length, endpointBase(4));
});

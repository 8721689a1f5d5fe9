// A snapshot and a page of metrics are made in pieces: each is small however long the page is, and all of them are of one snapshot.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Exposition, PIECE_SAMPLES } from '../../src/metrics/exposition.js';
import { countOf } from '../../src/metrics/histogram.js';
import { E, endpointBase, endpointHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { inPieces, STEPS_PER_PIECE } from '../../src/metrics/steps.js';

const PROTOBUF = 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited';
const OPEN_METRICS = 'application/openmetrics-text;version=1.0.0';
const ENDPOINTS = 300;

function proxy() {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const metrics = new WorkerMetrics(memory);
  const record = (): void => {
    for (let at = 1; at <= ENDPOINTS; at++) {
      metrics.values[endpointBase(at) + E.REQUESTS]++;
      metrics.record(endpointHistogram(at, 0), 1000);
      metrics.record(endpointHistogram(at, 1), 1000);
    }
  };
  for (let at = 1; at <= ENDPOINTS; at++) {
    assert.equal(reader.endpoints.acquire(`${at}`), at);
    reader.setEndpoint(at, { service: 'web', address: `10.0.0.1:${at}` });
  }
  record();
  return { reader, record };
}

/** A page, how many samples each of its pieces had, and what happened in between. */
async function pageInPieces(accept: string, between: () => void = () => undefined) {
  const { reader, record } = proxy();
  const pieces: number[] = [];
  const turn = async (samples: number): Promise<void> => {
    if (samples === 0) return;
    pieces.push(samples);
    between();
    record();
    reader.snapshot();
  };
  const exposition = new Exposition(reader, { version: '1', executor: 'epoll' }, { turn });
  const page = await exposition.answer(accept);
  assert.ok(page !== null);
  return { page, pieces, reader };
}

/** Without the process's own, which go on. */
const ours = (body: string): string[] => body.split('\n').filter((line) => !/^(# \w+ )?(process|nodejs)_/.test(line));

for (const accept of ['text/plain', OPEN_METRICS])
  test(`a page has so many samples in a piece, and is what it would be in one: ${accept}`, async () => {
    const { page, pieces } = await pageInPieces(accept);
    assert.ok('body' in page);
    const samples = page.body.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
    assert.ok(samples > 10 * PIECE_SAMPLES);
    assert.equal(
      pieces.reduce((sum, piece) => sum + piece, 0),
      samples,
    );
    assert.ok(
      pieces.every((piece) => piece <= PIECE_SAMPLES),
      `${pieces}`,
    );
    const counts = [...page.body.matchAll(/^response_latency_ms_count\{.*\} (\d+)$/gm)].map(([, count]) => count);
    assert.equal(counts.length, ENDPOINTS);
    assert.deepEqual(new Set(counts), new Set(['1']));
    for (const le of ['1', '+Inf'])
      for (const [, count] of page.body.matchAll(
        new RegExp(`^response_latency_ms_bucket\\{le="${le === '+Inf' ? '\\+Inf' : le}".*\\} (\\d+)$`, 'gm'),
      ))
        assert.equal(count, '1');
    const { reader } = proxy();
    const whole = new Exposition(reader, { version: '1', executor: 'epoll' }, { turn: async () => undefined });
    assert.deepEqual(ours(page.body), ours((await whole.page(accept)).body));
    // A family is told of once, before its samples: OpenMetrics knows no gauge beside a counter of the same name.
    const types = [...page.body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    assert.equal(new Set(types).size, types.length);
  });

test('a snapshot is taken in pieces: each series is of one moment, though workers go on and others look meanwhile', async () => {
  const { reader, record } = proxy();
  let turns = 0;
  const turn = async (): Promise<void> => {
    turns++;
    record();
    reader.snapshot();
  };
  const release = reader.hold();
  const { endpoints } = await inPieces(reader.steps(), turn);
  release();
  assert.ok(turns >= ENDPOINTS / STEPS_PER_PIECE, `${turns} turns`);
  // Slot 0 is what has no series of its own.
  const seen = endpoints.filter(({ touched }) => touched);
  assert.equal(seen.length, ENDPOINTS);
  const requests = seen.map(({ values, histograms }) => {
    for (const data of histograms.slice(0, 2)) {
      assert.ok(data !== null);
      assert.deepEqual([data.count, countOf(data.counts)], [values[E.REQUESTS], values[E.REQUESTS]]);
    }
    return values[E.REQUESTS];
  });
  assert.ok(requests[ENDPOINTS - 1] > requests[0]);
});

for (const accept of ['text/plain', PROTOBUF])
  test(`a page lets others go on while its snapshot is taken: ${accept}`, async () => {
    const { reader } = proxy();
    let turns = 0;
    const turn = async (samples: number): Promise<void> => {
      if (samples === 0) turns++;
    };
    await new Exposition(reader, { version: '1', executor: 'epoll' }, { turn }).answer(accept);
    assert.ok(turns >= ENDPOINTS / STEPS_PER_PIECE, `${turns} turns`);
  });

test('protocol buffers are encoded in pieces too', async () => {
  const { page, pieces } = await pageInPieces(PROTOBUF);
  assert.ok('octets' in page);
  assert.ok(pieces.length > (2 * ENDPOINTS) / 50);
  assert.ok(pieces.every((piece) => piece <= 2000));
});

test('as many pages are in the making as may be; more are refused, and counted', async () => {
  const { reader } = proxy();
  const waiting: (() => void)[] = [];
  const exposition = new Exposition(
    reader,
    { version: '1', executor: 'epoll' },
    { most: 2, turn: () => new Promise<void>((resolve) => waiting.push(resolve)) },
  );
  const two = [exposition.answer('text/plain'), exposition.answer(PROTOBUF)];
  assert.equal(await exposition.answer('text/plain'), null);
  assert.equal(reader.snapshot().limits.scrapes, 1);
  let made = false;
  const all = Promise.all(two).then(() => {
    made = true;
  });
  while (!made) {
    for (const resolve of waiting.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await all;
  const next = exposition.answer('text/plain');
  while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const drain = setInterval(() => {
    for (const resolve of waiting.splice(0)) resolve();
  }, 1);
  assert.notEqual(await next, null);
  clearInterval(drain);
});

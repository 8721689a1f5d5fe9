// Histograms on the admin port are read and written in pieces, and only so many answers at once.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HistogramPages } from '../../src/admin/histograms.js';
import { endpointHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { STEPS_PER_PIECE } from '../../src/metrics/steps.js';

const ENDPOINTS = 200;
/** Turns for a look at so many, and as many for writing them. */
const TURNS = Math.floor(ENDPOINTS / STEPS_PER_PIECE);

function proxy() {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const metrics = new WorkerMetrics(memory);
  const record = (): void => {
    for (let slot = 1; slot <= ENDPOINTS; slot++) metrics.record(endpointHistogram(slot, 0), 1000);
  };
  for (let slot = 1; slot <= ENDPOINTS; slot++) {
    reader.endpoints.acquire(`${slot}`);
    reader.setEndpoint(slot, { service: 'web', address: `10.0.0.1:${slot}` });
  }
  record();
  return { reader, record };
}

interface Wire {
  readonly histograms: readonly { readonly count: number; readonly buckets: readonly number[] }[];
}

for (const format of ['full', 'log'])
  test(`all of them are written in pieces, and each is of one moment, though others look meanwhile (${format})`, async () => {
    const { reader, record } = proxy();
    let turns = 0;
    const turn = async (): Promise<void> => {
      turns++;
      record();
      reader.snapshot();
    };
    const pages = new HistogramPages(reader, { startedMs: 0, most: 1, turn });
    const { status, body } = await pages.list(new URLSearchParams({ format }));
    assert.equal(status, 200);
    assert.ok(turns >= 2 * TURNS, `${turns} turns`);
    if (format === 'log') {
      assert.equal(
        String(body)
          .split('\n')
          .filter((line) => line.startsWith('Tag=')).length,
        ENDPOINTS,
      );
      return;
    }
    const { histograms } = JSON.parse(String(body)) as Wire;
    assert.equal(histograms.length, ENDPOINTS);
    for (const { count, buckets } of histograms) assert.deepEqual([buckets.length, buckets[1]], [2, count]);
  });

test('an interval is looked at and made in pieces', async () => {
  const { reader } = proxy();
  let turns = 0;
  const turn = async (): Promise<void> => {
    turns++;
  };
  const pages = new HistogramPages(reader, { startedMs: 0, most: 1, turn });
  const { status } = await pages.list(new URLSearchParams({ format: 'full', interval: '10s' }));
  assert.equal(status, 503);
  assert.ok(turns >= 2 * TURNS, `${turns} turns`);
});

test('as many answers are in the making as may be; more are refused, and counted', async () => {
  const { reader } = proxy();
  const waiting: (() => void)[] = [];
  const pages = new HistogramPages(reader, {
    startedMs: 0,
    most: 2,
    turn: () => new Promise<void>((resolve) => waiting.push(resolve)),
  });
  const full = new URLSearchParams({ format: 'full' });
  const two = [pages.list(full), pages.one('endpoint.web.10.0.0.1:1.response_latency_us', new URLSearchParams())];
  const refused = await pages.list(full);
  assert.deepEqual([refused.status, refused.headers], [503, { 'Retry-After': '1' }]);
  assert.match(String(refused.body), /metrics\.maxScrapes/);
  assert.equal(reader.snapshot().limits.scrapes, 1);
  let made = false;
  const all = Promise.all(two).then((answers) => {
    made = true;
    return answers;
  });
  while (!made) {
    for (const resolve of waiting.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(
    (await all).map(({ status }) => status),
    [200, 200],
  );
});

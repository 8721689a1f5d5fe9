// What the dashboard's plots are made of.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History, merged, percentiles, SECONDS, spoken, subjectOf } from '../../src/dashboard/page/history.js';
import type { LiveLatency, LiveState } from '../../src/live/state.js';

const latency = (distribution: LiveLatency['distribution'] = []): LiveLatency => ({
  count: 1,
  p50: 1,
  p95: 2,
  p99: 3,
  p999: 4,
  max: 5,
  distribution,
});

const state = (at: number, names: readonly string[] = []): LiveState =>
  ({
    at,
    total: { requests: 7, success: 1, latency: latency([[3, 1]]) },
    services: names.map((name) => ({ name, requests: 1, success: 1, latency: null })),
    endpoints: names.map((name) => ({
      service: name,
      address: '10.0.0.1:80',
      requests: 2,
      latency: latency([[9, 2]]),
    })),
  }) as unknown as LiveState;

test('two minutes are kept, and a service that is gone is forgotten', () => {
  const history = new History();
  history.add(state(0, ['gone']));
  for (let second = 1; second <= 300; second++) history.add(state(second * 1000, ['web']));
  assert.equal(history.of('').length, SECONDS + 1);
  assert.equal(history.of('web').at(-1)?.requests, 1);
  assert.deepEqual(history.of('gone'), []);
  const endpoint = history.of(subjectOf('web', '10.0.0.1:80'));
  assert.deepEqual(
    [endpoint.length, endpoint.at(-1)?.requests, endpoint.at(-1)?.distribution],
    [SECONDS + 1, 2, [[9, 2]]],
  );
  assert.deepEqual(history.of(subjectOf('gone', '10.0.0.1:80')), []);
});

test('a proxy that was away leaves a gap, and a clock that went back begins anew', () => {
  const history = new History();
  history.add(state(1000));
  history.add(state(30_000));
  assert.deepEqual(
    history.of('').map(({ requests }) => requests),
    [7, null, null, 7],
  );
  history.add(state(10_000));
  assert.deepEqual(
    history.of('').map(({ at }) => at),
    [10_000],
  );
});

test('percentiles of a distribution rise from the least to the greatest', () => {
  const history = new History();
  history.add(state(1000));
  history.add(state(2000));
  assert.deepEqual([...merged(history.of(''), 60)], [[3, 2]]);
  assert.deepEqual([...merged(history.of(''), 1)], [[3, 1]]);
  const curve = percentiles(
    new Map([
      [20, 1],
      [10, 90],
      [15, 9],
    ]),
  );
  const near = curve.map(({ odds, bucket }) => [Math.round(odds * 100) / 100, bucket]);
  assert.deepEqual(near, [
    [1, 10],
    [10, 10],
    [10, 15],
    [100, 15],
    [100, 20],
    [200, 20],
  ]);
  assert.deepEqual(percentiles(new Map()), []);
});

test('what a plot is about is said in words', () => {
  assert.equal(spoken(''), 'all services');
  assert.equal(spoken(subjectOf('web')), 'web');
  assert.equal(spoken(subjectOf('web', '[::1]:80')), '[::1]:80 of web');
});

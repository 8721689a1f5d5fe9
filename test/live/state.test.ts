// What a state says of what came between two moments.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { assemble, encode, LIVE_LIMITS, type LiveLimits } from '../../src/live/assemble.js';
import { BUCKET_SHIFT, bucketFloorUs } from '../../src/live/buckets.js';
import { type MetricsSample, takeSampleAtOnce } from '../../src/live/metrics-sample.js';
import { RecentErrors } from '../../src/live/recent-errors.js';
import { lowestOf } from '../../src/metrics/histogram.js';
import { E, endpointBase, L, listenerBase, S, SEEN, serviceBase, verdictField, W } from '../../src/metrics/layout.js';
import type { MetricsReader } from '../../src/metrics/reader.js';
import { REFUSALS } from '../../src/proxy/refusals.js';
import { counted } from './support.js';

const FACTS = { version: '1', executor: 'epoll', ready: () => ({ ok: true, reasons: [] }) };

function stateOf(reader: MetricsReader, before: MetricsSample | null, clock: number, limits: LiveLimits = LIVE_LIMITS) {
  const now = takeSampleAtOnce(reader, clock, before);
  return { state: assemble(before, now, limits, FACTS), now };
}

test('rates, success and latency are those of the interval, not of the life before it', () => {
  const { reader, requests, metrics } = counted();
  requests(1000, 1_000_000, 500);
  const before = takeSampleAtOnce(reader, 1000, null);
  requests(60, 1000);
  requests(30, 2000, 200, 2);
  requests(10, 50_000, 503, 2);
  metrics.values[listenerBase(1) + L.READ_BYTES] = 4096;
  const { state } = stateOf(reader, before, 3000);
  const [web] = state.services;
  assert.equal(state.seconds, 2);
  assert.equal(web.requests, 50);
  assert.equal(web.success, 0.9);
  assert.equal(web.latency?.count, 100);
  const near = (value: number | undefined, wanted: number) =>
    assert.ok(value !== undefined && Math.abs(value - wanted) <= wanted * 0.01, `${value} ~ ${wanted}`);
  near(web.latency?.p50, 1);
  near(web.latency?.p95, 50);
  near(web.latency?.p999, 50);
  near(web.latency?.max, 50);
  assert.equal(
    web.latency?.distribution?.reduce((sum, [, count]) => sum + count, 0),
    100,
  );
  const [first, second] = state.endpoints;
  assert.equal(
    first.latency?.distribution?.reduce((sum, [, count]) => sum + count, 0),
    60,
  );
  assert.equal(first.share, 0.6);
  assert.equal(second.share, 0.4);
  assert.equal(first.success, 1);
  assert.equal(second.success, 0.75);
  assert.deepEqual(web.endpoints, { ready: 2, of: 2 });
  assert.deepEqual(
    web.routes.map(({ route, requests: rate, success, latency }) => [route, rate, success, latency?.count]),
    [['read', 50, 0.9, 100]],
  );
  assert.equal(state.total.requests, 50);
  assert.equal(state.total.read, 2048);
  assert.equal(state.total.success, 0.9);
});

test('an interval in which nothing came has no latency; since the start there is all', () => {
  const { reader, requests } = counted();
  requests(5, 300);
  const before = takeSampleAtOnce(reader, 0, null);
  const { state, now } = stateOf(reader, before, 1000);
  assert.equal(state.services[0].latency, null);
  assert.equal(state.services[0].success, null);
  assert.equal(state.endpoints[0].share, null);
  assert.equal(assemble(null, now, LIVE_LIMITS, FACTS).services[0].latency?.count, 5);
});

test('the first failure of a service does not bring all that was before it', () => {
  const { reader, requests } = counted();
  requests(1000, 300);
  const before = takeSampleAtOnce(reader, 0, null);
  requests(1, 300, 500);
  const { state } = stateOf(reader, before, 1000);
  assert.equal(state.services[0].latency?.count, 1);
  assert.deepEqual(
    state.services[0].routes.map(({ success, requests: rate }) => [success, rate]),
    [[0, 1]],
  );
});

test('intervals follow each other without a recording lost or counted twice', () => {
  const { reader, requests } = counted();
  let before = takeSampleAtOnce(reader, 0, null);
  let all = 0;
  for (let i = 1; i <= 5; i++) {
    requests(i, 100 * i);
    if (i === 3) {
      // Nothing comes in this one.
      before = takeSampleAtOnce(reader, i * 1000 - 1, before);
      continue;
    }
    const { state, now } = stateOf(reader, before, i * 1000);
    all += state.services[0].latency?.count ?? 0;
    before = now;
  }
  assert.equal(all, 1 + 2 + 4 + 5);
});

test('a worker that is replaced, and a counter that begins anew, make no rate negative', () => {
  const { reader, requests, metrics } = counted();
  requests(100, 1000);
  const before = takeSampleAtOnce(reader, 0, null);
  metrics.values[serviceBase(1) + S.REQUESTS] = 7;
  const { state } = stateOf(reader, before, 1000);
  assert.equal(state.services[0].requests, 7);
  reader.removeWorker(0);
  const gone = stateOf(reader, before, 2000).state;
  assert.ok(gone.workers.every(({ turns, cpu }) => turns >= 0 && cpu >= 0));
});

test('verdicts, refusals, clients and workers are told with their reasons', () => {
  const { reader, metrics } = counted();
  const { values } = metrics;
  const before = takeSampleAtOnce(reader, 0, null);
  values[listenerBase(1) + verdictField(0, 3)] = 4;
  values[listenerBase(1) + verdictField(3, 6)] = 2;
  values[serviceBase(1) + S.RESPONSE + RESPONSE_REASONS.indexOf('connect-failed')] = 3;
  values[W.CPU_US] = 500_000;
  values[W.SPLICED_BYTES] = 1000;
  values[endpointBase(1) + E.STATE] = 1;
  reader.nameClients(0, { series: 0, listener: 1, seen: SEEN.ENDED, identity: 'web.shop' });
  const { state } = stateOf(reader, before, 1000);
  const [edge] = state.listeners;
  assert.deepEqual(edge.verdicts, [
    { verdict: 'http1', reason: 'matched', rate: 4, total: 4 },
    { verdict: 'opaque', reason: 'timeout', rate: 2, total: 2 },
  ]);
  assert.deepEqual(state.services[0].refused, { 'connect-failed': 3 });
  assert.equal(state.services[0].success, 0);
  assert.deepEqual(state.services[0].endpoints, { ready: 1, of: 2 });
  assert.equal(state.endpoints[0].state, 'probation');
  assert.equal(state.endpoints[0].outAt, 1);
  assert.equal(state.workers[0].cpu, 0.5);
  assert.equal(state.workers[0].spliced, 1000);
  assert.deepEqual(
    state.clients.map(({ identity, tls }) => [identity, tls]),
    [['web.shop', 'true']],
  );
});

test('of many services the busiest are listed, and how many more there are is said', () => {
  const { reader, metrics } = counted();
  for (let slot = 2; slot <= 20; slot++) {
    reader.services.acquire(`s${slot}`);
    reader.setService(slot, { name: `s${slot}` });
    metrics.values[serviceBase(slot) + S.REQUESTS] = slot;
  }
  const limits = { services: 3, endpoints: 1, clients: 0 };
  const { state } = stateOf(reader, takeSampleAtOnce(counted().reader, 0, null), 1000, limits);
  assert.deepEqual(
    state.services.map(({ name }) => name),
    ['s18', 's19', 's20'],
  );
  assert.deepEqual(state.omitted, { services: 17, endpoints: 1, clients: 0 });
});

test('buckets are slots of the histograms, eight in one', () => {
  for (let bucket = 0; bucket < 400; bucket++) assert.equal(bucketFloorUs(bucket), lowestOf(bucket << BUCKET_SHIFT));
});

test('recent errors: the same is one entry with a count, and there are only so many', () => {
  let now = 0;
  const counts = { 'live-errors': 0 };
  let most = 64;
  const errors = new RecentErrors({
    service: (slot) => (slot === 7 ? 'web' : undefined),
    most: () => most,
    counts,
    now: () => now,
  });
  const refused = (reason: (typeof REFUSALS)[number], service: string, client = '10.0.0.9:1') => ({
    reason: REFUSALS.indexOf(reason),
    count: 2,
    listener: 'edge',
    client,
    service,
    endpoint: '',
    rule: '',
    identity: '',
  });
  errors.refused([refused('connect-failed', 'web')]);
  now = 5000;
  errors.refused([refused('bad-request', 'web'), refused('connect-failed', 'web', '10.0.0.8:1')]);
  errors.health([
    { service: 7, endpoint: '10.0.0.1:80', out: true, removed: false, failures: 5, signal: 5 },
    { service: 8, endpoint: '10.0.0.2:80', out: true, removed: false, failures: 5, signal: 5 },
    { service: 7, endpoint: '10.0.0.3:80', out: false, removed: false, failures: 0, signal: 0 },
  ]);
  assert.deepEqual(
    errors.all().map(({ reason, count, client }) => [reason, count, client]),
    [
      ['endpoint out: refused connects', 1, ''],
      ['connect-failed', 4, '10.0.0.8:1'],
      ['bad-request', 2, '10.0.0.9:1'],
    ],
  );
  for (let i = 0; i < 1000; i++) errors.refused([refused('bad-request', `s${i}`)]);
  assert.equal(errors.all().length, 64);
  assert.equal(counts['live-errors'], 3 + 1000 - 64);
  most = 2;
  errors.refused([refused('bad-request', 'one more')]);
  assert.equal(errors.all().length, 2);
  most = 64;
  const { reader } = counted();
  const state = { ...stateOf(reader, null, 0).state, errors: errors.all() };
  assert.match(encode(state, true), /10\.0\.0\.9:1/);
  assert.doesNotMatch(encode(state, false), /10\.0\.0\.9:1/);
});

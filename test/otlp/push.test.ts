// Metrics that a proxy sends to a collector: what is in them, that a round is of one moment, and what becomes of a collector that does not follow.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import type { MetricsOtlpConfig } from '../../src/config/telemetry-model.js';
import { Exposition } from '../../src/metrics/exposition.js';
import {
  E,
  endpointBase,
  endpointHistogram,
  L,
  listenerBase,
  S,
  serviceBase,
  serviceHistogram,
} from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import type { OtlpMetric } from '../../src/otlp/metrics.js';
import { MAX_POINTS, MetricsPush, messages } from '../../src/otlp/push.js';
import { otlpUrl } from '../../src/otlp/target.js';
import { Collector } from '../support/collector.js';
import { histogramIn, numberIn, readMetrics } from '../support/otlp-metrics.js';

const STARTED_MS = 1_700_000_000_000;

/** Timers that run when told. */
class Clock {
  private readonly runs: { readonly run: () => void; readonly ms: number }[] = [];

  readonly later = (run: () => void, ms: number): (() => void) => {
    const entry = { run, ms };
    this.runs.push(entry);
    return () => void this.runs.splice(this.runs.indexOf(entry) >>> 0, 1);
  };

  /** Runs what is next; its wait, ms. */
  next(): number {
    const entry = this.runs.shift();
    assert.ok(entry, 'a timer');
    entry.run();
    return entry.ms;
  }
}

function counted() {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  const metrics = new WorkerMetrics(memory);
  const listener = reader.listeners.acquire('edge');
  reader.setListener(listener, { name: 'edge', direction: 'inbound' });
  const service = reader.services.acquire('web');
  reader.setService(service, { name: 'web' });
  const endpoint = reader.endpoints.acquire('a');
  reader.setEndpoint(endpoint, { service: 'web', address: '10.0.0.1:80' });
  metrics.values[listenerBase(listener) + L.OPEN_TOTAL] = 3;
  metrics.values[serviceBase(service) + S.REQUESTS] = 7;
  metrics.values[endpointBase(endpoint) + E.REQUESTS] = 7;
  metrics.values[endpointBase(endpoint) + E.STATUS + 100] = 5;
  metrics.values[endpointBase(endpoint) + E.STATUS + 403] = 2;
  metrics.values[endpointBase(endpoint) + E.READ_BYTES] = 2 ** 33;
  metrics.values[endpointBase(endpoint) + E.EWMA_MS] = 1.5;
  metrics.record(serviceHistogram(service, 0), 1000);
  metrics.record(serviceHistogram(service, 3), 5000);
  metrics.record(endpointHistogram(endpoint, 0), 900);
  return { reader, metrics, service, endpoint };
}

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function collector(): Promise<Collector> {
  const made = await Collector.start();
  closing.push(() => made.close());
  return made;
}

function push(
  reader: Pick<MetricsReader, 'hold' | 'steps' | 'push'>,
  clock: Clock,
  endpoint: string,
  more: Partial<MetricsOtlpConfig> = {},
) {
  const said: string[] = [];
  const tell = (message: string): void => void said.push(message);
  const made = new MetricsPush(
    {
      endpoint: String(otlpUrl(endpoint, 'metrics')),
      serviceName: 'shop',
      attributes: { zone: 'a' },
      headers: { 'x-key': 'k' },
      intervalMs: 10_000,
      maxQueued: 2 ** 20,
      timeoutMs: 10_000,
      ...more,
    },
    {
      reader,
      counts: reader.push,
      logger: { warn: tell, info: tell },
      startedMs: STARTED_MS,
      attributes: { 'host.name': 'h' },
      later: clock.later,
      random: () => 0.25,
    },
  );
  return { push: made, said };
}

describe('metrics for a collector', () => {
  it('are golden metrics and exponential histograms, cumulative since the start, in the units of OpenTelemetry', async () => {
    const { reader, endpoint } = counted();
    reader.exemplars.note('web', 0, { traceId: 'ab'.repeat(16), valueUs: 1000, atMs: STARTED_MS });
    const clock = new Clock();
    const to = await collector();
    const { push: sender } = push(reader, clock, to.address);
    assert.equal(clock.next(), 2500, 'proxies that start together do not send together');
    await to.until(() => histogramIn(to.metrics, 'sluice.route.response_latency') !== undefined, 'a round');
    const { metrics } = to;
    assert.deepEqual(metrics[0].resource, { 'service.name': 'shop', 'host.name': 'h', zone: 'a' });
    assert.equal(to.headers[0]['x-key'], 'k');
    const web = { service: 'web', direction: 'outbound' };
    const numbers: [name: string, labels: Record<string, string>, value: number][] = [
      ['sluice.service.requests', web, 7],
      ['sluice.service.responses', { ...web, classification: 'success' }, 5],
      ['sluice.service.responses', { ...web, classification: 'failure' }, 2],
      ['sluice.endpoint.requests', { ...web, target_addr: '10.0.0.1:80' }, 7],
      ['sluice.endpoint.io', { ...web, 'network.io.direction': 'receive' }, 2 ** 33],
      ['sluice.endpoint.estimated_latency', web, 0.0015],
      ['sluice.listener.connections', { listener: 'edge', direction: 'inbound' }, 3],
    ];
    for (const [name, labels, value] of numbers) assert.equal(numberIn(metrics, name, labels), value, name);
    const all = metrics.flatMap((message) => message.metrics);
    const units = Object.fromEntries(all.map(({ name, unit }) => [name, unit]));
    assert.equal(units['sluice.service.requests'], '{request}');
    assert.equal(units['sluice.endpoint.io'], 'By');
    assert.equal(units['sluice.endpoint.estimated_latency'], 's');
    assert.equal(units['sluice.endpoint.response_latency'], 's');
    for (const { sum, exponentialHistogram } of all) {
      if (sum !== undefined) assert.deepEqual([sum.aggregationTemporality, sum.isMonotonic], [2, true]);
      if (exponentialHistogram !== undefined) assert.equal(exponentialHistogram.aggregationTemporality, 2);
    }
    const total = histogramIn(metrics, 'sluice.service.response_latency', web);
    assert.deepEqual([total?.count, total?.sum, total?.startTimeUnixNano], [2, 0.006, STARTED_MS * 1e6]);
    assert.equal(Buffer.from(total?.exemplars[0].traceId ?? []).toString('hex'), 'ab'.repeat(16));
    const read = { ...web, route_class: 'read', classification: 'success' };
    assert.equal(histogramIn(metrics, 'sluice.route.response_latency', read)?.exemplars.length, 1);
    const failed = { ...web, route_class: 'write', classification: 'failure' };
    assert.deepEqual(histogramIn(metrics, 'sluice.route.response_latency', failed)?.sum, 0.005);
    assert.deepEqual(histogramIn(metrics, 'sluice.route.response_latency', failed)?.exemplars, []);
    assert.equal(histogramIn(metrics, 'sluice.endpoint.response_latency', { target_addr: '10.0.0.1:80' })?.count, 1);
    // What is counted until the end goes out then.
    assert.ok(endpoint > 0);
    await sender.close(5000);
    assert.ok(to.metrics.length > 1 && reader.snapshot().push.messages.sent === to.metrics.length);
    assert.ok(reader.snapshot().push.points > numbers.length);
  });

  it('are of one moment, in messages of so many points, though others look meanwhile', async () => {
    const { reader, metrics } = counted();
    const endpoints = Array.from({ length: 3 * MAX_POINTS }, (_, at) => {
      const slot = reader.endpoints.acquire(`many ${at}`);
      reader.setEndpoint(slot, { service: 'web', address: `10.0.1.1:${at}` });
      metrics.values[endpointBase(slot) + E.REQUESTS] = 1;
      metrics.record(endpointHistogram(slot, 0), 1000);
      return slot;
    });
    const to = await collector();
    const clock = new Clock();
    const watched = {
      push: reader.push,
      hold: () => reader.hold(),
      *steps() {
        const snapshot = yield* reader.steps();
        // More comes, and is seen by somebody, before the histograms are encoded.
        for (const slot of endpoints) metrics.record(endpointHistogram(slot, 0), 2000);
        reader.snapshot();
        return snapshot;
      },
    };
    const { push: sender } = push(watched, clock, to.address);
    clock.next();
    await to.until(
      () => histogramIn(to.metrics, 'sluice.endpoint.response_latency', { target_addr: '10.0.1.1:299' }) !== undefined,
      'all',
    );
    for (const message of to.metrics) {
      let points = 0;
      for (const { sum, gauge, exponentialHistogram } of message.metrics)
        points += (sum ?? gauge ?? exponentialHistogram)?.dataPoints.length ?? 0;
      assert.ok(points <= MAX_POINTS);
    }
    for (let at = 0; at < endpoints.length; at++) {
      const point = histogramIn(to.metrics, 'sluice.endpoint.response_latency', { target_addr: `10.0.1.1:${at}` });
      assert.ok(point);
      const { count, positive, sum } = point;
      assert.deepEqual([count, positive.bucketCounts.reduce((a, b) => a + b, 0), sum], [1, 1, 0.001]);
    }
    to.metrics.length = 0;
    await sender.close(5000);
    assert.equal(histogramIn(to.metrics, 'sluice.endpoint.response_latency', { target_addr: '10.0.1.1:0' })?.count, 2);
  });

  it('leave out a round while the collector has not taken the one before, and say so', async () => {
    const { reader } = counted();
    const to = await collector();
    to.status = 503;
    const clock = new Clock();
    const { push: sender, said } = push(reader, clock, to.address);
    clock.next();
    await to.until(() => to.asked > 0, 'a try');
    assert.equal(clock.next(), 10_000);
    assert.equal(clock.next(), 10_000);
    const { push: counts } = reader.snapshot();
    assert.equal(counts.skipped, 2);
    to.status = 200;
    await to.until(() => to.metrics.length > 0, 'the same again');
    assert.equal(reader.snapshot().push.retries, 1);
    assert.equal(said[0], 'metrics do not reach the collector');
    await sender.close(5000);
    assert.equal(said[1], 'the collector takes metrics again');
  });

  it('hold no more than they may for a collector that is slow, and end while it says nothing', async () => {
    const { reader, metrics } = counted();
    for (let at = 0; at < 300; at++) {
      const slot = reader.endpoints.acquire(`many ${at}`);
      reader.setEndpoint(slot, { service: 'web', address: `10.0.1.1:${at}` });
      for (let us = 1; us < 1e6; us *= 1.3) metrics.record(endpointHistogram(slot, 0), us);
    }
    const to = await collector();
    to.status = 503;
    const clock = new Clock();
    const { push: sender } = push(reader, clock, to.address, { maxQueued: 64 * 1024 });
    clock.next();
    await to.until(() => to.asked > 0, 'a try');
    await sender.close(0);
    const { points, dropped, messages: all } = reader.snapshot().push;
    assert.ok(dropped.queue > 0 && dropped.queue < points);
    assert.equal(all.sent, 0);
    reader.push.wanted = true;
    const { body } = await new Exposition(reader, { version: '1', executor: 'epoll' }).page('');
    assert.ok(body.includes(`\nsluice_otlp_points_dropped_total{reason="queue"} ${dropped.queue}\n`));
    assert.ok(all.dropped > 1);
  });

  it('go to a collector behind TLS, whose certificate has to be one that this machine trusts', async () => {
    const server = createTls({ SNICallback: (_name, done) => done(new Error('no certificate')) }).listen(
      0,
      '127.0.0.1',
    );
    await once(server, 'listening');
    closing.push(() => void server.close());
    const { reader } = counted();
    const clock = new Clock();
    const { port } = server.address() as AddressInfo;
    const { push: sender, said } = push(reader, clock, `https://127.0.0.1:${port}`);
    clock.next();
    await once(server, 'tlsClientError');
    await sender.close(0);
    assert.equal(said[0], 'metrics do not reach the collector');
  });

  it('are cut where a metric has more points than a message', () => {
    const metric = (name: string, points: number): OtlpMetric => ({
      kind: 'sum',
      name,
      unit: 'request',
      description: '',
      points: Array.from({ length: points }, (_, value) => ({ labels: {}, value })),
    });
    const cut = [...messages([metric('a', 5), metric('b', 0), metric('c', 3)], 4)];
    assert.deepEqual(
      cut.map((message) => message.map(({ name, points }) => [name, points.length])),
      [
        [['a', 4]],
        [
          ['a', 1],
          ['c', 3],
        ],
      ],
    );
    assert.throws(() => readMetrics(Buffer.from('no message')));
  });
});

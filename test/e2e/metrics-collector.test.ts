// Metrics that a running proxy sends to a collector of OTLP, from the beginning to the end, and through a reload.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { Collector } from '../support/collector.js';
import { gatewayConfig, startEdge } from '../support/gateway.js';
import { answering, client, upstream } from '../support/http.js';
import { histogramIn, numberIn } from '../support/otlp-metrics.js';
import { Pki } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

async function ask(sluice: Sluice, count: number): Promise<void> {
  const wire = await client(sluice.port('edge'));
  for (let i = 1; i <= count; i++) {
    const before = wire.total;
    wire.write('GET /x HTTP/1.1\r\nHost: a\r\n\r\n');
    await wire.until(() => wire.total > before, 'an answer');
  }
  wire.reset();
}

const [io] = await availableExecutors();
const WEB = { service: 'web' };

it('a collector has what was counted up to the end; another one from a reload on; requests wait for none', async () => {
  const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  const [first, second] = [await Collector.start(), await Collector.start()];
  const top = (to: Collector) => `metrics: { otlp: { endpoint: "${to.address}", interval: 1s, serviceName: shop } }`;
  const sluice = await startEdge(io, [origin.address], { top: top(first) });
  await ask(sluice, 3);
  await first.until(() => numberIn(first.metrics, 'sluice.service.requests', WEB) === 3, 'three requests');
  await first.until(
    () => histogramIn(first.metrics, 'sluice.service.response_latency', WEB)?.count === 3,
    'their latencies',
  );
  const [{ resource }] = first.metrics;
  assert.equal(resource['service.name'], 'shop');
  for (const name of ['service.version', 'service.instance.id', 'host.name']) assert.ok(resource[name], name);
  await eventually(async () => (await sluice.metric('sluice_otlp_messages_total', { outcome: 'sent' })) > 0, 'sent');

  await sluice.reload(gatewayConfig([origin.address], { speaks: 'http1', listener: 'http1', top: top(second) }));
  await sluice.logged(({ message }) => message === 'reloaded');
  await ask(sluice, 2);
  await second.until(() => numberIn(second.metrics, 'sluice.service.requests', WEB) === 5, 'totals go on');
  second.status = 400;
  await sluice.logged(
    ({ message, trouble }) => message === 'metrics do not reach the collector' && /400/.test(String(trouble)),
  );
  await eventually(
    async () => (await sluice.metric('sluice_otlp_messages_total', { outcome: 'dropped' })) > 0,
    'refused, not tried again',
  );
  second.status = 200;
  await ask(sluice, 4);
  assert.equal(await sluice.stop(), 0);
  assert.equal(numberIn(second.metrics, 'sluice.service.requests', WEB), 9);
  assert.ok((numberIn(first.metrics, 'sluice.service.requests', WEB) ?? 0) < 9);

  const nobody = await startEdge(io, [origin.address], {
    top: 'metrics: { otlp: { endpoint: "http://127.0.0.1:9", interval: 1s } }',
  });
  await ask(nobody, 1);
  await nobody.logged(({ message }) => message === 'metrics do not reach the collector');
  for (const name of ['sluice_otlp_points_total', 'sluice_otlp_retries_total', 'sluice_otlp_rounds_skipped_total'])
    await eventually(async () => (await nobody.metric(name)) > 0, name);
  await ask(nobody, 1);
  assert.equal(await nobody.stop(), 0);
  for (const collector of [first, second]) collector.close();
  await origin.close();
});

it('a collector behind TLS is trusted by the anchors that Node.js is given', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-collector-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const pki = await Pki.make();
  pki.writeAnchor(directory, 'ca');
  const collector = await Collector.start(await pki.leaf({ dns: ['localhost'] }));
  t.after(() => collector.close());
  const top = `metrics: { otlp: { endpoint: "${collector.address}", interval: 1s } }`;
  const config = gatewayConfig(['127.0.0.1:9'], { speaks: 'http1', listener: 'http1', top });
  const stranger = await startSluice(config, io);
  t.after(() => stranger.stop());
  const { trouble } = await stranger.logged(({ message }) => message === 'metrics do not reach the collector');
  assert.match(String(trouble), /certificate/);
  assert.equal(collector.asked, 0);
  const sluice = await startSluice(config, io, { NODE_EXTRA_CA_CERTS: join(directory, 'ca.pem') });
  t.after(() => sluice.stop());
  await collector.until(() => numberIn(collector.metrics, 'sluice.service.requests', WEB) === 0, 'metrics over TLS');
});

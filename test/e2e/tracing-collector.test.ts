// Spans, and a collector that is not there, refuses, or asks for less; and requests beyond the rate.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Collector } from '../support/collector.js';
import { startEdge } from '../support/gateway.js';
import { answering, client, upstream } from '../support/http.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';

/** So many requests, one after the other. */
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

it('requests do not wait for a collector, and what becomes of spans is counted and said', async () => {
  const origin = await upstream(answering(() => 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  const tracing = (endpoint: string, more = '') => ({
    top: `tracing: { endpoint: "${endpoint}", sampling: 1, interval: 10ms${more} }`,
  });
  const nobody = await startEdge(io, [origin.address], tracing('http://127.0.0.1:9', ', maxSpans: 2'));
  await ask(nobody, 20);
  await eventually(
    async () => (await nobody.metric('sluice_tracing_spans_dropped_total', { reason: 'rate' })) > 0,
    'rate',
  );
  await nobody.logged(({ message }) => message === 'spans do not reach the collector');
  assert.ok((await nobody.metric('sluice_tracing_spans_total')) > 0);
  assert.equal(await nobody.stop(), 0);
  const collector = await Collector.start();
  const sluice = await startEdge(io, [origin.address], tracing(collector.address));
  await ask(sluice, 3);
  await eventually(() => collector.spans.length === 3, 'three spans');
  const page = await fetch(`http://127.0.0.1:${sluice.adminPort}/metrics`, {
    headers: { accept: 'application/openmetrics-text', connection: 'close' },
  });
  const exemplars =
    /^sluice_route_response_latency_seconds_bucket.*route_class="read",classification="success".* # \{trace_id="([0-9a-f]{32})"\} 0\.\d+ \d+/gm;
  const traces = [...(await page.text()).matchAll(exemplars)].map(([, id]) => id);
  assert.ok(traces.length > 0);
  for (const id of traces) await collector.span('the span of an exemplar', ({ traceId }) => traceId === id);
  await eventually(async () => (await sluice.metric('sluice_tracing_messages_total', { outcome: 'sent' })) > 0, 'sent');
  collector.status = 400;
  await ask(sluice, 1);
  await sluice.logged(({ trouble }) => /400/.test(String(trouble)));
  await eventually(
    async () => (await sluice.metric('sluice_tracing_messages_total', { outcome: 'dropped' })) > 0,
    'refused, not tried again',
  );
  collector.status = 200;
  await ask(sluice, 1);
  await sluice.logged(({ message }) => message === 'the collector takes spans again');
  // What has not been sent by then goes out at the end.
  await ask(sluice, 2);
  assert.equal(await sluice.stop(), 0);
  assert.equal(collector.spans.length, 6);
  collector.close();
  await origin.close();
});

it('a connection that has become a tunnel has a span once it is over', async () => {
  const agreed = 'HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n';
  const origin = await upstream(answering(() => agreed));
  const collector = await Collector.start();
  const sluice = await startEdge(io, [origin.address], {
    top: `tracing: { endpoint: "${collector.address}", sampling: 1, interval: 10ms }`,
  });
  const wire = await client(sluice.port('edge'));
  wire.write('GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
  await wire.until(() => wire.total >= agreed.length - 2, 'the switch');
  assert.equal(collector.spans.length, 0);
  wire.reset();
  const span = await collector.span('the span of a tunnel', ({ name }) => name === 'GET');
  assert.equal(span.attributes['url.path'], '/tunnel');
  assert.equal(await sluice.stop(), 0);
  collector.close();
  await origin.close();
});

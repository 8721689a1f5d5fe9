import assert from 'node:assert/strict';
import type { OutgoingHttpHeaders } from 'node:http';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { decodeFromCompressedBase64, HistogramLogReader } from 'hdr-histogram-js';
import type { AdminDeps, AdminLimits } from '../../src/admin/server.js';
import { ADMIN_LIMITS, AdminServer } from '../../src/admin/server.js';
import type { LogLevel } from '../../src/config/telemetry-model.js';
import { L, listenerBase, serviceHistogram, WORKER_HISTOGRAMS, workerHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { LIVE_BOUNDS } from '../live/support.js';

interface Reply {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly raw: Buffer;
  readonly body: string;
}

async function admin(t: TestContext, changes: Partial<AdminDeps> = {}, limits: Partial<AdminLimits> = {}) {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  reader.setListener(1, { name: 'edge', direction: 'inbound' });
  reader.setService(1, { name: 'web/a' });
  const metrics = new WorkerMetrics(memory);
  metrics.values[listenerBase(1) + L.OPEN_TOTAL] = 42;
  let level: LogLevel = 'info';
  const logged: string[] = [];
  const deps: AdminDeps = {
    logger: { warn: (message) => logged.push(message), error: (message) => logged.push(message) },
    ready: () => ({ ok: true, reasons: [] }),
    reader,
    explain: (host, port, listener) => ({
      destination: `${host}:${port}`,
      ...(listener === null ? {} : { listener }),
    }),
    getLogLevel: () => level,
    setLogLevel: (to) => {
      level = to;
    },
    version: '1.2.3',
    executor: 'epoll',
    liveBounds: () => LIVE_BOUNDS,
    maxScrapes: 4,
    ...changes,
  };
  const server = new AdminServer(deps, { ...ADMIN_LIMITS, ...limits });
  await server.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const ask = (path: string, method = 'GET', headers: OutgoingHttpHeaders = {}, body = ''): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: server.port, path, method, headers, agent: false };
      const request = httpRequest(options, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const raw = Buffer.concat(chunks);
          resolve({ status: response.statusCode ?? 0, headers: response.headers, raw, body: raw.toString() });
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  /** Sends bytes as they are; resolves with everything received when the server closes. */
  const raw = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let received = '';
      const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk) => {
        received += chunk;
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(received));
    });
  return { server, reader, metrics, ask, raw, logged };
}

test('metrics come as text, as OpenMetrics, and compressed', async (t) => {
  const { ask } = await admin(t);
  const plain = await ask('/metrics');
  assert.equal(plain.status, 200);
  assert.match(String(plain.headers['content-type']), /^text\/plain; version=0\.0\.4/);
  assert.match(plain.body, /^tcp_open_total\{direction="inbound",peer="src",listener="edge"\} 42$/m);
  assert.match(plain.body, /^sluice_build_info\{version="1\.2\.3",.*executor="epoll"\} 1$/m);
  const open = await ask('/metrics', 'GET', { accept: 'application/openmetrics-text; version=1.0.0' });
  assert.match(String(open.headers['content-type']), /^application\/openmetrics-text/);
  const zipped = await ask('/metrics', 'GET', { 'accept-encoding': 'br, gzip;q=0.5' });
  assert.equal(zipped.headers['content-encoding'], 'gzip');
  assert.match(gunzipSync(zipped.raw).toString(), /^tcp_open_total\{/m);
  const refused = await ask('/metrics', 'GET', { 'accept-encoding': 'gzip;q=0' });
  assert.equal(refused.headers['content-encoding'], undefined);
});

test('ready answers 503 with the reasons until everything accepts', async (t) => {
  let ok = false;
  const { ask } = await admin(t, { ready: () => ({ ok, reasons: ok ? [] : ['worker 1 is starting'] }) });
  const before = await ask('/ready');
  assert.equal(before.status, 503);
  assert.match(before.body, /worker 1 is starting/);
  ok = true;
  assert.equal((await ask('/ready')).status, 200);
  assert.equal((await ask('/live')).status, 200);
});

test('histograms are listed, and each can be had in every format from the list', async (t) => {
  const { ask, metrics } = await admin(t);
  assert.deepEqual(JSON.parse((await ask('/histograms')).body).histograms, []);
  for (let value = 1; value <= 1000; value++) metrics.record(serviceHistogram(1, 0), value * 100);
  const list = JSON.parse((await ask('/histograms')).body);
  assert.deepEqual(
    list.histograms.map(({ id }: { id: string }) => id),
    ['service.web/a.response_latency_us', 'route.web/a.read.success.response_latency_us'],
  );
  const [entry] = list.histograms;
  assert.equal(entry.id, 'service.web/a.response_latency_us');
  assert.equal(entry.kind, 'service');
  assert.equal(entry.count, 1000);
  assert.deepEqual(entry.labels, { direction: 'outbound', service: 'web/a' });

  const values = JSON.parse((await ask(entry.urls.json)).body);
  assert.equal(values.count, 1000);
  assert.equal(values.mean, 50_050);
  for (const [name, expected] of [
    ['p50', 50_000],
    ['p99', 99_000],
    ['p99.999', 100_000],
  ] as const) {
    assert.ok(Math.abs(values.percentiles[name] - expected) <= expected / 100, `${name} ${values.percentiles[name]}`);
  }
  assert.ok(values.min === 100 && values.max >= 100_000 && values.max <= 101_000);

  const hgrm = await ask(entry.urls.hgrm);
  assert.match(hgrm.body, /^ +Value +Percentile TotalCount 1\/\(1-Percentile\)/);
  assert.match(hgrm.body, /#\[Max += +100\./);

  const log = await ask(entry.urls.log);
  const read = new HistogramLogReader(log.body).nextIntervalHistogram();
  assert.ok(read !== null);
  assert.equal(read.totalCount, 1000);
  assert.equal(read.getValueAtPercentile(50), values.percentiles.p50);
  assert.equal(read.tag, entry.id);
  const encoded = log.body.trimEnd().split(',').at(-1) ?? '';
  assert.equal(decodeFromCompressedBase64(encoded).totalCount, 1000);

  assert.equal((await ask(`${entry.urls.json}x`)).status, 400);
  assert.equal((await ask('/histograms/service.none.response_latency_us')).status, 404);
  assert.equal((await ask('/histograms/%')).status, 404);

  const full = JSON.parse((await ask(`/histograms?format=full&id=${encodeURIComponent(entry.id)}`)).body);
  assert.deepEqual([full.format, full.histograms.length], ['sluice-histograms', 1]);
  const { buckets, count, sum } = full.histograms[0];
  assert.deepEqual([count, sum], [1000, 50_050_000]);
  assert.deepEqual(buckets.slice(0, 4), [100, 1, 200, 1]);
  const all = new HistogramLogReader((await ask('/histograms?format=log')).body);
  assert.deepEqual(
    [all.nextIntervalHistogram()?.tag, all.nextIntervalHistogram()?.tag],
    [entry.id, list.histograms[1].id],
  );
  assert.equal((await ask('/histograms?format=xml')).status, 400);
  assert.equal((await ask('/histograms?interval=7s')).status, 400);
  const interval = await ask('/histograms?interval=10s');
  assert.equal(interval.status, 503);
  const seconds = Number(interval.headers['retry-after']);
  assert.ok(seconds >= 1 && seconds <= 10);
});

test('a histogram of something else than time says so, and is not taken for microseconds', async (t) => {
  const { ask, metrics } = await admin(t);
  metrics.record(workerHistogram(WORKER_HISTOGRAMS.indexOf('h2_connection_streams')), 100);
  metrics.record(workerHistogram(WORKER_HISTOGRAMS.indexOf('loop_turn_us')), 100_000);
  const [turn, streams] = JSON.parse((await ask('/histograms')).body).histograms;
  assert.equal(turn.unit, 'microseconds');
  assert.equal(streams.unit, 'streams');
  assert.equal(JSON.parse((await ask(streams.urls.json)).body).unit, 'streams');
  assert.match((await ask(streams.urls.hgrm)).body, /#\[Max += +100\./);
  assert.match((await ask(turn.urls.hgrm)).body, /#\[Max += +100\./);
});

test('explain passes the destination on and refuses what is none', async (t) => {
  const { ask } = await admin(t);
  assert.deepEqual(JSON.parse((await ask('/explain?dst=10.0.0.7:5432')).body), { destination: '10.0.0.7:5432' });
  assert.deepEqual(JSON.parse((await ask('/explain?dst=%5B::1%5D:80')).body), { destination: '::1:80' });
  assert.deepEqual(JSON.parse((await ask('/explain?dst=10.0.0.7:80&listener=out')).body), {
    destination: '10.0.0.7:80',
    listener: 'out',
  });
  for (const query of ['', '?dst=', '?dst=nope', '?dst=10.0.0.7:99999', '?dst=:80', '?dst=::1']) {
    const { status, body } = await ask(`/explain${query}`);
    assert.equal(status, 400, query);
    assert.match(body, /\/explain\?dst=10\.0\.0\.7:5432/);
  }
});

test('the log level is shown and set', async (t) => {
  const { ask } = await admin(t);
  assert.equal((await ask('/loglevel')).body, 'info\n');
  assert.equal((await ask('/loglevel', 'PUT', {}, 'debug\n')).status, 200);
  assert.equal((await ask('/loglevel')).body, 'debug\n');
  const wrong = await ask('/loglevel', 'PUT', {}, 'verbose');
  assert.equal(wrong.status, 400);
  assert.match(wrong.body, /error, warn, info, debug/);
  assert.equal((await ask('/loglevel', 'PUT', { origin: 'http://example.com' }, 'error')).status, 403);
  assert.equal((await ask('/loglevel')).body, 'debug\n');
});

test('a body that is too long is refused without being read', async (t) => {
  const { ask, raw } = await admin(t);
  const reply = await raw(`PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(2000)}`);
  assert.match(reply, /^HTTP\/1\.1 413 /);
  assert.equal((await ask('/live')).status, 200);
});

test('shutdown exists only if it is offered, and not for web pages', async (t) => {
  assert.equal((await (await admin(t)).ask('/shutdown', 'POST')).status, 404);
  let asked = 0;
  const { ask } = await admin(t, { shutdown: () => asked++ });
  assert.equal((await ask('/shutdown')).status, 405);
  assert.equal((await ask('/shutdown', 'POST', { origin: 'http://localhost:3000' })).status, 403);
  assert.equal(asked, 0);
  assert.equal((await ask('/shutdown', 'POST')).status, 202);
  assert.equal(asked, 1);
});

test('the index and wrong requests say what there is', async (t) => {
  const { ask } = await admin(t);
  const index = await ask('/');
  for (const path of ['/metrics', '/ready', '/live', '/histograms', '/explain', '/loglevel']) {
    assert.ok(index.body.includes(path), path);
  }
  const html = await ask('/', 'GET', { accept: 'text/html,*/*;q=0.8' });
  assert.match(String(html.headers['content-type']), /^text\/html/);
  assert.match(html.body, /<a href="\/metrics">/);
  assert.match(html.body, /\/histograms\/&lt;id&gt;/);
  const missing = await ask('/metric');
  assert.equal(missing.status, 404);
  assert.match(missing.body, /\/metrics/);
  const wrong = await ask('/metrics', 'DELETE');
  assert.equal(wrong.status, 405);
  assert.equal(wrong.headers.allow, 'GET, HEAD');
  assert.equal((await ask('/', 'POST')).status, 405);
});

test('HEAD answers like GET without the body', async (t) => {
  const { ask } = await admin(t);
  const get = await ask('/live');
  const head = await ask('/live', 'HEAD');
  assert.equal(head.status, 200);
  assert.equal(head.headers['content-length'], get.headers['content-length']);
  assert.equal(head.body, '');
});

test('an error inside a route is a 500 and a line in the log, and the server goes on', async (t) => {
  const { ask, logged } = await admin(t, {
    explain: () => {
      throw new Error('a bug');
    },
    ready: () => {
      throw new TypeError('another');
    },
  });
  const reply = await ask('/explain?dst=10.0.0.7:80');
  assert.equal(reply.status, 500);
  assert.doesNotMatch(reply.body, /a bug/);
  assert.equal((await ask('/ready')).status, 500);
  assert.deepEqual(logged, ['admin request failed', 'admin request failed']);
  assert.equal((await ask('/live')).status, 200);
});

test('hostile bytes end their connection and nothing else', async (t) => {
  const { ask, raw } = await admin(t);
  const replies = await Promise.all(
    [
      '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
      'GET / HTTP/1.1\r\n\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: a\r\n\r\n`,
      'GET //% HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
      'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
      'PUT /loglevel HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ].map(raw),
  );
  for (const reply of replies) assert.match(reply, /^(HTTP\/1\.1 4|$)/);
  assert.equal((await ask('/live')).status, 200);
});

test('a client that goes away in the middle of its body is no error', async (t) => {
  const { server, ask, logged } = await admin(t);
  await new Promise<void>((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write('PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nde', () => socket.destroy());
    });
    socket.on('close', () => resolve());
  });
  assert.equal((await ask('/live')).status, 200);
  assert.deepEqual(logged, []);
});

test('a port that is taken is an error with the address and what to do', async (t) => {
  const { server } = await admin(t);
  const deps: AdminDeps = {
    logger: { warn: () => undefined, error: () => undefined },
    ready: () => ({ ok: true, reasons: [] }),
    reader: new MetricsReader(),
    explain: () => null,
    getLogLevel: () => 'info',
    setLogLevel: () => undefined,
    version: '0',
    executor: 'epoll',
    liveBounds: () => LIVE_BOUNDS,
    maxScrapes: 4,
  };
  const second = new AdminServer(deps);
  await assert.rejects(
    second.listen({ host: '127.0.0.1', port: server.port }),
    new RegExp(`cannot listen for admin on 127\\.0\\.0\\.1:${server.port}: the port is taken.*EADDRINUSE`),
  );
});

test('a client that never ends its request is sent away', async (t) => {
  const { ask, raw } = await admin(t, {}, { headersTimeoutMs: 20, requestTimeoutMs: 40 });
  const [head, body] = await Promise.all([
    raw('GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: '),
    raw('PUT /loglevel HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nde'),
  ]);
  assert.match(head, /^HTTP\/1\.1 408 /);
  assert.match(body, /^(HTTP\/1\.1 408 |$)/);
  assert.equal((await ask('/live')).status, 200);
});

test('a silent connection is closed, and there are only so many', async (t) => {
  const { raw } = await admin(t, {}, { idleTimeoutMs: 30, maxConnections: 2 });
  const replies = await Promise.all([raw(''), raw(''), raw(''), raw('')]);
  assert.deepEqual(replies, ['', '', '', '']);
});

test('a page of metrics beyond those that may be in the making is refused', async (t) => {
  const { ask } = await admin(t, { maxScrapes: 0 });
  const { status, headers, body } = await ask('/metrics');
  assert.deepEqual([status, headers['retry-after']], [503, '1']);
  assert.match(body, /metrics\.maxScrapes/);
});

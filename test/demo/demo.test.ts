import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { AdminServer } from '../../src/admin/server.js';
import { loadConfig } from '../../src/config/load.js';
import { demoConfig, demoPorts, taken } from '../../src/demo/ports.js';
import { goldenTable } from '../../src/demo/table.js';
import { startUpstreams } from '../../src/demo/upstreams.js';
import { readTotals } from '../../src/demo/watch.js';
import { echoWebSocket } from '../../src/demo/websocket.js';
import { RESPONSE_REASONS } from '../../src/http/response-reasons.js';
import { goldenMetrics, totalsOf } from '../../src/metrics/golden.js';
import { E, endpointBase, L, listenerBase, S, serviceBase, serviceHistogram } from '../../src/metrics/layout.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { allocateWorkerMemory, WorkerMetrics } from '../../src/metrics/shared.js';
import { LIVE_BOUNDS } from '../live/support.js';
import { availableExecutors } from '../support/sluice.js';

test('the configuration of the demo is valid', () => {
  const file = new URL('../../../docs/demo.yaml', import.meta.url).pathname;
  const config = loadConfig(file, {});
  assert.deepEqual(
    config.listeners.map(({ listen }) => listen.port),
    [8080, 8081, 8082],
  );
});

test('the WebSocket echo gives back what another implementation sends, whatever its length', async (t) => {
  const server = createServer().on('upgrade', echoWebSocket);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const received: string[] = [];
  const sent = ['', 'a', 'b'.repeat(125), 'c'.repeat(126), 'd'.repeat(65_535)];
  let pong = '';
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => {
      for (const message of sent) socket.send(message);
      socket.ping('are you there');
    });
    socket.on('message', (message) => received.push(String(message)));
    socket.on('pong', (data) => {
      pong = data.toString();
      socket.close(1000);
    });
    socket.on('close', () => resolve());
  });
  assert.deepEqual(received, sent);
  assert.equal(pong, 'are you there');
});

test('a frame that no client may send ends the WebSocket', async (t) => {
  const server = createServer().on('upgrade', echoWebSocket);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
  );
  socket.write(Buffer.from([0x81, 0x01, 0x41]));
  socket.on('error', () => undefined);
  socket.resume();
  await new Promise<void>((resolve) => socket.on('close', () => resolve()));
});

const DEMO = fileURLToPath(new URL('../../src/demo/main.js', import.meta.url));

async function demoUnder(command: string): Promise<{ code: number | null; stderr: string }> {
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => {
    stderr += data;
  });
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, stderr };
}

test('a shortage of descriptors is called that, not ports that are taken', async () => {
  const { code, stderr } = await demoUnder(`ulimit -n 26; exec ${process.execPath} ${DEMO} --seconds 1`);
  assert.equal(code, 1);
  assert.match(stderr, /^demo: .*EMFILE/);
  assert.match(stderr, /ulimit -n/);
});

test('a standard output that takes nothing is an error, for the demo and for its help', async () => {
  for (const args of ['--help', '--seconds 60']) {
    const { code, stderr } = await demoUnder(`exec ${process.execPath} ${DEMO} ${args} > /dev/full`);
    assert.equal(code, 1, args);
    assert.match(stderr, /demo: cannot write to standard output: .*ENOSPC/);
  }
});

test('a port that is taken ends the start of the servers with its number, and none is left running', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const ports = { web: [0, 0, port], greeter: [0, 0, 0], chat: 0, echo: 0, mail: 0 } as const;
  await assert.rejects(startUpstreams(ports), new RegExp(`web-3 on 127\\.0\\.0\\.1:${port}: port ${port} is taken`));
});

test('golden metrics read over the admin port are those of the process', async (t) => {
  const reader = new MetricsReader();
  const memory = allocateWorkerMemory();
  reader.addWorker(0, memory);
  reader.setListener(1, { name: 'edge', direction: 'inbound' });
  reader.setService(1, { name: 'web "1"' });
  reader.setEndpoint(1, { service: 'web "1"', address: '127.0.0.1:9001' });
  const admin = new AdminServer({
    logger: { warn: () => undefined, error: () => undefined },
    ready: () => ({ ok: true, reasons: [] }),
    reader,
    explain: () => null,
    getLogLevel: () => 'info',
    setLogLevel: () => undefined,
    version: '0',
    executor: 'epoll',
    liveBounds: () => LIVE_BOUNDS,
    maxScrapes: 4,
  });
  await admin.listen({ host: '127.0.0.1', port: 0 });
  t.after(() => admin.close());
  const metrics = new WorkerMetrics(memory);
  const url = `http://127.0.0.1:${admin.port}`;
  const endpoint = 'web "1" 127.0.0.1:9001';
  const named = (totals: ReturnType<typeof totalsOf>) => totals.services.get('web "1"');
  metrics.values[serviceBase(1) + S.REQUESTS] = 5;
  const before = { inside: totalsOf(reader.snapshot()), outside: await readTotals(url) };
  metrics.values[serviceBase(1) + S.REQUESTS] += 50;
  metrics.values[serviceBase(1) + S.RESPONSE + RESPONSE_REASONS.indexOf('bad-request')] += 2;
  metrics.values[endpointBase(1) + E.STATUS + 100] += 45;
  metrics.values[endpointBase(1) + E.STATUS + 403] += 3;
  metrics.values[endpointBase(1) + E.OPEN_TOTAL] += 9;
  metrics.values[endpointBase(1) + E.OPEN] += 3;
  metrics.values[endpointBase(1) + E.REQUESTS] += 50;
  metrics.values[endpointBase(1) + E.READ_BYTES] += 12_345;
  metrics.values[endpointBase(1) + E.WRITE_BYTES] += 543;
  metrics.values[listenerBase(1) + L.OPEN_TOTAL] += 4;
  metrics.values[listenerBase(1) + L.OPEN] += 2;
  metrics.values[listenerBase(1) + L.VERDICT + 3] += 4;
  for (let count = 1; count <= 100; count++) metrics.record(serviceHistogram(1, 0), count * 333);
  const after = { inside: totalsOf(reader.snapshot()), outside: await readTotals(url) };
  assert.deepEqual(named(after.outside), named(after.inside));
  assert.deepEqual(after.outside.listeners.get('edge')?.open, 2);
  assert.deepEqual(after.outside.endpoints.get(endpoint), after.inside.endpoints.get(endpoint));
  const inside = goldenMetrics(before.inside, after.inside, 2);
  const outside = goldenMetrics(before.outside, after.outside, 2);
  assert.deepEqual(
    outside.services.find(({ name }) => name === 'web "1"'),
    inside.services.find(({ name }) => name === 'web "1"'),
  );
  assert.deepEqual(
    outside.listeners.find(({ name }) => name === 'edge'),
    inside.listeners.find(({ name }) => name === 'edge'),
  );
  const table = goldenTable(outside).join('\n');
  assert.match(table, /^web "1" +25\.0 +94\.0 % +16\.\d +31\.\d +33\.\d +4\.5 +6\.0 KiB +272 B$/m);
  assert.match(table, /^edge +2 +2\.0 +http1 4$/m);
  assert.doesNotMatch(table, /ENDPOINT/, 'one endpoint is the service');
  reader.setEndpoint(2, { service: 'web "1"', address: '127.0.0.1:9002' });
  metrics.values[endpointBase(2) + E.REQUESTS] += 7;
  metrics.values[endpointBase(2) + E.OPEN] += 1;
  metrics.values[endpointBase(2) + E.EWMA_MS] = 4.25;
  const both = goldenTable(goldenMetrics(after.outside, await readTotals(url), 2)).join('\n');
  assert.match(both, /^web "1" 127\.0\.0\.1:9001 +3 +0\.0 +0\.0$/m);
  assert.match(both, /^web "1" 127\.0\.0\.1:9002 +1 +3\.5 +4\.3$/m);
});

const MAIN = fileURLToPath(new URL('../../src/demo/main.js', import.meta.url));

/** A shift under which nobody is in the demo's way. */
async function quietShift(): Promise<number> {
  for (let shift = 14_900 + Math.floor(Math.random() * 100); shift < 22_000; shift += 101) {
    if ((await taken(demoPorts(shift))).length === 0) return shift;
  }
  throw new Error('no free ports');
}

for (const io of await availableExecutors()) {
  test(`the demo shows traffic, answers what it suggests, and ends at once on Ctrl-C (${io})`, async (t) => {
    const shift = await quietShift();
    const demo = spawn(process.execPath, [MAIN, '--io', io, '--shift', String(shift)], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.after(() => demo.kill('SIGKILL'));
    let output = '';
    let log = '';
    demo.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
    });
    const ended = new Promise<number | null>((resolve) => demo.once('exit', resolve));
    await new Promise<void>((resolve, reject) => {
      demo.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        output += chunk;
        if (/^mail +\d/m.test(output)) resolve();
      });
      void ended.then((code) => reject(new Error(`the demo ended with ${code}\n${output}${log}`)));
    });
    assert.match(output, /^web +\d+\.\d +\d+\.\d % /m);
    assert.match(output, /^edge +\d+ +\d+\.\d +.*opaque \d/m);
    assert.match(output, /^greeter +\d+\.\d +100\.0 % /m);
    // One connection of the client, and yet all of the servers have some of its streams.
    const calls = [...output.matchAll(/^greeter 127\.0\.0\.1:\d+ +\d+ +(\d+\.\d) /gm)].map(([, perSecond]) =>
      Number(perSecond),
    );
    assert.equal(calls.length % 3, 0);
    assert.ok(calls.filter((perSecond) => perSecond > 0).length >= 2, output);
    const shell = spawn('bash', ['-c', /bash -c '(.*head.*QUIT.*)'/.exec(output)?.[1] ?? 'exit 1']);
    let said = '';
    shell.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
    });
    await new Promise((resolve) => shell.once('close', resolve));
    assert.match(said, /^220 .*\s+221 /);
    demo.kill('SIGINT');
    assert.equal(await ended, 0, log);
    assert.deepEqual(await taken(demoPorts(shift)), []);
  });
}

test('the moved configuration of the demo is the usual one on other ports', () => {
  const moved = demoConfig(10_000);
  const listens = (file: string) => loadConfig(file, {}).listeners.map(({ listen }) => listen.port);
  const usual = demoConfig(0);
  assert.deepEqual(
    listens(moved.file),
    listens(usual.file).map((port) => port + 10_000),
  );
  moved.remove();
});

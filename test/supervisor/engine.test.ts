import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ToWorker } from '../../src/proxy/snapshot.js';
import { basicConfig, httpOrigin, open } from '../e2e/lifecycle-support.js';
import { startEngine } from '../e2e/workers-support.js';
import { config } from '../policy/fixture.js';
import { eventually } from '../support/sluice.js';

const LASTING = fileURLToPath(new URL('../support/lasting-worker.js', import.meta.url));
const MORTAL = fileURLToPath(new URL('../support/mortal-worker.js', import.meta.url));

test('a kill during a drain decides: one end, code 1', async () => {
  const origin = await httpOrigin(() => undefined);
  const { engine, log, port } = await startEngine(basicConfig(origin.port), 'epoll');
  const client = await open(port);
  const cut = assert.rejects(client.get());
  const drained = engine.drain({ holdMs: 0 });
  await engine.kill();
  assert.deepEqual(await engine.closed, { code: 1 });
  await drained;
  await cut;
  assert.equal(log.filter(({ message }) => message === 'stopped').length, 1);
  await origin.close();
});

test('a thread that does not end holds up nothing', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-lasting-'));
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  process.env.LASTING_WORKERS_WAIT = fifo;
  const origin = await httpOrigin();
  const { engine } = await startEngine(basicConfig(origin.port), 'epoll', LASTING);
  await engine.drain({ holdMs: 0 });
  assert.deepEqual(await engine.closed, { code: 0 });
  // Lets the thread go.
  closeSync(openSync(fifo, 'r'));
  rmSync(directory, { recursive: true });
  await origin.close();
});

test('a start that is hurried does not rehearse', async () => {
  const origin = await httpOrigin();
  const yaml = `warmup: auto\n${basicConfig(origin.port)}`;
  const { metric, stop } = await startEngine(yaml, 'epoll', undefined, AbortSignal.abort());
  // In a rehearsal this is how many requests it takes until objects have got their shapes.
  assert.ok((await metric('sluice_warmup_requests')) < 96);
  assert.equal(await stop(), 0);
  await origin.close();
});

test('a reload during a drain is refused', async () => {
  const origin = await httpOrigin();
  const { engine } = await startEngine(basicConfig(origin.port), 'epoll');
  const drained = engine.drain({ holdMs: 0 });
  await assert.rejects(engine.reload({} as never), /draining/);
  await drained;
  assert.deepEqual(await engine.closed, { code: 0 });
  await origin.close();
});

test('a reload tells the workers to ask for their destinations anew, after they have the new configuration', async () => {
  const { engine, stop } = await startEngine(
    `listeners:\n  - { name: edge, listen: "127.0.0.1:0", originalDestination: true }\n` +
      `destinations: { max: 1024, resolveTimeout: 123ms, idleTimeout: 7s }\n` +
      `services:\n  web: { match: ["10.0.0.0/8:80"], endpoints: ["127.0.0.1:1"] }\n`,
    'epoll',
  );
  const sent: ToWorker[] = [];
  const { pool } = engine;
  const send = pool.send.bind(pool);
  const broadcast = pool.broadcast.bind(pool);
  pool.send = (worker, message) => {
    sent.push(message);
    send(worker, message);
  };
  pool.broadcast = (message) => {
    sent.push(message);
    broadcast(message);
  };
  await engine.reload(
    config({ admin: null, listeners: [], destinations: { max: 1024, resolveTimeoutMs: 123, idleTimeoutMs: 7000 } }),
  );
  const kinds = sent.map(({ kind }) => kind).filter((kind) => kind === 'snapshot' || kind === 'unresolved');
  assert.deepEqual(kinds, ['snapshot', 'unresolved']);
  const snapshot = sent.find((message) => message.kind === 'snapshot');
  assert.ok(snapshot?.kind === 'snapshot');
  assert.equal(snapshot.snapshot.resolveTimeoutMs, 123);
  assert.equal(snapshot.snapshot.destinationIdleMs, 7000);
  assert.equal(await stop(), 0);
});

test('a worker that dies again and again does not hold up a drain', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-mortal-'));
  const omen = join(directory, 'die');
  process.env.MORTAL_WORKERS_DIE = omen;
  const grace = 'drain: { grace: 10m }\n';
  const { engine, log } = await startEngine(basicConfig(1, grace), 'epoll', MORTAL);
  writeFileSync(omen, '');
  await engine.pool.terminate(0);
  await eventually(() => log.filter(({ message }) => message === 'replacing the worker').length >= 3, 'it dies');
  await engine.drain({ holdMs: 0 });
  assert.deepEqual(await engine.closed, { code: 0 });
  delete process.env.MORTAL_WORKERS_DIE;
  rmSync(directory, { recursive: true });
});

test('workers are replaced, and large files read, after the directory of the process has been removed', async () => {
  const before = process.cwd();
  const directory = mkdtempSync(join(tmpdir(), 'sluice-removed-'));
  process.chdir(directory);
  const { engine, log, stop } = await startEngine(basicConfig(1), 'epoll');
  rmSync(directory, { recursive: true });
  await engine.pool.terminate(0);
  await eventually(() => log.some(({ message }) => message === 'replacing the worker'), 'it is replaced');
  await eventually(() => engine.pool.ready, 'the replacement accepts');
  process.chdir(before);
  assert.equal(await stop(), 0);
});

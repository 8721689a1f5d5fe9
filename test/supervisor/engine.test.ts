import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ToWorker } from '../../src/proxy/snapshot.js';
import { basicConfig, httpOrigin, open } from '../e2e/lifecycle-support.js';
import { startEngine } from '../e2e/workers-support.js';
import { config } from '../policy/fixture.js';

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

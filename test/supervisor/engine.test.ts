import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basicConfig, httpOrigin, open } from '../e2e/lifecycle-support.js';
import { startEngine } from '../e2e/workers-support.js';

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

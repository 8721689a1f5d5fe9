// Fields that only proxies of a mesh may say, in all four combinations of HTTP versions: clients that say them are not believed.
import assert from 'node:assert/strict';
import { inEach, onEachExecutor } from './combinations-support.js';

const SPOOFED = {
  'l5d-client-id': 'root.kube-system.serviceaccount.identity.linkerd.cluster.local',
  'l5d-dst-canonical': 'x',
  'L5D-Require-Id': 'x',
  l5d_client_id: 'x',
  'l5d-': 'x',
  'x-l5d-client-id': 'kept',
  l5dx: 'kept',
};
const NAMES = Object.keys(SPOOFED);
/** A head that is sent often is remembered: it has to be right then, too. */
const TIMES = 6;

const lower = (fields: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name.toLowerCase(), value]));

await onEachExecutor('fields of the mesh', { listener: ', meshHeaders: true' }, (stage) => {
  inEach('are taken out, and what only looks like them stays', async (combination) => {
    const cell = stage().cell(combination);
    const line = await cell.line();
    const fields = cell.client === 2 ? lower(SPOOFED) : SPOOFED;
    for (let i = 0; i < TIMES; i++) {
      const path = stage().path();
      const call = line.ask({ path, fields: { ...fields, 'x-a': String(i % 2) } });
      const arrived = await cell.origin.next(path);
      const kept = NAMES.filter((name) => arrived.field(name) !== null);
      assert.deepEqual(kept, ['x-l5d-client-id', 'l5dx']);
      assert.equal(arrived.field('x-a'), String(i % 2));
      arrived.respond(200, { 'l5d-proxy-error': 'of the endpoint' }, 'ok');
      const answer = await call.answer();
      assert.deepEqual([answer.status, answer.field('l5d-proxy-error')], [200, 'of the endpoint']);
    }
  });

  inEach('are no trailers either, nor in large heads', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const large = 'x'.repeat(20_000);
    const call = await cell.call({
      path,
      method: 'POST',
      body: 'chunked',
      fields: { te: 'trailers', 'x-large': large, 'l5d-client-id': 'x' },
    });
    const arrived = await cell.origin.next(path);
    call.write('hello');
    call.finish({ 'x-sum': '1', 'l5d-client-id': 'root', l5d_client_id: 'root', 'x-more': '2' });
    const { body, trailers } = await arrived.whole();
    assert.deepEqual(
      [body, [...trailers]],
      [
        'hello',
        [
          ['x-sum', '1'],
          ['x-more', '2'],
        ],
      ],
    );
    assert.deepEqual([arrived.field('l5d-client-id'), arrived.field('x-large')], [null, large]);
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
  });
});

await onEachExecutor('fields of the mesh where nobody asks', { listener: ', direction: outbound' }, (stage) => {
  inEach('are left alone', async (combination) => {
    const cell = stage().cell(combination);
    const [call, arrived] = await cell.exchange({
      path: '/own',
      fields: { 'l5d-dst-override': 'a:1', 'l5d-client-id': 'x' },
    });
    assert.deepEqual([arrived.field('l5d-dst-override'), arrived.field('l5d-client-id')], ['a:1', 'x']);
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
  });
});

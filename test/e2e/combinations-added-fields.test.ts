// Via and Date, which a listener may add, in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { deadPort } from '../support/tcp.js';
import { type Arrived, lose, type Version } from './combinations-legs.js';
import { type Cell, inEach, onEachExecutor } from './combinations-support.js';

const SERVICES = {
  web: { yaml: '    breaker: { failures: 0 }\n    retry: { minPerSecond: 1000 }' },
  none: { address: `127.0.0.1:${await deadPort()}` },
};
const MINUTE = 60_000;
/** As a message that was received in this version has it. */
const via = (version: Version): string => `${version === 1 ? '1.1' : '2.0'} edge-1`;

function isNow(date: string | null): void {
  assert.match(date ?? 'none', /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/);
  assert.ok(Math.abs(Date.parse(date ?? '') - Date.now()) < MINUTE, `${date} is not now`);
}

/** A head that is sent often is remembered, and what is ready of it is used: it has to be right then, too. */
const TIMES = 6;

await onEachExecutor(
  'fields that are added',
  { services: SERVICES, listener: ', via: edge-1, date: true' },
  (stage) => {
    inEach('Via comes behind those that are there, both ways; Date only where there is none', async (combination) => {
      const cell = stage().cell(combination);
      const line = await cell.line();
      for (let i = 0; i < TIMES; i++) {
        const path = stage().path();
        const earlier = i % 2 === 0 ? {} : { via: '1.0 before, 1.1 then (x)' };
        const call = line.ask({ path, fields: { ...earlier, 'x-a': 'b' } });
        const arrived = await cell.origin.next(path);
        assert.deepEqual(arrived.values('via'), [...Object.values(earlier), via(cell.client)]);
        assert.deepEqual([arrived.field('date'), arrived.field('x-a')], [null, 'b']);
        const dated = i % 3 === 0 ? { date: 'Thu, 01 Jan 1970 00:00:00 GMT' } : {};
        arrived.respond(200, { ...earlier, ...dated, server: 'x' }, 'ok');
        const answer = await call.answer();
        assert.deepEqual([answer.status, answer.body, answer.field('server')], [200, 'ok', 'x']);
        assert.deepEqual(answer.values('via'), [...Object.values(earlier), via(cell.endpoint)]);
        if (i % 3 === 0) assert.deepEqual(answer.values('date'), Object.values(dated));
        else isNow(answer.field('date'));
      }
    });

    inEach('large heads get them, too', async (combination) => {
      const cell = stage().cell(combination);
      const large = { 'x-large': 'x'.repeat(20_000) };
      const [call, arrived] = await cell.exchange({ path: '/large', fields: large });
      assert.deepEqual([arrived.values('via'), arrived.field('x-large')], [[via(cell.client)], large['x-large']]);
      arrived.respond(200, large);
      const answer = await call.answer();
      assert.deepEqual([answer.values('via'), answer.field('x-large')], [[via(cell.endpoint)], large['x-large']]);
      isNow(answer.field('date'));
    });

    inEach('a request that is sent again has Via once', async (combination) => {
      const cell = stage().cell(combination);
      const connection = await cell.pooled();
      const [call, arrived] = await cell.exchange({ path: '/again' });
      const answer = call.answer();
      assert.equal(arrived.connection, connection);
      await lose(connection, 'reset');
      const second = await cell.origin.next('/again');
      assert.deepEqual(second.values('via'), [via(cell.client)]);
      second.respond(204);
      assert.equal((await answer).status, 204);
    });

    inEach('interim responses get neither; an answer of the proxy’s own gets Date', async (combination) => {
      const [call, arrived] = await stage().cell(combination).exchange({ path: '/early' });
      arrived.interim(103, { link: '<a>' });
      assert.equal(await call.interim(), 103);
      arrived.respond(200);
      assert.equal((await call.answer()).values('via').length, 1);
      const own = await (await stage().cell(combination, 'none').call({})).answer();
      assert.deepEqual([own.status, own.field('via')], [502, null]);
      isNow(own.field('date'));
    });

    inEach('tunnels are agreed to as before', async (combination) => {
      const cell = stage().cell(combination);
      if (cell.client === 2 && cell.endpoint === 1) return;
      const call = await cell.call({ tunnel: 'WebSocket', path: '/tunnel' });
      const arrived: Arrived = await cell.origin.next('/tunnel');
      assert.deepEqual(arrived.values('via'), [via(cell.client)]);
      arrived.agree();
      assert.equal((await call.agreed()).field('via'), via(cell.endpoint));
    });
  },
);

await onEachExecutor('fields that are not asked for', {}, (stage) => {
  inEach('neither is added', async (combination) => {
    const cell: Cell = stage().cell(combination);
    const [call, arrived] = await cell.exchange({ path: '/' });
    arrived.respond(200);
    const answer = await call.answer();
    assert.deepEqual([arrived.field('via'), answer.field('via'), answer.field('date')], [null, null, null]);
  });
});

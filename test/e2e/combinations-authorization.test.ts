// Rules of authorization that ask for methods and paths, in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { eventually } from '../support/sluice.js';
import type { Line, Tunnel, Wish } from './combinations-legs.js';
import { type Cell, COMBINATIONS, inEach, onEachExecutor, type Stage, TEST_MS, title } from './combinations-support.js';

const RULES = `, authorization: { default: deny, rules: [${[
  '{ name: cases, methods: [GET], pathPrefix: /case }',
  '{ name: post, methods: [POST], path: /post }',
  '{ name: told, action: audit, pathPrefix: /audit }',
  '{ name: strangers, networks: ["192.0.2.0/24"] }',
  '{ name: connect, methods: [CONNECT] }',
].join(', ')}] }`;

/** Rules of the same names under which nobody may have a tunnel. */
const without = (yaml: string): string =>
  yaml.replaceAll('methods: [CONNECT]', 'methods: [PURGE]').replaceAll('pathPrefix: /case', 'pathPrefix: /other');

const allowed = (cell: Cell, rule: string): Promise<number> =>
  cell.sluice.metric('sluice_authorization_allowed_total', {
    listener: `${cell.service}-${cell.client}`,
    rule,
    kind: 'http',
  });
const denied = (cell: Cell): Promise<number> =>
  cell.sluice.metric('sluice_authorization_denied_total', {
    listener: `${cell.service}-${cell.client}`,
    rule: 'default',
    kind: 'http',
  });

async function passes(cell: Cell, wish: Wish): Promise<void> {
  const [call, arrived] = await cell.exchange(wish);
  arrived.respond(200, {}, 'ok');
  assert.equal((await call.answer()).status, 200);
}

async function reloaded(stage: Stage, yaml: string): Promise<void> {
  const before = stage.sluice.log.filter(({ message }) => message === 'reloaded').length;
  stage.sluice.reload(yaml);
  await eventually(() => stage.sluice.log.filter(({ message }) => message === 'reloaded').length > before, 'reloaded');
}

await onEachExecutor('authorization', { listener: RULES }, (stage) => {
  inEach('a request that no rule allows gets 403; streams beside it go on', async (combination) => {
    const cell = stage().cell(combination);
    const before = {
      allowed: await allowed(cell, 'cases'),
      denied: await denied(cell),
      requests: cell.origin.requests,
    };
    const first = await cell.line();
    const line = async (): Promise<Line> => (cell.client === 2 ? first : cell.line());
    const refused: Wish[] = [
      { path: '/other' },
      { path: '/cases' },
      { path: '/case/../x' },
      { path: '/%63ase/x' },
      { path: '//case' },
      { path: '/case/1', method: 'HEAD' },
      { path: '/case/1', method: 'POST', fields: { 'content-length': '0' } },
      { path: '/post/', method: 'POST', fields: { 'content-length': '0' } },
      { path: '*', method: 'OPTIONS' },
    ];
    for (const wish of refused) {
      const answer = await (await line()).ask(wish).answer();
      assert.deepEqual([answer.status, answer.field('sluice-error')], [403, 'unauthorized'], JSON.stringify(wish));
      if (wish.method !== 'HEAD') assert.equal(answer.body, 'unauthorized\n');
    }
    const call = first.ask({ path: '/case/1?x=/../..' });
    const arrived = await cell.origin.next('/case/1?x=/../..');
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
    assert.equal(cell.origin.requests - before.requests, 1, 'the endpoint has seen one');
    assert.equal((await allowed(cell, 'cases')) - before.allowed, 1);
    assert.equal((await denied(cell)) - before.denied, refused.length);
  });

  inEach('what a rule allows passes, with a body too; what is audited is told of', async (combination) => {
    const cell = stage().cell(combination);
    const before = await allowed(cell, 'told');
    await passes(cell, { path: '/case' });
    await passes(cell, { path: '/audit/x' });
    assert.equal((await allowed(cell, 'told')) - before, 1);
    const line = await cell.line();
    const call = line.ask({ path: '/post', method: 'POST', body: 5 });
    call.write('hello');
    call.finish();
    const arrived = await cell.origin.next('/post');
    assert.equal((await arrived.whole()).body, 'hello');
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
    await cell.sluice.logged(
      ({ message, rule, listener }) => message === 'audited' && rule === 'told' && String(listener).startsWith('web'),
    );
  });

  inEach('a body behind a request that is refused does no harm', async (combination) => {
    const cell = stage().cell(combination);
    const call = await cell.call({ path: '/post/no', method: 'POST', body: 'chunked' });
    assert.equal((await call.answer()).status, 403);
    await passes(cell, { path: '/case' });
  });

  for (const combination of COMBINATIONS)
    for (const tunnel of ['CONNECT', 'WebSocket'] as Tunnel[]) {
      it(`${title(combination)}, ${tunnel}: is allowed by what it asks for, and ends when the rules forbid it`, {
        timeout: TEST_MS,
      }, async () => {
        const cell = stage().cell(combination);
        if (tunnel === 'WebSocket')
          assert.equal((await (await cell.call({ tunnel, path: '/no' })).answer()).status, 403);
        const path = stage().path();
        const terminated = (): Promise<number> =>
          cell.sluice.metric('sluice_authorization_terminated_total', {
            listener: `${cell.service}-${cell.client}`,
            rule: 'default',
          });
        const before = await terminated();
        const [call, arrived] = await cell.exchange({ tunnel, path });
        arrived.agree();
        await call.agreed();
        const [waiting, late] = await cell.exchange({ tunnel, path: stage().path() });
        const [request, answering] = await cell.exchange({ path: '/case/running' });
        call.write('hello');
        assert.equal(await arrived.read(5), 'hello');
        // A reload that changes nothing leaves it alone.
        await reloaded(stage(), `${stage().yaml}\n`);
        arrived.write('there');
        assert.equal(await call.read(5), 'there');
        await reloaded(stage(), without(stage().yaml));
        try {
          assert.equal(await call.ended(), 'reset');
          assert.equal(await arrived.ended(), 'reset');
          assert.equal((await terminated()) - before, 1);
          // One that is agreed to under the new rules is none.
          late.agree();
          assert.equal(await late.ended(), 'reset');
          assert.equal(await waiting.ended(), 'reset');
          assert.equal((await terminated()) - before, 2);
          // What was under way as a request comes to its end.
          answering.respond(200, {}, 'ok');
          assert.equal((await request.answer()).status, 200);
          assert.equal((await (await cell.call({ path: '/case/next' })).answer()).status, 403);
        } finally {
          await reloaded(stage(), stage().yaml);
        }
      });
    }
});

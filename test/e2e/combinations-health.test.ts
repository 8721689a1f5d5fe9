// What brings an endpoint back, what a crowd of clients can't do to one, and that equal ones share: in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { startGateway } from '../support/gateway.js';
import { ask, Restartable } from '../support/restartable.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import { type Arrived, type Call, lose } from './combinations-legs.js';
import { type Cell, COMBINATIONS, inEach, onEachExecutor, TEST_MS, title } from './combinations-support.js';

const CROWD = 60;
const GRPC = { 'content-type': 'application/grpc', te: 'trailers' };
/** A message of gRPC that is empty. */
const MESSAGE = '\0\0\0\0\0';
const NEVER = 'minBackoff: 10m, maxBackoff: 10m';
/** For each version of client one of its own. */
const ENDS = `    breaker: { ${NEVER} }\n    retry: { budget: 0, minPerSecond: 0 }`;
const SETUP = {
  services: {
    web: { yaml: `    breaker: { failures: 1, ${NEVER} }\n    retry: { budget: 0, minPerSecond: 0 }` },
    ends1: { yaml: ENDS },
    ends2: { yaml: ENDS },
    usual: { yaml: `    breaker: { ${NEVER} }\n    bodyTimeout: 300ms\n    retry: { budget: 0, minPerSecond: 0 }` },
  },
};

async function isReady(cell: Cell, ready: boolean): Promise<void> {
  const state = (name: string): Promise<number> =>
    cell.sluice.metric('sluice_endpoint_state', { service: cell.service, state: name });
  await eventually(async () => (await state('ready')) > 0 === ready, ready ? 'it is ready' : 'it is out');
}

const opened = (cell: Cell): Promise<number> =>
  cell.sluice.metric('sluice_endpoint_breaker_opened_total', { service: cell.service });

async function takenOut(cell: Cell): Promise<void> {
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  arrived.respond(500, {}, 'no');
  assert.equal((await call.answer()).status, 500);
  await isReady(cell, false);
}

async function crowd(cell: Cell, each: (call: Call, arrived: Arrived) => Promise<unknown>): Promise<void> {
  const before = await opened(cell);
  for (let i = 0; i < CROWD; i += 20) {
    const all = Array.from({ length: 20 }, async () => {
      const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
      await each(call, arrived);
    });
    await Promise.all(all);
  }
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  arrived.respond(200, {}, 'well');
  assert.equal((await call.answer()).status, 200);
  assert.equal(await opened(cell), before);
}

await onEachExecutor('the health of endpoints', SETUP, (stage) => {
  inEach('the head of a response brings its endpoint back, whatever becomes of the response', async (combination) => {
    const cell = stage().cell(combination);
    await takenOut(cell);
    const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
    arrived.begin(200);
    arrived.write('the first of many');
    await call.seen('first');
    await isReady(cell, true);
    arrived.finish();
    await call.answer();
  });

  inEach('of gRPC it is the first message, not the head', async (combination) => {
    const cell = stage().cell(combination);
    await takenOut(cell);
    const [call, arrived] = await cell.exchange({
      method: 'POST',
      path: cell.stage.path(),
      fields: GRPC,
      body: 'chunked',
    });
    arrived.begin(200, { 'content-type': 'application/grpc' });
    // What follows goes to it all the same.
    const [other, its] = await cell.exchange({
      method: 'POST',
      path: cell.stage.path(),
      fields: GRPC,
      body: 'chunked',
    });
    await isReady(cell, false);
    arrived.write(MESSAGE);
    await call.seen(MESSAGE);
    await isReady(cell, true);
    call.abort();
    other.abort();
    await Promise.all([arrived.gone(), its.gone()]);
    await isReady(cell, true);
  });

  inEach('one that fails as before is not brought back', async (combination) => {
    const cell = stage().cell(combination);
    await takenOut(cell);
    const before = await opened(cell);
    for (let i = 0; i < 3; i++) await takenOut(cell);
    assert.equal(await opened(cell), before);
    const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
    arrived.respond(404, {}, 'not here');
    await call.answer();
    await isReady(cell, true);
  });

  for (const combination of COMBINATIONS) {
    const slow = { timeout: 2 * TEST_MS };
    it(
      `${title(combination)}: ${CROWD} clients that leave before they are answered take nothing from others`,
      slow,
      () =>
        crowd(stage().cell(combination, 'usual'), (call, arrived) => {
          call.abort();
          return arrived.gone();
        }),
    );
    it(`${title(combination)}: nor do ${CROWD} responses that fall silent`, slow, () =>
      crowd(stage().cell(combination, 'usual'), (call, arrived) => {
        arrived.begin(200, { 'content-length': '100' });
        arrived.write('and');
        return call.answer();
      }),
    );
    it(`${title(combination)}: nor do ${CROWD} that break off`, slow, () =>
      crowd(stage().cell(combination, 'usual'), async (call, arrived) => {
        arrived.begin(200, { 'content-length': '100' });
        arrived.write('half');
        await call.seen('half');
        arrived.abort();
        await call.answer();
      }),
    );
  }

  for (const combination of COMBINATIONS.filter(({ endpoint }) => endpoint === 2)) {
    it(`${title(combination)}: a connection that ends counts once, not once for each of its streams`, {
      timeout: TEST_MS,
    }, async () => {
      const cell = stage().cell(combination, `ends${combination.client}`);
      for (const [ends, expected] of [
        [6, 0],
        [1, 1],
      ] as const) {
        const before = await opened(cell);
        for (let i = 0; i < ends; i++) {
          const calls = await Promise.all(
            Array.from({ length: 20 }, () => cell.exchange({ method: 'POST', path: cell.stage.path(), body: 4 })),
          );
          await lose(calls[0][1].connection, i % 2 === 0 ? 'fin' : 'reset');
          for (const [call] of calls) assert.equal((await call.answer()).status, 502);
        }
        assert.equal((await opened(cell)) - before, expected, `after ${ends} more`);
      }
    });
  }
});

for (const io of await availableExecutors()) {
  describe(`equal endpoints on ${io}`, () => {
    for (const speaks of ['http1', 'http2', 'opaque'] as const) {
      for (const count of [2, 3, 10]) {
        it(`${speaks}: ${count} that are asked one by one share`, { timeout: 20_000 }, async () => {
          const endpoints = await Promise.all(Array.from({ length: count }, () => Restartable.start(speaks)));
          const sluice = await startGateway(
            io,
            endpoints.map(({ address }) => address),
            { speaks: speaks === 'opaque' ? 'auto' : speaks },
          );
          try {
            for (let i = 0; i < 40; i++) assert.equal((await ask(speaks, sluice.port('edge'))).status, 200);
            const most = Math.max(...endpoints.map(({ served }) => served));
            const used = endpoints.filter(({ served }) => served > 0).length;
            assert.ok(
              most <= 34 && used >= Math.min(count, 6),
              `served ${endpoints.map(({ served }) => served).join()}`,
            );
          } finally {
            await sluice.stop();
            for (const endpoint of endpoints) await endpoint.stop();
          }
        });
      }
    }
  });
}

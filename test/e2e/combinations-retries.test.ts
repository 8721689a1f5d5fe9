// What is sent again when a pooled connection is lost, or a request was not looked at, in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { content } from '../support/content.js';
import { deadPort } from '../support/tcp.js';
import { http2Only } from './combinations-http2.js';
import { type Answer, type Arrived, type Call, lose, type Wish } from './combinations-legs.js';
import { type Cell, COMBINATIONS, type Combination, frozen, inEach, onEachExecutor } from './combinations-support.js';

const service = (retry: string): { yaml: string } => ({
  yaml: `    breaker: { failures: 0 }\n    retry: { ${retry} }`,
});
const dead = `127.0.0.1:${await deadPort()}`;
const SERVICES = {
  web: service('minPerSecond: 1000'),
  /** Keeps some. */
  some: service('minPerSecond: 1000, replayBytes: 32KiB'),
  /** Keeps only what has no body. */
  none: service('minPerSecond: 1000, replayBytes: 0'),
  /** Half of what it gets goes to where nobody is first. */
  half: { yaml: '    breaker: { failures: 0 }\n    balance: { policy: round-robin }', first: dead },
  /** Has no budget. */
  poor: service('minPerSecond: 0, budget: 0'),
};
const text = (length: number): string => content(length).toString('latin1');

/** The request of `path` once more; fails at once where the client is answered instead. */
async function again(cell: Cell, path: string, answer: Promise<Answer>): Promise<Arrived> {
  const early = answer.then(({ status, field }): never => {
    throw new Error(`not sent again: answered ${status} ${field('sluice-error')}`);
  });
  return await Promise.race([cell.origin.next(path), early]);
}

/** A request with its body, read by a connection that has served before. */
async function onPooled(cell: Cell, wish: Wish, body = ''): Promise<readonly [Call, Arrived]> {
  const connection = await cell.pooled();
  const call = await cell.call(wish);
  if (wish.body !== undefined) {
    call.write(body);
    call.finish();
  }
  const arrived = await cell.origin.next(wish.path ?? '/');
  assert.equal(arrived.connection, connection, 'on another connection');
  assert.equal((await arrived.whole()).body, body);
  return [call, arrived];
}

/** Its connection is lost: the request comes again, whole and on another one, and is answered. */
async function isSentAgain(cell: Cell, wish: Wish, how: 'fin' | 'reset', body = ''): Promise<void> {
  const path = cell.stage.path();
  const earlier = await cell.counts();
  const [call, first] = await onPooled(cell, { ...wish, path }, body);
  const answer = call.answer();
  await lose(first.connection, how);
  const second = await again(cell, path, answer);
  assert.notEqual(second.connection, first.connection);
  assert.equal(second.method, wish.method ?? 'GET');
  assert.equal((await second.whole()).body, body);
  second.respond(200, {}, 'at last');
  const { status, body: said } = await answer;
  assert.deepEqual([status, said], [200, 'at last']);
  // The first is the one that made the connection.
  await cell.counted(earlier, { requests: 2, sent: 3, responses: 2, abandoned: 1, retries: 1 });
}

/** Its connection is lost, and that is what the client is told. */
async function isNotSentAgain(cell: Cell, wish: Wish, how: 'fin' | 'reset', body = '', denied = 0): Promise<void> {
  const earlier = await cell.counts();
  const arrivals = cell.origin.requests;
  const path = cell.stage.path();
  const [call, first] = await onPooled(cell, { ...wish, path }, body);
  await lose(first.connection, how);
  const repeated = cell.origin.next(path).then(() => assert.fail('sent again'));
  const { status, field } = await Promise.race([call.answer(), repeated]);
  assert.deepEqual([status, field('sluice-error')], [502, 'upstream-reset']);
  await cell.counted(earlier, { requests: 2, sent: 2, responses: 1, failures: 1, own: 1, denied });
  assert.equal(cell.origin.requests - arrivals, 2);
}

/** The pooled connection is dead when the request comes, and Sluice learns of both at once. */
async function untouched(on: Cell, wish: Wish, how: 'fin' | 'reset'): Promise<void> {
  const path = on.stage.path();
  const connection = await on.pooled();
  const line = await on.line();
  const arrivals = on.origin.requests;
  let call: Call | undefined;
  await frozen(on.sluice, async () => {
    call = line.ask({ ...wish, path });
    if (wish.body !== undefined) call.write('body');
    if (wish.body !== undefined) call.finish();
    await line.flushed();
    await lose(connection, how);
  });
  const answer = (call as Call | undefined)?.answer() ?? assert.fail('nothing was asked');
  const arrived = await again(on, path, answer);
  assert.equal((await arrived.whole()).body, wish.body === undefined ? '' : 'body');
  arrived.respond(200, {}, 'alive');
  const { status, body } = await answer;
  assert.deepEqual([status, body], [200, 'alive']);
  assert.equal(on.origin.requests - arrivals, 1);
}

type CellOf = (combination: Combination, name?: keyof typeof SERVICES) => Cell;

const TO_HTTP1 = COMBINATIONS.filter(({ endpoint }) => endpoint === 1);
const TO_HTTP2 = COMBINATIONS.filter(({ endpoint }) => endpoint === 2);

/** Pooled connections that are lost with a request on them. */
function declareLost(cell: CellOf): void {
  for (const how of ['fin', 'reset'] as const) {
    inEach(`a GET whose pooled connection is lost (${how}) is sent again, unseen`, (combination) =>
      isSentAgain(cell(combination), {}, how),
    );

    inEach(`a POST that was read before its connection was lost (${how}) is not`, (combination) =>
      isNotSentAgain(cell(combination), { method: 'POST', body: 4 }, how, 'body'),
    );

    inEach(`nor is a GET (${how}) where the budget allows none`, (combination) =>
      isNotSentAgain(cell(combination, 'poor'), {}, how, '', 1),
    );
  }

  inEach('a GET is sent again once: the second connection is new, and its loss is an answer', async (combination) => {
    const on = cell(combination);
    const path = on.stage.path();
    const earlier = await on.counts();
    const [call, first] = await onPooled(on, { path });
    const answer = call.answer();
    await lose(first.connection, 'reset');
    const second = await again(on, path, answer);
    await lose(second.connection, 'reset');
    const { status, field } = await answer;
    assert.deepEqual([status, field('sluice-error')], [502, 'upstream-reset']);
    await on.counted(earlier, {
      requests: 2,
      sent: 3,
      responses: 1,
      abandoned: 1,
      failures: 1,
      own: 1,
      retries: 1,
    });
  });

  inEach('a GET is not sent again once an interim response has come', async (combination) => {
    const on = cell(combination);
    const path = on.stage.path();
    const earlier = await on.counts();
    const [call, arrived] = await onPooled(on, { path });
    arrived.interim(103);
    assert.equal(await call.interim(), 103);
    await lose(arrived.connection, 'reset');
    const { status, field } = await call.answer();
    assert.deepEqual([status, field('sluice-error')], [502, 'upstream-reset']);
    await on.counted(earlier, { requests: 2, sent: 2, responses: 1, failures: 1, own: 1 });
  });
}

/** Endpoints that take no connection. */
function declareElsewhere(cell: CellOf): void {
  // More than replayBytes: what was not sent needs no copy.
  for (const size of [0, 4, 200_000]) {
    inEach(
      `a POST of ${size} octets goes to another endpoint where the first takes no connection`,
      async (combination) => {
        const on = cell(combination, 'half');
        const body = content(size);
        const earlier = await on.counts();
        const failed = await on.sluice.metric('tcp_close_total', { service: on.service, errno: 'refused' });
        // In turn: one of the two meets the dead one.
        for (let i = 0; i < 2; i++) {
          const path = on.stage.path();
          const call = await on.call({ method: 'POST', path, body: size });
          const pouring = call.pour(body).then(() => call.finish());
          const arrived = await on.origin.next(path);
          await pouring;
          assert.equal((await arrived.whole()).body, body.toString('latin1'));
          arrived.respond(200, {}, 'somebody');
          assert.equal((await call.answer()).body, 'somebody');
        }
        await on.counted(earlier, { requests: 2, sent: 3, responses: 2, abandoned: 1 });
        assert.equal(await on.sluice.metric('tcp_close_total', { service: on.service, errno: 'refused' }), failed + 1);
      },
    );
  }
}

/** Pooled connections that took nothing of the request. */
function declareUntouched(cell: CellOf): void {
  for (const how of ['fin', 'reset'] as const) {
    inEach(`a GET that meets a connection which is dead already (${how}) is sent on another`, (combination) =>
      untouched(cell(combination), {}, how),
    );
  }
  inEach(
    'so is a POST, of which such a connection takes nothing',
    (combination) => untouched(cell(combination), { method: 'POST', body: 4 }, 'reset'),
    TO_HTTP1,
  );
  inEach(
    'so is a POST that is not kept: nothing of it has left',
    (combination) => untouched(cell(combination, 'none'), { method: 'POST', body: 4 }, 'reset'),
    TO_HTTP1,
  );
}

/** What an endpoint of HTTP/2 says that it has not looked at. */
function declareUnprocessed(cell: CellOf): void {
  for (const how of ['refuse', 'goaway'] as const) {
    for (const method of ['GET', 'POST']) {
      inEach(
        `a ${method} that the endpoint did not look at (${how}) is sent again`,
        async (combination) => {
          const on = cell(combination);
          const path = on.stage.path();
          const body = method === 'POST' ? text(20_000) : '';
          const earlier = await on.counts();
          const wish: Wish = { method, path, ...(body === '' ? {} : { body: body.length }) };
          const [call, first] = await onPooled(on, wish, body);
          const answer = call.answer();
          http2Only(first)[how]();
          const second = await again(on, path, answer);
          assert.equal((await second.whole()).body, body);
          second.respond(200, {}, 'looked at');
          const { status, body: said } = await answer;
          assert.deepEqual([status, said], [200, 'looked at']);
          await on.counted(earlier, { requests: 2, sent: 3, responses: 2, abandoned: 1, retries: 1 });
        },
        TO_HTTP2,
      );
    }
  }

  inEach(
    'a POST whose connection leaves is sent again though the budget allows none',
    async (combination) => {
      const on = cell(combination, 'poor');
      const path = on.stage.path();
      const earlier = await on.counts();
      const [call, first] = await onPooled(on, { method: 'POST', path, body: 4 }, 'body');
      const answer = call.answer();
      http2Only(first).goaway();
      const second = await again(on, path, answer);
      assert.equal((await second.whole()).body, 'body');
      second.respond(200, {}, 'looked at');
      assert.equal((await answer).status, 200);
      await on.counted(earlier, { requests: 2, sent: 3, responses: 2, abandoned: 1, retries: 1 });
    },
    TO_HTTP2,
  );

  for (const how of ['refuse', 'goaway'] as const) {
    inEach(
      `a POST that was not looked at (${how}) and is not kept whole is answered, or given back as REFUSED_STREAM`,
      async (combination) => {
        const on = cell(combination, 'some');
        const earlier = await on.counts();
        const body = text(40_000);
        const [call, arrived] = await onPooled(on, { method: 'POST', path: on.stage.path(), body: body.length }, body);
        http2Only(arrived)[how]();
        if (combination.client === 1) {
          const { status, field } = await call.answer();
          assert.deepEqual([status, field('sluice-error')], [502, 'stream-refused']);
          await on.counted(earlier, { requests: 2, sent: 2, responses: 1, failures: 1, own: 1 });
          return;
        }
        const { status, code } = await call.answer();
        assert.deepEqual([status, code], [0, 'REFUSED_STREAM']);
        await on.counted(earlier, { requests: 2, sent: 2, responses: 1, abandoned: 1, unanswered: 1 });
      },
      TO_HTTP2,
    );

    inEach(
      `a POST of 400 KB that was not looked at (${how}) is sent again while memory is plentiful`,
      async (combination) => {
        const on = cell(combination);
        const path = on.stage.path();
        const earlier = await on.counts();
        const sent = content(400_000);
        const call = await on.call({ method: 'POST', path, body: sent.length });
        const answer = call.answer();
        const pouring = call.pour(sent).then(() => call.finish());
        const first = await on.origin.next(path);
        await pouring;
        assert.equal((await first.whole()).body, sent.toString('latin1'));
        http2Only(first)[how]();
        const second = await again(on, path, answer);
        assert.equal((await second.whole()).body, sent.toString('latin1'));
        second.respond(200, {}, 'looked at');
        assert.equal((await answer).status, 200);
        await on.counted(earlier, { requests: 1, sent: 2, responses: 1, abandoned: 1, retries: 1 });
      },
      TO_HTTP2,
    );
  }
}

/** How much of a request is kept. */
function declareKept(cell: CellOf): void {
  for (const body of [4097, 20_000, 'chunked'] as const) {
    inEach(`retry.replayBytes keeps a PUT with a body (${body}) that fits`, (combination) =>
      isSentAgain(cell(combination, 'some'), { method: 'PUT', body }, 'fin', text(body === 'chunked' ? 20_000 : body)),
    );
  }
  for (const body of [40_000, 'chunked'] as const) {
    inEach(`retry.replayBytes does not keep a PUT with a body (${body}) that is larger`, (combination) =>
      isNotSentAgain(cell(combination, 'some'), { method: 'PUT', body }, 'fin', text(40_000)),
    );
  }
  inEach('retry.replayBytes: 0 keeps no body', (combination) =>
    isNotSentAgain(cell(combination, 'none'), { method: 'PUT', body: 1 }, 'fin', '1'),
  );
  inEach('retry.replayBytes: 0 keeps what has none', (combination) =>
    isSentAgain(cell(combination, 'none'), { method: 'DELETE' }, 'fin'),
  );
}

await onEachExecutor('requests sent again', { services: SERVICES }, (stage) => {
  const cell: CellOf = (combination, name = 'web') => stage().cell(combination, name);
  declareLost(cell);
  declareElsewhere(cell);
  declareUntouched(cell);
  declareUnprocessed(cell);
  declareKept(cell);
});

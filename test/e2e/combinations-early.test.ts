// Answers that come before the request is whole: the client gets to read them, also one that reads nothing before it has sent all.
import assert from 'node:assert/strict';
import { content } from '../support/content.js';
import { eventually } from '../support/sluice.js';
import type { Arrived, Call } from './combinations-legs.js';
import { type Cell, COMBINATIONS, inEach, onEachExecutor } from './combinations-support.js';

const MIB = 1 << 20;
const FROM_HTTP2 = COMBINATIONS.filter(({ client }) => client === 2);

/** An upload that is answered after its first octets. */
async function answered(on: Cell, body: number | 'chunked'): Promise<readonly [Call, Arrived]> {
  const [call, arrived] = await on.exchange({ method: 'POST', path: on.stage.path(), body });
  call.write('first');
  arrived.respond(413, on.endpoint === 1 ? { connection: 'close' } : {}, 'too large');
  const { status, body: said, whole } = await call.answer();
  assert.deepEqual([status, said, whole], [413, 'too large', true]);
  return [call, arrived];
}

await onEachExecutor(
  'answers before the end of a request',
  { top: 'limits: { http2: { discardTimeout: 400ms, maxDiscard: 3MiB } }' },
  (stage) => {
    inEach(
      'a client of HTTP/2 may send the rest, which is thrown away',
      async (combination) => {
        const on = stage().cell(combination);
        const limited = await on.limit('h2-discard');
        const [call] = await answered(on, 2 * MIB + 5);
        // Far more than the windows hold.
        await call.pour(content(2 * MIB));
        call.finish();
        await on.counts();
        assert.equal(call.broken, false);
        assert.equal(await on.limit('h2-discard'), limited);
      },
      FROM_HTTP2,
    );

    inEach(
      'it may end it with trailers',
      async (combination) => {
        const on = stage().cell(combination);
        const [call] = await answered(on, 'chunked');
        await call.pour(content(MIB));
        call.finish({ 'x-end': 'yes' });
        await on.counts();
        assert.equal(call.broken, false);
      },
      FROM_HTTP2,
    );

    for (const size of [100, 2 * MIB]) {
      inEach(`an endpoint that says 202 and reads on gets the rest (${size})`, async (combination) => {
        const on = stage().cell(combination);
        const earlier = await on.counts();
        const body = content(size);
        const [call, arrived] = await on.exchange({ method: 'POST', path: on.stage.path(), body: size });
        call.write(body.subarray(0, 10));
        arrived.respond(202, {}, 'reading on');
        const { status, body: said, whole } = await call.answer();
        assert.deepEqual([status, said, whole], [202, 'reading on', true]);
        const read = arrived.whole();
        await call.pour(body.subarray(10));
        call.finish();
        assert.equal((await read).body === body.toString('latin1'), true);
        await on.counted(earlier, { requests: 1, sent: 1, responses: 1 });
        // The connection serves the next request.
        assert.equal(await on.pooled(), arrived.connection);
      });
    }

    inEach('so does one whose response has no body, and a request of unknown length', async (combination) => {
      const on = stage().cell(combination);
      const earlier = await on.counts();
      const [call, arrived] = await on.exchange({ method: 'POST', path: on.stage.path(), body: 'chunked' });
      call.write('some');
      arrived.respond(204);
      assert.equal((await call.answer()).status, 204);
      call.write(' more');
      call.finish({ 'x-end': 'yes' });
      const { body, trailers } = await arrived.whole();
      assert.deepEqual([body, trailers.get('x-end')], ['some more', 'yes']);
      await on.counted(earlier, { requests: 1, sent: 1, responses: 1 });
    });

    for (const how of ['leaves', 'ends']) {
      inEach(`a client or an endpoint that ${how} in the middle of the rest ends it well`, async (combination) => {
        const on = stage().cell(combination);
        const earlier = await on.counts();
        const [call, arrived] = await on.exchange({ method: 'POST', path: on.stage.path(), body: 100 });
        call.write('some');
        arrived.respond(202, {}, 'reading on');
        assert.equal((await call.answer()).status, 202);
        if (how === 'leaves') {
          call.abort();
          await arrived.gone();
        } else arrived.connection.socket.destroy();
        await on.counted(earlier, { requests: 1, sent: 1, responses: 1 });
      });
    }

    inEach(
      'or be silent, and is told after a while that the rest is not wanted',
      async (combination) => {
        const on = stage().cell(combination);
        const limited = await on.limit('h2-discard');
        const [call] = await answered(on, 100);
        await eventually(async () => call.broken, 'RST_STREAM');
        assert.equal((await call.answer()).code, 'NO_ERROR');
        assert.equal(await on.limit('h2-discard'), limited + 1);
      },
      FROM_HTTP2,
    );

    inEach(
      'or send too much, and is told then',
      async (combination) => {
        const on = stage().cell(combination);
        const [call] = await answered(on, 100 * MIB);
        const pouring = call.pour(content(4 * MIB)).catch(() => undefined);
        await eventually(async () => call.broken, 'RST_STREAM');
        assert.equal((await call.answer()).code, 'NO_ERROR');
        void pouring;
      },
      FROM_HTTP2,
    );

    inEach(
      'or take it back',
      async (combination) => {
        const on = stage().cell(combination);
        const [call] = await answered(on, 100);
        call.abort();
      },
      FROM_HTTP2,
    );
  },
);

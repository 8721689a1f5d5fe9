// Endpoints that leave the window of a connection shut, as some do that answer uploads early and forget what these have used up: the
// connection is left, and nobody else waits for it.
import assert from 'node:assert/strict';
import { content } from '../support/content.js';
import { eventually } from '../support/sluice.js';
import { http2Only } from './combinations-http2.js';
import type { Arrived } from './combinations-legs.js';
import { type Cell, COMBINATIONS, inEach, onEachExecutor } from './combinations-support.js';

/** That of a connection, where nobody says more (RFC 9113 section 6.9.2). */
const WINDOW = 65_535;
const TO_HTTP2 = COMBINATIONS.filter(({ endpoint }) => endpoint === 2);

/** An upload that uses up the window of its connection, and is answered without that being given back. */
async function useUp(on: Cell): Promise<Arrived> {
  const path = on.stage.path();
  const call = await on.call({ method: 'POST', path, body: WINDOW });
  const pouring = call.pour(content(WINDOW)).then(() => call.finish());
  const arrived = await on.origin.next(path);
  await pouring;
  await arrived.whole();
  arrived.respond(413, {}, 'enough');
  assert.equal((await call.answer()).status, 413);
  return arrived;
}

await onEachExecutor(
  'windows of connections that stay shut',
  { top: 'limits: { http2: { windowTimeout: 200ms } }', peers: { credit: false } },
  (stage) => {
    for (const method of ['POST', 'PUT']) {
      inEach(
        `a ${method} that waits for one goes out on another connection`,
        async (combination) => {
          const on = stage().cell(combination);
          const earlier = await on.counts();
          const limited = await on.limit('h2-window');
          const { connection } = await useUp(on);
          const path = stage().path();
          const call = await on.call({ method, path, body: 10 });
          call.write('0123456789');
          call.finish();
          const first = await on.origin.next(path);
          assert.equal(first.connection, connection, 'on the connection that is there');
          await first.gone();
          const second = await on.origin.next(path);
          assert.notEqual(second.connection, connection);
          assert.equal((await second.whole()).body, '0123456789');
          second.respond(200, {}, 'taken');
          assert.deepEqual((await call.answer()).body, 'taken');
          await http2Only(first).left();
          assert.equal((await on.limit('h2-window')) - limited, 1);
          await on.counted(earlier, { requests: 2, sent: 3, responses: 2, abandoned: 1, retries: 1 });
        },
        TO_HTTP2,
      );
    }

    inEach(
      'an upload of which some has gone stays, and ends when it may; others go elsewhere at once',
      async (combination) => {
        const on = stage().cell(combination);
        const body = content(WINDOW + 10_000);
        const path = stage().path();
        const limited = await on.limit('h2-window');
        const call = await on.call({ method: 'POST', path, body: body.length });
        const pouring = call.pour(body).then(() => call.finish());
        const arrived = await on.origin.next(path);
        await eventually(async () => (await on.limit('h2-window')) > limited, 'the connection is left');
        await http2Only(arrived).left();
        const other = await on.pooled();
        assert.notEqual(other, arrived.connection);
        const drained = arrived.drain();
        await pouring;
        assert.equal((await drained).length, body.length);
        arrived.respond(200, {}, 'whole');
        assert.equal((await call.answer()).body, 'whole');
      },
      TO_HTTP2,
    );

    inEach(
      'a request without a body does not care',
      async (combination) => {
        const on = stage().cell(combination);
        const { connection } = await useUp(on);
        for (let i = 0; i < 3; i++) assert.equal(await on.pooled(), connection);
      },
      TO_HTTP2,
    );
  },
);

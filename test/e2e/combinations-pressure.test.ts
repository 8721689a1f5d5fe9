// Slow readers in all four combinations of HTTP versions: whoever sends is held back, memory stays bounded, and nothing is lost.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { content, digestOf } from '../support/content.js';
import { eventually } from '../support/sluice.js';
import type { Leg } from './combinations-legs.js';
import { type Cell, COMBINATIONS, onEachExecutor, title } from './combinations-support.js';

/** More than the buffers of four sockets hold. */
const BODY = content(32 << 20);
const { length, sha1 } = digestOf(BODY);
/** What Sluice may hold of it: `maxBuffered`, or a stream's widest window, and what a loop turn brings in. */
const HELD_BYTES = 3 << 20;
const BUFFER_BYTES = 16 << 10;
/** Looks in a row that see nothing move. */
const LOOKS = 5;

/** Resolves when nothing moves through Sluice any more. */
async function held(cell: Cell): Promise<void> {
  let moved = 0;
  let looks = 0;
  await eventually(async () => {
    const now = await cell.sluice.metric('tcp_read_bytes_total');
    looks = now === moved ? looks + 1 : 0;
    moved = now;
    return looks >= LOOKS;
  }, 'the sender is held back');
}

/** `from` sends more than `to` takes. */
async function squeeze(cell: Cell, from: Leg, to: Leg): Promise<void> {
  to.hold();
  let sent = false;
  const pouring = from.pour(BODY).then(() => {
    sent = true;
  });
  await held(cell);
  assert.ok(!sent, 'everything was taken');
  const buffers = await cell.stage.buffers();
  assert.ok(buffers * BUFFER_BYTES < HELD_BYTES, `${buffers} buffers are held`);
  const draining = to.drain();
  await pouring;
  from.finish();
  assert.deepEqual(await draining, { length, sha1 });
}

await onEachExecutor('slow readers', { peers: { credit: false } }, (stage) => {
  for (const combination of COMBINATIONS) {
    // Between two of HTTP/1 a body of a known length is spliced.
    const spliced = combination.client === 1 && combination.endpoint === 1;
    for (const framing of spliced ? (['a length', 'chunks'] as const) : (['chunks'] as const)) {
      const known = framing === 'a length';

      it(`${title(combination)}: a client that does not read a response with ${framing}`, {
        timeout: 20_000,
      }, async () => {
        const cell = stage().cell(combination);
        const earlier = await cell.counts();
        const [call, arrived] = await cell.exchange({ path: stage().path() });
        arrived.begin(200, known ? { 'content-length': String(length) } : {});
        await squeeze(cell, arrived, call);
        await cell.counted(earlier, { requests: 1, sent: 1, responses: 1 });
      });

      it(`${title(combination)}: an endpoint that does not read a request with ${framing}`, {
        timeout: 20_000,
      }, async () => {
        const cell = stage().cell(combination);
        const earlier = await cell.counts();
        const body = known ? length : 'chunked';
        const [call, arrived] = await cell.exchange({ method: 'POST', path: stage().path(), body });
        await squeeze(cell, call, arrived);
        arrived.respond(200, {}, 'all of it');
        assert.equal((await call.answer()).body, 'all of it');
        await cell.counted(earlier, { requests: 1, sent: 1, responses: 1 });
      });
    }
  }
});

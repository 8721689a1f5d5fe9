// Clients of HTTP/1 that leave while their request is under way: the endpoint hears of it at once, whatever it speaks, and nobody is held to
// have failed. A FIN is taken for leaving, unless the listener's clients may end their direction and wait (`halfClose`).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { client, metrics, type Wire } from '../support/http.js';
import { availableExecutors, eventually } from '../support/sluice.js';
import type { Arrived } from './combinations-legs.js';
import { type Cell, COMBINATIONS, type Combination, Stage, TEST_MS } from './combinations-support.js';

const HOST = 'Host: a.test\r\n';
/** More than the kernel and Sluice hold. */
const MUCH = Buffer.alloc(16 << 20, 'x');
const PIECE = MUCH.subarray(0, 64 << 10);
const LEAVES = {
  'a FIN': (wire: Wire) => void wire.socket.end(),
  'a reset': (wire: Wire) => wire.reset(),
} as const;

/** A request that is under way: its client, and what has arrived at the endpoint. */
interface UnderWay {
  readonly wire: Wire;
  readonly arrived: Arrived;
}

async function asked(cell: Cell, fields = '', version = '1.1', more: string | Buffer = ''): Promise<UnderWay> {
  const path = cell.stage.path();
  const wire = await client(cell.sluice.port(`${cell.service}-1`));
  const method = /content-length|transfer-encoding/i.test(fields) ? 'POST' : 'GET';
  wire.write(`${method} ${path} HTTP/${version}\r\n${HOST}${fields}\r\n`);
  wire.write(more);
  return { wire, arrived: await cell.origin.next(path) };
}

/** How often somebody was not read since the other side was slow. */
async function heldBack(cell: Cell): Promise<number> {
  const value = await metrics(cell.sluice);
  return value('sluice_backpressure_total') + value('sluice_splice_starts_total');
}

/** How far a request has come when its client leaves. */
const WAYS: Readonly<Record<string, (cell: Cell) => Promise<UnderWay>>> = {
  'that waits': (cell) => asked(cell),
  'that waits and said Connection: close': (cell) => asked(cell, 'Connection: close\r\n'),
  'that waits and speaks HTTP/1.0': (cell) => asked(cell, '', '1.0'),
  'that has sent its body and waits': (cell) =>
    asked(cell, 'Content-Length: 300000\r\nConnection: close\r\n', '1.1', MUCH.subarray(0, 300_000)),
  'that has asked for more than is read ahead': (cell) =>
    asked(cell, '', '1.1', `GET /never HTTP/1.1\r\n${HOST}\r\n`.repeat(5000)),
  'that gets a body': async (cell) => {
    const underWay = await asked(cell);
    underWay.arrived.begin(200);
    underWay.arrived.write('some');
    await underWay.wire.until(() => underWay.wire.text.includes('some'), 'some of the body');
    return underWay;
  },
  'that gets a body of known length and said Connection: close': async (cell) => {
    const underWay = await asked(cell, 'Connection: close\r\n');
    underWay.arrived.begin(200, { 'content-length': '5' });
    underWay.arrived.write('some');
    await underWay.wire.until(() => underWay.wire.text.includes('some'), 'some of the body');
    return underWay;
  },
  'that does not take its body': async (cell) => {
    const underWay = await asked(cell, 'Connection: close\r\n');
    const pressed = await heldBack(cell);
    underWay.wire.socket.pause();
    underWay.arrived.begin(200, { 'content-length': String(MUCH.length) });
    underWay.arrived.pour(MUCH).catch(() => undefined);
    await eventually(async () => (await heldBack(cell)) > pressed, 'the endpoint is held back');
    return underWay;
  },
};

/**
 * A client whose upload stands still, as the endpoint takes nothing of it. Where it is to end with a FIN it has no more to send than has gone:
 * the FIN would wait behind that in its own kernel.
 */
async function stuck(cell: Cell, framing: string, all: boolean): Promise<UnderWay> {
  const pressed = await heldBack(cell);
  const underWay = await asked(cell, framing);
  underWay.arrived.hold();
  if (framing.startsWith('Transfer')) underWay.wire.write(`${MUCH.length.toString(16)}\r\n`);
  if (all) {
    underWay.wire.write(MUCH);
    await eventually(async () => (await heldBack(cell)) > pressed, 'the client is held back');
    return underWay;
  }
  for (let at = 0; (await heldBack(cell)) === pressed; at += PIECE.length) {
    assert.ok(at < MUCH.length, 'nobody holds it back');
    await underWay.wire.sent(PIECE);
  }
  return underWay;
}

const left = (cell: Cell): Promise<number> =>
  cell.sluice.metric('sluice_service_client_left_total', { service: cell.service });

for (const io of await availableExecutors()) {
  describe(`clients that leave on ${io}`, () => {
    let stage: Stage | undefined;
    before(async () => {
      stage = await Stage.start(io, { peers: { credit: false } });
    });
    after(async () => {
      await stage?.stop();
    });
    const cellOf = (combination: Combination): Cell =>
      stage?.cell(combination) ?? assert.fail('Sluice has not started');
    for (const combination of COMBINATIONS.filter(({ client }) => client === 1)) {
      for (const [how, leave] of Object.entries(LEAVES)) {
        const where = `the endpoint speaks HTTP/${combination.endpoint}`;
        for (const [what, begin] of Object.entries(WAYS)) {
          it(`one ${what} leaves by ${how}; ${where}`, { timeout: TEST_MS }, async () => {
            const cell = cellOf(combination);
            const earlier = await cell.counts();
            const gone = await left(cell);
            const { wire, arrived } = await begin(cell);
            leave(wire);
            await arrived.gone();
            await cell.counted(earlier, { requests: 1, sent: 1, abandoned: 1, unanswered: 1 });
            assert.equal(await left(cell), gone + 1);
            wire.destroy();
          });
        }
        const length = `Content-Length: ${2 * MUCH.length}\r\n`;
        const chunked = 'Transfer-Encoding: chunked\r\n';
        for (const framing of how === 'a FIN' ? [chunked] : [chunked, length]) {
          it(`one whose upload stands still (${framing.slice(0, 9)}…) leaves by ${how}; ${where}`, {
            timeout: TEST_MS,
          }, async () => {
            const cell = cellOf(combination);
            const earlier = await cell.counts();
            const gone = await left(cell);
            const { wire, arrived } = await stuck(cell, framing, framing === length);
            leave(wire);
            // One that waits for the window of a connection may have been sent anew on another.
            await eventually(async () => (await left(cell)) === gone + 1, 'it has left');
            assert.deepEqual(await cell.inFlight(), [0, 0]);
            assert.equal((await cell.counts()).failures, earlier.failures);
            arrived.abort();
            wire.destroy();
          });
        }
      }

      it(`one that has got its response has not left; the endpoint speaks HTTP/${combination.endpoint}`, {
        timeout: TEST_MS,
      }, async () => {
        const cell = cellOf(combination);
        const earlier = await cell.counts();
        const gone = await left(cell);
        for (const fields of ['', 'Connection: close\r\n']) {
          const { wire, arrived } = await asked(cell, fields);
          arrived.begin(200, { 'content-length': '4' });
          arrived.write('body');
          assert.equal((await wire.message()).body.toString(), 'body');
          wire.socket.end();
          // It is known to be whole by its length, whenever the endpoint's stream ends.
          await eventually(() => wire.end !== undefined || combination.endpoint === 2, 'the end of the connection');
          arrived.finish();
          wire.destroy();
        }
        await cell.counted(earlier, { requests: 2, sent: 2, responses: 2 });
        assert.equal(await left(cell), gone);
      });
    }
  });
}

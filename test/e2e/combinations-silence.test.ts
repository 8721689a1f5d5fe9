// How long silence may last in all four combinations of HTTP versions: tunnels live by `limits.opaque` and by nothing else, bodies
// by the `bodyTimeout` of the side that is waited for.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { availableExecutors, eventually } from '../support/sluice.js';
import type { Arrived, Call, Leg } from './combinations-legs.js';
import { type Cell, COMBINATIONS, Stage, title } from './combinations-support.js';

/** How long the tests wait for what a limit of at most 4 s must do. */
const TIMEOUT_MS = 30_000;
const LIMITS = [
  'limits:',
  '  slab: 8MiB',
  '  opaque: { idleTimeout: 1500ms, halfCloseTimeout: 300ms, lifetime: 4s }',
  '  http1: { bodyTimeout: 200ms }',
  '  http2: { bodyTimeout: 200ms, stallTimeout: 200ms }',
].join('\n');

async function open(cell: Cell): Promise<readonly [Call, Arrived]> {
  const [call, arrived] = await cell.exchange({ tunnel: 'WebSocket', path: cell.stage.path() });
  arrived.agree();
  await call.agreed();
  return [call, arrived];
}

/** Both ends say something, and hear it. */
async function talk([call, arrived]: readonly [Leg, Leg]): Promise<void> {
  call.write('ping');
  assert.equal(await arrived.read(4), 'ping');
  arrived.write('pong');
  assert.equal(await call.read(4), 'pong');
}

/** Talks until `done`. */
async function converse(tunnel: readonly [Leg, Leg], done: () => boolean): Promise<void> {
  for (const end = performance.now() + TIMEOUT_MS; !done(); await wait(20)) {
    assert.ok(performance.now() < end, 'it goes on and on');
    await talk(tunnel);
  }
}

async function over(leg: Leg, what: string): Promise<void> {
  await eventually(() => leg.over !== null, what, TIMEOUT_MS);
}

function tunnels(cell: () => Cell): void {
  it('a silent tunnel ends after opaque.idleTimeout, one that is used lives on', { timeout: 12_000 }, async () => {
    const [silent, far] = await open(cell());
    const used = await open(cell());
    await converse(used, () => silent.over !== null);
    await over(far, 'the endpoint hears of it');
    await talk(used);
    assert.equal(await cell().limit('opaque-idle'), 1);
    for (const limit of ['body-time', 'h2-stalled', 'idle-time']) assert.equal(await cell().limit(limit), 0, limit);
  });

  it('one that is half closed and silent ends after opaque.halfCloseTimeout', { timeout: 12_000 }, async () => {
    for (const first of ['client', 'endpoint'] as const) {
      const earlier = await cell().limit('half-close');
      const [call, arrived] = await open(cell());
      const [one, other] = first === 'client' ? [call, arrived] : [arrived, call];
      one.finish();
      assert.equal(await other.ended(), 'end');
      await over(one, `the ${first}, which had ended first, hears of the end`);
      assert.equal(await cell().limit('half-close'), earlier + 1);
    }
  });

  it('one that is used ends after opaque.lifetime', { timeout: 12_000 }, async () => {
    const [call, arrived] = await open(cell());
    // It may end in the middle of a word.
    await converse([call, arrived], () => call.over !== null || arrived.over !== null).catch((error: unknown) => {
      if (call.over === null && arrived.over === null) throw error;
    });
    await over(call, 'the client hears of it');
    await over(arrived, 'the endpoint hears of it');
    assert.equal(await cell().limit('opaque-lifetime'), 1);
  });
}

for (const io of await availableExecutors()) {
  describe(`silent tunnels on ${io}`, { concurrency: true }, () => {
    for (const combination of COMBINATIONS) {
      // A Sluice for each: their limits are counted, and they take their time together.
      describe(title(combination), { concurrency: true }, () => {
        let stage: Stage | undefined;
        before(async () => {
          stage = await Stage.start(io, { top: LIMITS });
        });
        after(async () => {
          await stage?.stop();
        });
        tunnels(() => stage?.cell(combination) ?? assert.fail('Sluice has not started'));
      });
    }
  });
}

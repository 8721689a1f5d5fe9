// Tunnels (CONNECT and WebSockets) in all four combinations of HTTP versions: each direction ends by itself.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { metrics } from '../support/http.js';
import { eventually } from '../support/sluice.js';
import type { Arrived, Call, Tunnel } from './combinations-legs.js';
import {
  type Cell,
  COMBINATIONS,
  type Combination,
  onEachExecutor,
  type Stage,
  TEST_MS,
  title,
} from './combinations-support.js';

const TUNNELS: readonly Tunnel[] = ['CONNECT', 'WebSocket'];
const SIDES = ['client', 'endpoint'] as const;

async function open(cell: Cell, tunnel: Tunnel): Promise<readonly [Call, Arrived]> {
  const [call, arrived] = await cell.exchange({ tunnel, path: cell.stage.path() });
  arrived.agree();
  await call.agreed();
  return [call, arrived];
}

/** Connections of HTTP/1 that ended in order, on the side of clients and of endpoints; streams that were reset, either way. */
async function endings(cell: Cell): Promise<{ clients: number; endpoints: number; resets: number }> {
  const value = await metrics(cell.sluice);
  return {
    clients: value('tcp_close_total', 'peer="src"', `listener="${cell.service}-${cell.client}"`, 'errno="ok"'),
    endpoints: value('tcp_close_total', 'peer="dst"', `service="${cell.service}"`, 'errno="ok"'),
    resets: value('sluice_http2_resets_sent_total') + value('sluice_http2_resets_received_total'),
  };
}

/** One direction ends after the other, and what comes meanwhile arrives. */
async function halves(
  cell: Cell,
  tunnel: Tunnel,
  first: (typeof SIDES)[number],
  combination: Combination,
): Promise<void> {
  const before = await endings(cell);
  const counted = await cell.counts();
  const [call, arrived] = await open(cell, tunnel);
  const [one, other] = first === 'client' ? [call, arrived] : [arrived, call];
  one.write('last words');
  one.finish();
  assert.equal(await other.read(10), 'last words');
  assert.equal(await other.ended(), 'end');
  for (const text of ['still', 'here!']) {
    other.write(text);
    assert.equal(await one.read(5), text);
  }
  assert.equal(one.over, null);
  other.finish();
  assert.equal(await one.ended(), 'end');
  let now = before;
  const wanted = {
    clients: before.clients + (combination.client === 1 ? 1 : 0),
    endpoints: before.endpoints + (combination.endpoint === 1 ? 1 : 0),
    resets: before.resets,
  };
  const same = async (): Promise<boolean> => {
    now = await endings(cell);
    return JSON.stringify(now) === JSON.stringify(wanted);
  };
  await eventually(same, 'ends are counted').catch(() => assert.deepEqual(now, wanted));
  assert.ok(!call.broken && !arrived.broken, 'reset behind its end');
  await cell.counted(counted, { requests: 1, sent: 1, responses: 1 });
}

function declareTunnel(stage: () => Stage, combination: Combination, tunnel: Tunnel): void {
  const test = (what: string, body: (cell: Cell) => Promise<void>): void => {
    it(`${title(combination)}, ${tunnel}: ${what}`, { timeout: TEST_MS }, () => body(stage().cell(combination)));
  };

  for (const first of SIDES) {
    test(`the ${first} ends its direction first, and the other goes on`, (cell) =>
      halves(cell, tunnel, first, combination));
  }

  test('what comes before the answer, and right behind it, arrives', async (cell) => {
    const [call, arrived] = await cell.exchange({ tunnel, path: stage().path() });
    call.write('early');
    arrived.agree();
    arrived.write('at once');
    await call.agreed();
    assert.equal(await call.read(7), 'at once');
    assert.equal(await arrived.read(5), 'early');
  });

  test('a tunnel is a request that is over once it is agreed to', async (cell) => {
    const counted = await cell.counts();
    const [call, arrived] = await open(cell, tunnel);
    await cell.counted(counted, { requests: 1, sent: 1, responses: 1 });
    assert.deepEqual(await cell.inFlight(), [0, 0]);
    assert.deepEqual([call.over, arrived.over], [null, null]);
  });

  for (const [who, hears] of [
    ['client', 'endpoint'],
    ['endpoint', 'client'],
  ] as const) {
    test(`one that the ${who} breaks off is reset for the ${hears}, and was answered`, async (cell) => {
      const counted = await cell.counts();
      const [call, arrived] = await open(cell, tunnel);
      const [one, other] = who === 'client' ? [call, arrived] : [arrived, call];
      one.write('words');
      assert.equal(await other.read(5), 'words');
      one.abort();
      assert.equal(await other.ended(), 'reset');
      await cell.counted(counted, { requests: 1, sent: 1, responses: 1 });
    });
  }
}

function declareLengths(stage: () => Stage, combination: Combination): void {
  for (const length of ['0', '5']) {
    // RFC 9110 section 9.3.6: a client ignores it, and a server must not send it.
    it(`${title(combination)}: content-length: ${length} in a 200 to CONNECT means nothing`, {
      timeout: TEST_MS,
    }, async () => {
      const [call, arrived] = await stage().cell(combination).exchange({ tunnel: 'CONNECT' });
      arrived.agree({ 'content-length': length });
      assert.equal((await call.agreed()).field('content-length'), null);
      arrived.write('more than five');
      assert.equal(await call.read(14), 'more than five');
      call.write('and back');
      assert.equal(await arrived.read(8), 'and back');
      arrived.finish();
      assert.equal(await call.ended(), 'end');
      call.finish();
      assert.equal(await arrived.ended(), 'end');
      assert.ok(!call.broken && !arrived.broken, 'reset');
    });
  }
}

await onEachExecutor('tunnels', {}, (stage) => {
  for (const combination of COMBINATIONS) {
    for (const tunnel of TUNNELS) declareTunnel(stage, combination, tunnel);
    declareLengths(stage, combination);
  }
});

// What becomes of a request is the same in all four combinations of HTTP versions: what the client gets, what is counted, what is
// logged. The cases are in combinations-cases.ts.
import assert from 'node:assert/strict';
import { after, it } from 'node:test';
import type { Sluice } from '../support/sluice.js';
import { eventually } from '../support/sluice.js';
import { deadPort, fullListener } from '../support/tcp.js';
import { BROKEN, type Case, grpcClients, lineOf, OWN } from './combinations-cases.js';
import { PASSED } from './combinations-passed.js';
import {
  type Cell,
  COMBINATIONS,
  type Combination,
  inEach,
  onEachExecutor,
  TEST_MS,
  title,
} from './combinations-support.js';

const full = await fullListener();
after(() => full.close());

const dead = `127.0.0.1:${await deadPort()}`;
const NO_BREAKER = '    breaker: { failures: 0 }';
const NARROW = '{ maxConnections: 1, http2Connections: 1, maxStreams: 1 }';
const SETUP = {
  top: 'log: { access: true }',
  services: {
    web: { yaml: NO_BREAKER },
    slow: { yaml: `${NO_BREAKER}\n    responseTimeout: 150ms` },
    refused: { yaml: NO_BREAKER, address: dead },
    full: { yaml: `${NO_BREAKER}\n    connectTimeout: 50ms`, address: full.address },
    patient: { yaml: `${NO_BREAKER}\n    connectTimeout: 1s`, address: full.address },
    narrow: { yaml: `${NO_BREAKER}\n    connectTimeout: 100ms\n    pool: ${NARROW}` },
    out: { yaml: '    breaker: { failures: 1, minBackoff: 60s, dialInterval: 60s }', address: dead },
  },
};

/** Cases that were played, by title of the combination and path. */
type Played = Map<string, { readonly given: Case; readonly path: string }[]>;

async function play(cell: Cell, given: Case): Promise<string> {
  await given.prepare?.(cell);
  const path = cell.stage.path();
  const earlier = await cell.counts();
  const answer = await given.play(cell, { path });
  if (answer === null) assert.equal(given.status, 0);
  else {
    assert.deepEqual([answer.status, answer.field('sluice-error')], [given.status, given.reason ?? null]);
    assert.equal(answer.whole, given.cut !== true, given.cut ? 'looks whole' : 'cut off');
    if (given.body !== undefined) assert.equal(answer.body, given.body);
  }
  await cell.counted(earlier, { requests: 1, ...given.counts });
  return path;
}

/** A client of gRPC is told in terms of gRPC. */
async function playGrpc(cell: Cell, given: Case): Promise<void> {
  await given.prepare?.(cell);
  const fields = { 'content-type': 'application/grpc', te: 'trailers' };
  const answer = await given.play(cell, { path: cell.stage.path(), fields });
  assert.equal(answer?.status, 200);
  assert.equal(answer.field('sluice-error'), given.reason);
  assert.equal(
    answer.field('grpc-status') ?? answer.trailers.get('grpc-status'),
    String(Array.isArray(given.grpc) ? given.grpc[cell.endpoint - 1] : given.grpc),
  );
  assert.ok(answer.whole);
}

async function logged(sluice: Sluice, played: Played, combination: Combination): Promise<void> {
  const cases = (played.get(title(combination)) ?? []).filter(({ given }) => given.unread !== true);
  assert.ok(cases.length > 0);
  const linesOf = (path: string) => sluice.log.filter(({ message, path: of }) => message === 'request' && of === path);
  await eventually(() => cases.every(({ path }) => linesOf(path).length > 0), 'a line for each').catch(() => undefined);
  const wrong: string[] = [];
  for (const { given, path } of cases) {
    const lines = linesOf(path).map(({ status, unanswered, endpoint, reason }) => ({
      status,
      unanswered: unanswered === true,
      endpoint: endpoint !== '',
      reason: reason ?? null,
    }));
    const wanted = [lineOf(given, combination.endpoint)];
    if (JSON.stringify(lines) !== JSON.stringify(wanted)) {
      wrong.push(`${given.what}: ${JSON.stringify(lines)} instead of ${JSON.stringify(wanted)}`);
    }
  }
  assert.deepEqual(wrong, []);
}

await onEachExecutor('requests', SETUP, (stage) => {
  const played: Played = new Map();
  for (const [kind, cases] of Object.entries({ passed: PASSED, answered: OWN, broken: BROKEN })) {
    for (const given of cases) {
      inEach(`${kind}: ${given.what}`, async (combination) => {
        const path = await play(stage().cell(combination, given.service), given);
        const name = title(combination);
        played.set(name, [...(played.get(name) ?? []), { given, path }]);
      });
      const clients = grpcClients(given);
      inEach(
        `${kind} as gRPC says it: ${given.what}`,
        (combination) => playGrpc(stage().cell(combination, given.service), given),
        COMBINATIONS.filter(({ client }) => clients.includes(client)),
      );
    }
  }

  inEach('a request is in flight while it lasts', async (combination) => {
    const cell = stage().cell(combination);
    const [call, arrived] = await cell.exchange({ path: stage().path() });
    assert.deepEqual(await cell.inFlight(), [1, 1]);
    arrived.begin(200);
    arrived.write('half');
    await call.seen('half');
    assert.deepEqual(await cell.inFlight(), [1, 1]);
    arrived.finish();
    await call.answer();
    await eventually(async () => (await cell.inFlight()).every((count) => count === 0), 'it is over');
  });

  inEach('the response timeout begins when the request is whole', async (combination) => {
    const cell = stage().cell(combination, 'slow');
    const earlier = await cell.counts();
    const [call, arrived] = await cell.exchange({ method: 'POST', path: stage().path(), body: 'chunked' });
    call.write('so ');
    // Another request tells the time.
    const [other] = await cell.exchange({ path: stage().path() });
    assert.equal((await other.answer()).status, 504);
    call.write('far');
    call.finish();
    assert.equal((await arrived.whole()).body, 'so far');
    arrived.respond(200, {}, 'in time');
    assert.equal((await call.answer()).body, 'in time');
    await cell.counted(earlier, { requests: 2, sent: 2, responses: 1, failures: 1, own: 1 });
  });

  for (const combination of COMBINATIONS) {
    it(`${title(combination)}: the access log has one line for each of these`, { timeout: TEST_MS }, () =>
      logged(stage().sluice, played, combination),
    );
  }
});

// Bodies that stop in the middle, in all four combinations of HTTP versions. An exchange is a message on either side, and the
// `bodyTimeout` of each side's version holds for it: the shorter one ends it, and whoever was waited for is to blame.
import assert from 'node:assert/strict';
import { content } from '../support/content.js';
import type { Arrived, Call, Version } from './combinations-legs.js';
import { type Cell, COMBINATIONS, inEach, onEachExecutor, type Stage } from './combinations-support.js';

/** More than the buffers of four sockets hold. */
const MUCH = content(32 << 20);
const GRPC = { 'content-type': 'application/grpc', te: 'trailers' };

async function upload(cell: Cell): Promise<readonly [Call, Arrived]> {
  const pair = await cell.exchange({ method: 'POST', path: cell.stage.path(), body: 'chunked' });
  pair[0].write('some of it');
  return pair;
}

async function stalledClient(cell: Cell): Promise<void> {
  const earlier = await cell.counts();
  const limited = await cell.limit('body-time');
  const [call, arrived] = await upload(cell);
  const { status, field } = await call.answer();
  assert.deepEqual([status, field('sluice-error')], [408, 'body-timeout']);
  await arrived.gone();
  await cell.counted(earlier, { requests: 1, sent: 1, abandoned: 1, own: 1 });
  assert.equal(await cell.limit('body-time'), limited + 1);
}

async function stalledEndpoint(cell: Cell): Promise<void> {
  const earlier = await cell.counts();
  const limited = await cell.limit('body-time');
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  arrived.begin(200, { 'content-length': '100' });
  arrived.write('half');
  await call.seen('half');
  const { status, whole } = await call.answer();
  assert.deepEqual([status, whole], [200, false]);
  await arrived.gone();
  await cell.counted(earlier, { requests: 1, sent: 1, failures: 1, unanswered: 1 });
  assert.equal(await cell.limit('body-time'), limited + 1);
}

async function deafEndpoint(cell: Cell): Promise<void> {
  const earlier = await cell.counts();
  const [call, arrived] = await cell.exchange({ method: 'POST', path: cell.stage.path(), body: MUCH.length });
  arrived.hold();
  call.pour(MUCH).catch(() => undefined);
  const { status, field } = await call.answer();
  assert.deepEqual([status, field('sluice-error')], [504, 'body-timeout']);
  await cell.counted(earlier, { requests: 1, sent: 1, failures: 1, own: 1 });
}

async function deafClient(cell: Cell): Promise<void> {
  const earlier = await cell.counts();
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  call.hold();
  arrived.begin(200, { 'content-length': String(MUCH.length) });
  arrived.pour(MUCH).catch(() => undefined);
  await arrived.gone();
  await cell.counted(earlier, { requests: 1, sent: 1, abandoned: 1, unanswered: 1 });
}

/** A call of gRPC may be silent: another exchange, which may not, tells the time. */
async function silentCall(cell: Cell): Promise<void> {
  const [call, arrived] = await cell.exchange({
    method: 'POST',
    path: cell.stage.path(),
    body: 'chunked',
    fields: GRPC,
  });
  arrived.begin(200, { 'content-type': 'application/grpc' });
  const [other] = await upload(cell);
  await other.answer();
  arrived.write('event');
  await call.seen('event');
  assert.equal(arrived.over, null);
}

for (const version of [1, 2] satisfies readonly Version[]) {
  const setup = {
    top: `limits: { http${version}: { bodyTimeout: 200ms } }`,
    services: { web: { yaml: '    breaker: { failures: 0 }' } },
    peers: { credit: false },
  };
  await onEachExecutor(`bodies under limits.http${version}.bodyTimeout`, setup, (stage: () => Stage) => {
    const concerned = COMBINATIONS.filter(({ client, endpoint }) => client === version || endpoint === version);
    const test = (what: string, body: (cell: Cell) => Promise<void>): void =>
      inEach(what, (combination) => body(stage().cell(combination)), concerned);

    test('a client that stops in an upload is answered 408', stalledClient);
    test('an endpoint that stops in a response fails, and the response is cut off', stalledEndpoint);
    test('an endpoint that stops reading an upload fails, and the client is answered 504', deafEndpoint);
    test('a client that stops reading a response loses it', deafClient);
    if (version === 2) {
      inEach(
        'a call of gRPC may be silent',
        (combination) => silentCall(stage().cell(combination)),
        COMBINATIONS.filter(({ client, endpoint }) => client === 2 && endpoint === 2),
      );
    }
  });
}

// Heads and trailer sections that are larger than a buffer, in all four combinations of HTTP versions: what real life has of tokens, cookies
// and policies passes as it is, wherever it is cut, and what is beyond the limit ends its own message alone.
import assert from 'node:assert/strict';
import { content } from '../support/content.js';
import { deadPort } from '../support/tcp.js';
import { type Call, digest, lose } from './combinations-legs.js';
import { type Cell, type Combination, inEach, onEachExecutor } from './combinations-support.js';

const BODY = content(1 << 20);

/** Text of a field that no other has, of octets whose Huffman code is short and long. */
const text = (length: number, seed = 0): string =>
  Buffer.from(Array.from({ length }, (_, i) => 0x21 + ((i * 7 + (i >> 5) + seed) % 94))).toString('latin1');
const one = (length: number): Record<string, string> => ({ 'x-one': text(length) });
const many = (count: number, length: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-many-${i}`, text(length, i)]));

function same(field: (name: string) => string | null, expected: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(expected)) {
    if (field(name) !== value) assert.fail(`${name}: ${field(name)?.length} octets instead of ${value.length}`);
  }
}

async function passes(cell: Cell, asked: Record<string, string>, answered: Record<string, string>): Promise<void> {
  const [call, arrived] = await cell.exchange({ path: cell.stage.path(), fields: asked });
  same((name) => arrived.field(name), asked);
  arrived.respond(200, answered, 'ok');
  const { status, field, body, whole } = await call.answer();
  assert.deepEqual([status, body, whole], [200, 'ok', true]);
  same(field, answered);
}

/** Bodies go behind such heads as behind others. */
async function withBodies(cell: Cell): Promise<void> {
  const asked = { method: 'POST', path: cell.stage.path(), body: BODY.length, fields: one(40_000) };
  const [call, arrived] = await cell.exchange(asked);
  same((name) => arrived.field(name), asked.fields);
  const [, there] = await Promise.all([call.pour(BODY).then(() => call.finish()), arrived.drain()]);
  assert.deepEqual(there, digest(BODY));
  const fields = { ...many(80, 500), 'content-length': String(BODY.length) };
  arrived.begin(200, fields);
  const [, back] = await Promise.all([arrived.pour(BODY).then(() => arrived.finish()), call.drain()]);
  assert.deepEqual(back, digest(BODY));
}

async function chunkedWithTrailers(cell: Cell): Promise<void> {
  const trailers = { ...many(20, 1000), 'x-last': text(20_000) };
  const [call, arrived] = await cell.exchange({
    method: 'POST',
    path: cell.stage.path(),
    body: 'chunked',
    fields: { ...one(30_000), te: 'trailers' },
  });
  call.write('some');
  call.finish(trailers);
  const { body, trailers: came } = await arrived.whole();
  assert.equal(body, 'some');
  same((name) => came.get(name) ?? null, trailers);
  arrived.begin(200, one(50_000));
  arrived.write('answer');
  arrived.finish(trailers);
  const answer = await call.answer();
  assert.deepEqual([answer.status, answer.body, answer.whole], [200, 'answer', true]);
  same(answer.field, one(50_000));
  same((name) => answer.trailers.get(name) ?? null, trailers);
}

async function interim(cell: Cell): Promise<void> {
  const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
  arrived.interim(103, { link: text(30_000) });
  arrived.interim(103, { link: text(3000) });
  arrived.respond(200, one(20_000), 'ok');
  const answer = await call.answer();
  assert.deepEqual([answer.interim, answer.status, answer.body], [[103, 103], 200, 'ok']);
}

async function tunnel(cell: Cell, kind: 'CONNECT' | 'WebSocket'): Promise<void> {
  const [call, arrived] = await cell.exchange({ tunnel: kind, path: cell.stage.path(), fields: one(30_000) });
  same((name) => arrived.field(name), one(30_000));
  arrived.agree(one(40_000));
  arrived.write('from the endpoint');
  const answer = await call.agreed();
  same((name) => answer.field(name), one(40_000));
  call.write('from the client');
  assert.equal(await arrived.read(15), 'from the client');
  assert.equal(await call.read(17), 'from the endpoint');
  call.finish();
  arrived.finish();
}

/** The request goes out once more, from the copy that was kept of it. */
async function again(cell: Cell): Promise<void> {
  const connection = await cell.pooled();
  const wish = { path: cell.stage.path(), fields: { ...one(30_000), ...many(50, 300) } };
  const [call, lost] = await cell.exchange(wish);
  assert.equal(lost.connection, connection);
  await lose(connection, 'reset');
  const arrived = await cell.origin.next(wish.path);
  same((name) => arrived.field(name), wish.fields);
  arrived.respond(200, one(20_000), 'ok');
  const { status, field } = await call.answer();
  assert.equal(status, 200);
  same(field, one(20_000));
}

async function answered(call: Call): Promise<readonly [number, string | null]> {
  const { status, field } = await call.answer();
  return [status, field('sluice-error')];
}

async function tooLarge(cell: Cell): Promise<void> {
  const limit = cell.client === 1 ? 'header-bytes' : 'h2-header-bytes';
  const before = await cell.limit(limit);
  assert.deepEqual(await answered(await cell.call({ fields: one(70_000) })), [431, 'header-too-large']);
  assert.equal(await cell.limit(limit), before + 1);
  const earlier = await cell.counts();
  // More than a breaker forgives.
  for (let i = 0; i < 7; i++) {
    const [call, arrived] = await cell.exchange({ path: cell.stage.path() });
    arrived.respond(200, one(70_000));
    assert.deepEqual(await answered(call), [502, 'header-too-large']);
  }
  await cell.counted(earlier, { requests: 7, sent: 7, abandoned: 7, own: 7 });
  await passes(cell, {}, {});
}

async function trailersTooLarge(cell: Cell): Promise<void> {
  const post = { method: 'POST', path: cell.stage.path(), body: 'chunked', fields: { te: 'trailers' } } as const;
  const [call, arrived] = await cell.exchange(post);
  call.write('some');
  call.finish({ 'x-large': text(70_000) });
  assert.deepEqual(await answered(call), [431, 'header-too-large']);
  await arrived.gone();
  const [second, other] = await cell.exchange({ path: cell.stage.path() });
  other.begin(200);
  other.write('some');
  await second.seen('some');
  other.finish({ 'x-large': text(70_000) });
  assert.equal((await second.answer()).whole, false);
}

/** Nothing listens where it goes first. */
async function elsewhere(cell: Cell): Promise<void> {
  for (let i = 0; i < 4; i++) await passes(cell, one(30_000 + i), one(10_000));
}

const peers = { credit: false };
const services = { web: {}, failing: { first: `127.0.0.1:${await deadPort()}`, yaml: '    breaker: { failures: 0 }' } };
await onEachExecutor('large heads', { peers, services }, (stage) => {
  const cellOf = (combination: Combination): Cell => stage().cell(combination);
  inEach('a field of 60 KiB each way', (c) => passes(cellOf(c), one(60_000), one(60_000)));
  inEach('250 fields', (c) => passes(cellOf(c), many(200, 100), many(200, 200)));
  inEach('every size around that of a buffer', async (c) => {
    for (let size = 15_500; size < 16_500; size += 37) await passes(cellOf(c), one(size), one(size + 11));
  });
  inEach('large bodies behind them', (c) => withBodies(cellOf(c)));
  inEach('trailers of 40 KiB, and chunks', (c) => chunkedWithTrailers(cellOf(c)));
  inEach('interim responses', (c) => interim(cellOf(c)));
  inEach('WebSockets', (c) => tunnel(cellOf(c), 'WebSocket'));
  inEach('CONNECT', (c) => tunnel(cellOf(c), 'CONNECT'));
  inEach('sent again', (c) => again(cellOf(c)));
  inEach('to another endpoint', (c) => elsewhere(stage().cell(c, 'failing')));
  inEach('beyond the limit', (c) => tooLarge(cellOf(c)));
  inEach('trailers beyond the limit', (c) => trailersTooLarge(cellOf(c)));
});

const LARGEST =
  'limits: { http1: { maxHeaderBytes: 256KiB, maxTarget: 64KiB }, http2: { maxHeaderBytes: 256KiB, maxContinuations: 1024 } }';
await onEachExecutor('the largest heads', { top: LARGEST }, (stage) => {
  inEach('a target of 40 KiB', async (c) => {
    const cell = stage().cell(c);
    const path = `${cell.stage.path()}?q=${'q'.repeat(40_000)}`;
    const [call, arrived] = await cell.exchange({ path, fields: one(20_000) });
    assert.equal(arrived.path, path);
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
  });
  inEach('255 KiB', (c) => passes(stage().cell(c), one(261_000), one(261_000)));
});

// The access log in all four combinations of HTTP versions: one record holds what is asked for when something was wrong.
import assert from 'node:assert/strict';
import { eventually, type LogLine } from '../support/sluice.js';
import { type Cell, inEach, onEachExecutor, type Stage } from './combinations-support.js';

const DEAD = '127.0.0.1:9';
const VERSION = { 1: 'HTTP/1.1', 2: 'HTTP/2' } as const;

async function record(cell: Cell, path: string): Promise<LogLine> {
  const found = (): LogLine[] => cell.sluice.log.filter((line) => line.message === 'request' && line.path === path);
  await eventually(() => found().length > 0, `a record of ${path}`);
  assert.equal(found().length, 1);
  const [line] = found();
  assert.match(String(line.client), /^127\.0\.0\.1:\d+$/);
  assert.equal(line.listener, `${cell.service}-${cell.client}`);
  assert.equal(line.service, cell.service);
  assert.equal(line.clientProtocol, VERSION[cell.client]);
  assert.ok(Number(line.durationMs) >= Number(line.responseMs ?? 0));
  return line;
}

function by(line: LogLine, cell: Cell): void {
  assert.equal(line.endpoint, cell.origin.address);
  assert.equal(line.endpointProtocol, VERSION[cell.endpoint]);
  assert.equal(line.attempts, 1);
}

function all(stage: () => Stage): void {
  inEach('a request that went well', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const fields = { 'user-agent': 'agent/1 "q"', 'x-request-id': 'id-7' };
    const [call, arrived] = await cell.exchange({ method: 'POST', path, fields, body: 300_000 });
    await call.pour(Buffer.alloc(300_000));
    call.finish();
    await arrived.whole();
    arrived.begin(201);
    const taken = call.drain();
    await arrived.pour(Buffer.alloc(70_000));
    arrived.finish();
    assert.equal((await taken).length, 70_000);
    const line = await record(cell, path);
    by(line, cell);
    assert.equal(line.method, 'POST');
    assert.equal(line.status, 201);
    assert.equal(line.userAgent, 'agent/1 "q"');
    assert.equal(line.requestId, 'id-7');
    assert.equal(line.received, 300_000);
    assert.equal(line.sent, 70_000);
    assert.equal(line.reason, undefined);
    assert.equal(line.unanswered, undefined);
    assert.ok(Number(line.responseMs) > 0);
  });

  inEach('a body of no known length, with small pieces', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const [call, arrived] = await cell.exchange({ method: 'POST', path, body: 'chunked' });
    call.write('12');
    call.write('345');
    call.finish();
    await arrived.whole();
    arrived.respond(200, {}, '1234567');
    await call.answer();
    const line = await record(cell, path);
    assert.deepEqual([line.received, line.sent], [5, 7]);
  });

  inEach('no connection could be made', async (combination) => {
    const cell = stage().cell(combination, 'dead');
    const path = stage().path();
    assert.equal((await (await cell.call({ path })).answer()).status, 502);
    const line = await record(cell, path);
    assert.equal(line.status, 502);
    assert.equal(line.reason, 'connect-failed');
    assert.equal(line.endpoint, DEAD);
    assert.ok(Number(line.attempts) > 1);
  });

  inEach('the endpoint was too slow', async (combination) => {
    const cell = stage().cell(combination, 'slow');
    const path = stage().path();
    const [call] = await cell.exchange({ path });
    assert.equal((await call.answer()).status, 504);
    const line = await record(cell, path);
    by(line, cell);
    assert.equal(line.status, 504);
    assert.equal(line.reason, 'response-timeout');
  });

  inEach('the endpoint broke off before its response, and in the middle of it', async (combination) => {
    const cell = stage().cell(combination);
    const before = stage().path();
    const [call, arrived] = await cell.exchange({ method: 'POST', path: before });
    arrived.abort();
    assert.equal((await call.answer()).status, 502);
    const line = await record(cell, before);
    by(line, cell);
    assert.equal(line.reason, 'upstream-reset');
    const middle = stage().path();
    const [second, reached] = await cell.exchange({ path: middle });
    reached.begin(200);
    reached.write('half');
    await second.seen('half');
    reached.abort();
    await second.answer();
    const cut = await record(cell, middle);
    by(cut, cell);
    assert.equal(cut.status, 200);
    assert.equal(cut.reason, 'upstream-reset');
    assert.equal(cut.unanswered, true);
    assert.equal(cut.sent, 4);
  });

  inEach('the client left', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const [call, arrived] = await cell.exchange({ path });
    call.abort();
    await arrived.gone();
    const line = await record(cell, path);
    by(line, cell);
    assert.equal(line.status, 499);
    assert.equal(line.reason, 'client-left');
    assert.equal(line.unanswered, true);
  });

  inEach('a WebSocket is one record, when it ends', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const [call, arrived] = await cell.exchange({ tunnel: 'WebSocket', path });
    arrived.agree();
    await call.agreed();
    call.write('12345');
    assert.equal(await arrived.read(5), '12345');
    arrived.write('123');
    assert.equal(await call.read(3), '123');
    call.finish();
    arrived.finish();
    assert.equal(await call.ended(), 'end');
    const line = await record(cell, path);
    by(line, cell);
    assert.ok(line.status === 101 || line.status === 200);
    assert.deepEqual([line.received, line.sent], [5, 3]);
    assert.equal(line.reason, undefined);
  });

  inEach('a WebSocket whose client breaks it off has its client, too', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const [call, arrived] = await cell.exchange({ tunnel: 'WebSocket', path });
    arrived.agree();
    await call.agreed();
    call.abort();
    await arrived.ended();
    by(await record(cell, path), cell);
  });
}

function errorsOnly(stage: () => Stage): void {
  inEach('only what failed is logged', async (combination) => {
    const cell = stage().cell(combination);
    const [good, bad, last] = [stage().path(), stage().path(), stage().path()];
    const answer = async (path: string, status: number): Promise<void> => {
      const [call, arrived] = await cell.exchange({ path });
      arrived.respond(status, {}, 'ok');
      assert.equal((await call.answer()).status, status);
    };
    await answer(good, 404);
    const options = { method: 'OPTIONS', path: good, fields: { 'max-forwards': '0' } };
    assert.equal((await (await cell.call(options)).answer()).status, 200);
    await answer(bad, 500);
    assert.equal((await record(cell, bad)).status, 500);
    const [call, arrived] = await cell.exchange({ path: last });
    call.abort();
    await arrived.gone();
    assert.equal((await record(cell, last)).status, 499);
    assert.deepEqual(
      cell.sluice.log.filter(({ path }) => path === good),
      [],
    );
  });
}

const services = { web: {}, dead: { address: DEAD }, slow: { yaml: '    responseTimeout: 60ms' } };
await onEachExecutor('the access log', { top: 'log: { access: true }', services }, all);
await onEachExecutor('the access log of errors', { top: 'log: { access: errors }' }, errorsOnly);

// Max-Forwards of OPTIONS and TRACE (RFC 9110 section 7.6.2), in all four combinations of HTTP versions.
import assert from 'node:assert/strict';
import { lose } from './combinations-legs.js';
import { type Combination, inEach, onEachExecutor } from './combinations-support.js';

const METHODS = ['OPTIONS', 'TRACE'] as const;
const SERVICES = { web: { yaml: '    breaker: { failures: 0 }\n    retry: { minPerSecond: 1000 }' } };
/** A head that is sent often is remembered, and what is ready of it is used: it has to be right then, too. */
const TIMES = 4;
const TOO_LARGE = '9'.repeat(40);
const PASSED = [
  ['1', '0'],
  ['10', '9'],
  ['007', '6'],
  ['100', '99'],
  ['2147483648', '2147483647'],
  [TOO_LARGE, '2147483647'],
] as const;

await onEachExecutor('Max-Forwards', { services: SERVICES }, (stage) => {
  /** What arrives for a number. */
  async function forwarded(combination: Combination, method: string, fields: Record<string, string>): Promise<void> {
    const cell = stage().cell(combination);
    const line = await cell.line();
    for (let i = 0; i < TIMES; i++) {
      for (const [number, left] of PASSED) {
        const path = stage().path();
        const call = line.ask({ method, path, fields: { ...fields, 'max-forwards': number, 'x-b': 'c' } });
        const arrived = await cell.origin.next(path);
        const wanted = METHODS.some((one) => one === method) ? left : number;
        assert.deepEqual(arrived.values('max-forwards'), [wanted]);
        assert.deepEqual([arrived.method, arrived.field('x-b')], [method, 'c']);
        arrived.respond(200);
        assert.equal((await call.answer()).status, 200);
      }
    }
  }

  for (const method of METHODS) inEach(`one less of ${method}`, (combination) => forwarded(combination, method, {}));
  inEach('other methods keep theirs', (combination) => forwarded(combination, 'GET', { 'x-a': 'b' }));

  inEach('a request that is sent again has it one less', async (combination) => {
    const cell = stage().cell(combination);
    const connection = await cell.pooled();
    const [call, first] = await cell.exchange({ method: 'OPTIONS', path: '/again', fields: { 'max-forwards': '7' } });
    const answer = call.answer();
    assert.deepEqual([first.connection, first.field('max-forwards')], [connection, '6']);
    await lose(connection, 'reset');
    const second = await cell.origin.next('/again');
    assert.deepEqual(second.values('max-forwards'), ['6']);
    second.respond(204);
    assert.equal((await answer).status, 204);
  });

  inEach('at 0 the endpoint is not asked', async (combination) => {
    const cell = stage().cell(combination);
    const { requests } = cell.origin;
    for (const number of ['0', '000']) {
      const fields = { 'max-forwards': number };
      const options = await (await cell.call({ method: 'OPTIONS', fields })).answer();
      assert.deepEqual([options.status, options.body, options.whole], [200, '', true]);
      assert.deepEqual([options.field('content-length'), options.field('sluice-error')], ['0', null]);
      const trace = await (await cell.call({ method: 'TRACE', fields: { ...fields, cookie: 'secret' } })).answer();
      assert.deepEqual([trace.status, trace.field('sluice-error')], [501, 'max-forwards']);
      assert.doesNotMatch(trace.body, /secret/);
    }
    assert.equal(cell.origin.requests, requests);
    assert.ok((await stage().sluice.metric('sluice_proxy_response_total', { reason: 'max-forwards' })) >= 4);
  });

  inEach('what is no number is refused', async (combination) => {
    const cell = stage().cell(combination);
    for (const number of ['', '-1', '1.5', 'x', '1, 2', '0x1', '1 2']) {
      const { status } = await (await cell.call({ method: 'OPTIONS', fields: { 'max-forwards': number } })).answer();
      assert.equal(status, 400, JSON.stringify(number));
    }
    const body = { method: 'OPTIONS', body: 3, fields: { 'max-forwards': '0' } };
    const call = await cell.call(body);
    call.write('abc');
    call.finish();
    assert.equal((await call.answer()).status, 200);
  });
});

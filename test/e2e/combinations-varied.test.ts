// Messages of which no two are alike, in all four combinations of HTTP versions: what is remembered of others must not show in them.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { lose } from './combinations-legs.js';
import { inEach, onEachExecutor } from './combinations-support.js';

/** More than it takes to find out that a name has values which never come again. */
const TIMES = 150;
const SERVICES = { web: { yaml: '    breaker: { failures: 0 }\n    retry: { minPerSecond: 1000 }' } };
const hex = (octets: number): string => randomBytes(octets).toString('hex');
const AGENTS = ['one/1.0', 'two/2.0 (like one)', 'three/3.0'];

type Fields = Record<string, string>;

/** `again`: the values are those of the number, else no others are like them. */
function request(i: number, again: boolean): Fields {
  const own = (text: string): string => (again ? `${text}-${i % 3}` : text + hex(8));
  return {
    'user-agent': AGENTS[i % AGENTS.length],
    traceparent: `00-${hex(16)}-${hex(8)}-01`,
    'x-request-id': randomUUID(),
    'x-tenant': own('tenant'),
    'x-odd': own('{"a":[1,2],"b":"$~\\"}\xe9'),
    cookie: `${own('session=')}; ${own('seen=')}`,
    'x-time': new Date(Date.now() + i * 1000).toUTCString(),
  };
}

function response(i: number, again: boolean): Fields {
  return { server: 'x', etag: `"${again ? i % 3 : hex(10)}"`, 'x-request-id': randomUUID(), 'x-n': `${i}` };
}

await onEachExecutor('traffic that varies', { services: SERVICES }, (stage) => {
  inEach('each message arrives as it was sent, whether its values come again or not', async (combination) => {
    const cell = stage().cell(combination);
    const line = await cell.line();
    for (let i = 0; i < TIMES; i++) {
      // In the end they do.
      const again = i > TIMES - 40;
      const path = `${stage().path()}?q=${hex(12)}`;
      const sent = request(i, again);
      const call = line.ask({ path, fields: sent });
      const arrived = await cell.origin.next(path);
      for (const [name, value] of Object.entries(sent)) assert.deepEqual(arrived.values(name), [value], name);
      const back = response(i, again);
      arrived.respond(200, back, 'x'.repeat(i));
      const answer = await call.answer();
      assert.deepEqual([answer.status, answer.body.length], [200, i]);
      for (const [name, value] of Object.entries(back)) assert.deepEqual(answer.values(name), [value], name);
    }
  });

  inEach('and so does one that is sent again', async (combination) => {
    const cell = stage().cell(combination);
    for (let i = 0; i < 4; i++) {
      const connection = await cell.pooled();
      const sent = request(i, false);
      const path = `/again-${i}?${hex(8)}`;
      const [call, arrived] = await cell.exchange({ path, fields: sent });
      const answer = call.answer();
      assert.equal(arrived.connection, connection);
      await lose(connection, 'reset');
      const second = await cell.origin.next(path);
      for (const [name, value] of Object.entries(sent)) assert.deepEqual(second.values(name), [value], name);
      second.respond(204);
      assert.equal((await answer).status, 204);
    }
  });
});

// Traces in all four combinations of HTTP versions: what clients say of them goes on as it is; where spans are wanted, the span takes the
// parent's place, and the collector is told of it under the same id that the access log has.
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { Collector } from '../support/collector.js';
import type { LogLine } from '../support/sluice.js';
import { type Cell, inEach, onEachExecutor } from './combinations-support.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const OTHER = '00f067aa0ba902b7';
const PARENT = `00-${TRACE}-${SPAN}-01`;
/** A head that is sent often is remembered: it has to be right then, too. */
const TIMES = 3;
const collector = await Collector.start();
after(() => collector.close());

type Fields = Readonly<Record<string, string>>;

/** What of `names` arrives of a request with `fields`; after some others with the same. */
async function arriving(
  cell: Cell,
  path: string,
  fields: Fields,
  names: readonly string[],
): Promise<Record<string, string | null>> {
  const line = await cell.line();
  let seen: Record<string, string | null> = {};
  for (let i = 0; i < TIMES; i++) {
    const call = line.ask({ path: `${path}?n=${i}`, fields });
    const arrived = await cell.origin.next(`${path}?n=${i}`);
    seen = Object.fromEntries(names.map((name) => [name, arrived.values(name).join(' and ') || null]));
    arrived.respond(200, {}, 'ok');
    assert.equal((await call.answer()).status, 200);
  }
  line.close();
  return seen;
}

const record = (cell: Cell, path: string): Promise<LogLine> =>
  cell.sluice.logged(({ message, path: of }) => message === 'request' && of === `${path}?n=${TIMES - 1}`);

const PASSED: readonly (readonly [what: string, fields: Fields, traceId: string | undefined])[] = [
  ['W3C', { traceparent: PARENT, tracestate: 'a=1,b=2', baggage: 'x=y' }, TRACE],
  ['one field of B3', { b3: `${TRACE}-${SPAN}-1-${OTHER}` }, TRACE],
  [
    'several of B3',
    { 'x-b3-traceid': SPAN, 'x-b3-spanid': OTHER, 'x-b3-parentspanid': SPAN, 'x-b3-sampled': '1', 'x-b3-flags': '1' },
    SPAN.padStart(32, '0'),
  ],
  ['what is malformed', { traceparent: `00-${TRACE}-${SPAN}-1`, b3: 'x', 'x-b3-traceid': 'X'.repeat(500) }, undefined],
];

await onEachExecutor('traces without spans', { top: 'log: { access: true }' }, (stage) => {
  inEach('are passed on untouched, and their id is in the access log', async (combination) => {
    const cell = stage().cell(combination);
    const paths = PASSED.map(() => stage().path());
    for (const [i, [what, fields]] of PASSED.entries())
      assert.deepEqual(await arriving(cell, paths[i], fields, Object.keys(fields)), fields, what);
    for (const [i, [what, , traceId]] of PASSED.entries())
      assert.equal((await record(cell, paths[i])).traceId, traceId, what);
  });
});

const SPANS = `log: { access: true }\ntracing: { endpoint: "${collector.address}", sampling: 1, interval: 10ms, serviceName: shop, headers: { x-key: k } }`;

await onEachExecutor('traces with spans', { top: SPANS }, (stage) => {
  inEach('have the span as the parent of what goes on', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const fields = { traceparent: PARENT, tracestate: 'a=1', b3: '0' };
    const seen = await arriving(cell, path, fields, Object.keys(fields));
    const [, own] = /^00-0af7651916cd43dd8448eb211c80319c-([0-9a-f]{16})-01$/.exec(String(seen.traceparent)) ?? [];
    assert.notEqual(own ?? SPAN, SPAN);
    assert.deepEqual([seen.tracestate, seen.b3], ['a=1', '0']);
    const span = await collector.span('the span', ({ spanId }) => spanId === own);
    assert.deepEqual([span.traceId, span.parentId, span.name, span.kind], [TRACE, SPAN, 'GET', 2]);
    assert.equal(span.attributes['http.response.status_code'], 200);
    assert.equal(span.attributes['url.path'], path);
    assert.equal(span.attributes['sluice.endpoint'], cell.origin.address);
    assert.equal((await record(cell, path)).traceId, TRACE);
    assert.equal(collector.headers.at(-1)?.['x-key'], 'k');
  });

  inEach('begin where nobody has begun one', async (combination) => {
    const cell = stage().cell(combination);
    const path = stage().path();
    const { traceparent } = await arriving(cell, path, {}, ['traceparent']);
    const [, trace, own] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(String(traceparent)) ?? [];
    const span = await collector.span('the span', ({ spanId }) => spanId === own);
    assert.deepEqual([span.traceId, span.parentId], [trace, '']);
    assert.equal((await record(cell, path)).traceId, trace);
  });

  inEach('are told by B3 as well', async (combination) => {
    const cell = stage().cell(combination);
    const single = await arriving(cell, stage().path(), { b3: `${TRACE}-${SPAN}-1-${OTHER}` }, ['b3', 'traceparent']);
    const [, own] =
      /^0af7651916cd43dd8448eb211c80319c-([0-9a-f]{16})-1-b7ad6b7169203331$/.exec(String(single.b3)) ?? [];
    assert.equal(single.traceparent, null);
    assert.equal((await collector.span('one field', ({ spanId }) => spanId === own)).parentId, SPAN);
    const names = ['x-b3-traceid', 'x-b3-spanid', 'x-b3-parentspanid', 'x-b3-sampled'];
    const fields = { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-parentspanid': OTHER, 'x-b3-sampled': '1' };
    const several = await arriving(cell, stage().path(), fields, names);
    assert.deepEqual(
      { ...several, 'x-b3-spanid': '' },
      { 'x-b3-traceid': TRACE, 'x-b3-spanid': '', 'x-b3-parentspanid': SPAN, 'x-b3-sampled': '1' },
    );
    const span = await collector.span('several fields', ({ spanId }) => spanId === several['x-b3-spanid']);
    assert.deepEqual([span.traceId, span.parentId], [TRACE, SPAN]);
  });

  inEach('are left alone where it was decided so, or cannot be understood', async (combination) => {
    const cell = stage().cell(combination);
    const before = await cell.sluice.metric('sluice_tracing_spans_total');
    for (const fields of [
      { traceparent: `00-${TRACE}-${SPAN}-00` },
      { b3: '0' },
      { 'x-b3-sampled': '0' },
      { 'x-b3-traceid': TRACE, 'x-b3-spanid': SPAN, 'x-b3-sampled': '0' },
      { traceparent: 'nonsense' },
      { traceparent: '' },
      { b3: `${TRACE}-${SPAN}-1-` },
      { 'x-b3-traceid': TRACE },
    ] as readonly Fields[]) {
      const names = [...new Set([...Object.keys(fields), 'traceparent'])];
      const wanted = Object.fromEntries(names.map((name) => [name, fields[name] || null]));
      assert.deepEqual(await arriving(cell, stage().path(), fields, names), wanted, JSON.stringify(fields));
    }
    // Whoever has one comes after them.
    const path = stage().path();
    await arriving(cell, path, {}, []);
    await collector.span('the span', ({ attributes }) => attributes['url.path'] === path);
    const [last] = (await cell.sluice.admin('/metrics')).match(/^sluice_tracing_spans_total \d+$/m) ?? [];
    assert.ok(Number(last?.split(' ')[1]) - before <= 2 * TIMES, 'only those have got any');
  });
});

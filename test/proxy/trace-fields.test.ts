// Which requests get a span, and what is written where.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Head } from '../../src/http1/head.js';
import { parseRequest } from '../../src/http1/head-parser.js';
import { TraceFields } from '../../src/proxy/trace-fields.js';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const LIMITS = { maxHeaderBytes: 8192, maxHeaders: 32, maxTargetBytes: 1024 };

function start(sampling: number, maxSpans = 1_000_000) {
  const bytes = new Uint8Array(16_384);
  let free = 8192;
  const fields = new TraceFields({
    reactor: { now: 0 },
    slab: {
      bytes,
      fixed: (length) => {
        free += length;
        return free - length;
      },
    },
  });
  fields.configure({ sampling, maxSpans, intervalMs: 1 });
  const head = new Head(32);
  /** The fields that go on of a request with `lines`. */
  const ask = (...lines: string[]): string[] => {
    const text = `GET / HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}Host: a\r\n\r\n`;
    bytes.set(Buffer.from(text, 'latin1'));
    assert.ok(parseRequest(bytes, 0, text.length, head, LIMITS) > 0);
    fields.inHead(head);
    const hostAt = head.hostIndex;
    return Array.from({ length: head.count }, (_, i) => i)
      .filter((i) => head.kind[i] === 0 && i !== hostAt)
      .map((i) => Buffer.from(bytes.subarray(head.fields[4 * i], head.fields[4 * i + 3])).toString('latin1'));
  };
  return { fields, ask };
}

test('a share of those that nobody has decided on, and the trace that begins says so', () => {
  const { fields, ask } = start(0.1);
  const traces = new Set<string>();
  for (let i = 0; i < 5000; i++) {
    const lines = ask();
    assert.deepEqual(lines, fields.sampled ? [`traceparent: 00-${fields.traceId}-${fields.spanId}-01`] : []);
    if (!fields.sampled) continue;
    traces.add(fields.traceId);
    assert.ok(Number.parseInt(fields.traceId.slice(16, 24), 16) < 0.1 * 2 ** 32, 'others decide alike by its id');
  }
  assert.ok(traces.size > 350 && traces.size < 650, `${traces.size} of 5000`);
});

test('who has decided is respected, whatever the share', () => {
  const none = start(0);
  none.ask(`traceparent: 00-${TRACE}-${SPAN}-01`);
  assert.deepEqual([none.fields.sampled, none.fields.traceId, none.fields.parentId], [true, TRACE, SPAN]);
  none.ask();
  assert.equal(none.fields.sampled, false);
  const all = start(1);
  for (const line of [
    `traceparent: 00-${TRACE}-${SPAN}-00`,
    `B3: ${TRACE}-${SPAN}-0`,
    'X-B3-Sampled: false',
    'b3: 0',
  ]) {
    assert.deepEqual(all.ask(line), [line]);
    assert.equal(all.fields.sampled, false, line);
  }
  assert.equal(all.ask('X-B3-Flags: 1').length, 2, 'debug, of a trace that begins here');
});

test('a trace of B3 without a decision is decided by its id', () => {
  // The first of its 64 bits at the end: 8448eb21.
  for (const [sampling, sampled] of [
    [0.5, false],
    [0.52, true],
  ] as const) {
    const { fields, ask } = start(sampling);
    for (const lines of [[`b3: ${TRACE}-${SPAN}`], [`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`]]) {
      ask(...lines);
      assert.equal(fields.sampled, sampled, lines.join());
    }
  }
});

test('the span takes the parent’s place, and nothing else is changed', () => {
  const { fields, ask } = start(1);
  assert.deepEqual(ask(`TraceParent: cc-${TRACE}-${SPAN}-01-future`), [
    `TraceParent: cc-${TRACE}-${fields.spanId}-01-future`,
  ]);
  assert.deepEqual(ask(`b3: ${TRACE}-${SPAN}-d-00f067aa0ba902b7`), [`b3: ${TRACE}-${fields.spanId}-d-${SPAN}`]);
  assert.deepEqual(ask(`X-B3-TraceId: ${SPAN}`, `X-B3-SpanId: ${SPAN}`, 'X-B3-Sampled: 1'), [
    `X-B3-TraceId: ${SPAN}`,
    `X-B3-SpanId: ${fields.spanId}`,
    'X-B3-Sampled: 1',
  ]);
  assert.equal(fields.traceId, SPAN.padStart(32, '0'));
});

test('what contradicts, or is malformed, gets no span and stays', () => {
  const { fields, ask } = start(1);
  const parent = `traceparent: 00-${TRACE}-${SPAN}-01`;
  for (const lines of [
    [parent, parent],
    [parent.toUpperCase()],
    ['traceparent: '],
    [`traceparent: cc-${TRACE}-${SPAN}-01-${'x'.repeat(500)}`],
    ['b3: x', 'b3: y'],
    [`x-b3-traceid: ${TRACE}`, `x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`],
    [`x-b3-spanid: ${SPAN}`],
  ]) {
    assert.deepEqual(
      ask(...lines).map((line) => line.trimEnd()),
      lines.map((line) => line.trimEnd()),
    );
    assert.equal(fields.sampled, false, lines.join());
  }
  // A field that is for one hop only does not go on, and says nothing.
  assert.deepEqual(ask('Connection: traceparent', parent), [`traceparent: 00-${fields.traceId}-${fields.spanId}-01`]);
  assert.notEqual(fields.traceId, TRACE);
});

test('no more than so many a second, whatever is asked for', () => {
  const { fields, ask } = start(0, 3);
  let made = 0;
  for (let i = 0; i < 10; i++) {
    ask(`traceparent: 00-${TRACE}-${SPAN}-01`);
    if (fields.sampled) made++;
  }
  assert.deepEqual([made, fields.skipped], [3, 7]);
});

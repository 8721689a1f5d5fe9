// A watch's bytes are the same lines however they are cut, and lines are events or nothing.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readEvent } from '../../src/kubernetes/watch-event.js';
import { WatchLines } from '../../src/kubernetes/watch-lines.js';
import { runs } from '../support/runs.js';

const MAX_LINE = 40;

test('lines do not depend on how their bytes come', () => {
  const text = fc
    .array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 8 })
    .map((parts) => parts.join('\n'));
  fc.assert(
    fc.property(text, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (text, cuts) => {
      const bytes = Buffer.from(text);
      const lines = new WatchLines(MAX_LINE);
      const got: string[] = [];
      let good = true;
      for (let at = 0, turn = 0; at < bytes.length && good; turn++) {
        const size = cuts[turn % cuts.length];
        good = lines.push(bytes.subarray(at, at + size), (line) => got.push(line));
        at += size;
      }
      const whole = text.split('\n');
      const rest = whole.pop() ?? '';
      const long = [...whole, rest].findIndex((line) => Buffer.byteLength(line) > MAX_LINE);
      assert.equal(good, long < 0);
      assert.deepEqual(
        got,
        (long < 0 ? whole : whole.slice(0, long)).filter((line) => line !== ''),
      );
      if (good) assert.equal(lines.pending, Buffer.byteLength(rest));
    }),
    { numRuns: runs(300) },
  );
});

test('a line is an event, or nothing', () => {
  const object = { metadata: { name: 'a', resourceVersion: '7' } };
  const read = (event: unknown): unknown => readEvent(JSON.stringify(event));
  assert.deepEqual(read({ type: 'ADDED', object }), { kind: 'changed', object, version: '7' });
  assert.deepEqual(read({ type: 'DELETED', object }), { kind: 'removed', object, version: '7' });
  assert.deepEqual(read({ type: 'BOOKMARK', object }), { kind: 'bookmark', version: '7' });
  const gone = { kind: 'error', code: 410, reason: 'Expired', message: 'too old' };
  assert.deepEqual(read({ type: 'ERROR', object: { code: 410, reason: 'Expired', message: 'too old' } }), gone);
  assert.deepEqual(read({ type: 'ERROR', object: { code: 'x' } }), { kind: 'error', code: 0, reason: '', message: '' });
  for (const nonsense of [
    { type: 'OTHER', object },
    { type: 'ADDED', object: {} },
    { type: 'BOOKMARK', object: [] },
    { object },
    [],
    null,
    7,
  ])
    assert.equal(read(nonsense), null);
  fc.assert(
    fc.property(fc.json(), (text) => {
      readEvent(text);
      readEvent(text.slice(1));
    }),
    { numRuns: runs(200) },
  );
});

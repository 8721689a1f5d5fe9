import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packSpans, unpackSpans } from '../../src/tracing/packed-spans.js';
import { spanOf } from '../support/spans.js';

test('spans come out as they went in, each member different from the others', () => {
  // So that members that changed places are seen.
  let n = 0;
  const other = (value: unknown) => {
    n++;
    return typeof value === 'string' ? `text ${n}` : typeof value === 'number' ? n + 0.5 : n % 2 === 0;
  };
  const members = Object.entries(spanOf()).map(([key, value]) => [key, other(value)]);
  const odd = spanOf(Object.fromEntries(members));
  const spans = [odd, spanOf({ path: '/ä?\u0000', grpcStatus: -1, latencyUs: -1 })];
  assert.deepEqual(unpackSpans(structuredClone(packSpans(spans))), spans);
  assert.deepEqual(unpackSpans(packSpans([])), []);
});

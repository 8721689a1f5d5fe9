import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlankLine } from '../../src/http1/blank-line.js';
import { headEnd } from '../../src/http1/head-parser.js';
import { latin1 } from './support.js';

/** Where the blank line ends that is found in pieces of these lengths; 0 for none, as `headEnd` says. */
function inPieces(octets: Uint8Array, lengths: readonly number[]): number {
  const blankLine = new BlankLine();
  let at = 0;
  for (let i = 0; at < octets.length; i++) {
    const end = Math.min(octets.length, at + (lengths[i % lengths.length] ?? 1));
    const found = blankLine.find(octets, at, end);
    if (found >= 0) return found;
    at = end;
  }
  return 0;
}

test('a blank line is found in pieces where it is found in one, whatever comes before it', () => {
  const parts = ['a', 'bc', '\r', '\n', '\r\n', '\n\r', '\t', ' '];
  let state = 1;
  const pick = (most: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % most;
  };
  let found = 0;
  for (let round = 0; round < 20_000; round++) {
    const text = `x${Array.from({ length: pick(12) }, () => parts[pick(parts.length)]).join('')}`;
    const octets = latin1(text);
    const expected = headEnd(octets, 0, octets.length);
    if (expected > 0) found++;
    for (const lengths of [[1], [2], [3], [1 + pick(4), 1 + pick(4), 1 + pick(4)]]) {
      assert.equal(inPieces(octets, lengths), expected, JSON.stringify(text));
    }
  }
  assert.ok(found > 1000 && found < 19_000);
});

test('a search that begins anew knows nothing of the one before', () => {
  const blankLine = new BlankLine();
  assert.equal(blankLine.find(latin1('a\r\n'), 0, 3), -1);
  blankLine.reset();
  assert.equal(blankLine.find(latin1('\r\n'), 0, 2), -1);
});

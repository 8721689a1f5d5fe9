import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaints, withBasics } from '../config/support.js';
import { fences, page } from './fences.js';

test('the examples of the page on identities are right', () => {
  const examples = fences(page('docs/identity.md')).filter(({ info }) => info === 'yaml');
  assert.equal(examples.length, 3, 'one for each source');
  for (const { text, line } of examples) assert.deepEqual(complaints(withBasics(text)), [], `line ${line}`);
});

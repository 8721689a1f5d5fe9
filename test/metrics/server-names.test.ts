import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_NAMES, ServerNames } from '../../src/metrics/server-names.js';

test('server names are counted, those that are no names or too many as others', () => {
  const names = new ServerNames();
  for (const name of ['a.example', 'a.example', '', 'x"y', `${'a'.repeat(254)}`]) names.note(name);
  assert.deepEqual(Object.fromEntries(names.all), { 'a.example': 2, none: 1, other: 2 });
  for (let i = 0; i < 1000; i++) names.note(`n${i}.example`);
  assert.equal(names.all.length, MAX_NAMES);
  const total = names.take().reduce((sum, [, count]) => sum + count, 0);
  assert.equal(total, 1005);
  assert.deepEqual(names.take(), []);
});

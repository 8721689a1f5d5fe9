import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PagedArray } from '../../src/io/paged-array.js';

test('a cell has what was written last, or what is in one that nobody has written', () => {
  const paged = new PagedArray<string>(1000, '');
  paged.set(0, 'first');
  paged.set(255, 'end of a page');
  paged.set(999, 'last');
  assert.deepEqual(
    [0, 1, 254, 255, 256, 998, 999].map((index) => paged.get(index)),
    ['first', '', '', 'end of a page', '', '', 'last'],
  );
  paged.set(255, '');
  assert.equal(paged.get(255), '');
});

test('columns share nothing, nor do pages', () => {
  const none: readonly number[] = [];
  const [one, other] = [new PagedArray(600, none), new PagedArray(600, none)];
  one.set(3, [1]);
  one.set(259, none);
  assert.deepEqual([one.get(3), one.get(259), one.get(515), other.get(3)], [[1], none, none, none]);
  assert.equal(other.get(599), none);
});

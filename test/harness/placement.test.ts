import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { coreList, place } from '../../src/harness/placement.js';

describe('who has which core', () => {
  it('is said where one is shared', () => {
    assert.deepEqual(place([0], 1), {
      subject: '0',
      load: '0',
      upstream: '0',
      shared: 'subject, load and upstream share all cores',
    });
    assert.deepEqual(place([0, 1], 1), {
      subject: '1',
      load: '0',
      upstream: '0',
      shared: 'load and upstream share core 0',
    });
  });

  it('is one for each where there are enough', () => {
    assert.deepEqual(place([0, 1, 2], 1), { subject: '2', load: '0', upstream: '1', shared: null });
    assert.deepEqual(place([0, 1, 2, 3, 4, 5, 6, 7], 2), {
      subject: '6,7',
      load: '0,1,2',
      upstream: '3,4,5',
      shared: null,
    });
    assert.deepEqual(place([4, 5, 9, 12], 2), { subject: '9,12', load: '4', upstream: '5', shared: null });
  });

  it('is read from a list with ranges', () => {
    assert.deepEqual(coreList('0-2,5,8-9'), [0, 1, 2, 5, 8, 9]);
    assert.deepEqual(coreList('3\n'), [3]);
    assert.deepEqual(coreList(''), []);
  });
});

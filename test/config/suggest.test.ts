import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearest, suggest } from '../../src/config/suggest.js';

const keys = ['listen', 'listeners', 'keepAlive', 'userTimeout', 'name'];

test('a slip of the fingers finds its word', () => {
  assert.equal(nearest('listners', keys), 'listeners');
  assert.equal(nearest('nmae', keys), 'name');
  assert.equal(nearest('usertimeout', keys), 'userTimeout');
});

test('another way of joining words finds its word', () => {
  for (const spelling of ['keep_alive', 'keep-alive', 'KEEPALIVE', 'keep.alive'])
    assert.equal(nearest(spelling, keys), 'keepAlive');
});

test('what resembles nothing gets the list instead of a guess', () => {
  assert.equal(nearest('zebra', keys), undefined);
  assert.equal(suggest('zebra', keys), 'expected one of listen, listeners, keepAlive, userTimeout, name');
  assert.equal(suggest('x', []), 'there are none');
});

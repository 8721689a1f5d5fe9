import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientShare } from '../../src/supervisor/descriptors.js';

test('half of what the process does not need itself is for clients', () => {
  const { clients, needed, short } = clientShare(256, 30, 1, 50_000);
  assert.equal(short, true);
  assert.equal(clients, (256 - 30 - 24 - 10) / 2);
  assert.equal(clientShare(needed, 30, 1, 50_000).short, false, 'what it says is needed is enough');
  assert.equal(clientShare(needed - 2, 30, 1, 50_000).short, true);
});

test('all workers together have what one would have', () => {
  assert.equal(clientShare(1_048_576, 30, 4, 1000).clients, 4000);
  assert.equal(clientShare(1_048_576, 30, 4, 1000).short, false);
});

test('somebody is served, however few there are', () => {
  assert.equal(clientShare(20, 30, 1, 10).clients, 1);
});

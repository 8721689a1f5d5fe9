import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LocalAddress, reachableFamily } from '../../src/supervisor/reachable-family.js';

const own = (address: string, internal = false): LocalAddress => ({
  address,
  family: address.includes(':') ? 'IPv6' : 'IPv4',
  internal,
});

test('a network namespace reaches what it has addresses of', () => {
  assert.equal(reachableFamily([own('10.0.0.1')]), 4);
  assert.equal(reachableFamily([own('fd00::1')]), 6);
  assert.equal(reachableFamily([own('10.0.0.1'), own('fd00::1')]), undefined);
  assert.equal(reachableFamily([]), undefined);
  // Loopback and link-local addresses lead nowhere.
  assert.equal(reachableFamily([own('127.0.0.1', true), own('fd00::1'), own('169.254.3.4')]), 6);
  assert.equal(reachableFamily([own('::1', true), own('10.0.0.1'), own('fe80::1')]), 4);
});

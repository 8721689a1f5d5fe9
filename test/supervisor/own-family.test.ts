import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type OwnAddress, ownFamily } from '../../src/supervisor/own-family.js';

const own = (address: string, internal = false): OwnAddress => ({
  address,
  family: address.includes(':') ? 'IPv6' : 'IPv4',
  internal,
});

test('a network namespace reaches what it has addresses of', () => {
  assert.equal(ownFamily([own('10.0.0.1')]), 4);
  assert.equal(ownFamily([own('fd00::1')]), 6);
  assert.equal(ownFamily([own('10.0.0.1'), own('fd00::1')]), undefined);
  assert.equal(ownFamily([]), undefined);
  // Loopback and link-local addresses lead nowhere.
  assert.equal(ownFamily([own('127.0.0.1', true), own('fd00::1'), own('169.254.3.4')]), 6);
  assert.equal(ownFamily([own('::1', true), own('10.0.0.1'), own('fe80::1')]), 4);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOBODY, TlsPeers } from '../../src/tls/peers.js';

test('who has the same names has the same number, for as long as somebody is connected under it', () => {
  const peers = new TlsPeers(8);
  assert.deepEqual([peers.identity[0], peers.nameOf(NOBODY), peers.namesOf(NOBODY)], [NOBODY, '', []]);
  peers.identified(0, 'a', ['a', 'b']);
  peers.identified(1, 'a', ['a', 'b']);
  peers.identified(2, 'a');
  const [one, two, three] = peers.identity;
  assert.equal(one, two);
  assert.notEqual(one, three, 'other names, other rights');
  assert.deepEqual([peers.nameOf(one), peers.namesOf(one), peers.namesOf(three)], ['a', ['a', 'b'], ['a']]);
  peers.identified(0, 'c');
  assert.deepEqual([peers.nameOf(peers.identity[0]), peers.nameOf(peers.identity[1])], ['c', 'a']);
  peers.forget(1);
  assert.equal(peers.identity[1], NOBODY);
});

test('names that nobody uses are forgotten beyond a bound, and others keep theirs', () => {
  const peers = new TlsPeers(8);
  peers.identified(7, 'stays', ['stays', 'too']);
  const number = peers.identity[7];
  for (let i = 0; i < 5000; i++) {
    peers.identified(0, `name-${i}`);
    peers.forget(0);
  }
  assert.ok(peers.limit < 1100);
  assert.deepEqual(
    [peers.identity[7], peers.nameOf(number), peers.namesOf(number)],
    [number, 'stays', ['stays', 'too']],
  );
});

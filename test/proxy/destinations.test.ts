import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addressKey } from '../../src/detect/server-first-table.js';
import { DESTINATION, Destinations } from '../../src/proxy/accept/destinations.js';
import { LOCAL_DESTINATIONS } from '../../src/proxy/capacity.js';
import { answer, ORIGINAL, words } from './destinations-support.js';

describe('the table of destinations', () => {
  it('finds what it holds, whatever was added and removed', () => {
    const table = new Destinations(16);
    const held = new Map<number, number>();
    for (let i = 0; i < 20_000; i++) {
      const address = (i * 7919) % 1500;
      const slot = held.get(address);
      assert.equal(table.find(ORIGINAL, words(2, address)), slot ?? -1);
      if (slot !== undefined) {
        table.remove(slot);
        held.delete(address);
        continue;
      }
      const added = table.add(ORIGINAL, words(2, address), 80, i);
      if (held.size === LOCAL_DESTINATIONS) assert.equal(added, -1);
      else held.set(address, added);
    }
    assert.equal(table.count, held.size);
    assert.equal(new Set(held.values()).size, held.size);
  });

  it('keeps those without users in the order in which they lost the last', () => {
    const table = new Destinations(16);
    const [a, b, c] = [1, 2, 3].map((address) => table.add(ORIGINAL, words(address), 80, 0));
    for (const slot of [a, b, c]) table.use(slot);
    assert.equal(table.oldestIdle(), -1);
    table.use(b);
    table.release(b, 0, 1);
    table.release(c, 0, 2);
    table.release(a, 0, 3);
    table.release(b, 0, 4);
    const order = [];
    for (let slot = table.oldestIdle(); slot >= 0; slot = table.oldestIdle()) {
      order.push(slot);
      table.remove(slot);
    }
    assert.deepEqual(order, [c, a, b]);
    assert.equal(table.state[a], DESTINATION.FREE);
  });

  it('learns under a key of the address, whatever service it has', () => {
    const table = new Destinations(16);
    const slot = table.add(ORIGINAL, words(2, 1), 80, 0);
    const key = table.learnKey[slot];
    assert.equal(key, addressKey(ORIGINAL, words(2, 1)));
    assert.ok(key >= 2 ** 31);
    table.setAnswer(slot, answer([5, 5, 5, 5]), [5, 5, 5, 5]);
    assert.equal(table.learnKey[slot], key);
  });
});

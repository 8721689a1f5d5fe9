import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SlotTable } from '../../src/metrics/slots.js';
import { runs } from '../support/runs.js';

test('a key keeps its slot, and comes back to it while its series is kept', () => {
  const table = new SlotTable(4);
  const slot = table.acquire('a');
  assert.equal(table.acquire('a'), slot);
  assert.notEqual(table.acquire('b'), slot);
  table.release('a');
  assert.equal(table.isReleased(slot), true);
  assert.equal(table.acquire('a'), slot);
  assert.equal(table.isReleased(slot), false);
  table.release('never seen');
});

test('a full table gives slot 0, and a slot again once one is free', () => {
  let now = 0;
  const table = new SlotTable(3, { now: () => now, retainMs: 100, reuseMs: 100 });
  assert.deepEqual([table.acquire('a'), table.acquire('b'), table.acquire('c')], [1, 2, 0]);
  assert.equal(table.overflows, 1);
  table.release('a');
  assert.equal(table.acquire('c'), 0);
  now = 100;
  table.sweep();
  assert.equal(table.acquire('c'), 1);
});

test('a full table takes the slot that was released the longest ago, if it is quiet', () => {
  let now = 0;
  const cleared: number[] = [];
  const busy = new Set<number>();
  const table = new SlotTable(4, {
    now: () => now,
    retainMs: 1000,
    reuseMs: 10,
    isQuiet: (slot) => !busy.has(slot),
    clear: (slot) => cleared.push(slot),
  });
  for (const key of ['a', 'b', 'c']) table.acquire(key);
  busy.add(2);
  for (const key of ['b', 'c', 'a']) {
    now++;
    table.release(key);
  }
  assert.equal(table.acquire('d'), 0);
  now = 50;
  assert.equal(table.acquire('d'), 3);
  assert.equal(table.acquire('e'), 1);
  assert.equal(table.acquire('f'), 0);
  assert.deepEqual(cleared, [3, 1]);
});

test('keys without a slot are counted until they are released or find one', () => {
  let now = 0;
  const table = new SlotTable(2, { now: () => now, retainMs: 100, reuseMs: 100 });
  for (const key of ['a', 'b', 'c', 'c']) table.acquire(key);
  assert.equal(table.unassigned, 2);
  assert.deepEqual([table.find('a'), table.find('b')], [1, 0]);
  table.release('b');
  table.release('a');
  assert.equal(table.unassigned, 1);
  now = 100;
  assert.equal(table.acquire('c'), 1);
  assert.equal(table.unassigned, 0);
  assert.equal(table.decline('d'), 0);
  assert.equal(table.unassigned, 1);
});

test('no two held keys share a slot other than 0', () => {
  const step = fc.record({ key: fc.integer({ min: 0, max: 9 }), acquire: fc.boolean(), sweep: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let now = 0;
      const table = new SlotTable(5, { now: () => now, retainMs: 5, reuseMs: 2 });
      const held = new Map<string, number>();
      for (const { key, acquire, sweep } of steps) {
        now++;
        const name = String(key);
        if (acquire) {
          const slot = table.acquire(name);
          assert.ok(slot >= 0 && slot < 5);
          const before = held.get(name);
          if (before !== undefined && before !== 0) assert.equal(slot, before);
          held.set(name, slot);
        } else {
          table.release(name);
          held.delete(name);
        }
        if (sweep) table.sweep();
        const slots = [...held.values()].filter((slot) => slot !== 0);
        assert.equal(new Set(slots).size, slots.length);
      }
    }),
    { numRuns: runs(300) },
  );
});

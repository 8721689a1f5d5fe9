import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { destinationKey, ServerFirstTable } from '../../src/detect/server-first-table.js';
import { MAX_LISTENERS } from '../../src/metrics/layout.js';
import { SERVICE_SLOTS } from '../../src/proxy/capacity.js';
import { runs } from '../support/runs.js';

describe('destinations that spoke first', () => {
  it('are remembered until their time is over', () => {
    const learned = new ServerFirstTable(ServerFirstTable.allocate());
    const key = destinationKey(1, 2);
    assert.equal(learned.has(key, 100), false);
    learned.remember(key, 100, 60);
    assert.equal(learned.has(key, 159.9), true);
    assert.equal(learned.has(key, 160), false);
    assert.equal(learned.count(159), 1);
    assert.equal(learned.count(160), 0);
  });

  it('are kept longer when they speak first again', () => {
    const learned = new ServerFirstTable(ServerFirstTable.allocate());
    const key = destinationKey(1, 2);
    learned.remember(key, 100, 60);
    learned.remember(key, 150, 60);
    assert.equal(learned.has(key, 200), true);
    assert.equal(learned.count(200), 1);
  });

  it('are remembered past 2038', () => {
    const learned = new ServerFirstTable(ServerFirstTable.allocate());
    learned.remember(destinationKey(1, 2), 2 ** 31 - 10, 60);
    assert.equal(learned.has(destinationKey(1, 2), 2 ** 31 + 10), true);
  });

  it('are forgotten on demand, and only they', () => {
    const learned = new ServerFirstTable(ServerFirstTable.allocate());
    learned.remember(destinationKey(1, 2), 0, 60);
    learned.remember(destinationKey(2, 1), 0, 60);
    learned.forget(destinationKey(1, 2));
    assert.equal(learned.has(destinationKey(1, 2), 1), false);
    assert.equal(learned.has(destinationKey(2, 1), 1), true);
  });

  it('are shared by all who hold the memory', () => {
    const memory = ServerFirstTable.allocate();
    new ServerFirstTable(memory).remember(destinationKey(3, 4), 0, 60);
    assert.equal(new ServerFirstTable(memory).has(destinationKey(3, 4), 1), true);
  });

  it('have distinct keys, none of them 0', () => {
    const keys = new Set<number>();
    for (let listener = 0; listener < MAX_LISTENERS; listener++) {
      for (let service = 0; service < SERVICE_SLOTS; service++) keys.add(destinationKey(listener, service));
    }
    assert.equal(keys.size, MAX_LISTENERS * SERVICE_SLOTS);
    assert.equal(keys.has(0), false);
  });

  it('never exceed the table: the latest one is there, and none is made up', () => {
    const learned = new ServerFirstTable(ServerFirstTable.allocate());
    for (let i = 1; i <= 20_000; i++) {
      learned.remember(i, i / 100, 3600);
      assert.equal(learned.has(i, i / 100), true);
    }
    assert.ok(learned.count(200) <= 4096);
    for (let i = 20_001; i <= 40_000; i++) assert.equal(learned.has(i, 200), false);
  });

  it('behave like a map with expiry while there is room', () => {
    const key = fc.integer({ min: 1, max: 40 });
    const step = fc.tuple(fc.constantFrom('remember', 'forget', 'wait'), key, fc.nat(30));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const learned = new ServerFirstTable(ServerFirstTable.allocate());
        const model = new Map<number, number>();
        let now = 0;
        for (const [what, which, amount] of steps) {
          if (what === 'remember') {
            learned.remember(which, now, amount);
            model.set(which, now + amount);
          } else if (what === 'forget') {
            learned.forget(which);
            model.delete(which);
          } else now += amount;
          for (let k = 1; k <= 40; k++) assert.equal(learned.has(k, now), (model.get(k) ?? 0) > now);
        }
      }),
      { numRuns: runs(100) },
    );
  });
});

// Readers that do not read, among each other: what waits for them is bounded, and who has waited longest goes first.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CallQueue } from '../../../src/destination/server/call-queue.js';
import type { Feed } from '../../../src/destination/server/feed.js';
import { Stalled } from '../../../src/destination/server/stalled.js';

describe('readers that do not read', () => {
  const cut: string[] = [];
  let ended = 0;
  const feed = (name: string, stalledMs = 0): Feed => ({ stalledMs, cut: () => cut.push(name) }) as unknown as Feed;
  const made = (): Stalled => {
    cut.length = 0;
    ended = 0;
    return new Stalled({ stalledMs: 100, maxStalledBytes: 1000 }, () => {
      ended += 1;
    });
  };

  it('share what is the same: it is there once', () => {
    const stalled = made();
    const octets = Buffer.alloc(900);
    for (let reader = 0; reader < 100; reader++) stalled.add(feed(`reader ${reader}`), octets);
    assert.deepEqual([stalled.size, cut.length], [100, 0]);
  });

  it('are ended where too much waits for them, the oldest first', () => {
    const stalled = made();
    const [first, second, third] = [feed('first'), feed('second'), feed('third')];
    stalled.add(first, Buffer.alloc(400));
    stalled.add(second, Buffer.alloc(400));
    stalled.add(third, Buffer.alloc(400));
    assert.deepEqual([cut, ended, stalled.size], [['first'], 1, 2]);
    // What has been ended says so itself later on.
    stalled.delete(first);
    stalled.delete(second);
    stalled.add(feed('fourth'), Buffer.alloc(600));
    assert.deepEqual(cut, ['first']);
    stalled.add(feed('fifth'), Buffer.alloc(5000));
    assert.deepEqual(cut, ['first', 'third', 'fourth', 'fifth']);
    assert.equal(stalled.size, 0);
  });

  it('are ended after a while', () => {
    const stalled = made();
    const octets = Buffer.alloc(10);
    stalled.add(feed('old', 1000), octets);
    stalled.add(feed('new', 1050), octets);
    stalled.sweep(1099);
    assert.deepEqual(cut, []);
    stalled.sweep(1100);
    assert.deepEqual(cut, ['old']);
  });
});

describe('turns', () => {
  it('begin some of each key, in the order in which they came, until all have begun', async () => {
    const begun: string[] = [];
    const turns = new CallQueue<string, string>(2, (item) => begun.push(item));
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    for (const item of ['a1', 'a2', 'a3', 'a4', 'a5']) turns.add('a', item);
    turns.add('b', 'b1');
    assert.deepEqual(begun, []);
    await turn();
    assert.deepEqual(begun, ['a1', 'a2', 'b1']);
    turns.add('b', 'b2');
    await turn();
    assert.deepEqual(begun, ['a1', 'a2', 'b1', 'a3', 'a4', 'b2']);
    await turn();
    assert.equal(begun[6], 'a5');
    turns.add('a', 'a6');
    await turn();
    assert.equal(begun[7], 'a6');
  });
});

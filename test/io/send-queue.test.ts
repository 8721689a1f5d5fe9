import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SendQueue } from '../../src/io/send-queue.js';
import { Slab } from '../../src/io/slab.js';
import { fakeMemory } from './slab-support.js';

const SLOT = 3;

function queue(gathers = false): { slab: Slab; queue: SendQueue } {
  const fixed = SendQueue.fixedBytes(4) + 1024;
  const slab = new Slab(fakeMemory(256, fixed), fixed);
  return { slab, queue: new SendQueue(slab, 8, 4, undefined, gathers) };
}

/** Lengths of the slices that wait; they are taken off. */
function lengths(q: SendQueue): string {
  const found: number[] = [];
  while (!q.empty(SLOT)) {
    found.push(q.firstLength(SLOT));
    q.consume(SLOT, q.firstLength(SLOT));
  }
  return found.join(' ');
}

describe('SendQueue', () => {
  test('what goes on where the last slice ends is one slice with it, and holds its buffer once', () => {
    const { slab, queue: q } = queue();
    const free = slab.free;
    const bid = slab.take();
    const at = slab.dataStart(bid);
    q.push(SLOT, at, 100, bid);
    slab.retain(bid);
    q.push(SLOT, at + 100, 50, bid);
    assert.equal(q.pinned[SLOT], 1);
    assert.equal(q.bytes[SLOT], 150);
    assert.equal(q.firstLength(SLOT), 150);
    q.consume(SLOT, 150);
    assert.ok(q.empty(SLOT));
    assert.equal(slab.free, free);
  });

  test('a slice may grow while it is being sent: only what was sent is taken off', () => {
    const { slab, queue: q } = queue();
    const free = slab.free;
    const bid = slab.take();
    const at = slab.dataStart(bid);
    q.push(SLOT, at, 100, bid);
    // The send of 100 octets is under way.
    slab.retain(bid);
    q.push(SLOT, at + 100, 50, bid);
    q.consume(SLOT, 100);
    assert.equal(q.firstAt(SLOT), at + 100);
    assert.equal(q.firstLength(SLOT), 50);
    q.consume(SLOT, 50);
    assert.equal(slab.free, free);
  });

  test('what is put before everything else is sent first, and counted', () => {
    const { slab, queue: q } = queue();
    const free = slab.free;
    const put = (length: number, first: boolean): void => {
      const bid = slab.take();
      if (first) q.unshift(SLOT, slab.dataStart(bid), length, bid);
      else q.push(SLOT, slab.dataStart(bid), length, bid);
    };
    put(7, true);
    put(100, false);
    put(30, true);
    assert.equal(q.bytes[SLOT], 137);
    assert.equal(q.pinned[SLOT], 3);
    assert.equal(lengths(q), '30 7 100');
    assert.equal(q.pinned[SLOT], 0);
    assert.equal(slab.free, free);
  });

  test('neither a gap nor another buffer is joined', () => {
    const { slab, queue: q } = queue();
    const first = slab.take();
    const second = slab.take();
    q.push(SLOT, slab.dataStart(first), 100, first);
    slab.retain(first);
    q.push(SLOT, slab.dataStart(first) + 101, 10, first);
    q.push(SLOT, slab.dataStart(second), 10, second);
    assert.equal(q.pinned[SLOT], 2, 'two slices of one buffer cost one');
    assert.equal(q.bytes[SLOT], 120);
    assert.equal(lengths(q), '100 10 10');
  });

  test('two queues may be counted in one: each takes off what is its own', () => {
    const { slab, queue: q } = queue();
    const wire = new SendQueue(slab, 8, 0, q);
    const bids = Array.from({ length: 3 }, () => slab.take());
    q.push(SLOT, slab.dataStart(bids[0]), 10, bids[0]);
    q.push(SLOT, slab.dataStart(bids[1]), 5, bids[1]);
    wire.push(SLOT, slab.dataStart(bids[2]), 7, bids[2]);
    assert.equal(q.bytes[SLOT], 22);
    assert.equal(q.pinned[SLOT], 3);
    q.move(SLOT, SLOT + 1);
    assert.equal(q.bytes[SLOT], 7);
    assert.equal(q.pinned[SLOT], 1);
    assert.equal(q.bytes[SLOT + 1], 15);
    assert.equal(q.pinned[SLOT + 1], 2);
    q.clear(SLOT + 1);
    assert.equal(q.bytes[SLOT + 1], 0);
    assert.equal(q.pinned[SLOT + 1], 0);
    assert.equal(q.pinned[SLOT], 1);
  });

  test('constants that are nobody’s buffer are never joined', () => {
    const { slab, queue: q } = queue();
    const at = slab.fixed(64);
    q.push(SLOT, at, 10, -1);
    q.push(SLOT, at + 10, 10, -1);
    assert.equal(q.pinned[SLOT], 0);
    assert.equal(lengths(q), '10 10');
  });

  test('small pieces are gathered behind what waits, also while that is being sent: little data does not hold many buffers', () => {
    const { slab, queue: q } = queue(true);
    const free = slab.free;
    const expected: number[] = [];
    for (let i = 0; i < 400; i++) {
      const bid = slab.take();
      const at = slab.dataStart(bid);
      const piece = Array.from({ length: 100 }, (_, j) => (i + j) & 0xff);
      slab.bytes.set(piece, at);
      q.push(SLOT, at, piece.length, bid);
      expected.push(...piece);
    }
    assert.equal(q.bytes[SLOT], 40_000);
    assert.equal(q.pinned[SLOT], 3);
    assert.equal(slab.free, free - 3, 'what is counted is what is held');
    const sent: number[] = [];
    while (!q.empty(SLOT)) {
      const n = Math.min(37, q.firstLength(SLOT));
      sent.push(...slab.bytes.subarray(q.firstAt(SLOT), q.firstAt(SLOT) + n));
      q.consume(SLOT, n);
    }
    assert.deepEqual(sent, expected);
    assert.equal(q.pinned[SLOT], 0);
    assert.equal(slab.free, free);
  });

  test('what others refer to is not written behind', () => {
    const { slab, queue: q } = queue(true);
    const first = slab.take();
    slab.retain(first);
    q.push(SLOT, slab.dataStart(first), 10, first);
    const second = slab.take();
    q.push(SLOT, slab.dataStart(second), 10, second);
    assert.equal(q.pinned[SLOT], 2);
    const third = slab.take();
    q.push(SLOT, slab.dataStart(third), 5, third);
    assert.equal(lengths(q), '10 15');
  });

  test('large pieces are gathered only where several buffers wait already', () => {
    const { slab, queue: q } = queue(true);
    const push = (): void => {
      const bid = slab.take();
      q.push(SLOT, slab.dataStart(bid), 5000, bid);
    };
    for (let i = 0; i < 4; i++) push();
    assert.equal(q.pinned[SLOT], 4);
    for (let i = 0; i < 8; i++) push();
    assert.equal(q.pinned[SLOT], 6);
    assert.equal(lengths(q), '5000 5000 5000 15000 15000 15000');
  });
});

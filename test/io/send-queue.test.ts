import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SendQueue } from '../../src/io/send-queue.js';
import { Slab } from '../../src/io/slab.js';
import { fakeMemory } from './slab-support.js';

const SLOT = 3;

function queue(): { slab: Slab; queue: SendQueue } {
  const fixed = SendQueue.fixedBytes(4) + 1024;
  const slab = new Slab(fakeMemory(256, fixed), fixed);
  return { slab, queue: new SendQueue(slab, 8, 4) };
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
    assert.equal(q.slices[SLOT], 1);
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

  test('neither a gap nor another buffer is joined', () => {
    const { slab, queue: q } = queue();
    const first = slab.take();
    const second = slab.take();
    q.push(SLOT, slab.dataStart(first), 100, first);
    slab.retain(first);
    q.push(SLOT, slab.dataStart(first) + 101, 10, first);
    q.push(SLOT, slab.dataStart(second), 10, second);
    assert.equal(q.slices[SLOT], 3);
    assert.equal(q.bytes[SLOT], 120);
  });

  test('two queues may be counted in one: each takes off what is its own', () => {
    const { slab, queue: q } = queue();
    const wire = new SendQueue(slab, 8, 0, q);
    const at = slab.fixed(64);
    q.push(SLOT, at, 10, -1);
    q.push(SLOT, at + 20, 5, -1);
    wire.push(SLOT, at, 7, -1);
    assert.equal(q.bytes[SLOT], 22);
    assert.equal(q.slices[SLOT], 3);
    q.move(SLOT, SLOT + 1);
    assert.equal(q.bytes[SLOT], 7);
    assert.equal(q.slices[SLOT], 1);
    assert.equal(q.bytes[SLOT + 1], 15);
    wire.push(SLOT + 1, at, 1, -1);
    q.clear(SLOT + 1);
    assert.equal(q.bytes[SLOT + 1], 1);
    assert.equal(q.slices[SLOT + 1], 1);
  });

  test('constants that are nobody’s buffer are never joined', () => {
    const { slab, queue: q } = queue();
    const at = slab.fixed(64);
    q.push(SLOT, at, 10, -1);
    q.push(SLOT, at + 10, 10, -1);
    assert.equal(q.slices[SLOT], 2);
  });
});

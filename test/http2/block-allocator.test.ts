import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BLOCK_BYTES, BlockAllocator } from '../../src/http2/block-allocator.js';
import { BUFFER_SIZE, Slab } from '../../src/io/slab.js';
import { fakeMemory } from '../io/slab-support.js';
import { runs } from '../support/runs.js';

const PER_BUFFER = BUFFER_SIZE / BLOCK_BYTES;

test('blocks are cut from one buffer until it is used up, and none is given out twice', () => {
  const slab = new Slab(fakeMemory(16), 0);
  const blocks = new BlockAllocator(slab);
  const free = slab.free;
  const taken = Array.from({ length: PER_BUFFER }, () => blocks.take());
  assert.equal(new Set(taken).size, PER_BUFFER);
  assert.equal(slab.free, free - 1);
  assert.ok(taken.every((at) => at % BLOCK_BYTES === 0 && slab.bufferOf(at) === slab.bufferOf(taken[0])));
  blocks.take();
  assert.equal(slab.free, free - 2);
  assert.equal(blocks.used, PER_BUFFER + 1);
});

test('a block released twice throws', () => {
  const blocks = new BlockAllocator(new Slab(fakeMemory(16), 0));
  const [first, second] = [blocks.take(), blocks.take()];
  blocks.release(first);
  assert.throws(() => blocks.release(first), /released twice/);
  blocks.release(second);
  assert.throws(() => blocks.release(second), /released twice/);
  assert.equal(blocks.used, 0);
});

test('a block of a buffer that went back to the slab cannot be released again', () => {
  const slab = new Slab(fakeMemory(16), 0);
  const blocks = new BlockAllocator(slab);
  const taken = Array.from({ length: PER_BUFFER + 1 }, () => blocks.take());
  for (const at of taken) blocks.release(at);
  // Only one buffer is kept: the other is the slab's.
  for (const at of taken) assert.throws(() => blocks.release(at), /released twice/);
});

test('when the slab is out there is no block, and there is one again when one is released', () => {
  const slab = new Slab(fakeMemory(8), 0);
  const blocks = new BlockAllocator(slab);
  const taken: number[] = [];
  for (let at = blocks.take(); at >= 0; at = blocks.take()) taken.push(at);
  assert.equal(slab.free, 0);
  assert.equal(blocks.take(), -1);
  blocks.release(taken[5]);
  assert.equal(blocks.take(), taken[5]);
});

test('whatever the order of takes and releases, no more buffers are held than needed, and one at the end', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 300 }), (steps) => {
      const slab = new Slab(fakeMemory(32), 0);
      const blocks = new BlockAllocator(slab);
      const free = slab.free;
      const held: number[] = [];
      for (const step of steps) {
        if (step >= 0 || held.length === 0) {
          const at = blocks.take();
          if (at < 0) continue;
          assert.ok(!held.includes(at));
          held.push(at);
        } else blocks.release(held.splice(-step % held.length, 1)[0]);
        assert.equal(blocks.used, held.length);
        const buffers = new Set(held.map((at) => slab.bufferOf(at))).size;
        assert.ok(free - slab.free <= buffers + 1, 'at most one buffer lies idle');
      }
      for (const at of held) blocks.release(at);
      assert.equal(blocks.used, 0);
      assert.ok(free - slab.free <= 1);
    }),
    { numRuns: runs(100) },
  );
});

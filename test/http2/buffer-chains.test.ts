import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BLOCK_BYTES, BlockAllocator } from '../../src/http2/block-allocator.js';
import { BufferChains } from '../../src/http2/buffer-chains.js';
import { Slab } from '../../src/io/slab.js';
import { fakeMemory } from '../io/slab-support.js';
import { runs } from '../support/runs.js';

const CHAINS = 4;

class Fixture {
  readonly slab: Slab;
  readonly blocks: BlockAllocator;
  readonly chains: BufferChains;
  readonly free: number;

  constructor(buffers = 64) {
    this.slab = new Slab(fakeMemory(buffers), 0);
    this.blocks = new BlockAllocator(this.slab);
    this.chains = new BufferChains(this.slab, this.blocks, CHAINS);
    this.free = this.slab.free;
  }

  /** Appends `length` octets of value `value` from a buffer that is released afterwards, as one of a receive is. */
  append(chain: number, length: number, value: number): boolean {
    const { slab } = this;
    const bid = slab.take();
    if (bid < 0) return false;
    const at = slab.dataStart(bid);
    slab.bytes.fill(value, at, at + length);
    const taken = this.chains.append(chain, at, length);
    slab.release(bid);
    return taken;
  }

  content(chain: number): number[] {
    const { chains, slab } = this;
    const octets: number[] = [];
    for (let piece = chains.start(chain); piece > 0; piece = chains.following(piece))
      octets.push(...slab.bytes.subarray(chains.pieceAt(piece), chains.pieceAt(piece) + chains.pieceLength(piece)));
    return octets;
  }

  whole(): void {
    assert.equal(this.chains.total, 0);
    assert.equal(this.blocks.used, 0);
    assert.ok(this.free - this.slab.free <= 1, 'at most the idle buffer of the blocks');
  }
}

test('small pieces are gathered in blocks, large ones keep their buffer', () => {
  const f = new Fixture();
  for (let i = 0; i < 1000; i++) assert.ok(f.append(0, 1, 7));
  assert.equal(f.blocks.used, 1);
  assert.ok(f.append(0, 2048, 8));
  assert.equal(f.blocks.used, 1);
  assert.equal(f.chains.bytes[0], 3048);
  assert.equal(f.chains.firstBuffer(0), -1);
  f.chains.consume(0, 1000);
  assert.equal(f.chains.firstBuffer(0) >= 0, true);
  f.chains.consume(0, 2048);
  assert.ok(f.chains.empty(0));
  f.whole();
});

test('a block that is full to its last octet is not written over', () => {
  const f = new Fixture();
  f.append(0, BLOCK_BYTES, 1);
  f.append(0, 3, 2);
  assert.deepEqual(f.content(0), [...Array(BLOCK_BYTES).fill(1), 2, 2, 2]);
  assert.equal(f.blocks.used, 2);
});

test('what is appended to a block partly consumed follows what is left of it', () => {
  const f = new Fixture();
  f.append(0, 10, 1);
  f.chains.consume(0, 9);
  f.append(0, 2, 2);
  assert.deepEqual(f.content(0), [1, 2, 2]);
  f.chains.consume(0, 3);
  f.whole();
});

test('without memory an append says so, and what was appended before stays whole', () => {
  const f = new Fixture(4);
  while (f.slab.free > 1) f.slab.take();
  const bid = f.slab.take();
  assert.equal(f.chains.append(0, f.slab.dataStart(bid), 100), false);
  assert.equal(f.chains.bytes[0], 0);
});

test('chains hold what a naive model holds, and give all of it back', () => {
  const step = fc.record({
    chain: fc.integer({ min: 0, max: CHAINS - 1 }),
    what: fc.constantFrom('append', 'append', 'append', 'consume', 'consume', 'clear'),
    length: fc.oneof(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 4000 }),
      fc.constantFrom(1023, 1024, 1025, 2047, 2048, 2049),
    ),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const f = new Fixture(256);
      const model: number[][] = Array.from({ length: CHAINS }, () => []);
      let value = 0;
      for (const { chain, what, length } of steps) {
        if (what === 'append') {
          value = (value + 1) & 0xff;
          assert.ok(f.append(chain, length, value));
          model[chain].push(...Array(length).fill(value));
        } else if (what === 'clear') {
          f.chains.clear(chain);
          model[chain] = [];
        } else if (!f.chains.empty(chain)) {
          const count = Math.min(length, f.chains.firstLength(chain));
          f.chains.consume(chain, count);
          model[chain].splice(0, count);
        }
        assert.equal(f.chains.bytes[chain], model[chain].length);
        assert.equal(f.chains.empty(chain), model[chain].length === 0);
      }
      for (let chain = 0; chain < CHAINS; chain++) assert.deepEqual(f.content(chain), model[chain]);
      assert.equal(
        f.chains.total,
        model.reduce((sum, octets) => sum + octets.length, 0),
      );
      for (let chain = 0; chain < CHAINS; chain++) f.chains.clear(chain);
      f.whole();
    }),
    { numRuns: runs(60) },
  );
});

test('more pieces than there was room for at first are linked as well', () => {
  const f = new Fixture(16);
  const bid = f.slab.take();
  const at = f.slab.dataStart(bid);
  for (let i = 0; i < 5000; i++) assert.ok(f.chains.append(i % CHAINS, at, 2048));
  assert.equal(f.chains.total, 5000 * 2048);
  for (let chain = 0; chain < CHAINS; chain++) f.chains.clear(chain);
  f.slab.release(bid);
  f.whole();
});

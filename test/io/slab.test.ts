import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BUFFER_CAPACITY, BUFFER_SIZE, HEADROOM, RING_BUFFERS, Slab, TAILROOM } from '../../src/io/slab.js';
import { runs } from '../support/runs.js';
import { Borrower, fakeMemory } from './slab-support.js';

test('every byte of a buffer lies inside it, with room before and after', () => {
  const slab = new Slab(fakeMemory(64), 0);
  for (let bid = 0; bid < slab.buffers; bid++) {
    assert.ok(slab.dataStart(bid) >= bid * BUFFER_SIZE + HEADROOM);
    assert.ok(slab.dataStart(bid) + BUFFER_CAPACITY <= slab.dataEnd(bid));
    assert.equal(slab.dataEnd(bid), (bid + 1) * BUFFER_SIZE - TAILROOM);
    assert.equal(slab.bufferOf(slab.dataStart(bid)), bid);
    assert.equal(slab.bufferOf(slab.dataEnd(bid) - 1), bid);
  }
});

test('a buffer has one holder at a time, whatever is taken, received, shared, released and lent', () => {
  const action = fc.record({
    kind: fc.constantFrom('take', 'receive', 'retain', 'release', 'lend', 'grow'),
    pick: fc.nat(),
  });
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 300 }), fc.array(action, { maxLength: 300 }), (buffers, actions) => {
      const memory = fakeMemory(buffers);
      const slab = new Slab(memory, 0);
      const kernel = new Borrower(memory);
      const references = new Map<number, number>();
      const hold = (bid: number): void => {
        assert.equal(references.has(bid), false, `buffer ${bid} is handed out while it is held`);
        references.set(bid, 1);
      };
      for (const { kind, pick } of actions) {
        const held = [...references.keys()];
        const bid = held[pick % Math.max(1, held.length)];
        if (kind === 'take') {
          const taken = slab.take();
          if (taken >= 0) hold(taken);
          else assert.equal(slab.free, 0);
        } else if (kind === 'receive') {
          const received = kernel.take();
          if (received >= 0) {
            slab.received(received);
            hold(received);
          }
        } else if (kind === 'lend') slab.lend();
        else if (kind === 'grow') slab.grow();
        else if (bid !== undefined && kind === 'retain') {
          slab.retain(bid);
          references.set(bid, (references.get(bid) ?? 0) + 1);
        } else if (bid !== undefined && kind === 'release') {
          slab.release(bid);
          const left = (references.get(bid) ?? 0) - 1;
          if (left === 0) references.delete(bid);
          else references.set(bid, left);
        }
        for (const [id, count] of references) assert.equal(slab.exclusive(id), count === 1);
        assert.equal(slab.lent, kernel.available);
        if (slab.lent === 0 && slab.receivable > 0) {
          slab.lend();
          assert.notEqual(slab.lent, 0, 'what is called receivable is lent');
        }
        assert.equal(slab.free + slab.lent + references.size, buffers);
      }
    }),
    { numRuns: runs(200) },
  );
});

test('one buffer may be held with what is not whole whatever is free, and more only within a share that falls', () => {
  const slab = new Slab(fakeMemory(1024), 0);
  let most = slab.share;
  assert.ok(slab.withinShare(most) && !slab.withinShare(most + 1));
  while (slab.take() >= 0) {
    assert.ok(slab.share <= most, 'the less is free, the less one may hold');
    most = slab.share;
    assert.ok(slab.withinShare(1));
    assert.equal(slab.withinShare(17), most >= 17);
  }
  assert.equal(most, 0);
});

test('the ring says where a buffer is and how much fits', () => {
  const memory = fakeMemory(100);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  for (let bid = kernel.take(); bid >= 0; bid = kernel.take()) {
    assert.equal(kernel.low, (memory.slabLow + slab.dataStart(bid)) >>> 0);
    assert.equal(kernel.high, memory.slabHigh);
    assert.equal(kernel.length, BUFFER_CAPACITY);
  }
});

test('more is lent at a time when the kernel ran out, up to what the ring holds', () => {
  const memory = fakeMemory(4096);
  const slab = new Slab(memory, 0);
  const first = slab.lent;
  slab.grow();
  slab.lend();
  assert.equal(slab.lent, 2 * first);
  for (let i = 0; i < 20; i++) slab.grow();
  slab.lend();
  assert.equal(slab.lent, RING_BUFFERS);
});

test('while memory is short, receives that may take more than one buffer get none', () => {
  const memory = fakeMemory(256);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  // A thousand readers stall: everything that arrives is held.
  do {
    for (let bid = kernel.take(); bid >= 0; bid = kernel.take()) slab.received(bid);
    slab.lend(true);
  } while (slab.lent > 0);
  assert.equal(slab.share, 0);
  assert.ok(slab.free > 256 >> 3, `${slab.free} buffers are left for those who move`);
  // Those that bring in one are the ones of whoever moves, or has nothing yet.
  slab.lend();
  assert.ok(slab.lent > 0);
});

test('the tail of the ring goes round its sixteen bits', () => {
  const memory = fakeMemory(64);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  for (let i = 0; i < 70_000; i++) {
    const bid = kernel.take();
    slab.received(bid);
    slab.release(bid);
    slab.lend();
  }
  assert.equal(slab.lent, kernel.available);
});

test('a buffer that is released once too often is an error, not a second holder', () => {
  const slab = new Slab(fakeMemory(200), 0);
  const bid = slab.take();
  slab.release(bid);
  assert.throws(() => slab.release(bid), /released twice/);
});

test('receives leave buffers for what is to be sent, and a slab that is out says so', () => {
  const memory = fakeMemory(256);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  for (let i = 0; i < 20; i++) slab.grow();
  // Everything that arrives is held.
  do {
    for (let bid = kernel.take(); bid >= 0; bid = kernel.take()) slab.received(bid);
    slab.lend();
  } while (slab.lent > 0);
  assert.equal(slab.receivable, 0);
  assert.ok(slab.free >= 16, `${slab.free} buffers are left`);
  assert.equal(slab.takeForInput(), -1, 'nor has a transport any for what it received');
  const bid = slab.take();
  assert.notEqual(bid, -1);
  while (slab.free > 0) assert.notEqual(slab.take(), -1);
  assert.equal(slab.take(), -1);
  slab.release(bid);
  assert.equal(slab.take(), bid);
});

test('fixed regions are aligned, apart from each other and from the buffers, and bounded', () => {
  const slab = new Slab(fakeMemory(2, 4096), 4096);
  assert.equal(slab.buffers, 2);
  const a = slab.fixed(10);
  const b = slab.fixed(100);
  assert.ok(a >= 2 * BUFFER_SIZE && a % 16 === 0 && b % 16 === 0 && b >= a + 10);
  assert.throws(() => slab.fixed(4096), /used up/);
});

test('what has been free for a while is given back once, what is used is not, and what was lent beyond need is', () => {
  const memory = fakeMemory(256);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  const given: number[] = [];
  const discard = (bids: Int32Array, from: number, count: number): number => {
    given.push(...bids.subarray(from, from + count));
    return count;
  };
  const pass = (): number[] => {
    slab.settle();
    slab.shrinkLent(discard);
    slab.shrink(discard);
    return given.splice(0);
  };
  assert.deepEqual(pass(), [], 'nothing has been touched');
  const taken = Array.from({ length: 100 }, () => slab.take());
  slab.lend();
  assert.deepEqual(pass(), []);
  for (const bid of taken) slab.release(bid);
  slab.lend();
  assert.deepEqual(pass(), [], 'they were in use a moment ago');
  assert.deepEqual(new Set(pass()), new Set(taken));
  assert.deepEqual(pass(), [], 'once');
  const [again] = [slab.take()];
  slab.lend();
  slab.release(again);
  pass();
  assert.deepEqual(pass(), [again], 'one that was used since');
  for (let i = 0; i < 4; i++) slab.grow();
  slab.lend();
  const { lent } = slab;
  pass();
  for (let i = 0; i < 3; i++) pass();
  assert.ok(lent > 64);
  assert.equal(slab.lent, lent, 'what is lent stays lent');
  assert.equal(kernel.available, lent);
});

/** Has the kernel write into so many of the buffers that are lent, and lends others. */
function receive(slab: Slab, kernel: Borrower, count: number): number[] {
  const received = Array.from({ length: count }, () => kernel.take());
  for (const bid of received) slab.received(bid);
  for (const bid of received) slab.release(bid);
  slab.lend();
  return received;
}

test('all that is lent is given back once nothing is received any more, however much less is lent meanwhile', () => {
  const memory = fakeMemory(4096);
  const slab = new Slab(memory, 0);
  const kernel = new Borrower(memory);
  for (let i = 0; i < 4; i++) slab.grow();
  slab.lend();
  const written = new Set<number>();
  for (let i = 0; i < 40; i++) for (const bid of receive(slab, kernel, 500)) written.add(bid);
  const discard = (bids: Int32Array, from: number, count: number): number => {
    for (const bid of bids.subarray(from, from + count)) written.delete(bid);
    return count;
  };
  for (let i = 0; i < 4; i++) {
    slab.settle();
    slab.shrinkLent(discard);
    for (let n = 0; n < 8; n++) slab.shrink(discard);
  }
  assert.equal(written.size, 0, `${written.size} that were written are kept`);
  const { discarded } = slab;
  slab.settle();
  slab.shrinkLent(discard);
  assert.equal(slab.discarded, discarded, 'once');
});

test('what is taken and given back within a turn is given back to the system as well', () => {
  const slab = new Slab(fakeMemory(1024), 0);
  const taken = Array.from({ length: 300 }, () => slab.take());
  for (const bid of taken) slab.release(bid);
  slab.lend();
  const given = new Set<number>();
  const discard = (bids: Int32Array, from: number, count: number): number => {
    for (const bid of bids.subarray(from, from + count)) given.add(bid);
    return count;
  };
  for (let i = 0; i < 3; i++) {
    slab.settle();
    slab.shrink(discard);
  }
  assert.deepEqual(given, new Set(taken));
});

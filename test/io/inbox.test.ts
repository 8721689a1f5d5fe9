import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Inbox } from '../../src/io/inbox.js';
import { BUFFER_CAPACITY, Slab } from '../../src/io/slab.js';
import { runs } from '../support/runs.js';
import { fakeMemory } from './slab-support.js';

const BUFFERS = 24;
const SLOTS = 2;
/** Where what is taken goes. */
const SCRATCH_BUFFER_BYTES = BUFFERS * BUFFER_CAPACITY + 16;

/** The pieces held for a slot; they stay. */
function content(inbox: Inbox, slab: Slab, slot: number): string[] {
  const pieces: [number, number, number][] = [];
  for (let bid = inbox.shift(slot); bid >= 0; bid = inbox.shift(slot)) {
    pieces.push([bid, inbox.startOf(bid), inbox.endOf(bid)]);
  }
  for (const piece of pieces.toReversed()) inbox.unshift(slot, ...piece);
  return pieces.map(([, start, end]) => Buffer.from(slab.bytes.subarray(start, end)).toString('latin1'));
}

const length = fc.oneof(
  fc.integer({ min: 1, max: 40 }),
  fc.constantFrom(BUFFER_CAPACITY, BUFFER_CAPACITY - 1, BUFFER_CAPACITY - 100, BUFFER_CAPACITY >> 1),
);
const action = fc.oneof(
  fc.record({
    kind: fc.constantFrom('push' as const, 'unshift' as const),
    slot: fc.nat(SLOTS - 1),
    length,
    skip: fc.double({ min: 0, max: 1, noNaN: true }),
    shared: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('take' as const),
    slot: fc.nat(SLOTS - 1),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({
    kind: fc.constantFrom('shift' as const, 'merge' as const, 'merge' as const, 'clear' as const),
    slot: fc.nat(SLOTS - 1),
  }),
);

test('whatever is pushed, put back, merged and taken: the bytes keep their order, and no buffer is lost', () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const slab = new Slab(fakeMemory(BUFFERS, SCRATCH_BUFFER_BYTES), SCRATCH_BUFFER_BYTES);
      const area = slab.fixed(SCRATCH_BUFFER_BYTES - 16);
      const available = slab.free;
      const inbox = new Inbox(slab, SLOTS);
      const model = ['', ''];
      const shared = new Set<number>();
      let letter = 0;
      for (const step of actions) {
        const { slot } = step;
        const pieces = content(inbox, slab, slot);
        if (step.kind === 'push' || step.kind === 'unshift') {
          const bid = slab.take();
          if (bid < 0) continue;
          // As received: from the first data byte on; the front may have been used already.
          const from = slab.dataStart(bid);
          const used = Math.floor(step.skip * (step.length - 1));
          const text = String.fromCharCode(97 + (letter++ % 26)).repeat(step.length);
          slab.bytes.set(Buffer.from(text, 'latin1'), from);
          if (step.shared) {
            slab.retain(bid);
            shared.add(bid);
          }
          inbox[step.kind](slot, bid, from + used, from + step.length);
          model[slot] = step.kind === 'push' ? model[slot] + text.slice(used) : text.slice(used) + model[slot];
        } else if (step.kind === 'take') {
          assert.equal(inbox.count(slot), pieces.length);
          const count = Math.floor(step.part * model[slot].length);
          inbox.take(slot, count, area);
          assert.equal(
            Buffer.from(slab.bytes.subarray(area, area + count)).toString('latin1'),
            model[slot].slice(0, count),
          );
          model[slot] = model[slot].slice(count);
        } else if (step.kind === 'shift') {
          const bid = inbox.shift(slot);
          assert.equal(bid >= 0, pieces.length > 0);
          if (bid >= 0) {
            const piece = Buffer.from(slab.bytes.subarray(inbox.startOf(bid), inbox.endOf(bid))).toString('latin1');
            assert.equal(piece, pieces[0]);
            model[slot] = model[slot].slice(piece.length);
            slab.release(bid);
          }
        } else if (step.kind === 'merge') {
          const before = slab.free;
          const result = inbox.merge(slot);
          const after = content(inbox, slab, slot);
          if (pieces.length < 2) assert.equal(result, 0);
          else if (result === -1) assert.ok(pieces[0].length + pieces[1].length > BUFFER_CAPACITY, 'both fit');
          else if (result === -2) assert.equal(before, 0);
          else {
            assert.equal(result, 1);
            assert.ok(after[0].length > pieces[0].length, 'it makes progress');
            if (after.length === pieces.length) assert.ok(after[0].length >= BUFFER_CAPACITY, 'what stays did not fit');
          }
        } else {
          inbox.clear(slot);
          model[slot] = '';
        }
        assert.equal(content(inbox, slab, slot).join(''), model[slot]);
        assert.equal(inbox.bytes[slot], model[slot].length);
        assert.equal(inbox.empty(slot), model[slot] === '');
      }
      for (let slot = 0; slot < SLOTS; slot++) inbox.clear(slot);
      for (const bid of shared) slab.release(bid);
      assert.equal(slab.free, available);
    }),
    { numRuns: runs(300), includeErrorInReport: true },
  );
});

test('a full buffer of which much is used has room for the rest of a message', () => {
  const slab = new Slab(fakeMemory(70), 0);
  const inbox = new Inbox(slab, 1);
  const [first, second] = [slab.take(), slab.take()];
  const [at, next] = [slab.dataStart(first), slab.dataStart(second)];
  slab.bytes.fill(65, at, at + BUFFER_CAPACITY);
  slab.bytes.fill(66, next, next + 300);
  inbox.push(0, first, at + BUFFER_CAPACITY - 100, at + BUFFER_CAPACITY);
  inbox.push(0, second, next, next + 300);
  assert.equal(inbox.merge(0), 1);
  assert.deepEqual(content(inbox, slab, 0), ['A'.repeat(100) + 'B'.repeat(300)]);
});

test('little that waits for more rests in a small block, and comes before what follows', () => {
  const slab = new Slab(fakeMemory(BUFFERS), 0);
  const inbox = new Inbox(slab, SLOTS);
  const blocks = slab.take();
  let used = 0;
  inbox.blocks = {
    take: () => (used++ === 0 ? slab.bufferStart(blocks) : -1),
    release: () => {
      used--;
    },
  };
  const push = (text: string): void => {
    const bid = slab.take();
    const at = slab.dataStart(bid);
    slab.bytes.set(Buffer.from(text, 'latin1'), at);
    inbox.push(0, bid, at, at + text.length);
  };
  // While memory is plentiful it is not worth a copy.
  push('a');
  inbox.rest(0);
  assert.equal(used, 0);
  const others: number[] = [];
  while (slab.plentiful) others.push(slab.take());
  const { free } = slab;
  inbox.rest(0);
  assert.equal(used, 1);
  assert.equal(slab.free, free + 1);
  assert.equal(inbox.empty(0), false);
  push('b'.repeat(BUFFER_CAPACITY));
  assert.equal(used, 0);
  assert.equal(inbox.bytes[0], BUFFER_CAPACITY + 1);
  assert.deepEqual(content(inbox, slab, 0), [`a${'b'.repeat(BUFFER_CAPACITY)}`]);
  inbox.clear(0);
  push('c');
  inbox.rest(0);
  assert.equal(inbox.wake(0), true);
  assert.deepEqual(content(inbox, slab, 0), ['c']);
  inbox.rest(0);
  inbox.clear(0);
  assert.equal(used, 0);
  assert.equal(inbox.empty(0), true);
  for (const bid of others) slab.release(bid);
  slab.release(blocks);
  assert.equal(slab.free + slab.lent, BUFFERS);
});

// Memory that is short for a while, as the typed-array side sees it: an executor that takes no entries, polls that fail.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ERRNO, OP, OP_SHIFT } from '../../src/io/abi.js';
import { type Native, native, type RingMemory } from '../../src/io/native.js';
import { Ring } from '../../src/io/ring.js';
import { SendQueue } from '../../src/io/send-queue.js';
import { Slab } from '../../src/io/slab.js';
import { SOCKET, Sockets } from '../../src/io/sockets.js';
import { PUMP, Splicer } from '../../src/io/splice.js';
import { TimerWheel } from '../../src/io/timer-wheel.js';
import { fakeMemory } from './slab-support.js';

const ENTRIES = 8;
const BUFFERS = 32;
const KIND = 1;
const SOURCE_BLOCKS = 1;
const DESTINATION_BLOCKS = 2;

/** Ring memory that holds `ENTRIES` entries, executed by nobody. */
function ringMemory(): RingMemory {
  const cqEntries = ENTRIES * 4;
  return {
    ...fakeMemory(BUFFERS, SendQueue.fixedBytes(4)),
    rings: new ArrayBuffer(64 + cqEntries * 16),
    entries: new ArrayBuffer(ENTRIES * 64),
    sqTail: 4,
    cqHead: 8,
    cqTail: 12,
    cqes: 64,
    sqEntries: ENTRIES,
    cqEntries,
  };
}

/** An executor that answers with `results` in turn, and then takes everything. Each call lasts 100 ms of the ring's clock. */
function executor(memory: RingMemory, results: number[]): Native & { calls: number } {
  const words = new Int32Array(memory.rings);
  const clock = new Float64Array(memory.page);
  const fake = {
    ...native(),
    calls: 0,
    enter: (submit: number): number => {
      fake.calls++;
      clock[0] += 100_000;
      const result = results.shift() ?? submit;
      if (result > 0) words[memory.sqHead >> 2] += result;
      return result;
    },
  };
  return fake;
}

function fill(ring: Ring): void {
  while (ring.queued < ENTRIES) ring.close(0);
}

describe('a ring that is full', () => {
  test('waits for memory, and then takes the entry', () => {
    const memory = ringMemory();
    const fake = executor(memory, [-ERRNO.EAGAIN, -ERRNO.ENOMEM, -ERRNO.EBUSY, 3]);
    const ring = new Ring(fake, memory);
    fill(ring);
    ring.close(0);
    assert.deepEqual([fake.calls, ring.queued], [4, ENTRIES - 3 + 1]);
  });

  test('gives up in the end, and says why', () => {
    const memory = ringMemory();
    const fake = executor(memory, new Array(50).fill(-ERRNO.ENOMEM));
    const ring = new Ring(fake, memory);
    fill(ring);
    assert.throws(() => ring.close(0), /the ring takes no more entries: ENOMEM/);
    assert.ok(fake.calls > 5 && fake.calls < 50, `${fake.calls} calls`);
  });

  test('does not try again what is wrong', () => {
    const memory = ringMemory();
    const fake = executor(memory, [-ERRNO.EBADF]);
    const ring = new Ring(fake, memory);
    fill(ring);
    assert.throws(() => ring.close(0), /the ring takes no more entries: EBADF/);
    assert.equal(fake.calls, 1);
  });
});

interface Stage {
  readonly sockets: Sockets;
  readonly slab: Slab;
  readonly splicer: Splicer;
  readonly state: { pump: number; moved: number; nonblock: number };
  /** The operations queued and not looked at so far. */
  operations(): number[];
}

function stage(): Stage {
  const memory = ringMemory();
  const page = new Float64Array(memory.page);
  const state = { pump: SOURCE_BLOCKS, moved: 0, nonblock: 0 };
  const fake: Native = {
    ...executor(memory, []),
    pipe: (_bytes, ends) => {
      ends.set([100, 101]);
      return 0;
    },
    nonblock: () => state.nonblock,
    close: () => 0,
    pump: () => {
      page[1] = state.moved;
      page[2] = 0;
      return state.pump;
    },
  };
  const ring = new Ring(fake, memory);
  const slab = new Slab(memory, SendQueue.fixedBytes(4));
  const owner = new Int32Array(256);
  const sockets = new Sockets(fake, ring, slab, new TimerWheel(8, 0), owner, 1, 8, 4);
  const splicer = new Splicer(fake, ring, sockets, owner, 1, 4, memory.page);
  const words = new Int32Array(memory.entries);
  let seen = 0;
  const operations = (): number[] => {
    const kinds: number[] = [];
    for (; seen < ring.queued; seen++) kinds.push(words[seen * 16 + 8] >>> OP_SHIFT);
    return kinds;
  };
  return { sockets, slab, splicer, state, operations };
}

describe('a poll that fails', () => {
  test('ends the receive that it stood for: armed again it would spin', () => {
    const { sockets, operations } = stage();
    const slot = sockets.adopt(10, KIND);
    sockets.resume(slot);
    assert.equal(sockets.received(slot, -ERRNO.EAGAIN, false), -1);
    assert.deepEqual(operations(), [OP.RECV, OP.POLL_IN]);
    assert.equal(sockets.polledIn(slot, -ERRNO.ENOMEM), ERRNO.ENOMEM);
    assert.deepEqual(operations(), []);
    assert.equal(sockets.receiving(slot), false);
  });

  test('is as good as any where the receive is not wanted any more', () => {
    const { sockets } = stage();
    const slot = sockets.adopt(10, KIND);
    sockets.resume(slot);
    sockets.received(slot, -ERRNO.EAGAIN, false);
    assert.equal(sockets.pause(slot), false);
    assert.equal(sockets.polledIn(slot, -ERRNO.ENOMEM), -2);
  });

  test('ends the send that it stood for', () => {
    const { sockets, operations } = stage();
    const slot = sockets.adopt(10, KIND);
    sockets.queue(slot, 0, 5, -1);
    sockets.flush();
    assert.equal(sockets.sent(slot, -ERRNO.EAGAIN), 0);
    assert.deepEqual(operations(), [OP.SEND, OP.POLL_OUT]);
    assert.equal(sockets.polledOut(slot, -ERRNO.ENOMEM), ERRNO.ENOMEM);
    assert.deepEqual(operations(), []);
  });

  for (const [name, pump, moved, op, verdict] of [
    ['source', SOURCE_BLOCKS, 0, OP.PUMP_IN, PUMP.SOURCE_FAILED],
    ['destination', DESTINATION_BLOCKS, 7, OP.PUMP_OUT, PUMP.DESTINATION_FAILED],
  ] as const) {
    test(`ends the splice that waits for its ${name}`, () => {
      const { sockets, splicer, state, operations } = stage();
      const source = sockets.adopt(10, KIND);
      const destination = sockets.adopt(11, KIND);
      assert.equal(splicer.start(source, destination, Number.POSITIVE_INFINITY), true);
      Object.assign(state, { pump, moved });
      assert.equal(splicer.step(source), PUMP.WAIT);
      assert.deepEqual(operations(), [op]);
      splicer.polled(source, -ERRNO.ENOMEM);
      assert.equal(splicer.step(source), verdict);
      assert.deepEqual([splicer.errno, splicer.active(source)], [ERRNO.ENOMEM, false]);
      // The next splice of this slot begins afresh.
      assert.equal(splicer.start(source, destination, Number.POSITIVE_INFINITY), true);
      assert.equal(splicer.step(source), PUMP.WAIT);
    });
  }
});

describe('while memory is short', () => {
  /** Nothing is left to share. */
  function exhaust(slab: Slab): void {
    slab.guarantee(BUFFERS);
    while (slab.share > 0) assert.ok(slab.take() >= 0);
  }

  test('receives that may take more than one buffer are ended, once each, and armed again for one', () => {
    const { sockets, slab, operations } = stage();
    const slot = sockets.adopt(10, KIND);
    sockets.resume(slot);
    sockets.sweep();
    assert.deepEqual([operations(), sockets.multishots], [[OP.RECV], 1], 'memory is not short yet');
    exhaust(slab);
    sockets.sweep();
    sockets.sweep();
    assert.deepEqual(operations(), [OP.NONE], 'one cancel');
    assert.equal(sockets.received(slot, -ERRNO.ECANCELED, false), -1);
    assert.deepEqual([operations(), sockets.multishots], [[OP.RECV], 0]);
    sockets.sweep();
    assert.deepEqual(operations(), [], 'a receive of one buffer stands');
  });

  test('so is one of a socket that has waited by a poll before', () => {
    const { sockets, slab, operations } = stage();
    const slot = sockets.adopt(10, KIND);
    sockets.resume(slot);
    sockets.received(slot, -ERRNO.EAGAIN, false);
    assert.equal(sockets.polledIn(slot, 1), -1);
    assert.deepEqual([operations(), sockets.multishots], [[OP.RECV, OP.POLL_IN, OP.RECV], 1]);
    exhaust(slab);
    sockets.sweep();
    assert.deepEqual(operations(), [OP.NONE]);
    assert.equal(sockets.received(slot, -ERRNO.ECANCELED, false), -1);
    assert.equal(sockets.multishots, 0, 'nothing keeps buffers from being lent');
  });
});

test('a socket that can not be made non-blocking is not spliced: it would block the thread', () => {
  const { sockets, splicer, state } = stage();
  const source = sockets.adopt(10, KIND);
  const destination = sockets.adopt(11, KIND);
  state.nonblock = -ERRNO.EBADF;
  assert.equal(splicer.start(source, destination, Number.POSITIVE_INFINITY), false);
  assert.deepEqual([splicer.active(source), splicer.limited], [false, 1]);
  assert.equal(sockets.flags[source] & SOCKET.NONBLOCK, 0);
  state.nonblock = 0;
  assert.equal(splicer.start(source, destination, Number.POSITIVE_INFINITY), true);
  assert.equal(splicer.open, 1, 'the pipe is used again');
});

test('a pipe has its ends in the memory that is given', () => {
  const ends = new Int32Array(2);
  assert.equal(native().pipe(65536, ends), 0);
  assert.ok(ends[0] > 2 && ends[1] > 2 && ends[0] !== ends[1], ends.join());
  for (const fd of ends) assert.equal(native().close(fd), 0);
  const wrong: unknown[] = [new Int32Array(1), new Uint32Array(2), [0, 0], undefined];
  for (const into of wrong) assert.equal(native().pipe(65536, into as Int32Array), -22);
});

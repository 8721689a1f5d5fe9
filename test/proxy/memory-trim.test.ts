import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { Slab } from '../../src/io/slab.js';
import type { Sockets } from '../../src/io/sockets.js';
import { MemoryTrim } from '../../src/proxy/memory-trim.js';
import { fakeMemory } from '../io/slab-support.js';

const IDLE_MS = 10_000;

describe('memory that a burst has taken', () => {
  let done: string[];
  let sockets: { open: number; peak: number };
  let streams: { used: number; peak: number };
  let returns: MemoryTrim;
  let now: number;
  let broken = false;
  let happened: number;

  beforeEach(() => {
    done = [];
    sockets = { open: 0, peak: 0 };
    streams = { used: 0, peak: 0 };
    now = IDLE_MS;
    happened = 0;
    returns = new MemoryTrim(
      { slab: new Slab(fakeMemory(64), 0), sockets: sockets as Sockets, wantMicrotasks: false },
      streams,
      {
        discard: () => 0,
        discardCells: () => 0,
        shrinkRing: () => done.push('ring'),
        trimHeap: () => done.push('trim'),
      },
      { slots: () => done.push('slots'), caches: () => done.push('caches') },
      async () => {
        if (broken) throw new Error('no inspector');
        done.push('collected');
      },
    );
  });

  /** A period passes, in which so much happens; what was done at its end. */
  async function pass(events = 0): Promise<string[]> {
    happened += events;
    now += IDLE_MS;
    returns.check(now, IDLE_MS, happened);
    await Promise.resolve();
    return done.splice(0);
  }
  const COLLECTION = ['ring', 'caches', 'collected'];

  test('is given back once it is over, and what V8 frees as soon as it is quiet', async () => {
    sockets.peak = 5000;
    sockets.open = 10;
    assert.deepEqual(await pass(50_000), [], 'it was in this period');
    assert.deepEqual(await pass(1000), ['slots'], 'there is traffic');
    assert.deepEqual(await pass(1000), []);
    assert.deepEqual(await pass(3), COLLECTION);
    assert.deepEqual(await pass(), ['trim', ...COLLECTION]);
    assert.deepEqual(await pass(), ['trim']);
    assert.deepEqual(await pass(), []);
  });

  test('a collection that fails leaves the worker as it is', async () => {
    broken = true;
    sockets.peak = 5000;
    await pass(50_000);
    assert.deepEqual(await pass(), ['slots', 'ring', 'caches']);
    await new Promise(setImmediate); // an unhandled rejection would fail the test here
    assert.deepEqual(await pass(), ['ring', 'caches']);
    broken = false;
  });

  test('streams of a few connections are a burst, too', async () => {
    streams.peak = 2000;
    await pass(10_000);
    assert.deepEqual(await pass(), ['slots', ...COLLECTION]);
  });

  test('nothing is done where there are as many as before, or a few less', async () => {
    for (const peak of [3000, 2900, 3100, 2600]) {
      sockets.peak = peak;
      sockets.open = peak;
      assert.deepEqual(await pass(), []);
    }
    sockets.peak = 2500;
    sockets.open = 2500;
    assert.deepEqual(await pass(), ['slots', ...COLLECTION], 'now it is less than the most there has been');
  });

  test('nothing is done before the time is over', async () => {
    sockets.peak = 5000;
    await pass();
    returns.check(now + IDLE_MS - 1, IDLE_MS, happened);
    assert.deepEqual(done, []);
    returns.check(now + IDLE_MS, IDLE_MS, happened);
    assert.deepEqual(done, ['slots', ...COLLECTION]);
  });
});

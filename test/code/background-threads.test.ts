import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { describe, it } from 'node:test';
import {
  anyBusy,
  backgroundThreads,
  lowerBackgroundPriority,
  ownBackgroundThreads,
  poolSize,
} from '../../src/code/background-threads.js';
import { native } from '../../src/io/native.js';

const SCHED_IDLE = 5;
/** The scheduling policy of a thread of this process: field 41 of its stat, the name being the second. */
const policyOf = (tid: number): number =>
  Number(
    readFileSync(`/proc/self/task/${tid}/stat`, 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ')[38],
  );

/** Threads by the distance of their id from the process's. */
const threads = (pid: number, names: Readonly<Record<number, string>>) =>
  Object.entries(names).map(([after, name]) => ({ tid: pid + Number(after), name }));

describe('the threads in which V8 compiles', () => {
  it('are known by the name that Node.js gives them', () => {
    const names = {
      0: 'sluice',
      2: 'DelayedTaskSche',
      3: 'V8Worker',
      4: 'V8Worker',
      9: 'libuv-worker',
      11: 'WorkerThread',
    };
    assert.deepEqual(backgroundThreads(threads(100, names), 100), [103, 104]);
    assert.deepEqual(backgroundThreads(threads(100, { 0: 'a', 3: 'node-V8Worker' }), 100), [103]);
  });

  it('are known by their age where they have none', () => {
    const names = {
      0: 'sluice',
      20: 'node',
      10: 'node',
      11: 'node',
      14: 'node',
      15: 'node',
      16: 'node',
      17: 'node',
      27: 'sluice',
    };
    assert.deepEqual(backgroundThreads(threads(100, names), 100), [111, 114, 115, 116]);
  });

  it('are so when the kernel has begun anew with the ids', () => {
    const pid = (1 << 22) - 3;
    const all = [pid, pid + 1, pid + 2, 310, 311, 312, 313, 340].map((tid) => ({ tid, name: 'node' }));
    assert.deepEqual(backgroundThreads(all.reverse(), pid), [pid + 2, 310, 311, 312]);
  });

  it('get a tenth of a share where other processes compete with them, or the kernel or a sandbox refuses more', () => {
    const own = ownBackgroundThreads();
    const before = getPriority(process.pid);
    lowerBackgroundPriority(native(), false);
    for (const tid of own) assert.equal(getPriority(tid), 10);
    for (const tid of own) assert.notEqual(policyOf(tid), SCHED_IDLE);
    lowerBackgroundPriority({ threadBackground: () => -1 }, true);
    for (const tid of own) assert.equal(getPriority(tid), 10);
    assert.equal(getPriority(process.pid), before);
  });

  it('come after all others in a process that has a share of its own', () => {
    const own = ownBackgroundThreads();
    assert.equal(own.length, 4);
    const before = policyOf(process.pid);
    lowerBackgroundPriority(native(), true);
    for (const tid of own) assert.equal(policyOf(tid), SCHED_IDLE);
    assert.equal(policyOf(process.pid), before);
    assert.notEqual(before, SCHED_IDLE);
  });
});

describe('how many there are', () => {
  for (const [flags, options, size] of [
    [[], '', 4],
    [['--trace-gc'], '--max-old-space-size=100', 4],
    [['--v8-pool-size=1'], '', 1],
    [[], '--trace-gc --v8-pool-size=2', 2],
    [['--v8-pool-size', '3'], '--v8-pool-size=2', 3],
    [['--v8-pool-size=0'], '', 0],
    [['--single-threaded'], '', 0],
  ] as const)
    it(`${[...flags, options].join(' ')}: ${size}`, () => {
      assert.equal(poolSize(flags, options), size);
    });

  it('says which they are', () => {
    const all = threads(100, { 0: 'a', 1: 'a', 2: 'a', 3: 'a' });
    assert.deepEqual(backgroundThreads(all, 100, 1), [102]);
    assert.deepEqual(backgroundThreads(all, 100, 0), []);
  });

  it('are busy while they run, and not while they sleep', () => {
    // This one runs now.
    assert.equal(anyBusy([process.pid]), true);
    assert.equal(anyBusy([]), false);
    // One that is gone has nothing to do.
    assert.equal(anyBusy([1 << 30]), false);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CompilerShare } from '../../src/code/compiler-share.js';

const TID = 7;
const SAMPLE_MS = 250;

/** A compiler that has work as long as `busy`, and uses `usedMs` of each sample. */
class Compiler {
  busy = false;
  usedMs = 0;
  private cpuUs = 5_000_000;
  now = 10_000;
  readonly share = new CompilerShare({ threadRunnable: () => Number(this.busy), threadCpu: () => this.cpuUs }, [TID]);

  constructor() {
    this.share.check(this.now);
  }

  /** Whether the worker rests after `samples` more. */
  after(samples: number, busy: boolean, usedMs: number): boolean {
    for (let i = 0; i < samples; i++) {
      this.busy = busy;
      this.cpuUs += usedMs * 1000;
      this.now += SAMPLE_MS;
      this.share.check(this.now);
    }
    return this.share.resting;
  }
}

describe("V8's compilers beside a worker", () => {
  it('are not waited for where they get what they need', () => {
    const compiler = new Compiler();
    assert.equal(compiler.after(10, true, 100), false);
    assert.equal(compiler.after(10, true, 60), false);
  });

  it('are not waited for where they have nothing to do', () => {
    assert.equal(new Compiler().after(10, false, 0), false);
  });

  it('are, where they have work and get nothing, until it is done', () => {
    const compiler = new Compiler();
    assert.equal(compiler.after(1, true, 1), true);
    // Two fifths of the time is what they get by it.
    assert.equal(compiler.after(3, true, SAMPLE_MS * 0.4), true);
    assert.equal(compiler.after(1, false, 20), false);
    assert.equal(compiler.after(10, false, 0), false);
  });

  it('cost a saturated worker one per cent at most where it does not help', () => {
    const compiler = new Compiler();
    let rested = 0;
    const samples = 4000;
    for (let i = 0; i < samples; i++) if (compiler.after(1, true, 0)) rested++;
    // A second, which is 2.5 s with rests, and what comes back.
    const allowed = 1000 * 2.5 + samples * SAMPLE_MS * 0.01 * 2.5;
    assert.ok(rested * SAMPLE_MS <= allowed * 1.05, `${rested} of ${samples}`);
    assert.ok(rested > 10, `${rested} of ${samples}`);
  });

  it('are checked often while they have work, and seldom afterwards', () => {
    const compiler = new Compiler();
    const wait = (): number => compiler.share.at - compiler.now;
    assert.equal(wait(), 20);
    compiler.after(1, false, 0);
    assert.equal(wait(), 20);
    compiler.after(4, false, 0);
    assert.equal(wait(), 250);
    compiler.after(1, true, 100);
    assert.equal(wait(), 20);
  });

  it('are no trouble where their threads can not be seen', () => {
    const share = new CompilerShare({ threadRunnable: () => -2, threadCpu: () => -22 }, [TID]);
    for (let now = 0; now < 5000; now += SAMPLE_MS) {
      share.check(now);
      assert.equal(share.resting, false);
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Dials } from '../../src/balance/dials.js';

const USUAL_MS = 5;

describe('dials of an endpoint', () => {
  const doubtful = (dials: Dials, now: number): boolean => dials.doubt(0, now, USUAL_MS) === 1;

  it('put it in doubt once one takes longer than is usual, and until one works', () => {
    const dials = new Dials(1);
    dials.begun(0, 1000);
    assert.equal(doubtful(dials, 1000 + USUAL_MS), false);
    assert.equal(doubtful(dials, 1100), true);
    dials.succeeded(0, 1101);
    assert.equal(doubtful(dials, 1102), false);
  });

  it('count from the last that was decided while others are under way', () => {
    const dials = new Dials(1);
    dials.begun(0, 0);
    dials.begun(0, 0);
    dials.succeeded(0, 1000);
    assert.equal(doubtful(dials, 1001), false);
    assert.equal(doubtful(dials, 1100), true);
  });

  it('put it in doubt for a while after a failure, for longer after each one, up to a bound', () => {
    const dials = new Dials(1);
    let now = 0;
    let before = 0;
    for (let failures = 1; failures <= 10; failures++) {
      dials.begun(0, now);
      dials.failed(0, now);
      let lasts = 0;
      while (doubtful(dials, now + lasts)) lasts += 100;
      assert.ok(failures > 6 ? lasts === before : lasts > before, `${lasts} ms after failure ${failures}`);
      assert.ok(lasts <= 60_000);
      before = lasts;
      now += lasts;
    }
    dials.begun(0, now);
    assert.equal(doubtful(dials, now), true, 'one at a time finds out');
    dials.succeeded(0, now);
    assert.equal(doubtful(dials, now), false);
  });

  it('say nothing when they are given up, unless another endpoint was faster', () => {
    const dials = new Dials(1);
    dials.begun(0, 0);
    dials.abandoned(0, 500, false);
    assert.equal(doubtful(dials, 501), false);
    dials.begun(0, 600);
    dials.abandoned(0, 900, true);
    assert.equal(doubtful(dials, 901), true);
    assert.equal(dials.inProgress[0], 0);
  });

  it('are forgotten when the slot is to mean another endpoint', () => {
    const dials = new Dials(1);
    dials.begun(0, 0);
    dials.failed(0, 0);
    dials.begun(0, 0);
    dials.reset(0);
    assert.equal(doubtful(dials, 1), false);
  });
});

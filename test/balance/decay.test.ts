import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decayFactor } from '../../src/balance/decay.js';

describe('the decay of an estimate', () => {
  it('follows e^-x closely', () => {
    for (let x = 0; x < 20; x += 0.0037) {
      assert.ok(Math.abs(decayFactor(x) - Math.exp(-x)) < 4e-5, `at ${x}`);
    }
  });

  it('has the right slope for the short times between samples', () => {
    const x = 1e-6;
    assert.ok(Math.abs((1 - decayFactor(x)) / x - 1) < 0.01);
  });

  it('is 1 for time that stepped back, and for no time at all', () => {
    assert.equal(decayFactor(-1), 1);
    assert.equal(decayFactor(0), 1);
    assert.equal(decayFactor(Number.NaN), 1);
  });

  it('never grows with time', () => {
    let last = 1;
    for (let x = 0; x < 17; x += 0.001) {
      const factor = decayFactor(x);
      assert.ok(factor <= last);
      last = factor;
    }
  });
});

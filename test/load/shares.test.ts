// Who makes which part of a load.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { divide, sharesOf } from '../../src/load/shares.js';
import { loadPlan, target } from '../support/load.js';

describe('dividing', () => {
  it('gives all away, by weights, and something to each', () => {
    assert.deepEqual(divide(10, [1, 1]), [5, 5]);
    assert.deepEqual(divide(10, [3, 1]), [8, 2]);
    assert.deepEqual(divide(3, [1000, 1, 1]), [1, 1, 1]);
    assert.deepEqual(divide(7, [1, 1, 1]), [3, 2, 2]);
    assert.deepEqual(divide(1, [1, 1]), [1, 0]);
  });
});

describe('shares of a load', () => {
  it('have all connections and the whole rate', () => {
    const targets = [target(1, { weight: 3 }), target(2), target(1, { path: '/b', weight: 2 })];
    const threads = sharesOf(loadPlan(targets, { connections: 11, threads: 3 }));
    const shares = threads.flat();
    assert.equal(threads.length, 3);
    assert.equal(
      shares.reduce((sum, { connections }) => sum + connections, 0),
      11,
    );
    const rate = (port: number) =>
      shares.filter((share) => share.port === port).reduce((sum, { portion }) => sum + portion.share, 0);
    assert.ok(Math.abs(rate(1) - 5 / 6) < 1e-9);
    assert.ok(Math.abs(rate(2) - 1 / 6) < 1e-9);
    // Targets of one address share connections.
    assert.ok(shares.every(({ port, targets: asked }) => asked.length === (port === 1 ? 2 : 1)));
  });

  it('leave out threads that have nothing to do', () => {
    assert.equal(sharesOf(loadPlan([target(1)], { connections: 2, threads: 4 })).length, 2);
  });
});

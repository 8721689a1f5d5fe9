import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICY } from '../../src/balance/balancer.js';
import { LatencyDeviation } from '../../src/balance/latency-deviation.js';
import { balancerOf, finish, SERVICE } from './balancer-support.js';

const MS = 1000;

/** Two of which so many samples are known. */
function measured(a: readonly number[], b: readonly number[]): LatencyDeviation {
  const deviations = new LatencyDeviation(2);
  for (const [index, samples] of [a, b].entries()) {
    deviations.start(index, 30 * MS);
    for (const sample of samples) deviations.sample(index, sample * MS);
  }
  return deviations;
}

const many = (value: number): number[] => Array.from({ length: 30 }, (_, index) => value * (1 + (index % 3) / 20));

describe('what was measured of two endpoints', () => {
  it('is alike where it is as good as the same, and not where it is not', () => {
    for (const [a, b, alike] of [
      [5, 5, true],
      [0.2, 0.9, true],
      [20, 21, true],
      [5, 8, false],
      [5, 55, false],
      [1, 3, false],
    ] as const) {
      assert.equal(measured(many(a), many(b)).overlaps(0, 1), alike, `${a} and ${b}`);
      assert.equal(measured(many(b), many(a)).overlaps(0, 1), alike, `${b} and ${a}`);
    }
  });

  it('says little at first: a connection was made for it, and other things were going on', () => {
    assert.equal(measured([80], many(2)).overlaps(0, 1), true);
    assert.equal(measured([80, 70], many(2)).overlaps(0, 1), true);
    assert.equal(measured([80, 70, 2], many(2)).overlaps(0, 1), true);
    assert.equal(measured([80, 70, 60], many(2)).overlaps(0, 1), false);
  });

  it('of one that is new is like all up to the default, and like none above', () => {
    assert.equal(measured([], many(2)).overlaps(0, 1), true);
    assert.equal(measured([], many(25)).overlaps(0, 1), true);
    assert.equal(measured([], many(100)).overlaps(0, 1), false);
  });

  it('may be far off once, not twice', () => {
    assert.equal(measured([...many(5), 55], many(5)).overlaps(0, 1), true);
    assert.equal(measured([...many(5), 55, 55], many(5)).overlaps(0, 1), false);
    assert.equal(measured([...many(5), 55, 5, 55, 5], many(5)).overlaps(0, 1), true);
  });

  it('does not excuse a failure', () => {
    const deviations = measured(many(5), many(5));
    deviations.set(0, 5000 * MS);
    assert.equal(deviations.overlaps(0, 1), false);
  });
});

describe('equal endpoints that are asked one by one', () => {
  /** Latencies as they are: mostly the same, now and then a hiccup. */
  const latency = (turn: number): number => (turn % 17 === 0 ? 40 : 0.6 + (turn % 7) / 10);

  for (const count of [2, 3, 4, 10]) {
    it(`share, ${count} of them`, () => {
      for (let seed = 1; seed <= 20; seed++) {
        const endpoints = Array.from({ length: count }, (_, index) => index);
        const balancer = balancerOf(endpoints, POLICY.EWMA, 7, seed);
        const served = new Array<number>(count).fill(0);
        let now = 0;
        for (let turn = seed; turn < seed + 40; turn++) {
          const endpoint = balancer.pickRequest(SERVICE, now, -1);
          served[endpoint]++;
          balancer.begin(endpoint);
          now += Math.ceil(latency(turn));
          finish(balancer, endpoint, now, latency(turn), false);
        }
        assert.ok(
          Math.max(...served) <= 30 && served.filter((one) => one > 0).length >= Math.min(count, 8),
          served.join(),
        );
      }
    });
  }

  it('share also after a long time', () => {
    const balancer = balancerOf([0, 1]);
    let now = 0;
    const served = [0, 0];
    for (let turn = 0; turn < 4000; turn++) {
      const endpoint = balancer.pickRequest(SERVICE, now, -1);
      served[endpoint]++;
      balancer.begin(endpoint);
      finish(balancer, endpoint, now, latency(turn), false);
      now += 50;
    }
    assert.ok(Math.min(...served) > 1000, served.join());
  });

  it('do not share with one that is slower, though the difference is small', () => {
    const balancer = balancerOf([0, 1]);
    const served = [0, 0];
    for (let turn = 0; turn < 4000; turn++) {
      const endpoint = balancer.pickRequest(SERVICE, turn * 5, -1);
      served[endpoint]++;
      balancer.begin(endpoint);
      finish(balancer, endpoint, turn * 5, (endpoint === 0 ? 4 : 7) + (turn % 3) / 10, false);
    }
    assert.ok(served[1] < served[0] / 4, served.join());
  });
});

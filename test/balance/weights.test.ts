// Endpoints with different shares of the traffic.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Balancer, POLICY } from '../../src/balance/balancer.js';
import { type Behaviour, balancerOf, SERVICE, simulate, trip } from './balancer-support.js';

const good: Behaviour = { latencyMs: 5, fails: false };

function weighed(weights: readonly number[], policy: number = POLICY.EWMA): Balancer {
  const endpoints = weights.map((_, index) => index);
  const balancer = balancerOf(endpoints, policy);
  balancer.setEndpoints(SERVICE, endpoints, 0, weights);
  return balancer;
}

const all = (count: number, behaviour: Behaviour): Map<number, Behaviour> =>
  new Map(Array.from({ length: count }, (_, index) => [index, behaviour]));

/** Each endpoint's part of the picks is what its weight says, within a third of that. */
function assertShares(picks: ReadonlyMap<number, number>, weights: readonly number[]): void {
  const total = [...picks.values()].reduce((sum, count) => sum + count, 0);
  const sum = weights.reduce((all, weight) => all + weight, 0);
  for (const [endpoint, weight] of weights.entries()) {
    const share = (picks.get(endpoint) ?? 0) / total;
    const wanted = weight / sum;
    assert.ok(Math.abs(share - wanted) < wanted / 3, `endpoint ${endpoint}: ${share}, and not ${wanted}`);
  }
}

/** Connections that stay open, by endpoint. */
function connections(balancer: Balancer, count: number, ejections: boolean): Map<number, number> {
  const picks = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const endpoint = balancer.pickConnection(SERVICE, i, -1);
    picks.set(endpoint, (picks.get(endpoint) ?? 0) + 1);
    balancer.connecting(endpoint);
    balancer.connected(endpoint, i, 1000, true);
    balancer.opened(endpoint);
    if (!ejections) balancer.closed(endpoint);
  }
  return picks;
}

const FEW = [1, 9];
const SOME = [0.5, 1, 2, 4];
const MANY = [1, 1, 2, 2, 4, 4, 8, 8];

for (const weights of [FEW, SOME, MANY]) {
  describe(`endpoints with the weights ${weights.join(', ')}`, () => {
    it('share requests that come one after the other', () => {
      assertShares(simulate(weighed(weights), all(weights.length, good), 20_000, 10), weights);
    });

    it('share requests of which many are in flight', () => {
      const slow = { latencyMs: 100, fails: false };
      assertShares(simulate(weighed(weights), all(weights.length, slow), 20_000, 1), weights);
    });

    it('share requests that are given out in turn', () => {
      const balancer = weighed(weights, POLICY.ROUND_ROBIN);
      assertShares(simulate(balancer, all(weights.length, good), 20_000, 10), weights);
    });

    it('share connections, short ones and such that stay', () => {
      assertShares(connections(weighed(weights), 20_000, false), weights);
      assertShares(connections(weighed(weights), 20_000, true), weights);
    });

    it('have no say in who is left out: a retry goes elsewhere, and nothing goes to one that is out', () => {
      const balancer = weighed(weights);
      const heaviest = weights.length - 1;
      for (let i = 0; i < 500; i++) {
        assert.notEqual(balancer.pickRequest(SERVICE, i, heaviest), heaviest);
        assert.notEqual(balancer.pickConnection(SERVICE, i, heaviest), heaviest);
      }
      trip(balancer, heaviest, 500);
      for (let i = 0; i < 500; i++) assert.notEqual(balancer.pickRequest(SERVICE, 501, -1), heaviest);
    });
  });
}

describe('weights', () => {
  it('do not keep a slow endpoint busy', () => {
    for (const weights of [FEW, MANY]) {
      const behaviours = all(weights.length, good);
      behaviours.set(weights.length - 1, { latencyMs: 400, fails: false });
      const picks = simulate(weighed(weights), behaviours, 10_000, 1);
      assert.ok((picks.get(weights.length - 1) ?? 0) < 1000, `had ${picks.get(weights.length - 1)} of 10000`);
    }
  });

  it('that are all the same are none', () => {
    const even = weighed([3, 3, 3, 3, 3, 3]);
    const none = balancerOf([0, 1, 2, 3, 4, 5]);
    for (let i = 0; i < 1000; i++) assert.equal(even.pickRequest(SERVICE, i, -1), none.pickRequest(SERVICE, i, -1));
  });

  it('change, and end, with the list of endpoints', () => {
    const balancer = weighed([1, 9]);
    balancer.setEndpoints(SERVICE, [0, 1], 0, [9, 1]);
    const short = { latencyMs: 0, fails: false };
    assertShares(simulate(balancer, all(2, short), 20_000, 10), [9, 1]);
    // The last of the requests above is still in flight.
    for (const endpoint of [0, 1]) balancer.ended(endpoint);
    balancer.setEndpoints(SERVICE, [0, 1], 200_000);
    assertShares(simulate(balancer, all(2, short), 20_000, 10, 200_000), [1, 1]);
  });

  it('of any size find somebody', () => {
    const balancer = weighed([65_535, ...Array.from({ length: 40 }, () => 0.0001)]);
    for (let i = 0; i < 1000; i++) assert.ok(balancer.pickRequest(SERVICE, i, 0) > 0);
  });
});

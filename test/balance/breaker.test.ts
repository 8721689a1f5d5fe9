import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { POLICY } from '../../src/balance/balancer.js';
import { balancerOf, good, PROBATION, PROBING, READY, SERVICE, simulate, trip } from './balancer-support.js';

describe('the breaker', () => {
  it('takes an endpoint out after consecutive failures, not before', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0, 6);
    assert.equal(balancer.state(0), READY);
    balancer.finish(0, 0, 1, false);
    trip(balancer, 0, 0, 6);
    assert.equal(balancer.state(0), READY);
    trip(balancer, 0, 0, 1);
    assert.equal(balancer.state(0), PROBATION);
    assert.equal(balancer.readyCount(SERVICE), 1);
  });

  it('stays closed where it is turned off', () => {
    const balancer = balancerOf([0], POLICY.EWMA, 0);
    trip(balancer, 0, 0, 1000);
    assert.equal(balancer.pickRequest(SERVICE, 0, -1), 0);
  });

  it('counts failed connects, and a connect that works does not excuse failed requests', () => {
    const balancer = balancerOf([0, 1]);
    for (let i = 0; i < 7; i++) {
      balancer.connecting(0);
      balancer.connectFailed(0, 0);
    }
    assert.equal(balancer.state(0), PROBATION);
    for (let i = 0; i < 7; i++) {
      balancer.connecting(1);
      balancer.connected(1, 0, 1);
      trip(balancer, 1, 0, 1);
    }
    assert.equal(balancer.state(1), PROBATION);
  });

  it('forgives failed connects to an opaque endpoint once one works', () => {
    const balancer = balancerOf([0]);
    for (let i = 0; i < 20; i++) {
      balancer.connecting(0);
      if (i % 5 === 4) balancer.connected(0, i, 1);
      else balancer.connectFailed(0, i);
    }
    assert.equal(balancer.state(0), READY);
  });

  it('fails fast when every endpoint is in probation', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    trip(balancer, 1, 0);
    assert.equal(balancer.pickRequest(SERVICE, 1, -1), -1);
    assert.equal(balancer.pickConnection(SERVICE, 1, -1), -1);
  });

  it('sends one probe at a time after the backoff, and readmits the endpoint when it succeeds', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 749, -1), -1, 'not before the shortest backoff');
    assert.equal(balancer.pickRequest(SERVICE, 1250, -1), 0, 'at the longest backoff');
    assert.equal(balancer.state(0), PROBING);
    balancer.begin(0);
    assert.equal(balancer.pickRequest(SERVICE, 1251, -1), -1, 'one at a time');
    balancer.finish(0, 1300, 5, false);
    assert.equal(balancer.state(0), READY);
    assert.equal(balancer.pickRequest(SERVICE, 1300, -1), 0);
    trip(balancer, 0, 1300, 6);
    assert.equal(balancer.state(0), READY, 'it has all its failures again');
  });

  it('doubles the backoff with each failed probe up to its maximum, spread by the jitter', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    let now = 0;
    const backoffs = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
    for (const backoff of backoffs) {
      assert.equal(balancer.pickRequest(SERVICE, now + backoff * 0.75 - 1, -1), -1, `before ${backoff}`);
      now += backoff * 1.25;
      assert.equal(balancer.pickRequest(SERVICE, now, -1), 0, `after ${backoff}`);
      balancer.begin(0);
      balancer.finish(0, now, 1, true);
    }
  });

  it('gives the probe back when its request is abandoned', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 2000, -1), 0);
    balancer.begin(0);
    balancer.abandon(0);
    assert.equal(balancer.state(0), PROBATION);
    assert.equal(balancer.pickRequest(SERVICE, 2000, -1), 0);
  });

  it('tries again when the outcome of a probe is never told', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 2000, -1), 0);
    assert.equal(balancer.pickRequest(SERVICE, 2000 + 59_999, -1), -1);
    assert.equal(balancer.pickRequest(SERVICE, 2000 + 60_000, -1), 0);
  });

  it('is not closed by a connect alone when the probe is a request, but when it is a connection', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    balancer.pickRequest(SERVICE, 2000, -1);
    balancer.connecting(0);
    balancer.connected(0, 2001, 1);
    assert.equal(balancer.state(0), PROBING);
    balancer.connecting(0);
    balancer.connectFailed(0, 2002);
    assert.equal(balancer.state(0), PROBATION);
    assert.equal(balancer.pickConnection(SERVICE, 10_000, -1), 0);
    balancer.connecting(0);
    balancer.connected(0, 10_001, 1);
    assert.equal(balancer.state(0), READY);
  });

  it('ignores requests from before: they neither close it nor lengthen the backoff', () => {
    const balancer = balancerOf([0]);
    balancer.begin(0);
    balancer.begin(0);
    trip(balancer, 0, 0);
    balancer.finish(0, 1, 5, false);
    assert.equal(balancer.state(0), PROBATION);
    balancer.finish(0, 2, 5, true);
    assert.equal(balancer.pickRequest(SERVICE, 1250, -1), 0);
  });

  it('does not make a retry the probe where another endpoint is ready', () => {
    const balancer = balancerOf([0, 1, 2]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 5000, 1), 2);
    assert.equal(balancer.state(0), PROBATION);
    trip(balancer, 2, 5000);
    trip(balancer, 1, 5000);
    assert.equal(balancer.pickRequest(SERVICE, 5000, 1), 0, 'nothing else is left');
    assert.equal(balancer.pickRequest(SERVICE, 5000, 0), -1, 'an excluded one is no probe');
  });

  it('lets an endpoint that fails fast have nothing but probes', () => {
    const balancer = balancerOf([0, 1]);
    const behaviours = new Map([
      [0, good],
      [1, { latencyMs: 0.5, fails: true }],
    ]);
    trip(balancer, 1, 0);
    const picks = simulate(balancer, behaviours, 100_000, 1);
    assert.ok((picks.get(1) ?? 0) <= 8, `had ${picks.get(1)} of 100000`);
    assert.equal(picks.get(-1), undefined);
  });

  it('gives an endpoint that works again its share within seconds', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 1, 0);
    const behaviours = new Map([
      [0, good],
      [1, good],
    ]);
    simulate(balancer, behaviours, 2000, 1);
    assert.equal(balancer.state(1), READY);
    const later = simulate(balancer, behaviours, 20_000, 1, 2000).get(1) ?? 0;
    assert.ok(later > 3000, `had ${later} of 20000`);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Balancer, POLICY } from '../../src/balance/balancer.js';
import { HEALTH_SIGNAL } from '../../src/balance/health-signals.js';
import { balancerOf, finish, good, PROBATION, PROBING, READY, SERVICE, simulate, trip } from './balancer-support.js';

/** A request that is under way on an endpoint, begun now. */
const begin = (balancer: Balancer, endpoint: number): number => balancer.begin(endpoint);

describe('the breaker', () => {
  it('takes an endpoint out after consecutive failures, not before', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0, 6);
    assert.equal(balancer.state(0), READY);
    finish(balancer, 0, 0, 1, false);
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
    assert.equal(balancer.state(0), READY);
  });

  it('takes no notice of what is no signal, however often: neither in its count nor in the latency', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0, 6);
    const before = balancer.ewma(0, 0);
    for (let i = 0; i < 100; i++) {
      balancer.recordSignal(0, 0, HEALTH_SIGNAL.NONE, begin(balancer, 0));
      balancer.abandon(0, 0);
    }
    assert.equal(balancer.state(0), READY);
    assert.equal(balancer.ewma(0, 0), before);
    trip(balancer, 0, 0, 1);
    assert.equal(balancer.state(0), PROBATION, 'it was no success either');
  });

  it('counts failed connects, and a connect that works does not excuse failed requests', () => {
    const balancer = balancerOf([0, 1]);
    for (let i = 0; i < 7; i++) {
      balancer.connecting(0);
      balancer.connectFailed(0, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    }
    assert.equal(balancer.state(0), PROBATION);
    for (let i = 0; i < 7; i++) {
      balancer.connecting(1);
      balancer.connected(1, 0, 1000, true);
      trip(balancer, 1, 0, 1);
    }
    assert.equal(balancer.state(1), PROBATION);
  });

  it('forgives failed connects to an opaque endpoint once one works', () => {
    const balancer = balancerOf([0]);
    for (let i = 0; i < 20; i++) {
      balancer.connecting(0);
      if (i % 5 === 4) balancer.connected(0, i, 1000, true);
      else balancer.connectFailed(0, i, HEALTH_SIGNAL.CONNECT_REFUSED);
    }
    assert.equal(balancer.state(0), READY);
  });

  it('sends one probe at a time after the backoff, and readmits the endpoint when it succeeds', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 749, -1), 1, 'not before the shortest backoff');
    assert.equal(balancer.pickRequest(SERVICE, 1250, -1), 0, 'at the longest backoff');
    assert.equal(balancer.state(0), PROBING);
    const ejections = begin(balancer, 0);
    assert.equal(balancer.pickRequest(SERVICE, 1251, -1), 1, 'one at a time');
    finish(balancer, 0, 1300, 5, false, ejections);
    assert.equal(balancer.state(0), READY);
    trip(balancer, 0, 1300, 6);
    assert.equal(balancer.state(0), READY, 'it has all its failures again');
  });

  it('doubles the backoff with each failed probe up to its maximum, spread by the jitter', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    let now = 0;
    const backoffs = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000];
    for (const backoff of backoffs) {
      assert.equal(balancer.pickRequest(SERVICE, now + backoff * 0.75 - 1, -1), 1, `before ${backoff}`);
      now += backoff * 1.25;
      assert.equal(balancer.pickRequest(SERVICE, now, -1), 0, `after ${backoff}`);
      finish(balancer, 0, now, 1, true);
    }
  });

  it('gives the probe back when its request is abandoned: the next one goes at once, as often as that happens', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    for (let i = 0; i < 50; i++) {
      assert.equal(balancer.pickRequest(SERVICE, 2000, -1), 0);
      balancer.abandon(0, begin(balancer, 0));
      balancer.ended(0);
      assert.equal(balancer.state(0), PROBATION);
    }
  });

  it('does not take a request from before for the probe', () => {
    const balancer = balancerOf([0, 1]);
    const before = begin(balancer, 0);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 2000, -1), 0);
    balancer.abandon(0, before);
    assert.equal(balancer.state(0), PROBING);
  });

  it('lets another probe go where nothing is heard of one: after the shortest backoff, then ever later', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    let now = 2000;
    assert.equal(balancer.pickRequest(SERVICE, now, -1), 0);
    for (const wait of [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]) {
      assert.equal(balancer.pickRequest(SERVICE, now + wait - 1, -1), 1, `before ${wait}`);
      now += wait;
      assert.equal(balancer.pickRequest(SERVICE, now, -1), 0, `after ${wait}`);
    }
    finish(balancer, 0, now, 5, false);
    assert.equal(balancer.state(0), READY, 'any of them may decide');
  });

  it('is not closed by a connect alone when the probe is a request, but when it is a connection', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    balancer.pickRequest(SERVICE, 2000, -1);
    balancer.connected(0, 2001, 1000, false);
    assert.equal(balancer.state(0), PROBING);
    balancer.connectFailed(0, 2002, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.equal(balancer.state(0), PROBATION);
    assert.equal(balancer.pickConnection(SERVICE, 10_000, -1), 0);
    balancer.connected(0, 10_001, 1000, true);
    assert.equal(balancer.state(0), READY);
  });

  it('ignores requests from before: they neither close it, nor lengthen the backoff, nor count when it is back', () => {
    const balancer = balancerOf([0, 1], POLICY.EWMA, 2);
    const before = begin(balancer, 0);
    trip(balancer, 0, 0, 2);
    finish(balancer, 0, 1, 5, false, before);
    assert.equal(balancer.state(0), PROBATION);
    finish(balancer, 0, 2, 5, true, before);
    assert.equal(balancer.pickRequest(SERVICE, 1250, -1), 0);
    finish(balancer, 0, 1260, 5, true, before);
    assert.equal(balancer.state(0), PROBING, 'it was not the probe that failed');
    finish(balancer, 0, 1270, 5, false);
    for (let i = 0; i < 5; i++) finish(balancer, 0, 1300, 5, true, before);
    assert.equal(balancer.state(0), READY);
  });

  it('does not make a retry the probe where another endpoint is ready', () => {
    const balancer = balancerOf([0, 1, 2]);
    trip(balancer, 0, 0);
    assert.equal(balancer.pickRequest(SERVICE, 5000, 1), 2);
    assert.equal(balancer.state(0), PROBATION);
    trip(balancer, 2, 5000);
    trip(balancer, 1, 5000);
    assert.equal(balancer.pickRequest(SERVICE, 5000, 1), 0, 'nothing else is left');
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

  it('tells who is out, for what, and who is back', () => {
    const balancer = balancerOf([0, 1], POLICY.EWMA, 2);
    const told: string[] = [];
    balancer.listen({
      ejected: (endpoint, failures, signal) => told.push(`out ${endpoint} ${failures} ${signal}`),
      readmitted: (endpoint) => told.push(`back ${endpoint}`),
      panicked: () => told.push('anyway'),
    });
    trip(balancer, 0, 0, 2);
    finish(balancer, 0, 1, 1, true);
    balancer.pickRequest(SERVICE, 5000, -1);
    finish(balancer, 0, 5001, 1, true);
    balancer.connectFailed(1, 5002, HEALTH_SIGNAL.CONNECT_REFUSED);
    balancer.connectFailed(1, 5002, HEALTH_SIGNAL.CONNECT_TIMEOUT);
    assert.equal(balancer.lastFailure(1), HEALTH_SIGNAL.CONNECT_TIMEOUT);
    balancer.pickRequest(SERVICE, 5003, -1);
    finish(balancer, 1, 5004, 1, false);
    assert.deepEqual(told, [
      `out 0 2 ${HEALTH_SIGNAL.ERROR}`,
      `out 1 2 ${HEALTH_SIGNAL.CONNECT_TIMEOUT}`,
      'anyway',
      'back 1',
    ]);
  });
});

describe('where nobody is ready', () => {
  const outOf = (endpoints: readonly number[], seed = 1): Balancer => {
    const balancer = balancerOf(endpoints, POLICY.EWMA, 1, seed);
    for (const endpoint of endpoints) balancer.connectFailed(endpoint, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.equal(balancer.readyCount(SERVICE), 0);
    return balancer;
  };

  it('those that are out are tried, requests and connections', () => {
    const balancer = outOf([0, 1]);
    for (let i = 0; i < 20; i++) {
      assert.ok(balancer.pickRequest(SERVICE, 1, -1) >= 0);
      assert.ok(balancer.pickConnection(SERVICE, 1, -1) >= 0);
      assert.equal(balancer.pickRequest(SERVICE, 1, 0), 1);
      assert.equal(balancer.pickConnection(SERVICE, 1, 1), 0);
    }
    assert.equal(outOf([5]).pickRequest(SERVICE, 1, 5), -1, 'not the one that is excluded');
  });

  it('one that is out is tried before a retry goes to the only ready one, which has just failed', () => {
    const balancer = balancerOf([0, 1], POLICY.EWMA, 2);
    trip(balancer, 0, 0, 2);
    assert.equal(balancer.pickRequest(SERVICE, 1, 1), 0);
  });

  it('each is tried in its turn, so that one that works again is soon found', () => {
    for (const seed of [1, 2, 3]) {
      const balancer = outOf([0, 1, 2, 3, 4], seed);
      for (let round = 0; round < 4; round++) {
        const picks = Array.from({ length: 5 }, () => balancer.pickRequest(SERVICE, 1, -1));
        assert.equal(new Set(picks).size, 5, picks.join());
      }
    }
    const many = Array.from({ length: 60 }, (_, index) => index);
    const balancer = outOf(many);
    const seen = new Set(Array.from({ length: 300 }, () => balancer.pickRequest(SERVICE, 1, -1)));
    assert.equal(seen.size, 60);
  });

  it('a request that succeeds is as good as a probe, at any time', () => {
    const balancer = outOf([0, 1]);
    // Its backoff has grown.
    for (let now = 2000; now < 200_000; now += 70_000) {
      balancer.pickRequest(SERVICE, now, -1);
      balancer.connectFailed(0, now, HEALTH_SIGNAL.CONNECT_REFUSED);
    }
    const now = 200_001;
    const ejections = begin(balancer, 0);
    balancer.connected(0, now, 500, false);
    assert.notEqual(balancer.state(0), READY, 'the response decides');
    finish(balancer, 0, now, 5, false, ejections);
    assert.equal(balancer.state(0), READY);
  });

  it('an opaque connection that stands brings its endpoint back, at any time', () => {
    const balancer = outOf([0]);
    balancer.connected(0, 1, 500, true);
    assert.equal(balancer.state(0), READY);
  });

  it('an opaque connection does not bring back one that is out for its responses', () => {
    const balancer = balancerOf([0]);
    trip(balancer, 0, 0);
    balancer.connected(0, 1, 500, true);
    assert.equal(balancer.state(0), PROBATION);
  });

  it('a probe that is undecided keeps nobody waiting', () => {
    const balancer = outOf([0]);
    assert.equal(balancer.pickRequest(SERVICE, 5000, -1), 0);
    assert.equal(balancer.state(0), PROBING);
    assert.equal(balancer.pickRequest(SERVICE, 5001, -1), 0);
  });
});

describe('dials', () => {
  const INTERVAL = 50;
  const paced = (failures: number): Balancer => {
    const balancer = balancerOf([0, 1], POLICY.EWMA, failures);
    balancer.configure(SERVICE, POLICY.EWMA, 10_000, 30, 5000, failures, 1000, 60_000, INTERVAL);
    return balancer;
  };

  it('are paced while an endpoint is out and its connects fail', () => {
    const balancer = paced(2);
    for (let i = 0; i < 2; i++) {
      assert.equal(balancer.mayDial(0, 0), true);
      balancer.connectFailed(0, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    }
    const dialled = Array.from({ length: 1000 }, (_, now) => now).filter((now) => {
      if (!balancer.mayDial(0, now)) return false;
      balancer.connectFailed(0, now, HEALTH_SIGNAL.CONNECT_REFUSED);
      return true;
    });
    assert.deepEqual(
      dialled,
      Array.from({ length: 19 }, (_, index) => (index + 1) * INTERVAL),
    );
    assert.equal(balancer.mayDial(1, 0), true, 'the other one is not');
  });

  it('go on while one that may work is under way: who comes then is not sent away', () => {
    const balancer = paced(1);
    balancer.connectFailed(0, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.equal(balancer.mayDial(0, INTERVAL - 1), false);
    for (let i = 0; i < 64; i++) {
      assert.equal(balancer.mayDial(0, INTERVAL), true, `${i} are under way`);
      balancer.dials.begun(0, INTERVAL);
    }
    assert.equal(balancer.mayDial(0, INTERVAL), false, 'but not without bound');
  });

  it('are free again as soon as one works, which need not bring the endpoint back', () => {
    const balancer = paced(1);
    balancer.connectFailed(0, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.equal(balancer.mayDial(0, INTERVAL), true);
    balancer.connected(0, INTERVAL, 500, false);
    assert.equal(balancer.state(0), PROBATION);
    for (let i = 0; i < 10; i++) assert.equal(balancer.mayDial(0, INTERVAL), true);
  });

  it('are not paced where connects are not what fails, nor where the breaker is off', () => {
    const balancer = paced(1);
    trip(balancer, 0, 0, 1);
    for (let i = 0; i < 10; i++) assert.equal(balancer.mayDial(0, 0), true);
    const off = paced(0);
    for (let i = 0; i < 10; i++) {
      assert.equal(off.mayDial(0, 0), true);
      off.connectFailed(0, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { POLICY } from '../../src/balance/balancer.js';
import { HEALTH_SIGNAL } from '../../src/balance/health-signals.js';
import { runs } from '../support/runs.js';
import {
  balancerOf,
  DEFAULT_RTT,
  finish,
  good,
  PENALTY,
  PROBATION,
  READY,
  SERVICE,
  simulate,
  stayOf,
  trip,
} from './balancer-support.js';

describe('request balancing by peak EWMA', () => {
  it('spreads requests over equal endpoints', () => {
    const balancer = balancerOf([0, 1, 2, 3]);
    const picks = simulate(balancer, new Map([0, 1, 2, 3].map((endpoint) => [endpoint, good])), 8000, 1);
    for (const endpoint of [0, 1, 2, 3]) {
      const share = (picks.get(endpoint) ?? 0) / 8000;
      assert.ok(share > 0.15 && share < 0.35, `endpoint ${endpoint} had ${share}`);
    }
  });

  it('gives a slow endpoint a small share', () => {
    const balancer = balancerOf([0, 1, 2]);
    const behaviours = new Map([
      [0, good],
      [1, good],
      [2, { latencyMs: 100, fails: false }],
    ]);
    const picks = simulate(balancer, behaviours, 10_000, 1);
    assert.ok((picks.get(2) ?? 0) < 500, `the slow one had ${picks.get(2)} of 10000`);
    assert.ok((picks.get(2) ?? 0) > 0, 'it is still tried');
  });

  it('gives an endpoint that became slow fewer requests at once, and more again when it recovered', () => {
    const balancer = balancerOf([0, 1]);
    const second = { ...good };
    const behaviours = new Map([
      [0, good],
      [1, second],
    ]);
    simulate(balancer, behaviours, 2000, 1);
    second.latencyMs = 400;
    assert.ok((simulate(balancer, behaviours, 2000, 1, 2000).get(1) ?? 0) < 200);
    second.latencyMs = 5;
    const recovered = simulate(balancer, behaviours, 60_000, 1, 4000).get(1) ?? 0;
    assert.ok(recovered > 10_000, `had ${recovered} of 60000 after recovery`);
  });

  it('does not send more to an endpoint that fails fast', () => {
    const balancer = balancerOf([0, 1, 2], POLICY.EWMA, 0);
    const behaviours = new Map([
      [0, good],
      [1, good],
      [2, { latencyMs: 0.1, fails: true }],
    ]);
    const picks = simulate(balancer, behaviours, 10_000, 1);
    assert.ok((picks.get(2) ?? 0) < 200, `the failing one had ${picks.get(2)} of 10000`);
  });

  it('does not send more to an endpoint that refuses connections fast', () => {
    const balancer = balancerOf([0, 1], POLICY.EWMA, 0);
    balancer.connecting(1);
    balancer.connectFailed(1, 0, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.equal(balancer.ewma(1, 0), PENALTY);
    for (let i = 0; i < 100; i++) assert.equal(balancer.pickRequest(SERVICE, 1, -1), 0);
  });

  it('weighs what is in flight', () => {
    const balancer = balancerOf([0, 1]);
    balancer.begin(0);
    for (let i = 0; i < 100; i++) assert.equal(balancer.pickRequest(SERVICE, 0, -1), 1);
    balancer.abandon(0, stayOf(balancer, 0));
    assert.equal(balancer.inFlight(0), 0);
  });

  it('takes over a higher sample at once and approaches a lower one with the time passed', () => {
    const balancer = balancerOf([0]);
    const answer = (now: number, latency: number) => {
      balancer.begin(0);
      finish(balancer, 0, now, latency, false);
    };
    answer(0, 100);
    assert.equal(balancer.ewma(0, 0), 100);
    answer(5000, 20);
    const expected = 100 * Math.exp(-0.5) + 20 * (1 - Math.exp(-0.5));
    assert.ok(Math.abs(balancer.ewma(0, 5000) - expected) < 0.01);
    answer(5000, 20);
    assert.ok(Math.abs(balancer.ewma(0, 5000) - expected) < 0.01, 'no time passed, nothing changes');
    answer(5001, 300);
    assert.equal(balancer.ewma(0, 5001), 300);
  });

  it('approaches a lower latency also when samples come every 10 microseconds', () => {
    const balancer = balancerOf([0]);
    finish(balancer, 0, 0, 100, false);
    for (let i = 1; i <= 1_000_000; i++) finish(balancer, 0, i * 0.01, 20, false);
    const expected = 20 + 80 * Math.exp(-1);
    assert.ok(Math.abs(balancer.ewma(0, 10_000) - expected) < 0.5, `${balancer.ewma(0, 10_000)} is not ${expected}`);
  });

  it('decays the estimate of an endpoint that nobody asks', () => {
    const balancer = balancerOf([0]);
    assert.equal(balancer.ewma(0, 0), DEFAULT_RTT);
    assert.ok(Math.abs(balancer.ewma(0, 10_000) - DEFAULT_RTT / Math.E) < 0.01);
    assert.equal(balancer.ewma(0, 1_000_000), 0);
    assert.equal(balancer.ewma(0, -5), DEFAULT_RTT, 'time that steps back changes nothing');
  });

  it('records no sample for an abandoned request', () => {
    const balancer = balancerOf([0]);
    balancer.begin(0);
    balancer.abandon(0, stayOf(balancer, 0));
    assert.equal(balancer.ewma(0, 0), DEFAULT_RTT);
  });

  it('records failures with the penalty, or with their own latency where that is longer', () => {
    const balancer = balancerOf([0, 1]);
    finish(balancer, 0, 0, 1, true);
    finish(balancer, 1, 0, PENALTY + 1, true);
    assert.equal(balancer.ewma(0, 0), PENALTY);
    assert.equal(balancer.ewma(1, 0), PENALTY + 1);
  });

  it('is repeatable: the same seed picks the same endpoints', () => {
    const run = (seed: number) => {
      const balancer = balancerOf([0, 1, 2, 3], POLICY.EWMA, 7, seed);
      return Array.from({ length: 50 }, () => balancer.pickRequest(SERVICE, 0, -1)).join();
    };
    assert.equal(run(7), run(7));
    assert.notEqual(run(7), run(8));
    assert.notEqual(new Set(run(0).split(',')).size, 1, 'seed 0 works too');
  });
});

describe('round robin', () => {
  it('gives each endpoint exactly its turn', () => {
    const balancer = balancerOf([4, 5, 6], POLICY.ROUND_ROBIN);
    const picks = Array.from({ length: 9 }, () => balancer.pickRequest(SERVICE, 0, -1));
    assert.deepEqual(picks, [4, 5, 6, 4, 5, 6, 4, 5, 6]);
  });

  it('passes over an excluded endpoint, wherever the turn is', () => {
    for (const exclude of [4, 5, 6]) {
      const balancer = balancerOf([4, 5, 6], POLICY.ROUND_ROBIN);
      const picks = Array.from({ length: 6 }, () => balancer.pickRequest(SERVICE, 0, exclude));
      for (const endpoint of [4, 5, 6]) {
        assert.equal(picks.filter((pick) => pick === endpoint).length, endpoint === exclude ? 0 : 3);
      }
    }
  });

  it('stays even when endpoints come and go', () => {
    const balancer = balancerOf([0, 1, 2, 3], POLICY.ROUND_ROBIN);
    balancer.pickRequest(SERVICE, 0, -1);
    balancer.setEndpoints(SERVICE, [1, 3], 0);
    const picks = Array.from({ length: 10 }, () => balancer.pickRequest(SERVICE, 0, -1));
    assert.equal(picks.filter((pick) => pick === 1).length, 5);
    assert.equal(picks.filter((pick) => pick === 3).length, 5);
  });
});

describe('connection balancing', () => {
  it('spreads open connections evenly', () => {
    const balancer = balancerOf([0, 1, 2, 3]);
    for (let i = 0; i < 400; i++) {
      const endpoint = balancer.pickConnection(SERVICE, i, -1);
      balancer.connecting(endpoint);
      balancer.connected(endpoint, i, 1 * 1000, true);
      balancer.opened(endpoint);
    }
    for (const endpoint of [0, 1, 2, 3]) {
      const open = balancer.connections(endpoint);
      assert.ok(open >= 90 && open <= 110, `endpoint ${endpoint} has ${open} of 400`);
    }
  });

  it('counts connections that are being dialled', () => {
    const balancer = balancerOf([0, 1]);
    balancer.connecting(0);
    for (let i = 0; i < 50; i++) assert.equal(balancer.pickConnection(SERVICE, 0, -1), 1);
    balancer.connectAbandoned(0);
    assert.equal(balancer.connections(0), 0);
  });

  it('prefers the endpoint that connects faster where connections are equal', () => {
    const balancer = balancerOf([0, 1]);
    for (let i = 0; i < 3; i++) {
      balancer.connecting(0);
      balancer.connected(0, 0, 200 * 1000, true);
    }
    for (let i = 0; i < 50; i++) assert.equal(balancer.pickConnection(SERVICE, 0, -1), 1);
  });

  it('prefers an endpoint whose dials are not in doubt, whatever it has open', () => {
    const balancer = balancerOf([0, 1, 2]);
    for (let i = 0; i < 100; i++) for (const endpoint of [1, 2]) balancer.opened(endpoint);
    assert.equal(balancer.pickConnection(SERVICE, 0, -1), 0);
    balancer.dials.begun(0, 0);
    for (let i = 0; i < 50; i++) assert.notEqual(balancer.pickConnection(SERVICE, 1000, -1), 0);
    balancer.dials.failed(0, 1000);
    for (let i = 0; i < 50; i++) assert.notEqual(balancer.pickConnection(SERVICE, 1001, -1), 0);
    // After a while it is tried again.
    assert.equal(balancer.pickConnection(SERVICE, 60_000, -1), 0);
    // Where all are in doubt, one of them is better than none.
    for (const endpoint of [0, 1, 2]) balancer.dials.failed(endpoint, 60_000);
    assert.equal(balancer.pickConnection(SERVICE, 60_001, -1), 0);
  });

  it('is not influenced by request latencies', () => {
    const balancer = balancerOf([0, 1]);
    finish(balancer, 0, 0, 10_000, false);
    const picks = new Set(Array.from({ length: 100 }, () => balancer.pickConnection(SERVICE, 0, -1)));
    assert.deepEqual([...picks].sort(), [0, 1]);
  });

  it('takes turns under round robin', () => {
    const balancer = balancerOf([2, 3], POLICY.ROUND_ROBIN);
    const picks = Array.from({ length: 4 }, () => balancer.pickConnection(SERVICE, 0, -1));
    assert.deepEqual(picks, [2, 3, 2, 3]);
  });
});

describe('endpoints of a service', () => {
  it('are none at first: there is nothing to pick', () => {
    const balancer = balancerOf([]);
    assert.equal(balancer.pickRequest(SERVICE, 0, -1), -1);
    assert.equal(balancer.pickConnection(SERVICE, 0, -1), -1);
  });

  it('a single one is picked unless it is excluded', () => {
    const balancer = balancerOf([9]);
    assert.equal(balancer.pickRequest(SERVICE, 0, -1), 9);
    assert.equal(balancer.pickRequest(SERVICE, 0, 9), -1);
    assert.equal(balancer.pickConnection(SERVICE, 0, 9), -1);
    assert.equal(balancer.pickRequest(SERVICE, 0, 8), 9);
  });

  it('of two, the one that is not excluded is picked', () => {
    const balancer = balancerOf([8, 9]);
    assert.equal(balancer.pickRequest(SERVICE, 0, 9), 8);
    assert.equal(balancer.pickConnection(SERVICE, 0, 8), 9);
  });

  it('keep their history when others come and go', () => {
    const balancer = balancerOf([0, 1]);
    finish(balancer, 0, 0, 100, false);
    balancer.setEndpoints(SERVICE, [2, 0], 0);
    assert.equal(balancer.ewma(0, 0), 100);
    assert.equal(balancer.ewma(2, 0), DEFAULT_RTT);
    assert.equal(balancer.readyCount(SERVICE), 2);
    assert.equal(balancer.isMember(1), false);
  });

  it('stay in probation when others come and go', () => {
    const balancer = balancerOf([0, 1]);
    trip(balancer, 0, 0);
    balancer.setEndpoints(SERVICE, [0, 1, 2], 0);
    assert.equal(balancer.state(0), PROBATION);
    assert.equal(balancer.readyCount(SERVICE), 2);
    assert.equal(balancer.endpointCount(SERVICE), 3);
  });

  it('are forgotten when removed, but what is in flight on them is counted down', () => {
    const balancer = balancerOf([0, 1]);
    balancer.begin(0);
    balancer.setEndpoints(SERVICE, [1], 0);
    assert.equal(balancer.isIdle(0), false);
    finish(balancer, 0, 1, 900, false);
    assert.equal(balancer.isIdle(0), true);
    balancer.setEndpoints(SERVICE, [0, 1], 2);
    assert.equal(balancer.ewma(0, 2), DEFAULT_RTT);
  });

  it('may be in one service only', () => {
    const balancer = balancerOf([0, 1]);
    assert.throws(() => balancer.setEndpoints(2, [1], 0), /endpoint slot 1 belongs to service slot 1/);
    balancer.setEndpoints(SERVICE, [0], 0);
    balancer.setEndpoints(2, [1], 0);
    assert.equal(balancer.pickRequest(2, 0, -1), 1);
  });

  it('are counted once when named twice', () => {
    const balancer = balancerOf([3, 3, 4]);
    assert.equal(balancer.endpointCount(SERVICE), 2);
  });

  it('start from nothing when their slot is reset', () => {
    const balancer = balancerOf([0, 1, 2]);
    balancer.begin(1);
    trip(balancer, 0, 0);
    trip(balancer, 1, 0);
    balancer.reset(1);
    assert.equal(balancer.isIdle(1), true);
    assert.equal(balancer.state(1), READY);
    assert.equal(balancer.endpointCount(SERVICE), 2);
    assert.equal(balancer.readyCount(SERVICE), 1);
    balancer.setEndpoints(SERVICE, [0, 1, 2], 0);
    assert.equal(balancer.readyCount(SERVICE), 2);
    assert.equal(balancer.ewma(1, 0), DEFAULT_RTT);
  });
});

describe('any sequence of events', () => {
  const endpoint = fc.nat(9);
  const event = fc.oneof(
    fc.record({ what: fc.constantFrom('pick', 'pickConnection'), exclude: fc.integer({ min: -1, max: 9 }) }),
    fc.record({ what: fc.constantFrom('finish', 'fail', 'connected', 'connectFailed', 'abandon', 'reset'), endpoint }),
    fc.record({ what: fc.constant('set'), endpoints: fc.uniqueArray(endpoint, { maxLength: 8 }) }),
    fc.record({ what: fc.constant('wait'), ms: fc.nat(3000) }),
  );

  it('never yields an endpoint that is removed or excluded, nor one that is out before its time where another is ready', () => {
    fc.assert(
      fc.property(
        fc.array(event, { maxLength: 120 }),
        fc.constantFrom(POLICY.EWMA, POLICY.ROUND_ROBIN),
        fc.integer(),
        (events, policy, seed) => {
          const balancer = balancerOf([0, 1, 2], policy, 2, seed);
          let members = new Set([0, 1, 2]);
          let now = 0;
          /** Start of the present stay in probation, and what it can last at least. */
          const since = new Map<number, number>();
          for (const one of events) {
            const before = new Map([...members].map((member) => [member, balancer.state(member)]));
            if ('exclude' in one) {
              const pick =
                one.what === 'pick'
                  ? balancer.pickRequest(SERVICE, now, one.exclude)
                  : balancer.pickConnection(SERVICE, now, one.exclude);
              const readyElsewhere = [...before].some(([member, state]) => state === READY && member !== one.exclude);
              if (pick === -1) {
                assert.deepEqual(
                  [...members].filter((member) => member !== one.exclude),
                  [],
                  'somebody could be picked',
                );
                continue;
              }
              assert.ok(members.has(pick));
              assert.notEqual(pick, one.exclude);
              const out = before.get(pick) !== READY && readyElsewhere;
              if (out) assert.ok(now >= (since.get(pick) ?? 0) + 750, 'one that is out, before its time');
            } else if ('endpoints' in one) {
              balancer.setEndpoints(SERVICE, one.endpoints, now);
              members = new Set(one.endpoints);
            } else if ('ms' in one) {
              now += one.ms;
            } else {
              if (one.what === 'finish') finish(balancer, one.endpoint, now, 3, false);
              else if (one.what === 'fail') finish(balancer, one.endpoint, now, 3, true);
              else if (one.what === 'connected') balancer.connected(one.endpoint, now, 3 * 1000, true);
              else if (one.what === 'connectFailed')
                balancer.connectFailed(one.endpoint, now, HEALTH_SIGNAL.CONNECT_REFUSED);
              else if (one.what === 'reset') {
                balancer.reset(one.endpoint);
                members.delete(one.endpoint);
              }
            }
            for (const member of members) {
              const state = balancer.state(member);
              if (state !== READY && before.get(member) !== state) since.set(member, now);
            }
            const ready = [...members].filter((member) => balancer.state(member) === READY).length;
            assert.equal(balancer.readyCount(SERVICE), ready);
            assert.equal(balancer.endpointCount(SERVICE), members.size);
          }
        },
      ),
      { numRuns: runs(500) },
    );
  });
});

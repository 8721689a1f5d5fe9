import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Balancer, POLICY } from '../../src/balance/balancer.js';
import { EndpointLoad } from '../../src/balance/load.js';
import { Recent } from '../../src/balance/recent.js';
import { runs } from '../support/runs.js';
import { finish, stayOf } from './balancer-support.js';

test('the recent endpoints are those added and not dropped, each once', () => {
  const step = fc.record({ drop: fc.boolean(), number: fc.nat({ max: 15 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const recent = new Recent(16);
      const model = new Set<number>();
      for (const { drop, number } of steps) {
        if (drop && recent.count > 0) {
          const index = number % recent.count;
          model.delete(recent.at(index));
          recent.drop(index);
        } else {
          recent.add(number);
          model.add(number);
        }
        const found = Array.from({ length: recent.count }, (_, index) => recent.at(index));
        assert.deepEqual(found.sort(), [...model].sort());
      }
    }),
    { numRuns: runs(200) },
  );
});

test('of 50,000 endpoints only those in use are recent, until nothing changes on them any more', () => {
  const balancer = new Balancer(8, 65_536, 1);
  const all = Array.from({ length: 50_000 }, (_, index) => index + 1);
  balancer.configure(1, POLICY.ROUND_ROBIN, 1000, 30, 5000, 1, 1000, 60_000, 0);
  balancer.setEndpoints(1, all, 0);
  assert.equal(balancer.recent.count, 0);
  const used = balancer.pickRequest(1, 0, -1);
  balancer.begin(used);
  assert.deepEqual([balancer.recent.count, balancer.recent.at(0)], [1, used]);
  assert.equal(balancer.isSettled(used, 0), false, 'in flight');
  finish(balancer, used, 5, 5, false);
  assert.equal(balancer.isSettled(used, 5), false, 'its estimate still falls');
  assert.equal(balancer.isSettled(used, 60_000), true);
  balancer.begin(used);
  finish(balancer, used, 60_000, 5, true);
  assert.equal(balancer.isSettled(used, 200_000), false, 'in probation');
  balancer.setEndpoints(
    1,
    all.filter((endpoint) => endpoint !== used),
    200_000,
  );
  assert.equal(balancer.isSettled(used, 200_000), true, 'no longer an endpoint');
});

test('who holds the memory sees what is in flight, being dialled and open', () => {
  const memory = EndpointLoad.allocate(8);
  const balancer = new Balancer(2, 8, 1, memory);
  balancer.setEndpoints(1, [7], 0);
  const load = new EndpointLoad(memory);
  assert.equal(load.isIdle(7), true);
  balancer.begin(7);
  balancer.connecting(7);
  balancer.opened(7);
  assert.deepEqual([load.inFlight[7], load.connecting[7], load.open[7]], [1, 1, 1]);
  balancer.setEndpoints(1, [], 0);
  for (const end of [
    () => balancer.abandon(7, stayOf(balancer, 7)),
    () => balancer.connectAbandoned(7),
    () => balancer.closed(7),
  ]) {
    assert.equal(load.isIdle(7), false, 'a removed endpoint is counted down to the end');
    end();
  }
  assert.equal(load.isIdle(7), true);
});

test('the members and the owner of an endpoint are known, the owner also when it has left', () => {
  const balancer = new Balancer(4, 16, 1);
  balancer.setEndpoints(2, [5, 9], 0);
  assert.deepEqual([...balancer.membersOf(2)], [5, 9]);
  balancer.setEndpoints(2, [9], 0);
  assert.deepEqual([...balancer.membersOf(2)], [9]);
  assert.equal(balancer.ownerOf(5), 2);
  assert.deepEqual([...balancer.membersOf(3)], []);
});

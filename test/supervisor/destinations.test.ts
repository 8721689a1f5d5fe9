import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_PROXY } from '../../src/discovery/endpoint.js';
import { OVERFLOW } from '../../src/metrics/groups.js';
import { MetricsReader } from '../../src/metrics/reader.js';
import { MAX_ENDPOINTS, MAX_SERVICES } from '../../src/proxy/capacity.js';
import { Destinations } from '../../src/supervisor/destinations.js';

const at = (port: number) => ({ host: '10.0.0.1', port });

/** A table with few series, an own clock, and endpoints that are busy as long as the test says so. */
function setup(maxServices = 2, maxEndpoints = 2) {
  const clock = { ms: 0 };
  const busy = new Set<number>();
  const now = () => clock.ms;
  const reader = new MetricsReader({ now, maxServices, maxEndpoints });
  const destinations = new Destinations(reader, { now, isIdle: (slot) => !busy.has(slot) });
  return { clock, busy, reader, destinations };
}

test('what is there keeps its slot and its series', () => {
  const { destinations } = setup();
  const service = destinations.addService('web');
  assert.deepEqual(service, { slot: 1, series: 1 });
  assert.deepEqual(destinations.addService('web'), service);
  assert.deepEqual(destinations.service('web'), service);
  const endpoint = destinations.addEndpoint('web', at(1));
  assert.deepEqual(endpoint, { slot: 1, series: 1, ...at(1), identity: '', proxy: NO_PROXY, weight: 1 });
  assert.deepEqual(destinations.addEndpoint('web', at(1)), endpoint);
  assert.equal(destinations.addEndpoint('web', at(1), { identity: 'web.default' })?.identity, 'web.default');
  assert.equal(destinations.service('other'), undefined);
});

test('beyond the configured series there are slots, and the overflow says how many go without', () => {
  const { destinations, reader } = setup();
  const series = ['a', 'b', 'c', 'd'].map((name) => destinations.addService(name).series);
  assert.deepEqual(series, [1, 2, 0, 0]);
  const slots = [1, 2, 3].map((port) => destinations.addEndpoint('d', at(port)));
  assert.deepEqual(
    slots.map((endpoint) => [endpoint?.slot, endpoint?.series]),
    [
      [1, 1],
      [2, 2],
      [3, 0],
    ],
  );
  assert.deepEqual(reader.snapshot().unassigned, { listener: 0, service: 2, endpoint: 1, rule: 0 });
  assert.deepEqual(
    reader.snapshot().services.map(({ info }) => info.name),
    [OVERFLOW, 'a', 'b'],
  );
  destinations.dropEndpoint('d', at(3));
  destinations.dropService('d');
  assert.deepEqual(reader.snapshot().unassigned, { listener: 0, service: 1, endpoint: 0, rule: 0 });
});

test('a series that becomes free is not given to what counts elsewhere already', () => {
  const { destinations, clock, reader } = setup(1, 1);
  destinations.addService('web');
  destinations.addEndpoint('web', at(1));
  const second = destinations.addEndpoint('web', at(2));
  assert.equal(second?.series, 0);
  destinations.dropEndpoint('web', at(1));
  clock.ms = 3_600_000;
  reader.sweep();
  assert.deepEqual(destinations.addEndpoint('web', at(2)), second);
  assert.equal(destinations.addEndpoint('web', at(3))?.series, 1);
});

test('what comes back soon gets its slot back, and while it is in use its series as well', () => {
  const { destinations, clock, busy, reader } = setup(1, 1);
  destinations.addService('web');
  destinations.addEndpoint('web', at(1));
  const overflown = destinations.addEndpoint('web', at(2));
  assert.ok(overflown !== undefined && overflown.series === 0);
  destinations.dropEndpoint('web', at(1));
  destinations.dropEndpoint('web', at(2));
  busy.add(overflown.slot);
  clock.ms = 3_600_000;
  reader.sweep();
  destinations.sweep();
  assert.deepEqual(destinations.addEndpoint('web', at(2)), overflown, 'a connection on it counts in the overflow');
  assert.equal(reader.snapshot().unassigned.endpoint, 1);
  destinations.dropEndpoint('web', at(2));
  busy.clear();
  assert.deepEqual(destinations.addEndpoint('web', at(2)), { ...overflown, series: 1 });
});

test('a slot means another endpoint only when nobody uses it, and another service only when its endpoints have gone', () => {
  const { destinations, clock, busy } = setup();
  const old = destinations.addService('old');
  const first = destinations.addEndpoint('old', at(1));
  assert.ok(first !== undefined);
  busy.add(first.slot);
  destinations.dropEndpoint('old', at(1));
  destinations.dropService('old');
  clock.ms = 3_600_000;
  destinations.sweep();
  assert.notEqual(destinations.addService('new').slot, old.slot);
  assert.notEqual(destinations.addEndpoint('new', at(1))?.slot, first.slot);
  busy.clear();
  destinations.sweep();
  assert.equal(destinations.addService('newer').slot, old.slot);
  assert.equal(destinations.addEndpoint('newer', at(1))?.slot, first.slot);
});

test('a full table refuses, says so, and takes more when there is room again', () => {
  const { destinations, clock } = setup();
  for (let i = 1; i < MAX_SERVICES; i++) destinations.addService(`s${i}`);
  assert.throws(() => destinations.addService('more'), /no room for service more: there are 8191 already/);
  assert.equal(destinations.service('more'), undefined);
  for (let i = 1; i < MAX_ENDPOINTS; i++) assert.ok(destinations.addEndpoint('s1', at(i)));
  assert.equal(destinations.addEndpoint('s1', { host: '::1', port: 1 }), undefined);
  destinations.dropService('s7');
  destinations.dropEndpoint('s1', at(7));
  clock.ms = 60_001;
  assert.equal(destinations.addService('more').slot, 7);
  assert.equal(destinations.addEndpoint('s1', { host: '::1', port: 1 })?.slot, 7);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseMatch } from '../../src/config/match.js';
import type { Config, ListenerConfig, ServiceConfig } from '../../src/config/model.js';
import { REASONS } from '../../src/metrics/layout.js';
import { RACE_MS, RACE_SINGLE_MS } from '../../src/policy/policy.js';
import { type DestinationSnapshot, MODE, type ToWorker } from '../../src/proxy/snapshot.js';
import { type DestinationResolver, OriginalDestinations } from '../../src/supervisor/original-destinations.js';
import { at, config, fixed, listener, service } from '../policy/fixture.js';

const NOWHERE = { http1: null, http2: null, tls: null, opaque: null };
const LISTENER = 5;
const SLOTS: Readonly<Record<string, number>> = { web: 11, db: 12, bytes: 13, found: 14 };

const outbound = (overrides: Partial<ListenerConfig> = {}): ListenerConfig =>
  listener(at('0.0.0.0', 15_001), {
    name: 'outbound',
    direction: 'outbound',
    services: NOWHERE,
    originalDestination: true,
    ...overrides,
  });

const matching = (name: string, match: readonly string[], overrides: Partial<ServiceConfig> = {}): ServiceConfig =>
  service(name, [fixed('10.9.9.1', 1), fixed('10.9.9.2', 1)], { match: match.map(parseMatch), ...overrides });

const withServices = (...services: ServiceConfig[]): Config => config({ listeners: [outbound()], services });

function setUp(initial: Config, resolvers: readonly DestinationResolver[] = [], edge = outbound()) {
  const sent: [number, ToWorker][] = [];
  const warnings: string[] = [];
  const destinations = new OriginalDestinations(initial, {
    logger: { warn: (message, fields) => warnings.push(`${message}: ${fields?.destination} ${fields?.reason}`) },
    resolvers,
    listener: (slot) => (slot === LISTENER ? edge : undefined),
    serviceSlot: (name) => SLOTS[name] ?? -1,
    send: (worker, message) => sent.push([worker, message]),
  });
  let id = 0;
  const ask = (host: string, port: number, worker = 0, slot = LISTENER): Promise<void> =>
    destinations.resolve(worker, { kind: 'resolve', id: ++id, listener: slot, host, port });
  const answer = async (host: string, port: number): Promise<DestinationSnapshot> => {
    await ask(host, port);
    const message = sent.at(-1)?.[1];
    assert.ok(message?.kind === 'resolved');
    assert.equal(message.id, id);
    return message.destination;
  };
  return { destinations, sent, warnings, ask, answer };
}

const all = (slot: number): number[] => [slot, slot, slot, slot];

test('an address that a match names belongs to its service', async () => {
  const { answer, sent } = setUp(withServices(matching('web', ['10.0.0.0/8:80', '[fd00::1]:80'])));
  const expected = {
    mode: MODE.DETECT,
    reason: 0,
    services: all(11),
    raceMs: RACE_MS,
    timeoutMs: 10_000,
    learnTtlMs: 60_000,
  };
  assert.deepEqual(await answer('10.1.2.3', 80), expected);
  assert.deepEqual(await answer('fd00::1', 80), expected);
  assert.equal((await answer('10.1.2.3', 81)).services, null);
  assert.deepEqual(sent[0], [0, { kind: 'resolved', id: 1, destination: expected }]);
});

test('an address that nobody knows keeps its connections, with a short race', async () => {
  const { answer } = setUp(withServices(matching('web', [])));
  assert.deepEqual(await answer('192.0.2.1', 80), {
    mode: MODE.DETECT,
    reason: 0,
    services: null,
    raceMs: RACE_SINGLE_MS,
    timeoutMs: 10_000,
    learnTtlMs: 60_000,
  });
});

test('the original port decides whether a connection is opaque', async () => {
  const initial = {
    ...withServices(matching('db', ['10.0.0.0/8:5432', '10.0.0.0/8:7000'])),
    opaquePorts: new Set([5432, 7000, 15_001]),
    annotatedPorts: new Set([7000]),
  };
  const { answer } = setUp(initial);
  const how = async (host: string, port: number) => {
    const { mode, reason, services, raceMs } = await answer(host, port);
    return [mode, REASONS[reason], services, raceMs];
  };
  assert.deepEqual(await how('10.0.0.1', 5432), [MODE.OPAQUE, 'default-port', all(12), -1]);
  assert.deepEqual(await how('10.0.0.1', 7000), [MODE.OPAQUE, 'annotation', all(12), -1]);
  assert.deepEqual(await how('192.0.2.1', 5432), [MODE.OPAQUE, 'default-port', null, -1]);
  assert.equal((await how('192.0.2.1', 80))[0], MODE.DETECT, 'the port of the listener does not matter');
});

test('a service that is opaque, and a hint of the listener, decide before the port', async () => {
  const services = [matching('bytes', ['10.0.0.1:80'], { protocol: 'opaque' }), matching('web', ['10.0.0.2:5432'])];
  const { answer } = setUp(withServices(...services));
  const { mode, reason } = await answer('10.0.0.1', 80);
  assert.deepEqual([mode, REASONS[reason]], [MODE.OPAQUE, 'hint']);
  const hinted = setUp(withServices(...services), [], outbound({ protocol: 'http2' }));
  for (const [host, port] of [
    ['10.0.0.1', 80],
    ['10.0.0.2', 5432],
    ['192.0.2.1', 80],
  ] as const) {
    const { mode, reason } = await hinted.answer(host, port);
    assert.deepEqual([mode, REASONS[reason]], [MODE.HTTP2, 'hint']);
  }
});

test('resolvers are asked in order, after the matches; one that fails is passed over', async () => {
  const asked: string[] = [];
  const resolver = (name: string, answers: Record<string, ServiceConfig | Error>): DestinationResolver => ({
    resolve: async (host) => {
      asked.push(`${name} ${host}`);
      const found = answers[host] ?? null;
      if (found instanceof Error) throw found;
      return found;
    },
  });
  const found = service('found', [fixed('10.9.9.9', 1)]);
  const { answer, warnings } = setUp(withServices(matching('web', ['10.0.0.1:80'])), [
    resolver('first', { '10.0.0.2': found, '10.0.0.3': new Error('no answer'), '10.0.0.4': new Error('no answer') }),
    resolver('second', { '10.0.0.3': found }),
  ]);
  assert.deepEqual((await answer('10.0.0.1', 80)).services, all(11));
  assert.deepEqual(asked, []);
  const second = await answer('10.0.0.2', 80);
  assert.deepEqual([second.services, second.raceMs], [all(14), RACE_SINGLE_MS]);
  assert.deepEqual(asked, ['first 10.0.0.2']);
  assert.deepEqual((await answer('10.0.0.3', 80)).services, all(14));
  assert.equal((await answer('10.0.0.4', 80)).services, null);
  assert.deepEqual(warnings, [
    'a destination could not be looked up; its connections go to the address itself: 10.0.0.3:80 no answer',
  ]);
});

/** A resolver that answers when the test says so. */
function slowResolver() {
  const waiting: ((found: ServiceConfig | null) => void)[] = [];
  const resolver: DestinationResolver = { resolve: () => new Promise((resolve) => waiting.push(resolve)) };
  return { resolver, waiting };
}

test('a question that is open when the configuration changes is answered by the new one', async () => {
  const { resolver, waiting } = slowResolver();
  const { destinations, ask, sent } = setUp(withServices(matching('web', [])), [resolver]);
  const asking = ask('10.0.0.1', 80);
  destinations.configure(withServices(matching('db', ['10.0.0.1:80'])));
  waiting[0](null);
  await asking;
  const message = sent[0][1];
  assert.ok(message.kind === 'resolved');
  assert.deepEqual(message.destination.services, all(12));
  assert.equal(waiting.length, 1);
});

test('a worker that has died is not answered, nor the one in its place', async () => {
  const { resolver, waiting } = slowResolver();
  const { destinations, ask, sent } = setUp(withServices(), [resolver]);
  const asking = [ask('10.0.0.1', 80, 0), ask('10.0.0.1', 80, 1)];
  destinations.died(0);
  for (const answer of waiting) answer(null);
  await Promise.all(asking);
  assert.deepEqual(
    sent.map(([worker]) => worker),
    [1],
  );
});

test('a question about a listener that is gone stays open: its connection goes where it was going', async () => {
  const { ask, sent } = setUp(withServices());
  await ask('10.0.0.1', 80, 0, 99);
  assert.deepEqual(sent, []);
});

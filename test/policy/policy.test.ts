import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointSource, ListenerConfig, ServiceConfig } from '../../src/config/model.js';
import { decide, RACE_MS, RACE_SINGLE_MS, race, raceTo } from '../../src/policy/policy.js';
import { at, config, fixed, listener, service } from './fixture.js';

const host = '127.0.0.1';

describe('what a listener does before a byte is read', () => {
  it('is detection where nothing else is said', () => {
    assert.deepEqual(decide(config(), listener(at(host, 8080))), { protocol: 'detect', reason: null });
  });

  it("is the listener's own hint, before anything about its port", () => {
    const asked = config({ opaquePorts: new Set([5432]), annotatedPorts: new Set([5432]) });
    for (const protocol of ['http1', 'http2', 'opaque'] as const) {
      assert.deepEqual(decide(asked, listener(at(host, 5432), { protocol })), { protocol, reason: 'hint' });
    }
  });

  it('is opaque on a port that the file names, before the default list', () => {
    const asked = config({ opaquePorts: new Set([5432, 7000]), annotatedPorts: new Set([5432, 7000]) });
    for (const port of [5432, 7000]) {
      assert.deepEqual(decide(asked, listener(at(host, port))), { protocol: 'opaque', reason: 'annotation' });
    }
  });

  it('depends on the port that the client was going to, and on a service that is opaque as a whole', () => {
    const asked = config({ opaquePorts: new Set([5432, 7000, 8080]), annotatedPorts: new Set([7000]) });
    const edge = listener(at(host, 8080));
    const how = (port: number, protocol?: ServiceConfig['protocol'], hint: ListenerConfig['protocol'] = 'detect') =>
      decide(
        asked,
        { ...edge, protocol: hint },
        {
          port,
          service: protocol === undefined ? null : service('db', [], { protocol }),
        },
      );
    assert.deepEqual(how(80), { protocol: 'detect', reason: null });
    assert.deepEqual(how(5432), { protocol: 'opaque', reason: 'default-port' });
    assert.deepEqual(how(7000, 'auto'), { protocol: 'opaque', reason: 'annotation' });
    assert.deepEqual(how(80, 'opaque'), { protocol: 'opaque', reason: 'hint' });
    assert.deepEqual(how(7000, 'opaque'), { protocol: 'opaque', reason: 'hint' });
    for (const protocol of ['http1', 'http2', 'auto'] as const) assert.equal(how(80, protocol).protocol, 'detect');
    assert.deepEqual(how(5432, 'opaque', 'http1'), { protocol: 'http1', reason: 'hint' });
  });

  it('depends on the ports of a listener that has some of its own, and of none where somebody knows better', () => {
    const own = listener(at(host, 8080), { opaquePorts: new Set([9000]) });
    const how = (port: number) => decide(config(), own, { port, service: null });
    assert.deepEqual(how(9000), { protocol: 'opaque', reason: 'annotation' });
    assert.deepEqual(how(5432), { protocol: 'detect', reason: null });
    const web = service('web', []);
    const known = (port: number, protocol: ServiceConfig['protocol']) =>
      decide(config(), listener(at(host, 8080)), { port, service: { ...web, protocol }, discovered: true });
    assert.deepEqual(known(5432, 'auto'), { protocol: 'detect', reason: null });
    assert.deepEqual(known(80, 'opaque'), { protocol: 'opaque', reason: 'hint' });
  });

  it('is opaque where all traffic goes to one service that is opaque', () => {
    const opaque = service('db', [], { protocol: 'opaque' });
    const asked = config({ services: [opaque, service('web', []), { ...opaque, name: 'queue' }] });
    const how = (services: Partial<ListenerConfig['services']>) =>
      decide(
        asked,
        listener(at(host, 8080), { services: { http1: 'db', http2: 'db', tls: 'db', opaque: 'db', ...services } }),
      );
    assert.deepEqual(how({}), { protocol: 'opaque', reason: 'hint' });
    // What is refused, or goes elsewhere, has to be told apart.
    for (const services of [{ tls: null }, { opaque: null }, { http1: 'web' }, { http2: 'queue' }]) {
      assert.deepEqual(how(services), { protocol: 'detect', reason: null });
    }
  });

  it('is opaque on the default ports', () => {
    for (const port of [25, 587, 3306, 4444, 5432, 6379, 9300, 11211]) {
      assert.deepEqual(decide(config(), listener(at(host, port))), { protocol: 'opaque', reason: 'default-port' });
    }
  });
});

describe('the race against a server that may speak first', () => {
  const raceOf = (raceMs: number, endpoints = [fixed(host, 9001)]) =>
    race(
      config({ services: [service('web', endpoints)] }),
      listener(at(host, 8080), { detect: { timeoutMs: 10_000, raceMs, helloMs: 0, learnTtlMs: 60_000 } }),
    ).delayMs;

  it('starts after the time given', () => {
    assert.equal(raceOf(0), 0);
    assert.equal(raceOf(200), 200);
  });

  it('starts soon where there is one fixed endpoint, later where there may be several', () => {
    assert.equal(raceOf(-1), RACE_SINGLE_MS);
    assert.equal(raceOf(-1, [fixed(host, 9001), fixed(host, 9002)]), RACE_MS);
    assert.equal(
      race(config({ services: [service('web', [{ kind: 'dns', name: 'db', port: 1 }])] }), listener(at(host, 1)))
        .delayMs,
      RACE_MS,
    );
  });

  it('does not take place where it is off, or there is nothing to dial', () => {
    assert.equal(raceOf(-2), null);
    const services = { http1: 'web', http2: 'web', tls: null, opaque: null };
    assert.equal(race(config(), listener(at(host, 8080), { services })).delayMs, null);
  });

  it('does not take place where the endpoints speak HTTP/2, whose servers do not greet', () => {
    const services = [service('web', [fixed(host, 9001)], { protocol: 'http2' })];
    assert.equal(race(config({ services }), listener(at(host, 8080))).delayMs, null);
  });

  it('to the address that the client was going to starts soon, as there is no other', () => {
    const detect = { timeoutMs: 10_000, raceMs: -1, helloMs: 0, learnTtlMs: 60_000 };
    const edge = (raceMs: number) => listener(at(host, 8080), { detect: { ...detect, raceMs } });
    assert.equal(raceTo(edge(-1), null).delayMs, RACE_SINGLE_MS);
    assert.equal(raceTo(edge(-2), null).delayMs, null);
    assert.equal(raceTo(edge(70), null).delayMs, 70);
    const file: EndpointSource = { kind: 'file', path: '/e.yaml', key: null };
    assert.equal(raceTo(edge(-1), service('web', [file])).delayMs, RACE_MS);
  });
});

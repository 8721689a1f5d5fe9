import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decide, RACE_MS, RACE_SINGLE_MS, race } from '../../src/policy/policy.js';
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
      listener(at(host, 8080), { detect: { timeoutMs: 10_000, raceMs, learnTtlMs: 60_000 } }),
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
});

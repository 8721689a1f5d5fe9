import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LISTENERS, load, SERVICES, withBasics } from './support.js';

test('every key of the file reaches the model', () => {
  const config = load(`
workers: 3
io: epoll
coalesce: 0
admin: { listen: "[::1]:4000" }
log: { level: debug, access: true }
drain: { hold: 0, grace: 1s }
limits:
  maxConnections: 10
  slab: 1MiB
  maxBuffered: 16KiB
  maxPipes: 0
  http1: { maxHeaderBytes: 16128, maxHeaders: 1, maxTarget: 16, headerTimeout: 1ms, bodyTimeout: 2ms, idleTimeout: 3ms, maxRequests: 4, maxPipelined: 16KiB }
  opaque: { idleTimeout: 0, lifetime: 5ms, halfCloseTimeout: 6ms }
detect: { timeout: 0, race: 5ms, learnTtl: 0 }
listeners:
  - { name: a, listen: ":80", protocol: opaque, service: s, direction: outbound, backlog: 7, keepAlive: 0, userTimeout: 8ms }
services:
  s:
    protocol: opaque
    endpoints: ["name.example:80"]
    balance: { policy: round-robin, decay: 1ms, defaultRtt: 500us, failurePenalty: 0 }
    breaker: { failures: 0, minBackoff: 9ms, maxBackoff: 10ms }
    pool: { maxIdle: 0, maxConnections: 1, idleTimeout: 11ms }
    retry: { budget: 1, minPerSecond: 0 }
    connectTimeout: 12ms
    responseTimeout: 13ms
    keepAlive: 14s
    userTimeout: 0
    dns: { minTtl: 15ms, maxTtl: 16ms }
`);
  const { file: _, opaquePorts: __, annotatedPorts: ___, ...rest } = config;
  assert.deepEqual(rest, {
    workers: 3,
    io: 'epoll',
    coalesceUs: 0,
    admin: { host: '::1', port: 4000 },
    log: { level: 'debug', access: true },
    drain: { holdMs: 0, graceMs: 1000 },
    limits: {
      maxConnections: 10,
      slabBytes: 1_048_576,
      maxBufferedBytes: 16_384,
      maxPipes: 0,
      http1: {
        maxHeaderBytes: 16_128,
        maxHeaders: 1,
        maxTargetBytes: 16,
        headerTimeoutMs: 1,
        bodyTimeoutMs: 2,
        idleTimeoutMs: 3,
        maxRequests: 4,
        maxPipelinedBytes: 16_384,
      },
      opaque: { idleTimeoutMs: 0, lifetimeMs: 5, halfCloseTimeoutMs: 6 },
    },
    listeners: [
      {
        name: 'a',
        listen: { host: '::', port: 80 },
        protocol: 'opaque',
        services: { http1: 's', http2: 's', tls: 's', opaque: 's' },
        direction: 'outbound',
        detect: { timeoutMs: 0, raceMs: 5, learnTtlMs: 0 },
        backlog: 7,
        keepAliveMs: 0,
        userTimeoutMs: 8,
      },
    ],
    services: [
      {
        name: 's',
        protocol: 'opaque',
        endpoints: [{ kind: 'dns', name: 'name.example', port: 80 }],
        balance: { policy: 'round-robin', decayMs: 1, defaultRttMs: 0.5, failurePenaltyMs: 0 },
        breaker: { failures: 0, minBackoffMs: 9, maxBackoffMs: 10 },
        pool: { maxIdle: 0, maxConnections: 1, idleTimeoutMs: 11 },
        retry: { budget: 1, minPerSecond: 0 },
        connectTimeoutMs: 12,
        responseTimeoutMs: 13,
        keepAliveMs: 14_000,
        userTimeoutMs: 0,
        dnsMinTtlMs: 15,
        dnsMaxTtlMs: 16,
      },
    ],
  });
});

test('a listener overrides single keys of detect', () => {
  const config = load(`detect: { timeout: 3s, race: 7ms }
listeners:
  - { name: a, listen: ":1", service: web }
  - { name: b, listen: ":2", service: web, detect: { race: off, learnTtl: 1s } }
${SERVICES}`);
  assert.deepEqual(config.listeners[0].detect, { timeoutMs: 3000, raceMs: 7, learnTtlMs: 600_000 });
  assert.deepEqual(config.listeners[1].detect, { timeoutMs: 3000, raceMs: -2, learnTtlMs: 1000 });
});

test('services: refuses what it does not name, unless there is a default', () => {
  const services = (text: string) =>
    load(
      `listeners: [{ name: a, listen: ":1", services: ${text} }]\nservices: { x: { endpoints: ["a:1"] }, y: { endpoints: ["a:1"] } }`,
    ).listeners[0].services;
  assert.deepEqual(services('{ http1: x, opaque: y }'), { http1: 'x', http2: null, tls: null, opaque: 'y' });
  assert.deepEqual(services('{ http1: x, default: y }'), { http1: 'x', http2: 'y', tls: 'y', opaque: 'y' });
  assert.deepEqual(services('{ tls: null, default: y }'), { http1: 'y', http2: 'y', tls: null, opaque: 'y' });
});

test('opaque ports: a list adds, only replaces, add and remove change', () => {
  const ports = (text: string) => {
    const { opaquePorts, annotatedPorts } = load(withBasics(`opaquePorts: ${text}`));
    return { opaque: [...opaquePorts], annotated: [...annotatedPorts] };
  };
  const defaults = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];
  assert.deepEqual(ports('[15432, "4000-4002"]'), {
    opaque: [...defaults, 15432, 4000, 4001, 4002],
    annotated: [15432, 4000, 4001, 4002],
  });
  assert.deepEqual(ports('[]'), { opaque: defaults, annotated: [] });
  assert.deepEqual(ports('{ only: [5432, 1] }'), { opaque: [5432, 1], annotated: [5432, 1] });
  assert.deepEqual(ports('{ only: [] }'), { opaque: [], annotated: [] });
  assert.deepEqual(ports('{ add: [443], remove: [25, "3000-6000"] }'), {
    opaque: [587, 6379, 9300, 11211, 443],
    annotated: [443],
  });
  assert.deepEqual(ports('[5432]').annotated, [5432], 'a default port that the file names counts as named');
});

test('a bound that the file does not name gives way to the one it names', () => {
  const service = (text: string) => load(`${LISTENERS}services: { web: { endpoints: ["a:1"], ${text} } }`).services[0];
  assert.deepEqual(service('pool: { maxConnections: 50 }').pool, {
    maxIdle: 50,
    maxConnections: 50,
    idleTimeoutMs: 4000,
  });
  assert.deepEqual(service('pool: { maxIdle: 2000 }').pool, {
    maxIdle: 2000,
    maxConnections: 2000,
    idleTimeoutMs: 4000,
  });
  assert.equal(service('breaker: { minBackoff: 2m }').breaker.maxBackoffMs, 120_000);
  assert.equal(service('dns: { maxTtl: 10ms }').dnsMinTtlMs, 10);
});

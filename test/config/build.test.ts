import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { CLUSTER_NETWORKS } from '../../src/config/authorization.js';
import { defaultService } from '../../src/config/build.js';
import { parseNetwork } from '../../src/config/networks.js';
import { LISTENERS, load, SERVICES, scratch, withBasics } from './support.js';

test('every key of the file reaches the model', () => {
  const config = load(`
workers: 3
io: epoll
warmup: off
coalesce: 0
admin: { listen: "[::1]:4000", shutdown: true }
log: { level: debug, access: true }
metrics: { maxServices: 1024, maxEndpoints: 8192 }
tracing: { endpoint: "https://collector.test/otlp/", sampling: 0.5, serviceName: shop, attributes: { a.b: c }, headers: { x-key: k }, interval: 5ms, maxSpans: 3, maxQueued: 64KiB, timeout: 4s }
tap: { listeners: 2, maxRps: 7, maxBuffered: 16KiB }
drain: { hold: 0, grace: 1s, outbound: last }
limits:
  maxConnections: 10
  slab: 1MiB
  maxBuffered: 16KiB
  maxPipes: 0
  protocolExpiry: 90s
  http1: { maxHeaderBytes: 256KiB, maxHeaders: 1, maxTarget: 16, headerTimeout: 1ms, bodyTimeout: 2ms, lingerTimeout: 7ms, maxLinger: 5KiB, idleTimeout: 3ms, maxRequests: 4, maxPipelined: 16KiB }
  http2:
    maxStreams: 10000
    maxHeaderBytes: 256
    maxHeaders: 2
    headerTimeout: 21ms
    idleTimeout: 22ms
    bodyTimeout: 0
    stallTimeout: 23ms
    windowTimeout: 24ms
    discardTimeout: 25ms
    maxDiscard: 26KiB
    streamWindow: 16KiB
    maxStreamWindow: 32KiB
    connectionWindow: 64KiB
    maxBuffered: 128KiB
    keepAlive: 0
    keepAliveTimeout: 24ms
    maxAge: 25ms
    ageGrace: 0
    maxResets: 3
    maxProvokedResets: 4
    maxControlFrames: 5
    maxEmptyFrames: 6
    maxTinyFrames: 7
    maxContinuations: 0
    maxReplay: 1KiB
  opaque: { maxConnections: 3, idleTimeout: 0, lifetime: 5ms, halfCloseTimeout: 6ms }
  tls: { handshakeTimeout: 34ms, maxHandshakes: 35, handshakesPerTurn: 36, handshakeTurn: 37us, handshakePatience: 38ms, maxHello: 8KiB, maxChain: 24KiB }
destinations: { max: 33, resolveTimeout: 31ms, idleTimeout: 32ms }
discovery: { maxFileSize: 1KiB, pollInterval: 100ms, startWait: 0 }
detect: { timeout: 0, race: 5ms, learnTtl: 0 }
listeners:
  - { name: b, listen: ":81", originalDestination: true, halfClose: true, shared: true, via: edge-1, date: true, proxyProtocol: { from: ["10.0.0.0/8"], timeout: 18ms, maxBytes: 200B } }
  - { name: a, listen: ":80", protocol: opaque, service: s, direction: outbound, backlog: 7, keepAlive: 0, userTimeout: 8ms }
services:
  s:
    protocol: opaque
    proxyProtocol: v2
    applicationTls: wrap
    endpoints: ["name.example:80", { file: sub/e.yaml, key: k }]
    match: ["10.0.0.0/8:5432"]
    balance: { policy: round-robin, decay: 1ms, defaultRtt: 500us, failurePenalty: 0 }
    breaker: { failures: 0, minBackoff: 9ms, maxBackoff: 10ms, dialInterval: 0 }
    pool: { maxIdle: 0, maxConnections: 1, idleTimeout: 11ms, maxStreams: 2, maxAge: 0, spares: 3, http2Connections: 4 }
    retry: { budget: 1, minPerSecond: 0, replayBytes: 0 }
    connectTimeout: 12ms
    hedgeDelay: 5ms
    responseTimeout: 13ms
    bodyTimeout: 0
    streamTimeout: 17ms
    keepAlive: 14s
    userTimeout: 0
    dns: { minTtl: 15ms, maxTtl: 16ms }
`);
  const { file: _, opaquePorts: __, annotatedPorts: ___, ...rest } = config;
  assert.deepEqual(rest, {
    workers: 3,
    io: 'epoll',
    warmup: 'off',
    coalesceUs: 0,
    admin: { host: '::1', port: 4000 },
    adminShutdown: true,
    log: { level: 'debug', access: true },
    metrics: { maxServices: 1024, maxEndpoints: 8192, maxIdentities: 128, maxScrapes: 4, otlp: null },
    tracing: {
      endpoint: 'https://collector.test/otlp/v1/traces',
      sampling: 0.5,
      serviceName: 'shop',
      attributes: { 'a.b': 'c' },
      headers: { 'x-key': 'k' },
      intervalMs: 5,
      maxSpans: 3,
      maxQueued: 65_536,
      timeoutMs: 4000,
    },
    live: { listeners: 16, waiting: 16, missed: 10, errors: 64 },
    tap: { listeners: 2, maxRps: 7, maxBuffered: 16_384 },
    drain: { holdMs: 0, graceMs: 1000, outbound: 'last' },
    limits: {
      maxConnections: 10,
      slabBytes: 1_048_576,
      slabIdleMs: 10_000,
      maxBufferedBytes: 16_384,
      maxPipes: 0,
      protocolExpiryMs: 90_000,
      http1: {
        maxHeaderBytes: 262_144,
        maxHeaders: 1,
        maxTargetBytes: 16,
        headerTimeoutMs: 1,
        bodyTimeoutMs: 2,
        lingerTimeoutMs: 7,
        maxLingerBytes: 5120,
        idleTimeoutMs: 3,
        maxRequests: 4,
        maxPipelinedBytes: 16_384,
      },
      http2: {
        maxStreams: 10_000,
        maxHeaderBytes: 256,
        maxHeaders: 2,
        headerTimeoutMs: 21,
        idleTimeoutMs: 22,
        bodyTimeoutMs: 0,
        stallTimeoutMs: 23,
        windowTimeoutMs: 24,
        discardTimeoutMs: 25,
        maxDiscardBytes: 26 * 1024,
        streamWindow: 16_384,
        maxStreamWindow: 32_768,
        connectionWindow: 65_536,
        maxBufferedBytes: 131_072,
        keepAliveMs: 0,
        keepAliveTimeoutMs: 24,
        maxAgeMs: 25,
        ageGraceMs: 0,
        maxResets: 3,
        maxProvokedResets: 4,
        maxControlFrames: 5,
        maxEmptyFrames: 6,
        maxTinyFrames: 7,
        maxContinuations: 0,
        maxReplayBytes: 1024,
      },
      opaque: { maxConnections: 3, idleTimeoutMs: 0, lifetimeMs: 5, halfCloseTimeoutMs: 6 },
      tls: {
        handshakeTimeoutMs: 34,
        maxHandshakes: 35,
        handshakesPerTurn: 36,
        handshakeTurnUs: 37,
        handshakePatienceMs: 38,
        maxHello: 8192,
        maxChain: 24_576,
      },
    },
    destinations: { max: 33, resolveTimeoutMs: 31, idleTimeoutMs: 32 },
    discovery: { maxFileBytes: 1024, pollMs: 100, startWaitMs: 0 },
    identity: null,
    bareService: defaultService(''),
    destination: null,
    sidecar: {
      enabled: false,
      pod: '',
      namespace: '',
      node: '',
      account: '',
      clusterNetworks: CLUSTER_NETWORKS.map(parseNetwork),
    },
    listeners: [
      {
        name: 'b',
        listen: { host: '::', port: 81 },
        protocol: 'detect',
        services: { http1: null, http2: null, tls: null, opaque: null },
        originalDestination: true,
        halfClose: true,
        shared: true,
        via: 'edge-1',
        date: true,
        mesh: false,
        tls: null,
        authorization: null,
        meshHeaders: 'auto',
        proxyProtocol: {
          from: [{ text: '10.0.0.0/8', family: 4, first: '0a000000', last: '0affffff' }],
          timeoutMs: 18,
          maxBytes: 200,
        },
        direction: 'inbound',
        detect: { timeoutMs: 0, raceMs: 5, helloMs: 1500, learnTtlMs: 0 },
        backlog: 4096,
        keepAliveMs: 10_000,
        userTimeoutMs: 30_000,
        opaquePorts: null,
        connectTimeoutMs: 1000,
      },
      {
        name: 'a',
        listen: { host: '::', port: 80 },
        protocol: 'opaque',
        services: { http1: 's', http2: 's', tls: 's', opaque: 's' },
        originalDestination: false,
        halfClose: false,
        shared: false,
        via: null,
        date: false,
        mesh: false,
        tls: null,
        authorization: null,
        meshHeaders: 'auto',
        proxyProtocol: null,
        direction: 'outbound',
        detect: { timeoutMs: 0, raceMs: 5, helloMs: 1500, learnTtlMs: 0 },
        backlog: 7,
        keepAliveMs: 0,
        userTimeoutMs: 8,
        opaquePorts: null,
        connectTimeoutMs: 1000,
      },
    ],
    services: [
      {
        name: 's',
        protocol: 'opaque',
        applicationTls: 'wrap',
        proxyProtocol: 'v2',
        tls: null,
        endpoints: [
          { kind: 'dns', name: 'name.example', port: 80 },
          { kind: 'file', path: join(scratch(), 'sub/e.yaml'), key: 'k' },
        ],
        match: [
          { text: '10.0.0.0/8:5432', family: 4, prefix: 8, port: 5432, first: '415380a000000', last: '415380affffff' },
        ],
        balance: { policy: 'round-robin', decayMs: 1, defaultRttMs: 0.5, failurePenaltyMs: 0 },
        breaker: { failures: 0, minBackoffMs: 9, maxBackoffMs: 10, dialIntervalMs: 0 },
        pool: {
          maxIdle: 0,
          maxConnections: 1,
          idleTimeoutMs: 11,
          maxStreams: 2,
          maxAgeMs: 0,
          spares: 3,
          http2Connections: 4,
        },
        retry: { budget: 1, minPerSecond: 0, replayBytes: 0 },
        connectTimeoutMs: 12,
        hedgeDelayMs: 5,
        responseTimeoutMs: 13,
        bodyTimeoutMs: 0,
        streamTimeoutMs: 17,
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
  - { name: b, listen: ":2", service: web, detect: { race: off, hello: 2s, learnTtl: 1s } }
${SERVICES}`);
  assert.deepEqual(config.listeners[0].detect, { timeoutMs: 3000, raceMs: 7, helloMs: 1500, learnTtlMs: 600_000 });
  assert.deepEqual(config.listeners[1].detect, { timeoutMs: 3000, raceMs: -2, helloMs: 2000, learnTtlMs: 1000 });
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
  const pool = (text: string) => {
    const { maxIdle, maxConnections, spares, http2Connections } = service(`pool: { ${text} }`).pool;
    return { maxIdle, maxConnections, spares, http2Connections };
  };
  assert.deepEqual(pool('maxConnections: 50'), { maxIdle: 50, maxConnections: 50, spares: 0, http2Connections: 16 });
  assert.deepEqual(pool('maxIdle: 2000'), { maxIdle: 2000, maxConnections: 2000, spares: 0, http2Connections: 16 });
  assert.deepEqual(pool('spares: 20'), { maxIdle: 1024, maxConnections: 1024, spares: 20, http2Connections: 20 });
  assert.equal(service('breaker: { minBackoff: 2m }').breaker.maxBackoffMs, 120_000);
  assert.equal(service('dns: { maxTtl: 10ms }').dnsMinTtlMs, 10);
});

test('windows that the file does not name give way to those it names', () => {
  const windows = (text: string) => {
    const { http2 } = load(withBasics(`limits: { http2: { ${text} } }`)).limits;
    return [http2.streamWindow, http2.maxStreamWindow, http2.connectionWindow];
  };
  const [KiB, MiB] = [2 ** 10, 2 ** 20];
  assert.deepEqual(windows('streamWindow: 2MiB'), [2 * MiB, 2 * MiB, 16 * MiB]);
  assert.deepEqual(windows('maxStreamWindow: 16KiB'), [16 * KiB, 16 * KiB, 16 * MiB]);
  assert.deepEqual(windows('connectionWindow: 64KiB'), [64 * KiB, 64 * KiB, 64 * KiB]);
  assert.deepEqual(windows('streamWindow: 128KiB, connectionWindow: 256KiB'), [128 * KiB, 256 * KiB, 256 * KiB]);
});

test('what is held back is never more than there is memory for', () => {
  const { limits } = load(withBasics('limits: { slab: 1MiB }'));
  assert.equal(limits.http2.maxBufferedBytes, limits.slabBytes);
});

test('endpoints: a file alone, or among others, relative to the configuration', () => {
  const path = join(scratch(), 'e.yaml');
  const endpoints = (text: string) =>
    load(`${LISTENERS}services: { web: { endpoints: ${text} } }`).services[0].endpoints;
  assert.deepEqual(endpoints('{ file: e.yaml }'), [{ kind: 'file', path, key: null }]);
  assert.deepEqual(endpoints('[{ file: ./e.yaml, key: web }, "10.0.0.1:80", { file: /abs/e.json }]'), [
    { kind: 'file', path, key: 'web' },
    { kind: 'static', address: { host: '10.0.0.1', port: 80 } },
    { kind: 'file', path: '/abs/e.json', key: null },
  ]);
});

test('endpoints: an address may come with the name that its certificate is for', () => {
  const endpoints = (text: string) =>
    load(`${LISTENERS}services: { web: { endpoints: ${text} } }`).services[0].endpoints;
  assert.deepEqual(
    endpoints(
      '[{ address: "10.0.0.1:80", identity: "spiffe://a/b" }, { address: "a.example:80", identity: web.default }, { address: "10.0.0.2:80" }]',
    ),
    [
      { kind: 'static', address: { host: '10.0.0.1', port: 80 }, identity: 'spiffe://a/b' },
      { kind: 'dns', name: 'a.example', port: 80, identity: 'web.default' },
      { kind: 'static', address: { host: '10.0.0.2', port: 80 } },
    ],
  );
});

test('a service of which the file says nothing has every default and no endpoint', () => {
  const service = defaultService('nobody');
  const written = load(
    'listeners: [{ name: a, listen: ":1", service: web }]\nservices: { web: { endpoints: ["10.0.0.1:1"] } }',
  ).services[0];
  assert.deepEqual(service, { ...written, name: 'nobody', endpoints: [] });
});

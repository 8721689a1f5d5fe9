import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { CLUSTER_NETWORKS } from '../../src/config/authorization.js';
import { defaultService } from '../../src/config/build.js';
import { loadConfig } from '../../src/config/load.js';
import { parseNetwork } from '../../src/config/networks.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { refuseToReadAgain } from '../../src/config/text-file.js';
import { runs } from '../support/runs.js';
import { load, problemsOf, scratch, write } from './support.js';

const MINIMAL = `workers: 1
io: auto
admin: { listen: "127.0.0.1:4191" }
listeners:
  - { name: edge, listen: "127.0.0.1:8080", service: web }             # protocol: detect (default) | http1 | http2 | opaque
services:
  web:
    protocol: http1                                                     # what the endpoints speak: http1 | http2 | opaque
    endpoints: ["127.0.0.1:9001", "127.0.0.1:9002"]
`;

test('the minimal file gets every default', () => {
  const file = write(MINIMAL);
  assert.deepEqual(loadConfig(file, {}), {
    file,
    workers: 1,
    io: 'auto',
    warmup: 'auto',
    coalesceUs: 50,
    admin: { host: '127.0.0.1', port: 4191 },
    adminShutdown: false,
    log: { level: 'info', access: false },
    metrics: { maxServices: 128, maxEndpoints: 512, maxIdentities: 128, maxScrapes: 4, otlp: null },
    tracing: null,
    live: { listeners: 16, waiting: 16, missed: 10, errors: 64 },
    tap: { listeners: 4, maxRps: 1000, maxBuffered: 262_144 },
    drain: { holdMs: 2000, graceMs: 30_000, outbound: 'together' },
    limits: {
      maxConnections: 50_000,
      slabBytes: 67_108_864,
      slabIdleMs: 10_000,
      maxBufferedBytes: 262_144,
      maxPipes: 256,
      protocolExpiryMs: 600_000,
      http1: {
        maxHeaderBytes: 65_536,
        maxHeaders: 256,
        maxTargetBytes: 8192,
        headerTimeoutMs: 10_000,
        bodyTimeoutMs: 300_000,
        lingerTimeoutMs: 30_000,
        maxLingerBytes: 268_435_456,
        idleTimeoutMs: 60_000,
        maxRequests: 0,
        maxPipelinedBytes: 65_536,
      },
      http2: {
        maxStreams: 128,
        maxHeaderBytes: 65_536,
        maxHeaders: 256,
        headerTimeoutMs: 10_000,
        idleTimeoutMs: 3_600_000,
        bodyTimeoutMs: 300_000,
        stallTimeoutMs: 300_000,
        windowTimeoutMs: 1000,
        discardTimeoutMs: 5000,
        maxDiscardBytes: 64 * 1024 * 1024,
        streamWindow: 65_536,
        maxStreamWindow: 1_048_576,
        connectionWindow: 16_777_216,
        maxBufferedBytes: 4_194_304,
        keepAliveMs: 30_000,
        keepAliveTimeoutMs: 10_000,
        maxAgeMs: 0,
        ageGraceMs: 30_000,
        maxResets: 500,
        maxProvokedResets: 100,
        maxControlFrames: 2000,
        maxEmptyFrames: 200,
        maxTinyFrames: 10_000,
        maxContinuations: 64,
        maxReplayBytes: 8_388_608,
      },
      opaque: { maxConnections: 0, idleTimeoutMs: 3_600_000, lifetimeMs: 0, halfCloseTimeoutMs: 300_000 },
      tls: {
        handshakeTimeoutMs: 10_000,
        maxHandshakes: 1024,
        handshakesPerTurn: 8,
        handshakeTurnUs: 250,
        handshakePatienceMs: 1000,
        maxHello: 20_480,
        maxChain: 65_536,
      },
    },
    destinations: { max: 4096, resolveTimeoutMs: 500, idleTimeoutMs: 300_000 },
    discovery: { maxFileBytes: 16_777_216, pollMs: 5000, startWaitMs: 500 },
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
    opaquePorts: new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]),
    annotatedPorts: new Set(),
    listeners: [
      {
        name: 'edge',
        listen: { host: '127.0.0.1', port: 8080 },
        protocol: 'detect',
        services: { http1: 'web', http2: 'web', tls: 'web', opaque: 'web' },
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
        direction: 'inbound',
        detect: { timeoutMs: 10_000, raceMs: -1, helloMs: 1500, learnTtlMs: 600_000 },
        backlog: 4096,
        keepAliveMs: 10_000,
        userTimeoutMs: 30_000,
        opaquePorts: null,
        connectTimeoutMs: 1000,
      },
    ],
    services: [
      {
        name: 'web',
        protocol: 'http1',
        applicationTls: 'pass',
        proxyProtocol: null,
        tls: null,
        endpoints: [
          { kind: 'static', address: { host: '127.0.0.1', port: 9001 } },
          { kind: 'static', address: { host: '127.0.0.1', port: 9002 } },
        ],
        match: [],
        balance: { policy: 'ewma', decayMs: 10_000, defaultRttMs: 30, failurePenaltyMs: 5000 },
        breaker: { failures: 7, minBackoffMs: 1000, maxBackoffMs: 60_000, dialIntervalMs: 50 },
        pool: {
          maxIdle: 1024,
          maxConnections: 1024,
          idleTimeoutMs: 4000,
          maxStreams: 100,
          maxAgeMs: 3_600_000,
          spares: 0,
          http2Connections: 16,
        },
        retry: { budget: 0.2, minPerSecond: 10, replayBytes: -1 },
        connectTimeoutMs: 1000,
        hedgeDelayMs: 250,
        responseTimeoutMs: 0,
        bodyTimeoutMs: -1,
        streamTimeoutMs: 0,
        keepAliveMs: 10_000,
        userTimeoutMs: 30_000,
        dnsMinTtlMs: 1000,
        dnsMaxTtlMs: 60_000,
      },
    ],
  });
});

test('all mistakes are reported at once, in the order of the file, each with line, column and path', () => {
  const file = write(`workerz: 2
io: uringg
log:
  level: verbose
listeners:
  - { name: a, listen: "127.0.0.1:80", service: wbe }
  - listen: ":81"
    service: web
services:
  web: { endpoints: [], balanse: 1 }
`);
  const problems = problemsOf(() => loadConfig(file, {}));
  assert.deepEqual(
    problems.map((problem) => formatProblem(problem).replace(file, 'F')),
    [
      'F:1:1: workerz: unknown key; did you mean "workers"?',
      'F:2:5: io: "uringg" is unknown; did you mean "uring"?',
      'F:4:10: log.level: "verbose" is unknown; expected one of error, warn, info, debug',
      'F:6:49: listeners[0].service: there is no service "wbe"; did you mean "web"?',
      'F:7:5: listeners[1].name: is missing; add it',
      'F:10:21: services.web.endpoints: is empty; list at least one endpoint, such as "127.0.0.1:9001"',
      'F:10:25: services.web.balanse: unknown key; did you mean "balance"?',
    ],
  );
  assert.ok(problems.every((problem) => problem.file === file));
  assert.equal(new ConfigError(problems).message.split('\n').length, 7);
});

test('a file that cannot be read says why', () => {
  const text = (file: string) => formatProblem(problemsOf(() => loadConfig(file, {}))[0]).replace(scratch(), 'DIR');
  assert.equal(
    text(join(scratch(), 'missing.yaml')),
    'DIR/missing.yaml: there is no such file; check the path given with -c',
  );
  mkdirSync(join(scratch(), 'directory'), { recursive: true });
  assert.equal(text(join(scratch(), 'directory')), 'DIR/directory: is a directory; name the file in it');
  assert.match(text(join(write('x', 'plain'), 'below')), /is inside something that is not a directory/);
  assert.match(text(write(new Uint8Array([0x61, 0xff, 0xfe]), 'latin')), /is not UTF-8 text; save it as UTF-8/);
  assert.equal(
    text('/dev/zero'),
    '/dev/zero: has more than 64MiB, too much for a configuration; check the path given with -c',
  );
  const zeros = text(write(new Uint8Array(1000), 'zeros'));
  assert.match(zeros, /zeros: has NUL octets, as UTF-16 has; save it as UTF-8$/);
});

test('what may be no file is not read a second time', () => {
  const fifo = join(scratch(), 'fifo');
  execFileSync('mkfifo', [fifo]);
  for (const file of [fifo, '/dev/null']) {
    assert.match(
      formatProblem(problemsOf(() => refuseToReadAgain(file))[0]),
      /: is a device, a pipe or a socket, which cannot/,
    );
  }
  refuseToReadAgain(write('x', 'regular'));
  // Their own messages come from the reading.
  refuseToReadAgain(join(scratch(), 'missing.yaml'));
  refuseToReadAgain(scratch());
});

test('a file without read permission says so', { skip: process.getuid?.() === 0 && 'root may read everything' }, () => {
  const file = write('x', 'secret');
  chmodSync(file, 0);
  assert.match(
    problemsOf(() => loadConfig(file, {}))[0].message,
    /may not be read by this user; give it read permission/,
  );
});

test('no text makes loading throw anything but a ConfigError', () => {
  const fragments = [
    'listeners',
    'services',
    'admin',
    'web',
    ': ',
    '\n',
    '  ',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '"',
    "'",
    ',',
    '&a ',
    '*a',
    '!x ',
    '0',
    '10s',
    '\t',
    '#',
    '|',
    '?',
    '__proto__',
  ];
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...fragments), { maxLength: 30 }), (parts) => {
      assert.ok(problemsOf(() => load(parts.join(''))).length > 0);
    }),
    { numRuns: runs(300) },
  );
});

test('a valid file with one value replaced by anything fails in order or loads', () => {
  const base = {
    workers: 1,
    log: { level: 'info' },
    limits: { http1: {} },
    opaquePorts: {},
    listeners: [{ name: 'a', listen: ':1', service: 'w', services: {}, detect: {} }],
    services: { w: { endpoints: ['a:1'], pool: {}, dns: {} } },
  };
  const paths = [
    ['workers'],
    ['log'],
    ['log', 'level'],
    ['limits'],
    ['limits', 'http1'],
    ['opaquePorts'],
    ['listeners'],
    ['listeners', 0],
    ['listeners', 0, 'services'],
    ['listeners', 0, 'detect'],
    ['services'],
    ['services', 'w'],
    ['services', 'w', 'endpoints'],
    ['services', 'w', 'pool'],
  ];
  fc.assert(
    fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
      const tree = structuredClone(base) as Record<string | number, unknown>;
      let at = tree;
      for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
      at[path[path.length - 1]] = value;
      problemsOf(() => load(JSON.stringify(tree)));
    }),
    { numRuns: runs(300) },
  );
});

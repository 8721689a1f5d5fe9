import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaint, complaints, LISTENERS, load, SERVICES, withBasics } from './support.js';

test('opaque ports that cannot be meant are refused', () => {
  assert.match(complaint(withBasics('opaquePorts: { only: [1], add: [2] }')), /^opaquePorts.only: replaces the list/);
  assert.match(
    complaint(withBasics('opaquePorts: { remove: [26] }')),
    /^opaquePorts.remove\[0\]: 26 is not in the default list/,
  );
  assert.match(complaint(withBasics('opaquePorts: [0]')), /^opaquePorts\[0\]: "0" is not a port/);
  assert.match(
    complaint(withBasics('opaquePorts: 25')),
    /^opaquePorts: found 25; write a map with the keys only, add, remove/,
  );
});

test('bounds that contradict are refused', () => {
  const message = (text: string) => complaint(`${LISTENERS}services: { web: { endpoints: ["a:1"], ${text} } }`);
  assert.equal(
    message('breaker: { minBackoff: 2m, maxBackoff: 1s }'),
    'services.web.breaker.minBackoff: 2m exceeds maxBackoff (1s); lower it or raise maxBackoff',
  );
  assert.match(message('dns: { minTtl: 2s, maxTtl: 1s }'), /^services.web.dns.minTtl: 2s exceeds maxTtl/);
  assert.match(
    message('pool: { maxIdle: 2, maxConnections: 1 }'),
    /^services.web.pool.maxIdle: 2 exceeds maxConnections/,
  );
  assert.match(
    complaint(withBasics('limits: { slab: 1MiB, maxBuffered: 2MiB }')),
    /^limits.maxBuffered: 2MiB exceeds slab \(1MiB\)/,
  );
  assert.match(
    message('pool: { spares: 5, http2Connections: 4 }'),
    /^services.web.pool.spares: 5 exceeds http2Connections \(4\)/,
  );
});

test('HTTP/2 windows that contradict are refused', () => {
  const message = (text: string) => complaint(withBasics(`limits: { http2: { ${text} } }`));
  assert.equal(
    message('streamWindow: 2MiB, maxStreamWindow: 1MiB'),
    'limits.http2.streamWindow: 2MiB exceeds maxStreamWindow (1MiB); lower it or raise maxStreamWindow',
  );
  assert.match(
    message('maxStreamWindow: 2MiB, connectionWindow: 1MiB'),
    /^limits.http2.maxStreamWindow: 2MiB exceeds connectionWindow \(1MiB\)/,
  );
  assert.match(
    message('streamWindow: 2MiB, connectionWindow: 1MiB'),
    /^limits.http2.streamWindow: 2MiB exceeds connectionWindow \(1MiB\)/,
  );
});

test('what HTTP/2 may hold is bounded by the memory that there is', () => {
  assert.equal(
    complaint(withBasics('limits: { slab: 1MiB, http2: { maxBuffered: 2MiB } }')),
    'limits.http2.maxBuffered: 2MiB exceeds limits.slab (1MiB); lower it or raise limits.slab',
  );
  const retry = (replayBytes: string) =>
    `${LISTENERS}services: { web: { endpoints: ["a:1"], retry: { replayBytes: ${replayBytes} } } }\n`;
  assert.equal(
    complaint(retry('9MiB')),
    'services.web.retry.replayBytes: 9MiB exceeds limits.http2.maxReplay (8MiB); lower it or raise limits.http2.maxReplay',
  );
  assert.match(
    complaint(`${retry('2KiB')}limits: { http2: { maxReplay: 1KiB } }`),
    /^services.web.retry.replayBytes: 2KiB exceeds limits.http2.maxReplay \(1KiB\)/,
  );
  load(retry('8MiB'));
});

test('HTTP/2 limits that would end every connection, or that the protocol does not know, are refused', () => {
  const message = (text: string) => complaint(withBasics(`limits: { http2: { ${text} } }`));
  for (const key of ['maxResets', 'maxProvokedResets', 'maxControlFrames', 'maxEmptyFrames', 'maxTinyFrames']) {
    assert.match(message(`${key}: 0`), new RegExp(`^limits.http2.${key}: found 0; write a whole number from 1`));
  }
  assert.match(
    message('maxStreams: 10001'),
    /^limits.http2.maxStreams: found 10001; write a whole number from 1 to 10000$/,
  );
  assert.match(message('streamWindow: 8KiB'), /^limits.http2.streamWindow: 8KiB is too small; write at least 16KiB/);
  assert.match(message('connectionWindow: 2GiB'), /^limits.http2.connectionWindow: 2GiB is too large/);
  assert.match(message('maxHeaderBytes: 257KiB'), /^limits.http2.maxHeaderBytes: 257KiB is too large/);
  assert.match(message('maxStream: 1'), /^limits.http2.maxStream: unknown key; did you mean "maxStreams"\?/);
});

test('references to services that do not exist are refused wherever they stand', () => {
  assert.match(
    complaint(`listeners: [{ name: a, listen: ":1", services: { http1: web, default: wep } }]\n${SERVICES}`),
    /^listeners\[0\].services.default: there is no service "wep"; did you mean "web"\?$/,
  );
  assert.match(
    complaint(`listeners: [{ name: a, listen: ":1", service: other }]\n${SERVICES}`),
    /there is no service "other"; expected one of web$/,
  );
});

test('a listener names its services in exactly one way', () => {
  const message = (text: string) => complaint(`listeners: [{ name: a, listen: ":1", ${text} }]\n${SERVICES}`);
  assert.match(message(''), /^listeners\[0\]: has no service; add service: NAME/);
  assert.match(message('service: web, services: { http1: web }'), /^listeners\[0\].services: conflicts with service/);
  assert.match(message('services: {}'), /^listeners\[0\].services: names no service, so everything is refused/);
  assert.match(message('services: { http1: null }'), /names no service/);
  assert.match(message('services: '), /^listeners\[0\].services: found nothing; write a map/);
  assert.match(
    message('protocol: http2, services: { http1: web }'),
    /^listeners\[0\].services: has none for http2, the protocol of this listener; add http2: NAME$/,
  );
});

test('listener names are unique', () => {
  const text = `listeners:\n  - { name: a, listen: ":1", service: web }\n  - { name: a, listen: ":2", service: web }\n${SERVICES}`;
  assert.deepEqual(complaints(text), ['3:13 listeners[1].name: "a" is taken by listeners[0]; use another name']);
});

test('names that labels or objects cannot carry are refused', () => {
  assert.match(
    complaints(`${LISTENERS}services: { web: { endpoints: ["a:1"] }, "a b": { endpoints: ["a:1"] } }`)[0],
    /services\["a b"\]: "a b" is not a valid name/,
  );
  for (const name of ['constructor', '__proto__']) {
    assert.match(
      complaint(`${LISTENERS}services: { web: { endpoints: ["a:1"] }, ${name}: { endpoints: ["a:1"] } }`),
      /is reserved; use another name/,
    );
  }
});

test('two listeners cannot share an address, wildcards and the admin port included', () => {
  const collides = (first: string, second: string): boolean => {
    const text = `admin: off\nlisteners:\n  - { name: a, listen: "${first}", service: web }\n  - { name: b, listen: "${second}", service: web }\n${SERVICES}`;
    const lines = complaints(text);
    if (lines.length > 0)
      assert.match(lines[0], /listeners\[1\].listen: .* collides with listeners\[0\].listen .*; use another port/);
    return lines.length > 0;
  };
  assert.ok(collides('127.0.0.1:80', '127.0.0.1:80'));
  assert.ok(collides('0.0.0.0:80', '127.0.0.1:80'));
  assert.ok(collides('127.0.0.1:80', ':80'));
  assert.ok(collides('[::1]:80', '[::]:80'));
  assert.ok(collides('[::1]:80', '[0:0::1]:80'));
  assert.ok(!collides('127.0.0.1:80', '127.0.0.1:81'));
  assert.ok(!collides('127.0.0.1:80', '127.0.0.2:80'));
  assert.ok(!collides('0.0.0.0:80', '[::1]:80'));
  assert.ok(!collides('127.0.0.1:0', '127.0.0.1:0'), 'port 0 is another one each time');
  assert.match(
    complaint(`listeners: [{ name: a, listen: ":4191", service: web }]\n${SERVICES}`),
    /":4191" collides with admin.listen \(127\.0\.0\.1:4191\)/,
  );
});

test('an endpoint is listed once in its service', () => {
  assert.match(
    complaint(`${LISTENERS}services: { web: { endpoints: ["[::1]:1", "A:1", "[0::1]:1"] } }`),
    /^services.web.endpoints\[2\]: .* is listed twice, first as endpoints\[0\]; remove one$/,
  );
  assert.match(complaint(`${LISTENERS}services: { web: { endpoints: ["a.b:1", "A.B:1"] } }`), /listed twice/);
});

test('no more listeners, services and endpoints than the tables have room for', () => {
  const listeners = (count: number) =>
    `listeners:\n${Array.from({ length: count }, (_, i) => `  - { name: l${i}, listen: ":${i + 1}", service: web }`).join('\n')}\n${SERVICES}`;
  assert.equal(load(listeners(63)).listeners.length, 63);
  assert.match(complaint(listeners(64)), /^listeners: 64 listeners are too many; use at most 63/);
  const services = (count: number) =>
    `${LISTENERS}services:\n  web: { endpoints: ["a:1"] }\n${Array.from({ length: count - 1 }, (_, i) => `  s${i}: { endpoints: ["a:1"] }`).join('\n')}`;
  assert.equal(load(services(8191)).services.length, 8191);
  assert.match(complaint(services(8192)), /^services: 8192 services are too many; use at most 8191/);
  const address = (i: number) => `"10.0.${i >> 8}.${i & 255}:80"`;
  const endpoints = `${LISTENERS}services: { web: { endpoints: [${Array.from({ length: 65_536 }, (_, i) => address(i))}] } }`;
  assert.match(complaint(endpoints), /^services: 65536 endpoints in all services are too many; use at most 65535/);
});

test('a message does not list the names of thousands of services', () => {
  const many = Array.from({ length: 1000 }, (_, i) => `  s${i}: { endpoints: ["a:1"] }`).join('\n');
  const text = complaint(`listeners: [{ name: a, listen: ":1", service: elsewhere }]\nservices:\n${many}`);
  assert.match(text, /there is no service "elsewhere"; expected one of s0, s1, .*, s19 and 980 more$/);
});

test('a listener with original destinations names no services', () => {
  const message = (text: string) => complaint(`listeners: [{ name: a, listen: ":1", ${text} }]\n${SERVICES}`);
  const config = load(`listeners: [{ name: a, listen: ":1", originalDestination: true }]\n${SERVICES}`);
  assert.equal(config.listeners[0].originalDestination, true);
  assert.match(
    message('originalDestination: true, service: web'),
    /^listeners\[0\]\.service: conflicts with originalDestination, which routes by the address that the client dialled; remove it, and name the addresses of a service in services\.NAME\.match$/,
  );
  assert.match(
    message('originalDestination: true, services: { http1: web }'),
    /^listeners\[0\]\.services: conflicts with/,
  );
  assert.match(
    message('originalDestination: yes'),
    /^listeners\[0\]\.originalDestination: found "yes"; write true or false/,
  );
  assert.match(message('originalDestination: false'), /has no service; add .*, or originalDestination: true$/);
});

test('a file of endpoints needs a path, and is named once in its service', () => {
  const message = (text: string) => complaint(`${LISTENERS}services: { web: { endpoints: ${text} } }`);
  assert.match(message('{}'), /^services\.web\.endpoints\.file: is missing; add it$/);
  assert.match(message('{ file: "" }'), /^services\.web\.endpoints\.file: found ""; write the path of a file/);
  assert.match(message('[{ file: 5 }]'), /^services\.web\.endpoints\[0\]\.file: found 5; write the path of a file/);
  assert.match(message('{ fiel: a, file: b }'), /^services\.web\.endpoints\.fiel: unknown key; did you mean "file"\?$/);
  assert.match(message('[{ file: a, key: "x y" }]'), /^services\.web\.endpoints\[0\]\.key: "x y" is not a valid name/);
  assert.match(
    message('[{ file: a, key: b }, { file: a }, { key: b, file: a }]'),
    /endpoints\[2\]: .*listed twice, first as endpoints\[0\]/,
  );
  assert.match(
    message('5'),
    /^services\.web\.endpoints: found 5; write a list such as \["127\.0\.0\.1:9001"\], or \{ file: PATH \}$/,
  );
});

test('limits of destinations and of files of endpoints have bounds', () => {
  assert.match(
    complaint(withBasics('destinations: { resolveTimeout: 0 }')),
    /^destinations\.resolveTimeout: 0 is too short/,
  );
  assert.match(complaint(withBasics('destinations: { idleTimeout: 5 }')), /^destinations\.idleTimeout: 5 has no unit/);
  assert.match(complaint(withBasics('destinations: { max: 16385 }')), /^destinations\.max: /);
  assert.match(
    complaint(withBasics('discovery: { maxFileSize: 1GiB }')),
    /^discovery\.maxFileSize: 1GiB is too large; write at most 256MiB/,
  );
  assert.match(
    complaint(withBasics('discovery: { pollInterval: 1ms }')),
    /^discovery\.pollInterval: 1ms is too short; write at least 100ms/,
  );
});

test('PROXY headers are for opaque services, and ask for networks that are some', () => {
  const service = (text: string) => complaint(`${LISTENERS}services: { web: { endpoints: ["a:1"], ${text} } }`);
  for (const text of ['proxyProtocol: v1', 'proxyProtocol: v2, protocol: http1', 'proxyProtocol: v2, protocol: auto'])
    assert.match(service(text), /^services\.web\.proxyProtocol: needs protocol: opaque/);
  assert.match(
    service('proxyProtocol: v3, protocol: opaque'),
    /^services\.web\.proxyProtocol: "v3" is unknown; did you mean "v1"/,
  );
  const listener = (value: string) =>
    `listeners: [{ name: a, listen: ":80", service: web, proxyProtocol: ${value} }]\n${SERVICES}`;
  assert.match(complaint(listener('{ from: [] }')), /^listeners\[0\]\.proxyProtocol\.from: is empty/);
  assert.match(complaint(listener('{ from: ["10.0.0.1/8"] }')), /write "10\.0\.0\.0\/8"/);
  assert.match(complaint(listener('{ maxBytes: 100 }')), /^listeners\[0\]\.proxyProtocol\.maxBytes: /);
  assert.match(complaint(listener('v2')), /^listeners\[0\]\.proxyProtocol: /);
  assert.deepEqual(load(listener('true')).listeners[0].proxyProtocol, { from: null, timeoutMs: 5000, maxBytes: 4096 });
  assert.equal(load(listener('false')).listeners[0].proxyProtocol, null);
});

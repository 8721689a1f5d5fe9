import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaints, load } from './support.js';

const IDENTITY = 'identity: { files: { certificate: a.pem, key: a-key.pem, anchors: ca.pem } }\n';
const file = (listener: string, endpoint = '"127.0.0.1:9001"', identity = IDENTITY): string =>
  `${identity}listeners: [{ name: edge, listen: "127.0.0.1:8080", service: web${listener} }]\nservices: { web: { endpoints: [${endpoint}] } }\n`;

test('a listener is one of the mesh, if this proxy has an identity', () => {
  assert.equal(load(file(', mesh: true')).listeners[0].mesh, true);
  assert.equal(load(file('')).listeners[0].mesh, false);
  assert.match(complaints(file(', mesh: true', undefined, '')).join(), /mesh: needs an identity/);
  assert.match(complaints(file(', mesh: true, protocol: opaque')).join(), /mesh: conflicts with protocol: opaque/);
  const tls = ', tls: { certificates: [{ certificate: w.pem, key: k.pem }] }';
  assert.match(complaints(file(`, mesh: true${tls}`)).join(), /mesh: conflicts with tls/);
});

test('an endpoint says who is in front of it', () => {
  const endpoint = '{ address: "10.0.0.7:8080", identity: web.example, proxy: { port: 4143, http2: true } }';
  assert.deepEqual(load(file('', endpoint)).services[0].endpoints, [
    {
      kind: 'static',
      address: { host: '10.0.0.7', port: 8080 },
      identity: 'web.example',
      proxy: { port: 4143, http2: true },
    },
  ]);
  const nameless = complaints(file('', '{ address: "10.0.0.7:8080", proxy: { port: 4143 } }')).join();
  assert.match(nameless, /proxy: needs identity/);
  for (const [proxy, message] of [
    ['{ port: 0 }', /port/],
    ['{ http2: maybe }', /http2/],
    ['{ ports: 1 }', /has port and http2/],
    ['4143', /write a map/],
  ] as const)
    assert.match(
      complaints(file('', `{ address: "10.0.0.7:1", identity: a.example, proxy: ${proxy} }`)).join(),
      message,
    );
});

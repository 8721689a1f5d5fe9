import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { complaint, complaints, load, SERVICES, scratch } from './support.js';

const CERTIFICATES = 'certificates: [{ certificate: web.pem, key: keys/web.pem }]';
const listenerText = (tls: string, more = ''): string =>
  `listeners: [{ name: edge, listen: "127.0.0.1:8080", service: web${more}, tls: { ${tls} } }]\n${SERVICES}`;
const serviceText = (tls: string, endpoints = '["a.example:443"]', more = ''): string =>
  `listeners: [{ name: edge, listen: "127.0.0.1:8080", service: web }]\nservices: { web: { endpoints: ${endpoints}${more}, tls: { ${tls} } } }\n`;
const listenerTls = (tls: string, more = '') => load(listenerText(tls, more)).listeners[0].tls;
const serviceTls = (tls: string, endpoints?: string) => load(serviceText(tls, endpoints)).services[0].tls;

test('a listener ends TLS with certificates, relative to the configuration', () => {
  const path = (name: string): string => join(scratch(), name);
  assert.deepEqual(listenerTls(CERTIFICATES), {
    certificates: [{ certificate: path('web.pem'), key: path('keys/web.pem'), names: null }],
    minVersion: '1.3',
    alpn: null,
    clientAuthority: null,
    clientCertificate: 'none',
    tickets: false,
  });
  assert.deepEqual(
    listenerTls(
      'certificates: [{ certificate: /a.pem, key: /b.pem, names: ["A.example", "*.B.example."] }], minVersion: 1.2, alpn: [h2], clientAuthority: ca.pem, tickets: true',
    ),
    {
      certificates: [{ certificate: '/a.pem', key: '/b.pem', names: ['a.example', '*.b.example'] }],
      minVersion: '1.2',
      alpn: ['h2'],
      clientAuthority: path('ca.pem'),
      clientCertificate: 'required',
      tickets: true,
    },
  );
  assert.equal(
    listenerTls(`${CERTIFICATES}, clientAuthority: ca.pem, clientCertificate: optional, minVersion: "1.3", alpn: []`)
      ?.clientCertificate,
    'optional',
  );
});

test('a service is dialled with TLS', () => {
  assert.deepEqual(serviceTls(''), {
    serverName: null,
    ca: null,
    certificate: null,
    minVersion: '1.3',
    alpn: null,
  });
  const files = { certificate: join(scratch(), 'c.pem'), key: join(scratch(), 'k.pem'), names: null };
  assert.deepEqual(
    serviceTls('serverName: A.Example., ca: /ca.pem, certificate: c.pem, key: k.pem, minVersion: 1.2, alpn: [h2]'),
    { serverName: 'a.example', ca: '/ca.pem', certificate: files, minVersion: '1.2', alpn: ['h2'] },
  );
  assert.equal(serviceTls('serverName: "spiffe://Example.org/Web"')?.serverName, 'spiffe://Example.org/Web');
  assert.equal(serviceTls('serverName: "10.0.0.1"', '["10.0.0.1:443"]')?.serverName, '10.0.0.1');
  assert.equal(serviceTls('serverName: "[::1]"', '["[::1]:443"]')?.serverName, '::1');
  assert.ok(serviceTls('', '["a.example:443", { address: "10.0.0.1:443", identity: b.example }]'));
});

test('values of tls that are none are refused, in words', () => {
  const says = (tls: string, expected: RegExp) => assert.match(complaint(listenerText(tls)), expected);
  says('', /^listeners\[0\]\.tls\.certificates: is missing; add it/);
  says('certificates: []', /certificates: is empty; add one, such as \{ certificate: web\.pem/);
  says('certificates: [{ certificate: a.pem }]', /certificates\[0\]\.key: is missing/);
  says('certificates: [a.pem]', /certificates\[0\]: found "a\.pem"; write a map with the keys certificate, key, names/);
  says(
    'certificates: [{ certificate: a, key: b, names: [] }]',
    /names: is empty; remove it to use the certificate's own/,
  );
  const named = (name: string) => `certificates: [{ certificate: a, key: b, names: [${name}] }]`;
  says(named('"10.0.0.1"'), /names\[0\]: "10\.0\.0\.1" is an address, which clients do not send as a server name/);
  says(named('"a.*.example"'), /names\[0\]: "a\.\*\.example" has a \* inside; only the whole first label/);
  says(named('"-"'), /names\[0\]: "-" is not a host name/);
  says(`${CERTIFICATES}, minVersion: 1.1`, /minVersion: found 1\.1; write 1\.2 or 1\.3/);
  says(`${CERTIFICATES}, alpn: [http2]`, /alpn\[0\]: "http2" is not its ALPN name; write h2/);
  says(`${CERTIFICATES}, alpn: h2`, /alpn: found "h2"; write a list such as \[h2, http\/1\.1\]/);
  says(`${CERTIFICATES}, clientCertificate: yes`, /clientCertificate: "yes" is unknown/);
  says(`${CERTIFICATES}, cert: a`, /tls\.cert: unknown key; /);
  const service = (tls: string, expected: RegExp) => assert.match(complaint(serviceText(tls)), expected);
  service('serverName: "*.example"', /tls\.serverName: "\*\.example" is a pattern; write the one name/);
  service('serverName: ""', /tls\.serverName: found ""; write a name/);
  service('insecure: true', /tls\.insecure: unknown key/);
});

test('what contradicts beside tls is refused, with its line', () => {
  const says = (text: string, expected: RegExp) => assert.match(complaint(text), expected);
  says(
    listenerText(`${CERTIFICATES}, alpn: [http/1.1, h2]`, ', protocol: http1'),
    /^listeners\[0\]\.tls\.alpn\[1\]: offers h2, which protocol: http1 does not speak; remove h2/,
  );
  says(
    listenerText(`${CERTIFICATES}, alpn: [http/1.1]`, ', protocol: http2'),
    /alpn\[0\]: offers http\/1\.1, which protocol: http2/,
  );
  says(
    listenerText(`${CERTIFICATES}, alpn: [own]`, ', protocol: http2'),
    /alpn: lacks h2, which protocol: http2 speaks; add it/,
  );
  assert.ok(listenerTls(`${CERTIFICATES}, alpn: [postgresql]`, ', protocol: opaque'));
  assert.ok(listenerTls(CERTIFICATES, ', proxyProtocol: true'));
  says(listenerText(`${CERTIFICATES}, clientCertificate: required`), /asks for certificates that nothing could verify/);
  says(
    listenerText(`${CERTIFICATES}, clientAuthority: ca.pem, clientCertificate: none`),
    /tls\.clientAuthority: is for certificates that clientCertificate: none does not ask for/,
  );
  const redirected = listenerText(CERTIFICATES).replace('service: web', 'originalDestination: true');
  assert.notEqual(load(redirected).listeners[0].tls, null);
  says(serviceText('certificate: c.pem'), /^services\.web\.tls\.certificate: needs key; add it, or remove both/);
  says(serviceText('key: c.pem'), /^services\.web\.tls\.key: needs certificate/);
  says(serviceText('alpn: [h2]', undefined, ', protocol: http1'), /alpn\[0\]: offers h2, which protocol: http1/);
  const header = ', protocol: opaque, proxyProtocol: v1';
  assert.equal(load(serviceText('', undefined, header)).services[0].proxyProtocol, 'v1');
  for (const [endpoints, what] of [
    ['["a.example:1", "10.0.0.1:443"]', 'endpoints\\[1\\] of web is an address'],
    ['["srv:_a._tcp.example"]', 'endpoints\\[0\\] of web is a service record'],
    ['{ file: e.yaml }', 'endpoints of web is a file of endpoints'],
    ['[{ address: "10.0.0.1:443" }]', 'endpoints\\[0\\] of web is an address'],
  ])
    says(
      serviceText('', endpoints),
      new RegExp(`^services\\.web\\.tls: has no serverName, and ${what}, which does not say`),
    );
  assert.deepEqual(
    complaints(`${listenerText(`\n  ${CERTIFICATES},\n  clientCertificate: required\n`)}`).map(
      (line) => line.split(' ')[0],
    ),
    ['3:22'],
  );
});

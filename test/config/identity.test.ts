import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { complaints, load, scratch, withBasics } from './support.js';

const NAME = 'web.shop.serviceaccount.identity.linkerd.cluster.local';
const identityOf = (text: string, env: NodeJS.ProcessEnv = {}) => load(withBasics(`identity: ${text}`), env).identity;
const at = (path: string): string => join(scratch(), path);

const DEFAULTS = {
  name: null,
  serverName: null,
  trustDomain: null,
  timeoutMs: 10_000,
  minBackoffMs: 500,
  maxBackoffMs: 30_000,
};

test('an identity from files: paths are relative to the configuration', () => {
  assert.deepEqual(identityOf('{ files: { certificate: tls.crt, key: /etc/tls.key, anchors: a/ca.crt } }'), {
    ...DEFAULTS,
    source: { kind: 'files', certificate: at('tls.crt'), key: '/etc/tls.key', anchors: at('a/ca.crt') },
  });
});

test('an identity from the Workload API: the socket in each of its forms', () => {
  for (const socket of ['unix:///run/agent.sock', 'unix:/run/agent.sock', '/run/agent.sock'])
    assert.deepEqual(identityOf(`{ spiffe: { socket: "${socket}" } }`)?.source, {
      kind: 'spiffe',
      socket: '/run/agent.sock',
    });
});

test('an identity from a service: everything is written, or follows from the name', () => {
  assert.deepEqual(
    identityOf(
      `{ name: WEB.Example, serverName: Other.Example, timeout: 1s, minBackoff: 2s, maxBackoff: 3s, linkerd: { address: "id.example:8080",
         serverName: ID.Example, token: token, anchors: ca.crt, minRefresh: 4s, maxRefresh: 5s } }`,
    ),
    {
      name: 'web.example',
      serverName: 'other.example',
      trustDomain: null,
      timeoutMs: 1000,
      minBackoffMs: 2000,
      maxBackoffMs: 3000,
      source: {
        kind: 'linkerd',
        address: 'id.example:8080',
        serverName: 'id.example',
        token: at('token'),
        anchors: at('ca.crt'),
        minRefreshMs: 4000,
        maxRefreshMs: 5000,
      },
    },
  );
  const source = identityOf(`{ name: ${NAME}, linkerd: { address: "10.0.0.1:8080", token: t, anchors: a } }`)?.source;
  assert.ok(source?.kind === 'linkerd');
  assert.equal(source.serverName, 'linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local');
  assert.deepEqual([source.minRefreshMs, source.maxRefreshMs], [10_000, 86_400_000]);
});

test('a default gives way to a bound that the file sets beyond it', () => {
  const patience = identityOf('{ maxBackoff: 100ms, spiffe: { socket: /s } }');
  assert.deepEqual([patience?.minBackoffMs, patience?.maxBackoffMs], [100, 100]);
  const source = identityOf(
    `{ name: ${NAME}, linkerd: { address: "a:1", token: t, anchors: a, maxRefresh: 1s } }`,
  )?.source;
  assert.ok(source?.kind === 'linkerd');
  assert.deepEqual([source.minRefreshMs, source.maxRefreshMs], [1000, 1000]);
});

test('the environment sets it, without a section in the file', () => {
  const { identity } = load(withBasics(''), {
    SLUICE_IDENTITY_NAME: NAME,
    SLUICE_IDENTITY_SPIFFE_SOCKET: 'unix:///run/a',
  });
  assert.deepEqual(identity, { ...DEFAULTS, name: NAME, source: { kind: 'spiffe', socket: '/run/a' } });
});

test('what contradicts, or is none of what it should be, is said', () => {
  const files = 'files: { certificate: c, key: k, anchors: a }';
  const linkerd = 'linkerd: { address: "a:1", token: t, anchors: a }';
  const wrong: readonly [string, RegExp][] = [
    ['{}', /identity: has no source; add one of files, spiffe, linkerd/],
    [`{ ${files}, spiffe: { socket: /s } }`, /identity.spiffe: conflicts with files; keep one/],
    [`{ ${linkerd} }`, /identity.name: is missing; an identity service issues certificates for a name/],
    [`{ name: "spiffe://a/b", ${linkerd} }`, /identity.name: is a SPIFFE ID, but an identity service issues DNS names/],
    [
      `{ name: web.example, ${linkerd} }`,
      /identity.linkerd.serverName: is missing, and cannot be derived from identity.name/,
    ],
    [
      `{ name: ${NAME}, trustDomain: other.local, ${files} }`,
      /identity.name: is of the trust domain cluster.local, not of other.local/,
    ],
    [`{ name: "*.example", ${files} }`, /identity.name: .*neither a SPIFFE ID nor a DNS name/],
    [`{ name: "spiffe://a", ${files} }`, /identity.name: .*names only a trust domain/],
    [`{ serverName: "spiffe://a/b", ${files} }`, /identity.serverName: .*is not a DNS name/],
    [`{ trustDomain: A.b, ${files} }`, /identity.trustDomain: .*is not a trust domain/],
    [`{ trustDomain: 5, ${files} }`, /identity.trustDomain: found 5/],
    ['{ spiffe: { socket: agent.sock } }', /identity.spiffe.socket: .*not the absolute path of a Unix socket/],
    ['{ spiffe: { socket: "tcp://127.0.0.1:1" } }', /identity.spiffe.socket: .*not the absolute path/],
    ['{ files: { certificate: c, key: k } }', /identity.files.anchors: is missing/],
    [
      `{ name: ${NAME}, linkerd: { address: "srv:a.b", token: t, anchors: a } }`,
      /identity.linkerd.address: .*is not an address/,
    ],
    [`{ name: ${NAME}, linkerd: { address: "a", token: t, anchors: a } }`, /identity.linkerd.address: .*has no port/],
    [`{ minBackoff: 2s, maxBackoff: 1s, ${files} }`, /identity.minBackoff: 2s exceeds maxBackoff/],
    [
      `{ name: ${NAME}, linkerd: { address: "a:1", token: t, anchors: a, minRefresh: 2s, maxRefresh: 1s } }`,
      /identity.linkerd.minRefresh: 2s exceeds/,
    ],
  ];
  for (const [text, reason] of wrong) {
    const found = complaints(withBasics(`identity: ${text}`));
    assert.equal(found.length, 1, `${text}: ${found.join('\n')}`);
    assert.match(found[0], reason);
  }
});

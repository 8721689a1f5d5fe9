import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  accountName,
  canonicalName,
  parseWorkloadName,
  sameName,
  serverNameOf,
  trustDomainOf,
} from '../../src/identity/names.js';

const parsed = (text: string) => {
  const name = parseWorkloadName(text);
  assert.ok(typeof name !== 'string', `${text}: ${String(name)}`);
  return name;
};

test('a SPIFFE ID is a trust domain and a path', () => {
  const name = parsed('spiffe://example.org/ns/shop/sa/web');
  assert.ok(name.kind === 'spiffe');
  assert.deepEqual([name.trustDomain, name.path], ['example.org', ['ns', 'shop', 'sa', 'web']]);
  assert.equal(trustDomainOf(name), 'example.org');
});

test('scheme and trust domain are the same in any case, a path is not', () => {
  assert.ok(sameName('SPIFFE://Example.ORG/a', 'spiffe://example.org/a'));
  assert.ok(!sameName('spiffe://example.org/A', 'spiffe://example.org/a'));
  assert.ok(sameName('Web.Example.', 'web.example'));
  assert.ok(!sameName('web.example', 'spiffe://web.example/'));
});

test('what is no name is refused with a reason', () => {
  const wrong: readonly [string, RegExp][] = [
    ['spiffe:/example.org/a', /not a SPIFFE ID/],
    ['spiffe://example.org', /names only a trust domain/],
    ['spiffe://example.org/', /segment ""/],
    ['spiffe://example.org/a/', /segment ""/],
    ['spiffe://example.org/a//b', /segment ""/],
    ['spiffe://example.org/./b', /segment "."/],
    ['spiffe://example.org/../b', /segment ".."/],
    ['spiffe://example.org/a%20b', /segment "a%20b"/],
    ['spiffe://example.org/a?x', /not a SPIFFE ID/],
    ['spiffe://example.org/a#x', /not a SPIFFE ID/],
    ['spiffe://example.org:80/a', /trust domain "example.org:80"/],
    ['spiffe:///a', /trust domain ""/],
    [`spiffe://example.org/${'a'.repeat(2048)}`, /2048/],
    [`spiffe://${'a'.repeat(256)}/a`, /255/],
    ['', /neither/],
    ['-a.example', /neither/],
    ['a..example', /neither/],
    ['*.example', /neither/],
    ['https://example.org', /neither/],
  ];
  for (const [text, reason] of wrong) {
    const name = parseWorkloadName(text);
    assert.ok(typeof name === 'string', text);
    assert.match(name, reason, text);
    assert.equal(canonicalName(text), text);
  }
});

test('the DNS form of a service account is taken apart and put together', () => {
  const text = 'web.shop.serviceaccount.identity.linkerd.cluster.local';
  const name = parsed(text);
  assert.ok(name.kind === 'dns' && name.account !== null);
  assert.deepEqual(name.account, {
    account: 'web',
    namespace: 'shop',
    mesh: 'linkerd',
    trustDomain: 'cluster.local',
  });
  assert.equal(accountName(name.account), text);
  assert.equal(trustDomainOf(name), 'cluster.local');
  // An account may have dots in its name.
  const dotted = parsed('my.web.shop.serviceaccount.identity.linkerd.cluster.local');
  assert.ok(dotted.kind === 'dns');
  assert.equal(dotted.account?.account, 'my.web');
});

test('a DNS name of another form has no account and no trust domain', () => {
  for (const text of ['web.example', 'serviceaccount.identity.linkerd.x', 'a.serviceaccount.identity.linkerd.x', 'a']) {
    const name = parsed(text);
    assert.ok(name.kind === 'dns' && name.account === null, text);
    assert.equal(trustDomainOf(name), null);
  }
});

test('server names: DNS names as they are, paths backwards', () => {
  assert.equal(serverNameOf(parsed('Web.Example')), 'web.example');
  assert.equal(serverNameOf(parsed('spiffe://example.org/ns/shop/sa/web')), 'web.sa.shop.ns.example.org');
  assert.equal(serverNameOf(parsed(`spiffe://example.org/${'a'.repeat(64)}`)), null);
  assert.equal(serverNameOf(parsed('spiffe://example.org/-a')), null);
});

test('no text throws, and what is canonical stays so', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.webUrl(),
        fc.string().map((text) => `spiffe://${text}`),
      ),
      (text) => {
        const once = canonicalName(text);
        assert.equal(canonicalName(once), once);
        assert.ok(sameName(text, once));
      },
    ),
  );
});

// Compiled authorization rules against a direct interpretation of the configuration, with random rules, clients and requests.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AUTHORIZATION_DEFAULTS, type AuthorizationConfig } from '../../src/config/authorization-model.js';
import { inNetworks, parseNetwork } from '../../src/config/networks.js';
import { matchesIdentity } from '../../src/policy/identities.js';
import { NetworkList } from '../../src/policy/network-list.js';
import { DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../../src/policy/rules.js';
import { address, allows, asked, config, IDENTITY, SPIFFE } from './rules-support.js';

describe('against a plain reading', () => {
  const texts = [
    '10.0.0.0/8',
    '10.1.0.0/16',
    '10.1.2.0/24',
    '10.1.2.3',
    '0.0.0.0/0',
    '::/0',
    'fd00::/8',
    '2001:db8::/32',
    'fd00::1',
  ];
  const network = fc.constantFrom(...texts).map((text) => parseNetwork(text));
  const host = fc.constantFrom(
    '10.1.2.3',
    '10.1.2.4',
    '10.1.9.9',
    '10.200.0.1',
    '11.0.0.1',
    '255.255.255.255',
    '0.0.0.0',
    'fd00::1',
    'fd00::2',
    '2001:db8::5',
    '::1',
  );
  const named = (name: string): string => (name.includes(':') ? `[${name}]:99` : `${name}:99`);

  it('networks', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ cidr: network, except: fc.array(network, { maxLength: 3 }) }), { maxLength: 4 }),
        host,
        (networks, name) => {
          const plain = networks.some(({ cidr, except }) => inNetworks([cidr], name) && !inNetworks(except, name));
          const words = address(named(name));
          assert.ok(words !== null);
          assert.equal(new NetworkList(networks).has(words), plain);
        },
      ),
      { numRuns: 3000 },
    );
  });

  const some = <T>(from: fc.Arbitrary<T>): fc.Arbitrary<T[] | null> =>
    fc.option(fc.array(from, { minLength: 1, maxLength: 3 }), { nil: null });
  const anyRule = fc.record({
    name: fc.constant('rule'),
    action: fc.constantFrom('allow' as const, 'deny' as const, 'audit' as const),
    ports: some(fc.constantFrom({ first: 80, last: 80 }, { first: 90, last: 99 })),
    identities: some(
      fc.constantFrom('*', IDENTITY, '*.front.serviceaccount.identity.linkerd.cluster.local', 'spiffe://example.org/*'),
    ),
    networks: some(network.map((cidr) => ({ cidr, except: [] }))),
    methods: some(fc.constantFrom('GET', 'POST', 'PURGE')),
    path: fc.option(fc.constantFrom('/', '/a', '/a/b'), { nil: null }),
    exactPath: fc.boolean(),
  });

  /** One after the other, as the manual says it. */
  function plainly(
    of: AuthorizationConfig,
    port: number,
    name: string,
    identity: string,
    method: string,
    target: string,
  ): readonly [number, number] {
    const plainPath = !/%|\/\/|\.\./.test(target);
    for (const [index, { action, ports, identities, networks, methods, path, exactPath }] of of.rules.entries()) {
      if (ports !== null && !ports.some(({ first, last }) => first <= port && port <= last)) continue;
      if (networks !== null && !networks.some(({ cidr }) => inNetworks([cidr], name))) continue;
      if (identities !== null && !identities.some((pattern) => matchesIdentity(pattern, identity))) continue;
      if (methods !== null && !methods.includes(method)) continue;
      if (path !== null && !(path === '/' && !exactPath)) {
        const below = path === '/' ? false : target.startsWith(`${path}/`);
        const is = target === path || (exactPath ? action === 'deny' && target === `${path}/` : below);
        if (plainPath ? !is : action !== 'deny') continue;
      }
      return [action === 'allow' ? DECISION.ALLOW : action === 'deny' ? DECISION.DENY : DECISION.AUDIT, index];
    }
    const near = inNetworks(of.clusterNetworks, name);
    const known = identity !== '';
    const open = {
      'all-unauthenticated': true,
      audit: true,
      deny: false,
      'all-authenticated': known,
      'cluster-authenticated': near && known,
      'cluster-unauthenticated': near,
    };
    return [of.default === 'audit' ? DECISION.AUDIT : open[of.default] ? DECISION.ALLOW : DECISION.DENY, -1];
  }

  it('requests, with what is kept of their connection and without', () => {
    const request = fc.record({
      method: fc.constantFrom('GET', 'POST', 'PURGE', 'HEAD'),
      target: fc.constantFrom('/', '/a', '/a/', '/a/b', '/a/b/c', '/ab', '/a//b', '/a/../b', '/%61'),
    });
    fc.assert(
      fc.property(
        fc.constantFrom(...AUTHORIZATION_DEFAULTS),
        fc.array(anyRule, { maxLength: 40 }),
        fc.constantFrom(80, 95, 100),
        host,
        fc.constantFrom('', IDENTITY, SPIFFE),
        fc.array(request, { minLength: 1, maxLength: 5 }),
        (policy, rules, port, name, identity, requests) => {
          const of = config(policy, rules);
          const set = new RuleSet(of);
          set.connection(port, address(named(name)), identity === '' ? [] : [identity]);
          const { low, high, fallback } = set;
          const always = set.forRequests();
          const outright = set.forAnybody(port, address(named(name)));
          // Another connection is looked at in between.
          set.connection(1, null, []);
          for (const { method, target } of requests) {
            const { bytes, what } = asked({ method, target });
            const fresh = set.forRequest(low, high, fallback, bytes, what);
            const kept = always === DEPENDS ? fresh : always;
            const plain = plainly(of, port, name, identity, method, target);
            assert.equal(kept, fresh);
            const index = ruleOf(kept) === rules.length ? -1 : ruleOf(kept);
            assert.deepEqual([decisionOf(kept), index], plain, `${method} ${target}`);
            if (outright !== DEPENDS) assert.equal(plain[0], DECISION.DENY);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('bytes get no more than any request would', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...AUTHORIZATION_DEFAULTS),
        fc.array(anyRule, { maxLength: 8 }),
        host,
        fc.constantFrom('', IDENTITY),
        (policy, rules, name, identity) => {
          const of = config(policy, rules);
          if (!allows(of, { address: named(name), identity }, null)) return;
          for (const method of ['GET', 'POST', 'PURGE', 'HEAD'])
            for (const target of ['/', '/a', '/a/b', '/a/../b', '*', null])
              assert.ok(allows(of, { address: named(name), identity }, { method, target }));
        },
      ),
      { numRuns: 2000 },
    );
  });
});

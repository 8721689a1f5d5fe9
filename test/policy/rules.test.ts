// Authorization rules: every default, kind of client and kind of condition.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildAuthorization } from '../../src/config/authorization.js';
import {
  AUTHORIZATION_DEFAULTS,
  type AuthorizationConfig,
  type AuthorizationDefault,
  type AuthorizationRule,
} from '../../src/config/authorization-model.js';
import { parseNetwork } from '../../src/config/networks.js';
import { matchesIdentity } from '../../src/policy/identities.js';
import { ANY_PORT, DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../../src/policy/rules.js';
import { address, allows, config, decide, FAR, from, IDENTITY, NEAR, rule, SPIFFE } from './rules-support.js';

describe('the default', () => {
  const table: Readonly<Record<AuthorizationDefault, readonly [boolean, boolean, boolean, boolean]>> = {
    // near and known, near and unknown, far and known, far and unknown
    'all-unauthenticated': [true, true, true, true],
    'all-authenticated': [true, false, true, false],
    'cluster-authenticated': [true, false, false, false],
    'cluster-unauthenticated': [true, true, false, false],
    deny: [false, false, false, false],
    audit: [true, true, true, true],
  };
  for (const policy of AUTHORIZATION_DEFAULTS)
    it(policy, () => {
      const of = config(policy);
      const clients = [NEAR, FAR].flatMap((host) => [IDENTITY, ''].map((identity) => ({ address: host, identity })));
      for (const request of [{}, null])
        assert.deepEqual(
          clients.map((client) => allows(of, client, request)),
          table[policy],
        );
      assert.equal(decide(of, clients[0], {})[0] === DECISION.AUDIT, policy === 'audit');
      // Those of whom nobody knows where they come from are not near.
      assert.equal(
        allows(of, { identity: IDENTITY }),
        policy === 'all-unauthenticated' || policy === 'all-authenticated' || policy === 'audit',
      );
      assert.equal(allows(of, { address: '[fd00::1]:9', identity: IDENTITY }), policy !== 'deny');
      const set = new RuleSet(of);
      assert.equal(set.forAnybody(80, address(NEAR)) === DEPENDS, policy !== 'deny');
      assert.equal(set.forAnybody(80, address(FAR)) === DEPENDS, policy !== 'deny' && !policy.startsWith('cluster'));
    });
});

describe('a condition', () => {
  const deny = (...rules: Partial<AuthorizationRule>[]): AuthorizationConfig => config('deny', rules.map(rule));

  it('ports', () => {
    const of = deny({
      ports: [
        { first: 80, last: 80 },
        { first: 9000, last: 9010 },
      ],
    });
    const open = [79, 80, 81, 8999, 9000, 9005, 9010, 9011].filter((port) => allows(of, { port }));
    assert.deepEqual(open, [80, 9000, 9005, 9010]);
  });

  it('networks with exceptions', () => {
    const networks = [
      { cidr: parseNetwork('10.0.0.0/8'), except: [parseNetwork('10.1.0.0/16'), parseNetwork('10.2.0.0/16')] },
      { cidr: parseNetwork('10.1.7.0/24'), except: [] },
      { cidr: parseNetwork('2001:db8::/32'), except: [parseNetwork('2001:db8:1::/48')] },
    ];
    const of = deny({ networks });
    const hosts = [
      '10.0.0.1:1',
      '10.255.255.255:1',
      '11.0.0.0:1',
      '9.255.255.255:1',
      '10.1.0.1:1',
      '10.2.3.4:1',
      '10.1.7.9:1',
      '[2001:db8::1]:1',
      '[2001:db8:1::1]:1',
      '[2001:db9::1]:1',
      '[::ffff:10.0.0.1]:1',
    ];
    const open = hosts.filter((host) => allows(of, { address: host }));
    assert.deepEqual(open, ['10.0.0.1:1', '10.255.255.255:1', '10.1.7.9:1', '[2001:db8::1]:1', '[::ffff:10.0.0.1]:1']);
    assert.equal(allows(of, {}), false);
    // IPv4 is not in a network of IPv6, though it is written within it.
    assert.equal(allows(deny({ networks: from('::/0') }), { address: '10.0.0.1:1' }), false);
  });

  it('identities', () => {
    const cases: readonly [string, string, boolean][] = [
      ['*', IDENTITY, true],
      ['*', SPIFFE, true],
      ['*', '', false],
      [IDENTITY, IDENTITY, true],
      [IDENTITY, IDENTITY.toUpperCase(), true],
      [IDENTITY, `x${IDENTITY}`, false],
      ['*.front.serviceaccount.identity.linkerd.cluster.local', IDENTITY, true],
      ['*.front.serviceaccount.identity.linkerd.cluster.local', `a.${IDENTITY}`, true],
      [
        '*.front.serviceaccount.identity.linkerd.cluster.local',
        'front.serviceaccount.identity.linkerd.cluster.local',
        false,
      ],
      [
        '*.front.serviceaccount.identity.linkerd.cluster.local',
        'web.xfront.serviceaccount.identity.linkerd.cluster.local',
        false,
      ],
      ['*.org', 'spiffe://evil/a.org', false],
      [SPIFFE, SPIFFE, true],
      [SPIFFE, `${SPIFFE}/x`, false],
      [SPIFFE, SPIFFE.replace('front', 'Front'), false],
      ['spiffe://example.org/ns/front/*', SPIFFE, true],
      ['spiffe://example.org/ns/front/*', 'spiffe://example.org/ns/front/', false],
      ['spiffe://example.org/ns/front/*', 'spiffe://example.org/ns/frontier/sa/web', false],
      ['spiffe://example.org/*', 'spiffe://example.org.evil/ns', false],
      ['spiffe://example.org/*', IDENTITY, false],
    ];
    for (const [pattern, name, should] of cases) {
      assert.equal(matchesIdentity(pattern, name), should, `${pattern} ${name}`);
      assert.equal(allows(deny({ identities: [pattern] }), { identity: name }), should, `${pattern} ${name}`);
    }
  });

  it('identities by any of their names', () => {
    const set = new RuleSet(deny({ identities: [IDENTITY] }));
    for (const names of [[IDENTITY], [SPIFFE, IDENTITY], ['other', SPIFFE, IDENTITY]]) {
      set.connection(80, null, names);
      assert.equal(decisionOf(set.forRequests()), DECISION.ALLOW);
    }
    set.connection(80, null, [SPIFFE]);
    assert.equal(decisionOf(set.forRequests()), DECISION.DENY);
  });

  it('methods', () => {
    const of = deny({ methods: ['GET', 'PURGE'] });
    const open = ['GET', 'HEAD', 'POST', 'PURGE', 'purge', 'PURG', 'PURGES', 'CONNECT'].filter((method) =>
      allows(of, {}, { method }),
    );
    assert.deepEqual(open, ['GET', 'PURGE']);
    const not = config('all-unauthenticated', [rule({ action: 'deny', methods: ['DELETE', 'PURGE'] })]);
    const closed = ['GET', 'DELETE', 'delete', 'Delete', 'PURGE', 'purge'].filter(
      (method) => !allows(not, {}, { method }),
    );
    assert.deepEqual(closed, ['DELETE', 'delete', 'Delete', 'PURGE', 'purge']);
  });

  it('path', () => {
    const targets = [
      '/api',
      '/api?x=/y',
      '/api/x',
      '/api/',
      '/apis',
      '/API',
      '/',
      '/api/../x',
      '/x/../api',
      '/%61pi',
      '//api',
      '/api;x',
      '/api/%2e%2e/x',
      '/api\\..',
      '*',
      '',
      '?x',
      null,
    ];
    const open = (of: AuthorizationConfig): (string | null)[] => targets.filter((target) => allows(of, {}, { target }));
    assert.deepEqual(open(deny({ path: '/api', exactPath: true })), ['/api', '/api?x=/y']);
    assert.deepEqual(open(deny({ path: '/api' })), ['/api', '/api?x=/y', '/api/x', '/api/']);
    assert.deepEqual(open(deny({ path: '/', exactPath: true })), ['/', '', '?x']);
    assert.deepEqual(
      open(deny({ path: '/' })),
      targets.filter((target) => target !== null && target !== '*'),
    );
    const not = config('all-unauthenticated', [rule({ action: 'deny', path: '/api' })]);
    assert.deepEqual(open(not), ['/apis', '/', '*', '', '?x']);
    const root = config('all-unauthenticated', [rule({ action: 'deny', path: '/' })]);
    assert.deepEqual(open(root), ['*']);
  });

  it('the first rule that matches decides, and is named', () => {
    const of = config('all-authenticated', [
      rule({ action: 'deny', networks: from('10.9.0.0/16') }),
      rule({ action: 'audit', path: '/old' }),
      rule({ networks: from('10.0.0.0/8'), methods: ['GET'] }),
      rule({ action: 'deny', path: '/admin' }),
    ]);
    assert.deepEqual(decide(of, { address: '10.9.1.1:1', identity: IDENTITY }, { target: '/old' }), [DECISION.DENY, 0]);
    assert.deepEqual(decide(of, { address: NEAR }, { target: '/old' }), [DECISION.AUDIT, 1]);
    assert.deepEqual(decide(of, { address: NEAR }, { target: '/admin' }), [DECISION.ALLOW, 2]);
    assert.deepEqual(decide(of, { address: FAR, identity: IDENTITY }, { target: '/admin' }), [DECISION.DENY, 3]);
    assert.deepEqual(decide(of, { address: FAR, identity: IDENTITY }, { target: '/x' }), [DECISION.ALLOW, -1]);
    assert.deepEqual(decide(of, { address: FAR }, { target: '/x' }), [DECISION.DENY, -1]);
    // Bytes may be a request that is denied, and need not be one that is allowed.
    assert.deepEqual(decide(of, { address: FAR, identity: IDENTITY }, null), [DECISION.DENY, 3]);
    assert.deepEqual(decide(config('all-authenticated', of.rules.slice(0, 3)), { address: NEAR }, null), [
      DECISION.DENY,
      -1,
    ]);
  });

  it('whoever may be let in under some identity or with some request is not refused outright', () => {
    const outright = (of: AuthorizationConfig, host = NEAR, port = 80): number =>
      new RuleSet(of).forAnybody(port, address(host));
    assert.equal(outright(deny({ identities: [IDENTITY] })), DEPENDS);
    assert.equal(outright(deny({ path: '/x' })), DEPENDS);
    assert.equal(outright(deny({ networks: from('10.0.0.0/8') })), DEPENDS);
    assert.equal(ruleOf(outright(deny({ networks: from('10.0.0.0/8') }), FAR)), 1);
    assert.equal(ruleOf(outright(deny({ ports: [{ first: 81, last: 90 }] }))), 1);
    assert.equal(outright(deny({ ports: [{ first: 81, last: 90 }] }), NEAR, ANY_PORT), DEPENDS);
    assert.equal(
      ruleOf(outright(config('deny', [rule({ action: 'deny', ports: [{ first: 1, last: 9 }] })]), NEAR, ANY_PORT)),
      1,
    );
    const shut = config('all-unauthenticated', [rule({ action: 'deny', ports: [{ first: 1, last: 9 }] })]);
    assert.equal(outright(shut, NEAR, ANY_PORT), DEPENDS);
    const banned = config('all-unauthenticated', [rule({ action: 'deny', networks: from('10.0.0.0/8') })]);
    assert.equal(ruleOf(outright(banned)), 0);
    assert.equal(outright(banned, FAR), DEPENDS);
    const some = config('deny', [rule({ path: '/x' }), rule({ action: 'deny', networks: from('10.0.0.0/8') })]);
    assert.equal(outright(some), DEPENDS);
  });
});

describe('addresses', () => {
  it('are read from names, or not at all', () => {
    const read = (text: string): string =>
      address(text) === null ? '' : [...(address(text) ?? [])].map((word) => word.toString(16)).join(' ');
    assert.equal(read('1.2.3.4:5'), '0 0 ffff 1020304');
    assert.equal(read('255.255.255.255:65535'), '0 0 ffff ffffffff');
    assert.equal(read('[::1]:5'), '0 0 0 1');
    assert.equal(read('[fe80::1%eth0]:5'), 'fe800000 0 0 1');
    assert.equal(read('[::ffff:1.2.3.4]:5'), '0 0 ffff 1020304');
    for (const text of ['', '1.2.3:4', '1.2.3.256:1', '1.2.3.4.5:1', 'a.b.c.d:1', '1..2.3:1', '[::g]:1', 'unix:/x'])
      assert.equal(read(text), '', text);
  });
});

describe('what holds at a listener', () => {
  it('is its own, then what is at the top if it is inbound, and nothing where nobody says anything', () => {
    const top = { default: 'deny' as const, clusterNetworks: undefined, rules: undefined };
    assert.equal(buildAuthorization(undefined, undefined, 'inbound'), null);
    assert.equal(buildAuthorization(undefined, top, 'inbound')?.default, 'deny');
    assert.equal(buildAuthorization(undefined, top, 'outbound'), null);
    assert.equal(buildAuthorization({ ...top, default: 'all-unauthenticated' }, top, 'inbound'), null);
    assert.equal(buildAuthorization({ ...top, default: undefined, rules: [] }, top, 'inbound')?.default, 'deny');
    assert.deepEqual(
      buildAuthorization(undefined, top, 'inbound')?.clusterNetworks.map(({ text }) => text),
      ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fd00::/8'],
    );
  });
});

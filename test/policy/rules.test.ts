// Rules of authorization against a plain reading of them: every default, kind of client and kind of condition, and what is kept of a
// connection against what is found anew.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { buildAuthorization } from '../../src/config/authorization.js';
import {
  AUTHORIZATION_DEFAULTS,
  type AuthorizationConfig,
  type AuthorizationDefault,
  type AuthorizationRule,
} from '../../src/config/model.js';
import { inNetworks, parseNetwork } from '../../src/config/networks.js';
import { methodOf } from '../../src/http/methods.js';
import { ascii } from '../../src/http/octets.js';
import { matchesIdentity } from '../../src/policy/identities.js';
import { addressWords, NetworkList, readAddress } from '../../src/policy/network-list.js';
import { ANY_PORT, type Asked, DECISION, DEPENDS, decisionOf, RuleSet, ruleOf } from '../../src/policy/rules.js';

const CLUSTER = ['10.0.0.0/8', 'fd00::/8'];
const IDENTITY = 'web.front.serviceaccount.identity.linkerd.cluster.local';
const SPIFFE = 'spiffe://example.org/ns/front/sa/web';

interface Client {
  readonly port?: number;
  readonly address?: string;
  readonly identity?: string;
}
interface Request {
  readonly method?: string;
  /** null: none, as of CONNECT. */
  readonly target?: string | null;
}

const rule = (more: Partial<AuthorizationRule>): AuthorizationRule => ({
  name: 'rule',
  action: 'allow',
  ports: null,
  identities: null,
  networks: null,
  methods: null,
  path: null,
  exactPath: false,
  ...more,
});
const from = (...cidrs: string[]): AuthorizationRule['networks'] =>
  cidrs.map((cidr) => ({ cidr: parseNetwork(cidr), except: [] }));
const config = (policy: AuthorizationDefault, rules: readonly AuthorizationRule[] = []): AuthorizationConfig => ({
  default: policy,
  clusterNetworks: CLUSTER.map((text) => parseNetwork(text)),
  rules,
});

function address(text: string | undefined): ReturnType<typeof addressWords> | null {
  const words = addressWords();
  return text !== undefined && readAddress(text, words) ? words : null;
}

function asked({ method = 'GET', target = '/' }: Request): { bytes: Uint8Array; what: Asked } {
  const name = ascii(method);
  const bytes = ascii(method + (target ?? ''));
  const what = {
    method: methodOf(name, 0, name.length),
    methodStart: 0,
    methodEnd: name.length,
    pathStart: target === null ? -1 : name.length,
    pathEnd: bytes.length,
  };
  return { bytes, what };
}

/** The decision, and the rule that made it (-1: the default), for a request or for bytes (null). */
function decide(
  of: AuthorizationConfig,
  { port = 80, address: host, identity = '' }: Client,
  request: Request | null,
): readonly [number, number] {
  const set = new RuleSet(of);
  set.connection(port, address(host), identity === '' ? [] : [identity]);
  let code = request === null ? set.forBytes() : set.forRequests();
  if (code === DEPENDS && request !== null) {
    const { bytes, what } = asked(request);
    code = set.forRequest(set.low, set.high, set.fallback, bytes, what);
  }
  const decided = ruleOf(code);
  return [decisionOf(code), decided === of.rules.length ? -1 : decided];
}
const allows = (of: AuthorizationConfig, client: Client, request: Request | null = {}): boolean =>
  decide(of, client, request)[0] !== DECISION.DENY;

const NEAR = '10.1.2.3:4567';
const FAR = '192.0.2.1:4567';

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

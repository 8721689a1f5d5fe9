// Mistakes in rules of authorization are named with their line and key, and never taken for less than what was meant.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AuthorizationConfig } from '../../src/config/authorization-model.js';
import { complaint, complaints, load, withBasics } from './support.js';

const rules = (...rules: string[]): string => withBasics(`authorization: { rules: [${rules.join(', ')}] }`);
const of = (text: string): AuthorizationConfig => {
  const { authorization } = load(text).listeners[0];
  assert.ok(authorization !== null);
  return authorization;
};

test('a section says what it says', () => {
  const [rule, other] = of(
    rules(
      '{ name: a, action: deny, ports: [80, "90-99"], identities: ["*.Shop.X", "spiffe://a.b/ns/*", "*"], methods: [GET, PURGE], pathPrefix: /a/b/ }',
      '{ name: b, networks: ["10.0.0.0/8", { cidr: "fd00::/8", except: ["fd00::1"] }], path: /a/ }',
    ),
  ).rules;
  assert.deepEqual(
    { ...rule },
    {
      name: 'a',
      action: 'deny',
      ports: [
        { first: 80, last: 80 },
        { first: 90, last: 99 },
      ],
      identities: ['*.shop.x', 'spiffe://a.b/ns/*', '*'],
      networks: null,
      methods: ['GET', 'PURGE'],
      path: '/a/b',
      exactPath: false,
    },
  );
  const networks = other.networks?.map(({ cidr, except }) => [cidr.text, ...except.map(({ text }) => text)]);
  assert.deepEqual(networks, [['10.0.0.0/8'], ['fd00::/8', 'fd00::1']]);
  assert.deepEqual([other.path, other.exactPath, other.action], ['/a/', true, 'allow']);
  assert.equal(load(withBasics('')).listeners[0].authorization, null);
  assert.equal(of(withBasics('authorization: { default: deny }')).default, 'deny');
  assert.equal(
    load(withBasics(''), { SLUICE_AUTHORIZATION_DEFAULT: 'deny' }).listeners[0].authorization?.default,
    'deny',
  );
});

test('mistakes are refused with what to write instead', () => {
  const cases: readonly [string, RegExp][] = [
    ['{ name: a }', /^authorization\.rules\[0\]: matches everybody; add one of ports, identities/],
    ['{ name: default, ports: [1] }', /^authorization\.rules\[0\]\.name: "default" is the name of a/],
    ['{ ports: [1] }', /^authorization\.rules\[0\]\.name: is missing/],
    [
      '{ name: a, ports: [1] }, { name: a, ports: [2] }',
      /^authorization\.rules\[1\]\.name: "a" is the name of rule 1 already/,
    ],
    ['{ name: a, identities: [] }', /identities: is empty, so it would match nothing/],
    ['{ name: a, networks: [] }', /networks: is empty/],
    ['{ name: a, ports: [1], identitys: ["*"] }', /identitys: unknown key; did you mean "identities"/],
    ['{ name: a, identities: "*" }', /identities: found "\*"; write a list/],
    ['{ name: a, identities: ["web.*.x"] }', /identities\[0\]: "web\.\*\.x" is not the name of an identity/],
    ['{ name: a, identities: ["*web.x"] }', /is not the name of an identity/],
    ['{ name: a, identities: ["spiffe://A/x"] }', /is neither a SPIFFE ID/],
    ['{ name: a, identities: ["spiffe://a/../b"] }', /is neither a SPIFFE ID/],
    ['{ name: a, identities: ["spiffe://a/x*"] }', /is neither a SPIFFE ID/],
    ['{ name: a, identities: ["https://a/x"] }', /is neither a SPIFFE ID/],
    [
      '{ name: a, networks: ["10.0.0.1/8"] }',
      /networks\[0\]: "10\.0\.0\.1\/8" has bits set beyond its prefix of 8; write "10\.0\.0\.0\/8"/,
    ],
    [
      '{ name: a, networks: [{ cidr: "10.0.0.0/8", exept: [] }] }',
      /networks\[0\]\.exept: unknown key; did you mean "except"/,
    ],
    ['{ name: a, methods: [get] }', /methods\[0\]: "get": methods are case-sensitive; write GET/],
    ['{ name: a, methods: ["GET "] }', /methods\[0\]: found "GET "; write a method/],
    ['{ name: a, path: api }', /path: found "api"; write a path that begins with a slash/],
    ['{ name: a, pathPrefix: "/a//b" }', /has consecutive slashes/],
    ['{ name: a, pathPrefix: "/a/../b" }', /has a segment \. or \.\./],
    ['{ name: a, pathPrefix: "/a%2fb" }', /is not interpreted alike by all applications/],
    ['{ name: a, pathPrefix: "/a;b" }', /is not interpreted alike/],
    ['{ name: a, pathPrefix: "/a*" }, { name: b, pathPrefix: "/a?b" }', /"a\?b" is not interpreted alike/],
    ['{ name: a, path: /a, pathPrefix: /b }', /pathPrefix: conflicts with path; keep one of the two/],
    ['{ name: a, action: permit, ports: [1] }', /action: "permit" is unknown/],
    ['{ name: a, ports: [0] }', /ports\[0\]/],
    [Array.from({ length: 65 }, (_, i) => `{ name: r${i}, ports: [1] }`).join(', '), /rules: has more than 64 rules/],
  ];
  for (const [text, message] of cases) assert.match(complaint(rules(text)), message, text);
  assert.match(
    complaint(withBasics('authorization: { default: open }')),
    /^authorization\.default: "open" is unknown; /,
  );
  assert.match(complaint(withBasics('authorization:')), /^authorization: found nothing; write a map/);
  assert.match(complaint(withBasics('authorization: deny')), /^authorization: found "deny"; write a map/);
});

test('a listener has the same keys, and its mistakes their place', () => {
  const text = `listeners:
  - name: edge
    listen: "127.0.0.1:8080"
    service: web
    authorization:
      default: deny
      rules:
        - { name: a }
        - name: b
          pathPrefix: /x/./y
services: { web: { endpoints: ["127.0.0.1:9001"] } }
`;
  assert.deepEqual(
    complaints(text).map((line) => line.slice(0, line.indexOf(';') < 0 ? 200 : line.indexOf(';'))),
    [
      '8:11 listeners[0].authorization.rules[0]: matches everybody',
      '10:23 listeners[0].authorization.rules[1].pathPrefix: "/x/./y" has a segment . or ..',
    ],
  );
});

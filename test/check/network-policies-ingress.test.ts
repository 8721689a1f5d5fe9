// Which rules of ingress cut traffic of the mesh, and which do not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Cases, CUT, check, found, ingress, NEEDED, policy, web } from './policies.js';

const CASES: Cases = {
  'a port of the application': { policies: () => [ingress('{ ports: [{ port: 8080 }] }')], expected: CUT },
  'its name': { policies: () => [ingress('{ ports: [{ port: http }] }')], expected: CUT },
  'a name that the pods have not': { policies: () => [ingress('{ ports: [{ port: other }] }')], expected: [] },
  'a range below': { policies: () => [ingress('{ ports: [{ port: 1000, endPort: 4142 }] }')], expected: CUT },
  'a range with 4143 in it': { policies: () => [ingress('{ ports: [{ port: 1000, endPort: 9000 }] }')], expected: [] },
  '4143 of UDP': {
    policies: () => [ingress('{ ports: [{ port: 8080 }, { port: 4143, protocol: UDP }] }')],
    expected: CUT,
  },
  'both ports': { policies: () => [ingress('{ ports: [{ port: 8080 }, { port: 4143 }] }')], expected: [] },
  'the name of the proxy’s port': {
    policies: () => [ingress('{ ports: [{ port: 8080 }, { port: sluice-proxy }] }')],
    expected: [],
  },
  'only UDP': { policies: () => [ingress('{ ports: [{ port: 8080, protocol: UDP }] }')], expected: [] },
  'only 4191': { policies: () => [ingress('{ ports: [{ port: 4191 }] }')], expected: [] },
  'a protocol without a port': { policies: () => [ingress('{ ports: [{ protocol: TCP }] }')], expected: [] },
  'all ports': { policies: () => [ingress('{ from: [{ podSelector: {} }] }')], expected: [] },
  nothing: { policies: () => [ingress('')], expected: [] },
  'another policy that admits 4143': {
    policies: () => [ingress('{ ports: [{ port: 8080 }] }'), ingress('{ ports: [{ port: 4143 }] }')],
    expected: [],
  },
  'another policy that admits everything to all pods': {
    policies: () => [
      ingress('{ ports: [{ port: 8080 }] }'),
      ingress('{ from: [{ namespaceSelector: {} }] }', 'podSelector: {}'),
    ],
    expected: [],
  },
  'another policy that admits 4143 to others': {
    policies: () => [
      ingress('{ from: [{ podSelector: { matchLabels: { app: cart } } }], ports: [{ port: 8080 }] }'),
      ingress('{ from: [{ podSelector: { matchLabels: { app: batch } } }], ports: [{ port: 4143 }] }'),
    ],
    expected: CUT,
  },
  'another policy that admits 4143 to more': {
    policies: () => [
      ingress('{ from: [{ podSelector: { matchLabels: { app: new, tier: x } } }], ports: [{ port: 8080 }] }'),
      ingress(
        '{ from: [{ podSelector: { matchExpressions: [{ key: app, operator: In, values: [new, cart] }] } }], ports: [{ port: 4143 }] }',
      ),
    ],
    expected: [],
  },
  'another policy for other pods': {
    policies: () => [
      ingress('{ ports: [{ port: 8080 }] }'),
      ingress('{ ports: [{ port: 4143 }] }', 'podSelector: { matchLabels: { app: cart } }'),
    ],
    expected: CUT,
  },
  'peers without a proxy': {
    policies: () => [ingress('{ from: [{ podSelector: { matchLabels: { app: batch } } }], ports: [{ port: 8080 }] }')],
    expected: [],
  },
  'peers of whom some have one': {
    policies: () => [
      ingress('{ from: [{ namespaceSelector: { matchLabels: { team: old } } }], ports: [{ port: 8080 }] }'),
    ],
    expected: CUT,
  },
  'peers of whom each that has one is admitted otherwise': {
    policies: () => [
      ingress('{ from: [{ namespaceSelector: { matchLabels: { team: old } } }], ports: [{ port: 8080 }] }'),
      ingress(
        '{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: plain } }, podSelector: { matchLabels: { app: asked } } }], ports: [{ port: 4143 }] }',
      ),
    ],
    expected: [],
  },
  'peers nobody knows': {
    policies: () => [
      ingress('{ from: [{ namespaceSelector: { matchLabels: { team: new } } }], ports: [{ port: 8080 }] }'),
    ],
    expected: CUT,
  },
  'addresses outside of the cluster': {
    policies: () => [ingress('{ from: [{ ipBlock: { cidr: 203.0.113.0/24 } }], ports: [{ port: 8080 }] }')],
    expected: [],
  },
  'everybody but private addresses': {
    policies: () => [
      ingress(
        '{ from: [{ ipBlock: { cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10] } }], ports: [{ port: 8080 }] }',
      ),
    ],
    expected: [],
  },
  'private addresses, all of which are excepted in parts': {
    policies: () => [
      ingress(
        '{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.128.0.0/9, 10.0.0.0/10, 10.64.0.0/10] } }], ports: [{ port: 8080 }] }',
      ),
    ],
    expected: [],
  },
  'private addresses, of which one network is left': {
    policies: () => [
      ingress(
        '{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.128.0.0/9, 10.0.0.0/10, 10.64.0.0/11] } }], ports: [{ port: 8080 }] }',
      ),
    ],
    expected: ['p1 spec.ingress[0].ports?'],
  },
  'addresses that another policy admits without some that are excepted here, too': {
    policies: () => [
      ingress(
        '{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/17, 10.1.128.0/17] } }], ports: [{ port: 8080 }] }',
      ),
      ingress('{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [10.1.0.0/16] } }], ports: [{ port: 4143 }] }'),
    ],
    expected: [],
  },
  'pods of some namespaces, and the same by other words': {
    policies: () => [
      ingress(
        '{ from: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: plain } }, podSelector: { matchLabels: { app: asked } } }], ports: [{ port: http }] }',
      ),
      ingress(
        '{ from: [{ namespaceSelector: { matchExpressions: [{ key: team, operator: Exists }] }, podSelector: { matchExpressions: [{ key: app, operator: NotIn, values: [legacy] }] } }], ports: [{ port: 4000, endPort: 4200 }] }',
      ),
    ],
    expected: [],
  },
  'pods of this namespace only, where those of another are meant': {
    policies: () => [
      ingress('{ from: [{ namespaceSelector: { matchLabels: { team: old } } }], ports: [{ port: 8080 }] }'),
      ingress('{ from: [{ podSelector: {} }], ports: [{ port: 4143 }] }'),
    ],
    expected: CUT,
  },
  'one of two peers': {
    policies: () => [
      ingress(
        '{ from: [{ podSelector: { matchLabels: { app: cart } } }, { podSelector: { matchLabels: { app: web } } }], ports: [{ port: 8080 }] }',
      ),
      ingress('{ from: [{ podSelector: { matchLabels: { app: cart } } }], ports: [{ port: 4143 }] }'),
    ],
    expected: CUT,
  },
  'addresses that pods may have': {
    policies: () => [ingress('{ from: [{ ipBlock: { cidr: 10.1.2.3/8 } }], ports: [{ port: 8080 }] }')],
    expected: ['p1 spec.ingress[0].ports?'],
  },
  'egress only': {
    policies: () => [
      policy(`${web}, policyTypes: [Egress], ingress: [{ ports: [{ port: 8080 }] }], egress: [${NEEDED}]`),
    ],
    expected: [],
  },
  'pods without a proxy': {
    policies: () => [ingress('{ ports: [{ port: 8080 }] }', 'podSelector: { matchLabels: { app: batch } }')],
    expected: [],
  },
  'a port that is skipped': {
    policies: () => [ingress('{ ports: [{ port: 3306 }] }', 'podSelector: { matchLabels: { app: galera } }')],
    expected: [],
  },
  'a proxy at another port': {
    policies: () => [
      ingress('{ ports: [{ port: 8080 }, { port: 5143 }] }', 'podSelector: { matchLabels: { app: moved } }'),
    ],
    expected: [],
  },
  'a pod that asks in a namespace that does not': {
    policies: () => [policy('podSelector: {}, ingress: [{ ports: [{ port: 8080 }] }]', 'plain')],
    expected: CUT,
  },
};

describe('rules of ingress', () => {
  for (const [name, { policies, expected }] of Object.entries(CASES))
    it(name, () => {
      assert.deepEqual(found(check(policies())), expected);
    });
});

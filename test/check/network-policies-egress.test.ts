// Which rules of egress cut traffic of the mesh, or keep a proxy from what it needs, and which do not.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CART, type Cases, CONTROLLER, check, egress, found, NEEDED, policy } from './policies.js';

const CASES: Cases = {
  'what every proxy needs': { policies: () => [egress(NEEDED, 'policyTypes: [Egress], ')], expected: [] },
  'a peer’s port': {
    policies: () => [egress(`{ ${CART}, ports: [{ port: 8080 }] }, ${NEEDED}`, 'policyTypes: [Egress], ')],
    expected: ['p1 spec.egress[0].ports'],
  },
  'a peer’s port by name': {
    policies: () => [egress(`{ ${CART}, ports: [{ port: http }] }, ${NEEDED}`, 'policyTypes: [Egress], ')],
    expected: ['p1 spec.egress[0].ports'],
  },
  'a peer’s proxy': {
    policies: () => [
      egress(`{ ${CART}, ports: [{ port: 8080 }, { port: 4143 }] }, ${NEEDED}`, 'policyTypes: [Egress], '),
    ],
    expected: [],
  },
  'a peer without a proxy': {
    policies: () => [
      egress(
        `{ to: [{ podSelector: { matchLabels: { app: batch } } }], ports: [{ port: 8080 }] }, ${NEEDED}`,
        'policyTypes: [Egress], ',
      ),
    ],
    expected: [],
  },
  'a peer’s port that it skips': {
    policies: () => [
      egress(
        `{ to: [{ podSelector: { matchLabels: { app: galera } } }], ports: [{ port: db }] }, ${NEEDED}`,
        'policyTypes: [Egress], ',
      ),
    ],
    expected: [],
  },
  'https to wherever': {
    policies: () => [egress(`{ ports: [{ port: 443 }] }, ${NEEDED}`, 'policyTypes: [Egress], ')],
    expected: [],
  },
  'no controller, no DNS': {
    policies: () => [egress(`{ ${CART}, ports: [{ port: 4143 }] }`, 'policyTypes: [Egress], ')],
    expected: ['p1 spec.egress'],
  },
  'the controller in another policy': {
    policies: () => [
      egress(`{ ${CART}, ports: [{ port: 4143 }] }`, 'policyTypes: [Egress], '),
      policy(`podSelector: {}, policyTypes: [Egress], egress: [${NEEDED}]`),
    ],
    expected: [],
  },
  'nothing at all, which keeps the proxy from the controller': {
    policies: () => [egress('', 'policyTypes: [Egress], ')],
    expected: ['p1 spec.egress'],
  },
  'nothing at all, but what another policy lets out': {
    policies: () => [
      policy('podSelector: {}, policyTypes: [Ingress, Egress]'),
      policy(`podSelector: {}, policyTypes: [Egress], egress: [${NEEDED}]`),
    ],
    expected: [],
  },
  'nothing at all, of pods without a proxy': {
    policies: () => [policy('podSelector: { matchLabels: { app: batch } }, policyTypes: [Egress]')],
    expected: [],
  },
  'DNS as its pods have it': {
    policies: () => [
      egress(
        `${CONTROLLER}, { to: [{ namespaceSelector: {} }], ports: [{ port: 5353, protocol: UDP }, { port: 5353 }] }`,
        'policyTypes: [Egress], ',
      ),
    ],
    expected: [],
  },
  'DNS by a name that its pods know': {
    policies: () => [
      egress(
        `${CONTROLLER}, { to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: kube-system } } }], ports: [{ port: dns, protocol: UDP }] }`,
        'policyTypes: [Egress], ',
      ),
    ],
    expected: [],
  },
  'the controller’s namespace together with a peer’s': {
    policies: () => [
      egress(
        `{ to: [{ namespaceSelector: { matchExpressions: [{ key: kubernetes.io/metadata.name, operator: In, values: [sluice, shop] }] } }], ports: [{ port: 8080 }, { port: 8086 }] }, { ports: [{ port: 53, protocol: UDP }] }`,
        'policyTypes: [Egress], ',
      ),
    ],
    expected: ['p1 spec.egress[0].ports'],
  },
  'both directions closed in one namespace, and opened to all of the cluster': {
    policies: () => [
      policy('podSelector: {}, policyTypes: [Ingress, Egress]'),
      policy(
        'podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ from: [{ namespaceSelector: {} }] }], egress: [{ to: [{ namespaceSelector: {} }] }]',
      ),
    ],
    expected: [],
  },
  'without types, rules of egress count': {
    policies: () => [egress(`{ ${CART}, ports: [{ port: 8080 }] }, ${NEEDED}`)],
    expected: ['p1 spec.egress[0].ports'],
  },
  'without types, no rules of egress are no policy': { policies: () => [egress('')], expected: [] },
  'for ingress only': {
    policies: () => [egress(`{ ${CART}, ports: [{ port: 8080 }] }`, 'policyTypes: [Ingress], ')],
    expected: [],
  },
  everything: { policies: () => [egress('{}', 'policyTypes: [Egress], ')], expected: [] },
};

describe('rules of egress', () => {
  for (const [name, { policies, expected }] of Object.entries(CASES))
    it(name, () => {
      assert.deepEqual(found(check(policies())), expected);
    });
});

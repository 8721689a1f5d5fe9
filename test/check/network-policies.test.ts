// Which NetworkPolicies cut traffic of the mesh, and which do not. Each case is what a policy says beside a few workloads that are always there.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Checked, checkNetworkPolicies } from '../../src/check/network-policies/check.js';
import { sourced } from '../../src/check/objects.js';
import { readManifest } from '../../src/inject/manifests.js';

const workload = (
  name: string,
  namespace: string,
  more = '',
  ports = '[{ name: http, containerPort: 8080 }]',
): string => `---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: ${namespace} }
spec: { template: { metadata: { labels: { app: ${name} }, annotations: { ${more} } }, spec: { containers: [{ name: it, image: it, ports: ${ports} }] } } }
`;

const SHOP = [
  '---\napiVersion: v1\nkind: Namespace\nmetadata: { name: shop, annotations: { linkerd.io/inject: enabled } }\n',
  '---\napiVersion: v1\nkind: Namespace\nmetadata: { name: plain, labels: { team: old } }\n',
  workload('web', 'shop'),
  workload('cart', 'shop'),
  workload('batch', 'shop', 'linkerd.io/inject: disabled'),
  workload('legacy', 'plain'),
  workload('asked', 'plain', 'linkerd.io/inject: enabled'),
  workload(
    'galera',
    'shop',
    'config.linkerd.io/skip-inbound-ports: "4567,3306"',
    '[{ name: db, containerPort: 3306 }]',
  ),
  workload('moved', 'shop', 'config.linkerd.io/inbound-port: "5143"'),
].join('');

let count = 0;
const policy = (spec: string, namespace = 'shop'): string =>
  `---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p${++count}, namespace: ${namespace} }\nspec: { ${spec} }\n`;

function check(policies: readonly string[], more = SHOP): Checked {
  count = 0;
  const objects = sourced(readManifest(more + policies.join(''), 'test.yaml'));
  return checkNetworkPolicies(objects, { namespace: 'default', controllerNamespace: 'sluice' });
}

/** `p1 spec.ingress[0].ports`; of hints with a question mark behind. */
const found = (checked: Checked): string[] => {
  assert.deepEqual(checked.problems, []);
  return checked.findings
    .filter(({ message }) => !message.includes('nobody may reach 4191'))
    .map(({ object, path, severity }) => `${object.split('/')[1]} ${path}${severity === 'hint' ? '?' : ''}`);
};

const web = 'podSelector: { matchLabels: { app: web } }';
const ingress = (rules: string, selector = web): string => policy(`${selector}, ingress: [${rules}]`);
const CUT = ['p1 spec.ingress[0].ports'];

const INGRESS: Readonly<Record<string, { policies: () => string[]; expected: string[] }>> = {
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
  'addresses that pods may have': {
    policies: () => [ingress('{ from: [{ ipBlock: { cidr: 10.1.2.3/8 } }], ports: [{ port: 8080 }] }')],
    expected: ['p1 spec.ingress[0].ports?'],
  },
  'egress only': {
    policies: () => [policy(`${web}, policyTypes: [Egress], ingress: [{ ports: [{ port: 8080 }] }]`)],
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

const NEEDED =
  '{ to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: sluice } } }], ports: [{ port: 8080 }, { port: 8086 }] }, { ports: [{ port: 53, protocol: UDP }, { port: 53 }] }';
const egress = (rules: string, types = ''): string => policy(`${web}, ${types}egress: [${rules}]`);
const CART = 'to: [{ podSelector: { matchLabels: { app: cart } } }]';

const EGRESS: typeof INGRESS = {
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
  'nothing at all': { policies: () => [egress('', 'policyTypes: [Egress], ')], expected: [] },
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

describe('NetworkPolicies', () => {
  for (const [name, { policies, expected }] of Object.entries(INGRESS))
    it(`ingress: ${name}`, () => {
      assert.deepEqual(found(check(policies())), expected);
    });

  for (const [name, { policies, expected }] of Object.entries(EGRESS))
    it(`egress: ${name}`, () => {
      assert.deepEqual(found(check(policies())), expected);
    });

  it('says which object, which field, and what to add', () => {
    const [finding] = check([
      ingress('{ ports: [{ port: 8080 }] }', 'podSelector: { matchLabels: { app: moved } }'),
    ]).findings;
    assert.deepEqual(finding, {
      object: 'NetworkPolicy shop/p1',
      source: 'test.yaml',
      path: 'spec.ingress[0].ports',
      severity: 'error',
      message:
        'admits 8080 of Deployment shop/moved, and not 5143, the port of its proxy, to which pods of the mesh send',
      add: '{ port: 5143, protocol: TCP }',
    });
  });

  it('names all workloads that a rule cuts off in one finding', () => {
    const { findings } = check([ingress('{ ports: [{ port: 8080 }] }', 'podSelector: {}')]);
    const cuts = findings.filter(({ message }) => message.startsWith('admits'));
    assert.deepEqual(
      cuts.map(({ message }) => /of (.*), and not (\d+)/.exec(message)?.slice(1)),
      [
        ['Deployment shop/web, Deployment shop/cart, Deployment shop/galera', '4143'],
        ['Deployment shop/moved', '5143'],
      ],
    );
  });

  it('knows pods that have their proxy already, and workloads of all kinds', () => {
    const pod = (annotation = ''): string =>
      `{ metadata: { labels: { app: web }, annotations: { ${annotation} } }, spec: { containers: [{ name: it, image: it }] } }`;
    const asks = 'linkerd.io/inject: enabled';
    const workloads = [
      `{ apiVersion: v1, kind: Pod, metadata: { name: a, namespace: shop, labels: { app: web } }, spec: { containers: [{ name: it }], initContainers: [{ name: sluice-proxy, restartPolicy: Always }] } }`,
      ...['StatefulSet', 'DaemonSet', 'ReplicaSet'].map(
        (kind) =>
          `{ apiVersion: apps/v1, kind: ${kind}, metadata: { name: a, namespace: shop }, spec: { template: ${pod(asks)} } }`,
      ),
      `{ apiVersion: batch/v1, kind: Job, metadata: { name: a, namespace: shop }, spec: { template: ${pod(asks)} } }`,
      `{ apiVersion: batch/v1, kind: CronJob, metadata: { name: a, namespace: shop }, spec: { jobTemplate: { spec: { template: ${pod(asks)} } } } }`,
    ];
    for (const text of workloads)
      assert.deepEqual(found(check([ingress('{ ports: [{ port: 8080 }] }')], `${text}\n`)), CUT, text);
    const list = `{ apiVersion: v1, kind: List, items: [${workloads.join(', ')}] }\n`;
    assert.equal(check([], list).meshed, workloads.length);
    const owned = `{ apiVersion: v1, kind: Pod, metadata: { name: a, ownerReferences: [{ controller: true }], annotations: { ${asks} } }, spec: { containers: [{ name: it }] } }\n`;
    assert.equal(check([], owned).meshed, 0);
  });

  it('tells of what is no policy, with the field', () => {
    const said = (spec: string): string[] =>
      check([policy(spec)]).problems.map(({ object, path, message }) => `${object}: ${path}: ${message}`);
    const p = 'NetworkPolicy shop/p1';
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: 70000 }] }]'), [
      `${p}: spec.ingress[0].ports[0].port: 70000 is no port: they go from 1 to 65535`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: "8080" }] }]'), [
      `${p}: spec.ingress[0].ports[0].port: "8080" is no name of a port; write it without quotes: 8080`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 79 }] }]'), [
      `${p}: spec.ingress[0].ports[0].endPort: 79 is no port from 80 on`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: 80, protocol: HTTP }] }]'), [
      `${p}: spec.ingress[0].ports[0].protocol: "HTTP" is none of TCP, UDP, SCTP`,
    ]);
    assert.deepEqual(said('podSelector: {}, policyTypes: [In], ingress: {}'), [
      `${p}: spec.policyTypes[0]: "In" is neither Ingress nor Egress`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ from: [{}, { ipBlock: { cidr: nowhere } }] }]'), [
      `${p}: spec.ingress[0].from[0]: has no namespaceSelector, no podSelector and no ipBlock`,
      `${p}: spec.ingress[0].from[1].ipBlock.cidr: "nowhere" is no range such as 10.0.0.0/8`,
    ]);
    assert.deepEqual(said('podSelector: { matchExpressions: [{ key: app, operator: Like }] }'), [
      `${p}: spec.podSelector.matchExpressions[0].operator: "Like" is none of In, NotIn, Exists, DoesNotExist`,
    ]);
  });
});

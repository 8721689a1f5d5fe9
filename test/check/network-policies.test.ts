// What is said of NetworkPolicies that cut traffic of the mesh, and of what is none.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CUT, check, found, ingress, policy } from './policies.js';

describe('NetworkPolicies', () => {
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
      `${p}: spec.ingress[0].ports[0].port: 70000 is not a port: they go from 1 to 65535`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: "8080" }] }]'), [
      `${p}: spec.ingress[0].ports[0].port: "8080" is not the name of a port; write it without quotes: 8080`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: 80, endPort: 79 }] }]'), [
      `${p}: spec.ingress[0].ports[0].endPort: 79 is not a port from 80 on`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ ports: [{ port: 80, protocol: HTTP }] }]'), [
      `${p}: spec.ingress[0].ports[0].protocol: "HTTP" is none of TCP, UDP, SCTP`,
    ]);
    assert.deepEqual(said('podSelector: {}, policyTypes: [In], ingress: {}'), [
      `${p}: spec.policyTypes[0]: "In" is neither Ingress nor Egress`,
    ]);
    assert.deepEqual(said('podSelector: {}, ingress: [{ from: [{}, { ipBlock: { cidr: nowhere } }] }]'), [
      `${p}: spec.ingress[0].from[0]: has no namespaceSelector, no podSelector and no ipBlock`,
      `${p}: spec.ingress[0].from[1].ipBlock.cidr: "nowhere" is not a range such as 10.0.0.0/8`,
    ]);
    assert.deepEqual(
      said(
        'podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: 10.0.0.0/8, except: [11.0.0.0/8, 10.0.0.0/8] } }] }]',
      ),
      [
        `${p}: spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/8 is not part of 10.0.0.0/8`,
        `${p}: spec.ingress[0].from[0].ipBlock.except[1]: 10.0.0.0/8 is not part of 10.0.0.0/8`,
      ],
    );
    assert.deepEqual(said('podSelector: { matchExpressions: [{ key: app, operator: Like }] }'), [
      `${p}: spec.podSelector.matchExpressions[0].operator: "Like" is none of In, NotIn, Exists, DoesNotExist`,
    ]);
  });
});

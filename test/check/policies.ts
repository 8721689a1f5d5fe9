// Policies in the same small cluster, and what is found in them.
import assert from 'node:assert/strict';
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

export const SHOP = [
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
export const policy = (spec: string, namespace = 'shop'): string =>
  `---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: p${++count}, namespace: ${namespace} }\nspec: { ${spec} }\n`;

export function check(policies: readonly string[], more = SHOP): Checked {
  count = 0;
  const objects = sourced(readManifest(more + policies.join(''), 'test.yaml'));
  return checkNetworkPolicies(objects, { namespace: 'default', controllerNamespace: 'sluice' });
}

/** `p1 spec.ingress[0].ports`; of hints with a question mark behind. */
export const found = (checked: Checked): string[] => {
  assert.deepEqual(checked.problems, []);
  return checked.findings
    .filter(({ message }) => !message.includes('nobody may reach 4191'))
    .map(({ object, path, severity }) => `${object.split('/')[1]} ${path}${severity === 'hint' ? '?' : ''}`);
};

/** What policies say, and what is found in them. */
export type Cases = Readonly<Record<string, { policies: () => string[]; expected: string[] }>>;

export const web = 'podSelector: { matchLabels: { app: web } }';
export const ingress = (rules: string, selector = web): string => policy(`${selector}, ingress: [${rules}]`);
export const CUT = ['p1 spec.ingress[0].ports'];

export const CONTROLLER =
  '{ to: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: sluice } } }], ports: [{ port: 8080 }, { port: 8086 }] }';
export const NEEDED = `${CONTROLLER}, { ports: [{ port: 53, protocol: UDP }, { port: 53 }] }`;
export const egress = (rules: string, types = ''): string => policy(`${web}, ${types}egress: [${rules}]`);
export const CART = 'to: [{ podSelector: { matchLabels: { app: cart } } }]';

// Checks whether Sluice can be installed: what `kubectl apply -k k8s/` will need.

import { textsOf } from '../../inject/plain.js';
import { injectSetting } from '../../inject/refusals.js';
import type { ApiClient } from '../../kubernetes/client.js';
import { objectIn } from '../../kubernetes/json.js';
import { names } from '../network-policies/findings.js';
import { all, found, metadataOf, nameOf } from './reading.js';
import { checkError, checkWarning, type Report } from './report.js';

/** What will be created: API groups and their resources. */
const MADE: readonly { readonly group: string; readonly resource: string; readonly namespaced: boolean }[] = [
  { group: '', resource: 'namespaces', namespaced: false },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterroles', namespaced: false },
  { group: 'rbac.authorization.k8s.io', resource: 'clusterrolebindings', namespaced: false },
  { group: 'admissionregistration.k8s.io', resource: 'mutatingwebhookconfigurations', namespaced: false },
  { group: 'rbac.authorization.k8s.io', resource: 'roles', namespaced: true },
  { group: 'rbac.authorization.k8s.io', resource: 'rolebindings', namespaced: true },
  { group: '', resource: 'serviceaccounts', namespaced: true },
  { group: '', resource: 'services', namespaced: true },
  { group: 'apps', resource: 'deployments', namespaced: true },
  { group: 'policy', resource: 'poddisruptionbudgets', namespaced: true },
];

const LEVEL = 'pod-security.kubernetes.io/enforce';

async function mayCreate(client: ApiClient, group: string, resource: string, namespace: string): Promise<string> {
  const review = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SelfSubjectAccessReview',
    spec: { resourceAttributes: { group, resource, verb: 'create', ...(namespace === '' ? {} : { namespace }) } },
  };
  const answer = await client.create('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review);
  if (objectIn(answer, 'status').allowed === true) return '';
  throw checkError('the caller may not', 'install as somebody who may, such as an administrator of the cluster');
}

/** Namespaces that ask for proxies, but refuse pods that have one. */
async function capabilities(client: ApiClient): Promise<string> {
  const namespaces = await all(client, '/api/v1/namespaces');
  const closed = namespaces.filter((namespace) => {
    const level = textsOf(metadataOf(namespace).labels)[LEVEL];
    return level === 'baseline' || level === 'restricted';
  });
  const asking = closed.filter((namespace) => {
    const layer = { object: '', annotations: textsOf(metadataOf(namespace).annotations), namesPorts: false };
    return ['enabled', 'ingress'].includes(injectSetting([layer])?.value ?? '');
  });
  if (asking.length > 0)
    throw checkWarning(
      `${names(asking.map(nameOf))}: ${LEVEL} is baseline or restricted, which refuses NET_ADMIN and NET_RAW of the init container`,
      `label them ${LEVEL}=privileged; the proxy itself has no capabilities`,
    );
  return closed.length === 0 ? '' : `${closed.length} that don't ask for proxies refuse NET_ADMIN`;
}

export async function checkBefore(report: Report, client: ApiClient, namespace: string): Promise<void> {
  report.section('pre-kubernetes-setup');
  await report.check(`namespace ${namespace} is not there yet`, async () => {
    if ((await found(client, `/api/v1/namespaces/${namespace}`)) === null) return '';
    const controller = await found(client, `/apis/apps/v1/namespaces/${namespace}/deployments/sluice-controller`);
    if (controller === null) throw checkWarning('it is there, without a controller in it', 'is it meant for this?');
    throw checkWarning(
      'Sluice is installed there',
      '`sluice check` looks at what is installed; applying it again upgrades',
    );
  });
  for (const { group, resource, namespaced } of MADE)
    await report.check(`can create ${resource}`, () => mayCreate(client, group, resource, namespaced ? namespace : ''));
  report.section('pre-kubernetes-capability');
  await report.check('namespaces that ask for proxies admit NET_ADMIN', () => capabilities(client));
}

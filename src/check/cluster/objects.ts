// Reads a cluster's objects for checking NetworkPolicies.
import type { ApiClient } from '../../kubernetes/client.js';
import type { SourcedObject } from '../objects.js';
import { all } from './reading.js';

const COLLECTIONS: readonly { readonly kind: string; readonly apiVersion: string; readonly path: string }[] = [
  { kind: 'Namespace', apiVersion: 'v1', path: '/api/v1/namespaces' },
  { kind: 'NetworkPolicy', apiVersion: 'networking.k8s.io/v1', path: '/apis/networking.k8s.io/v1/networkpolicies' },
  { kind: 'Deployment', apiVersion: 'apps/v1', path: '/apis/apps/v1/deployments' },
  { kind: 'StatefulSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/statefulsets' },
  { kind: 'DaemonSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/daemonsets' },
  { kind: 'ReplicaSet', apiVersion: 'apps/v1', path: '/apis/apps/v1/replicasets' },
  { kind: 'CronJob', apiVersion: 'batch/v1', path: '/apis/batch/v1/cronjobs' },
  { kind: 'Job', apiVersion: 'batch/v1', path: '/apis/batch/v1/jobs' },
  { kind: 'Pod', apiVersion: 'v1', path: '/api/v1/pods' },
];

/** Rejects with an ApiProblem. Items of lists do not have their kind. */
export async function clusterObjects(client: ApiClient): Promise<SourcedObject[]> {
  const objects: SourcedObject[] = [];
  for (const { kind, apiVersion, path } of COLLECTIONS)
    for (const item of await all(client, path))
      objects.push({ source: 'the cluster', object: { ...item, kind, apiVersion } });
  return objects;
}

// Which kinds of objects contain pods, and where.
import { asMap, isMap, type PlainMap, textOf, valueAt } from './plain.js';

export type Role =
  /** A pod, or an object with a pod template at `path`. */
  | { readonly kind: 'pods'; readonly path: readonly string[] }
  | { readonly kind: 'service' }
  | { readonly kind: 'namespace' }
  | { readonly kind: 'other' };

const TEMPLATE = ['spec', 'template'] as const;

/** By kind: its API groups, and the path of its pod. Other groups may have kinds of the same name. */
const PODS: Readonly<Record<string, { readonly groups: readonly string[]; readonly path: readonly string[] }>> = {
  Pod: { groups: [''], path: [] },
  ReplicationController: { groups: [''], path: TEMPLATE },
  Deployment: { groups: ['apps', 'extensions'], path: TEMPLATE },
  ReplicaSet: { groups: ['apps', 'extensions'], path: TEMPLATE },
  DaemonSet: { groups: ['apps', 'extensions'], path: TEMPLATE },
  StatefulSet: { groups: ['apps'], path: TEMPLATE },
  Job: { groups: ['batch'], path: TEMPLATE },
  CronJob: { groups: ['batch'], path: ['spec', 'jobTemplate', ...TEMPLATE] },
  // OpenShift's, in its group and in the one from before groups existed.
  DeploymentConfig: { groups: ['apps.openshift.io', ''], path: TEMPLATE },
};

export function roleOf({ apiVersion, kind }: PlainMap): Role {
  const version = textOf(apiVersion);
  const slash = version.indexOf('/');
  const group = slash < 0 ? '' : version.slice(0, slash);
  const name = textOf(kind);
  if (Object.hasOwn(PODS, name) && PODS[name].groups.includes(group)) return { kind: 'pods', path: PODS[name].path };
  if (group === '' && name === 'Service') return { kind: 'service' };
  if (group === '' && name === 'Namespace') return { kind: 'namespace' };
  return { kind: 'other' };
}

/** Path of a pod template in an unknown kind; null if it has none. */
export function templateOf(object: PlainMap): string | null {
  const isTemplate = isMap(object.spec) && Array.isArray(valueAt(object, [...TEMPLATE, 'spec', 'containers']));
  return isTemplate ? TEMPLATE.join('.') : null;
}

/** `deployment "web"`, as kubectl and Linkerd write it. */
export function titleOf(object: PlainMap): string {
  const metadata = asMap(object.metadata);
  const name = textOf(metadata.name) || `${textOf(metadata.generateName)}*`;
  return `${textOf(object.kind).toLowerCase()} "${name}"`;
}

/** From its `metadata`; empty if not set. */
export const namespaceOf = (object: PlainMap): string => textOf(valueAt(object, ['metadata', 'namespace']));

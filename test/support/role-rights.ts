// What the roles of a manifest allow, verb by verb, and roles that lack one of these.
import { parseAllDocuments } from 'yaml';
import { page } from '../docs/fences.js';
import type { AuditRecord } from './kubernetes.js';

/** One verb on one kind of objects, as a rule gives it. */
export interface Right {
  readonly role: 'ClusterRole' | 'Role';
  readonly verb: string;
  readonly apiGroup: string;
  readonly resource: string;
  /** Empty: in all namespaces. */
  readonly namespace: string;
  /** Empty: any. */
  readonly name: string;
}

interface Role {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string };
  readonly rules: readonly {
    readonly apiGroups: readonly string[];
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
}

/** All that the controller may do. */
export function controllerRights(): Right[] {
  const documents = parseAllDocuments(page('k8s/base/roles.yaml')).map((document) => document.toJS() as Role);
  return documents.flatMap(({ kind, metadata: { namespace = '' }, rules = [] }) =>
    kind === 'Role' || kind === 'ClusterRole'
      ? rules.flatMap(({ apiGroups, resources, verbs, resourceNames = [''] }) =>
          apiGroups.flatMap((apiGroup) =>
            resources.flatMap((resource) =>
              resourceNames.flatMap((name) =>
                verbs.map((verb) => ({ role: kind, verb, apiGroup, resource, namespace, name }) as const),
              ),
            ),
          ),
        )
      : [],
  );
}

/** As one says it: `get secrets/sluice-identity-issuer`. */
export const rightText = ({ verb, resource, name }: Right): string =>
  `${verb} ${resource}${name === '' ? '' : `/${name}`}`;

/** Rules of a role that gives these rights. */
export const rulesOf = (rights: readonly Right[]): object[] =>
  rights.map(({ verb, apiGroup, resource, name }) => ({
    apiGroups: [apiGroup],
    resources: [resource],
    verbs: [verb],
    ...(name === '' ? {} : { resourceNames: [name] }),
  }));

/** Whether what was asked for needs this right. */
export function uses({ verb, objectRef }: AuditRecord, right: Right): boolean {
  const { apiGroup = '', resource, namespace = '', name = '' } = objectRef;
  return (
    verb === right.verb &&
    apiGroup === right.apiGroup &&
    resource === right.resource &&
    (right.namespace === '' || right.namespace === namespace) &&
    (right.name === '' || right.name === name)
  );
}

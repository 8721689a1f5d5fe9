// What an installation says of all proxies in it.
import { defaultOpaquePorts, olderOpaquePorts } from '../config/ports.js';
import { ValueError } from '../config/values.js';
import { LINKERD_PREFIX } from '../kubernetes/names.js';
import { formatSpans, type PortSpan, parsePortList } from '../redirect/port-list.js';
import type { CsiIssuer } from './csi.js';

export interface Installation {
  /** The namespace of the controller, which names the mesh in identities too. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** Above `svc` in names of services; `cluster.local`. */
  readonly clusterDomain: string;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Of the proxy that is written into pods. */
  readonly version: string;
  /** PEM. Null: proxies have no identity, and nothing is encrypted. */
  readonly trustAnchors: string | null;
  /** Who signs proxies' certificates by way of cert-manager's csi-driver; null: the identity service gives them out. */
  readonly csiIssuer: CsiIssuer | null;
  /** Networks of pods and services, with commas; empty: as the proxy has it. */
  readonly clusterNetworks: string;
  /** Annotations that hold where neither a workload nor its namespace says anything. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Where the controller is. */
export const MESH_NAMESPACE = 'sluice';

/** Galera's, which other proxies don't touch either: replication and state transfer between the nodes of a database. */
const SKIPPED = '4567,4568';

/** The word for the list that Linkerd 2.10 had, with port 443. */
export const OLDER_LIST = 'linkerd-2.10';
export const DEFAULT_LIST = defaultOpaquePorts.join(',');

/** Opaque ports of an installation. Throws a ValueError: somebody is there to correct it. */
export function opaqueDefault(text: string): readonly PortSpan[] {
  const { spans, names, problems } = parsePortList(text === OLDER_LIST ? olderOpaquePorts.join(',') : text);
  if (problems.length > 0) throw new ValueError(problems.join('; '));
  if (names.length > 0) throw new ValueError(`${names.join(', ')}: names are those of a pod's ports; write numbers`);
  return spans;
}

/** As the annotation that holds where nobody says anything. */
export const opaqueAnnotation = (spans: readonly PortSpan[]): Readonly<Record<string, string>> => ({
  [`${LINKERD_PREFIX}opaque-ports`]: formatSpans(spans),
});

/** What holds without anybody saying anything. */
export const DEFAULT_ANNOTATIONS: Readonly<Record<string, string>> = {
  [`${LINKERD_PREFIX}opaque-ports`]: DEFAULT_LIST,
  [`${LINKERD_PREFIX}skip-inbound-ports`]: SKIPPED,
  [`${LINKERD_PREFIX}skip-outbound-ports`]: SKIPPED,
};

export function installation(version: string, changes: Partial<Installation> = {}): Installation {
  const { annotations = {}, ...rest } = changes;
  return {
    namespace: MESH_NAMESPACE,
    trustDomain: 'cluster.local',
    clusterDomain: 'cluster.local',
    image: `sluice:${version}`,
    imagePullPolicy: 'IfNotPresent',
    version,
    trustAnchors: null,
    csiIssuer: null,
    clusterNetworks: '',
    ...rest,
    annotations: { ...DEFAULT_ANNOTATIONS, ...annotations },
  };
}

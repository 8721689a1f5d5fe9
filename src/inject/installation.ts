// Settings of an installation for all its proxies.
import { defaultOpaquePorts, olderOpaquePorts } from '../config/ports.js';
import { ValueError } from '../config/values.js';
import { LINKERD_PREFIX } from '../kubernetes/names.js';
import { formatSpans, type PortSpan, parsePortList } from '../redirect/port-list.js';
import type { CsiIssuer } from './csi.js';

export interface Installation {
  /** The controller's namespace, which is also part of identities. */
  readonly namespace: string;
  readonly trustDomain: string;
  /** The domain after `svc` in names of Services; `cluster.local`. */
  readonly clusterDomain: string;
  readonly image: string;
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  /** Version of the injected proxy. */
  readonly version: string;
  /** PEM. Null: proxies have no identity, and nothing is encrypted. */
  readonly trustAnchors: string | null;
  /** Issuer of proxies' certificates through cert-manager's csi-driver; null: the identity service issues them. */
  readonly csiIssuer: CsiIssuer | null;
  /** Networks of pods and Services, separated by commas; empty: the proxy's default. */
  readonly clusterNetworks: string;
  /** Annotations that apply if neither a workload nor its namespace sets them. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Namespace of the controller. */
export const MESH_NAMESPACE = 'sluice';

/** Ports of Galera, which other proxies skip too: replication and state transfer between database nodes. */
const SKIPPED = '4567,4568';

/** Name of Linkerd 2.10's list, which includes port 443. */
export const OLDER_LIST = 'linkerd-2.10';
export const DEFAULT_LIST = defaultOpaquePorts.join(',');

/** Opaque ports of an installation. Throws a ValueError, because a person can correct it. */
export function opaqueDefault(text: string): readonly PortSpan[] {
  const { spans, names, problems } = parsePortList(text === OLDER_LIST ? olderOpaquePorts.join(',') : text);
  if (problems.length > 0) throw new ValueError(problems.join('; '));
  if (names.length > 0) throw new ValueError(`${names.join(', ')}: only the ports of a pod have names; write numbers`);
  return spans;
}

/** As the default annotation. */
export const opaqueAnnotation = (spans: readonly PortSpan[]): Readonly<Record<string, string>> => ({
  [`${LINKERD_PREFIX}opaque-ports`]: formatSpans(spans),
});

/** Default annotations. */
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

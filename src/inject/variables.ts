// The configuration of a pod's proxy, as variables: docs/configuration.md has the keys that they stand for.
import { SIDECAR_PORTS } from '../config/sidecar.js';
import { formatSpans, type PortSpan } from '../redirect/port-list.js';
import { CERTIFICATE_FILES, CERTIFICATE_FOLDER } from './csi.js';
import type { Installation } from './installation.js';
import type { PlainMap } from './plain.js';
import { ADMIN_PORT, type Settings } from './settings.js';
import { durationText } from './values.js';

/** Where the token is that a proxy shows to the identity service. */
export const TOKEN_FOLDER = '/var/run/secrets/tokens';
export const TOKEN_FILE = 'sluice-identity-token';

/** Of the pod; fields that only the kubelet knows. */
const FIELDS = {
  SLUICE_SIDECAR_POD: 'metadata.name',
  SLUICE_SIDECAR_NAMESPACE: 'metadata.namespace',
  SLUICE_SIDECAR_NODE: 'spec.nodeName',
  SLUICE_SIDECAR_ACCOUNT: 'spec.serviceAccountName',
} as const;

/** A service account, as certificates name it. */
export const identityName = (account: string, namespace: string, mesh: Installation): string =>
  `${account}.${namespace}.serviceaccount.identity.${mesh.namespace}.${mesh.trustDomain}`;

/** One of the mesh's own. */
const meshName = (account: string, mesh: Installation): string => identityName(account, mesh.namespace, mesh);

const service = (name: string, port: number, { namespace }: Installation): string => `${name}.${namespace}.svc:${port}`;

function identity(mesh: Installation): Record<string, string> {
  if (mesh.trustAnchors === null) return {};
  const name = { SLUICE_IDENTITY_NAME: identityName('$(SLUICE_SIDECAR_ACCOUNT)', '$(SLUICE_SIDECAR_NAMESPACE)', mesh) };
  if (mesh.csiIssuer !== null) {
    const { certificate, key, anchors } = CERTIFICATE_FILES;
    return {
      ...name,
      SLUICE_IDENTITY_FILES_CERTIFICATE: `${CERTIFICATE_FOLDER}/${certificate}`,
      SLUICE_IDENTITY_FILES_KEY: `${CERTIFICATE_FOLDER}/${key}`,
      SLUICE_IDENTITY_FILES_ANCHORS: `${CERTIFICATE_FOLDER}/${anchors}`,
    };
  }
  return {
    ...name,
    SLUICE_IDENTITY_LINKERD_ADDRESS: service('sluice-identity', 8080, mesh),
    SLUICE_IDENTITY_LINKERD_SERVER_NAME: meshName('sluice-identity', mesh),
    SLUICE_IDENTITY_LINKERD_TOKEN: `${TOKEN_FOLDER}/${TOKEN_FILE}`,
    SLUICE_IDENTITY_LINKERD_ANCHORS: mesh.trustAnchors,
  };
}

/** Linkerd takes a port 0, which nobody can listen on and no key of ours may have. */
const usable = (spans: readonly PortSpan[]): PortSpan[] =>
  spans.flatMap(({ first, last }) => (last === 0 ? [] : [{ first: Math.max(first, 1), last }]));

const time = (ms: number | null): string => (ms === null ? '' : durationText(ms));

function values(settings: Settings, probes: readonly string[], mesh: Installation): Record<string, string> {
  const { ports } = settings;
  return {
    // An empty variable would be none, and the default would hold.
    SLUICE_SIDECAR_OPAQUE_PORTS: formatSpans(usable(settings.opaque)) || 'none',
    SLUICE_SIDECAR_INBOUND_POLICY: settings.inboundPolicy ?? '',
    SLUICE_SIDECAR_PROBES: probes.join(','),
    SLUICE_SIDECAR_CLUSTER_NETWORKS: mesh.clusterNetworks,
    SLUICE_SIDECAR_INBOUND: ports.inbound === SIDECAR_PORTS.inbound ? '' : `${ports.inbound}`,
    SLUICE_SIDECAR_OUTBOUND: ports.outbound === SIDECAR_PORTS.outbound ? '' : `${ports.outbound}`,
    SLUICE_SIDECAR_CONNECT_TIMEOUT_INBOUND: time(settings.connectInbound),
    SLUICE_SIDECAR_CONNECT_TIMEOUT_OUTBOUND: time(settings.connectOutbound),
    SLUICE_ADMIN_LISTEN: ports.admin === ADMIN_PORT ? '' : `:${ports.admin}`,
    SLUICE_ADMIN_SHUTDOWN: settings.adminShutdown ? 'true' : '',
    SLUICE_DRAIN_GRACE: time(settings.grace),
    SLUICE_LOG_LEVEL: settings.logLevel ?? '',
    SLUICE_LOG_ACCESS: settings.accessLog === null ? '' : String(settings.accessLog),
    SLUICE_DETECT_TIMEOUT: settings.waitsForEver ? '0' : '',
    SLUICE_WORKERS: `${settings.workers}`,
    ...identity(mesh),
    SLUICE_DESTINATION_ADDRESS: service('sluice-destination', 8086, mesh),
    SLUICE_DESTINATION_SERVER_NAME: mesh.trustAnchors === null ? '' : meshName('sluice-destination', mesh),
    SLUICE_DESTINATIONS_IDLE_TIMEOUT: time(settings.lookupIdle),
  };
}

/**
 * What is not said has no variable. Those of the annotation come last, so that they may refer to ours, and stand in the place of ours of the
 * same name: a list with a name twice is one that `kubectl apply` may shorten. Fields stay in front, as our own variables refer to them.
 */
export function proxyVariables(settings: Settings, probes: readonly string[], mesh: Installation): PlainMap[] {
  const fields = Object.entries(FIELDS).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } }));
  const texts = Object.entries(values(settings, probes, mesh)).filter(([, value]) => value !== '');
  const own = [...fields, ...texts.map(([name, value]) => ({ name, value }))];
  const others = new Map(settings.additional.map((variable) => [variable.name, variable]));
  const kept = own.flatMap((variable): PlainMap[] => {
    const other = others.get(variable.name);
    if (other === undefined) return [variable];
    if (!Object.hasOwn(FIELDS, variable.name)) return [];
    others.delete(variable.name);
    return [other];
  });
  return [...kept, ...others.values()];
}

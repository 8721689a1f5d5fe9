// The properties of a pod that describe what is at its address. There may be 50,000 of them: few fields, and shared values.
import { isIP } from 'node:net';
import { SIDECAR_PORTS } from '../config/sidecar.js';
import type { InternPool } from './intern-pool.js';
import { type JsonObject, objectIn, objectsIn, portIn, textIn } from './json.js';
import { keyOf, PROXIES, setting } from './names.js';

export interface PodPort {
  readonly name: string;
  readonly port: number;
  /** On the node's addresses; 0: none. */
  readonly hostPort: number;
}

export interface PodProxy {
  /** The control plane's namespace in its identity; empty: this installation's. */
  readonly mesh: string;
  readonly port: number;
  /** It has a name, and certificates for it. */
  readonly identified: boolean;
  readonly running: boolean;
  /** Ports that bypass it, from an annotation; null: none. */
  readonly skipped: string | null;
}

export interface Pod {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly created: string;
  readonly ips: readonly string[];
  readonly hostIps: readonly string[];
  /** Its addresses are its node's. */
  readonly hostNetwork: boolean;
  readonly node: string;
  readonly account: string;
  /** Its owner: `deployment` and its name; empty if unknown. */
  readonly ownerKind: string;
  readonly owner: string;
  /** It will never run again. */
  readonly ended: boolean;
  /** Null: it has none. */
  readonly proxy: PodProxy | null;
  /** Text of the annotation; null: none. */
  readonly opaque: string | null;
  /** TCP ports with a name or on the node. */
  readonly ports: readonly PodPort[];
}

const NONE: readonly PodPort[] = Object.freeze([]);
const NO_ADDRESSES: readonly string[] = Object.freeze([]);
const OWNERS = new Set(['ReplicaSet', 'StatefulSet', 'DaemonSet', 'Job', 'ReplicationController']);

/** Null: it has no name. */
export function readPod(object: JsonObject, texts: InternPool): Pod | null {
  const metadata = objectIn(object, 'metadata');
  const name = textIn(metadata, 'name');
  const namespace = texts.one(textIn(metadata, 'namespace'));
  if (name === '' || namespace === '') return null;
  const spec = objectIn(object, 'spec');
  const status = objectIn(object, 'status');
  const annotations = objectIn(metadata, 'annotations');
  const opaque = setting(annotations, 'opaque-ports');
  const hostNetwork = spec.hostNetwork === true;
  return {
    key: keyOf(namespace, name),
    namespace,
    name,
    uid: textIn(metadata, 'uid'),
    created: textIn(metadata, 'creationTimestamp'),
    ips: addressesIn(status, 'podIPs', 'podIP'),
    hostIps: texts.same('addresses', addressesIn(status, 'hostIPs', 'hostIP')),
    hostNetwork,
    node: texts.one(textIn(spec, 'nodeName')),
    account: texts.one(textIn(spec, 'serviceAccountName') || 'default'),
    ...ownerOf(metadata, texts),
    ended: status.phase === 'Succeeded' || status.phase === 'Failed',
    proxy: proxyOf(metadata, spec, status, texts),
    opaque: opaque === null ? null : texts.one(opaque),
    ports: portsOf(spec, hostNetwork, texts),
  };
}

function addressesIn(status: JsonObject, list: string, single: string): readonly string[] {
  const several = objectsIn(status, list).map((each) => textIn(each, 'ip'));
  const addresses = (several.length > 0 ? several : [textIn(status, single)]).filter((address) => isIP(address) !== 0);
  // A copy without excess capacity.
  return addresses.length === 0 ? NO_ADDRESSES : addresses.slice();
}

function ownerOf(metadata: JsonObject, texts: InternPool): Pick<Pod, 'owner' | 'ownerKind'> {
  const owner = objectsIn(metadata, 'ownerReferences').find(({ controller }) => controller === true);
  const kind = owner === undefined ? '' : textIn(owner, 'kind');
  if (owner === undefined || !OWNERS.has(kind)) return { owner: '', ownerKind: '' };
  const name = textIn(owner, 'name');
  const hash = textIn(objectIn(metadata, 'labels'), 'pod-template-hash');
  if (kind === 'ReplicaSet' && hash !== '' && name.endsWith(`-${hash}`))
    return { owner: texts.one(name.slice(0, -hash.length - 1)), ownerKind: 'deployment' };
  return { owner: texts.one(name), ownerKind: texts.one(kind.toLowerCase()) };
}

/** Containers that run as long as the pod: `containers`, and native sidecars. */
function lasting(spec: JsonObject): readonly JsonObject[] {
  const sidecars = objectsIn(spec, 'initContainers').filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...sidecars, ...objectsIn(spec, 'containers')];
}

function portsOf(spec: JsonObject, hostNetwork: boolean, texts: InternPool): readonly PodPort[] {
  const ports: PodPort[] = [];
  for (const container of lasting(spec)) {
    for (const port of objectsIn(container, 'ports')) {
      const number = portIn(port, 'containerPort');
      const name = textIn(port, 'name');
      const hostPort = hostNetwork ? number : portIn(port, 'hostPort');
      const tcp = port.protocol === undefined || port.protocol === 'TCP';
      if (tcp && number !== 0 && (name !== '' || hostPort !== 0))
        ports.push({ name: texts.one(name), port: number, hostPort });
    }
  }
  return ports.length === 0 ? NONE : texts.same('ports', ports);
}

function proxyOf(metadata: JsonObject, spec: JsonObject, status: JsonObject, texts: InternPool): PodProxy | null {
  const containers = lasting(spec);
  for (const known of PROXIES) {
    const container = containers.find(({ name }) => name === known.container);
    if (container === undefined) continue;
    const own = objectsIn(container, 'ports').find(({ name }) => name === known.port);
    const skipped = skippedBy(spec, known.init) ?? setting(objectIn(metadata, 'annotations'), 'skip-inbound-ports');
    return texts.same('proxy', {
      mesh: texts.one(textIn(objectIn(metadata, 'labels'), known.label)),
      port: (own === undefined ? 0 : portIn(own, 'containerPort')) || SIDECAR_PORTS.inbound,
      identified: isIdentified(container),
      running: isRunning(status, known.container),
      skipped: skipped === null ? null : texts.one(skipped),
    });
  }
  return null;
}

const IDENTITY = 'SLUICE_IDENTITY_NAME';

/** A proxy of ours whose variables say everything but its name has no identity. */
function isIdentified(container: JsonObject): boolean {
  const names = objectsIn(container, 'env').map((variable) => textIn(variable, 'name'));
  return !names.some((name) => name.startsWith('SLUICE_SIDECAR_')) || names.includes(IDENTITY);
}

/** Ports that the init container was told to leave alone: this is what counts once the pod runs. */
function skippedBy(spec: JsonObject, init: string): string | null {
  const container = objectsIn(spec, 'initContainers').find(({ name }) => name === init);
  const args = container === undefined || !Array.isArray(container.args) ? [] : container.args;
  const option = '--inbound-ports-to-ignore';
  for (const [index, argument] of args.entries()) {
    if (typeof argument !== 'string' || !argument.startsWith(option)) continue;
    const value: unknown = argument === option ? args[index + 1] : argument.slice(option.length + 1);
    return typeof value === 'string' ? value : null;
  }
  return null;
}

function isRunning(status: JsonObject, container: string): boolean {
  const statuses = [...objectsIn(status, 'initContainerStatuses'), ...objectsIn(status, 'containerStatuses')];
  const own = statuses.find(({ name }) => name === container);
  // Without container statuses, the phase decides.
  if (own === undefined) return statuses.length === 0 && status.phase === 'Running';
  return own.ready === true || typeof objectIn(own, 'state').running === 'object';
}

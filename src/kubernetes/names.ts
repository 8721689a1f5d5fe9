// Names used by Kubernetes and meshes: the injector writes them, and a cluster's view reads them.

/** Containers of a pod's proxy, and names of its ports, used to find them again. */
export const PROXY = 'sluice-proxy';
export const INIT = 'sluice-init';
export const INBOUND_PORT_NAME = 'sluice-proxy';
export const ADMIN_PORT_NAME = 'sluice-admin';

/** The control plane of a pod's proxy. */
export const CONTROL_PLANE_LABEL = 'sluice.io/control-plane-ns';

/** Kinds of proxies in pods: name of the container, of its inbound port, and the label that names its mesh. */
export const PROXIES = [
  { container: PROXY, init: INIT, port: INBOUND_PORT_NAME, label: CONTROL_PLANE_LABEL },
  { container: 'linkerd-proxy', init: 'linkerd-init', port: 'linkerd-proxy', label: 'linkerd.io/control-plane-ns' },
] as const;

/** Annotations that control injection; the first one present counts. */
export const INJECT_NAMES = ['sluice.io/inject', 'linkerd.io/inject'] as const;

/** Prefixes of settings in annotations: ours, which wins over Linkerd's, of which the first is the usual one. */
export const OWN_PREFIX = 'config.sluice.io/';
export const LINKERD_PREFIX = 'config.linkerd.io/';
export const ALPHA_PREFIX = 'config.alpha.linkerd.io/';
export const PREFIXES = [OWN_PREFIX, LINKERD_PREFIX, ALPHA_PREFIX, 'config.beta.linkerd.io/'] as const;

/** Many objects are asked for the same few settings. */
const keys = new Map<string, readonly string[]>();

/** All annotations for the setting `name`, the most important first. */
export function settingKeys(name: string): readonly string[] {
  let known = keys.get(name);
  if (known === undefined) {
    known = PREFIXES.map((prefix) => prefix + name);
    keys.set(name, known);
  }
  return known;
}

/** The deciding annotation for the setting `name`; undefined if not set. */
export const settingKey = (annotations: Readonly<Record<string, unknown>>, name: string): string | undefined =>
  settingKeys(name).find((key) => Object.hasOwn(annotations, key));

/** The text of a setting; null if not set. */
export function setting(annotations: Readonly<Record<string, unknown>>, name: string): string | null {
  const key = settingKey(annotations, name);
  const text = key === undefined ? undefined : annotations[key];
  return typeof text === 'string' ? text : null;
}

/** The label in which a slice names its Service. */
export const SERVICE_NAME = 'kubernetes.io/service-name';

/** A flat string: a template would create one that refers to its parts, and there are 100,000 of them. */
export const keyOf = (namespace: string, name: string): string => [namespace, name].join('/');

/** Whether this is a valid namespace name (RFC 1123). Names from strangers must be checked before they become part of a path. */
export const isNamespaceName = (name: string): boolean => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name);

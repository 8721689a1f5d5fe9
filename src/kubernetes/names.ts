// Names that Kubernetes and meshes give to things: what the injector writes, and a cluster's view reads.

/** Containers of a pod's proxy, and the names of its ports, by which these are found again. */
export const PROXY = 'sluice-proxy';
export const INIT = 'sluice-init';
export const INBOUND_PORT_NAME = 'sluice-proxy';
export const ADMIN_PORT_NAME = 'sluice-admin';

/** Which control plane the proxy of a pod belongs to. */
export const CONTROL_PLANE_LABEL = 'sluice.io/control-plane-ns';

/** By whom a pod's proxy was put there: name of its container, of its port for what comes in, and the label that says of which mesh it is. */
export const PROXIES = [
  { container: PROXY, init: INIT, port: INBOUND_PORT_NAME, label: CONTROL_PLANE_LABEL },
  { container: 'linkerd-proxy', init: 'linkerd-init', port: 'linkerd-proxy', label: 'linkerd.io/control-plane-ns' },
] as const;

/** Annotations that say whether to inject; the first that is there counts. */
export const INJECT_NAMES = ['sluice.io/inject', 'linkerd.io/inject'] as const;

/** In front of names of settings in annotations: ours, which wins over those of Linkerd, of which the first is the usual one. */
export const OWN_PREFIX = 'config.sluice.io/';
export const LINKERD_PREFIX = 'config.linkerd.io/';
export const ALPHA_PREFIX = 'config.alpha.linkerd.io/';
export const PREFIXES = [OWN_PREFIX, LINKERD_PREFIX, ALPHA_PREFIX, 'config.beta.linkerd.io/'] as const;

/** Many objects are asked for the same few. */
const keys = new Map<string, readonly string[]>();

/** All annotations that are the setting `name`, the one that counts most first. */
export function settingKeys(name: string): readonly string[] {
  let known = keys.get(name);
  if (known === undefined) {
    known = PREFIXES.map((prefix) => prefix + name);
    keys.set(name, known);
  }
  return known;
}

/** The annotation that counts of those that are the setting `name`; undefined where nothing is said. */
export const settingKey = (annotations: Readonly<Record<string, unknown>>, name: string): string | undefined =>
  settingKeys(name).find((key) => Object.hasOwn(annotations, key));

/** The text of a setting; null where nothing is said. */
export function setting(annotations: Readonly<Record<string, unknown>>, name: string): string | null {
  const key = settingKey(annotations, name);
  const text = key === undefined ? undefined : annotations[key];
  return typeof text === 'string' ? text : null;
}

/** The label by which a slice names its Service. */
export const SERVICE_NAME = 'kubernetes.io/service-name';

/** One string of its own: by a template it would be one more, that refers to its parts. There are 100,000 of them. */
export const keyOf = (namespace: string, name: string): string => [namespace, name].join('/');

/** Whether a namespace may be called that (RFC 1123). Names that strangers have written must not come into a path before. */
export const isNamespaceName = (name: string): boolean => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(name);

// Names that Kubernetes and meshes give to things, as far as a cluster's view reads them.

/** By whom a pod's proxy was put there: name of its container, of its port for what comes in, and the label that says of which mesh it is. */
export const PROXIES = [
  { container: 'sluice-proxy', init: 'sluice-init', port: 'sluice-proxy', label: 'sluice.io/control-plane-ns' },
  { container: 'linkerd-proxy', init: 'linkerd-init', port: 'linkerd-proxy', label: 'linkerd.io/control-plane-ns' },
] as const;

/** Where proxies take what comes in, if they don't say. */
export const INBOUND_PORT = 4143;

/** In front of names of settings in annotations; the first that is there counts. */
const PREFIXES = ['config.sluice.io/', 'config.linkerd.io/'] as const;

/** The text of a setting; null where nothing is said. */
export function setting(annotations: Readonly<Record<string, unknown>>, name: string): string | null {
  for (const prefix of PREFIXES) {
    const text = annotations[prefix + name];
    if (typeof text === 'string') return text;
  }
  return null;
}

/** The label by which a slice names its Service. */
export const SERVICE_NAME = 'kubernetes.io/service-name';

/** One string of its own: by a template it would be one more, that refers to its parts. There are 100,000 of them. */
export const keyOf = (namespace: string, name: string): string => [namespace, name].join('/');

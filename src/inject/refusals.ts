// Why a pod gets no proxy.
import { INIT, INJECT_NAMES, PROXY } from '../kubernetes/names.js';
import type { Layer } from './layers.js';
import { type PlainMap, textOf, valueAt } from './plain.js';
import type { PodView } from './pod.js';

export const REFUSALS = [
  'disabled',
  'not-asked',
  'injected',
  'foreign-sidecar',
  'host-network',
  'no-token',
  'windows',
  'mirror',
  'no-containers',
] as const;
/** For metrics and events. */
export type RefusalReason = (typeof REFUSALS)[number];

export interface Refusal {
  readonly reason: RefusalReason;
  readonly message: string;
}

/** Words of `linkerd.io/inject`. */
const WORDS = ['enabled', 'disabled', 'ingress'];

export interface InjectSetting {
  readonly object: string;
  readonly annotation: string;
  readonly value: string;
}

/** The first layer's instruction whether to inject. */
export function injectSetting(layers: readonly Layer[]): InjectSetting | null {
  for (const { object, annotations } of layers)
    for (const annotation of INJECT_NAMES)
      if (Object.hasOwn(annotations, annotation)) return { object, annotation, value: annotations[annotation].trim() };
  return null;
}

/** Null if injection is wanted. */
export function notRequested(layers: readonly Layer[]): Refusal | null {
  const setting = injectSetting(layers);
  if (setting === null)
    return { reason: 'not-asked', message: 'neither the pod nor its namespace has linkerd.io/inject: enabled' };
  const { object, annotation, value } = setting;
  if (value === 'disabled') return { reason: 'disabled', message: `${annotation} of ${object} is disabled` };
  if (WORDS.includes(value)) return null;
  const message = `${annotation} of ${object} is ${JSON.stringify(value)}; write enabled, disabled or ingress`;
  return { reason: 'disabled', message };
}

/** Containers of other meshes, by name and by image. */
const SIDECARS: Readonly<Record<string, { readonly names: readonly string[]; readonly image: RegExp }>> = {
  Linkerd: {
    names: ['linkerd-proxy', 'linkerd-init', 'linkerd-network-validator'],
    image: /(^|\/)(linkerd(-io)?)\/proxy(-init)?(:|@|$)/,
  },
  Istio: { names: ['istio-proxy', 'istio-init', 'istio-validation'], image: /(^|\/)istio(-release)?\/proxyv2(:|@|$)/ },
  Kuma: { names: ['kuma-sidecar', 'kuma-init'], image: /(^|\/)kuma(hq)?\/kuma-dp(:|@|$)/ },
  Consul: {
    names: ['consul-dataplane', 'consul-connect-inject-init'],
    image: /(^|\/)hashicorp\/consul-dataplane(:|@|$)/,
  },
};

export const isOurs = ({ name }: PlainMap): boolean => name === PROXY || name === INIT;

/** The other mesh with a sidecar in a pod, and the container that shows it. */
export function foreignSidecar({ containers, initContainers }: PodView): { mesh: string; container: string } | null {
  for (const [mesh, { names, image }] of Object.entries(SIDECARS)) {
    const found = [...initContainers, ...containers].find(
      ({ name, image: its }) => names.includes(textOf(name)) || image.test(textOf(its)),
    );
    if (found !== undefined) return { mesh, container: textOf(found.name) };
  }
  return null;
}

function existingSidecar(pod: PodView): Refusal | null {
  const own = [...pod.initContainers, ...pod.containers].find(isOurs);
  if (own !== undefined)
    return { reason: 'injected', message: `it has the proxy already (container ${textOf(own.name)})` };
  const foreign = foreignSidecar(pod);
  if (foreign === null) return null;
  const { mesh, container } = foreign;
  const message = `it has ${mesh}'s sidecar already (container ${container}); two meshes would redirect the same connections`;
  return { reason: 'foreign-sidecar', message };
}

/** Why this pod cannot have a proxy, whoever wants it. `projects`: the proxy gets a token even if the pod has none. */
export function unsupported(pod: PodView, projects: boolean): Refusal | null {
  const { spec, containers, annotations } = pod;
  const there = existingSidecar(pod);
  if (there !== null) return there;
  if (containers.length === 0) return { reason: 'no-containers', message: 'it has no containers' };
  if (spec.hostNetwork === true)
    return {
      reason: 'host-network',
      message: 'hostNetwork is true: the rules would redirect the connections of the node',
    };
  if (spec.automountServiceAccountToken === false && !projects) {
    const message =
      'automountServiceAccountToken is false, and the proxy gets its identity by a token of the service account; ' +
      'config.sluice.io/project-token: "true" gives one to the proxy alone';
    return { reason: 'no-token', message };
  }
  if (valueAt(spec, ['os', 'name']) === 'windows' || valueAt(spec, ['nodeSelector', 'kubernetes.io/os']) === 'windows')
    return { reason: 'windows', message: 'it is for Windows, which has no netfilter' };
  if (Object.hasOwn(annotations, 'kubernetes.io/config.mirror'))
    return {
      reason: 'mirror',
      message: "it mirrors a static pod, which its node's kubelet runs whatever the API server says",
    };
  return null;
}

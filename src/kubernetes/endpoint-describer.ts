// Descriptions of Services' and pods' ports for clients.
import type { ServiceProtocol } from '../config/model.js';
import { type Endpoint, endpointAt } from '../discovery/endpoint.js';
import { accountName } from '../identity/names.js';
import type { PortSpan } from '../redirect/port-list.js';
import { appProtocol } from './app-protocol.js';
import { InternPool } from './intern-pool.js';
import { isListed } from './opaque-ports.js';
import type { Pod } from './pod.js';
import type { Service, ServicePort } from './service.js';
import type { Namespaces } from './stores.js';

export interface Mesh {
  /** The domain after `svc` in names of Services. */
  readonly clusterDomain: string;
  readonly trustDomain: string;
  /** The namespace in identities of pods that do not name one. */
  readonly namespace: string;
  /** Opaque unless an annotation says otherwise. */
  readonly opaque: readonly PortSpan[];
}

/** Ports of proxies for probes, scrapes and taps: never redirected. */
const OWN_PORTS: readonly number[] = [4190, 4191];

const NO_SPANS: readonly PortSpan[] = [];
const labels = new WeakMap<Pod, Readonly<Record<string, string>>>();

/** Labels for an endpoint's series. */
function labelsOf(pod: Pod): Readonly<Record<string, string>> {
  const known = labels.get(pod);
  if (known !== undefined) return known;
  const made = Object.freeze({
    namespace: pod.namespace,
    pod: pod.name,
    serviceaccount: pod.account,
    ...(pod.owner === '' ? {} : { [pod.ownerKind]: pod.owner }),
  });
  labels.set(pod, made);
  return made;
}

const namedPod =
  ({ ports }: Pod) =>
  (name: string): readonly number[] =>
    ports.filter((port) => port.name === name).map(({ port }) => port);

export class EndpointDescriber {
  readonly #pool = new InternPool();

  constructor(
    private readonly mesh: Mesh,
    private readonly namespaces: Namespaces,
  ) {}

  /** The protocol of a Service's port; its `appProtocol` comes before annotations. */
  protocolOf(service: Service, port: ServicePort): ServiceProtocol {
    const said = appProtocol(port.appProtocol);
    if (said !== null) return said;
    const named = (name: string): readonly number[] =>
      service.ports.filter((each) => each.name === name || each.targetName === name).map((each) => each.port);
    const texts = [service.opaque, this.#opaqueIn(service.namespace)];
    return isListed(port.port, texts, this.mesh.opaque, named) ? 'opaque' : 'auto';
  }

  /** An endpoint that is not a pod. */
  elsewhere(host: string, port: number, namespace: string, appProtocolText: string, zone: string): Endpoint {
    const opaque = isListed(port, [this.#opaqueIn(namespace)], this.mesh.opaque, () => []);
    const protocol = appProtocol(appProtocolText) ?? (opaque ? 'opaque' : 'auto');
    return endpointAt({ host, port }, { protocol, zone });
  }

  endpointOf(pod: Pod, host: string, port: number, appProtocolText = '', zone = ''): Endpoint {
    const texts = [pod.opaque, this.#opaqueIn(pod.namespace)];
    const opaque = isListed(port, texts, this.mesh.opaque, namedPod(pod));
    const protocol = appProtocol(appProtocolText) ?? (opaque ? 'opaque' : 'auto');
    return endpointAt({ host, port }, { protocol, zone, metadata: labelsOf(pod), ...this.#proxyOf(pod, port) });
  }

  #opaqueIn(namespace: string): string | null {
    return this.namespaces.byKey.get(namespace)?.opaque ?? null;
  }

  /** Nothing for a port that bypasses the proxy. */
  #proxyOf(pod: Pod, port: number): Pick<Endpoint, 'identity' | 'proxy'> | null {
    const { proxy } = pod;
    if (proxy === null || !proxy.running || !proxy.identified || OWN_PORTS.includes(port) || pod.hostNetwork)
      return null;
    if (proxy.skipped !== null && isListed(port, [proxy.skipped], NO_SPANS, namedPod(pod))) return null;
    const { trustDomain, namespace } = this.mesh;
    const mesh = proxy.mesh === '' ? namespace : proxy.mesh;
    const identity = accountName({ account: pod.account, namespace: pod.namespace, mesh, trustDomain });
    return { identity: this.#pool.one(identity), proxy: this.#pool.same('proxy', { port: proxy.port, http2: true }) };
  }
}

// A node of a real API server whose pods run in a PodLab: it takes every pod that nobody has (there is no scheduler), runs it, reports its
// status, removes it when it was deleted, and leads addresses of Services to endpoints as the EndpointSlices have them.
import { Kubelet, NODE_NAME, type RunningPod } from './kubelet.js';
import { statusOf } from './kubelet-status.js';
import type { Kubernetes } from './kubernetes.js';
import { type ApiObject, type Following, follow } from './kubernetes-follow.js';
import type { Objects } from './pod-files.js';
import { type LabService, NODE_ADDRESSES, type PodLab } from './pod-lab.js';
import type { Pod } from './pod-objects.js';
import { eventually } from './sluice.js';

type Data = Readonly<Record<string, string>>;

interface Service extends ApiObject {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly clusterIPs?: readonly string[];
    readonly ports?: readonly { readonly name?: string; readonly port: number }[];
    readonly publishNotReadyAddresses?: boolean;
  };
}

interface Slice extends ApiObject {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly labels?: Data };
  readonly endpoints:
    | readonly {
        readonly addresses: readonly string[];
        readonly hostname?: string;
        readonly conditions?: { readonly ready?: boolean };
      }[]
    | null;
  readonly ports: readonly { readonly name?: string; readonly port?: number }[] | null;
}

interface ApiPod extends Pod, ApiObject {
  readonly metadata: Pod['metadata'];
  readonly status?: { readonly phase?: string };
}

const podPath = ({ metadata: { namespace, name } }: Pod): string => `/api/v1/namespaces/${namespace}/pods/${name}`;
const addressesOf = ({ spec }: Service): string[] => (spec.clusterIPs ?? []).filter((address) => address !== 'None');

/** What a pod's files and variables are made of, from the API server. */
class ApiObjects implements Objects {
  services: ReadonlyMap<string, Service> = new Map();

  constructor(private readonly kubernetes: Kubernetes) {}

  async data(kind: 'configmaps' | 'secrets', namespace: string, name: string): Promise<Data | null> {
    const { status, body } = await this.kubernetes.ask('GET', `/api/v1/namespaces/${namespace}/${kind}/${name}`);
    // A controller that isn't here makes it in every namespace.
    if (status === 404 && name === 'kube-root-ca.crt') return { 'ca.crt': this.kubernetes.anchor };
    if (status !== 200) return null;
    const data = (body.data ?? {}) as Data;
    if (kind === 'configmaps') return data;
    const decoded = Object.entries(data).map(([key, text]) => [key, Buffer.from(text, 'base64').toString()]);
    return Object.fromEntries(decoded) as Data;
  }

  async token({ metadata, spec }: Pod, audience: string | null, seconds: number): Promise<string> {
    const { namespace, name, uid } = metadata;
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${spec.serviceAccountName ?? 'default'}/token`;
    const { status } = await this.kubernetes.done('POST', path, {
      spec: {
        audiences: [audience ?? this.kubernetes.audience],
        expirationSeconds: seconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    });
    return (status as { readonly token: string }).token;
  }

  /** That of the API server, and those of the namespace. */
  async serviceLinks(namespace: string): Promise<Data> {
    const links: Record<string, string> = {};
    for (const [key, service] of this.services) {
      const [host] = addressesOf(service);
      if (host === undefined || (key !== 'default/kubernetes' && service.metadata.namespace !== namespace)) continue;
      const prefix = service.metadata.name.toUpperCase().replaceAll('-', '_');
      const port = service.spec.ports?.[0]?.port ?? 0;
      links[`${prefix}_SERVICE_HOST`] = host;
      links[`${prefix}_SERVICE_PORT`] = String(port);
      links[`${prefix}_PORT`] = `tcp://${host}:${port}`;
    }
    return links;
  }
}

export class LabNode {
  readonly kubelet: Kubelet;
  readonly #objects: ApiObjects;
  readonly #following: Following[] = [];
  /** By uid. */
  readonly #running = new Map<string, RunningPod>();
  readonly #bound = new Set<string>();
  readonly #reports = new Map<RunningPod, { again: boolean; done: Promise<void> }>();
  #services: ReadonlyMap<string, Service> = new Map();
  #slices: ReadonlyMap<string, Slice> = new Map();
  #routed = '';

  private constructor(
    readonly kubernetes: Kubernetes,
    readonly lab: PodLab,
  ) {
    this.#objects = new ApiObjects(kubernetes);
    this.kubelet = new Kubelet(lab, this.#objects, (running) => this.#report(running));
  }

  static async start(kubernetes: Kubernetes, lab: PodLab, zone = 'zone-a'): Promise<LabNode> {
    const labels = { 'kubernetes.io/hostname': NODE_NAME, 'topology.kubernetes.io/zone': zone };
    await kubernetes.done('POST', '/api/v1/nodes', { metadata: { name: NODE_NAME, labels } });
    const node = new LabNode(kubernetes, lab);
    node.#following.push(
      follow<Service>(kubernetes, '/api/v1/services', (services) => {
        node.#services = services;
        node.#objects.services = services;
        node.#route();
      }),
      follow<Slice>(kubernetes, '/apis/discovery.k8s.io/v1/endpointslices', (slices) => {
        node.#slices = slices;
        node.#route();
      }),
      follow<ApiPod>(kubernetes, '/api/v1/pods', (pods) => node.#reconcile(pods)),
    );
    await eventually(() => node.#services.has('default/kubernetes'), 'the Service of the API server');
    return node;
  }

  /** Pods that run, or have run, of this app (`app` or `app.kubernetes.io/name`). */
  pods(namespace: string, app: string): RunningPod[] {
    return [...this.#running.values()].filter(
      ({ pod: { metadata } }) =>
        metadata.namespace === namespace &&
        (metadata.labels?.app === app || metadata.labels?.['app.kubernetes.io/name'] === app),
    );
  }

  /** Waits for so many pods of an app, all of them ready. */
  async ready(namespace: string, app: string, count = 1): Promise<RunningPod[]> {
    const living = (): RunningPod[] => this.pods(namespace, app).filter(({ deleting }) => !deleting);
    try {
      await eventually(
        () => living().length === count && living().every(({ ready }) => ready),
        `${count} pods of ${namespace}/${app}`,
        120_000,
      );
    } catch (error) {
      throw new Error(
        `${(error as Error).message}\n${living()
          .map((pod) => pod.story())
          .join('\n')}`,
      );
    }
    return living();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#following.map((following) => following.stop()));
    await this.kubelet.stop();
    await Promise.all([...this.#reports.values()].map(({ done }) => done));
  }

  #reconcile(pods: ReadonlyMap<string, ApiPod>): void {
    const known = new Set<string>();
    for (const pod of pods.values()) {
      const { uid = '', deletionTimestamp } = pod.metadata;
      known.add(uid);
      if (deletionTimestamp !== undefined) this.#remove(pod, this.#running.get(uid));
      else if (pod.spec.nodeName === undefined) this.#bind(pod);
      else if (!this.#running.has(uid) && pod.spec.nodeName === NODE_NAME) {
        const running = this.kubelet.run(pod);
        this.#running.set(uid, running);
        this.#report(running);
      }
    }
    for (const [uid, running] of this.#running)
      if (!known.has(uid)) {
        this.#running.delete(uid);
        void this.kubelet.delete(running, 0);
      }
  }

  #bind(pod: ApiPod): void {
    const { uid = '', name } = pod.metadata;
    if (this.#bound.has(uid)) return;
    this.#bound.add(uid);
    const target = { apiVersion: 'v1', kind: 'Node', name: NODE_NAME };
    void this.kubernetes
      .done('POST', `${podPath(pod)}/binding`, { apiVersion: 'v1', kind: 'Binding', metadata: { name }, target })
      .catch(() => this.#bound.delete(uid));
  }

  #remove(pod: ApiPod, running: RunningPod | undefined): void {
    if (running?.deleting === true) return;
    const over = running === undefined ? null : this.kubelet.delete(running, pod.metadata.deletionGracePeriodSeconds);
    const forget = async (): Promise<void> => {
      await over;
      await this.kubernetes.ask('DELETE', podPath(pod), {
        gracePeriodSeconds: 0,
        preconditions: { uid: pod.metadata.uid },
      });
    };
    void forget().catch(() => undefined);
  }

  /** One report at a time; what has changed meanwhile is in the next one. */
  #report(running: RunningPod): void {
    const under = this.#reports.get(running);
    if (under !== undefined) {
      under.again = true;
      return;
    }
    const report = { again: true, done: Promise.resolve() };
    const send = async (): Promise<void> => {
      while (report.again) {
        report.again = false;
        await this.kubernetes.ask('PATCH', `${podPath(running.pod)}/status`, { status: statusOf(running) });
      }
    };
    this.#reports.set(running, report);
    report.done = send()
      .catch(() => undefined)
      .then(() => {
        this.#reports.delete(running);
      });
  }

  #route(): void {
    const services: LabService[] = [];
    for (const [key, service] of this.#services) {
      const { name, namespace } = service.metadata;
      const slices = [...this.#slices.values()].filter(
        ({ metadata }) => metadata.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === name,
      );
      const endpoints = slices.flatMap(({ endpoints: all, ports }) =>
        (all ?? [])
          .filter(({ conditions }) => service.spec.publishNotReadyAddresses === true || conditions?.ready !== false)
          .map(({ addresses, hostname = '' }) => ({ address: addresses[0], hostname, ports: ports ?? [] })),
      );
      const ports = (service.spec.ports ?? []).map(({ name: portName = '', port }) => ({
        port,
        targets:
          key === 'default/kubernetes'
            ? [{ host: '127.0.0.1', port: this.kubernetes.port }]
            : endpoints.flatMap(({ address, ports: own }) =>
                own
                  .filter(({ name: ownName = '' }) => ownName === portName)
                  .map((target) => ({ host: address, port: target.port ?? port })),
              ),
      }));
      services.push({ name, namespace, addresses: addressesOf(service), ports, members: endpoints });
    }
    const text = JSON.stringify(services);
    if (text === this.#routed) return;
    this.#routed = text;
    this.lab.setServices(services);
  }
}

export const ADVERTISED = NODE_ADDRESSES[0];

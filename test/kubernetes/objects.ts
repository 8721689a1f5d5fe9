// Objects of a cluster as an API server writes them, and a view that is told of them without one.
import type { EndpointsUpdate, ProfileUpdate, Requester } from '../../src/destination/lookup.js';
import { ClusterView } from '../../src/kubernetes/cluster-view.js';
import type { Mesh } from '../../src/kubernetes/endpoint-describer.js';
import { InternPool } from '../../src/kubernetes/intern-pool.js';
import { isObject } from '../../src/kubernetes/json.js';
import { readNamespace } from '../../src/kubernetes/namespace.js';
import type { ObjectProblem } from '../../src/kubernetes/object-problems.js';
import { readPod } from '../../src/kubernetes/pod.js';
import type { Sink } from '../../src/kubernetes/reflector.js';
import { readService } from '../../src/kubernetes/service.js';
import { readSlice } from '../../src/kubernetes/slice.js';

export type Fields = Readonly<Record<string, unknown>>;

export const MESH: Mesh = {
  clusterDomain: 'cluster.local',
  trustDomain: 'cluster.local',
  namespace: 'sluice',
  opaque: [{ first: 3306, last: 3306 }],
};
export const ASKER: Requester = { namespace: 'shop', pod: 'client', node: 'node-a' };

const metadata = (name: string, more: Fields = {}): Fields => ({
  name,
  namespace: 'shop',
  uid: `uid-${name}`,
  ...more,
});

export const service = (name: string, ip: string, spec: Fields = {}, meta: Fields = {}): Fields => ({
  metadata: metadata(name, meta),
  spec: { clusterIP: ip, clusterIPs: [ip], ipFamilies: ['IPv4'], ports: [{ port: 80, targetPort: 8080 }], ...spec },
});

export interface Said {
  readonly ready?: boolean;
  readonly serving?: boolean;
  readonly terminating?: boolean;
  readonly node?: string;
  readonly zone?: string;
  readonly hints?: readonly string[] | undefined;
  readonly hostname?: string;
  readonly pod?: string;
}

export const endpoint = (address: string, said: Said = {}): Fields => ({
  addresses: [address],
  conditions: { ready: said.ready, serving: said.serving, terminating: said.terminating },
  nodeName: said.node,
  zone: said.zone,
  hostname: said.hostname,
  ...(said.hints === undefined ? {} : { hints: { forZones: said.hints.map((name) => ({ name })) } }),
  ...(said.pod === undefined ? {} : { targetRef: { kind: 'Pod', name: said.pod, namespace: 'shop' } }),
});

export const slice = (name: string, of: string, endpoints: readonly Fields[], more: Fields = {}): Fields => ({
  metadata: metadata(name, { labels: { 'kubernetes.io/service-name': of } }),
  addressType: 'IPv4',
  ports: [{ name: '', port: 8080, protocol: 'TCP' }],
  endpoints,
  ...more,
});

export const pod = (name: string, ip: string, spec: Fields = {}, meta: Fields = {}, status: Fields = {}): Fields => ({
  metadata: metadata(name, meta),
  spec: { serviceAccountName: 'web', nodeName: 'node-a', containers: [{ name: 'app' }], ...spec },
  status: { phase: 'Running', podIP: ip, podIPs: [{ ip }], hostIP: '192.168.0.1', ...status },
});

/** What injection makes of a pod. */
export const MESHED: Fields = {
  containers: [{ name: 'app' }, { name: 'sluice-proxy', ports: [{ name: 'sluice-proxy', containerPort: 4143 }] }],
};
export const MESHED_LABELS: Fields = { labels: { 'sluice.io/control-plane-ns': 'sluice' } };

export const namespace = (name: string, annotations: Fields = {}): Fields => ({ metadata: { name, annotations } });

export interface ObjectSink {
  set(object: Fields): void;
  remove(object: Fields): void;
  replace(objects: readonly Fields[]): void;
}

const texts = new InternPool();

function sinkOf<T>(sink: Sink<T>, read: (object: Fields) => T | null): ObjectSink {
  const known = (object: Fields): T[] => {
    // As it would come over the wire.
    const sent: unknown = JSON.parse(JSON.stringify(object));
    const one = isObject(sent) ? read(sent) : null;
    return one === null ? [] : [one];
  };
  return {
    set: (object) => {
      for (const one of known(object)) sink.changed(one);
    },
    remove: (object) => {
      for (const one of known(object)) sink.removed(one);
    },
    replace: (objects) => sink.replace(objects.flatMap(known)),
  };
}

export class TestCluster {
  readonly problems: ObjectProblem[] = [];
  readonly view: ClusterView;
  readonly services: ObjectSink;
  readonly slices: ObjectSink;
  readonly pods: ObjectSink;
  readonly namespaces: ObjectSink;

  constructor(mesh: Partial<Mesh> = {}) {
    this.view = new ClusterView({ ...MESH, ...mesh }, { problem: (problem) => this.problems.push(problem) });
    this.services = sinkOf(this.view.services, (object) => readService(object, texts));
    this.slices = sinkOf(this.view.slices, (object) => readSlice(object, texts));
    this.pods = sinkOf(this.view.pods, (object) => readPod(object, texts));
    this.namespaces = sinkOf(this.view.namespaces, readNamespace);
  }

  /** Everything has been listed. */
  static synced(mesh: Partial<Mesh> = {}): TestCluster {
    const cluster = new TestCluster(mesh);
    cluster.services.replace([]);
    cluster.slices.replace([]);
    cluster.pods.replace([]);
    cluster.namespaces.replace([namespace('shop')]);
    return cluster;
  }

  /** The profile of an address now. */
  profile(host: string, port: number): ProfileUpdate {
    let now: ProfileUpdate | undefined;
    this.view.watchProfile({ host, port }, ASKER, (update) => (now = update)).stop();
    if (now === undefined) throw new Error('nothing was reported');
    return now;
  }

  endpointsUpdate(authority: string, asker: Requester = ASKER): EndpointsUpdate {
    let now: EndpointsUpdate | undefined;
    this.view.watchEndpoints(authority, asker, (update) => (now = update)).stop();
    if (now === undefined) throw new Error('nothing was reported');
    return now;
  }

  /** Endpoints as text; `unknown` where there is no such thing. */
  endpoints(authority: string, asker: Requester = ASKER): readonly string[] | 'unknown' {
    const update = this.endpointsUpdate(authority, asker);
    if (update.kind === 'unknown') return 'unknown';
    return update.endpoints.map(({ address }) => `${address.host}:${address.port}`);
  }
}

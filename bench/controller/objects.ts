// A cluster that does not exist: Services, their slices and pods, as an API server has them, by their numbers.

export interface Sizes {
  readonly services: number;
  /** Endpoints of each. */
  readonly endpoints: number;
}

export const NAMESPACES = 10;
const NODES = 200;
const ZONES = 3;
export const PORT = 8080;
/** Pods of changes are in 11.0.0.0/8, by the number of their change. */
const CHANGED_NET = 11;
const BASE_NET = 10;

export const namespaceOf = (service: number): string => `team-${service % NAMESPACES}`;
export const serviceName = (service: number): string => `service-${service}`;
export const authorityOf = (service: number): string =>
  `${serviceName(service)}.${namespaceOf(service)}.svc.cluster.local:80`;
export const clusterIp = (service: number): string => `172.20.${service >> 8}.${service & 255}`;
export const nodeOf = (number: number): string => `node-${number % NODES}`;

/** A pod of the beginning, or one that a change brings. */
export interface PodPlace {
  readonly service: number;
  readonly number: number;
  readonly change: number;
}

export const podIp = ({ number, change }: PodPlace): string => {
  const [net, host] = change > 0 ? [CHANGED_NET, change] : [BASE_NET, number];
  return `${net}.${(host >> 16) & 255}.${(host >> 8) & 255}.${host & 255}`;
};

/** The change that brought the pod with this address; 0: it was there. */
export function changeOf(ip: string): number {
  const [net, a, b, c] = ip.split('.').map(Number);
  return net === CHANGED_NET ? (a << 16) | (b << 8) | c : 0;
}

const podName = ({ service, number, change }: PodPlace): string =>
  `${serviceName(service)}-6d5f8c9b7d-${number.toString(36)}${change === 0 ? '' : `-${change.toString(36)}`}`;

export const namespaceObject = (number: number, version: number): object => ({
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: `team-${number}`, uid: `n-${number}`, resourceVersion: String(version), annotations: {} },
});

export const serviceObject = (service: number, version: number): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    name: serviceName(service),
    namespace: namespaceOf(service),
    uid: `s-${service}`,
    resourceVersion: String(version),
    labels: { app: serviceName(service), team: namespaceOf(service) },
  },
  spec: {
    type: 'ClusterIP',
    clusterIP: clusterIp(service),
    clusterIPs: [clusterIp(service)],
    ipFamilies: ['IPv4'],
    ports: [{ name: 'http', port: 80, protocol: 'TCP', targetPort: PORT, appProtocol: 'http' }],
    selector: { app: serviceName(service) },
  },
});

export function sliceObject(service: number, pods: readonly PodPlace[], version: number): object {
  const name = serviceName(service);
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-x7k2p`,
      namespace: namespaceOf(service),
      uid: `e-${service}`,
      resourceVersion: String(version),
      labels: {
        'kubernetes.io/service-name': name,
        'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
      },
    },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: PORT, protocol: 'TCP', appProtocol: 'http' }],
    endpoints: pods.map((pod) => ({
      addresses: [podIp(pod)],
      conditions: { ready: true, serving: true, terminating: false },
      nodeName: nodeOf(pod.number),
      zone: `zone-${(pod.number % NODES) % ZONES}`,
      targetRef: { kind: 'Pod', name: podName(pod), namespace: namespaceOf(service), uid: podName(pod) },
    })),
  };
}

/** As long as pods are: some 4 KiB, most of which nobody here needs. */
const ENVIRONMENT = Array.from({ length: 24 }, (_, at) => ({
  name: `SETTING_${at}`,
  value: `value of the setting ${at}, as long as they are`,
}));

export function podObject(pod: PodPlace, version: number): object {
  const name = serviceName(pod.service);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: podName(pod),
      namespace: namespaceOf(pod.service),
      uid: podName(pod),
      resourceVersion: String(version),
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { app: name, 'pod-template-hash': '6d5f8c9b7d', 'sluice.io/control-plane-ns': 'sluice' },
      annotations: { 'sluice.io/proxy-version': '0.1.0' },
      ownerReferences: [
        {
          apiVersion: 'apps/v1',
          kind: 'ReplicaSet',
          name: `${name}-6d5f8c9b7d`,
          controller: true,
          uid: `r-${pod.service}`,
        },
      ],
    },
    spec: {
      nodeName: nodeOf(pod.number),
      serviceAccountName: name,
      initContainers: [
        {
          name: 'sluice-proxy',
          image: 'sluice:0.1.0',
          restartPolicy: 'Always',
          ports: [
            { name: 'sluice-proxy', containerPort: 4143 },
            { name: 'sluice-admin', containerPort: 4191 },
          ],
          env: [...ENVIRONMENT, { name: 'SLUICE_IDENTITY_NAME', value: `${name}` }],
        },
      ],
      containers: [{ name, image: `${name}:1`, ports: [{ name: 'http', containerPort: PORT }], env: ENVIRONMENT }],
    },
    status: {
      phase: 'Running',
      podIP: podIp(pod),
      podIPs: [{ ip: podIp(pod) }],
      hostIP: '192.168.0.1',
      conditions: [{ type: 'Ready', status: 'True' }],
      initContainerStatuses: [{ name: 'sluice-proxy', started: true, ready: true, state: { running: {} } }],
    },
  };
}

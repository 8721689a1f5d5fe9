// Pods as the injector makes them, written by hand, so that what runs in them can be tested without it; and pods that it left alone.

import { injectPod } from '../../src/inject/inject-pod.js';
import type { Installation } from '../../src/inject/installation.js';
import { APPLICATION, PORT } from '../e2e/pods-application.js';
import type { ContainerSpec, EnvVar, Pod, Probe, Volume } from './pod-objects.js';

export interface PodOptions {
  readonly namespace?: string;
  readonly account?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly volumes?: readonly Volume[];
  /** Instead of the application of the tests. */
  readonly containers?: readonly ContainerSpec[];
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  readonly graceSeconds?: number;
}

export interface Meshing {
  readonly initArgs?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** What the control port of applications needs: it is for the tests, not for the mesh. */
const SKIPPED = [
  '--inbound-ports-to-ignore',
  `${PORT.CONTROL},${PORT.SKIPPED}`,
  '--outbound-ports-to-ignore',
  `${PORT.SKIPPED}`,
];

const NO_RIGHTS = {
  runAsUser: 2102,
  runAsGroup: 2102,
  readOnlyRootFilesystem: true,
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
} as const;

const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const page = (path: string): Probe => ({ httpGet: { path, port: 'sluice-admin' } });

function proxyOf({ env = {} }: Meshing): ContainerSpec {
  return {
    name: 'sluice-proxy',
    image: 'sluice:test',
    args: ['run', '--sidecar'],
    env: [
      field('POD_NAME', 'metadata.name'),
      ...Object.entries({ SLUICE_LOG_ACCESS: 'true', ...env }).map(([name, value]) => ({ name, value })),
    ],
    ports: [
      { name: 'sluice-proxy', containerPort: 4143 },
      { name: 'sluice-admin', containerPort: 4191 },
    ],
    restartPolicy: 'Always',
    startupProbe: { ...page('/ready'), periodSeconds: 1, failureThreshold: 120 },
    livenessProbe: { ...page('/live'), initialDelaySeconds: 10 },
    readinessProbe: { ...page('/ready'), periodSeconds: 2 },
    securityContext: NO_RIGHTS,
  };
}

/** The application of the tests; `args` are its own. */
export const application = (...args: string[]): ContainerSpec => ({
  name: 'application',
  image: 'node:lts',
  args: [APPLICATION, ...args],
  ports: [
    { name: 'http', containerPort: PORT.HTTP },
    { name: 'control', containerPort: PORT.CONTROL },
  ],
  readinessProbe: { httpGet: { path: '/probe', port: 'http' } },
  startupProbe: { tcpSocket: { port: 'control' }, periodSeconds: 1, failureThreshold: 60 },
});

/** A pod without a proxy. */
export function plainPod(name: string, options: PodOptions = {}): Pod {
  const { namespace = 'default', account = 'default', labels = { app: name }, volumes = [] } = options;
  return {
    metadata: { name, namespace, labels, annotations: {} },
    spec: {
      containers: options.containers ?? [application()],
      volumes,
      serviceAccountName: account,
      restartPolicy: options.restartPolicy ?? 'Always',
      terminationGracePeriodSeconds: options.graceSeconds ?? 30,
    },
  };
}

/** A pod with one. */
export function meshedPod(name: string, meshing: Meshing = {}, options: PodOptions = {}): Pod {
  const { metadata, spec } = plainPod(name, options);
  const init: ContainerSpec = {
    name: 'sluice-init',
    image: 'sluice:test',
    args: ['init', '--proxy-uid', '2102', ...SKIPPED, ...(meshing.initArgs ?? [])],
    securityContext: {
      runAsUser: 0,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { add: ['NET_ADMIN', 'NET_RAW'], drop: ['ALL'] },
    },
    volumeMounts: [{ name: 'sluice-init-lock', mountPath: '/run' }],
  };
  return {
    metadata,
    spec: {
      ...spec,
      initContainers: [init, proxyOf(meshing)],
      volumes: [...(spec.volumes ?? []), { name: 'sluice-init-lock', emptyDir: {} }],
    },
  };
}

/** A pod as the injector makes it, by these annotations; what is wrong with them fails. */
export function injectedPod(pod: Pod, mesh: Installation, annotations: Readonly<Record<string, string>> = {}): Pod {
  const { metadata } = pod;
  const skipped = {
    'config.linkerd.io/skip-inbound-ports': `${PORT.CONTROL},${PORT.SKIPPED}`,
    'config.linkerd.io/skip-outbound-ports': `${PORT.SKIPPED}`,
    'config.linkerd.io/access-log': 'true',
  };
  const annotated = { ...pod, metadata: { ...metadata, annotations: { ...skipped, ...annotations } } };
  const context = { mesh, namespace: metadata.namespace, namespaceAnnotations: {}, asked: true };
  const { pod: injected, refusal, problems } = injectPod({ ...annotated }, context);
  if (injected === null) throw new Error(JSON.stringify(refusal));
  const wrong = problems.filter(({ severity }) => severity === 'warning');
  if (wrong.length > 0) throw new Error(wrong.map(({ message }) => message).join('; '));
  return injected as unknown as Pod;
}

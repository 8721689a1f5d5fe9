// Pods as Kubernetes writes them, as far as the tests' kubelet reads them, and what follows from their fields alone.

export interface FieldSelector {
  readonly fieldPath: string;
}

export interface KeySelector {
  readonly name: string;
  readonly key: string;
  readonly optional?: boolean;
}

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: FieldSelector;
    readonly resourceFieldRef?: {
      readonly resource: string;
      readonly divisor?: string;
      readonly containerName?: string;
    };
    readonly configMapKeyRef?: KeySelector;
    readonly secretKeyRef?: KeySelector;
  };
}

export interface Handler {
  readonly exec?: { readonly command: readonly string[] };
  readonly httpGet?: { readonly path?: string; readonly port: number | string; readonly scheme?: string };
  readonly tcpSocket?: { readonly port: number | string };
  /** The port of grpc.health.v1. */
  readonly grpc?: { readonly port: number };
  readonly sleep?: { readonly seconds: number };
}

export interface Probe extends Handler {
  readonly initialDelaySeconds?: number;
  readonly periodSeconds?: number;
  readonly timeoutSeconds?: number;
  readonly failureThreshold?: number;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly readOnlyRootFilesystem?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly privileged?: boolean;
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly { readonly prefix?: string; readonly configMapRef?: { readonly name: string } }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly resources?: { readonly limits?: Quantities; readonly requests?: Quantities };
  readonly restartPolicy?: 'Always';
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly lifecycle?: { readonly postStart?: Handler; readonly preStop?: Handler };
  readonly securityContext?: SecurityContext;
  readonly volumeMounts?: readonly VolumeMount[];
}

type Quantities = Readonly<Record<string, string | number>>;

export interface VolumeMount {
  readonly name: string;
  readonly mountPath: string;
  readonly subPath?: string;
  readonly readOnly?: boolean;
}

interface Item {
  readonly key: string;
  readonly path: string;
}

export interface ProjectedSource {
  readonly serviceAccountToken?: {
    readonly audience?: string;
    readonly expirationSeconds?: number;
    readonly path: string;
  };
  readonly configMap?: { readonly name: string; readonly items?: readonly Item[]; readonly optional?: boolean };
  readonly secret?: { readonly name: string; readonly items?: readonly Item[]; readonly optional?: boolean };
  readonly downwardAPI?: { readonly items?: readonly { readonly path: string; readonly fieldRef?: FieldSelector }[] };
}

export interface CsiVolume {
  readonly driver: string;
  readonly volumeAttributes?: Readonly<Record<string, string>>;
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: object;
  readonly hostPath?: { readonly path: string };
  readonly configMap?: { readonly name: string; readonly items?: readonly Item[]; readonly optional?: boolean };
  readonly secret?: { readonly secretName: string; readonly items?: readonly Item[]; readonly optional?: boolean };
  readonly downwardAPI?: ProjectedSource['downwardAPI'];
  readonly projected?: { readonly sources?: readonly ProjectedSource[] };
  readonly csi?: CsiVolume;
}

export interface PodSpec {
  readonly initContainers?: readonly ContainerSpec[];
  readonly containers: readonly ContainerSpec[];
  readonly volumes?: readonly Volume[];
  readonly restartPolicy?: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds?: number;
  readonly serviceAccountName?: string;
  readonly nodeName?: string;
  readonly enableServiceLinks?: boolean;
  readonly securityContext?: SecurityContext;
}

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
    readonly deletionGracePeriodSeconds?: number;
  };
  readonly spec: PodSpec;
}

/** Where a pod is, which its containers may ask for. */
export interface Place {
  readonly node: string;
  readonly hostIp: string;
  /** IPv4 first. */
  readonly ips: readonly string[];
}

const ENTRY = /^metadata\.(labels|annotations)\['(.*)'\]$/;

/** The value of `fieldRef`. */
export function fieldOf({ metadata, spec }: Pod, place: Place, path: string): string {
  const entry = ENTRY.exec(path);
  if (entry !== null) return metadata[entry[1] === 'labels' ? 'labels' : 'annotations']?.[entry[2]] ?? '';
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': metadata.name,
    'metadata.namespace': metadata.namespace,
    'metadata.uid': metadata.uid ?? '',
    'spec.nodeName': place.node,
    'spec.serviceAccountName': spec.serviceAccountName ?? 'default',
    'status.podIP': place.ips[0],
    'status.podIPs': place.ips.join(','),
    'status.hostIP': place.hostIp,
  };
  if (!(path in fields)) throw new Error(`the tests' kubelet knows no field ${path}`);
  return fields[path];
}

/** `$(NAME)` of what is known; `$$(NAME)` is `$(NAME)` itself, and what is unknown stays. */
export const expand = (text: string, known: ReadonlyMap<string, string>): string =>
  text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (all, name: string | undefined) =>
    name === undefined ? '$' : (known.get(name) ?? all),
  );

const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** A quantity as a number: `100m`, `64Mi`. */
export function quantity(text: string | number): number {
  const match = /^([\d.]+)([a-zA-Z]*)$/.exec(String(text));
  if (match === null || (match[2] !== '' && !(match[2] in UNITS))) throw new Error(`${text} is not a quantity`);
  return Number(match[1]) * (UNITS[match[2]] ?? 1);
}

/** `limits.cpu` of a container, rounded up as Kubernetes does; 0 where it has none, though there the node's own would be said. */
export function resourceOf({ resources }: ContainerSpec, resource: string, divisor = '1'): string {
  const [kind, name] = resource.split('.');
  const value = kind === 'limits' ? resources?.limits?.[name] : resources?.requests?.[name];
  return String(Math.ceil(quantity(value ?? 0) / quantity(divisor)));
}

/** A number, or the name of a container's port. */
export function portOf({ ports = [] }: ContainerSpec, port: number | string): number {
  const found = ports.find(({ name }) => name === port)?.containerPort ?? Number(port);
  if (Number.isNaN(found)) throw new Error(`no container port ${port}`);
  return found;
}

export const isSidecar = ({ restartPolicy }: ContainerSpec): boolean => restartPolicy === 'Always';

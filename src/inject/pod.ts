// The properties of a pod that matter to the injector.
import { MAX_PROBES, parseProbeList } from '../config/lists.js';
import { attempt } from '../config/values.js';
import { asMap, isMap, mapsIn, type PlainMap, textOf, textsOf, valueAt } from './plain.js';

/** A pod, or the template of one: both have `metadata` and `spec`. */
export interface PodView {
  readonly annotations: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: PlainMap;
  readonly containers: readonly PlainMap[];
  readonly initContainers: readonly PlainMap[];
}

export function podView(pod: PlainMap): PodView {
  const spec = asMap(pod.spec);
  return {
    annotations: textsOf(valueAt(pod, ['metadata', 'annotations'])),
    labels: textsOf(valueAt(pod, ['metadata', 'labels'])),
    spec,
    containers: mapsIn(spec.containers),
    initContainers: mapsIn(spec.initContainers),
  };
}

/** Init containers that keep running (`restartPolicy: Always`), and the containers. */
export const lasting = ({ containers, initContainers }: PodView): readonly PlainMap[] => [
  ...initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always'),
  ...containers,
];

const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) > 0 && Number(value) < 65_536;

const isTcp = ({ protocol }: PlainMap): boolean => protocol === undefined || protocol === null || protocol === 'TCP';

/** Ports of the pod's containers by their names. */
export function portNames(pod: PodView): Map<string, number[]> {
  const names = new Map<string, number[]>();
  for (const container of lasting(pod)) {
    for (const port of mapsIn(container.ports)) {
      const name = textOf(port.name);
      if (name === '' || !isPort(port.containerPort) || !isTcp(port)) continue;
      names.set(name, [...(names.get(name) ?? []), port.containerPort]);
    }
  }
  return names;
}

/** Declared ports, TCP and others. */
export function declaredPorts(pod: PodView): { readonly tcp: readonly number[]; readonly others: readonly string[] } {
  const ports = lasting(pod).flatMap(({ ports: list }) => mapsIn(list).filter((port) => isPort(port.containerPort)));
  return {
    tcp: ports.filter(isTcp).map(({ containerPort }) => Number(containerPort)),
    others: ports
      .filter((port) => !isTcp(port))
      .map(({ containerPort, protocol }) => `${containerPort}/${textOf(protocol)}`),
  };
}

/** In the configuration's notation; null if no rule can be written, so that the pod's policy applies. */
function probeText(port: number, path: string): string | null {
  const text = `${port}${path.replace(/\?.*$/, '')}`;
  const [probe, ...more] = attempt(() => parseProbeList(text)) ?? [];
  return probe === undefined || more.length > 0 ? null : text;
}

/** The kubelet's HTTP probes of the pod: `8080/healthz`. */
export function probes(pod: PodView): string[] {
  const found = new Set<string>();
  for (const container of lasting(pod)) {
    const names = new Map(mapsIn(container.ports).map(({ name, containerPort }) => [name, containerPort]));
    const lifecycle = asMap(container.lifecycle);
    const askers = [container.livenessProbe, container.readinessProbe, container.startupProbe];
    for (const asker of [...askers, lifecycle.postStart, lifecycle.preStop]) {
      const http = asMap(asker).httpGet;
      if (!isMap(http) || (http.scheme !== undefined && http.scheme !== 'HTTP')) continue;
      const port = typeof http.port === 'string' && !/^\d+$/.test(http.port) ? names.get(http.port) : Number(http.port);
      const text = isPort(port) ? probeText(port, textOf(http.path) || '/') : null;
      if (text !== null) found.add(text);
    }
  }
  return [...found].slice(0, MAX_PROBES);
}

/** Its service account; `serviceAccount` is the older name of the field. */
export const accountOf = ({ spec }: PodView): string =>
  textOf(spec.serviceAccountName) || textOf(spec.serviceAccount) || 'default';

/** The pod's grace period, seconds. */
export function graceSeconds({ spec }: PodView): number {
  const { terminationGracePeriodSeconds: seconds } = spec;
  return typeof seconds === 'number' && seconds >= 0 ? seconds : 30;
}

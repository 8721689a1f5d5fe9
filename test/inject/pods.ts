// Pods and what installations say, for the tests of the injector.

import { type Injection, type InjectionContext, injectPod } from '../../src/inject/inject-pod.js';
import { type Installation, installation } from '../../src/inject/installation.js';
import { asMap, mapsIn, type PlainMap } from '../../src/inject/plain.js';
import { problemText } from '../../src/inject/problem.js';

export const ANCHORS = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

export const mesh = (changes: Partial<Installation> = {}): Installation =>
  installation('1.2.3', { trustAnchors: ANCHORS, image: 'registry.test/sluice:1.2.3', ...changes });

export const container = (more: PlainMap = {}): PlainMap => ({
  name: 'app',
  image: 'app:1',
  ports: [
    { name: 'http', containerPort: 8080 },
    { name: 'mysql', containerPort: 4406 },
  ],
  ...more,
});

export const pod = (annotations: PlainMap = {}, spec: PlainMap = {}): PlainMap => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'web', annotations: { 'linkerd.io/inject': 'enabled', ...annotations } },
  spec: { containers: [container()], ...spec },
});

export const context = (changes: Partial<InjectionContext> = {}): InjectionContext => ({
  mesh: mesh(),
  namespace: 'shop',
  namespaceAnnotations: {},
  asked: false,
  ...changes,
});

/** The pod with its proxy; fails where there is none. */
export function injected(
  from: PlainMap,
  changes: Partial<InjectionContext> = {},
): Injection & { readonly pod: PlainMap } {
  const result = injectPod(from, context(changes));
  if (result.pod === null) throw new Error(result.refusal.message);
  return result;
}

const containers = (from: PlainMap): readonly PlainMap[] => {
  const spec = asMap(from.spec);
  return [...mapsIn(spec.initContainers), ...mapsIn(spec.containers)];
};

export function containerOf(from: PlainMap, name: string): PlainMap {
  const found = containers(from).find((it) => it.name === name);
  if (found === undefined) throw new Error(`no container ${name}`);
  return found;
}

/** Variables of the proxy with a text. */
export const variablesOf = (from: PlainMap): Readonly<Record<string, string>> =>
  Object.fromEntries(mapsIn(containerOf(from, 'sluice-proxy').env).map(({ name, value }) => [name, value]));

/** `--name value …` of the init container, as a map. */
export function initOptions(from: PlainMap): Readonly<Record<string, string>> {
  const [command, ...options] = containerOf(from, 'sluice-init').args as string[];
  if (command !== 'init') throw new Error(command);
  const found: Record<string, string> = {};
  for (let index = 0; index < options.length; index += 2) found[options[index]] = options[index + 1];
  return found;
}

/** Problems of a pod with these annotations, as sentences. */
export const problems = (annotations: PlainMap, spec: PlainMap = {}, severity = 'warning'): string[] =>
  injected(pod(annotations, spec))
    .problems.filter((problem) => problem.severity === severity)
    .map(problemText);

/** Ports of the pod that its proxy relays without detection. */
export const opaque = (annotations: PlainMap, namespaceAnnotations: Record<string, string> = {}): string =>
  variablesOf(injected(pod(annotations), { namespaceAnnotations }).pod).SLUICE_SIDECAR_OPAQUE_PORTS;

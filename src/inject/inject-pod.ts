// Adds a proxy to a pod, or to the template of one. Pure: the input is not changed.

import { CONTROL_PLANE_LABEL } from '../kubernetes/names.js';
import { initContainer, proxyContainer, volumes } from './containers.js';
import type { Installation } from './installation.js';
import { type Layer, Layers } from './layers.js';
import { VERSION_ANNOTATION } from './names.js';
import { asList, asMap, type PlainMap, withEntries } from './plain.js';
import { accountOf, declaredPorts, graceSeconds, type PodView, podView, portNames, probes } from './pod.js';
import type { InjectProblem } from './problem.js';
import { injectSetting, notRequested, type Refusal, unsupported } from './refusals.js';
import { inheritedOpaque } from './service.js';
import { readSettings, type Settings } from './settings.js';
import { parseBoolean } from './values.js';

export interface InjectionContext {
  readonly mesh: Installation;
  /** The pod's namespace; empty if unknown. */
  readonly namespace: string;
  readonly namespaceAnnotations: Readonly<Record<string, string>>;
  /** Injection was requested explicitly, without an annotation. An annotation that disables it still counts. */
  readonly asked: boolean;
}

export type Injection =
  | { readonly pod: PlainMap; readonly refusal: null; readonly problems: readonly InjectProblem[] }
  | { readonly pod: null; readonly refusal: Refusal; readonly problems: readonly InjectProblem[] };

export const namespaceLayer = (name: string, annotations: Layer['annotations']): Layer => ({
  object: name === '' ? 'its namespace' : `namespace ${name}`,
  annotations,
  namesPorts: false,
});

/** The layers for a pod: itself, its namespace, and the installation. */
export const layersOf = (view: PodView, { mesh, namespace, namespaceAnnotations }: InjectionContext): Layer[] => [
  { object: 'the pod', annotations: view.annotations, namesPorts: true },
  namespaceLayer(namespace, namespaceAnnotations),
  { object: 'the installation', annotations: mesh.annotations, namesPorts: false },
];

/** Why it can't be injected; null if it can. */
export function refusalOf(view: PodView, context: InjectionContext): Refusal | null {
  const layers = layersOf(view, context);
  const wish = notRequested(layers);
  if (wish !== null && !(context.asked && wish.reason === 'not-asked')) return wish;
  const projects = new Layers(layers, new Map()).value('project-token', parseBoolean) ?? false;
  const { trustAnchors, csiIssuer } = context.mesh;
  return unsupported(view, projects || trustAnchors === null || csiIssuer !== null);
}

/** Settings that apply, but may not mean what people think. */
function remarks(view: PodView, settings: Settings, layers: readonly Layer[]): InjectProblem[] {
  const found: InjectProblem[] = [];
  const tell = (severity: 'warning' | 'note', annotation: string, entry: string, message: string): void => {
    found.push({ object: 'the pod', annotation, entry, message, severity });
  };
  const wish = injectSetting(layers);
  if (wish?.value === 'ingress')
    found.push({
      ...wish,
      entry: wish.value,
      severity: 'note',
      message: 'ingress means the same as enabled: the original destination of a request decides where it goes',
    });
  const { tcp, others } = declaredPorts(view);
  if (others.length > 0)
    tell('note', 'ports', others.join(','), `${others.join(', ')}: only TCP goes through the proxy`);
  const own = Object.values(settings.ports).filter((port) => tcp.includes(port));
  if (own.length > 0)
    tell(
      'warning',
      'ports',
      own.join(','),
      `port ${own.join(', ')} is the proxy's own; give the application or the proxy another`,
    );
  const podUser = asMap(view.spec.securityContext).runAsUser;
  const asProxy = [...view.initContainers, ...view.containers].filter(
    ({ securityContext }) => (asMap(securityContext).runAsUser ?? podUser) === settings.uid,
  );
  for (const { name } of asProxy)
    tell(
      'warning',
      'runAsUser',
      String(name),
      `container ${String(name)} runs as user ${settings.uid}, as the proxy does: what it dials bypasses the proxy`,
    );
  const jobs = ['Never', 'OnFailure'].includes(String(view.spec.restartPolicy));
  if (jobs && !settings.native)
    tell(
      // Whoever turned it on knows.
      settings.adminShutdown ? 'note' : 'warning',
      'proxy-enable-native-sidecar',
      'false',
      'the pod ends only when the proxy does: call POST /shutdown of its admin port (proxy-admin-shutdown: enabled), or make it a native sidecar',
    );
  return found;
}

/** Within the API server's limits: a sleep is at most the pod's grace period. */
function bounded(settings: Settings, view: PodView, layers: Layers): Settings {
  const grace = graceSeconds(view);
  const { waitBeforeExitSeconds: wait, native } = settings;
  if (native || wait <= grace) return settings;
  layers.refuse(
    'proxy-wait-before-exit-seconds',
    `${wait} s is longer than the ${grace} s that the pod has to end (terminationGracePeriodSeconds), which applies`,
  );
  return { ...settings, waitBeforeExitSeconds: grace };
}

/** A list with `added` in front, or at the end. */
function joined(list: unknown, added: readonly PlainMap[], where: 'first' | 'last'): readonly unknown[] {
  return where === 'first' ? [...added, ...asList(list)] : [...asList(list), ...added];
}

function injected(pod: PlainMap, settings: Settings, view: PodView, context: InjectionContext): PlainMap {
  const { mesh } = context;
  const init = initContainer(settings, mesh);
  const proxy = proxyContainer(settings, probes(view), mesh);
  const { spec } = view;
  // A native sidecar runs before the application's own init containers, which are then in the mesh. Otherwise their connections would be
  // redirected to nobody, so the rules are installed after them.
  const init1 = settings.native
    ? joined(spec.initContainers, [init, proxy], 'first')
    : joined(spec.initContainers, [init], 'last');
  const marked = withEntries(
    withEntries(pod, ['metadata', 'annotations'], {
      ...inheritedOpaque(view.annotations, context.namespaceAnnotations),
      [VERSION_ANNOTATION]: mesh.version,
    }),
    ['metadata', 'labels'],
    { [CONTROL_PLANE_LABEL]: mesh.namespace },
  );
  return {
    ...marked,
    spec: {
      ...spec,
      initContainers: init1,
      containers: settings.native ? spec.containers : joined(spec.containers, [proxy], 'first'),
      volumes: joined(spec.volumes, volumes(settings, mesh, accountOf(view)), 'first'),
    },
  };
}

export function injectPod(pod: PlainMap, context: InjectionContext): Injection {
  const view = podView(pod);
  const refusal = refusalOf(view, context);
  if (refusal !== null) return { pod: null, refusal, problems: [] };
  const sources = layersOf(view, context);
  const layers = new Layers(sources, portNames(view));
  const settings = bounded(readSettings(layers), view, layers);
  layers.tellOthers();
  const problems = [...layers.problems, ...remarks(view, settings, sources)];
  return { pod: injected(pod, settings, view, context), refusal: null, problems };
}

// Workloads: their pods, and whether these have a proxy.
import { layersOf, refusalOf } from '../../inject/inject-pod.js';
import { installation } from '../../inject/installation.js';
import { Layers, type PortNames } from '../../inject/layers.js';
import { type PlainMap, textOf, textsOf, valueAt } from '../../inject/plain.js';
import { podView, portNames } from '../../inject/pod.js';
import { isOurs } from '../../inject/refusals.js';
import { readSettings, type Settings } from '../../inject/settings.js';
import { ADMIN_PORT_NAME, INBOUND_PORT_NAME } from '../../kubernetes/names.js';
import { isOwned, objectText, podTemplate, type SourcedObject } from '../objects.js';
import type { Labels } from './selector.js';

export interface Workload {
  /** `Deployment shop/web`. */
  readonly text: string;
  readonly namespace: string;
  /** Of its pods. */
  readonly labels: Labels;
  /** Ports of its containers by name. */
  readonly names: PortNames;
  /** Settings of its proxy; null: it has none, and gets none. */
  readonly proxy: Settings | null;
}

/** A label of every namespace, with its name. */
const NAME_LABEL = 'kubernetes.io/metadata.name';

interface Said {
  readonly labels: Labels;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Namespaces in the manifests. */
export class Namespaces {
  readonly #known = new Map<string, Said>();

  constructor(objects: readonly SourcedObject[]) {
    for (const { object } of objects) {
      if (object.kind !== 'Namespace') continue;
      const [labels, annotations] = ['labels', 'annotations'].map((key) => textsOf(valueAt(object, ['metadata', key])));
      this.#known.set(textOf(valueAt(object, ['metadata', 'name'])), { labels, annotations });
    }
  }

  labels(name: string): Labels {
    return { ...this.#known.get(name)?.labels, [NAME_LABEL]: name };
  }

  annotations(name: string): Readonly<Record<string, string>> {
    return this.#known.get(name)?.annotations ?? {};
  }
}

function workload(object: PlainMap, template: PlainMap, namespace: string, namespaces: Namespaces): Workload {
  const view = podView(template);
  // Whether a pod has a token depends partly on objects outside the manifests, so one that asks for a proxy is checked in any case.
  const context = {
    mesh: installation(''),
    namespace,
    namespaceAnnotations: namespaces.annotations(namespace),
    asked: false,
  };
  const refusal = refusalOf(view, context);
  const names = portNames(view);
  const meshed = refusal === null || [...view.initContainers, ...view.containers].some(isOurs);
  const proxy = meshed ? readSettings(new Layers(layersOf(view, context), names)) : null;
  if (proxy !== null) names.set(INBOUND_PORT_NAME, [proxy.ports.inbound]).set(ADMIN_PORT_NAME, [proxy.ports.admin]);
  return { text: objectText(object, namespace), namespace, labels: view.labels, names, proxy };
}

export function workloadsIn(objects: readonly SourcedObject[], namespace: string, namespaces: Namespaces): Workload[] {
  return objects.flatMap(({ object }) => {
    const template = podTemplate(object);
    if (template === null || isOwned(object)) return [];
    const own = textOf(valueAt(object, ['metadata', 'namespace'])) || namespace;
    return [workload(object, template, own, namespaces)];
  });
}

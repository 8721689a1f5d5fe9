// Kubernetes objects, with their source.
import { type Manifest, objectsOf } from '../inject/manifests.js';
import { asMap, mapsIn, type PlainMap, textOf, valueAt } from '../inject/plain.js';
import { roleOf } from '../inject/workloads.js';

export interface SourcedObject {
  /** The file, or the cluster. */
  readonly source: string;
  readonly object: PlainMap;
}

export const sourced = (manifest: Manifest): SourcedObject[] =>
  objectsOf(manifest).map(({ value }) => ({ source: manifest.file, object: value }));

/** `Deployment shop/web`; without a namespace, `Namespace shop`. */
export function objectText(object: PlainMap, namespace: string): string {
  const name =
    textOf(valueAt(object, ['metadata', 'name'])) || textOf(valueAt(object, ['metadata', 'generateName'])) || '?';
  return `${textOf(object.kind)} ${namespace === '' ? '' : `${namespace}/`}${name}`;
}

/** The pod template of a workload; null if it is not one. */
export function podTemplate(object: PlainMap): PlainMap | null {
  const role = roleOf(object);
  return role.kind === 'pods' ? asMap(valueAt(object, role.path)) : null;
}

/** Whether another object owns it, which is checked instead. */
export const isOwned = (object: PlainMap): boolean =>
  mapsIn(valueAt(object, ['metadata', 'ownerReferences'])).some(({ controller }) => controller === true);

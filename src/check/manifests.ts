// Objects of Kubernetes from files, folders and the standard input: YAML with several documents, JSON, and lists.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { asMap, at, isMap, mapsIn, type PlainMap, textOf } from '../inject/plain.js';
import type { ObjectProblem } from './finding.js';

export interface SourcedObject {
  /** The file. */
  readonly source: string;
  readonly object: PlainMap;
}

export interface Manifests {
  readonly objects: readonly SourcedObject[];
  readonly problems: readonly ObjectProblem[];
}

const MANIFEST = /\.(ya?ml|json)$/i;
/** It tells kustomize what to do, and is no object. */
const KUSTOMIZATION = /^kustomization(\.ya?ml)?$/i;

/** `Deployment shop/web`; of what has no namespace, `Namespace shop`. */
export function objectText(object: PlainMap, namespace: string): string {
  const name = textOf(at(object, ['metadata', 'name'])) || textOf(at(object, ['metadata', 'generateName'])) || '?';
  return `${textOf(object.kind)} ${namespace === '' ? '' : `${namespace}/`}${name}`;
}

/** The files that a path stands for, in the order of their names. */
function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const file = join(path, entry.name);
    if (entry.isDirectory()) return filesOf(file);
    return MANIFEST.test(entry.name) && !KUSTOMIZATION.test(entry.name) ? [file] : [];
  });
}

/** Objects of a text; a list is its items. */
export function objectsOf(text: string, source: string): Manifests {
  const objects: SourcedObject[] = [];
  const problems: ObjectProblem[] = [];
  const tell = (object: string, message: string): void => {
    problems.push({ source, object, path: '', message });
  };
  const take = (value: unknown, which: string): void => {
    if (!isMap(value) || textOf(value.kind) === '' || textOf(value.apiVersion) === '')
      tell(which, 'no object of Kubernetes: it has no apiVersion and kind');
    else if (textOf(value.kind).endsWith('List') && Array.isArray(value.items))
      value.items.forEach((item, i) => {
        // Items of a typed list, as API servers answer with, say neither kind nor version.
        const kind = textOf(value.kind).slice(0, -'List'.length);
        take(kind === '' ? item : { apiVersion: value.apiVersion, kind, ...asMap(item) }, `${which}, items[${i}]`);
      });
    else objects.push({ source, object: value });
  };
  const documents = parseAllDocuments(text);
  if (!Array.isArray(documents)) return { objects, problems };
  documents.forEach((document, i) => {
    const which = documents.length === 1 ? '' : `document ${i + 1}`;
    const [error] = document.errors;
    if (error !== undefined) {
      tell(which, error.message.split('\n')[0]);
      return;
    }
    try {
      const value: unknown = document.toJS();
      if (value !== null && value !== undefined) take(value, which);
    } catch (thrown) {
      tell(which, thrown instanceof Error ? thrown.message : String(thrown));
    }
  });
  return { objects, problems };
}

/** Objects of files, of all manifests in folders, and, for `-`, of the standard input. */
export function readManifests(paths: readonly string[]): Manifests {
  const objects: SourcedObject[] = [];
  const problems: ObjectProblem[] = [];
  const read = (path: string, descriptor: string | number): void => {
    const found = objectsOf(readFileSync(descriptor, 'utf8'), path);
    objects.push(...found.objects);
    problems.push(...found.problems);
  };
  for (const path of paths) {
    try {
      if (path === '-') read('(stdin)', 0);
      else for (const file of filesOf(path)) read(file, file);
    } catch (error) {
      problems.push({
        source: path,
        object: '',
        path: '',
        message: `cannot be read: ${error instanceof Error ? error.message : String(error)}`,
      });
    }
  }
  return { objects, problems };
}

/** The spec of a pod that a workload makes, and its labels; null where it is no workload. */
export function podTemplate(object: PlainMap): PlainMap | null {
  const spec = asMap(object.spec);
  switch (textOf(object.kind)) {
    case 'Pod':
      return object;
    case 'Deployment':
    case 'StatefulSet':
    case 'DaemonSet':
    case 'ReplicaSet':
    case 'ReplicationController':
    case 'Job':
      return asMap(spec.template);
    case 'CronJob':
      return asMap(at(spec, ['jobTemplate', 'spec', 'template']));
    default:
      return null;
  }
}

/** Whether something else makes it, which is looked at in its place. */
export const isOwned = (object: PlainMap): boolean =>
  mapsIn(at(object, ['metadata', 'ownerReferences'])).some(({ controller }) => controller === true);

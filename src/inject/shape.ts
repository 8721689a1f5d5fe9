// Whether an object has the shape of what it says it is, as far as the injector reads it: manifests are whatever somebody has written.
import { INJECT_NAMES } from '../kubernetes/names.js';
import { named } from './annotations.js';
import { at, isMap, type PlainMap } from './plain.js';
import type { InjectProblem } from './problem.js';

const isAbsent = (value: unknown): boolean => value === undefined || value === null;

/** Where `object` is no pod or template, below `path`; null where it may be one. A field that is missing is another's problem. */
function podMisfit(object: PlainMap, path: readonly string[]): string | null {
  const whole = [...path, 'spec'];
  for (let depth = 1; depth <= whole.length; depth++) {
    const here = whole.slice(0, depth);
    const value = at(object, here);
    if (!isMap(value)) return `${here.join('.')} is ${isAbsent(value) ? 'missing' : 'no map'}`;
  }
  for (const list of ['containers', 'initContainers', 'volumes']) {
    const here = [...path, 'spec', list];
    const items = at(object, here);
    if (isAbsent(items)) continue;
    if (!Array.isArray(items)) return `${here.join('.')} is no list`;
    const wrong = items.findIndex((item) => !isMap(item));
    if (wrong >= 0) return `${here.join('.')}[${wrong}] is no map`;
  }
  return null;
}

/** Where the metadata at `path` is none. */
function metadataMisfit(object: PlainMap, path: readonly string[]): string | null {
  for (const here of [['metadata'], ['metadata', 'annotations'], ['metadata', 'labels']]) {
    const value = at(object, [...path, ...here]);
    if (!isAbsent(value) && !isMap(value)) return `${[...path, ...here].join('.')} is no map`;
  }
  return null;
}

/** The first field that is not what it should be. `path` leads to the pod of a workload; null: there is none in this kind of object. */
export function misshapen(object: PlainMap, path: readonly string[] | null): string | null {
  const own = metadataMisfit(object, []);
  if (own !== null || path === null) return own;
  return podMisfit(object, path) ?? metadataMisfit(object, path);
}

/** Annotations of ours without their quotes: we know what is meant, and an API server refuses the object. */
export function unquoted(annotations: unknown, object: string): InjectProblem[] {
  if (!isMap(annotations)) return [];
  return Object.entries(annotations).flatMap(([annotation, value]): InjectProblem[] => {
    if (named(annotation) === null && !INJECT_NAMES.some((name) => name === annotation)) return [];
    if (typeof value === 'string' || isMap(value) || Array.isArray(value) || value === null) return [];
    const entry = String(value);
    const message = `${entry} is no text, and API servers take nothing else here: put it in quotes`;
    return [{ object, annotation, entry, message, severity: 'warning' }];
  });
}

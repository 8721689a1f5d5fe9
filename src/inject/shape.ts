// Checks that an object has the shape of its kind, as far as the injector reads it: manifests may contain anything.
import { INJECT_NAMES } from '../kubernetes/names.js';
import { named } from './annotations.js';
import { isMap, type PlainMap, valueAt } from './plain.js';
import type { InjectProblem } from './problem.js';

const isAbsent = (value: unknown): boolean => value === undefined || value === null;

/** Where `object` is not a valid pod or template, below `path`; null if it may be. Missing fields are checked elsewhere. */
function podShapeProblem(object: PlainMap, path: readonly string[]): string | null {
  const whole = [...path, 'spec'];
  for (let depth = 1; depth <= whole.length; depth++) {
    const here = whole.slice(0, depth);
    const value = valueAt(object, here);
    if (!isMap(value)) return `${here.join('.')} is ${isAbsent(value) ? 'missing' : 'not a map'}`;
  }
  for (const list of ['containers', 'initContainers', 'volumes']) {
    const here = [...path, 'spec', list];
    const items = valueAt(object, here);
    if (isAbsent(items)) continue;
    if (!Array.isArray(items)) return `${here.join('.')} is not a list`;
    const wrong = items.findIndex((item) => !isMap(item));
    if (wrong >= 0) return `${here.join('.')}[${wrong}] is not a map`;
  }
  return null;
}

/** Where the metadata at `path` is invalid. */
function metadataShapeProblem(object: PlainMap, path: readonly string[]): string | null {
  for (const here of [['metadata'], ['metadata', 'annotations'], ['metadata', 'labels']]) {
    const value = valueAt(object, [...path, ...here]);
    if (!isAbsent(value) && !isMap(value)) return `${[...path, ...here].join('.')} is not a map`;
  }
  return null;
}

/** The first invalid field. `path` leads to a workload's pod; null: this kind of object has none. */
export function shapeProblem(object: PlainMap, path: readonly string[] | null): string | null {
  const own = metadataShapeProblem(object, []);
  if (own !== null || path === null) return own;
  return podShapeProblem(object, path) ?? metadataShapeProblem(object, path);
}

/** Our annotations without quotes: the meaning is clear, but an API server refuses the object. */
export function unquoted(annotations: unknown, object: string): InjectProblem[] {
  if (!isMap(annotations)) return [];
  return Object.entries(annotations).flatMap(([annotation, value]): InjectProblem[] => {
    if (named(annotation) === null && !INJECT_NAMES.some((name) => name === annotation)) return [];
    if (typeof value === 'string' || isMap(value) || Array.isArray(value) || value === null) return [];
    const entry = String(value);
    const message = `${entry} is not a string, and API servers accept nothing else here; put it in quotes`;
    return [{ object, annotation, entry, message, severity: 'warning' }];
  });
}

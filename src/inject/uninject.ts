// Removes from an object what injection added.
import { CONTROL_PLANE_LABEL, INJECT_NAMES, PREFIXES } from '../kubernetes/names.js';
import type { ObjectReport } from './inject-object.js';
import { VERSION_ANNOTATION, VOLUMES } from './names.js';
import { asList, asMap, isMap, type PlainMap, valueAt, withValueAt } from './plain.js';
import { podView } from './pod.js';
import { foreignSidecar, isOurs } from './refusals.js';
import { roleOf } from './workloads.js';

function without(map: PlainMap, key: string): PlainMap {
  const { [key]: _gone, ...rest } = map;
  return rest;
}

/** `map` without rejected entries at `path`; maps that become empty are removed too. */
function kept(map: PlainMap, path: readonly string[], keep: (key: string, value: unknown) => boolean): PlainMap {
  const there = valueAt(map, path);
  if (!isMap(there)) return map;
  const rest = Object.fromEntries(Object.entries(there).filter(([key, value]) => keep(key, value)));
  if (Object.keys(rest).length === Object.keys(there).length) return map;
  return replaced(map, path, rest, Object.keys(rest).length === 0);
}

function replaced(map: PlainMap, path: readonly string[], value: unknown, isEmpty: boolean): PlainMap {
  if (!isEmpty) return withValueAt(map, path, value);
  const above = path.slice(0, -1);
  const parent = without(asMap(valueAt(map, above)), path[path.length - 1]);
  if (above.length === 0) return parent;
  return replaced(map, above, parent, Object.keys(parent).length === 0);
}

function withoutItems(map: PlainMap, path: readonly string[], isGone: (item: PlainMap) => boolean): PlainMap {
  const list = valueAt(map, path);
  const rest = asList(list).filter((item) => !isMap(item) || !isGone(item));
  if (!Array.isArray(list) || rest.length === list.length) return map;
  return replaced(map, path, rest, rest.length === 0);
}

/** An explicit "disabled" stays. */
const isAnnotation = (key: string, value: unknown): boolean =>
  PREFIXES.some((prefix) => key.startsWith(prefix)) ||
  key === VERSION_ANNOTATION ||
  (INJECT_NAMES.some((name) => name === key) && value !== 'disabled');

const unannotated = (object: PlainMap): PlainMap =>
  kept(object, ['metadata', 'annotations'], (key, value) => !isAnnotation(key, value));

function uninjectPod(pod: PlainMap): PlainMap {
  // The existing proxy uses its annotations.
  if (foreignSidecar(podView(pod))?.mesh === 'Linkerd') return pod;
  let after = kept(unannotated(pod), ['metadata', 'labels'], (key) => key !== CONTROL_PLANE_LABEL);
  for (const list of ['initContainers', 'containers']) after = withoutItems(after, ['spec', list], isOurs);
  return withoutItems(after, ['spec', 'volumes'], ({ name }) => VOLUMES.some((volume) => volume === name));
}

function uninjected(object: PlainMap): PlainMap {
  const role = roleOf(object);
  switch (role.kind) {
    case 'pods': {
      const template = valueAt(object, role.path);
      if (!isMap(template)) return object;
      const after = uninjectPod(template);
      return after === template ? object : role.path.length === 0 ? after : withValueAt(object, role.path, after);
    }
    case 'service':
    case 'namespace':
      return unannotated(object);
    case 'other':
      return object;
  }
}

/** One object of a manifest. */
export function uninjectObject(object: PlainMap): ObjectReport {
  const after = uninjected(object);
  const result = after === object ? 'skipped' : 'injected';
  return {
    object: after,
    result,
    reason: after === object ? 'other-kind' : null,
    message: 'nothing in it of ours',
    problems: [],
  };
}

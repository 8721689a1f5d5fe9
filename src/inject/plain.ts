// Objects of Kubernetes as JSON has them: whatever somebody has sent or written, so that nothing in them is what it should be until
// it was looked at. Nothing is changed in place: what changes is made anew, and the rest is shared.

export type PlainMap = Readonly<Record<string, unknown>>;

export const isMap = (value: unknown): value is PlainMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** The map that `value` is; an empty one where it is none. */
export const asMap = (value: unknown): PlainMap => (isMap(value) ? value : {});

export const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** The maps in a list. */
export const mapsIn = (value: unknown): readonly PlainMap[] => asList(value).filter(isMap);

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** What is at `path`; undefined where something on the way is no map. */
export function at(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path) {
    if (!isMap(here) || !Object.hasOwn(here, key)) return undefined;
    here = here[key];
  }
  return here;
}

/** `map` with `value` at `path`; what is missing on the way, or null, is made. */
export function withAt(map: PlainMap, [key, ...rest]: readonly string[], value: unknown): PlainMap {
  if (key === undefined) return asMap(value);
  return { ...map, [key]: rest.length === 0 ? value : withAt(asMap(map[key]), rest, value) };
}

/** `map` with all of `added`, at `path`; the same map where nothing is added. */
export function withEntries(map: PlainMap, path: readonly string[], added: PlainMap): PlainMap {
  const before = asMap(at(map, path));
  if (Object.entries(added).every(([key, value]) => before[key] === value)) return map;
  return withAt(map, path, { ...before, ...added });
}

/** The texts of a map of annotations or labels. A number or truth value that lacks its quotes is taken as it is written. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(asMap(value)))
    if (typeof text === 'string' || typeof text === 'number' || typeof text === 'boolean') texts[key] = String(text);
  return texts;
}

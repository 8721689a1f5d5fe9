// Kubernetes objects as plain JSON values. They come from anybody, so every field must be checked before use. Objects are never changed in
// place: changed parts are new, the rest is shared.

export type PlainMap = Readonly<Record<string, unknown>>;

export const isMap = (value: unknown): value is PlainMap =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** `value` if it is a map, else an empty one. */
export const asMap = (value: unknown): PlainMap => (isMap(value) ? value : {});

export const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

/** The maps in a list. */
export const mapsIn = (value: unknown): readonly PlainMap[] => asList(value).filter(isMap);

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The value at `path`; undefined if something on the way is not a map. */
export function valueAt(value: unknown, path: readonly string[]): unknown {
  let here = value;
  for (const key of path) {
    if (!isMap(here) || !Object.hasOwn(here, key)) return undefined;
    here = here[key];
  }
  return here;
}

/** `map` with `value` at `path`; missing or null maps on the way are created. */
export function withValueAt(map: PlainMap, [key, ...rest]: readonly string[], value: unknown): PlainMap {
  if (key === undefined) return asMap(value);
  return { ...map, [key]: rest.length === 0 ? value : withValueAt(asMap(map[key]), rest, value) };
}

/** `map` with all of `added` at `path`; the same map if nothing is added. */
export function withEntries(map: PlainMap, path: readonly string[], added: PlainMap): PlainMap {
  const before = asMap(valueAt(map, path));
  if (Object.entries(added).every(([key, value]) => before[key] === value)) return map;
  return withValueAt(map, path, { ...before, ...added });
}

/** The texts in a map of annotations or labels. A number or boolean without quotes is taken as written. */
export function textsOf(value: unknown): Readonly<Record<string, string>> {
  const texts: Record<string, string> = {};
  for (const [key, text] of Object.entries(asMap(value)))
    if (typeof text === 'string' || typeof text === 'number' || typeof text === 'boolean') texts[key] = String(text);
  return texts;
}

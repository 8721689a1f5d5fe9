// Lists of objects: `List`, whose items have their own kind, and lists of one kind, as returned by the API (`DeploymentList`).
import { isMap, type PlainMap, textOf } from './plain.js';

interface List {
  readonly items: readonly PlainMap[];
  /** Kind of items that do not have their own. */
  readonly implied: { readonly apiVersion: string; readonly kind: string } | null;
}

/** Null if the object is not a list. A custom resource may have a similar name and field. */
function listOf({ apiVersion, kind, items }: PlainMap): List | null {
  const name = textOf(kind);
  if (!name.endsWith('List') || !Array.isArray(items) || !items.every(isMap)) return null;
  const element = name.slice(0, -'List'.length);
  return { items, implied: element === '' ? null : { apiVersion: textOf(apiVersion), kind: element } };
}

const isSaid = ({ kind }: PlainMap): boolean => textOf(kind) !== '';

/** With its kind filled in, as an API server would do. */
const identified = (item: PlainMap, { implied }: List): PlainMap =>
  implied === null || isSaid(item) ? item : { ...item, ...implied };

/** All objects in it, including nested lists; the object itself if it is not a list. */
export function inside(value: PlainMap): PlainMap[] {
  const list = listOf(value);
  return list === null ? [value] : list.items.flatMap((item) => inside(identified(item, list)));
}

function changedItem(item: PlainMap, list: List, change: (object: PlainMap) => PlainMap): PlainMap {
  const whole = identified(item, list);
  const after = changed(whole, change);
  if (whole === item) return after;
  if (after === whole) return item;
  const own = Object.entries(after).filter(([key]) => Object.hasOwn(item, key) || !(key in (list.implied ?? {})));
  return Object.fromEntries(own);
}

/** An object with all its items changed; the same object if nothing changes. */
export function changed(value: PlainMap, change: (object: PlainMap) => PlainMap): PlainMap {
  const list = listOf(value);
  if (list === null) return change(value);
  const items = list.items.map((item) => changedItem(item, list, change));
  return items.every((item, index) => item === list.items[index]) ? value : { ...value, items };
}

/** The problem with a `List`, by its field; null if there is none. */
export function listShapeProblem(value: PlainMap): string | null {
  if (value.kind !== 'List' || value.apiVersion !== 'v1' || !Array.isArray(value.items)) return null;
  for (const [index, item] of (value.items as unknown[]).entries()) {
    if (!isMap(item)) return `items[${index}] is not a map`;
    for (const key of ['apiVersion', 'kind']) if (textOf(item[key]) === '') return `items[${index}] has no ${key}`;
    const wrong = listShapeProblem(item);
    if (wrong !== null) return `items[${index}].${wrong}`;
  }
  return null;
}

// The minimal changes that turn one object into another. Shared parts are recognised by identity.
import { isMap } from './plain.js';

export type Path = readonly (string | number)[];

export type Change =
  | { readonly kind: 'add'; readonly path: Path; readonly value: unknown }
  | { readonly kind: 'replace'; readonly path: Path; readonly value: unknown }
  | { readonly kind: 'remove'; readonly path: Path };

/** Whether two values are the same, part by part. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => same(item, b[index]));
  if (a instanceof Date) return b instanceof Date && a.getTime() === b.getTime();
  if (!isMap(a) || !isMap(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

function* inList(before: readonly unknown[], after: readonly unknown[], path: Path): Generator<Change> {
  if (before.length === after.length) {
    for (const [index, value] of after.entries()) yield* difference(before[index], value, [...path, index]);
    return;
  }
  // Unchanged items are identical objects, in the same order.
  let index = 0;
  const kept = new Set(after);
  const list = [...before];
  for (const value of after) {
    while (index < list.length && list[index] !== value && !kept.has(list[index])) {
      yield { kind: 'remove', path: [...path, index] };
      list.splice(index, 1);
    }
    if (list[index] !== value) {
      yield { kind: 'add', path: [...path, index], value };
      list.splice(index, 0, value);
    }
    index++;
  }
  for (; index < list.length; list.splice(index, 1)) yield { kind: 'remove', path: [...path, index] };
}

/** Changes that, made one after the other, turn `before` into `after`. */
export function* difference(before: unknown, after: unknown, path: Path = []): Generator<Change> {
  if (Object.is(before, after)) return;
  if (Array.isArray(before) && Array.isArray(after)) {
    yield* inList(before, after, path);
    return;
  }
  if (!isMap(before) || !isMap(after)) {
    if (!same(before, after)) yield { kind: 'replace', path, value: after };
    return;
  }
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) yield { kind: 'remove', path: [...path, key] };
  for (const [key, value] of Object.entries(after)) {
    if (!Object.hasOwn(before, key)) yield { kind: 'add', path: [...path, key], value };
    else yield* difference(before[key], value, [...path, key]);
  }
}

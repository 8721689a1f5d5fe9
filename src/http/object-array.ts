/**
 * An empty list of objects. V8 takes `[]` for a list of small integers until it gets its first object, and code that was compiled for lists
 * of objects, which a worker's rehearsal has seen, is discarded when it meets such a one.
 */
export function objectArray<T>(): T[] {
  const list: unknown[] = [null];
  list.pop();
  return list as T[];
}

// Reads a cluster's objects.
import type { ApiClient } from '../../kubernetes/client.js';
import { type JsonObject, objectIn, objectsIn, textIn } from '../../kubernetes/json.js';
import { ApiProblem } from '../../kubernetes/problem.js';

const NOT_FOUND = 404;
const PAGE = 500;

/** Null: it does not exist. */
export async function found(client: ApiClient, path: string): Promise<JsonObject | null> {
  try {
    return await client.get(path);
  } catch (error) {
    if (error instanceof ApiProblem && error.status === NOT_FOUND) return null;
    throw error;
  }
}

/** A whole collection, page by page. */
export async function all(client: ApiClient, path: string): Promise<JsonObject[]> {
  const items: JsonObject[] = [];
  let next: string | undefined;
  do {
    const page = await client.list(path, { limit: PAGE, continue: next });
    items.push(...page.items);
    next = page.next === '' ? undefined : page.next;
  } while (next !== undefined);
  return items;
}

export const metadataOf = (object: JsonObject): JsonObject => objectIn(object, 'metadata');

export const nameOf = (object: JsonObject): string => textIn(metadataOf(object), 'name');

/** `shop/web-0` */
export const longName = (object: JsonObject): string => `${textIn(metadataOf(object), 'namespace')}/${nameOf(object)}`;

/** A number in a field; 0 if there is none. */
export const numberIn = (object: JsonObject, field: string): number => {
  const value = object[field];
  return typeof value === 'number' ? value : 0;
};

/** Statuses of a pod's containers, including native sidecars. */
export const containerStates = (pod: JsonObject): JsonObject[] => {
  const status = objectIn(pod, 'status');
  return [...objectsIn(status, 'initContainerStatuses'), ...objectsIn(status, 'containerStatuses')];
};

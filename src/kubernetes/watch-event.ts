// Parses a line of a watch.
import { isObject, type JsonObject, objectIn, textIn } from './json.js';

export type WatchEvent =
  | { readonly kind: 'changed' | 'removed'; readonly object: JsonObject; readonly version: string }
  /** No changes up to this version. */
  | { readonly kind: 'bookmark'; readonly version: string }
  /** The watch is over, for this reason: a Status. */
  | { readonly kind: 'error'; readonly code: number; readonly reason: string; readonly message: string };

const versionOf = (object: JsonObject): string => textIn(objectIn(object, 'metadata'), 'resourceVersion');

/** Null: the line is not an event. */
export function readEvent(line: string): WatchEvent | null {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    return null;
  }
  if (!isObject(event) || !isObject(event.object)) return null;
  const { object } = event;
  const version = versionOf(object);
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
      return version === '' ? null : { kind: 'changed', object, version };
    case 'DELETED':
      return version === '' ? null : { kind: 'removed', object, version };
    case 'BOOKMARK':
      return version === '' ? null : { kind: 'bookmark', version };
    case 'ERROR':
      return {
        kind: 'error',
        code: typeof object.code === 'number' ? object.code : 0,
        reason: textIn(object, 'reason'),
        message: textIn(object, 'message'),
      };
    default:
      return null;
  }
}

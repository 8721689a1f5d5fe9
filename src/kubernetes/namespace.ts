// A namespace, as far as it says something of everything in it.
import { type JsonObject, objectIn, textIn } from './json.js';
import { setting } from './names.js';

export interface Namespace {
  readonly key: string;
  readonly uid: string;
  /** Text of the annotation; null: none. */
  readonly opaque: string | null;
}

export function readNamespace(object: JsonObject): Namespace | null {
  const metadata = objectIn(object, 'metadata');
  const key = textIn(metadata, 'name');
  if (key === '') return null;
  return { key, uid: textIn(metadata, 'uid'), opaque: setting(objectIn(metadata, 'annotations'), 'opaque-ports') };
}

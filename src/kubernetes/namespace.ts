// The properties of a namespace that matter to everything in it.
import { type JsonObject, objectIn, textIn } from './json.js';
import { setting } from './names.js';

export interface Namespace {
  readonly key: string;
  readonly uid: string;
  /** Text of the annotation; null: none. */
  readonly opaque: string | null;
  /** Those that concern meshes. */
  readonly annotations: Readonly<Record<string, string>>;
}

const MESHES = /^[a-z.]*\b(linkerd|sluice)\.io\//;

function forMeshes(annotations: JsonObject): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(annotations))
    if (typeof value === 'string' && MESHES.test(name)) found[name] = value;
  return found;
}

export function readNamespace(object: JsonObject): Namespace | null {
  const metadata = objectIn(object, 'metadata');
  const key = textIn(metadata, 'name');
  if (key === '') return null;
  const annotations = forMeshes(objectIn(metadata, 'annotations'));
  return { key, uid: textIn(metadata, 'uid'), opaque: setting(annotations, 'opaque-ports'), annotations };
}

// Lists every key of the schema by walking it: for environment variables, and for the test of the manual.
import { configSchema } from './schema.js';

export interface SchemaKey {
  /** Keys from the top; `[]` stands for list items, `*` for the names in a map. */
  readonly path: readonly string[];
  /** False for maps and lists. */
  readonly scalar: boolean;
  /** In the notation of the configuration; undefined without a default, or if the key has children. */
  readonly fallback: unknown;
}

/** The relevant parts of Valibot's schema objects. */
interface SchemaNode {
  readonly type: string;
  readonly wrapped?: SchemaNode;
  readonly default?: unknown;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly item?: SchemaNode;
  readonly value?: SchemaNode;
  readonly getter?: (input: unknown) => SchemaNode;
  readonly pipe?: readonly SchemaNode[];
}

/** The part of a schema that has children: the schema itself, or a step of its pipe. */
function withChildren(node: SchemaNode): SchemaNode | undefined {
  if ((node.entries ?? node.item ?? node.value) !== undefined) return node;
  for (const step of node.pipe ?? []) {
    const found = withChildren(step);
    if (found !== undefined) return found;
  }
  return undefined;
}

function walk(node: SchemaNode, path: readonly string[], fallback: unknown, keys: SchemaKey[]): void {
  // A lazy schema also has a short form; for an empty map it returns the long one.
  const inner = node.wrapped ?? node.getter?.({});
  if (inner !== undefined) {
    walk(inner, path, node.wrapped === undefined ? fallback : node.default, keys);
    return;
  }
  const { entries, item, value } = withChildren(node) ?? node;
  const scalar = entries === undefined && item === undefined && value === undefined;
  if (path.length > 0) keys.push({ path, scalar, fallback: scalar ? fallback : undefined });
  for (const [key, child] of Object.entries(entries ?? {})) walk(child, [...path, key], undefined, keys);
  if (item !== undefined) walk(item, [...path, '[]'], undefined, keys);
  if (value !== undefined) walk(value, [...path, '*'], undefined, keys);
}

/** All keys in the order of the schema. */
export function schemaKeys(): SchemaKey[] {
  const keys: SchemaKey[] = [];
  walk(configSchema as unknown as SchemaNode, [], undefined, keys);
  return keys;
}

// `<<` in YAML maps, which merges the keys of other maps. By the YAML specification a map's own keys win; in kubectl's reader the later one
// wins.
import { isAlias, isNode, isScalar, isSeq, isMap as isYamlMap, type Pair, visit, type YAMLMap } from 'yaml';
import type { YamlDocument } from './yaml-text.js';

export const isMerge = ({ key }: Pair): boolean => isScalar(key) && key.type === 'PLAIN' && key.source === '<<';

export const lastMerge = (map: YAMLMap): Pair | null => map.items.findLast(isMerge) ?? null;

/** Keys that a `<<` brings. */
class MergedKeys {
  readonly #anchors = new Map<string, unknown>();
  readonly #known = new Map<unknown, ReadonlySet<string>>();

  /** Aliases refer to earlier anchors. */
  add(anchor: string, node: unknown): void {
    this.#anchors.set(anchor, node);
  }

  keys(node: unknown): ReadonlySet<string> {
    const there = isAlias(node) ? this.#anchors.get(node.source) : node;
    const known = this.#known.get(there);
    if (known !== undefined) return known;
    const keys = new Set<string>();
    // A map may be merged into itself.
    this.#known.set(there, keys);
    const take = (from: unknown): void => {
      for (const key of this.keys(from)) keys.add(key);
    };
    if (isSeq(there)) for (const item of there.items) take(item);
    if (isYamlMap(there))
      for (const pair of there.items) {
        if (isMerge(pair)) take(pair.value);
        else if (isScalar(pair.key)) keys.add(String(pair.key.value));
      }
    return keys;
  }
}

export interface HiddenKey {
  readonly key: string;
  readonly offset: number;
}

function hiddenIn(map: YAMLMap, merged: MergedKeys): HiddenKey | null {
  for (const [index, merge] of map.items.entries()) {
    if (index === 0 || !isMerge(merge)) continue;
    const keys = merged.keys(merge.value);
    for (const { key } of map.items.slice(0, index))
      if (isScalar(key) && keys.has(String(key.value))) return { key: String(key.value), offset: key.range?.[0] ?? 0 };
  }
  return null;
}

/** A key before a `<<` that brings the same key: it has no effect, and neither would our changes to it. */
export function hiddenKey(document: YamlDocument): HiddenKey | null {
  const merged = new MergedKeys();
  let found: HiddenKey | null = null;
  visit(document, (_key, node) => {
    if (isNode(node) && !isAlias(node) && node.anchor !== undefined) merged.add(node.anchor, node);
    if (!isYamlMap(node)) return undefined;
    found = hiddenIn(node, merged);
    return found === null ? undefined : visit.BREAK;
  });
  return found;
}

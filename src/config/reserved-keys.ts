// Keys that no map may have. Valibot leaves them out of its output without a word, because of what they mean to JavaScript's objects.
import type { Finding } from './finding.js';
import { formatPath, type KeyPath } from './problem.js';
import { RESERVED_WORDS } from './values.js';

/** `findings` about `tree`, and one for each reserved key at any depth that they do not name. */
export function withReservedKeys(tree: unknown, findings: readonly Finding[]): readonly Finding[] {
  const named = new Set(findings.map(({ path }) => formatPath(path)));
  return [...findings, ...reservedKeys(tree).filter(({ path }) => !named.has(formatPath(path)))];
}

function reservedKeys(tree: unknown): Finding[] {
  const found: Finding[] = [];
  // Aliases make one map the value of several keys; it is written once.
  const seen = new Set<object>();
  const walk = (value: unknown, path: KeyPath): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return;
    seen.add(value);
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) walk(item, [...path, index]);
      return;
    }
    for (const [key, child] of Object.entries(value)) {
      const at = [...path, key];
      if (RESERVED_WORDS.has(key)) {
        found.push({ path: at, message: 'is reserved, and no key of anything; remove it', at: 'key' });
      } else walk(child, at);
    }
  };
  walk(tree, []);
  return found;
}

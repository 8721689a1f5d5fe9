// RFC 6902, as far as patches of the injector go; strict: what an API server would refuse throws.
import assert from 'node:assert/strict';

interface Operation {
  readonly op: string;
  readonly path: string;
  readonly value?: unknown;
}

export function applyPatch(object: unknown, patch: readonly Operation[]): unknown {
  const whole = { root: structuredClone(object) };
  for (const { op, path, value } of patch) {
    const keys = [
      'root',
      ...path
        .split('/')
        .slice(1)
        .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~')),
    ];
    const last = String(keys.pop());
    let here: unknown = whole;
    for (const key of keys) {
      assert.ok(typeof here === 'object' && here !== null && Object.hasOwn(here, key), `${path}: no ${key}`);
      here = (here as Record<string, unknown>)[key];
    }
    if (Array.isArray(here)) {
      const index = last === '-' ? here.length : Number(last);
      assert.ok(index >= 0 && index <= here.length, path);
      if (op === 'add') here.splice(index, 0, value);
      else if (op === 'remove') here.splice(index, 1);
      else here[index] = value;
      continue;
    }
    assert.ok(typeof here === 'object' && here !== null, path);
    const map = here as Record<string, unknown>;
    if (op !== 'add') assert.ok(Object.hasOwn(map, last), path);
    if (op === 'remove') delete map[last];
    else map[last] = value;
  }
  return whole.root;
}

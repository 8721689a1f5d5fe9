import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { schemaKeys } from '../../src/config/keys.js';
import { defaultOpaquePorts } from '../../src/config/ports.js';
import { load } from './support.js';

const manual = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');

/** Rows `| key | default | meaning |` of the manual's tables. */
function documented(): Map<string, string> {
  const rows = manual.matchAll(/^\| `([a-zA-Z0-9.*[\]]+)` \| ([^|]+) \| [^|]+ \|$/gm);
  const found = new Map<string, string>();
  for (const [, key, fallback] of rows) {
    assert.ok(!found.has(key), `${key} is documented twice`);
    found.set(key, fallback);
  }
  return found;
}

/** Keys of the schema as the manual spells them: `listeners[].name`, `services.*.endpoints`. */
function inSchema(): Map<string, unknown> {
  const scalars = schemaKeys().filter(({ scalar }) => scalar);
  // Written as a list, or as a map with the keys below it.
  const both = schemaKeys().filter(({ path }) =>
    ['services.*.endpoints', 'listeners.[].proxyProtocol'].includes(path.join('.')),
  );
  return new Map(
    [...scalars, ...both].map(({ path, fallback }) => [
      path.join('.').replaceAll('.[]', '[]').replace(/\[\]$/, ''),
      fallback,
    ]),
  );
}

test('the manual has every key of the schema and no other', () => {
  assert.deepEqual([...documented().keys()].sort(), [...inSchema().keys()].sort());
});

test('the defaults in the manual are those of the schema', () => {
  for (const [key, cell] of documented()) {
    const fallback = inSchema().get(key);
    if (fallback === undefined) assert.match(cell, /^(required|none|from `detect`)$/, key);
    else assert.equal(cell, `\`${String(fallback)}\``, key);
  }
});

test('the manual lists the default opaque ports', () => {
  const list = `${defaultOpaquePorts.slice(0, -1).join(', ')} and ${defaultOpaquePorts.at(-1)}`;
  assert.ok(manual.replaceAll('\n', ' ').includes(list), list);
});

test('the first example of the manual is a valid file', () => {
  const example = /```yaml\n([\s\S]*?)```/.exec(manual)?.[1] ?? '';
  assert.equal(load(example).listeners[0].name, 'edge');
});

// What is in the package: what runs, the pages, and nothing that only the demo, the tests or the benches need.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { page, repository } from './fences.js';

const { dependencies } = JSON.parse(page('package.json')) as { dependencies: Readonly<Record<string, string>> };

test('the package has the pages, and neither the demo nor tests', () => {
  const options = { cwd: fileURLToPath(repository('')), encoding: 'utf8' } as const;
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], options)) as [
    { files: { path: string }[] },
  ];
  const paths = files.map(({ path }) => path);
  for (const path of ['docs/operations.md', 'dist/src/cli/main.js', 'dist/workers/data-path.cjs', 'native/addon.c'])
    assert.ok(paths.includes(path), path);
  assert.deepEqual(
    paths.filter((path) => /^dist\/src\/demo\/|^dist\/(test|bench)\/|^(test|bench)\/|\.cache$/.test(path)),
    [],
  );
});

test('what runs imports nothing but its dependencies, and each of them is needed', () => {
  const used = new Set<string>();
  for (const folder of ['src', 'workers'])
    for (const file of readdirSync(repository(folder), { recursive: true, encoding: 'utf8' })) {
      // What the dashboard's page is made of is in the page.
      if (!file.endsWith('.ts') || /^(demo|dashboard\/page)\//.test(file)) continue;
      const text = page(`${folder}/${file}`);
      for (const [, name] of text.matchAll(/(?:from|import|import\(|require\()\s*'((?:@[^/']+\/)?[a-z][^/']*)[^']*'/g))
        if (!name.startsWith('node:') && !builtinModules.includes(name)) used.add(name);
    }
  assert.deepEqual([...used].sort(), Object.keys(dependencies).sort());
});

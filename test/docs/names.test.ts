// The files and names in code that the pages mention exist: whoever moves or renames something is told which page to correct.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { page, repository } from './fences.js';

const FOLDERS = ['src', 'native', 'workers', 'test', 'bench', 'docs', 'k8s'];
const FILES = FOLDERS.flatMap((folder) =>
  readdirSync(repository(folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
);
const PAGES = ['README.md', 'ARCHITECTURE.md', ...FILES.filter((file) => /^(docs|k8s)\/[^/]+\.md$/.test(file))];
/** Files of whoever uses Sluice. */
const USERS = ['sluice.yaml', 'db.yaml', '/etc/sluice/sluice.yaml', 'result.json', 'sluice/io-uring.json'];

const withoutFences = (text: string): string => text.replace(/^```[\s\S]*?^```/gm, '');

/** What stands in backticks. */
const code = (text: string): string[] => [...withoutFences(text).matchAll(/`([^`\n]+)`/g)].map(([, name]) => name);

const isFile = (name: string): boolean => /^[\w./-]+\.(ts|c|h|md|json|svg|yaml)$/.test(name) && !USERS.includes(name);

/** A path from the root, from a folder in it, or a bare name. */
const exists = (name: string): boolean => FILES.some((file) => file === name || file.endsWith(`/${name}`));

describe('the pages', () => {
  for (const path of PAGES) {
    it(`${path} names files that exist, and links to such`, () => {
      const text = page(path);
      for (const name of code(text).filter(isFile)) assert.ok(exists(name) || existsSync(repository(name)), name);
      for (const [, target] of withoutFences(text).matchAll(/\]\(([^)#:\s]+)[^)]*\)/g))
        assert.ok(existsSync(new URL(target, repository(path))), target);
    });
  }

  it('the map has each file in its folder, and no file of src/ is missing', () => {
    const sections = page('ARCHITECTURE.md').split(/^##+ /m);
    const named = new Set<string>();
    for (const section of sections) {
      const [title] = section.split('\n', 1);
      const folders = code(title).filter((name) => name.endsWith('/'));
      if (folders.length === 0) continue;
      for (const name of code(section).filter(isFile)) {
        const found = FILES.filter(
          (file) => file === name || (folders.some((folder) => file.startsWith(folder)) && file.endsWith(`/${name}`)),
        );
        assert.ok(found.length > 0, `${title} has no ${name}`);
        for (const file of found) named.add(file);
      }
    }
    // Of these the map names the way in only.
    const people = /^src\/(admin|cli|demo)\//;
    const missing = FILES.filter((file) => /^src\/.*\.ts$/.test(file) && !people.test(file) && !named.has(file));
    assert.deepEqual(missing, []);
  });

  it('ARCHITECTURE.md and the data path name classes and columns that exist', () => {
    const sources = FILES.filter((file) => /^src\/.*\.ts$/.test(file)).map(page);
    const words = new Set(sources.flatMap((text) => text.match(/\b[A-Za-z]\w*/g) ?? []));
    for (const path of ['ARCHITECTURE.md', 'docs/data-path.md'])
      for (const name of code(page(path)))
        if (/^[A-Z][A-Za-z0-9_]*(\.\w+)?$/.test(name))
          for (const part of name.split('.')) assert.ok(words.has(part), `${path}: ${name}`);
  });
});

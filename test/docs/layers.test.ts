// What ARCHITECTURE.md says of imports: the protocols' folders know octets, each other in one direction, and nothing of the proxy;
// nothing goes round in circles.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { dirname, normalize } from 'node:path';
import { describe, it } from 'node:test';
import { page, repository } from './fences.js';

/** By folder: what it may import beside itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/http': [],
  'src/http1': ['src/http'],
  'src/hpack': ['src/http'],
  'src/http2': ['src/http', 'src/hpack'],
  'src/translate': ['src/http', 'src/http1', 'src/hpack'],
  'src/detect': [],
  'src/proxy-protocol': [],
};

const filesOf = (folder: string): string[] =>
  readdirSync(repository(folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `${folder}/${name}`);

/** Types included: they, too, are what a file can't be read without. */
function importsOf(file: string): string[] {
  const code = page(file).replace(/^\s*(\/\/|\/?\*).*$/gm, '');
  const paths = [...code.matchAll(/\bfrom '(\.[^']+)\.js'/g)].map(([, path]) => path);
  return paths.map((path) => `${normalize(`${dirname(file)}/${path}`)}.ts`);
}

describe('the folders of protocols, and of the proxy', () => {
  for (const [folder, others] of Object.entries(MAY_IMPORT)) {
    it(`${folder} imports nothing but ${['itself', ...others].join(', ')}`, () => {
      const files = filesOf(folder);
      assert.ok(files.length > 0);
      for (const file of files)
        for (const path of importsOf(file))
          assert.ok(
            [folder, ...others].some((known) => path.startsWith(`${known}/`)),
            `${file} imports ${path}`,
          );
    });
  }

  it('have no circle of imports', () => {
    const folders = [...Object.keys(MAY_IMPORT), 'src/proxy'];
    const done = new Set<string>();
    const walk = (file: string, way: readonly string[]): void => {
      assert.ok(!way.includes(file), [...way, file].join(' → '));
      if (done.has(file) || !folders.some((folder) => file.startsWith(`${folder}/`))) return;
      for (const path of importsOf(file)) walk(path, [...way, file]);
      done.add(file);
    };
    for (const folder of folders) for (const file of filesOf(folder)) walk(file, []);
  });
});

// What a proxy loads at its start, in as few files as may be: runs after the compiler, and writes over what that has made of these entries.
// 250 modules of one idea each are 250 files to open, 3 MiB of memory and 0.1 s; and of a library only what is used is loaded.
//
// Tests import the modules as they were compiled, and run the commands as they are here.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('.', import.meta.url));
const chunks = 'dist/src/chunks';

/** Names stay as they are: they are what a stack trace says. */
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  charset: 'ascii',
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
  allowOverwrite: true,
};

/** All but these are loaded from node_modules: they look for files of their own, or are seldom needed. */
const inlined = ['valibot', 'yaml'];
const others = {
  name: 'others',
  setup({ onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
      if (kind === 'entry-point') return undefined;
      // The form without `require`, of which a part can be left out.
      if (path === 'yaml') return { path: `${root}node_modules/yaml/browser/dist/index.js` };
      return inlined.includes(path) ? undefined : { path, external: true };
    });
  },
};

/** Modules find files of the package from where they are themselves, all of them three folders deep. */
const HERE = { 'import.meta.url': 'moduleUrl' };

/** A thread's file. */
async function thread(name) {
  await build({
    ...common,
    plugins: [others],
    format: 'esm',
    entryPoints: [`workers/${name}.ts`],
    outfile: `dist/workers/${name}.js`,
    define: HERE,
    banner: { js: "const moduleUrl=new URL('../src/chunks/',import.meta.url).href;" },
  });
}

if (!existsSync(`${root}dist/src/cli/main.js`)) throw new Error('compile first: npm run build');
await thread('data-path');
await thread('config');
await build({
  ...common,
  plugins: [others],
  format: 'cjs',
  entryPoints: ['src/config/reading.ts'],
  outfile: 'dist/src/config/reading.cjs',
});
const { metafile } = await build({
  ...common,
  plugins: [others],
  format: 'esm',
  splitting: true,
  entryPoints: ['src/cli/commands.ts'],
  outdir: 'dist/src/cli',
  chunkNames: '../chunks/[name]-[hash]',
  metafile: true,
});
// Behind the new ones, so that what runs meanwhile finds what it asks for.
for (const file of readdirSync(`${root}${chunks}`))
  if (metafile.outputs[`${chunks}/${file}`] === undefined) rmSync(`${root}${chunks}/${file}`);

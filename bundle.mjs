// What a proxy loads at its start, in as few files as may be: runs after the compiler, and writes over what that has made of these entries.
// 250 modules of one idea each are 250 files to open, 3 MiB of memory and 0.1 s; and of a library only what is used is loaded.
//
// Tests import the modules as they were compiled, and run the commands as they are here.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, transform } from 'esbuild';
import ts from 'typescript';

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
const inlined = ['valibot', 'yaml', 'prom-client', '@opentelemetry/api'];
const others = {
  name: 'others',
  setup({ onResolve }) {
    onResolve({ filter: /^[^./]/ }, ({ path, kind }) => {
      if (kind === 'entry-point') return undefined;
      // The form without `require`, of which a part can be left out.
      if (path === 'yaml') return { path: `${root}node_modules/yaml/browser/dist/index.js` };
      return inlined.some((name) => path === name || path.startsWith(`${name}/`))
        ? undefined
        : { path, external: true };
    });
  },
};

/** Modules find files of the package from where they are themselves, all of them three folders deep. */
const HERE = { 'import.meta.url': 'moduleUrl' };

/**
 * `text` with `const` again where esbuild has written `var` for it, which it does to all that stands outside of functions. V8 takes tables and numbers
 * for constants only if they can't change: without that the data path is dearer by 5 %.
 */
function constants(text) {
  const source = ts.createSourceFile('bundle.js', text, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
  const changed = new Set();
  const look = (node) => {
    if (ts.isBinaryExpression(node) && ts.isAssignmentOperator(node.operatorToken.kind)) targets(node.left);
    // Of `!x` it is not so; there is no harm in it.
    if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) targets(node.operand);
    if (ts.isForInStatement(node) || ts.isForOfStatement(node)) targets(node.initializer);
    ts.forEachChild(node, look);
  };
  /** The names that are assigned to, which an element or a property of theirs is not. */
  const targets = (node) => {
    if (ts.isIdentifier(node)) changed.add(node.text);
    if (!ts.isElementAccessExpression(node) && !ts.isPropertyAccessExpression(node)) ts.forEachChild(node, targets);
  };
  look(source);
  const once = (declaration) =>
    declaration.initializer !== undefined && ts.isIdentifier(declaration.name) && !changed.has(declaration.name.text);
  let result = text;
  for (const statement of [...source.statements].reverse()) {
    if (!ts.isVariableStatement(statement)) continue;
    const list = statement.declarationList;
    const at = list.getStart(source);
    if ((list.flags & ts.NodeFlags.BlockScoped) !== 0 || !list.declarations.every(once)) continue;
    result = `${result.slice(0, at)}const${result.slice(at + 'var'.length)}`;
  }
  return result;
}

/** One file of an entry and all that it imports, its constants such. */
async function script(entry, file, format, start = '') {
  const { minifySyntax, minifyWhitespace, ...plain } = common;
  const bundled = await build({
    ...plain,
    plugins: [others],
    format: 'esm',
    entryPoints: [`workers/${entry}.ts`],
    outfile: file,
    define: HERE,
    sourcemap: 'inline',
    write: false,
  });
  const { target, charset, legalComments } = common;
  const { code, map } = await transform(constants(bundled.outputFiles[0].text), {
    format,
    target,
    charset,
    legalComments,
    minifySyntax,
    minifyWhitespace,
    sourcemap: 'external',
    sourcefile: `${entry}.js`,
    sourcesContent: false,
    banner: start,
  });
  mkdirSync(dirname(`${root}${file}`), { recursive: true });
  writeFileSync(`${root}${file}`, `${code}//# sourceMappingURL=${basename(file)}.map\n`);
  writeFileSync(`${root}${file}.map`, map);
}

/** Modules of Node that most processes never need, or only later: 2 MiB, and a thread that reads all certificates that Node.js 24 trusts. */
const LATER =
  /(import_\w+)=require\("(node:(?:assert|child_process|cluster|crypto|dns|http2|https|tls|zlib)(?:\/\w+)?)"\)/g;

/** `code` that loads these modules where it first uses them. */
function later(code) {
  const names = [...code.matchAll(LATER)].map(([, name]) => name);
  if (names.length === 0) return code;
  const lazy = code.replace(LATER, '$1=()=>require("$2")');
  // In brackets, as `new x().Y` is `(new x()).Y`.
  return lazy.replace(new RegExp(`\\b(${names.join('|')})\\b(?!=\\(\\)=>)`, 'g'), '($1())');
}

/** The commands, in files of which each is loaded when it is needed. CommonJS, as it costs half of what modules do and loads no module of Node's whole. */
async function commands() {
  const { minifySyntax, minifyWhitespace, ...plain } = common;
  const { outputFiles } = await build({
    ...plain,
    plugins: [others],
    format: 'esm',
    splitting: true,
    entryPoints: ['src/cli/commands.ts'],
    outdir: 'dist/src/cli',
    chunkNames: '../chunks/[name]-[hash]',
    sourcemap: 'inline',
    write: false,
  });
  const { target, charset, legalComments } = common;
  const written = new Set();
  for (const { path, text } of outputFiles) {
    const file = path.replace(/\.js$/, '.cjs');
    const { code, map } = await transform(text, {
      format: 'cjs',
      platform: 'node',
      target,
      charset,
      legalComments,
      minifySyntax,
      minifyWhitespace,
      define: HERE,
      supported: { 'dynamic-import': false },
      sourcemap: 'external',
      // As Node reads what is imported of a CommonJS module.
      sourcefile: `${basename(file, '.cjs')}.mjs`,
      sourcesContent: false,
    });
    const linked = later(code).replace(/require\("(\.\.?\/[^"]+)\.js"\)/g, 'require("$1.cjs")');
    const start = linked.includes('moduleUrl') ? AS_CHUNK : '';
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `"use strict";${start}${linked}//# sourceMappingURL=${basename(file)}.map\n`);
    writeFileSync(`${file}.map`, map);
    written.add(file).add(`${file}.map`);
  }
  // Behind the new ones, so that what runs meanwhile finds what it asks for.
  for (const file of readdirSync(`${root}${chunks}`))
    if (!file.startsWith('serving') && !written.has(`${root}${chunks}/${file}`)) rmSync(`${root}${chunks}/${file}`);
}

/** Files that threads load. CommonJS costs a thread less than half of what modules do. */
const BESIDE = "'/../src/chunks/'";
const AS_SCRIPT = `const moduleUrl=require('node:url').pathToFileURL(__dirname+${BESIDE}).href;`;
const AS_CHUNK = "const moduleUrl=require('node:url').pathToFileURL(__filename).href;";
const AS_MODULE = "const moduleUrl=new URL('../src/chunks/',import.meta.url).href;";

/** The page of the dashboard: all that it needs is in it. */
async function dashboard() {
  const options = {
    absWorkingDir: root,
    bundle: true,
    minify: true,
    write: false,
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
    target: ['chrome105', 'firefox104', 'safari16'],
  };
  const page = 'src/dashboard/page';
  const contents = "@import 'uplot/dist/uPlot.min.css'; @import './page.css';";
  const [script, style] = await Promise.all([
    build({ ...options, format: 'esm', entryPoints: [`${page}/main.ts`] }),
    build({ ...options, stdin: { contents, loader: 'css', resolveDir: `${root}src/dashboard` } }),
  ]);
  const [js, css] = [script, style].map(({ outputFiles: [{ text }] }) => text.trim());
  const html = readFileSync(`${root}${page}.html`, 'utf8')
    .replace('/*style*/', () => css)
    .replace('/*script*/', () => js);
  mkdirSync(`${root}dist/src/dashboard`, { recursive: true });
  writeFileSync(`${root}dist/${page}.html`, html);
}

if (!existsSync(`${root}dist/src/cli/main.js`)) throw new Error('compile first: npm run build');
// Run by `runWithCache`, which says where it is.
await script('serving', `${chunks}/serving.cjs`, 'cjs');
for (const name of ['data-path', 'caching', 'config']) await script(name, `dist/workers/${name}.cjs`, 'cjs', AS_SCRIPT);
await script('load', 'dist/workers/load.js', 'esm', AS_MODULE);
await dashboard();
await build({
  ...common,
  plugins: [others],
  format: 'cjs',
  entryPoints: ['src/config/reading.ts'],
  outfile: 'dist/src/config/reading.cjs',
});
await commands();
execFileSync(process.execPath, [`${root}dist/src/code/make-caches.js`], { stdio: 'inherit' });

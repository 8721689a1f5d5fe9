// What V8 has made of a script is used only if it is what was made of this script, by this V8, with these flags, and is whole.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cacheOf, runWithCache } from '../../src/code/cached-script.js';
import { SERVING_BUNDLE } from '../../src/code/serving-bundle.js';
import { native } from '../../src/io/native.js';
import { inherited } from '../support/sluice.js';

interface Doubling {
  twice(n: number): number;
}

const SOURCE = 'exports.twice = function twice(n) { return n * 2; };';
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-code-'));
const file = join(directory, 'doubling.cjs');
const take = () => runWithCache<Doubling>(file, native());

after(() => rmSync(directory, { recursive: true }));

describe('a script with what V8 has made of it', () => {
  let whole = Buffer.alloc(0);

  before(() => {
    writeFileSync(file, SOURCE);
    const first = take();
    assert.equal(first.exports.twice(21), 42);
    assert.equal(first.cached, false);
    first.save();
    whole = readFileSync(cacheOf(file));
  });

  /** What a process with other flags says of it. */
  function elsewhere(...flags: readonly string[]): string {
    const program = `
      import { runWithCache } from ${JSON.stringify(new URL('../../src/code/cached-script.js', import.meta.url))};
      import { native } from ${JSON.stringify(new URL('../../src/io/native.js', import.meta.url))};
      const { cached, exports } = runWithCache(${JSON.stringify(file)}, native());
      console.log(cached, exports.twice(4));`;
    return execFileSync(process.execPath, [...flags, '--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 60_000,
    }).trim();
  }

  test('is run with it', () => {
    const { cached, exports } = take();
    assert.equal(exports.twice(4), 8);
    assert.equal(cached, true);
  });

  test('where it was made with other flags of V8, is run without', () => {
    assert.equal(elsewhere(), 'true 8');
    assert.equal(elsewhere('--no-flush-bytecode'), 'false 8');
  });

  const damages: readonly (readonly [name: string, damage: (all: Buffer) => Buffer])[] = [
    ['is empty', () => Buffer.alloc(0)],
    ['is cut off in its head', (all) => all.subarray(0, 12)],
    ['is cut off', (all) => all.subarray(0, all.length - 8)],
    ['is longer', (all) => Buffer.concat([all, Buffer.alloc(8)])],
    ['is something else', () => Buffer.from('#!/bin/sh\necho "this is something else"\n')],
    ['has lost its end to a power cut', (all) => Buffer.from(all).fill(0, all.length - 64)],
  ];
  for (const [name, damage] of damages)
    test(`where the file ${name}, is run without`, () => {
      writeFileSync(cacheOf(file), damage(whole));
      const { cached, exports } = take();
      assert.equal(exports.twice(4), 8);
      assert.equal(cached, false);
    });

  test('whichever octet is another one, is run without', () => {
    for (let at = 0; at < whole.length; at += at < 64 ? 1 : 5) {
      const damaged = Buffer.from(whole);
      damaged[at] ^= 1 << (at % 8);
      writeFileSync(cacheOf(file), damaged);
      const { cached, exports } = take();
      assert.equal(exports.twice(4), 8);
      assert.equal(cached, false, `octet ${at}`);
    }
  });

  test('where the script is another one, of the same length, is run without', () => {
    writeFileSync(cacheOf(file), whole);
    writeFileSync(file, SOURCE.replace('* 2', '* 3'));
    const { cached, exports } = take();
    assert.equal(exports.twice(4), 12);
    assert.equal(cached, false);
    writeFileSync(file, SOURCE);
  });

  test('where there is a directory in its place, is run without', () => {
    rmSync(cacheOf(file));
    mkdirSync(cacheOf(file));
    const { cached, exports } = take();
    assert.equal(exports.twice(4), 8);
    assert.equal(cached, false);
    rmSync(cacheOf(file), { recursive: true });
  });

  const replacements: readonly (readonly [name: string, put: (path: string) => void])[] = [
    ['a FIFO that nobody writes to', (path) => execFileSync('mkfifo', [path])],
    ['a device without an end', (path) => symlinkSync('/dev/zero', path)],
    ['a link to itself', (path) => symlinkSync(path, path)],
    [
      'a file of a terabyte',
      (path) => {
        writeFileSync(path, 'sluice-1');
        truncateSync(path, 2 ** 40);
      },
    ],
    [
      'a file of a gigabyte',
      (path) => {
        writeFileSync(path, 'sluice-1');
        truncateSync(path, 2 ** 30);
      },
    ],
  ];
  for (const [name, put] of replacements)
    test(`where there is ${name} in its place, is run without`, () => {
      rmSync(cacheOf(file), { force: true });
      put(cacheOf(file));
      assert.equal(elsewhere(), 'false 8');
      rmSync(cacheOf(file));
    });
});

describe('a proxy', { skip: existsSync(cacheOf(SERVING_BUNDLE)) ? false : 'the build was by another Node.js' }, () => {
  /** A copy of what is installed, that may be damaged. */
  const copy = join(directory, 'installed');

  before(() => {
    for (const part of ['dist/src', 'dist/workers', 'package.json'])
      cpSync(join(ROOT, part), join(copy, part), { recursive: true });
    mkdirSync(join(copy, 'build'));
    for (const part of ['node_modules', 'build/Release', 'prebuilds'])
      if (existsSync(join(ROOT, part))) symlinkSync(join(ROOT, part), join(copy, part));
    writeFileSync(
      join(copy, 'sluice.yaml'),
      'warmup: off\nadmin: { listen: "127.0.0.1:0" }\nlisteners:\n  - { name: a, listen: "127.0.0.1:0", service: b }\nservices:\n  b: { endpoints: ["127.0.0.1:9"] }\n',
    );
  });

  const caches = (): string[] =>
    ['dist/src/chunks', 'dist/src/config'].flatMap((folder) =>
      readdirSync(join(copy, folder))
        .filter((name) => name.endsWith('.cache'))
        .map((name) => join(copy, folder, name)),
    );

  /** What it says until it has come to its end, which it is told to once it accepts. */
  async function run(...flags: readonly string[]): Promise<string[]> {
    const args = [...flags, join(copy, 'dist/src/cli/main.js'), 'run', '-c', join(copy, 'sluice.yaml')];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env: inherited() });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      if (line.includes('"accepting"')) child.kill('SIGINT');
    }
    return lines;
  }

  const starts = async (): Promise<boolean> => (await run()).some((line) => line.includes('"accepting"'));

  test('takes what the build has made of its data path and of its reader of configurations', () => {
    const program = `
      const { runWithCache } = await import('./dist/src/code/cached-script.js');
      const { configureCompiler } = await import('./dist/src/code/compiler.js');
      const { SERVING_BUNDLE } = await import('./dist/src/code/serving-bundle.js');
      const { loadReader } = await import('./dist/src/config/load-in-thread.js');
      const { native } = await import('./dist/src/io/native.js');
      const reader = loadReader().cached;
      configureCompiler();
      console.log(reader, runWithCache(SERVING_BUNDLE, native()).cached);`;
    const args = ['--input-type=module', '-e', program];
    assert.equal(execFileSync(process.execPath, args, { cwd: copy, encoding: 'utf8' }).trim(), 'true true');
  });

  test('starts where these files are damaged, and where there are none', async () => {
    assert.equal(caches().length >= 2, true);
    for (const name of caches()) {
      const all = readFileSync(name);
      for (let at = 100; at < all.length; at += 1000) all[at] ^= 0xff;
      writeFileSync(name, all);
    }
    assert.equal(await starts(), true);
    for (const name of caches()) rmSync(name);
    assert.equal(await starts(), true);
  });

  test('loads no module of Node that it does not need', async () => {
    const says = "process.on('exit', () => console.error('loaded ' + process.moduleLoadList))";
    const said = await run('--import', `data:text/javascript,${encodeURIComponent(says)}`);
    const loaded = said.find((line) => line.startsWith('loaded '))?.split(',') ?? [];
    assert.ok(loaded.includes('NativeModule http'), 'what it serves its metrics with is known by this name');
    const needless = ['http2', 'tls', 'https', 'crypto', 'internal/deps/undici/undici'];
    assert.deepEqual(
      needless.filter((name) => loaded.includes(`NativeModule ${name}`)),
      [],
    );
  });

  test('is prepared once it is installed', () => {
    for (const name of caches()) rmSync(name);
    const { scripts } = JSON.parse(readFileSync(join(copy, 'package.json'), 'utf8')) as {
      scripts: { postinstall: string };
    };
    execFileSync('sh', ['-c', scripts.postinstall], { cwd: copy, env: inherited() });
    assert.equal(caches().length, 2);
    // Before the build of a checkout there is nothing to prepare.
    rmSync(join(copy, 'dist'), { recursive: true });
    execFileSync('sh', ['-c', scripts.postinstall], { cwd: copy, env: inherited() });
  });
});

// The prebuilt modules are what their names say, and the package runs with them where nothing can be compiled.
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { repository } from '../docs/fences.js';
import { listening } from '../e2e/lifecycle-support.js';
import { sharedObject } from './elf.js';

const root = fileURLToPath(repository(''));
const scratch = mkdtempSync(join(tmpdir(), 'sluice-package-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const prebuilds = join(scratch, 'prebuilds');
const made = spawnSync('bash', [join(root, 'native/prebuilds.sh'), prebuilds], { encoding: 'utf8' });
const unmade: string | false = made.status === 3 ? made.stderr.trim() : false;
if (unmade !== false) console.error(`SKIPPED: ${unmade}`);

const GLIBC = 228;

test('one command makes a module for each machine and C library', { skip: unmade }, () => {
  assert.equal(made.status, 0, made.stderr);
  for (const machine of ['x64', 'arm64']) {
    const folder = join(prebuilds, `linux-${machine}`);
    assert.deepEqual(readdirSync(folder).sort(), ['node.napi.glibc.node', 'node.napi.musl.node']);
    for (const libc of ['glibc', 'musl']) {
      const object = sharedObject(readFileSync(join(folder, `node.napi.${libc}.node`)));
      const name = `${machine} ${libc}`;
      assert.equal(object.machine, machine, name);
      assert.ok(object.defined.includes('napi_register_module_v1'), name);
      assert.ok(object.undefinedSymbols.includes('napi_create_function'), name);
      assert.deepEqual(
        object.undefinedSymbols.filter((symbol) => /^__ubsan|^__asan|^__zig/.test(symbol)),
        [],
        name,
      );
      if (libc === 'musl') {
        assert.equal(object.glibc, 0, name);
        assert.deepEqual(object.needed, ['libc.so'], name);
      } else {
        assert.ok(object.glibc > 0 && object.glibc <= GLIBC, `${name} asks for glibc ${object.glibc / 100}`);
        assert.ok(object.needed.includes('libc.so.6'), name);
      }
    }
  }
});

/** Programs of a machine on which nothing can be compiled. */
function fewPrograms(): string {
  const bin = join(scratch, 'bin');
  if (existsSync(bin)) return bin;
  mkdirSync(bin);
  const which = (name: string): string =>
    spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  symlinkSync(process.execPath, join(bin, 'node'));
  for (const name of ['npm', 'sh', 'env', 'uname']) symlinkSync(which(name), join(bin, name));
  return bin;
}

/** The package as it is released, with the modules. */
function packed(): string {
  const pack = (folder: string): string => {
    const { stdout, stderr } = spawnSync(
      'npm',
      ['pack', '--ignore-scripts', '--silent', '--pack-destination', scratch],
      { cwd: folder, encoding: 'utf8' },
    );
    const name = stdout.trim();
    assert.ok(name.endsWith('.tgz'), stderr);
    return join(scratch, name);
  };
  assert.equal(spawnSync('tar', ['-xzf', pack(root), '-C', scratch]).status, 0);
  rmSync(join(scratch, 'package', 'prebuilds'), { recursive: true, force: true });
  cpSync(prebuilds, join(scratch, 'package', 'prebuilds'), { recursive: true });
  return pack(join(scratch, 'package'));
}

test('an install without a compiler runs', { skip: unmade, timeout: 180_000 }, async (t) => {
  const PATH = fewPrograms();
  const cwd = join(scratch, 'installed');
  mkdirSync(cwd);
  writeFileSync(join(cwd, 'package.json'), '{ "private": true }');
  // What npm passes to the tests is no part of a user's environment.
  const env = Object.fromEntries(Object.entries({ ...process.env, PATH }).filter(([key]) => !key.startsWith('npm_')));
  const run = (program: string, args: readonly string[]): SpawnSyncReturns<string> =>
    spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  for (const name of ['cc', 'gcc', 'clang', 'make', 'python3'])
    assert.notEqual(run('sh', ['-c', `command -v ${name}`]).status, 0, `${name} can be run`);
  const install = run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', packed()]);
  if (/ENOTCACHED|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(install.stderr)) {
    console.error('SKIPPED: the dependencies can be had neither from the registry nor from the cache of npm');
    t.skip('no registry');
    return;
  }
  assert.equal(install.status, 0, install.stderr);
  const home = join(cwd, 'node_modules', 'sluice');
  assert.ok(!existsSync(join(home, 'build')), 'it was compiled');
  const sluice = join(cwd, 'node_modules', '.bin', 'sluice');
  assert.match(run(sluice, ['version']).stdout, /0\.1\.0/);
  const origin = createServer((_, response) => response.end('hello\n'));
  const port = await listening(origin);
  t.after(() => origin.close());
  writeFileSync(
    join(cwd, 'sluice.yaml'),
    `listeners: [{ name: edge, listen: "127.0.0.1:0", service: web }]
services: { web: { endpoints: ["127.0.0.1:${port}"] } }
`,
  );
  const checked = run(sluice, ['check', '-c', 'sluice.yaml']);
  assert.equal(checked.status, 0, checked.stderr);
  const child = spawn(sluice, ['run', '-c', 'sluice.yaml'], { cwd, env, stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => child.kill('SIGKILL'));
  const answered = new Promise<string>((resolve, reject) => {
    let log = '';
    let asked = false;
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      log += chunk;
      const edge = /"edge=[^"]*:(\d+)"/.exec(log)?.[1];
      if (edge === undefined || asked) return;
      asked = true;
      fetch(`http://127.0.0.1:${edge}/`, { headers: { connection: 'close' } }).then(
        async (response) => resolve(await response.text()),
        reject,
      );
    });
    child.once('exit', (code) => reject(new Error(`exited with ${code}: ${log}`)));
  });
  assert.equal(await answered, 'hello\n');
});

test('without zig, and without what could fetch it, the command says so and makes nothing', () => {
  const folder = join(scratch, 'none');
  const PATH = fewPrograms();
  const cut = mkdtempSync(join(scratch, 'cut-'));
  for (const name of ['dirname', 'sha256sum', 'cut', 'mkdir', 'flock', 'bash', 'rm'])
    symlinkSync(spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim(), join(cut, name));
  const { status, stderr } = spawnSync(join(cut, 'bash'), [join(root, 'native/prebuilds.sh'), folder], {
    env: { PATH: `${PATH}:${cut}`, HOME: scratch },
    encoding: 'utf8',
  });
  assert.equal(status, 3, stderr);
  assert.match(stderr, /^MISSING: python3, which fetches zig: no prebuilt binaries are made$/m);
  assert.ok(!existsSync(folder));
});

// A checkout on a machine that can't compile: the last line of make says what to install.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { repository } from '../docs/fences.js';

const scratch = mkdtempSync(join(tmpdir(), 'sluice-no-compiler-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
chmodSync(scratch, 0o755);

/** What make itself and the start of its recipes call, and no compiler. */
const PROGRAMS = [
  'bash',
  'sh',
  'make',
  'node',
  'npm',
  'find',
  'sort',
  'id',
  'tr',
  'cmp',
  'sed',
  'rm',
  'mkdir',
  'touch',
];
const bin = join(scratch, 'bin');
mkdirSync(bin);
for (const name of PROGRAMS) {
  const { stdout } = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' });
  symlinkSync(name === 'node' ? process.execPath : stdout.trim(), join(bin, name));
}

const checkout = join(scratch, 'checkout');
mkdirSync(checkout);
for (const path of ['Makefile', 'package.json', 'package-lock.json', 'binding.gyp', 'native', 'bench/setup'])
  cpSync(fileURLToPath(repository(path)), join(checkout, path), { recursive: true });

const NOBODY = 65534;
/** Whether it runs as root, which would install what is missing if it could; and as somebody who can't. */
const users: readonly (readonly [string, number])[] =
  process.getuid?.() === 0
    ? [
        ['root', 0],
        ['nobody', NOBODY],
      ]
    : [['an ordinary user', process.getuid?.() ?? NOBODY]];

function makeAs(uid: number, target: string): { readonly status: number | null; readonly last: string } {
  // MAKEFLAGS and npm's variables are those of the run of the tests.
  const env = { PATH: bin, HOME: scratch };
  const { status, stdout, stderr } = spawnSync(join(bin, 'make'), [target], {
    cwd: checkout,
    env,
    uid,
    encoding: 'utf8',
  });
  const said = `${stdout}${stderr}`;
  return { status, last: stderr.trimEnd().split('\n').at(-1) ?? said };
}

for (const [user, uid] of users)
  for (const target of ['build', 'run', 'test'])
    test(`without a compiler the last line of make ${target} says what to install (${user})`, () => {
      const { status, last } = makeAs(uid, target);
      assert.equal(status, 2);
      assert.match(
        last,
        /cannot compile its native module\. Install cc c\+\+ python3 \(as root on Debian: apt-get install build-essential python3\)/,
      );
    });

test('a module that is compiled already needs no compiler', () => {
  const release = join(checkout, 'build', 'Release');
  mkdirSync(release, { recursive: true });
  writeFileSync(join(release, 'sluice.node'), '');
  const { status, last } = makeAs(process.getuid?.() ?? NOBODY, 'toolchain');
  rmSync(join(checkout, 'build'), { recursive: true });
  assert.equal(status, 0, last);
});

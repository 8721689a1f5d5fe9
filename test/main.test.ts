// What runs the tests lets nothing pass that has failed: tried with small files of tests.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-tests-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const write = (name: string, text: string): string => {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
};

/** Runs files; what is said in lines that begin with `# failed` or `# Once`. */
function run(...files: string[]): { status: number | null; said: string[] } {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { status, stdout } = spawnSync(process.execPath, [MAIN, ...files], { cwd: directory, encoding: 'utf8', env });
  return { status, said: stdout.split('\n').filter((line) => /^# (failed|Once)/.test(line)) };
}

const TEST = `import { describe, it } from 'node:test';\n`;
const ONCE = '# Once more, one at a time, what failed:';
const good = write('good.mjs', `${TEST}it('is good', () => {});`);

describe('the runner of the tests', () => {
  it('is content where all pass, or are skipped', () => {
    const skipped = write('skipped.mjs', `${TEST}it('is skipped', { skip: 'no' }, () => { throw new Error(); });`);
    assert.deepEqual(run(good, skipped), { status: 0, said: [] });
    assert.equal(run().status, 2);
  });

  it('runs what failed once more, and names what passes then', () => {
    const mark = JSON.stringify(join(directory, 'mark'));
    const flaky = write(
      'flaky.mjs',
      `${TEST}import fs from 'node:fs';
       describe('a suite', () => it('flakes', () => { if (!fs.existsSync(${mark})) { fs.writeFileSync(${mark}, ''); throw new Error(); } }));`,
    );
    const { status, said } = run(good, flaky);
    assert.equal(status, 0);
    assert.deepEqual(said, [
      '# failed: flaky.mjs: flakes',
      ONCE,
      '# failed beside others, passed alone: flaky.mjs: flakes',
    ]);
  });

  it('fails where it fails again, however it fails', () => {
    const cases = {
      throws: `${TEST}it('throws', () => { throw new Error(); });`,
      exits: 'process.exit(3);',
      dies: `process.kill(process.pid, 'SIGKILL'); await new Promise(() => setTimeout(() => {}, 60_000));`,
      hook: `${TEST}import { before } from 'node:test'; describe('a suite', () => { before(() => { throw new Error(); }); it('is fine', () => {}); });`,
    };
    for (const [name, text] of Object.entries(cases)) {
      const { status, said } = run(good, write(`${name}.mjs`, text));
      assert.equal(status, 1, name);
      assert.equal(said.filter((line) => line === ONCE).length, 1, name);
    }
  });

  it('does not run again what it cannot tell the file of, and not many', () => {
    write(
      'elsewhere.mjs',
      `${TEST}export const declare = () => it('is declared elsewhere', () => { throw new Error(); });`,
    );
    const declares = write('declares.mjs', `import { declare } from './elsewhere.mjs'; declare();`);
    assert.deepEqual(run(declares), { status: 1, said: ['# failed: elsewhere.mjs: is declared elsewhere'] });
    const many = Array.from({ length: 6 }, (_, i) =>
      write(`bad${i}.mjs`, `${TEST}it('is bad', () => { throw new Error(); });`),
    );
    const { status, said } = run(...many);
    assert.equal(status, 1);
    assert.equal(said.includes(ONCE), false);
    assert.equal(said.length, 6);
  });
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

const COMPILER = new URL('../../src/code/compiler.js', import.meta.url).href;

/** Collections whose marking began earlier, in a process that keeps 64 MiB of objects, and has called `prepare` before. */
function markings(prepare: string): string[] {
  const script = `
    const { collectOnlyWhenFull } = await import(${JSON.stringify(COMPILER)});
    ${prepare};
    const kept = [];
    for (let i = 0; i < 200_000; i++) kept.push(new Array(40).fill(i));
    console.log('kept', kept.length);`;
  const flags = ['--trace-gc', '--initial-old-space-size=8', '--input-type=module', '-e', script];
  return execFileSync(process.execPath, flags, { encoding: 'utf8', maxBuffer: 1 << 26 })
    .split('\n')
    .filter((line) => /Mark-Compact.*steps since start of marking/.test(line));
}

test('heaps are marked at once, when they are full, if that is asked for', () => {
  assert.ok(markings('').length > 0);
  assert.deepEqual(markings('collectOnlyWhenFull()'), []);
});

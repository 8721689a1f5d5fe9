// How many cores there are, by what the kernel's files say.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { cgroupCores, usableCores } from '../../src/config/cores.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-cores-'));
after(() => rmSync(directory, { recursive: true, force: true }));

let made = 0;
function root(files: Readonly<Record<string, string>>): string {
  const at = join(directory, String(made++));
  for (const [name, text] of Object.entries({ '.': '', ...files })) {
    if (name === '.') mkdirSync(at);
    else {
      mkdirSync(dirname(join(at, name)), { recursive: true });
      writeFileSync(join(at, name), text);
    }
  }
  return at;
}

describe('cores', () => {
  it('are what the cgroup pays for, in either version', () => {
    assert.equal(cgroupCores(root({ 'cpu.max': '150000 100000\n' })), 1.5);
    assert.equal(cgroupCores(root({ 'cpu/cpu.cfs_quota_us': '50000\n', 'cpu/cpu.cfs_period_us': '100000\n' })), 0.5);
  });

  it("have no limit where there is none, or where it can't be read", () => {
    const none = [
      { 'cpu.max': 'max 100000\n' },
      { 'cpu/cpu.cfs_quota_us': '-1\n', 'cpu/cpu.cfs_period_us': '100000\n' },
      { 'cpu.max': '5000\n' },
      { 'cpu.max': '5000 0\n' },
      { 'cpu.max': 'garbage garbage\n' },
      {},
    ];
    for (const files of none) assert.equal(cgroupCores(root(files)), Number.POSITIVE_INFINITY);
  });

  it('are at least one, and no more than there are', () => {
    assert.equal(usableCores(0.1, 8), 1);
    assert.equal(usableCores(1.5, 8), 2);
    assert.equal(usableCores(16, 8), 8);
    assert.equal(usableCores(Number.POSITIVE_INFINITY, 4), 4);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasOwnShare } from '../../src/code/cpu-share.js';

const PID = 40;
const PARENT = 39;

const among = (files: Readonly<Record<string, string>>): boolean =>
  hasOwnShare(PID, PARENT, (file) => {
    if (files[file] === undefined) throw new Error(`ENOENT ${file}`);
    return files[file];
  });

test('a container, or a unit with a weight, has a share of its own', () => {
  const container = {
    '/proc/self/cgroup': '0::/\n',
    '/sys/fs/cgroup//cpu.weight': '100\n',
    '/sys/fs/cgroup//cgroup.procs': '40\n',
  };
  assert.equal(among(container), true);
  assert.equal(among({ ...container, '/sys/fs/cgroup//cgroup.procs': '39\n40\n' }), true);
  const unit = {
    '/proc/self/cgroup': '0::/system.slice/sluice.service\n',
    '/sys/fs/cgroup/system.slice/sluice.service/cpu.weight': '100\n',
    '/sys/fs/cgroup/system.slice/sluice.service/cgroup.procs': '40\n',
  };
  assert.equal(among(unit), true);
  const older = {
    '/proc/self/cgroup': '5:memory:/a\n4:cpu,cpuacct:/docker/x\n0::/\n',
    '/sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.shares': '1024\n',
    '/sys/fs/cgroup/cpu,cpuacct/docker/x/cgroup.procs': '40\n',
  };
  assert.equal(among(older), true);
});

test('nothing else has', () => {
  // No weight; other processes; some of another PID namespace; no cgroup, or none that can be read.
  assert.equal(among({ '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup//cgroup.procs': '40\n' }), false);
  for (const processes of ['40\n41\n', '0\n40\n', '1\n39\n40\n']) {
    const files = { '/proc/self/cgroup': '0::/a\n', '/sys/fs/cgroup/a/cpu.weight': '1\n' };
    assert.equal(among({ ...files, '/sys/fs/cgroup/a/cgroup.procs': processes }), false);
  }
  assert.equal(among({ '/proc/self/cgroup': '0::/a\n' }), false);
  assert.equal(among({ '/proc/self/cgroup': 'nonsense' }), false);
  assert.equal(among({}), false);
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { BuildError, buildBase, findBase } from '../../src/harness/base-build.js';
import { gate } from '../../src/harness/gate.js';
import type { SubjectResult } from '../../src/harness/results.js';
import { sampleOf, scenarioOf, subjectOf } from './figures.js';

const NAMES = { now: 'sluice', before: 'base' };
const costs = (name: string, values: readonly number[], more: Partial<SubjectResult> = {}): SubjectResult =>
  subjectOf(
    name,
    values.map((cpuUs, round) => sampleOf({ round, cpuUs })),
    more,
  );

describe('the gate', () => {
  const verdict = (now: SubjectResult, before: SubjectResult): string =>
    gate(scenarioOf([now, before]), NAMES, 1.03).verdict;
  const base = costs('base', [10, 11, 10, 12, 10]);

  it('lets pass what is not dearer, and stops what surely is', () => {
    assert.equal(verdict(costs('sluice', [10.2, 11.2, 10.2, 12.2, 10.2]), base), 'passed');
    assert.equal(verdict(costs('sluice', [11, 12.1, 11, 13.2, 11]), base), 'dearer');
  });

  it('says so where the spread or the number of rounds does not allow a verdict', () => {
    assert.equal(verdict(costs('sluice', [11, 9, 11, 15, 11]), base), 'unclear');
    assert.equal(verdict(costs('sluice', [10, 9, 11, 12, 10]), base), 'unclear');
    assert.equal(verdict(costs('sluice', [11, 12.1]), base), 'unclear');
  });

  it('fails where one of both was not measured', () => {
    const { verdict: one, reason } = gate(scenarioOf([costs('sluice', []), { ...base, failed: 'it ended' }]), NAMES, 1);
    assert.deepEqual([one, reason], ['failed', 'base: it ended']);
    assert.equal(gate(scenarioOf([base]), NAMES, 1).reason, 'nothing was measured');
  });
});

describe('the commit that it is compared with', () => {
  const root = mkdtempSync(join(tmpdir(), 'sluice-gate-'));
  after(() => rmSync(root, { recursive: true, force: true }));
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  const commit = (text: string): string => {
    writeFileSync(join(root, 'text'), text);
    git('add', '-A');
    git('commit', '-q', '-m', text);
    return git('rev-parse', 'HEAD');
  };
  // It builds by writing what it was built from.
  const build =
    "node -e \"fs.mkdirSync('dist/src/cli',{recursive:true});fs.copyFileSync('text','dist/src/cli/main.js')\"";

  it('is found, built in a worktree of its own, and taken away', async () => {
    assert.throws(() => findBase(root, null), /is not a git checkout/);
    git('init', '-q', '-b', 'main');
    mkdirSync(join(root, 'native'));
    writeFileSync(join(root, '.gitignore'), 'node_modules\nbuild\ndist\n');
    writeFileSync(join(root, 'native', 'a.c'), '');
    writeFileSync(join(root, 'package.json'), JSON.stringify({ name: 'sluice', scripts: { build } }));
    mkdirSync(join(root, 'node_modules'));
    mkdirSync(join(root, 'build/Release'), { recursive: true });
    writeFileSync(join(root, 'build/Release/sluice.node'), 'native');
    const first = commit('first');
    assert.throws(() => findBase(root, null), /this is the first commit/);
    const second = commit('second');
    assert.deepEqual(findBase(root, null), { commit: first, why: 'the commit before, as this one is in main' });
    writeFileSync(join(root, 'text'), 'changed');
    assert.equal(findBase(root, null).commit, second);
    git('checkout', '-q', '.');
    git('checkout', '-q', '-b', 'work');
    commit('third');
    assert.deepEqual(findBase(root, null), { commit: second, why: 'the merge base with main' });
    assert.equal(findBase(root, first).commit, first);
    assert.throws(() => findBase(root, 'nonsense'), /--base: git does not know the commit "nonsense"/);

    const { signal } = new AbortController();
    const older = await buildBase(root, second, signal);
    const [node, main] = older.program;
    assert.equal(node, process.execPath);
    assert.equal(readFileSync(main, 'utf8'), 'second');
    const directory = join(main, '../../../..');
    assert.equal(readFileSync(join(directory, 'build/Release/sluice.node'), 'utf8'), 'native');
    older.remove();
    assert.equal(existsSync(directory), false);
    assert.equal(git('worktree', 'list').split('\n').length, 1);

    writeFileSync(
      join(root, 'package.json'),
      JSON.stringify({ name: 'sluice', scripts: { build: 'echo no luck; exit 1' } }),
    );
    const broken = commit('broken');
    await assert.rejects(buildBase(root, broken, signal), (error: unknown) => {
      assert.ok(error instanceof BuildError);
      assert.match(error.message, /^the older build failed: npm run build: [\s\S]*no luck/);
      return true;
    });
    assert.equal(git('worktree', 'list').split('\n').length, 1);
  });
});

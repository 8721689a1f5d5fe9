// Builds another commit in a temporary git worktree. Unchanged parts are not rebuilt.
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BUILD_MS = 600_000;
const MODULE = 'build/Release/sluice.node';
/** Lines to show from the output of a failed build. */
const SAID = 15;

/** There is nothing to compare with; the message says why and what to do. */
export class BuildError extends Error {
  override readonly name = 'BuildError';
}

function git(root: string, ...args: string[]): string {
  try {
    return execFileSync('git', ['-C', root, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    const { stderr } = error as { stderr?: string };
    throw new BuildError(`git ${args.join(' ')}: ${stderr?.trim() || String(error)}`);
  }
}

const knows = (root: string, name: string): boolean => {
  try {
    git(root, 'rev-parse', '--verify', '--quiet', `${name}^{commit}`);
    return true;
  } catch {
    return false;
  }
};

/** The branch to compare with by default. */
const MAIN = ['origin/HEAD', 'origin/main', 'main', 'origin/master', 'master'];

export interface Base {
  readonly commit: string;
  /** How it was found, in words. */
  readonly why: string;
}

/**
 * The commit to compare this checkout with: the one at which it left `branch`. If it has not, the previous commit, or this one if there are
 * uncommitted changes.
 */
export function findBase(root: string, branch: string | null): Base {
  if (!existsSync(join(root, '.git')))
    throw new BuildError(`${root} is not a git checkout: there is no merge base to build`);
  const onto = branch ?? MAIN.find((name) => knows(root, name));
  if (onto === undefined) throw new BuildError(`no branch ${MAIN.join(', ')} is known here; name one with --base`);
  if (!knows(root, onto)) throw new BuildError(`--base: git does not know the commit ${JSON.stringify(onto)}`);
  const [head, base] = [git(root, 'rev-parse', 'HEAD'), git(root, 'merge-base', 'HEAD', onto)];
  if (base !== head) return { commit: base, why: `the merge base with ${onto}` };
  if (git(root, 'status', '--porcelain', '--untracked-files=no') !== '')
    return { commit: head, why: 'the last commit, without the changes that are not committed' };
  if (!knows(root, 'HEAD^')) throw new BuildError('this is the first commit: there is nothing to compare it with');
  return { commit: git(root, 'rev-parse', 'HEAD^'), why: `the commit before, as this one is in ${onto}` };
}

const differs = (root: string, commit: string, ...paths: string[]): boolean =>
  git(root, 'diff', '--name-only', commit, '--', ...paths) !== '';

async function step(directory: string, command: readonly string[], signal: AbortSignal): Promise<void> {
  const [program, ...args] = command;
  try {
    await run(program, args, {
      cwd: directory,
      signal,
      timeout: BUILD_MS,
      maxBuffer: 1 << 26,
      env: { ...process.env, npm_config_build_from_source: 'true' },
    });
  } catch (error) {
    if (signal.aborted) throw error;
    const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
    const said = `${stdout}${stderr}`.trim().split('\n').slice(-SAID).join('\n');
    throw new BuildError(`the older build failed: ${command.join(' ')}: ${said || message}`);
  }
}

export interface BaseBuild {
  /** Arguments for node that start it. */
  readonly program: readonly string[];
  remove(): void;
}

/** Checks out `commit` next to `root` and builds it. */
export async function buildBase(root: string, commit: string, signal: AbortSignal): Promise<BaseBuild> {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-base-'));
  const remove = (): void => {
    try {
      git(root, 'worktree', 'remove', '--force', directory);
    } catch {
      // it was no worktree yet
    }
    rmSync(directory, { recursive: true, force: true });
    try {
      git(root, 'worktree', 'prune');
    } catch {
      // only an entry in git's list is left
    }
  };
  process.once('exit', remove);
  try {
    git(root, 'worktree', 'add', '--detach', '--force', directory, commit);
    await build(root, directory, commit, signal);
  } catch (error) {
    remove();
    process.off('exit', remove);
    throw error;
  }
  return {
    program: [process.execPath, join(directory, 'dist/src/cli/main.js')],
    remove() {
      process.off('exit', remove);
      remove();
    },
  };
}

async function build(root: string, directory: string, commit: string, signal: AbortSignal): Promise<void> {
  const packages =
    !differs(root, commit, 'package.json', 'package-lock.json') && existsSync(join(root, 'node_modules'));
  if (packages) symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  else await step(directory, ['npm', 'ci', '--include=dev', '--no-audit', '--no-fund'], signal);
  if (!differs(root, commit, 'native', 'binding.gyp') && existsSync(join(root, MODULE))) {
    mkdirSync(join(directory, 'build/Release'), { recursive: true });
    cpSync(join(root, MODULE), join(directory, MODULE));
  } else {
    await step(directory, ['npm', 'run', 'install'], signal);
  }
  await step(directory, ['npm', 'run', 'build'], signal);
}

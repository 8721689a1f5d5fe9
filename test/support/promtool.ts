// Prometheus's own checker, where it is installed.
import { spawnSync } from 'node:child_process';

/** A reason to skip a test that needs promtool, or false. */
export const noPromtool: string | false =
  spawnSync('promtool', ['--version']).error === undefined
    ? false
    : 'promtool is not installed (Debian: apt-get install prometheus)';
if (noPromtool !== false) console.error(`SKIPPED: ${noPromtool}`);

export interface Checked {
  readonly status: number | null;
  /** What it said, a line each. */
  readonly lines: readonly string[];
}

export function promtool(parameters: readonly string[], input = ''): Checked {
  const { status, stdout, stderr } = spawnSync('promtool', parameters, { input, encoding: 'utf8' });
  return { status, lines: `${stdout}\n${stderr}`.split('\n').filter((line) => line !== '') };
}

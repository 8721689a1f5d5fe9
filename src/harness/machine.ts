// The machine under test, and exclusive use of it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, cpus, release, totalmem } from 'node:os';
import { sluiceVersion } from '../log/process-state.js';
import { which } from './paths.js';
import { coreList } from './placement.js';
import type { Environment } from './results.js';

export function environment(): Environment {
  return {
    sluice: sluiceVersion(),
    node: process.versions.node,
    kernel: release(),
    cpu: cpus().at(0)?.model ?? 'unknown',
    cores: allowedCores().length,
    memoryBytes: totalmem(),
    architecture: arch(),
  };
}

/** Cores that this process may run on. */
export function allowedCores(): number[] {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(status)?.[1];
    if (list !== undefined) return coreList(list);
  } catch {
    // no /proc
  }
  return Array.from({ length: availableParallelism() }, (_, core) => core);
}

/** Pins this process with all its present and future threads to `cores`. False if that is impossible. */
export function pinSelf(cores: string): boolean {
  const taskset = which('taskset');
  if (taskset === null) return false;
  try {
    execFileSync(taskset, ['-a', '-p', '-c', cores, String(process.pid)], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

// How many cores this process may use: those of its affinity, and no more than its cgroup pays for. Node.js knows the first only, before 22.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** The first line of a file; '' where there is none. */
function lineOf(file: string): string {
  try {
    return readFileSync(file, 'latin1').split('\n')[0].trim();
  } catch {
    return '';
  }
}

function share(quota: string, period: string): number {
  const cores = Number(quota) / Number(period);
  // `max`, -1 and nonsense are no limit.
  return cores > 0 && Number.isFinite(cores) ? cores : Number.POSITIVE_INFINITY;
}

/** Cores that the cgroup of this process pays for, with fractions; infinite where it has no limit. `root` has its files, as a container sees them. */
export function cgroupCores(root = '/sys/fs/cgroup'): number {
  const [quota = '', period = ''] = lineOf(join(root, 'cpu.max')).split(' ');
  if (quota !== '') return share(quota, period);
  const old = join(root, 'cpu');
  return share(lineOf(join(old, 'cpu.cfs_quota_us')), lineOf(join(old, 'cpu.cfs_period_us')));
}

/** At least 1. A part of a core counts as one: half a worker more is better than half of the limit unused. */
export const usableCores = (limit = cgroupCores(), cores = availableParallelism()): number =>
  Math.max(1, Math.min(cores, Math.ceil(limit)));

// Number of cores available to this process: its affinity, limited by its cgroup. Before version 22, Node.js knows only the former.
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** The first line of a file; '' if there is none. */
function lineOf(file: string): string {
  try {
    return readFileSync(file, 'latin1').split('\n')[0].trim();
  } catch {
    return '';
  }
}

function share(quota: string, period: string): number {
  const cores = Number(quota) / Number(period);
  // `max`, -1 and invalid values mean no limit.
  return cores > 0 && Number.isFinite(cores) ? cores : Number.POSITIVE_INFINITY;
}

/** CPU limit of this process's cgroup in cores, with fractions; infinite without one. `root` has its files, as seen in a container. */
export function cgroupCores(root = '/sys/fs/cgroup'): number {
  const [quota = '', period = ''] = lineOf(join(root, 'cpu.max')).split(' ');
  if (quota !== '') return share(quota, period);
  const old = join(root, 'cpu');
  return share(lineOf(join(old, 'cpu.cfs_quota_us')), lineOf(join(old, 'cpu.cfs_period_us')));
}

/** At least 1. A fraction counts as one: a worker too many is better than half of the limit unused. */
export const usableCores = (limit = cgroupCores(), cores = availableParallelism()): number =>
  Math.max(1, Math.min(cores, Math.ceil(limit)));

// Whether this process has a share of the CPU time to itself, as in a container or in a unit of systemd with CPUWeight=. Otherwise each of
// its threads competes with those of all other processes.
import { readFileSync } from 'node:fs';

const CGROUPS = '/sys/fs/cgroup';

type Read = (file: string) => string;

/** False also where that can't be found out. `read` returns a file's text, or throws. */
export function hasOwnShare(pid: number, parent: number, read: Read = (file) => readFileSync(file, 'latin1')): boolean {
  try {
    return read('/proc/self/cgroup')
      .split('\n')
      .some((line) => isOwn(line, [pid, parent], read));
  } catch {
    return false;
  }
}

/** `line`: number, controllers and path of a cgroup of this process; without controllers in version 2. A parent, such as `sh -c`, waits. */
function isOwn(line: string, own: readonly number[], read: Read): boolean {
  const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
  if (controllers === undefined || path === undefined) return false;
  const [directory, weight] =
    controllers === '' ? [`${CGROUPS}${path}`, 'cpu.weight'] : [`${CGROUPS}/${controllers}${path}`, 'cpu.shares'];
  if (controllers !== '' && !controllers.split(',').includes('cpu')) return false;
  try {
    read(`${directory}/${weight}`);
    return read(`${directory}/cgroup.procs`)
      .trim()
      .split('\n')
      .every((process) => own.includes(Number(process)));
  } catch {
    return false;
  }
}

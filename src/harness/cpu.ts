// CPU time and memory of a process tree, from the kernel's accounting.
import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ: the unit of times in /proc/<pid>/stat, fixed at 100 by the kernel's ABI on every supported Linux. */
const TICKS_PER_SECOND = 100;

export interface CpuTime {
  /** CPU time in µs: user and system, all threads and child processes. */
  readonly total: number;
  /** The same time split by the clock tick, µs; granularity 10 ms. */
  readonly user: number;
  readonly system: number;
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // the process or thread ended between listing and reading
  }
}

/** `pid` and all its descendants. */
export function processTree(pid: number): number[] {
  const found = [pid];
  for (let at = 0; at < found.length; at++) {
    for (const tid of threads(found[at])) {
      const children = read(`/proc/${found[at]}/task/${tid}/children`);
      if (children) found.push(...children.trim().split(/\s+/).filter(Boolean).map(Number));
    }
  }
  return found;
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/**
 * CPU time of `pid` and its descendants so far. The nanoseconds come from each thread's schedstat (time on a CPU, including soft interrupts
 * in its context). An ended thread is missing there, but not in the group's stat, whose user + system is the same clock rounded to 10 ms:
 * the larger of the two is right.
 */
export function cpuTime(pid: number): CpuTime {
  let total = 0;
  let user = 0;
  let system = 0;
  for (const process of processTree(pid)) {
    let ns = 0;
    for (const tid of threads(process)) {
      const text = read(`/proc/${process}/task/${tid}/schedstat`);
      if (text) ns += Number(text.split(' ', 1)[0]);
    }
    const stat = read(`/proc/${process}/stat`);
    if (!stat) continue;
    // Fields after the command name, which may contain spaces and parentheses: state is field 3, utime 14, stime 15.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = 1e6 / TICKS_PER_SECOND;
    const processUser = Number(fields[11]) * ticks;
    const processSystem = Number(fields[12]) * ticks;
    user += processUser;
    system += processSystem;
    total += Math.max(ns / 1000, processUser + processSystem);
  }
  return { total, user, system };
}

/** Time that `core` was busy since boot, µs; granularity 10 ms. Shows whether anybody else used the measured core. */
export function coreBusy(core: number): number {
  const line = (read('/proc/stat') ?? '').split('\n').find((l) => l.startsWith(`cpu${core} `));
  if (!line) return 0;
  const [user, nice, system, , , irq, softirq, steal] = line.split(/\s+/).slice(1).map(Number);
  return ((user + nice + system + irq + softirq + steal) * 1e6) / TICKS_PER_SECOND;
}

/** Proportional set size of the tree, bytes: private memory whole, shared memory by share. */
export function memory(pid: number): number {
  let kilobytes = 0;
  for (const process of processTree(pid)) {
    const text = read(`/proc/${process}/smaps_rollup`);
    kilobytes += Number(/^Pss:\s+(\d+) kB/m.exec(text ?? '')?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/** Anonymous memory of the tree, bytes. */
export function anonymousMemory(pid: number): number {
  let kilobytes = 0;
  for (const process of processTree(pid)) {
    kilobytes += Number(/^Anonymous:\s+(\d+) kB/m.exec(read(`/proc/${process}/smaps_rollup`) ?? '')?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/** Resident set size of the tree, bytes. */
export function residentSize(pid: number): number {
  let kilobytes = 0;
  for (const process of processTree(pid)) {
    kilobytes += Number(/^VmRSS:\s+(\d+) kB/m.exec(read(`/proc/${process}/status`) ?? '')?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

/** Open file descriptors of the tree. */
export function descriptors(pid: number): number {
  let count = 0;
  for (const process of processTree(pid)) {
    try {
      count += readdirSync(`/proc/${process}/fd`).length;
    } catch {
      // ended meanwhile
    }
  }
  return count;
}

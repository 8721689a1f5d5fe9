// Resource usage of a subject's processes, and the cost of a load.
import { readdirSync, readFileSync } from 'node:fs';
import { coreBusy, cpuTime, processTree } from './cpu.js';
import { coreList } from './placement.js';

export interface Usage {
  /** µs. */
  readonly cpuUs: number;
  readonly userUs: number;
  readonly systemUs: number;
  readonly voluntary: number;
  readonly involuntary: number;
  /** Busy time of the cores, whoever used them, µs. */
  readonly busyUs: number;
  /** ns of a monotonic clock. */
  readonly at: bigint;
}

function switches(pid: number): { voluntary: number; involuntary: number } {
  let [voluntary, involuntary] = [0, 0];
  for (const process of processTree(pid)) {
    let threads: string[] = [];
    try {
      threads = readdirSync(`/proc/${process}/task`);
    } catch {
      // ended meanwhile
    }
    for (const thread of threads) {
      try {
        const text = readFileSync(`/proc/${process}/task/${thread}/status`, 'utf8');
        voluntary += Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
        involuntary += Number(/^nonvoluntary_ctxt_switches:\s+(\d+)/m.exec(text)?.[1] ?? 0);
      } catch {
        // ended meanwhile
      }
    }
  }
  return { voluntary, involuntary };
}

/** Usage so far of the processes `pids` with all their descendants. */
export function usageOf(pids: readonly number[], cores: string): Usage {
  let [cpuUs, userUs, systemUs, voluntary, involuntary] = [0, 0, 0, 0, 0];
  for (const pid of pids) {
    const time = cpuTime(pid);
    const of = switches(pid);
    cpuUs += time.total;
    userUs += time.user;
    systemUs += time.system;
    voluntary += of.voluntary;
    involuntary += of.involuntary;
  }
  const busyUs = coreList(cores).reduce((sum, core) => sum + coreBusy(core), 0);
  return { cpuUs, userUs, systemUs, voluntary, involuntary, busyUs, at: process.hrtime.bigint() };
}

/** Of a moment: what all have used of `cores`, and this process, without its children, and `pids`; µs. */
export function shareOf(pids: readonly number[], cores: readonly number[]): { busyUs: number; ownUs: number } {
  const { user, system } = process.cpuUsage();
  const children = pids.reduce((sum, pid) => sum + cpuTime(pid).total, 0);
  return { busyUs: cores.reduce((sum, core) => sum + coreBusy(core), 0), ownUs: user + system + children };
}

export interface Cost {
  readonly cpuUs: number;
  readonly userShare: number;
  readonly voluntary: number;
  readonly involuntary: number;
  readonly foreign: number;
}

/** Cost per unit of `units` of work between two measurements. `alone`: nobody but the subject belongs on its cores. */
export function costOf(before: Usage, after: Usage, units: number, cores: number, alone: boolean): Cost {
  const cpu = after.cpuUs - before.cpuUs;
  const user = after.userUs - before.userUs;
  const system = after.systemUs - before.systemUs;
  const elapsed = (Number(after.at - before.at) / 1000) * cores;
  const others = (after.busyUs - before.busyUs - cpu) / Math.max(1, elapsed);
  return {
    cpuUs: units > 0 ? cpu / units : 0,
    userShare: user / Math.max(1, user + system),
    voluntary: after.voluntary - before.voluntary,
    involuntary: after.involuntary - before.involuntary,
    foreign: alone ? Math.min(1, Math.max(0, others)) : 0,
  };
}

// V8's threads for compiling and helping garbage collection. There are four, whatever the number of cores, unless Node.js was started with
// `--v8-pool-size`. At the same priority as a worker they take four fifths of its core when both want it, and requests wait for compilers.
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Native } from '../io/native.js';

const THREADS = '/proc/self/task';
/** Their names in newer versions of Node.js: `V8Worker`, `node-V8Worker`. */
const NAME = /V8Worker$/;
/** Their default number. */
const DEFAULT_POOL_SIZE = 4;
/** Thread ids are below this, and wrap around. */
const PID_LIMIT = 1 << 22;
/** A tenth of what a worker gets, where both want the core. */
const NICENESS = 10;

export interface Thread {
  readonly tid: number;
  readonly name: string;
}

/** Their number, from Node.js's options; 0 if that depends on the machine, or there are none. */
export function poolSize(flags: readonly string[], options: string): number {
  const words = [...options.split(/\s+/), ...flags];
  let size = DEFAULT_POOL_SIZE;
  words.forEach((word, index) => {
    if (word.startsWith('--single-threaded')) size = 0;
    const [name, value = words[index + 1] ?? ''] = word.split('=', 2);
    if (name === '--v8-pool-size') size = /^\d+$/.test(value) ? Number(value) : 0;
  });
  return size;
}

/**
 * Finds them among the threads of process `pid`. Older versions of Node.js give them no name: they are `unnamed`, and follow the thread for
 * delayed tasks, before all others.
 */
export function backgroundThreads(threads: readonly Thread[], pid: number, unnamed = DEFAULT_POOL_SIZE): number[] {
  const named = threads.filter(({ name }) => NAME.test(name)).map(({ tid }) => tid);
  if (named.length > 0) return named;
  const age = ({ tid }: Thread): number => (tid - pid + PID_LIMIT) % PID_LIMIT;
  const others = threads.filter(({ tid }) => tid !== pid).sort((a, b) => age(a) - age(b));
  return others.slice(1, 1 + unnamed).map(({ tid }) => tid);
}

function ownThreads(): Thread[] {
  return readdirSync(THREADS).map((tid) => ({
    tid: Number(tid),
    name: readFileSync(`${THREADS}/${tid}/comm`, 'utf8').trim(),
  }));
}

/** Those of this process; none if /proc does not show them. */
export function ownBackgroundThreads(): number[] {
  try {
    return backgroundThreads(ownThreads(), process.pid, poolSize(process.execArgv, process.env.NODE_OPTIONS ?? ''));
  } catch {
    return [];
  }
}

/** Whether any of `threads` runs, or could: one that has nothing to do sleeps. */
export function anyBusy(threads: readonly number[]): boolean {
  try {
    return threads.some((tid) => {
      const text = readFileSync(`${THREADS}/${tid}/stat`, 'latin1');
      // Behind the name, which may have brackets in it.
      return text.charAt(text.lastIndexOf(')') + 2) !== 'S';
    });
  } catch {
    return false;
  }
}

/**
 * From now on they run only where no other thread wants the core: one that wakes up takes it from them at once. With a nice value, the
 * kernel often left them running until its next tick, 4 ms later. Workers that leave them nothing rest for them (compiler-share.ts).
 *
 * That is for a process that has a share of the CPU time to itself (`ownShare`). Elsewhere other processes would leave them nothing either,
 * for seconds, and a worker that collects garbage waits until a compiler at work has got as far as a safepoint. So there they get a nice
 * value.
 */
export function lowerBackgroundPriority(native: Pick<Native, 'threadBackground'>, ownShare: boolean): void {
  try {
    for (const tid of ownBackgroundThreads())
      if (!ownShare || native.threadBackground(tid) < 0) setPriority(tid, NICENESS);
  } catch {
    // The sandbox forbids it: they keep their priority.
  }
}

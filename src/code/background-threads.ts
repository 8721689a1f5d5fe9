// V8's threads for compiling and helping garbage collection. There are four, whatever the number of cores, unless Node.js was started with
// `--v8-pool-size`. At the same priority as a worker they take four fifths of its core when both want it, and requests wait for compilers.
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const THREADS = '/proc/self/task';
/** Their names in newer versions of Node.js: `V8Worker`, `node-V8Worker`. */
const NAME = /V8Worker$/;
/** Their default number. */
const DEFAULT_POOL_SIZE = 4;
/** Thread ids are below this, and wrap around. */
const PID_LIMIT = 1 << 22;
/**
 * They get what a worker leaves, and at least a tenth of the core each. With less, a worker that is saturated from the start has to wait
 * for its optimised code: at nice 19 it needed twice the CPU time per request for some seconds.
 */
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

/** From now on all other threads have priority over them. */
export function yieldBackground(): void {
  try {
    for (const tid of ownBackgroundThreads()) setPriority(tid, NICENESS);
  } catch {
    // The sandbox forbids it: they keep their priority.
  }
}

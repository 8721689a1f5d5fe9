// The threads in which V8 compiles and helps to collect garbage. There are four, however many cores there are, unless Node.js was started with
// `--v8-pool-size`: as important as a worker, they take four fifths of its core where both want it, and requests wait for compilers.
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const THREADS = '/proc/self/task';
/** The names that newer versions of Node.js give them: `V8Worker`, `node-V8Worker`. */
const NAME = /V8Worker$/;
/** How many there are where nobody has said. */
const USUAL = 4;
/** Ids of threads are below this, and begin anew after the largest. */
const MOST_TIDS = 1 << 22;
/**
 * They have what a worker leaves, and at least a tenth of the core each. With less, a worker that is saturated from its start on has to wait
 * for its optimised code: at nice 19 it needed twice the CPU time for a request, for some seconds.
 */
const NICENESS = 10;

export interface Thread {
  readonly tid: number;
  readonly name: string;
}

/** How many there are of them, by what Node.js was started with; 0 where that depends on the machine, or there are none. */
export function poolSize(flags: readonly string[], options: string): number {
  const words = [...options.split(/\s+/), ...flags];
  let size = USUAL;
  words.forEach((word, index) => {
    if (word.startsWith('--single-threaded')) size = 0;
    const [name, value = words[index + 1] ?? ''] = word.split('=', 2);
    if (name === '--v8-pool-size') size = /^\d+$/.test(value) ? Number(value) : 0;
  });
  return size;
}

/**
 * Which of the threads of process `pid` they are. Older versions of Node.js give them no name: they are `unnamed`, and begin right after the
 * one for delayed tasks, before all others.
 */
export function backgroundThreads(threads: readonly Thread[], pid: number, unnamed = USUAL): number[] {
  const named = threads.filter(({ name }) => NAME.test(name)).map(({ tid }) => tid);
  if (named.length > 0) return named;
  const age = ({ tid }: Thread): number => (tid - pid + MOST_TIDS) % MOST_TIDS;
  const others = threads.filter(({ tid }) => tid !== pid).sort((a, b) => age(a) - age(b));
  return others.slice(1, 1 + unnamed).map(({ tid }) => tid);
}

/** Those of this process. */
export function ownBackgroundThreads(): number[] {
  const threads = readdirSync(THREADS).map((tid) => ({
    tid: Number(tid),
    name: readFileSync(`${THREADS}/${tid}/comm`, 'utf8').trim(),
  }));
  return backgroundThreads(threads, process.pid, poolSize(process.execArgv, process.env.NODE_OPTIONS ?? ''));
}

/** From here on all other threads come first. */
export function yieldBackground(): void {
  try {
    for (const tid of ownBackgroundThreads()) setPriority(tid, NICENESS);
  } catch {
    // A sandbox does not let us: they stay as important as the others.
  }
}

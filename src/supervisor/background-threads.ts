// The threads in which V8 compiles and helps to collect garbage. There are four, however many cores there are: as important as a worker, they
// take four fifths of its core where both want it, and requests wait for compilers.
import { readdirSync, readFileSync } from 'node:fs';
import { setPriority } from 'node:os';

const THREADS = '/proc/self/task';
/** The names that newer versions of Node.js give them: `V8Worker`, `node-V8Worker`. */
const NAME = /V8Worker$/;
/** How many older versions start, which give them no name: right after the one for delayed tasks, and before all others. */
const UNNAMED = 4;
/** Ids of threads are below this, and begin anew after the largest. */
const MOST_TIDS = 1 << 22;
/** They have what a worker leaves, and at least a 70th of the core each. */
const NICEST = 19;

export interface Thread {
  readonly tid: number;
  readonly name: string;
}

/** Which of the threads of process `pid` they are. */
export function backgroundThreads(threads: readonly Thread[], pid: number): number[] {
  const named = threads.filter(({ name }) => NAME.test(name)).map(({ tid }) => tid);
  if (named.length > 0) return named;
  const age = ({ tid }: Thread): number => (tid - pid + MOST_TIDS) % MOST_TIDS;
  const others = threads.filter(({ tid }) => tid !== pid).sort((a, b) => age(a) - age(b));
  return others.slice(1, 1 + UNNAMED).map(({ tid }) => tid);
}

/** Those of this process. */
export function ownBackgroundThreads(): number[] {
  const threads = readdirSync(THREADS).map((tid) => ({
    tid: Number(tid),
    name: readFileSync(`${THREADS}/${tid}/comm`, 'utf8').trim(),
  }));
  return backgroundThreads(threads, process.pid);
}

/** Whether whoever has started Node.js has said how many there are: then nameless ones cannot be told from others. */
export const isPoolGiven = (flags: readonly string[], options: string): boolean =>
  [...flags, ...options.split(/\s+/)].some((flag) => /^--(v8-pool-size|single-threaded)/.test(flag));

/** From here on all other threads come first. */
export function yieldBackground(): void {
  if (isPoolGiven(process.execArgv, process.env.NODE_OPTIONS ?? '')) return;
  try {
    for (const tid of ownBackgroundThreads()) setPriority(tid, NICEST);
  } catch {
    // A sandbox does not let us: they stay as important as the others.
  }
}

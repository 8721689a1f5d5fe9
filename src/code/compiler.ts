// V8 settings that keep a proxy's speed independent of its history.
import { setFlagsFromString } from 'node:v8';

/**
 * Keeps compiled code for good, and compiles each function when it is first called. For the whole process from here on, so a worker
 * calls it: what V8 has made of Node's own modules before, for other flags, is not taken with these, and a thread that starts with them compiles
 * all of them anew (0.06 s, 1.3 MiB).
 *
 * V8 takes a thread that allocates next to nothing, as a worker does, for one that is idle: after eight seconds it collects
 * garbage to save memory, and flushes code with it. The requests that come next are slow as at the start: a p99 of 200 ms over
 * two seconds, measured at half of the load that it carries, and gone with this flag.
 *
 * The baseline compiler at once instead of after some hundred calls takes a third off the mean latency of the first second.
 *
 * The data path is many small functions in files of one idea each. V8 stops inlining after 920 bytes of bytecode, which is less than
 * one request's way through them; a higher bound takes 5 % to 8 % off the user CPU time of a request over HTTP/2 (10 connections with 32
 * streams).
 */
export function configureCompiler(): void {
  setFlagsFromString('--no-flush-bytecode');
  setFlagsFromString('--always-sparkplug');
  setFlagsFromString('--max-inlined-bytecode-size=700');
  setFlagsFromString('--max-inlined-bytecode-size-cumulative=2500');
}

/**
 * From now on garbage is collected when a heap is full, and not a little at a time before. V8's memory reducer, which takes a process that
 * allocates little for idle, needs the latter: eight seconds after the start it marked the heaps of the main thread and of the workers, 30 ms
 * each with steps of up to 8. It leaves part of this to V8's other threads, which come after all others
 * (background-threads.ts), and keeps trying until they are done: beside a worker at half load the main thread took 330 ms, and requests waited
 * for up to 360. A full collection takes 15 to 20 ms, but heaps that have been collected before hardly fill up.
 * For the whole process, and only once its threads have started: V8's code caches are for the flags that they were made with. A marking that
 * is under way goes on to its end: V8 asks only before it begins one.
 */
export function collectOnlyWhenFull(yes = true): void {
  setFlagsFromString(yes ? '--no-incremental-marking' : '--incremental-marking');
}

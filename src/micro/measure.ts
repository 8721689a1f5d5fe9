// Measures how long an operation of a benchmark takes, and what it allocates.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Prepared } from './benchmark.js';

export interface Measured {
  /** Median of the rounds, and the fastest and slowest, ns per operation. */
  readonly ns: number;
  readonly least: number;
  readonly most: number;
  /** Heap bytes per operation: the minimum of the rounds, because V8's own background work counts too. */
  readonly allocated: number;
  readonly operations: number;
}

export interface MeasureOptions {
  /** Total of all rounds, after as much time for the compilers. */
  readonly seconds: number;
  readonly rounds: number;
}

/** A round's allocations must fit in the young generation, or a collection would hide them. */
const COUNTED_OPERATIONS = 20_000;

/** V8's garbage collector, which has to be exposed first. */
function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new Error('this V8 lets nobody ask for a collection');
  return () => collect();
}

let kept = 0;

function timed(benchmark: Prepared, operations: number): number {
  const from = process.hrtime.bigint();
  kept += benchmark.run(operations);
  return Number(process.hrtime.bigint() - from);
}

/** Bytes per operation. Reading the heap's size allocates a little, which is subtracted. */
function allocatedBy(benchmark: Prepared, collect: () => void): number {
  collect();
  const idle = process.memoryUsage().heapUsed;
  const before = process.memoryUsage().heapUsed;
  kept += benchmark.run(COUNTED_OPERATIONS);
  const after = process.memoryUsage().heapUsed;
  return Math.max(0, after - before - (before - idle)) / COUNTED_OPERATIONS;
}

export function measure(benchmark: Prepared, { seconds, rounds }: MeasureOptions): Measured {
  const collect = collector();
  // Warms up the compilers, and finds how many operations fill a round.
  let operations = 1000;
  const roundNs = (seconds * 1e9) / rounds;
  for (const end = performance.now() + seconds * 1000; performance.now() < end; ) {
    const took = timed(benchmark, operations);
    if (took < roundNs / 2) operations *= 2;
  }
  operations = Math.max(1, Math.round((operations * roundNs) / Math.max(1, timed(benchmark, operations))));
  const times = Array.from({ length: rounds }, () => timed(benchmark, operations) / operations).sort((a, b) => a - b);
  const allocations = Array.from({ length: rounds }, () => allocatedBy(benchmark, collect));
  return {
    ns: times[times.length >> 1],
    least: times[0],
    most: times[times.length - 1],
    allocated: Math.min(...allocations),
    operations,
  };
}

/** Uses the results of benchmarks, so that they are not optimised away. */
export const blackhole = (): number => kept;

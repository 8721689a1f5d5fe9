// A benchmark of one piece of the hot path, run by itself in a loop.
import type { Arena } from './arena.js';

export interface Prepared {
  /** Does the work `times` times. Returns a number that depends on all of it, so that no compiler leaves it out. */
  run(times: number): number;
  /** Gives back what it holds. */
  end?(): void;
}

export interface MicroBenchmark {
  readonly name: string;
  /** What one operation is. */
  readonly what: string;
  prepare(arena: Arena): Prepared;
}

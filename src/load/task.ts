// The task of a load thread.
import type { LoadPlan } from './plan.js';
import type { Share } from './shares.js';
import type { TallyMemory } from './tally.js';

/** Cells of the orders to all threads: begin, and end. */
export const ORDER = { BEGIN: 0, END: 1, SIZE: 2 } as const;

/** Data for a thread: plain and cloneable. */
export interface LoadTask {
  readonly number: number;
  readonly plan: LoadPlan;
  readonly shares: readonly Share[];
  readonly memory: TallyMemory;
  /** Int32 of ORDER. */
  readonly orders: SharedArrayBuffer;
  /** Float64: when to begin, µs of the monotonic clock. */
  readonly start: SharedArrayBuffer;
  readonly owner: SharedArrayBuffer;
}

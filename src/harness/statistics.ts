// Medians and spreads of a handful of rounds, and what can be said of them.
import { Random } from '../balance/random.js';

/** The middle value; the mean of the two middle ones of an even count; NaN of none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Largest minus smallest as a share of the median. */
export function spread(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : (Math.max(...values) - Math.min(...values)) / Math.abs(median(values));
}

/** Nearest-rank percentile of an already sorted list; `share` in 0..1. */
export function percentile(sorted: readonly number[], share: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** Both ends included. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** Fewer say nothing of chance: four of four on one side are as likely as one in eight. */
export const ENOUGH_ROUNDS = 5;
const RESAMPLES = 2000;
const TAIL = 0.025;
/** The same figures give the same interval. */
const SEED = 20_240_229;

/** What is drawn from `values`, with each as often as chance has it. */
function resampled(values: readonly number[], random: Random): number[] {
  return values.map(() => values[(random.draw() >>> 0) % values.length]);
}

function middleOf(statistics: number[]): Interval {
  const sorted = statistics.sort((a, b) => a - b);
  return { low: percentile(sorted, TAIL), high: percentile(sorted, 1 - TAIL) };
}

/** 95 % interval of the median by bootstrap: the values drawn anew many times, the median of each. */
export function medianInterval(values: readonly number[]): Interval {
  const random = new Random(SEED);
  return middleOf(Array.from({ length: RESAMPLES }, () => median(resampled(values, random))));
}

/** The same of the ratio of two medians, of values that don't belong together in pairs. */
export function ratioInterval(values: readonly number[], others: readonly number[]): Interval {
  const random = new Random(SEED);
  const once = (): number => median(resampled(values, random)) / median(resampled(others, random));
  return middleOf(Array.from({ length: RESAMPLES }, once));
}

export type Verdict = 'less' | 'more' | 'unclear';

/** What an interval of a ratio allows to say. */
export function verdictOf({ low, high }: Interval, rounds: number): Verdict {
  if (rounds < ENOUGH_ROUNDS) return 'unclear';
  if (high < 1) return 'less';
  return low > 1 ? 'more' : 'unclear';
}

// Medians and spreads of a few rounds, and what they allow to conclude.
import { Random } from '../balance/random.js';

/** The middle value; the mean of the two middle ones for an even count; NaN without values. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Largest minus smallest, as a share of the median. */
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

/** With fewer rounds chance cannot be excluded: four of four on one side happen once in eight. */
export const ENOUGH_ROUNDS = 5;
const RESAMPLES = 2000;
const TAIL = 0.025;
/** The same values give the same interval. */
const SEED = 20_240_229;

/** Draws from `values` with replacement. */
function resampled(values: readonly number[], random: Random): number[] {
  return values.map(() => values[(random.draw() >>> 0) % values.length]);
}

function middleOf(statistics: number[]): Interval {
  const sorted = statistics.sort((a, b) => a - b);
  return { low: percentile(sorted, TAIL), high: percentile(sorted, 1 - TAIL) };
}

/** 95 % interval of the median by bootstrap: medians of many redrawn samples. */
export function medianInterval(values: readonly number[]): Interval {
  const random = new Random(SEED);
  return middleOf(Array.from({ length: RESAMPLES }, () => median(resampled(values, random))));
}

/** The same for the ratio of two medians, of unpaired values. */
export function ratioInterval(values: readonly number[], others: readonly number[]): Interval {
  const random = new Random(SEED);
  const once = (): number => median(resampled(values, random)) / median(resampled(others, random));
  return middleOf(Array.from({ length: RESAMPLES }, once));
}

export type Verdict = 'less' | 'more' | 'unclear';

/** The conclusion that a ratio's interval allows. */
export function verdictOf({ low, high }: Interval, rounds: number): Verdict {
  if (rounds < ENOUGH_ROUNDS) return 'unclear';
  if (high < 1) return 'less';
  return low > 1 ? 'more' : 'unclear';
}

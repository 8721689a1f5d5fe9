// Decides whether this build costs more CPU than an older one. Pure functions.
import { ratiosByRound } from './ratios.js';
import type { ScenarioResult } from './results.js';
import { ENOUGH_ROUNDS, type Interval, median, medianInterval } from './statistics.js';

export interface GateResult {
  readonly scenario: string;
  /** New divided by old, the median over the rounds; NaN if one of them was not measured. */
  readonly ratio: number;
  readonly interval: Interval;
  readonly rounds: number;
  /** `passed`: certainly within the limit. `dearer`: certainly above it. `unclear`: the spread allows neither. */
  readonly verdict: 'passed' | 'dearer' | 'unclear' | 'failed';
  /** The reason of a failure. */
  readonly reason: string | null;
}

const NOTHING: Interval = { low: Number.NaN, high: Number.NaN };

/** `limit`: maximum ratio to the old build. With fewer than five rounds nothing is certain. */
export function gate(
  scenario: ScenarioResult,
  names: { readonly now: string; readonly before: string },
  limit: number,
): GateResult {
  const of = (name: string) => scenario.subjects.find((one) => one.name === name);
  const [now, before] = [of(names.now), of(names.before)];
  const broken = [now, before].find((one) => one !== undefined && (one.failed ?? one.skipped) !== null);
  const rounds = now && before ? ratiosByRound(now, before) : [];
  const base = { scenario: scenario.name, rounds: rounds.length };
  if (broken !== undefined || rounds.length === 0) {
    const reason = broken === undefined ? 'nothing was measured' : `${broken.name}: ${broken.failed ?? broken.skipped}`;
    return { ...base, ratio: Number.NaN, interval: NOTHING, verdict: 'failed', reason };
  }
  const ratio = median(rounds);
  const interval = medianInterval(rounds);
  const result = { ...base, ratio, interval, reason: null };
  if (rounds.length < ENOUGH_ROUNDS) return { ...result, verdict: 'unclear' };
  if (interval.high <= limit) return { ...result, verdict: 'passed' };
  return { ...result, verdict: ratio > limit && interval.low > 1 ? 'dearer' : 'unclear' };
}

// Costs of one subject relative to another, in the same rounds.
import type { HarnessSample, Ratio, SubjectResult } from './results.js';
import { median, medianInterval, verdictOf } from './statistics.js';

type Sampled = Pick<SubjectResult, 'name' | 'samples'>;

/** Ratios of `value` in each round that both have. */
export function pairedRatios(
  subject: readonly HarnessSample[],
  other: readonly HarnessSample[],
  value: (sample: HarnessSample) => number,
): number[] {
  return subject.flatMap((sample) => {
    const against = other.find(({ round }) => round === sample.round);
    const [mine, its] = [value(sample), against === undefined ? 0 : value(against)];
    return mine > 0 && its > 0 ? [mine / its] : [];
  });
}

/** Ratios of their costs. */
export const ratiosByRound = (subject: Sampled, other: Sampled): number[] =>
  pairedRatios(subject.samples, other.samples, ({ cpuUs }) => cpuUs);

function ratio(subject: Sampled, other: Sampled): Ratio | null {
  const rounds = ratiosByRound(subject, other);
  if (rounds.length === 0) return null;
  const interval = medianInterval(rounds);
  return { to: other.name, value: median(rounds), ...interval, verdict: verdictOf(interval, rounds.length) };
}

/** The default reference: the first measured subject with a cost. */
export const referenceOf = (subjects: readonly Sampled[]): string | null =>
  subjects.find(({ samples }) => samples.some(({ cpuUs }) => cpuUs > 0))?.name ?? null;

/** Adds each subject's ratio to `reference`. */
export function withRatios(subjects: readonly SubjectResult[], reference: string | null): SubjectResult[] {
  const other = subjects.find(({ name }) => name === reference);
  return subjects.map((subject) => ({
    ...subject,
    ratios: other === undefined || subject === other ? [] : [ratio(subject, other) ?? []].flat(),
  }));
}

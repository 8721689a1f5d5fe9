// What one subject costs of what another does, in the same rounds.
import type { HarnessSample, Ratio, SubjectResult } from './results.js';
import { median, medianInterval, verdictOf } from './statistics.js';

type Sampled = Pick<SubjectResult, 'name' | 'samples'>;

/** Ratios of `value` within each round that both have. */
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

function ratio(subject: Sampled, other: Sampled): Ratio | null {
  const rounds = pairedRatios(subject.samples, other.samples, ({ cpuUs }) => cpuUs);
  if (rounds.length === 0) return null;
  const interval = medianInterval(rounds);
  return { to: other.name, value: median(rounds), ...interval, verdict: verdictOf(interval, rounds.length) };
}

/** Of each subject against every other one. */
export function withRatios(subjects: readonly SubjectResult[]): SubjectResult[] {
  return subjects.map((subject) => ({
    ...subject,
    ratios: subjects.flatMap((other) => (other === subject ? [] : (ratio(subject, other) ?? []))),
  }));
}

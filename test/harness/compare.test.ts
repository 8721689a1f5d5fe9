import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CompareOptions, compare } from '../../src/harness/compare.js';
import type { HarnessResult, ScenarioResult, SubjectResult } from '../../src/harness/results.js';
import { encoded, loadOf, resultOf, sampleOf, scenarioOf, subjectOf } from './figures.js';

const OPTIONS: CompareOptions = { threshold: 0.02, relativeTo: null };
const BASE = [10, 10.1, 9.9, 10.05, 9.95];

const subject = (name: string, costs: readonly number[], more: Partial<SubjectResult> = {}): SubjectResult =>
  subjectOf(
    name,
    costs.map((cpuUs, round) => sampleOf({ round, cpuUs })),
    more,
  );
const run = (...subjects: readonly SubjectResult[]): HarnessResult => resultOf([scenarioOf(subjects)]);
const times = (factor: number): number[] => BASE.map((cost) => cost * factor);

/** Verdicts on CPU, by subject. */
function onCpu(before: HarnessResult, after: HarnessResult, options = OPTIONS): Record<string, string> {
  const { changes } = compare(before, after, options);
  return Object.fromEntries(changes.filter(({ figure }) => figure === 'cpu').map((one) => [one.subject, one.verdict]));
}

describe('the comparison of two runs', () => {
  it('tells change from noise', () => {
    const before = run(subject('a', BASE), subject('b', BASE), subject('c', BASE), subject('d', BASE));
    const after = run(
      subject('a', times(1.1)),
      subject('b', times(0.8)),
      subject('c', times(1.01)),
      // Wider than it has changed.
      subject('d', [8, 12, 10.5, 13, 9]),
    );
    assert.deepEqual(onCpu(before, after), { a: 'worse', b: 'better', c: 'noise', d: 'noise' });
    assert.equal(compare(before, after, OPTIONS).worse, true);
    assert.equal(compare(before, before, OPTIONS).worse, false);
  });

  it('says nothing of few rounds, and nothing below the threshold', () => {
    const few = (factor: number): HarnessResult => run(subject('a', times(factor).slice(0, 3)));
    assert.deepEqual(onCpu(few(1), few(1.2)), { a: 'unclear' });
    assert.equal(compare(few(1), few(1.2), OPTIONS).worse, false);
    assert.deepEqual(onCpu(run(subject('a', BASE)), run(subject('a', times(1.1))), { ...OPTIONS, threshold: 0.2 }), {
      a: 'noise',
    });
  });

  it('compares with another subject of the same rounds, where the machine was another', () => {
    const before = run(subject('a', BASE), subject('nginx', times(2)));
    const after = run(subject('a', times(1.5)), subject('nginx', times(3)));
    assert.deepEqual(onCpu(before, after), { a: 'worse', nginx: 'worse' });
    assert.deepEqual(onCpu(before, after, { ...OPTIONS, relativeTo: 'nginx' }), { a: 'noise' });
  });

  it('takes throughput where there is no rate to keep, and latency where there is', () => {
    const figures = (scenario: ScenarioResult): string[] =>
      compare(resultOf([scenario]), resultOf([scenario]), OPTIONS).changes.map(({ figure }) => figure);
    const closed = scenarioOf([subject('a', BASE)]);
    assert.deepEqual(figures(closed), ['cpu', 'rate', 'memory']);
    const paced = { ...closed, plan: { ...closed.plan, pace: { kind: 'constant', rate: 1 } as const } };
    assert.deepEqual(figures(paced), ['cpu', 'p50', 'p99', 'p99.9', 'memory']);
    const at = (us: number): ScenarioResult => ({
      ...paced,
      subjects: [
        subjectOf(
          'a',
          BASE.map((_, round) => sampleOf({ round, load: loadOf({ latency: encoded([us, us + 1, us + round]) }) })),
        ),
      ],
    });
    const { changes } = compare(resultOf([at(100)]), resultOf([at(200)]), OPTIONS);
    assert.deepEqual(changes.find(({ figure }) => figure === 'p99')?.verdict, 'worse');
    // More a second is better.
    const faster = run(
      subjectOf(
        'a',
        BASE.map((_, round) => sampleOf({ round, load: loadOf({ done: 2000 }) })),
      ),
    );
    const rate = compare(run(subject('a', BASE)), faster, OPTIONS).changes.find(({ figure }) => figure === 'rate');
    assert.equal(rate?.verdict, 'better');
  });

  it('takes memory for changed where it is more than starts of one build differ by', () => {
    const of = (memoryBytes: number): HarnessResult =>
      run(
        subjectOf(
          'a',
          BASE.map((_, round) => sampleOf({ round, memoryBytes: memoryBytes + round })),
        ),
      );
    const verdicts = [1.01, 1.15, 0.85, 1.25, 0.7].map(
      (factor) =>
        compare(of(1e8), of(1e8 * factor), OPTIONS).changes.find(({ figure }) => figure === 'memory')?.verdict,
    );
    assert.deepEqual(verdicts, ['noise', 'unclear', 'unclear', 'worse', 'better']);
  });

  it('names what it cannot compare', () => {
    const one = scenarioOf([
      subject('a', BASE),
      subject('b', BASE, { version: '1' }),
      subject('gone', BASE),
      subject('absent', [], { skipped: 'not installed' }),
    ]);
    const other = scenarioOf([
      subject('a', [], { failed: 'it ended' }),
      subject('b', BASE, { version: '2' }),
      subject('new', BASE),
      subject('absent', BASE),
    ]);
    const elsewhere = { ...other, name: 'other' };
    const { environment } = resultOf([]);
    const { notes, worse } = compare(
      resultOf([one, { ...one, name: 'first' }]),
      resultOf([other, elsewhere], { environment: { ...environment, cores: 8 }, interrupted: true }),
      OPTIONS,
    );
    assert.deepEqual(notes, [
      'the runs differ in cores: 2 and 8',
      'one of the runs was ended early',
      'h1: a failed in the second run: it ended',
      'h1: b: version 1 and 2',
      'h1: new is only in the second run',
      'h1: absent was skipped in the first run: not installed',
      'h1: gone is only in the first run',
      'other is only in the second run',
      'first is only in the first run',
    ]);
    assert.equal(worse, true);
    const { plan } = one;
    const changed = { ...one, plan: { ...plan, connections: 1 } };
    const different = compare(resultOf([one]), resultOf([changed]), OPTIONS);
    assert.deepEqual(different.changes, []);
    assert.deepEqual(different.notes, ['h1: the work differs, so nothing is compared']);
  });
});

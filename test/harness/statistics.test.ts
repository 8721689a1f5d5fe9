import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Random } from '../../src/balance/random.js';
import { referenceOf, withRatios } from '../../src/harness/ratios.js';
import { median, medianInterval, ratioInterval, verdictOf } from '../../src/harness/statistics.js';
import { sampleOf, subjectOf } from './figures.js';

describe('the interval of a median', () => {
  it('is that of the values where they are few, and the same each time', () => {
    const values = [1.02, 0.98, 1.01, 0.99, 1];
    assert.deepEqual(medianInterval(values), { low: 0.98, high: 1.02 });
    assert.deepEqual(medianInterval(values), medianInterval(values));
    assert.deepEqual(medianInterval([2]), { low: 2, high: 2 });
  });

  it('gets narrower with more values, and holds the true median nearly always', () => {
    const random = new Random(7);
    const value = (): number => 1 + (random.draw() >>> 0) / 2 ** 32;
    let held = 0;
    let width = 0;
    const tries = 100;
    for (let each = 0; each < tries; each++) {
      const { low, high } = medianInterval(Array.from({ length: 41 }, value));
      if (low <= 1.5 && high >= 1.5) held++;
      width += (high - low) / tries;
    }
    assert.ok(held >= 88, `${held} of ${tries}`);
    assert.ok(width < 0.5, `${width}`);
  });

  it('of a ratio of medians holds the ratio', () => {
    const { low, high } = ratioInterval([10, 11, 12, 10.5, 11.5], [20, 22, 21, 20.5, 21.5]);
    assert.ok(low < 11 / 21 && high > 11 / 21 && high < 0.65, `${low} ${high}`);
  });
});

describe('a verdict', () => {
  it('is given where the interval is on one side of 1, of five rounds or more', () => {
    assert.equal(verdictOf({ low: 0.9, high: 0.99 }, 5), 'less');
    assert.equal(verdictOf({ low: 1.01, high: 1.2 }, 5), 'more');
    assert.equal(verdictOf({ low: 0.9, high: 1.01 }, 5), 'unclear');
    assert.equal(verdictOf({ low: 0.5, high: 0.6 }, 4), 'unclear');
  });
});

describe('ratios of subjects', () => {
  it('are taken within rounds, of those that both have', () => {
    // The second round is slow for both; the other one has lost its fourth.
    const subjects = [
      subjectOf(
        'one',
        [10, 20, 11, 10, 10].map((cpuUs, round) => sampleOf({ round, cpuUs })),
      ),
      subjectOf(
        'other',
        [20, 40, 20].map((cpuUs, round) => sampleOf({ round, cpuUs })),
      ),
    ];
    const [one, other] = withRatios(subjects, 'other');
    assert.equal(one.ratios.length, 1);
    assert.deepEqual({ ...one.ratios[0], high: 0 }, { to: 'other', value: 0.5, low: 0.5, high: 0, verdict: 'unclear' });
    assert.deepEqual(other.ratios, []);
    assert.equal(withRatios(subjects, 'one')[1].ratios[0].value, 2);
    assert.deepEqual(withRatios(subjects, null)[0].ratios, []);
  });

  it('are not taken against what has no cost of its own', () => {
    const subjects = [
      subjectOf('gone', []),
      subjectOf('direct', [sampleOf({ round: 0, cpuUs: 0 })]),
      subjectOf('one', [sampleOf({ round: 0, cpuUs: 3 })]),
    ];
    for (const { ratios } of withRatios(subjects, 'direct')) assert.deepEqual(ratios, []);
    assert.equal(referenceOf(subjects), 'one');
    assert.equal(referenceOf([]), null);
  });

  it('have a verdict with five rounds', () => {
    const of = (name: string, values: readonly number[]) =>
      subjectOf(
        name,
        values.map((cpuUs, round) => sampleOf({ round, cpuUs })),
      );
    const [one] = withRatios([of('one', [9, 9.1, 8.9, 9, 9]), of('other', [10, 10, 10, 10, 10])], 'other');
    assert.equal(one.ratios[0].verdict, 'less');
    assert.equal(median([3, 1, 2]), 2);
  });
});

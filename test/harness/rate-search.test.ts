import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Outcome, RateSearch } from '../../src/harness/rate-search.js';

const OPTIONS = { from: 1000, most: 1_000_000, least: 10, precision: 0.05 };

/** What is tried until it ends, where `holds` says what holds. */
function search(holds: (rate: number) => boolean, options = OPTIONS): { search: RateSearch; tried: number[] } {
  const search = new RateSearch(options);
  const tried: number[] = [];
  for (let rate = search.next; rate !== null; rate = search.next) {
    assert.ok(rate >= options.least && rate <= options.most, `${rate}`);
    tried.push(rate);
    assert.ok(tried.length < 200, 'it does not end');
    search.record(holds(rate) ? 'held' : 'failed');
  }
  return { search, tried };
}

describe('the search for the highest rate that holds', () => {
  it('doubles until one does not, tries that again, and halves the gap', () => {
    const { search: done, tried } = search((rate) => rate <= 5000);
    assert.deepEqual(tried, [1000, 2000, 4000, 8000, 8000, 6000, 6000, 5000, 5500, 5500, 5250, 5250, 5000]);
    assert.equal(done.found, 5000);
    assert.equal(done.atMost, false);
  });

  it('goes down where the first does not hold, to the least', () => {
    assert.equal(search((rate) => rate <= 300).search.found, 298);
    const nothing = search(() => false);
    assert.equal(nothing.search.found, null);
    assert.deepEqual(nothing.tried.at(-1), 10);
  });

  it('ends at the most that may be tried', () => {
    const { search: done } = search(() => true);
    assert.equal(done.found, OPTIONS.most);
    assert.equal(done.atMost, true);
  });

  it('is not led astray by one bad moment', () => {
    let bad = 1;
    const { search: done } = search((rate) => (rate === 4000 && bad-- > 0 ? false : rate <= 5000));
    assert.equal(done.found, 5000);
  });

  it('lets the majority of three tries decide', () => {
    const tries = new Map<number, number>();
    const flaky = (good: number) => (rate: number) => {
      const number = (tries.get(rate) ?? 0) + 1;
      tries.set(rate, number);
      return rate < 4000 || (rate === 4000 && number === good);
    };
    // Fails, holds, fails.
    assert.ok((search(flaky(2)).search.found ?? 0) < 4000);
    assert.equal(tries.get(4000), 3);
  });

  it('takes back a rate that held by chance', () => {
    let times = 0;
    const { search: done } = search((rate) => rate <= 2900 || (rate === 4000 && times++ === 0));
    const found = done.found ?? 0;
    assert.ok(found <= 2900 && found > 2700, `${found}`);
  });

  it('repeats disturbed loads, and says where none was undisturbed', () => {
    const run = (outcome: (rate: number, number: number) => Outcome): { done: RateSearch; tried: number[] } => {
      const done = new RateSearch({ ...OPTIONS, most: 2000 });
      const tried: number[] = [];
      for (let rate = done.next; rate !== null; rate = done.next) {
        tried.push(rate);
        done.record(outcome(rate, tried.filter((one) => one === rate).length));
      }
      return { done, tried };
    };
    // Quiet again after three of them.
    const passing = run((rate, number) => (rate === 1000 && number <= 3 ? 'disturbed' : 'held'));
    assert.deepEqual(passing.tried, [1000, 1000, 1000, 1000, 2000, 2000]);
    assert.deepEqual([passing.done.found, passing.done.doubtful], [2000, false]);
    const lasting = run((rate) => (rate === 2000 ? 'disturbed' : 'held'));
    assert.equal(lasting.tried.filter((rate) => rate === 2000).length, 6);
    assert.equal(lasting.done.doubtful, true);
    assert.ok((lasting.done.found ?? 0) > 1800);
    const never = run((rate) => (rate > 100 ? 'disturbed' : 'held'));
    assert.equal(never.done.doubtful, true);
    assert.ok((never.done.found ?? 0) <= 100);
  });

  it('finds every limit, to its precision', () => {
    fc.assert(
      fc.property(fc.integer({ min: 10, max: 1_000_000 }), fc.integer({ min: 10, max: 100_000 }), (limit, from) => {
        const { search: done } = search((rate) => rate <= limit, { ...OPTIONS, from });
        const found = done.found ?? 0;
        assert.ok(found <= limit && (limit - found <= limit * 0.06 || limit - found <= 1), `${found} of ${limit}`);
      }),
    );
  });

  it('tells nobody who has not asked', () => {
    const { search: done } = search(() => false);
    assert.throws(() => done.record('held'), /no rate was asked for/);
    assert.equal(done.left, 0);
  });
});

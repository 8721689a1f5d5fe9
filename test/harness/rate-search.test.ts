import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RateSearch } from '../../src/harness/rate-search.js';

const OPTIONS = { from: 1000, most: 1_000_000, least: 10, precision: 0.05 };

/** What is tried until it ends, where `holds` says what holds. */
function search(holds: (rate: number) => boolean, options = OPTIONS): { search: RateSearch; tried: number[] } {
  const search = new RateSearch(options);
  const tried: number[] = [];
  for (let rate = search.next; rate !== null; rate = search.next) {
    assert.ok(rate >= options.least && rate <= options.most, `${rate}`);
    tried.push(rate);
    assert.ok(tried.length < 200, 'it does not end');
    search.told(holds(rate));
  }
  return { search, tried };
}

describe('the search for the highest rate that holds', () => {
  it('doubles until one does not, tries that again, and halves the gap', () => {
    const { search: done, tried } = search((rate) => rate <= 5000);
    assert.deepEqual(tried, [1000, 2000, 4000, 8000, 8000, 6000, 6000, 5000, 5500, 5500, 5250, 5250]);
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
    assert.throws(() => done.told(true), /no rate was asked for/);
    assert.equal(done.left, 0);
  });
});

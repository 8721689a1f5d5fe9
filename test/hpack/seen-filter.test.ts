import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SeenFilter } from '../../src/hpack/memory/seen-filter.js';

const PLACES = 64;
/** Hashes that share a set. */
const colliding = (count: number): number[] => Array.from({ length: count }, (_, i) => 5 + (i + 1) * PLACES);

describe('the filter of what was seen once', () => {
  it('know a hash at its second sight', () => {
    const seenOnce = new SeenFilter(PLACES);
    assert.equal(seenOnce.seenBefore(-7), false);
    assert.equal(seenOnce.seenBefore(-7), true);
    assert.equal(seenOnce.seenBefore(-7), true);
  });

  it('keep hashes that come together, though they share a place', () => {
    const seenOnce = new SeenFilter(PLACES);
    for (const hash of colliding(4)) assert.equal(seenOnce.seenBefore(hash), false);
    for (const hash of colliding(4)) assert.equal(seenOnce.seenBefore(hash), true);
  });

  it('forget the oldest of a set for a new one, and nothing of another set', () => {
    const seenOnce = new SeenFilter(PLACES);
    seenOnce.seenBefore(6);
    for (const hash of colliding(5)) seenOnce.seenBefore(hash);
    assert.equal(seenOnce.seenBefore(6), true);
    const [first, second] = colliding(2);
    assert.equal(seenOnce.seenBefore(second), true);
    assert.equal(seenOnce.seenBefore(first), false);
  });

  it('know nothing once cleared', () => {
    const seenOnce = new SeenFilter(PLACES);
    seenOnce.seenBefore(9);
    seenOnce.clear();
    assert.equal(seenOnce.seenBefore(9), false);
  });
});

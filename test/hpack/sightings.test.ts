import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Sightings } from '../../src/hpack/memory/sightings.js';

const PLACES = 64;
/** Hashes that share a set. */
const colliding = (count: number): number[] => Array.from({ length: count }, (_, i) => 5 + (i + 1) * PLACES);

describe('sightings', () => {
  it('know a hash at its second sight', () => {
    const sightings = new Sightings(PLACES);
    assert.equal(sightings.again(-7), false);
    assert.equal(sightings.again(-7), true);
    assert.equal(sightings.again(-7), true);
  });

  it('keep hashes that come together, though they share a place', () => {
    const sightings = new Sightings(PLACES);
    for (const hash of colliding(4)) assert.equal(sightings.again(hash), false);
    for (const hash of colliding(4)) assert.equal(sightings.again(hash), true);
  });

  it('forget the oldest of a set for a new one, and nothing of another set', () => {
    const sightings = new Sightings(PLACES);
    sightings.again(6);
    for (const hash of colliding(5)) sightings.again(hash);
    assert.equal(sightings.again(6), true);
    const [first, second] = colliding(2);
    assert.equal(sightings.again(second), true);
    assert.equal(sightings.again(first), false);
  });

  it('know nothing once cleared', () => {
    const sightings = new Sightings(PLACES);
    sightings.again(9);
    sightings.clear();
    assert.equal(sightings.again(9), false);
  });
});

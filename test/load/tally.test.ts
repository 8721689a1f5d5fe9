// How latencies are recorded and encoded, against the library that reads them.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { build } from 'hdr-histogram-js';
import { decode, encode } from '../../src/load/encode.js';
import { IntervalRecorder, Measurements, merge } from '../../src/load/measurements.js';
import { allocateTally, HIGHEST_US, HISTOGRAM, lowestOf, SLOTS, slotOf, Tally } from '../../src/load/tally.js';

const VALUES = [0, 1, 2, 1000, 2047, 2048, 2049, 4095, 4096, 99_999, 1_000_000, 123_456_789, HIGHEST_US];

it('a slot begins at its lowest value, and the next one behind it', () => {
  for (let slot = 0; slot < SLOTS; slot++) {
    assert.equal(slotOf(lowestOf(slot)), slot);
    if (slot > 0) assert.equal(slotOf(lowestOf(slot) - 1), slot - 1);
  }
  assert.equal(slotOf(HIGHEST_US), SLOTS - 1);
});

it('what is recorded is what a histogram of the library has', () => {
  const memory = allocateTally();
  const tally = new Tally(memory);
  const reference = build({ bitBucketSize: 64, highestTrackableValue: HIGHEST_US, numberOfSignificantValueDigits: 3 });
  for (const value of VALUES) {
    tally.record(HISTOGRAM.SERVICE, value + 0.25);
    reference.recordValue(value);
  }
  tally.record(HISTOGRAM.SERVICE, -5);
  reference.recordValue(0);
  const encoded = encode(new Measurements([memory]).histogram(HISTOGRAM.SERVICE));
  const decoded = decode(encoded);
  assert.equal(encoded.count, VALUES.length + 1);
  assert.equal(
    encoded.sum,
    VALUES.reduce((sum, value) => sum + value, 0),
  );
  for (const percentile of [1, 10, 25, 50, 75, 90, 99, 100])
    assert.equal(decoded.getValueAtPercentile(percentile), reference.getValueAtPercentile(percentile));
});

it('the parts that came one after the other are the whole', () => {
  const memory = allocateTally();
  const tally = new Tally(memory);
  const since = new IntervalRecorder(new Measurements([memory]), HISTOGRAM.LATENCY);
  const parts = [1, 2, 3].map((part) => {
    for (let i = 0; i < 100; i++) tally.record(HISTOGRAM.LATENCY, i * part);
    return since.take();
  });
  assert.deepEqual(merge(parts), new Measurements([memory]).histogram(HISTOGRAM.LATENCY));
  assert.equal(since.take().slots.length, 0);
});

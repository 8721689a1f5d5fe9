import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SAMPLE_MS, Sampling } from '../../src/proxy/sampling.js';

const NEVER = Number.POSITIVE_INFINITY;
const MINUTE_MS = 60_000;

/** Lets `forMs` pass, in which a worker is woken by nothing but its samples. Returns how often. */
function wait(sampling: Sampling, from: number, forMs: number, events: number, latest = NEVER): number {
  let samples = 0;
  while (sampling.at <= from + forMs) {
    const now = sampling.at;
    assert.equal(sampling.due(now, events), true);
    sampling.taken(now, events, latest === NEVER ? NEVER : now + latest);
    assert.ok(sampling.at >= now + SAMPLE_MS);
    samples++;
  }
  return samples;
}

test('while something happens a sample is taken every 250 ms', () => {
  const sampling = new Sampling();
  sampling.start(0);
  let samples = 0;
  for (let now = 0; now <= MINUTE_MS; now++) {
    if (!sampling.due(now, now)) continue;
    samples++;
    sampling.taken(now, now, NEVER);
  }
  assert.equal(samples, MINUTE_MS / SAMPLE_MS);
});

test('while nothing happens there is less than one in six seconds', () => {
  const sampling = new Sampling();
  sampling.start(0);
  const samples = wait(sampling, 0, 10 * MINUTE_MS, 0);
  assert.ok(samples < 100, `${samples} samples in ten minutes`);
});

test('what happens after a rest is sampled as soon as anything, and once more behind it', () => {
  const sampling = new Sampling();
  sampling.start(0);
  wait(sampling, 0, MINUTE_MS, 0);
  const now = sampling.at - 5000;
  assert.equal(sampling.due(now, 1), false);
  assert.equal(sampling.at, now + SAMPLE_MS);
  assert.equal(sampling.due(now + SAMPLE_MS, 2), true);
  sampling.taken(now + SAMPLE_MS, 2, NEVER);
  assert.equal(sampling.at, now + 2 * SAMPLE_MS);
});

test('a rest ends when something is due, and does not begin before', () => {
  const sampling = new Sampling();
  sampling.start(0);
  // The pauses of 250 and 500 ms come first.
  assert.equal(wait(sampling, 0, MINUTE_MS, 0, 1000), 61);
});

test('nothing is due before the start and after the end', () => {
  const sampling = new Sampling();
  assert.equal(sampling.due(Number.MAX_SAFE_INTEGER, 1), false);
  sampling.start(0);
  sampling.stop();
  assert.equal(sampling.due(Number.MAX_SAFE_INTEGER, 1), false);
});

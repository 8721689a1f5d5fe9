// Intervals that the proxy keeps while somebody asks; differences of what was asked twice.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { since } from '../../src/histograms/admin-source.js';
import type { NamedHistogram } from '../../src/histograms/catalog.js';
import { exponentialOf, indexOf } from '../../src/histograms/exponential.js';
import { INTERVALS, Intervals, SNAPSHOT_INTERVAL_MS } from '../../src/histograms/intervals.js';
import { bucketsIn, emptyHistogram, type NamedRecording, type Recording } from '../../src/histograms/recording.js';
import { HISTOGRAM_SLOTS } from '../../src/metrics/layout.js';

/** A proxy with one histogram and a clock of its own. */
class World {
  now = 0;
  timers: { at: number; run: () => void }[] = [];
  taken = 0;
  released = 0;
  counts = new Float64Array(HISTOGRAM_SLOTS);
  readonly intervals = new Intervals({
    take: async () => {
      this.taken++;
      return { histograms: [this.histogram()], release: () => this.released++ };
    },
    turn: async () => undefined,
    now: () => this.now,
    later: (run, ms) => void this.timers.push({ at: this.now + ms, run }),
  });

  histogram(): NamedHistogram {
    const count = this.counts.reduce((sum, one) => sum + one, 0);
    const data = { counts: this.counts, count, sum: count, of: this };
    return { id: 'a', kind: 'service', histogram: 'response_latency_us', labels: {}, data };
  }

  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.find(({ at }) => at <= end);
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.now = next.at;
      next.run();
      // A mark is made without waiting for anything.
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.now = end;
  }

  /** What came in the last interval, by slot; or the wait. */
  async ask(name: string): Promise<number | [slot: number, count: number][]> {
    const answer = await this.intervals.ask(INTERVALS[name]);
    if (typeof answer === 'number') return answer;
    return answer.histograms.flatMap(({ data }) =>
      [...data.counts].flatMap((count, slot): [number, number][] => (count === 0 ? [] : [[slot, count]])),
    );
  }
}

describe('intervals that are kept', () => {
  it('are none before the first question, and whole after that', async () => {
    const world = new World();
    world.counts[3] = 5;
    await world.pass(100_000);
    assert.equal(world.taken, 0);
    assert.equal(await world.ask('10s'), SNAPSHOT_INTERVAL_MS);
    world.counts[3] += 2;
    world.counts[7] = 1;
    await world.pass(4000);
    assert.equal(await world.ask('10s'), 6000);
    await world.pass(6000);
    assert.deepEqual(await world.ask('10s'), [
      [3, 2],
      [7, 1],
    ]);
    assert.equal(await world.ask('1m'), 50_000);
    world.counts[3]++;
    await world.pass(50_000);
    assert.deepEqual(await world.ask('1m'), [
      [3, 3],
      [7, 1],
    ]);
    assert.deepEqual(await world.ask('10s'), [], 'nothing came in the last ten seconds');
  });

  it('that nobody asks for any more are forgotten, and nothing wakes the process', async () => {
    const world = new World();
    await world.ask('10s');
    await world.pass(1_000_000);
    assert.equal(world.timers.length, 0);
    assert.equal(world.intervals.held, 0);
    assert.ok(world.taken < 20);
    assert.equal(await world.ask('10s'), SNAPSHOT_INTERVAL_MS, 'and begin anew');
  });

  it('count whole what began anew', async () => {
    const world = new World();
    world.counts[3] = 50;
    await world.ask('10s');
    world.counts = new Float64Array(HISTOGRAM_SLOTS);
    world.counts[2] = 4;
    await world.pass(SNAPSHOT_INTERVAL_MS);
    assert.deepEqual(await world.ask('10s'), [[2, 4]]);
  });
});

describe('the difference of two answers', () => {
  const recording = (endMs: number, values: readonly number[]): Recording => {
    const histogram = emptyHistogram(2);
    for (const value of values) histogram.recordValue(value);
    const sum = values.reduce((total, value) => total + value, 0);
    const one: NamedRecording = { id: 'a', kind: '', name: '', labels: {}, unit: 'us', histogram, sum };
    return { startMs: 0, endMs, histograms: [one] };
  };

  it('is what has come since', () => {
    const part = since(recording(1000, [5, 500]), recording(2000, [5, 5, 500, 50_000]));
    assert.deepEqual([part.startMs, part.endMs, part.histograms[0].sum], [1000, 2000, 50_005]);
    assert.deepEqual(
      bucketsIn(part.histograms[0].histogram).map(({ lowest, count }) => [lowest, count]),
      [
        [5, 1],
        [49_920, 1],
      ],
    );
  });

  it('is all of it where the proxy has begun anew', () => {
    assert.equal(since(recording(1000, [5, 500]), recording(2000, [5, 7, 9])).histograms[0].histogram.totalCount, 3);
    assert.equal(since(recording(1000, [5, 7]), recording(2000, [5])).histograms[0].histogram.totalCount, 1);
  });
});

describe('exponential buckets', () => {
  it('hold what they say they do', () => {
    for (const scale of [-2, 0, 3, 6, 8])
      for (const value of [1e-6, 0.001, 0.25, 1, 1.5, 2, 1000]) {
        const index = indexOf(value, scale);
        const base = 2 ** (2 ** -scale);
        assert.ok(
          base ** index < value * (1 + 1e-9) && value <= base ** (index + 1) * (1 + 1e-9),
          `${value} at ${scale}`,
        );
      }
    assert.equal(indexOf(1, 0), -1);
    assert.equal(indexOf(2, 0), 0);
  });

  it('are as fine as the precision allows, and no more than asked for', () => {
    const histogram = emptyHistogram(2);
    for (const value of [0, 0, 100, 100, 200]) histogram.recordValue(value);
    const fine = exponentialOf(bucketsIn(histogram), 1e-6, 160);
    assert.equal(fine.scale, 6);
    assert.equal(fine.zeros, 2);
    assert.deepEqual(
      fine.buckets.map(([, count]) => count),
      [2, 1],
    );
    histogram.recordValue(1_000_000_000);
    const coarse = exponentialOf(bucketsIn(histogram), 1e-6, 160);
    assert.ok(coarse.scale < 6);
    const indexes = coarse.buckets.map(([index]) => index);
    assert.ok(indexes[indexes.length - 1] - indexes[0] < 160);
    assert.equal(
      coarse.buckets.reduce((sum, [, count]) => sum + count, 0),
      4,
    );
  });

  it('coarsen by joining neighbours, so that a counter does not fall back', () => {
    const histogram = emptyHistogram(2);
    for (let value = 1; value < 100_000; value = Math.ceil(value * 1.03)) histogram.recordValue(value);
    const buckets = bucketsIn(histogram);
    const fine = exponentialOf(buckets, 1e-6, 10_000);
    const coarse = exponentialOf(buckets, 1e-6, 160);
    const joined = new Map<number, number>();
    const factor = 2 ** (fine.scale - coarse.scale);
    for (const [index, count] of fine.buckets) {
      const at = Math.floor(index / factor);
      joined.set(at, (joined.get(at) ?? 0) + count);
    }
    assert.deepEqual([...joined], coarse.buckets);
  });
});

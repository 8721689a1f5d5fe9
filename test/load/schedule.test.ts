// When requests are due: with a clock that the test moves.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoissonSchedule, type Schedule, SteadySchedule, scheduleOf } from '../../src/load/schedule.js';

/** Takes all that is due up to `end`, µs, and says when each was. */
function taken(schedule: Schedule, end: number): number[] {
  const times: number[] = [];
  while (schedule.next[0] < end) {
    times.push(schedule.next[0]);
    schedule.advance();
  }
  return times;
}

describe('a steady schedule', () => {
  it('has requests at even distances, as many as its rate and time say', () => {
    const times = taken(new SteadySchedule([{ rate: 1000, seconds: 2 }]), Number.POSITIVE_INFINITY);
    assert.equal(times.length, 2000);
    assert.deepEqual(times.slice(0, 3), [0, 1000, 2000]);
    assert.equal(times.at(-1), 1_999_000);
  });

  it('says what is due and not taken, also long after its end', () => {
    const schedule = new SteadySchedule([{ rate: 100, seconds: 1 }]);
    assert.equal(schedule.due(0), 1);
    assert.equal(schedule.due(9_999), 1);
    assert.equal(schedule.due(10_000), 2);
    schedule.advance();
    assert.equal(schedule.due(10_000), 1);
    assert.equal(schedule.due(1e9), 99);
    assert.equal(schedule.due(-5), 0);
  });

  for (const [what, make] of [
    ['even', () => new SteadySchedule([{ rate: 3000, seconds: 1 }])],
    ['random', () => new PoissonSchedule({ rate: 3000, seconds: 1 }, 7)],
  ] as const)
    it(`leaves out what was due before a time, and has all that comes after it (${what})`, () => {
      const all = taken(make(), Number.POSITIVE_INFINITY);
      for (const time of [0, 1, 333_333, all[1000], all[1000] + 0.5, 5_000_000]) {
        const schedule = make();
        schedule.advance();
        schedule.skip(time);
        const wanted = all.filter((due, i) => i > 0 && due >= time);
        assert.deepEqual(taken(schedule, Number.POSITIVE_INFINITY), wanted, `${time}`);
      }
    });

  it('goes on evenly from one step to the next', () => {
    const steps = [
      { rate: 10, seconds: 0.25 },
      { rate: 20, seconds: 1 },
    ];
    const times = taken(new SteadySchedule(steps), Number.POSITIVE_INFINITY);
    // Two and a half requests in the first step: the other half of the third takes half as long.
    assert.deepEqual(times.slice(0, 5).map(Math.round), [0, 100_000, 200_000, 275_000, 325_000]);
    // 22.5 requests: number 22 begins.
    assert.equal(times.length, 23);
  });

  it('of several portions together is even, too', () => {
    const portions = [0, 0.25, 0.75].map((offset, number) => ({ share: [0.25, 0.5, 0.25][number], offset, number }));
    const all = portions.map((portion) => {
      const schedule = scheduleOf({ kind: 'constant', rate: 400 }, 1, 4, portion);
      assert.ok(schedule !== null);
      return taken(schedule, Number.POSITIVE_INFINITY).length;
    });
    assert.deepEqual(all, [500, 1000, 500]);
  });

  it('of a rate that does not divide a second loses nothing', () => {
    const times = taken(new SteadySchedule([{ rate: 333.3, seconds: 1000 }]), Number.POSITIVE_INFINITY);
    assert.equal(times.length, 333_300);
  });
});

describe('a schedule of Poisson arrivals', () => {
  it('has its rate in the mean, and distances that vary as they should', () => {
    const times = taken(new PoissonSchedule({ rate: 1000, seconds: 100 }, 7), Number.POSITIVE_INFINITY);
    // Five standard deviations.
    assert.ok(Math.abs(times.length - 100_000) < 5 * Math.sqrt(100_000), `${times.length}`);
    const gaps = times.slice(1).map((time, i) => time - times[i]);
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
    assert.ok(Math.abs(deviation / mean - 1) < 0.05, `${deviation / mean}`);
  });

  it('is the same with the same seed, and another with another', () => {
    const of = (seed: number) => taken(new PoissonSchedule({ rate: 100, seconds: 1 }, seed), 1e6);
    assert.deepEqual(of(1), of(1));
    assert.notDeepEqual(of(1), of(2));
  });

  it('counts what is due without taking it', () => {
    const schedule = new PoissonSchedule({ rate: 1000, seconds: 1 }, 3);
    const due = schedule.due(500_000);
    assert.equal(taken(schedule, 500_000).length, due);
  });
});

it('a closed loop has no schedule', () => {
  assert.equal(scheduleOf({ kind: 'closed', thinkMs: 0 }, 0, 1, { share: 1, offset: 0, number: 0 }), null);
});

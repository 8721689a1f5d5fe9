import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TICK_MS, TimerWheel } from '../../src/io/timer-wheel.js';
import { runs } from '../support/runs.js';

const SLOTS = 8;
/** Ticks that a bucket of each level stands for, and a bit: deadlines around the levels' borders are where it goes wrong. */
const SPANS_MS = [1, 64, 64 ** 2, 64 ** 3, 64 ** 4].map((ticks) => ticks * TICK_MS);

const delay = fc.oneof(
  fc.double({ min: -5, max: 300, noNaN: true }),
  fc
    .tuple(fc.constantFrom(...SPANS_MS), fc.double({ min: 0.01, max: 3, noNaN: true }))
    .map(([span, factor]) => span * factor),
  fc.tuple(fc.constantFrom(...SPANS_MS), fc.integer({ min: -3, max: 3 })).map(([span, near]) => span + near),
);
const slot = fc.nat(SLOTS - 1);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('schedule' as const), slot, delay }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pull' as const), slot, delay }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cancel' as const), slot }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('advance' as const), delay }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('sleep' as const) }) },
);

/** Just booted; an uptime of 49.7 days, where ticks pass 2^31; of 99, where they pass 2^32. */
const start = fc.oneof(
  fc.double({ min: 0, max: 1e7, noNaN: true }),
  fc.constantFrom(2 ** 31, 2 ** 32).map((ticks) => ticks * TICK_MS - 1000),
);

test('timers fire once, never early, never later than a tick after time has come; sleeping until nextMs misses none', () => {
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 60 }), (begin, steps) => {
      let now = begin;
      const wheel = new TimerWheel(SLOTS, now);
      const model = new Map<number, number>();

      const advance = (to: number): void => {
        now = Math.max(now, to);
        const fired = wheel.advance(now);
        for (let i = 0; i < fired; i++) {
          const due = wheel.expired(i);
          const deadline = model.get(due);
          assert.notEqual(deadline, undefined, 'it was armed');
          assert.ok((deadline ?? 0) <= now, `not early: ${deadline} at ${now}`);
          model.delete(due);
        }
        for (const deadline of model.values()) assert.ok(deadline > now - TICK_MS, `not late: ${deadline} at ${now}`);
      };
      const check = (): void => {
        assert.equal(wheel.size, model.size);
        const next = wheel.nextMs();
        if (model.size === 0) assert.equal(next, Number.POSITIVE_INFINITY);
        // What is due already fires with the next tick.
        else assert.ok(next <= Math.max(Math.min(...model.values()), now) + TICK_MS, `nextMs ${next} at ${now}`);
      };

      for (const action of steps) {
        if (action.kind === 'schedule') {
          wheel.schedule(action.slot, now + action.delay);
          // A deadline in the past is due from now on.
          model.set(action.slot, now + Math.max(0, action.delay));
        } else if (action.kind === 'pull') {
          wheel.pull(action.slot, now + action.delay);
          model.set(
            action.slot,
            Math.min(model.get(action.slot) ?? Number.POSITIVE_INFINITY, now + Math.max(0, action.delay)),
          );
        } else if (action.kind === 'cancel') {
          wheel.cancel(action.slot);
          model.delete(action.slot);
        } else if (action.kind === 'advance') {
          advance(now + Math.max(0, action.delay));
        } else if (model.size > 0) {
          advance(wheel.nextMs());
        }
        check();
      }
      // Left alone, it comes to an end: one wake a level at most, and one for each deadline.
      for (let wakes = 0; model.size > 0; wakes++) {
        assert.ok(wakes < 1000, 'it sleeps in between');
        advance(wheel.nextMs());
        check();
      }
    }),
    { numRuns: runs(500) },
  );
});

test('a far timer that is due soon is not forgotten for a nearer one that is due later', () => {
  const wheel = new TimerWheel(2, 0);
  wheel.schedule(0, 4096 * TICK_MS + 10);
  wheel.advance(4000 * TICK_MS);
  wheel.schedule(1, (4000 + 4000) * TICK_MS);
  assert.ok(wheel.nextMs() <= 4096 * TICK_MS + 10);
});

test('a silence of days is passed at once', () => {
  const wheel = new TimerWheel(1, 0);
  const week = 7 * 86_400_000;
  wheel.schedule(0, 2 * week);
  assert.equal(wheel.advance(week), 0);
  assert.equal(wheel.advance(2 * week + TICK_MS), 1);
  assert.equal(wheel.expired(0), 0);
});

test('a timer that is armed while others fire waits for its own time', () => {
  const wheel = new TimerWheel(2, 0);
  wheel.schedule(0, 10);
  assert.equal(wheel.advance(12), 1);
  wheel.schedule(0, 12);
  wheel.schedule(1, 5);
  assert.equal(wheel.advance(12), 0, 'this tick is over');
  assert.equal(wheel.advance(14), 2);
});

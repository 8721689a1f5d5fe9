import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Processes } from '../../src/harness/processes.js';
import { Progress } from '../../src/harness/progress.js';
import type { HarnessResult } from '../../src/harness/results.js';
import { curveOf, pointOf, runSaturation } from '../../src/harness/saturate.js';
import type { LoadRunner } from '../../src/harness/scenario-run.js';
import { SCENARIOS } from '../../src/harness/scenarios.js';
import type { Subject } from '../../src/harness/subjects/subject.js';
import { encoded, loadOf, resultOf, sampleOf } from './figures.js';
import { ANYWHERE, stub } from './stubs.js';

const processes = new Processes(29_000);
after(() => processes.close());

/** A load without requests: latency is under 10 ms up to `most` a second. */
const upTo =
  (most: number, rates: number[] = []): LoadRunner =>
  (plan) => {
    const rate = plan.pace.kind === 'constant' ? plan.pace.rate : 0;
    rates.push(rate);
    const slow = rate > most ? 20_000 : 1000;
    return Promise.resolve(loadOf({ seconds: 1, done: rate || 1, latency: encoded([100, slow]), wantedRate: rate }));
  };

function run(
  subjects: readonly Subject[],
  runLoad: LoadRunner,
  signal = new AbortController().signal,
  from: number | null = 1000,
): Promise<HarnessResult> {
  return runSaturation({
    scenarios: [SCENARIOS[0]],
    subjects,
    seconds: 1,
    coldSeconds: 1,
    workers: 1,
    io: 'auto',
    placement: ANYWHERE,
    processes,
    runLoad,
    progress: new Progress({ write: () => undefined }),
    signal,
    notes: [],
    environment: resultOf([]).environment,
    saved: () => undefined,
    search: { from, most: 64_000, least: 100, precision: 0.05 },
    percentile: 'p99',
    limitUs: 10_000,
  });
}

describe('the highest rate at which latency stays under a limit', () => {
  it('is found, with the curve that led there', async () => {
    const absent: Subject = { ...stub('absent'), missing: () => 'it is not here' };
    const dead = stub('dead', { script: 'process.exit(1)' });
    const { scenarios, notes } = await run([stub('some'), absent, dead], upTo(5000));
    const [some, skipped, failed] = scenarios[0].subjects;
    assert.equal(some.saturation, 5000);
    assert.deepEqual(
      some.curve.map(({ wantedRate, held }) => [wantedRate, held]),
      [
        [1000, true],
        [2000, true],
        [4000, true],
        [5000, true],
        [5250, false],
        [5500, false],
        [6000, false],
        [8000, false],
      ],
    );
    assert.deepEqual([skipped.skipped, skipped.saturation], ['it is not here', null]);
    assert.match(failed.failed ?? '', /dead ended before it could listen/);
    assert.equal(failed.saturation, null);
    // It did nothing, so it was not what gave out.
    assert.match(notes?.join('\n') ?? '', /h1: some used \d+ % of its cores when it did not hold/);
  });

  it('is the most that was tried, or nothing, where it is so', async () => {
    const all = await run([stub('some')], upTo(1_000_000));
    assert.equal(all.scenarios[0].subjects[0].saturation, 64_000);
    assert.match(all.notes?.join() ?? '', /held the most that was tried/);
    const none = await run([stub('some')], upTo(0));
    assert.equal(none.scenarios[0].subjects[0].saturation, 0);
  });

  it('begins with a quarter of what goes through, where nothing is said', async () => {
    const rates: number[] = [];
    const runLoad = upTo(5000, rates);
    const closed: LoadRunner = (plan, report, signal) =>
      plan.pace.kind === 'closed' && rates.length > 0
        ? Promise.resolve(loadOf({ seconds: 1, done: 10_000 }))
        : runLoad(plan, report, signal);
    const { scenarios } = await run([stub('some')], closed, new AbortController().signal, null);
    // The first one is the load that warms it up.
    assert.equal(rates[1], 2500);
    assert.equal(scenarios[0].subjects[0].saturation, 5000);
  });

  it('is not claimed where the search was ended', async () => {
    const ended = new AbortController();
    const { scenarios, interrupted } = await run(
      [stub('some'), stub('other')],
      async (plan, report, signal) => {
        const load = await upTo(5000)(plan, report, signal);
        if (plan.pace.kind === 'constant' && plan.pace.rate === 4000) ended.abort();
        return load;
      },
      ended.signal,
    );
    assert.equal(interrupted, true);
    assert.deepEqual(
      scenarios[0].subjects.map(({ name, saturation, curve }) => [name, saturation, curve.length]),
      [['some', null, 3]],
    );
  });

  it('does not hold where requests are late, wrong or never sent', () => {
    const limits = { percentile: 'p99', limitUs: 10_000 } as const;
    const held = (more: Parameters<typeof loadOf>[0]): boolean =>
      pointOf(sampleOf({ load: loadOf({ seconds: 1, done: 1000, ...more }) }), 1000, limits).held;
    assert.equal(held({}), true);
    assert.equal(held({ done: 960 }), false);
    assert.equal(held({ errors: { timeout: 2 } }), false);
    assert.equal(held({ errors: { timeout: 1 } }), true);
    assert.equal(held({ latency: encoded([10, 10_100]) }), false);
    assert.equal(held({ done: 0 }), false);
  });

  it('counts the majority of tries of a rate', () => {
    const point = (wantedRate: number, ok: boolean) =>
      pointOf(sampleOf({ load: loadOf({ seconds: 1, done: ok ? wantedRate : 1 }) }), wantedRate, {
        percentile: 'p99',
        limitUs: 10_000,
      });
    const tried = [point(2, false), point(2, true), point(1, true), point(3, true), point(3, false), point(3, false)];
    const curve = curveOf(tried);
    assert.deepEqual(
      curve.map(({ wantedRate, held }) => [wantedRate, held]),
      [
        [1, true],
        [2, true],
        [3, false],
      ],
    );
  });
});

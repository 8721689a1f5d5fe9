// Clocks that jump, and processes that stand still: what was to be sent meanwhile is late, and nothing is lost.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it, mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import { decode } from '../../src/load/encode.js';
import type { HistogramCounts } from '../../src/load/measurements.js';
import type { Pace } from '../../src/load/plan.js';
import type { LoadResult } from '../../src/load/result.js';
import { runLoad } from '../../src/load/run.js';
import { scheduleOf } from '../../src/load/schedule.js';
import { AT, HISTOGRAM, lowestOf } from '../../src/load/tally.js';
import { httpServer, loadPlan, target } from '../support/load.js';
import { loadInMemory, MEMORY_PORT, TURN_US } from '../support/load-in-memory.js';
import { inherited } from '../support/sluice.js';

const ANSWER = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
const CONNECTIONS = 8;

interface Jumped {
  readonly done: number;
  readonly unsent: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly seconds: number;
  /** Latencies that were recorded. */
  readonly count: number;
  readonly latency: HistogramCounts;
  readonly service: HistogramCounts;
  /** Since the load began: when time went on, µs. */
  readonly resumedAt: number;
}

const above = ({ counts }: HistogramCounts, micros: number): number =>
  counts.reduce((sum, count, slot) => (lowestOf(slot) >= micros ? sum + count : sum), 0);

/** A load on a server that answers at once, by a clock that jumps `pauseUs` ahead at `atUs` of the load. */
async function withJump(pace: Pace, seconds: number, atUs: number, pauseUs: number): Promise<Jumped> {
  let resumedAt = 0;
  const plan = loadPlan([target(MEMORY_PORT)], { pace, seconds, connections: CONNECTIONS });
  const measured = await loadInMemory(plan, {
    turn(ends, now) {
      for (const end of ends) {
        if (end.input.length === 0) continue;
        end.input.drop(end.input.length);
        end.write(ANSWER);
      }
      if (resumedAt > 0 || now < atUs) return 0;
      resumedAt = now + pauseUs;
      return pauseUs;
    },
  });
  const service = measured.histogram(HISTOGRAM.SERVICE);
  const latency = pace.kind === 'closed' ? service : measured.histogram(HISTOGRAM.LATENCY);
  return {
    done: measured.sum(AT.DONE),
    unsent: measured.sum(AT.UNSENT),
    errors: measured.errors(),
    seconds: (measured.sum(AT.ENDED) - measured.sum(AT.BEGAN)) / 1e6,
    count: above(latency, 0),
    latency,
    service,
    resumedAt,
  };
}

const constant: Pace = { kind: 'constant', rate: 1000 };

describe('a clock that jumps ahead, as of a process that stood still', () => {
  for (const pace of [
    constant,
    { kind: 'poisson', rate: 1000, seed: 7 },
    {
      kind: 'steps',
      steps: [
        { rate: 500, seconds: 1 },
        { rate: 1500, seconds: 1 },
      ],
    },
  ] as const satisfies readonly Pace[])
    it(`makes all that was due meanwhile late (${pace.kind})`, async () => {
      const result = await withJump(pace, 2, 500_000, 700_000);
      const schedule = scheduleOf(pace, 0, 2, { share: 1, offset: 0, number: 0 });
      assert.ok(schedule !== null);
      let [all, late, lateness] = [0, 0, 0];
      for (; schedule.next[0] < Number.POSITIVE_INFINITY; schedule.advance(), all++) {
        const due = schedule.next[0];
        if (due < 500_000 || due > result.resumedAt) continue;
        late++;
        lateness += result.resumedAt - due;
      }
      assert.deepEqual(result.errors, {});
      assert.equal(result.unsent, 0);
      assert.equal(result.done, all);
      assert.equal(result.count, all);
      assert.ok(late > 300, `${late}`);
      // Each counts from when it was due; eight go at a time, so that the last waits some turns more.
      assert.ok(result.latency.sum >= lateness * 0.99, `${result.latency.sum} µs of ${lateness}`);
      const most = lateness + late * (late / CONNECTIONS) * 2 * TURN_US + all * 4 * TURN_US;
      assert.ok(result.latency.sum <= most, `${result.latency.sum} µs, ${most} at most`);
      // From when they were sent on, only those have waited that were under way.
      assert.ok(above(result.service, 600_000) <= CONNECTIONS);
      assert.ok(above(result.latency, 350_000) >= (late * 350) / 700 / 2);
    });

  it('past the end of the load leaves nothing uncounted', async () => {
    const result = await withJump(constant, 2, 1_500_000, 3_000_000);
    assert.deepEqual(result.errors, {});
    assert.equal(result.done + result.unsent, 2000);
    assert.ok(result.done >= 1500 && result.unsent > 400, `${result.done}, ${result.unsent}`);
    assert.equal(result.count, result.done);
    assert.equal(result.seconds, 2);
  });

  it('is, in a closed loop, in the latencies of those that were under way', async () => {
    const result = await withJump({ kind: 'closed', thinkMs: 0 }, 2, 500_000, 700_000);
    assert.deepEqual(result.errors, {});
    assert.equal(result.count, result.done);
    const slow = above(result.latency, 600_000);
    assert.ok(slow >= 1 && slow <= CONNECTIONS, `${slow}`);
  });
});

it('a wall clock that is set, back or ahead, changes nothing', async () => {
  const server = await httpServer((_, response) => response.end('hello'));
  const real = Date.now.bind(Date);
  let offset = 0;
  const clock = mock.method(Date, 'now', () => real() + offset);
  const plan = loadPlan([target(server.port)], { pace: { kind: 'constant', rate: 400 }, seconds: 1.5 });
  const before = real();
  let looks = 0;
  try {
    const result = await runLoad(
      plan,
      ({ elapsedSeconds }) => {
        assert.ok(elapsedSeconds >= 0 && elapsedSeconds <= 1.5);
        // An hour back, then two ahead.
        offset = looks++ === 0 ? -3_600_000 : 3_600_000;
      },
      new AbortController().signal,
    );
    assert.equal(result.done + result.unsent, 600);
    assert.deepEqual(result.errors, {});
    assert.ok(looks >= 2);
    // When it began, by the clock as it was then.
    assert.ok(result.startedAt >= before && result.startedAt <= real());
    assert.equal(
      result.intervals.reduce((sum, { done }) => sum + done, 0),
      result.done,
    );
    for (const [i, { startMs, endMs }] of result.intervals.entries())
      assert.ok(endMs > startMs && startMs >= (result.intervals[i - 1]?.endMs ?? 0), `${startMs} to ${endMs}`);
  } finally {
    clock.mock.restore();
    await server.close();
  }
});

it('a generator that is stopped, and goes on, says how late it was', async () => {
  const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
  const [rate, seconds] = [500, 2];
  let seen = 0;
  let pause: () => void = () => undefined;
  const reached = new Promise<void>((resolve) => {
    pause = resolve;
  });
  const server = await httpServer((_, response) => {
    if (++seen === 200) pause();
    response.end('hello');
  });
  const url = `http://127.0.0.1:${server.port}/`;
  const options = ['--rate', `${rate}`, '--duration', `${seconds}s`, '--warm-up', '0s', '-c', '100', '-o', 'json'];
  const child = spawn(process.execPath, [main, 'bench', 'run', ...options, url], { env: inherited() });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  await reached;
  child.kill('SIGSTOP');
  const stoppedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 600));
  const pausedMs = performance.now() - stoppedAt;
  child.kill('SIGCONT');
  await closed;
  await server.close();
  assert.notEqual(stdout, '', stderr);
  const { result } = JSON.parse(stdout) as { readonly result: LoadResult };
  assert.deepEqual(result.errors, {});
  assert.equal(result.done + result.unsent, rate * seconds);
  assert.equal(result.latency.count, result.done);
  // What was due in the first half of the pause had to wait for the second.
  const histogram = decode(result.latency);
  let late = result.unsent;
  for (let i = 1; i <= result.done; i++)
    if (histogram.getValueAtPercentile((i * 100) / result.done) >= pausedMs * 500) late++;
  assert.ok(late >= ((rate * pausedMs) / 2000) * 0.9, `${late} late of a pause of ${pausedMs} ms`);
});

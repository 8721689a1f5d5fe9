// Who is told what goes on, how often, and what that costs while nobody listens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LiveFeed, TICK_MS } from '../../src/live/feed.js';
import type { LiveState } from '../../src/live/state.js';
import type { MetricsReader } from '../../src/metrics/reader.js';
import { counted, LIVE_BOUNDS } from './support.js';

const FACTS = { version: '1', executor: 'epoll', ready: () => ({ ok: true, reasons: [] }) };

/** A clock that goes only when it is told to. */
class Clock {
  time = 0;
  readonly timers = new Set<{ at: number; run: () => void }>();
  now = (): number => this.time;
  later = (run: () => void, ms: number): (() => void) => {
    const timer = { at: this.time + ms, run };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  };

  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = next.at;
      next.run();
    }
    this.time = end;
  }
}

class Sink {
  ready = true;
  ended = false;
  readonly written: string[] = [];
  write(text: string): void {
    this.written.push(text);
  }
  end(): void {
    this.ended = true;
  }
  get states(): LiveState[] {
    return this.written.filter((text) => text.startsWith('data: ')).map((text) => JSON.parse(text.slice(6)));
  }
}

/** `cost`: how long a look at the metrics takes, ms. */
function feed(cost = 0) {
  const all = counted();
  let snapshots = 0;
  const clock = new Clock();
  const bounds = { ...LIVE_BOUNDS };
  const reader = {
    limits: all.reader.limits,
    snapshot: () => {
      snapshots++;
      clock.time += cost;
      return all.reader.snapshot();
    },
  } as MetricsReader;
  return { ...all, clock, bounds, live: new LiveFeed(reader, FACTS, () => bounds, clock), snapshots: () => snapshots };
}

test('nothing is read while nobody listens; for all listeners it is read once a second', () => {
  const { live, clock, snapshots, requests } = feed();
  clock.pass(10_000);
  assert.equal(snapshots(), 0);
  const sinks = [new Sink(), new Sink(), new Sink()];
  const leave = sinks.map((sink) => live.listen(sink, true));
  requests(10, 1000);
  clock.pass(200);
  const first = snapshots();
  clock.pass(5 * TICK_MS);
  assert.equal(snapshots() - first, 5);
  for (const { states } of sinks) assert.equal(states.length, 6);
  assert.equal(sinks[0].states[0].services[0].latency?.count, 10);
  assert.equal(sinks[0].states[1].services[0].latency, null);
  for (const left of leave) if (left !== false) left();
  const last = snapshots();
  clock.pass(10_000);
  assert.equal(snapshots(), last);
  assert.equal(clock.timers.size, 0);
});

test('listeners are so many at most, and one that leaves makes room', () => {
  const { live, reader, bounds } = feed();
  const leave = Array.from({ length: bounds.listeners }, () => live.listen(new Sink(), true));
  const [first] = leave;
  assert.ok(first !== false && !leave.includes(false));
  assert.equal(live.listen(new Sink(), true), false);
  assert.equal(reader.snapshot().limits['live-listeners'], 1);
  first();
  assert.notEqual(live.listen(new Sink(), true), false);
  assert.equal(live.listen(new Sink(), true), false);
  bounds.listeners++;
  assert.notEqual(live.listen(new Sink(), true), false);
});

test('who does not read misses events, gets the newest when it reads again, and is left in the end', () => {
  const { live, clock, requests, reader } = feed();
  const slow = new Sink();
  const quick = new Sink();
  live.listen(slow, true);
  live.listen(quick, true);
  clock.pass(200);
  slow.ready = false;
  clock.pass(5 * TICK_MS);
  assert.equal(slow.states.length, 1);
  slow.ready = true;
  requests(3, 100);
  clock.pass(TICK_MS);
  assert.equal(slow.states.at(-1)?.services[0].requests, 3);
  slow.ready = false;
  clock.pass(60 * TICK_MS);
  assert.ok(slow.ended);
  assert.equal(live.listeners, 1);
  assert.equal(reader.snapshot().limits['live-missed'], 1);
  assert.equal(quick.states.length, 1 + 5 + 1 + 60);
});

test('what takes long is told less often, so that it costs a fiftieth of a core at most', () => {
  const { live, clock, snapshots } = feed(40);
  const sink = new Sink();
  live.listen(sink, true);
  clock.pass(20_000);
  const inTwenty = snapshots();
  assert.ok(inTwenty >= 9 && inTwenty <= 12, `${inTwenty}`);
  assert.ok(sink.states.every(({ seconds }) => seconds < 3));
});

test('a state over an interval waits for its end; too many do not wait', async () => {
  const { live, clock, requests, reader, bounds } = feed();
  const asked = Array.from({ length: bounds.waiting }, () => live.over(2000));
  assert.equal(await live.over(1000), null);
  assert.equal(reader.snapshot().limits['live-waiting'], 1);
  requests(8, 1000);
  clock.pass(2000);
  for (const state of await Promise.all(asked)) assert.equal(state?.services[0].requests, 4);
  const start = await live.over(0);
  assert.equal(start?.services[0].latency?.count, 8);
});

// Who is told what goes on, how often, and what that costs while nobody listens.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LIVE_LIMITS, shorten } from '../../src/live/assemble.js';
import { LiveFeed, TICK_MS } from '../../src/live/feed.js';
import type { LiveState } from '../../src/live/state.js';
import { E, endpointBase, endpointHistogram } from '../../src/metrics/layout.js';
import type { MetricsReader } from '../../src/metrics/reader.js';
import { STEPS_PER_PIECE } from '../../src/metrics/steps.js';
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

  turns = 0;
  turn = async (): Promise<void> => {
    this.turns++;
  };

  async pass(ms: number): Promise<void> {
    await settled();
    const end = this.time + ms;
    for (;;) {
      const [next] = [...this.timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.timers.delete(next);
      this.time = next.at;
      next.run();
      await settled();
    }
    this.time = end;
  }
}

/** What was begun is done, as nothing in it waits but for a timer of the clock. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

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
    hold: () => all.reader.hold(),
    *steps() {
      snapshots++;
      clock.time += cost;
      return yield* all.reader.steps();
    },
  } as MetricsReader;
  return { ...all, clock, bounds, live: new LiveFeed(reader, FACTS, () => bounds, clock), snapshots: () => snapshots };
}

test('nothing is read while nobody listens; for all listeners it is read once a second', async () => {
  const { live, clock, snapshots, requests } = feed();
  await clock.pass(10_000);
  assert.equal(snapshots(), 0);
  const sinks = [new Sink(), new Sink(), new Sink()];
  const leave = sinks.map((sink) => live.listen(sink, true));
  requests(10, 1000);
  await clock.pass(200);
  const first = snapshots();
  await clock.pass(5 * TICK_MS);
  assert.equal(snapshots() - first, 5);
  for (const { states } of sinks) assert.equal(states.length, 6);
  assert.equal(sinks[0].states[0].services[0].latency?.count, 10);
  assert.equal(sinks[0].states[1].services[0].latency, null);
  for (const left of leave) if (left !== false) left();
  const last = snapshots();
  await clock.pass(10_000);
  assert.equal(snapshots(), last);
  assert.equal(clock.timers.size, 0);
});

test('listeners are so many at most, and one that leaves makes room', async () => {
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

test('who does not read misses events, gets the newest when it reads again, and is left in the end', async () => {
  const { live, clock, requests, reader } = feed();
  const slow = new Sink();
  const quick = new Sink();
  live.listen(slow, true);
  live.listen(quick, true);
  await clock.pass(200);
  slow.ready = false;
  await clock.pass(5 * TICK_MS);
  assert.equal(slow.states.length, 1);
  slow.ready = true;
  requests(3, 100);
  await clock.pass(TICK_MS);
  assert.equal(slow.states.at(-1)?.services[0].requests, 3);
  slow.ready = false;
  await clock.pass(60 * TICK_MS);
  assert.ok(slow.ended);
  assert.equal(live.listeners, 1);
  assert.equal(reader.snapshot().limits['live-missed'], 1);
  assert.equal(quick.states.length, 1 + 5 + 1 + 60);
});

test('what takes long is told less often, so that it costs a fiftieth of a core at most', async () => {
  const { live, clock, snapshots } = feed(40);
  const sink = new Sink();
  live.listen(sink, true);
  await clock.pass(20_000);
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
  await clock.pass(2000);
  for (const state of await Promise.all(asked)) assert.equal(state?.services[0].requests, 4);
  const start = await live.over(0);
  assert.equal(start?.services[0].latency?.count, 8);
});

const MANY = 300;

/** With so many endpoints more, each of which has had a slow request. */
function feedOfMany() {
  const all = feed();
  const record = (micros: number): void => {
    for (let slot = 3; slot < 3 + MANY; slot++) {
      all.metrics.values[endpointBase(slot) + E.REQUESTS]++;
      all.metrics.record(endpointHistogram(slot, 0), micros);
    }
  };
  for (let slot = 3; slot < 3 + MANY; slot++) {
    all.reader.endpoints.acquire(`many ${slot}`);
    all.reader.setEndpoint(slot, { service: 'web', address: `10.0.1.1:${slot}` });
  }
  record(1_000_000);
  return { ...all, record };
}

/** Turns for a look at so many, for what is told of them, and for its text. */
const TURNS = Math.floor(MANY / STEPS_PER_PIECE);

test('a state of many endpoints is made in pieces', async () => {
  const { live, clock } = feedOfMany();
  const limits = { ...LIVE_LIMITS, endpoints: MANY };
  const state = await live.over(0, limits);
  assert.ok(state !== null);
  assert.ok(clock.turns >= 2 * TURNS, `${clock.turns} turns`);
  const before = clock.turns;
  const text = await live.text(state, true);
  assert.ok(clock.turns - before >= TURNS, `${clock.turns - before} turns`);
  assert.equal(text, JSON.stringify(state, shorten));
});

test('events of many endpoints are made in pieces, and what others look at meanwhile changes nothing in them', async () => {
  const { live, clock, record, reader } = feedOfMany();
  const sink = new Sink();
  clock.turn = async () => {
    clock.turns++;
    record(1000);
    reader.snapshot();
  };
  live.listen(sink, true);
  await settled();
  assert.ok(clock.turns >= TURNS, `${clock.turns} turns`);
  await clock.pass(200 + TICK_MS);
  assert.equal(sink.states.length, 2);
  const before = clock.turns;
  await clock.pass(TICK_MS);
  assert.ok(clock.turns - before >= 3 * TURNS, `${clock.turns - before} turns`);
  for (const { endpoints } of sink.states)
    for (const { latency, address } of endpoints) {
      if (!address.startsWith('10.0.1.1:')) continue;
      assert.ok(latency !== null && latency.max < 1000, `the slow one came before: ${latency?.max}`);
    }
});

test('who comes while an event is made gets the next one; who leaves meanwhile leaves nothing behind', async () => {
  const { live, clock } = feedOfMany();
  let others: () => void = () => undefined;
  clock.turn = async () => {
    const now = others;
    others = () => undefined;
    now();
  };
  const first = new Sink();
  const leave = live.listen(first, true);
  const second = new Sink();
  let leaveToo: (() => void) | false = false;
  await settled();
  others = () => {
    if (leave !== false) leave();
    leaveToo = live.listen(second, true);
  };
  await clock.pass(200);
  assert.deepEqual([first.states.length, second.states.length], [0, 0]);
  await clock.pass(200);
  assert.deepEqual([first.states.length, second.states.length], [0, 1]);
  assert.equal(clock.timers.size, 1);
  others = () => {
    if (leaveToo !== false) leaveToo();
  };
  await clock.pass(TICK_MS);
  assert.deepEqual([second.states.length, clock.timers.size, live.listeners], [1, 0, 0]);
});

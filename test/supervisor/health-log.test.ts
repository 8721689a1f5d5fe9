import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HEALTH_SIGNAL } from '../../src/balance/health-signals.js';
import type { Logger } from '../../src/log/logger.js';
import { type HealthChange, HealthChanges } from '../../src/proxy/health-changes.js';
import { HealthLog } from '../../src/supervisor/health-log.js';

const SERVICE = 3;
const out = (endpoint: string, sign: number = HEALTH_SIGNAL.CONNECT_REFUSED): HealthChange => ({
  service: SERVICE,
  endpoint,
  out: true,
  removed: false,
  failures: 7,
  signal: sign,
});
const back = (endpoint: string, removed = false): HealthChange => ({
  service: SERVICE,
  endpoint,
  out: false,
  removed,
  failures: 0,
  signal: 0,
});

class World {
  now = 0;
  readonly lines: string[] = [];
  private timers: { at: number; run: () => void }[] = [];
  readonly log: HealthLog;

  constructor() {
    const line =
      (level: string) =>
      (message: string, fields: object = {}): void => {
        this.lines.push(`${level}: ${message} ${JSON.stringify(fields)}`);
      };
    const logger = { warn: line('warn'), info: line('info') } as unknown as Logger;
    this.log = new HealthLog({
      logger,
      service: (slot) => (slot === SERVICE ? 'web' : undefined),
      now: () => this.now,
      later: (run, ms) => this.timers.push({ at: this.now + ms, run }),
    });
  }

  /** Time passes. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.timers.shift();
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  taken(): string[] {
    return this.lines.splice(0);
  }
}

const OUT = (endpoint: string, worker = 0, again = ''): string =>
  `warn: an endpoint is out: it is tried last, and probed {"service":"web","endpoint":"${endpoint}","reason":"refused connects","failures":7,"worker":${worker}${again}}`;
const BACK = (endpoint: string, outMs: number): string =>
  `info: an endpoint is back {"service":"web","endpoint":"${endpoint}","outMs":${outMs}}`;

describe('the log of endpoints', () => {
  it('has a line when the first worker takes one out, and when the last has it back', () => {
    const world = new World();
    world.log.changed(1, [out('a')]);
    world.pass(100);
    world.log.changed(0, [out('a')]);
    world.pass(10_000);
    world.log.changed(1, [back('a')]);
    assert.deepEqual(world.taken(), [OUT('a', 1)]);
    world.log.changed(0, [back('a')]);
    assert.deepEqual(world.taken(), [BACK('a', 10_100)]);
    world.pass(100_000);
    assert.deepEqual(world.taken(), []);
  });

  it('tells of one that goes out and comes back all the time every few seconds, and last how it is', () => {
    const world = new World();
    for (let i = 0; i < 100; i++) {
      world.log.changed(0, [out('a')]);
      world.pass(50);
      world.log.changed(0, [back('a')]);
      world.pass(50);
    }
    world.pass(60_000);
    const lines = world.taken();
    assert.ok(lines.length <= 8, lines.join('\n'));
    assert.match(lines.at(-1) ?? '', /is back/);
    assert.match(lines.join('\n'), /"again":\d+/);
    for (let i = 0; i < 10; i++) world.log.changed(0, [out('a'), back('a')]);
    world.log.changed(0, [out('a')]);
    world.pass(60_000);
    assert.match(world.taken().at(-1) ?? '', /is out/);
  });

  it('is not flooded by many endpoints', () => {
    const world = new World();
    world.log.changed(
      0,
      Array.from({ length: 1000 }, (_, index) => out(`e${index}`)),
    );
    world.pass(2000);
    const lines = world.taken();
    assert.equal(lines.length, 21);
    assert.match(lines[20], /"lines":980/);
  });

  it('says that one is removed, and nothing of services that nobody has configured', () => {
    const world = new World();
    world.log.changed(0, [{ ...out('a'), service: 9 }]);
    world.log.changed(0, [out('a')]);
    world.log.changed(0, [back('a', true)]);
    assert.match(world.taken()[1], /removed/);
  });

  it('takes back what a worker that has died had taken out', () => {
    const world = new World();
    world.log.changed(0, [out('a')]);
    world.log.died(0);
    assert.deepEqual(world.taken(), [OUT('a'), BACK('a', 0)]);
  });
});

describe('the news of a worker', () => {
  it('are what has changed since they were taken, however often', () => {
    const news = new HealthChanges();
    news.ejected(5, SERVICE, 'a', 7, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.deepEqual(news.take(), [out('a')]);
    assert.deepEqual(news.take(), []);
    news.readmitted(5, SERVICE, 'a', false);
    news.ejected(5, SERVICE, 'a', 7, HEALTH_SIGNAL.CONNECT_REFUSED);
    assert.deepEqual(news.take(), [], 'it is out as before');
    news.readmitted(5, SERVICE, 'a', false);
    assert.deepEqual(news.take(), [back('a')]);
    for (let i = 0; i < 100; i++) {
      news.ejected(5, SERVICE, 'a', 7, HEALTH_SIGNAL.CONNECT_REFUSED);
      news.readmitted(5, SERVICE, 'a', false);
    }
    assert.deepEqual(news.take(), [out('a'), back('a')]);
    news.ejected(5, SERVICE, 'a', 7, HEALTH_SIGNAL.CONNECT_REFUSED);
    news.take();
    news.readmitted(5, SERVICE, 'a', true);
    assert.deepEqual(news.take(), [back('a', true)]);
  });
});

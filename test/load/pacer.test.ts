// Who sends next: a pacer with a clock that the test moves, and connections that are numbers.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pacer } from '../../src/load/pacer.js';
import { type Schedule, SteadySchedule } from '../../src/load/schedule.js';

class Desk {
  readonly started: { readonly connection: number; readonly due: number }[] = [];
  readonly free: number[];
  readonly pacer: Pacer;

  constructor(count: number, streams: number, schedule: Schedule | null, thinkUs = 0) {
    this.free = Array.from({ length: count }, () => streams);
    this.pacer = new Pacer(0, count, streams, schedule, thinkUs, {
      room: (connection) => this.free[connection],
      start: (connection, due) => {
        this.free[connection]--;
        this.started.push({ connection, due: due[0] });
      },
    });
    for (let connection = 0; connection < count; connection++) this.pacer.offer(connection);
  }

  answered(connection: number, now: number): void {
    this.free[connection]++;
    this.pacer.answered(connection, now);
  }

  /** What was started since the last call. */
  take(): { readonly connection: number; readonly due: number }[] {
    return this.started.splice(0);
  }
}

describe('a pacer with a rate', () => {
  it('starts what is due, on one connection after the other', () => {
    const desk = new Desk(3, 1, new SteadySchedule([{ rate: 1000, seconds: 1 }]));
    desk.pacer.turn(1500);
    assert.deepEqual(desk.take(), [
      { connection: 0, due: 0 },
      { connection: 1, due: 1000 },
    ]);
    assert.equal(desk.pacer.next, 2000);
  });

  it('keeps the time at which a request was due that waits for a connection', () => {
    const desk = new Desk(1, 1, new SteadySchedule([{ rate: 1000, seconds: 1 }]));
    desk.pacer.turn(0);
    desk.take();
    desk.pacer.turn(5000);
    assert.deepEqual(desk.take(), []);
    assert.equal(desk.pacer.next, Number.POSITIVE_INFINITY);
    desk.answered(0, 5500);
    desk.pacer.turn(5500);
    assert.deepEqual(desk.take(), [{ connection: 0, due: 1000 }]);
  });

  it('spreads streams over connections', () => {
    const desk = new Desk(2, 2, new SteadySchedule([{ rate: 1000, seconds: 1 }]));
    desk.pacer.turn(10_000);
    assert.deepEqual(
      desk.take().map(({ connection }) => connection),
      [0, 1, 0, 1],
    );
  });

  it('passes over a connection that has no room any more', () => {
    const desk = new Desk(2, 1, new SteadySchedule([{ rate: 1000, seconds: 1 }]));
    desk.free[0] = 0;
    desk.pacer.turn(0);
    assert.deepEqual(desk.take(), [{ connection: 1, due: 0 }]);
  });
});

describe('a pacer of a closed loop', () => {
  it('starts as many as there is room for, at once', () => {
    const desk = new Desk(2, 3, null);
    desk.pacer.turn(100);
    assert.equal(desk.take().length, 6);
    desk.answered(1, 150);
    desk.pacer.turn(200);
    assert.deepEqual(desk.take(), [{ connection: 1, due: 200 }]);
  });

  it('lets each think before it goes on', () => {
    const desk = new Desk(1, 2, null, 1000);
    desk.pacer.turn(0);
    assert.equal(desk.take().length, 2);
    desk.answered(0, 100);
    desk.answered(0, 300);
    desk.pacer.turn(400);
    assert.deepEqual(desk.take(), []);
    assert.equal(desk.pacer.next, 1100);
    desk.pacer.turn(1100);
    assert.equal(desk.take().length, 1);
    desk.pacer.turn(5000);
    assert.equal(desk.take().length, 1);
  });
});

// The bounds of handshakes: how many are under way, how much is done in a turn, how long they may take.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Handshakes } from '../../src/tls/handshakes.js';
import { SlotList } from '../../src/tls/slot-list.js';

let now = 0;
/** What each step costs, ms. */
let cost = 0;

function handshakes(limits: Partial<Handshakes['limits']> = {}): { line: Handshakes; did: string[] } {
  now = 0;
  cost = 0;
  const did: string[] = [];
  const line: Handshakes = new Handshakes(
    4096,
    {
      admitted: (slot) => void did.push(`admitted ${slot}`),
      step: (slot) => {
        did.push(`step ${slot}`);
        now += cost;
      },
      timedOut: (slot) => void did.push(`late ${slot}`),
      displaced: (slot) => void did.push(`displaced ${slot}`),
    },
    () => now,
  );
  line.limits = { timeoutMs: 10_000, max: 3, perTurn: 2, turnMs: 1, displaceAfterMs: 1000, ...limits };
  return { line, did };
}

function turn({ line, did }: { line: Handshakes; did: string[] }): string[] {
  line.turn();
  return did.splice(0);
}

describe('A list of slots', () => {
  test('keeps the order, and lets go from anywhere', () => {
    const list = new SlotList(8);
    for (const slot of [5, 0, 7, 3]) list.push(slot);
    list.push(5);
    assert.equal(list.size, 4);
    list.remove(7);
    list.remove(7);
    assert.equal(list.first, 5);
    list.remove(5);
    assert.equal(list.shift(), 0);
    assert.equal(list.shift(), 3);
    assert.equal(list.shift(), -1);
    assert.equal(list.first, -1);
    list.push(7);
    assert.equal(list.first, 7);
  });
});

describe('Handshakes', () => {
  test('no more than so many are under way, and who comes first begins first', () => {
    const both = handshakes({ perTurn: 10 });
    for (let slot = 0; slot < 5; slot++) {
      both.line.begin(slot, false);
      both.line.enqueue(slot);
    }
    assert.deepEqual(turn(both), ['admitted 0', 'admitted 1', 'admitted 2']);
    assert.equal(both.line.inProgress, 3);
    assert.equal(both.line.waiting, 2);
    assert.equal(both.line.runnable, 0, 'nothing to do before one of them is over');
    both.line.done(1);
    assert.equal(both.line.runnable, 2);
    assert.deepEqual(turn(both), ['admitted 3']);
  });

  test('of as many strangers as there are, a turn serves as many as it may', () => {
    const both = handshakes({ max: 4096, perTurn: 8 });
    for (let slot = 0; slot < 2000; slot++) {
      both.line.begin(slot, false);
      both.line.enqueue(slot);
      both.line.queue(slot);
    }
    const order: string[] = [];
    for (let i = 0; i < 250; i++) {
      const did = turn(both);
      assert.ok(did.filter((what) => what.startsWith('step')).length <= 8, `turn ${i}`);
      order.push(...did.filter((what) => what.startsWith('step')));
    }
    assert.deepEqual(
      order,
      Array.from({ length: 2000 }, (_, slot) => `step ${slot}`),
    );
  });

  test('steps that take long end the turn sooner, but one is taken always', () => {
    const both = handshakes({ perTurn: 100 });
    for (let slot = 0; slot < 10; slot++) {
      both.line.begin(slot, true);
      both.line.queue(slot);
    }
    cost = 0.4;
    assert.deepEqual(turn(both), ['step 0', 'step 1', 'step 2']);
    cost = 50;
    assert.deepEqual(turn(both), ['step 3']);
    assert.equal(both.line.runnable, 6);
  });

  test('how long a turn may be, and how long one may be waited for, are settings', () => {
    const both = handshakes({ max: 1, perTurn: 100, turnMs: 10, displaceAfterMs: 20 });
    for (let slot = 0; slot < 5; slot++) {
      both.line.begin(slot, true);
      both.line.queue(slot);
    }
    cost = 4;
    assert.deepEqual(turn(both), ['step 0', 'step 1', 'step 2']);
    assert.deepEqual(turn(both), ['step 3', 'step 4']);
    for (const slot of [6, 7]) {
      both.line.begin(slot, false);
      both.line.enqueue(slot);
    }
    assert.deepEqual(turn(both), ['admitted 6']);
    now += 19;
    assert.deepEqual(turn(both), []);
    now += 1;
    assert.deepEqual(turn(both), ['displaced 6', 'admitted 7']);
  });

  test('connections of our own do not wait for strangers', () => {
    const both = handshakes();
    for (let slot = 0; slot < 6; slot++) {
      both.line.begin(slot, false);
      both.line.enqueue(slot);
    }
    turn(both);
    turn(both);
    both.line.begin(9, true);
    both.line.enqueue(9);
    assert.deepEqual(turn(both), ['admitted 9']);
  });

  test('who says nothing is let go after the timeout, in the order of coming', () => {
    const both = handshakes();
    both.line.begin(1, false);
    now = 5000;
    both.line.begin(2, false);
    now = 9999;
    assert.deepEqual(turn(both), []);
    now = 10_000;
    assert.deepEqual(turn(both), ['late 1']);
    assert.equal(both.line.open, 1);
    now = 15_000;
    assert.deepEqual(turn(both), ['late 2']);
    assert.equal(both.line.open, 0);
  });

  test('who lets us wait makes room for others after a second, unless it is we who are slow', () => {
    const both = handshakes({ max: 2 });
    for (let slot = 0; slot < 4; slot++) {
      both.line.begin(slot, false);
      both.line.enqueue(slot);
    }
    assert.deepEqual(turn(both), ['admitted 0', 'admitted 1']);
    now = 999;
    assert.deepEqual(turn(both), []);
    now = 1000;
    assert.deepEqual(turn(both), ['displaced 0', 'admitted 2', 'displaced 1', 'admitted 3']);
    both.line.begin(4, false);
    both.line.enqueue(4);
    now = 3000;
    both.line.queue(2);
    both.line.limits = { ...both.line.limits, perTurn: 3 };
    assert.deepEqual(turn(both), ['step 2']);
    assert.deepEqual(turn(both), ['displaced 2', 'admitted 4']);
  });

  test('one that is over leaves every list', () => {
    const both = handshakes({ perTurn: 10 });
    both.line.begin(1, false);
    both.line.enqueue(1);
    both.line.queue(1);
    now = 7;
    assert.equal(both.line.done(1), 7);
    assert.equal(both.line.done(1), 0);
    assert.deepEqual(turn(both), []);
    assert.equal(both.line.open + both.line.waiting + both.line.runnable + both.line.inProgress, 0);
  });
});

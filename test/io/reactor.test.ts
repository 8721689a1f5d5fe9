import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { availableExecutors, type Executor } from '../support/sluice.js';

const PINGS = 100;
const ECONNRESET = 104;
const ECONNREFUSED = 111;
const FILE = new URL('./reactor-worker.js', import.meta.url);

/** Runs a role of reactor-worker.ts; resolves with what it reports. */
async function report(role: string, io: Executor): Promise<Record<string, number>> {
  const worker = new Worker(FILE, { workerData: { role, io } });
  try {
    const [message] = (await once(worker, 'message')) as [Record<string, number>];
    return message;
  } finally {
    await worker.terminate();
  }
}

for (const io of await availableExecutors()) {
  test(`${io}: timers, immediates, promises and messages run while the ring never rests`, async () => {
    const { echoes, timeouts, immediates, promises, messages } = await report('saturated', io);
    assert.ok(echoes >= 20_000);
    for (const count of [timeouts, immediates, promises, messages])
      assert.ok(count > 20, `${count} of each are enough`);
  });

  test(`${io}: buffers that came in one receive are handed on in order, or given back where nobody wants them any more`, async () => {
    assert.deepEqual(await report('several', io), { wrong: 0, behind: 1, several: 1, lost: 0 });
  });

  for (const role of ['replacedByData', 'replacedByConnected'])
    test(`${io}: a socket that a handler dials in place of the one it closes is not taken for that (${role})`, async () => {
      assert.deepEqual(await report(role, io), { same: 1, receiving: 0, dirty: 0 });
    });

  test(`${io}: a socket that has connected to itself was refused, because nobody listens there`, async () => {
    assert.deepEqual(await report('itself', io), { result: -ECONNREFUSED });
  });

  test(`${io}: what a handler has promised runs before the next wait`, async () => {
    const { turnsBefore, turnsAfter } = await report('promise', io);
    assert.equal(turnsAfter, turnsBefore);
  });

  test(`${io}: a timer of the wheel ends the wait, and a timer of Node's does`, async () => {
    const { wheel, node } = await report('timers', io);
    assert.equal(wheel, 1);
    assert.equal(node, 1);
  });

  test(`${io}: a turn comes when it was asked for, whatever happens`, async () => {
    assert.deepEqual(await report('wakes', io), { turns: 0 });
  });

  test(`${io}: a busy loop rests as often as it is asked to, and no more once it is not`, async () => {
    assert.deepEqual(await report('rests', io), { early: 0, rests: 5 });
  });

  test(`${io}: a timer of Node's that a turn has set ends the wait`, async () => {
    assert.deepEqual(await report('later', io), { fired: 1 });
  });

  test(`${io}: with nothing to do it waits`, async () => {
    const { turns } = await report('idle', io);
    assert.ok(turns < 20, `${turns} turns`);
  });

  test(`${io}: what is answered at once costs one turn`, async () => {
    const worker = new Worker(FILE, { workerData: { role: 'pingpong', io } });
    try {
      const [{ port }] = (await once(worker, 'message')) as [{ port: number }];
      const socket = connect(port, '127.0.0.1');
      const reported = once(worker, 'message') as Promise<[{ turns: number }]>;
      // The last one is answered as well.
      for (let i = 0; i < PINGS; i++) {
        socket.write('x');
        await once(socket, 'data');
      }
      const [{ turns }] = await reported;
      socket.destroy();
      assert.ok(turns < 1.5 * PINGS, `${turns} turns for ${PINGS} answers`);
    } finally {
      await worker.terminate();
    }
  });

  test(`${io}: a send to a peer that is gone is told of`, async () => {
    assert.deepEqual(await report('refused', io), { failed: ECONNRESET });
  });

  test(`${io}: what the kernel does not take at once is sent when it does`, async () => {
    assert.deepEqual(await report('slow', io), { wrong: 0, missing: 0, lost: 0 });
  });

  test(`${io}: who waits for the end of a send hears of it`, async () => {
    assert.deepEqual(await report('awaited', io), { drained: 1, bytes: 12, last: 33 });
  });

  test(`${io}: an executor without memory is tried again`, async () => {
    assert.deepEqual(await report('shortage', io), { bytes: 1000, left: 0 });
  });

  test(`${io}: an executor that is broken ends the thread, which says why`, async () => {
    await assert.rejects(report('broken', io), /the ring takes no more entries: EBADF/);
  });

  test(`${io}: without a poll of libuv's descriptor libuv has its turns all the same, and nothing spins`, async () => {
    const { messages, turns } = await report('blind', io);
    assert.equal(messages, 10);
    assert.ok(turns < 500, `${turns} turns`);
  });

  test(`${io}: libuv has work now when a watcher waits to be registered`, async () => {
    assert.deepEqual(await report('watchers', io), { after: 0 });
  });

  test(`${io}: an exception in a handler is the thread's end`, async () => {
    const worker = new Worker(FILE, { workerData: { role: 'throwing', io } });
    // Both may come before a promise of the first has run.
    const exited = new Promise((resolve) => worker.once('exit', resolve));
    const [error] = (await once(worker, 'error')) as [Error];
    assert.match(error.message, /thrown by a handler/);
    await exited;
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Connection, ROLE } from '../../src/http2/connection.js';
import { STREAM, Streams } from '../../src/http2/streams.js';
import { LIMITS, newMachineMemory } from '../support/http2-memory.js';
import { runs } from '../support/runs.js';

const { headers } = newMachineMemory(64);
const connect = (): Connection => new Connection(0, ROLE.SERVER, 0, headers, LIMITS, 0);

function opened(streams: Streams, connection: Connection, id: number): number {
  const slot = streams.allocate();
  streams.open(slot, connection, id);
  return slot;
}

const walk = (streams: Streams, connection: Connection): number[] => {
  const ids: number[] = [];
  for (let slot = streams.first(connection); slot >= 0; slot = streams.after(connection, slot))
    ids.push(streams.id[slot]);
  return ids.sort((a, b) => a - b);
};

const ring = (streams: Streams, connection: Connection): number[] => {
  const slots: number[] = [];
  for (let slot = connection.blockedHead; slot >= 0; slot = streams.blockedNext[slot]) slots.push(slot);
  return slots;
};

test('streams that share a bucket are found, and the others stay when one is closed', () => {
  const streams = new Streams(16);
  const connection = connect();
  const ids = [1, 129, 257, 385];
  const slots = ids.map((id) => opened(streams, connection, id));
  streams.close(slots[1]);
  streams.close(slots[3]);
  assert.deepEqual(walk(streams, connection), [1, 257]);
  assert.equal(streams.find(connection, 129), -1);
  assert.equal(streams.find(connection, 257), slots[2]);
  assert.equal(connection.active, 2);
  streams.close(slots[1]);
  assert.equal(connection.active, 2, 'a stream closed twice counts once');
});

test('clients are busy while they have a stream, endpoints do not count', () => {
  const streams = new Streams(16);
  const [one, two] = [connect(), connect()];
  const endpoint = new Connection(0, ROLE.CLIENT, 0, headers, LIMITS, 0);
  const first = opened(streams, one, 1);
  const second = opened(streams, one, 3);
  const other = opened(streams, two, 1);
  opened(streams, endpoint, 1);
  assert.equal(streams.busyClients, 2);
  streams.close(first);
  assert.equal(streams.busyClients, 2);
  streams.close(second);
  streams.close(second);
  assert.equal(streams.busyClients, 1);
  streams.close(other);
  assert.equal(streams.busyClients, 0);
});

test('a walk may close the stream it is at', () => {
  const streams = new Streams(300);
  const connection = connect();
  for (let id = 1; id < 400; id += 2) opened(streams, connection, id);
  let seen = 0;
  for (let slot = streams.first(connection); slot >= 0; ) {
    const next = streams.after(connection, slot);
    if (seen++ % 3 === 0) streams.close(slot);
    slot = next;
  }
  assert.equal(seen, 200);
  assert.equal(walk(streams, connection).length, connection.active);
});

test('those that wait have their turn one after the other', () => {
  const streams = new Streams(16);
  const connection = connect();
  const [a, b, c] = [1, 3, 5].map((id) => opened(streams, connection, id));
  for (const slot of [a, b, c, a]) streams.block(slot, connection, 1);
  assert.deepEqual(ring(streams, connection), [a, b, c]);
  streams.rotate(connection);
  assert.deepEqual(ring(streams, connection), [b, c, a]);
  streams.close(c);
  assert.deepEqual(ring(streams, connection), [b, a]);
  streams.unblock(b, connection);
  streams.rotate(connection);
  assert.deepEqual(ring(streams, connection), [a]);
  streams.unblock(a, connection);
  assert.deepEqual([connection.blockedHead, connection.blockedTail], [-1, -1]);
});

test('slots are given out until there are none, and begin anew', () => {
  const streams = new Streams(3);
  const connection = connect();
  const slots = [1, 3, 5].map((id) => opened(streams, connection, id));
  assert.equal(streams.allocate(), -1);
  streams.sendUsed[slots[1]] = 99;
  streams.state[slots[1]] |= STREAM.STALLED;
  streams.close(slots[1]);
  streams.release(slots[1]);
  assert.equal(streams.used, 2);
  const again = streams.allocate();
  assert.equal(again, slots[1]);
  assert.deepEqual([streams.sendUsed[again], streams.state[again], streams.peer[again]], [0, 0, -1]);
});

test('the DATA of a stream that was closed belongs to nobody', () => {
  const streams = new Streams(3);
  const connection = connect();
  const slot = opened(streams, connection, 1);
  connection.dataSlot = slot;
  streams.close(slot);
  assert.equal(connection.dataSlot, -1);
});

test('opened, closed and blocked in any order, they are what a naive model says', () => {
  const step = fc.tuple(fc.constantFrom('open', 'open', 'close', 'block', 'unblock', 'rotate'), fc.nat(200));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const streams = new Streams(64);
      const connection = connect();
      const open = new Map<number, number>();
      let waiting: number[] = [];
      let next = 1;
      for (const [what, n] of steps) {
        const ids = [...open.keys()];
        const id = ids[n % (ids.length || 1)] ?? 0;
        const slot = open.get(id) ?? -1;
        if (what === 'open' && open.size < 64) {
          // Far apart, so that buckets have several.
          next += 2 + (n % 5) * 64;
          open.set(next, opened(streams, connection, next));
        } else if (slot < 0) continue;
        else if (what === 'close') {
          streams.close(slot);
          streams.release(slot);
          open.delete(id);
          waiting = waiting.filter((other) => other !== slot);
        } else if (what === 'block') {
          streams.block(slot, connection, 0);
          if (!waiting.includes(slot)) waiting.push(slot);
        } else if (what === 'unblock') {
          streams.unblock(slot, connection);
          waiting = waiting.filter((other) => other !== slot);
        } else if (what === 'rotate' && waiting.length > 0) {
          streams.rotate(connection);
          waiting.push(...waiting.splice(0, 1));
        }
        assert.deepEqual(ring(streams, connection), waiting);
        assert.deepEqual(
          walk(streams, connection),
          [...open.keys()].sort((a, b) => a - b),
        );
        assert.equal(connection.active, open.size);
      }
      for (const [id, slot] of open) assert.equal(streams.find(connection, id), slot);
      assert.equal(streams.used, open.size);
    }),
    { numRuns: runs(100) },
  );
});

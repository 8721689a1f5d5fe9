import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freeRuns } from '../../src/io/free-slots.js';
import { SocketTable } from '../../src/io/socket-table.js';

test('free slots are told in runs of enough of them, and the lowest are taken first', () => {
  const free = new Int32Array(16);
  const isFree = (slot: number): boolean => ![2, 3, 8].includes(slot);
  const told: number[][] = [];
  const count = freeRuns(3, (from, length) => told.push([from, length]))(free, 16, isFree);
  assert.deepEqual(told, [
    [9, 7],
    [4, 4],
  ]);
  assert.deepEqual([...free.subarray(0, count)].reverse(), [0, 1, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]);
});

class Table extends SocketTable {
  release(slot: number): void {
    this.releaseIfDone(slot);
  }
}

test('a table of sockets gives out each free slot once after it was reordered, and knows the most that were in use', () => {
  const table = new Table(new Int32Array(64), 1, 64);
  const slots = Array.from({ length: 40 }, (_, fd) => table.adopt(fd, 1));
  for (const slot of slots) if (slot % 8 !== 5) table.release(slot);
  assert.equal(table.peak, 40);
  assert.equal(table.open, 5);
  table.reorder(freeRuns(64, () => assert.fail('no run is that long')));
  const again = Array.from({ length: 59 }, (_, fd) => table.adopt(fd, 1));
  assert.equal(table.adopt(0, 1), -1);
  assert.deepEqual(
    again,
    Array.from({ length: 64 }, (_, slot) => slot).filter((slot) => slot >= 40 || slot % 8 !== 5),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SocketTable } from '../../src/io/socket-table.js';

const CAPACITY = 2500;

test('a column is what it should be in each slot by the time that it is given out, whenever the table was told', () => {
  const sockets = new SocketTable(new Int32Array(CAPACITY), 1, CAPACITY);
  const early = new Int32Array(CAPACITY);
  const late = new Int16Array(CAPACITY);
  sockets.setDefault(early, -1);
  const first = sockets.adopt(0, 1);
  early[first] = 7;
  sockets.setDefault(late, 3);
  assert.equal(late[first], 3);
  for (let fd = 1; fd < CAPACITY; fd++) {
    const slot = sockets.adopt(fd, 1);
    assert.deepEqual([early[slot], late[slot]], [-1, 3], `slot ${slot}`);
    early[slot] = fd;
    late[slot] = 0;
  }
  assert.equal(early[first], 7);
  assert.equal(sockets.adopt(0, 1), -1);
});

test('slots that nobody has wanted are not written', () => {
  const sockets = new SocketTable(new Int32Array(CAPACITY), 1, CAPACITY);
  const column = new Int32Array(CAPACITY);
  sockets.setDefault(column, -1);
  sockets.adopt(0, 1);
  assert.equal(column.at(-1), 0);
});

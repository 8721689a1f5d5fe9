import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { native } from '../../src/io/native.js';

const CELLS = 1 << 20;
/** KiB of this process that are no file's. */
const anonymous = (): number =>
  Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]);

test('pages that lie within the cells are given back and read 0, and all other cells stay', () => {
  const { discardCells } = native();
  const column = new Float64Array(CELLS).fill(7);
  const full = anonymous();
  const from = 1000;
  const count = CELLS - 2000;
  const pages = discardCells(column, from, count);
  const pageBytes = 4096;
  assert.ok(Math.abs(pages - (count * 8) / pageBytes) <= 2, `${pages} pages`);
  assert.ok(full - anonymous() > (pages * pageBytes) / 1024 / 2, "they are the system's again");
  for (let i = 0; i < CELLS; i++) {
    const inside = i >= from && i < from + count;
    if (!inside) assert.equal(column[i], 7, `cell ${i}`);
    else assert.ok(column[i] === 0 || column[i] === 7);
  }
  assert.ok(column.subarray(from, from + count).filter((value) => value === 7).length < 1024);
  column.fill(8);
  assert.ok(column.every((value) => value === 8));
});

test('what is no column, lies outside or is less than a page is left alone', () => {
  const { discardCells } = native();
  const column = new Int32Array(4096).fill(3);
  assert.equal(discardCells(column, 4000, 97), 0);
  assert.equal(discardCells(column, 5000, 1), 0);
  assert.equal(discardCells(column, 0, 512), 0);
  assert.equal(discardCells('column' as unknown as ArrayBufferView, 0, 4096), 0);
  assert.equal(discardCells(new BigInt64Array(4096), 0, 4096), 0);
  assert.ok(column.every((value) => value === 3));
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { DynamicTable } from '../../src/hpack/dynamic-table.js';
import { FieldList } from '../../src/hpack/field-list.js';
import { INPUT, newMemory, write } from '../support/header-fixture.js';

const source = new Uint8Array(64 * 1024).fill(0x61);
const view = new DataView(source.buffer);

/** Work that a table does is text moved and entries evicted: both are at most what was put into it. */
function churn(
  table: DynamicTable,
  lengths: (i: number) => number,
  rounds: number,
  before?: (i: number) => void,
): void {
  let added = 0;
  let largest = 0;
  for (let i = 0; i < rounds; i++) {
    before?.(i);
    const length = lengths(i);
    table.insert(0, length >> 1, 0, length - (length >> 1), -1, -1);
    added += length;
    largest = Math.max(largest, table.count);
  }
  assert.ok(table.evictions > rounds / 2, `${table.evictions} evictions: this is no thrash`);
  assert.ok(table.evictions <= rounds, `${table.evictions} evictions of ${rounds} entries`);
  assert.ok(table.moved <= added, `${table.moved} octets moved of ${added}`);
  assert.ok(largest <= table.max / 32);
  assert.ok(table.entries.length <= 5 * 256, `${table.entries.length} columns`);
}

describe('table thrash: work is bounded by what is received', () => {
  it('when each entry evicts another one', () => churn(new DynamicTable(source, view, 4096), () => 4, 20_000));
  it('when entries have no text', () => churn(new DynamicTable(source, view, 4096), () => 0, 20_000));
  it('when each entry fills the table', () => churn(new DynamicTable(source, view, 4096), () => 4064, 2000));
  it('when large entries empty a table of small ones', () =>
    churn(new DynamicTable(source, view, 4096), (i) => (i % 100 === 99 ? 4064 : 3), 20_000));
  it('when two entries of half its size take turns', () =>
    churn(new DynamicTable(source, view, 4096), (i) => 2016 - (i & 1), 5000));
  it('when it shrinks to nothing and grows again', () => {
    const table = new DynamicTable(source, view, 4096);
    churn(
      table,
      () => 60,
      20_000,
      (i) => {
        if (i % 40 !== 0) return;
        table.resize(0);
        table.resize(4096);
      },
    );
  });

  it('in a decoder, whose memory for it does not grow with the blocks', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const decoder = new Decoder(memory);
    let sent = 0;
    let before = 0;
    for (let block = 0; block < 300; block++) {
      // Size 0, size 4096, then literals that are all new: five octets each evict an entry.
      const octets = [0x20, 0x3f, 0xe1, 0x1f];
      for (let i = 0; i < 1000; i++) octets.push(0x40, 1, 0x61 + (i % 26), 1, 0x21 + ((block + i) % 90));
      sent += 1000;
      assert.equal(decoder.decode(INPUT, write(memory, octets), list, 16_384, 128), DECODE.TOO_LARGE);
      assert.ok(decoder.evictions - before <= 1000 + 128);
      before = decoder.evictions;
    }
    assert.ok(decoder.evictions <= sent);
    assert.equal(memory.epoch, 1);
  });
});

describe('text of entries', () => {
  const text = new Uint8Array(1024);
  const textView = new DataView(text.buffer);
  const write = (at: number, value: string) => text.set(Buffer.from(value), at);
  const at = (from: number, length: number) => Buffer.from(text.subarray(from, from + length)).toString();
  write(0, 'x-learnt');
  write(32, 'cookie');
  write(64, 'value-of-it');
  const PERMANENT = 10;

  it('has the name, unless it is a permanent one', () => {
    const table = new DynamicTable(text, textView, 4096, PERMANENT);
    table.insert(32, 6, 64, 11, 3, -1);
    table.insert(0, 8, 64, 5, PERMANENT, -1);
    table.insert(32, 6, 64, 8, -1, -1);
    // All references except permanent ones are void.
    table.forget();
    const [unknown, learnt, permanent] = [62, 63, 64].map((index) => table.place(index));
    assert.deepEqual(
      [table.entries[unknown + 3], table.entries[learnt + 3], table.entries[permanent + 3]],
      [-1, -1, 3],
    );
    table.copyName(unknown, 200);
    table.copyName(learnt, 300);
    // A permanent name that was not recognised when its entry was added.
    table.setRef(unknown, 3);
    table.setRef(learnt, PERMANENT + 1);
    table.copyValue(unknown, 400);
    table.copyValue(learnt, 500);
    table.copyValue(permanent, 600);
    assert.deepEqual([at(200, 6), at(400, 8)], ['cookie', 'value-of']);
    assert.deepEqual([at(300, 8), at(500, 5)], ['x-learnt', 'value']);
    assert.equal(at(600, 11), 'value-of-it');
  });
});

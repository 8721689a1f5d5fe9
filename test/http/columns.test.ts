import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { Balancer } from '../../src/balance/balancer.js';
import { EndpointLoad } from '../../src/balance/load.js';
import { HEADER_MEMORY_BYTES, HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { column, separateColumns } from '../../src/http/columns.js';
import { native } from '../../src/io/native.js';
import { ENDPOINT_SLOTS, SERVICE_SLOTS } from '../../src/proxy/capacity.js';
import { EndpointTable } from '../../src/proxy/endpoint-table.js';

const PAGE = 4096;
const COUNT = 16;
// Sets what malloc maps separately: otherwise that grows with what is freed.
native();
/** KiB of this process that are no file's. */
const anonymous = (): number =>
  Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))?.[1]);

describe('columns', () => {
  it('are 0, as long as asked for, and apart from each other', () => {
    separateColumns();
    const columns = [
      column(Uint8Array, 7),
      column(Float64Array, 1000),
      column(Int16Array, 3),
      column(Int32Array, 0),
      column(Uint16Array, 5000),
      column(Int8Array, 1),
      column(Uint32Array, 9),
    ];
    assert.deepEqual(
      columns.map(({ length }) => length),
      [7, 1000, 3, 0, 5000, 1, 9],
    );
    columns.forEach((each, at) => {
      assert.ok(each.every((cell) => cell === 0));
      each.fill(at + 1);
    });
    columns.forEach((each, at) => {
      assert.ok(each.every((cell) => cell === at + 1));
    });
    for (const { buffer } of columns) assert.equal(buffer, columns[0].buffer);
  });

  it('have none of the memory of those before a separation', () => {
    const before = column(Int32Array, 10);
    separateColumns();
    const after = column(Int32Array, 10);
    assert.notEqual(after.buffer, before.buffer);
    assert.equal(after.byteOffset, 0);
  });

  it('may be longer than what is asked of the system at a time', () => {
    separateColumns();
    const short = column(Uint8Array, 100);
    const long = column(Float64Array, 5 << 20);
    assert.equal(long.length, 5 << 20);
    assert.notEqual(long.buffer, short.buffer);
    long[long.length - 1] = 1;
    assert.equal(column(Uint8Array, 1)[0], 0);
  });

  it('begin in different lines of the processor’s cache, if their lengths are multiples of a page', () => {
    separateColumns();
    const places = Array.from({ length: 8 }, () => column(Int32Array, 4 * PAGE).byteOffset % PAGE);
    assert.equal(new Set(places).size, places.length);
  });

  // KiB for each, of which objects and what is in the tables from the start are about 0.2 MiB. Cells that mean "nothing" and are not 0 would
  // be 1 MiB and 0.5 MiB more, with the pages around them.
  const tables: readonly (readonly [name: string, most: number, make: () => unknown])[] = [
    ['a balancer', 600, () => new Balancer(SERVICE_SLOTS, ENDPOINT_SLOTS, 1, load)],
    ['a header memory', 350, () => new HeaderMemory(text, 0, HEADER_MEMORY_BYTES)],
    ['a table of endpoints', 100, () => new EndpointTable()],
  ];
  const load = EndpointLoad.allocate(ENDPOINT_SLOTS);
  const text = new Uint8Array(HEADER_MEMORY_BYTES).fill(1);
  for (const [name, most, make] of tables) {
    it(`of ${name} take no memory while nothing is in them`, () => {
      const made = [make()];
      const before = anonymous();
      for (let i = 0; i < COUNT; i++) made.push(make());
      const each = (anonymous() - before) / COUNT;
      assert.ok(each < most, `${each} KiB`);
    });
  }
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import type { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { build, INPUT, newMemory, write } from '../support/header-fixture.js';

/** With 1 MiB of header memory: names and templates that an epoch has room for. */
const ROOM = 512;
const text = (value: string): number[] => [value.length, ...Buffer.from(value, 'latin1')];
const literal = (name: string, value: string): number[] => [0, ...text(name), ...text(value)];

/** Blocks of 128 fields, 64 of them each twice, that nobody ever sends again. */
const churns: Record<string, (block: number) => number[]> = {
  names: (block) => {
    const half = Array.from({ length: 64 }, (_, i) => literal(`n-${block}-${i}`, ''));
    return [...half, ...half].flat();
  },
  values: (block) => {
    const half = Array.from({ length: 64 }, (_, i) => literal(`x-${i}-${block >> 6}`, `v-${block}-${i}`));
    return [...half, ...half].flat();
  },
  'long values': (block) => {
    const field = [0, ...text(`y-${block >> 6}`), 0x7f, 0xa1, 0x1e, ...Buffer.from(`${block}`.padEnd(4000, 'z'))];
    return [...field, ...field];
  },
  // Of fields that are in the static table, one combination for each number; each block twice.
  combinations: (block) => Array.from({ length: 12 }, (_, bit) => 0x80 | (15 + 2 * bit + (((block >> 1) >> bit) & 1))),
};

function decode(memory: HeaderMemory, decoder: Decoder, list: FieldList, octets: number[]): void {
  assert.equal(decoder.decode(INPUT, write(memory, octets), list, 16_384, 128), DECODE.OK);
}

describe('learning', () => {
  for (const [what, block] of Object.entries(churns)) {
    it(`ends no epoch before three quarters of its room in blocks, whoever churns ${what}`, () => {
      const memory = newMemory();
      const list = new FieldList(memory);
      const decoder = new Decoder(memory);
      let begun = 0;
      let { epoch } = memory;
      for (let i = 0; i < 4 * ROOM; i++) {
        decode(memory, decoder, list, block(i));
        if (memory.epoch === epoch) continue;
        assert.ok(i - begun >= (3 * ROOM) / 4 - 1, `an epoch of ${i - begun} blocks`);
        begun = i;
        epoch = memory.epoch;
      }
    });
  }

  it('lets others learn while somebody spends all that can be saved up', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const hostile = new Decoder(memory);
    for (let i = 0; i < ROOM / 2; i++) decode(memory, hostile, list, churns.names(i));
    assert.ok(memory.learning.declined > 1000);
    const fields = Array.from({ length: 12 }, (_, i) => ({ name: `x-mine-${i}`, value: `value ${i}` }));
    let blocks = 0;
    for (; list.template === null || list.count > 0; blocks++) {
      assert.ok(blocks < 60, 'no template yet');
      decode(memory, hostile, list, churns.names(ROOM + blocks));
      build(list, fields);
    }
    assert.equal(list.template?.count, fields.length);
  });

  it('is not held up where nobody churns', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 100; i++) {
        build(list, [
          { name: ':path', value: `/method/${i}` },
          { name: 'x-a', value: 'b' },
        ]);
      }
    }
    // Now and then a field collides with others (the hash has another seed each time) and is not learned for that.
    assert.ok(memory.learning.declined <= 3, `${memory.learning.declined} declined`);
    assert.equal(list.count, 0);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import type { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { RecurrenceFilter } from '../../src/hpack/recurrence-filter.js';
import { MALFORMED } from '../../src/http/malformed.js';
import { fieldsOf, INPUT, newMemory, TEXT, write } from '../support/header-fixture.js';
import { naiveHuffman } from '../support/naive-hpack.js';

const text = (value: string): number[] => [value.length, ...Buffer.from(value, 'latin1')];
const coded = (value: string): number[] => {
  const code = naiveHuffman(value);
  return [0x80 | code.length, ...code];
};
const literal = (name: string, value: number[]): number[] => [0, ...text(name), ...value];

class Peer {
  readonly decoder: Decoder;
  constructor(
    readonly memory: HeaderMemory,
    readonly list: FieldList,
  ) {
    this.decoder = new Decoder(memory);
  }

  /** Whether the field was found, or learned. */
  sends(name: string, value: string): boolean {
    const block = literal(name, coded(value));
    assert.equal(this.decoder.decode(INPUT, write(this.memory, block), this.list, 16_384, 128), DECODE.OK);
    assert.deepEqual(fieldsOf(this.list), [{ name, value, never: false }]);
    return this.list.template !== null || this.list.atom[0] >= 0;
  }
}

function two(): [Peer, Peer] {
  const memory = newMemory();
  const list = new FieldList(memory);
  return [new Peer(memory, list), new Peer(memory, list)];
}

describe('values that never come again', () => {
  it('are passed over after a while, but for a look now and then', () => {
    const recurrence = new RecurrenceFilter();
    let looked = 0;
    for (let i = 0; i < 10_000; i++) {
      if (!recurrence.shouldLookUp(7)) continue;
      looked++;
      recurrence.recordNew(7);
    }
    assert.ok(looked > 64 && looked < 500, `${looked} of 10,000`);
    for (let i = 0; i < 1000; i++) assert.ok(recurrence.shouldLookUp(8), 'another name');
  });

  it('are told from those that come again more often than not', () => {
    const recurrence = new RecurrenceFilter();
    for (let i = 0; i < 5000; i++) {
      assert.ok(recurrence.shouldLookUp(7));
      if (i % 5 < 2) recurrence.recordNew(7);
      else recurrence.recordKnown(7);
    }
  });

  it('leave room for the sights of others', () => {
    const [one, other] = two();
    const names = ['x-a', 'x-b', 'x-c', 'x-d', 'x-e'];
    // Names are learned first.
    for (const name of names) for (const value of ['1', '2', '3']) other.sends(name, value);
    for (const name of names) assert.equal(other.sends(name, 'seldom'), false);
    // More than are remembered.
    for (let i = 0; i < 10_000; i++) one.sends('x-id', `${i}`);
    const known = names.filter((name) => other.sends(name, 'seldom'));
    assert.ok(known.length >= 4, `${known.length} of 5`);
  });

  it('say nothing of a name for good: it is learned once its values come again', () => {
    const [one] = two();
    for (let i = 0; i < 3000; i++) one.sends('x-tenant', `${i}`);
    let until = 0;
    while (!one.sends('x-tenant', `tenant-${until % 10}`)) assert.ok(until++ < 3000, 'never learned');
    for (let i = 0; i < 1000; i++) one.sends('x-tenant', `tenant-${i % 10}`);
    assert.ok(one.sends('x-tenant', 'tenant-3'));
  });

  it('of one connection are nothing to another one', () => {
    const [one, other] = two();
    for (let i = 0; i < 500; i++) one.sends('x-path', `/${i}`);
    for (let i = 0; i < 3; i++) other.sends('x-path', '/same');
    assert.ok(other.sends('x-path', '/same'));
  });

  it('are checked as others are', () => {
    const [one] = two();
    for (let i = 0; i < 500; i++) one.sends('x-id', `${i}`);
    const { decoder, memory, list } = one;
    const error = (value: number[]): number => {
      const end = write(memory, literal('x-id', value));
      assert.equal(decoder.decode(INPUT, end, list, 16_384, 128), DECODE.OK);
      return list.facts.error;
    };
    for (const bad of [' a', 'a ', ' ', 'a\r\nb', 'a\0', '\x7f', '\ta', '$\n']) {
      assert.equal(error(coded(bad)), MALFORMED.VALUE, JSON.stringify(bad));
      assert.equal(error(text(bad)), MALFORMED.VALUE, JSON.stringify(bad));
    }
    for (const good of ['', 'a b', 'a\tb', '\xe9', '$[]{}', '~']) {
      assert.equal(error(coded(good)), 0, JSON.stringify(good));
      assert.equal(error(text(good)), 0, JSON.stringify(good));
    }
  });

  it('of one HTTP/1 client are nothing to another one', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const recurrence = new RecurrenceFilter(4096);
    const known = (source: number, value: string): boolean => {
      list.clear();
      const valueAt = write(memory, Buffer.from('x-path'), TEXT);
      const end = write(memory, Buffer.from(value), valueAt);
      list.add(TEXT, valueAt - TEXT, valueAt, end - valueAt);
      list.finishParsed(recurrence, source);
      assert.deepEqual(fieldsOf(list), [{ name: 'x-path', value, never: false }]);
      return list.template !== null;
    };
    for (let i = 0; i < 500; i++) known(3, `/${i}`);
    for (let i = 0; i < 3; i++) assert.equal(known(3, '/same'), false);
    for (let i = 0; i < 3; i++) known(4, '/same');
    assert.ok(known(4, '/same'));
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Encoder } from '../../src/hpack/encoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import type { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { build, newMemory, OUTPUT, read } from '../support/header-fixture.js';
import { type Field, NaiveDecoder } from '../support/naive-hpack.js';

const fields = (...lines: [name: string, value: string][]): Field[] => lines.map(([name, value]) => ({ name, value }));
const encode = (memory: HeaderMemory, encoder: Encoder, list: FieldList, what: readonly Field[]): number[] => {
  build(list, what);
  return read(memory, OUTPUT, encoder.encode(list, OUTPUT));
};
const REQUEST = fields([':method', 'GET'], [':path', '/some/path'], ['x-tenant', 'blue']);

describe('HPACK encoder', () => {
  it('signals a lower limit of the peer at the next block, and keeps to it (RFC 7541 section 4.2)', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    for (let i = 0; i < 4; i++) encode(memory, encoder, list, REQUEST);
    encoder.setPeerLimit(60);
    const block = encode(memory, encoder, list, REQUEST);
    assert.deepEqual(block.slice(0, 3), [0x20, 0x3f, 60 - 31]);
    const peer = new NaiveDecoder();
    peer.limit = 60;
    peer.decode(block);
    assert.ok(peer.table.size <= 60);
  });

  it('signals the smallest limit since the last block, and the final one', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    encoder.setPeerLimit(0);
    encoder.setPeerLimit(4096);
    assert.deepEqual(encode(memory, encoder, list, REQUEST).slice(0, 4), [0x20, 0x3f, 0xe1, 0x1f]);
    assert.notEqual(encode(memory, encoder, list, REQUEST)[0], 0x20);
  });

  it('uses no table where the peer allows none, and says so once', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    encoder.setPeerLimit(0);
    const peer = new NaiveDecoder();
    peer.limit = 0;
    for (let i = 0; i < 6; i++) {
      const block = encode(memory, encoder, list, REQUEST);
      assert.equal(block[0] === 0x20, i === 0);
      assert.deepEqual(peer.decode(block).length, 3);
    }
  });

  it('says nothing about a limit that does not concern its table', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    encoder.setPeerLimit(65536);
    encoder.setPeerLimit(4096);
    assert.equal(encode(memory, encoder, list, REQUEST)[0], 0x82);
  });

  it('grows to the table that it wants once the peer allows it', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory, 8192);
    assert.equal(encode(memory, encoder, list, REQUEST)[0], 0x82);
    encoder.setPeerLimit(65536);
    assert.deepEqual(encode(memory, encoder, list, REQUEST).slice(0, 4), [0x20, 0x3f, 0xe1, 0x3f]);
  });

  it('never indexes what is secret, nor what came never indexed (RFC 7541 section 7.1)', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    const peer = new NaiveDecoder();
    const secret = [
      ...fields(
        ['authorization', 'Bearer abc'],
        ['proxy-authorization', 'Basic x'],
        ['cookie', 'a=b'],
        ['set-cookie', 'c=d'],
      ),
      { name: 'x-key', value: 'k', never: true },
    ];
    for (let i = 0; i < 6; i++) {
      for (const field of peer.decode(encode(memory, encoder, list, secret))) assert.ok(field.never, field.name);
      assert.equal(peer.table.entries.length, 0);
    }
  });

  it('copies a template and adds one literal for a field that keeps changing', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    const peer = new NaiveDecoder();
    for (let i = 0; i < 20; i++) {
      const { readyHits } = memory;
      const block = encode(memory, encoder, list, [...REQUEST, { name: 'grpc-timeout', value: `${i}u` }]);
      assert.equal(peer.decode(block)[3].value, `${i}u`);
      if (i < 6) continue;
      assert.equal(memory.readyHits, readyHits + 1);
      // :method, :path, x-tenant indexed; grpc-timeout by the index of its name.
      assert.ok(block.length <= 3 + 3 + 3, `${block.length}`);
    }
  });

  it('begins its table anew when too much of what is sent is not in it', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    const peer = new NaiveDecoder();
    const size = (tag: string): number => {
      let length = 0;
      for (let i = 0; i < 80; i++) {
        const what = fields(
          ...[0, 1, 2, 3].map((k): [string, string] => [`x-${tag}-${k}-${i % 20}`, 'value'.repeat(5)]),
        );
        const block = encode(memory, encoder, list, what);
        assert.equal(peer.decode(block).length, 4);
        length += block.length;
      }
      return length;
    };
    size('first');
    const before = size('second');
    for (let i = 0; i < 12; i++) size('second');
    assert.ok(peer.table.entries.some((entry) => entry.name.startsWith('x-second')));
    assert.ok(size('second') < before);
  });
});

// Blocks that are too large for their list: whatever pieces they come in, the table must be what an ordinary decoder would have made of it.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { DiscardingDecoder } from '../../src/hpack/discarding-decoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import { fieldsOf, INPUT, newMemory, write } from '../support/header-fixture.js';
import { encodeBlock, indexed, integer, literal, NaiveDecoder, sizeUpdate } from '../support/naive-hpack.js';

const memory = newMemory();
const list = new FieldList(memory);
/** What the decoder's owner has for octets that are not used yet. */
const WINDOW = 16 * 1024;

/** Presents `block` in pieces of `piece` octets, and what was left of them again with the next. Returns whether the block was sound. */
function discard(decoder: Decoder, block: Uint8Array, piece: () => number): boolean {
  const discarding = new DiscardingDecoder(decoder, list);
  let held = Buffer.alloc(0);
  for (let at = 0; at < block.length; ) {
    const next = block.subarray(at, at + Math.min(piece(), WINDOW - held.length));
    at += next.length;
    held = Buffer.concat([held, next]);
    const end = write(memory, held);
    const used = discarding.read(INPUT, end);
    if (used < 0) return false;
    held = held.subarray(used - INPUT);
    assert.ok(held.length < WINDOW, 'a window full of octets that none can be used of');
  }
  return discarding.whole && held.length === 0;
}

/** The entries of a decoder's table, from the newest on. */
function tableOf(decoder: Decoder): string[] {
  const entries: string[] = [];
  for (let index = 62; ; index++) {
    const end = write(memory, indexed(index));
    if (decoder.decode(INPUT, end, list, 1 << 20, 1024) !== DECODE.OK) return entries;
    entries.push(fieldsOf(list).map(({ name, value }) => `${name}: ${value}`)[0]);
  }
}

function random(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % most;
  };
}

/** Fields of all kinds and sizes, and references to what they have left in the table. */
function blockOf(pick: (most: number) => number): Buffer {
  const naive = new NaiveDecoder();
  const parts: Uint8Array[] = pick(2) === 0 ? [] : [sizeUpdate(pick(4097))];
  for (const part of parts) naive.decode(part);
  const sizes = [0, 1, 30, 126, 127, 500, 2000, 4000, 4062, 4063, 4064, 4065, 9000, 17_000, 40_000];
  for (let size = 0; size < 120_000; ) {
    const known = naive.table.entries.length;
    let part: Uint8Array;
    if (pick(3) === 0) part = indexed(1 + pick(61 + known));
    else {
      const kind = (['plain', 'incremental', 'incremental', 'never'] as const)[pick(4)];
      const name = pick(3) === 0 ? 1 + pick(61 + known) : pick(30) === 0 ? 'n'.repeat(20_000) : `x-${pick(50)}`;
      const value = String.fromCharCode(97 + pick(26)).repeat(sizes[pick(sizes.length)]);
      part = literal(name, value, kind, pick(2) === 0, pick(2) === 0);
    }
    naive.decode(part);
    parts.push(part);
    size += part.length + 20;
  }
  return Buffer.concat(parts);
}

describe('HPACK discarding decoder', () => {
  it('leaves the table as a decoder would, whatever the pieces', () => {
    for (let seed = 1; seed <= 25; seed++) {
      const pick = random(seed * 7919);
      const block = blockOf(pick);
      const naive = new NaiveDecoder();
      naive.decode(block);
      const expected = naive.table.entries.map(({ name, value }) => `${name}: ${value}`);
      for (const pieces of [() => 1 + pick(20_000), () => WINDOW, () => 1 + pick(40)]) {
        const decoder = new Decoder(memory);
        assert.ok(discard(decoder, block, pieces), `seed ${seed}`);
        assert.deepEqual(tableOf(decoder), expected, `seed ${seed}`);
      }
    }
  });

  it('needs no more of an entry than tells that no table takes it', () => {
    const decoder = new Decoder(memory);
    write(memory, literal('x-small', 'stays not', 'incremental'));
    assert.ok(
      discard(
        decoder,
        Buffer.concat([
          literal('x-small', 'stays not', 'incremental'),
          literal('x-huge', '~'.repeat(200_000), 'incremental', true),
        ]),
        () => 16_000,
      ),
    );
    assert.deepEqual(tableOf(decoder), []);
  });

  it('finds what is no block', () => {
    const fill = literal('x', 'y'.repeat(20_000));
    const bad: readonly (readonly [string, Uint8Array])[] = [
      ['an index beyond the table', Buffer.concat([fill, indexed(62)])],
      ['an index of 0', Buffer.concat([fill, Buffer.of(0x80)])],
      ['a size update behind a field', Buffer.concat([fill, sizeUpdate(100)])],
      ['a size update above what was announced', Buffer.concat([sizeUpdate(4097), fill])],
      ['an integer without end', Buffer.concat([fill, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)])],
      ['bad Huffman code', Buffer.concat([fill, Buffer.of(0x00, 0x01, 0x61, 0x81, 0xff)])],
      ['a value that is not whole', Buffer.concat([fill, Buffer.of(0x00, 0x01, 0x61), integer(30_000, 7)])],
      ['a name that is not whole', Buffer.concat([fill, Buffer.of(0x40), integer(30_000, 7), Buffer.alloc(5)])],
      [
        'a field without a value',
        Buffer.concat([fill, Buffer.of(0x00), integer(20_000, 7), Buffer.alloc(20_000, 'n')]),
      ],
    ];
    for (const [what, block] of bad) {
      for (const piece of [1, 7, WINDOW])
        assert.equal(
          discard(new Decoder(memory), block, () => piece),
          false,
          what,
        );
    }
  });

  it('knows what the first fields say', () => {
    const decoder = new Decoder(memory);
    const discarding = new DiscardingDecoder(decoder, list);
    const head = encodeBlock([
      [':method', 'POST'],
      [':path', '/a.B/C'],
      ['content-type', 'application/grpc'],
    ]);
    const end = write(memory, Buffer.concat([head, literal('x-a', 'b'.repeat(60_000))]).subarray(0, WINDOW));
    discarding.read(INPUT, end);
    assert.equal(list.facts.grpc, true);
    assert.equal(list.count, 0);
  });
});

// The wire reader and writer against the library that everybody uses, and against octets that nobody should send.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { ProtobufError, Reader } from '../../src/protobuf/reader.js';
import { Writer } from '../../src/protobuf/writer.js';

const ALL = protobuf
  .parse(
    `syntax = "proto3";
     message All {
       uint32 number = 1; uint64 long = 2; bool flag = 3; fixed32 word = 4; fixed64 words = 5;
       string text = 6; bytes octets = 7; repeated All children = 1000;
     }
     message Nothing {}`,
  )
  .root.lookupType('All');

interface All {
  readonly number: number;
  readonly long: bigint;
  readonly flag: boolean;
  readonly word: number;
  readonly words: bigint;
  readonly text: string;
  readonly octets: Uint8Array;
  readonly children: readonly All[];
}

const NONE = { number: 0, long: 0n, flag: false, word: 0, words: 0n, text: '', octets: Buffer.alloc(0), children: [] };

function read(reader: Reader): All {
  const all: { -readonly [K in keyof All]: All[K] } & { children: All[] } = { ...NONE, children: [] };
  while (reader.next()) {
    if (reader.field === 1) all.number = reader.uint32();
    else if (reader.field === 2) all.long = reader.uint64();
    else if (reader.field === 3) all.flag = reader.bool();
    else if (reader.field === 4) all.word = reader.fixed32();
    else if (reader.field === 5) all.words = reader.fixed64();
    else if (reader.field === 6) all.text = reader.string();
    else if (reader.field === 7) all.octets = Buffer.from(reader.bytes());
    else if (reader.field === 1000) all.children.push(read(reader.message()));
  }
  return all;
}

function write(writer: Writer, all: All): Writer {
  writer.uint32(1, all.number).bool(3, all.flag).fixed32(4, all.word).fixed64(5, all.words);
  writer.string(6, all.text).bytes(7, all.octets);
  for (const child of all.children) {
    const begin = writer.begin(1000);
    write(writer, child).end(begin);
  }
  return writer;
}

const treesOf = (depth: number): fc.Arbitrary<All> =>
  fc.record(
    {
      number: fc.nat(0xffff_ffff),
      long: fc.constant(0n),
      flag: fc.boolean(),
      word: fc.nat(0xffff_ffff),
      words: fc.bigInt(0n, (1n << 64n) - 1n),
      text: fc.string({ unit: 'grapheme', maxLength: 100 }),
      octets: fc.uint8Array({ maxLength: 150 }).map((octets) => Buffer.from(octets)),
      children: depth === 0 ? fc.constant([]) : fc.array(treesOf(depth - 1), { maxLength: 2 }),
    },
    { noNullPrototype: true },
  );
const trees = treesOf(2);

/** As the library has it: 64 bits are texts. */
function official(octets: Uint8Array): All {
  const plain = ALL.toObject(ALL.decode(octets), { longs: String, bytes: Buffer, defaults: true });
  const converted = (value: Record<string, unknown>): All => ({
    ...(value as unknown as All),
    long: BigInt(String(value.long)),
    words: BigInt(String(value.words)),
    children: (value.children as Record<string, unknown>[]).map(converted),
  });
  return converted(plain);
}

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(' ', ''), 'hex');

describe("protocol buffers' wire format", () => {
  it('is written as the official library reads it, and read by ours', () => {
    fc.assert(
      fc.property(trees, (all) => {
        const octets = write(new Writer(), all).finish();
        assert.deepEqual(official(octets), all);
        assert.deepEqual(read(new Reader(octets)), all);
      }),
      { numRuns: 200 },
    );
  });

  it('is read as the official library writes it', () => {
    fc.assert(
      fc.property(trees, fc.bigInt(0n, (1n << 64n) - 1n), (all, long) => {
        const given = (value: All): object => ({
          ...value,
          words: String(value.words),
          children: value.children.map(given),
        });
        const octets = ALL.encode(ALL.fromObject({ ...given(all), long: String(long) })).finish();
        assert.deepEqual(read(new Reader(octets)), { ...all, long });
      }),
      { numRuns: 200 },
    );
  });

  it('never fails but with a ProtobufError, and never reads beside the message', () => {
    // What lies around the message would make a number end, or a text longer.
    const within = fc.tuple(fc.uint8Array({ maxLength: 64 }), fc.nat(8), fc.nat(8));
    fc.assert(
      fc.property(within, ([octets, before, after]) => {
        const around = Buffer.concat([Buffer.alloc(before, 0x01), octets, Buffer.alloc(after, 0x01)]);
        const outcome = (message: Uint8Array): unknown => {
          try {
            return read(new Reader(message));
          } catch (error) {
            assert.ok(error instanceof ProtobufError, String(error));
            return error.message;
          }
        };
        assert.deepEqual(outcome(around.subarray(before, before + octets.length)), outcome(Uint8Array.from(octets)));
      }),
      { numRuns: 2000 },
    );
  });

  it('agrees with the official library on whatever that takes', () => {
    const mutated = fc.tuple(trees, fc.nat(), fc.nat(255)).map(([all, at, octet]) => {
      const octets = write(new Writer(), all).finish();
      if (octets.length > 0) octets[at % octets.length] = octet;
      return octets;
    });
    fc.assert(
      fc.property(mutated, (octets) => {
        let ours: All;
        try {
          ours = read(new Reader(octets));
        } catch (error) {
          assert.ok(error instanceof ProtobufError);
          return;
        }
        assert.deepEqual(ours, official(octets));
      }),
      { numRuns: 500 },
    );
  });

  it('skips fields that nobody asks for, groups among them', () => {
    // 20: a number; 21: 64 bits; 22: octets; 23: a group with a group and a text; 24: 32 bits; then field 1.
    const unknown =
      'a001 ff01  a901 0102030405060708  b201 03 aabbcc  bb01 c301 0805 c401 b201 01 00 bc01  c501 01020304';
    assert.equal(read(new Reader(hex(`${unknown} 08 2a`))).number, 42);
  });

  it('refuses lengths, numbers, tags and ends that cannot be', () => {
    for (const [octets, message] of [
      ['32 05 61', 'field 6: the message ends before its value does'],
      ['32 ffffffff0f 61', 'field 6: the message ends before its value does'],
      ['32 ffffffffffffffffff01 61', 'field 6: the message ends before its value does'],
      ['08 ffffffffffffffffffff01', 'a number has more than 10 octets'],
      ['08 80', 'the message ends within a number'],
      ['25 010203', 'field 4: the message ends before its value does'],
      ['29 01020304050607', 'field 5: the message ends before its value does'],
      ['00 01', 'a field has no valid number'],
      ['8080808010 01', 'a field has no valid number'],
      ['0e', 'field 1: there is no wire type 6'],
      ['0f', 'field 1: there is no wire type 7'],
      ['0c', 'field 1: the group has no begin'],
      ['0b 08 01', 'the message ends within a number'],
      ['0b 14', 'field 2: another group ends first'],
      ['0a 01 61', 'field 1: has wire type 2 instead of a number'],
      ['32 02 c3 28', 'field 6: the text is not UTF-8'],
    ])
      assert.throws(() => read(new Reader(hex(octets))), { message }, octets);
  });

  it('refuses messages and groups that are nested too deep', () => {
    assert.throws(() => new Reader(Buffer.alloc(200_000, 0x0b)).next(), {
      message: 'groups are nested deeper than 100',
    });
    const writer = new Writer();
    const begins = Array.from({ length: 200 }, () => writer.begin(1000));
    for (const begin of begins.reverse()) writer.end(begin);
    assert.throws(() => read(new Reader(writer.finish())), { message: 'messages are nested deeper than 100' });
  });

  it('writes into octets of its own', () => {
    const writer = new Writer();
    const first = writer.string(6, 'first').finish();
    const second = writer.string(6, 'other').finish();
    assert.equal(read(new Reader(first)).text, 'first');
    assert.equal(read(new Reader(second)).text, 'other');
  });
});

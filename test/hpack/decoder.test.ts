import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import { fieldsOf, INPUT, newMemory, write } from '../support/header-fixture.js';
import { type Choice, type Field, NaiveEncoder } from '../support/naive-hpack.js';

const memory = newMemory();
const list = new FieldList(memory);
const decode = (decoder: Decoder, octets: ArrayLike<number> | string, maxBytes = 16384, maxFields = 128): number =>
  decoder.decode(INPUT, write(memory, octets), list, maxBytes, maxFields);
const once = (octets: ArrayLike<number> | string): number => decode(new Decoder(memory), octets);
const show = (): string[] => fieldsOf(list).map(({ name, value }) => `${name}: ${value}`);

const text = (value: string): number[] => [value.length, ...Buffer.from(value, 'latin1')];
const incremental = (name: string, value: string): number[] => [0x40, ...text(name), ...text(value)];
/** A literal value of `length` times `a` (five bits each), Huffman coded, name `x`, incremental. */
function longValue(length: number, first = 0x40): number[] {
  const octets: number[] = [];
  const bits = '00011'.repeat(length).padEnd(Math.ceil((length * 5) / 8) * 8, '1');
  for (let i = 0; i < bits.length; i += 8) octets.push(Number.parseInt(bits.slice(i, i + 8), 2));
  const lengthOctets: number[] = [0xff];
  let rest = octets.length - 127;
  for (; rest >= 128; rest >>= 7) lengthOctets.push((rest & 127) | 128);
  lengthOctets.push(rest);
  return [first, 1, 0x78, ...lengthOctets, ...octets];
}

describe('HPACK decoder: errors', () => {
  it('refuses index 0 (RFC 7541 section 6.1)', () => assert.equal(once([0x80]), DECODE.ERROR));
  it('refuses indices beyond the table, of fields and of names (section 2.3.3)', () => {
    assert.equal(once([0xbe]), DECODE.ERROR);
    assert.equal(once([0x7e, 0x00]), DECODE.ERROR);
    assert.equal(once([0x0f, 0x2f, 0x00]), DECODE.ERROR);
    assert.equal(once([...incremental('a', 'b'), 0xbf]), DECODE.ERROR);
    assert.equal(once([...incremental('a', 'b'), 0xbe]), DECODE.OK);
  });
  it('refuses integers that are too large or too long (section 5.1)', () => {
    assert.equal(once([0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]), DECODE.ERROR);
    assert.equal(once([0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), DECODE.ERROR);
    assert.equal(once([0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f]), DECODE.ERROR);
  });
  it('refuses strings that reach beyond the block', () => {
    assert.equal(once([0x00, 0x05, 0x61]), DECODE.ERROR);
    assert.equal(once([0x00, 0x01, 0x61, 0x02, 0x61]), DECODE.ERROR);
    assert.equal(once([0x00, 0x01, 0x61]), DECODE.ERROR);
    assert.equal(once([0x00]), DECODE.ERROR);
    assert.equal(once([0x04]), DECODE.ERROR);
  });
  it('refuses EOS, long padding and padding of zeros, in names and in values (section 5.2)', () => {
    for (const bad of [
      [0x84, 0xff, 0xff, 0xff, 0xff],
      [0x82, 0x1f, 0xff],
      [0x81, 0xff],
      [0x81, 0x18],
    ]) {
      assert.equal(once([0x00, 0x01, 0x61, ...bad]), DECODE.ERROR);
      assert.equal(once([0x00, ...bad, 0x00]), DECODE.ERROR);
    }
  });
  it('refuses bad Huffman code in fields that a limit has already excluded', () => {
    assert.equal(decode(new Decoder(memory), [0x82, 0x82, 0x00, 0x01, 0x61, 0x81, 0xff], 16384, 1), DECODE.ERROR);
  });
});

describe('HPACK decoder: table size (RFC 7541 sections 4.2, 4.3 and 6.3)', () => {
  it('refuses an update above what was announced', () => {
    assert.equal(once('3fe11f'), DECODE.OK);
    assert.equal(once('3fe21f'), DECODE.ERROR);
    assert.equal(decode(new Decoder(memory, 8192), '3fe13f'), DECODE.OK);
  });
  it('refuses an update that is not at the beginning of a block', () => {
    assert.equal(once([0x82, 0x20]), DECODE.ERROR);
    assert.equal(once([0x20, 0x82]), DECODE.OK);
  });
  it('accepts two updates and refuses three', () => {
    assert.equal(once([0x20, 0x3f, 0xe1, 0x1f, 0x82]), DECODE.OK);
    assert.equal(once([0x20, 0x20, 0x20, 0x82]), DECODE.ERROR);
  });
  it('wants an update once a lower size was acknowledged', () => {
    const decoder = new Decoder(memory);
    decoder.setTableBytes(100);
    assert.equal(decode(decoder, [0x82]), DECODE.ERROR);
    const other = new Decoder(memory);
    other.setTableBytes(0);
    other.setTableBytes(4096);
    assert.equal(decode(other, [0x3f, 0xe1, 0x1f, 0x82]), DECODE.ERROR, 'the smallest size must be signalled');
    const good = new Decoder(memory);
    good.setTableBytes(0);
    good.setTableBytes(4096);
    assert.equal(decode(good, [0x20, 0x3f, 0xe1, 0x1f, 0x82]), DECODE.OK);
    assert.equal(decode(good, [0x82]), DECODE.OK);
  });
  it('wants it of a block that was cached whole too', () => {
    const decoder = new Decoder(memory);
    for (let i = 0; i < 5; i++) assert.equal(decode(decoder, [0x82, 0x86, 0x84]), DECODE.OK);
    decoder.setTableBytes(0);
    assert.equal(decode(decoder, [0x82, 0x86, 0x84]), DECODE.ERROR);
  });
  it('evicts when it shrinks, and has no table at a size of 0', () => {
    const decoder = new Decoder(memory);
    assert.equal(decode(decoder, [...incremental('a', '1'), ...incremental('b', '2')]), DECODE.OK);
    assert.equal(decode(decoder, [0x3f, 0x03, 0xbe]), DECODE.OK);
    assert.deepEqual(show(), ['b: 2']);
    assert.equal(decoder.evictions, 1);
    assert.equal(decode(decoder, [0x20, ...incremental('c', '3')]), DECODE.OK);
    assert.deepEqual(show(), ['c: 3']);
    assert.equal(decode(decoder, [0xbe]), DECODE.ERROR);
  });
  it('empties the table for an entry that is larger than it (section 4.4)', () => {
    const decoder = new Decoder(memory);
    assert.equal(decode(decoder, [...incremental('a', '1'), ...longValue(5000)]), DECODE.OK);
    assert.equal(decode(decoder, [0xbe]), DECODE.ERROR);
  });
  it('takes the name from an entry that its insertion evicts', () => {
    const decoder = new Decoder(memory);
    assert.equal(decode(decoder, [0x3f, 0x09, ...incremental('name', 'one'), 0x7e, ...text('two')]), DECODE.OK);
    assert.deepEqual(show(), ['name: one', 'name: two']);
    assert.equal(decode(decoder, [0xbe]), DECODE.OK);
    assert.deepEqual(show(), ['name: two']);
    assert.equal(decode(decoder, [0xbf]), DECODE.ERROR);
  });
});

describe('HPACK decoder: limits', () => {
  it('counts the list as RFC 9113 section 6.5.2 does, to the octet', () => {
    // :method GET is 32 + 7 + 3 octets.
    assert.equal(decode(new Decoder(memory), [0x82, 0x82], 84), DECODE.OK);
    assert.equal(decode(new Decoder(memory), [0x82, 0x82], 83), DECODE.TOO_LARGE);
    assert.equal(list.count, 0);
  });
  it('counts fields', () => {
    assert.equal(decode(new Decoder(memory), [0x82, 0x86, 0x84], 16384, 3), DECODE.OK);
    assert.equal(decode(new Decoder(memory), [0x82, 0x86, 0x84], 16384, 2), DECODE.TOO_LARGE);
    assert.equal(decode(new Decoder(memory), new Uint8Array(1025).fill(0x82), 1 << 20, 5000), DECODE.TOO_LARGE);
  });
  it('applies them to blocks that are cached whole', () => {
    const decoder = new Decoder(memory);
    for (let i = 0; i < 5; i++) assert.equal(decode(decoder, [0x82, 0x86, 0x84]), DECODE.OK);
    assert.equal(decode(decoder, [0x82, 0x86, 0x84], 100), DECODE.TOO_LARGE);
    assert.equal(decode(decoder, [0x82, 0x86, 0x84], 16384, 2), DECODE.TOO_LARGE);
    assert.equal(decode(decoder, [0x82, 0x86, 0x84]), DECODE.OK);
  });
  it('keeps the table right when a list is too large', () => {
    const decoder = new Decoder(memory);
    const block = [...incremental('a', '1'), ...incremental('b', '2'), ...longValue(3000), ...incremental('c', '3')];
    assert.equal(decode(decoder, block, 50), DECODE.TOO_LARGE);
    assert.equal(decode(decoder, [0xbe, 0xc0, 0xc1]), DECODE.OK);
    assert.deepEqual(show(), ['c: 3', 'b: 2', 'a: 1']);
    assert.equal(decode(decoder, [0xbf]), DECODE.OK);
    assert.deepEqual(show(), [`x: ${'a'.repeat(3000)}`]);
  });
  it('keeps the table right when the text does not fit in the scratch', () => {
    const decoder = new Decoder(memory);
    // Literals that fill the scratch, an entry that must be decoded nevertheless, one that is larger than the scratch.
    const block = [...longValue(16000, 0), ...longValue(15000, 0), ...longValue(3000), ...longValue(40000, 0)];
    assert.equal(decode(decoder, block, 1 << 20), DECODE.TOO_LARGE);
    assert.equal(decode(decoder, [0xbe]), DECODE.OK);
    assert.deepEqual(show(), [`x: ${'a'.repeat(3000)}`]);
    assert.equal(decode(decoder, longValue(40000), 1 << 20), DECODE.TOO_LARGE);
    assert.equal(decode(decoder, [0xbe]), DECODE.ERROR);
  });
  it('spends next to nothing on a bomb: an entry of 4 KiB referred to 16,000 times', () => {
    const decoder = new Decoder(memory);
    // 32 octets and a name of one: the entry fills the table.
    const length = 4096 - 33;
    assert.equal(decode(decoder, [...longValue(length), ...new Array<number>(16_000).fill(0xbe)]), DECODE.TOO_LARGE);
    assert.ok(list.scratch - list.scratchStart <= 16_384, 'no text is unfolded beyond the limit');
    assert.equal(decode(decoder, [0xbe]), DECODE.OK);
    assert.deepEqual(show(), [`x: ${'a'.repeat(length)}`]);
  });
});

describe('HPACK decoder: what is remembered', () => {
  const CHOICE: Choice = { kind: 1, indexed: true, namedByIndex: true, huffmanName: true, huffmanValue: true };
  const grpc = (timeout: string): Field[] =>
    [
      [':method', 'POST'],
      [':scheme', 'http'],
      [':path', '/echo.Echo/Call'],
      [':authority', '127.0.0.1:9000'],
      ['te', 'trailers'],
      ['content-type', 'application/grpc'],
      ['user-agent', 'grpc-node/1.14.7'],
      ['grpc-timeout', timeout],
      ['grpc-accept-encoding', 'identity,deflate,gzip'],
      ['accept-encoding', 'identity'],
    ].map(([name, value]) => ({ name, value }));

  it('finds the template of a request whose indices all shift with a changing grpc-timeout', () => {
    const shared = newMemory();
    const own = new FieldList(shared);
    const decoder = new Decoder(shared);
    const peer = new NaiveEncoder();
    let template = own.template;
    for (let i = 0; i < 200; i++) {
      const block = grpc(`${999_000 - i}u`).flatMap((field) => peer.encode(field, CHOICE));
      assert.equal(decoder.decode(INPUT, write(shared, block), own, 16384, 128), DECODE.OK);
      if (i === 5) template = own.template;
      if (i < 5) continue;
      assert.ok(template !== null && own.template === template);
      assert.equal(own.count, 1);
      assert.equal(own.facts.grpcTimeoutMs, Math.ceil((999_000 - i) / 1000));
      assert.ok(own.facts.grpc && own.facts.teTrailers);
    }
    assert.ok(decoder.evictions > 100);
    assert.equal(shared.epoch, 1);
  });

  it('finds whole blocks, per connection and table', () => {
    const shared = newMemory();
    const own = new FieldList(shared);
    const first = new Decoder(shared);
    const second = new Decoder(shared);
    const run = (decoder: Decoder, block: number[]) => {
      assert.equal(decoder.decode(INPUT, write(shared, block), own, 16384, 128), DECODE.OK);
      return fieldsOf(own).map(({ value }) => value);
    };
    run(first, incremental('a', 'one'));
    run(second, incremental('a', 'two'));
    for (let i = 0; i < 6; i++) {
      assert.deepEqual(run(first, [0xbe]), ['one']);
      assert.deepEqual(run(second, [0xbe]), ['two']);
    }
    const { hits } = shared;
    assert.ok(hits >= 4);
    run(first, incremental('a', 'three'));
    assert.deepEqual(run(first, [0xbe]), ['three']);
  });

  it('begins a new epoch when it is full, and the text of the one before stays readable', () => {
    const shared = newMemory(20);
    const own = new FieldList(shared);
    const other = new FieldList(shared);
    const decoder = new Decoder(shared);
    const stable = incremental('kept', 'value of the list that is kept');
    for (let i = 0; i < 4; i++) decoder.decode(INPUT, write(shared, stable), own, 16384, 128);
    assert.notEqual(own.template, null);
    const { epoch } = shared;
    for (let i = 0; shared.epoch === epoch; i++) {
      assert.ok(i < 10_000);
      decoder.decode(INPUT, write(shared, incremental(`name-${i >> 1}`, `${i >> 1}`)), other, 16384, 128);
    }
    assert.deepEqual(fieldsOf(own), [{ name: 'kept', value: 'value of the list that is kept', never: false }]);
    own.refresh();
    assert.deepEqual(fieldsOf(own), [{ name: 'kept', value: 'value of the list that is kept', never: false }]);
  });
});

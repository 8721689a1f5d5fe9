// Header compression: a head is encoded for one connection and decoded by another.
import { DECODE, Decoder } from '../../hpack/decoder.js';
import { Encoder } from '../../hpack/encoder.js';
import { FieldList } from '../../hpack/field-list.js';
import type { Arena } from '../arena.js';
import type { MicroBenchmark, Prepared } from '../benchmark.js';

const FIELDS: readonly (readonly [name: string, value: string])[] = [
  [':method', 'GET'],
  [':scheme', 'http'],
  [':authority', 'items.shop.svc.cluster.local:8080'],
  [':path', '/api/v1/items/48213000?fields=name,price'],
  ['user-agent', 'grpc-go/1.62.0'],
  ['accept', 'application/json'],
  ['accept-encoding', 'gzip, deflate, br'],
  ['x-request-id', '7d1b1c0e-4f5a-4a53-9f0c-1c9b00000000'],
];
/** Fields in FIELDS whose last digits change each time, and the number of digits after these. */
const VARIED: readonly (readonly [field: number, fromEnd: number])[] = [
  [3, 18],
  [7, 0],
];
const DIGITS = 8;
const MAX_BYTES = 65_536;
const MAX_FIELDS = 100;

interface Placed {
  readonly nameAt: number;
  readonly nameLength: number;
  readonly valueAt: number;
  readonly valueLength: number;
}

/** Writes the digits of `number` before `end`. */
function writeDigits(bytes: Uint8Array, end: number, number: number): void {
  let rest = number;
  for (let i = 1; i <= DIGITS; i++) {
    bytes[end - i] = 48 + (rest % 10);
    rest = (rest / 10) | 0;
  }
}

function prepare(arena: Arena, varied: boolean): Prepared {
  const { headers, bytes, slab } = arena;
  const placed: Placed[] = FIELDS.map(([name, value]) => ({
    nameAt: arena.text(name),
    nameLength: name.length,
    valueAt: arena.text(value),
    valueLength: value.length,
  }));
  const ends = VARIED.map(([field, fromEnd]) => placed[field].valueAt + placed[field].valueLength - fromEnd);
  const [encoder, decoder] = [new Encoder(headers), new Decoder(headers)];
  const [list, read] = [new FieldList(headers), new FieldList(headers)];
  const block = slab.fixed(4096);
  let counter = 0;
  return {
    run(times) {
      let sum = 0;
      for (let i = 0; i < times; i++) {
        if (varied) for (let k = 0; k < ends.length; k++) writeDigits(bytes, ends[k], ++counter);
        list.clear();
        for (let k = 0; k < placed.length; k++) {
          const field = placed[k];
          list.add(field.nameAt, field.nameLength, field.valueAt, field.valueLength, false);
        }
        list.finish();
        const end = encoder.encode(list, block);
        if (decoder.decode(block, end, read, MAX_BYTES, MAX_FIELDS) !== DECODE.OK)
          throw new Error('a block was refused');
        sum += end - block;
      }
      return sum;
    },
  };
}

export const repeatedFields: MicroBenchmark = {
  name: 'hpack-repeated',
  what: `the same ${FIELDS.length} fields, put in a list, encoded and decoded`,
  prepare: (arena) => prepare(arena, false),
};

export const variedFields: MicroBenchmark = {
  name: 'hpack-varied',
  what: `${FIELDS.length} fields, two of which never repeat, put in a list, encoded and decoded`,
  prepare: (arena) => prepare(arena, true),
};

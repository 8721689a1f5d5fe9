import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { Encoder } from '../../src/hpack/encoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import type { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { restoreList, saveList } from '../../src/hpack/memory/saved-list.js';
import { build, fieldsOf, grouped, INPUT, newMemory, OUTPUT, read, TEXT, write } from '../support/header-fixture.js';
import { type Choice, type Field, NaiveDecoder, NaiveEncoder, NaiveError } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';

const NAMES = [
  'x-a',
  'x-b',
  'x-long-name-with-some-octets',
  'cookie',
  'grpc-timeout',
  'te',
  'accept',
  'user-agent',
  'authorization',
];
const name = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(...NAMES) },
  { weight: 1, arbitrary: fc.string({ unit: fc.constantFrom(...'abcxyz-019'), minLength: 1, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 4 }) },
);
const value = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom('', '1', 'trailers', 'a value', 'another value of a field', 'x'.repeat(100)),
  },
  { weight: 2, arbitrary: fc.nat({ max: 300 }).map(String) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 40 }).map((octets) => Buffer.from(octets).toString('latin1')) },
  { weight: 1, arbitrary: fc.nat({ max: 5000 }).map((length) => 'y'.repeat(length)) },
);
const pseudo = fc.constantFrom<Field[]>(
  [],
  [
    { name: ':method', value: 'GET' },
    { name: ':scheme', value: 'http' },
    { name: ':path', value: '/' },
    { name: ':authority', value: 'example.com' },
  ],
  [{ name: ':status', value: '200' }],
);
const field: fc.Arbitrary<Field> = fc.record({
  name,
  value,
  never: fc.oneof({ weight: 9, arbitrary: fc.constant(false) }, fc.boolean()),
});
/** What repeats in practice: only that is remembered, malformed lists never are. */
const clean: fc.Arbitrary<Field> = fc.record({
  name: fc.constantFrom('x-a', 'x-b', 'x-long-name-with-some-octets', 'accept', 'user-agent', 'cookie'),
  value: fc.constantFrom('1', 'a value', 'another value of a field', 'x'.repeat(100)),
  never: fc.constant(false),
});
const message = fc
  .tuple(pseudo, fc.oneof(fc.array(field, { maxLength: 8 }), fc.array(clean, { maxLength: 5 })))
  .map(([first, rest]) => [...first, ...rest]);
const choice: fc.Arbitrary<Choice> = fc.record({
  kind: fc.nat({ max: 2 }),
  indexed: fc.boolean(),
  namedByIndex: fc.boolean(),
  huffmanName: fc.boolean(),
  huffmanValue: fc.boolean(),
});
const COMMON: Choice[] = [{ kind: 1, indexed: true, namedByIndex: true, huffmanName: true, huffmanValue: true }];
const TABLE_SIZES = [0, 31, 33, 64, 100, 200, 1000, 4096];

/** A block that one of three connections sends: one of a few messages, so that things repeat. */
interface Step {
  connection: number;
  message: number;
  choices: Choice[];
  resize: number;
}
const step: fc.Arbitrary<Step> = fc.record({
  connection: fc.nat({ max: 2 }),
  message: fc.nat(),
  choices: fc.oneof({ weight: 3, arbitrary: fc.constant(COMMON) }, fc.array(choice, { minLength: 1, maxLength: 4 })),
  resize: fc.oneof({ weight: 20, arbitrary: fc.constant(-1) }, fc.constantFrom(...TABLE_SIZES)),
});
const conversation = fc.record({
  messages: fc.array(message, { minLength: 1, maxLength: 3 }),
  steps: fc.array(step, { minLength: 1, maxLength: 80, size: 'max' }),
  maxAtoms: fc.constantFrom(4, 20, 4096),
});

const plain = (fields: readonly Field[]): Field[] =>
  fields.map(({ name, value, never }) => ({ name, value, never: never ?? false }));

function encodeNaively(
  encoder: NaiveEncoder,
  fields: readonly Field[],
  step: Step,
): { octets: number[]; never: Field[] } {
  const octets = step.resize >= 0 ? encoder.resize(step.resize) : [];
  const sent = fields.map((field, i) => {
    const choice = step.choices[i % step.choices.length];
    const from = octets.length;
    octets.push(...encoder.encode(field, choice));
    return { ...field, never: (octets[from] & 0xf0) === 0x10 };
  });
  return { octets, never: sent };
}

const encodeList = (encoder: Encoder, memory: HeaderMemory, list: FieldList): number[] => {
  const { encodedBound } = list;
  const end = encoder.encode(list, OUTPUT);
  assert.ok(end - OUTPUT <= encodedBound + 16, `${end - OUTPUT} octets, bound ${encodedBound}`);
  return read(memory, OUTPUT, end);
};

const SENSITIVE = new Set(['authorization', 'proxy-authorization', 'cookie', 'set-cookie']);
const marked = (fields: readonly Field[]): Field[] =>
  fields.map((field) => ({ ...field, never: field.never || SENSITIVE.has(field.name) }));

describe('HPACK against an independent implementation', () => {
  let epochs = 0;
  let hits = 0;
  let copies = 0;
  it('decodes whatever a peer may encode, and what is passed on says the same', () => {
    fc.assert(
      fc.property(conversation, fc.constantFrom(...TABLE_SIZES), ({ messages, steps, maxAtoms }, ours) => {
        const memory = newMemory(maxAtoms);
        const list = new FieldList(memory);
        const restored = new FieldList(memory);
        const peers = [0, 1, 2].map(() => ({
          naive: new NaiveEncoder(),
          decoder: new Decoder(memory),
          encoder: new Encoder(memory, ours),
          far: new NaiveDecoder(),
        }));
        for (const step of steps) {
          const { naive, decoder, encoder, far } = peers[step.connection];
          const fields = messages[step.message % messages.length];
          const { octets, never } = encodeNaively(naive, fields, step);
          const end = write(memory, octets);
          assert.equal(decoder.decode(INPUT, end, list, 16384, 1024), DECODE.OK);
          const decoded = fieldsOf(list);
          if (list.template === null) assert.deepEqual(decoded, plain(never));
          else assert.deepEqual(grouped(decoded), grouped(never));
          assert.equal(
            list.size,
            never.reduce((sum, { name, value }) => sum + 32 + name.length + value.length, 0),
          );
          const saved = saveList(list, TEXT, TEXT + 65536);
          assert.ok(saved >= 0);
          restoreList(restored, TEXT, saved);
          assert.deepEqual(grouped(fieldsOf(restored)), grouped(never));
          assert.deepEqual({ ...restored.facts, ...POSITIONS }, { ...list.facts, ...POSITIONS });
          const passed = far.decode(encodeList(encoder, memory, step.resize % 2 === 0 ? restored : list));
          assert.deepEqual(grouped(marked(passed)), grouped(marked(never)));
          for (const { name, never } of passed) if (SENSITIVE.has(name)) assert.ok(never);
        }
        epochs += memory.epoch - 1;
        hits += memory.hits;
        copies += memory.readyHits;
      }),
      { numRuns: runs(60) },
    );
    // The runs must have been through all of it.
    assert.ok(epochs > 0 && hits > 10 && copies > 50, `${epochs} epochs, ${hits} hits, ${copies} copies`);
  });

  it('encodes lists that were built here so that any peer understands them, whatever table it allows', () => {
    fc.assert(
      fc.property(conversation, fc.constantFrom(...TABLE_SIZES), ({ messages, steps, maxAtoms }, ours) => {
        const memory = newMemory(maxAtoms);
        const list = new FieldList(memory);
        const peers = [0, 1, 2].map(() => ({ encoder: new Encoder(memory, ours), far: new NaiveDecoder() }));
        for (const step of steps) {
          const { encoder, far } = peers[step.connection];
          if (step.resize >= 0) {
            encoder.setPeerLimit(step.resize);
            far.limit = step.resize;
          }
          const fields = messages[step.message % messages.length];
          build(list, fields);
          assert.deepEqual(grouped(fieldsOf(list)), grouped(fields));
          const passed = far.decode(encodeList(encoder, memory, list));
          assert.ok(far.table.max <= far.limit);
          assert.deepEqual(grouped(marked(passed)), grouped(marked(fields)));
        }
      }),
      { numRuns: runs(60) },
    );
  });

  it('agrees on which octets are a block at all', () => {
    const octets = fc.oneof(
      fc.uint8Array({ maxLength: 40 }).map((bytes) => [...bytes]),
      fc.array(
        fc.constantFrom(0x82, 0x84, 0xbe, 0xbf, 0x40, 0x41, 0x7f, 0x00, 0x3f, 0x20, 0xff, 0x81, 0x01, 0x61, 0x0f, 0x10),
        {
          maxLength: 24,
        },
      ),
    );
    fc.assert(
      fc.property(fc.array(octets, { maxLength: 12 }), (blocks) => {
        const memory = newMemory(8);
        const list = new FieldList(memory);
        const decoder = new Decoder(memory);
        const naive = new NaiveDecoder();
        for (const block of blocks) {
          let expected: Field[] | null = null;
          try {
            expected = naive.decode(block);
          } catch (error) {
            if (!(error instanceof NaiveError)) throw error;
          }
          const result = decoder.decode(INPUT, write(memory, block), list, 16384, 1024);
          assert.equal(result, expected === null ? DECODE.ERROR : DECODE.OK);
          if (expected === null) return;
          assert.deepEqual(grouped(fieldsOf(list)), grouped(expected));
        }
      }),
      { numRuns: runs(1000) },
    );
  });

  it('reads no truncation as something else, and none crashes', () => {
    fc.assert(
      fc.property(message, fc.array(choice, { minLength: 1, maxLength: 4 }), (fields, choices) => {
        const { octets } = encodeNaively(new NaiveEncoder(), fields, {
          connection: 0,
          message: 0,
          choices,
          resize: -1,
        });
        const memory = newMemory();
        const list = new FieldList(memory);
        for (let length = 0; length < Math.min(octets.length, 300); length++) {
          const block = octets.slice(0, length);
          let expected: number = DECODE.OK;
          try {
            new NaiveDecoder().decode(block);
          } catch {
            expected = DECODE.ERROR;
          }
          assert.equal(new Decoder(memory).decode(INPUT, write(memory, block), list, 16384, 1024), expected);
        }
      }),
      { numRuns: runs(60) },
    );
  });
});

/** Where text lies is of no meaning. */
const POSITIONS = { pathAt: 0, authorityAt: 0, hostAt: 0, methodAt: 0 };

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DECODE, Decoder } from '../../src/hpack/decoder.js';
import { Encoder } from '../../src/hpack/encoder.js';
import { FieldList } from '../../src/hpack/field-list.js';
import { build, fieldsOf, grouped, INPUT, newMemory, OUTPUT, read, write } from '../support/header-fixture.js';
import { NaiveDecoder } from '../support/naive-hpack.js';

type Block = readonly [hex: string, fields: string];
interface Example {
  title: string;
  tableBytes: number;
  blocks: readonly Block[];
}

const FIRST = ':method: GET|:scheme: http|:path: /|:authority: www.example.com';
const SECOND = `${FIRST}|cache-control: no-cache`;
const THIRD = ':method: GET|:scheme: https|:path: /index.html|:authority: www.example.com|custom-key: custom-value';
const DATE = 'date: Mon, 21 Oct 2013 20:13:21 GMT|location: https://www.example.com';
const FOUND = `:status: 302|cache-control: private|${DATE}`;
const MOVED = `:status: 307|cache-control: private|${DATE}`;
const COOKIE =
  ':status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT|location: https://www.example.com|content-encoding: gzip|set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1';

const EXAMPLES: readonly Example[] = [
  {
    title: 'C.2.1 literal with incremental indexing',
    tableBytes: 4096,
    blocks: [['400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572', 'custom-key: custom-header']],
  },
  {
    title: 'C.2.2 literal without indexing',
    tableBytes: 4096,
    blocks: [['040c 2f73 616d 706c 652f 7061 7468', ':path: /sample/path']],
  },
  {
    title: 'C.2.3 literal never indexed',
    tableBytes: 4096,
    blocks: [['1008 7061 7373 776f 7264 0673 6563 7265 74', 'password: secret']],
  },
  { title: 'C.2.4 indexed field', tableBytes: 4096, blocks: [['82', ':method: GET']] },
  {
    title: 'C.3 requests without Huffman coding',
    tableBytes: 4096,
    blocks: [
      ['8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d', FIRST],
      ['8286 84be 5808 6e6f 2d63 6163 6865', SECOND],
      ['8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65', THIRD],
    ],
  },
  {
    title: 'C.4 requests with Huffman coding',
    tableBytes: 4096,
    blocks: [
      ['8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff', FIRST],
      ['8286 84be 5886 a8eb 1064 9cbf', SECOND],
      ['8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf', THIRD],
    ],
  },
  {
    title: 'C.5 responses without Huffman coding, with evictions',
    tableBytes: 256,
    blocks: [
      [
        '4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d',
        FOUND,
      ],
      ['4803 3330 37c1 c0bf', MOVED],
      [
        '88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31',
        COOKIE,
      ],
    ],
  },
  {
    title: 'C.6 responses with Huffman coding, with evictions',
    tableBytes: 256,
    blocks: [
      [
        '4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3',
        FOUND,
      ],
      ['4883 640e ffc1 c0bf', MOVED],
      [
        '88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07',
        COOKIE,
      ],
    ],
  },
];

const parse = (text: string, never: boolean) =>
  text.split('|').map((line) => {
    const [, name, value] = /^(:?[^:]+): (.*)$/.exec(line) ?? ['', '', ''];
    return { name, value, never };
  });
// Size updates with which a peer arrives at the example's table.
const sized = (example: Example, i: number): string => (i === 0 && example.tableBytes === 256 ? '3fe101' : '');

describe('RFC 7541 appendix C', () => {
  for (const example of EXAMPLES) {
    // What was learned must change nothing: the second and third connection find it all in the caches.
    it(`decodes ${example.title}`, () => {
      const memory = newMemory();
      const list = new FieldList(memory);
      for (let connection = 0; connection < 4; connection++) {
        const decoder = new Decoder(memory);
        example.blocks.forEach(([hex, text], i) => {
          const end = write(memory, sized(example, i) + hex);
          assert.equal(decoder.decode(INPUT, end, list, 16384, 128), DECODE.OK);
          const fields = parse(text, hex.startsWith('10'));
          // A list with a template has the fields that change at its ends.
          if (list.template === null) assert.deepEqual(fieldsOf(list), fields);
          list.expand();
          assert.deepEqual(grouped(fieldsOf(list)), grouped(fields));
        });
      }
    });

    it(`encodes the fields of ${example.title} so that they are decoded as such`, () => {
      const memory = newMemory();
      const list = new FieldList(memory);
      const encoder = new Encoder(memory, example.tableBytes);
      const peer = new NaiveDecoder();
      for (let round = 0; round < 4; round++) {
        for (const [hex, text] of example.blocks) {
          const fields = parse(text, hex.startsWith('10'));
          build(list, fields);
          const block = read(memory, OUTPUT, encoder.encode(list, OUTPUT));
          const sensitive = fields.map((field) => ({ ...field, never: field.never || field.name === 'set-cookie' }));
          assert.deepEqual(grouped(peer.decode(block)), grouped(sensitive));
        }
      }
      assert.equal(peer.table.max, example.tableBytes);
    });
  }

  it('encodes a repeated request in as many octets as C.3 does, or fewer', () => {
    const memory = newMemory();
    const list = new FieldList(memory);
    const encoder = new Encoder(memory);
    let end = 0;
    for (let i = 0; i < 4; i++) {
      build(list, parse(FIRST, false));
      end = encoder.encode(list, OUTPUT);
    }
    assert.deepEqual(read(memory, OUTPUT, end), [0x82, 0x86, 0x84, 0xbe]);
  });
});

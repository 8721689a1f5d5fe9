// RFC 7541 and RFC 9113 section 4.3: what a decoder must refuse, what it must remember, and what an encoder owes.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_HEADERS, END_STREAM, type SettingValues } from '../support/h2-frames.js';
import { fieldOf } from '../support/h2-inbox.js';
import { type H2Peer, REQUEST } from '../support/h2-peer.js';
import {
  bitsToOctets,
  encodeBlock,
  huffmanBits,
  indexed,
  integer,
  literal,
  naiveHuffman,
  type Pair,
  sizeUpdate,
} from '../support/naive-hpack.js';
import { type Bench, onEachExecutor, ROLES, type Role } from './http2-conformance-support.js';

const EOS = 256;
const huffmanString = (octets: Buffer): Buffer => Buffer.concat([integer(octets.length, 7, 0x80), octets]);
/** `x: <Huffman octets>`. */
const huffmanValue = (octets: Buffer): Buffer =>
  Buffer.concat([Buffer.from([0x00]), Buffer.from([1, 0x78]), huffmanString(octets)]);

/** Blocks that end the connection, behind a head that is right. */
const WRONG: readonly (readonly [section: string, what: string, block: Buffer])[] = [
  ['2.3.3', 'an index beyond the tables', indexed(62)],
  ['2.3.3', 'an index far beyond the tables', indexed(1_000_000)],
  ['2.3.3', 'a name by an index beyond the tables', literal(100, 'v')],
  ['2.3.3', 'a name of an incremental literal by an index beyond the tables', literal(62, 'v', 'incremental')],
  ['4.2', 'a size update behind a field', sizeUpdate(0)],
  ['5.1', 'an integer without its end', Buffer.from([0xff, 0x80])],
  ['5.1', 'an integer that never ends', Buffer.concat([Buffer.from([0xff]), Buffer.alloc(20, 0x80)])],
  ['5.1', 'an integer above 2^32', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
  ['5.1', 'an integer above 2^53', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
  ['5.2', 'a name without its end', Buffer.from([0x00, 0x05, 0x61])],
  ['5.2', 'a literal without a value', Buffer.from([0x00, 0x01, 0x61])],
  ['5.2', 'a value without its end', Buffer.from([0x00, 0x01, 0x61, 0x05, 0x62])],
  ['5.2', 'a string of 2^31 octets', Buffer.concat([Buffer.from([0x00, 0x01, 0x61]), integer(2 ** 31, 7)])],
  ['5.2', 'a Huffman string that holds EOS', huffmanValue(bitsToOctets(`${huffmanBits(EOS)}11`))],
  [
    '5.2',
    'a Huffman string that ends with EOS',
    huffmanValue(bitsToOctets(`${huffmanBits(97)}${huffmanBits(EOS)}11111`)),
  ],
  ['5.2', 'a Huffman string with eight bits of padding', huffmanValue(Buffer.from([...naiveHuffman('a'), 0xff]))],
  ['5.2', 'a Huffman string of nothing but padding', huffmanValue(Buffer.from([0xff]))],
  ['5.2', 'a Huffman string padded with zeros', huffmanValue(bitsToOctets(`${huffmanBits(97)}000`))],
  ['5.2', 'a Huffman string that ends inside a code', huffmanValue(bitsToOctets(huffmanBits(0xf9).slice(0, 24)))],
  ['6.1', 'index 0', indexed(0)],
  ['6.2', 'nothing behind the first octet of a literal', Buffer.from([0x40])],
];

/** Blocks whose first octets are wrong: they stand alone. */
const WRONG_FIRST: readonly (readonly [section: string, what: string, block: Buffer])[] = [
  ['6.3', 'a table above SETTINGS_HEADER_TABLE_SIZE', sizeUpdate(4097)],
  ['6.3', 'a table far above SETTINGS_HEADER_TABLE_SIZE', sizeUpdate(2 ** 30)],
];

const small = literal('x-in', 'table', 'incremental');

/** Several blocks of one connection, and the field that the last one must be understood to have. */
const RIGHT: readonly (readonly [section: string, what: string, blocks: readonly Buffer[], field: Pair])[] = [
  ['2.3.2', 'an entry is found by its index', [small, indexed(62)], ['x-in', 'table']],
  [
    '2.3.3',
    'the newest entry has the lowest index',
    [Buffer.concat([small, literal('x-other', 'one', 'incremental')]), indexed(63)],
    ['x-in', 'table'],
  ],
  ['2.3.3', 'an entry lends its name', [small, literal(62, 'chair')], ['x-in', 'chair']],
  [
    '4.1',
    'entries count 32 octets and their text',
    // 4096 octets: an entry of 4096 fits the table alone, and drops the others.
    [Buffer.concat([small, literal('y', 'z'.repeat(4096 - 33), 'incremental')]), literal(62, 'by name')],
    ['y', 'by name'],
  ],
  [
    '4.2',
    'a table that is shrunk and grown again is empty',
    [
      small,
      Buffer.concat([sizeUpdate(0), sizeUpdate(4096)]),
      Buffer.concat([literal('x-new', '1', 'incremental')]),
      indexed(62),
    ],
    ['x-new', '1'],
  ],
  [
    '4.4',
    'an entry larger than the table empties it and is not kept',
    [small, literal('y', 'z'.repeat(4096), 'incremental'), literal('x-new', '2', 'incremental'), indexed(62)],
    ['x-new', '2'],
  ],
  [
    '4.4',
    'a new entry may take its name from the one it evicts',
    [
      literal('x-name', 'a'.repeat(3000), 'incremental'),
      literal(62, 'b'.repeat(3000), 'incremental'),
      literal(62, 'c'),
    ],
    ['x-name', 'c'],
  ],
  [
    '5.2',
    'Huffman codes',
    [literal('x-huffman', 'Straße 1: {~}|\\^<>', 'plain', true)],
    ['x-huffman', 'Straße 1: {~}|\\^<>'],
  ],
  [
    '5.2',
    'an empty Huffman string',
    [Buffer.concat([Buffer.from([0x00, 0x01, 0x78]), Buffer.from([0x80])])],
    ['x', ''],
  ],
  [
    '5.1',
    'an integer with more octets than it needs',
    [Buffer.concat([Buffer.from([0x00, 0x01, 0x78, 0x7f, 0x80, 0x00]), Buffer.alloc(127, 'v')])],
    ['x', 'v'.repeat(127)],
  ],
  ['6.2.1', 'the same field twice in the table', [small, small, indexed(63)], ['x-in', 'table']],
  [
    '6.2.2',
    'a literal without indexing is not kept',
    [small, literal('x-not', 'kept'), indexed(62)],
    ['x-in', 'table'],
  ],
  [
    '6.2.3',
    'a literal never indexed is not kept',
    [small, literal('x-not', 'kept', 'never'), indexed(62)],
    ['x-in', 'table'],
  ],
  [
    '6.3',
    'a smaller table keeps the newest',
    [small, Buffer.concat([sizeUpdate(100), indexed(62)])],
    ['x-in', 'table'],
  ],
];

interface Scene {
  readonly on: Bench;
  readonly client: H2Peer;
  /** Sends a head with this block behind it; resolves with its fields as they came out on the other side. */
  send(block: Buffer, first?: Buffer): Promise<readonly { name: string; value: string; as: string }[]>;
}

function scene(on: Bench, role: Role, client: H2Peer): Scene {
  return {
    on,
    client,
    send: async (block, first = Buffer.alloc(0)) => {
      if (role === 'server') {
        const path = on.path();
        const stream = client.next;
        client.skipTo(stream + 2);
        const head = encodeBlock(REQUEST.map(([name, value]): Pair => [name, name === ':path' ? path : value]));
        // Size updates stand first.
        const updates = block.subarray(0, updatesOf(block));
        const payload = Buffer.concat([first, updates, head, block.subarray(updates.length)]);
        client.frame('HEADERS', END_HEADERS | END_STREAM, stream, payload);
        const arrival = await on.endpoint.request(path);
        arrival.peer.headers(arrival.stream, { ':status': '200' }, END_STREAM);
        await client.response(stream);
        return arrival.fields;
      }
      const { asked, endpoint, arrived } = await on.exchange({ client });
      const updates = block.subarray(0, updatesOf(block));
      const payload = Buffer.concat([first, updates, indexed(8), block.subarray(updates.length)]);
      endpoint.frame('HEADERS', END_HEADERS | END_STREAM, arrived, payload);
      return (await client.response(asked)).fields;
    },
  };
}

/** Octets of the size updates at the beginning of a block (of one octet, or 3fe11f for 4096, and the like). */
function updatesOf(block: Buffer): number {
  let at = 0;
  while (at < block.length && ((block[at] ?? 0) & 0xe0) === 0x20) {
    if (((block[at++] ?? 0) & 0x1f) === 0x1f) while ((block[at++] ?? 0) & 0x80);
  }
  return at;
}

await onEachExecutor('HPACK', {}, (bench) => {
  for (const role of ROLES) {
    const who = role === 'server' ? 'from a client' : 'from an endpoint';

    const refuses = (section: string, what: string, payload: (head: Buffer) => Buffer): void => {
      it(`${section} ${what} is COMPRESSION_ERROR, ${who}`, () =>
        bench().play(async () => {
          const on = bench();
          if (role === 'server') {
            const client = await on.client();
            const before = on.endpoint.requests;
            client.frame('HEADERS', END_HEADERS | END_STREAM, 1, payload(encodeBlock(REQUEST)));
            await client.expect('GOAWAY', { code: 'COMPRESSION_ERROR' });
            await client.closed();
            assert.equal(on.endpoint.requests, before);
            return;
          }
          const { client, asked, endpoint, arrived } = await on.exchange();
          endpoint.frame('HEADERS', END_HEADERS | END_STREAM, arrived, payload(indexed(8)));
          await endpoint.expect('GOAWAY', { code: 'COMPRESSION_ERROR' });
          await endpoint.closed();
          const { status, reset } = await client.response(asked);
          assert.ok(status === 502 || reset !== null, `${status}`);
          await client.sync();
        }));
    };
    for (const [section, what, block] of WRONG) refuses(section, what, (head) => Buffer.concat([head, block]));
    for (const [section, what, block] of WRONG_FIRST) refuses(section, what, (head) => Buffer.concat([block, head]));

    for (const [section, what, blocks, [name, value]] of RIGHT) {
      it(`${section} ${what}, ${who}`, () =>
        bench().play(async () => {
          const on = bench();
          // A table of its own.
          if (role === 'client') await on.endpoint.quiet();
          const { send } = scene(on, role, await on.client());
          // Twice, for what is remembered the second time only; the table need not be the same by then.
          for (const [i, block] of blocks.entries()) {
            const fields = await send(block);
            if (i === blocks.length - 1) assert.equal(fieldOf(fields as never, name), value);
          }
        }));
    }

    it(`4.3 the table remembers what a stream that went wrong has said, ${who}`, () =>
      bench().play(async () => {
        const on = bench();
        await on.endpoint.quiet();
        const client = await on.client();
        const { send } = scene(on, role, client);
        if (role === 'server') {
          const head = encodeBlock([...REQUEST, ['connection', 'close']]);
          client.frame('HEADERS', END_HEADERS | END_STREAM, 1, Buffer.concat([head, small]));
          await client.response(1);
          client.skipTo(3);
          // Trailers for a stream that Sluice has reset and the client does not yet know of.
          const wrong = await on.exchange({ client, body: 'open', fields: { 'content-length': '1' } });
          client.data(wrong.asked, 'too much');
          client.frame('HEADERS', END_HEADERS | END_STREAM, wrong.asked, literal('x-late', 'too', 'incremental'));
          await client.response(wrong.asked);
        } else {
          const wrong = await on.exchange({ client });
          const head = Buffer.concat([indexed(8), literal('connection', 'close'), small]);
          wrong.endpoint.frame('HEADERS', END_HEADERS | END_STREAM, wrong.arrived, head);
          await client.response(wrong.asked);
          const cancelled = await on.exchange({ client });
          client.reset(cancelled.asked);
          await cancelled.endpoint.expect('RST_STREAM', { stream: cancelled.arrived });
          const late = Buffer.concat([indexed(8), literal('x-late', 'too', 'incremental')]);
          cancelled.endpoint.frame('HEADERS', END_HEADERS | END_STREAM, cancelled.arrived, late);
        }
        const fields = await send(Buffer.concat([indexed(62), indexed(63)]));
        assert.ok(fields.some(({ name, value }) => name === 'x-late' && value === 'too'));
        assert.ok(fields.some(({ name, value }) => name === 'x-in' && value === 'table'));
      }));

    it(`6.2.3 what was never indexed stays so, ${who}`, () =>
      bench().play(async () => {
        const { send } = scene(bench(), role, await bench().client());
        for (let i = 0; i < 4; i++) {
          const block = Buffer.concat([literal('x-secret', 'hush', 'never'), literal('x-open', 'shout')]);
          const fields = await send(block);
          assert.equal(fields.find(({ name }) => name === 'x-secret')?.as, 'never');
          assert.notEqual(fields.find(({ name }) => name === 'x-open')?.as, 'never');
        }
      }));

    it(`7.1.3 credentials are never put into a table, ${who}`, () =>
      bench().play(async () => {
        const { send } = scene(bench(), role, await bench().client());
        const names = role === 'server' ? ['authorization', 'cookie', 'proxy-authorization'] : ['set-cookie'];
        for (let i = 0; i < 4; i++) {
          const fields = await send(Buffer.concat(names.map((name) => literal(name, 'secret=1', 'incremental'))));
          for (const { name, as } of fields) {
            if (names.includes(name)) assert.ok(as === 'never' || as === 'plain', `${name} ${as}`);
          }
        }
      }));

    for (const [what, settings, later] of [
      ['no table at all', { HEADER_TABLE_SIZE: 0 }, []],
      ['a small table', { HEADER_TABLE_SIZE: 100 }, []],
      ['a larger table', { HEADER_TABLE_SIZE: 65_536 }, []],
      ['a table taken away later', {}, [{ HEADER_TABLE_SIZE: 0 }]],
      ['a table taken away and given back at once', {}, [{ HEADER_TABLE_SIZE: 0 }, { HEADER_TABLE_SIZE: 4096 }]],
      [
        'a table changed again and again',
        {},
        [{ HEADER_TABLE_SIZE: 50 }, { HEADER_TABLE_SIZE: 300 }, { HEADER_TABLE_SIZE: 0 }],
      ],
    ] as const satisfies readonly (readonly [string, SettingValues, readonly SettingValues[]])[]) {
      // The listening peer is the decoder that knows what it has allowed; role says who sends what it hears.
      it(`4.2 Sluice encodes with ${what}, for what comes ${who}`, async () => {
        const on = bench();
        const fields = (n: number): Buffer =>
          Buffer.concat([literal('x-same', 'always'), literal('x-other', `v${n}`), literal('x-long', 'l'.repeat(200))]);
        const play = async (client: H2Peer, receiver: () => H2Peer): Promise<void> => {
          const { send } = scene(on, role, client);
          for (let i = 0; i < 6; i++) assert.equal(fieldOf((await send(fields(i))) as never, 'x-other'), `v${i}`);
          const changes = later.map((change) => receiver().settings(change));
          await Promise.all(changes);
          for (let i = 0; i < 6; i++) assert.equal(fieldOf((await send(fields(i))) as never, 'x-other'), `v${i}`);
        };
        if (role === 'client') {
          await on.play(async () => {
            const client = await on.client({}, settings);
            await play(client, () => client);
          });
          return;
        }
        await on.greeting(
          (peer) => void peer.settings(settings),
          {},
          async () => {
            // The settings are taken before the first request is.
            const first = await on.exchange();
            await first.endpoint.sync();
            await play(first.client, () => first.endpoint);
          },
        );
      });
    }
  }

  it('the requests of RFC 7541 C.3 and C.4 come out as they are there', () =>
    bench().play(async () => {
      const on = bench();
      for (const blocks of [
        [
          '828684410f7777772e6578616d706c652e636f6d',
          '828684be58086e6f2d6361636865',
          '828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565',
        ],
        [
          '828684418cf1e3c2e5f23a6ba0ab90f4ff',
          '828684be5886a8eb10649cbf',
          '828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf',
        ],
      ]) {
        const client = await on.client();
        for (const [i, block] of blocks.entries()) {
          client.frame('HEADERS', END_HEADERS | END_STREAM, 2 * i + 1, Buffer.from(block, 'hex'));
          const { peer, stream, fields } = await on.endpoint.request();
          peer.headers(stream, { ':status': '200' }, END_STREAM);
          await client.response(2 * i + 1);
          const wanted: readonly Pair[] = [
            [':method', 'GET'],
            [':scheme', i === 2 ? 'https' : 'http'],
            [':path', i === 2 ? '/index.html' : '/'],
            [':authority', 'www.example.com'],
            ...(i === 1 ? [['cache-control', 'no-cache'] as const] : []),
            ...(i === 2 ? [['custom-key', 'custom-value'] as const] : []),
          ];
          for (const [name, value] of wanted) assert.equal(fieldOf(fields, name), value);
        }
      }
    }));

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

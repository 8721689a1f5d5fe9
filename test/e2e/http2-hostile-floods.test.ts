// Frames that cost their sender nothing, sent for ever, by clients and by endpoints (RFC 9113 section 10.5; CVE-2019-9511 to 9518,
// CVE-2024-27316): each kind has a limit, and ends in ENHANCE_YOUR_CALM.
import assert from 'node:assert/strict';
import { ACK, END_HEADERS, END_STREAM, frame, priorityFields, settingsPayload, u32 } from '../support/h2-frames.js';
import { type H2Peer, REQUEST } from '../support/h2-peer.js';
import { encodeBlock, indexed, literal, type Pair } from '../support/naive-hpack.js';
import { type Bench, ROLES, type Role } from './http2-conformance-support.js';
import { type Attack, declareAttacks, floodUntilCalm } from './http2-hostile-support.js';

interface Target {
  readonly role: Role;
  readonly hostile: H2Peer;
  /** A stream that is open for it to send on. */
  readonly stream: number;
}

const times = (count: number, octets: Uint8Array): Buffer => Buffer.concat(Array.from({ length: count }, () => octets));
/** The head that the hostile side may send next, without its end. */
const head = (role: Role): Buffer => encodeBlock(role === 'server' ? REQUEST : [[':status', '200'] as Pair]);
const headStream = ({ role, hostile, stream }: Target): number => (role === 'server' ? hostile.next : stream);

const FLOODS: readonly (readonly [
  name: string,
  limit: string,
  /** Called again and again. */
  next: (target: Target, i: number) => Uint8Array,
  begun?: true,
])[] = [
  ['SETTINGS', 'h2-control-frames', () => times(50, frame('SETTINGS', 0, 0))],
  [
    'SETTINGS that change windows',
    'h2-control-frames',
    (_, i) => times(50, frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 1 + (i % 1000) }))),
  ],
  [
    'SETTINGS that change the table',
    'h2-control-frames',
    (_, i) => times(50, frame('SETTINGS', 0, 0, settingsPayload({ HEADER_TABLE_SIZE: i % 4096 }))),
  ],
  ['acknowledgements', 'h2-control-frames', () => times(50, frame('SETTINGS', ACK, 0))],
  ['PING', 'h2-control-frames', () => times(50, frame('PING', 0, 0, Buffer.alloc(8)))],
  ['PING with ACK', 'h2-control-frames', () => times(50, frame('PING', ACK, 0, Buffer.alloc(8)))],
  ['PRIORITY', 'h2-control-frames', ({ stream }) => times(50, frame('PRIORITY', 0, stream, priorityFields(0, 1)))],
  [
    'PRIORITY for idle streams',
    'h2-control-frames',
    (_, i) =>
      Buffer.concat(
        Array.from({ length: 50 }, (_, k) => frame('PRIORITY', 0, 100_001 + 2 * (50 * i + k), priorityFields())),
      ),
  ],
  ['frames of unknown types', 'h2-control-frames', ({ stream }) => times(50, frame(0x42, 0, stream))],
  [
    'WINDOW_UPDATE of one octet for the connection',
    'h2-tiny-data',
    () => times(200, frame('WINDOW_UPDATE', 0, 0, u32(1))),
  ],
  [
    'WINDOW_UPDATE of one octet for a stream',
    'h2-tiny-data',
    ({ stream }) => times(200, frame('WINDOW_UPDATE', 0, stream, u32(1))),
  ],
  ['empty DATA', 'h2-empty-frames', ({ stream }) => times(10, frame('DATA', 0, stream)), true],
  ['DATA of one octet', 'h2-tiny-data', ({ stream }) => times(200, frame('DATA', 0, stream, Buffer.from('x'))), true],
  [
    'CONTINUATION without end',
    'h2-continuations',
    (target, i) => {
      const id = headStream(target);
      if (i === 0) return frame('HEADERS', END_STREAM, id, head(target.role));
      return frame('CONTINUATION', 0, id, literal('x', String(i)));
    },
  ],
  [
    'empty CONTINUATION without end',
    'h2-continuations',
    (target, i) => {
      const id = headStream(target);
      return i === 0 ? frame('HEADERS', END_STREAM, id, head(target.role)) : frame('CONTINUATION', 0, id);
    },
  ],
  [
    'CONTINUATION as large as may be',
    'h2-continuations',
    (target, i) => {
      const id = headStream(target);
      if (i === 0) return frame('HEADERS', END_STREAM, id, head(target.role));
      return frame('CONTINUATION', 0, id, Buffer.alloc(16_384, indexed(16)));
    },
  ],
];

async function target(
  on: Bench,
  role: Role,
  begun: boolean,
): Promise<Target & { readonly witness: () => Promise<void> }> {
  const { client, asked, endpoint, arrived } = await on.exchange({ body: 'open' });
  if (begun && role === 'client') {
    endpoint.headers(arrived, { ':status': '200' });
    await client.expect('HEADERS', { stream: asked });
  }
  const witness = async (): Promise<void> => {
    if (role === 'server') {
      await endpoint.expect('RST_STREAM', { stream: arrived });
      return;
    }
    const { status, reset } = await client.response(asked);
    assert.ok(reset !== null || status === 502, `${status}`);
    await client.sync();
  };
  const server = role === 'server';
  return { role, hostile: server ? client : endpoint, stream: server ? asked : arrived, witness };
}

const ATTACKS: readonly Attack[] = ROLES.flatMap((role) => {
  const who = role === 'server' ? 'from a client' : 'from an endpoint';
  return [
    ...FLOODS.map(([name, limit, next, begun]): Attack => {
      return {
        name: `${name}, ${who}`,
        limit,
        play: async (on) => {
          const aim = await target(on, role, begun === true);
          await floodUntilCalm(aim.hostile, (i) => next(aim, i));
          await aim.witness();
        },
      };
    }),
  ];
});

const BLOCKS: readonly Attack[] = [
  {
    name: 'header blocks of many empty frames, from a client',
    limit: 'h2-empty-frames',
    play: async (on) => {
      const client = await on.client();
      const block = encodeBlock(REQUEST);
      await floodUntilCalm(client, () => {
        const id = client.next;
        client.skipTo(id + 2);
        return Buffer.concat([
          frame('HEADERS', END_STREAM, id),
          times(14, frame('CONTINUATION', 0, id)),
          frame('CONTINUATION', END_HEADERS, id, block),
        ]);
      });
    },
  },
  {
    name: 'SETTINGS that are never acknowledged',
    limit: null,
    play: async (on) => {
      const client = await on.client({ ackSettings: false });
      for (let i = 0; i < 20; i++) assert.equal((await client.response(client.request())).status, 200);
    },
  },
  {
    name: 'interim responses without end, towards a client that reads',
    limit: null,
    play: async (on) => {
      const { client, asked, endpoint, arrived } = await on.exchange();
      const batch = times(
        20,
        frame(
          'HEADERS',
          END_HEADERS,
          arrived,
          encodeBlock([
            [':status', '103'],
            ['link', '</a>'],
          ]),
        ),
      );
      for (let i = 0; i < 50 && endpoint.end === null; i++) await endpoint.written(batch);
      endpoint.headers(arrived, { ':status': '200' }, END_STREAM);
      const { status, interim, reset } = await client.response(asked);
      assert.ok(status === 200 || status === 502 || reset !== null, `${status} after ${interim.length}`);
    },
  },
];

await declareAttacks('HTTP/2 floods', {}, [...ATTACKS, ...BLOCKS]);

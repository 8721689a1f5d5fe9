// RFC 9113 sections 6.1 to 6.4: DATA, HEADERS, PRIORITY and RST_STREAM: what may not be sent, and what must be borne; from clients
// and from endpoints.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_HEADERS, END_STREAM, PADDED, PRIORITY, padded, priorityFields } from '../support/h2-frames.js';
import { literal } from '../support/naive-hpack.js';
import {
  type Case,
  declareCases,
  FRAME_SIZE,
  GET,
  head,
  headStream,
  idle,
  onEachExecutor,
  PROTOCOL,
} from './http2-conformance-support.js';

const FRAMES: readonly Case[] = [
  {
    section: '6.1',
    what: 'DATA on stream 0',
    play: ({ hostile }) => hostile.data(0, 'x'),
    outcome: PROTOCOL,
  },
  {
    section: '6.1',
    what: 'DATA with as much padding as payload',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.frame('DATA', PADDED, stream, Buffer.from([4, 0, 0, 0])),
    outcome: PROTOCOL,
  },
  {
    section: '6.1',
    what: 'DATA with more padding than payload',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.frame('DATA', PADDED, stream, Buffer.from([200, 1, 2, 3])),
    outcome: PROTOCOL,
  },
  {
    section: '6.1',
    what: 'DATA with PADDED and no payload',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.frame('DATA', PADDED, stream),
    outcome: { connection: ['PROTOCOL_ERROR', 'FRAME_SIZE_ERROR'] },
  },
  {
    section: '6.1',
    what: 'padding is taken off',
    response: 'begun',
    play: async (stage) => {
      const { hostile, stream, role, client, endpoint, asked, arrived } = stage;
      hostile.frame('DATA', PADDED, stream, padded(Buffer.from('hello'), 255));
      hostile.frame('DATA', PADDED, stream, padded(Buffer.from('!'), 0));
      const [witness, at] = role === 'server' ? ([endpoint, arrived] as const) : ([client, asked] as const);
      let heard = '';
      while (heard.length < 6) heard += (await witness.expect('DATA', { stream: at })).payload.toString();
      assert.equal(heard, 'hello!');
    },
    outcome: 'borne',
  },

  {
    section: '6.2',
    what: 'HEADERS on stream 0',
    play: ({ hostile, role }) => hostile.frame('HEADERS', END_HEADERS | END_STREAM, 0, head(role)),
    outcome: PROTOCOL,
  },
  {
    section: '6.2',
    what: 'HEADERS with more padding than payload',
    play: (stage) => {
      const block = Buffer.concat([Buffer.from([250]), head(stage.role)]);
      stage.hostile.frame('HEADERS', END_HEADERS | END_STREAM | PADDED, headStream(stage), block);
    },
    outcome: PROTOCOL,
  },
  {
    section: '6.2',
    what: 'HEADERS with PADDED and no payload',
    play: (stage) => stage.hostile.frame('HEADERS', END_HEADERS | END_STREAM | PADDED, headStream(stage)),
    outcome: { connection: ['PROTOCOL_ERROR', 'FRAME_SIZE_ERROR'] },
  },
  {
    section: '6.2',
    what: 'HEADERS with PRIORITY and fewer than five octets',
    play: (stage) =>
      stage.hostile.frame('HEADERS', END_HEADERS | END_STREAM | PRIORITY, headStream(stage), Buffer.alloc(4)),
    outcome: { connection: ['PROTOCOL_ERROR', 'FRAME_SIZE_ERROR'] },
  },
  {
    section: '6.2',
    what: 'HEADERS with padding and priority is taken',
    role: 'server',
    play: async ({ hostile }) => {
      const stream = hostile.next;
      const payload = padded(Buffer.concat([priorityFields(0x80000001, 255), GET]), 200);
      hostile.frame('HEADERS', END_HEADERS | END_STREAM | PADDED | PRIORITY, stream, payload);
      hostile.skipTo(stream + 2);
      assert.equal((await hostile.response(stream)).status, 200);
    },
    outcome: 'borne',
  },
  {
    section: '6.2',
    what: 'HEADERS on a stream that is said to depend on itself, whatever the exclusive bit (RFC 7540 5.3.1)',
    play: ({ hostile, stream }) => {
      const payload = Buffer.concat([priorityFields((stream | 0x80000000) >>> 0), literal('x-end', 'yes')]);
      hostile.frame('HEADERS', END_HEADERS | END_STREAM | PRIORITY, stream, payload);
    },
    outcome: { stream: ['PROTOCOL_ERROR'] },
  },
  {
    section: '6.2',
    what: 'a new stream that depends on itself is refused, and its fields are in the table (RFC 7540 5.3.1)',
    role: 'server',
    play: async ({ hostile }) => {
      const stream = hostile.next;
      const payload = Buffer.concat([priorityFields(stream), GET, literal('x-kept', 'yes', 'incremental')]);
      hostile.frame('HEADERS', END_HEADERS | END_STREAM | PRIORITY, stream, payload);
      await hostile.expect('RST_STREAM', { stream, code: ['PROTOCOL_ERROR'] });
      // The newest entry of the dynamic table.
      hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream + 2, Buffer.concat([GET, Buffer.from([0xbe])]));
      hostile.skipTo(stream + 4);
      assert.equal((await hostile.response(stream + 2)).status, 200);
    },
    outcome: 'borne',
  },
  {
    section: '6.2',
    what: 'trailers with padding and priority are taken',
    play: async (stage) => {
      const { role, hostile, stream, client, endpoint, asked, arrived } = stage;
      if (role === 'client') hostile.headers(stream, { ':status': '200' });
      const payload = padded(Buffer.concat([priorityFields(), literal('x-end', 'yes')]), 7);
      hostile.frame('HEADERS', END_HEADERS | END_STREAM | PADDED | PRIORITY, stream, payload);
      if (role === 'server') {
        const { fields } = await endpoint.expect('HEADERS', { stream: arrived, endStream: true });
        assert.equal(fields[0]?.name, 'x-end');
      } else {
        assert.equal((await client.response(asked)).trailers[0]?.name, 'x-end');
        client.reset(asked, 'NO_ERROR');
      }
      await hostile.sync();
      // The exchange itself is over: another shows that the connection is well.
      const other = await stage.bench.exchange({ client, body: 'open' });
      Object.assign(stage, other, { stream: role === 'server' ? other.asked : other.arrived });
    },
    request: 'open',
    outcome: 'borne',
  },

  {
    section: '6.3',
    what: 'PRIORITY on stream 0',
    play: ({ hostile }) => hostile.frame('PRIORITY', 0, 0, priorityFields()),
    outcome: PROTOCOL,
  },
  {
    section: '6.3',
    what: 'PRIORITY of other than five octets',
    play: ({ hostile, stream }) => hostile.frame('PRIORITY', 0, stream, Buffer.alloc(4)),
    outcome: { either: ['FRAME_SIZE_ERROR'] },
  },
  {
    section: '6.3',
    what: 'PRIORITY on an open stream is ignored (5.3)',
    play: ({ hostile, stream }) => hostile.frame('PRIORITY', 0, stream, priorityFields(stream + 2)),
    outcome: 'borne',
  },
  {
    section: '6.3',
    what: 'PRIORITY of a stream that depends on itself (RFC 7540 5.3.1)',
    play: ({ hostile, stream }) => hostile.frame('PRIORITY', 0, stream, priorityFields(stream)),
    outcome: { stream: ['PROTOCOL_ERROR'] },
  },
  {
    section: '6.3',
    what: 'PRIORITY of an idle stream that depends on itself (RFC 7540 5.3.1)',
    play: (stage) => stage.hostile.frame('PRIORITY', 0, idle(stage), priorityFields(idle(stage))),
    outcome: PROTOCOL,
  },

  {
    section: '6.4',
    what: 'RST_STREAM on stream 0',
    play: ({ hostile }) => hostile.reset(0),
    outcome: PROTOCOL,
  },
  {
    section: '6.4',
    what: 'RST_STREAM of three octets',
    play: ({ hostile, stream }) => hostile.frame('RST_STREAM', 0, stream, Buffer.alloc(3)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.4',
    what: 'RST_STREAM of five octets',
    play: ({ hostile, stream }) => hostile.frame('RST_STREAM', 0, stream, Buffer.alloc(5)),
    outcome: FRAME_SIZE,
  },
];

await onEachExecutor('HTTP/2 frames of streams', {}, (bench) => {
  declareCases(FRAMES, bench);

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

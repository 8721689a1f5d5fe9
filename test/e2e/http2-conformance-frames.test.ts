// RFC 9113 sections 4 to 6, frame by frame: what may not be sent, and what must be borne; from clients and from endpoints.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  ACK,
  END_HEADERS,
  END_STREAM,
  PADDED,
  PRIORITY,
  padded,
  priorityFields,
  settingsPayload,
  u32,
} from '../support/h2-frames.js';
import { REQUEST } from '../support/h2-peer.js';
import { encodeBlock, literal, type Pair } from '../support/naive-hpack.js';
import { type Case, declareCases, onEachExecutor, type Role, type Stage } from './http2-conformance-support.js';

const PROTOCOL = { connection: ['PROTOCOL_ERROR'] } as const;
const FRAME_SIZE = { connection: ['FRAME_SIZE_ERROR'] } as const;
const FLOW = { connection: ['FLOW_CONTROL_ERROR'] } as const;
const GET = encodeBlock(REQUEST);
const MAX = 2 ** 31 - 1;

/** A header block that is right for whoever sends it. */
const head = (role: Role, more: readonly Pair[] = []): Buffer =>
  encodeBlock([...(role === 'server' ? REQUEST : [[':status', '200'] as Pair]), ...more]);
/** A stream that the hostile peer has a right to send a head on: a client opens the next one, an endpoint answers. */
const headStream = ({ role, hostile, stream }: Stage): number => (role === 'server' ? hostile.next : stream);
/** A stream that nobody has opened. */
const idle = ({ role, hostile, stream }: Stage): number => (role === 'server' ? hostile.next + 100 : stream + 100);

/** Begins a header block that is not ended, and goes on with something else. */
const inside = (section: string, what: string, next: (stage: Stage, stream: number) => void): Case => ({
  section,
  what,
  play: (stage) => {
    const stream = headStream(stage);
    stage.hostile.frame('HEADERS', END_STREAM, stream, head(stage.role));
    next(stage, stream);
  },
  outcome: PROTOCOL,
});

const FRAMES: readonly Case[] = [
  {
    section: '4.1',
    what: 'frames of unknown types are ignored, on the connection and on streams',
    play: ({ hostile, stream }) => {
      hostile.frame(0x16, 0xff, 0, Buffer.alloc(100));
      hostile.frame(0xff, 0, stream, Buffer.alloc(16_384));
      hostile.frame(0x0a, 0, stream);
    },
    outcome: 'borne',
  },
  {
    section: '4.1',
    what: 'a frame of an unknown type on an idle stream is ignored',
    play: (stage) => stage.hostile.frame(0x42, 0, idle(stage), Buffer.from('x')),
    outcome: 'borne',
  },
  {
    section: '4.1',
    what: 'undefined flags are ignored',
    play: ({ hostile, stream }) => {
      hostile.frame('PING', 0xfe, 0, Buffer.alloc(8));
      hostile.frame('WINDOW_UPDATE', 0xff, stream, u32(1));
      hostile.frame('SETTINGS', 0xfe, 0);
    },
    outcome: 'borne',
  },
  {
    section: '4.1',
    what: 'the reserved bit of a stream identifier is ignored',
    play: ({ hostile, stream }) => {
      hostile.frame('PING', 0, 0x80000000, Buffer.alloc(8));
      hostile.frame('WINDOW_UPDATE', 0, stream + 0x80000000, u32(1));
    },
    outcome: 'borne',
  },
  {
    section: '4.2',
    what: 'DATA of 16384 octets is taken',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.data(stream, Buffer.alloc(16_384)),
    outcome: 'borne',
  },
  {
    section: '4.2',
    what: 'DATA above SETTINGS_MAX_FRAME_SIZE',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.data(stream, Buffer.alloc(16_385)),
    outcome: { either: ['FRAME_SIZE_ERROR'] },
  },
  {
    section: '4.2',
    what: 'HEADERS above SETTINGS_MAX_FRAME_SIZE',
    play: (stage) => {
      const block = head(stage.role, [['x', 'y'.repeat(16_384)]]);
      stage.hostile.frame('HEADERS', END_HEADERS | END_STREAM, headStream(stage), block);
    },
    outcome: FRAME_SIZE,
  },
  {
    section: '4.2',
    what: 'a frame of an unknown type above SETTINGS_MAX_FRAME_SIZE',
    play: ({ hostile, stream }) => hostile.frame(0x42, 0, stream, Buffer.alloc(16_385)),
    outcome: { either: ['FRAME_SIZE_ERROR'] },
  },
  {
    section: '4.2',
    what: 'SETTINGS above SETTINGS_MAX_FRAME_SIZE',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, Buffer.alloc(16_386)),
    outcome: FRAME_SIZE,
  },
  inside('4.3', 'DATA inside a header block', ({ hostile, stream }) => hostile.data(stream, 'x')),
  inside('4.3', 'PING inside a header block', ({ hostile }) => hostile.frame('PING', 0, 0, Buffer.alloc(8))),
  inside('4.3', 'SETTINGS inside a header block', ({ hostile }) => hostile.frame('SETTINGS', 0, 0)),
  inside('4.3', 'WINDOW_UPDATE inside a header block', ({ hostile }) => hostile.frame('WINDOW_UPDATE', 0, 0, u32(1))),
  inside('4.3', 'PRIORITY inside a header block', ({ hostile }, stream) =>
    hostile.frame('PRIORITY', 0, stream, priorityFields()),
  ),
  inside('4.3', 'RST_STREAM inside a header block', ({ hostile }, stream) => hostile.reset(stream)),
  inside('4.3', 'HEADERS inside a header block', ({ hostile, role }, stream) =>
    hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream + 2, head(role)),
  ),
  inside('4.3', 'CONTINUATION of another stream inside a header block', ({ hostile }, stream) =>
    hostile.frame('CONTINUATION', END_HEADERS, stream + 2, literal('a', 'b')),
  ),
  inside('5.5', 'a frame of an unknown type inside a header block', ({ hostile }, stream) =>
    hostile.frame(0x42, 0, stream, Buffer.from('x')),
  ),

  {
    section: '5.1',
    what: 'DATA on an idle stream',
    play: (stage) => stage.hostile.data(idle(stage), 'x', END_STREAM),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'RST_STREAM on an idle stream (6.4)',
    play: (stage) => stage.hostile.reset(idle(stage)),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'WINDOW_UPDATE on an idle stream',
    play: (stage) => stage.hostile.frame('WINDOW_UPDATE', 0, idle(stage), u32(1)),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'CONTINUATION on an idle stream',
    play: (stage) => stage.hostile.frame('CONTINUATION', END_HEADERS, idle(stage), GET),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'PRIORITY on an idle stream is ignored',
    play: (stage) => stage.hostile.frame('PRIORITY', 0, idle(stage), priorityFields(1)),
    outcome: 'borne',
  },
  {
    section: '5.1',
    what: 'HEADERS on a stream that the client has not opened',
    role: 'client',
    play: (stage) => stage.hostile.frame('HEADERS', END_HEADERS, idle(stage), head('client')),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'HEADERS on an idle stream of the server (even)',
    role: 'client',
    play: ({ hostile }) => hostile.frame('HEADERS', END_HEADERS, 2, head('client')),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'DATA on an idle stream of the server (even)',
    play: ({ hostile }) => hostile.data(2, 'x'),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'RST_STREAM on an idle stream of the server (even)',
    play: ({ hostile }) => hostile.reset(2),
    outcome: PROTOCOL,
  },
  {
    section: '5.1',
    what: 'DATA after END_STREAM',
    role: 'server',
    request: 'ended',
    play: ({ hostile, stream }) => hostile.data(stream, 'more'),
    outcome: { either: ['STREAM_CLOSED'] },
  },
  {
    section: '5.1',
    what: 'empty DATA with END_STREAM after END_STREAM',
    role: 'server',
    request: 'ended',
    play: ({ hostile, stream }) => hostile.data(stream, '', END_STREAM),
    outcome: { either: ['STREAM_CLOSED'] },
  },
  {
    section: '5.1',
    what: 'HEADERS after END_STREAM',
    role: 'server',
    request: 'ended',
    play: ({ hostile, stream }) => hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream, literal('a', 'b')),
    outcome: { either: ['STREAM_CLOSED'] },
  },
  {
    section: '5.1',
    what: 'HEADERS after END_STREAM, the response having begun',
    role: 'server',
    request: 'ended',
    response: 'begun',
    play: ({ hostile, stream }) => hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream, literal('a', 'b')),
    outcome: { either: ['STREAM_CLOSED'] },
  },
  {
    section: '5.1',
    what: 'CONTINUATION after END_STREAM and END_HEADERS',
    role: 'server',
    request: 'ended',
    play: ({ hostile, stream }) => hostile.frame('CONTINUATION', END_HEADERS, stream, literal('a', 'b')),
    outcome: { connection: ['PROTOCOL_ERROR', 'STREAM_CLOSED'] },
  },
  {
    section: '5.1',
    what: 'WINDOW_UPDATE and PRIORITY after END_STREAM are borne',
    role: 'server',
    request: 'ended',
    play: ({ hostile, stream }) => {
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(1));
      hostile.frame('PRIORITY', 0, stream, priorityFields());
    },
    outcome: 'borne',
  },
  {
    section: '5.1.1',
    what: 'a client opens a stream with an even number',
    role: 'server',
    play: ({ hostile }) => hostile.frame('HEADERS', END_HEADERS | END_STREAM, 2, GET),
    outcome: PROTOCOL,
  },
  {
    section: '5.1.1',
    what: 'a client opens a stream with a lower number than the last',
    role: 'server',
    play: ({ hostile, stream }) => {
      hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream + 8, GET);
      hostile.frame('HEADERS', END_HEADERS | END_STREAM, stream + 4, GET);
    },
    outcome: { connection: ['PROTOCOL_ERROR', 'STREAM_CLOSED'] },
  },
  {
    section: '5.1.1',
    what: 'streams may be left out',
    role: 'server',
    play: async ({ hostile }) => {
      hostile.skipTo(1001);
      assert.equal((await hostile.response(hostile.request())).status, 200);
    },
    outcome: 'borne',
  },

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

  {
    section: '6.5',
    what: 'SETTINGS with ACK and a payload',
    play: ({ hostile }) => hostile.frame('SETTINGS', ACK, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 1 })),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.5',
    what: 'SETTINGS on a stream',
    play: ({ hostile, stream }) => hostile.frame('SETTINGS', 0, stream),
    outcome: PROTOCOL,
  },
  {
    section: '6.5',
    what: 'SETTINGS of other than a multiple of six octets',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, Buffer.alloc(7)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.5',
    what: 'an acknowledgement too many is borne',
    play: ({ hostile }) => hostile.frame('SETTINGS', ACK, 0),
    outcome: 'borne',
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_ENABLE_PUSH of 2',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_PUSH: 2 })),
    outcome: PROTOCOL,
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_ENABLE_PUSH of 1 by a server',
    role: 'client',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_PUSH: 1 })),
    outcome: PROTOCOL,
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_ENABLE_PUSH of 0 by a server is borne',
    role: 'client',
    play: ({ hostile }) => hostile.settings({ ENABLE_PUSH: 0 }),
    outcome: 'borne',
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 2 ** 31 })),
    outcome: FLOW,
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_MAX_FRAME_SIZE below 16384',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ MAX_FRAME_SIZE: 16_383 })),
    outcome: PROTOCOL,
  },
  {
    section: '6.5.2',
    what: 'SETTINGS_MAX_FRAME_SIZE above 2^24-1',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ MAX_FRAME_SIZE: 2 ** 24 })),
    outcome: PROTOCOL,
  },
  {
    section: '6.5.2',
    what: 'the largest settings are taken',
    play: ({ hostile }) =>
      hostile.settings([
        [1, 0xffffffff],
        [3, 0xffffffff],
        [4, MAX],
        [5, 2 ** 24 - 1],
        [6, 0xffffffff],
      ]),
    outcome: 'borne',
  },
  {
    section: '6.5.2',
    what: 'unknown settings are ignored',
    play: ({ hostile }) =>
      hostile.settings([
        [0, 1],
        [7, 2 ** 32 - 1],
        [0x10, 5],
        [0xffff, 0xffffffff],
      ]),
    outcome: 'borne',
  },
  {
    section: '6.5.3',
    what: 'every SETTINGS is acknowledged, in order',
    play: async ({ hostile }) => {
      await Promise.all([hostile.settings({ MAX_HEADER_LIST_SIZE: 1e6 }), hostile.settings(), hostile.settings()]);
    },
    outcome: 'borne',
  },
  {
    section: '8441-3',
    what: 'SETTINGS_ENABLE_CONNECT_PROTOCOL of 2',
    role: 'client',
    play: ({ hostile }) => hostile.frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_CONNECT_PROTOCOL: 2 })),
    outcome: PROTOCOL,
  },
  {
    section: '8441-3',
    what: 'SETTINGS_ENABLE_CONNECT_PROTOCOL taken back',
    role: 'client',
    play: ({ hostile }) => {
      hostile.frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_CONNECT_PROTOCOL: 1 }));
      hostile.frame('SETTINGS', 0, 0, settingsPayload({ ENABLE_CONNECT_PROTOCOL: 0 }));
    },
    outcome: PROTOCOL,
  },

  {
    section: '6.6',
    what: 'PUSH_PROMISE from a client (8.4)',
    role: 'server',
    play: ({ hostile, stream }) => hostile.frame('PUSH_PROMISE', END_HEADERS, stream, Buffer.concat([u32(2), GET])),
    outcome: PROTOCOL,
  },
  {
    section: '6.6',
    what: 'PUSH_PROMISE though push is off',
    role: 'client',
    play: ({ hostile, stream }) => hostile.frame('PUSH_PROMISE', END_HEADERS, stream, Buffer.concat([u32(2), GET])),
    outcome: PROTOCOL,
  },

  {
    section: '6.7',
    what: 'PING on a stream',
    play: ({ hostile, stream }) => hostile.frame('PING', 0, stream, Buffer.alloc(8)),
    outcome: PROTOCOL,
  },
  {
    section: '6.7',
    what: 'PING of six octets',
    play: ({ hostile }) => hostile.frame('PING', 0, 0, Buffer.alloc(6)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.7',
    what: 'PING with ACK of nine octets',
    play: ({ hostile }) => hostile.frame('PING', ACK, 0, Buffer.alloc(9)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.7',
    what: 'PING is answered with its payload, and PING with ACK is not',
    play: async ({ hostile }) => {
      hostile.frame('PING', ACK, 0, Buffer.from('unasked!'));
      hostile.frame('PING', 0, 0, Buffer.from('fraction'));
      const { payload } = await hostile.expect('PING', { ack: true });
      assert.equal(payload.toString(), 'fraction');
      await hostile.sync();
      assert.equal(hostile.arrived('PING').length, 0);
    },
    outcome: 'borne',
  },

  {
    section: '6.8',
    what: 'GOAWAY on a stream',
    play: ({ hostile, stream }) => hostile.frame('GOAWAY', 0, stream, Buffer.alloc(8)),
    outcome: PROTOCOL,
  },
  {
    section: '6.8',
    what: 'GOAWAY of seven octets',
    play: ({ hostile }) => hostile.frame('GOAWAY', 0, 0, Buffer.alloc(7)),
    outcome: FRAME_SIZE,
  },

  {
    section: '6.9',
    what: 'WINDOW_UPDATE of 0 on a stream',
    play: ({ hostile, stream }) => hostile.frame('WINDOW_UPDATE', 0, stream, u32(0)),
    outcome: { either: ['PROTOCOL_ERROR'] },
  },
  {
    section: '6.9',
    what: 'WINDOW_UPDATE of 0 on the connection',
    play: ({ hostile }) => hostile.frame('WINDOW_UPDATE', 0, 0, u32(0)),
    outcome: PROTOCOL,
  },
  {
    section: '6.9',
    what: 'WINDOW_UPDATE of three octets',
    play: ({ hostile, stream }) => hostile.frame('WINDOW_UPDATE', 0, stream, Buffer.alloc(3)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.9',
    what: 'WINDOW_UPDATE of eight octets on the connection',
    play: ({ hostile }) => hostile.frame('WINDOW_UPDATE', 0, 0, Buffer.alloc(8)),
    outcome: FRAME_SIZE,
  },
  {
    section: '6.9',
    what: 'the reserved bit of an increment is ignored',
    play: ({ hostile, stream }) => {
      hostile.frame('WINDOW_UPDATE', 0, 0, u32(0x80000001));
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(0x80000001));
    },
    outcome: 'borne',
  },
  {
    section: '6.9.1',
    what: "a stream's window above 2^31-1",
    play: ({ hostile, stream }) => {
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(MAX));
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(MAX));
    },
    outcome: { either: ['FLOW_CONTROL_ERROR'] },
  },
  {
    section: '6.9.1',
    what: "the connection's window above 2^31-1",
    play: ({ hostile }) => {
      hostile.frame('WINDOW_UPDATE', 0, 0, u32(MAX));
      hostile.frame('WINDOW_UPDATE', 0, 0, u32(MAX));
    },
    outcome: FLOW,
  },
  {
    section: '6.9.1',
    what: 'windows of exactly 2^31-1 are taken',
    play: ({ hostile, stream }) => {
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(MAX - 65_535));
      hostile.frame('WINDOW_UPDATE', 0, 0, u32(MAX - 65_535 - 1_000_000));
    },
    outcome: 'borne',
  },
  {
    section: '6.9.2',
    what: "SETTINGS that lift a stream's window above 2^31-1",
    play: ({ hostile, stream }) => {
      hostile.frame('WINDOW_UPDATE', 0, stream, u32(MAX - 65_535));
      hostile.frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 65_536 }));
    },
    outcome: FLOW,
  },

  {
    section: '6.10',
    what: 'CONTINUATION after a header block has ended',
    play: ({ hostile, stream }) => hostile.frame('CONTINUATION', END_HEADERS, stream, literal('a', 'b')),
    outcome: PROTOCOL,
  },
  {
    section: '6.10',
    what: 'CONTINUATION on stream 0',
    play: (stage) => {
      stage.hostile.frame('HEADERS', END_STREAM, headStream(stage), head(stage.role));
      stage.hostile.frame('CONTINUATION', END_HEADERS, 0, literal('a', 'b'));
    },
    outcome: PROTOCOL,
  },
  {
    section: '6.10',
    what: 'CONTINUATION after DATA',
    response: 'begun',
    play: ({ hostile, stream }) => {
      hostile.data(stream, 'x');
      hostile.frame('CONTINUATION', END_HEADERS, stream, literal('a', 'b'));
    },
    outcome: PROTOCOL,
  },
  {
    section: '6.10',
    what: 'a header block in pieces, one of them empty, is taken whole',
    play: async (stage) => {
      const { role, hostile, client, asked, stream } = stage;
      const block = head(role, [['x-long', 'y'.repeat(40)]]);
      const at = headStream(stage);
      hostile.frame('HEADERS', role === 'server' ? END_STREAM : 0, at, block.subarray(0, 1));
      hostile.frame('CONTINUATION', 0, at, block.subarray(1, 20));
      hostile.frame('CONTINUATION', 0, at);
      hostile.frame('CONTINUATION', END_HEADERS, at, block.subarray(20));
      if (role === 'server') {
        hostile.skipTo(at + 2);
        assert.equal((await hostile.response(at)).status, 200);
        return;
      }
      hostile.data(stream, 'x', END_STREAM);
      const response = await client.response(asked);
      assert.equal(response.field('x-long'), 'y'.repeat(40));
      const other = await stage.bench.exchange({ client, body: 'open' });
      Object.assign(stage, other, { stream: other.arrived });
    },
    outcome: 'borne',
  },
];

await onEachExecutor('HTTP/2 frames', {}, (bench) => {
  declareCases(FRAMES, bench);

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

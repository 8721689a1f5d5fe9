// RFC 9113 sections 6.5 to 6.10: SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE and CONTINUATION: what may not be sent, and what
// must be borne; from clients and from endpoints.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ACK, END_HEADERS, END_STREAM, settingsPayload, u32 } from '../support/h2-frames.js';
import { literal } from '../support/naive-hpack.js';
import {
  type Case,
  declareCases,
  FLOW,
  FRAME_SIZE,
  GET,
  head,
  headStream,
  MAX,
  onEachExecutor,
  PROTOCOL,
} from './http2-conformance-support.js';

const FRAMES: readonly Case[] = [
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

await onEachExecutor('HTTP/2 frames of connections', {}, (bench) => {
  declareCases(FRAMES, bench);

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

// RFC 9113 sections 4 and 5: frames of any type, in any state of a stream: what may not be sent, and what must be borne; from
// clients and from endpoints.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { END_HEADERS, END_STREAM, priorityFields, u32 } from '../support/h2-frames.js';
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
  type Stage,
} from './http2-conformance-support.js';

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
];

await onEachExecutor('HTTP/2 frames', {}, (bench) => {
  declareCases(FRAMES, bench);

  it('afterwards serves others', () => bench().play(() => bench().serves()));
});

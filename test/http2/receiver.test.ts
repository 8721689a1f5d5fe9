import assert from 'node:assert/strict';
import { test } from 'node:test';
import { READ_STATE, ROLE } from '../../src/http2/connection.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import { H2_LIMITS, LIMIT, MAX_BLOCK_BYTES } from '../../src/http2/limits.js';
import {
  END_HEADERS,
  END_STREAM,
  frame,
  MAGIC,
  PADDED,
  PRIORITY,
  padded,
  priorityFields,
  settingsPayload,
  u32,
} from '../support/h2-frames.js';
import { POST, type Wire, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { encodeBlock, indexed, literal } from '../support/naive-hpack.js';

const memory = newMachineMemory(256);
const request = encodeBlock(Object.entries(POST));
const head = (id: number, flags = 0): Buffer => frame('HEADERS', END_HEADERS | flags, id, request);
const served = (octets: Uint8Array, limits = {}): { world: World; wire: Wire } => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER, limits);
  world.happened.length = 0;
  world.feed(wire, octets);
  world.check(wire);
  return { world, wire };
};

/** A header block in as many frames as it takes. */
function framed(id: number, block: Buffer): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length ? END_HEADERS : 0;
    frames.push(frame(at === 0 ? 'HEADERS' : 'CONTINUATION', last, id, block.subarray(at, at + 16_384)));
  }
  return Buffer.concat(frames);
}

/** What a client's octets end in: the code of the connection error, or of each stream's. */
const outcomes: readonly (readonly [
  name: string,
  octets: Uint8Array,
  connection: number,
  streams?: readonly number[],
])[] = [
  ['a frame longer than announced', frame('DATA', 0, 1, Buffer.alloc(0), 16_385), H2_ERROR.FRAME_SIZE_ERROR],
  ['DATA on stream 0', frame('DATA', 0, 0), H2_ERROR.PROTOCOL_ERROR],
  ['DATA on an idle stream', frame('DATA', 0, 1, Buffer.alloc(3)), H2_ERROR.PROTOCOL_ERROR],
  ['DATA on a stream of ours', frame('DATA', 0, 2, Buffer.alloc(3)), H2_ERROR.PROTOCOL_ERROR],
  ['padded DATA without a length', Buffer.concat([head(1), frame('DATA', PADDED, 1)]), H2_ERROR.FRAME_SIZE_ERROR],
  [
    'padding as long as the payload',
    Buffer.concat([head(1), frame('DATA', PADDED, 1, Buffer.from([3, 0, 0]))]),
    H2_ERROR.PROTOCOL_ERROR,
  ],
  ['HEADERS on stream 0', head(0), H2_ERROR.PROTOCOL_ERROR],
  ['HEADERS on an even stream', head(2), H2_ERROR.PROTOCOL_ERROR],
  ['HEADERS on a lower stream', Buffer.concat([head(5, END_STREAM), head(3)]), H2_ERROR.STREAM_CLOSED],
  [
    'HEADERS with more padding than there is',
    frame('HEADERS', END_HEADERS | PADDED, 1, Buffer.from([9, 0x82])),
    H2_ERROR.PROTOCOL_ERROR,
  ],
  [
    'HEADERS too short for a priority',
    frame('HEADERS', END_HEADERS | PRIORITY, 1, Buffer.alloc(3)),
    H2_ERROR.FRAME_SIZE_ERROR,
  ],
  [
    'a block that can not be decoded',
    frame('HEADERS', END_HEADERS, 1, Buffer.from([0xff, 0xff])),
    H2_ERROR.COMPRESSION_ERROR,
  ],
  [
    'another frame within a header block',
    Buffer.concat([frame('HEADERS', 0, 1, request), frame('PING', 0, 0, Buffer.alloc(8))]),
    H2_ERROR.PROTOCOL_ERROR,
  ],
  [
    'a CONTINUATION of another stream',
    Buffer.concat([frame('HEADERS', 0, 1, request), frame('CONTINUATION', 4, 3)]),
    H2_ERROR.PROTOCOL_ERROR,
  ],
  ['a CONTINUATION of nothing', frame('CONTINUATION', 4, 1), H2_ERROR.PROTOCOL_ERROR],
  ['PRIORITY on stream 0', frame('PRIORITY', 0, 0, priorityFields()), H2_ERROR.PROTOCOL_ERROR],
  [
    'PRIORITY of 4 octets',
    Buffer.concat([head(1), frame('PRIORITY', 0, 1, Buffer.alloc(4))]),
    -1,
    [H2_ERROR.FRAME_SIZE_ERROR],
  ],
  ['RST_STREAM on stream 0', frame('RST_STREAM', 0, 0, u32(0)), H2_ERROR.PROTOCOL_ERROR],
  ['RST_STREAM on an idle stream', frame('RST_STREAM', 0, 1, u32(0)), H2_ERROR.PROTOCOL_ERROR],
  [
    'RST_STREAM of 5 octets',
    Buffer.concat([head(1), frame('RST_STREAM', 0, 1, Buffer.alloc(5))]),
    H2_ERROR.FRAME_SIZE_ERROR,
  ],
  ['SETTINGS on a stream', frame('SETTINGS', 0, 1), H2_ERROR.PROTOCOL_ERROR],
  ['SETTINGS of 7 octets', frame('SETTINGS', 0, 0, Buffer.alloc(7)), H2_ERROR.FRAME_SIZE_ERROR],
  ['an acknowledgement with a payload', frame('SETTINGS', 1, 0, Buffer.alloc(6)), H2_ERROR.FRAME_SIZE_ERROR],
  ['a window of 2^31', frame('SETTINGS', 0, 0, settingsPayload([[4, 0x80000000]])), H2_ERROR.FLOW_CONTROL_ERROR],
  ['a frame size of 16383', frame('SETTINGS', 0, 0, settingsPayload([[5, 16_383]])), H2_ERROR.PROTOCOL_ERROR],
  ['a frame size of 2^24', frame('SETTINGS', 0, 0, settingsPayload([[5, 1 << 24]])), H2_ERROR.PROTOCOL_ERROR],
  ['ENABLE_PUSH 2', frame('SETTINGS', 0, 0, settingsPayload([[2, 2]])), H2_ERROR.PROTOCOL_ERROR],
  ['PUSH_PROMISE', frame('PUSH_PROMISE', 4, 1, u32(2)), H2_ERROR.PROTOCOL_ERROR],
  ['PING on a stream', frame('PING', 0, 1, Buffer.alloc(8)), H2_ERROR.PROTOCOL_ERROR],
  ['PING of 7 octets', frame('PING', 0, 0, Buffer.alloc(7)), H2_ERROR.FRAME_SIZE_ERROR],
  ['GOAWAY on a stream', frame('GOAWAY', 0, 1, Buffer.alloc(8)), H2_ERROR.PROTOCOL_ERROR],
  ['GOAWAY of 7 octets', frame('GOAWAY', 0, 0, Buffer.alloc(7)), H2_ERROR.FRAME_SIZE_ERROR],
  ['WINDOW_UPDATE of 3 octets', frame('WINDOW_UPDATE', 0, 0, Buffer.alloc(3)), H2_ERROR.FRAME_SIZE_ERROR],
  ['WINDOW_UPDATE by 0', frame('WINDOW_UPDATE', 0, 0, u32(0)), H2_ERROR.PROTOCOL_ERROR],
  [
    'WINDOW_UPDATE of a stream by 0',
    Buffer.concat([head(1), frame('WINDOW_UPDATE', 0, 1, u32(0))]),
    -1,
    [H2_ERROR.PROTOCOL_ERROR],
  ],
  ['WINDOW_UPDATE of an idle stream', frame('WINDOW_UPDATE', 0, 1, u32(1)), H2_ERROR.PROTOCOL_ERROR],
  ['a window beyond 2^31-1', frame('WINDOW_UPDATE', 0, 0, u32(0x7fffffff)), H2_ERROR.FLOW_CONTROL_ERROR],
  [
    'DATA after the end',
    Buffer.concat([head(1, END_STREAM), frame('DATA', 0, 1, Buffer.alloc(3))]),
    -1,
    [H2_ERROR.STREAM_CLOSED],
  ],
  ['HEADERS after the end', Buffer.concat([head(1, END_STREAM), head(1)]), -1, [H2_ERROR.STREAM_CLOSED]],
  ['a second head', Buffer.concat([head(1), head(1)]), -1, [H2_ERROR.PROTOCOL_ERROR]],
];

for (const [name, octets, connection, streams = []] of outcomes) {
  test(`${name}: ${connection < 0 ? 'an error of the stream' : 'an error of the connection'}`, () => {
    const { world, wire } = served(octets);
    assert.equal(wire.failed, connection);
    assert.deepEqual(
      world.happened.filter(({ what }) => what === 'stream failed').map(({ code }) => code),
      streams,
    );
    world.commit();
    const last = world.said(wire).at(-1);
    assert.equal(last?.type, connection < 0 ? 'RST_STREAM' : 'GOAWAY');
    assert.equal(last?.payload.readUInt32BE(connection < 0 ? 0 : 4), connection < 0 ? streams[0] : connection);
    world.endAll();
  });
}

test('a wrong preface, and one that is not followed by SETTINGS, are refused', () => {
  for (const octets of [
    Buffer.from('PRI * HTTP/2.1\r\n'),
    Buffer.concat([MAGIC, frame('PING', 0, 0, Buffer.alloc(8))]),
  ]) {
    const world = new World(memory);
    const wire = world.connect(ROLE.SERVER);
    world.feed(wire, octets);
    assert.equal(wire.failed, H2_ERROR.PROTOCOL_ERROR);
    world.endAll();
  }
});

test('a header block in many frames is one request, with padding and priority in its first', () => {
  const block = Buffer.concat([request, encodeBlock([['x-a', 'b'.repeat(3000)]])]);
  const first = Buffer.concat([Buffer.from([7]), priorityFields(), block.subarray(0, 10), Buffer.alloc(7)]);
  const { world } = served(
    Buffer.concat([
      frame('HEADERS', PADDED | PRIORITY | END_STREAM, 1, first),
      frame('CONTINUATION', 0, 1, block.subarray(10, 2000)),
      frame('CONTINUATION', 0, 1),
      frame('CONTINUATION', END_HEADERS, 1, block.subarray(2000)),
    ]),
  );
  assert.equal(world.happened.length, 1);
  assert.equal(world.happened[0].end, true);
  assert.ok(world.happened[0].fields?.includes(`x-a: ${'b'.repeat(3000)}`));
  world.endAll();
});

test('empty last DATA, padded or not, ends a stream', () => {
  for (const last of [
    frame('DATA', END_STREAM, 1),
    frame('DATA', END_STREAM | PADDED, 1, padded(Buffer.alloc(0), 9)),
  ]) {
    const { world } = served(Buffer.concat([head(1), frame('DATA', 0, 1, Buffer.from('abc')), last, head(3)]));
    assert.deepEqual(
      world.happened.map(({ what, end, body }) => [what, end, body]),
      [
        ['request', false, undefined],
        ['data', true, 'abc'],
        ['request', false, undefined],
      ],
    );
    world.endAll();
  }
});

test('unknown frames, PRIORITY, and frames of streams that we have reset are passed over', () => {
  const { world, wire } = served(head(1));
  const slot = world.slot(wire, 1);
  world.machine.sender.reset(slot, H2_ERROR.CANCEL);
  world.core.streams.release(slot);
  world.happened.length = 0;
  world.feed(
    wire,
    Buffer.concat([
      frame(0x42, 0xff, 1, Buffer.alloc(1000)),
      frame('PRIORITY', 0, 77, priorityFields()),
      frame('DATA', 0, 1, Buffer.alloc(100)),
      frame('WINDOW_UPDATE', 0, 1, u32(5)),
      frame('HEADERS', END_HEADERS | END_STREAM, 1, encodeBlock([['x-sum', '1']])),
      frame('RST_STREAM', 0, 1, u32(0)),
    ]),
  );
  assert.deepEqual(world.happened, []);
  assert.equal(wire.failed, -1);
  world.check(wire);
  world.endAll();
});

test('after our last GOAWAY new streams are ignored with all their frames, and the others go on', () => {
  const { world, wire } = served(head(1));
  world.machine.sender.goaway(wire.connection);
  world.happened.length = 0;
  const trailers = frame('HEADERS', END_HEADERS | END_STREAM, 3, encodeBlock([['x-sum', '1']]));
  const data = frame('DATA', 0, 3, Buffer.alloc(100));
  world.feed(
    wire,
    Buffer.concat([
      head(3),
      data,
      frame('WINDOW_UPDATE', 0, 3, u32(5)),
      trailers,
      frame('RST_STREAM', 0, 3, u32(8)),
      head(5),
    ]),
  );
  world.feed(wire, frame('DATA', END_STREAM, 1, Buffer.from('abc')));
  assert.deepEqual(world.happened, [{ what: 'data', id: 1, end: true, body: 'abc' }]);
  world.check(wire);
  world.feed(wire, frame('PING', 0, 0, Buffer.alloc(7)));
  const goaway = world.said(wire).filter(({ type }) => type === 'GOAWAY');
  assert.deepEqual(
    goaway.map(({ payload }) => payload.readUInt32BE(0)),
    [1, 1],
    'the last stream is never said to be a higher one',
  );
  world.endAll();
});

test('streams above the limit are refused, and those from before SETTINGS were seen are no abuse', () => {
  const world = new World(memory);
  const wire = world.connect(ROLE.SERVER, { maxStreams: 2, maxProvokedResets: 3 });
  world.machine.sender.open(wire.connection);
  world.feed(wire, Buffer.concat([MAGIC, frame('SETTINGS', 0, 0)]));
  world.said(wire);
  for (let id = 1; id < 21; id += 2) world.feed(wire, head(id, END_STREAM));
  assert.equal(wire.failed, -1);
  assert.deepEqual(
    world
      .said(wire)
      .filter(({ type }) => type === 'RST_STREAM')
      .map(({ stream, payload }) => [stream, payload[3]]),
    [5, 7, 9, 11, 13, 15, 17, 19].map((id) => [id, H2_ERROR.REFUSED_STREAM]),
  );
  world.feed(wire, frame('SETTINGS', 1, 0));
  for (let id = 21; id < 29; id += 2) world.feed(wire, head(id, END_STREAM));
  assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  world.endAll();
});

test('floods end in ENHANCE_YOUR_CALM: one more than the limit of a period does, as many do not; the limit is counted', () => {
  const limits = { maxControlFrames: 10, maxEmptyFrames: 10, maxTinyFrames: 10, maxResets: 10, maxContinuations: 10 };
  const floods: readonly (readonly [number, Buffer, (n: number) => Buffer])[] = [
    [LIMIT.CONTROLS, Buffer.alloc(0), () => frame('PING', 0, 0, Buffer.alloc(8))],
    [LIMIT.CONTROLS, Buffer.alloc(0), () => frame('SETTINGS', 0, 0)],
    [LIMIT.CONTROLS, Buffer.alloc(0), () => frame('PRIORITY', 0, 1, priorityFields())],
    [LIMIT.CONTROLS, Buffer.alloc(0), () => frame(0x42, 0, 0)],
    [LIMIT.EMPTIES, head(1), () => frame('DATA', 0, 1)],
    [LIMIT.TINIES, head(1), () => frame('DATA', 0, 1, Buffer.alloc(1))],
    [LIMIT.RESETS, Buffer.alloc(0), (n) => Buffer.concat([head(2 * n + 1), frame('RST_STREAM', 0, 2 * n + 1, u32(8))])],
    [LIMIT.CONTINUATIONS, frame('HEADERS', 0, 1, request), () => frame('CONTINUATION', 0, 1, Buffer.from([0x82]))],
  ];
  for (const [i, [limit, before, one]] of floods.entries()) {
    const world = new World(memory);
    const wire = world.ready(ROLE.SERVER, limits);
    world.core.clock[0] = 10_000;
    world.feed(wire, Buffer.concat([before, ...Array.from({ length: 10 }, (_, n) => one(n))]));
    assert.equal(wire.failed, -1, `flood ${i}: ten are taken`);
    world.feed(wire, one(10));
    assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM, `flood ${i}: eleven are not`);
    const { values, core } = world;
    const fired = H2_LIMITS.filter((_, index) => values[core.limitsAt + index] !== 0);
    assert.deepEqual(fired, [H2_LIMITS[limit]]);
    assert.equal(values[core.limitsAt + limit], 1);
    world.endAll();
  }
});

test('a header block beyond the list limit ends its message and nothing else', () => {
  const indexedTwice = literal('x-kept', 'in the table', 'incremental');
  for (const size of [2000, 20_000, 100_000, 900_000]) {
    const block = Buffer.concat([request, indexedTwice, literal('x-a', 'b'.repeat(size))]);
    const { world, wire }: { world: World; wire: Wire } = served(framed(1, block), {
      maxHeaderBytes: 1000,
      maxContinuations: 64,
    });
    assert.deepEqual([...world.happened], [{ what: 'too large', id: 1, end: false }], `${size} octets`);
    // What the block has put into the table is still there.
    world.feed(wire, frame('HEADERS', END_HEADERS, 3, Buffer.concat([request, indexed(62)])));
    assert.match(`${world.happened.at(-1)?.fields}`, /x-kept: in the table/);
    assert.equal(wire.failed, -1);
    world.endAll();
  }
});

test('a header block without end, or one that is none, ends the connection', () => {
  const endless = served(framed(1, literal('x-a', 'b'.repeat(MAX_BLOCK_BYTES))), { maxContinuations: 1024 });
  assert.equal(endless.wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  endless.world.endAll();
  for (const tail of [indexed(100), Buffer.of(0x00, 0x01, 0x61, 0x05)]) {
    const broken = served(framed(1, Buffer.concat([request, literal('x-a', 'b'.repeat(40_000)), tail])));
    assert.equal(broken.wire.failed, H2_ERROR.COMPRESSION_ERROR);
    broken.world.endAll();
  }
});

test('a connection says when a frame or block of it is not whole', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER);
  const { connection } = wire;
  world.core.clock[0] = 7000;
  const octets = Buffer.concat([frame('HEADERS', 0, 1, request), frame('CONTINUATION', END_HEADERS, 1)]);
  world.feed(wire, octets.subarray(0, 12));
  assert.deepEqual([connection.partial, connection.blockSince], [true, 7000]);
  world.core.clock[0] = 8000;
  world.feed(wire, octets.subarray(12, octets.length - 1));
  assert.equal(connection.partial, true);
  world.feed(wire, octets.subarray(octets.length - 1));
  assert.equal(connection.partial, false);
  world.endAll();
});

test('a connection dropped in the middle of anything gives its buffers back', () => {
  const octets = Buffer.concat([
    head(1),
    frame('DATA', PADDED, 1, padded(Buffer.alloc(50), 20)),
    frame('HEADERS', 0, 3, request),
    frame('CONTINUATION', END_HEADERS, 3),
  ]);
  for (let cut = 1; cut < octets.length; cut++) {
    const { world, wire } = served(octets.subarray(0, cut));
    world.end(wire);
    assert.equal(wire.connection.readState, READ_STATE.FAILED);
    world.endAll();
  }
});

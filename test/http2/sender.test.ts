import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONNECTION_STATE, ROLE } from '../../src/http2/connection.js';
import { H } from '../../src/http2/counters.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import { MAX_BLOCK_BYTES } from '../../src/http2/limits.js';
import { STREAM } from '../../src/http2/streams.js';
import { END_STREAM, frame, framesOf, MAGIC, type RawFrame, settingsPayload, u32 } from '../support/h2-frames.js';
import { OK, World } from '../support/http2-machine.js';
import { meterOf, newMachineMemory } from '../support/http2-memory.js';
import { NaiveDecoder } from '../support/naive-hpack.js';

const memory = newMachineMemory(256);

const brief = (frames: readonly RawFrame[]): string[] =>
  frames.map(({ type, flags, stream, payload }) => `${type} ${stream} ${payload.length}${flags ? ` +${flags}` : ''}`);

const body = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 0xff));

const window = (value: number): Buffer => frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: value }));
const more = (stream: number, count: number): Buffer => frame('WINDOW_UPDATE', 0, stream, u32(count));

test('a server begins with its settings and the rest of its connection window', () => {
  const world = new World(memory);
  const wire = world.connect(ROLE.SERVER, { streamWindow: 65_536, connectionWindow: 100_000, maxStreams: 7 });
  world.machine.sender.open(wire.connection);
  world.commit();
  const expected = Buffer.concat([
    frame(
      'SETTINGS',
      0,
      0,
      settingsPayload([
        [3, 7],
        [8, 1],
        [4, 65_536],
        [6, 15_360],
      ]),
    ),
    more(0, 100_000 - 65_535),
  ]);
  assert.equal(wire.take().toString('hex'), expected.toString('hex'));
  world.endAll();
});

test('a client begins with the preface, and wants no pushes', () => {
  const world = new World(memory);
  const wire = world.connect(ROLE.CLIENT, { streamWindow: 65_535, connectionWindow: 65_535 });
  world.machine.sender.open(wire.connection);
  world.commit();
  const settings = settingsPayload([
    [2, 0],
    [3, 0],
    [6, MAX_BLOCK_BYTES],
  ]);
  assert.equal(wire.take().toString('hex'), Buffer.concat([MAGIC, frame('SETTINGS', 0, 0, settings)]).toString('hex'));
  world.endAll();
});

test('a request with body and trailers, octet by octet', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT);
  const slot = world.open(wire);
  assert.equal(world.send(slot, Buffer.from('hello'), false), 5);
  assert.equal(world.send(slot, body(3000), false), 3000);
  assert.ok(world.machine.sender.trailers(slot, world.fields({ 'grpc-status': '0' })));
  world.commit();
  const octets = wire.take();
  const frames = framesOf(octets);
  assert.deepEqual(
    brief(frames).map((text) => text.replace(/^(HEADERS \d+) \d+/, '$1')),
    ['HEADERS 1 +4', 'DATA 1 5', 'DATA 1 3000', 'HEADERS 1 +5'],
  );
  assert.equal(frames[1].payload.toString(), 'hello');
  assert.ok(frames[2].payload.equals(body(3000)));
  const hpack = new NaiveDecoder();
  const fields = hpack.decode(frames[0].payload).map(({ name, value }) => `${name}: ${value}`);
  assert.deepEqual(fields, [':method: POST', ':scheme: http', ':path: /a', ':authority: a.example']);
  assert.deepEqual(
    hpack.decode(frames[3].payload).map(({ name, value }) => `${name}: ${value}`),
    ['grpc-status: 0'],
  );
  assert.notEqual(world.core.streams.state[slot] & STREAM.LOCAL_END, 0);
  world.endAll();
});

test('a stream sends within its window, waits, and goes on when it is widened; its end goes out once', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(1000));
  let moved = 0;
  world.behaviour = {
    moved: (_slot, count) => {
      moved += count;
    },
  };
  const slot = world.open(wire);
  assert.equal(world.send(slot, body(1500), true), 1000);
  assert.deepEqual(brief(world.said(wire)).slice(1), ['DATA 1 1000']);
  world.check(wire);
  world.feed(wire, more(1, 100));
  world.feed(wire, more(1, 399));
  world.feed(wire, more(1, 2));
  assert.deepEqual(brief(world.said(wire)), ['DATA 1 100', 'DATA 1 399', 'DATA 1 1 +1']);
  assert.equal(moved, 500);
  assert.equal(world.happened.filter(({ what }) => what === 'flushed').length, 1);
  world.feed(wire, more(1, 100));
  assert.deepEqual(world.said(wire), []);
  world.check(wire);
  world.endAll();
});

test('an empty last piece ends a stream at once where nothing waits, and behind what waits otherwise', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const first = world.open(wire);
  world.send(first, body(10), false);
  assert.equal(world.send(first, body(0), true), 0);
  const second = world.open(wire);
  world.send(second, body(11), false);
  world.send(second, body(0), true);
  assert.deepEqual(
    brief(world.said(wire)).filter((text) => text.startsWith('DATA')),
    ['DATA 1 10', 'DATA 1 0 +1', 'DATA 3 10'],
  );
  world.feed(wire, more(3, 1));
  assert.deepEqual(brief(world.said(wire)), ['DATA 3 1 +1']);
  world.endAll();
});

test('a window that SETTINGS shrink below zero opens only when it has been made up for', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(1000));
  const slot = world.open(wire);
  world.send(slot, body(800), false);
  world.feed(wire, window(300));
  world.said(wire);
  // 300 - 800: 500 short.
  assert.equal(world.send(slot, body(100), false), 0);
  world.feed(wire, more(1, 500));
  assert.deepEqual(brief(world.said(wire)), []);
  world.check(wire);
  world.feed(wire, more(1, 1));
  assert.deepEqual(brief(world.said(wire)), ['DATA 1 1']);
  world.feed(wire, window(340));
  assert.deepEqual(brief(world.said(wire)), ['SETTINGS 0 0 +1', 'DATA 1 40']);
  world.check(wire);
  world.endAll();
});

test('SETTINGS that shrink windows while data waits for the connection stall the streams, and growing ones wake them', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT);
  const slot = world.open(wire);
  world.send(slot, body(15_000), false);
  for (let i = 0; i < 4; i++) world.send(slot, body(15_000), false);
  world.said(wire);
  world.feed(wire, window(10));
  world.feed(wire, more(0, 1_000_000));
  assert.deepEqual(brief(world.said(wire)), ['SETTINGS 0 0 +1']);
  world.check(wire);
  world.feed(wire, window(75_000));
  const frames = world.said(wire).slice(1);
  assert.equal(
    frames.reduce((sum, { payload }) => sum + payload.length, 0),
    75_000 - 65_535,
  );
  world.check(wire);
  world.endAll();
});

test('a stream window that WINDOW_UPDATE or SETTINGS take beyond 2^31-1 is an error', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(1000));
  world.open(wire);
  world.feed(wire, more(1, 0x7fffffff - 1000));
  assert.equal(world.core.streams.used, 1);
  world.feed(wire, more(1, 1));
  assert.deepEqual(world.happened.at(-1), { what: 'stream failed', id: 1, code: H2_ERROR.FLOW_CONTROL_ERROR });
  world.open(wire);
  world.feed(wire, more(3, 0x7fffffff - 1000));
  world.feed(wire, window(1001));
  assert.equal(wire.failed, H2_ERROR.FLOW_CONTROL_ERROR);
  world.endAll();
});

test('streams take turns when the window of the connection opens', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(1_000_000));
  const slots = [world.open(wire), world.open(wire), world.open(wire)];
  for (const slot of slots) for (let i = 0; i < 4; i++) world.send(slot, body(15_000), false);
  world.said(wire);
  // The first four pieces and a part of the fifth took the window of 65535.
  world.feed(wire, more(0, 45_000));
  const by = new Map<number, number>();
  for (const { stream, payload } of world.said(wire)) by.set(stream, (by.get(stream) ?? 0) + payload.length);
  assert.ok((by.get(3) ?? 0) >= 15_000 && (by.get(5) ?? 0) >= 15_000, JSON.stringify([...by]));
  world.check(wire);
  world.endAll();
});

test('trailers go behind the data that waits, and end the stream once', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const slot = world.open(wire);
  world.send(slot, body(3000), false);
  assert.ok(world.machine.sender.trailers(slot, world.fields({ 'x-sum': 'abc' })));
  assert.deepEqual(brief(world.said(wire)).slice(1), ['DATA 1 10']);
  world.feed(wire, more(1, 2990));
  const frames = world.said(wire);
  assert.deepEqual(
    frames.map(({ type, flags }) => `${type} ${flags}`),
    ['DATA 0', 'HEADERS 5'],
  );
  assert.equal(world.happened.filter(({ what }) => what === 'flushed').length, 1);
  world.endAll();
});

test('what has moved is told before the end, which may be the end of the stream', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const told: string[] = [];
  world.behaviour = {
    moved: (slot, count) => told.push(`moved ${count} of ${world.core.streams.id[slot]}`),
    flushed: (slot) => {
      told.push(`flushed ${world.core.streams.id[slot]}`);
      world.finish(slot);
    },
  };
  world.send(world.open(wire), body(30), true);
  world.feed(wire, more(1, 100));
  assert.deepEqual(told, ['moved 20 of 1', 'flushed 1']);
  world.endAll();
});

test('a stream that is ended when it has moved is left alone', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const slot = world.open(wire);
  const other = world.open(wire);
  world.behaviour = { moved: (moved) => moved === slot && world.finish(slot) };
  for (const one of [slot, other]) {
    world.send(one, body(30), false);
    assert.ok(world.machine.sender.trailers(one, world.fields({ 'x-sum': 'abc' })));
  }
  world.feed(wire, Buffer.concat([more(3, 1), more(1, 100), more(3, 100)]));
  world.check(wire);
  assert.equal(world.happened.filter(({ what, id }) => what === 'flushed' && id === 3).length, 1);
  world.endAll();
});

test('a stream that is closed while data and trailers wait gives everything back', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const slot = world.open(wire);
  for (let i = 0; i < 3; i++) world.send(slot, body(5000), false);
  world.machine.sender.trailers(slot, world.fields({ 'x-sum': 'abc' }));
  world.machine.sender.reset(slot, H2_ERROR.CANCEL);
  world.core.streams.release(slot);
  assert.equal(world.core.pending.total, 0);
  assert.deepEqual(brief(world.said(wire)).slice(-1), ['RST_STREAM 1 4']);
  world.endAll();
});

test('nothing is said any more on a stream that is closed', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT);
  const slot = world.open(wire);
  world.machine.sender.reset(slot, H2_ERROR.CANCEL);
  world.said(wire);
  assert.equal(world.send(slot, body(10), false), 10, 'what nobody wants is gone at once');
  assert.equal(world.machine.sender.headers(slot, world.fields(OK), false), false);
  world.machine.sender.trailers(slot, world.fields({ 'x-sum': 'abc' }));
  world.machine.sender.reset(slot, H2_ERROR.CANCEL);
  assert.deepEqual(world.said(wire), []);
  world.core.streams.release(slot);
  world.endAll();
});

test('time at a zero window is counted: of the stream, and of the connection', () => {
  const world = new World(memory);
  const { values, core } = world;
  const meter = meterOf(ROLE.CLIENT);
  core.clock[0] = 1000;
  const wire = world.ready(ROLE.CLIENT, {}, window(10));
  const slot = world.open(wire);
  world.send(slot, body(20), false);
  assert.equal(values[meter + H.STREAM_STALLS], 1);
  core.clock[0] = 1250;
  world.feed(wire, more(1, 1_000_000));
  assert.equal(values[meter + H.STREAM_STALL_US], 250_000);
  for (let i = 0; i < 5; i++) world.send(slot, body(15_000), false);
  assert.equal(values[meter + H.CONNECTION_STALLS], 1);
  core.clock[0] = 1350;
  world.feed(wire, more(0, 1_000_000));
  assert.equal(values[meter + H.CONNECTION_STALL_US], 100_000);
  assert.equal(wire.connection.stalledSince, 0);
  world.endAll();
});

test('a connection on which nothing waits any more is not stalled', () => {
  const world = new World(memory);
  const { core } = world;
  core.clock[0] = 1000;
  const wire = world.ready(ROLE.CLIENT, {}, window(1_000_000));
  const slot = world.open(wire);
  for (let i = 0; i < 5; i++) world.send(slot, body(15_000), false);
  assert.equal(wire.connection.stalledSince, 1000);
  world.finish(slot);
  assert.equal(wire.connection.stalledSince, 0);
  core.clock[0] = 99_000;
  world.send(world.open(wire), body(10), false);
  assert.equal(wire.connection.stalledSince, 99_000, 'it waits since now');
  world.endAll();
});

test('a socket that has enough is given no more, not even small frames, until it is drained', () => {
  for (const length of [100, 1500, 5000]) {
    const world = new World(memory);
    const wire = world.ready(ROLE.CLIENT, {}, window(100_000_000));
    world.feed(wire, more(0, 100_000_000));
    world.commit();
    wire.instant = false;
    wire.congestedAt = 100_000;
    const slot = world.open(wire);
    let sent = 0;
    for (let i = 0; i < 300_000 / length; i++) {
      sent += world.send(slot, body(length), false);
      if (i % 10 === 9) world.commit();
    }
    assert.ok(wire.queued <= 100_000 + 2 * 16_384, `${wire.queued} octets are queued, in pieces of ${length}`);
    world.check(wire);
    while (wire.queued > 0) {
      world.finishSends(wire);
      world.commit();
    }
    const total = framesOf(wire.take())
      .filter(({ type }) => type === 'DATA')
      .reduce((sum, { payload }) => sum + payload.length, 0);
    assert.equal(total, Math.ceil(300_000 / length) * length);
    assert.ok(sent < total);
    world.endAll();
  }
});

test('leaving: a warning that still takes streams, then the last stream; an error never takes that back', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER);
  const { sender } = world.machine;
  sender.beginShutdown(wire.connection);
  assert.deepEqual(
    world.said(wire).map(({ type, payload }) => `${type} ${payload.toString('hex')}`),
    ['GOAWAY 7fffffff00000000', 'PING 0200000000000000'],
  );
  sender.goaway(wire.connection);
  sender.goaway(wire.connection);
  assert.deepEqual(
    world.said(wire).map(({ payload }) => payload.toString('hex')),
    ['0000000000000000'],
  );
  assert.equal(wire.connection.state, CONNECTION_STATE.DRAINING);
  world.endAll();
});

test('where there is no memory to answer in, the connection is given up, and nothing is lost', () => {
  const small = newMachineMemory(16);
  const world = new World(small);
  const wire = world.ready(ROLE.SERVER);
  const held: number[] = [];
  for (let bid = small.slab.take(); bid >= 0; bid = small.slab.take()) held.push(bid);
  const last = held.pop() ?? -1;
  small.slab.bytes.set(frame('PING', 0, 0, Buffer.alloc(8)), small.slab.dataStart(last));
  world.machine.receive(wire.connection, small.slab.dataStart(last), small.slab.dataStart(last) + 17);
  assert.equal(wire.connection.state, CONNECTION_STATE.FAILED);
  assert.equal(world.core.outOfMemory.length, 1);
  for (const bid of [...held, last]) small.slab.release(bid);
  world.commit();
  assert.ok(wire.over);
  world.endAll();
});

test('DATA of up to a frame is one frame, END_STREAM with its last', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT);
  const slot = world.open(wire);
  world.send(slot, body(15_000), true);
  const [, data] = world.said(wire);
  assert.deepEqual([data.type, data.flags, data.payload.length], ['DATA', END_STREAM, 15_000]);
  world.endAll();
});

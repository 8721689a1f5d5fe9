import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROLE } from '../../src/http2/connection.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import {
  END_HEADERS,
  END_STREAM,
  frame,
  MAGIC,
  PADDED,
  padded,
  type RawFrame,
  settingsPayload,
  u32,
} from '../support/h2-frames.js';
import { OK, POST, type Wire, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { encodeBlock } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';

const memory = newMachineMemory(1024);

/** Does it while others hold what of the slab may be held. */
function whileShort(what: () => void): void {
  const { slab } = memory;
  const taken: number[] = [];
  while (slab.share > 0) taken.push(slab.take());
  what();
  for (const bid of taken) slab.release(bid);
}

const head = (id: number): Buffer => frame('HEADERS', END_HEADERS, id, encodeBlock(Object.entries(POST)));
const data = (id: number, length: number, end = false): Buffer =>
  frame('DATA', end ? END_STREAM : 0, id, Buffer.alloc(length, id));

/** Window given back in `frames`, by stream; 0 is the connection. */
function given(frames: readonly RawFrame[]): Map<number, number> {
  const by = new Map<number, number>();
  for (const { type, stream, payload } of frames)
    if (type === 'WINDOW_UPDATE') by.set(stream, (by.get(stream) ?? 0) + payload.readUInt32BE());
  return by;
}

/** Nothing is given back but by hand. */
const holding = (world: World): void => {
  world.behaviour = { data: () => 0 };
};

test('a stream is given back what was passed on, from half a window on, and no more than was held', () => {
  const world = new World(memory);
  holding(world);
  const limits = { streamWindow: 65_536, maxStreamWindow: 65_536 };
  const wire = world.ready(ROLE.SERVER, limits);
  world.feed(wire, Buffer.concat([head(1), data(1, 16_000), data(1, 16_000), data(1, 16_000)]));
  const slot = world.slot(wire, 1);
  world.machine.frames.credit(slot, 32_000);
  assert.deepEqual([...given(world.said(wire))], []);
  world.machine.frames.credit(slot, 1000);
  assert.deepEqual([...given(world.said(wire))], [[1, 33_000]]);
  world.machine.frames.credit(slot, 1_000_000);
  world.check(wire);
  assert.equal(world.core.streams.held[slot], 0);
  assert.equal(world.core.streams.recvCredit[slot], 15_000);
  world.endAll();
});

test('padding is given back at once, with its length octet', () => {
  const world = new World(memory);
  holding(world);
  const wire = world.ready(ROLE.SERVER);
  const pad = frame('DATA', PADDED, 1, padded(Buffer.alloc(0), 255));
  world.feed(wire, Buffer.concat([head(1), ...Array.from({ length: 129 }, () => pad)]));
  assert.deepEqual([...given(world.said(wire)).keys()], [1]);
  world.check(wire);
  world.endAll();
});

test('a stream that flows is widened, one whose data waits is not', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER, { streamWindow: 65_536, maxStreamWindow: 262_144 });
  for (const octets of [head(1), data(1, 15_000), data(1, 15_000), data(1, 15_000)]) world.feed(wire, octets);
  assert.deepEqual([...given(world.said(wire))], [[1, 45_000 + 65_536]]);
  assert.equal(world.core.streams.recvTarget[world.slot(wire, 1)], 131_072);
  holding(world);
  world.feed(wire, Buffer.concat([head(3), data(3, 16_000), data(3, 16_000), data(3, 16_000)]));
  world.machine.frames.credit(world.slot(wire, 3), 33_000);
  assert.deepEqual([...given(world.said(wire))], [[3, 33_000]]);
  world.endAll();
});

test('more than a window is an error: of the stream, and of the connection', () => {
  const world = new World(memory);
  holding(world);
  const wire = world.ready(ROLE.SERVER, { streamWindow: 20_000, connectionWindow: 65_535 });
  world.feed(wire, Buffer.concat([head(1), data(1, 16_000), data(1, 4000)]));
  assert.equal(world.happened.at(-1)?.what, 'data');
  world.feed(wire, data(1, 1));
  assert.deepEqual(world.happened.at(-1), { what: 'stream failed', id: 1, code: H2_ERROR.FLOW_CONTROL_ERROR });
  world.check(wire);
  for (const id of [3, 5, 7, 9]) world.feed(wire, Buffer.concat([head(id), data(id, 16_000)]));
  world.check(wire);
  assert.equal(wire.failed, -1);
  const other = world.ready(ROLE.SERVER, { connectionWindow: 65_535, streamWindow: 16_384 });
  whileShort(() => {
    for (const id of [1, 3, 5, 7, 9, 11]) world.feed(other, Buffer.concat([head(id), data(id, 16_000)]));
  });
  assert.equal(other.failed, H2_ERROR.FLOW_CONTROL_ERROR);
  world.endAll();
});

test('a client that has not seen our SETTINGS may send what the default window allows', () => {
  const world = new World(memory);
  holding(world);
  const wire = world.connect(ROLE.SERVER, { streamWindow: 16_384 });
  world.machine.sender.open(wire.connection);
  const early = [head(1), data(1, 16_000), data(1, 16_000), data(1, 16_000), data(1, 16_000)];
  world.feed(wire, Buffer.concat([MAGIC, frame('SETTINGS', 0, 0), ...early]));
  assert.equal(world.happened.at(-1)?.what, 'data');
  world.feed(wire, Buffer.concat([frame('SETTINGS', 1, 0), head(3), data(3, 16_000), data(3, 385)]));
  assert.deepEqual(world.happened.at(-1), { what: 'stream failed', id: 3, code: H2_ERROR.FLOW_CONTROL_ERROR });
  world.endAll();
});

test("what comes for streams that are over is the connection's again", () => {
  const world = new World(memory);
  holding(world);
  const wire = world.ready(ROLE.SERVER, { connectionWindow: 65_535 });
  for (let id = 1; id < 60; id += 2) {
    world.feed(wire, head(id));
    const slot = world.slot(wire, id);
    world.machine.sender.reset(slot, H2_ERROR.CANCEL);
    world.core.streams.release(slot);
    world.feed(wire, data(id, 5000));
    world.check(wire);
  }
  assert.equal(wire.failed, -1);
  world.endAll();
});

test('a stream that ends in the middle of a frame of its DATA takes nothing of the window with it', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER, { connectionWindow: 65_535 });
  for (let id = 1; id < 60; id += 2) {
    const octets = Buffer.concat([head(id), data(id, 16_000)]);
    world.feed(wire, octets.subarray(0, octets.length - 12_000));
    const slot = world.slot(wire, id);
    world.machine.sender.reset(slot, H2_ERROR.CANCEL);
    world.core.streams.release(slot);
    world.check(wire);
    world.feed(wire, octets.subarray(octets.length - 12_000));
    world.check(wire);
  }
  assert.equal(wire.failed, -1);
  world.endAll();
});

test('while memory is short what is held stays owed, and no more than that: who moves on is given back at once', () => {
  const world = new World(memory);
  holding(world);
  const wire = world.ready(ROLE.SERVER, { connectionWindow: 200_000, streamWindow: 65_536 });
  const { connection } = wire;
  world.feed(wire, Buffer.concat([head(1), data(1, 16_000), data(1, 16_000), data(1, 16_000), data(1, 16_000)]));
  assert.equal(connection.deferred, 0, 'what is held costs the connection nothing while there is memory');
  whileShort(() => {
    world.feed(wire, Buffer.concat([head(3), data(3, 16_000), data(3, 16_000)]));
    const { deferred } = connection;
    assert.ok(deferred > 0);
    // A stranger on the same connection, whose data goes on as it comes: many times the window.
    world.feed(wire, head(5));
    const slot = world.slot(wire, 5);
    for (let i = 0; i < 100; i++) {
      world.feed(wire, data(5, 16_000));
      world.machine.frames.credit(slot, 16_000);
      assert.equal(connection.deferred <= connection.held, true);
      world.check(wire);
    }
    assert.equal(wire.failed, -1);
  });
  for (const id of [1, 3, 5]) world.finish(world.slot(wire, id));
  assert.equal(connection.deferred, 0);
  world.check(wire);
  world.endAll();
});

test('the window of a stream that is slow becomes smaller again', () => {
  const world = new World(memory);
  holding(world);
  const wire = world.ready(ROLE.SERVER, { streamWindow: 20_000, maxStreamWindow: 80_000 });
  world.feed(wire, head(1));
  const slot = world.slot(wire, 1);
  const { recvTarget } = world.core.streams;
  for (let i = 0; i < 8; i++) {
    world.feed(wire, data(1, 16_000));
    world.machine.frames.credit(slot, 16_000);
  }
  assert.equal(recvTarget[slot], 80_000);
  world.feed(wire, Buffer.concat([data(1, 16_000), data(1, 16_000), data(1, 16_000)]));
  world.machine.frames.credit(slot, 48_000);
  assert.equal(recvTarget[slot], 40_000);
  world.check(wire);
  world.endAll();
});

test('a frame may say the initial window many times: the last one counts', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.CLIENT);
  const slot = world.open(wire);
  world.feed(
    wire,
    frame(
      'SETTINGS',
      0,
      0,
      settingsPayload([
        [4, 0x7fffffff],
        [4, 0],
        [4, 7],
      ]),
    ),
  );
  assert.equal(world.send(slot, Buffer.alloc(100), false), 7);
  world.endAll();
});

/** A machine's octets, to the other one. */
function carry(from: World, wire: Wire, to: World, other: Wire, cuts: readonly number[]): boolean {
  from.commit();
  from.finishSends(wire);
  from.commit();
  from.finishSends(wire);
  const octets = wire.take();
  if (octets.length > 0) to.feed(other, octets, cuts);
  return octets.length > 0;
}

test('bodies of any size arrive whole between two machines, whatever the windows, however they are cut', () => {
  const near = newMachineMemory(1024);
  const far = newMachineMemory(1024);
  const transfer = fc.record({
    sizes: fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 5 }),
    piece: fc.integer({ min: 100, max: 15_000 }),
    streamWindow: fc.integer({ min: 500, max: 100_000 }),
    maxStreamWindow: fc.integer({ min: 100_000, max: 200_000 }),
    connectionWindow: fc.integer({ min: 65_535, max: 150_000 }),
    maxBufferedBytes: fc.integer({ min: 1000, max: 100_000 }),
    delay: fc.integer({ min: 0, max: 3 }),
    cuts: fc.array(fc.integer({ min: 1, max: 9000 }), { maxLength: 30 }),
    trailers: fc.boolean(),
    congestedAt: fc.constantFrom(20_000, Number.POSITIVE_INFINITY),
    slow: fc.boolean(),
  });
  fc.assert(
    fc.property(transfer, (t) => {
      const [client, server] = [new World(near), new World(far)];
      const { streamWindow, maxStreamWindow, connectionWindow, maxBufferedBytes } = t;
      const window = frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: streamWindow }));
      // The window that the client keeps to is the server's.
      const limits = { streamWindow, maxStreamWindow, connectionWindow, maxBufferedBytes };
      const up = client.ready(ROLE.CLIENT, {}, window);
      const down = server.ready(ROLE.SERVER, { ...limits, maxTinyFrames: 1e9, maxControlFrames: 1e9 });
      if (connectionWindow > 65_535) client.feed(up, frame('WINDOW_UPDATE', 0, 0, u32(connectionWindow - 65_535)));
      up.congestedAt = t.congestedAt;
      up.instant = !t.slow;
      const owed: { slot: number; count: number }[] = [];
      const got = new Map<number, Buffer[]>();
      const trailers = new Set<number>();
      let ended = 0;
      server.behaviour = {
        data: (slot, octets, end) => {
          const id = server.core.streams.id[slot];
          got.set(id, [...(got.get(id) ?? []), octets]);
          if (end) ended++;
          if (t.delay === 0) return octets.length;
          owed.push({ slot, count: octets.length });
          return 0;
        },
        trailers: (slot) => {
          trailers.add(server.core.streams.id[slot]);
          ended++;
        },
      };
      const bodies = t.sizes.map((size, i) => Buffer.alloc(size, `${i}${size}:`));
      const slots = bodies.map(() => client.open(up));
      const left: (Uint8Array | null)[] = [...bodies];
      let rounds = 0;
      for (; ended < bodies.length && rounds < 3000; rounds++) {
        for (const [i, slot] of slots.entries()) {
          // A sender that waits has memory for a little only.
          const rest = left[i];
          if (rest === null || client.core.pending.bytes[slot] > 30_000) continue;
          const piece = rest.subarray(0, t.piece);
          const last = piece.length === rest.length;
          client.send(slot, piece, last && !t.trailers);
          if (last && t.trailers) assert.ok(client.machine.sender.trailers(slot, client.fields({ 'x-sum': `${i}` })));
          left[i] = last ? null : rest.subarray(t.piece);
        }
        carry(client, up, server, down, t.cuts);
        if (rounds % (t.delay + 1) === t.delay)
          for (const { slot, count } of owed.splice(0)) server.machine.frames.credit(slot, count);
        carry(server, down, client, up, t.cuts);
        client.check(up);
        server.check(down);
      }
      assert.equal(ended, bodies.length, 'every stream has ended');
      for (const [i, body] of bodies.entries())
        assert.ok(Buffer.concat(got.get(i * 2 + 1) ?? []).equals(body), `body ${i} is whole`);
      assert.equal(trailers.size, t.trailers ? bodies.length : 0);
      client.endAll();
      server.endAll();
    }),
    { numRuns: runs(20) },
  );
});

test('a body passes a window of a few octets', () => {
  const far = newMachineMemory(256);
  const [client, server] = [new World(memory), new World(far)];
  const tiny = { streamWindow: 3, maxStreamWindow: 3, maxTinyFrames: 1e9, maxControlFrames: 1e9 };
  const up = client.ready(
    ROLE.CLIENT,
    { maxTinyFrames: 1e9 },
    frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 3 })),
  );
  const down = server.ready(ROLE.SERVER, tiny);
  client.send(client.open(up), Buffer.alloc(500, 'abc'), true);
  for (let round = 0; round < 600; round++) {
    carry(client, up, server, down, []);
    carry(server, down, client, up, [5]);
  }
  assert.deepEqual(server.happened.at(-1), { what: 'data', id: 1, end: true, body: 'abc'.repeat(167).slice(0, 500) });
  client.endAll();
  server.endAll();
});

test('a response that waits is sent when the peer opens its windows in any order', () => {
  const world = new World(memory);
  const wire = world.ready(ROLE.SERVER, {}, frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 0 })));
  world.feed(wire, head(1));
  const slot = world.slot(wire, 1);
  world.machine.sender.headers(slot, world.fields(OK), false);
  for (let i = 0; i < 5; i++) world.send(slot, Buffer.alloc(15_000), i === 4);
  world.said(wire);
  world.feed(wire, frame('WINDOW_UPDATE', 0, 0, u32(100_000)));
  world.check(wire);
  world.feed(wire, frame('WINDOW_UPDATE', 0, 1, u32(75_000)));
  const frames = world.said(wire);
  assert.equal(frames.at(-1)?.flags, END_STREAM);
  assert.equal(
    frames.reduce((sum, { payload }) => sum + payload.length, 0),
    75_000,
  );
  world.endAll();
});

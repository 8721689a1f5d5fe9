import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CONNECTION_STATE, READ_STATE, ROLE } from '../../src/http2/connection.js';
import { STREAM } from '../../src/http2/streams.js';
import { END_HEADERS, END_STREAM, frame, MAGIC, PADDED, padded, settingsPayload, u32 } from '../support/h2-frames.js';
import { OK, POST, type Wire, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { encodeBlock } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';

const memory = newMachineMemory(1024);
const LIMITS = {
  streamWindow: 20_000,
  maxStreamWindow: 40_000,
  connectionWindow: 100_000,
  maxBufferedBytes: 30_000,
  maxStreams: 20,
};
/** Buffers that one connection may hold: what its windows and its limits on output allow, each octet in a buffer of its own kind. */
const CEILING = 400;

const id = fc.integer({ min: 0, max: 24 });
const odd = fc.integer({ min: 0, max: 15 }).map((n) => n * 2 + 1);
const request = encodeBlock(Object.entries(POST));
const response = encodeBlock(Object.entries(OK));
const payload = fc.uint8Array({ maxLength: 40 });

/** Frames that mostly make sense. */
const sensible = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(odd, fc.boolean())
      .map(([n, end]) => frame('HEADERS', END_HEADERS | (end ? END_STREAM : 0), n, request)),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(odd, fc.boolean())
      .map(([n, end]) => frame('HEADERS', END_HEADERS | (end ? END_STREAM : 0), n, response)),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(odd, fc.oneof(fc.nat(100), fc.nat(16_000)), fc.nat(3))
      .map(([n, length, end]) => frame('DATA', end === 0 ? END_STREAM : 0, n, Buffer.alloc(length, n))),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(odd, fc.nat(200), fc.nat(255))
      .map(([n, length, pad]) => frame('DATA', PADDED, n, padded(Buffer.alloc(length), pad))),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(odd, fc.integer({ min: 1, max: 30_000 }))
      .map(([n, count]) => frame('WINDOW_UPDATE', 0, n, u32(count))),
  },
  {
    weight: 3,
    arbitrary: fc.integer({ min: 1, max: 30_000 }).map((count) => frame('WINDOW_UPDATE', 0, 0, u32(count))),
  },
  { weight: 2, arbitrary: odd.map((n) => frame('RST_STREAM', 0, n, u32(8))) },
  {
    weight: 2,
    arbitrary: fc.nat(70_000).map((size) => frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: size }))),
  },
  { weight: 1, arbitrary: fc.constant(frame('SETTINGS', 1, 0)) },
  { weight: 1, arbitrary: fc.constant(frame('PING', 0, 0, Buffer.alloc(8))) },
  { weight: 1, arbitrary: odd.map((last) => frame('GOAWAY', 0, 0, Buffer.concat([u32(last), u32(0)]))) },
  {
    weight: 1,
    arbitrary: fc.tuple(odd, fc.boolean()).map(([n, end]) => frame('HEADERS', end ? END_STREAM : 0, n, request)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(odd, fc.boolean())
      .map(([n, end]) => frame('CONTINUATION', end ? END_HEADERS : 0, n, encodeBlock([['x-a', 'b']]))),
  },
);
/** Frames of any type and flags. */
const wild = fc
  .tuple(fc.integer({ min: 0, max: 12 }), fc.nat(255), id, payload)
  .map(([type, flags, stream, octets]) => frame(type, flags, stream, octets));
const garbage = fc.uint8Array({ maxLength: 60 }).map((octets) => Buffer.from(octets));

/** What the owner of streams does meanwhile. */
const act = fc.record({
  what: fc.constantFrom(
    'head',
    'data',
    'data',
    'large',
    'end',
    'trailers',
    'reset',
    'credit',
    'credit',
    'open',
    'sent',
    'turn',
    'leave',
    'time',
  ),
  n: fc.nat(100),
});

type Step = { readonly octets?: Buffer; readonly act?: { readonly what: string; readonly n: number } };
const steps = (frames: fc.Arbitrary<Buffer>): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.oneof(
      { weight: 2, arbitrary: frames.map((octets) => ({ octets })) },
      { weight: 1, arbitrary: act.map((one) => ({ act: one })) },
    ),
    {
      maxLength: 120,
    },
  );

/** Does what the owner of a stream may do at any time. */
function perform(world: World, wire: Wire, what: string, n: number): void {
  const { connection } = wire;
  const { streams, pending } = world.core;
  const { sender, frames } = world.machine;
  if (what === 'sent') world.finishSends(wire);
  if (what === 'turn') world.commit();
  if (what === 'time') world.core.clock[0] += n * 100;
  if (wire.over) return;
  if (what === 'leave') {
    if (n > 90) sender.goaway(connection);
    else if (n > 80) sender.beginShutdown(connection);
    return;
  }
  if (what === 'open') {
    if (connection.role === ROLE.CLIENT && connection.state === CONNECTION_STATE.OPEN && connection.active < 20)
      world.open(wire, POST, n % 4 === 0);
    return;
  }
  const slots: number[] = [];
  for (let slot = streams.first(connection); slot >= 0; slot = streams.after(connection, slot)) slots.push(slot);
  if (slots.length === 0) return;
  const slot = slots[n % slots.length];
  const state = streams.state[slot];
  const ended = (state & (STREAM.LOCAL_END | STREAM.END_PENDING | STREAM.TRAILERS_PENDING)) !== 0;
  const headed = (state & STREAM.HEAD_OUT) !== 0;
  if (what === 'head' && !headed && !ended) sender.headers(slot, world.fields(OK), n % 5 === 0);
  else if ((what === 'data' || what === 'large') && headed && !ended && pending.bytes[slot] < 40_000)
    world.send(slot, Buffer.alloc(what === 'data' ? n : 2048 + n * 100), n % 7 === 0);
  else if (what === 'end' && headed && !ended) world.send(slot, Buffer.alloc(0), true);
  else if (what === 'trailers' && headed && !ended) sender.trailers(slot, world.fields({ 'x-sum': `${n}` }));
  else if (what === 'reset' && n < 30) {
    sender.reset(slot, 8);
    streams.release(slot);
  } else if (what === 'credit') frames.credit(slot, n * 300);
}

function play(role: number, script: readonly Step[], cuts: readonly number[], slow: boolean): World {
  const world = new World(memory);
  const free = memory.slab.free;
  const wire = world.ready(role, LIMITS);
  wire.instant = !slow;
  wire.congestedAt = slow ? 30_000 : Number.POSITIVE_INFINITY;
  let held = 0;
  // Some streams are open already: frames of random ids mean something.
  for (let n = 1; n < 32; n += 2) {
    if (role === ROLE.CLIENT) world.open(wire, POST, n % 3 === 0);
    else world.feed(wire, frame('HEADERS', END_HEADERS | (n % 5 === 0 ? END_STREAM : 0), n, request));
    if (role === ROLE.CLIENT && n % 4 === 1) world.feed(wire, frame('HEADERS', END_HEADERS, n, response));
  }
  // Half of what comes is given back at once, and some of it is too much.
  world.behaviour = {
    data: (slot, octets) => {
      if (octets.length % 37 !== 36) return octets.length >> 1;
      world.machine.sender.reset(slot, 8);
      world.core.streams.release(slot);
      return 0;
    },
  };
  // What has not come yet: the owner acts in the middle of frames, too.
  let rest: Uint8Array = Buffer.alloc(0);
  for (const [i, step] of script.entries()) {
    if (step.octets !== undefined) {
      const octets = Buffer.concat([rest, step.octets]);
      const end = octets.length - ((cuts[i % (cuts.length || 1)] ?? 0) % (octets.length + 1));
      rest = octets.subarray(end);
      world.feed(wire, octets.subarray(0, end), cuts);
    } else if (step.act !== undefined) perform(world, wire, step.act.what, step.act.n);
    world.check(wire);
    held = Math.max(held, free - memory.slab.free);
    const { readState, state } = wire.connection;
    assert.equal(readState === READ_STATE.FAILED, state === CONNECTION_STATE.FAILED || wire.over);
  }
  assert.ok(held < CEILING, `${held} buffers were held`);
  if (wire.failed >= 0) {
    world.commit();
    world.finishSends(wire);
    const said = Buffer.concat(wire.said);
    assert.equal(said.readUInt32BE(said.length - 4), wire.failed, 'the last that was said is GOAWAY with the code');
    assert.equal(said[said.length - 14], 7);
  }
  return world;
}

for (const [name, role] of [
  ['server', ROLE.SERVER],
  ['client', ROLE.CLIENT],
] as const) {
  const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 4 });
  test(`a ${name}'s books balance whatever its peer and its owner do`, () => {
    fc.assert(
      fc.property(steps(sensible), cuts, fc.boolean(), (script, lengths, slow) => {
        play(role, script, lengths, slow).endAll();
      }),
      { numRuns: runs(300) },
    );
  });

  test(`a ${name} takes any frames, or ends the connection with a code`, () => {
    fc.assert(
      fc.property(steps(fc.oneof(sensible, wild, garbage)), cuts, fc.boolean(), (script, lengths, slow) => {
        play(role, script, lengths, slow).endAll();
      }),
      { numRuns: runs(300) },
    );
  });
}

test('garbage instead of a preface is refused, and nothing is kept of it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(30), (octets, kept) => {
      const world = new World(memory);
      const wire = world.connect(ROLE.SERVER);
      world.machine.sender.open(wire.connection);
      world.feed(wire, Buffer.concat([MAGIC.subarray(0, kept), octets]), [3]);
      world.endAll();
    }),
    { numRuns: runs(200) },
  );
});

test('a machine that has run out of memory gives the connection up and keeps nothing', () => {
  const small = newMachineMemory(96);
  fc.assert(
    fc.property(steps(sensible), fc.nat(20), fc.boolean(), (script, left, slow) => {
      const world = new World(small);
      const wire = world.ready(ROLE.SERVER, {
        ...LIMITS,
        connectionWindow: 1 << 20,
        streamWindow: 1 << 20,
        maxStreamWindow: 1 << 20,
      });
      wire.instant = !slow;
      world.behaviour = { data: () => 0 };
      const hoard: number[] = [];
      while (small.slab.free > left + 4) hoard.push(small.slab.take());
      for (const step of script) {
        // The tests' own pieces need buffers as well.
        if (step.octets !== undefined && small.slab.free > 0) world.feed(wire, step.octets);
        else if (step.act !== undefined && small.slab.free > 0) perform(world, wire, step.act.what, step.act.n);
      }
      world.finishSends(wire);
      for (const bid of hoard) small.slab.release(bid);
      world.endAll();
    }),
    { numRuns: runs(200) },
  );
});

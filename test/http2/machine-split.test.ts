import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ROLE } from '../../src/http2/connection.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import {
  END_HEADERS,
  END_STREAM,
  frame,
  framesOf,
  MAGIC,
  PADDED,
  PRIORITY,
  padded,
  priorityFields,
  settingsPayload,
  u32,
} from '../support/h2-frames.js';
import { type Happened, OK, POST, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { encodeBlock, literal, NaiveDecoder, type Pair } from '../support/naive-hpack.js';
import { runs } from '../support/runs.js';

const memory = newMachineMemory(512);
/** Windows that are given back in no frame: how much goes in one is a matter of how the octets came. */
const WIDE = {
  streamWindow: 16 << 20,
  maxStreamWindow: 16 << 20,
  connectionWindow: 1 << 30,
  maxBufferedBytes: 1 << 29,
};

const field = fc.tuple(
  fc.constantFrom('x-a', 'x-b', 'grpc-timeout', 'cookie', 'user-agent'),
  fc.string({ maxLength: 30, unit: fc.constantFrom('a', 'Z', '0', '-', '/') }),
);

interface Part {
  readonly id: number;
  readonly octets: Buffer;
}

/** A block as HEADERS and CONTINUATION frames, cut at `cuts`. */
function block(id: number, octets: Buffer, flags: number, cuts: readonly number[], extra: number): Buffer {
  const ends = [...new Set(cuts.map((cut) => cut % (octets.length + 1)))].sort((a, b) => a - b).slice(0, 3);
  const pieces = [...ends, octets.length].map((end, i) => octets.subarray(ends[i - 1] ?? 0, end));
  return Buffer.concat(
    pieces.map((piece, i) => {
      const last = i === pieces.length - 1 ? END_HEADERS : 0;
      if (i > 0) return frame('CONTINUATION', last, id, piece);
      const prioritized = extra % 3 === 1 ? Buffer.concat([priorityFields(), piece]) : piece;
      const payload = extra % 2 === 1 ? padded(prioritized, extra % 50) : prioritized;
      return frame('HEADERS', flags | last | (extra % 3 === 1 ? PRIORITY : 0) | (extra % 2 ? PADDED : 0), id, payload);
    }),
  );
}

const message = fc.record({
  fields: fc.array(field, { maxLength: 5 }),
  incremental: fc.boolean(),
  cuts: fc.array(fc.nat(200), { maxLength: 3 }),
  extra: fc.nat(100),
  pieces: fc.array(
    fc.record({ length: fc.oneof(fc.nat(20), fc.nat(5000)), padding: fc.integer({ min: -200, max: 200 }) }),
    {
      maxLength: 5,
    },
  ),
  ending: fc.constantFrom('data', 'trailers', 'reset', 'open', 'mistake'),
  /** Between its frames. */
  between: fc.array(fc.constantFrom('ping', 'settings', 'window', 'stream window', 'unknown', 'priority', 'ack'), {
    maxLength: 4,
  }),
});
type Message = typeof message extends fc.Arbitrary<infer T> ? T : never;

const noise: Record<string, (id: number) => Buffer> = {
  ping: () => frame('PING', 0, 0, Buffer.from('12345678')),
  settings: () => frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 70_000, HEADER_TABLE_SIZE: 100 })),
  window: () => frame('WINDOW_UPDATE', 0, 0, u32(1000)),
  'stream window': (id) => frame('WINDOW_UPDATE', 0, id, u32(1000)),
  unknown: (id) => frame(0x99, 0x55, id, Buffer.from('whatever')),
  priority: (id) => frame('PRIORITY', 0, id, priorityFields(0, 3)),
  ack: () => frame('SETTINGS', 1, 0),
};

/** The frames of one message on stream `id`. */
function partsOf(m: Message, id: number, start: readonly Pair[]): Part[] {
  const fields = [
    encodeBlock(start),
    ...m.fields.map(([name, value]) => literal(name, value, m.incremental ? 'incremental' : 'plain', m.extra > 50)),
  ];
  const octets = [block(id, Buffer.concat(fields), 0, m.cuts, m.extra)];
  for (const [i, { length, padding }] of m.pieces.entries()) {
    const body = Buffer.alloc(length, id + i);
    octets.push(padding >= 0 ? frame('DATA', PADDED, id, padded(body, padding)) : frame('DATA', 0, id, body));
    const between = m.between[i];
    if (between !== undefined) octets.push(noise[between](id));
  }
  if (m.ending === 'data') octets.push(frame('DATA', END_STREAM, id, Buffer.alloc(m.extra)));
  else if (m.ending === 'trailers')
    octets.push(block(id, encodeBlock([['x-sum', 'abc']]), END_STREAM, m.cuts, m.extra));
  else if (m.ending === 'reset') octets.push(frame('RST_STREAM', 0, id, u32(H2_ERROR.CANCEL)));
  else if (m.ending === 'mistake')
    octets.push(frame('WINDOW_UPDATE', 0, id, u32(0)), frame('DATA', 0, id, Buffer.alloc(30)));
  return octets.map((one) => ({ id, octets: one }));
}

/** Messages whose frames go one stream after the other in turns. */
function interleave(messages: readonly Part[][], order: readonly number[]): Buffer {
  const left = messages.map((parts) => [...parts]);
  const octets: Buffer[] = [];
  // Streams are opened in the order of their ids, whatever comes between.
  let opened = 0;
  for (let turn = 0; left.some((parts) => parts.length > 0); turn++) {
    let at = (order[turn % order.length] ?? 0) % left.length;
    if (at > opened) at = opened;
    while (left[at].length === 0) at = (at + 1) % left.length;
    if (at > opened) at = opened;
    if (left[at].length === 0) at = left.findIndex((parts) => parts.length > 0);
    opened = Math.max(opened, at + 1);
    octets.push(left[at].shift()?.octets ?? Buffer.alloc(0));
  }
  return Buffer.concat(octets);
}

interface Outcome {
  readonly happened: readonly Happened[];
  /** Its frames; heads decoded, as how they are coded depends on what was seen before. */
  readonly said: readonly string[];
}

/** What a machine makes of `octets` that come in pieces of these lengths. */
function run(role: number, octets: Buffer, streams: number, lengths: readonly number[]): Outcome {
  const world = new World(memory);
  const wire = world.connect(role, WIDE);
  const { sender } = world.machine;
  sender.open(wire.connection);
  const sizes = new Map<number, number>();
  const answer = (slot: number): void => {
    const id = world.core.streams.id[slot];
    if (role !== ROLE.SERVER) return;
    sender.headers(slot, world.fields({ ...OK, 'x-id': `${id}` }), false);
    world.send(slot, Buffer.from(`${sizes.get(id) ?? 0}`.repeat(id)), true);
  };
  world.behaviour = {
    request: (slot, end) => end && answer(slot),
    trailers: answer,
    data: (slot, piece, end) => {
      const id = world.core.streams.id[slot];
      sizes.set(id, (sizes.get(id) ?? 0) + piece.length);
      if (end) answer(slot);
      return piece.length;
    },
  };
  if (role === ROLE.CLIENT) for (let i = 0; i < streams; i++) world.open(wire, POST, i % 2 === 0);
  world.feed(wire, octets, lengths);
  world.check(wire);
  world.commit();
  const hpack = new NaiveDecoder();
  const said = framesOf(wire.take()).map(({ type, flags, stream, payload }) => {
    if (type !== 'HEADERS') return `${type} ${flags} ${stream} ${payload.toString('hex')}`;
    const fields = hpack.decode(payload).map((one) => `${one.name}: ${one.value}`);
    return `${type} ${flags} ${stream} ${fields.join(', ')}`;
  });
  world.endAll();
  return { happened: [...world.happened], said };
}

const conversation = (role: number): fc.Arbitrary<{ octets: Buffer; streams: number }> =>
  fc
    .record({
      messages: fc.array(message, { minLength: 1, maxLength: 5 }),
      order: fc.array(fc.nat(10), { minLength: 1, maxLength: 30 }),
      interim: fc.boolean(),
      goaway: fc.boolean(),
    })
    .map(({ messages, order, interim, goaway }) => {
      const start: readonly Pair[] = role === ROLE.SERVER ? Object.entries(POST) : [[':status', '200']];
      const parts = messages.map((m, i) => {
        const own = partsOf(m, i * 2 + 1, start);
        if (role !== ROLE.CLIENT || !interim) return own;
        const early = frame('HEADERS', END_HEADERS, i * 2 + 1, encodeBlock([[':status', '103']]));
        return [{ id: i * 2 + 1, octets: early }, ...own];
      });
      const octets = Buffer.concat([
        role === ROLE.SERVER ? MAGIC : Buffer.alloc(0),
        frame('SETTINGS', 0, 0, settingsPayload({ MAX_CONCURRENT_STREAMS: 100 })),
        interleave(parts, order),
        goaway ? frame('GOAWAY', 0, 0, Buffer.concat([u32(1), u32(0), Buffer.from('bye')])) : Buffer.alloc(0),
      ]);
      return { octets, streams: messages.length };
    });

for (const [name, role] of [
  ['client', ROLE.SERVER],
  ['server', ROLE.CLIENT],
] as const) {
  test(`however the octets of a ${name} are cut, the same happens and the same is said`, () => {
    fc.assert(
      fc.property(
        conversation(role),
        fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 3000 })), { maxLength: 200 }),
        ({ octets, streams }, lengths) => {
          const whole = run(role, octets, streams, []);
          assert.deepEqual(run(role, octets, streams, lengths), whole);
          assert.ok(whole.happened.length > streams);
        },
      ),
      { numRuns: runs(80) },
    );
  });

  test(`octets of a ${name} that come one by one are understood`, () => {
    fc.assert(
      fc.property(conversation(role), ({ octets, streams }) => {
        const short = octets.subarray(0, 3000);
        const ones = Array.from({ length: short.length }, () => 1);
        assert.deepEqual(run(role, short, streams, ones), run(role, short, streams, []));
      }),
      { numRuns: runs(20) },
    );
  });
}

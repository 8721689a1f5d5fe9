// Allowances of frames that cost their sender nothing: they grow with traffic that somebody wants, and bound what comes with none.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PERIOD_MS, RAPID_MS } from '../../src/http2/abuse.js';
import { ROLE } from '../../src/http2/connection.js';
import { H2_ERROR } from '../../src/http2/frame.js';
import { H2_LIMITS, type Http2Limits, LIMIT } from '../../src/http2/limits.js';
import { WINDOW_FRAGMENT_BYTES } from '../../src/http2/sender.js';
import { END_HEADERS, END_STREAM, frame, priorityFields, settingsPayload, u32 } from '../support/h2-frames.js';
import { OK, POST, type Wire, World } from '../support/http2-machine.js';
import { newMachineMemory } from '../support/http2-memory.js';
import { encodeBlock, literal } from '../support/naive-hpack.js';

const memory = newMachineMemory(512);
const FEW = { maxControlFrames: 10, maxEmptyFrames: 10, maxTinyFrames: 10, maxResets: 10, maxProvokedResets: 10 };
const PING = frame('PING', 0, 0, Buffer.alloc(8));

const request = encodeBlock(Object.entries(POST));
const response = encodeBlock(Object.entries(OK));
const head = (id: number, flags = 0): Buffer => frame('HEADERS', END_HEADERS | flags, id, request);
const reset = (id: number): Buffer => frame('RST_STREAM', 0, id, u32(8));
const data = (id: number, length: number): Buffer => frame('DATA', 0, id, Buffer.alloc(length));
const times = (count: number, octets: Uint8Array): Buffer => Buffer.concat(Array.from({ length: count }, () => octets));

/** A connection that has said no more than it had to, which is not counted. */
function ready(world: World, role: number, limits: Partial<Http2Limits> = FEW): Wire {
  const wire = world.ready(role, limits);
  wire.connection.controlFrames = 0;
  return wire;
}

/** A client's connection with one request that is answered as far as its head; it has earned what that earns. */
function answered(world: World): { wire: Wire; slot: number } {
  const wire = ready(world, ROLE.SERVER);
  world.feed(wire, head(1));
  const slot = world.slot(wire, 1);
  world.machine.sender.headers(slot, world.fields(OK), false);
  world.commit();
  return { wire, slot };
}

/** How many of `one` it takes, each after `before`, until the connection fails; `most` if it doesn't. */
function borne(
  world: World,
  wire: Wire,
  one: (n: number) => Buffer,
  most: number,
  before?: (n: number) => void,
): number {
  for (let n = 0; n < most; n++) {
    before?.(n);
    world.feed(wire, one(n));
    world.commit();
    if (wire.failed !== -1) return n;
  }
  return most;
}

const limited = ({ values, core }: World): string[] =>
  H2_LIMITS.filter((_, index) => (values[core.limitsAt + index] ?? 0) > 0);

test('a PING for each message that is sent to the client is no flood, however many there are', () => {
  const world = new World(memory);
  const { wire, slot } = answered(world);
  const message = Buffer.alloc(7);
  const sent = (): void => {
    world.send(slot, message, false);
    world.feed(wire, Buffer.concat([frame('WINDOW_UPDATE', 0, 0, u32(7)), frame('WINDOW_UPDATE', 0, 1, u32(7))]));
  };
  assert.equal(
    borne(world, wire, () => PING, 5000, sent),
    5000,
  );
  assert.deepEqual(limited(world), []);
  world.endAll();
});

test('a PING for each message that comes from a peer is none either', () => {
  for (const role of [ROLE.SERVER, ROLE.CLIENT]) {
    const world = new World(memory);
    const wire = ready(world, role);
    if (role === ROLE.SERVER) world.feed(wire, head(1));
    else {
      world.open(wire);
      world.feed(wire, frame('HEADERS', END_HEADERS, 1, response));
    }
    assert.equal(
      borne(world, wire, () => Buffer.concat([data(1, 7), PING]), 5000),
      5000,
    );
    assert.deepEqual(limited(world), []);
    world.endAll();
  }
});

test('messages of 5 octets and more are never too small; crumbs are, unless there is other traffic', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER);
  world.feed(wire, head(1));
  assert.equal(
    borne(world, wire, () => data(1, 5), 3000),
    3000,
  );
  assert.equal(
    borne(world, wire, () => Buffer.concat([data(1, 1), data(1, 20)]), 3000),
    3000,
  );
  const other = ready(world, ROLE.SERVER);
  world.feed(other, head(1));
  assert.equal(
    borne(world, other, () => data(1, 4), 3000),
    10,
  );
  world.endAll();
});

test('what was earned is spent: after the traffic as much more is taken as the frames that came with it', () => {
  const world = new World(memory);
  const { wire, slot } = answered(world);
  for (let i = 0; i < 24; i++) world.send(slot, Buffer.alloc(100), false);
  // A head and 24 messages.
  assert.equal(
    borne(world, wire, () => PING, 5000),
    10 + 4 * 25,
  );
  assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  world.endAll();
});

test('and it is not kept for another period', () => {
  const world = new World(memory);
  const { wire, slot } = answered(world);
  for (let i = 0; i < 25; i++) world.send(slot, Buffer.alloc(100), false);
  world.core.clock[0] += PERIOD_MS;
  assert.equal(
    borne(world, wire, () => PING, 5000),
    10,
  );
  world.endAll();
});

test('requests that nobody has answered earn nothing', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER);
  for (let id = 1; id < 41; id += 2) world.feed(wire, head(id, END_STREAM));
  assert.equal(
    borne(world, wire, () => PING, 100),
    10,
  );
  world.endAll();
});

test('answers to PING and SETTINGS that a peer does not take are bounded, whatever it has earned', () => {
  for (const one of [PING, frame('SETTINGS', 0, 0)]) {
    const world = new World(memory);
    const { wire, slot } = answered(world);
    for (let i = 0; i < 100; i++) world.send(slot, Buffer.alloc(100), false);
    world.commit();
    wire.instant = false;
    world.send(slot, Buffer.alloc(100), false);
    world.commit();
    assert.equal(
      borne(world, wire, () => one, 400),
      10,
    );
    assert.deepEqual(limited(world), ['h2-control-frames']);
    world.endAll();
  }
});

test('as many are taken of a peer that reads them', () => {
  const world = new World(memory);
  const { wire, slot } = answered(world);
  for (let i = 0; i < 100; i++) world.send(slot, Buffer.alloc(100), false);
  assert.equal(
    borne(world, wire, () => PING, 400),
    400,
  );
  world.endAll();
});

test('SETTINGS that move the windows of many streams count as the work that they are', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER, { ...FEW, maxControlFrames: 100 });
  for (let id = 1; id <= 2 * 64; id += 2) world.feed(wire, head(id));
  const windows = frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 70_000 }));
  // One, and four for 64 streams.
  assert.equal(
    borne(world, wire, () => windows, 100),
    20,
  );
  world.endAll();
});

test('streams that are answered before they are taken back are no rapid reset', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER);
  const one = (n: number): Buffer => head(2 * n + 1, END_STREAM);
  for (let n = 0; n < 500; n++) {
    world.feed(wire, one(n));
    world.machine.sender.headers(world.slot(wire, 2 * n + 1), world.fields(OK), false);
    world.feed(wire, reset(2 * n + 1));
    world.commit();
  }
  assert.equal(wire.failed, -1);
  world.endAll();
});

test('nor are those that have kept their place for a while: deadlines of calls to an endpoint that hangs', () => {
  for (const [age, most] of [
    [RAPID_MS, 500],
    [RAPID_MS - 1, 10],
  ] as const) {
    const world = new World(memory);
    const wire = ready(world, ROLE.SERVER);
    const [clock] = world.core.clock;
    const taken = borne(
      world,
      wire,
      (n) => reset(2 * n + 1),
      500,
      (n) => {
        world.core.clock[0] = clock ?? 0;
        world.feed(wire, head(2 * n + 1, END_STREAM));
        world.core.clock[0] += age;
      },
    );
    assert.equal(taken, most);
    world.endAll();
  }
});

test('two may be taken back for each that is answered', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER);
  let id = -1;
  const round = (answers: boolean): void => {
    for (const back of [true, true, !answers]) {
      id += 2;
      world.feed(wire, head(id, END_STREAM));
      if (back) world.feed(wire, reset(id));
      else {
        world.machine.sender.headers(world.slot(wire, id), world.fields(OK), true);
        world.finish(world.slot(wire, id));
      }
    }
  };
  for (let i = 0; i < 300; i++) round(true);
  assert.equal(wire.failed, -1);
  for (let i = 0; i < 300 && wire.failed === -1; i++) round(false);
  assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  assert.deepEqual(limited(world), ['h2-resets']);
  world.endAll();
});

test('RST_STREAM for streams that are over is a frame like others', () => {
  for (const role of [ROLE.SERVER, ROLE.CLIENT]) {
    const world = new World(memory);
    const wire = ready(world, role);
    if (role === ROLE.SERVER) world.feed(wire, head(1));
    else world.open(wire);
    world.feed(wire, reset(1));
    const taken = borne(world, wire, () => reset(1), 1000);
    assert.equal(taken, role === ROLE.SERVER ? 10 : 40);
    world.endAll();
  }
});

test('a window is opened for what was sent, in pieces that are not smaller than it was', () => {
  const world = new World(memory);
  const { wire, slot } = answered(world);
  const updates = (count: number, size: number): Buffer =>
    times(count, Buffer.concat([frame('WINDOW_UPDATE', 0, 0, u32(size)), frame('WINDOW_UPDATE', 0, 1, u32(size))]));
  // Read a hundred octets at a time, and given back each time.
  for (let i = 0; i < 200; i++) {
    world.send(slot, Buffer.alloc(1600), false);
    world.feed(wire, updates(16, 100));
  }
  assert.equal(wire.failed, -1);
  // Large ones, for nothing.
  const taken = borne(world, wire, () => frame('WINDOW_UPDATE', 0, 0, u32(1000)), 10_000);
  assert.equal(taken, 10 + 4 * 201);
  assert.deepEqual(limited(world), ['h2-tiny-data']);
  world.endAll();
});

test('a peer that opens its window by crumbs is sent crumbs, which earn nothing', () => {
  for (const [size, most] of [
    [1, 14],
    [WINDOW_FRAGMENT_BYTES, 14],
    [WINDOW_FRAGMENT_BYTES + 1, 500],
  ] as const) {
    const world = new World(memory);
    const wire = world.ready(ROLE.SERVER, FEW, frame('SETTINGS', 0, 0, settingsPayload({ INITIAL_WINDOW_SIZE: 0 })));
    world.feed(wire, head(1));
    const slot = world.slot(wire, 1);
    world.machine.sender.headers(slot, world.fields(OK), false);
    for (let i = 0; i < 5; i++) world.send(slot, Buffer.alloc(9000), false);
    // For the connection there is room: only the stream's window is shut.
    assert.equal(
      borne(world, wire, () => frame('WINDOW_UPDATE', 0, 1, u32(size)), 500),
      most,
    );
    world.endAll();
  }
});

test('an endpoint is given no more streams, and is cut only when it goes on and on', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.CLIENT);
  world.open(wire);
  const one = frame('PRIORITY', 0, 1, priorityFields());
  world.feed(wire, times(10, one));
  assert.deepEqual([world.core.overAllowance.length, limited(world)], [0, []]);
  world.feed(wire, one);
  assert.deepEqual(world.core.overAllowance.splice(0), [wire.connection]);
  assert.equal(wire.failed, -1);
  assert.deepEqual(
    world.said(wire).filter(({ type }) => type === 'GOAWAY'),
    [],
  );
  world.feed(wire, times(29, one));
  assert.deepEqual([world.core.overAllowance.length, wire.failed], [0, -1], 'it is told of once');
  world.feed(wire, one);
  assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  assert.equal(world.values[world.core.limitsAt + LIMIT.CONTROLS], 2);
  world.endAll();
});

test('responses that break HTTP end their streams, however many there are', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.CLIENT);
  const broken = Buffer.concat([response, literal('Upper-Case', 'x')]);
  for (let n = 0; n < 300; n++) {
    world.open(wire);
    world.feed(wire, frame('HEADERS', END_HEADERS | END_STREAM, 2 * n + 1, broken));
  }
  assert.equal(world.happened.filter(({ what }) => what === 'stream failed').length, 300);
  assert.deepEqual([wire.failed, world.core.overAllowance.length], [-1, 0]);
  world.endAll();
});

test('requests that break HTTP are borne as far as others are answered', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.SERVER);
  const broken = Buffer.concat([request, literal('Upper-Case', 'x')]);
  let id = -1;
  const next = (block: Buffer): number => {
    id += 2;
    world.feed(wire, frame('HEADERS', END_HEADERS | END_STREAM, id, block));
    return id;
  };
  for (let n = 0; n < 100; n++) {
    next(broken);
    const slot = world.slot(wire, next(request));
    world.machine.sender.headers(slot, world.fields(OK), true);
    world.finish(slot);
    world.commit();
  }
  assert.equal(wire.failed, -1);
  for (let n = 0; n < 11; n++) next(broken);
  assert.equal(wire.failed, H2_ERROR.ENHANCE_YOUR_CALM);
  world.endAll();
});

test('what still comes for a stream that was reset long ago is no error, and no licence', () => {
  const world = new World(memory);
  const wire = ready(world, ROLE.CLIENT);
  for (let n = 0; n < 1500; n++) {
    const slot = world.open(wire);
    world.machine.sender.reset(slot, H2_ERROR.CANCEL);
    world.core.streams.release(slot);
  }
  world.commit();
  world.feed(wire, Buffer.concat([frame('HEADERS', END_HEADERS, 1, response), data(1, 100)]));
  assert.equal(wire.failed, -1);
  assert.equal(
    borne(world, wire, () => frame('HEADERS', END_HEADERS, 1, response), 1000),
    39,
  );
  world.endAll();
});

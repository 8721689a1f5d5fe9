import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FieldList } from '../../../src/hpack/field-list.js';
import { HeaderMemory } from '../../../src/hpack/memory/header-memory.js';
import { METHOD } from '../../../src/http/methods.js';
import { SCRATCH_BUFFERS_BYTES, ScratchBuffers } from '../../../src/http/scratch-buffers.js';
import { BLOCK_BYTES, BlockAllocator } from '../../../src/http2/block-allocator.js';
import type { Core } from '../../../src/http2/shared-state.js';
import { BUFFER_CAPACITY, Slab } from '../../../src/io/slab.js';
import { LIMITS } from '../../../src/metrics/layout.js';
import { VERSION } from '../../../src/proxy/connect/protocols.js';
import type { Context } from '../../../src/proxy/context.js';
import { Exchanges, STATE, UPGRADE } from '../../../src/proxy/exchange/exchange.js';
import { FORM, ReplayBuffers } from '../../../src/proxy/exchange/replay-buffers.js';
import type { ExchangeSlot } from '../../../src/proxy/slots.js';
import { fakeMemory } from '../../io/slab-support.js';

const HEADER_MEMORY = 1 << 20;
const TEXT = 128 * 1024;
const REPLAY_BYTES = 4096;
const SERVICE = 1;
const X = 0 as ExchangeSlot;
const OTHER = 1 as ExchangeSlot;
/** The exchange of a client's stream. */
const STREAM = 5 as ExchangeSlot;
const HEAD = 'GET /it HTTP/1.1\r\nhost: b.example\r\n\r\n';

type Fields = readonly (readonly [name: string, value: string])[];
const FIELDS: Fields = [
  [':method', 'POST'],
  [':path', '/it'],
  ['x-long', 'y'.repeat(100)],
];

class World {
  readonly limits: string[] = [];
  readonly slab: Slab;
  readonly blocks: BlockAllocator;
  readonly list: FieldList;
  readonly exchanges = new Exchanges(4, 4);
  readonly replay: ReplayBuffers;
  readonly http2 = { maxReplayBytes: 1 << 20 };
  readonly services = { replayBytes: new Int32Array(4).fill(REPLAY_BYTES) };
  readonly free: number;
  readonly memory: HeaderMemory;
  private readonly text: number;

  constructor(buffers = 32) {
    const fixed = HEADER_MEMORY + TEXT + SCRATCH_BUFFERS_BYTES;
    const slab = new Slab(fakeMemory(buffers, fixed), fixed);
    this.slab = slab;
    this.memory = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY), HEADER_MEMORY);
    this.text = slab.fixed(TEXT);
    this.list = new FieldList(this.memory);
    this.blocks = new BlockAllocator(slab);
    const context = {
      slab,
      limits: { http2: this.http2 },
      services: this.services,
      limited: (limit: number) => this.limits.push(LIMITS[limit]),
    } as unknown as Context;
    const scratch = new ScratchBuffers(slab.fixed(SCRATCH_BUFFERS_BYTES));
    const core = { slab, blocks: this.blocks, memory: this.memory, scratch } as unknown as Core;
    this.replay = new ReplayBuffers(context, core, this.exchanges);
    for (const x of [X, OTHER, STREAM]) {
      this.exchanges.begin(x, SERVICE, METHOD.POST, false);
      this.exchanges.state[x] = STATE.SENT;
    }
    this.free = slab.free;
  }

  /** Keeps HEAD as it was written for HTTP/1. */
  written(x = X, whole = false): void {
    const { slab } = this;
    const buffer = slab.take();
    const at = slab.dataStart(buffer);
    slab.bytes.set(Buffer.from(HEAD, 'latin1'), at);
    this.replay.keepWritten(x, buffer, at, HEAD.length, whole);
    slab.release(buffer);
  }

  fill(fields: Fields): FieldList {
    const { list, slab } = this;
    let at = this.text;
    const put = (text: string): number => {
      slab.bytes.set(Buffer.from(text, 'latin1'), at);
      at += text.length;
      return at - text.length;
    };
    list.clear();
    for (const [name, value] of fields) list.add(put(name), name.length, put(value), value.length);
    list.finish();
    return list;
  }

  /** What `list` says, read from where its text lies. */
  said(): Fields {
    const { list } = this;
    const text = (at: number, length: number): string =>
      Buffer.from(this.slab.bytes.subarray(at, at + length)).toString('latin1');
    list.expand();
    return Array.from({ length: list.count }, (_, i) => [
      text(list.nameAt[i], list.nameLength[i]),
      text(list.valueAt[i], list.valueLength[i]),
    ]);
  }

  /** Keeps `length` octets of body from a buffer that is released afterwards, as one of a receive is. */
  data(length: number, end = false, x = X): boolean {
    const { slab } = this;
    const buffer = slab.take();
    const isKept = this.replay.keepData(x, slab.dataStart(buffer), length, end);
    slab.release(buffer);
    return isKept;
  }

  /** All buffers are back. */
  checkEmpty(): void {
    this.blocks.trim();
    assert.equal(this.blocks.used, 0);
    assert.equal(this.slab.free, this.free);
    assert.equal(this.replay.body.total, 0);
  }
}

describe('a request that is kept', () => {
  it('as it was written for HTTP/1 holds its buffer until it is forgotten', () => {
    const world = new World();
    const { replay, slab } = world;
    world.written(X, true);
    assert.equal(replay.form[X], FORM.HTTP1);
    assert.equal(replay.has(X), true);
    assert.equal(replay.has(OTHER), false);
    assert.equal(replay.whole[X], 1);
    assert.equal(slab.free, world.free - 1);
    const head = slab.bytes.subarray(replay.at[X], replay.at[X] + replay.length[X]);
    assert.equal(Buffer.from(head).toString('latin1'), HEAD);
    // Whoever sends it has a hold of its own.
    const buffer = replay.retainHead(X);
    replay.release(X);
    assert.equal(replay.has(X), false);
    assert.equal(slab.free, world.free - 1);
    slab.release(buffer);
    replay.release(X);
    world.checkEmpty();
  });

  it('as a list of fields comes back as it was, out of a block or a buffer of its own', () => {
    const long: Fields = [...FIELDS, ['x-longer', 'z'.repeat(2 * BLOCK_BYTES)]];
    for (const fields of [FIELDS, long]) {
      const world = new World();
      const { replay } = world;
      assert.equal(replay.keepFields(X, world.fill(fields), true), true);
      assert.equal(replay.form[X], FORM.FIELDS);
      assert.equal(replay.whole[X], 1);
      assert.equal(world.blocks.used, fields === FIELDS ? 1 : 0);
      world.fill([['other', 'list']]);
      replay.restore(X, world.list);
      assert.deepEqual(world.said(), fields);
      replay.release(X);
      world.checkEmpty();
    }
  });

  it('is kept in pieces where it is larger than a buffer', () => {
    const fields: Fields = [['x', 'y'.repeat(BUFFER_CAPACITY + 1000)], ...FIELDS];
    const world = new World(100);
    const { replay } = world;
    assert.equal(replay.keepFields(X, world.fill(fields), true), true);
    assert.equal(replay.isLarge(X), true);
    world.fill([['other', 'list']]);
    replay.restore(X, world.list);
    assert.deepEqual(world.said(), fields);
    replay.settle(X);
    assert.equal(replay.has(X), true);
    // What has been sent is given up if too much is kept.
    world.http2.maxReplayBytes = 1000;
    replay.settle(X);
    assert.equal(replay.has(X), false);
    assert.deepEqual(world.limits, ['h2-replay']);
    world.checkEmpty();
  });

  it('is none if it is large, and neither the limit nor the slab has room for it', () => {
    const world = new World(10);
    world.http2.maxReplayBytes = 1000;
    const fields: Fields = [['x', 'y'.repeat(3 * BUFFER_CAPACITY)]];
    assert.equal(world.replay.keepFields(X, world.fill(fields), true), false);
    assert.equal(world.replay.has(X), false);
    world.checkEmpty();
  });

  it('is none if there is no memory', () => {
    const world = new World();
    while (world.slab.take() >= 0);
    assert.equal(world.replay.keepFields(X, world.fill(FIELDS), true), false);
    assert.equal(world.replay.keepTrailers(X, world.fill(FIELDS)), false);
    assert.equal(world.replay.has(X), false);
    assert.equal(world.replay.hasTrailers(X), false);
  });

  it('is kept once, however often it is written anew', () => {
    const world = new World();
    assert.equal(world.replay.keepFields(X, world.fill(FIELDS), true), true);
    world.written();
    world.written();
    world.replay.release(X);
    world.checkEmpty();
  });
});

describe('what is kept where nothing is said', () => {
  const PIECE = 16_000;
  const auto = (version: number, buffers = 512): World => {
    const world = new World(buffers);
    world.services.replayBytes.fill(-1);
    world.exchanges.version[X] = version;
    assert.equal(world.replay.keepFields(X, world.fill(FIELDS), false), true);
    return world;
  };
  /** Octets that are kept before the copy is given up. */
  const most = (world: World, x = X): number => {
    let replay = 0;
    while (world.data(PIECE, false, x)) replay += PIECE;
    return replay;
  };

  it('is 64 KiB of a body for an endpoint that speaks HTTP/1', () => {
    const world = auto(VERSION.HTTP1);
    assert.equal(world.replay.roomFor(X, 65_536), true);
    assert.equal(world.replay.roomFor(X, 65_537), false);
    assert.equal(most(world), 4 * PIECE);
    world.checkEmpty();
  });

  it('is 1 MiB for one that speaks HTTP/2, which may refuse it', () => {
    const world = auto(VERSION.HTTP2);
    assert.equal(most(world), 65 * PIECE);
    world.checkEmpty();
  });

  it('is more than all requests may keep, as long as half of the buffers are free', () => {
    const world = auto(VERSION.HTTP2);
    world.http2.maxReplayBytes = 100_000;
    assert.equal(world.data(PIECE), true);
    for (let i = 0; i < 10; i++) assert.equal(world.data(PIECE), true);
    assert.equal(world.replay.hasRoom(X), true);
    assert.deepEqual(world.limits, []);
    // Half of them.
    const taken: number[] = [];
    while (world.slab.free * 2 >= world.slab.buffers) taken.push(world.slab.take());
    assert.equal(world.replay.hasRoom(X), false);
    assert.equal(world.data(PIECE), false);
    assert.deepEqual(world.limits, ['h2-replay']);
    for (const buffer of taken) world.slab.release(buffer);
    world.checkEmpty();
  });

  it('is 64 KiB again where they are not', () => {
    const world = auto(VERSION.HTTP2);
    const taken: number[] = [];
    while (world.slab.free * 2 >= world.slab.buffers) taken.push(world.slab.take());
    assert.equal(most(world), 4 * PIECE);
    for (const buffer of taken) world.slab.release(buffer);
    world.checkEmpty();
  });
});

describe('the body of a request that is kept', () => {
  it('is what came, in its order, whole when its end has come', () => {
    const world = new World();
    const { replay, slab } = world;
    world.written();
    assert.equal(world.data(10), true);
    assert.equal(replay.whole[X], 0);
    assert.equal(world.data(3000), true);
    assert.equal(world.data(0, true), true);
    assert.equal(replay.whole[X], 1);
    assert.equal(replay.body.bytes[X], 3010);
    // The large piece stays where it was received, beside the head's buffer and the one of the blocks.
    assert.equal(slab.free, world.free - 3);
    replay.release(X);
    assert.equal(replay.body.bytes[X], 0);
    world.checkEmpty();
  });

  it('is not kept of a request that is not', () => {
    const world = new World();
    assert.equal(world.data(10), false);
    world.checkEmpty();
  });

  it('is kept up to what its service says; with one octet more nothing is', () => {
    const world = new World();
    const { replay } = world;
    assert.equal(replay.roomFor(X, REPLAY_BYTES), true);
    assert.equal(replay.roomFor(X, REPLAY_BYTES + 1), false);
    assert.equal(replay.roomFor(X, -1), true);
    world.written();
    assert.equal(world.data(REPLAY_BYTES), true);
    assert.equal(world.data(1), false);
    assert.equal(replay.has(X), false);
    assert.deepEqual(world.limits, []);
    world.checkEmpty();
  });

  it('is kept beyond that while it waits, for a connection or for a tunnel to be agreed to', () => {
    const waits: readonly ((exchanges: Exchanges) => void)[] = [
      (exchanges) => {
        exchanges.state[X] = STATE.PENDING;
      },
      (exchanges) => {
        exchanges.method[X] = METHOD.CONNECT;
      },
      (exchanges) => {
        exchanges.upgrade[X] = UPGRADE.WEBSOCKET;
      },
    ];
    for (const wait of waits) {
      const world = new World();
      wait(world.exchanges);
      world.http2.maxReplayBytes = 1;
      world.written();
      for (let i = 0; i < 4; i++) assert.equal(world.data(REPLAY_BYTES), true);
      assert.equal(world.replay.body.bytes[X], 4 * REPLAY_BYTES);
      assert.deepEqual(world.limits, []);
      world.replay.release(X);
      world.checkEmpty();
    }
  });

  it('of all requests is bounded, heads counted, and the bound is a limit that is counted', () => {
    const world = new World();
    world.http2.maxReplayBytes = 2 * HEAD.length + 100;
    world.written(X);
    world.written(OTHER);
    assert.equal(world.data(100, false, OTHER), true);
    assert.equal(world.data(1, false, X), true);
    assert.equal(world.data(1, false, X), false);
    assert.deepEqual(world.limits, ['h2-replay']);
    assert.equal(world.replay.has(X), false);
    assert.equal(world.replay.has(OTHER), true);
    // What was given back is room for others again.
    assert.equal(world.data(1, false, OTHER), true);
    world.replay.release(OTHER);
    world.checkEmpty();
  });

  it('that there is no memory for is not kept, nor is the request; one that waits is its owner’s to give up', () => {
    for (const waits of [false, true]) {
      const world = new World();
      const { slab, replay } = world;
      if (waits) world.exchanges.state[X] = STATE.PENDING;
      world.written();
      const buffer = slab.take();
      const rest: number[] = [];
      for (let bid = slab.take(); bid >= 0; bid = slab.take()) rest.push(bid);
      assert.equal(replay.keepData(X, slab.dataStart(buffer), 10, false), false);
      assert.equal(replay.has(X), waits);
      for (const bid of [buffer, ...rest]) slab.release(bid);
      replay.release(X);
      world.checkEmpty();
    }
  });
});

describe('trailers of a request that waits', () => {
  it('come back as they were, and go when they are dropped', () => {
    const world = new World();
    const { replay } = world;
    const trailers: Fields = [
      ['x-sum', '12'],
      ['x-more', '34'],
    ];
    assert.equal(replay.hasTrailers(X), false);
    assert.equal(replay.keepTrailers(X, world.fill(trailers)), true);
    assert.equal(replay.hasTrailers(X), true);
    assert.equal(replay.hasTrailers(OTHER), false);
    world.fill(FIELDS);
    replay.restoreTrailers(X, world.list);
    assert.deepEqual(world.said(), trailers);
    replay.dropTrailers(X);
    replay.dropTrailers(X);
    assert.equal(replay.hasTrailers(X), false);
    world.checkEmpty();
  });
});

describe('a list of fields that the header memory knows as a whole', () => {
  /** As often as it takes to be learned. */
  const learned = (world: World): FieldList => {
    for (let i = 0; i < 4; i++) world.fill(FIELDS);
    const list = world.fill(FIELDS);
    assert.notEqual(list.template, null);
    assert.equal(list.count, 0);
    return list;
  };

  it('is kept by reference for a client of HTTP/2, and written down before it is used', () => {
    const world = new World();
    assert.ok(world.replay.keepFields(STREAM, learned(world), true));
    assert.equal(world.replay.form[STREAM], FORM.TEMPLATE);
    assert.equal(world.slab.free, world.free);
    assert.ok(world.replay.materialize(STREAM));
    assert.equal(world.replay.form[STREAM], FORM.FIELDS);
    world.fill([[':method', 'GET']]);
    world.replay.restore(STREAM, world.list);
    assert.deepEqual(world.said(), FIELDS);
    assert.equal(world.replay.whole[STREAM], 1);
    world.replay.release(STREAM);
    world.blocks.trim();
    assert.equal(world.slab.free, world.free);
  });

  it('is not kept any more when the memory has forgotten it', () => {
    const world = new World();
    assert.ok(world.replay.keepFields(STREAM, learned(world), false));
    world.memory.newEpoch();
    assert.equal(world.replay.materialize(STREAM), false);
    assert.equal(world.replay.form[STREAM], FORM.NONE);
    assert.equal(world.slab.free, world.free);
  });

  it('is written down at once for a client of HTTP/1', () => {
    const world = new World();
    assert.ok(world.replay.keepFields(X, learned(world), true));
    assert.equal(world.replay.form[X], FORM.FIELDS);
  });
});

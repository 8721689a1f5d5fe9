// What machines of the tests live in: slab, header memory and counters, made once for many of them.
import { FieldList } from '../../src/hpack/field-list.js';
import { HeaderMemory } from '../../src/hpack/memory/header-memory.js';
import { SCRATCH_BUFFERS_BYTES } from '../../src/http/scratch-buffers.js';
import { H, H2_ROLES } from '../../src/http2/counters.js';
import { H2_LIMITS, type Http2Limits } from '../../src/http2/limits.js';
import { type CongestionSink, Core } from '../../src/http2/shared-state.js';
import { Slab } from '../../src/io/slab.js';
import { fakeMemory } from '../io/slab-support.js';

const HEADER_MEMORY = 1024 * 1024;
const STREAMS = 512;
const TEXT_BYTES = 512 * 1024;

// Where counters begin is the owner's business, so here they lie elsewhere than in a worker.
const LIMITS_AT = 7;
const METERS_AT = LIMITS_AT + H2_LIMITS.length;
const COUNTERS = METERS_AT + H2_ROLES.length * H.SIZE;
/** First counter (H) of a role. */
export const meterOf = (role: number): number => METERS_AT + role * H.SIZE;

export const LIMITS: Http2Limits = {
  maxStreams: 128,
  maxHeaderBytes: 15 * 1024,
  maxHeaders: 128,
  headerTimeoutMs: 10_000,
  idleTimeoutMs: 3_600_000,
  bodyTimeoutMs: 60_000,
  stallTimeoutMs: 60_000,
  windowTimeoutMs: 1000,
  discardTimeoutMs: 5000,
  maxDiscardBytes: 64 * 1024 * 1024,
  streamWindow: 65_536,
  maxStreamWindow: 1024 * 1024,
  connectionWindow: 16 * 1024 * 1024,
  maxBufferedBytes: 4 * 1024 * 1024,
  keepAliveMs: 30_000,
  keepAliveTimeoutMs: 10_000,
  maxAgeMs: 0,
  ageGraceMs: 30_000,
  maxResets: 500,
  maxProvokedResets: 100,
  maxControlFrames: 2000,
  maxEmptyFrames: 200,
  maxTinyFrames: 10_000,
  maxContinuations: 16,
  maxReplayBytes: 8 * 1024 * 1024,
};

/** What worlds made one after the other share, as it takes long to make: slab, header memory, core. Made anew after a failure. */
export class Memory {
  /** The world that uses it. */
  world: CongestionSink | undefined;
  private parts: Parts;

  constructor(private readonly buffers: number) {
    this.parts = this.make();
  }

  get slab(): Slab {
    return this.parts.slab;
  }

  get headers(): HeaderMemory {
    return this.parts.headers;
  }

  get core(): Core {
    return this.parts.core;
  }

  /** Fields that tests send. */
  get list(): FieldList {
    return this.parts.list;
  }

  /** Where their text goes. */
  get text(): number {
    return this.parts.text;
  }

  renew(): void {
    this.parts = this.make();
  }

  private make(): Parts {
    const fixed = HEADER_MEMORY + SCRATCH_BUFFERS_BYTES + TEXT_BYTES + 4096;
    const slab = new Slab(fakeMemory(this.buffers, fixed), fixed);
    const headers = new HeaderMemory(slab.bytes, slab.fixed(HEADER_MEMORY), HEADER_MEMORY);
    const sink: CongestionSink = {
      queue: (socket, at, length, bid) => this.world?.queue(socket, at, length, bid),
      sending: (socket) => this.world?.sending(socket) ?? false,
      congested: (socket, unsent) => this.world?.congested(socket, unsent) ?? false,
    };
    const core = new Core(
      slab,
      headers,
      sink,
      new Float64Array(COUNTERS),
      LIMITS_AT,
      STREAMS,
      slab.fixed(SCRATCH_BUFFERS_BYTES),
    );
    return { slab, headers, core, list: new FieldList(headers), text: slab.fixed(TEXT_BYTES) };
  }
}

interface Parts {
  readonly slab: Slab;
  readonly headers: HeaderMemory;
  readonly core: Core;
  readonly list: FieldList;
  readonly text: number;
}

export const newMachineMemory = (buffers = 512): Memory => new Memory(buffers);

// A load in memory, by a clock that moves only with the turns of its loop: connections cost nothing, and a minute passes in a moment.
import { native } from '../../src/io/native.js';
import { Reactor } from '../../src/io/reactor.js';
import { Connections } from '../../src/load/connections.js';
import { Events } from '../../src/load/events.js';
import { Http1Driver } from '../../src/load/http1.js';
import { Http2Driver } from '../../src/load/http2.js';
import { Http2Requests } from '../../src/load/http2-requests.js';
import { LoadStreams } from '../../src/load/http2-streams.js';
import { Measurements } from '../../src/load/measurements.js';
import type { LoadPlan } from '../../src/load/plan.js';
import { Requests } from '../../src/load/requests.js';
import { sharesOf } from '../../src/load/shares.js';
import { AT, allocateTally, PHASE, Tally } from '../../src/load/tally.js';
import { Kernel } from '../../src/proxy/warmup/kernel.js';
import type { End } from '../../src/proxy/warmup/pipes.js';

/** Where the server of the plan listens. */
export const MEMORY_PORT = 80;
/** What a turn of the loop takes. */
export const TURN_US = 500;

export interface MemoryServer {
  /** A connection was made, `now` µs since the load began; negative: before it. */
  accepted?(end: End, now: number): void;
  /** Once per turn. Returns by how much time jumps ahead, µs. */
  turn(ends: readonly End[], now: number): number;
}

/** Runs a load of HTTP to its end. */
export async function loadInMemory(plan: LoadPlan, server: MemoryServer): Promise<Measurements> {
  let now = 1_000_000;
  let began = Number.POSITIVE_INFINITY;
  let over = false;
  const ends: End[] = [];
  const kernel = new Kernel(native(), () => now);
  kernel.serve(MEMORY_PORT, (end) => {
    ends.push(end);
    server.accepted?.(end, now - began);
  });
  const [shares] = sharesOf(plan);
  const reactor = new Reactor(kernel.native, {
    io: 'uring',
    slabBytes: 2 ** 24 + Http2Requests.slabBytes(plan),
    maxSockets: 64,
    maxPipes: 0,
    owner: new SharedArrayBuffer(2 ** 16),
    workerId: 0,
    fixedBytes: Connections.fixedBytes(shares) + Requests.fixedBytes(plan, shares) + LoadStreams.fixedBytes,
  });
  const memory = allocateTally();
  const tally = new Tally(memory);
  const connections: Connections = new Connections({
    plan,
    shares,
    reactor,
    native: kernel.native,
    tally,
    tls: undefined,
    driver: (context) =>
      plan.protocol === 'http2' ? new Http2Driver(context, new LoadStreams(context)) : new Http1Driver(context),
    poll: () => {
      if (
        connections.phase === PHASE.PREPARING &&
        tally.values[AT.READY] + tally.values[AT.FAILED] >= plan.connections
      ) {
        connections.phase = PHASE.PREPARED;
        began = now + TURN_US;
        connections.begin(began);
      }
      over = connections.phase === PHASE.CLOSING;
    },
    micros: () => now,
  });
  connections.prepare();
  reactor.wakeMs = 0;
  reactor.run(new Events(connections, reactor));
  await kernel.hosted;
  kernel.run(() => {
    now += TURN_US;
    now += server.turn(ends, now - began);
    return over;
  });
  reactor.stop();
  return new Measurements([memory]);
}

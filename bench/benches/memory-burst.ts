// What a burst of connections leaves of its memory: a process a minute after it, against the same process before.
import { setTimeout as delay } from 'node:timers/promises';
import { anonymousMemory } from '../../src/harness/cpu.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running, Work } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { h2load, parseLoad, pingpong } from '../load.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

/** Sluice keeps two descriptors for each: beyond half of `ulimit -n` it closes idle ones to make room, and says so. */
const CONNECTIONS = 5000;
const AFTER_MS = 60_000;
/** Two readings so far apart that are within a hundredth of each other: what follows a start is over. */
const STEADY_MS = 5000;
const STEADY = 1.01;
const STEADY_READINGS = 12;
const MIB = 2 ** 20;
const SECONDS = 5;
const MESSAGE_BYTES = 200;

interface Shape {
  readonly name: string;
  readonly title: string;
  readonly work: Pick<Work, 'kind' | 'http2'>;
  readonly upstream: Bench['upstream'];
  /** Opens the connections, has something said on each, and closes all of them. Returns how many were of use. */
  burst(session: Session, port: number): Promise<number>;
}

const SHAPES: readonly Shape[] = [
  {
    name: 'memory-burst',
    title: 'HTTP/1',
    work: { kind: 'http' },
    upstream: (session) => startUpstream(session, 'answer'),
    burst: async (session, port) => {
      const output = await session.run('idle', [session.compile('idle'), String(port), String(CONNECTIONS)]);
      // The second line also counts connections that did not last until the client closed them.
      const { units, errors } = parseLoad(output.trim().split('\n').at(-1) ?? '');
      return units - errors;
    },
  },
  {
    name: 'memory-burst-h2',
    title: 'HTTP/2',
    work: { kind: 'http', http2: 'both' },
    upstream: (session) => startUpstream(session, 'answer-h2', 40),
    // All of them ask at once: some are refused, as the pool has a bound.
    burst: async (session, port) => (await h2load(session, port, CONNECTIONS, 1, { requests: 10 * CONNECTIONS })).units,
  },
  {
    name: 'memory-burst-opaque',
    title: 'opaque',
    work: { kind: 'tcp' },
    upstream: (session) => startUpstream(session, 'echo'),
    burst: async (session, port) => (await pingpong(session, port, CONNECTIONS, SECONDS, MESSAGE_BYTES)).units,
  },
];

async function settled({ started }: Running): Promise<number> {
  let before = anonymousMemory(started.pid);
  for (let i = 0; i < STEADY_READINGS; i++) {
    await delay(STEADY_MS);
    const now = anonymousMemory(started.pid);
    if (now <= before * STEADY && before <= now * STEADY) return now;
    before = now;
  }
  return before;
}

function afterBurst(shape: Shape, io: 'auto' | 'epoll'): Bench {
  return {
    name: io === 'epoll' ? `${shape.name}-epoll` : shape.name,
    title: `Anonymous memory a minute after ${CONNECTIONS} connections, ${shape.title}, against before`,
    unit: '×',
    measures: 'process',
    bar: null,
    limit: { value: 1.1, ambition: 1.05 },
    contenders: [sluice('sluice', io)],
    work: { ...shape.work, workers: 1, cores: PROXY_CORE, connections: CONNECTIONS },
    fresh: true,
    upstream: shape.upstream,
    async sample(session, running): Promise<Sample> {
      const idle = await settled(running);
      const units = await shape.burst(session, running.port);
      await delay(AFTER_MS);
      const after = anonymousMemory(running.started.pid);
      return {
        value: after / idle,
        errors: units >= CONNECTIONS / 2 ? 0 : 1,
        extra: { idleMiB: idle / MIB, afterMiB: after / MIB },
      };
    },
  };
}

export const memoryBursts: readonly Bench[] = SHAPES.flatMap((shape) =>
  (['auto', 'epoll'] as const).map((io) => afterBurst(shape, io)),
);

// What a process costs by itself: its memory, and the time until it answers.
import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { anonymousMemory } from '../../src/harness/cpu.js';
import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { wrk } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

const CONNECTIONS = 64;
/** For what a process does after its start, and collects. */
const SETTLE_MS = 4000;
const MIB = 2 ** 20;

function ofProcess(bench: Pick<Bench, 'name' | 'title' | 'unit' | 'measures' | 'sample'> & Partial<Bench>): Bench {
  return {
    bar: null,
    contenders: [sluice('sluice', 'auto'), nginx(), haproxy(), ...meshProxies],
    work: { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS },
    fresh: true,
    upstream: (session) => startUpstream(session, 'answer'),
    ...bench,
  };
}

async function anonymous({ started }: Running): Promise<number> {
  await delay(SETTLE_MS);
  return anonymousMemory(started.pid) / MIB;
}

export const processMemory = ofProcess({
  name: 'memory',
  title: 'Anonymous memory of an idle process with one worker',
  unit: 'MiB',
  measures: 'process',
  limit: { value: 30, ambition: 25 },
  sample: async (_session, running): Promise<Sample> => ({ value: await anonymous(running), errors: 0 }),
});

export const loadedMemory = ofProcess({
  name: 'memory-loaded',
  title: `The same after traffic on ${CONNECTIONS} connections`,
  unit: 'MiB',
  measures: 'process',
  limit: { value: 40, ambition: 30 },
  sample: async (session, running, seconds): Promise<Sample> => {
    const { errors } = await wrk(session, running.port, CONNECTIONS, 4 * seconds);
    return { value: await anonymous(running), errors };
  },
});

/** A warm-up takes as long as it is given (docs/performance.md). Other proxies do not know the variable. */
const WITHOUT_WARM_UP = ['env', 'SLUICE_WARMUP=off'];
/** Longer than any start. */
const START_MS = 15_000;

export const start = ofProcess({
  name: 'start',
  title: 'From the start of the process to its first answer, without a warm-up',
  unit: 'ms',
  measures: 'start',
  ends: true,
  sample: startOnce,
});

/** The configuration is that of the process that ran; it is started once more, and asked until it answers. */
async function startOnce(session: Session, running: Running): Promise<Sample> {
  await session.stop(running.started);
  const value = (await timeToAnswer(session, running, WITHOUT_WARM_UP)) ?? (await timeToAnswer(session, running, []));
  return { value: value ?? Number.NaN, errors: 0 };
}

/** In ms; undefined from a build of Sluice that has no warm-up, and refuses the variable. */
async function timeToAnswer(
  session: Session,
  { started, port }: Running,
  prefix: string[],
): Promise<number | undefined> {
  const begin = performance.now();
  const again = session.start(started.name, PROXY_CORE, [...prefix, ...started.command]);
  try {
    while (!(await answers(port))) {
      if (again.stderr().includes('SLUICE_WARMUP: unknown')) return undefined;
      if (performance.now() - begin > START_MS)
        throw new Error(`no answer in ${START_MS} ms: ${again.stderr().trim()}`);
      await delay(1);
    }
    return performance.now() - begin;
  } finally {
    await session.stop(again);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume();
      response.on('end', () => resolve(response.statusCode === 200));
    });
    asked.on('error', () => resolve(false));
    asked.end();
  });
}

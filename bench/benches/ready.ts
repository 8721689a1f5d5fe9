// What a process is worth when it says that it is ready: its first second, and its pauses in the minutes after it. Each sample has a
// process of its own, at half of what the slowest of them carries, in an open loop.

import { accepts, type Started } from '../../src/harness/processes.js';
import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running, Subject } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { fixedRate, fixedRateHttp2, h2load, type LatencyLoad, type Load, wrk } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

/** The version of HTTP, and what a bench of it needs. */
interface Version {
  readonly title: string;
  readonly rivals: readonly Subject[];
  readonly http2: boolean;
  readonly connections: number;
  load(session: Session, port: number, seconds: number, rate: number): Promise<LatencyLoad>;
  /** As much as it carries. */
  saturate(session: Session, port: number, seconds: number): Promise<Load>;
}

/** Latencies are looked at by the second. */
const WINDOW = 1;
const CONNECTIONS = 64;
const H2_CONNECTIONS = 10;
const H2_STREAMS = 32;

const HTTP1: Version = {
  title: `HTTP/1.1, ${CONNECTIONS} connections`,
  rivals: [nginx(), haproxy()],
  http2: false,
  connections: CONNECTIONS,
  load: (session, port, seconds, rate) => fixedRate(session, port, CONNECTIONS, seconds, rate, WINDOW),
  saturate: (session, port, seconds) => wrk(session, port, CONNECTIONS, seconds),
};

const HTTP2: Version = {
  title: `HTTP/2, ${H2_CONNECTIONS} connections`,
  rivals: [haproxy()],
  http2: true,
  connections: H2_CONNECTIONS,
  load: (session, port, seconds, rate) =>
    fixedRateHttp2(session, port, H2_CONNECTIONS, H2_STREAMS, seconds, rate, WINDOW),
  saturate: (session, port, seconds) => h2load(session, port, H2_CONNECTIONS, H2_STREAMS, { seconds }),
};

/** Of what the slowest carries. */
const SHARE = 0.5;
const RATE_STEP = 500;
const FIRST_RATE = 2000;
/** How long a sample takes in the round that is thrown away, s. */
const THROWN_AWAY = 2;

interface Fresh {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly limit: NonNullable<Bench['limit']>;
  readonly version: Version;
  /** For `seconds` as the options have them. */
  seconds(seconds: number): number;
  judge(result: LatencyLoad): Pick<Sample, 'value' | 'extra'>;
}

function fresh({ version, judge, seconds: duration, ...bench }: Fresh): Bench {
  let rate = 0;
  const latest = new Map<string, Started>();
  /** Starts the contender once more, and waits until it says that it is ready. */
  const again = async (session: Session, { name, port, started, ready }: Running): Promise<void> => {
    const before = latest.get(name) ?? started;
    await session.stop(before);
    const now = session.start(name, PROXY_CORE, before.command);
    latest.set(name, now);
    await session.until(now, 'become ready', ready ?? (() => accepts(port)));
  };
  return {
    ...bench,
    measures: 'start',
    bar: null,
    contenders: [sluice('sluice', 'auto'), ...version.rivals, ...meshProxies],
    work: {
      kind: 'http',
      workers: 1,
      cores: PROXY_CORE,
      connections: version.connections,
      ...(version.http2 ? { http2: 'both' } : {}),
    },
    ends: true,
    upstream: (session) => startUpstream(session, version.http2 ? 'answer-h2' : 'answer'),
    async calibrate(session, running, seconds) {
      const rates: number[] = [];
      for (const { port } of running) {
        // The first of both is for compilers.
        await version.saturate(session, port, seconds);
        const carried = await version.saturate(session, port, seconds);
        rates.push(carried.units / carried.seconds);
      }
      rate = Math.max(RATE_STEP, Math.floor((Math.min(...rates) * SHARE) / RATE_STEP) * RATE_STEP);
    },
    async sample(session, running, seconds) {
      await again(session, running);
      const time = rate === 0 ? THROWN_AWAY : duration(seconds);
      const result = await version.load(session, running.port, time, rate || FIRST_RATE);
      const { value, extra } = judge(result);
      return {
        value,
        errors: result.errors,
        rate: result.units / result.seconds,
        extra: { ...extra, p99: result.p99, max: result.max, requestsPerSecond: rate },
      };
    },
  };
}

const TENTH = 9;

function coldStart(name: string, version: Version): Bench {
  return fresh({
    name,
    title: `p99 of the first second after ready against the tenth, at half load: ${version.title}`,
    unit: '×',
    limit: { value: 2, ambition: 1.2 },
    version,
    seconds: () => TENTH + 1,
    judge({ windows = [] }) {
      const [first, tenth] = [windows.at(0), windows.at(TENTH)];
      if (first === undefined || tenth === undefined) return { value: Number.NaN };
      return {
        value: first.p99 / Math.max(1, tenth.p99),
        extra: { firstP99: first.p99, firstMean: first.mean, tenthP99: tenth.p99, tenthMean: tenth.mean },
      };
    },
  });
}

/** So many times as long as a round: two minutes with `--seconds 15`. */
const LONG = 8;

function longestPause(name: string, version: Version): Bench {
  return fresh({
    name,
    title: `Longest wait for an answer after ready, at half load: ${version.title}`,
    unit: 'ms',
    limit: { value: 5, ambition: 2 },
    version,
    seconds: (seconds) => LONG * seconds,
    judge({ max, windows = [] }) {
      const worst = windows.findIndex((window) => window.max === max);
      return { value: max / 1000, extra: { atSecond: worst } };
    },
  });
}

export const cold = coldStart('cold', HTTP1);
export const coldHttp2 = coldStart('cold-h2', HTTP2);
export const pauses = longestPause('pauses', HTTP1);
export const pausesHttp2 = longestPause('pauses-h2', HTTP2);

// HTTP/2 by prior knowledge: small bodies at several shapes of concurrency, towards HTTP/2 and HTTP/1.1 endpoints; bulk; latency.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nghttpx } from '../../src/harness/subjects/nghttpx.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import { direct } from '../../src/harness/subjects/subject.js';
import { type Bench, cpuSample } from '../bench.js';
import { fixedRateHttp2, h2load, h2loadBulk, wrk } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';
import { latencyBench } from './latency.js';

interface Shape {
  readonly connections: number;
  /** Open on each connection. */
  readonly streams: number;
}

const WIDE: Shape = { connections: 10, streams: 32 };

function work(connections: number, http2: 'clients' | 'endpoint' | 'both') {
  return { kind: 'http', http2, workers: 1, cores: PROXY_CORE, connections } as const;
}

function smallBodies(name: string, io: 'uring' | 'epoll', { connections, streams }: Shape, limit: number): Bench {
  return {
    name,
    title: `HTTP/2, ${connections} connections × ${streams} stream${streams > 1 ? 's' : ''} (${io})`,
    unit: 'µs CPU/request',
    measures: 'cpu',
    bar: { limit, ambition: limit - 0.1, rivals: ['haproxy'] },
    contenders: [sluice('sluice', io), haproxy(), nghttpx(), ...meshProxies],
    work: work(connections, 'both'),
    upstream: (session) => startUpstream(session, 'answer-h2'),
    sample: (session, running, seconds) =>
      cpuSample(running, PROXY_CORE, () => h2load(session, running.port, connections, streams, { seconds })),
  };
}

export const h2Wide = smallBodies('h2-10x32', 'uring', WIDE, 0.6);
export const h2Many = smallBodies('h2-100x10', 'uring', { connections: 100, streams: 10 }, 0.75);
export const h2Single = smallBodies('h2-64x1', 'uring', { connections: 64, streams: 1 }, 0.85);
export const h2Epoll = smallBodies('h2-epoll-10x32', 'epoll', WIDE, 1);

export const h2ToH1: Bench = {
  ...smallBodies('h2-to-h1', 'uring', WIDE, 0.85),
  title: 'HTTP/2 → HTTP/1.1, 10 connections × 32 streams',
  contenders: [sluice('sluice', 'uring'), haproxy(), nghttpx(), nginx()],
  work: work(WIDE.connections, 'clients'),
  upstream: (session) => startUpstream(session, 'answer'),
};

const HTTP1_CONNECTIONS = 64;

export const h1ToH2: Bench = {
  ...smallBodies('h1-to-h2', 'uring', WIDE, 0.9),
  title: `HTTP/1.1 → HTTP/2, ${HTTP1_CONNECTIONS} connections`,
  work: work(HTTP1_CONNECTIONS, 'endpoint'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () => wrk(session, running.port, HTTP1_CONNECTIONS, seconds)),
};

const LARGE_BYTES = 16 * 1024 * 1024;
const BULK: Shape = { connections: 4, streams: 4 };

export const h2Bulk: Bench = {
  name: 'h2-bulk',
  title: 'HTTP/2 responses of 16 MiB, 4 connections × 4',
  unit: 'ms CPU/GB',
  measures: 'cpu',
  bar: { limit: 1, ambition: 0.9, rivals: ['haproxy'] },
  contenders: [
    sluice('sluice', 'uring'),
    haproxy(),
    // Shown, not judged: an operator who knows the traffic can give HAProxy larger buffers than its 16 KiB.
    haproxy('haproxy-64k', { buffer: 65_536 }),
    nghttpx(),
  ],
  work: work(BULK.connections, 'both'),
  upstream: (session) => startUpstream(session, 'answer-h2', LARGE_BYTES),
  sample: (session, running, seconds) =>
    cpuSample(
      running,
      PROXY_CORE,
      () => h2loadBulk(session, running.port, BULK.connections, BULK.streams, seconds),
      0.001,
    ),
};

/** `share` of what the slowest sustains: at a half of it a proxy is idle between requests, at four fifths requests queue. */
function latency(name: string, figure: 'mean' | 'p99', share: number): Bench {
  const { connections, streams } = WIDE;
  return latencyBench({
    name,
    title: `HTTP/2, ${figure} at a fixed rate, ${share * 100} % of what the slowest sustains`,
    figure,
    bar: { limit: 1, ambition: 0.9, rivals: ['haproxy'] },
    contenders: [sluice('sluice', 'uring'), haproxy(), direct],
    work: work(connections, 'both'),
    upstream: (session) => startUpstream(session, 'answer-h2'),
    rate: {
      share,
      capacity: (session, { port }) => h2load(session, port, connections, streams, { seconds: 1 }),
    },
    load: (session, { port }, seconds, rate) => fixedRateHttp2(session, port, connections, streams, seconds, rate),
  });
}

export const h2Mean = latency('h2-mean', 'mean', 0.5);
export const h2P99 = latency('h2-p99', 'p99', 0.5);
export const h2BusyMean = latency('h2-mean-busy', 'mean', 0.8);
export const h2BusyP99 = latency('h2-p99-busy', 'p99', 0.8);

// HTTP/1.1: keep-alive, large bodies, new connections, latency at a fixed rate.
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import { direct } from '../../src/harness/subjects/subject.js';
import { type Bench, cpuSample } from '../bench.js';
import { fixedRate, shortConnections, sink, wrk } from '../load.js';
import { patternAt } from '../pattern.js';
import { startFileUpstream } from '../rivals/files.js';
import { meshProxies } from '../rivals/mesh.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { latencyBench } from './latency.js';

export const PROXY_CORE = '1';
const CONNECTIONS = 64;

function keepAlive(name: string, io: 'uring' | 'epoll', limit: number, ambition: number): Bench {
  const work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS } as const;
  return {
    name,
    title: `HTTP/1.1 keep-alive, ${CONNECTIONS} connections (${io})`,
    unit: 'µs CPU/request',
    measures: 'cpu',
    bar: { limit, ambition, rivals: ['nginx'] },
    contenders: [sluice('sluice', io), nginx(), haproxy(), ...meshProxies],
    work,
    upstream: (session) => startUpstream(session, 'answer'),
    sample: (session, running, seconds) =>
      cpuSample(running, work.cores, () => wrk(session, running.port, CONNECTIONS, seconds)),
  };
}

export const h1Uring = keepAlive('h1-uring', 'uring', 0.9, 0.75);
export const h1Epoll = keepAlive('h1-epoll', 'epoll', 1.05, 0.9);

const SERVICES = 5000;

/** What a table's size costs each request: nothing, if nothing loops over it and what is touched lies together. */
export const manyServices: Bench = {
  ...keepAlive('many-services', 'uring', 1.03, 1),
  title: `HTTP/1.1 keep-alive, one of ${SERVICES} services in use`,
  bar: { limit: 1.03, ambition: 1, rivals: ['one-service'] },
  contenders: [sluice('sluice', 'uring', { idleServices: SERVICES - 1 }), sluice('one-service', 'uring')],
};

const LARGE_BYTES = 16 * 1024 * 1024;

/** Serves `/large`, of LARGE_BYTES. Returns its port. */
export function startLargeUpstream(session: Session): Promise<number> {
  writeLargeFile(session);
  return startFileUpstream(session);
}

function writeLargeFile(session: Session): void {
  const file = openSync(join(session.memoryDirectory, 'large'), 'w', 0o644);
  for (let at = 0; at < LARGE_BYTES; ) at += writeSync(file, patternAt(at, LARGE_BYTES - at));
  closeSync(file);
}

const largeWork = { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS } as const;

export const h1Large: Bench = {
  name: 'h1-large',
  title: 'HTTP/1.1 response body of 16 MiB, 4 connections',
  unit: 'ms CPU/GB',
  measures: 'cpu',
  bar: { limit: 0.6, ambition: 0.4, rivals: ['nginx', 'nginx-unbuffered'] },
  contenders: [
    sluice('sluice', 'auto'),
    nginx(),
    nginx('nginx-unbuffered', { buffering: 'unbuffered' }),
    haproxy('haproxy-forced', { splice: 'always' }),
  ],
  work: largeWork,
  upstream: startLargeUpstream,
  sample: (session, running, seconds) =>
    cpuSample(running, largeWork.cores, () => sink(session, 'http', running.port, 4, seconds, LARGE_BYTES), 0.001),
};

function connections(name: string, workers: number, cores: string): Bench {
  const work = { kind: 'http', workers, cores, connections: CONNECTIONS } as const;
  return {
    name,
    title: `New connections, one request each, ${workers} worker${workers > 1 ? 's' : ''}`,
    unit: 'µs CPU/connection',
    measures: 'cpu',
    bar: { limit: 1.05, ambition: 0.8, rivals: ['haproxy'] },
    contenders: [sluice('sluice', 'auto'), nginx(), haproxy()],
    work,
    upstream: (session) => startUpstream(session, 'answer'),
    sample: (session, running, seconds) =>
      cpuSample(running, cores, () => shortConnections(session, running.port, 32, seconds)),
  };
}

export const connect1 = connections('connect-1', 1, PROXY_CORE);
export const connect2 = connections('connect-2', 2, '0,1');

export const latency = latencyBench({
  name: 'latency',
  title: 'p99.9 at a fixed rate, half of what the slowest sustains',
  figure: 'p999',
  bar: null,
  contenders: [sluice('sluice', 'auto'), nginx(), haproxy(), direct],
  work: { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS },
  upstream: (session) => startUpstream(session, 'answer'),
  rate: { share: 0.5, capacity: (session, { port }) => wrk(session, port, CONNECTIONS, 1) },
  load: (session, { port }, seconds, rate) => fixedRate(session, port, CONNECTIONS, seconds, rate),
});

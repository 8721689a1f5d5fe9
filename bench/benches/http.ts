// HTTP/1.1: keep-alive, large bodies, new connections, latency at a fixed rate.
import { closeSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Bench, cpuSample } from '../bench.js';
import { fixedRate, shortConnections, sink, wrk } from '../load.js';
import { patternAt } from '../pattern.js';
import { direct } from '../rivals/contender.js';
import { haproxy } from '../rivals/haproxy.js';
import { nginx, startFileUpstream } from '../rivals/nginx.js';
import { sluice } from '../rivals/sluice.js';
import type { Session } from '../session.js';
import { median } from '../statistics.js';
import { startUpstream } from '../upstreams.js';

export const PROXY_CORE = '1';
const CONNECTIONS = 64;

function keepAlive(name: string, io: 'uring' | 'epoll', limit: number, ambition: number): Bench {
  const work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS } as const;
  return {
    name,
    title: `HTTP/1.1 keep-alive, ${CONNECTIONS} connections (${io})`,
    unit: 'µs CPU/request',
    bar: { limit, ambition, rivals: ['nginx'] },
    contenders: [sluice('sluice', io), nginx(), haproxy()],
    work,
    upstream: (session) => startUpstream(session, 'answer'),
    sample: (session, running, seconds) =>
      cpuSample(running, work.cores, () => wrk(session, running.port, CONNECTIONS, seconds)),
  };
}

export const h1Uring = keepAlive('h1-uring', 'uring', 0.9, 0.75);
export const h1Epoll = keepAlive('h1-epoll', 'epoll', 1.05, 0.9);

const LARGE_BYTES = 16 * 1024 * 1024;

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
  bar: { limit: 0.6, ambition: 0.4, rivals: ['nginx', 'nginx-unbuffered'] },
  contenders: [
    sluice('sluice', 'auto'),
    nginx(),
    nginx('nginx-unbuffered', { buffering: 'unbuffered' }),
    haproxy('haproxy-forced', { splice: 'always' }),
  ],
  work: largeWork,
  upstream(session) {
    writeLargeFile(session);
    return startFileUpstream(session);
  },
  sample: (session, running, seconds) =>
    cpuSample(running, largeWork.cores, () => sink(session, 'http', running.port, 4, seconds, LARGE_BYTES), 0.001),
};

function connections(name: string, workers: number, cores: string): Bench {
  const work = { kind: 'http', workers, cores, connections: CONNECTIONS } as const;
  return {
    name,
    title: `New connections, one request each, ${workers} worker${workers > 1 ? 's' : ''}`,
    unit: 'µs CPU/connection',
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

const latencyWork = { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS } as const;
let fixedRequestsPerSecond = 0;

export const latency: Bench = {
  name: 'latency',
  title: 'p99.9 at a fixed rate, half of what the slowest sustains',
  unit: 'µs',
  bar: null,
  contenders: [sluice('sluice', 'auto'), nginx(), haproxy(), direct],
  work: latencyWork,
  upstream: (session) => startUpstream(session, 'answer'),
  async calibrate(session, running) {
    const rates: number[] = [];
    for (const { name, port } of running) {
      if (name === direct.name) continue;
      const { units, seconds } = await wrk(session, port, CONNECTIONS, 1);
      rates.push(units / seconds);
    }
    fixedRequestsPerSecond = Math.max(1000, Math.floor(Math.min(...rates) / 2 / 500) * 500);
  },
  async sample(session, running, seconds) {
    const rate = fixedRequestsPerSecond || 5000;
    const load = await fixedRate(session, running.port, CONNECTIONS, seconds, rate);
    const extra = { p50: load.p50, p99: load.p99, p999: load.p999, requestsPerSecond: rate };
    return { value: load.p999, errors: load.errors, rate: load.units / load.seconds, extra };
  },
};

/** Medians of the percentiles over a contender's rounds, for the table. */
export function latencyRow(samples: readonly { readonly extra?: Readonly<Record<string, number>> }[]): string {
  const of = (key: string) => median(samples.map((sample) => sample.extra?.[key] ?? Number.NaN)).toFixed(0);
  return `p50 ${of('p50')}  p99 ${of('p99')}  p99.9 ${of('p999')} µs at ${of('requestsPerSecond')}/s`;
}

// TLS 1.3: ended in front of plain endpoints, and spoken between two proxies in a row.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Subject } from '../../src/harness/subjects/subject.js';
import { type Bench, cpuSample } from '../bench.js';
import { h2load, wrk, wrkBulk } from '../load.js';
import { haproxyPair, sluicePair } from '../rivals/pairs.js';
import { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE, startLargeUpstream } from './http.js';

const CONNECTIONS = 64;
const STREAMS = { connections: 10, streams: 32 };

const h1Work = { kind: 'http', tls: 'clients', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS } as const;
const h2Work = { ...h1Work, http2: 'both' } as const;

export const tlsH1: Bench = {
  name: 'tls-h1',
  title: `TLS 1.3, HTTP/1.1 keep-alive, ${CONNECTIONS} connections`,
  unit: 'µs CPU/request',
  measures: 'cpu',
  bar: { limit: 0.75, ambition: 0.6, rivals: ['nginx'] },
  contenders: [sluice('sluice', 'uring'), nginx(), haproxy()],
  work: h1Work,
  upstream: (session) => startUpstream(session, 'answer'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () => wrk(session, running.port, CONNECTIONS, seconds, { scheme: 'https' })),
};

export const tlsH1Epoll: Bench = {
  ...tlsH1,
  name: 'tls-h1-epoll',
  title: `${tlsH1.title} (epoll)`,
  contenders: [sluice('sluice', 'epoll'), nginx(), haproxy()],
};

/** nginx speaks no HTTP/2 to endpoints: it gets one of HTTP/1. */
const nginxToHttp1: Subject = {
  ...nginx(),
  async start(session, work) {
    if (!(session instanceof Session)) throw new Error('the upstream is a program of bench/load');
    return nginx().start(session, { ...work, upstream: await startUpstream(session, 'answer') });
  },
};

export const tlsH2: Bench = {
  name: 'tls-h2',
  title: `TLS 1.3, HTTP/2, ${STREAMS.connections} connections × ${STREAMS.streams} streams`,
  unit: 'µs CPU/request',
  measures: 'cpu',
  bar: { limit: 0.6, ambition: 0.5, rivals: ['nginx', 'haproxy'] },
  contenders: [sluice('sluice', 'uring'), haproxy(), nginxToHttp1],
  work: h2Work,
  upstream: (session) => startUpstream(session, 'answer-h2'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () =>
      h2load(session, running.port, STREAMS.connections, STREAMS.streams, { seconds }, 'https'),
    ),
};

export const tlsLarge: Bench = {
  name: 'tls-large',
  title: 'TLS 1.3, HTTP/1.1 response body of 16 MiB, 4 connections',
  unit: 'ms CPU/GB',
  measures: 'cpu',
  bar: { limit: 0.75, ambition: 0.6, rivals: ['nginx'] },
  contenders: [
    sluice('sluice', 'uring'),
    nginx(),
    nginx('nginx-unbuffered', { buffering: 'unbuffered' }),
    nginx('nginx-untuned', { buffering: 'untuned' }),
    haproxy(),
  ],
  work: h1Work,
  upstream: startLargeUpstream,
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () => wrkBulk(session, running.port, 4, seconds), 0.001),
};

export const tlsHandshake: Bench = {
  name: 'tls-handshake',
  title: 'Full handshakes of TLS 1.3, one request each',
  unit: 'µs CPU/connection',
  measures: 'cpu',
  bar: { limit: 1.1, ambition: 1, rivals: ['nginx'] },
  contenders: [sluice('sluice', 'uring'), nginx(), haproxy()],
  work: h1Work,
  upstream: (session) => startUpstream(session, 'answer'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () => wrk(session, running.port, 32, seconds, { scheme: 'https', close: true })),
};

export const mtlsPairH1: Bench = {
  name: 'mtls-pair-h1',
  title: `Two proxies in a row with mutual TLS, HTTP/1.1, ${CONNECTIONS} connections`,
  unit: 'µs CPU/request',
  measures: 'cpu',
  bar: { limit: 0.9, ambition: 0.75, rivals: ['haproxy-pair'] },
  contenders: [
    sluicePair('sluice-pair', 'uring'),
    haproxyPair(),
    sluicePair('sluice-over-h2', 'uring', { http2: true }),
  ],
  work: { ...h1Work, tls: 'between' },
  upstream: (session) => startUpstream(session, 'answer'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () => wrk(session, running.port, CONNECTIONS, seconds)),
};

export const mtlsPairH2: Bench = {
  name: 'mtls-pair-h2',
  title: `Two proxies in a row with mutual TLS, HTTP/2, ${STREAMS.connections} × ${STREAMS.streams}`,
  unit: 'µs CPU/request',
  measures: 'cpu',
  bar: { limit: 0.9, ambition: 0.6, rivals: ['haproxy-pair'] },
  contenders: [sluicePair('sluice-pair', 'uring'), haproxyPair()],
  work: { ...h2Work, tls: 'between' },
  upstream: (session) => startUpstream(session, 'answer-h2'),
  sample: (session, running, seconds) =>
    cpuSample(running, PROXY_CORE, () =>
      h2load(session, running.port, STREAMS.connections, STREAMS.streams, { seconds }),
    ),
};

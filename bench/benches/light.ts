// Light load: each request is alone, with two wake-ups, cold caches and no batch. What a process costs that has little to do.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { fixedRate, fixedRateHttp2 } from '../load.js';
import { relay } from '../rivals/relay.js';
import { startUpstream } from '../upstreams.js';
import { cpuBench } from './cpu-bench.js';

const H1_RATE = 3000;
const H2_RATE = 4000;
const H1_CONNECTIONS = 64;
const H2_CONNECTIONS = 10;
const H2_STREAMS = 32;

export const h1Light = cpuBench({
  name: 'h1-light',
  title: `HTTP/1.1 at ${H1_RATE} requests a second, ${H1_CONNECTIONS} connections`,
  bar: { limit: 0.9, ambition: 0.75, rivals: ['nginx', 'haproxy'] },
  rivals: [nginx(), haproxy(), relay()],
  connections: H1_CONNECTIONS,
  upstream: (session) => startUpstream(session, 'answer'),
  load: (session, { port }, seconds) => fixedRate(session, port, H1_CONNECTIONS, seconds, H1_RATE),
});

export const h2Light = cpuBench({
  name: 'h2-light',
  title: `HTTP/2 at ${H2_RATE} requests a second, ${H2_CONNECTIONS} connections`,
  bar: { limit: 0.8, ambition: 0.7, rivals: ['haproxy'] },
  rivals: [haproxy(), relay()],
  http2: 'both',
  connections: H2_CONNECTIONS,
  upstream: (session) => startUpstream(session, 'answer-h2'),
  load: (session, { port }, seconds) => fixedRateHttp2(session, port, H2_CONNECTIONS, H2_STREAMS, seconds, H2_RATE),
});

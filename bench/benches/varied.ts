// Traffic in which no two messages are alike: paths, identifiers, times and cookies that never come again, heads of responses too, and
// bodies of 0 to 4 KiB. Bars are for one version on both sides; over the bridges Sluice is held against an older build.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import type { Running } from '../../src/harness/subjects/subject.js';
import type { Bench } from '../bench.js';
import { type Load, varied, variedHttp2 } from '../load.js';
import { relay } from '../rivals/relay.js';
import type { Session } from '../session.js';
import { startVariedUpstream } from '../upstreams.js';
import { type CpuBench, cpuBench } from './cpu-bench.js';

const H1_CONNECTIONS = 64;
const H2_CONNECTIONS = 10;
const H2_STREAMS = 32;

function variedBench(options: Omit<CpuBench, 'connections' | 'upstream' | 'load'>): Bench {
  const { http2 } = options;
  const clients = http2 === 'clients' || http2 === 'both';
  const connections = clients ? H2_CONNECTIONS : H1_CONNECTIONS;
  const load = (session: Session, { port }: Running, seconds: number): Promise<Load> =>
    clients
      ? variedHttp2(session, port, H2_CONNECTIONS, H2_STREAMS, seconds)
      : varied(session, port, H1_CONNECTIONS, seconds);
  const upstream = (session: Session): Promise<number> =>
    startVariedUpstream(session, http2 === 'endpoint' || http2 === 'both');
  return cpuBench({ ...options, connections, upstream, load });
}

export const h1Varied = variedBench({
  name: 'h1-varied',
  title: `HTTP/1.1, all messages different, ${H1_CONNECTIONS} connections`,
  bar: { limit: 0.75, ambition: 0.65, rivals: ['nginx', 'haproxy'] },
  rivals: [nginx(), haproxy(), relay()],
});

export const h2Varied = variedBench({
  name: 'h2-varied',
  title: `HTTP/2, all messages different, ${H2_CONNECTIONS} connections × ${H2_STREAMS} streams`,
  bar: { limit: 0.6, ambition: 0.5, rivals: ['haproxy'] },
  rivals: [haproxy()],
  http2: 'both',
});

export const h1ToH2Varied = variedBench({
  name: 'h1-to-h2-varied',
  title: `HTTP/1.1 → HTTP/2, all messages different, ${H1_CONNECTIONS} connections`,
  bar: null,
  rivals: [haproxy()],
  http2: 'endpoint',
});

export const h2ToH1Varied = variedBench({
  name: 'h2-to-h1-varied',
  title: `HTTP/2 → HTTP/1.1, all messages different, ${H2_CONNECTIONS} connections × ${H2_STREAMS} streams`,
  bar: null,
  rivals: [haproxy()],
  http2: 'clients',
});

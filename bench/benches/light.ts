// Light load: each request is alone, with two wake-ups, cold caches and no batch. What a process costs that has little to do.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running, Subject, Work } from '../../src/harness/subjects/subject.js';
import { type Bar, type Bench, cpuSample } from '../bench.js';
import { fixedRate, fixedRateHttp2 } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import { relay } from '../rivals/relay.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

const H1_RATE = 3000;
const H2_RATE = 4000;
const H1_CONNECTIONS = 64;
const H2_CONNECTIONS = 10;
const H2_STREAMS = 32;

interface Light {
  readonly name: string;
  readonly title: string;
  readonly bar: Bar;
  readonly rivals: readonly Subject[];
  readonly http2?: Work['http2'];
  readonly connections: number;
  load(session: Session, running: Running, seconds: number): ReturnType<typeof fixedRate>;
}

function light({ name, title, bar, rivals, http2, connections, load }: Light): Bench {
  const work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections, ...(http2 ? { http2 } : {}) } as const;
  return {
    name,
    title,
    unit: 'µs CPU/request',
    measures: 'cpu',
    bar,
    contenders: [sluice('sluice', 'auto'), ...rivals, ...meshProxies],
    work,
    upstream: (session) => startUpstream(session, http2 ? 'answer-h2' : 'answer'),
    sample: (session, running, seconds) => cpuSample(running, work.cores, () => load(session, running, seconds)),
  };
}

export const h1Light = light({
  name: 'h1-light',
  title: `HTTP/1.1 at ${H1_RATE} requests a second, ${H1_CONNECTIONS} connections`,
  bar: { limit: 0.9, ambition: 0.75, rivals: ['nginx', 'haproxy'] },
  rivals: [nginx(), haproxy(), relay()],
  connections: H1_CONNECTIONS,
  load: (session, { port }, seconds) => fixedRate(session, port, H1_CONNECTIONS, seconds, H1_RATE),
});

export const h2Light = light({
  name: 'h2-light',
  title: `HTTP/2 at ${H2_RATE} requests a second, ${H2_CONNECTIONS} connections`,
  bar: { limit: 0.8, ambition: 0.7, rivals: ['haproxy'] },
  rivals: [haproxy(), relay()],
  http2: 'both',
  connections: H2_CONNECTIONS,
  load: (session, { port }, seconds) => fixedRateHttp2(session, port, H2_CONNECTIONS, H2_STREAMS, seconds, H2_RATE),
});

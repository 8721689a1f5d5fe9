// Opaque TCP: small messages and bulk.

import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginxStream } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import { type Bench, cpuSample } from '../bench.js';
import { pingpong, sink } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import { relay } from '../rivals/relay.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

const work = { kind: 'tcp', workers: 1, cores: PROXY_CORE, connections: 64 } as const;
const MESSAGE_BYTES = 64;
const PIECE_BYTES = 64 * 1024 * 1024;

export const opaqueSmall: Bench = {
  name: 'opaque-small',
  title: 'Opaque TCP, 64-byte messages, 64 connections',
  unit: 'µs CPU/round trip',
  measures: 'cpu',
  bar: { limit: 0.9, ambition: 0.75, rivals: ['nginx', 'haproxy'] },
  contenders: [sluice('sluice', 'auto'), nginxStream(), haproxy(), relay(), ...meshProxies],
  work,
  upstream: (session) => startUpstream(session, 'echo'),
  sample: (session, running, seconds) =>
    cpuSample(running, work.cores, () => pingpong(session, running.port, 64, seconds, MESSAGE_BYTES)),
};

export const opaqueBulk: Bench = {
  name: 'opaque-bulk',
  title: 'Opaque TCP, bulk, 4 connections',
  unit: 'ms CPU/GB',
  measures: 'cpu',
  bar: { limit: 0.35, ambition: 0.25, rivals: ['haproxy'] },
  contenders: [
    sluice('sluice', 'auto'),
    haproxy('haproxy', { splice: 'auto' }),
    // Shown, not judged: an operator who knows the traffic can force what `splice-auto` has to guess.
    haproxy('haproxy-forced', { splice: 'always' }),
    nginxStream(),
  ],
  work,
  upstream: (session) => startUpstream(session, 'source'),
  sample: (session, running, seconds) =>
    cpuSample(running, work.cores, () => sink(session, 'tcp', running.port, 4, seconds, PIECE_BYTES), 0.001),
};

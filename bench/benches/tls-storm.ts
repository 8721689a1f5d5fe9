// Connections that stand beside a storm of handshakes.

import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running, Subject } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { fixedRateTls, storm } from '../load.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

const BUSY = 64;
/** Requests a second on the busy ones: a tenth of what they could have. */
const RATE = 3000;
/** Handshakes a second asked for. */
const HANDSHAKES = 2000;
const ALONE = '-alone';
/** The storm lasts a little longer than what is measured, at both ends. */
const MARGIN_S = 0.3;

const alone = (contender: Subject): Subject => ({ ...contender, name: `${contender.name}${ALONE}` });

async function sample(session: Session, running: Running, seconds: number): Promise<Sample> {
  const storms = running.name.endsWith(ALONE) ? null : storm(session, running.port, seconds + 2 * MARGIN_S, HANDSHAKES);
  const result = await fixedRateTls(session, running.port, BUSY, seconds, RATE);
  const handshakes = await storms;
  const { mean, p50, p99, p999 } = result;
  return {
    value: p99,
    errors: result.errors,
    rate: result.units / result.seconds,
    extra: { mean, p50, p99, p999, handshakes: handshakes === null ? 0 : handshakes.units / handshakes.seconds },
  };
}

function named(contender: Subject): Subject {
  return {
    ...contender,
    start: async (session, work) => ({ ...(await contender.start(session, work)), name: contender.name }),
  };
}

export const tlsStorm: Bench = {
  name: 'tls-storm',
  title: `p99 of ${BUSY} busy connections beside ${HANDSHAKES} requested handshakes a second`,
  unit: 'µs',
  measures: 'latency',
  bar: { limit: 2, ambition: 1.5, rivals: ['sluice-alone'] },
  contenders: [
    named(sluice('sluice', 'uring')),
    named(alone(sluice('sluice', 'uring'))),
    named(nginx()),
    named(alone(nginx())),
  ],
  work: { kind: 'http', tls: 'clients', workers: 1, cores: PROXY_CORE, connections: BUSY + 2048 },
  upstream: (session) => startUpstream(session, 'answer'),
  // Compilers that are still at work are no part of it.
  async calibrate(session, running, seconds) {
    for (const each of running) await sample(session, each, seconds);
  },
  sample,
};

// User memory of an idle keep-alive connection.
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { memory } from '../../src/harness/cpu.js';
import { haproxy } from '../../src/harness/subjects/haproxy.js';
import { nginx } from '../../src/harness/subjects/nginx.js';
import { sluice } from '../../src/harness/subjects/sluice.js';
import type { Running } from '../../src/harness/subjects/subject.js';
import type { Bench, Sample } from '../bench.js';
import { parseLoad, shortConnections, wrk } from '../load.js';
import { meshProxies } from '../rivals/mesh.js';
import type { Session } from '../session.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

/** What fits in the usual hard limit of 20,000 descriptors, even for a proxy that would hold two per connection. */
const CONNECTIONS = 9000;
/** For what a proxy does when it has nothing to do, such as collecting garbage or closing upstream connections. */
const SETTLE_MS = 1500;
/** Handshakes leave more behind: what a compiler is still at work with, and what is collected. */
const SETTLE_TLS_MS = 6000;

interface Idle {
  readonly name: string;
  readonly title: string;
  readonly connections: number;
  readonly tls: boolean;
  readonly bar: Bench['bar'];
}

function idle({ name, title, connections, tls, bar }: Idle): Bench {
  const work = { kind: 'http', workers: 1, cores: PROXY_CORE, connections } as const;
  return {
    name,
    title: `${title} (${connections} held)`,
    unit: 'bytes/connection',
    measures: 'memory',
    bar,
    contenders: [sluice('sluice', 'auto'), nginx(), haproxy(), ...meshProxies],
    work: tls ? { ...work, tls: 'clients' } : work,
    fresh: true,
    upstream: (session) => startUpstream(session, 'answer'),
    sample: (session, running) => held(session, running, connections, tls),
  };
}

async function held(session: Session, running: Running, count: number, tls: boolean): Promise<Sample> {
  // Traffic first: compiled code, pools and upstream connections are not the price of an idle connection.
  const scheme = tls ? 'https' : 'http';
  const requests = await wrk(session, running.port, 64, 2, { scheme });
  const short = tls
    ? await wrk(session, running.port, 64, 1, { scheme, close: true })
    : await shortConnections(session, running.port, 64, 1);
  await delay(tls ? SETTLE_TLS_MS : SETTLE_MS);
  const before = memory(running.started.pid);
  const program = session.compile('idle', tls);
  const client = session.start('idle', String(session.loadCore), [program, String(running.port), String(count)], {
    stdin: 'pipe',
  });
  const { stdout, stdin } = client.child;
  if (!stdout || !stdin) throw new Error('the idle generator has no pipes');
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const opened = await lines.next();
  if (opened.done) throw new Error(`the idle generator ended early: ${client.stderr()}`);
  await delay(tls ? SETTLE_TLS_MS : SETTLE_MS);
  const after = memory(running.started.pid);
  stdin.end();
  const closed = await lines.next();
  const kept = parseLoad(closed.done ? opened.value : closed.value);
  return {
    value: (after - before) / count,
    errors: requests.errors + short.errors + kept.errors + (count - kept.units) + (closed.done ? 1 : 0),
    extra: { beforeBytes: before, afterBytes: after },
  };
}

export const idleMemory = idle({
  name: 'idle-memory',
  title: 'User memory of an idle connection',
  connections: CONNECTIONS,
  tls: false,
  bar: { limit: 0.75, ambition: 0.5, rivals: ['haproxy'] },
});

export const tlsIdleMemory = idle({
  name: 'tls-idle-memory',
  title: 'User memory of an idle connection with TLS 1.3',
  connections: CONNECTIONS,
  tls: true,
  bar: { limit: 1, ambition: 0.5, rivals: ['nginx'] },
});

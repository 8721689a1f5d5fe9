// User memory of an idle keep-alive connection.
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from '../bench.js';
import { memory } from '../cpu.js';
import { parseLoad, shortConnections, wrk } from '../load.js';
import { haproxy } from '../rivals/haproxy.js';
import { nginx } from '../rivals/nginx.js';
import { sluice } from '../rivals/sluice.js';
import { startUpstream } from '../upstreams.js';
import { PROXY_CORE } from './http.js';

/** What fits in the usual hard limit of 20,000 descriptors, even for a proxy that would hold two per connection. */
const CONNECTIONS = 9000;
/** For what a proxy does when it has nothing to do, such as collecting garbage or closing upstream connections. */
const SETTLE_MS = 1500;

export const idleMemory: Bench = {
  name: 'idle-memory',
  title: `User memory of an idle connection (${CONNECTIONS} held)`,
  unit: 'bytes/connection',
  measures: 'memory',
  bar: { limit: 0.75, ambition: 0.5, rivals: ['haproxy'] },
  contenders: [sluice('sluice', 'auto'), nginx(), haproxy()],
  work: { kind: 'http', workers: 1, cores: PROXY_CORE, connections: CONNECTIONS },
  fresh: true,
  upstream: (session) => startUpstream(session, 'answer'),
  async sample(session, running) {
    // Traffic first: compiled code, pools and upstream connections are not the price of an idle connection.
    const requests = await wrk(session, running.port, 64, 2);
    const connections = await shortConnections(session, running.port, 64, 1);
    await delay(SETTLE_MS);
    const before = memory(running.started.pid);
    const program = session.compile('idle');
    const client = session.start(
      'idle',
      String(session.loadCore),
      [program, String(running.port), String(CONNECTIONS)],
      'pipe',
    );
    const { stdout, stdin } = client.child;
    if (!stdout || !stdin) throw new Error('the idle generator has no pipes');
    const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
    const opened = await lines.next();
    if (opened.done) throw new Error(`the idle generator ended early: ${client.stderr()}`);
    await delay(SETTLE_MS);
    const after = memory(running.started.pid);
    stdin.end();
    const closed = await lines.next();
    const held = parseLoad(closed.done ? opened.value : closed.value);
    return {
      value: (after - before) / CONNECTIONS,
      errors: requests.errors + connections.errors + held.errors + (CONNECTIONS - held.units) + (closed.done ? 1 : 0),
      extra: { beforeBytes: before, afterBytes: after },
    };
  },
};

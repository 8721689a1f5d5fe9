// V8's compilers run only where nothing else wants the core. Where that is never, a worker rests for them.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { answering, client, OK, upstream } from '../support/http.js';
import { availableExecutors, plainSockets, startSluice } from '../support/sluice.js';

/** Requests that are sent at once. */
const BATCH = 50;

/** The first core that this process may use. */
const core = (): string => /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';

for (const io of await availableExecutors())
  test(`${io}: a worker whose core is never free rests for the compilers`, { skip: !plainSockets }, async (t) => {
    const endpoint = await upstream(answering(() => OK));
    t.after(() => endpoint.close());
    const pinned = ['taskset', '-c', core()];
    const sluice = await startSluice(
      `workers: 1
drain: { hold: 0s }
listeners: [{ name: edge, listen: "127.0.0.1:0", service: one }]
services: { one: { protocol: http1, endpoints: ["${endpoint.address}"] } }
`,
      io,
      {},
      pinned,
    );
    t.after(() => sluice.stop());
    const [taskset, ...options] = pinned;
    const busy = spawn(taskset, [...options, process.execPath, '-e', 'for (;;);']);
    t.after(() => busy.kill('SIGKILL'));
    const wire = await client(sluice.port('edge'));
    // Until it has: the test's own limit of time is for a proxy that never does.
    while (!(await rested())) {
      wire.write('GET / HTTP/1.1\r\nhost: one\r\n\r\n'.repeat(BATCH));
      for (let i = 0; i < BATCH; i++) await wire.message();
    }
    async function rested(): Promise<boolean> {
      return Number(/^sluice_worker_rests_total\S* (\d+)/m.exec(await sluice.admin('/metrics'))?.[1]) > 0;
    }
  });

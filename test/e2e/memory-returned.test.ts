// What a burst has used is given back: the process is about as large afterwards as it was before.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

const MiB = 1024 * 1024;
const SESSIONS = 5;
const STREAMS = 100;
const BODY = Buffer.alloc(MiB);

const resident = (sluice: Sluice): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${sluice.pid}/status`, 'utf8'))?.[1]) * 1024;

/** Downloads that are left unread until all of them wait, and then cut. */
async function burst(sluice: Sluice, sessions: number): Promise<void> {
  const clients: ClientHttp2Session[] = [];
  for (let i = 0; i < sessions; i++) {
    const client = connect(`http://127.0.0.1:${sluice.port('in')}`);
    client.on('error', () => undefined);
    clients.push(client);
    await Promise.all(
      Array.from({ length: STREAMS }, async () => {
        const stream = client.request({ ':path': '/' });
        stream.on('error', () => undefined);
        await once(stream, 'response');
      }),
    );
  }
  await eventually(
    async () => (await sluice.metric('sluice_slab_queued_buffers')) >= sessions * STREAMS * 2,
    'all of them wait',
  );
  for (const client of clients) client.destroy();
  await eventually(async () => (await sluice.metric('sluice_slab_queued_buffers')) === 0, 'none waits any more');
}

for (const io of await availableExecutors()) {
  describe(`memory on ${io}`, () => {
    test('is given back after a burst', { timeout: 60_000 }, async () => {
      const server: Server = createServer((_, response) => response.end(BODY));
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const sluice = await startSluice(
        `workers: 1
limits: { slabIdle: 500ms }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out }
services:
  out: { endpoints: ["127.0.0.1:${(server.address() as AddressInfo).port}"], protocol: http1, pool: { maxConnections: 1000 } }
`,
        io,
      );
      try {
        // Code is compiled, tables are touched.
        await burst(sluice, 1);
        await eventually(
          async () => (await sluice.metric('sluice_slab_discarded_total')) > 0,
          'something is given back',
        );
        const before = resident(sluice);
        await burst(sluice, SESSIONS);
        const most = resident(sluice);
        assert.ok(most > before + 8 * MiB, `the burst took ${(most - before) / MiB} MiB`);
        await eventually(() => resident(sluice) <= before * 1.1, 'it is given back', 30_000).catch((error: unknown) => {
          throw new Error(`${before / MiB} MiB before, ${most / MiB} at most, ${resident(sluice) / MiB} MiB after`, {
            cause: error,
          });
        });
      } finally {
        await sluice.stop();
        server.closeAllConnections();
        server.close();
      }
    });
  });
}

// What a burst has used is given back: the process is about as large afterwards as it was before.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

const MiB = 1024 * 1024;
const SESSIONS = 5;
const STREAMS = 100;
const BODY = Buffer.alloc(MiB);

/** Connections of which each says something: enough to be a burst. */
const CONNECTIONS = 3000;
const AT_ONCE = 250;
/** HTTP/2's preface, and SETTINGS without any. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');

const anonymous = (sluice: Sluice): number =>
  Number(/^Anonymous:\s+(\d+) kB/m.exec(readFileSync(`/proc/${sluice.pid}/smaps_rollup`, 'utf8'))?.[1]) * 1024;

/** Opens connections, each of which has an answer, and closes all of them. */
async function connections(sluice: Sluice, count: number): Promise<void> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, count - sockets.length) }, async () => {
        const socket = connectTcp(sluice.port('in'), '127.0.0.1');
        sockets.push(socket);
        socket.write(PREFACE);
        await once(socket, 'data');
      }),
    );
  }
  for (const socket of sockets) socket.destroy();
  await eventually(async () => (await sluice.metric('sluice_worker_sockets')) < 100, 'they are closed');
}

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

    test('is given back when thousands of connections are gone', { timeout: 120_000 }, async () => {
      const sluice = await startSluice(
        `workers: 1
limits: { slabIdle: 500ms }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out }
services:
  out: { endpoints: ["127.0.0.1:9"], protocol: http2 }
`,
        io,
      );
      try {
        await connections(sluice, 100);
        const before = anonymous(sluice);
        await connections(sluice, CONNECTIONS);
        const most = anonymous(sluice);
        assert.ok(most > before + 4 * MiB, `the burst took ${(most - before) / MiB} MiB`);
        await eventually(() => anonymous(sluice) <= before * 1.1, 'it is given back', 60_000).catch(
          (error: unknown) => {
            throw new Error(`${before / MiB} MiB before, ${most / MiB} at most, ${anonymous(sluice) / MiB} MiB after`, {
              cause: error,
            });
          },
        );
        await connections(sluice, 1000);
        const served = await sluice.metric('sluice_http2_connections_total', { role: 'server' });
        assert.equal(served, 100 + CONNECTIONS + 1000);
      } finally {
        await sluice.stop();
      }
    });
  });
}

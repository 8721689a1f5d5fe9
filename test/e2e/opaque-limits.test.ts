// How many opaque connections an endpoint gets, and what their clients and the operator see of that.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { afterEach, describe, test } from 'node:test';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, fate, fullListener, hangUp, listen, read, readAll, readUntil, type TcpServer } from '../support/tcp.js';

interface Setup {
  readonly limit?: number;
  readonly pool?: number;
  readonly servers?: number;
}

async function stage(
  io: Executor,
  setup: Setup,
  run: (sluice: Sluice, servers: readonly TcpServer[]) => Promise<void>,
): Promise<void> {
  const servers = await Promise.all(
    Array.from({ length: setup.servers ?? 1 }, () =>
      listen((socket) =>
        socket
          .on('end', () => socket.end())
          .on('data', (chunk: Buffer) => {
            const http = chunk.toString('latin1').startsWith('GET');
            socket.write(http ? 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' : chunk);
          }),
      ),
    ),
  );
  const sluice = await startSluice(
    `drain: { hold: 0 }
log: { access: true }
limits: { opaque: { ${setup.limit === undefined ? '' : `maxConnections: ${setup.limit}`} } }
listeners:
  - { name: bytes, listen: "127.0.0.1:0", service: out, protocol: opaque }
  - { name: web, listen: "127.0.0.1:0", service: out, protocol: http1 }
  - { name: any, listen: "127.0.0.1:0", service: out }
services:
  out:
    endpoints: ${JSON.stringify(servers.map(({ port }) => `127.0.0.1:${port}`))}
    pool: { maxConnections: ${setup.pool ?? 1024}, maxIdle: 1 }
`,
    io,
  );
  try {
    await run(sluice, servers);
  } finally {
    hangUp();
    await sluice.stop();
    await Promise.all(servers.map((server) => server.close()));
  }
}

/** A GET on a connection that stays open, answered with 200 and `ok`. */
async function get(client: Socket): Promise<void> {
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  const answer = await readUntil(client, /\r\n\r\nok$/);
  assert.match(answer, /^HTTP\/1\.1 200 OK/);
}

async function say(sluice: Sluice, listener: string, words: string): Promise<Socket> {
  const client = await dial(sluice.port(listener));
  client.write(words);
  assert.equal((await read(client, words.length)).toString(), words);
  return client;
}

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    test('the pool of HTTP does not bound them, nor they it', async () => {
      await stage(io, { pool: 1 }, async (sluice) => {
        for (let i = 0; i < 4; i++) await say(sluice, 'bytes', `bytes ${i}`);
        for (let i = 0; i < 3; i++) {
          const client = await dial(sluice.port('web'));
          client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
          assert.match((await readAll(client)).toString(), /^HTTP\/1\.1 200 OK/);
        }
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'pool-connections' }), 0);
      });
    });

    test('a connection that was dialled for a silent client counts in the pool once it serves HTTP', async () => {
      await stage(io, { limit: 1, pool: 1 }, async (sluice, [server]) => {
        const client = await dial(sluice.port('any'));
        await server.next();
        await get(client);
        // The place among the opaque ones is free again, and the pool is full.
        await say(sluice, 'bytes', 'bytes');
        assert.equal(server.sockets.length, 2);
        await get(client);
        assert.equal(server.sockets.length, 2);
      });
    });

    test('a connection that is still being made for a silent client serves it as soon as it speaks HTTP', async () => {
      const full = await fullListener();
      const sluice = await startSluice(
        `drain: { hold: 0 }
listeners: [{ name: any, listen: "127.0.0.1:0", service: out }]
services: { out: { endpoints: ["${full.address}"], connectTimeout: 60s, pool: { maxConnections: 1, maxIdle: 1 } } }
`,
        io,
      );
      try {
        const client = await dial(sluice.port('any'));
        await eventually(async () => (await sluice.metric('sluice_races_started_total', {})) === 1, 'a race');
        client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        await eventually(
          async () => (await sluice.metric('sluice_verdict_total', { verdict: 'http1' })) === 1,
          'the verdict',
        );
        full.open();
        assert.match(await readUntil(client, /\r\n\r\n\S*$/), /^HTTP\/1\.1 200 OK/);
        await get(client);
        assert.equal(await sluice.metric('tcp_open_total', { peer: 'dst' }), 1);
      } finally {
        full.close();
        hangUp();
        await sluice.stop();
      }
    });

    test('beyond limits.opaque.maxConnections a client is reset, for that reason', async () => {
      await stage(io, { limit: 2 }, async (sluice) => {
        const first = await say(sluice, 'bytes', 'one');
        await say(sluice, 'bytes', 'two');
        assert.equal(await fate(sluice.port('bytes')), 'ECONNRESET');
        assert.ok((await sluice.metric('sluice_limit_total', { limit: 'opaque-connections' })) >= 1);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'src', errno: 'limit' }), 1);
        assert.equal(await sluice.metric('tcp_close_total', { errno: 'no-endpoint' }), 0);
        const line = await sluice.logged(({ message, closed }) => message === 'connection' && closed !== 'ok');
        assert.equal(line.closed, 'limit');
        first.resetAndDestroy();
        await eventually(
          async () => (await sluice.metric('tcp_open_connections', { peer: 'dst' })) === 1,
          'the first has closed',
        );
        await say(sluice, 'bytes', 'four');
      });
    });

    test('the endpoint that has room greets the next, where another one is full', async () => {
      const servers = await Promise.all(
        ['one', 'two'].map(() => listen((socket) => socket.on('end', () => socket.end()).write('220 hello'))),
      );
      const sluice = await startSluice(
        `workers: 1
drain: { hold: 0, grace: 100ms }
detect: { timeout: 0 }
limits: { opaque: { maxConnections: 1 } }
listeners: [{ name: any, listen: "127.0.0.1:0", service: out }]
services:
  out: { balance: { policy: round-robin }, endpoints: ${JSON.stringify(servers.map(({ port }) => `127.0.0.1:${port}`))} }
`,
        io,
      );
      try {
        const greeted = async (): Promise<Socket> => {
          const client = await dial(sluice.port('any'));
          assert.equal((await read(client, 9)).toString(), '220 hello');
          return client;
        };
        await greeted();
        // Each time it is the other's turn.
        for (let i = 0; i < 4; i++) {
          (await greeted()).destroy();
          await eventually(
            async () => (await sluice.metric('tcp_open_connections', { peer: 'dst' })) === 1,
            'its place is free again',
          );
        }
      } finally {
        hangUp();
        await sluice.stop();
        await Promise.all(servers.map((server) => server.close()));
      }
    });

    test('the endpoint that has room gets the next', async () => {
      await stage(io, { limit: 1, servers: 2 }, async (sluice, servers) => {
        for (const words of ['one', 'two']) await say(sluice, 'bytes', words);
        assert.deepEqual(
          servers.map(({ sockets }) => sockets.length),
          [1, 1],
        );
      });
    });
  });
}

// An endpoint that does not answer costs its clients a short wait at most: a second one is dialled, and then that one is preferred. The
// connect timeout is far beyond the patience of these tests.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { availableExecutors, type Executor, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, drink, fullListener, hangUp, listen, pour, read, readAll, type TcpServer } from '../support/tcp.js';
import { clean } from './opaque-support.js';

const CLIENTS = 8;

interface Setup {
  readonly protocol?: string;
  readonly service?: string;
  /** Endpoints that drop SYNs. */
  readonly silent?: number;
}

interface Cast {
  readonly sluice: Sluice;
  readonly server: TcpServer;
}

async function stage(io: Executor, setup: Setup, server: TcpServer, run: (cast: Cast) => Promise<void>): Promise<void> {
  const silent = await Promise.all(Array.from({ length: setup.silent ?? 1 }, () => fullListener()));
  const endpoints = [...silent.map(({ address }) => address), `127.0.0.1:${server.port}`];
  const sluice = await startSluice(
    `drain: { hold: 0 }
detect: { timeout: 0 }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out, protocol: ${setup.protocol ?? 'opaque'} }
services:
  out: { endpoints: ${JSON.stringify(endpoints)}, ${/connectTimeout/.test(setup.service ?? '') ? '' : 'connectTimeout: 1h, '}${setup.service ?? ''} }
`,
    io,
  );
  try {
    await run({ sluice, server });
  } finally {
    hangUp();
    await sluice.stop();
    for (const { close } of silent) close();
    await server.close();
  }
}

const echo = (): Promise<TcpServer> => listen((socket) => socket.pipe(socket));

for (const io of await availableExecutors()) {
  describe(io, () => {
    afterEach(hangUp);

    test('clients in a row are served, and few of them meet the endpoint that does not answer', async () => {
      await stage(io, {}, await echo(), async ({ sluice }) => {
        for (let i = 0; i < CLIENTS; i++) {
          const client = await dial(sluice.port('in'));
          client.write(`hello ${i}`);
          assert.equal((await read(client, 7)).toString(), `hello ${i}`);
        }
        const hedges = await sluice.metric('sluice_hedges_total');
        assert.ok(hedges >= 1 && hedges <= 3, `${hedges} of ${CLIENTS} were raced`);
        assert.equal(await sluice.metric('sluice_hedges_won_total'), hedges);
        // The loser has not failed, nor has it worked.
        assert.equal(await sluice.metric('sluice_endpoint_connect_failures_total'), 0);
        assert.equal(await sluice.metric('tcp_close_total', { peer: 'dst', errno: 'ok' }), hedges);
        hangUp();
        await clean(sluice);
      });
    });

    test('clients that come together are served', async () => {
      await stage(io, {}, await echo(), async ({ sluice }) => {
        await Promise.all(
          Array.from({ length: 40 }, async (_, i) => {
            const client = await dial(sluice.port('in'));
            client.end(`${i}:`.repeat(i * 300));
            assert.equal((await readAll(client)).toString(), `${i}:`.repeat(i * 300));
          }),
        );
        await clean(sluice);
      });
    });

    test('what the client has sent meanwhile, and its end, reach the endpoint that was faster', async () => {
      const size = 8 << 20;
      await stage(io, { service: 'balance: { policy: round-robin }' }, await listen(), async ({ sluice, server }) => {
        for (let i = 0; i < 2; i++) {
          const client = await dial(sluice.port('in'));
          const sent = pour(client, i, size).then((digest) => {
            client.end();
            return digest;
          });
          const upstream = await server.next();
          assert.equal(await drink(upstream, size), await sent);
          upstream.end('thanks');
          assert.equal((await readAll(client)).toString(), 'thanks');
        }
        assert.ok((await sluice.metric('sluice_hedges_total')) >= 1);
        await clean(sluice);
      });
    });

    test('two endpoints that do not answer are overcome one after the other', async () => {
      await stage(
        io,
        { silent: 2, service: 'connectTimeout: 600ms, hedgeDelay: 50ms' },
        await echo(),
        async ({ sluice }) => {
          for (let i = 0; i < CLIENTS; i++) {
            const client = await dial(sluice.port('in'));
            client.write('hello');
            assert.equal((await read(client, 5)).toString(), 'hello');
          }
          hangUp();
          await clean(sluice);
        },
      );
    });

    test('a client that leaves meanwhile takes both dials with it', async () => {
      await stage(
        io,
        { silent: 2, service: 'hedgeDelay: 20ms, balance: { policy: round-robin }' },
        await listen(),
        async ({ sluice }) => {
          const clients = await Promise.all([0, 1, 2].map(() => dial(sluice.port('in'))));
          await eventually(async () => (await sluice.metric('sluice_hedges_total')) > 0, 'a second dial is made');
          for (const client of clients) client.resetAndDestroy();
          await clean(sluice);
        },
      );
    });

    test('a silent client is greeted by the one that answers', async () => {
      const greeter = await listen((socket) => socket.write('hello'));
      await stage(io, { protocol: 'detect' }, greeter, async ({ sluice }) => {
        for (let i = 0; i < CLIENTS; i++) {
          assert.equal((await read(await dial(sluice.port('in')), 5)).toString(), 'hello');
        }
      });
    });

    test('HTTP/1 requests are answered by the one that answers', async () => {
      const server = await listen((socket) => {
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'));
      });
      await stage(
        io,
        { protocol: 'http1', service: 'balance: { policy: round-robin }' },
        server,
        async ({ sluice }) => {
          for (let i = 0; i < CLIENTS; i++) {
            const client = await dial(sluice.port('in'));
            client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\n${1000 + i}`);
            assert.match((await readAll(client)).toString(), /^HTTP\/1\.1 200 OK/);
          }
          assert.ok((await sluice.metric('sluice_hedges_won_total')) >= 1);
          assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
          assert.equal(await sluice.metric('sluice_endpoint_connect_failures_total'), 0);
        },
      );
    });

    test('without a hedge the connect timeout decides', async () => {
      const service = 'hedgeDelay: 0, connectTimeout: 300ms, balance: { policy: round-robin }';
      await stage(io, { service }, await echo(), async ({ sluice }) => {
        for (let i = 0; i < 2; i++) {
          const client = await dial(sluice.port('in'));
          client.write('hello');
          assert.equal((await read(client, 5)).toString(), 'hello');
        }
        assert.equal(await sluice.metric('sluice_hedges_total'), 0);
        assert.ok((await sluice.metric('tcp_close_total', { peer: 'dst', errno: 'timeout' })) >= 1);
      });
    });
  });
}

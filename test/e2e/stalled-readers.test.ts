// Readers that stop reading while their servers go on publishing: what waits for them is bounded by what it costs, and their neighbours
// notice nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, hangUp, listen, type TcpServer } from '../support/tcp.js';

const READERS = 60;
const MESSAGE = 200;
const ROUNDS = 400;

/** Somebody who publishes, and whoever reads it. */
interface Subscription {
  publish(bytes: Buffer): void;
  end(): void;
  /** Everything that was published, read to its end. */
  read(): Promise<string>;
}

interface Publisher {
  readonly port: number;
  subscribe(port: number): Promise<Subscription>;
  close(): Promise<unknown>;
}

const digest = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
};

async function opaque(): Promise<Publisher> {
  const server: TcpServer = await listen();
  return {
    port: server.port,
    subscribe: async (port) => {
      const client: Socket = await dial(port);
      const upstream = await server.next();
      return {
        publish: (bytes) => upstream.write(bytes),
        end: () => upstream.end(),
        read: () => digest(client).finally(() => client.destroy()),
      };
    },
    close: () => server.close(),
  };
}

async function events(): Promise<Publisher> {
  const responses: ServerResponse[] = [];
  const server: Server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    response.socket?.setNoDelay(true);
    responses.push(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    subscribe: async (port) => {
      const request = get({ port, host: '127.0.0.1', agent: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const publisher = responses.shift();
      assert.ok(publisher !== undefined);
      return {
        publish: (bytes) => publisher.write(bytes),
        end: () => publisher.end(),
        read: () => digest(response),
      };
    },
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

const KINDS = [
  ['bytes', 'opaque', opaque],
  ['events of HTTP/1', 'http1', events],
] as const;

for (const io of await availableExecutors()) {
  for (const [what, protocol, make] of KINDS) {
    describe(`${READERS} stalled readers of ${what} on ${io}`, () => {
      let publisher: Publisher;
      let neighbour: Server;
      let sluice: Sluice;
      before(async () => {
        publisher = await make();
        neighbour = createServer((_, response) => response.end('ok'));
        neighbour.listen(0, '127.0.0.1');
        await once(neighbour, 'listening');
        sluice = await startSluice(
          `workers: 1
limits: { slab: 4MiB, maxPipes: 0 }
listeners:
  - { name: in, listen: "127.0.0.1:0", service: out, protocol: ${protocol} }
  - { name: beside, listen: "127.0.0.1:0", service: neighbour }
services:
  out: { endpoints: ["127.0.0.1:${publisher.port}"] }
  neighbour: { endpoints: ["127.0.0.1:${(neighbour.address() as AddressInfo).port}"] }
`,
          io,
        );
      });
      after(async () => {
        hangUp();
        await sluice.stop();
        await publisher.close();
        neighbour.closeAllConnections();
        neighbour.close();
      });

      const ask = async (): Promise<number> =>
        (await fetch(`http://127.0.0.1:${sluice.port('beside')}/`, { signal: AbortSignal.timeout(30_000) })).status;
      /** Whether Sluice holds something for everybody, and publishers back: the kernel takes no more. */
      const holds = async (): Promise<boolean> =>
        (await sluice.metric('sluice_slab_queued_buffers')) >= READERS &&
        (await sluice.metric('sluice_backpressure_total')) > 0;

      test('hold a share of the slab each, cost their neighbours no buffer, and miss nothing', async () => {
        const readers: Subscription[] = [];
        for (let i = 0; i < READERS; i++) readers.push(await publisher.subscribe(sluice.port('in')));
        const sent = createHash('sha256');
        const publish = (bytes: Buffer): void => {
          sent.update(bytes);
          for (const reader of readers) reader.publish(bytes);
        };
        const block = Buffer.alloc(64 * 1024);
        for (let round = 0, held = 0; held < 5; held = (await holds()) ? held + 1 : 0) {
          // What is written while it is held already waits with its publisher, and comes as it is read.
          if (held === 0) publish(block.fill(round++));
        }
        const message = Buffer.alloc(MESSAGE);
        for (let i = 0; i < ROUNDS; i++) {
          publish(message.fill(i));
          await new Promise((resolve) => setImmediate(resolve));
          if (i % 20 === 0) assert.equal(await ask(), 200);
        }
        const buffers = await sluice.metric('sluice_slab_buffers');
        const free = await sluice.metric('sluice_slab_free_buffers');
        // Receives leave an eighth for what is to be sent: there must be more.
        assert.ok(free > buffers >> 3, `${free} of ${buffers} buffers are free`);
        assert.ok((await sluice.metric('sluice_backpressure_total')) > 0, 'publishers are held back');
        const got = readers.map((reader) => reader.read());
        for (const reader of readers) reader.end();
        const expected = sent.digest('hex');
        for (const hash of await Promise.all(got)) assert.equal(hash, expected);
        await eventually(
          async () => (await sluice.metric('sluice_slab_queued_buffers')) === 0,
          'nothing is held any more',
        );
      });
    });
  }
}

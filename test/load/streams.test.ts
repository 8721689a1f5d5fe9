// Loads of bytes that are no HTTP, and of WebSocket messages, on servers of Node's and of ws.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import { runLoad, UnreachableError } from '../../src/load/run.js';
import { Enough, httpServer, loadPlan, runToEnd, target, tcpServer } from '../support/load.js';
import { availableExecutors } from '../support/sluice.js';

for (const io of await availableExecutors()) {
  describe(`a load over TCP (${io})`, () => {
    for (const bodyBytes of [1, 300_000])
      it(`counts round trips of ${bodyBytes} octets`, async () => {
        const enough = new Enough(0);
        let echoed = 0;
        const server = await tcpServer((socket) =>
          socket.on('data', (piece: Buffer) => {
            echoed += piece.length;
            if (echoed >= 50 * bodyBytes) enough.end();
            socket.write(piece);
          }),
        );
        const result = await enough.run(loadPlan([target(server.port)], { io, protocol: 'tcp', bodyBytes }));
        await server.close();
        assert.deepEqual(result.errors, {});
        assert.ok(result.done >= 40, `${result.done}`);
        assert.deepEqual(result.statuses, {});
        assert.equal(result.latency.count, result.done);
      });

    it('counts octets that are sent, as many as go through', async () => {
      const enough = new Enough(0);
      let came = 0;
      const server = await tcpServer((socket) =>
        socket.on('data', (piece: Buffer) => {
          came += piece.length;
          if (came > 5_000_000) enough.end();
        }),
      );
      const result = await enough.run(loadPlan([target(server.port)], { io, protocol: 'tcp-bulk', bodyBytes: 65_536 }));
      await server.close();
      assert.deepEqual(result.errors, {});
      assert.ok(result.done > 4_000_000, `${result.done}`);
    });
  });

  describe(`a load of WebSocket messages (${io})`, () => {
    for (const bodyBytes of [0, 64, 1000, 100_000])
      it(`counts those of ${bodyBytes} octets that come back`, async () => {
        const enough = new Enough(60);
        const server = createServer();
        const sockets = new WebSocketServer({ server, path: '/chat' });
        let pongs = 0;
        sockets.on('connection', (socket) => {
          socket.on('error', () => undefined);
          socket.ping('are you there?');
          socket.on('pong', (data: Buffer) => {
            assert.equal(String(data), 'are you there?');
            pongs++;
          });
          socket.on('message', (data: Buffer, binary: boolean) => {
            assert.equal(data.length, bodyBytes);
            enough.happened();
            socket.send(data, { binary });
          });
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        const { port } = server.address() as AddressInfo;
        const plan = loadPlan([target(port, { path: '/chat' })], { io, protocol: 'websocket', bodyBytes });
        const result = await enough.run(plan);
        for (const socket of sockets.clients) socket.terminate();
        await new Promise((resolve) => server.close(resolve));
        assert.deepEqual(result.errors, {});
        assert.ok(result.done >= 50, `${result.done}`);
        assert.equal(pongs, 4);
      });
  });
}

it('a load over TCP counts octets that come, where nothing is to be sent', async () => {
  const server = await tcpServer((socket) => {
    const more = (): boolean => socket.writable && socket.write(Buffer.alloc(100_000), () => more());
    more();
  });
  const stop = new AbortController();
  const enough = ({ done }: { readonly done: number }): void => {
    if (done > 1_000_000) stop.abort();
  };
  const result = await runLoad(loadPlan([target(server.port)], { protocol: 'tcp-bulk' }), enough, stop.signal);
  await server.close();
  assert.deepEqual(result.errors, {});
  assert.ok(result.bytesWritten === 0 && result.bytesRead >= result.done);
});

describe('a load of WebSocket messages', () => {
  it('does not begin on a server that does not switch', async () => {
    const server = await httpServer((_, response) => response.writeHead(404).end());
    const plan = loadPlan([target(server.port)], { protocol: 'websocket', bodyBytes: 1 });
    await assert.rejects(runToEnd(plan), (error) => error instanceof UnreachableError && error.errors.status === 4);
    await server.close();
  });
});

it('a server that wants more back than a ping may have breaks the rules of WebSocket', async () => {
  const server = createServer();
  server.on('upgrade', (request, socket) => {
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash('sha1').update(key).digest('base64');
    const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';
    socket.on('error', () => undefined);
    // The header of a ping of 4 GiB, and the beginning of its payload.
    socket.write(`${switched}Sec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.write(Buffer.from([0x89, 127, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3]));
  });
  const sockets = new Set<Duplex>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const plan = loadPlan([target(port)], { protocol: 'websocket', bodyBytes: 1, seconds: 0.2 });
  // Whether it is seen before the load begins is open.
  const errors = await runToEnd(plan).then(
    (result) => result.errors,
    (error) => (error instanceof UnreachableError ? error.errors : {}),
  );
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(errors.protocol >= 4, JSON.stringify(errors));
});

it('a server that answers more than it was sent breaks the rules of ping-pong', async () => {
  const enough = new Enough(4);
  const server = await tcpServer((socket) =>
    socket.on('data', () => {
      enough.happened();
      socket.write('far too much');
    }),
  );
  const result = await enough.run(loadPlan([target(server.port)], { protocol: 'tcp', bodyBytes: 2, connections: 1 }));
  await server.close();
  assert.ok(result.errors.protocol >= 3, JSON.stringify(result.errors));
});

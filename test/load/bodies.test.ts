// Bodies of a file: what is sent is that, on each protocol, whole and in order.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import type { LoadPlan } from '../../src/load/plan.js';
import { DEFAULT_HANDLERS, grpcEndpoint } from '../support/grpc.js';
import { Enough, http2Server, httpServer, loadPlan, target, tcpServer } from '../support/load.js';

/** No two pieces of it are alike. */
function octets(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0, state = 1; i < length; i++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

const named = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('a body of a file', () => {
  for (const length of [0, 5000, 700_001]) {
    const body = octets(length);
    const more: Partial<LoadPlan> = { body, bodyBytes: length, method: 'POST', connections: 2, streams: 1 };
    const seen = new Set<string>();
    const run = async (enough: Enough, port: number, also: Partial<LoadPlan>): Promise<void> => {
      const result = await enough.run(loadPlan([target(port, { path: '/peers.Peers/Unary' })], { ...more, ...also }));
      assert.deepEqual(result.errors, {});
      assert.ok(result.done >= 2, `${result.done}`);
      assert.deepEqual([...seen], [named(body)]);
      seen.clear();
    };

    for (const protocol of ['http1', 'http2'] as const)
      it(`of ${length} octets is sent over ${protocol}`, async () => {
        const enough = new Enough(5);
        const serve = protocol === 'http1' ? httpServer : http2Server;
        const server = await serve((request, response) => {
          const pieces: Buffer[] = [];
          request.on('data', (piece: Buffer) => pieces.push(piece));
          request.once('end', () => {
            const whole = Buffer.concat(pieces);
            // What the end of the load has cut off.
            if (whole.length !== length) return;
            seen.add(named(whole));
            enough.happened();
            response.end();
          });
        });
        await run(enough, server.port, { protocol });
        await server.close();
      });

    it(`of ${length} octets is a message of gRPC`, async () => {
      const enough = new Enough(5);
      const server = await grpcEndpoint({
        unary: (call, answer) => {
          seen.add(named(call.request));
          enough.happened();
          DEFAULT_HANDLERS.unary(call, answer);
        },
      });
      await run(enough, server.port, { protocol: 'grpc' });
      server.close();
    });

    it(`of ${length} octets is a message of WebSocket`, async () => {
      const enough = new Enough(5);
      const server = createServer();
      const sockets = new WebSocketServer({ server });
      const kinds = new Set<boolean>();
      sockets.on('connection', (socket) => {
        socket.on('error', () => undefined);
        socket.on('message', (data: Buffer, binary: boolean) => {
          kinds.add(binary);
          seen.add(named(data));
          enough.happened();
          socket.send(data, { binary });
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      await run(enough, (server.address() as AddressInfo).port, { protocol: 'websocket' });
      for (const socket of sockets.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
      // Text is what is valid UTF-8.
      assert.deepEqual([...kinds], [length > 0]);
    });

    if (length > 0)
      it(`of ${length} octets goes over TCP`, async () => {
        const enough = new Enough(5);
        const server = await tcpServer((socket) => {
          let pieces: Buffer[] = [];
          let came = 0;
          socket.on('data', (piece: Buffer) => {
            pieces.push(piece);
            came += piece.length;
            if (came < length) return;
            seen.add(named(Buffer.concat(pieces)));
            socket.write(Buffer.concat(pieces));
            [pieces, came] = [[], 0];
            enough.happened();
          });
        });
        await run(enough, server.port, { protocol: 'tcp' });
        await server.close();
      });
  }
});

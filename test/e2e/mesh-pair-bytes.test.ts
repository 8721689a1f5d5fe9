// Much at once through two Sluices with mutual TLS between them, in both directions, and WebSockets; nothing is lost or changed.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { sha1, slice } from '../support/content.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { dial, drink, ended, listen, pour, type TcpServer } from '../support/tcp.js';
import { FAR, Mesh, startFar, startNear, stopAll, type Tap, tap } from './mesh-support.js';

const MANY = 48 << 20;
const local = ({ port }: TcpServer): string => `127.0.0.1:${port}`;
const WORD = 'nobody may read this';

/** Listeners of `near`, by the way that connections take to `far`. */
const WAYS = [
  ['as they are', 'bytes', 'words'],
  ['by the opaque transport', 'bytes-by-transport', 'words-by-transport'],
] as const;

for (const io of await availableExecutors())
  describe(`bytes through a pair of the mesh (${io})`, () => {
    let mesh: Mesh;
    let server: TcpServer;
    let words: TcpServer;
    let far: Sluice;
    let near: Sluice;
    let onward: Tap;
    let accepted: ((socket: Socket) => void)[] = [];

    before(async () => {
      mesh = await Mesh.make();
      server = await listen((socket) => accepted.shift()?.(socket));
      words = await listen((socket) => {
        socket.write(`220 ${WORD}\r\n`);
        socket.pipe(socket);
      });
      far = await startFar(mesh, io, { bytes: { address: local(server) }, words: { address: local(words) } });
      onward = await tap(far.port('words'));
      const by = (port: number): string => `identity: ${FAR}, proxy: { port: ${port} }`;
      near = await startNear(mesh, io, {
        bytes: { address: `127.0.0.1:${far.port('bytes')}` },
        words: { address: `127.0.0.1:${onward.port}` },
        'bytes-by-transport': { address: local(server), endpoint: by(far.port('bytes')) },
        'words-by-transport': { address: local(words), endpoint: by(onward.port) },
      });
    });
    after(async () => {
      await stopAll();
      await server?.close();
      await words?.close();
      onward?.close();
      mesh?.remove();
    });

    for (const [way, bytesPort, wordsPort] of WAYS) {
      it(`arrive as they were sent, both ways at once, and each direction ends by itself, ${way}`, async () => {
        const other = new Promise<Socket>((resolve) => accepted.push(resolve));
        const client = await dial(near.port(bytesPort));
        // Its first bytes say what it speaks: nothing that is known.
        client.write(Buffer.of(0, 1, 2, 3));
        const peer = await other;
        const [head] = (await once(peer, 'data')) as [Buffer];
        assert.deepEqual([...head], [0, 1, 2, 3]);
        const up = drink(peer, MANY);
        const down = drink(client, MANY);
        const [sentUp, sentDown] = await Promise.all([pour(client, 1, MANY), pour(peer, 2, MANY)]);
        assert.deepEqual(await Promise.all([up, down]), [sentUp, sentDown]);
        const peerEnds = once(peer, 'end');
        client.end();
        await peerEnds;
        peer.end('last words');
        const [last] = (await once(client, 'data')) as [Buffer];
        assert.equal(last.toString(), 'last words');
        assert.equal(await ended(client), 'end');
      });

      it(`of servers that speak first are never seen on the way, ${way}`, async () => {
        for (let at = 0; at < 50; at++) {
          const client = await dial(near.port(wordsPort));
          const [hello] = (await once(client, 'data')) as [Buffer];
          assert.equal(hello.toString(), `220 ${WORD}\r\n`);
          const gone = ended(client);
          client.end(at % 2 === 0 ? '' : WORD);
          await gone;
        }
        assert.ok(onward.bytes().length > 50 * WORD.length);
        assert.ok(!onward.bytes().includes(WORD));
      });

      it(`of a WebSocket keep their messages, ${way}`, async () => {
        const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 26 });
        const http = createServer();
        http.on('upgrade', (request, socket, head) =>
          sockets.handleUpgrade(request, socket, head, (socket) =>
            socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
          ),
        );
        accepted = Array.from({ length: 4 }, () => (socket: Socket) => void http.emit('connection', socket));
        const socket = new WebSocket(`ws://127.0.0.1:${near.port(bytesPort)}/`, { maxPayload: 1 << 26 });
        await once(socket, 'open');
        for (const length of [0, 1, 125, 126, 65_535, 65_536, 1 << 20]) {
          const sent = slice(length, 0, length);
          socket.send(sent);
          const [data] = (await once(socket, 'message')) as [Buffer];
          assert.equal(sha1(data), sha1(sent));
        }
        socket.close();
        await once(socket, 'close');
        sockets.close();
        accepted = [];
      });
    }

    it('for a peer whose hello is late are inside of TLS all the same, the first time and later', async () => {
      const own = await mesh.workload('near');
      for (let at = 0; at < 2; at++) {
        const plain = await dial(far.port('words'));
        // Long enough for a client that waits for a greeting on any other listener.
        await new Promise((resolve) => setTimeout(resolve, 200));
        const options = { cert: own.chain, key: own.key, ca: mesh.pki.anchor, servername: FAR };
        const secure = connectTls({ socket: plain, ...options });
        const [hello] = (await once(secure, 'data')) as [Buffer];
        assert.equal(hello.toString(), `220 ${WORD}\r\n`);
        secure.destroy();
      }
    });
  });

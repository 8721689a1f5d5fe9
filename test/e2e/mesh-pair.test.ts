// Two Sluices in a row with mutual TLS between them: everything that works through one works through both, and nothing of it can be read
// on the way. By the three ways in which connections may go: as they are, by the opaque transport, and with HTTP/1 carried over HTTP/2.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { GrpcClient, type GrpcEndpoint, grpcEndpoint } from '../support/grpc.js';
import { client, exchange } from '../support/http.js';
import { Http2Client, type Http2Endpoint, http2Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { dial, ended, listen, read, readAll, type TcpServer } from '../support/tcp.js';
import { type Apps, FAR, Mesh, startFar, startNear, stopAll, type Tap, tap } from './mesh-support.js';

const SECRET = 'nobody-may-read-this';
const WAYS = {
  'as they are': '',
  'by the opaque transport': 'port',
  'with HTTP/1 over HTTP/2': 'http2',
} as const;

/** An HTTP/1 server that says what it was asked, and agrees to upgrades. */
async function http1App(): Promise<Server> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { url, httpVersion, rawHeaders } = request;
      response.setHeader('x-asked', JSON.stringify({ url, httpVersion, rawHeaders }));
      response.setHeader('trailer', 'x-sum');
      response.write(Buffer.concat(chunks));
      response.addTrailers({ 'x-sum': 'kept' });
      response.end(SECRET);
    });
  });
  server.on('upgrade', (_request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n');
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

for (const io of await availableExecutors()) {
  for (const [name, way] of Object.entries(WAYS)) {
    describe(`a pair of the mesh, ${name} (${io})`, () => {
      let mesh: Mesh;
      let http1: Server;
      let http2: Http2Endpoint;
      let grpc: GrpcEndpoint;
      let first: TcpServer;
      let tls: TlsServer;
      let far: Sluice;
      let near: Sluice;
      const taps: Tap[] = [];

      before(async () => {
        mesh = await Mesh.make();
        http1 = await http1App();
        http2 = await http2Endpoint();
        grpc = await grpcEndpoint();
        first = await listen((socket) => {
          socket.write('220 I speak first\n');
          socket.pipe(socket);
        });
        const own = await mesh.pki.leaf({ dns: ['app.example'] });
        tls = createTlsServer({ key: own.key, cert: own.chain }, (socket) => socket.pipe(socket));
        tls.listen(0, '127.0.0.1');
        await once(tls, 'listening');
        const port = (server: Server | TlsServer): number => (server.address() as AddressInfo).port;
        const ports = { http1: port(http1), http2: http2.port, grpc: grpc.port, first: first.port, tls: port(tls) };
        const apps = Object.fromEntries(
          Object.entries(ports).map(([app, at]) => [app, { address: `127.0.0.1:${at}` }] as const),
        );
        far = await startFar(mesh, io, apps);
        const nearApps: [string, Apps[string]][] = [];
        for (const [app, at] of Object.entries(ports)) {
          const listening = await tap(far.port(app));
          taps.push(listening);
          const direct = way === 'port' ? at : listening.port;
          const proxy =
            way === 'port' ? `, proxy: { port: ${listening.port} }` : way === 'http2' ? ', proxy: { http2: true }' : '';
          nearApps.push([app, { address: `127.0.0.1:${direct}`, endpoint: `identity: ${FAR}${proxy}` }]);
        }
        near = await startNear(mesh, io, Object.fromEntries(nearApps));
      });

      after(async () => {
        await stopAll();
        http1?.close();
        http1?.closeAllConnections();
        await http2?.close();
        grpc?.close();
        await first?.close();
        tls?.close();
        for (const one of taps) one.close();
        mesh?.remove();
      });

      it('carries HTTP/1: lengths, chunks, trailers, keep-alive', async () => {
        const wire = await client(near.port('http1'));
        for (let i = 0; i < 3; i++) {
          wire.write(`GET /a?b=${i} HTTP/1.1\r\nHost: app.example\r\nX-Own: ${SECRET}\r\n\r\n`);
          const answer = await wire.message();
          assert.equal(answer.status, 200);
          assert.equal(answer.body.toString(), SECRET);
          const asked = JSON.parse(answer.field('x-asked') ?? '') as {
            url: string;
            httpVersion: string;
            rawHeaders: string[];
          };
          assert.equal(asked.url, `/a?b=${i}`);
          assert.equal(asked.httpVersion, '1.1');
          assert.ok(!asked.rawHeaders.some((text) => /l5d-orig-proto/i.test(text)), asked.rawHeaders.join());
          assert.equal(answer.field('l5d-orig-proto'), null);
        }
        const body = 'x'.repeat(100_000);
        wire.write(
          `POST /post HTTP/1.1\r\nHost: app.example\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
        );
        const answer = await wire.message();
        assert.equal(answer.body.length, body.length + SECRET.length);
        wire.write(`POST /post HTTP/1.1\r\nHost: app.example\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
        assert.equal((await wire.message()).body.length, body.length + SECRET.length);
        wire.destroy();
      });

      it('keeps the form of the target, and answers HTTP/1.0', async () => {
        const message = await exchange(
          near.port('http1'),
          'GET http://app.example/whole HTTP/1.1\r\nHost: app.example\r\n\r\n',
        );
        const asked = JSON.parse(message.field('x-asked') ?? '') as { url: string };
        // Directly it would go on in origin form, as RFC 9112 section 3.2.2 has it.
        assert.equal(asked.url, way === 'http2' ? 'http://app.example/whole' : '/whole');
        const old = await exchange(near.port('http1'), 'GET /old HTTP/1.0\r\n\r\n');
        assert.equal(old.status, 200);
        assert.equal(old.body.toString(), SECRET);
      });

      it('carries Upgrade', async () => {
        const wire = await client(near.port('http1'));
        wire.write('GET /chat HTTP/1.1\r\nHost: app.example\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n');
        const answer = await wire.message();
        assert.equal(answer.status, 101);
        wire.write(SECRET);
        assert.equal((await wire.read(SECRET.length)).toString(), SECRET);
        wire.destroy();
      });

      it('carries HTTP/2', async () => {
        const peer = await Http2Client.open(near.port('http2'));
        const replies = await Promise.all(
          Array.from({ length: 8 }, (_, i) => peer.ask({ ':path': `/${i}`, 'x-own': SECRET })),
        );
        for (const { status } of replies) assert.equal(status, 200);
        peer.close();
      });

      it('carries gRPC', async () => {
        const calls = new GrpcClient(near.port('grpc'));
        const { messages, status } = await calls.unary(Buffer.from(SECRET));
        assert.equal(status.code, 0);
        assert.equal(messages[0].toString(), SECRET);
        calls.close();
      });

      it('carries a server that speaks first, and ends of each direction', async () => {
        const socket = await dial(near.port('first'));
        assert.equal((await read(socket, 18)).toString(), '220 I speak first\n');
        socket.end(SECRET);
        assert.equal((await readAll(socket)).toString(), SECRET);
      });

      it('counts octets of the application, and none of what comes before them', async () => {
        const said = (): Promise<number> => far.metric('tcp_read_bytes_total', { peer: 'src', direction: 'inbound' });
        const before = await said();
        const socket = await dial(near.port('first'));
        await read(socket, 18);
        socket.end(SECRET);
        await readAll(socket);
        assert.equal((await said()) - before, SECRET.length);
      });

      it('passes on TLS that the application has brought, as it is', async () => {
        const socket = connectTls({
          port: near.port('tls'),
          host: '127.0.0.1',
          servername: 'app.example',
          ca: mesh.pki.anchor,
        });
        await once(socket, 'secureConnect');
        socket.end(SECRET);
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(chunk as Buffer);
        assert.equal(Buffer.concat(chunks).toString(), SECRET);
        assert.equal(await near.metric('sluice_tls_passed_total'), 1);
      });

      it('lets nobody read it on the way', () => {
        for (const one of taps.slice(0, -1)) {
          const bytes = one.bytes();
          assert.ok(bytes.length > 500);
          for (const text of [SECRET, 'HTTP/1.1', 'PRI * HTTP/2.0', 'speak first', 'transport.l5d.io/v1\r\n'])
            assert.ok(!bytes.includes(text), text);
        }
      });

      it('says who it is, once for many requests', async () => {
        const connections = await far.metric('tcp_open_total', { direction: 'inbound', listener: 'http1' });
        assert.ok(connections < 8, `${connections} connections`);
        if (way === 'http2')
          await eventually(async () => (await near.metric('sluice_endpoint_http2_connections')) > 0, 'HTTP/2');
        assert.equal(await ended(await dial(far.port('http1')).then((socket) => socket.end() && socket)), 'end');
      });
    });
  }
}

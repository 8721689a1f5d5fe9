// The tools people use: curl, wrk, node:http agents, ws, nginx; and tunnels (Upgrade, CONNECT).
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { WebSocket, WebSocketServer } from 'ws';
import { settled, startEdge } from '../support/gateway.js';
import { answering, client, metrics, OK, type Upstream, upstream } from '../support/http.js';
import { which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';

const run = promisify(execFile);
const curl = which('curl');
const wrk = which('wrk');
const CLOSING = OK.replace('\r\n', '\r\nConnection: close\r\n');

for (const io of await availableExecutors()) {
  describe(`HTTP/1 tools on ${io}`, () => {
    let sluice: Sluice;
    const server = createServer((request, response) => {
      if (request.method === 'GET') response.end('hello');
      else request.pipe(response);
    });

    before(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      sluice = await startEdge(io, [`127.0.0.1:${(server.address() as AddressInfo).port}`], { listener: 'detect' });
    });
    after(async () => {
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      server.closeAllConnections();
      server.close();
    });

    it('serves curl: keep-alive, HEAD, uploads with Expect, HTTP/1.0', {
      skip: curl === null && 'curl is not installed',
    }, async () => {
      const url = `http://127.0.0.1:${sluice.port('edge')}/`;
      const get = await run('curl', ['-sS', url, url, url]);
      assert.equal(get.stdout, 'hellohellohello');
      const head = await run('curl', ['-sSI', url]);
      assert.match(head.stdout, /^HTTP\/1\.1 200 OK/);
      const old = await run('curl', ['-sS0', url]);
      assert.equal(old.stdout, 'hello');
      const upload = spawn('curl', [
        '-sS',
        '-H',
        'Expect: 100-continue',
        '-H',
        'Transfer-Encoding: chunked',
        '-T',
        '-',
        url,
      ]);
      let echoed = 0;
      upload.stdout.on('data', (chunk: Buffer) => {
        echoed += chunk.length;
      });
      upload.stdin.end(Buffer.alloc(3_000_000, 'u'));
      assert.deepEqual(await once(upload, 'close'), [0, null]);
      assert.equal(echoed, 3_000_000);
    });

    it('serves wrk without an error, and counts as many responses as requests', {
      skip: wrk === null && 'wrk is not installed',
    }, async () => {
      const { stdout } = await run('wrk', ['-t1', '-c32', '-d1s', `http://127.0.0.1:${sluice.port('edge')}/`]);
      assert.doesNotMatch(stdout, /Non-2xx|Socket errors/);
      await settled(sluice);
      const value = await metrics(sluice);
      assert.equal(
        value('sluice_service_requests_total'),
        value('response_total') +
          value('sluice_service_proxy_response_total') +
          value('sluice_service_unanswered_total'),
      );
    });
  });

  describe(`HTTP/1 tunnels on ${io}`, () => {
    let origin: Upstream;
    let sluice: Sluice;

    before(async () => {
      origin = await upstream();
      sluice = await startEdge(io, [origin.address]);
    });
    after(async () => {
      await settled(sluice);
      assert.equal(await sluice.stop(), 0);
      await origin.close();
    });

    it('carries a WebSocket of ws, small and large messages', async () => {
      const server = createServer();
      const sockets = new WebSocketServer({ server });
      sockets.on('connection', (socket) => {
        socket.send('welcome');
        socket.on('message', (data, binary) => socket.send(data, { binary }));
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const edge = await startEdge(io, [`127.0.0.1:${(server.address() as AddressInfo).port}`]);
      const socket = new WebSocket(`ws://127.0.0.1:${edge.port('edge')}/chat`);
      const [welcome] = (await once(socket, 'message')) as [Buffer];
      assert.equal(welcome.toString(), 'welcome');
      for (const size of [0, 1, 125, 70_000, 5_000_000]) {
        socket.send(Buffer.alloc(size, 'w'));
        const [echo] = (await once(socket, 'message')) as [Buffer];
        assert.equal(echo.length, size);
      }
      socket.close(1000);
      const [code] = (await once(socket, 'close')) as [number];
      assert.equal(code, 1000);
      await settled(edge);
      assert.equal(await edge.metric('response_total', { status_code: '101' }), 1);
      assert.equal(await edge.stop(), 0);
      server.close();
    });

    it('delivers what came in the segments of the request and of the 101, and half-closes', async () => {
      origin.script(async (side) => {
        const request = await side.message();
        assert.equal(request.field('connection'), 'upgrade');
        assert.equal(request.field('upgrade'), 'echo/1');
        side.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo/1\r\n\r\nearly down');
        assert.equal((await side.read(8)).toString(), 'early up');
        side.write('got it');
        await side.closed();
        side.write(' bye');
        side.fin();
      });
      const wire = await client(sluice.port('edge'));
      wire.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo/1\r\n\r\nearly up');
      const response = await wire.message();
      assert.equal(response.status, 101);
      assert.equal(response.field('connection'), 'upgrade');
      assert.equal(response.field('upgrade'), 'echo/1');
      assert.equal((await wire.read(16)).toString(), 'early downgot it');
      wire.fin();
      assert.equal((await wire.read(4)).toString(), ' bye');
      assert.equal(await wire.closed(), 'fin');
      wire.destroy();
    });

    it('makes a CONNECT a tunnel once the endpoint agrees, and an exchange where it does not', async () => {
      origin.script(async (side) => {
        const request = await side.message();
        assert.equal(request.start, 'CONNECT db.test:5432 HTTP/1.1');
        assert.equal(request.field('host'), 'db.test:5432');
        side.write('HTTP/1.1 200 Connected\r\nContent-Length: 5\r\n\r\n');
        for (let i = 0; i < 4; i++) side.write(await side.read(1));
        await side.closed();
        side.fin();
      });
      const wire = await client(sluice.port('edge'));
      wire.write('CONNECT db.test:5432 HTTP/1.1\r\nHost: x\r\n\r\nab');
      const response = await wire.message({ method: 'CONNECT' });
      assert.equal(response.status, 200);
      assert.equal(response.field('content-length'), null);
      assert.equal((await wire.read(2)).toString(), 'ab');
      wire.write('\0\xff');
      assert.equal((await wire.read(2)).toString('latin1'), '\0\xff');
      wire.destroy();
      origin.script(
        answering(({ method }) => (method === 'CONNECT' ? 'HTTP/1.1 405 No\r\ncontent-length: 2\r\n\r\nno' : CLOSING)),
      );
      const refused = await client(sluice.port('edge'));
      refused.write('CONNECT db.test:5432 HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.equal((await refused.message({ method: 'CONNECT' })).body.toString(), 'no');
      refused.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal((await refused.message()).body.toString(), 'ok');
      refused.destroy();
    });

    it('leaves an upgrade that the endpoint ignores an ordinary exchange, and asks for no h2c', async () => {
      let seen: string[] = [];
      origin.script(
        answering((request) => {
          seen = request.fields.map(([name]) => name.toLowerCase());
          return OK;
        }),
      );
      const wire = await client(sluice.port('edge'));
      for (const [protocol, expected] of [
        ['websocket', ['host', 'connection', 'upgrade']],
        ['h2c', ['host']],
      ] as const) {
        wire.write(
          `GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, http2-settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMA\r\n\r\n`,
        );
        assert.equal((await wire.message()).status, 200);
        assert.deepEqual(seen, expected);
      }
      wire.destroy();
    });
  });
}

// Listeners that end TLS: every protocol inside of it, with clients that others wrote; how streams end; what is no TLS, or stops half way.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp, type Server as HttpServer } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { Agent, request } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import WebSocket, { WebSocketServer } from 'ws';
import { type Http2Endpoint, http2Endpoint } from '../support/http2.js';
import { run } from '../support/servers.js';
import { availableExecutors, eventually, plainSockets, type Sluice, startSluice } from '../support/sluice.js';
import { drink, pour } from '../support/tcp.js';
import { Certificates, heard, listening, NAME, OTHER, secure } from './tls-support.js';

const LARGE = 24 << 20;
const TEN_SECONDS = 10_000;

for (const io of plainSockets ? await availableExecutors() : []) {
  describe(`Listeners with TLS on ${io}`, () => {
    let certificates: Certificates;
    let web: HttpServer;
    let sockets: WebSocketServer;
    let calls: Http2Endpoint;
    let bytes: Server;
    let sluice: Sluice;
    let yaml = '';
    /** What happens to connections of the endpoint of bytes. */
    let onBytes: (socket: Socket) => void = (socket) => void socket.pipe(socket);

    before(async () => {
      certificates = await Certificates.make();
      web = createHttp((incoming, response) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('end', () => {
          if (incoming.url === '/large') response.end(Buffer.alloc(LARGE, 'l'));
          else response.end(`${incoming.method} ${incoming.url} ${Buffer.concat(chunks).length}`);
        });
      });
      sockets = new WebSocketServer({ server: web });
      sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
      bytes = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => undefined);
        onBytes(socket);
      });
      const [webPort, bytesPort] = await Promise.all([listening(web), listening(bytes)]);
      calls = await http2Endpoint();
      const tls = certificates.listener();
      yaml = `drain: { hold: 0, grace: 1s }
workers: 1
log: { access: true }
limits: { tls: { handshakeTimeout: 1s } }
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web, tls: ${tls} }
  - { name: calls, listen: "127.0.0.1:0", service: calls, tls: ${tls} }
  - { name: bytes, listen: "127.0.0.1:0", service: bytes, protocol: opaque, tls: ${tls} }
  - { name: old, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener('minVersion: 1.2, tickets: true')} }
  - { name: known, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener(`clientAuthority: ${certificates.path('ca.pem')}`)} }
  - { name: behind, listen: "127.0.0.1:0", service: web, proxyProtocol: true, tls: ${tls} }
services:
  web: { endpoints: ["127.0.0.1:${webPort}"] }
  calls: { endpoints: ["${calls.address}"] }
  bytes: { endpoints: ["127.0.0.1:${bytesPort}"] }
`;
      sluice = await startSluice(yaml, io);
    });

    after(async () => {
      await sluice?.stop();
      web?.closeAllConnections();
      web?.close();
      bytes?.close();
      await calls?.close();
      certificates?.remove();
    });

    const curl = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run('curl', ['-sS', '--cacert', certificates.path('ca.pem'), ...args]);
      return code === 0 ? stdout : `curl ${code}: ${stderr}`;
    };
    const at = (listener: string, name = NAME): string[] => ['--resolve', `${name}:${sluice.port(listener)}:127.0.0.1`];
    const url = (listener: string, path: string, name = NAME): string =>
      `https://${name}:${sluice.port(listener)}${path}`;

    test('curl gets HTTP/1.1 and HTTP/2, and the certificate that it asks for', async () => {
      const version = ['-w', ' %{http_version}'];
      assert.equal(await curl('--http1.1', ...version, ...at('web'), url('web', '/a')), 'GET /a 0 1.1');
      assert.equal(await curl('--http2', ...version, ...at('web'), url('web', '/b')), 'GET /b 0 2');
      assert.equal(await curl(...at('web', OTHER), url('web', '/c', OTHER)), 'GET /c 0');
      assert.equal(await curl(...at('web', `x.${NAME}`), url('web', '/d', `x.${NAME}`)), 'GET /d 0');
      assert.match(await curl(...at('web', 'y.example'), url('web', '/', 'y.example')), /^curl 60/);
      assert.ok(
        (await sluice.metric('sluice_verdict_total', { listener: 'web', reason: 'alpn', verdict: 'http2' })) > 0,
      );
    });

    test('openssl speaks to it, in the groups and versions that there are', async () => {
      const ask = async (listener: string, ...args: string[]): Promise<string> => {
        const to = [
          '-connect',
          `127.0.0.1:${sluice.port(listener)}`,
          '-servername',
          NAME,
          '-CAfile',
          certificates.path('ca.pem'),
        ];
        const request = `GET /s_client HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;
        const { stdout, stderr } = await run(
          'openssl',
          ['s_client', ...to, '-verify_return_error', '-ign_eof', '-quiet', ...args],
          request,
        );
        return `${stdout}${stderr}`;
      };
      assert.match(await ask('web', '-groups', 'X25519'), /GET \/s_client 0/);
      assert.match(await ask('web', '-groups', 'P-256'), /GET \/s_client 0/);
      assert.match(await ask('old', '-tls1_2'), /GET \/s_client 0/);
      assert.match(await ask('old', '-alpn', 'http/1.1'), /GET \/s_client 0/);
      assert.doesNotMatch(await ask('web', '-tls1_2'), /s_client 0/);
      for (const group of ['X25519', 'P-256'])
        assert.ok((await sluice.metric('sluice_tls_handshakes_total', { role: 'server', group })) > 0, group);
    });

    test('requests share a connection, with bodies both ways', async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (const size of [0, 1, 70_000, 3_000_000]) {
        const sent = request({
          port: sluice.port('web'),
          agent,
          method: 'POST',
          path: '/post',
          ca: certificates.pki.anchor,
          servername: NAME,
        });
        sent.end(Buffer.alloc(size, 1));
        const [response] = await once(sent, 'response');
        let text = '';
        for await (const chunk of response) text += chunk;
        assert.equal(text, `POST /post ${size}`);
      }
      agent.destroy();
      const large = await curl(
        '--http1.1',
        '-o',
        '/dev/null',
        '-w',
        '%{size_download}',
        ...at('web'),
        url('web', '/large'),
      );
      assert.equal(large, String(LARGE));
      const over2 = await curl(
        '--http2',
        '-o',
        '/dev/null',
        '-w',
        '%{size_download}',
        ...at('web'),
        url('web', '/large'),
      );
      assert.equal(over2, String(LARGE));
    });

    test('gRPC-like streams and WebSockets work inside', async () => {
      const session = connectHttp2(`https://127.0.0.1:${sluice.port('calls')}`, {
        ca: certificates.pki.anchor,
        servername: NAME,
      });
      const streams = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const stream = session.request({ ':path': '/', ':method': 'POST' });
          stream.end('x'.repeat(1000));
          const [headers] = await once(stream, 'response');
          for await (const _ of stream);
          return headers[':status'];
        }),
      );
      assert.deepEqual(new Set(streams), new Set([200]));
      session.close();
      const options = { ca: certificates.pki.anchor, servername: NAME };
      const socket = new WebSocket(`wss://127.0.0.1:${sluice.port('web')}/`, options);
      await once(socket, 'open');
      for (const text of ['one', 'two'.repeat(30_000)]) {
        socket.send(text);
        const [back] = await once(socket, 'message');
        assert.equal(String(back), text);
      }
      socket.close();
      await once(socket, 'close');
    });

    test('bytes pass both ways at once, and each direction ends by itself', async () => {
      const socket = await secure(sluice.port('bytes'), certificates);
      const [there, back] = await Promise.all([pour(socket, 7, LARGE), drink(socket, LARGE)]);
      assert.equal(back, there);
      socket.end();
      const { how } = await heard(socket);
      assert.equal(how, 'end', 'the endpoint ends its direction when we have ended ours');
      socket.destroy();
      // The other way round: the endpoint ends first, and still hears what comes.
      let rest = '';
      onBytes = (endpoint) => {
        endpoint.end('only this');
        endpoint.on('data', (chunk) => {
          rest += chunk;
        });
      };
      const other = await secure(sluice.port('bytes'), certificates);
      assert.deepEqual(await heard(other), { text: 'only this', how: 'end' });
      other.end('and that');
      await eventually(() => rest === 'and that', 'the rest');
      other.destroy();
      onBytes = (endpoint) => void endpoint.pipe(endpoint);
    });

    test('a stream that is cut off without close_notify is no end', async () => {
      const before = await sluice.metric('sluice_tls_truncated_total', { role: 'server' });
      let how = '';
      onBytes = (endpoint) => {
        endpoint.on('data', () => undefined);
        endpoint.once('end', () => {
          how = 'end';
        });
        endpoint.once('error', ({ message }) => {
          how = message;
        });
      };
      const whole = connect(sluice.port('bytes'), '127.0.0.1');
      const inside = connectTls({ socket: whole, ca: certificates.pki.anchor, servername: NAME });
      inside.on('error', () => undefined);
      await once(inside, 'secureConnect');
      inside.write('half');
      await new Promise((resolve) => setTimeout(resolve, 50));
      // TCP ends, TLS does not.
      whole.end();
      await eventually(() => how !== '', 'the end');
      assert.match(how, /ECONNRESET/);
      await eventually(
        async () => (await sluice.metric('sluice_tls_truncated_total', { role: 'server' })) === before + 1,
        'the count',
      );
      inside.destroy();
      onBytes = (endpoint) => void endpoint.pipe(endpoint);
    });

    test('what is no TLS after the handshake is an error, and counted', async () => {
      const raw = connect(sluice.port('web'), '127.0.0.1');
      const inside = connectTls({ socket: raw, ca: certificates.pki.anchor, servername: NAME });
      await once(inside, 'secureConnect');
      await eventually(async () => (await sluice.metric('sluice_tls_open_connections')) > 0, 'the gauge');
      assert.ok((await sluice.metric('sluice_tls_handshake_seconds_count', { role: 'server' })) > 0);
      inside.on('error', () => undefined);
      raw.write('neither a record nor anything else');
      await once(
        raw.on('error', () => undefined),
        'close',
      );
      await eventually(
        async () => (await sluice.metric('sluice_tls_broken_total', { role: 'server' })) === 1,
        'the count',
      );
      assert.ok((await sluice.metric('tcp_close_total', { listener: 'web', errno: 'tls' })) > 0);
    });

    test('who speaks no TLS is refused, counted and named; who only looks in is not', async () => {
      const seen = async (cause: string): Promise<number> =>
        sluice.metric('sluice_tls_handshake_failures_total', { role: 'server', cause });
      const plain = connect(sluice.port('web'), '127.0.0.1');
      plain.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await once(plain.on('error', () => undefined).resume(), 'close');
      await eventually(async () => (await seen('plain-text')) === 1, 'plain text');
      await sluice.logged(({ message, reason }) => message === 'refused' && reason === 'tls-plain-text');
      const looker = connect(sluice.port('web'), '127.0.0.1');
      await once(looker, 'connect');
      looker.end();
      await once(looker.resume(), 'close');
      const garbage = connect(sluice.port('web'), '127.0.0.1');
      garbage.write(Buffer.concat([Buffer.from([22, 3, 1, 0, 200]), Buffer.alloc(200, 0xaa)]));
      await once(garbage.on('error', () => undefined).resume(), 'close');
      await eventually(async () => (await seen('malformed')) === 1, 'garbage');
      assert.equal(await seen('left'), 0);
    });

    test('who stops half way is let go after the timeout, and holds no buffers', async () => {
      const silent = connect(sluice.port('web'), '127.0.0.1');
      const half = connect(sluice.port('web'), '127.0.0.1');
      half.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1]));
      const started = Date.now();
      await Promise.all([silent, half].map((socket) => once(socket.on('error', () => undefined).resume(), 'close')));
      assert.ok(Date.now() - started < TEN_SECONDS);
      await eventually(
        async () =>
          (await sluice.metric('sluice_tls_handshake_failures_total', { role: 'server', cause: 'timeout' })) === 2 &&
          (await sluice.metric('sluice_limit_total', { limit: 'tls-handshake-time' })) === 2,
        'both timeouts',
      );
    });

    test('versions, tickets and client certificates are as the listener says', async () => {
      await assert.rejects(secure(sluice.port('web'), certificates, { maxVersion: 'TLSv1.2' }), /protocol version/);
      const old = await secure(sluice.port('old'), certificates, { maxVersion: 'TLSv1.2' });
      assert.equal(old.getProtocol(), 'TLSv1.2');
      old.write('GET /old HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(old)).text, /GET \/old 0/);
      const first = await secure(sluice.port('old'), certificates);
      first.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      const [session] = await once(first, 'session');
      first.destroy();
      const again = await secure(sluice.port('old'), certificates, { session });
      assert.equal(again.isSessionReused(), true);
      again.write('GET /again HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(again)).text, /GET \/again/);
      await eventually(
        async () => (await sluice.metric('sluice_tls_resumed_total', { role: 'server' })) === 1,
        'the count',
      );
      const stranger = await secure(sluice.port('known'), certificates);
      stranger.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.notEqual((await heard(stranger)).how, 'end');
      const { chain: cert, key } = certificates.client;
      const known = await secure(sluice.port('known'), certificates, { cert, key });
      known.write('GET /known HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.deepEqual((await heard(known)).text.split('\r\n\r\n').at(-1)?.includes('GET /known 0'), true);
      assert.equal(
        await sluice.metric('sluice_tls_handshake_failures_total', { role: 'server', cause: 'no-certificate' }),
        1,
      );
      assert.ok((await sluice.metric('sluice_tls_handshakes_total', { role: 'server', version: '1.2' })) >= 1);
    });

    test('a PROXY header comes before TLS', async () => {
      const raw = connect(sluice.port('behind'), '127.0.0.1');
      await once(raw, 'connect');
      raw.write('PROXY TCP4 192.0.2.7 192.0.2.1 1234 443\r\n');
      const socket = connectTls({ socket: raw, ca: certificates.pki.anchor, servername: NAME });
      await once(socket, 'secureConnect');
      socket.write('GET /behind HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(socket)).text, /GET \/behind 0/);
      await sluice.stop();
    });
  });
}

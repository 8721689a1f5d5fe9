// Services that are dialled with TLS: with servers that others wrote, ALPN deciding between HTTP/1.1 and HTTP/2; who is not who he should be gets nothing;
// and certificates that change under load.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2, createSecureServer, type Http2SecureServer } from 'node:http2';
import { createServer as createHttps, type Server as HttpsServer } from 'node:https';
import { connect, createServer as createTcp, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { createServer as createTls, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { client, exchange } from '../support/http.js';
import { DATES } from '../support/pki.js';
import { availableExecutors, eventually, plainSockets, type Sluice, startSluice } from '../support/sluice.js';
import { dial, drink, ended, pour } from '../support/tcp.js';
import { Certificates, heard, listening, NAME, secure } from './tls-support.js';

const LARGE = 16 << 20;
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`;

for (const io of plainSockets ? await availableExecutors() : []) {
  describe(`Services with TLS on ${io}`, () => {
    let certificates: Certificates;
    let sluice: Sluice;
    let yaml = '';
    const servers: (Server | TlsServer | HttpsServer | Http2SecureServer)[] = [];
    const open = new Set<Socket>();
    const counts = { one: 0, two: 0 };
    let onBytes: (socket: TLSSocket) => void = (socket) => void socket.pipe(socket);
    let presented = '';
    /** Ends a connection to the endpoint of bytes, and nothing of the TLS inside. */
    let cut = (): void => undefined;

    const up = async (server: Server | TlsServer | HttpsServer | Http2SecureServer): Promise<number> => {
      servers.push(server);
      server.on('connection', (socket: Socket) => {
        open.add(socket);
        socket.once('close', () => open.delete(socket));
      });
      server.on('tlsClientError', () => undefined);
      return listening(server as Server);
    };

    before(async () => {
      certificates = await Certificates.make();
      const { server } = certificates;
      const one = createHttps(server, (request, response) => {
        counts.one++;
        const chunks: Buffer[] = [];
        request.on('data', (chunk: Buffer) => chunks.push(chunk));
        request.on('end', () => {
          if (request.url === '/large') response.end(Buffer.alloc(LARGE, 'l'));
          else if (request.url === '/close') response.writeHead(200, { connection: 'close' }).end('closed');
          else response.end(`1 ${request.url} ${Buffer.concat(chunks).length}`);
        });
      });
      const two = createSecureServer(server, (request, response) => {
        counts.two++;
        response.end(`${request.httpVersion} ${request.url}`);
      });
      const both = createSecureServer({ ...server, allowHTTP1: true }, (request, response) =>
        response.end(`${request.httpVersion} ${request.url}`),
      );
      const bytes = createTls({ ...server, allowHalfOpen: true } as object, (socket) => {
        socket.on('error', () => undefined);
        onBytes(socket);
      });
      const known = createHttps(
        { ...server, ca: certificates.pki.anchor, requestCert: true, rejectUnauthorized: true },
        (request, response) => {
          presented = String((request.socket as TLSSocket).getPeerCertificate().subject.CN);
          response.end('known');
        },
      );
      const expired = await certificates.pki.leaf({ dns: [NAME], dates: DATES.expired() });
      const late = createHttps({ cert: expired.chain, key: expired.key }, (_, response) => response.end('late'));
      const plain = createTcp((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'));
      });
      const silent = createTcp((socket) => void socket.on('error', () => undefined).resume());
      const ports = await Promise.all([one, two, both, bytes, known, late, plain, silent].map(up));
      const [onePort, twoPort, bothPort, bytesPort, knownPort, latePort, plainPort, silentPort] = ports;
      const cutPort = await up(
        createTcp((front) => {
          const back = connect(bytesPort, '127.0.0.1');
          front.on('error', () => undefined).pipe(back.on('error', () => undefined));
          back.pipe(front, { end: false });
          cut = () => void front.end();
        }),
      );
      const service = (name: string, port: number, tls: string, more = ''): string =>
        `  ${name}: { endpoints: ["127.0.0.1:${port}"], tls: ${tls}${more} }\n`;
      const usual = certificates.service();
      const names = 'one two both bytes cut known late plain silent wrong authority'.split(' ');
      yaml = `drain: { hold: 0, grace: 1s }
workers: 1
detect: { race: off } # a client that is slow to speak would have a connection of its own made for it
listeners:
${names.map((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name}${name === 'bytes' || name === 'cut' ? ', protocol: opaque' : ''} }`).join('\n')}
  - { name: through, listen: "127.0.0.1:0", service: one, tls: ${certificates.listener()} }
  - { name: relay, listen: "127.0.0.1:0", service: bytes, protocol: opaque, tls: ${certificates.listener()} }
services:
${service('one', onePort, usual)}${service('two', twoPort, usual)}${service('both', bothPort, usual)}${service('bytes', bytesPort, usual, ', protocol: opaque')}${service('cut', cutPort, usual, ', protocol: opaque')}${service('known', knownPort, certificates.service(`certificate: ${certificates.path('client.pem')}, key: ${certificates.path('client-key.pem')}`))}${service('late', latePort, usual)}${service('plain', plainPort, usual)}${service('silent', silentPort, usual, ', connectTimeout: 300ms')}${service('wrong', onePort, `{ serverName: other.example, ca: ${certificates.path('ca.pem')} }`)}${service('authority', onePort, `{ serverName: ${NAME}, ca: ${certificates.path('stranger.pem')} }`)}`;
      sluice = await startSluice(yaml, io);
    });

    after(async () => {
      await sluice?.stop();
      for (const socket of open) socket.destroy();
      for (const server of servers) server.close();
      certificates?.remove();
    });

    const h2 = async (listener: string, paths: readonly string[]): Promise<string[]> => {
      const session = connectHttp2(`http://127.0.0.1:${sluice.port(listener)}`);
      const answers = await Promise.all(
        paths.map(async (path) => {
          const stream = session.request({ ':path': path });
          let text = '';
          for await (const chunk of stream.setEncoding('utf8')) text += chunk;
          return text;
        }),
      );
      session.close();
      return answers;
    };

    test('HTTP/1.1 goes over one connection, with bodies both ways', async () => {
      const wire = await client(sluice.port('one'));
      for (const path of ['/a', '/b', '/c']) {
        wire.write(get(path));
        assert.equal((await wire.message()).body.toString(), `1 ${path} 0`);
      }
      const body = Buffer.alloc(2_000_000, 7);
      wire.write(`POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`);
      wire.write(body);
      assert.equal((await wire.message()).body.toString(), `1 /up ${body.length}`);
      wire.write(get('/large'));
      assert.equal((await wire.message()).body.length, LARGE);
      wire.socket.destroy();
      assert.equal(open.size, 1, 'they shared it');
      assert.ok((await sluice.metric('sluice_tls_handshake_seconds_count', { role: 'client' })) > 0);
    });

    test('the protocol of an endpoint is what it agrees on', async () => {
      assert.deepEqual(await h2('both', ['/1', '/2']), ['2.0 /1', '2.0 /2']);
      assert.equal((await exchange(sluice.port('both'), get('/3'))).body.toString(), '1.1 /3');
      // One that speaks HTTP/2 only, and one that speaks HTTP/1.1 only.
      assert.equal((await exchange(sluice.port('two'), get('/4'))).body.toString(), '2.0 /4');
      assert.deepEqual(await h2('one', ['/5', '/6']), ['1 /5 0', '1 /6 0']);
      assert.equal(await sluice.metric('sluice_endpoint_failures_total'), 0);
    });

    test('bytes pass both ways, TLS on one side or on both, and ends are told', async () => {
      for (const listener of ['bytes', 'relay']) {
        const socket =
          listener === 'bytes' ? await dial(sluice.port(listener)) : await secure(sluice.port(listener), certificates);
        const [there, back] = await Promise.all([pour(socket, 9, LARGE), drink(socket, LARGE)]);
        assert.equal(back, there);
        socket.end();
        assert.match(await ended(socket), /end/);
        socket.destroy();
      }
      // It is cut off: what came is passed on, and then an error.
      const socket = await dial(sluice.port('cut'));
      socket.on('error', () => undefined);
      socket.write('half');
      await once(socket, 'data');
      cut();
      assert.match(await ended(socket), /ECONNRESET/);
      assert.equal(await sluice.metric('sluice_tls_truncated_total', { role: 'client' }), 1);
    });

    test('a client certificate is shown to who asks for one', async () => {
      assert.equal((await exchange(sluice.port('known'), get('/'))).body.toString(), 'known');
      assert.equal(presented, 'client.example');
    });

    test('who is not who he should be, or speaks no TLS, gets no request: counted, named, and no plain text', async () => {
      const before = counts.one;
      const causes: readonly (readonly [string, string])[] = [
        ['wrong', 'wrong-name'],
        ['authority', 'unknown-authority'],
        ['late', 'expired'],
        ['plain', 'plain-text'],
      ];
      for (const [listener, cause] of causes) {
        const { start } = await exchange(sluice.port(listener), get('/'));
        assert.match(start, /^HTTP\/1.1 502 /, listener);
        assert.ok((await sluice.metric('sluice_tls_handshake_failures_total', { role: 'client', cause })) > 0, cause);
        await sluice.logged(({ message, reason }) => message === 'refused' && reason === `endpoint-tls-${cause}`);
      }
      assert.equal(counts.one, before);
      assert.match((await exchange(sluice.port('silent'), get('/'))).start, /^HTTP\/1.1 504 /);
      const timeouts = await sluice.metric('sluice_tls_handshake_failures_total', { role: 'client', cause: 'timeout' });
      assert.ok(timeouts > 0);
      assert.ok((await sluice.metric('tcp_close_total', { errno: 'tls', peer: 'dst' })) >= 4);
    });

    test('connections that end in order end with close_notify', async () => {
      let ends = 0;
      let cuts = 0;
      onBytes = (socket) => {
        socket.resume();
        socket.once('end', () => {
          ends++;
          socket.end();
        });
        socket.once('error', () => cuts++);
      };
      const plain = await dial(sluice.port('bytes'));
      plain.end('all');
      await ended(plain.resume());
      await eventually(() => ends + cuts === 1, 'the end');
      assert.deepEqual([ends, cuts], [1, 0]);
      onBytes = (endpoint) => void endpoint.pipe(endpoint);
      // A client that is told to go.
      const socket = await secure(sluice.port('through'), certificates);
      socket.write(`GET /close HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
      const { text, how } = await heard(socket);
      assert.match(text, /closed/);
      assert.equal(how, 'end');
    });

    test('certificates that change under load cost no request and no connection', async () => {
      const standing = await secure(sluice.port('through'), certificates);
      let stop = false;
      let done = 0;
      const load = (async () => {
        while (!stop) {
          const socket = await secure(sluice.port('through'), certificates);
          socket.write(get('/load'));
          const [chunk] = await once(socket, 'data');
          assert.match(String(chunk), /200 OK/);
          socket.destroy();
          done++;
        }
      })();
      const serialOf = async (): Promise<string> => {
        const socket = await secure(sluice.port('through'), certificates);
        const { serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        return serialNumber;
      };
      const first = await serialOf();
      (await certificates.pki.leaf({ dns: [NAME] })).write(certificates.directory, 'web');
      sluice.reload(yaml);
      await eventually(async () => (await serialOf()) !== first, 'the new certificate');
      standing.write(get('/standing'));
      const [chunk] = await once(standing, 'data');
      assert.match(String(chunk), /200 OK/);
      standing.destroy();
      stop = true;
      await load;
      assert.ok(done > 0);
    });
  });
}

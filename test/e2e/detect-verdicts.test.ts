// Detection through real sockets: what clients send, how they send it, and what they do not say.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { run, which } from '../support/servers.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { deadPort, dial, ended, hangUp, listen, read, readAll, type TcpServer } from '../support/tcp.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

const listening = (server: Server): Promise<number> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));

/** Everything up to and including `text`. */
function until(socket: Socket, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = '';
    socket.on('data', (chunk: Buffer) => {
      got += chunk.toString('latin1');
      if (got.includes(text)) resolve(got);
    });
    socket.once('error', reject);
    socket.once('end', () => reject(new Error(`ended after ${JSON.stringify(got)}`)));
  });
}

/** Writes byte by byte, each in a segment of its own as far as that can be had. */
async function dribble(socket: Socket, text: string): Promise<void> {
  for (const byte of Buffer.from(text, 'latin1')) {
    socket.write(Buffer.of(byte));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

afterEach(hangUp);

for (const io of await availableExecutors()) {
  describe(io, () => {
    let http: HttpServer;
    let httpPort: number;
    const httpSockets = new Set<Socket>();
    let raw: TcpServer;
    let greeter: TcpServer;
    let sluice: Sluice;

    const verdict = (listener: string, verdict: string, reason: string): Promise<number> =>
      sluice.metric('sluice_verdict_total', { listener, verdict, reason });

    before(async () => {
      http = createHttpServer((request, response) => {
        response.end(`you asked for ${request.url?.length} bytes`);
      });
      http.on('connection', (socket: Socket) => httpSockets.add(socket));
      httpPort = await listening(http);
      raw = await listen();
      greeter = await listen((socket) => {
        socket.write('hello\n');
      });
      sluice = await startSluice(
        `limits: { slab: 2MiB }
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web }
  - { name: raced, listen: "127.0.0.1:0", service: web, detect: { race: 1ms } }
  - { name: patient, listen: "127.0.0.1:0", service: raw, detect: { race: off, timeout: 50ms } }
  - { name: raw, listen: "127.0.0.1:0", service: raw, detect: { race: off } }
  - { name: half-dead, listen: "127.0.0.1:0", service: half-dead, detect: { race: 1ms } }
  - name: each
    listen: "127.0.0.1:0"
    detect: { race: off }
    services: { http1: web, http2: web, tls: null, opaque: raw }
services:
  web: { endpoints: ["127.0.0.1:${httpPort}"] }
  raw: { endpoints: ["127.0.0.1:${raw.port}"] }
  half-dead:
    endpoints: ["127.0.0.1:${await deadPort()}", "127.0.0.1:${greeter.port}"]
    balance: { policy: round-robin }
    breaker: { failures: 0 }
`,
        io,
      );
    });

    after(async () => {
      await sluice.stop();
      http.closeAllConnections();
      await Promise.all([new Promise((resolve) => http.close(resolve)), raw.close(), greeter.close()]);
    });

    test('HTTP that comes byte by byte is HTTP', async () => {
      const client = await dial(sluice.port('web'));
      const answer = until(client, 'bytes');
      await dribble(client, 'GET /path HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(await answer, /^HTTP\/1\.1 200 OK\r\n/);
      assert.equal(await verdict('web', 'http1', 'matched'), 1);
      assert.equal(await sluice.metric('sluice_verdict_total', { listener: 'web' }), 1);
      client.destroy();
    });

    test('a long request line that comes byte by byte does not hold a buffer for each byte', async () => {
      const client = await dial(sluice.port('web'));
      const answer = until(client, 'bytes');
      await dribble(client, `GET /${'a'.repeat(3000)} HTTP/1.1\r\nHost: a\r\n\r\n`);
      assert.match(await answer, /you asked for 3001 bytes/);
      assert.equal(await sluice.metric('sluice_slab_parks_total'), 0);
      client.destroy();
    });

    test('a client that speaks HTTP after its endpoint was dialled is served on that very connection', async () => {
      httpSockets.clear();
      const pooled = await sluice.metric('sluice_races_pooled_total');
      const client = await dial(sluice.port('raced'));
      await eventually(() => httpSockets.size === 1, 'the endpoint is dialled for the silent client');
      const answer = until(client, 'bytes');
      client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.match(await answer, /you asked for 1 bytes/);
      assert.equal(await sluice.metric('sluice_races_pooled_total'), pooled + 1);
      assert.equal(httpSockets.size, 1);
      assert.equal(await verdict('raced', 'http1', 'matched'), 1);
      client.destroy();
    });

    test('when neither side speaks, the connection is relayed after the timeout', async () => {
      const client = await dial(sluice.port('patient'));
      const upstream = await raw.next();
      assert.equal(await verdict('patient', 'opaque', 'timeout'), 1);
      assert.equal(await sluice.metric('sluice_limit_total', { limit: 'detect-time' }), 1);
      upstream.write('late');
      assert.equal((await read(client, 4)).toString(), 'late');
      client.write('GET / HTTP/1.1\r\n');
      assert.equal((await read(upstream, 16)).toString(), 'GET / HTTP/1.1\r\n');
      client.destroy();
    });

    test('a client that ends its side without a word still hears the server', async () => {
      const client = await dial(sluice.port('raw'));
      client.end();
      const upstream = await raw.next();
      upstream.end('the time is now');
      assert.equal((await readAll(client)).toString(), 'the time is now');
      assert.equal(await verdict('raw', 'opaque', 'eof'), 1);
    });

    test('a request line that ends early is relayed as it is', async () => {
      const count = await verdict('raw', 'opaque', 'eof');
      const client = await dial(sluice.port('raw'));
      client.end('GET /unfinished');
      const upstream = await raw.next();
      assert.equal((await readAll(upstream)).toString(), 'GET /unfinished');
      upstream.end('ok');
      assert.equal((await readAll(client)).toString(), 'ok');
      assert.equal(await verdict('raw', 'opaque', 'eof'), count + 1);
    });

    test('a client that breaks off before its verdict costs the endpoint nothing', async () => {
      const accepted = raw.sockets.length;
      const client = await dial(sluice.port('raw'));
      client.write('GE');
      await eventually(
        async () => (await sluice.metric('tcp_open_connections', { listener: 'raw' })) > 0,
        'it is accepted',
      );
      client.resetAndDestroy();
      await eventually(
        async () => (await sluice.metric('tcp_open_connections', { listener: 'raw' })) === 0,
        'it is gone',
      );
      assert.equal(raw.sockets.length, accepted);
    });

    test('a silent client is greeted although one of the endpoints is dead', async () => {
      for (let i = 0; i < 6; i++) {
        const client = await dial(sluice.port('half-dead'));
        assert.equal((await read(client, 6)).toString(), 'hello\n');
        client.destroy();
      }
      assert.ok(
        (await sluice.metric('tcp_close_total', { service: 'half-dead', errno: 'refused' })) > 0,
        'the dead one was tried',
      );
      assert.equal(await verdict('half-dead', 'opaque', 'timeout'), 0);
    });

    test('HTTP/2 with prior knowledge is relayed as http2', async () => {
      const server = createHttp2Server();
      server.on('stream', (stream, headers) => {
        stream.respond({ ':status': 200 });
        stream.end(`h2 ${headers[':path']}`);
      });
      const port = await listening(server);
      const own = await startSluice(
        `listeners: [{ name: in, listen: "127.0.0.1:0", service: s }]\nservices: { s: { endpoints: ["127.0.0.1:${port}"] } }\n`,
        io,
      );
      try {
        const session = connectHttp2(`http://127.0.0.1:${own.port('in')}`);
        const answers = await Promise.all(
          Array.from({ length: 20 }, (_, i) => {
            const stream = session.request({ ':path': `/${i}` });
            return readAll(stream as unknown as Socket);
          }),
        );
        assert.deepEqual(
          answers.map((answer) => answer.toString()),
          Array.from({ length: 20 }, (_, i) => `h2 /${i}`),
        );
        assert.equal(await own.metric('sluice_verdict_total', { verdict: 'http2', reason: 'matched' }), 1);
        session.destroy();
      } finally {
        await own.stop();
        server.close();
      }
    });

    describe('TLS', { skip: which('openssl') === null && 'openssl is not installed' }, () => {
      let directory: string;
      let server: TlsServer;
      let own: Sluice;
      let ca: Buffer;

      before(async () => {
        directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
        const key = join(directory, 'key.pem');
        const cert = join(directory, 'cert.pem');
        const names = ['-subj', '/CN=tls.test', '-addext', 'subjectAltName=DNS:tls.test'];
        const made = await run('openssl', [
          'req',
          '-x509',
          '-newkey',
          'ec',
          '-pkeyopt',
          'ec_paramgen_curve:P-256',
          '-nodes',
          '-days',
          '2',
          '-keyout',
          key,
          '-out',
          cert,
          ...names,
        ]);
        assert.equal(made.code, 0, made.stderr);
        ca = readFileSync(cert);
        server = createTlsServer({ key: readFileSync(key), cert: ca }, (socket) => {
          socket.on('error', () => undefined);
          socket.pipe(socket);
        });
        const port = await listening(server);
        own = await startSluice(
          `listeners: [{ name: in, listen: "127.0.0.1:0", service: s }]\nservices: { s: { endpoints: ["127.0.0.1:${port}"] } }\n`,
          io,
        );
      });

      after(async () => {
        await own.stop();
        server.close();
        rmSync(directory, { recursive: true });
      });

      test('of Node is relayed untouched: the server proves its own name to the client', async () => {
        const bytes = 3 << 20;
        const client = connectTls({ port: own.port('in'), host: '127.0.0.1', servername: 'tls.test', ca });
        const got = new Promise<number>((resolve, reject) => {
          let total = 0;
          client.on('data', (chunk: Buffer) => {
            total += chunk.length;
            if (total === bytes) resolve(total);
          });
          client.once('error', reject);
        });
        client.write(Buffer.alloc(bytes, 'tls'));
        assert.equal(await got, bytes);
        assert.ok(client.authorized);
        assert.equal(await own.metric('sluice_verdict_total', { verdict: 'tls', reason: 'matched' }), 1);
        client.destroy();
      });

      test('of openssl s_client is relayed untouched', async () => {
        const args = [
          's_client',
          '-connect',
          `127.0.0.1:${own.port('in')}`,
          '-servername',
          'tls.test',
          '-CAfile',
          join(directory, 'cert.pem'),
          '-verify_return_error',
        ];
        // Without input it says what it saw and leaves.
        const { code, stdout } = await run('openssl', args);
        assert.equal(code, 0);
        assert.match(stdout, /Verify return code: 0 \(ok\)/);
        assert.equal(await own.metric('sluice_verdict_total', { verdict: 'tls', reason: 'matched' }), 2);
      });
    });

    describe('with a service for each verdict', () => {
      test('HTTP goes to one and everything else to another', async () => {
        const client = await dial(sluice.port('each'));
        const answer = until(client, 'bytes');
        client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        assert.match(await answer, /200 OK/);
        const other = await dial(sluice.port('each'));
        other.write('\x00binary');
        const upstream = await raw.next();
        assert.equal((await read(upstream, 7)).toString(), '\x00binary');
        assert.equal(await verdict('each', 'http1', 'matched'), 1);
        assert.equal(await verdict('each', 'opaque', 'matched'), 1);
        client.destroy();
        other.destroy();
      });

      test('what has none is refused', async () => {
        const hello = Buffer.from('16030100c2010000be0303', 'hex');
        const client = connect(sluice.port('each'), '127.0.0.1');
        client.on('error', () => undefined);
        client.write(hello);
        assert.match(await ended(client), /end|ECONNRESET/);
        client.destroy();
        assert.equal(await verdict('each', 'tls', 'matched'), 1);
        assert.equal(await sluice.metric('tcp_close_total', { listener: 'each', errno: 'protocol' }), 1);
      });
    });
  });
}

describe('sluice explain', () => {
  test('says of each listener what it would do and why', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-explain-'));
    const file = join(directory, 'sluice.yaml');
    writeFileSync(
      file,
      `opaquePorts: { add: [22480] }
listeners:
  - { name: default, listen: "127.0.0.1:5432", service: s }
  - { name: marked, listen: "127.0.0.1:22480", service: s }
  - { name: hinted, listen: "127.0.0.1:22481", service: s, protocol: opaque }
  - { name: plain, listen: "127.0.0.1:22482", service: s }
services:
  s: { endpoints: ["127.0.0.1:22483"] }
`,
    );
    const expected = [
      [5432, 'default', 'opaque', 'default-port'],
      [22480, 'marked', 'opaque', 'annotation'],
      [22481, 'hinted', 'opaque', 'hint'],
      [22482, 'plain', 'detect', 'detect'],
      [22484, null, 'none', 'no-listener'],
    ] as const;
    try {
      for (const [port, listener, verdict, reason] of expected) {
        const { code, stdout, stderr } = await run(process.execPath, [
          MAIN,
          'explain',
          '-c',
          file,
          '--json',
          `127.0.0.1:${port}`,
        ]);
        assert.equal(code, 0, stderr);
        const answer = JSON.parse(stdout) as { listener: string | null; verdict: string; reason: string };
        assert.deepEqual([answer.listener, answer.verdict, answer.reason], [listener, verdict, reason]);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});

// Runs in a network namespace that original-destination.test.ts has made. Servers and clients are in this process, Sluice is a child.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttp, type IncomingMessage, request } from 'node:http';
import { connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { request as requestTls } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { ended, listen, read, type TcpServer } from '../support/tcp.js';
import { meshOnOriginalDestinations } from './original-destination-mesh.js';
import {
  ADDRESSES,
  MANY,
  PORT,
  SECURE_LISTENER,
  SECURE_PORT,
  SLUICE_GID,
  WRAPPED_PORT,
} from './original-destination-support.js';
import { Certificates, NAME } from './tls-support.js';

const UNDER = ['setpriv', '--regid', String(SLUICE_GID), '--clear-groups'];
const GREETING = '220 hello\r\n';

const text = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

const listening = (server: Server, host: string, port: number): Promise<Server> =>
  new Promise((resolve, reject) => server.once('error', reject).listen(port, host, () => resolve(server.unref())));

/** Servers of every kind on `host`, until the process ends. Each says where it is reached. */
async function serve(host: string): Promise<void> {
  const http1 = () =>
    createHttp((asked, response) => {
      response.end(`${text(asked.socket.localAddress ?? '', asked.socket.localPort ?? 0)} ${asked.headers.host ?? ''}`);
    });
  const http2 = createHttp2((asked, response) => {
    response.end(`h2 ${text(asked.socket.localAddress ?? '', asked.socket.localPort ?? 0)} ${asked.authority}`);
  });
  const greets = createServer((socket) => socket.on('error', () => undefined).end(GREETING));
  const echo = (): Server => createServer((socket) => socket.on('error', () => undefined).pipe(socket));
  await Promise.all([
    listening(http1(), host, PORT.HTTP1),
    listening(http2 as unknown as Server, host, PORT.HTTP2),
    listening(greets, host, PORT.GREETS),
    listening(echo(), host, PORT.ECHO),
    listening(echo(), host, PORT.OPAQUE),
    listening(echo(), host, WRAPPED_PORT),
    listening(http1(), host, SECURE_PORT),
  ]);
}

function get(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: 'untouched.example' };
    request({ host, port, headers, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    })
      .on('error', reject)
      .end();
  });
}

function getHttp2(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const session = connectHttp2(`http://${text(host, port)}`);
    session.on('error', reject);
    const stream = session.request({ ':path': '/', ':authority': 'untouched.example' });
    let body = '';
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    stream.on('error', reject).on('end', () => {
      session.close();
      resolve(body);
    });
  });
}

const open = new Set<Socket>();
const certificates = await Certificates.make();

function dial(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true }, () => {
      open.add(socket);
      socket.off('error', reject).on('error', () => undefined);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** How a connection ends on which nothing is sent; the RST may come before the client hears that it is connected. */
async function refusal(host: string, port: number): Promise<string> {
  try {
    return await ended(await dial(host, port));
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  }
}

const config = (matched: number, more = ''): string => `
opaquePorts: { add: [${PORT.OPAQUE}] }
listeners:
  - { name: ipv4, listen: "0.0.0.0:${ADDRESSES[0].port}", originalDestination: true }
  - { name: ipv6, listen: "[::]:${ADDRESSES[1].port}", originalDestination: true }
  - { name: secure, listen: "0.0.0.0:${SECURE_LISTENER}", originalDestination: true, tls: ${certificates.listener()} }
services:
  named: { endpoints: ["127.0.0.1:${matched}"], match: ["10.77.0.0/24:${PORT.MATCHED}", "[fd77::2]:${PORT.MATCHED}"] }
${more}`;

for (const { hosts } of ADDRESSES) await serve(hosts[0]);
await listening(
  createServer((socket) => socket.on('error', () => undefined).pipe(socket)),
  '0.0.0.0',
  PORT.MANY,
);
after(() => certificates.remove());

for (const io of await availableExecutors()) {
  describe(`${io}: redirected connections`, () => {
    let named: TcpServer;
    let sluice: Sluice;

    before(async () => {
      named = await listen((socket) => {
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nnamed'));
      });
      sluice = await startSluice(config(named.port), io, {}, UNDER);
    });
    afterEach(() => {
      for (const socket of open) socket.destroy();
      open.clear();
    });
    after(async () => {
      await sluice.stop();
      await named.close();
    });

    for (const { tool, port: own, hosts } of ADDRESSES) {
      const [host, matched] = hosts;
      const listener = tool === 'iptables' ? 'ipv4' : 'ipv6';
      const verdicts = (verdict: string, reason: string): Promise<number> =>
        sluice.metric('sluice_verdict_total', { listener, verdict, reason });

      describe(listener, () => {
        it('HTTP/1 goes where the client was going, with its Host', async () => {
          for (let i = 0; i < 3; i++) {
            assert.equal(await get(host, PORT.HTTP1), `200 ${text(host, PORT.HTTP1)} untouched.example`);
          }
          assert.equal(await verdicts('http1', 'matched'), 3);
          assert.ok((await sluice.metric('sluice_destinations')) >= 1);
        });

        it('HTTP/2 with prior knowledge does as well', async () => {
          assert.equal(await getHttp2(host, PORT.HTTP2), `h2 ${text(host, PORT.HTTP2)} untouched.example`);
          assert.equal(await verdicts('http2', 'matched'), 1);
        });

        it('so does a server that speaks first, and that is remembered of its address', async () => {
          const known = await verdicts('opaque', 'learned');
          for (let i = 0; i < 2; i++) {
            const socket = await dial(host, PORT.GREETS);
            assert.equal(String(await read(socket, GREETING.length)), GREETING);
            assert.equal(await ended(socket), 'end');
          }
          assert.equal(await verdicts('opaque', 'learned'), known + 1);
          const said = JSON.parse(
            await sluice.admin(`/explain?listener=${listener}&dst=${text(host, PORT.GREETS)}`),
          ) as {
            reason: string;
          };
          assert.equal(said.reason, 'learned');
          // Another port of the same host has learned nothing from it.
          assert.equal(await get(host, PORT.HTTP1), `200 ${text(host, PORT.HTTP1)} untouched.example`);
        });

        it('so do bytes of no protocol', async () => {
          const socket = await dial(host, PORT.ECHO);
          socket.write(Buffer.from([0, 1, 2, 255]));
          assert.deepEqual(await read(socket, 4), Buffer.from([0, 1, 2, 255]));
          assert.equal(await verdicts('opaque', 'matched'), 1);
        });

        it('a port is opaque by what it was originally', async () => {
          const socket = await dial(host, PORT.OPAQUE);
          socket.write('GET / HTTP/1.1\r\n\r\n');
          assert.equal(String(await read(socket, 18)), 'GET / HTTP/1.1\r\n\r\n');
          assert.equal(await verdicts('opaque', 'annotation'), 1);
        });

        it('what a service matches goes to its endpoints', async () => {
          assert.equal(await get(matched, PORT.MATCHED), '200 named');
        });

        it('a server that is not there answers as it would without us', async () => {
          const socket = await dial(host, PORT.NOBODY);
          socket.write(Buffer.from([0]));
          assert.equal(await ended(socket), 'ECONNRESET');
        });

        it('loops are refused and counted', async () => {
          const before = await sluice.metric('sluice_destination_loops_total');
          assert.equal(await refusal(host, own), 'ECONNRESET');
          assert.equal(await sluice.metric('sluice_destination_loops_total'), before + 1);
        });

        it('a connection that was not redirected is refused and counted', async () => {
          const before = await sluice.metric('sluice_destination_missing_total');
          assert.equal(await refusal(tool === 'iptables' ? '127.0.0.1' : '::1', own), 'ECONNRESET');
          assert.equal(await sluice.metric('sluice_destination_missing_total'), before + 1);
        });
      });
    }

    it('TLS ends here where the listener says so, and what is inside goes where the client was going', async () => {
      const [host] = ADDRESSES[0].hosts;
      const address = text(host, SECURE_PORT);
      const tls = { ca: certificates.pki.anchor, servername: NAME };
      const session = connectHttp2(`https://${address}`, tls);
      const stream = session.request({ ':path': '/', ':authority': 'untouched.example' });
      let body = '';
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      await once(stream, 'end');
      session.close();
      assert.equal(body, `${address} untouched.example`);
      const asked = requestTls({
        host,
        port: SECURE_PORT,
        headers: { host: 'own.example' },
        agent: false,
        ...tls,
      }).end();
      const [response] = (await once(asked, 'response')) as [IncomingMessage];
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      assert.equal(Buffer.concat(chunks).toString(), `${address} own.example`);
    });

    it('IPv4 by way of a listener for both families goes on as IPv4', async () => {
      const socket = await dial(ADDRESSES[0].hosts[0], WRAPPED_PORT);
      socket.write(Buffer.from([0]));
      assert.deepEqual(await read(socket, 1), Buffer.from([0]));
    });
  });

  describe(`${io}: destinations over time`, () => {
    it('the log says which connection was refused, and why', async () => {
      const { hosts, port } = ADDRESSES[0];
      const sluice = await startSluice(config(1), io, {}, UNDER);
      try {
        await refusal(hosts[0], port);
        const line = await sluice.logged(({ level, message }) => level === 'warn' && /loop/.test(message));
        assert.equal(line.listener, 'ipv4');
        assert.equal(line.destination, text(hosts[0], port));
      } finally {
        await sluice.stop();
      }
    });

    it('where all that may be known are in use, a connection to another one is refused', async () => {
      const [host] = ADDRESSES[0].hosts;
      const sluice = await startSluice(config(1, 'destinations: { max: 1 }'), io, {}, UNDER);
      try {
        const socket = await dial(host, PORT.ECHO);
        socket.write(Buffer.from([0]));
        await read(socket, 1);
        assert.equal(await refusal(host, PORT.GREETS), 'ECONNRESET');
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'destinations' }), 1);
        socket.destroy();
        const gone = { listener: 'ipv4', peer: 'src' };
        await eventually(
          async () => (await sluice.metric('tcp_open_connections', gone)) === 0,
          'no connection is open',
        );
        assert.equal(await get(host, PORT.HTTP1), `200 ${text(host, PORT.HTTP1)} untouched.example`);
        assert.equal(await sluice.metric('sluice_destinations'), 1);
      } finally {
        await sluice.stop();
      }
    });

    it('more of them than a list of services has are in use at once', async () => {
      const sluice = await startSluice(config(1), io, {}, UNDER);
      try {
        for (let first = 0; first < 1200; first += 100) {
          const hosts = Array.from({ length: 100 }, (_, i) => MANY.host(first + i));
          const sockets = await Promise.all(hosts.map((host) => dial(host, PORT.MANY)));
          for (const socket of sockets) socket.write(Buffer.from([0]));
          await Promise.all(sockets.map((socket) => read(socket, 1)));
        }
        assert.equal(await sluice.metric('sluice_destinations'), 1200);
        assert.equal(await sluice.metric('sluice_limit_total', { limit: 'destinations' }), 0);
      } finally {
        for (const socket of open) socket.destroy();
        open.clear();
        await sluice.stop();
      }
    });

    it('an open connection follows a reload; what nobody uses is forgotten', async () => {
      const [host] = ADDRESSES[0].hosts;
      const named = await listen((socket) => {
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nnamed'));
      });
      const yaml = config(named.port, 'destinations: { idleTimeout: 100ms }');
      const sluice = await startSluice(yaml, io, {}, UNDER);
      try {
        const socket = await dial(host, PORT.HTTP1);
        const asked = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n';
        const chunks: string[] = [];
        socket.setEncoding('utf8').on('data', (chunk: string) => chunks.push(chunk));
        socket.write(asked);
        await eventually(
          () => chunks.join('').endsWith(`${text(host, PORT.HTTP1)} x`),
          'an answer of the address itself',
        );
        assert.equal(await sluice.metric('sluice_destinations'), 1);
        sluice.reload(yaml.replace(`"[fd77::2]:${PORT.MATCHED}"`, `"${host}:${PORT.HTTP1}"`));
        await eventually(async () => (await sluice.metric('sluice_destinations_asked_total')) === 2, 'asked anew');
        await eventually(() => {
          socket.write(asked);
          return chunks.join('').endsWith('named');
        }, 'an answer of the service that matches now');
        assert.equal(await sluice.metric('sluice_destinations_evicted_total'), 0);
        socket.destroy();
        await eventually(async () => (await sluice.metric('sluice_destinations')) === 0, 'forgotten');
        assert.equal(await sluice.metric('sluice_destinations_evicted_total'), 1);
      } finally {
        await sluice.stop();
        await named.close();
      }
    });
  });
  meshOnOriginalDestinations(io, UNDER, GREETING);
}

// How much handshakes may take: so many under way, so much of a turn. What is asserted of time is in test/tls/, where the clock is the test's.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, createServer as createTcp, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { availableExecutors, eventually, plainSockets, type Sluice, startSluice } from '../support/sluice.js';
import { Certificates, heard, listening, secure } from './tls-support.js';

const STORM = 150;
/** Connections at once that are cut off, and octets between them. */
const CUTS = 25;
const STEP = 3;

/** What a client says first. */
async function clientHello(): Promise<Buffer> {
  const server = createTcp();
  const port = await listening(server);
  const said = once(server, 'connection').then(async ([socket]) => {
    const [bytes] = await once(socket as Socket, 'data');
    (socket as Socket).destroy();
    return bytes as Buffer;
  });
  connectTls({ port, host: '127.0.0.1', servername: 'web.example' }).on('error', () => undefined);
  const bytes = await said;
  server.close();
  return bytes;
}

/** Passes on what `from` says, an octet in a write. */
function dribble(from: Socket, to: Socket): void {
  to.setNoDelay(true);
  from.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at++) to.write(chunk.subarray(at, at + 1));
  });
  from.once('end', () => to.end());
}

for (const io of plainSockets ? await availableExecutors() : []) {
  describe(`TLS handshakes on ${io}`, () => {
    let certificates: Certificates;
    let web: Server;
    let sluice: Sluice;

    before(async () => {
      certificates = await Certificates.make();
      web = createServer((_, response) => response.end('hello'));
      sluice = await startSluice(
        `drain: { hold: 0, grace: 1s }
workers: 1
limits: { tls: { maxHandshakes: 2, handshakesPerTurn: 1, handshakeTimeout: 20s } }
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener()} }
services:
  web: { endpoints: ["127.0.0.1:${await listening(web)}"] }
`,
        io,
      );
    });

    after(async () => {
      await sluice?.stop();
      web?.close();
      certificates?.remove();
    });

    test('those that wait for their peers make room for others', async () => {
      const half = Array.from({ length: 3 }, () => connect(sluice.port('web'), '127.0.0.1'));
      const closed = half.map((socket) => once(socket.on('error', () => undefined).resume(), 'close'));
      for (const socket of half) socket.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1]));
      await eventually(async () => (await sluice.metric('sluice_tls_open_handshakes')) === 2, 'two under way');
      await eventually(async () => (await sluice.metric('sluice_tls_handshakes_waiting')) === 1, 'one waiting');
      const socket = await secure(sluice.port('web'), certificates);
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(socket)).text, /hello/);
      await Promise.race(closed);
      const labels = { role: 'server', cause: 'displaced' };
      assert.ok((await sluice.metric('sluice_tls_handshake_failures_total', labels)) >= 1);
      assert.ok((await sluice.metric('sluice_limit_total', { limit: 'tls-handshakes' })) >= 1);
      for (const socket of half) socket.destroy();
    });

    test('one that is cut off at any byte leaves nothing behind, and one that comes byte by byte is done', async () => {
      const hello = await clientHello();
      for (let from = 1; from < hello.length; from += CUTS * STEP) {
        await Promise.all(
          Array.from({ length: CUTS }, async (_, index) => {
            const socket = connect(sluice.port('web'), '127.0.0.1');
            const closed = once(socket.on('error', () => undefined).resume(), 'close');
            socket.end(hello.subarray(0, Math.min(from + index * STEP, hello.length)));
            await closed;
          }),
        );
      }
      await eventually(async () => (await sluice.metric('sluice_tls_open_connections')) === 0, 'all gone');
      await eventually(
        async () => (await sluice.metric('sluice_slab_buffers')) === (await sluice.metric('sluice_slab_free_buffers')),
        'all buffers free',
      );
      const relay = createTcp((front) => {
        const back = connect(sluice.port('web'), '127.0.0.1');
        dribble(front, back);
        back.on('error', () => undefined).pipe(front.on('error', () => undefined));
      });
      const port = await listening(relay);
      const socket = await secure(port, certificates);
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      assert.match((await heard(socket)).text, /hello/);
      socket.destroy();
      relay.close();
    });

    test('a storm is served bit by bit', async () => {
      const standing = await secure(sluice.port('web'), certificates);
      const ask = async (): Promise<string> => {
        standing.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
        const [chunk] = await once(standing, 'data');
        return String(chunk);
      };
      assert.match(await ask(), /hello/);
      const storm = Promise.all(Array.from({ length: STORM }, () => secure(sluice.port('web'), certificates)));
      for (let i = 0; i < 50; i++) assert.match(await ask(), /200 OK/);
      for (const socket of await storm) socket.destroy();
      standing.destroy();
      assert.ok((await sluice.metric('sluice_limit_total', { limit: 'tls-handshakes-per-turn' })) > 0);
      await eventually(async () => (await sluice.metric('sluice_tls_open_connections')) === 0, 'all gone');
    });
  });
}

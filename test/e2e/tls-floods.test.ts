// Records that only a hostile peer sends, over real connections, behind a handshake that was in order: from clients of listeners and from
// endpoints. Each ends its own connection, with the alert that says so, and nobody else's.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import {
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { CONTENT, Sealer } from '../io/tls-records.js';
import { client, OK } from '../support/http.js';
import { availableExecutors, eventually, plainSockets, type Sluice, startSluice } from '../support/sluice.js';
import { FAR, Mesh } from './mesh-support.js';
import { Certificates, listening, NAME, secure } from './tls-support.js';

/** Far more than are borne. */
const FLOOD = 1000;
/** The one that records are sealed with here. */
const CIPHER = 'TLS_AES_128_GCM_SHA256';
const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const many = (one: () => Buffer): Buffer => Buffer.concat(Array.from({ length: FLOOD }, one));

const FLOODS: Readonly<Record<string, (hand: Sealer) => Buffer>> = {
  KeyUpdates: (hand) => many(() => hand.keyUpdate()),
  'KeyUpdates that ask for one': (hand) => many(() => hand.keyUpdate(true)),
  'empty records': (hand) => many(() => hand.payload('')),
  warnings: (hand) => many(() => hand.alert(1, 90)),
  'a record of 16 KiB and an octet': (hand) => hand.record(CONTENT.PAYLOAD, Buffer.alloc(16_385, 1)),
  'a record of padding': (hand) => hand.record(CONTENT.PAYLOAD, Buffer.alloc(0), 16_385),
  'a hello': (hand) => hand.record(CONTENT.HANDSHAKE, Buffer.from([1, 0, 0, 0])),
};

const secretOf = (lines: readonly Buffer[], label: string): Buffer => {
  const line = lines.map(String).find((text) => text.startsWith(`${label} `));
  assert.ok(line, `no ${label}`);
  return Buffer.from(line.trim().split(' ')[2], 'hex');
};

for (const io of plainSockets ? await availableExecutors() : []) {
  describe(`records that no honest peer sends (${io})`, () => {
    let certificates: Certificates;
    let mesh: Mesh;
    let web: Server;
    let endpoint: TlsServer;
    let sluice: Sluice;
    let standing: TLSSocket;
    /** What the endpoint answers with. */
    let flood: (hand: Sealer) => Buffer;

    const broken = (role: string): Promise<number> => sluice.metric('sluice_tls_broken_total', { role });
    const ask = async (): Promise<void> => {
      standing.write(GET);
      const [chunk] = await once(standing, 'data');
      assert.match(String(chunk), /200 OK/);
    };

    before(async () => {
      certificates = await Certificates.make();
      mesh = await Mesh.make();
      web = createServer((_, response) => response.end('hello'));
      const lines: Buffer[] = [];
      endpoint = createTlsServer({ ...certificates.server, ciphers: CIPHER });
      endpoint.on('tlsClientError', () => undefined);
      endpoint.on('keylog', (line: Buffer) => lines.unshift(line));
      endpoint.on('connection', (raw: Socket) => {
        endpoint.once('secureConnection', (inside) => {
          for (const socket of [raw, inside]) socket.on('error', () => undefined);
          inside.once('data', () => {
            inside.write(OK);
            inside.once('data', () => {
              const hand = new Sealer(secretOf(lines, 'SERVER_TRAFFIC_SECRET_0'));
              // The first answer, and two tickets before it.
              for (let record = 0; record < 3; record++) hand.payload('');
              raw.write(flood(hand));
            });
          });
        });
      });
      sluice = await startSluice(
        `drain: { hold: 0, grace: 1s }
workers: 1
${await mesh.identity('far')}
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener()} }
  - { name: mesh, listen: "127.0.0.1:0", service: web, mesh: true }
  - { name: out, listen: "127.0.0.1:0", service: flooding }
services:
  web: { endpoints: ["127.0.0.1:${await listening(web)}"] }
  flooding: { endpoints: ["127.0.0.1:${await listening(endpoint)}"], protocol: http1, breaker: { failures: 0 }, tls: ${certificates.service()} }
`,
        io,
      );
      standing = await secure(sluice.port('web'), certificates);
    });
    after(async () => {
      standing?.destroy();
      await sluice?.stop();
      endpoint?.close();
      web?.close();
      certificates?.remove();
      mesh?.remove();
    });

    /** A client whose handshake is done, and the hand that writes in its place from then on. */
    async function handshaken(listener: string): Promise<{ raw: Socket; inside: TLSSocket; hand: Sealer }> {
      const raw = connect(sluice.port(listener), '127.0.0.1');
      const named = listener === 'mesh' ? { ca: mesh.pki.anchor, servername: FAR } : { ca: certificates.pki.anchor };
      const inside = connectTls({ servername: NAME, ...named, socket: raw, ciphers: CIPHER });
      const lines: Buffer[] = [];
      inside.on('keylog', (line: Buffer) => lines.push(line));
      for (const socket of [raw, inside]) socket.on('error', () => undefined);
      inside.write(GET);
      // Its handshake is over at the other end too.
      await once(inside, 'data');
      const hand = new Sealer(secretOf(lines, 'CLIENT_TRAFFIC_SECRET_0'));
      hand.payload('');
      return { raw, inside, hand };
    }

    /** Two requests, of which the endpoint answers the second with what it should not send. */
    async function twice(): Promise<number[]> {
      const wire = await client(sluice.port('out'));
      const statuses: number[] = [];
      for (let times = 0; times < 2; times++) {
        // Nothing that is sent again.
        wire.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n');
        statuses.push((await wire.message({ method: 'POST' })).status);
      }
      wire.destroy();
      return statuses;
    }

    it('are none as long as there are few of them', async () => {
      const few = (hand: Sealer, text: string): Buffer =>
        Buffer.concat([
          hand.keyUpdate(),
          hand.payload(''),
          hand.alert(1, 90),
          hand.keyUpdate(),
          hand.record(CONTENT.PAYLOAD, Buffer.from(text), 1000),
        ]);
      for (const listener of ['web', 'mesh']) {
        const { raw, inside, hand } = await handshaken(listener);
        raw.write(few(hand, GET));
        assert.match(String((await once(inside, 'data'))[0]), /200 OK/);
        inside.destroy();
      }
      flood = (hand) => few(hand, 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok');
      assert.deepEqual(await twice(), [200, 200]);
      assert.deepEqual([await broken('server'), await broken('client')], [0, 0]);
    });

    for (const [name, of] of Object.entries(FLOODS)) {
      it(`${name}, of a client`, async () => {
        for (const listener of ['web', 'mesh']) {
          const before = await broken('server');
          const { raw, inside, hand } = await handshaken(listener);
          let said = '';
          inside.once('error', ({ code }: NodeJS.ErrnoException) => {
            said = String(code);
          });
          const closed = new Promise((resolve) => inside.once('close', resolve));
          raw.write(of(hand));
          await closed;
          // What is not read any more resets the connection, and takes the alert with it.
          assert.match(said, /^$|ECONNRESET|EPIPE|UNEXPECTED_MESSAGE|RECORD_OVERFLOW/);
          await eventually(async () => (await broken('server')) === before + 1, `${listener}: it is counted`);
          await ask();
        }
      });

      it(`${name}, of an endpoint`, async () => {
        const before = await broken('client');
        flood = of;
        assert.deepEqual(await twice(), [200, 502]);
        assert.ok((await broken('client')) > before);
        await ask();
      });
    }

    it('leave nothing behind', async () => {
      await eventually(async () => (await sluice.metric('sluice_tls_open_connections')) === 1, 'all are closed');
      await eventually(
        async () => (await sluice.metric('sluice_slab_buffers')) === (await sluice.metric('sluice_slab_free_buffers')),
        'all buffers are free',
      );
    });
  });
}

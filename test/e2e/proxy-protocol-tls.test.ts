// Endpoints that want to know who the client is before they speak TLS: the header goes out in plain text, and TLS begins behind it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { deadPort, dial, fullListener, hangUp, listen, read, type TcpServer } from '../support/tcp.js';
import { Certificates, secure } from './tls-support.js';

const HOST = '127.0.0.1';
const V1 = 'PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n';
const V2_SIGNATURE = '\r\n\r\n\0\r\nQUIT\n';
const HANDSHAKE = 0x16;

/** A header of one of the two versions, once all of it and the octet behind it have come. */
function headerOf(bytes: Buffer): Buffer | null {
  const v2 = bytes.toString('latin1').startsWith(V2_SIGNATURE);
  if (v2 && bytes.length < 16) return null;
  const end = v2 ? 16 + bytes.readUInt16BE(14) : bytes.indexOf('\r\n') + 2;
  return end > 1 && bytes.length > end ? bytes.subarray(0, end) : null;
}

for (const io of await availableExecutors()) {
  describe(`PROXY headers and TLS (${io})`, () => {
    let certificates: Certificates;
    let inner: Server;
    let outer: TcpServer;
    let sluice: Sluice;
    const heard: Buffer[] = [];
    const said: string[] = [];
    let full: Awaited<ReturnType<typeof fullListener>>;
    let mute: TcpServer;

    /** Takes the header off, and passes on what is behind it. */
    const accept = (socket: Socket): void => {
      const chunks: Buffer[] = [];
      const look = (chunk: Buffer): void => {
        chunks.push(chunk);
        const bytes = Buffer.concat(chunks);
        const header = headerOf(bytes);
        if (header === null) return;
        socket.off('data', look);
        heard.push(header);
        said.push(bytes[header.length] === HANDSHAKE ? 'TLS' : 'other');
        const onward = connect((inner.address() as AddressInfo).port, HOST);
        onward.on('error', () => socket.destroy());
        socket.on('error', () => onward.destroy());
        onward.write(bytes.subarray(header.length));
        socket.pipe(onward).pipe(socket);
      };
      socket.on('data', look);
    };

    before(async () => {
      certificates = await Certificates.make();
      inner = createServer(certificates.server, (socket: TLSSocket) => {
        socket.on('error', () => undefined);
        socket.write('hello');
        socket.pipe(socket);
      });
      inner.listen(0, HOST);
      await once(inner, 'listening');
      outer = await listen(accept);
      // One that takes no connections, and one that takes them and does nothing.
      full = await fullListener();
      mute = await listen();
      const service = (version: string, endpoints: readonly string[], more = '') =>
        `{ protocol: opaque, proxyProtocol: ${version}, tls: ${certificates.service()}, endpoints: ${JSON.stringify(endpoints)}${more} }`;
      const own = `${HOST}:${outer.port}`;
      const hedged = ', hedgeDelay: 30ms, connectTimeout: 1h';
      const services = {
        v1: service('v1', [own]),
        v2: service('v2', [own]),
        dead: service(
          'v2',
          [`${HOST}:${await deadPort()}`, own],
          ', balance: { policy: round-robin }, breaker: { failures: 0 }',
        ),
        full: service('v1', [full.address, own], hedged),
        mute: service('v2', [`${HOST}:${mute.port}`, own], hedged),
      };
      sluice = await startSluice(
        [
          'drain: { hold: 0 }',
          'detect: { timeout: 0 }',
          'listeners:',
          ...Object.keys(services).map((name) => `  - { name: ${name}, listen: "${HOST}:0", service: ${name} }`),
          `  - { name: behind, listen: "${HOST}:0", service: v1, proxyProtocol: true, tls: ${certificates.listener()} }`,
          'services:',
          ...Object.entries(services).map(([name, keys]) => `  ${name}: ${keys}`),
          '',
        ].join('\n'),
        io,
      );
    });

    after(async () => {
      hangUp();
      await sluice?.stop();
      inner?.close();
      await outer?.close();
      await mute?.close();
      full?.close();
      certificates?.remove();
    });

    const expected = (version: string, from: number, to: number): string =>
      version === 'v1'
        ? `PROXY TCP4 127.0.0.1 127.0.0.1 ${from} ${to}\r\n`
        : `${V2_SIGNATURE}\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01${String.fromCharCode(from >> 8, from & 255, to >> 8, to & 255)}`;

    /** Clients that speak, and clients that wait for the server to. */
    const goes = async (listener: string, version: string, times: number): Promise<void> => {
      for (let i = 0; i < times; i++) {
        heard.length = 0;
        said.length = 0;
        const port = sluice.port(listener);
        const socket = await dial(port);
        if (i % 2 === 0) {
          socket.write('\0words');
          // The greeting and the echo may come as one.
          assert.equal((await read(socket, 11)).toString(), 'hello\0words');
        } else {
          assert.equal((await read(socket, 5)).toString(), 'hello');
          socket.write('\0words');
          assert.equal((await read(socket, 6)).toString(), '\0words');
        }
        const header = expected(version, socket.localPort ?? 0, port);
        assert.deepEqual(
          heard.map((one) => one.toString('latin1')),
          [header],
        );
        assert.deepEqual(said, ['TLS']);
        socket.destroy();
      }
    };

    it('go out before the handshake, in either version', async () => {
      await goes('v1', 'v1', 4);
      await goes('v2', 'v2', 4);
    });

    it('go to the endpoint that is taken where another one is down, or does not answer', async () => {
      await goes('dead', 'v2', 4);
      await goes('full', 'v1', 4);
      await goes('mute', 'v2', 4);
    });

    it('are passed on from the one that came in front of the TLS of a client', async () => {
      heard.length = 0;
      const raw = await dial(sluice.port('behind'));
      raw.write(V1);
      const socket = await secure(0, certificates, { socket: raw });
      const [first] = (await once(socket, 'data')) as [Buffer];
      assert.equal(first.toString(), 'hello');
      assert.deepEqual(
        heard.map((one) => one.toString('latin1')),
        [V1],
      );
      socket.destroy();
    });
  });
}

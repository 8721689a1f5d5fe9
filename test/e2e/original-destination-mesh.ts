// Part of original-destination-inside.ts: a listener of the mesh that connections are redirected to, as in a pod, and a Sluice that dials
// them with mutual TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { type ConnectionOptions, connect as connectTls, createServer as createTlsServer, type Server } from 'node:tls';
import { client, exchange } from '../support/http.js';
import { Http2Client } from '../support/http2.js';
import type { Certified } from '../support/pki.js';
import { type Executor, type Sluice, startSluice } from '../support/sluice.js';
import { readAll } from '../support/tcp.js';
import { FAR, Mesh } from './mesh-support.js';
import { ADDRESSES, PORT } from './original-destination-support.js';

const APP = 'app.example';
const TRANSPORT = 'transport.l5d.io/v1';
const REQUEST = 'GET / HTTP/1.1\r\nHost: untouched.example\r\n\r\n';
const text = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);

const varint = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)]);

/** The header of the opaque transport that names `port`. */
function toPort(port: number): Buffer {
  const message = [8, ...varint(port)];
  return Buffer.concat([Buffer.from(`${TRANSPORT}\r\n\r\n`), Buffer.from([0, 0, 0, message.length, ...message])]);
}

/** `under` is what Sluice is run with whose own connections are not redirected; `greeting` is what PORT.GREETS says. */
export function meshOnOriginalDestinations(io: Executor, under: readonly string[], greeting: string): void {
  describe(`${io}: redirected connections of the mesh`, () => {
    let mesh: Mesh;
    let far: Sluice;
    let near: Sluice;
    let peer: Certified;
    const apps: Server[] = [];

    before(async () => {
      mesh = await Mesh.make();
      peer = await mesh.workload('near');
      const own = await mesh.pki.leaf({ dns: [APP] });
      for (const { hosts } of ADDRESSES) {
        const app = createTlsServer({ key: own.key, cert: own.chain }, (socket) => socket.pipe(socket));
        app.listen(PORT.TLS, hosts[0]);
        await once(app, 'listening');
        apps.push(app);
      }
      far = await startSluice(
        `drain: { hold: 0 }
${await mesh.identity('far')}
opaquePorts: { add: [${PORT.OPAQUE}] }
listeners:
  - { name: ipv4, listen: "0.0.0.0:${ADDRESSES[0].port}", mesh: true, originalDestination: true }
  - { name: ipv6, listen: "[::]:${ADDRESSES[1].port}", mesh: true, originalDestination: true }
services: {}
`,
        io,
        {},
        under,
      );
      const services: Record<string, string> = {};
      for (const { tool, port, hosts } of ADDRESSES) {
        const direct = (at: number): string => `address: "${text(hosts[0], at)}", identity: ${FAR}`;
        const transport = (at: number): string => `${direct(at)}, proxy: { port: ${port} }`;
        services[`${tool}-http1`] = direct(PORT.HTTP1);
        services[`${tool}-http2`] = direct(PORT.HTTP2);
        services[`${tool}-greets`] = direct(PORT.GREETS);
        services[`${tool}-echo`] = direct(PORT.ECHO);
        services[`${tool}-http1-transport`] = transport(PORT.HTTP1);
        services[`${tool}-greets-transport`] = transport(PORT.GREETS);
        services[`${tool}-opaque-transport`] = transport(PORT.OPAQUE);
      }
      const lines = (of: (name: string) => string): string => Object.keys(services).map(of).join('\n');
      near = await startSluice(
        `drain: { hold: 0 }
${await mesh.identity('near')}
listeners:
${lines((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name} }`)}
services:
${lines((name) => `  ${name}: { endpoints: [{ ${services[name]} }], protocol: ${name.includes('opaque') ? 'opaque' : 'auto'} }`)}
`,
        io,
      );
    });
    after(async () => {
      assert.deepEqual([await near?.stop(), await far?.stop()], [0, 0]);
      for (const app of apps) app.close();
      mesh?.remove();
    });

    /** What TLS to a redirected address comes to. */
    async function secure(
      host: string,
      port: number,
      options: ConnectionOptions,
      says: string | Buffer,
    ): Promise<string> {
      const socket = connectTls({ host, port, ca: mesh.pki.anchor, ...options });
      let said = '';
      socket.on('data', (data: Buffer) => {
        said += data.toString('latin1');
        socket.end();
      });
      socket.on('error', () => undefined);
      socket.once('secureConnect', () => socket.write(says));
      await new Promise((resolve) => socket.once('close', resolve));
      return said;
    }

    for (const { tool, port: own, hosts } of ADDRESSES) {
      const [host] = hosts;
      const listener = tool === 'iptables' ? 'ipv4' : 'ipv6';
      const at = (name: string): number => near.port(`${tool}-${name}`);

      describe(listener, () => {
        it('go where the peer was going, out of TLS', async () => {
          const { status, body } = await exchange(at('http1'), REQUEST);
          assert.deepEqual([status, String(body)], [200, `${text(host, PORT.HTTP1)} untouched.example`]);
          const http2 = await Http2Client.open(at('http2'));
          const answer = await http2.ask({ ':path': '/', ':authority': 'untouched.example' });
          assert.equal(answer.text, `h2 ${text(host, PORT.HTTP2)} untouched.example`);
          http2.close();
          const echo = await client(at('echo'));
          echo.write('\0\x01bytes');
          assert.equal(String(await echo.read(7)), '\0\x01bytes');
          echo.destroy();
          const greets = await client(at('greets'));
          assert.equal(String(await greets.read(greeting.length)), greeting);
          greets.destroy();
          const ended = { listener, tls: 'true' };
          assert.ok((await far.metric('sluice_listener_tls_total', ended)) >= 4);
        });

        it('by the opaque transport go to the port that they name, opaque ports too', async () => {
          const before = await far.metric('sluice_transport_headers_total');
          const { status, body } = await exchange(at('http1-transport'), REQUEST);
          assert.deepEqual([status, String(body)], [200, `${text(host, PORT.HTTP1)} untouched.example`]);
          const greets = await client(at('greets-transport'));
          assert.equal(String(await greets.read(greeting.length)), greeting);
          greets.destroy();
          const opaque = await client(at('opaque-transport'));
          opaque.write(REQUEST);
          assert.equal(String(await opaque.read(REQUEST.length)), REQUEST);
          opaque.destroy();
          assert.equal(await far.metric('sluice_transport_headers_total'), before + 3);
        });

        it('with TLS of the application pass as they are, and plain text is served', async () => {
          assert.equal(await secure(host, PORT.TLS, { servername: APP }, 'own TLS'), 'own TLS');
          assert.ok((await far.metric('sluice_listener_tls_total', { listener, tls: 'opaque' })) >= 1);
          const plain = connect(PORT.HTTP1, host);
          plain.write(REQUEST.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'));
          assert.match(String(await readAll(plain)), /untouched.example$/);
        });

        it('to the port of the listener itself say where they are going, or are refused', async () => {
          const options = { servername: FAR, cert: peer.chain, key: peer.key };
          assert.match(await secure(host, PORT.HTTP1, options, REQUEST), /200 OK/);
          assert.match(await secure(host, own, options, REQUEST), /^HTTP\/1.1 421 /);
          // Nobody has redirected it: this is how peers come whose address no rule has changed.
          const unchanged = tool === 'iptables' ? '127.0.0.1' : '::1';
          assert.match(await secure(unchanged, own, options, REQUEST), /^HTTP\/1.1 421 /);
          const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket)).listen(0, unchanged);
          await once(echo, 'listening');
          const header = toPort((echo.address() as AddressInfo).port);
          const transport = { ...options, ALPNProtocols: [TRANSPORT] };
          assert.equal(await secure(unchanged, own, transport, Buffer.concat([header, Buffer.from('\0')])), '\0');
          echo.close();
        });
      });
    }
  });
}

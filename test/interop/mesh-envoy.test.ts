// Envoy in the mesh: it is known by its SPIFFE ID, and knows Sluice by Sluice's, as endpoint and as client.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { FAR, Mesh } from '../e2e/mesh-support.js';
import { content, digestOf, usual } from '../support/content.js';
import { exchange } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint } from '../support/http2.js';
import { spiffeName } from '../support/pki.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { dial, drink, ended, fate, listen, pour, type TcpServer } from '../support/tcp.js';
import { type Credentials, type Front, lackingProxy, startTlsProxy, type TlsProxy } from './tls-proxies.js';

const MANY = 4 << 20;
const SIZE = 300_001;
const ENVOY = spiffeName('envoy');
const SLUICE = spiffeName('far');
const OTHER = spiffeName('other');
const get = 'GET /who HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n';

const executors = await availableExecutors();
const lacking = lackingProxy('Envoy');
if (lacking !== false) console.error(`SKIPPED: ${lacking}: the mesh is not tried with it`);

describe('Envoy in the mesh', { skip: lacking }, () => {
  let mesh: Mesh;
  let identity: string;
  let app: Endpoint;
  let echo: TcpServer;
  let behind: TlsProxy;
  const own: Record<string, NonNullable<Credentials['own']>> = {};

  before(async () => {
    mesh = await Mesh.make();
    identity = await mesh.identity('far');
    for (const name of ['envoy', 'other']) own[name] = (await mesh.workload(name)).write(mesh.directory, name);
    const known = usual('hello');
    app = await http1Endpoint((request, response) => {
      if (request.url !== '/who') return known(request, response);
      request.resume();
      response.end(String(request.headers['l5d-client-id']));
    });
    echo = await listen((socket) => socket.pipe(socket));
    const by = { own: own.envoy, ca: mesh.anchors };
    behind = await startTlsProxy('Envoy', {
      backs: {
        http: { ...by, peer: SLUICE, to: app.port, speaks: 'http' },
        bytes: { ...by, peer: SLUICE, to: echo.port, speaks: 'bytes' },
        // For somebody else, and of another trust domain.
        picky: { ...by, peer: OTHER, to: app.port, speaks: 'http' },
        foreign: { ...by, peer: 'spiffe://elsewhere/ns/test/sa/far', to: app.port, speaks: 'http' },
      },
    });
  });
  after(async () => {
    hangUp();
    await behind?.stop();
    await app?.close();
    await echo?.close();
    mesh?.remove();
  });

  for (const io of executors)
    describe(io, () => {
      let sluice: Sluice;
      let ahead: TlsProxy;

      before(async () => {
        const out: Readonly<Record<string, readonly [back: string, identity: string]>> = {
          http: ['http', ENVOY],
          bytes: ['bytes', ENVOY],
          named: ['http', OTHER],
          picky: ['picky', ENVOY],
          foreign: ['foreign', ENVOY],
        };
        const rule = `authorization: { default: deny, rules: [{ name: envoy, identities: ["${ENVOY}"] }] }`;
        sluice = await startSluice(
          `drain: { hold: 0 }
${identity}
listeners:
  - { name: app, listen: "127.0.0.1:0", mesh: true, service: app, ${rule} }
  - { name: echo, listen: "127.0.0.1:0", mesh: true, service: echo, ${rule} }
${Object.keys(out)
  .map((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name} }\n`)
  .join('')}services:
  app: { endpoints: ["127.0.0.1:${app.port}"] }
  echo: { endpoints: ["127.0.0.1:${echo.port}"] }
${Object.entries(out)
  .map(
    ([name, [back, peer]]) =>
      `  ${name}: { endpoints: [{ address: "127.0.0.1:${behind.port(back)}", identity: "${peer}" }], breaker: { failures: 0 } }\n`,
  )
  .join('')}`,
          io,
        );
        const by = { own: own.envoy, ca: mesh.anchors, peer: SLUICE, serverName: FAR, to: sluice.port('app') };
        const fronts: Readonly<Record<string, Front>> = {
          h1: { ...by, speaks: 'h1' },
          h2: { ...by, speaks: 'h2' },
          bytes: { ...by, to: sluice.port('echo'), speaks: 'bytes' },
          named: { ...by, peer: OTHER, speaks: 'h1' },
          other: { ...by, own: own.other, speaks: 'h1' },
          othersBytes: { ...by, own: own.other, to: sluice.port('echo'), speaks: 'bytes' },
          nobody: { ...by, own: null, speaks: 'h2' },
        };
        ahead = await startTlsProxy('Envoy', { fronts });
      });
      after(async () => {
        await ahead?.stop();
        assert.equal(await sluice?.stop(), 0);
      });

      /** A digest there and bytes back, by HTTP/2. */
      async function much(port: number): Promise<readonly unknown[]> {
        const client = await Http2Client.open(port);
        const up = await client.ask({ ':path': '/digest', ':method': 'POST' }, { body: content(SIZE) });
        assert.deepEqual(JSON.parse(up.text), digestOf(content(SIZE)));
        const down = await client.ask({ ':path': `/bytes/${SIZE}` });
        assert.ok(down.body.equals(content(SIZE)));
        client.close();
        return [down.headers['x-client'], down.headers['x-spoke']];
      }
      async function bytes(port: number): Promise<void> {
        const socket = await dial(port);
        const [there, back] = await Promise.all([pour(socket, 3, MANY), drink(socket, MANY)]);
        assert.equal(back, there);
        socket.end();
        assert.equal(await ended(socket), 'end');
      }

      it('as an endpoint knows us by our SPIFFE ID', async () => {
        const { status, field } = await exchange(sluice.port('http'), get);
        assert.deepEqual([status, field('x-client')], [200, SLUICE]);
        const [client, spoke] = await much(sluice.port('http'));
        assert.equal(client, SLUICE);
        assert.match(String(spoke), /^HTTP\/2 TLSv1.3 envoy\./);
        await bytes(sluice.port('bytes'));
      });

      it('as an endpoint gets nothing where it has another ID than was wanted, and refuses us where ours is another', async () => {
        const before = app.requests;
        for (const name of ['named', 'picky', 'foreign']) {
          const { status } = await exchange(sluice.port(name), get);
          assert.match(String(status), /^50[23]$/, name);
          assert.notEqual(await fate(sluice.port(name), '\x00\x01'), '');
        }
        assert.equal(app.requests, before);
        const failures = (cause: string): Promise<number> =>
          sluice.metric('sluice_tls_handshake_failures_total', { role: 'client', cause });
        assert.ok((await failures('wrong-name')) > 0);
      });

      it('as a client is known to the application by its SPIFFE ID', async () => {
        const { status, body } = await exchange(ahead.port('h1'), get);
        assert.deepEqual([status, body.toString()], [200, ENVOY]);
        const client = await Http2Client.open(ahead.port('h2'));
        assert.equal((await client.ask({ ':path': '/who' })).text, ENVOY);
        client.close();
        await much(ahead.port('h2'));
        await bytes(ahead.port('bytes'));
      });

      it('as a client gets nothing where we have another ID than it wants, or the rules want another of it', async () => {
        const before = app.requests;
        assert.equal((await exchange(ahead.port('named'), get)).status, 503);
        assert.equal((await exchange(ahead.port('other'), get)).status, 403);
        const client = await Http2Client.open(ahead.port('nobody'));
        assert.equal((await client.ask({ ':path': '/who' })).status, 403);
        client.close();
        assert.notEqual(await fate(ahead.port('othersBytes'), '\x00\x01'), '');
        assert.equal(app.requests, before);
        assert.ok(
          (await sluice.metric('sluice_tls_handshake_failures_total', { role: 'server', cause: 'refused' })) > 0,
        );
      });
    });
});

// Authorization between two Sluices of a mesh: who the near one is decides what the far one passes on, however the connection comes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { GrpcClient, type GrpcEndpoint, grpcEndpoint } from '../support/grpc.js';
import { client, exchange, type Message } from '../support/http.js';
import { availableExecutors, plainSockets, type Sluice } from '../support/sluice.js';
import { listen, type TcpServer } from '../support/tcp.js';
import { FAR, Mesh, NEAR, startFar, startNear, stopAll } from './mesh-support.js';

const TEST_MS = 8000;
const PERMISSION_DENIED = 7;
const WAYS = {
  'as they are': '',
  'by the opaque transport': 'port',
  'with HTTP/1 over HTTP/2': 'http2',
} as const;

for (const io of plainSockets ? await availableExecutors() : []) {
  for (const [name, way] of Object.entries(WAYS)) {
    // What rides on HTTP/2 is the same on both executors.
    if (way === 'http2' && io === 'uring') continue;
    describe(`authorization in the mesh, ${name} (${io})`, () => {
      let mesh: Mesh;
      let web: Server;
      let bytes: TcpServer;
      let grpc: GrpcEndpoint;
      let far: Sluice;
      let near: Sluice;
      let other: Sluice;

      before(async () => {
        mesh = await Mesh.make();
        web = createServer((request, response) => response.end(JSON.stringify(request.headers)));
        web.listen(0, '127.0.0.1');
        await once(web, 'listening');
        bytes = await listen((socket) => {
          socket.write('220 I speak first\n');
          socket.on('end', () => socket.end());
        });
        grpc = await grpcEndpoint();
        const ports = { web: (web.address() as AddressInfo).port, bytes: bytes.port, grpc: grpc.port };
        // The port that the header of the opaque transport names, not that of the listener.
        const rule = (port: number): string => {
          const only = `ports: [${way === 'port' ? port : '"1-65535"'}]`;
          const near = `{ name: near, identities: ["${NEAR}"], ${only} }`;
          return `authorization: { default: deny, rules: [${near}, { name: public, methods: [GET], path: /public, ${only} }] }`;
        };
        const apps = Object.entries(ports).map(
          ([app, port]) => [app, { address: `127.0.0.1:${port}`, listener: rule(port) }] as const,
        );
        far = await startFar(mesh, io, Object.fromEntries(apps));
        const seen = Object.entries(ports).map(([app, port]) => {
          const proxy =
            way === 'port' ? `, proxy: { port: ${far.port(app)} }` : way === 'http2' ? ', proxy: { http2: true }' : '';
          const at = way === 'port' ? port : far.port(app);
          return [app, { address: `127.0.0.1:${at}`, endpoint: `identity: ${FAR}${proxy}` }] as const;
        });
        [near, other] = await Promise.all([
          startNear(mesh, io, Object.fromEntries(seen)),
          startNear(mesh, io, Object.fromEntries(seen), await mesh.identity('other')),
        ]);
      });

      after(async () => {
        await stopAll();
        web?.closeAllConnections();
        web?.close();
        await bytes?.close();
        grpc?.close();
        mesh?.remove();
      });

      const get = (through: Sluice, path: string): Promise<Message> =>
        exchange(
          through.port('web'),
          `GET ${path} HTTP/1.1\r\nHost: app.example\r\nl5d-client-id: root\r\nConnection: close\r\n\r\n`,
        );
      const test = (what: string, body: () => Promise<void>): void => void it(what, { timeout: TEST_MS }, body);

      test('requests pass for one identity, and not for another', async () => {
        const served = await get(near, '/any');
        assert.equal(served.status, 200);
        const headers = JSON.parse(served.body.toString()) as Record<string, string>;
        assert.match(headers['l5d-client-id'], /near/);
        assert.deepEqual(
          Object.keys(headers).filter((field) => field.startsWith('l5d-')),
          ['l5d-client-id'],
        );
        const refused = await get(other, '/any');
        assert.deepEqual([refused.status, refused.field('sluice-error')], [403, 'unauthorized']);
        const open = await get(other, '/public');
        assert.match((JSON.parse(open.body.toString()) as Record<string, string>)['l5d-client-id'], /other/);
        // Without any identity, past the near one.
        const path = way === 'port' ? '/public' : '/any';
        const stranger = await exchange(
          far.port('web'),
          `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
        );
        assert.equal(stranger.status, 403);
        assert.ok(
          (await far.metric('sluice_authorization_allowed_total', { listener: 'web', rule: 'near', kind: 'http' })) >=
            1,
        );
      });

      test('calls of gRPC are told why not', async () => {
        for (const [through, code] of [
          [near, 0],
          [other, PERMISSION_DENIED],
        ] as const) {
          const caller = new GrpcClient(through.port('grpc'));
          assert.equal((await caller.unary(Buffer.from('hello'))).status.code, code);
          caller.close();
        }
      });

      test('a server that speaks first is heard by one identity, and not by another', async () => {
        const wire = await client(near.port('bytes'));
        await wire.until(() => wire.total > 0, 'it speaks');
        wire.destroy();
        const stranger = await client(other.port('bytes'));
        stranger.write('\0\0no http\r\n\r\n');
        await stranger.until(() => stranger.end !== undefined, 'it is refused');
        assert.equal(stranger.total, 0);
        stranger.destroy();
        assert.ok(
          (await far.metric('sluice_authorization_denied_total', {
            listener: 'bytes',
            rule: 'default',
            kind: 'tcp',
          })) >= 1,
        );
      });
    });
  }
}

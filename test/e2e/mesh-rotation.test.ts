// The root of a mesh is replaced while it works: another anchor beside the old one, certificates of it, the old one withdrawn. No request
// fails, though each makes a connection of its own between the two proxies; and who shows a certificate of the old root is refused then.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls, createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { client, exchange } from '../support/http.js';
import { type Certified, Pki } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice } from '../support/sluice.js';
import { FAR, Mesh, startFar, startNear, stopAll } from './mesh-support.js';

const CLIENTS = 3;
/** Requests of each client that each step has to see. */
const ENOUGH = 20;

after(stopAll);

for (const io of await availableExecutors()) {
  describe(`the root of a mesh is replaced (${io})`, () => {
    let mesh: Mesh;
    let next: Pki;
    let old: Certified;
    let app: Server;
    let stranger: TlsServer;
    let far: Sluice;
    let near: Sluice;
    const failures: string[] = [];
    const counts: number[] = [];
    let over = false;
    let load: Promise<unknown> = Promise.resolve();

    /** Writes a file at once, as Kubernetes does. */
    function replace(name: string, text: string): void {
      const path = join(mesh.directory, name);
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
    }

    function certify(account: string, { chain, key }: Certified): void {
      replace(`${account}-key.pem`, key);
      replace(`${account}.pem`, chain);
    }

    const refreshes = (sluice: Sluice): Promise<number> =>
      sluice.metric('control_identity_cert_refreshes_total', { result: 'ok' });

    /** Both proxies have taken over what `change` does, and requests have been answered since. */
    async function step(change: () => void): Promise<void> {
      const before = await Promise.all([near, far].map(refreshes));
      change();
      await eventually(
        async () => (await Promise.all([near, far].map(refreshes))).every((count, i) => count > before[i]),
        'both take it over',
      );
      const sofar = [...counts];
      await eventually(() => counts.every((count, i) => count >= sofar[i] + ENOUGH) || failures.length > 0, 'requests');
      assert.deepEqual(failures, []);
    }

    async function http1Client(index: number): Promise<void> {
      const own = await client(near.port('http1'));
      while (!over) {
        const { status } = await own.get();
        if (status === 200) counts[index]++;
        else failures.push(`HTTP/1: ${status}`);
      }
      own.destroy();
    }

    before(async () => {
      mesh = await Mesh.make();
      next = await Pki.make({ name: 'next' });
      old = await mesh.workload('near');
      app = createServer((_request, response) => response.end('hello'));
      app.listen(0, '127.0.0.1');
      await once(app, 'listening');
      const far_ = await mesh.workload('far');
      stranger = createTlsServer({
        cert: far_.chain,
        key: far_.key,
        ca: next.anchor,
        requestCert: true,
        rejectUnauthorized: false,
      });
      stranger.on('secureConnection', (socket) => socket.on('error', () => undefined).end());
      stranger.on('tlsClientError', () => undefined);
      stranger.listen(0, '127.0.0.1');
      await once(stranger, 'listening');
      const address = `127.0.0.1:${(app.address() as AddressInfo).port}`;
      far = await startFar(mesh, io, { http1: { address } });
      // Nothing is kept, so that each request takes a handshake.
      const service = 'protocol: http1, pool: { maxIdle: 0 }';
      near = await startNear(mesh, io, {
        http1: { address: `127.0.0.1:${far.port('http1')}`, service },
        stranger: { address: `127.0.0.1:${(stranger.address() as AddressInfo).port}`, service },
      });
      for (let index = 0; index < CLIENTS; index++) counts.push(0);
      load = Promise.all(counts.map((_, index) => http1Client(index)));
      load.catch((error) => failures.push(String(error)));
    });
    after(async () => {
      over = true;
      await load;
      app.close();
      stranger.close();
      await Promise.all([near.stop(), far.stop()]);
      mesh.remove();
    });

    it('the new root beside the old one', async () => {
      await step(() => replace('anchors.pem', mesh.pki.anchor + next.anchor));
      assert.equal(await near.metric('sluice_identity_anchors'), 2);
    });

    it('certificates of the new root', async () => {
      const [forFar, forNear] = [await next.workload('far'), await next.workload('near')];
      await step(() => {
        certify('far', forFar);
        certify('near', forNear);
      });
    });

    it('the new root alone', async () => {
      await step(() => replace('anchors.pem', next.anchor));
      assert.equal(await far.metric('sluice_identity_anchors'), 1);
    });

    it('a client with a certificate of the old root is refused', async () => {
      const port = far.port('http1');
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        servername: FAR,
        ca: next.anchor,
        cert: old.chain,
        key: old.key,
      });
      const [error] = (await once(socket, 'error')) as [Error];
      assert.match(String(error), /unknown ca/i);
      const welcome = await next.workload('somebody');
      const other = connectTls({
        port,
        host: '127.0.0.1',
        servername: FAR,
        ca: next.anchor,
        cert: welcome.chain,
        key: welcome.key,
      });
      await once(other, 'secureConnect');
      other.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
      const [answer] = (await once(other, 'data')) as [Buffer];
      assert.match(answer.toString(), /^HTTP\/1\.1 200 /);
      other.destroy();
    });

    it('an endpoint with a certificate of the old root is refused', async () => {
      const { status } = await exchange(near.port('stranger'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.equal(status, 502);
      await eventually(
        async () =>
          (await near.metric('sluice_tls_handshake_failures_total', { role: 'client', cause: 'unknown-authority' })) >
          0,
        'the failure is counted',
      );
    });
  });
}

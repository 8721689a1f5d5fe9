// TLS of the application between two Sluices of the mesh: passed on as it is, or wrapped into the mesh's own. Both ends are OpenSSL's.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Certified } from '../support/pki.js';
import { which } from '../support/servers.js';
import { availableExecutors, type Sluice } from '../support/sluice.js';
import { type Apps, FAR, Mesh, NEAR, startFar, startNear, stopAll, type Tap, tap } from './mesh-support.js';
import { OpensslClient, type OpensslServer, opensslServer } from './openssl-support.js';

const NAME = 'app.example';
const WORD = 'nobody may read this';
const backwards = (text: string): string => [...text].reverse().join('');
const lacking = which('openssl') === null ? 'openssl is not installed' : false;

/** By listener of `near`: whether the application's TLS is wrapped, and whether it takes the opaque transport. */
const WAYS = {
  passed: { wrap: false, transport: false },
  'passed-by-transport': { wrap: false, transport: true },
  wrapped: { wrap: true, transport: false },
  'wrapped-by-transport': { wrap: true, transport: true },
} as const;
const executors = await availableExecutors();

describe('TLS of the application', { skip: lacking }, () => {
  let mesh: Mesh;
  let own: Certified;
  let app: OpensslServer;

  before(async () => {
    mesh = await Mesh.make();
    own = await mesh.pki.leaf({ dns: [NAME] });
    own.write(mesh.directory, 'app');
    const shown = ['-cert', 'app.pem', '-key', 'app-key.pem', '-cert_chain', 'app.pem'];
    app = await opensslServer(mesh.directory, ...shown, '-rev');
  });
  after(async () => {
    await app?.stop();
    mesh?.remove();
  });

  for (const io of executors)
    describe(`through a pair of the mesh (${io})`, () => {
      let far: Sluice;
      let near: Sluice;
      let open: Tap;
      let closed: Tap;

      before(async () => {
        const address = `127.0.0.1:${app.port}`;
        // Who is not known is not let in to the second one.
        const listener = `authorization: { default: deny, rules: [{ name: near, identities: ["${NEAR}"] }] }`;
        far = await startFar(mesh, io, { open: { address }, closed: { address, listener } });
        open = await tap(far.port('open'));
        closed = await tap(far.port('closed'));
        const apps: Record<string, Apps[string]> = {};
        for (const [name, { wrap, transport }] of Object.entries(WAYS)) {
          const { port } = wrap ? closed : open;
          const endpoint = `identity: ${FAR}${transport ? `, proxy: { port: ${port} }` : ''}`;
          const service = `applicationTls: ${wrap ? 'wrap' : 'pass'}`;
          apps[name] = { address: transport ? address : `127.0.0.1:${port}`, endpoint, service };
        }
        apps.refused = { address: `127.0.0.1:${closed.port}`, service: 'applicationTls: pass' };
        near = await startNear(mesh, io, apps);
      });
      after(async () => {
        await stopAll();
        open?.close();
        closed?.close();
      });

      /** One line there and back, and what it looked like to the client. */
      async function line(listener: string): Promise<string> {
        const trusted = ['-CAfile', mesh.anchors, '-verify_return_error', '-verify_hostname', NAME];
        const client = new OpensslClient(near.port(listener), ['-servername', NAME, ...trusted]);
        client.say(`${WORD}\n`);
        await client.heard(backwards(WORD));
        client.say('Q\n');
        return client.closed;
      }

      for (const [name, { wrap, transport }] of Object.entries(WAYS))
        it(`is ${wrap ? 'wrapped' : 'passed on as it is'}${transport ? ', though there is an opaque transport' : ''}`, async () => {
          const passed = await near.metric('sluice_tls_passed_total');
          const dialled = await near.metric('sluice_tls_handshakes_total', { role: 'client' });
          const text = await line(name);
          assert.match(text, /Verification: OK/);
          assert.match(text, /subject=CN ?= ?app.example/);
          const now = [
            await near.metric('sluice_tls_passed_total'),
            await near.metric('sluice_tls_handshakes_total', { role: 'client' }),
          ];
          assert.deepEqual(now, wrap ? [passed, dialled + 1] : [passed + 1, dialled]);
        });

      it('can be seen on the way where it is passed, not where it is wrapped', () => {
        for (const [seen, bytes] of [
          [open, true],
          [closed, false],
        ] as const) {
          assert.ok(seen.bytes().length > 2000);
          // Of the ClientHello: whom the client asks for.
          assert.equal(seen.bytes().includes(NAME), bytes);
          assert.ok(!seen.bytes().includes(WORD));
        }
      });

      it('is refused where it is passed to who wants to know its client', async () => {
        const client = new OpensslClient(near.port('refused'), ['-servername', NAME]);
        assert.doesNotMatch(await client.closed, /subject=CN/);
        await far.logged(({ message, reason }) => message === 'refused' && reason === 'unauthorized');
      });
    });
});

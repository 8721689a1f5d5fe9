// grpc-go in mutual TLS, as client of a listener and as server behind it: calls of each kind, and what is wrong is UNAVAILABLE.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Certificates, NAME } from '../e2e/tls-support.js';
import type { RealServer } from '../support/servers.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { lacking, peerClient, peerServer, stopPeers } from './peers.js';

interface Secured {
  readonly code: string;
  readonly said: string;
  /** The name in the certificate that the client has seen. */
  readonly server: string;
  /** The one that the server has seen. */
  readonly client: string;
  readonly group: string;
  readonly version: string;
}

const [major, minor] = process.versions.openssl.split('.').map(Number);
/** Go offers the hybrid group, and knows both. */
const GROUP = major > 3 || (major === 3 && minor >= 5) ? 'X25519MLKEM768' : 'X25519';
const executors = await availableExecutors();

after(stopPeers);

describe('grpc-go in mutual TLS', { skip: lacking('go') }, () => {
  let certificates: Certificates;
  let server: RealServer & { readonly address: string };
  const own = (name: string): readonly [string, string] => [
    certificates.path(`${name}.pem`),
    certificates.path(`${name}-key.pem`),
  ];

  before(async () => {
    certificates = await Certificates.make();
    (await certificates.stranger.leaf({ dns: ['client.example'] })).write(certificates.directory, 'strange');
    (await certificates.pki.leaf({ dns: ['sluice.example'] })).write(certificates.directory, 'sluice');
    const [certificate, key] = own('web');
    const ca = certificates.path('ca.pem');
    server = await peerServer('go', 'serve', 'grpc', '-ca', ca, '-certificate', certificate, '-key', key);
  });
  after(async () => {
    await server?.stop();
    certificates?.remove();
  });

  for (const io of executors)
    describe(io, () => {
      let sluice: Sluice;

      before(async () => {
        const shown = (name: string): string => {
          const [certificate, key] = own(name);
          return `certificate: ${certificate}, key: ${key}`;
        };
        const ca = certificates.path('ca.pem');
        const services = {
          right: `{ serverName: ${NAME}, ca: ${ca}, ${shown('sluice')} }`,
          strange: `{ serverName: ${NAME}, ca: ${ca}, ${shown('strange')} }`,
          nobody: `{ serverName: ${NAME}, ca: ${ca} }`,
          distrusting: `{ serverName: ${NAME}, ca: ${certificates.path('stranger.pem')}, ${shown('sluice')} }`,
          named: `{ serverName: other.example, ca: ${ca}, ${shown('sluice')} }`,
        };
        const tls = certificates.listener(`clientAuthority: ${ca}`);
        sluice = await startSluice(
          `drain: { hold: 0 }
listeners:
${Object.keys(services)
  .map((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name}, tls: ${tls} }\n`)
  .join('')}services:
${Object.entries(services)
  .map(([name, tls]) => `  ${name}: { endpoints: ["${server.address}"], breaker: { failures: 0 }, tls: ${tls} }\n`)
  .join('')}`,
          io,
        );
      });
      after(async () => {
        assert.equal(await sluice?.stop(), 0);
      });

      /** `as`: whose certificate the client shows; null: none. */
      function call(listener: string, as: string | null, ca = 'ca', name = NAME): Promise<Secured> {
        const [certificate, key] = as === null ? ['', ''] : own(as);
        const shown = as === null ? [] : ['-certificate', certificate, '-key', key];
        const trusted = ['-ca', certificates.path(`${ca}.pem`), '-server', name];
        return peerClient<Secured>('go', 'secure', `127.0.0.1:${sluice.port(listener)}`, ...trusted, ...shown);
      }

      it('calls, and is called', async () => {
        const { code, said, server, client, group, version } = await call('right', 'client');
        assert.deepEqual([code, said], ['OK', '']);
        assert.deepEqual([server, client, version], [NAME, 'sluice.example', 'TLS 1.3']);
        assert.equal(group, GROUP);
        const counted = (role: string): Promise<number> =>
          sluice.metric('sluice_tls_handshakes_total', { role, group });
        assert.ok((await counted('server')) > 0 && (await counted('client')) > 0);
      });

      it('is told UNAVAILABLE where it is not believed, or believes nobody', async () => {
        const wrong = {
          'a client that nobody has signed': call('right', 'strange'),
          'a client without a certificate': call('right', null),
          'an authority that has not signed us': call('right', 'client', 'stranger'),
          'another name': call('right', 'client', 'ca', 'other.example'),
        };
        for (const [what, calling] of Object.entries(wrong)) assert.equal((await calling).code, 'Unavailable', what);
      });

      it('is told UNAVAILABLE where the server does not believe us, or we do not believe it', async () => {
        for (const name of ['strange', 'nobody', 'distrusting', 'named'])
          assert.equal((await call(name, 'client')).code, 'Unavailable', name);
      });
    });
});

// A proxy that has its identity from our own identity service: renewed while both live, kept while the service is away, refused in words.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type IdentityProcess, startIdentityService } from '../support/identity-service.js';
import { eventually, inherited, type Sluice, startSluice } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const WEB = 'web.shop.serviceaccount.identity.sluice.cluster.local';

describe('a proxy and our identity service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-service-'));
  const path = (name: string): string => join(directory, 'made', name);
  let service: IdentityProcess;
  let sluice: Sluice;

  const serve = (at = '127.0.0.1:0'): Promise<IdentityProcess> => {
    const files = [
      '--issuer',
      path('issuer.pem'),
      '--issuer-key',
      path('issuer-key.pem'),
      '--anchors',
      path('anchors.pem'),
    ];
    return startIdentityService([...files, '--tokens', path('tokens'), '--tls', '--lifetime', '1m', '--listen', at]);
  };
  const config = (port: number, account = 'web'): string => `
drain: { hold: 0 }
identity:
  name: ${WEB}
  minBackoff: 100ms
  maxBackoff: 200ms
  linkerd:
    address: 127.0.0.1:${port}
    token: ${path(`${account}.shop.token`)}
    anchors: ${path('anchors.pem')}
    minRefresh: 500ms
    maxRefresh: 500ms
listeners:
  - { name: edge, listen: "127.0.0.1:0", service: web }
services:
  web: { endpoints: ["127.0.0.1:9"] }
`;
  const taken = (of: Sluice): Promise<number> => of.metric('control_identity_cert_refreshes_total', { result: 'ok' });

  before(async () => {
    const args = [MAIN, 'identity', 'dev', join(directory, 'made'), '--names', 'shop/web,shop/cart'];
    execFileSync(process.execPath, args, { env: inherited() });
    service = await serve();
    sluice = await startSluice(config(service.port), 'epoll');
  });
  after(async () => {
    await sluice.stop();
    await service.stop();
    rmSync(directory, { recursive: true });
  });

  it('gets one, and the next one in time', async () => {
    await eventually(async () => (await sluice.admin('/ready')).startsWith('ready'), 'ready');
    await eventually(async () => (await taken(sluice)) >= 3, 'the next ones');
    const issued = service.logged('certificate issued');
    assert.ok(issued.length >= 3);
    assert.deepEqual(
      new Set(issued.map(({ identity, account }) => `${identity} ${account}`)),
      new Set([`${WEB} shop/web`]),
    );
    assert.equal(new Set(issued.map(({ serial }) => serial)).size, issued.length);
  });

  it('of another account is refused, and says why', async () => {
    const other = await startSluice(config(service.port, 'cart'), 'epoll');
    try {
      await eventually(
        async () => /may have cart\.shop\..*PERMISSION_DENIED/.test(await other.admin('/ready')),
        'a reason',
      );
      assert.equal(service.logged('certificate refused').at(-1)?.account, 'shop/cart');
    } finally {
      await other.stop();
    }
  });

  it('keeps what it has while the service is away, and is renewed when that is back', async () => {
    const { port } = service;
    await service.stop();
    await eventually(async () => (await sluice.admin('/ready')).includes('is not renewed'), 'the note');
    assert.match(await sluice.admin('/ready'), /^ready\n/);
    const before = await taken(sluice);
    service = await serve(`127.0.0.1:${port}`);
    await eventually(async () => (await taken(sluice)) > before, 'a renewal');
    assert.equal((await sluice.admin('/ready')).trim(), 'ready');
  });
});

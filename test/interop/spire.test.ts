// An identity from SPIRE, by the SPIFFE Workload API.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { exchange } from '../support/http.js';
import { eventually, type Sluice, startSluice } from '../support/sluice.js';
import { lackingSpire, Spire } from './spire.js';

const lacking = lackingSpire();
if (lacking !== false) console.error(`SKIPPED: ${lacking}: the Workload API is not tried with SPIRE`);

describe('an identity from SPIRE', { skip: lacking }, () => {
  let spire: Spire;
  let app: Server;
  let sluice: Sluice;
  const identity = (): string =>
    `identity: { trustDomain: example.org, minBackoff: 100ms, maxBackoff: 500ms, spiffe: { socket: "unix://${spire.socket}" } }`;
  const ready = async (): Promise<string> => (await sluice.admin('/ready')).trim();
  const taken = (): Promise<number> => sluice.metric('control_identity_cert_refreshes_total', { result: 'ok' });
  const says = (pattern: RegExp, patienceMs = 20_000): Promise<void> =>
    eventually(async () => pattern.test(await ready()), String(pattern), patienceMs);

  before(async () => {
    spire = await Spire.start();
    app = createServer((_request, response) => response.end('hello'));
    app.listen(0, '127.0.0.1');
    await once(app, 'listening');
    sluice = await startSluice(
      `
drain: { hold: 0 }
${identity()}
listeners:
  - { name: edge, listen: "127.0.0.1:0", mesh: true, service: web }
services:
  web: { endpoints: ["127.0.0.1:${(app.address() as AddressInfo).port}"] }
`,
      'epoll',
    );
  });
  after(async () => {
    await sluice?.stop();
    await spire?.stop();
    app?.close();
  });

  it('is not to be had while no agent runs, and while the agent knows no entry for us', async () => {
    await says(
      new RegExp(`^not ready\nno identity yet: the Workload API at ${spire.socket} cannot be reached: .*ENOENT`),
    );
    await spire.startAgent();
    await says(/refuses: no identity issued \(PERMISSION_DENIED\)/);
    assert.equal(await taken(), 0);
  });

  it('comes once there is an entry, and again when half of its life is over', async () => {
    const id = await spire.register('/ns/shop/sa/web', 20);
    await says(/^ready$/);
    const line = await sluice.logged(({ message }) => message === 'identity');
    assert.deepEqual([line.name, line.serverNames], [id, ['web.sa.shop.ns.example.org']]);
    assert.ok((await sluice.metric('sluice_identity_expires_in_seconds')) <= 20);
    await eventually(async () => (await taken()) >= 2, 'a renewal', 30_000);
    assert.equal(await ready(), 'ready');
  });

  it('is what two proxies know each other by', async () => {
    const near = await startSluice(
      `
drain: { hold: 0 }
${identity()}
listeners:
  - { name: right, listen: "127.0.0.1:0", service: right }
  - { name: wrong, listen: "127.0.0.1:0", service: wrong }
services:
  right: { endpoints: [{ address: "127.0.0.1:${sluice.port('edge')}", identity: "spiffe://example.org/ns/shop/sa/web" }] }
  wrong: { endpoints: [{ address: "127.0.0.1:${sluice.port('edge')}", identity: "spiffe://example.org/ns/shop/sa/db" }] }
`,
      'epoll',
    );
    try {
      await eventually(async () => (await near.admin('/ready')).startsWith('ready'), 'ready');
      const { status, body } = await exchange(near.port('right'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      assert.deepEqual([status, body.toString()], [200, 'hello']);
      assert.ok((await sluice.metric('sluice_tls_handshakes_total', { role: 'server' })) > 0);
      assert.equal((await exchange(near.port('wrong'), 'GET / HTTP/1.1\r\nHost: a\r\n\r\n')).status, 502);
    } finally {
      await near.stop();
    }
  });

  it('serves on when the agent is gone', async () => {
    await spire.stopAgent();
    await says(/^ready\nthe identity expires at \S+ and is not renewed: the Workload API at .* cannot be reached/);
  });
});

// An identity from SPIRE, by the SPIFFE Workload API.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, type Sluice, startSluice } from '../support/sluice.js';
import { lackingSpire, Spire } from './spire.js';

const lacking = lackingSpire();
if (lacking !== false) console.error(`SKIPPED: ${lacking}: the Workload API is not tried with SPIRE`);

describe('an identity from SPIRE', { skip: lacking }, () => {
  let spire: Spire;
  let sluice: Sluice;
  const ready = async (): Promise<string> => (await sluice.admin('/ready')).trim();
  const taken = (): Promise<number> => sluice.metric('control_identity_cert_refreshes_total', { result: 'ok' });
  const says = (pattern: RegExp, patienceMs = 20_000): Promise<void> =>
    eventually(async () => pattern.test(await ready()), String(pattern), patienceMs);

  before(async () => {
    spire = await Spire.start();
    sluice = await startSluice(
      `
drain: { hold: 0 }
identity: { trustDomain: example.org, minBackoff: 100ms, maxBackoff: 500ms, spiffe: { socket: "unix://${spire.socket}" } }
listeners:
  - { name: edge, listen: "127.0.0.1:0", service: web }
services:
  web: { endpoints: ["127.0.0.1:9"] }
`,
      'epoll',
    );
  });
  after(async () => {
    await sluice?.stop();
    await spire?.stop();
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

  it('serves on when the agent is gone', async () => {
    await spire.stopAgent();
    await says(/^ready\nthe identity ends at \S+ and is not renewed: the Workload API at .* cannot be reached/);
  });
});

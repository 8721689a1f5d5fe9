// Linkerd's own proxy, on the way in to a server: Sluice reaches it in mutual TLS, and it knows who Sluice is.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Processes } from '../../src/harness/processes.js';
import { linkerd2Proxy } from '../../src/harness/subjects/linkerd2-proxy.js';
import { availableExecutors, startSluice } from '../support/sluice.js';

const subject = linkerd2Proxy();
const missing = subject.missing();
const FIRST_PORT = 27_300;
const nameOf = (account: string): string => `${account}.shop.serviceaccount.identity.sluice.cluster.local`;

describe("Linkerd's proxy", { skip: missing ?? false }, () => {
  const processes = new Processes(FIRST_PORT);
  after(() => processes.close());

  it('takes requests of Sluice in mutual TLS, and tells the server whose they are', async (t) => {
    const server = createServer((request, response) => response.end(String(request.headers['l5d-client-id'])));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
    t.after(() => server.close());
    const upstream = (server.address() as AddressInfo).port;
    const work = { kind: 'http', upstream, workers: 1, cores: '0', connections: 8 } as const;
    const linkerd = await subject.start(processes, work);
    t.after(() => linkerd.stop?.());
    const directory = readdirSync(processes.directory).find(
      (name) => name.startsWith('linkerd-') && !name.includes('.'),
    );
    const issued = join(processes.directory, directory ?? '', 'issued');
    for (const io of await availableExecutors()) {
      const sluice = await startSluice(
        `
identity:
  files:
    certificate: ${issued}/client.shop.pem
    key: ${issued}/client.shop-key.pem
    anchors: ${issued}/anchors.pem
listeners:
  - { name: outbound, listen: "127.0.0.1:0", service: web }
services:
  web: { endpoints: [{ address: "${linkerd.address}:${linkerd.port}", identity: ${nameOf('web')} }] }
`,
        io,
      );
      try {
        for (let i = 0; i < 3; i++) {
          const response = await fetch(`http://127.0.0.1:${sluice.port('outbound')}/`);
          assert.equal(response.status, 200);
          assert.equal(await response.text(), nameOf('client'));
        }
        const labels = { tls: 'true', server_id: nameOf('web') };
        assert.equal(await sluice.metric('request_total', labels), 3);
      } finally {
        await sluice.stop();
      }
    }
  });
});

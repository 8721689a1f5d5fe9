// HTTP/2 over TLS by a client library of its own kind: ALPN, session reuse and multiplexing survive the relay.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Agent, request } from 'http2-wrapper';
import { run, which } from '../support/servers.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';

const NO_OPENSSL = which('openssl') === null && 'openssl is not installed';

for (const io of await availableExecutors()) {
  describe(io, { skip: NO_OPENSSL }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-h2-'));
    let server: Http2SecureServer;
    let sluice: Sluice;
    let ca: Buffer;

    before(async () => {
      const key = join(directory, 'key.pem');
      const cert = join(directory, 'cert.pem');
      const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
      await run('openssl', [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '2',
        '-keyout',
        key,
        '-out',
        cert,
        ...subject,
      ]);
      ca = readFileSync(cert);
      server = createSecureServer({ key: readFileSync(key), cert: ca }, (incoming, response) => {
        response.end(`${incoming.httpVersion} ${incoming.url}`);
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      sluice = await startSluice(
        `listeners: [{ name: edge, listen: "127.0.0.1:0", service: origin }]
services: { origin: { endpoints: ["127.0.0.1:${(server.address() as AddressInfo).port}"] } }`,
        io,
      );
    });
    after(async () => {
      await sluice.stop();
      server.close();
      rmSync(directory, { recursive: true });
    });

    test('http2-wrapper multiplexes its requests over one relayed TLS connection', async () => {
      const agent = new Agent();
      const ask = (path: string): Promise<string> =>
        new Promise((resolve, reject) => {
          const url = `https://localhost:${sluice.port('edge')}${path}`;
          const sent = request(url, { agent, ca }, (response) => {
            let body = '';
            response.setEncoding('utf8').on('data', (text: string) => {
              body += text;
            });
            response.once('end', () => resolve(body));
          });
          sent.once('error', reject);
          sent.end();
        });
      assert.equal(await ask('/first'), '2.0 /first');
      const paths = Array.from({ length: 20 }, (_, i) => `/${i}`);
      assert.deepEqual(
        await Promise.all(paths.map(ask)),
        paths.map((path) => `2.0 ${path}`),
      );
      assert.equal(await sluice.metric('sluice_verdict_total', { verdict: 'tls', reason: 'matched' }), 1);
      agent.destroy();
    });
  });
}

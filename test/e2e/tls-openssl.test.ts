// Services whose endpoints are OpenSSL's own server: its versions, what it asks of clients, and what is wrong with its certificates.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { content } from '../support/content.js';
import { client, exchange } from '../support/http.js';
import { DATES, type LeafOptions } from '../support/pki.js';
import { which } from '../support/servers.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { type OpensslServer, opensslServer } from './openssl-support.js';
import { Certificates, NAME } from './tls-support.js';

const LARGE = 3 << 20;
const get = (path = '/'): string => `GET ${path} HTTP/1.1\r\nHost: ${NAME}\r\n\r\n`;
const lacking = which('openssl') === null ? 'openssl is not installed' : false;

const executors = lacking === false ? await availableExecutors() : [];

/** What is wrong with a certificate, and what is said of it. */
const WRONG: Readonly<Record<string, readonly [LeafOptions, string]>> = {
  named: [{ dns: ['other.example'] }, 'wrong-name'],
  expired: [{ dns: [NAME], dates: DATES.expired() }, 'expired'],
  early: [{ dns: [NAME], dates: DATES.notYet() }, 'not-yet-valid'],
  incomplete: [{ dns: [NAME], chain: 'withoutIntermediate' }, 'unknown-authority'],
};

describe('endpoints that are OpenSSL', { skip: lacking }, () => {
  let certificates: Certificates;
  const servers: Record<string, OpensslServer> = {};

  before(async () => {
    certificates = await Certificates.make();
    const { directory, pki } = certificates;
    writeFileSync(join(directory, 'large'), content(LARGE));
    const shown = (name: string): string[] => ['-cert', `${name}.pem`, '-key', `${name}-key.pem`];
    const chain = (name: string): string[] => [...shown(name), '-cert_chain', `${name}.pem`];
    for (const [name, [options]] of Object.entries(WRONG)) (await pki.leaf(options)).write(directory, name);
    (await pki.leaf({ dns: [NAME], kind: 'rsa' })).write(directory, 'rsa');
    const all: Readonly<Record<string, readonly string[]>> = {
      new: [...chain('web'), '-tls1_3', '-www'],
      files: [...chain('web'), '-tls1_3', '-WWW', '-http_server_binmode'],
      old: [...chain('web'), '-tls1_2', '-www'],
      rsa: [...chain('rsa'), '-tls1_2', '-www'],
      agreed: [...chain('web'), '-alpn', 'http/1.1', '-www'],
      known: [...chain('web'), '-Verify', '3', '-verify_return_error', '-CAfile', 'ca.pem', '-www'],
      oldknown: [...chain('web'), '-tls1_2', '-Verify', '3', '-verify_return_error', '-CAfile', 'ca.pem', '-www'],
      lines: [...chain('web'), '-rev'],
      ...Object.fromEntries(
        Object.keys(WRONG).map((name) => [name, [...(name === 'incomplete' ? shown : chain)(name), '-www']]),
      ),
    };
    await Promise.all(
      Object.entries(all).map(async ([name, args]) => {
        servers[name] = await opensslServer(directory, ...args);
      }),
    );
  });
  after(async () => {
    await Promise.all(Object.values(servers).map((server) => server.stop()));
    certificates?.remove();
  });

  for (const io of executors)
    describe(io, () => {
      let sluice: Sluice;

      before(async () => {
        const own = `certificate: ${certificates.path('client.pem')}, key: ${certificates.path('client-key.pem')}`;
        const services: Record<string, [server: string, tls: string, more?: string]> = {
          new: ['new', ''],
          files: ['files', ''],
          old: ['old', 'minVersion: 1.2'],
          rsa: ['rsa', 'minVersion: 1.2'],
          either: ['new', 'minVersion: 1.2'],
          tooold: ['old', ''],
          agreed: ['agreed', ''],
          known: ['known', own],
          unknown: ['known', ''],
          oldknown: ['oldknown', `${own}, minVersion: 1.2`],
          oldunknown: ['oldknown', 'minVersion: 1.2'],
          lines: ['lines', '', ', protocol: opaque'],
          ...Object.fromEntries(Object.keys(WRONG).map((name) => [name, [name, '']])),
        };
        const lines = (of: (name: string) => string): string => Object.keys(services).map(of).join('\n');
        sluice = await startSluice(
          `drain: { hold: 0 }
listeners:
${lines((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name}${services[name][2] ?? ''} }`)}
services:
${lines((name) => `  ${name}: { endpoints: ["127.0.0.1:${servers[services[name][0]].port}"], tls: ${certificates.service(services[name][1])}${services[name][2] ?? ', protocol: http1'}, breaker: { failures: 0 } }`)}
`,
          io,
        );
      });
      after(async () => {
        assert.equal(await sluice?.stop(), 0);
      });
      const ask = async (name: string, path?: string): Promise<string> => {
        const { status, body } = await exchange(sluice.port(name), get(path));
        return `${status} ${body}`;
      };
      const failures = (cause: string): Promise<number> =>
        sluice.metric('sluice_tls_handshake_failures_total', { role: 'client', cause });

      it('speak TLS 1.3, and 1.2 where the service says so', async () => {
        assert.match(await ask('new'), /^200 [\s\S]*New, TLSv1.3, Cipher is TLS_AES_/);
        assert.match(await ask('either'), /^200 [\s\S]*New, TLSv1.3, /);
        assert.match(await ask('old'), /^200 [\s\S]*New, TLSv1.2, Cipher is ECDHE-ECDSA-AES/);
        assert.match(await ask('rsa'), /^200 [\s\S]*New, TLSv1.2, Cipher is ECDHE-RSA-AES/);
        assert.match(await ask('agreed'), /^200 /);
        for (const text of [await ask('new'), await ask('old')]) assert.doesNotMatch(text, /Compression: [^N]/);
        assert.match(await ask('tooold'), /^502 /);
        assert.ok((await failures('version')) > 0);
      });

      it('get a certificate of ours where they ask for one, and refuse us without', async () => {
        for (const name of ['known', 'oldknown']) assert.match(await ask(name), /^200 [\s\S]*client.example/);
        // In TLS 1.3 they say so when our side of the handshake is over.
        for (const name of ['unknown', 'oldunknown']) assert.match(await ask(name), /^50[23] /, name);
        assert.match(await ask('known'), /^200 /);
      });

      it('are not believed with a certificate that is not right', async () => {
        for (const [name, [, cause]] of Object.entries(WRONG)) {
          assert.match(await ask(name), /^502 /, name);
          assert.ok((await failures(cause)) > 0, `${name}: ${cause}`);
        }
      });

      it('send much, and the end of it', async () => {
        const { status, body } = await exchange(sluice.port('files'), get('/large'));
        assert.equal(status, 200);
        assert.ok(body.equals(content(LARGE)));
      });

      it('speak bytes that are no HTTP', async () => {
        const wire = await client(sluice.port('lines'));
        wire.write('one\n');
        await wire.until(() => wire.text === 'eno\n', 'the line, reversed');
        wire.write(`${'x'.repeat(10_000)}y\n`);
        await wire.until(() => wire.text.endsWith('x\n') && wire.text.length === 4 + 10_002, 'a long line');
        wire.destroy();
      });
    });
});

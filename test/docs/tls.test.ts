// The examples of docs/tls.md are right, and do what the page says.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp, type RequestListener } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { createServer as createHttps, request } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { readConfig } from '../../src/config/load.js';
import { formatProblem } from '../../src/config/problem.js';
import { credentialFindings } from '../../src/identity/check-files.js';
import { http2Endpoint } from '../support/http2.js';
import { type Certified, Pki } from '../support/pki.js';
import { type Sluice, startSluice } from '../support/sluice.js';
import { fences, page } from './fences.js';

const examples = fences(page('docs/tls.md')).filter(({ info }) => info === 'yaml');
const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-'));
const certs = join(directory, 'certs');
const closers: (() => unknown)[] = [];
let pki: Pki;
let web: Certified;
let shop: Certified;

before(async () => {
  pki = await Pki.make();
  web = await pki.leaf({ dns: ['web.example'] });
  shop = await pki.leaf({ dns: ['*.shop.example', 'shop.example'] });
  web.write(certs, 'web');
  shop.write(certs, 'shop');
  pki.writeAnchor(certs, 'ca');
});
after(() => {
  for (const close of closers) close();
  rmSync(directory, { recursive: true, force: true });
});

test('the examples of the page on TLS are valid, with certificates as they name them', () => {
  assert.ok(examples.length >= 3);
  const file = join(directory, 'sluice.yaml');
  const findings = () => {
    const { problems, warnings } = credentialFindings('sluice.yaml', readConfig(file, {}));
    return [...problems, ...warnings].map((problem) => formatProblem(problem).replaceAll(`${directory}/`, ''));
  };
  for (const { text, line } of examples) {
    writeFileSync(file, text);
    assert.deepEqual(findings(), [], `docs/tls.md:${line}`);
  }
  writeFileSync(file, examples[0].text);
  writeFileSync(join(certs, 'shop-key.pem'), '');
  assert.deepEqual(findings(), [
    'sluice.yaml:8:47: listeners[0].tls.certificates[1].key: certs/shop-key.pem is empty; put a PEM file there',
  ]);
  shop.write(certs, 'shop');
});

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return `"127.0.0.1:${(server.address() as AddressInfo).port}"`;
}

/** Sluice with an example, on ports that are free, and with endpoints that there are. */
async function start(example: number, endpoints: string): Promise<Sluice> {
  const text = examples[example].text
    .replaceAll('certs/', `${certs}/`)
    .replace(/listen: "127\.0\.0\.1:\d+"/, 'listen: "127.0.0.1:0"')
    .replace('"127.0.0.1:9001"', endpoints)
    .replace('"10.0.0.7:8443", "10.0.0.8:8443"', endpoints);
  const sluice = await startSluice(`drain: { hold: 0 }\n${text}`, 'epoll');
  closers.push(() => sluice.child.kill('SIGKILL'));
  return sluice;
}

const hello: RequestListener = (_, response) => response.end('hello');

test('the first example ends TLS, and shows the certificate of the name that is asked for', async () => {
  const origin = createHttp(hello);
  const sluice = await start(0, await listening(origin));
  for (const [servername, subject] of [
    ['web.example', 'web.example'],
    ['a.shop.example', '*.shop.example'],
    ['unknown.example', 'web.example'],
  ]) {
    const options = { servername, ca: pki.anchor, checkServerIdentity: () => undefined, agent: false };
    const sent = request({ host: '127.0.0.1', port: sluice.port('edge'), ...options }).end();
    const [response] = await once(sent, 'response');
    const socket = response.socket as TLSSocket;
    assert.deepEqual(
      [response.statusCode, socket.getPeerCertificate().subject.CN, socket.getProtocol()],
      [200, subject, 'TLSv1.3'],
    );
    response.resume();
    await once(response, 'close');
  }
  assert.equal(await sluice.stop(), 0);
});

test('the second example asks clients for certificates', async () => {
  const endpoint = await http2Endpoint();
  closers.push(() => endpoint.close());
  const sluice = await start(1, `"${endpoint.address}"`);
  const options = { servername: 'web.example', ca: pki.anchor, checkServerIdentity: () => undefined };
  const session = connectHttp2(`https://127.0.0.1:${sluice.port('edge')}`, {
    ...options,
    cert: shop.chain,
    key: shop.key,
  });
  const stream = session.request({ ':path': '/' }).resume();
  const [fields] = await once(stream, 'response');
  assert.equal(fields[':status'], 200);
  await once(stream, 'close');
  session.close();
  const stranger = connect({ host: '127.0.0.1', port: sluice.port('edge'), ALPNProtocols: ['h2'], ...options });
  const error = await new Promise((resolve) => stranger.once('error', resolve));
  assert.match(String(error), /alert certificate required/);
  assert.equal(await sluice.stop(), 0);
});

test('the third example dials with TLS, and shows a certificate', async () => {
  const partner = await pki.leaf({ dns: ['partner.example'] });
  const seen: unknown[] = [];
  const origin = createHttps(
    { cert: partner.chain, key: partner.key, ca: pki.anchor, requestCert: true },
    (incoming, response) => {
      const socket = incoming.socket as TLSSocket & { servername?: string };
      seen.push([socket.servername, socket.getPeerCertificate().subject.CN, socket.authorized]);
      response.end('hello');
    },
  );
  const endpoints = await listening(origin);
  closers.push(() => origin.closeAllConnections());
  examples[2] = { ...examples[2], text: examples[2].text.replace('service: api', 'service: partner') };
  const sluice = await start(2, endpoints);
  const response = await fetch(`http://127.0.0.1:${sluice.port('out')}/`);
  assert.deepEqual([response.status, await response.text()], [200, 'hello']);
  assert.deepEqual(seen, [['partner.example', 'web.example', true]]);
  assert.equal(await sluice.stop(), 0);
});

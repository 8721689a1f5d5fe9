// Certificates that change under traffic: on listeners by server name, of clients, of services and their authorities.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { type Certified, Pki } from '../support/pki.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-reload-'));
const at = (name: string): string => join(directory, name);
const started: Sluice[] = [];
let pki: Pki;
let other: Pki;
let first: Certified;
let wildcard: Certified;
let origin: Server;
let client: Certified;
/** Answers that wait. */
const held: ServerResponse[] = [];

before(async () => {
  pki = await Pki.make();
  other = await Pki.make({ name: 'other' });
  first = await pki.leaf({ dns: ['a.test'] });
  wildcard = await pki.leaf({ dns: ['*.b.test'] });
  client = await pki.leaf({ dns: ['client.test'] });
  const local = await pki.leaf({ dns: ['localhost'] });
  origin = createServer({ cert: local.chain, key: local.key }, ({ url }, response) => {
    if (url === '/held') held.push(response);
    else response.end('hello');
  });
  origin.keepAliveTimeout = 0;
  origin.listen(0, '127.0.0.1');
  await once(origin, 'listening');
});
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
  origin.closeAllConnections();
  origin.close();
  rmSync(directory, { recursive: true, force: true });
});

const originPort = (): number => (origin.address() as AddressInfo).port;

/** Places files as Kubernetes does: a link to a directory is swapped. */
function swap(name: string, version: string, write: (directory: string) => void): void {
  const root = at(name);
  mkdirSync(`${root}/${version}`, { recursive: true });
  write(`${root}/${version}`);
  symlinkSync(version, `${root}/..tmp`);
  renameSync(`${root}/..tmp`, `${root}/..data`);
}

const yaml = (serverName = ''): string => `drain: { hold: 0 }
listeners:
  - name: edge
    listen: "127.0.0.1:0"
    service: web
    tls:
      certificates:
        - { certificate: "${at('a/..data/tls.pem')}", key: "${at('a/..data/tls-key.pem')}" }
        - { certificate: "${at('b.pem')}", key: "${at('b-key.pem')}" }
  - name: mutual
    listen: "127.0.0.1:0"
    service: web
    protocol: http1
    tls:
      certificates: [{ certificate: "${at('b.pem')}", key: "${at('b-key.pem')}" }]
      clientAuthority: "${at('clients.pem')}"
  - { name: plain, listen: "127.0.0.1:0", service: web }
services:
  web: { protocol: http1, endpoints: ["localhost:${originPort()}"], tls: { ca: "${at('ca.pem')}"${serverName} } }
`;

const fingerprint = (one: Certified): string => new X509Certificate(one.certificate).fingerprint256;

/** A connection that stands. */
class Standing {
  constructor(readonly socket: TLSSocket) {
    socket.on('error', () => undefined);
  }

  static async open(port: number, options: ConnectionOptions = {}): Promise<Standing> {
    const socket = connect({ port, host: '127.0.0.1', servername: 'a.test', ca: pki.anchor, ...options });
    const standing = new Standing(socket);
    await once(socket, 'secureConnect');
    return standing;
  }

  get certificate(): string {
    return this.socket.getPeerCertificate().fingerprint256;
  }

  /** The status of one request, kept alive. */
  async get(path = '/'): Promise<number> {
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\n\r\n`);
    let text = '';
    const whole = (): boolean => {
      const head = text.indexOf('\r\n\r\n');
      const length = /^content-length: (\d+)/im.exec(text)?.[1] ?? '0';
      return head >= 0 && text.length >= head + 4 + Number(length);
    };
    while (!whole()) text += String((await once(this.socket, 'data'))[0]);
    return Number(text.slice(9, 12));
  }
}

/** What one request gets: a status, or how it failed. */
async function ask(port: number, options: ConnectionOptions = {}): Promise<number | string> {
  const socket = connect({ port, host: '127.0.0.1', servername: 'a.test', ca: pki.anchor, ...options });
  return new Promise((resolve) => {
    let text = '';
    socket.on('error', ({ message }) => resolve(message));
    socket.on('data', (chunk) => {
      text += String(chunk);
    });
    socket.on('close', () => resolve(text === '' ? 'closed' : Number(text.slice(9, 12))));
    socket.write('GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n');
  });
}

async function shown(port: number, servername: string | undefined): Promise<string> {
  const standing = await Standing.open(port, { servername: servername ?? '', checkServerIdentity: () => undefined });
  const { certificate } = standing;
  standing.socket.destroy();
  return certificate;
}

for (const io of await availableExecutors()) {
  describe(`certificates that change (${io})`, () => {
    let sluice: Sluice;

    before(async () => {
      rmSync(directory, { recursive: true, force: true });
      mkdirSync(directory);
      swap('a', '..1', (into) => first.write(into, 'tls'));
      wildcard.write(directory, 'b');
      pki.writeAnchor(directory, 'ca');
      pki.writeAnchor(directory, 'clients');
      sluice = await startSluice(yaml(), io);
      started.push(sluice);
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
    });

    it('are chosen by the name that the client asks for: the whole name, a wildcard, else the first', async () => {
      const port = sluice.port('edge');
      assert.equal(await shown(port, 'a.test'), fingerprint(first));
      assert.equal(await shown(port, 'x.b.test'), fingerprint(wildcard));
      assert.equal(await shown(port, 'X.B.TEST'), fingerprint(wildcard));
      for (const name of ['b.test', 'x.y.b.test', 'unknown.test', undefined])
        assert.equal(await shown(port, name), fingerprint(first), name);
    });

    it('are taken over for new connections, under load, while those that stand go on', async () => {
      const port = sluice.port('edge');
      const standing = await Standing.open(port);
      assert.equal(await standing.get(), 200);
      const failures: (number | string)[] = [];
      let asked = 0;
      let running = true;
      const loop = async (): Promise<void> => {
        while (running) {
          const answer = await ask(port);
          asked++;
          if (answer !== 200) failures.push(answer);
        }
      };
      const load = Promise.all([loop(), loop(), loop()]);
      for (let version = 2; version < 6; version++) {
        const next = await pki.leaf({ dns: ['a.test'] });
        swap('a', `..${version}`, (into) => next.write(into, 'tls'));
        await eventually(async () => (await shown(port, 'a.test')) === fingerprint(next), 'the new certificate');
        assert.equal(await standing.get(), 200);
      }
      running = false;
      await load;
      assert.deepEqual(failures, []);
      assert.ok(asked > 10, String(asked));
      assert.equal(standing.certificate, fingerprint(first));
      standing.socket.destroy();
    });

    it('that are bad change nothing', async () => {
      const port = sluice.port('edge');
      const now = await shown(port, 'a.test');
      swap('a', '..bad', (into) => {
        writeFileSync(join(into, 'tls.pem'), wildcard.chain);
        writeFileSync(join(into, 'tls-key.pem'), first.key);
      });
      const line = await sluice.logged(({ message }) => message.startsWith('a certificate cannot be used'));
      assert.match(
        String(line.problem),
        /^does not belong to the key of .*: certificate 1 of 2 \(CN=\*\.b\.test\) has a different one/,
      );
      assert.equal(await shown(port, 'a.test'), now);
      swap('a', '..good', (into) => first.write(into, 'tls'));
      await eventually(async () => (await shown(port, 'a.test')) === fingerprint(first), 'the first certificate again');
    });

    it('of clients are asked for, and their authority is rotated without a client being refused', async () => {
      const port = sluice.port('mutual');
      const stranger = await other.leaf({ dns: ['client.test'] });
      const name = { servername: 'x.b.test' };
      const as = (one: Certified): ConnectionOptions => ({ ...name, cert: one.chain, key: one.key });
      assert.equal(await ask(port, as(client)), 200);
      assert.notEqual(await ask(port, name), 200);
      assert.notEqual(await ask(port, as(stranger)), 200);
      writeFileSync(at('clients.pem'), pki.anchor + other.anchor);
      await eventually(async () => (await ask(port, as(stranger))) === 200, 'the second authority');
      assert.equal(await ask(port, as(client)), 200);
      const standing = await Standing.open(port, as(client));
      writeFileSync(at('clients.pem'), other.anchor);
      await eventually(async () => (await ask(port, as(client))) !== 200, 'the first authority to be withdrawn');
      assert.equal(await ask(port, as(stranger)), 200);
      assert.equal(await standing.get(), 200, 'who is in stays');
      standing.socket.destroy();
    });

    it('of endpoints are checked: authority and name, and what changes holds for connections to come', async () => {
      const port = sluice.port('edge');
      assert.equal(await ask(port), 200);
      const standing = await Standing.open(port);
      const busy = await Standing.open(port);
      const answer = busy.get('/held');
      await eventually(() => held.length === 1, 'a request that waits for its answer');
      sluice.reload(yaml(', serverName: wrong.test'));
      await eventually(async () => (await ask(port)) !== 200, 'a wrong name');
      // Its connection was made before. It brings this answer, and no other.
      held[0].end('hello');
      assert.equal(await answer, 200);
      assert.notEqual(await busy.get(), 200);
      busy.socket.destroy();
      held.length = 0;
      const refused = await standing.get();
      assert.ok(refused >= 500, String(refused));
      standing.socket.destroy();
      sluice.reload(yaml());
      await eventually(async () => (await ask(port)) === 200, 'the right name');
      writeFileSync(at('ca.pem'), other.anchor);
      await eventually(
        async () => (await sluice.log.filter(({ message }) => message === 'certificate taken over').length) > 0,
        'a change',
      );
      writeFileSync(at('ca.pem'), other.anchor + pki.anchor);
      await eventually(async () => (await ask(port)) === 200, 'both authorities');
    });
  });
}

// nginx, HAProxy and Envoy on both sides of Sluice, with mutual TLS between all of them: HTTP of both versions and bytes, who is not believed
// by whom, and certificates that change under load.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { Certificates, NAME, secure } from '../e2e/tls-support.js';
import { content, digestOf } from '../support/content.js';
import { exchange } from '../support/http.js';
import { type Endpoint, Http2Client, hangUp, http1Endpoint } from '../support/http2.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { dial, drink, ended, listen, pour, type TcpServer } from '../support/tcp.js';
import {
  type Credentials,
  type Front,
  KINDS,
  type Kind,
  lackingProxy,
  startTlsProxy,
  type TlsProxy,
} from './tls-proxies.js';

const SIZES = [0, 1, 16_384, 1_000_003];
const MANY = 8 << 20;
const kinds: Kind[] = [];
for (const kind of KINDS) {
  const lacking = lackingProxy(kind);
  if (lacking === false) kinds.push(kind);
  else console.error(`SKIPPED: ${lacking}: TLS is not tried with it`);
}
/** nginx speaks HTTP/1 to what is behind it; its module for bytes is a package of its own. */
const speaks = (kind: Kind): readonly Front['speaks'][] => (kind === 'nginx' ? ['h1'] : ['h1', 'h2', 'bytes']);

/** Some write the sign of the number too. */
const serialOf = (text: string): string => text.toLowerCase().replace(/^0+/, '');

let certificates: Certificates;
let origin: Endpoint;
let echo: TcpServer;
const behind = new Map<Kind, TlsProxy>();

const own = (name: string): NonNullable<Credentials['own']> => ({
  certificate: certificates.path(`${name}.pem`),
  key: certificates.path(`${name}-key.pem`),
});

before(async () => {
  certificates = await Certificates.make();
  (await certificates.stranger.leaf({ dns: [NAME] })).write(certificates.directory, 'strange');
  origin = await http1Endpoint();
  echo = await listen((socket) => socket.pipe(socket));
  const credentials = { own: own('web'), ca: certificates.path('ca.pem') };
  for (const kind of kinds) {
    const bytes = { ...credentials, to: echo.port, speaks: 'bytes' } as const;
    const backs = { http: { ...credentials, to: origin.port, speaks: 'http' } as const };
    behind.set(kind, await startTlsProxy(kind, { backs: kind === 'nginx' ? backs : { ...backs, bytes } }));
  }
});
after(async () => {
  hangUp();
  await Promise.all([...behind.values()].map((proxy) => proxy.stop()));
  await origin?.close();
  await echo?.close();
  certificates?.remove();
});

for (const io of await availableExecutors())
  describe(`proxies of others around Sluice, in mutual TLS (${io})`, { skip: kinds.length === 0 }, () => {
    let sluice: Sluice;
    const ahead = new Map<Kind, TlsProxy>();
    const port = (kind: Kind, name: string): number => ahead.get(kind)?.port(name) ?? 0;

    before(async () => {
      certificates.client.write(certificates.directory, 'rotating');
      const of = (name: string): string =>
        `certificate: ${certificates.path(`${name}.pem`)}, key: ${certificates.path(`${name}-key.pem`)}`;
      const known = `tls: ${certificates.listener(`clientAuthority: ${certificates.path('ca.pem')}`)}`;
      const lines = (line: (kind: Kind, name: string) => string): string =>
        kinds.map((kind) => line(kind, kind.toLowerCase())).join('');
      const to = (kind: Kind, name: string): string => `endpoints: ["127.0.0.1:${behind.get(kind)?.port(name)}"]`;
      const refusing = 'protocol: http1, breaker: { failures: 0 }';
      sluice = await startSluice(
        `drain: { hold: 0 }
listeners:
${lines(
  (kind, name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name}, ${known} }
${kind === 'nginx' ? '' : `  - { name: ${name}-bytes, listen: "127.0.0.1:0", service: ${name}-bytes, protocol: opaque, ${known} }`}
  - { name: ${name}-strange, listen: "127.0.0.1:0", service: ${name}-strange }
  - { name: ${name}-named, listen: "127.0.0.1:0", service: ${name}-named }
`,
)}services:
${lines(
  (
    kind,
    name,
  ) => `  ${name}: { ${to(kind, 'http')}, pool: { maxIdle: 0 }, tls: ${certificates.service(of('rotating'))} }
${kind === 'nginx' ? '' : `  ${name}-bytes: { ${to(kind, 'bytes')}, protocol: opaque, tls: ${certificates.service(of('rotating'))} }`}
  ${name}-strange: { ${to(kind, 'http')}, ${refusing}, tls: ${certificates.service(of('strange'))} }
  ${name}-named: { ${to(kind, 'http')}, ${refusing}, tls: { serverName: other.example, ca: ${certificates.path('ca.pem')}, ${of('client')} } }
`,
)}`,
        io,
      );
      for (const kind of kinds) {
        const usual = {
          own: own('client'),
          ca: certificates.path('ca.pem'),
          peer: NAME,
          to: sluice.port(kind.toLowerCase()),
        };
        const fronts: Record<string, Front> = {
          strange: { ...usual, own: own('strange'), speaks: 'h1' },
          nobody: { ...usual, own: null, speaks: 'h1' },
          named: { ...usual, peer: 'other.example', speaks: 'h1' },
          distrusting: { ...usual, ca: certificates.path('stranger.pem'), speaks: 'h1' },
        };
        for (const version of speaks(kind)) {
          const to = version === 'bytes' ? sluice.port(`${kind.toLowerCase()}-bytes`) : usual.to;
          fronts[version] = { ...usual, to, speaks: version };
        }
        ahead.set(kind, await startTlsProxy(kind, { fronts }));
      }
    });
    after(async () => {
      await Promise.all([...ahead.values()].map((proxy) => proxy.stop()));
      assert.equal(await sluice?.stop(), 0);
    });

    const post = (port: number, body: Buffer) =>
      exchange(
        port,
        Buffer.concat([
          Buffer.from(
            `POST /echo HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`,
          ),
          body,
        ]),
        'POST',
      );
    const get = (port: number) => exchange(port, `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`);

    for (const kind of kinds) {
      it(`${kind}: HTTP/1 on both sides of it`, async () => {
        for (const size of SIZES) {
          const answer = await post(port(kind, 'h1'), content(size));
          assert.equal(answer.status, 200);
          assert.ok(answer.body.equals(content(size)));
          assert.match(answer.field('x-client') ?? '', /client/);
          assert.match(answer.field('x-spoke') ?? '', /^(HTTP\/)?1(.1)? TLSv1.3 web.example$/);
        }
      });

      if (kind !== 'nginx')
        it(`${kind}: HTTP/2 on both sides of it`, async () => {
          const client = await Http2Client.open(port(kind, 'h2'));
          // Nothing is sent back while it comes: two HAProxies in a row stop over that, without Sluice too.
          const ups = SIZES.map((size) =>
            client.ask({ ':path': '/digest', ':method': 'POST' }, { body: content(size) }),
          );
          const downs = SIZES.map((size) => client.ask({ ':path': `/bytes/${size}` }));
          const answers = [...(await Promise.all(ups)), ...(await Promise.all(downs))];
          for (const [at, { status, text, body, headers }] of answers.entries()) {
            assert.equal(status, 200);
            if (at < SIZES.length) assert.deepEqual(JSON.parse(text), digestOf(content(SIZES[at])));
            else assert.ok(body.equals(content(SIZES[at - SIZES.length])));
            assert.match(String(headers['x-client']), /client/);
            assert.match(String(headers['x-spoke']), /^(HTTP\/)?2(.0)? TLSv1.3 web.example$/);
          }
          client.close();
        });

      if (kind !== 'nginx')
        it(`${kind}: bytes, and the end of each direction`, async () => {
          const socket = await dial(port(kind, 'bytes'));
          const [there, back] = await Promise.all([pour(socket, 3, MANY), drink(socket, MANY)]);
          assert.equal(back, there);
          socket.end();
          assert.equal(await ended(socket), 'end');
        });

      it(`${kind}: who is not believed gets no answer, on either side`, async () => {
        const before = origin.requests;
        for (const name of ['strange', 'nobody', 'named', 'distrusting'])
          assert.match(String((await get(port(kind, name))).status), /^50[23]$/, name);
        // nginx ends the handshake, and says it in HTTP.
        const { status } = await get(sluice.port(`${kind.toLowerCase()}-strange`));
        assert.ok(kind === 'nginx' ? status === 400 : status === 502 || status === 503, `${status}`);
        assert.equal((await get(sluice.port(`${kind.toLowerCase()}-named`))).status, 502);
        assert.equal(origin.requests, before);
      });
    }

    it('it is said why', async () => {
      const failures = (role: string, cause: string) =>
        sluice.metric('sluice_tls_handshake_failures_total', { role, cause });
      for (const cause of ['no-certificate', 'unknown-authority'])
        assert.ok((await failures('server', cause)) >= kinds.length, cause);
      // HAProxy sends no alert, nor does nginx where only the name is wrong.
      assert.ok((await failures('server', 'refused')) > 0);
      assert.ok((await failures('client', 'wrong-name')) >= kinds.length);
    });

    it('certificates that change under load are taken over, and no request fails', async () => {
      const failures: string[] = [];
      let running = true;
      const counts = kinds.map(() => 0);
      const serials = kinds.map(() => '');
      const loops = kinds.map(async (kind, at) => {
        while (running) {
          const answer = await get(port(kind, 'h1'));
          if (answer.status !== 200) failures.push(`${kind}: ${answer.start}`);
          serials[at] = serialOf(answer.field('x-serial') ?? '');
          counts[at]++;
        }
      });
      for (let times = 0; times < 2; times++) {
        const next = await certificates.pki.leaf({ dns: ['client.example'], uris: ['spiffe://test/client'] });
        next.write(certificates.directory, 'rotating');
        const server = await certificates.pki.leaf({ dns: [NAME, `*.${NAME}`] });
        server.write(certificates.directory, 'web');
        const serial = serialOf(new X509Certificate(next.certificate).serialNumber);
        await eventually(() => serials.every((one) => one === serial), 'the new certificate of ours', 30_000);
        const { client: known } = certificates;
        await eventually(
          async () => {
            const options = { cert: known.chain, key: known.key };
            const socket = await secure(sluice.port(kinds[0].toLowerCase()), certificates, options);
            const { serialNumber } = socket.getPeerCertificate();
            socket.destroy();
            return serialNumber === new X509Certificate(server.certificate).serialNumber;
          },
          'the new certificate of the listener',
          30_000,
        );
        const done = [...counts];
        await eventually(() => counts.every((count, at) => count > done[at] + 3), 'requests go on', 30_000);
      }
      running = false;
      await Promise.all(loops);
      assert.deepEqual(failures, []);
    });
  });

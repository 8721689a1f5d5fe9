// Services whose endpoints are dialled with TLS: who is believed, what is said to them, and what is done about those who are wrong.
import assert from 'node:assert/strict';
import { createSecureServer } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createPlain, type Server, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { createServer as createTls, type TLSSocket } from 'node:tls';
import { client, exchange } from '../support/http.js';
import { Http2Client } from '../support/http2.js';
import { type Certified, DATES } from '../support/pki.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { Certificates, listening, NAME } from './tls-support.js';

const servers: Server[] = [];
const sockets = new Set<Socket>();
const started: Sluice[] = [];
let certificates: Certificates;

before(async () => {
  certificates = await Certificates.make();
});
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
  for (const socket of sockets) socket.destroy();
  for (const server of servers) server.close();
  certificates.remove();
});

/** Its port. */
async function up(server: Server): Promise<number> {
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', () => undefined);
  servers.push(server);
  return listening(server);
}

interface Heard {
  readonly serverName: unknown;
  readonly client: unknown;
  readonly alpn: unknown;
  readonly version: string;
}
const heard: Heard[] = [];

/** Answers both versions of HTTP, or as many as `ALPNProtocols` has, with its name. */
async function web(name: string, { chain, key }: Certified, options: object = {}): Promise<number> {
  const server = createSecureServer({ cert: chain, key, allowHTTP1: true, ...options }, (request, response) => {
    const socket = request.stream?.session?.socket ?? request.socket;
    const tls = socket as TLSSocket & { servername?: unknown };
    heard.push({
      serverName: tls.servername,
      client: tls.getPeerCertificate().subject?.CN,
      alpn: tls.alpnProtocol,
      version: request.httpVersion,
    });
    response.end(name);
  });
  return up(server as unknown as Server);
}

/** HTTP/1 alone, without ALPN. */
async function old(name: string, { chain, key }: Certified): Promise<number> {
  return up(
    createHttps({ cert: chain, key, ALPNProtocols: [] }, (_, response) => response.end(name)) as unknown as Server,
  );
}

const get = 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';

/** Endpoints that must not be believed, by what is wrong with them. */
const WRONG = ['unknown', 'named', 'expired', 'early', 'incomplete', 'for-clients', 'mute'] as const;
/** What a server that speaks no TLS was sent. */
const plain: string[] = [];

async function wrongEndpoints(): Promise<Record<(typeof WRONG)[number], number>> {
  const { pki, stranger } = certificates;
  const mute = createPlain((socket) => {
    socket.on('data', (chunk) => plain.push(chunk.toString('latin1')));
    socket.write('220 hello\r\n');
  });
  return {
    unknown: await old('unknown', await stranger.leaf({ dns: [NAME] })),
    named: await old('named', await pki.leaf({ dns: ['other.example'] })),
    expired: await old('expired', await pki.leaf({ dns: [NAME], dates: DATES.expired() })),
    early: await old('early', await pki.leaf({ dns: [NAME], dates: DATES.notYet() })),
    incomplete: await old('incomplete', await pki.leaf({ dns: [NAME], chain: 'withoutIntermediate' })),
    'for-clients': await old('for-clients', await pki.leaf({ dns: [NAME], usages: ['client'] })),
    mute: await up(mute),
  };
}

async function services(): Promise<string> {
  const { pki, web: right } = certificates;
  const at = (port: number): string => `"127.0.0.1:${port}"`;
  const both = at(await web('both', right, { requestCert: true, ca: pki.anchor }));
  const only1 = at(await old('only1', right));
  const only2 = at(await web('only2', right, { allowHTTP1: false }));
  const local = await old('local', await pki.leaf({ dns: ['localhost'] }));
  const a = at(await old('a', await pki.leaf({ dns: ['a.example'] })));
  const b = at(await old('b', await pki.leaf({ dns: ['*.b.example'], uris: ['spiffe://d/b'] })));
  const numbered = at(await old('numbered', await pki.leaf({ ips: ['127.0.0.1'] })));
  const echo = createTls({ cert: right.chain, key: right.key, ALPNProtocols: ['own'] }, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`hello over ${socket.alpnProtocol}\r\n`);
    socket.pipe(socket);
  });
  const own = `certificate: ${certificates.path('client.pem')}, key: ${certificates.path('client-key.pem')}`;
  const tls = certificates.service();
  const wrong = Object.entries(await wrongEndpoints()).flatMap(([name, port]) => [
    `  ${name}: { protocol: http1, endpoints: [${at(port)}], tls: ${tls} }\n`,
    `  ${name}-or: { protocol: http1, endpoints: [${at(port)}, ${only1}], tls: ${tls}, balance: { policy: round-robin } }\n`,
  ]);
  return `  both: { endpoints: [${both}], tls: ${certificates.service(own)} }
  only1: { endpoints: [${only1}], tls: ${tls} }
  only2: { endpoints: [${only2}], tls: ${tls}, protocol: http2 }
  local: { endpoints: ["localhost:${local}"], tls: {} }
  own: { endpoints: [{ address: ${a}, identity: a.example }, { address: ${b}, identity: "spiffe://d/b" }], tls: {}, balance: { policy: round-robin } }
  wildcard: { endpoints: [${b}], tls: { serverName: x.b.example } }
  numbered: { endpoints: [${numbered}], tls: { serverName: "127.0.0.1" } }
  swapped: { endpoints: [{ address: ${a}, identity: b.example }], tls: {}, protocol: http1 }
  bytes: { protocol: opaque, endpoints: [${at(await up(echo))}], tls: ${certificates.service('alpn: [own]')} }
${wrong.join('')}`;
}

for (const io of await availableExecutors()) {
  describe(`endpoints that are dialled with TLS (${io})`, () => {
    let sluice: Sluice;
    before(async () => {
      const text = await services();
      const names = [...text.matchAll(/^ {2}([a-z0-9-]+):/gm)].map(([, name]) => name);
      const listeners = names
        .map((name) => `  - { name: ${name}, listen: "127.0.0.1:0", service: ${name} }\n`)
        .join('');
      // The system's trust is a file that the environment names.
      const env = { SSL_CERT_FILE: certificates.path('ca.pem') };
      sluice = await startSluice(`drain: { hold: 0 }\nlisteners:\n${listeners}services:\n${text}`, io, env);
      started.push(sluice);
    });
    after(async () => {
      assert.equal(await sluice.stop(), 0);
    });
    const ask = async (name: string): Promise<string> => {
      const { status, body } = await exchange(sluice.port(name), get);
      return `${status} ${body}`;
    };

    it('speak what ALPN says, to clients of either version, under the name that is asked for', async () => {
      heard.length = 0;
      for (const name of ['both', 'only1', 'only2']) {
        assert.equal(await ask(name), `200 ${name}`);
        const http2 = await Http2Client.open(sluice.port(name));
        const { status, text } = await http2.ask({ ':path': '/' });
        assert.deepEqual([status, text], [200, name]);
        http2.close();
      }
      const seen = heard.map(({ alpn, version }) => `${alpn} ${version}`);
      assert.deepEqual(seen.slice(0, 2), ['http/1.1 1.1', 'h2 2.0']);
      assert.ok(heard.every(({ serverName }) => serverName === NAME));
      assert.equal(heard[0].client, 'client.example');
    });

    it('are believed by the name they have: in the DNS, their own, or an address; and by whom the system trusts', async () => {
      assert.equal(await ask('local'), '200 local');
      const answers = new Set([await ask('own'), await ask('own'), await ask('own')]);
      assert.deepEqual([...answers].sort(), ['200 a', '200 b']);
      assert.equal(await ask('wildcard'), '200 b');
      assert.equal(await ask('numbered'), '200 numbered');
      assert.match(await ask('swapped'), /^50[23] /);
    });

    it('that are somebody else, or nobody, get nothing, and those that are right get it instead', async () => {
      for (const name of WRONG) {
        assert.match(await ask(name), /^50[23] /, name);
        for (let i = 0; i < 3; i++) assert.equal(await ask(`${name}-or`), '200 only1', name);
      }
      assert.ok(plain.length > 0);
      assert.ok(
        plain.every((text) => text.startsWith('\x16\x03')),
        'nothing goes out in plain text',
      );
    });

    it('may speak bytes that are no HTTP', async () => {
      const wire = await client(sluice.port('bytes'));
      await wire.until(() => wire.text.includes('hello over own'), 'the greeting of the server');
      wire.write('and back');
      await wire.until(() => wire.text.endsWith('and back'), 'what was sent');
      wire.destroy();
    });
  });
}

// What can be agreed on with a listener, and what cannot: versions, groups, ciphers, and what TLS once had and has no more. Asked by OpenSSL's
// client, which offers one thing at a time, and in the words of clients so old that nobody builds them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { which } from '../support/servers.js';
import { availableExecutors, type Sluice, startSluice } from '../support/sluice.js';
import { extension, serverName } from '../tls/hellos.js';
import { FAR, Mesh } from './mesh-support.js';
import { OpensslClient, type Spoken, speak } from './openssl-support.js';
import { Certificates, listening, NAME } from './tls-support.js';

const REQUEST = `GET / HTTP/1.1\r\nHost: ${NAME}\r\nConnection: close\r\n\r\n`;
const lacking = which('openssl') === null ? 'openssl is not installed' : false;
/** Clients that begin with TLS 1.0 or sign with SHA-1 have to be asked for by name. */
const WEAK = ['-cipher', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'];

/** ClientHello of `version` in a record of `recordVersion`. */
function helloOf(version: number, ciphers: readonly number[], more: readonly Buffer[] = [], compression = [0]): Buffer {
  const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
  const extensions = Buffer.concat([serverName(NAME), ...more]);
  const body = Buffer.concat([
    u16(version),
    Buffer.alloc(32, 0x55),
    Buffer.of(0),
    u16(ciphers.length * 2),
    ...ciphers.map(u16),
    Buffer.from([compression.length, ...compression]),
    u16(extensions.length),
    extensions,
  ]);
  const message = Buffer.concat([Buffer.from([1, 0]), u16(body.length), body]);
  return Buffer.concat([Buffer.of(22), u16(Math.min(version, 0x0301)), u16(message.length), message]);
}

/** Groups and signatures of a client of TLS 1.2. */
const OLD = [
  extension(10, Buffer.from('0004001d0017', 'hex')),
  extension(11, Buffer.from('0100', 'hex')),
  extension(13, Buffer.from('00080403080404010201', 'hex')),
  extension(23, Buffer.alloc(0)),
];
const ECDHE_ECDSA_AES128_GCM = 0xc02b;
const FALLBACK_SCSV = 0x5600;

/** Ciphers of TLS 1.2 and older that nobody gets, by their numbers. */
const REFUSED = {
  rc4: [0x0004, 0x0005, 0xc007, 0xc011],
  des: [0x0009, 0x000a, 0x0016, 0xc008, 0xc012],
  'for export': [0x0003, 0x0006, 0x0008],
  'no encryption': [0x0001, 0x0002, 0x003b, 0xc006, 0xc010],
  'RSA key exchange': [0x002f, 0x0035, 0x003c, 0x003d, 0x009c, 0x009d, 0xc09c, 0xc0a0],
  'finite fields': [0x0033, 0x0039, 0x0067, 0x006b, 0x009e, 0x009f, 0xccaa],
  'no certificate': [0x0018, 0x0034, 0x00a6, 0xc018],
  cbc: [0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028],
  'ccm, aria, camellia': [0xc0ac, 0xc0ae, 0xc05c, 0xc060, 0xc072, 0xc076],
  'shared secrets': [0x008c, 0x00a8, 0xc035, 0xccac],
} as const;

/** What a listener says to `bytes`: the record's type, and of an alert its description; -1 where it only closes. */
async function answer(port: number, bytes: Buffer): Promise<{ type: number; detail: number; bytes: Buffer }> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(bytes);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    // A ServerHello: nothing more is needed.
    if (chunks[0][0] === 22) socket.destroy();
  });
  await once(socket, 'close');
  const all = Buffer.concat(chunks);
  return { type: all[0] ?? -1, detail: all[0] === 21 ? all[6] : -1, bytes: all };
}
const HANDSHAKE = 22;
const HANDSHAKE_FAILURE = 40;
const PROTOCOL_VERSION = 70;
const INAPPROPRIATE_FALLBACK = 86;

describe('what can be agreed on with listeners', { skip: lacking }, () => {
  let certificates: Certificates;
  let mesh: Mesh;
  let web: Server;
  let sluice: Sluice;
  const ask = (listener: string, ...args: string[]): Promise<Spoken> =>
    speak(sluice.port(listener), ['-servername', listener === 'mesh' ? FAR : NAME, ...args]);

  before(async () => {
    certificates = await Certificates.make();
    mesh = await Mesh.make();
    web = createServer((_, response) => response.end('hello'));
    const [io] = await availableExecutors();
    const rsa = `{ certificates: [{ certificate: ${certificates.path('shop.pem')}, key: ${certificates.path('shop-key.pem')} }], minVersion: 1.2 }`;
    sluice = await startSluice(
      `drain: { hold: 0 }
workers: 1
${await mesh.identity('far')}
listeners:
  - { name: web, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener()} }
  - { name: old, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener('minVersion: 1.2')} }
  - { name: rsa, listen: "127.0.0.1:0", service: web, tls: ${rsa} }
  - { name: tickets, listen: "127.0.0.1:0", service: web, tls: ${certificates.listener('tickets: true')} }
  - { name: mesh, listen: "127.0.0.1:0", service: web, mesh: true }
services:
  web: { endpoints: ["127.0.0.1:${await listening(web)}"] }
`,
      io,
    );
  });
  after(async () => {
    await sluice?.stop();
    web?.close();
    certificates?.remove();
    mesh?.remove();
  });

  /** Rows of `[listener, arguments, what they get]`; all are asked at once. */
  async function table(rows: readonly (readonly [string, string, RegExp | null])[]): Promise<void> {
    const answers = await Promise.all(
      rows.map(async ([listener, args, expected]) => {
        const { stands, version, group, cipher, text } = await ask(listener, ...args.split(' '));
        const got = stands ? `${version} ${group} ${cipher}` : 'refused';
        const right = expected === null ? !stands : expected.test(got);
        return right ? '' : `${listener} ${args}: ${got} instead of ${expected ?? 'refused'}\n${text}`;
      }),
    );
    assert.equal(answers.join(''), '');
  }

  it('versions: TLS 1.3, and 1.2 where the listener says so', () =>
    table([
      ...['web', 'mesh', 'tickets', 'old'].map((listener) => [listener, '-tls1_3', /^TLSv1.3 /] as const),
      ...['web', 'mesh', 'tickets'].map((listener) => [listener, '-tls1_2', null] as const),
      ...['old', 'rsa'].map((listener) => [listener, '-tls1_2', /^TLSv1.2 /] as const),
      ...['web', 'old', 'rsa', 'mesh'].flatMap((listener) =>
        ['-tls1', '-tls1_1'].map((version) => [listener, [version, ...WEAK].join(' '), null] as const),
      ),
    ]));

  it('versions older than any that can be asked for', async () => {
    for (const listener of ['web', 'old']) {
      for (const version of [0x0300, 0x0301, 0x0302]) {
        const { type, detail } = await answer(sluice.port(listener), helloOf(version, [0xc009, 0x002f, 0x000a]));
        assert.equal(type, 21, `${listener} ${version.toString(16)}`);
        assert.ok(detail === PROTOCOL_VERSION || (detail === HANDSHAKE_FAILURE && version === 0x0300), `${detail}`);
      }
      // SSL 2: its hello has a header of its own.
      const ssl2 = Buffer.from(
        `802e0100020015000000100100800200800300800400800500800600400700c0${'5a'.repeat(16)}`,
        'hex',
      );
      assert.notEqual((await answer(sluice.port(listener), ssl2)).type, HANDSHAKE, listener);
    }
    // A client that comes back with less than it can, though the server can do more (RFC 7507).
    const fallen = helloOf(0x0303, [ECDHE_ECDSA_AES128_GCM, FALLBACK_SCSV], OLD);
    assert.equal((await answer(sluice.port('old'), fallen)).detail, INAPPROPRIATE_FALLBACK);
  });

  it('groups: X25519, P-256 and P-384', () =>
    table([
      ...['web', 'mesh'].flatMap(
        (listener) =>
          [
            [listener, '-groups X25519', /^TLSv1.3 X25519 /],
            [listener, '-groups P-256', /^TLSv1.3 (P-256|prime256v1|secp256r1) /],
            [listener, '-groups P-384', /^TLSv1.3 (P-384|secp384r1) /],
            [listener, '-groups P-521:P-384', /^TLSv1.3 (P-384|secp384r1) /],
            [listener, '-groups P-521', null],
            [listener, '-groups X448', null],
            [listener, '-groups ffdhe2048', null],
          ] as const,
      ),
      // In TLS 1.2 the groups are those of certificates too.
      ['rsa', '-tls1_2 -groups X25519', /^TLSv1.2 X25519 /],
      ['rsa', '-tls1_2 -groups P-256', /^TLSv1.2 (P-256|prime256v1|secp256r1) /],
      ['rsa', '-tls1_2 -groups P-521', null],
      // Ours come first.
      ['web', '-groups P-384:P-256:X25519', /^TLSv1.3 (P-384|secp384r1|X25519) /],
    ]));

  it('ciphers: AES-GCM and ChaCha20-Poly1305, with a key exchange of this connection alone', () =>
    table([
      ...['web', 'mesh'].flatMap((listener) => [
        ...['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'].map(
          (suite) => [listener, `-ciphersuites ${suite}`, new RegExp(`${suite}$`)] as const,
        ),
        [listener, '-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256', null] as const,
        [listener, '-tls1_3 -ciphersuites TLS_AES_128_CCM_8_SHA256', null] as const,
      ]),
      ...['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305'].flatMap(
        (suite) =>
          [
            ['old', `-tls1_2 -cipher ECDHE-ECDSA-${suite}`, new RegExp(`ECDHE-ECDSA-${suite}$`)],
            ['rsa', `-tls1_2 -cipher ECDHE-RSA-${suite}`, new RegExp(`ECDHE-RSA-${suite}$`)],
          ] as const,
      ),
      // Signatures with SHA-1.
      ['rsa', '-tls1_2 -sigalgs RSA+SHA1 -cipher DEFAULT:@SECLEVEL=0', null],
      ['old', '-tls1_2 -sigalgs ECDSA+SHA1 -cipher DEFAULT:@SECLEVEL=0', null],
    ]));

  it('no other ciphers', async () => {
    const gone = Object.values(REFUSED).flat();
    for (const listener of ['old', 'rsa']) {
      for (const cipher of gone) {
        const { detail } = await answer(sluice.port(listener), helloOf(0x0303, [cipher], OLD));
        assert.equal(detail, HANDSHAKE_FAILURE, `${listener} ${cipher.toString(16)}`);
      }
    }
    // With one that is good beside them it is that one.
    const { type, bytes } = await answer(sluice.port('old'), helloOf(0x0303, [...gone, ECDHE_ECDSA_AES128_GCM], OLD));
    assert.equal(type, HANDSHAKE);
    assert.equal(bytes.readUInt16BE(5 + 4 + 34 + 1 + bytes[5 + 4 + 34]), ECDHE_ECDSA_AES128_GCM);
  });

  it('no compression', async () => {
    const { type, bytes } = await answer(
      sluice.port('old'),
      helloOf(0x0303, [ECDHE_ECDSA_AES128_GCM], OLD, [1, 64, 0]),
    );
    assert.equal(type, HANDSHAKE);
    assert.equal(bytes[5 + 4 + 34 + 1 + bytes[5 + 4 + 34] + 2], 0);
    const only = await answer(sluice.port('old'), helloOf(0x0303, [ECDHE_ECDSA_AES128_GCM], OLD, [1]));
    assert.equal(only.type, 21);
    assert.match((await ask('web')).text, /^Compression: NONE/m);
  });

  it('no renegotiation', async () => {
    // A line that is an R alone has the client ask for it.
    const client = new OpensslClient(sluice.port('old'), ['-servername', NAME, '-tls1_2']);
    client.say('R\n');
    const text = await client.closed;
    assert.match(text, /RENEGOTIATING/);
    assert.match(text, /no renegotiation/);
    assert.match(text, /Extended master secret: yes/);
  });

  it('keys that are renewed, in both directions', async () => {
    for (const [listener, name] of [
      ['web', NAME],
      ['mesh', FAR],
    ]) {
      const client = new OpensslClient(sluice.port(listener), ['-servername', name, '-crlf']);
      await client.heard('Verify return code');
      for (let times = 1; times < 4; times++) {
        client.say(times === 2 ? 'k\n' : 'K\n');
        await client.heard('KEYUPDATE', times);
      }
      client.say('GET /renewed HTTP/1.1\nHost: a\nConnection: close\n\n');
      assert.match(await client.closed, /200 OK[\s\S]*hello/);
    }
  });

  it('tickets where they are wanted, and never early data', async () => {
    const said = async (listener: string, name: string, ...args: string[]): Promise<string> => {
      const { stands, text } = await speak(sluice.port(listener), ['-servername', name, ...args], REQUEST);
      assert.ok(stands, text);
      assert.match(text, /200 OK/);
      return text;
    };
    const ticket = /New Session Ticket arrived/;
    assert.doesNotMatch(await said('web', NAME), ticket);
    assert.doesNotMatch(await said('mesh', FAR), ticket);
    const own = ['-cert', certificates.path('client.pem'), '-key', certificates.path('client-key.pem')];
    assert.doesNotMatch(await said('web', NAME, ...own), ticket);
    assert.doesNotMatch(await said('old', NAME, '-tls1_2'), /TLS session ticket:/);
    const given = await said('tickets', NAME);
    assert.match(given, ticket);
    for (const [, most] of given.matchAll(/Max Early Data: (\d+)/g)) assert.equal(most, '0');
  });
});

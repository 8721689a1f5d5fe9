// The engine against Node's own TLS, in both roles.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { TLS_CLIENT_CERTIFICATE, type TlsContextOptions } from '../../src/io/native-tls.js';
import { type Certified, meshName, Pki } from '../support/pki.js';
import { context, End, entry } from './tls-engine.js';
import { nodeClient, nodeServer } from './tls-node-peer.js';

let pki: Pki;
let ecdsa: Certified;
let rsa: Certified;
let workload: Certified;

before(async () => {
  pki = await Pki.make();
  ecdsa = await pki.leaf({ dns: ['a.test'] });
  rsa = await pki.leaf({ dns: ['a.test'], kind: 'rsa' });
  workload = await pki.workload('web');
});

const ask = (options: ConnectionOptions = {}): ConnectionOptions => ({
  ca: pki.anchor,
  servername: 'a.test',
  ...options,
});
const serve = (options: Partial<TlsContextOptions> = {}): End =>
  new End(context({ server: true, certificates: [entry(ecdsa)], ...options }));

const body = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) & 255));

describe('the engine serves a client of Node.js', () => {
  for (const [name, options, client] of [
    ['TLS 1.3', {}, {}],
    ['TLS 1.2', { minVersion: 0x0303 }, { maxVersion: 'TLSv1.2' }],
    [
      'TLS 1.2 with ChaCha20',
      { minVersion: 0x0303 },
      { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' },
    ],
    ['AES-256', {}, { ciphers: 'TLS_AES_256_GCM_SHA384' }],
    ['ChaCha20', {}, { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' }],
    ['another group, after a second ClientHello', {}, { ecdhCurve: 'P-521:P-384' }],
  ] as const) {
    test(`${name}: bytes both ways, and each end by itself`, async () => {
      const end = serve({ ...options });
      const peer = await nodeClient(end, ask({ ...client }));
      assert.equal(peer.error, undefined);
      assert.ok(end.done, end.why);
      assert.equal(peer.socket.authorized, true);
      assert.equal(end.peer.version, peer.socket.getProtocol());
      assert.equal(end.peer.cipher, peer.socket.getCipher().standardName);
      end.send(body);
      peer.socket.end(body);
      await peer.settle();
      assert.ok(end.plain.equals(body) && end.ended);
      end.send(Buffer.from('more')).shutdown();
      await peer.settle();
      assert.ok(peer.plain.equals(Buffer.concat([body, Buffer.from('more')])));
      assert.ok(peer.ended);
    });
  }

  test('RSA, and RSA beside ECDSA: what the client can verify', async () => {
    const certificates = [entry(rsa, ['a.test']), entry(ecdsa, ['a.test'])];
    for (const [sigalgs, bits] of [
      ['ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256', 256],
      ['rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384', 2048],
    ] as const) {
      // The chain's signatures are not asked for: OpenSSL looks at the leaf's key.
      const peer = await nodeClient(serve({ certificates }), ask({ sigalgs, rejectUnauthorized: false }));
      assert.equal(peer.error, undefined);
      assert.equal((peer.socket.getPeerCertificate() as { bits?: number }).bits, bits);
    }
    const alone = await nodeClient(serve({ certificates: [entry(rsa)] }), ask());
    assert.equal(alone.error, undefined);
    assert.equal((alone.socket.getPeerCertificate() as { bits?: number }).bits, 2048);
  });

  test('a version that is too low is refused', async () => {
    const end = serve();
    const peer = await nodeClient(end, ask({ maxVersion: 'TLSv1.2' }));
    assert.ok(end.failed);
    assert.equal(end.why, 'unsupported protocol');
    assert.match(String(peer.error), /alert protocol version/);
    const old = serve({ minVersion: 0x0303 });
    await nodeClient(old, ask({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }));
    assert.ok(old.failed);
    const weak = serve({ minVersion: 0x0303 });
    await nodeClient(weak, ask({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-SHA' }));
    assert.equal(weak.why, 'no shared cipher');
  });

  test('there is no renegotiation', async () => {
    const end = serve({ minVersion: 0x0303 });
    const peer = await nodeClient(end, ask({ maxVersion: 'TLSv1.2' }));
    assert.ok(end.done, end.why);
    peer.socket.renegotiate({}, () => {});
    await peer.settle();
    assert.match(String(peer.error), /no renegotiation/i);
  });

  test('ALPN: the server prefers, none in common is refused, none offered is not', async () => {
    const alpn = ['h2', 'http/1.1'];
    for (const [offered, chosen] of [
      [['http/1.1', 'h2'], 'h2'],
      [['http/1.1'], 'http/1.1'],
      [['h', 'http/1.1x', 'http/1.1'], 'http/1.1'],
    ] as const) {
      const end = serve({ alpn });
      const peer = await nodeClient(end, ask({ ALPNProtocols: [...offered] }));
      assert.equal(peer.socket.alpnProtocol, chosen);
      assert.equal(end.peer.alpn, chosen);
    }
    const other = serve({ alpn });
    const refused = await nodeClient(other, ask({ ALPNProtocols: ['smtp'] }));
    assert.equal(other.alert, 256 + 120);
    assert.match(String(refused.error), /no application protocol/);
    const silent = serve({ alpn });
    assert.equal((await nodeClient(silent, ask())).error, undefined);
    assert.equal(silent.peer.alpn, '');
    // Whoever speaks no ALPN does not mind what is offered.
    assert.equal((await nodeClient(serve(), ask({ ALPNProtocols: ['smtp'] }))).error, undefined);
  });

  test('client certificates', async () => {
    const { NONE, OPTIONAL, REQUIRED } = TLS_CLIENT_CERTIFICATE;
    const strange = await (await Pki.make({ name: 'strange' })).workload('web');
    const asking = (clientCertificate: number) => serve({ anchors: [pki.anchor], clientCertificate });
    const shown = { cert: workload.chain, key: workload.key };
    for (const [mode, client, verdict] of [
      [REQUIRED, shown, ''],
      [OPTIONAL, shown, ''],
      [OPTIONAL, {}, ''],
      [NONE, shown, ''],
      [REQUIRED, {}, 'peer did not return a certificate'],
      [
        OPTIONAL,
        { cert: strange.chain, key: strange.key },
        'certificate verify failed: unable to get local issuer certificate',
      ],
      [REQUIRED, { cert: ecdsa.chain, key: ecdsa.key }, ''],
    ] as const) {
      const end = asking(mode);
      await nodeClient(end, ask(client));
      assert.equal(end.why, verdict);
      assert.equal(end.failed, verdict !== '');
      if (verdict === '' && client === shown && mode !== NONE) {
        assert.deepEqual(end.peer.names, [meshName('web'), 'spiffe://cluster.local/ns/test/sa/web']);
      }
      if (mode === NONE || client === shown || end.failed) continue;
      assert.deepEqual(end.peer.names, 'cert' in client ? ['a.test'] : []);
    }
  });

  test('tickets, where they are wanted', async () => {
    for (const tickets of [true, false]) {
      const shared = context({ server: true, certificates: [entry(ecdsa)], tickets });
      const first = await nodeClient(new End(shared), ask());
      const { session } = first;
      assert.equal(session !== undefined, tickets);
      if (session === undefined) continue;
      // Of another worker, or of a reload, it is as good.
      const again = context({ server: true, certificates: [entry(ecdsa)], tickets });
      const renewed = context({ server: true, certificates: [entry(await pki.leaf({ dns: ['a.test'] }))], tickets });
      for (const [of, good] of [
        [shared, true],
        [again, true],
        [renewed, false],
      ] as const) {
        const end = new End(of);
        const second = await nodeClient(end, ask({ session }));
        assert.equal(second.error, undefined);
        assert.equal(second.socket.isSessionReused(), good);
        assert.equal(end.peer.resumed, good);
        end.send(Buffer.from('hello'));
        await second.settle();
        assert.equal(second.plain.toString(), 'hello');
      }
    }
  });
});

describe('a server of Node.js serves the engine', () => {
  const reach = (options: Partial<TlsContextOptions> = {}, expected: string | null = 'a.test'): End =>
    new End(context({ anchors: [pki.anchor], ...options }), { serverName: 'a.test', expected });
  const served = () => ({ cert: ecdsa.chain, key: ecdsa.key });

  test('bytes both ways, and each end by itself', async () => {
    for (const maxVersion of ['TLSv1.3', 'TLSv1.2'] as const) {
      const end = reach({ minVersion: 0x0303, alpn: ['h2'] });
      const peer = await nodeServer(end, { ...served(), maxVersion, ALPNProtocols: ['h2'] });
      assert.ok(end.done, end.why);
      assert.equal(peer.error, undefined);
      assert.equal(end.peer.version, maxVersion);
      assert.equal(end.peer.alpn, 'h2');
      assert.deepEqual(end.peer.names, ['a.test']);
      assert.equal((peer.socket as { servername?: string }).servername, 'a.test');
      end.send(body).shutdown();
      peer.socket.write(body);
      await peer.settle();
      assert.ok(peer.plain.equals(body) && peer.ended);
      assert.ok(end.plain.equals(body) && !end.ended);
      peer.socket.end();
      await peer.settle();
      assert.ok(end.ended && !end.failed);
    }
  });

  test('client certificates', async () => {
    const authority = { requestCert: true, rejectUnauthorized: true, ca: pki.anchor };
    const end = reach({ certificates: [entry(workload)] });
    const peer = await nodeServer(end, { ...served(), ...authority });
    assert.equal(peer.error, undefined);
    assert.match(peer.socket.getPeerCertificate().subjectaltname ?? '', /spiffe:\/\/cluster.local\/ns\/test\/sa\/web/);
    const none = reach();
    const refused = await nodeServer(none, { ...served(), ...authority });
    assert.notEqual(refused.error, undefined);
  });

  test('the certificate must be good, and for the name', async () => {
    const other = await pki.leaf({ dns: ['b.test', '*.c.test'], ips: ['10.0.0.1'] });
    for (const [expected, good] of [
      ['b.test', true],
      ['B.TEST', true],
      ['x.c.test', true],
      ['x.y.c.test', false],
      ['c.test', false],
      ['10.0.0.1', true],
      ['10.0.0.2', false],
      ['a.test', false],
      [null, true],
    ] as const) {
      const end = reach({}, expected);
      const peer = await nodeServer(end, { cert: other.chain, key: other.key });
      assert.equal(end.failed, !good, `${expected}`);
      if (good) continue;
      assert.equal(end.why, 'certificate verify failed: hostname mismatch');
      assert.match(String(peer.error), /alert bad certificate/);
    }
  });
});

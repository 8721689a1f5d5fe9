import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { rootCertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { TLS_CLIENT_CERTIFICATE } from '../../src/io/native-tls.js';
import { type Certified, DATES, meshName, Pki, spiffeName } from '../support/pki.js';
import { context, converse, End, engine, entry } from './tls-engine.js';

let pki: Pki;
let leaf: Certified;
let server: number;
let client: number;

before(async () => {
  pki = await Pki.make();
  leaf = await pki.leaf({ dns: ['a.test', '*.b.test'] });
  server = context({ server: true, certificates: [entry(leaf)] });
  client = context({ anchors: [pki.anchor] });
});

describe('the TLS engine', () => {
  test('shakes hands, carries bytes both ways, ends each direction by itself', () => {
    const near = new End(client, { serverName: 'A.test', expected: 'a.test' });
    const far = new End(server);
    converse(near, far);
    assert.ok(near.done && far.done, `${near.why} ${far.why}`);
    const { group, ...peer } = near.peer;
    assert.match(group, /^(x25519|X25519MLKEM768)$/);
    if (!engine.tlsVersion().startsWith('OpenSSL 3.0')) assert.equal(group, 'X25519MLKEM768');
    assert.deepEqual(peer, {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      alpn: '',
      serverName: 'a.test',
      names: ['a.test', '*.b.test'],
      resumed: false,
    });
    assert.equal(far.peer.serverName, 'a.test');
    near.send(Buffer.from('hello')).shutdown();
    converse(near, far);
    assert.equal(far.plain.toString(), 'hello');
    assert.ok(far.ended && !far.failed);
    far.send(Buffer.alloc(100_000, 7)).shutdown();
    converse(near, far);
    assert.equal(near.plain.length, 100_000);
    assert.ok(near.ended && !near.failed);
    // Both were asked for their peer: OpenSSL's connections are gone, and the records are the engine's own.
    assert.equal(near.peer.version, '');
    assert.equal(far.peer.version, '');
    near.close();
    far.close();
    assert.match(engine.tlsVersion(), /^OpenSSL 3/);
  });

  test('in pieces of any size, with places of any size', () => {
    const body = Buffer.from(Array.from({ length: 40_000 }, (_, index) => (index * 31) & 255));
    for (const [size, plain, wire] of [
      [1, 16384, 16384],
      [2, 1, 40],
      [17, 100, 64],
      [1000, 5000, 1100],
      [16384, 15_800, 15_800],
      [5000, 16_384, 20_000],
    ]) {
      const places = { plain, wire };
      const near = new End(client, { expected: 'a.test', places });
      const far = new End(server, { places });
      converse(near, far, size);
      assert.ok(near.done && far.done, `${near.why} ${far.why}`);
      near.send(body);
      far.send(body.subarray(0, 20_000));
      converse(near, far, size);
      near.send(Buffer.from('.')).shutdown();
      far.send(Buffer.from('.')).shutdown();
      converse(near, far, size);
      assert.ok(far.plain.equals(Buffer.concat([body, Buffer.from('.')])), `${size}`);
      assert.ok(near.plain.equals(Buffer.concat([body.subarray(0, 20_000), Buffer.from('.')])), `${size}`);
      assert.ok(near.ended && far.ended && !near.failed && !far.failed);
      near.close();
      far.close();
    }
  });

  test('bulk goes in records of full size, an answer in one', () => {
    const near = new End(client, { places: { wire: 32 * 1024 } });
    const far = new End(server);
    converse(near, far);
    near.send(Buffer.alloc(64 * 1024));
    assert.equal(near.wire().length, 4 * (16384 + 22));
    near.send(Buffer.from('HTTP/1.1 200 OK\r\n\r\n'));
    assert.equal(near.wire().length, 19 + 22);
  });

  test('a server takes the certificate of the name, of its wildcard, or the first', async () => {
    const leaves = await Promise.all(
      ['first.test', 'second.test', '*.second.test', 'x.second.test'].map((name) => pki.leaf({ dns: [name] })),
    );
    const names = [[], ['second.test'], ['*.second.test'], ['x.second.test']];
    const several = context({ server: true, certificates: leaves.map((one, index) => entry(one, names[index])) });
    for (const [asked, got] of [
      ['second.test', 'second.test'],
      ['SECOND.test', 'second.test'],
      ['x.second.test', 'x.second.test'],
      ['y.second.test', '*.second.test'],
      ['x.y.second.test', 'first.test'],
      ['other.test', 'first.test'],
      ['.second.test', 'first.test'],
      ['127.0.0.1', 'first.test'],
      [null, 'first.test'],
    ] as const) {
      const near = new End(client, { serverName: asked });
      const far = new End(several);
      converse(near, far);
      assert.deepEqual(near.peer.names, [got], `${asked}`);
      assert.equal(far.peer.serverName, asked === '127.0.0.1' ? '' : (asked ?? '').toLowerCase());
    }
  });

  test('identities are compared whole', async () => {
    const account = await pki.workload('web');
    const meshed = (certificate: Certified): number =>
      context({
        server: true,
        certificates: [entry(certificate)],
        anchors: [pki.anchor],
        clientCertificate: TLS_CLIENT_CERTIFICATE.REQUIRED,
      });
    const whole = context({ certificates: [entry(account)], anchors: [pki.anchor], wholeNames: true });
    const web = meshed(account);
    const wild = meshed(await pki.leaf({ dns: ['*.test.serviceaccount.identity.linkerd.cluster.local'] }));
    const common = meshed(await pki.leaf({ uris: ['spiffe://cluster.local/ns/test/sa/a'] }));
    for (const [of, expected, good] of [
      [web, meshName('web'), true],
      [web, meshName('web').toUpperCase(), true],
      [web, spiffeName('web'), true],
      [web, spiffeName('web').replace('cluster', 'CLUSTER'), true],
      [web, spiffeName('web').replace('/sa/', '/SA/'), false],
      [web, `${spiffeName('web')}/`, false],
      [web, spiffeName('we'), false],
      [web, spiffeName('web', 'test', 'cluster.local.evil'), false],
      [web, meshName('other'), false],
      [wild, meshName('web'), false],
      [common, 'a', false],
      [common, spiffeName('a'), true],
    ] as const) {
      const near = new End(whole, { serverName: meshName('web'), expected });
      const far = new End(of);
      converse(near, far);
      assert.equal(near.failed, !good, `${expected} ${near.why}`);
      assert.equal(far.failed, !good);
      if (good) assert.deepEqual(far.peer.names, [meshName('web'), spiffeName('web')]);
      else assert.equal(near.why, 'certificate verify failed: hostname mismatch');
    }
  });

  test('certificates that are not good are refused with the alert that says so', async () => {
    const strange = await Pki.make({ name: 'strange' });
    for (const [bad, why, alert] of [
      [await pki.leaf({ dns: ['a.test'], dates: DATES.expired() }), 'certificate has expired', 45],
      [await pki.leaf({ dns: ['a.test'], dates: DATES.notYet() }), 'certificate is not yet valid', 42],
      [await pki.leaf({ dns: ['a.test'], chain: 'withoutIntermediate' }), 'unable to get local issuer certificate', 48],
      [await strange.leaf({ dns: ['a.test'] }), 'unable to get local issuer certificate', 48],
      [await strange.leaf({ dns: ['a.test'], chain: 'withRoot' }), 'self-signed certificate in certificate chain', 48],
      [
        await pki.leaf({ dns: ['a.test'], usages: ['client'] }),
        /unsuitable certificate purpose|unsupported certificate purpose/,
        43,
      ],
    ] as const) {
      const near = new End(client, { expected: 'a.test' });
      const far = new End(context({ server: true, certificates: [entry(bad)] }));
      converse(near, far);
      assert.match(near.why, new RegExp(`^certificate verify failed: ${typeof why === 'string' ? why : why.source}`));
      assert.equal(near.alert, 256 + alert);
      assert.equal(far.alert, alert);
      assert.ok(far.failed && !near.done);
    }
    // An anchor may be an intermediate, and there may be several.
    const { certificate } = await pki.issuer;
    for (const anchors of [[certificate], [strange.anchor, pki.anchor], [strange.anchor + pki.anchor]]) {
      const near = new End(context({ anchors }), { expected: 'a.test' });
      converse(near, new End(server));
      assert.ok(near.done, near.why);
    }
  });

  test('contexts with the same anchors share them', () => {
    const anchors = [...rootCertificates, pki.anchor];
    const contexts = [context({ anchors })];
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 60; i++) contexts.push(context({ anchors, alpn: [`a${i}`] }));
    // Some 140 certificates of 3 KiB each, 60 times.
    assert.ok(process.memoryUsage.rss() - before < 15 * 1024 * 1024);
    engine.tlsContextFree(contexts[0]);
    const near = new End(contexts[9], { expected: 'a.test' });
    converse(near, new End(server));
    assert.ok(near.done, near.why);
    for (const one of contexts) engine.tlsContextFree(one);
    assert.throws(() => context({ anchors: [...anchors, 'x'] }), /anchor \d+: there is no certificate in it/);
  });

  test('a context that is replaced serves its connections to their end', () => {
    const old = context({ server: true, certificates: [entry(leaf)] });
    const asking = context({ anchors: [pki.anchor] });
    const near = new End(asking, { expected: 'a.test' });
    const far = new End(old);
    const late = new End(old);
    engine.tlsContextFree(old);
    engine.tlsContextFree(asking);
    converse(near, far);
    near.send(Buffer.from('x'));
    converse(near, far);
    assert.equal(far.plain.toString(), 'x');
    assert.equal(engine.tlsOpen(old, null, null), -9);
    converse(new End(client, { expected: 'a.test' }), late);
    assert.ok(late.done);
    for (const end of [near, far, late]) end.close();
  });
});

describe('a context says what is wrong with it', () => {
  const made = async () => {
    const good = entry(leaf);
    const other = await pki.leaf({ dns: ['b.test'] });
    const second = other.chain.indexOf('-----BEGIN', 10);
    return { good, other, spoilt: `${other.chain.slice(0, second + 100)}!!!!${other.chain.slice(second + 104)}` };
  };

  test('certificates and keys', async () => {
    const { good, other, spoilt } = await made();
    const locked = execFileSync('openssl', ['pkcs8', '-topk8', '-v2', 'aes-256-cbc', '-passout', 'pass:x'], {
      input: leaf.key,
    });
    for (const [certificates, message] of [
      [[], 'a server needs a certificate'],
      [[good, { ...good, chain: '' }], 'certificate 2: its file is empty'],
      [[{ ...good, chain: 'hello' }], 'certificate 1: there is no certificate in it (PEM is wanted)'],
      [[{ ...good, chain: good.key }], 'certificate 1: there is no certificate in it (PEM is wanted)'],
      [
        [{ ...good, chain: spoilt }],
        /^certificate 1: number 2 of its chain is not valid: (bad base64 decode|.*asn1.*)/,
      ],
      [[good, { ...good, key: other.key }], "certificate 2: the key is not the certificate's: key values mismatch"],
      [[{ ...good, key: '' }], 'certificate 1: the file of its key is empty'],
      [[{ ...good, key: 'x' }], /^certificate 1: its key is not valid: /],
      [[{ ...good, key: locked.toString() }], 'certificate 1: its key has a passphrase; give one without'],
    ] as const) {
      assert.throws(() => context({ server: true, certificates }), { message, code: 'ERR_TLS' });
    }
    assert.throws(() => context({ anchors: [pki.anchor], certificates: [good, good] }), /a client has one certificate/);
  });

  test('anchors, versions, ALPN', async () => {
    const { spoilt } = await made();
    const server = { server: true, certificates: [entry(leaf)] };
    for (const [options, message] of [
      [{}, 'there are no trust anchors'],
      [{ ...server, clientCertificate: TLS_CLIENT_CERTIFICATE.OPTIONAL }, 'there are no trust anchors'],
      [{ anchors: [pki.anchor, ''] }, 'anchor 2 is empty'],
      [{ anchors: ['?'] }, 'anchor 1: there is no certificate in it (PEM is wanted)'],
      [{ anchors: [pki.anchor, spoilt] }, /^anchor 2: its certificate 2 is not valid: /],
      [{ ...server, minVersion: 0x0301 as 0x0303 }, 'the lowest version is TLS 1.2 or 1.3'],
      [{ ...server, alpn: ['h2', ''] }, 'alpn: a name has 1 to 255 octets'],
      [{ ...server, alpn: ['x'.repeat(256)] }, 'alpn: a name has 1 to 255 octets'],
    ] as const) {
      assert.throws(() => context(options), { message });
    }
    assert.ok(context({ systemTrust: true }) > 0);
    assert.throws(() => engine.tlsContext(null as unknown as Parameters<typeof engine.tlsContext>[0]), TypeError);
  });
});

test('threads have engines of their own; one that is terminated leaves nothing that others miss', async () => {
  const script = `
    const { workerData, parentPort } = require('node:worker_threads');
    const engine = require(workerData.module);
    const slab = new Uint8Array(engine.create('epoll', 8, 8, 1 << 20).slab);
    const page = engine.tlsPage();
    const common = { certificates: [], anchors: [], systemTrust: false, clientCertificate: 0, minVersion: 0x304, alpn: [], tickets: false };
    const server = engine.tlsContext({ ...common, server: true, certificates: [workerData.entry] });
    const client = engine.tlsContext({ ...common, server: false, anchors: [workerData.anchor] });
    let done = 0;
    for (let round = 0; round < 40; round++) {
      const near = engine.tlsOpen(client, 'a.test', 'a.test');
      const far = engine.tlsOpen(server, null, null);
      let status = engine.tlsReceive(near, 0, 0, 400000, 16384, 0, 16384);
      status |= engine.tlsReceive(far, 0, page[2], 400000, 16384, 100000, 16384);
      status = engine.tlsReceive(near, 100000, page[2], 400000, 16384, 0, 16384);
      if (status & 1) done++;
      status = engine.tlsReceive(far, 0, page[2], 400000, 16384, 100000, 16384);
      if (status & 1) done++;
    }
    parentPort.postMessage(done);
    setInterval(() => {}, 1000);
  `;
  const module = fileURLToPath(new URL('../../../build/Release/sluice.node', import.meta.url));
  const workerData = { module, entry: entry(leaf), anchor: pki.anchor };
  const workers = Array.from({ length: 4 }, () => new Worker(script, { eval: true, workerData }));
  const done = await Promise.all(
    workers.map((worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))),
  );
  assert.deepEqual(done, [80, 80, 80, 80]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  const near = new End(client, { expected: 'a.test' });
  converse(near, new End(server));
  assert.ok(near.done);
});

test('the module loads without OpenSSL: all of its symbols are weak', (t) => {
  const module = fileURLToPath(new URL('../../../build/Release/sluice.node', import.meta.url));
  let listed: string;
  try {
    listed = execFileSync('nm', ['-D', '--undefined-only', module], { encoding: 'utf8' });
  } catch {
    t.skip('nm or build/Release/sluice.node is missing');
    return;
  }
  const symbols = listed.split('\n').flatMap((line) => {
    const [, kind, name] = /^\s*(\w) (\w+)/.exec(line) ?? [];
    return /^(SSL|X509|BIO|ERR|PEM|OPENSSL|OpenSSL|ASN1|EVP|GENERAL|CRYPTO|TLS|HMAC|RAND)_/i.test(name ?? '')
      ? [{ kind, name }]
      : [];
  });
  assert.ok(symbols.length > 50);
  assert.deepEqual(
    symbols.filter(({ kind }) => kind !== 'w'),
    [],
  );
});

// Every way in which files of certificates and keys are wrong, with what is said about each.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { readAnchors, readCertificate } from '../../src/identity/credential-files.js';
import {
  type CheckedCertificate,
  checkAnchors,
  checkCertificate,
  type Purpose,
} from '../../src/identity/credentials.js';
import { CredentialProblem } from '../../src/identity/problem.js';
import { type Certified, DATES, meshName, Pki, signingRequest, spiffeName } from '../support/pki.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-credentials-'));
const path = (name: string): string => join(directory, name);
const bytes = (text: string): Uint8Array => Buffer.from(text);
let pki: Pki;
let good: Certified;
/** Paths of `good`. */
let files: { certificate: string; key: string };

before(async () => {
  pki = await Pki.make();
  good = await pki.leaf({ dns: ['a.test', '*.B.test'], uris: ['spiffe://d/w'], ips: ['127.0.0.1', '::1'] });
  files = good.write(directory, 'good');
});
after(() => rmSync(directory, { recursive: true, force: true }));

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

/** What is said of a certificate and its key in memory. */
function said(
  certificate: string | Uint8Array,
  key: string | Uint8Array,
  purpose: Purpose = 'server',
  anchors?: readonly string[],
): string {
  const part = (file: string, content: string | Uint8Array) => ({
    file,
    bytes: typeof content === 'string' ? bytes(content) : content,
  });
  const checks = { purpose, ...(anchors === undefined ? {} : { anchors: { pem: anchors, from: 'ca.pem' } }) };
  try {
    checkCertificate(part('c.pem', certificate), part('k.pem', key), checks);
  } catch (error) {
    assert.ok(error instanceof CredentialProblem, String(error));
    for (const line of String(key).split('\n'))
      if (!line.startsWith('-') && line.length > 20)
        assert.ok(!error.message.includes(line), 'nothing of a key is said');
    return error.message;
  }
  return 'ok';
}

/** What is said of files. */
function saidOf(read: () => unknown): string {
  try {
    read();
  } catch (error) {
    assert.ok(error instanceof CredentialProblem, String(error));
    return error.message.replaceAll(`${directory}/`, '');
  }
  return 'ok';
}

const certificate = (name: string): string =>
  saidOf(() => readCertificate({ certificate: path(name), key: files.key }, { purpose: 'server' }));
const key = (name: string): string =>
  saidOf(() => readCertificate({ certificate: files.certificate, key: path(name) }, { purpose: 'server' }));
const anchors = (name: string): string => saidOf(() => readAnchors(path(name)));
const reading = (): CheckedCertificate => readCertificate(files, { purpose: 'server' });

describe('a certificate that is right', () => {
  it('is read with its names and its dates', () => {
    const checked = reading();
    assert.deepEqual(checked.names.dns, ['a.test', '*.b.test']);
    assert.deepEqual(checked.names.uris, ['spiffe://d/w']);
    assert.deepEqual(
      checked.names.addresses.map(({ length }) => length),
      [4, 16],
    );
    assert.equal(checked.chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.ok(createPrivateKey(checked.key));
    assert.equal(checked.subject, 'CN=a.test');
    assert.ok(checked.notBeforeMs < Date.now() && checked.notAfterMs > Date.now());
    assert.deepEqual(checked.warnings, []);
  });

  it('may stand with its key in one file, among comments, with the root behind it, in any form of key', async () => {
    const chain = (await pki.leaf({ dns: ['a.test'], chain: 'withRoot', kind: 'rsa' })) satisfies Certified;
    const both = `\ufeffsubject=CN=a.test\r\n${chain.chain}# and its key\r\n${chain.key}`.replace(/\r?\n/g, '\r\n');
    assert.equal(said(both, both), 'ok');
    for (const type of ['pkcs1', 'pkcs8'] as const)
      assert.equal(said(chain.chain, createPrivateKey(chain.key).export({ type, format: 'pem' })), 'ok', type);
    const sec1 = createPrivateKey(good.key).export({ type: 'sec1', format: 'pem' });
    assert.equal(said(good.chain, sec1), 'ok');
    assert.equal(
      said(good.chain, `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${sec1}`),
      'ok',
    );
  });

  it('may be one that signed itself, which is said', () => {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=self',
      '-keyout',
      'self-key.pem',
      '-out',
      'self.pem',
    );
    const self = { certificate: path('self.pem'), key: path('self-key.pem') };
    const { warnings } = readCertificate(self, { purpose: 'server' });
    assert.deepEqual(warnings, [
      'certificate 1 (CN=self) says that it is a CA certificate, which some clients refuse',
      'certificate 1 (CN=self) has no subjectAltName: clients have no name to compare',
    ]);
    assert.equal(readAnchors(self.certificate).anchors.length, 1);
  });

  it('has a key that others had better not read', () => {
    writeFileSync(path('open-key.pem'), good.key, { mode: 0o644 });
    chmodSync(path('open-key.pem'), 0o644);
    const { warnings } = readCertificate({ ...files, key: path('open-key.pem') }, { purpose: 'server' });
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /open-key\.pem may be read by every user of this machine \(mode 644\); chmod 600/);
  });
});

describe('a file that is none', () => {
  it('is named by what it is', () => {
    writeFileSync(path('empty.pem'), '');
    writeFileSync(path('blank.pem'), ' \n\n');
    writeFileSync(path('text.pem'), 'certificate: none\n');
    writeFileSync(path('large.pem'), Buffer.alloc(2 ** 20 + 1, 'a'));
    mkdirSync(path('directory'));
    symlinkSync('loop.pem', path('loop.pem'));
    assert.equal(certificate('empty.pem'), 'empty.pem: is empty; put a PEM file there');
    assert.equal(key('empty.pem'), 'empty.pem: is empty; put a PEM file there');
    assert.equal(anchors('empty.pem'), 'empty.pem: is empty; put a PEM file there');
    assert.equal(certificate('blank.pem'), 'blank.pem: has nothing but white space; put a PEM file there');
    assert.match(certificate('text.pem'), /^text\.pem: has no PEM block; a certificate begins with -----BEGIN/);
    assert.match(certificate('large.pem'), /^large\.pem: has 1048577, more than the 1MiB/);
    assert.equal(certificate('directory'), 'directory: is a directory; name the file in it');
    assert.equal(certificate('none.pem'), 'none.pem: does not exist; create it, or correct the path');
    assert.match(key('loop.pem'), /^loop\.pem: is a symbolic link that leads back to itself/);
    assert.match(
      saidOf(() => readAnchors('/dev/zero')),
      /is a device, a pipe or a socket/,
    );
  });

  it('may not be read', { skip: process.getuid?.() === 0 && 'root may read everything' }, () => {
    writeFileSync(path('closed.pem'), good.key, { mode: 0 });
    assert.equal(key('closed.pem'), 'closed.pem: may not be read by this user; give it read permission');
  });

  it('is another form of the same', () => {
    openssl('pkcs12', '-export', '-in', 'good.pem', '-inkey', 'good-key.pem', '-out', 'good.p12', '-passout', 'pass:x');
    openssl('x509', '-in', 'good.pem', '-outform', 'der', '-out', 'good.der');
    openssl('pkcs8', '-topk8', '-nocrypt', '-in', 'good-key.pem', '-outform', 'der', '-out', 'good-key.der');
    openssl('crl2pkcs7', '-nocrl', '-certfile', 'good.pem', '-out', 'good.p7b');
    openssl('x509', '-in', 'good.pem', '-trustout', '-out', 'trusted.pem');
    writeFileSync(path('java.jks'), Buffer.from('feedfeed0000000200000001', 'hex'));
    writeFileSync(path('utf16.pem'), `\ufeff${good.chain}`, 'utf16le');
    for (const read of [certificate, key, anchors]) {
      assert.match(read('good.p12'), /^good\.p12: is PKCS#12 \(\.p12, \.pfx\); split it: openssl pkcs12/);
      assert.match(read('good.der'), /^good\.der: is a certificate in DER; convert it: openssl x509 -inform der/);
      assert.match(read('good-key.der'), /^good-key\.der: is a private key in DER; convert it: openssl pkey/);
      assert.match(read('java.jks'), /^java\.jks: is a Java keystore/);
      assert.match(read('utf16.pem'), /^utf16\.pem: is UTF-16 text/);
      assert.match(read('good.p7b'), /has no (certificate|private key), but PKCS#7; split it/);
      assert.match(read('trusted.pem'), /but a certificate in OpenSSL's own form; convert it: openssl x509/);
    }
  });

  it('is cut off, or put together wrongly', () => {
    const half = good.chain.slice(0, good.chain.length / 2);
    assert.match(
      said(half, good.key),
      /^c\.pem: has a CERTIFICATE \(block 1\) from line 1 without an end: the file is cut off/,
    );
    assert.match(
      said(good.chain, good.key.slice(0, 60)),
      /^k\.pem: has a PRIVATE KEY \(block 1\) from line 1 without an end/,
    );
    assert.match(said(good.chain.replace('-----END CERTIFICATE-----\n', ''), good.key), /from line 1 without an end/);
    assert.match(said(good.chain.split('\n').slice(3).join('\n'), good.key), /has the end of a CERTIFICATE on line/);
    const damaged = good.chain.replace(/(CERTIFICATE-----\nMII.{20})./, '$1*');
    assert.match(said(damaged, good.key), /^c\.pem: certificate 1 of 2 \(from line 1\) can't be read: it is damaged/);
    assert.match(
      said(good.chain, good.key.replace(/\nM.{12}/, '\nM')),
      /^k\.pem: has a key from line 1 that can't be read/,
    );
  });

  it('is another file', async () => {
    const { request } = await signingRequest(['a.test']);
    assert.equal(
      said(good.key, good.chain),
      'c.pem: has a private key and no certificate; are the two files mixed up?',
    );
    assert.equal(
      said(good.chain, good.chain),
      'k.pem: has a certificate and no private key; are the two files mixed up?',
    );
    assert.match(said(request, good.key), /has no certificate, but a request for a certificate; name the certificate/);
    const pub = new X509Certificate(good.certificate).publicKey.export({ type: 'spki', format: 'pem' });
    assert.match(said(good.chain, pub), /has no private key, but a public key; name the private key/);
    assert.match(said(good.chain, good.key + good.key), /^k\.pem: has 2 private keys, on lines 1 and \d+/);
  });
});

describe('a key', () => {
  it('with a passphrase is refused, in both forms', () => {
    openssl('pkcs8', '-topk8', '-in', 'good-key.pem', '-out', 'locked.pem', '-passout', 'pass:secret');
    openssl('ec', '-in', 'good-key.pem', '-aes128', '-out', 'locked-old.pem', '-passout', 'pass:secret');
    for (const name of ['locked.pem', 'locked-old.pem'])
      assert.match(key(name), /: has a key with a passphrase, which nobody can type here; remove it: openssl pkey/);
  });

  it('of another certificate is refused', async () => {
    const other = await pki.leaf({ dns: ['a.test'] });
    assert.equal(
      said(good.chain, other.key),
      'c.pem: does not belong to the key of k.pem: certificate 1 of 2 (CN=a.test) has a different one; name the two that belong together',
    );
  });

  it('that is weak, or of a kind that TLS does not have, is refused', () => {
    const text = (made: { privateKey: { export(options: object): string | Buffer } }): string =>
      String(made.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    assert.match(
      said(good.chain, text(generateKeyPairSync('rsa', { modulusLength: 1024 }))),
      /^k\.pem: has an RSA key of 1024 bits, which is too weak; use 2048 bits/,
    );
    assert.match(
      said(good.chain, text(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }))),
      /has an EC key of the curve secp256k1, which TLS 1\.3 does not have/,
    );
    assert.match(
      said(good.chain, text(generateKeyPairSync('x25519'))),
      /has a key of the kind x25519, which is not for TLS/,
    );
    const openssh = '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n';
    assert.match(said(good.chain, openssh), /has no private key, but a key of OpenSSH; convert it/);
  });
});

describe('a chain', () => {
  it('in the wrong order is refused, and told which comes first', async () => {
    const reversed = await pki.leaf({ dns: ['a.test'], chain: 'reversed' });
    assert.equal(
      said(reversed.chain, reversed.key),
      'c.pem: is in the wrong order: the key of k.pem belongs to certificate 2 of 2 (CN=a.test); write that first, then what signed it, and so on',
    );
    const { certificate: issuer } = await pki.issuer;
    assert.match(
      said(good.certificate + pki.anchor + issuer, good.key),
      /is in the wrong order: certificate 2 of 3 \(CN=root\.test\) did not sign certificate 1 of 3 \(CN=a\.test\), but certificate 3 of 3 \(CN=issuer\.test\) did/,
    );
  });

  it('with a gap, or something else behind it, is refused', async () => {
    assert.match(
      said(good.certificate + pki.anchor, good.key),
      /certificate 2 of 2 \(CN=root\.test\) did not sign certificate 1 of 2 \(CN=a\.test\); an intermediate is missing/,
    );
    assert.match(
      said(good.chain + (await Pki.make({ name: 'other' })).anchor, good.key),
      /certificate 3 of 3 \(CN=root\.other\) did not sign certificate 2/,
    );
    assert.match(said(good.chain + pki.anchor.repeat(9), good.key), /has 11 certificates; a chain has 10 at most/);
  });

  it('must lead to an anchor where these are known', async () => {
    const workload = await pki.workload('web');
    const incomplete = await pki.workload('web', { chain: 'withoutIntermediate' });
    const other = await Pki.make({ name: 'other' });
    const namesake = await Pki.make({ kind: 'p384' });
    assert.equal(said(workload.chain, workload.key, 'workload', [other.anchor, pki.anchor]), 'ok');
    assert.equal(said(incomplete.chain, incomplete.key, 'workload'), 'ok', 'nobody knows what peers have');
    assert.match(
      said(incomplete.chain, incomplete.key, 'workload', [pki.anchor]),
      /^c\.pem: certificate 1 of 1 \(CN=.*\) was signed by CN=issuer\.test, which is not in ca\.pem; add the intermediate that is missing/,
    );
    assert.match(
      said(workload.chain, workload.key, 'workload', [other.anchor]),
      /was signed by CN=root\.test, which is not in ca\.pem/,
    );
    assert.match(
      said(workload.chain, workload.key, 'workload', [namesake.anchor]),
      /was signed by CN=root\.test, but with a different key from the one in ca\.pem: the authority has been renewed/,
    );
    const intermediate = (await pki.issuer).certificate;
    assert.equal(said(workload.chain, workload.key, 'workload', [intermediate]), 'ok');
    assert.deepEqual(
      checkCertificate(
        { file: 'c', bytes: bytes(workload.chain) },
        { file: 'k', bytes: bytes(workload.key) },
        { purpose: 'workload' },
      ).names.uris,
      [spiffeName('web')],
    );
    assert.ok(workload.chain.length > 0 && meshName('web').startsWith('web.'));
  });

  it('that has expired, or is not valid yet, is refused', async () => {
    const expired = await pki.leaf({ dns: ['a.test'], dates: DATES.expired() });
    const early = await pki.leaf({ dns: ['a.test'], dates: DATES.notYet() });
    const old = await Pki.make({ issuerDates: DATES.expired() });
    const behind = await old.leaf({ dns: ['a.test'] });
    assert.match(
      said(expired.chain, expired.key),
      /^c\.pem: certificate 1 of 2 \(CN=a\.test\) expired on 20\d\d-\d\d-\d\dT[\d:]+Z; renew it$/,
    );
    assert.match(
      said(early.chain, early.key),
      /certificate 1 of 2 \(CN=a\.test\) is not valid before 20.*Z; is the clock of this machine right\?/,
    );
    assert.match(said(behind.chain, behind.key), /certificate 2 of 2 \(CN=issuer\.test\) expired on/);
  });

  it('with a date that is none is refused', () => {
    const der = Buffer.from(new X509Certificate(pki.anchor).raw);
    // UTCTime of the end: the second one.
    const at = der.indexOf(Buffer.from([0x17, 13]), der.indexOf(Buffer.from([0x17, 13])) + 1);
    der.write('9', at + 4);
    const text = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
    writeFileSync(path('dateless.pem'), text);
    assert.match(
      anchors('dateless.pem'),
      /^dateless\.pem: certificate 1 of 1 \(CN=root\.test\) (has an invalid date|can't be read)/,
    );
  });

  it('ends when the first of its certificates does', async () => {
    const soon = await Pki.make({ issuerDates: DATES.endingIn(60_000) });
    const leaf = await soon.leaf({ dns: ['a.test'], chain: 'withRoot' });
    const checked = checkCertificate(
      { file: 'c', bytes: bytes(leaf.chain) },
      { file: 'k', bytes: bytes(leaf.key) },
      { purpose: 'server' },
    );
    assert.ok(checked.notAfterMs <= Date.now() + 60_000);
  });
});

describe('a leaf', () => {
  it('that is an authority is refused', async () => {
    const issuer = await pki.issuer;
    const claims = await pki.leaf({ dns: ['a.test'], authority: true });
    for (const one of [issuer, claims])
      assert.match(
        said(one.chain, one.key),
        /certificate 1 \(.*\) is a CA certificate; use one that this CA has issued/,
      );
    const root = await pki.authority;
    assert.match(said(root.chain, root.key, 'workload'), /is a CA certificate/);
  });

  it('for another use is refused', async () => {
    const client = await pki.leaf({ dns: ['a.test'], usages: ['client'] });
    const server = await pki.leaf({ dns: ['a.test'], usages: ['server'] });
    assert.equal(said(client.chain, client.key, 'client'), 'ok');
    assert.match(
      said(client.chain, client.key),
      /certificate 1 \(CN=a\.test\) is not for servers \(serverAuth\) by its extended key usage/,
    );
    for (const purpose of ['client', 'workload'] as const)
      assert.match(said(server.chain, server.key, purpose), /is not for clients \(clientAuth\)/);
  });

  it('without digitalSignature, with a weak key, or signed with SHA-1 is refused', async () => {
    const authority = await pki.authority;
    const make = (name: string, ...args: string[]): [string, string] => {
      openssl(
        'req',
        '-x509',
        '-nodes',
        '-days',
        '2',
        '-subj',
        `/CN=${name}`,
        '-keyout',
        `${name}-key.pem`,
        '-out',
        `${name}.pem`,
        ...args,
      );
      return [readFileSync(path(`${name}.pem`), 'utf8'), readFileSync(path(`${name}-key.pem`), 'utf8')];
    };
    const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];
    assert.match(
      said(...make('unsigned', ...ec, '-addext', 'keyUsage=keyAgreement')),
      /has a key usage without digitalSignature/,
    );
    writeFileSync(path('ca.pem'), authority.certificate);
    writeFileSync(path('ca-key.pem'), authority.key);
    openssl('req', '-new', '-nodes', ...ec, '-subj', '/CN=sha1', '-keyout', 'sha1-key.pem', '-out', 'sha1.csr');
    const by = ['-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial', '-days', '2', '-sha1'];
    openssl('x509', '-req', '-in', 'sha1.csr', ...by, '-out', 'sha1.pem');
    assert.match(
      said(readFileSync(path('sha1.pem')), readFileSync(path('sha1-key.pem'), 'utf8')),
      /^c\.pem: certificate 1 of 1 \(CN=sha1\) is signed with SHA-1, which peers refuse; have it reissued with SHA-256$/,
    );
    const [weak] = make('weak', '-newkey', 'rsa:1024');
    writeFileSync(path('weak-bundle.pem'), weak);
    assert.match(
      anchors('weak-bundle.pem'),
      /^weak-bundle\.pem: certificate 1 of 1 \(CN=weak\) has an RSA key of 1024 bits/,
    );
  });
});

describe('whatever is in a file', () => {
  it('is used or refused in words', async () => {
    const rsa = await pki.leaf({ dns: ['a.test'], kind: 'rsa' });
    // A generator of its own, so that what fails once fails again.
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const mutate = (text: string): Uint8Array => {
      const changed = Buffer.from(text);
      for (let i = random(3); i >= 0; i--)
        changed[random(changed.length)] = random(4) === 0 ? random(256) : 65 + random(26);
      return random(10) === 0 ? changed.subarray(0, random(changed.length)) : changed;
    };
    const ders = [...(rsa.chain + good.chain).matchAll(/-----BEGIN CERTIFICATE-----([^-]+)/g)].map(([, body]) =>
      Buffer.from(body, 'base64'),
    );
    for (let i = 0; i < 400; i++) {
      const one = i % 2 === 0 ? rsa : good;
      said(mutate(one.chain), i % 3 === 0 ? mutate(one.key) : one.key, 'workload', [pki.anchor]);
      const der = Buffer.from(ders[i % ders.length]);
      der[random(der.length)] ^= 1 << random(8);
      const text = `-----BEGIN CERTIFICATE-----\n${der.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`;
      said(text, one.key);
      saidOf(() => checkAnchors({ file: 'b', bytes: bytes(text + pki.anchor) }));
    }
  });
});

describe('a bundle of authorities', () => {
  it('is all right or refused, with the number of the one at fault', async () => {
    const other = await Pki.make({ name: 'other' });
    writeFileSync(path('two.pem'), pki.anchor + other.anchor + pki.anchor);
    assert.equal(readAnchors(path('two.pem')).anchors.length, 2, 'each once');
    const damaged = other.anchor.replace(/(CERTIFICATE-----\nMII.{20})./, '$1*');
    writeFileSync(path('damaged.pem'), pki.anchor + damaged + pki.anchor);
    assert.match(
      anchors('damaged.pem'),
      /^damaged\.pem: certificate 2 of 3 \(from line \d+\) can't be read: it is damaged; replace it$/,
    );
    writeFileSync(path('leaf.pem'), pki.anchor + good.certificate);
    assert.match(
      anchors('leaf.pem'),
      /^leaf\.pem: certificate 2 of 2 \(CN=a\.test\) is not a CA certificate; name the one that signed it$/,
    );
    writeFileSync(path('key.pem'), good.key);
    assert.match(anchors('key.pem'), /has a private key and no certificate/);
  });

  it('goes without those that have expired, and says so', async () => {
    const old = await Pki.make({ name: 'old', rootDates: DATES.expired() });
    writeFileSync(path('some.pem'), old.anchor + pki.anchor);
    writeFileSync(path('old.pem'), old.anchor);
    const { anchors: live, warnings } = readAnchors(path('some.pem'));
    assert.deepEqual(
      live.map((text) => new X509Certificate(text).subject),
      ['CN=root.test'],
    );
    assert.match(warnings.join(), /^certificate 1 of 2 \(CN=root\.old\) expired on .* and is left out; remove it$/);
    assert.match(anchors('old.pem'), /has 1 certificates, and none of them can be used any more; update it/);
  });
});

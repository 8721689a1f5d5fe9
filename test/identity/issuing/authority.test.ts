// What an authority signs, as openssl and Node see it; and what it refuses to be made of.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPublicKey, type X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Authority } from '../../../src/identity/issuing/authority.js';
import { DATES, Pki } from '../../support/pki.js';

const run = promisify(execFile);
const HOUR = 3_600_000;

/** DER of the public key of some certificate. */
const publicKeyOf = (pem: string): Buffer => createPublicKey(pem).export({ type: 'spki', format: 'der' });

const load = (certificate: string, key: string): Promise<Authority> =>
  Authority.load(
    { file: 'issuer.pem', bytes: Buffer.from(certificate) },
    { file: 'issuer-key.pem', bytes: Buffer.from(key) },
  );

const between = (from: number, to: number) => ({
  notBefore: new Date(Date.now() + from),
  notAfter: new Date(Date.now() + to),
});

describe('an authority', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-authority-'));
  let pki: Pki;
  before(async () => {
    pki = await Pki.make();
  });
  after(() => rmSync(directory, { recursive: true }));

  async function verified(leaf: X509Certificate, authority: Authority, anchor = pki.anchor): Promise<void> {
    const file = (name: string, text: string): string => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    };
    const files = ['-CAfile', file('anchor.pem', anchor), '-untrusted', file('chain.pem', authority.pem)];
    for (const purpose of ['sslserver', 'sslclient'])
      await run('openssl', ['verify', '-x509_strict', '-purpose', purpose, ...files, file('leaf.pem', String(leaf))]);
  }

  it('signs leaves that hold, with each kind of key and for each kind of key', async () => {
    for (const kind of ['p256', 'p384', 'rsa'] as const) {
      const issuers = await Pki.make({ name: kind, kind });
      const { chain, key } = await issuers.issuer;
      const authority = await load(chain, key);
      for (const leafKind of ['p256', 'rsa'] as const) {
        const { certificate: pem } = await pki.leaf({ kind: leafKind });
        const names = { dns: ['a.test'], uris: ['spiffe://test/a'] };
        const leaf = await authority.issue({ publicKey: publicKeyOf(pem), ...names, ...between(-60_000, HOUR) });
        await verified(leaf.certificate, authority, issuers.anchor);
        assert.equal(leaf.certificate.subjectAltName, 'DNS:a.test, URI:spiffe://test/a');
        assert.equal(leaf.certificate.ca, false);
        assert.deepEqual(leaf.certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
      }
    }
  });

  it('gives leaves no common name that is too long for one, and makes their names critical then', async () => {
    const { chain, key } = await pki.issuer;
    const authority = await load(chain, key);
    const name = `${'a'.repeat(60)}.test`;
    const publicKey = publicKeyOf((await pki.leaf({})).certificate);
    const leaf = await authority.issue({ publicKey, dns: [name], uris: [], ...between(0, HOUR) });
    await verified(leaf.certificate, authority);
    assert.ok(!leaf.certificate.subject, 'undefined in Node.js 20, empty in later ones');
    writeFileSync(join(directory, 'long.pem'), String(leaf.certificate));
    const { stdout } = await run('openssl', [
      'x509',
      '-in',
      join(directory, 'long.pem'),
      '-noout',
      '-ext',
      'subjectAltName',
    ]);
    assert.match(stdout, /Alternative Name: critical/);
  });

  it('never signs for longer than its own chain is good', async () => {
    const short = await Pki.make({ issuerDates: DATES.endingIn(HOUR) });
    const { chain, key } = await short.issuer;
    const authority = await load(chain, key);
    const publicKey = publicKeyOf((await pki.leaf({})).certificate);
    const leaf = await authority.issue({ publicKey, dns: ['a.test'], uris: [], ...between(0, 24 * HOUR) });
    assert.equal(leaf.certificate.validTo, authority.own.validTo);
    assert.equal(leaf.notAfter.getTime(), Date.parse(authority.own.validTo));
  });

  it('numbers leaves at random', async () => {
    const { chain, key } = await pki.issuer;
    const authority = await load(chain, key);
    const publicKey = publicKeyOf((await pki.leaf({})).certificate);
    const serials = new Set<string>();
    for (let count = 0; count < 20; count++) {
      const leaf = await authority.issue({ publicKey, dns: ['a.test'], uris: [], ...between(0, HOUR) });
      assert.match(leaf.certificate.serialNumber, /^[4-7][0-9A-F]{31}$/);
      serials.add(leaf.serial);
    }
    assert.equal(serials.size, 20);
  });

  it('names its issuer as that names itself, however that has been computed', async () => {
    // openssl takes 20 octets that are given; they are no hash of the key.
    const identifier = 'AA:BB:CC:DD:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF';
    const [key, certificate] = [join(directory, 'own-key.pem'), join(directory, 'own.pem')];
    await run('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=own'],
      ...['-keyout', key, '-out', certificate, '-days', '2'],
      ...[
        '-addext',
        `subjectKeyIdentifier=${identifier}`,
        '-addext',
        'authorityKeyIdentifier=none',
        '-addext',
        'keyUsage=critical,keyCertSign',
      ],
    ]);
    const { readFile } = await import('node:fs/promises');
    const own = await readFile(certificate, 'utf8');
    const authority = await load(own, await readFile(key, 'utf8'));
    assert.equal(authority.keyIdentifier.toUpperCase(), identifier.replaceAll(':', ''));
    const publicKey = publicKeyOf((await pki.leaf({})).certificate);
    const leaf = await authority.issue({ publicKey, dns: ['a.test'], uris: [], ...between(0, HOUR) });
    await verified(leaf.certificate, authority, own);
    assert.deepEqual(authority.intermediates, []);
  });

  it('is read from keys in every form that openssl writes', async () => {
    const { chain, key } = await pki.issuer;
    writeFileSync(join(directory, 'pkcs8.pem'), key);
    const { stdout } = await run('openssl', ['ec', '-in', join(directory, 'pkcs8.pem')]);
    assert.match(stdout, /BEGIN EC PRIVATE KEY/);
    assert.equal((await load(chain, stdout)).pem, chain);
  });

  it('refuses what is not an authority, and says why', async () => {
    const { chain, key } = await pki.issuer;
    const leaf = await pki.leaf({ dns: ['a.test'] });
    const other = await Pki.make({ name: 'other' });
    const cases: [string, string, RegExp][] = [
      [leaf.chain, leaf.key, /^CredentialProblem: issuer\.pem: certificate 1 \(CN=a\.test\) is not a CA certificate/],
      [chain, (await other.issuer).key, /issuer\.pem: does not belong to the key of issuer-key\.pem/],
      ['nothing\n', key, /issuer\.pem: /],
      [`${chain}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, key, /issuer\.pem: .*can't be read/],
    ];
    for (const [certificate, privateKey, expected] of cases)
      await assert.rejects(load(certificate, privateKey), expected);
  });

  it('does not send a root along', async () => {
    const { chain, key } = await pki.issuer;
    const authority = await load(chain + pki.anchor, key);
    assert.equal(authority.intermediates.length, 1);
    assert.equal(authority.chain.length, 1);
  });
});

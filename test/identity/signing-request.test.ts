import 'reflect-metadata';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import * as x509 from '@peculiar/x509';
import { splitSequences } from '../../src/identity/der-bundle.js';
import { oid, sequence, tlv } from '../../src/identity/der-writer.js';
import { makeSigningRequest } from '../../src/identity/signing-request.js';
import { meshName, Pki, spiffeName } from '../support/pki.js';

for (const name of [meshName('web'), spiffeName('web'), `${'a'.repeat(60)}.${meshName('web')}`]) {
  test(`OpenSSL and the issuing library read a request for ${name}`, async () => {
    const { request, key } = await makeSigningRequest(name);
    const text = execFileSync('openssl', ['req', '-inform', 'DER', '-noout', '-verify', '-text'], {
      input: request,
      stdio: ['pipe', 'pipe', 'pipe'],
    }).toString();
    assert.match(text, name.startsWith('spiffe:') ? new RegExp(`URI:${name}`) : new RegExp(`DNS:${name}`));
    const read = new x509.Pkcs10CertificateRequest(request);
    assert.ok(await read.verify());
    assert.equal(read.subject, '');
    const names = read.extensions.find((extension) => extension instanceof x509.SubjectAlternativeNameExtension);
    assert.deepEqual(names?.names.toJSON(), [{ type: name.startsWith('spiffe:') ? 'url' : 'dns', value: name }]);
    const own = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });
    assert.deepEqual(Buffer.from(read.publicKey.rawData), own);
  });
}

test('each request has a key of its own', async () => {
  const [one, other] = await Promise.all([makeSigningRequest('a'), makeSigningRequest('a')]);
  assert.notEqual(one.key, other.key);
});

test('object identifiers and lengths are as X.690 has them', () => {
  assert.equal(oid('1.2.840.113549.1.9.14').toString('hex'), '06092a864886f70d01090e');
  assert.equal(oid('2.5.29.17').toString('hex'), '0603551d11');
  assert.equal(tlv(4, Buffer.alloc(127)).subarray(0, 2).toString('hex'), '047f');
  assert.equal(tlv(4, Buffer.alloc(128)).subarray(0, 3).toString('hex'), '048180');
  assert.equal(tlv(4, Buffer.alloc(65_536)).subarray(0, 5).toString('hex'), '0483010000');
});

test('certificates one behind the other are told apart, and anything else is refused', async () => {
  const pki = await Pki.make();
  const { chain } = await pki.workload('web');
  const certificates = chain
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .filter((text) => text.includes('BEGIN'))
    .map((text) => new X509Certificate(text).raw);
  assert.equal(certificates.length, 2);
  const joined = Buffer.concat(certificates);
  assert.deepEqual(splitSequences(joined)?.map(Buffer.from), certificates);
  assert.deepEqual(splitSequences(Buffer.alloc(0)), []);
  for (let length = 1; length < joined.length; length++)
    if (length !== certificates[0].length) assert.equal(splitSequences(joined.subarray(0, length)), null, `${length}`);
  assert.equal(splitSequences(Buffer.concat([joined, Buffer.of(0)])), null);
  assert.equal(splitSequences(Buffer.from('3080', 'hex')), null, 'an indefinite length');
  assert.equal(splitSequences(Buffer.from('3085ffffffffff', 'hex')), null);
  assert.deepEqual(splitSequences(sequence()), [sequence()]);
});

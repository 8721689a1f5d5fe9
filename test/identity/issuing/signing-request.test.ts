// Requests for certificates as strangers send them: what is asked for is one name, and everything else is refused with its reason.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Refusal, type RefusalReason } from '../../../src/identity/issuing/refusal.js';
import { MAX_SIGNING_REQUEST_BYTES, readSigningRequest } from '../../../src/identity/issuing/signing-request.js';
import { meshName, signingRequest, spiffeName } from '../../support/pki.js';

const NAME = meshName('web');
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** As openssl makes it; `san` is what it says in `subjectAltName`, and `more` are further extensions. */
function byOpenssl(san: string, { subject = '/', key = EC, more = [] as string[] } = {}): Buffer {
  const extensions = [...(san === '' ? [] : [`subjectAltName=${san}`]), ...more].flatMap((text) => ['-addext', text]);
  const args = ['req', '-new', '-nodes', '-keyout', '/dev/null', '-subj', subject, '-outform', 'DER', ...key];
  return execFileSync('openssl', [...args, ...extensions], { stdio: ['ignore', 'pipe', 'ignore'] });
}

async function refused(der: Uint8Array, reason: RefusalReason, message: RegExp): Promise<void> {
  await assert.rejects(readSigningRequest(der, NAME), (error) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.reason, reason, error.detail);
    assert.match(error.message, message);
    return true;
  });
}

describe('a request for a certificate', () => {
  it('is taken with one name, of every kind of key', async () => {
    for (const kind of ['p256', 'p384', 'rsa'] as const) {
      const { der, key } = await signingRequest([NAME], { kind });
      const { publicKey, uris } = await readSigningRequest(der, NAME);
      assert.deepEqual(Buffer.from(publicKey), createPublicKey(key).export({ type: 'spki', format: 'der' }));
      assert.deepEqual(uris, []);
    }
    await readSigningRequest(byOpenssl(`DNS:${NAME}`), NAME);
    await readSigningRequest(byOpenssl(`DNS:${NAME}`, { subject: '/O=anything' }), NAME);
    await readSigningRequest(byOpenssl(`DNS:${NAME.toUpperCase()}`), NAME);
  });

  it('says which SPIFFE identities it asks for', async () => {
    const { der } = await signingRequest([NAME], { uris: [spiffeName('web'), spiffeName('web')] });
    assert.deepEqual((await readSigningRequest(der, NAME)).uris, [spiffeName('web')]);
  });

  it('is refused where it asks for anything else', async () => {
    const cases: [Uint8Array, RegExp][] = [
      [(await signingRequest([NAME, meshName('other')])).der, /asks for more than .*dns "other\.test/],
      [(await signingRequest([meshName('other')])).der, /asks for more than/],
      [(await signingRequest([])).der, /does not ask for web\.test/],
      [(await signingRequest([NAME], { authority: true })).der, /asks for an authority \(CA:TRUE\)/],
      [(await signingRequest(Array.from({ length: 50 }, (_, at) => `n${at}.test`))).der, /n0\.test/],
      [byOpenssl(`DNS:${NAME},IP:127.0.0.1`), /ip "127\.0\.0\.1"/],
      [byOpenssl(`DNS:${NAME},email:a@b.test`), /email "a@b\.test"/],
      [byOpenssl(`DNS:${NAME},otherName:1.2.3.4;UTF8:evil`), /names of an unknown kind/],
      [byOpenssl(`DNS:${NAME},RID:1.2.3.4`), /asks for/],
      [byOpenssl(`DNS:*.${NAME}`), /asks for more than/],
      [byOpenssl(`DNS:${NAME}`, { subject: '/CN=admin' }), /a common name other than .*"admin"/],
      [byOpenssl(`DNS:${NAME}`, { more: ['keyUsage=keyCertSign'] }), /key usage of an authority/],
      [byOpenssl(`DNS:${NAME}`, { more: ['basicConstraints=critical,CA:TRUE,pathlen:3'] }), /CA:TRUE/],
    ];
    for (const [der, message] of cases) await refused(der, 'asks-too-much', message);
  });

  it('is refused with a key that is too small, too large or of another kind', async () => {
    const cases: [string[], RegExp][] = [
      [['-newkey', 'rsa:512'], /an RSA key of 512 bits; 2048 to 4096 are allowed/],
      [['-newkey', 'rsa:1024'], /an RSA key of 1024 bits/],
      [['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp256k1'], /on the curve secp256k1; P-256 and P-384/],
      [['-newkey', 'ed25519'], /of the kind ed25519; ECDSA and RSA are supported/],
    ];
    for (const [key, message] of cases) await refused(byOpenssl(`DNS:${NAME}`, { key }), 'bad-key', message);
  });

  it('is refused where it can not be read, or was changed on its way', async () => {
    const { der } = await signingRequest([NAME]);
    await refused(new Uint8Array(0), 'bad-request', /there is no certificate signing request/);
    for (const text of [der.toString('hex'), der.toString('base64'), (await signingRequest([NAME])).request])
      await refused(Buffer.from(text), 'bad-signing-request', /can't be read/);
    await refused(Buffer.concat([der, der]), 'bad-signing-request', /can't be read/);
    await refused(randomBytes(300), 'bad-signing-request', /can't be read: it must be PKCS#10 in DER/);
    await refused(new Uint8Array(MAX_SIGNING_REQUEST_BYTES + 1), 'bad-request', /has more than 8192 bytes/);
    await refused(Buffer.alloc(4000, 0x30), 'bad-signing-request', /can't be read/);
    const changed = Buffer.from(der);
    changed[changed.length - 3] ^= 1;
    await assert.rejects(readSigningRequest(changed, NAME), { reason: 'bad-signing-request' });
  });

  it('cut off anywhere, or with any octet changed, is refused and nothing worse', async () => {
    const { der } = await signingRequest([NAME], { uris: [spiffeName('web')] });
    for (let at = 0; at < der.length; at++)
      await assert.rejects(readSigningRequest(der.subarray(0, at), NAME), Refusal, `cut at ${at}`);
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der);
      changed[at] ^= 0x55;
      await assert.rejects(readSigningRequest(changed, NAME), Refusal, `changed at ${at}`);
    }
  });
});

// The certificates that tests are made with are what they are said to be, as openssl sees them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { type Certified, DATES, meshName, Pki, signingRequest, spiffeName } from '../support/pki.js';

const run = promisify(execFile);

describe('the test PKI', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-pki-'));
  let pki: Pki;
  before(async () => {
    pki = await Pki.make();
  });
  after(() => rmSync(directory, { recursive: true }));

  /** What `openssl verify` says of it: empty if it is right. */
  async function verdict(leaf: Certified, anchor = pki.writeAnchor(directory), ...options: string[]): Promise<string> {
    const chain = join(directory, 'chain.pem');
    const own = join(directory, 'own.pem');
    writeFileSync(chain, leaf.chain);
    writeFileSync(own, leaf.certificate);
    try {
      await run('openssl', ['verify', '-x509_strict', ...options, '-CAfile', anchor, '-untrusted', chain, own]);
      return '';
    } catch (error) {
      return (error as { stderr: string }).stderr;
    }
  }

  it('makes leaves that hold, of every kind of key', async () => {
    for (const kind of ['p256', 'p384', 'rsa'] as const) {
      const leaf = await pki.workload('web', { kind });
      assert.equal(await verdict(leaf), '', kind);
      const { subjectAltName, checkPrivateKey } = new X509Certificate(leaf.certificate);
      assert.equal(subjectAltName, `DNS:${meshName('web')}, URI:${spiffeName('web')}`);
      assert.ok(checkPrivateKey.call(new X509Certificate(leaf.certificate), createPrivateKey(leaf.key)));
    }
    assert.equal(await verdict(await pki.leaf({ dns: ['a.test'], byRoot: true })), '');
    const local = await pki.leaf({ dns: ['localhost'], ips: ['127.0.0.1'] });
    assert.equal(await verdict(local, undefined, '-verify_ip', '127.0.0.1', '-purpose', 'sslserver'), '');
    const again = await pki.reissued('second');
    assert.equal(await verdict(await again.workload('web')), '');
  });

  it('makes leaves that are wrong in the way that was asked for', async () => {
    assert.match(await verdict(await pki.workload('web', { dates: DATES.expired() })), /certificate has expired/);
    assert.match(await verdict(await pki.workload('web', { dates: DATES.notYet() })), /certificate is not yet valid/);
    const lone = await pki.workload('web', { chain: 'withoutIntermediate' });
    assert.match(await verdict(lone), /unable to get local issuer certificate/);
    const other = (await Pki.make({ name: 'other' })).writeAnchor(directory, 'other');
    assert.match(await verdict(await pki.workload('web'), other), /unable to get local issuer certificate/);
    const namesake = (await Pki.make()).writeAnchor(directory, 'namesake');
    assert.notEqual(await verdict(await pki.workload('web'), namesake), '');
    const client = await pki.leaf({ dns: ['a.test'], usages: ['client'] });
    assert.match(await verdict(client, undefined, '-purpose', 'sslserver'), /certificate purpose/);
  });

  it('writes what it makes, and makes requests', async () => {
    const { certificate, key } = (await pki.leaf({ dns: ['a.test'] })).write(directory, 'a');
    const { stdout } = await run('openssl', ['x509', '-in', certificate, '-noout', '-subject']);
    assert.match(stdout, /CN ?= ?a\.test/);
    await run('openssl', ['pkey', '-in', key, '-noout']);
    const file = join(directory, 'request.pem');
    writeFileSync(file, (await signingRequest(['a.test'])).request);
    await run('openssl', ['req', '-in', file, '-verify', '-noout']);
  });
});

// `sluice identity dev` as it is called: what it makes, what it refuses to touch.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { identityDevCommand } from '../../src/cli/identity-dev.js';
import { UsageError } from '../../src/cli/usage.js';
import { inherited } from '../support/sluice.js';

const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

describe('sluice identity dev', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-dev-'));
  after(() => rmSync(directory, { recursive: true }));

  function dev(...args: string[]) {
    const options = { cwd: directory, encoding: 'utf8', env: inherited() } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'identity', 'dev', ...args], options);
    return { status, stdout, stderr };
  }

  const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
  const verify = (anchors: string, chain: string): string => {
    const files = ['-CAfile', anchors, '-untrusted', chain, chain];
    return execFileSync('openssl', ['verify', '-x509_strict', ...files], { cwd: directory, encoding: 'utf8' });
  };

  it('makes a root, an issuer and leaves that hold, with keys that nobody else may read', () => {
    const { status, stdout, stderr } = dev('made');
    assert.equal(status, 0, stderr);
    const files = ['anchors', 'client.default', 'issuer', 'localhost', 'web.default'].flatMap((name) => [
      `${name}-key.pem`,
      `${name}.pem`,
    ]);
    const tokens = ['client.default.token', 'tokens', 'web.default.token'];
    assert.deepEqual(readdirSync(join(directory, 'made')).sort(), [...files, ...tokens].sort());
    for (const name of [...files.filter((file) => file.endsWith('-key.pem')), ...tokens])
      assert.equal(statSync(join(directory, 'made', name)).mode & 0o777, 0o600, name);
    for (const name of ['web.default', 'client.default', 'localhost', 'issuer']) {
      assert.match(verify('made/anchors.pem', `made/${name}.pem`), /: OK/);
      const certificate = new X509Certificate(read(`made/${name}.pem`));
      assert.ok(certificate.checkPrivateKey(createPrivateKey(read(`made/${name}-key.pem`))), name);
      if (name !== 'issuer') assert.ok(stdout.includes(`made/${name}.pem`));
    }
    const { subjectAltName } = new X509Certificate(read('made/web.default.pem'));
    const dns = 'web.default.serviceaccount.identity.sluice.cluster.local';
    assert.equal(subjectAltName, `DNS:${dns}, URI:spiffe://cluster.local/ns/default/sa/web`);
    assert.ok(read('made/tokens').includes(`${read('made/web.default.token').trim()} default/web\n`));
  });

  it('shows a configuration that works with them', () => {
    for (const names of ['shop/web,localhost', 'shop/web', 'localhost']) {
      const { stdout } = dev(`with ${names.replace('/', ' ')}`, '--names', names);
      writeFileSync(join(directory, 'sluice.yaml'), stdout.slice(stdout.indexOf('sluice.yaml:\n') + 13));
      const options = { cwd: directory, encoding: 'utf8', env: inherited() } as const;
      const { status, stderr } = spawnSync(process.execPath, [main, 'check', '-c', 'sluice.yaml'], options);
      assert.deepEqual([status, stderr], [0, ''], stdout);
      rmSync(join(directory, `with ${names.replace('/', ' ')}`), { recursive: true });
    }
    rmSync(join(directory, 'sluice.yaml'));
  });

  it('takes names, lifetime, domain, mesh and kind of key', () => {
    const options = ['--trust-domain', 'example.org', '--mesh', 'linkerd', '--keys', 'rsa', '--lifetime', '2h'];
    const { status, stderr } = dev('other', '--names', 'shop/web,*.shop.example', ...options);
    assert.equal(status, 0, stderr);
    const web = new X509Certificate(read('other/web.shop.pem'));
    const dns = 'web.shop.serviceaccount.identity.linkerd.example.org';
    assert.equal(web.subjectAltName, `DNS:${dns}, URI:spiffe://example.org/ns/shop/sa/web`);
    assert.equal(web.publicKey.asymmetricKeyType, 'rsa');
    assert.equal(Math.round((Date.parse(web.validTo) - Date.now()) / 60_000), 120);
    assert.equal(new X509Certificate(read('other/_.shop.example.pem')).subjectAltName, 'DNS:*.shop.example');
    assert.match(verify('other/anchors.pem', 'other/web.shop.pem'), /: OK/);
  });

  it('overwrites nothing, and makes nothing then', () => {
    execFileSync('mkdir', ['-p', join(directory, 'taken')]);
    writeFileSync(join(directory, 'taken', 'web.default-key.pem'), 'precious');
    const { status, stdout, stderr } = dev('taken');
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^sluice identity dev: taken\/web\.default-key\.pem exists already and is not overwritten; name another/,
    );
    assert.deepEqual(readdirSync(join(directory, 'taken')), ['web.default-key.pem']);
    assert.equal(read('taken/web.default-key.pem'), 'precious');
  });

  it('says what is wrong with a call', async () => {
    const cases: [string[], RegExp][] = [
      [[], /to which directory\? add DIR/],
      [['x', '--names', 'a/b/c'], /"a\/b\/c" is neither NAMESPACE\/ACCOUNT nor a DNS name/],
      [['x', '--names', 'two words'], /"two words" is neither/],
      [['x', '--names', 'spiffe://a/b'], /is neither NAMESPACE\/ACCOUNT nor a DNS name/],
      [['x', '--names', '../up'], /is neither/],
      [['x', '--names', 'name.space/web'], /has a namespace that is not a DNS label/],
      [['x', '--names', ','], /no name in it/],
      [['x', '--lifetime', 'soon'], /--lifetime: soon is not a duration; write for example 12h or 30d/],
      [['x', '--trust-domain', 'A B'], /--trust-domain: it has the trust domain "A B"/],
      [['x', '--mesh', 'a/b'], /is neither/],
      [['x', '--keys', 'dsa'], /--keys: dsa is unknown; expected one of ecdsa, rsa/],
      [['x', '--lifetme', '1h'], /unknown option --lifetme; did you mean "--lifetime"\?/],
    ];
    for (const [args, expected] of cases)
      await assert.rejects(identityDevCommand.run(args), (error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.match(error.message, expected);
        return true;
      });
    const { status, stdout, stderr } = dev();
    assert.deepEqual([status, stdout], [2, '']);
    assert.match(stderr, /^sluice identity dev: .*\nTry: sluice identity dev --help/);
    assert.deepEqual(readdirSync(directory).sort(), ['made', 'other', 'taken']);
  });
});

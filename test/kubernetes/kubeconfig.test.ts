// Kubeconfigs: what is read of them, and what is refused by name.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { kubeconfigAccess, kubeconfigFiles } from '../../src/kubernetes/kubeconfig.js';

describe('a kubeconfig', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  const write = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };
  const config = (user: string, cluster = 'server: https://api.test:6443', name = 'config'): string =>
    write(
      name,
      `apiVersion: v1
kind: Config
current-context: here
contexts: [{ name: here, context: { cluster: c, user: u } }, { name: there, context: { cluster: nobody, user: u } }]
clusters: [{ name: c, cluster: { ${cluster} } }]
users: [{ name: u, user: { ${user} } }]
`,
    );
  const base64 = (text: string): string => Buffer.from(text).toString('base64');

  after(() => rmSync(directory, { recursive: true }));

  it('has tokens, certificates and authorities, in it or in files beside it', () => {
    const inline = kubeconfigAccess([
      config(
        `token: secret, client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')}`,
        `server: "https://api.test:6443", certificate-authority-data: ${base64('CA')}, tls-server-name: other.test`,
      ),
    ]);
    assert.equal(inline.server.href, 'https://api.test:6443/');
    assert.deepEqual(inline.tls(), { ca: 'CA', cert: 'CERT', key: 'KEY', servername: 'other.test' });
    assert.equal(inline.authorization(), 'Bearer secret');
    write('ca.pem', 'CA2');
    const token = write('token', 'first\n');
    const files = kubeconfigAccess([
      config(
        'tokenFile: token',
        'server: "http://127.0.0.1:8001", certificate-authority: ca.pem, insecure-skip-tls-verify: true',
      ),
    ]);
    assert.deepEqual(files.tls(), { ca: 'CA2', rejectUnauthorized: false });
    assert.equal(files.authorization(), 'Bearer first');
    writeFileSync(token, 'the second\n');
    assert.throws(() => files.authorization(), /token has no token in it/);
    writeFileSync(token, 'second, longer\n'.replace(', ', '-'));
    assert.equal(files.authorization(), 'Bearer second-longer');
    assert.equal(kubeconfigAccess([config('')]).authorization(), null);
  });

  it('may be several files, of which the first counts', () => {
    const first = write('first', 'clusters: [{ name: c, cluster: { server: "https://first.test" } }]');
    const access = kubeconfigAccess([first, config('token: secret')]);
    assert.equal(access.server.hostname, 'first.test');
    assert.equal(access.authorization(), 'Bearer secret');
    assert.deepEqual(kubeconfigFiles({ KUBECONFIG: '/a:/b' }), ['/a', '/b']);
    assert.deepEqual(kubeconfigFiles({ HOME: '/home/me' }), ['/home/me/.kube/config']);
  });

  it('is refused with the field that is not supported, or what is missing', () => {
    const refused = (path: string, what: RegExp, context?: string): void =>
      assert.throws(() => kubeconfigAccess([path], context), what);
    refused(
      config('exec: { command: aws }'),
      /user "u" gets its credentials from another program \(exec\), which is not/,
    );
    refused(config('auth-provider: { name: gcp }'), /auth-provider/);
    refused(config('username: me, password: secret'), /no longer take \(username\)/);
    refused(config('as: somebody'), /\(as\)/);
    refused(config('token: a', 'server: "https://a", proxy-url: "socks5://b"'), /proxy-url/);
    refused(config('token: a', 'server: nonsense'), /"nonsense" as its server/);
    refused(config('token: a'), /there is no cluster "nobody"/, 'there');
    refused(config('token: a'), /there is no context "gone"/, 'gone');
    refused(join(directory, 'missing'), /missing does not exist/);
    refused(write('list', '- a'), /list is not a kubeconfig/);
    refused(write('empty', 'kind: Config'), /there is no current context/);
    refused(write('broken', '{'), /broken is not valid YAML/);
  });
});

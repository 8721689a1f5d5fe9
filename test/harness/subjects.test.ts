import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { foreign, foreignVersion } from '../../src/harness/peers/packages.js';
import { planOf, SCENARIOS } from '../../src/harness/scenarios.js';
import { subjects } from '../../src/harness/subjects/all.js';
import { linkerdEnvironment, writeIdentity } from '../../src/harness/subjects/linkerd2-proxy.js';
import type { Subject } from '../../src/harness/subjects/subject.js';

const root = mkdtempSync(join(tmpdir(), 'sluice-subjects-'));
after(() => rmSync(root, { recursive: true, force: true }));

const named = (name: string): Subject => {
  const found = subjects(null).find((one) => one.name === name);
  assert.ok(found, name);
  return found;
};

/** What `missing` says with a variable set. */
function missingWith(variable: string, value: string, name: string): string | null {
  const before = process.env[variable];
  process.env[variable] = value;
  try {
    return named(name).missing();
  } finally {
    if (before === undefined) delete process.env[variable];
    else process.env[variable] = before;
  }
}

describe('subjects', () => {
  it('say why they are not here', () => {
    assert.match(
      missingWith('ENVOY', join(root, 'nothing'), 'envoy') ?? '',
      /^ENVOY names .*nothing, which is not a program/,
    );
    assert.equal(missingWith('LINKERD2_PROXY', '', 'linkerd2-proxy'), 'LINKERD2_PROXY names no binary');
    assert.match(missingWith('LINKERD2_PROXY', root, 'linkerd2-proxy') ?? '', /which is not a program/);
    const program = join(root, 'program');
    writeFileSync(program, '#!/bin/sh\n');
    chmodSync(program, 0o755);
    assert.equal(missingWith('ENVOY', program, 'envoy'), null);
  });

  it('say what they cannot do', () => {
    const able = (name: string): string[] =>
      SCENARIOS.filter(({ work }) => (named(name).unsupported?.(work) ?? null) === null).map((one) => one.name);
    assert.ok(!able('nghttpx').includes('tcp') && able('nghttpx').includes('grpc'));
    assert.ok(!able('nginx').includes('h2') && able('nginx').includes('h2-to-h1'));
    assert.deepEqual(able('node-http2-wrapper').slice(0, 3), ['h2', 'h2-rate', 'grpc']);
    assert.ok(able('node-undici').every((name) => /^(h1|connect)/.test(name)));
    assert.ok(able('linkerd2-proxy').includes('tcp') && !able('linkerd2-proxy').includes('tls'));
    assert.ok(!able('direct').some((name) => /tls|-to-/.test(name)) && able('direct').includes('h2'));
    assert.equal(able('sluice-uring').length, SCENARIOS.length);
  });

  it('have the time of a load divided among its steps', () => {
    const steps = SCENARIOS.find(({ name }) => name === 'h1-steps');
    assert.ok(steps !== undefined);
    const { pace } = planOf(steps, 1, { seconds: 6, threads: 1, io: 'auto' });
    assert.ok(pace.kind === 'steps');
    assert.deepEqual(
      pace.steps.map(({ rate, seconds }) => [rate, seconds]),
      [
        [1000, 2],
        [3000, 2],
        [5000, 2],
      ],
    );
  });

  it('have names of their own, and so have scenarios', () => {
    for (const names of [subjects(null).map(({ name }) => name), SCENARIOS.map(({ name }) => name)])
      assert.equal(new Set(names).size, names.length);
  });

  it('find packages in the directory that is named, before ours', () => {
    const other = join(root, 'other');
    mkdirSync(join(other, 'node_modules/some-proxy'), { recursive: true });
    writeFileSync(join(other, 'node_modules/some-proxy/package.json'), '{"name":"some-proxy","version":"1.2.3"}');
    writeFileSync(join(other, 'node_modules/some-proxy/index.js'), 'module.exports = 5');
    assert.equal(foreignVersion('some-proxy', [root, other]), '1.2.3');
    assert.equal(foreign('some-proxy', [root, other]), 5);
    assert.equal(foreignVersion('some-proxy', [root]), null);
    assert.equal(foreign('some-proxy', [root]), null);
  });

  it("give Linkerd's proxy a key, and the request for a certificate of it", async () => {
    const directory = join(root, 'identity');
    await writeIdentity(directory);
    const openssl = (...given: string[]): string => execFileSync('openssl', given, { encoding: 'utf8' });
    const request = ['req', '-inform', 'DER', '-in', join(directory, 'csr.der'), '-noout'];
    assert.match(openssl(...request, '-text'), /DNS:web\.shop\.serviceaccount\.identity\.sluice\.cluster\.local/);
    const key = openssl('pkcs8', '-inform', 'DER', '-in', join(directory, 'key.p8'), '-nocrypt');
    assert.equal(createPublicKey(key).export({ type: 'spki', format: 'pem' }), openssl(...request, '-pubkey'));
  });

  it("give Linkerd's proxy what its injector would", () => {
    mkdirSync(join(root, 'issued'));
    writeFileSync(join(root, 'issued/anchors.pem'), 'ANCHORS');
    const ports = { inbound: 1, outbound: 2, control: 3, admin: 4, identity: 5, destination: 6 };
    const of = (kind: 'http' | 'tcp') => linkerdEnvironment(root, ports, { kind, upstream: 9, workers: 2 });
    const env = of('http');
    assert.equal(env.LINKERD2_PROXY_INBOUND_LISTEN_ADDR, '127.0.0.1:1');
    assert.equal(env.LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS, 'ANCHORS');
    assert.equal(env.LINKERD2_PROXY_IDENTITY_LOCAL_NAME, 'web.shop.serviceaccount.identity.sluice.cluster.local');
    assert.equal(env.LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION, '');
    assert.equal(of('tcp').LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION, '9');
  });
});

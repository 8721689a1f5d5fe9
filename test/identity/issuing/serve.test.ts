// `sluice identity serve` as a process: who gets a certificate, who doesn't and why, and what becomes of it when files change.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, randomBytes, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2, type Settings } from 'node:http2';
import { createServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { frame } from '../../../src/grpc/framing.js';
import { requestHead } from '../../../src/grpc/status.js';
import {
  Certifying,
  type CertifyRequest,
  type IdentityProcess,
  startIdentityService,
} from '../../support/identity-service.js';
import { type Certified, DATES, meshName, Pki, signingRequest, spiffeName } from '../../support/pki.js';
import { eventually } from '../../support/sluice.js';

const pem = (der: Buffer): string => String(new X509Certificate(der));

describe('the identity service', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-identity-'));
  const path = (name: string): string => join(directory, name);
  const files = [
    '--issuer',
    path('issuer.pem'),
    '--issuer-key',
    path('issuer-key.pem'),
    '--anchors',
    path('anchors.pem'),
  ];
  const names = ['--mesh', 'linkerd', '--tokens', path('tokens')];
  let pki: Pki;
  let service: IdentityProcess;
  let caller: Certifying;
  let request: Buffer;
  let key: string;
  /** One whose issuer ends while the other tests run. */
  let ending: IdentityProcess;
  const endingIssuer = ['--issuer', path('short/issuer.pem'), '--issuer-key', path('short/issuer-key.pem')];

  /** As Kubernetes and cert-manager do it: nobody ever sees half of it. */
  function replace(name: string, text: string): void {
    writeFileSync(path(`${name}.new`), text);
    renameSync(path(`${name}.new`), path(name));
  }

  function replaceIssuer({ chain, key: issuerKey }: Certified): void {
    replace('issuer-key.pem', issuerKey);
    replace('issuer.pem', chain);
  }

  const web = (more: Partial<CertifyRequest> = {}): CertifyRequest => ({
    identity: meshName('web'),
    token: 'token-of-web',
    request,
    ...more,
  });

  async function refused(what: Promise<unknown>, code: string, message: RegExp): Promise<void> {
    await assert.rejects(what, (error) => {
      assert.equal((error as { code: string }).code, code, String(error));
      assert.match(String(error), message);
      return true;
    });
  }

  before(async () => {
    pki = await Pki.make();
    pki.writeAnchor(directory);
    replaceIssuer(await pki.issuer);
    writeFileSync(path('tokens'), '# who is who\n\ntoken-of-web test/web\ntoken-of-other  test/other\n');
    service = await startIdentityService([...files, ...names]);
    caller = new Certifying(service.port);
    await (await (await Pki.make({ issuerDates: DATES.endingIn(12_000) })).issuer).write(path('short'), 'issuer');
    ending = await startIdentityService([...endingIssuer, ...names]);
    ({ der: request, key } = await signingRequest([meshName('web')]));
  });
  after(async () => {
    caller.close();
    await service.stop('SIGKILL');
    await ending.stop('SIGKILL');
    rmSync(directory, { recursive: true });
  });

  it('gives an account the certificate for its name, for a day', async () => {
    const before = Date.now();
    const { leaf, intermediates, validUntil } = await caller.certify(web());
    const certificate = new X509Certificate(leaf);
    assert.equal(certificate.subjectAltName, `DNS:${meshName('web')}`);
    assert.deepEqual(
      certificate.publicKey.export({ type: 'spki', format: 'der' }),
      createPublicKey(key).export({ type: 'spki', format: 'der' }),
    );
    assert.equal(validUntil * 1000, Date.parse(certificate.validTo));
    // The test's issuer ends a little earlier than in a day.
    assert.ok(validUntil * 1000 <= Date.parse(new X509Certificate((await pki.issuer).chain).validTo));
    // 20 s before it was made, in whole seconds.
    const made = Date.parse(certificate.validFrom) + 20_000;
    assert.ok(made >= before - 1000 && made <= Date.now(), certificate.validFrom);
    writeFileSync(path('leaf.pem'), pem(leaf));
    writeFileSync(path('chain.pem'), intermediates.map(pem).join(''));
    const verify = ['-CAfile', path('anchors.pem'), '-untrusted', path('chain.pem'), path('leaf.pem')];
    for (const purpose of ['sslserver', 'sslclient'])
      execFileSync('openssl', ['verify', '-x509_strict', '-purpose', purpose, ...verify]);
    const line = service.logged('certificate issued').at(-1);
    assert.equal(line?.identity, meshName('web'));
    assert.equal(line?.account, 'test/web');
    assert.equal(line?.serial, certificate.serialNumber.toLowerCase());
    assert.equal(line?.until, new Date(validUntil * 1000).toISOString());
    assert.equal(line?.peer, '127.0.0.1');
  });

  it('adds the SPIFFE identity where it is asked for', async () => {
    const { der } = await signingRequest([meshName('web')], { uris: [spiffeName('web')] });
    const { leaf } = await caller.certify(web({ request: der }));
    assert.equal(new X509Certificate(leaf).subjectAltName, `DNS:${meshName('web')}, URI:${spiffeName('web')}`);
    const foreign = await signingRequest([meshName('web')], { uris: [spiffeName('other')] });
    await refused(caller.certify(web({ request: foreign.der })), 'PERMISSION_DENIED', /may have web\.test\./);
  });

  it('refuses with the status that fits, a line in the log and a metric', async () => {
    const other = await signingRequest([meshName('other')]);
    const cases: [Partial<CertifyRequest>, string, string, RegExp][] = [
      [{ token: 'nobody’s' }, 'UNAUTHENTICATED', 'bad-token', /bytes that no token may have/],
      [{ token: 'token-of-we' }, 'UNAUTHENTICATED', 'bad-token', /the token is unknown/],
      [{ token: '' }, 'INVALID_ARGUMENT', 'bad-request', /there is no token/],
      [{ token: 'x'.repeat(20_000) }, 'INVALID_ARGUMENT', 'bad-request', /more than 16384 bytes/],
      [{ token: 'token-of-other' }, 'PERMISSION_DENIED', 'not-allowed', /may have other\.test\.serviceaccount/],
      [{ identity: '' }, 'INVALID_ARGUMENT', 'bad-request', /no identity/],
      [{ identity: 'spiffe://cluster.local/ns/test/sa/web' }, 'INVALID_ARGUMENT', 'bad-request', /not a DNS name/],
      [{ identity: 'two words' }, 'INVALID_ARGUMENT', 'bad-request', /not a DNS name/],
      [{ identity: meshName('other'), request: other.der }, 'PERMISSION_DENIED', 'not-allowed', /may have web\.test/],
      [{ request: other.der }, 'INVALID_ARGUMENT', 'asks-too-much', /asks for more than/],
      [{ request: randomBytes(300) }, 'INVALID_ARGUMENT', 'bad-signing-request', /can't be read: /],
      [{ request: new Uint8Array(0) }, 'INVALID_ARGUMENT', 'bad-request', /no certificate signing request/],
      [{ request: new Uint8Array(10_000) }, 'INVALID_ARGUMENT', 'bad-request', /more than 8192 bytes/],
    ];
    for (const [change, code, reason, message] of cases) {
      const name = `sluice_identity_refused_total{reason="${reason}"}`;
      const before = await service.metric(name);
      await refused(caller.certify(web(change)), code, message);
      assert.equal(await service.metric(name), before + 1);
      const line = service.logged('certificate refused').at(-1);
      assert.equal(line?.reason, reason);
      assert.match(String(line?.detail), message);
    }
    // No token gets into the log.
    assert.ok(!JSON.stringify(service.log).includes('token-of-'));
  });

  it('takes no message of a mebibyte, and goes on', async () => {
    const large = caller.certify(web({ request: randomBytes(1 << 20) }));
    await refused(large, 'RESOURCE_EXHAUSTED', /larger than max/);
    // A field of a kind that there is not.
    await refused(caller.send(Buffer.from([0x4f, 1, 2, 3])), 'INTERNAL', /./);
    const socket = connect(service.port, '127.0.0.1', () => socket.write(randomBytes(4096)));
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('close', resolve).resume());
    await caller.certify(web());
  });

  it('bounds what callers may hold: connections in all and for each address, calls on one, and messages', async () => {
    const bounds = ['--max-connections', '8', '--max-streams', '3', '--max-message', '2KiB'];
    const small = await startIdentityService([...files, ...names, ...bounds]);
    const open = new Set<Socket>();
    const dial = (localAddress: string): Socket => {
      const socket = connect({ port: small.port, host: '127.0.0.1', localAddress });
      open.add(socket);
      return socket.on('error', () => undefined).once('close', () => open.delete(socket));
    };
    try {
      const flood = Array.from({ length: 40 }, () => dial('127.0.0.2'));
      const left = flood.map((socket) => new Promise((resolve) => socket.once('close', resolve).resume()));
      await eventually(
        async () => (await small.metric('sluice_identity_connections_refused_total')) === 36,
        'refusals',
      );
      assert.equal(await small.metric('sluice_identity_connections'), 4);
      // Others still get through.
      const session = connectHttp2(`http://127.0.0.1:${small.port}`);
      const [settings] = (await once(session, 'remoteSettings')) as [Settings];
      assert.equal(settings.maxConcurrentStreams, 3);
      session.destroy();
      const another = new Certifying(small.port);
      await another.certify(web());
      await refused(another.certify(web({ token: 'x'.repeat(2048) })), 'RESOURCE_EXHAUSTED', /larger than max/);
      another.close();
      for (const socket of open) socket.destroy();
      await Promise.all(left);
      await eventually(async () => (await small.metric('sluice_identity_connections')) === 0, 'nobody');
    } finally {
      await small.stop('SIGKILL');
    }
  });

  it('takes another issuer when the files change, and keeps the one of before where they are wrong', async () => {
    const loads = (result: string) => service.metric(`sluice_identity_issuer_loads_total{result="${result}"}`);
    const wrong = await Pki.make({ name: 'wrong' });
    const before = await loads('refused');
    replaceIssuer(await wrong.issuer);
    await eventually(async () => (await loads('refused')) > before, 'a refusal');
    assert.equal((await service.page('/ready')).status, 200);
    assert.match(
      (await service.page('/ready')).body,
      /issuer\.pem: certificate 1 of 1 \(CN=issuer\.wrong\) was signed by CN=root\.wrong, which is not in .*anchors/,
    );
    const next = await pki.reissued('second');
    replaceIssuer(await next.issuer);
    const issuerOf = async () => new X509Certificate((await caller.certify(web())).leaf).issuer;
    await eventually(async () => (await issuerOf()) === 'CN=issuer.second', 'the next issuer');
    assert.equal((await service.page('/ready')).body, 'ready\n');
    assert.equal(service.logged('issuer replaced').length, 1);
    const until = await service.metric('sluice_identity_issuer_expiry_timestamp_seconds');
    assert.equal(until * 1000, Date.parse(new X509Certificate((await next.issuer).chain).validTo));
  });

  it('reads tokens again, and keeps those of before where the file is wrong', async () => {
    replace('tokens', 'token-of-web test/web\na-new-one test/web\n');
    await eventually(() => service.logged('tokens read again').length > 0, 'tokens');
    await caller.certify(web({ token: 'a-new-one' }));
    await refused(caller.certify(web({ token: 'token-of-other' })), 'UNAUTHENTICATED', /the token is unknown/);
    replace('tokens', 'token-of-web\n');
    await eventually(() => service.logged('tokens refused; the previous ones stay in use').length > 0, 'a refusal');
    assert.match((await service.page('/ready')).body, /^ready\n.*tokens: line 1 is not TOKEN NAMESPACE\/ACCOUNT/);
    await caller.certify(web({ token: 'a-new-one' }));
    replace('tokens', 'token-of-web test/web\n');
  });

  it('has a page of metrics with all that the page about it names', async () => {
    const { body } = await service.page('/metrics');
    assert.ok((await service.metric('sluice_identity_issued_total')) > 0);
    assert.ok((await service.metric('sluice_identity_request_seconds_count')) > 0);
    assert.equal(await service.metric('sluice_identity_connections'), 1);
    assert.equal(await service.metric('sluice_identity_requests'), 0);
    assert.match(body, /^sluice_build_info\{version="[^"]+",node="[^"]+"\} 1$/m);
    assert.equal((await service.page('/live')).status, 200);
    assert.equal((await service.page('/nowhere')).status, 404);
    const posted = await fetch(`http://127.0.0.1:${service.adminPort}/metrics`, { method: 'POST' });
    assert.equal(posted.status, 405);
  });

  it('serves in TLS with a certificate of its own, which follows the issuer', async () => {
    const secure = await startIdentityService([...files, ...names, '--tls']);
    const name = 'sluice-identity.linkerd.serviceaccount.identity.linkerd.cluster.local';
    const tls = new Certifying(secure.port, { anchors: pki.anchor, name });
    try {
      await tls.certify(web());
      // Linkerd's proxies name no protocol.
      const silent = connectTls({ host: '127.0.0.1', port: secure.port, servername: name, ca: pki.anchor });
      const nameless = connectHttp2(`https://${name}`, { createConnection: () => silent });
      const call = nameless.request(requestHead('/io.linkerd.proxy.identity.Identity/Certify'));
      call.end(frame(new Uint8Array(0)));
      assert.equal((await once(call, 'response'))[0]['grpc-status'], '3');
      nameless.destroy();
      const stranger = new Certifying(secure.port, { anchors: (await Pki.make()).anchor, name });
      await refused(stranger.certify(web()), 'UNAVAILABLE', /certificate/);
      stranger.close();
      replaceIssuer(await (await pki.reissued('third')).issuer);
      await eventually(() => secure.logged('issuer replaced').length > 0, 'the next issuer');
      const fresh = new Certifying(secure.port, { anchors: pki.anchor, name });
      await fresh.certify(web());
      fresh.close();
    } finally {
      tls.close();
      assert.equal(await secure.stop(), 0);
    }
  });

  it('asks Kubernetes who a token is of, and tells callers to try again while that is away', async () => {
    const { chain, key: apiKey } = await pki.leaf({ ips: ['127.0.0.1'] });
    const users: Readonly<Record<string, string>> = { good: 'web', another: 'other' };
    const api = createServer({ cert: chain, key: apiKey }, async (call, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of call) chunks.push(chunk);
      const { spec } = JSON.parse(Buffer.concat(chunks).toString());
      const account = users[spec.token];
      const user = { username: `system:serviceaccount:test:${account}` };
      const status =
        account === undefined ? { authenticated: false } : { authenticated: true, user, audiences: spec.audiences };
      response.writeHead(201).end(JSON.stringify({ status }));
    });
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
    const { port } = api.address() as AddressInfo;
    writeFileSync(path('own-token'), 'ours');
    const kubernetes = [
      '--mesh',
      'linkerd',
      '--kubernetes',
      '--api-token',
      path('own-token'),
      '--api-ca',
      path('anchors.pem'),
    ];
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(port) };
    const reviewing = await startIdentityService([...files, ...kubernetes], env);
    const from = new Certifying(reviewing.port);
    const reviews = (result: string) => reviewing.metric(`sluice_identity_token_reviews_total{result="${result}"}`);
    try {
      // No token has a space in it: this one never gets to Kubernetes.
      await refused(from.certify(web({ token: 'two words' })), 'UNAUTHENTICATED', /bytes that no token/);
      assert.equal(await reviews('denied'), 0);
      const { leaf } = await from.certify(web({ token: 'good' }));
      assert.equal(new X509Certificate(leaf).subjectAltName, `DNS:${meshName('web')}`);
      await refused(from.certify(web({ token: 'another' })), 'PERMISSION_DENIED', /may have other\.test/);
      await refused(from.certify(web({ token: 'unknown' })), 'UNAUTHENTICATED', /does not vouch/);
      assert.deepEqual([await reviews('authenticated'), await reviews('denied')], [2, 1]);
      assert.equal(await reviewing.metric('sluice_identity_token_review_seconds_count'), 3);
      api.closeAllConnections();
      await new Promise((resolve) => api.close(resolve));
      await refused(from.certify(web({ token: 'good' })), 'UNAVAILABLE', /tokens cannot be checked at present/);
      assert.match(
        (await reviewing.page('/ready')).body,
        /^ready\nKubernetes can't be asked about tokens: .*ECONNREFUSED/,
      );
      assert.match(String(reviewing.logged('certificate refused').at(-1)?.detail), /ECONNREFUSED/);
    } finally {
      from.close();
      api.close();
      assert.equal(await reviewing.stop(), 0);
    }
  });

  it('does not sign with an issuer that has ended, and is not ready then', async () => {
    const from = new Certifying(ending.port);
    try {
      await eventually(async () => (await ending.page('/ready')).status === 503, 'the end');
      assert.match((await ending.page('/ready')).body, /issuer\.pem: the issuer expired at/);
      await refused(from.certify(web()), 'UNAVAILABLE', /the issuer cannot sign at present/);
      assert.equal(ending.logged('certificate refused').at(-1)?.reason, 'issuer-unusable');
    } finally {
      from.close();
      assert.equal(await ending.stop(), 0);
    }
    await assert.rejects(
      startIdentityService([...endingIssuer, ...names]),
      /issuer\.pem: expired at .*; a new issuer is due/,
    );
  });

  it('does not start with what is wrong, and says what it is', async () => {
    writeFileSync(path('empty'), '');
    const cases: [string[], RegExp][] = [
      [['--issuer', path('empty'), '--issuer-key', path('issuer-key.pem')], /empty: /],
      [['--issuer', path('nowhere'), '--issuer-key', path('issuer-key.pem')], /nowhere/],
      [['--issuer', path('issuer.pem'), '--issuer-key', path('issuer.pem')], /issuer\.pem: /],
    ];
    for (const [issuer, message] of cases) await assert.rejects(startIdentityService([...issuer, ...names]), message);
  });

  it('refuses more than it is meant for, and ends in order', async () => {
    const bounded = await startIdentityService([...files, ...names, '--max-rate', '3']);
    const from = new Certifying(bounded.port);
    const results = await Promise.allSettled(Array.from({ length: 30 }, () => from.certify(web())));
    const codes = results.map((result) => (result.status === 'rejected' ? result.reason.code : 'OK'));
    assert.ok(codes.includes('OK'));
    assert.ok(codes.includes('RESOURCE_EXHAUSTED'));
    assert.equal(
      await bounded.metric('sluice_identity_refused_total{reason="overload"}'),
      codes.filter((code) => code === 'RESOURCE_EXHAUSTED').length,
    );
    from.close();
    assert.equal(await bounded.stop('SIGTERM'), 0);
    assert.equal(bounded.logged('identity service ended').length, 1);
  });
});

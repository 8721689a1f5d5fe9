// Our identity service and a real Kubernetes: what its TokenReview says of tokens, and what becomes of callers while it is away.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Certifying, type IdentityProcess, startIdentityService } from '../support/identity-service.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { meshName, Pki, signingRequest } from '../support/pki.js';
import { eventually } from '../support/sluice.js';

const AUDIENCE = 'identity.l5d.io';
const NAMESPACE = 'test';
const WAIT_MS = 60_000;

describe('the identity service and Kubernetes', { skip: lackingKubernetes() }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-review-'));
  let kubernetes: Kubernetes;
  let service: IdentityProcess;
  let calls: Certifying;
  let request: Uint8Array;

  /** What becomes of a request with this token: OK, or the status and what is said. */
  const certify = async (token: string, account = 'web'): Promise<string> => {
    try {
      const { leaf } = await calls.certify({ identity: meshName(account), token, request });
      return leaf.length > 0 ? 'OK' : 'nothing';
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  };
  const token = (account: string, audience = AUDIENCE): Promise<string> =>
    kubernetes.token(NAMESPACE, account, audience);
  const logged = (matches: RegExp): Promise<void> =>
    eventually(
      () => service.logged('certificate refused').some((line) => matches.test(JSON.stringify(line))),
      `${matches} in the log`,
    );

  before(async () => {
    kubernetes = await Kubernetes.start();
    await kubernetes.namespace(NAMESPACE);
    for (const account of ['web', 'gone', 'identity']) await kubernetes.account(NAMESPACE, account);
    await kubernetes.bind('system:auth-delegator', NAMESPACE, 'identity');
    // Its own token is for the API server.
    writeFileSync(join(directory, 'token'), await token('identity', kubernetes.audience));
    const pki = await Pki.make();
    request = (await signingRequest([meshName('web')])).der;
    const { certificate, key } = (await pki.issuer).write(directory, 'issuer');
    const files = ['--issuer', certificate, '--issuer-key', key, '--anchors', pki.writeAnchor(directory)];
    const review = ['--kubernetes', '--api-server', kubernetes.url, '--api-ca', kubernetes.authority];
    service = await startIdentityService([
      ...files,
      ...review,
      '--api-token',
      join(directory, 'token'),
      '--mesh',
      'linkerd',
    ]);
    calls = new Certifying(service.port);
    // The rights of a binding take effect a moment later.
    const first = await token('web');
    await eventually(async () => (await certify(first)) === 'OK', 'the first certificate', WAIT_MS);
  });
  after(async () => {
    calls?.close();
    await service?.stop();
    await kubernetes?.stop();
    rmSync(directory, { recursive: true });
  });

  it('gives certificates to accounts whose tokens are right, for their names', async () => {
    assert.equal(await certify(await token('web')), 'OK');
    assert.match(await certify(await token('gone')), /^PERMISSION_DENIED: .*may have gone\.test/);
  });

  it('refuses tokens for others, that have expired, that somebody has made up, of nobody', async () => {
    assert.match(await certify(await token('web', 'else.example')), /^UNAUTHENTICATED/);
    const good = await token('web');
    const past = Math.floor(Date.now() / 1000) - 600;
    assert.match(
      await certify(kubernetes.signedAnew(good, { iat: past - 60, nbf: past - 60, exp: past })),
      /^UNAUTHENTICATED/,
    );
    await logged(/expired/);
    assert.equal(await certify(kubernetes.signedAnew(good, {})), 'OK', 'what is signed so is a token as any other');
    assert.match(await certify(`${good.slice(0, -8)}AAAAAAAA`), /^UNAUTHENTICATED/);
    assert.match(await certify('nonsense'), /^UNAUTHENTICATED/);
  });

  it('refuses the token of an account that was deleted', async () => {
    const last = await token('gone');
    await kubernetes.deleteAccount(NAMESPACE, 'gone');
    await eventually(async () => /^UNAUTHENTICATED/.test(await certify(last)), 'a refusal', WAIT_MS);
  });

  it('has callers come again while the API server is away, and serves when that is back', async () => {
    const good = await token('web');
    await kubernetes.stopServer();
    assert.match(await certify(good), /^UNAVAILABLE: tokens cannot be checked at present/);
    const { status, body } = await service.page('/ready');
    assert.equal(status, 200);
    assert.match(body, /Kubernetes can't be asked about tokens: .*ECONNREFUSED/);
    assert.ok((await service.metric('sluice_identity_token_reviews_total{result="unavailable"}')) >= 1);
    await kubernetes.startServer();
    await eventually(async () => (await certify(good)) === 'OK', 'a certificate again', WAIT_MS);
    assert.doesNotMatch((await service.page('/ready')).body, /Kubernetes/);
  });

  it('says so where its own token has no rights', async () => {
    const good = await token('web');
    writeFileSync(join(directory, 'token'), await token('web', kubernetes.audience));
    assert.match(await certify(good), /^UNAVAILABLE/);
    assert.match(
      (await service.page('/ready')).body,
      /status 403 \(tokenreviews\.authentication\.k8s\.io is forbidden/,
    );
    writeFileSync(join(directory, 'token'), 'nonsense');
    assert.match(await certify(good), /^UNAVAILABLE/);
    assert.match((await service.page('/ready')).body, /status 401/);
    writeFileSync(join(directory, 'token'), await token('identity', kubernetes.audience));
    assert.equal(await certify(good), 'OK');
  });

  it('has controllers, for those who want them', async () => {
    await kubernetes.startControllers();
    await kubernetes.namespace('controlled');
    const path = '/api/v1/namespaces/controlled/serviceaccounts/default';
    await eventually(
      async () => (await kubernetes.ask('GET', path)).status === 200,
      'the account of a namespace',
      WAIT_MS,
    );
  });
});

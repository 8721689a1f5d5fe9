// TokenReview against an API server that answers as it should, and in every way that it shouldn't. (A small HTTPS server stands for it.)
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Refusal } from '../../../src/identity/issuing/refusal.js';
import { type ReviewResult, TokenReview } from '../../../src/identity/issuing/token-review.js';
import { Pki } from '../../support/pki.js';

const AUDIENCE = 'identity.l5d.io';

interface Review {
  readonly authorization: string | undefined;
  readonly path: string | undefined;
  readonly body: { readonly kind: string; readonly spec: { readonly token: string; readonly audiences: string[] } };
}

const good = { authenticated: true, user: { username: 'system:serviceaccount:test:web' }, audiences: [AUDIENCE] };

describe('TokenReview', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-review-'));
  const files = { tokenFile: join(directory, 'token'), authorityFile: join(directory, 'ca.crt') };
  const results: ReviewResult[] = [];
  let server: Server;
  let answer: (review: Review, response: ServerResponse) => void;
  let seen: Review | null = null;
  let pki: Pki;
  let review: TokenReview;

  const url = (): string => `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const reviewer = (timeoutMs = 5000, address = url()): TokenReview =>
    new TokenReview(
      { server: address, ...files, audience: AUDIENCE, timeoutMs },
      { reviewed: (result) => results.push(result) },
    );
  const status =
    (value: unknown, code = 201) =>
    (_: Review, response: ServerResponse) =>
      response.writeHead(code, { 'Content-Type': 'application/json' }).end(JSON.stringify({ status: value }));

  before(async () => {
    pki = await Pki.make();
    writeFileSync(files.tokenFile, 'our own token\n');
    writeFileSync(files.authorityFile, pki.anchor);
    const { chain, key } = await pki.leaf({ ips: ['127.0.0.1'] });
    server = createServer({ cert: chain, key }, async (request: IncomingMessage, response) => {
      const { url: path, headers } = request;
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk);
      seen = { authorization: headers.authorization, path, body: JSON.parse(Buffer.concat(chunks).toString()) };
      answer(seen, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    review = reviewer();
  });
  after(async () => {
    await review.close();
    server.closeAllConnections();
    server.close();
    rmSync(directory, { recursive: true });
  });

  async function refused(reason: string, detail: RegExp, by = review): Promise<void> {
    await assert.rejects(by.authenticate('token'), (error) => {
      assert.ok(error instanceof Refusal, String(error));
      assert.equal(error.reason, reason, error.detail);
      assert.match(error.detail, detail);
      return true;
    });
  }

  it('asks with our own token, for the audience, and takes the account from the answer', async () => {
    answer = status(good);
    assert.deepEqual(await review.authenticate('a token'), { namespace: 'test', account: 'web' });
    assert.equal(seen?.authorization, 'Bearer our own token');
    assert.equal(seen?.path, '/apis/authentication.k8s.io/v1/tokenreviews');
    assert.equal(seen?.body.kind, 'TokenReview');
    assert.deepEqual(seen?.body.spec, { token: 'a token', audiences: [AUDIENCE] });
    writeFileSync(files.tokenFile, 'a newer one');
    await review.authenticate('a token');
    assert.equal(seen?.authorization, 'Bearer a newer one');
    assert.deepEqual(results.splice(0), ['authenticated', 'authenticated']);
  });

  it('refuses whom Kubernetes does not vouch for', async () => {
    answer = status({ authenticated: false, error: 'token has expired' });
    await refused('bad-token', /does not vouch for the token: token has expired$/);
    answer = status({});
    await refused('bad-token', /does not vouch/);
    answer = status({ ...good, authenticated: 'true' });
    await refused('bad-token', /does not vouch/);
    answer = status({ ...good, audiences: ['https://kubernetes.default.svc'] });
    await refused('bad-token', /not for the audience identity\.l5d\.io/);
    answer = status({ authenticated: true, user: good.user });
    await refused('bad-token', /not for the audience/);
    answer = status({ ...good, user: { username: 'system:admin' } });
    await refused('not-allowed', /system:admin is not a service account/);
    answer = status({ ...good, user: { username: 'system:serviceaccount:test:web:more' } });
    await refused('not-allowed', /is not a service account/);
    assert.equal(review.problem, null);
    assert.deepEqual(new Set(results.splice(0)), new Set(['denied']));
  });

  it('asks to try again where Kubernetes gives no clear answer, and says why in the log', async () => {
    const cases: [typeof answer, RegExp][] = [
      [status({}, 401), /status 401/],
      [(_, response) => response.writeHead(403).end('{"kind":"Status","message":"no rights"}'), /403 \(no rights\)/],
      [status({}, 429), /status 429/],
      [status({}, 500), /status 500/],
      [(_, response) => response.writeHead(302, { Location: 'https://elsewhere.test/' }).end(), /status 302/],
      [(_, response) => response.writeHead(201).end('<html>'), /an answer that is not valid JSON/],
      [(_, response) => response.writeHead(201).end('null'), /an answer without a status/],
      [(_, response) => response.writeHead(201).end(), /not valid JSON/],
      [status({ authenticated: true, audiences: [AUDIENCE] }), /an answer without a user/],
      [(_, response) => response.writeHead(201).end('x'.repeat(1 << 20)), /./],
      [(_, response) => response.destroy(), /./],
      [(_, response) => response.writeHead(201, { 'Content-Length': 100 }).write('{', () => response.destroy()), /./],
    ];
    for (const [wrong, detail] of cases) {
      answer = wrong;
      await refused('review-unavailable', new RegExp(`^Kubernetes can't be asked about tokens: .*${detail.source}`));
      assert.notEqual(review.problem, null);
    }
    assert.deepEqual(new Set(results.splice(0)), new Set(['unavailable']));
    answer = status(good);
    await review.authenticate('token');
    assert.equal(review.problem, null);
  });

  it('does not wait for ever', async () => {
    answer = () => undefined;
    const impatient = reviewer(100);
    await refused('review-unavailable', /no answer in time/, impatient);
    await impatient.close();
  });

  it('trusts nobody but the authority in the file, and reads that again', async () => {
    answer = status(good);
    writeFileSync(files.authorityFile, (await Pki.make({ name: 'other' })).anchor);
    const other = reviewer();
    await refused('review-unavailable', /certificate/, other);
    writeFileSync(files.authorityFile, pki.anchor);
    await other.authenticate('token');
    await other.close();
  });

  it('says what is missing', async () => {
    const nowhere = reviewer(5000, 'https://127.0.0.1:1');
    await refused('review-unavailable', /ECONNREFUSED/, nowhere);
    await nowhere.close();
    rmSync(files.tokenFile);
    await refused('review-unavailable', /token: .*does not exist|token/);
  });
});

// Our identity service and grpc-go: Go's signing requests, its TLS, and its verifier for what it gets.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type IdentityProcess, startIdentityService } from '../support/identity-service.js';
import { type KeyKind, meshName, Pki, spiffeName } from '../support/pki.js';
import { lacking, peerClient } from './peers.js';

interface Seen {
  readonly status: string;
  readonly said: string;
  readonly names: readonly string[] | null;
  readonly uris: readonly string[] | null;
  readonly verdict: string;
  readonly until: number;
  readonly saidEnds: number;
}

for (const kind of ['p256', 'rsa'] satisfies KeyKind[])
  describe(`the identity service and grpc-go, with an issuer of the kind ${kind}`, { skip: lacking('go') }, () => {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-certify-'));
    let service: IdentityProcess;
    let anchors: string;

    before(async () => {
      const pki = await Pki.make({ kind });
      anchors = pki.writeAnchor(directory);
      const { certificate, key } = (await pki.issuer).write(directory, 'issuer');
      writeFileSync(join(directory, 'tokens'), 'token test/web\n');
      const files = [
        '--issuer',
        certificate,
        '--issuer-key',
        key,
        '--anchors',
        anchors,
        '--tokens',
        join(directory, 'tokens'),
      ];
      service = await startIdentityService([...files, '--mesh', 'linkerd', '--tls']);
    });
    after(async () => {
      assert.equal(await service.stop(), 0);
      rmSync(directory, { recursive: true });
    });

    const certify = (account: string, token: string, ...more: string[]): Promise<Seen> => {
      const own = ['-anchors', anchors, '-identity', meshName(account), '-token', token];
      const server = ['-server', meshName('linkerd-identity', 'linkerd')];
      return peerClient<Seen>('go', 'certify', `127.0.0.1:${service.port}`, ...own, ...server, ...more);
    };

    it('gives what Go holds to be right', async () => {
      const seen = await certify('web', 'token', '-uri', spiffeName('web'));
      assert.deepEqual([seen.status, seen.said, seen.verdict], ['OK', '', '']);
      assert.deepEqual([seen.names, seen.uris], [[meshName('web')], [spiffeName('web')]]);
      assert.equal(seen.until, seen.saidEnds);
      const plain = await certify('web', 'token');
      assert.deepEqual([plain.status, plain.verdict, plain.uris], ['OK', '', null]);
    });

    it('refuses with statuses that grpc-go understands', async () => {
      const refusals = [
        [await certify('web', 'wrong'), 'Unauthenticated', /the token is unknown/],
        [await certify('other', 'token'), 'PermissionDenied', /may have web\.test/],
        [await certify('web', 'token', '-uri', spiffeName('other')), 'PermissionDenied', /may have web\.test/],
        [await certify('web', ''), 'InvalidArgument', /no token/],
        [await certify('web', 'token', '-server', 'else.test'), 'Unavailable', /certificate is valid for/],
      ] as const;
      for (const [seen, status, said] of refusals) {
        assert.equal(seen.status, status);
        assert.match(seen.said, said);
      }
    });
  });

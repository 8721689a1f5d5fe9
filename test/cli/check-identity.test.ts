// What `sluice check` says of the files that `identity` names.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { meshName, Pki } from '../support/pki.js';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-check-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function check(identity: string): { status: number | null; said: string } {
  writeFileSync(
    join(directory, 'sluice.yaml'),
    `identity: ${identity}\nlisteners: [{ name: edge, listen: "127.0.0.1:8080", service: web }]\nservices: { web: { endpoints: ["127.0.0.1:9"] } }\n`,
  );
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'check', '-c', 'sluice.yaml'], {
    cwd: directory,
    encoding: 'utf8',
    env: inherited(),
  });
  return { status, said: stdout + stderr };
}

describe('sluice check and the identity', () => {
  let pki: Pki;
  before(async () => {
    pki = await Pki.make();
    pki.writeAnchor(directory, 'ca');
    (await pki.workload('web')).write(directory, 'web');
    (await pki.workload('other')).write(directory, 'other');
    writeFileSync(join(directory, 'empty'), '');
  });
  const files = (certificate: string, key: string, more = ''): string =>
    `{ ${more} files: { certificate: ${certificate}, key: ${key}, anchors: ca.pem } }`;

  it('is content with files that fit', () => {
    const name = `name: ${meshName('web')},`;
    assert.deepEqual(check(files('web.pem', 'web-key.pem', name)), {
      status: 0,
      said: 'sluice.yaml: ok (1 listener, 1 service)\n',
    });
    assert.equal(check('{ spiffe: { socket: /nowhere } }').status, 0, 'what is not there yet may come');
  });

  it('warns of a token that has expired', () => {
    const claims = Buffer.from('{"exp":1700000000}').toString('base64url');
    writeFileSync(join(directory, 'token'), `e30.${claims}.c2ln`);
    const { status, said } = check(
      `{ name: ${meshName('web')}, linkerd: { address: "a:1", token: token, anchors: ca.pem } }`,
    );
    assert.equal(status, 0);
    assert.match(said, /identity\.linkerd: \S+token: the token expired at 2023-11-14T22:13:20\.000Z/);
  });

  it('says where, which file and what', () => {
    const cases: readonly [string, RegExp][] = [
      [
        files('missing.pem', 'web-key.pem'),
        /^sluice\.yaml:1:\d+: identity\.files\.certificate: \S+missing\.pem: does not exist/,
      ],
      [files('web.pem', 'empty'), /^sluice\.yaml:1:\d+: identity\.files\.key: \S+empty: is empty/],
      [files('web.pem', 'other-key.pem'), /identity\.files\.certificate: \S+web\.pem: does not belong to the key/],
      [
        files('other.pem', 'other-key.pem', `name: ${meshName('web')},`),
        /identity\.files: \S+other\.pem: is for another name/,
      ],
      [
        `{ name: ${meshName('web')}, linkerd: { address: "a:1", token: missing, anchors: ca.pem } }`,
        /identity\.linkerd\.token: \S+missing: does not exist/,
      ],
      [
        `{ name: ${meshName('web')}, linkerd: { address: "a:1", token: empty, anchors: ca.pem } }`,
        /identity\.linkerd\.token: \S+empty: is empty; it should hold the token of a service account/,
      ],
      [
        `{ name: ${meshName('web')}, linkerd: { address: "a:1", token: ca.pem, anchors: empty } }`,
        /identity\.linkerd\.anchors: \S+empty: is empty/,
      ],
    ];
    for (const [identity, message] of cases) {
      const { status, said } = check(identity);
      assert.equal(status, 1);
      assert.match(said, message);
    }
  });
});

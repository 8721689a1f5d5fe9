// Files of certificates under a running Sluice: what is said of them, at the start and later.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Pki } from '../support/pki.js';
import { eventually, inherited, type Sluice, startSluice } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sluice-tls-files-'));
const started: Sluice[] = [];
let pki: Pki;
before(async () => {
  pki = await Pki.make();
});
after(() => {
  for (const { child } of started) child.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

const yaml = (certificate: string, key: string, more = ''): string => `drain: { hold: 0 }
listeners:
  - name: edge
    listen: "127.0.0.1:0"
    service: web
    tls: { certificates: [{ certificate: "${certificate}", key: "${key}" }], clientAuthority: "${directory}/ca.pem" }
${more}services:
  web: { endpoints: ["127.0.0.1:9"], protocol: http1 }
  out: { endpoints: ["localhost:9"], tls: { ca: "${directory}/ca.pem" } }
`;

/** What `sluice check` says, on both streams, and its exit code. */
function check(text: string): { code: number; said: string } {
  const file = join(directory, 'check.yaml');
  writeFileSync(file, text);
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'check', '-c', file], {
    env: inherited(),
    encoding: 'utf8',
  });
  return { code: status ?? -1, said: (stderr + stdout).replaceAll(`${directory}/`, '') };
}

test('a file that cannot be used is named by check, ends the start, and later leaves the last one in use', async () => {
  const web = (await pki.leaf({ dns: ['localhost'] })).write(directory, 'web');
  const other = (await pki.leaf({ dns: ['other.test'] })).write(directory, 'other');
  pki.writeAnchor(directory, 'ca');
  const good = yaml(web.certificate, web.key);
  chmodSync(web.key, 0o644);
  const right = check(good);
  assert.equal(right.code, 0);
  assert.match(right.said, /web-key\.pem may be read by every user of this machine \(mode 644\); .* \(a warning\)\n/);
  chmodSync(web.key, 0o600);
  const mixed = yaml(web.certificate, other.key);
  const { code, said } = check(mixed);
  assert.equal(code, 1);
  assert.match(
    said,
    /^check\.yaml:6:42: listeners\[0\]\.tls\.certificates\[0\]\.certificate: .*web\.pem does not belong to the key of/,
  );
  await assert.rejects(
    startSluice(mixed, 'epoll'),
    /sluice exited with 1:\s+sluice run: listener edge: .*web\.pem: does not belong to the key/,
  );

  const sluice = await startSluice(good, 'epoll');
  started.push(sluice);
  const seconds = (labels: Record<string, string>) => sluice.metric('sluice_certificate_expires_in_seconds', labels);
  const left = await seconds({ use: 'listener', name: 'edge', certificate: '0' });
  assert.ok(left > 23 * 3600 && left <= 24 * 3600, String(left));
  assert.ok((await seconds({ use: 'listener', name: 'edge', certificate: 'client-authority' })) > 0);
  assert.ok((await seconds({ use: 'service', name: 'out', certificate: 'ca' })) > 0);
  assert.equal(await sluice.metric('sluice_certificate_loads_total', { result: 'ok' }), 2);
  assert.equal(await sluice.metric('sluice_certificates_broken'), 0);

  writeFileSync(web.key, 'nothing');
  const line = await sluice.logged(
    ({ level, message }) => level === 'error' && message.startsWith('a certificate cannot'),
  );
  assert.deepEqual([line.file, String(line.problem).slice(0, 17)], [web.key, 'has no PEM block;']);
  await eventually(async () => (await sluice.metric('sluice_certificates_broken')) === 1, 'a broken certificate');
  assert.ok((await sluice.metric('sluice_certificate_loads_total', { result: 'failed' })) >= 1);
  assert.match(await sluice.admin('/ready'), /web-key\.pem: has no PEM block; .* stays in use until 20/);

  sluice.reload(yaml(web.certificate, web.key, '  - { name: more, listen: "127.0.0.1:0", service: web }\n'));
  await sluice.logged(({ message }) => message === 'reloaded');
  assert.ok(sluice.port('edge') > 0);
  sluice.reload(yaml(other.certificate, web.key));
  const refused = await sluice.logged(({ message }) => message.startsWith('reload refused'));
  assert.match(String(refused.reason), /^listener edge: .*web-key\.pem: has no PEM block/);

  const renewed = await pki.leaf({ dns: ['localhost'] });
  renewed.write(directory, 'web');
  await sluice.logged(({ message }) => message === 'certificate taken over');
  await eventually(async () => (await sluice.metric('sluice_certificates_broken')) === 0, 'all is right');
  const everything = sluice.log.map((entry) => JSON.stringify(entry)).join('\n') + (await sluice.admin('/ready'));
  assert.ok(!everything.includes(renewed.key.split('\n')[1]), 'no key is said');
  assert.equal(await sluice.stop(), 0);
});

// An identity in files: what a running proxy says of it, from the first file to the end of the certificate.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type Certified, DATES, meshName, Pki, spiffeName } from '../support/pki.js';
import { eventually, type Sluice, startSluice } from '../support/sluice.js';

const directory = mkdtempSync(join(tmpdir(), 'sluice-identity-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const config = (identity: string): string => `
drain: { hold: 0 }
discovery: { pollInterval: 100ms }
identity: ${identity}
listeners:
  - { name: edge, listen: "127.0.0.1:0", service: web }
services:
  web: { endpoints: ["127.0.0.1:9"] }
`;

/** Writes a file the way that tells its readers once. */
function replace(name: string, text: string): void {
  writeFileSync(join(directory, `${name}.new`), text);
  renameSync(join(directory, `${name}.new`), join(directory, name));
}

describe('an identity in files', () => {
  let pki: Pki;
  let sluice: Sluice;
  const FILES = `{ name: "${meshName('web')}", files: { certificate: ${directory}/tls.crt, key: ${directory}/tls.key, anchors: ${directory}/ca.crt } }`;
  const write = ({ chain, key }: Certified): void => {
    replace('tls.key', key);
    replace('tls.crt', chain);
  };
  const ready = async (): Promise<string> => (await sluice.admin('/ready')).trim();
  const taken = (): Promise<number> => sluice.metric('control_identity_cert_refreshes_total', { result: 'ok' });

  before(async () => {
    mkdirSync(directory, { recursive: true });
    pki = await Pki.make();
    sluice = await startSluice(config(FILES), 'epoll');
  });
  after(() => sluice.stop());

  it('that are not there yet: the proxy starts, is not ready, and says which file is missing', async () => {
    assert.match(await ready(), new RegExp(`^not ready\nno identity yet: ${directory}/tls.crt: does not exist`));
    assert.ok((await sluice.metric('sluice_identity_failures_total', { reason: 'credential' })) > 0);
    assert.equal(await sluice.metric('sluice_identity_expires_in_seconds'), 0);
  });

  it('that come one after the other: it is ready when all are there', async () => {
    replace('ca.crt', pki.anchor);
    write(await pki.workload('web'));
    await eventually(async () => (await ready()).startsWith('ready'), 'ready');
    const line = await sluice.logged(({ message }) => message === 'identity');
    assert.deepEqual([line.name, line.anchors], [meshName('web'), 1]);
    assert.equal(await taken(), 1);
    assert.equal(await sluice.metric('sluice_identity_anchors'), 1);
    const left = await sluice.metric('sluice_identity_expires_in_seconds');
    assert.ok(left > 86_000 && left <= 86_400, `${left}`);
    const now = Date.now() / 1000;
    assert.ok(Math.abs((await sluice.metric('control_identity_cert_expiration_timestamp_seconds')) - now - left) < 60);
    assert.ok(Math.abs((await sluice.metric('control_identity_cert_refresh_timestamp_seconds')) - now) < 60);
  });

  it('of which one is not right: the last identity serves on, and the page and the log say what is wrong', async () => {
    write(await pki.workload('other'));
    await eventually(
      async () => /^ready\nthe identity expires at \S+ and is not renewed/.test(await ready()),
      'the note',
    );
    const page = await ready();
    assert.match(
      page,
      new RegExp(`${directory}/tls.crt: is for another name: .*${spiffeName('other')}.*, not ${meshName('web')}`),
    );
    const line = await sluice.logged(({ message }) => message.startsWith('the identity is not renewed'));
    assert.deepEqual([line.level, line.reason], ['warn', 'name']);
    assert.equal(await taken(), 1);
    assert.ok((await sluice.metric('sluice_identity_failures_total', { reason: 'name' })) > 0);
  });

  it('that are right again: the new one is taken over', async () => {
    write(await pki.workload('web'));
    await eventually(async () => (await taken()) === 2, 'the renewal');
    assert.equal(await ready(), 'ready');
  });

  it('with more anchors while they are rotated', async () => {
    const next = await Pki.make({ name: 'next' });
    replace('ca.crt', pki.anchor + next.anchor);
    await eventually(async () => (await sluice.metric('sluice_identity_anchors')) === 2, 'two anchors');
    assert.equal(await ready(), 'ready');
  });

  it('whose certificate ends: the proxy is not ready any more, and says so in the log', async () => {
    write(await pki.workload('web', { dates: DATES.endingIn(3000) }));
    await eventually(async () => (await ready()).includes(`the identity ${meshName('web')} expired at`), 'the end');
    const line = await sluice.logged(({ message }) => message.startsWith('the identity has expired'));
    assert.equal(line.level, 'error');
    assert.ok((await sluice.metric('sluice_identity_expires_in_seconds')) < 0);
    write(await pki.workload('web'));
    await eventually(async () => (await ready()) === 'ready', 'ready again');
  });

  it('that the configuration names no more: there is no identity, and nothing is missing', async () => {
    sluice.reload(config('').replace('identity:', ''));
    await sluice.logged(({ message }) => message.startsWith('no identity any more'));
    assert.equal(await ready(), 'ready');
    assert.doesNotMatch(await sluice.admin('/metrics'), /^\w*identity\w*[{ ]/m);
  });
});

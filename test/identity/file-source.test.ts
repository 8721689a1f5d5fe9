import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { scratchDirectory } from '../discovery/scratch.js';
import { type Certified, DATES, meshName, Pki, spiffeName } from '../support/pki.js';
import { Watched } from './watched.js';

const HOUR = 3_600_000;

describe('an identity in files', () => {
  const scratch = scratchDirectory();
  let pki: Pki;
  let directories = 0;

  before(async () => {
    pki = await Pki.make();
  });

  const directory = (): string => {
    const path = scratch.path(`d${directories++}`);
    mkdirSync(path);
    return path;
  };

  function write(at: string, { chain, key }: Certified, anchors = pki.anchor): void {
    writeFileSync(join(at, 'tls.key'), key);
    writeFileSync(join(at, 'tls.crt'), chain);
    writeFileSync(join(at, 'ca.crt'), anchors);
  }

  function watch(t: TestContext, at: string, name: string | null = null, pollMs = HOUR): Watched {
    const watched = new Watched(pollMs);
    t.after(() => watched.identity.stop());
    const files = { certificate: join(at, 'tls.crt'), key: join(at, 'tls.key'), anchors: join(at, 'ca.crt') };
    watched.configure({ kind: 'files', ...files }, { name });
    return watched;
  }

  /** Lets the clock go on with real time, for the kernel's news of a change. */
  async function passing(watched: Watched, done: () => boolean, what: string): Promise<void> {
    const timer = setInterval(() => watched.clock.advance(10), 10);
    await watched.until(done, what).finally(() => clearInterval(timer));
  }

  it('is there at once', async (t) => {
    const at = directory();
    write(at, await pki.workload('web'));
    const watched = watch(t, at, meshName('web'));
    assert.equal(watched.changes.length, 1);
    const material = watched.identity.material;
    assert.deepEqual([material?.name, material?.names], [meshName('web'), [spiffeName('web'), meshName('web')]]);
    assert.deepEqual(material?.serverNames, ['web.sa.test.ns.cluster.local', meshName('web')]);
  });

  it('is taken over when the kernel tells of a change, without a poll', async (t) => {
    const at = directory();
    write(at, await pki.workload('web'));
    const watched = watch(t, at);
    write(at, await pki.workload('web'));
    await passing(watched, () => watched.changes.length === 2, 'the change');
    assert.deepEqual(watched.counts.failures.credential, 0, 'files in between are not complained about');
  });

  it('is taken over when a link comes to mean another directory, as Kubernetes does it', async (t) => {
    const at = directory();
    for (const [version, account] of [
      ['..1', 'web'],
      ['..2', 'other'],
    ]) {
      mkdirSync(join(at, version));
      write(join(at, version), await pki.workload(account));
    }
    symlinkSync('..1', join(at, '..data'));
    for (const name of ['tls.crt', 'tls.key', 'ca.crt']) symlinkSync(`..data/${name}`, join(at, name));
    const watched = watch(t, at);
    symlinkSync('..2', join(at, '..new'));
    renameSync(join(at, '..new'), join(at, '..data'));
    await passing(watched, () => watched.changes.length === 2, 'the change');
    assert.equal(watched.identity.material?.name, spiffeName('other'));
    assert.equal(watched.counts.failures.credential, 0);
  });

  it('with a key of another certificate is complained about when that stays so', async (t) => {
    const at = directory();
    write(at, await pki.workload('web'));
    const watched = watch(t, at);
    writeFileSync(join(at, 'tls.key'), (await pki.workload('web')).key);
    await passing(watched, () => watched.counts.failures.credential === 1, 'the failure');
    assert.match(watched.problem, /tls\.crt: does not belong to the key/);
    assert.equal(watched.changes.length, 1);
    assert.match(watched.identity.note() ?? '', /does not belong to the key/);
  });

  it('of which a file goes away serves on', async (t) => {
    const at = directory();
    write(at, await pki.workload('web'));
    const watched = watch(t, at);
    rmSync(join(at, 'ca.crt'));
    await passing(watched, () => watched.counts.failures.credential === 1, 'the failure');
    assert.match(watched.problem, /ca\.crt: does not exist/);
    assert.equal(watched.identity.unready(), null);
  });

  it('is looked at by and by where the kernel tells nothing; what was not valid yet is, in its time', async (t) => {
    const at = directory();
    const long = DATES.endingIn(1000 * HOUR);
    const lasting = await Pki.make({ name: 'lasting', rootDates: long, issuerDates: long });
    write(at, await lasting.workload('web', { dates: DATES.notYet() }), lasting.anchor);
    const watched = watch(t, at);
    assert.match(watched.identity.unready() ?? '', /not valid before/);
    watched.clock.advance(25 * HOUR);
    assert.equal(watched.changes.length, 1);
    assert.equal(watched.identity.unready(), null);
  });

  it('without workload names, or of another trust domain, is refused', async (t) => {
    const nameless = directory();
    write(nameless, await pki.leaf({ ips: ['127.0.0.1'] }));
    assert.match(watch(t, nameless).problem, /tls\.crt: names no workload/);
    const at = directory();
    write(at, await pki.workload('web'));
    const watched = new Watched();
    t.after(() => watched.identity.stop());
    const files = { certificate: join(at, 'tls.crt'), key: join(at, 'tls.key'), anchors: join(at, 'ca.crt') };
    watched.configure({ kind: 'files', ...files }, { trustDomain: 'other.local' });
    assert.match(watched.problem, /is not of the trust domain other\.local \(identity\.trustDomain\)/);
    assert.equal(watched.counts.failures.name, 1);
  });

  it('has another server name where the configuration gives one', async (t) => {
    const at = directory();
    write(at, await pki.leaf({ uris: [spiffeName('web')] }));
    const watched = new Watched();
    t.after(() => watched.identity.stop());
    const files = { certificate: join(at, 'tls.crt'), key: join(at, 'tls.key'), anchors: join(at, 'ca.crt') };
    watched.configure({ kind: 'files', ...files }, { serverName: 'web.example' });
    assert.deepEqual(watched.identity.material?.serverNames, ['web.example', 'web.sa.test.ns.cluster.local']);
  });

  it('may not be an anchor that has expired, but one beside it', async (t) => {
    const at = directory();
    const old = await Pki.make({ name: 'old', rootDates: DATES.expired() });
    write(at, await pki.workload('web'), old.anchor + pki.anchor);
    const watched = watch(t, at);
    assert.equal(watched.identity.material?.anchors.length, 1);
    assert.ok(watched.log.some(({ level, fields }) => level === 'warn' && /expired/.test(String(fields.problem))));
  });
});

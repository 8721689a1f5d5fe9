import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import { scratchDirectory } from '../discovery/scratch.js';
import { DATES, Pki, spiffeName } from '../support/pki.js';
import { Watched } from './watched.js';
import { refusal, type Svid, svid, WorkloadDouble, workloadSvid } from './workload-double.js';

const HOUR = 3_600_000;
const WEB = spiffeName('web');

describe('the SPIFFE Workload API', () => {
  const scratch = scratchDirectory();
  let pki: Pki;
  let sockets = 0;
  const started = new Set<WorkloadDouble>();

  before(async () => {
    pki = await Pki.make();
  });
  after(() => {
    for (const double of started) double.close();
  });

  const path = (): string => scratch.path(`agent-${sockets++}.sock`);

  async function agent(first: () => readonly Svid[] | Error | null, at = path()): Promise<WorkloadDouble> {
    const double = await WorkloadDouble.start(at, first);
    started.add(double);
    return double;
  }

  function watch(t: TestContext, socket: string, name: string | null = null): Watched {
    const watched = new Watched();
    t.after(() => watched.identity.stop());
    watched.configure({ kind: 'spiffe', socket }, { name });
    return watched;
  }

  it('gives an identity, and the next one by itself', async (t) => {
    const first = await workloadSvid(pki, WEB);
    const double = await agent(() => [first]);
    const watched = watch(t, double.socket);
    await watched.changed(1);
    const { material } = watched.identity;
    assert.ok(material !== null);
    assert.deepEqual([material.name, material.names], [WEB, [WEB]]);
    assert.deepEqual(material.serverNames, ['web.sa.test.ns.cluster.local']);
    assert.equal(material.chain.match(/BEGIN CERTIFICATE/g)?.length, 2);
    assert.equal(watched.identity.unready(), null);
    assert.equal(double.count, 1);
    double.tell([await workloadSvid(pki, WEB)]);
    await watched.changed(2);
    assert.notEqual(watched.identity.material?.key, material.key);
    assert.equal(watched.counts.refreshes, 2);
  });

  it('tells of another bundle: the anchors are others', async (t) => {
    const own = await pki.leaf({ uris: [WEB] });
    const double = await agent(() => [svid(WEB, own, pki.anchor)]);
    const watched = watch(t, double.socket);
    await watched.changed(1);
    const next = await Pki.make({ name: 'next' });
    double.tell([svid(WEB, own, pki.anchor + next.anchor)]);
    await watched.changed(2);
    assert.equal(watched.identity.material?.anchors.length, 2);
    assert.equal(watched.counts.anchors, 2);
  });

  it('has several: the first, or the one that is asked for', async (t) => {
    const all = [await workloadSvid(pki, spiffeName('other')), await workloadSvid(pki, WEB)];
    const { socket } = await agent(() => all);
    const any = watch(t, socket);
    const one = watch(t, socket, WEB);
    await Promise.all([any.changed(1), one.changed(1)]);
    assert.deepEqual([any.identity.material?.name, one.identity.material?.name], [spiffeName('other'), WEB]);
    const none = watch(t, socket, spiffeName('third'));
    await none.failed(1);
    assert.equal(
      none.problem,
      `the Workload API at ${socket} has no identity ${spiffeName('third')} (identity.name) for this process, but ${spiffeName('other')}, ${WEB}`,
    );
    assert.equal(none.counts.failures.name, 1);
  });

  it('says that a certificate is another than it is: not believed', async (t) => {
    const wrong = await agent(() => []);
    const lie = { ...(await workloadSvid(pki, spiffeName('other'))), spiffe_id: WEB };
    const watched = watch(t, wrong.socket, WEB);
    await watched.failed(1);
    wrong.tell([lie]);
    await watched.failed(2);
    assert.match(watched.problem, new RegExp(`is for another name: ${spiffeName('other')}, not ${WEB}`));
    assert.equal(watched.changes.length, 0);
  });

  it('has nothing for this process: that is said, and asked again', async (t) => {
    let answer: readonly Svid[] | Error = refusal(status.PERMISSION_DENIED, 'no identity issued');
    const double = await agent(() => answer);
    const watched = watch(t, double.socket);
    await watched.failed(1);
    assert.match(
      watched.identity.unready() ?? '',
      new RegExp(
        `^no identity yet: the Workload API at ${double.socket} refuses: no identity issued \\(PERMISSION_DENIED\\)$`,
      ),
    );
    assert.equal(watched.counts.failures.denied, 1);
    answer = [await workloadSvid(pki, WEB)];
    watched.clock.advance(watched.clock.waits[0]);
    await watched.changed(1);
    assert.equal(watched.identity.unready(), null);
  });

  it('is not there at the start: the socket is named; it is asked until it is', async (t) => {
    const socket = path();
    const watched = watch(t, socket);
    await watched.failed(1);
    assert.match(watched.problem, new RegExp(`^the Workload API at ${socket} cannot be reached: .*ENOENT`));
    watched.clock.advance(watched.clock.waits[0]);
    await watched.failed(2);
    assert.equal(watched.counts.failures.unreachable, 2);
    const first = await workloadSvid(pki, WEB);
    await agent(() => [first], socket);
    watched.clock.advance(watched.clock.waits[0]);
    await watched.changed(1);
  });

  it('goes away later: the last identity serves on to its end; it is found again when it is back', async (t) => {
    const first = await workloadSvid(pki, WEB, { dates: DATES.endingIn(HOUR) });
    const double = await agent(() => [first]);
    const watched = watch(t, double.socket);
    await watched.changed(1);
    double.close();
    await watched.failed(1);
    assert.equal(watched.identity.unready(), null);
    assert.match(watched.identity.note() ?? '', /expires at \S+ and is not renewed: the Workload API at/);
    rmSync(double.socket, { force: true });
    const second = await workloadSvid(pki, WEB);
    await agent(() => [second], double.socket);
    watched.clock.advance(watched.clock.waits[0]);
    await watched.changed(2);
    assert.equal(watched.identity.note(), null);
  });

  it('ends its answer: it is asked again', async (t) => {
    const first = await workloadSvid(pki, WEB);
    const double = await agent(() => [first]);
    const watched = watch(t, double.socket);
    await watched.changed(1);
    double.end();
    await watched.failed(1);
    assert.match(watched.problem, /ended its answer$/);
    watched.clock.advance(watched.clock.waits[0]);
    await watched.until(() => double.count === 2 && watched.identity.note() === null, 'another call');
    assert.equal(watched.changes.length, 1, 'it is the same identity');
  });

  it('takes the call and says nothing: given up after identity.timeout', async (t) => {
    const double = await agent(() => null);
    const watched = watch(t, double.socket);
    await watched.until(() => double.count === 1, 'the call');
    watched.clock.advance(10_000);
    await watched.failed(1);
    assert.equal(
      watched.problem,
      `the Workload API at ${double.socket} did not answer within 10000 ms (identity.timeout)`,
    );
    await watched.until(() => double.calls.size === 0, 'the end of the call');
    watched.clock.advance(watched.clock.waits[0]);
    await watched.until(() => double.count === 2, 'another call');
  });

  it('forgets to renew: it is asked anew at 80 % of the life of the certificate', async (t) => {
    const first = await workloadSvid(pki, WEB, { dates: DATES.endingIn(9 * HOUR) });
    const double = await agent(() => [first]);
    const watched = watch(t, double.socket);
    await watched.changed(1);
    // It began an hour ago and is good for ten.
    assert.ok(Math.abs(watched.clock.waits[0] - 7 * HOUR) < 5000, `${watched.clock.waits}`);
    watched.clock.advance(watched.clock.waits[0]);
    watched.clock.advance(0);
    await watched.until(() => double.count === 2, 'another call');
    await watched.until(() => watched.clock.waits[0] > 60_000, 'patience with what has come');
  });

  it('sends what is none: each part is named', async (t) => {
    const good = await workloadSvid(pki, WEB);
    const other = await workloadSvid(pki, WEB);
    const wrong: readonly [Partial<Svid>, RegExp][] = [
      [
        { x509_svid: Buffer.from('garbage') },
        /^the chain from the Workload API at .*: is not a sequence of certificates/,
      ],
      [{ x509_svid: Buffer.alloc(0) }, /^the chain from the Workload API at .*: is empty/],
      [{ x509_svid: Buffer.from('3000', 'hex') }, /^the chain from .*can't be read/],
      [{ x509_svid_key: Buffer.from('garbage') }, /^the key from the Workload API at .*can't be read/],
      [{ x509_svid_key: other.x509_svid_key }, /does not belong to the key/],
      [{ bundle: Buffer.alloc(0) }, /^the bundle from the Workload API at .*: is empty/],
      [{ bundle: (await workloadSvid(await Pki.make({ name: 'b' }), WEB)).bundle }, /which is not in the bundle from/],
    ];
    for (const [part, reason] of wrong) {
      const { socket } = await agent(() => [{ ...good, ...part }]);
      const watched = watch(t, socket);
      await watched.failed(1);
      assert.match(watched.problem, reason);
      assert.equal(watched.counts.failures.credential, 1);
      assert.equal(watched.changes.length, 0);
    }
  });
});

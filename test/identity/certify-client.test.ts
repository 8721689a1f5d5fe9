import 'reflect-metadata';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { status } from '@grpc/grpc-js';
import * as x509 from '@peculiar/x509';
import { expiredSince, refreshDelay } from '../../src/identity/certify-client.js';
import { scratchDirectory } from '../discovery/scratch.js';
import { DATES, meshName, Pki } from '../support/pki.js';
import {
  type Answering,
  type CertifyDouble,
  certifyDouble,
  issue,
  Refusal,
  SERVICE,
  withoutAlpn,
} from './certify-double.js';
import { Watched } from './watched.js';

const HOUR = 3_600_000;
const NAME = meshName('web');

/** A token as Kubernetes makes them, without a signature that anybody could check. */
function jwt(exp: number): string {
  const part = (claims: object): string => Buffer.from(JSON.stringify(claims)).toString('base64url');
  return `${part({ alg: 'RS256' })}.${part({ sub: 'system:serviceaccount:test:web', exp })}.c2ln`;
}

describe('an identity service', () => {
  const scratch = scratchDirectory();
  let pki: Pki;
  let anchors: string;
  let files = 0;

  before(async () => {
    pki = await Pki.make();
    anchors = scratch.file('anchors.pem', pki.anchor);
  });

  const started = new Set<{ close(): void }>();
  after(() => {
    for (const one of started) one.close();
  });

  async function service(answering: Answering, at = 0): Promise<CertifyDouble> {
    const double = await certifyDouble(await pki.leaf({ dns: [SERVICE] }), answering, at);
    started.add(double);
    return double;
  }

  /** Watches an identity that comes from `address`. */
  function watch(
    t: TestContext,
    address: string,
    more: { serverName?: string; anchors?: string; token?: string } = {},
  ) {
    const watched = new Watched();
    t.after(() => watched.identity.stop());
    const token = scratch.file(`token-${files++}`, more.token ?? 'the token\n');
    const { serverName = SERVICE } = more;
    const source = {
      kind: 'linkerd',
      address,
      serverName,
      token,
      minRefreshMs: 10_000,
      maxRefreshMs: 24 * HOUR,
    } as const;
    watched.configure({ ...source, anchors: more.anchors ?? anchors }, { name: NAME });
    return { watched, token };
  }

  /** The problem that there is once the service has answered so. */
  async function problemWith(
    t: TestContext,
    answering: Answering,
  ): Promise<{ watched: Watched; token: string; address: string }> {
    const { address } = await service(answering);
    const { watched, token } = watch(t, address);
    await watched.failed(1);
    assert.equal(watched.changes.length, 0);
    return { watched, token, address };
  }

  it('is asked for a certificate of the name, with the token, and gives an identity', async (t) => {
    const { address, requests } = await service((request) => issue(pki, request));
    const { watched } = watch(t, address);
    assert.match(watched.identity.unready() ?? '', /^no identity yet/);
    await watched.changed(1);
    const [request] = requests;
    assert.equal(request.identity, NAME);
    assert.equal(request.token.toString(), 'the token');
    assert.ok(await new x509.Pkcs10CertificateRequest(request.certificate_signing_request).verify());
    const { material } = watched.identity;
    assert.ok(material !== null);
    assert.deepEqual([material.name, material.names, material.serverNames], [NAME, [NAME], [NAME]]);
    assert.deepEqual(material.anchors.length, 1);
    assert.equal(material.chain.match(/BEGIN CERTIFICATE/g)?.length, 2, 'the leaf and the issuer');
    assert.equal(watched.identity.unready(), null);
    assert.deepEqual(
      watched.log.map(({ level, message }) => `${level} ${message}`),
      ['info identity'],
    );
    assert.equal(watched.counts.refreshes, 1);
    assert.equal(watched.counts.notAfterMs, material.notAfterMs);
  });

  it('is asked again at 70 % of the life of a certificate, with a new key and the token as it is then', async (t) => {
    const { address, requests } = await service((request) => issue(pki, request, { dates: DATES.endingIn(10 * HOUR) }));
    const { watched, token } = watch(t, address);
    await watched.changed(1);
    const first = watched.identity.material;
    writeFileSync(token, 'another token');
    const [renewal] = watched.clock.waits;
    assert.ok(Math.abs(renewal - 7 * HOUR) < 5000, `${renewal}`);
    watched.clock.advance(renewal - 1);
    assert.equal(requests.length, 1);
    watched.clock.advance(1);
    await watched.changed(2);
    assert.deepEqual(
      requests.map((request) => request.token.toString()),
      ['the token', 'another token'],
    );
    const second = watched.identity.material;
    assert.ok(first !== null && second !== null);
    assert.notEqual(first.key, second.key);
    assert.equal(watched.counts.refreshes, 2);
  });

  it('is asked at a random moment around that, within the bounds', () => {
    const bounds = { minRefreshMs: 10_000, maxRefreshMs: 24 * HOUR };
    const delays = [0, 0.5, 1].map((random) => refreshDelay(bounds, 0, 10 * HOUR, random) / HOUR);
    assert.deepEqual(
      delays.map((delay) => Math.round(delay * 100) / 100),
      [6.5, 7, 7.5],
    );
    assert.equal(refreshDelay(bounds, 0, 1000, 0.5), 10_000);
    assert.equal(refreshDelay(bounds, 1000, 0, 0.5), 10_000, 'of what has ended');
    assert.equal(refreshDelay(bounds, 0, 1000 * HOUR, 0.5), 24 * HOUR);
  });

  it('may say that a certificate is good for less than it says itself', async (t) => {
    const { address } = await service(async (request) => ({
      ...(await issue(pki, request)),
      valid_until: { seconds: Math.floor(Date.now() / 1000) + 3600, nanos: 0 },
    }));
    const { watched } = watch(t, address);
    await watched.changed(1);
    const [renewal] = watched.clock.waits;
    assert.ok(Math.abs(renewal - 0.7 * HOUR) < 5000, `${renewal}`);
  });

  it('may say nothing of its end', async (t) => {
    const { address } = await service(async (request) => ({ ...(await issue(pki, request)), valid_until: null }));
    const { watched } = watch(t, address);
    await watched.changed(1);
    assert.ok(Math.abs(watched.clock.waits[0] - 0.7 * 24 * HOUR) < 5000);
  });

  it('may stand behind a TLS server that knows no ALPN', async (t) => {
    const double = await withoutAlpn(await pki.leaf({ dns: [SERVICE] }), (request) => issue(pki, request));
    started.add(double);
    const { watched } = watch(t, double.address);
    await watched.changed(1);
    assert.equal(watched.identity.material?.name, NAME);
  });

  it('that is away at the start is asked again, less and less often, until it is there', async (t) => {
    const gone = await service((request) => issue(pki, request));
    gone.close();
    const { watched } = watch(t, gone.address);
    await watched.failed(1);
    assert.match(
      watched.identity.unready() ?? '',
      new RegExp(`^no identity yet: the identity service at ${gone.address} cannot be reached: .*ECONNREFUSED`),
    );
    const waits: number[] = [];
    for (let failures = 2; failures <= 4; failures++) {
      waits.push(watched.clock.waits[0]);
      watched.clock.advance(watched.clock.waits[0]);
      await watched.failed(failures);
    }
    // Of 500 ms, doubled each time, half is random: here half of that half.
    assert.deepEqual(waits, [375, 750, 1500]);
    assert.equal(watched.log.filter(({ level }) => level === 'error').length, 1, 'the same problem is said once');
    assert.equal(watched.counts.failures.unreachable, 4);
    await service((request) => issue(pki, request), gone.port);
    watched.clock.advance(watched.clock.waits[0]);
    await watched.changed(1);
    assert.equal(watched.identity.unready(), null);
    assert.equal(watched.identity.note(), null);
  });

  it('that is away later leaves the last identity in use to its end, and not beyond', async (t) => {
    const { address, close } = await service((request) => issue(pki, request, { dates: DATES.endingIn(HOUR) }));
    const { watched } = watch(t, address);
    await watched.changed(1);
    close();
    watched.clock.advance(watched.clock.waits[0]);
    await watched.failed(1);
    assert.equal(watched.identity.unready(), null);
    assert.match(
      watched.identity.note() ?? '',
      /^the identity expires at \S+ and is not renewed: the identity service at .* cannot be reached/,
    );
    assert.deepEqual(watched.log.at(-1)?.level, 'warn');
    assert.equal(watched.changes.length, 1);
    watched.clock.advance(HOUR);
    assert.match(
      watched.identity.unready() ?? '',
      new RegExp(`^the identity ${NAME} expired at \\S+: the identity service at`),
    );
    assert.equal(watched.identity.note(), null);
    assert.ok(watched.log.some(({ level, message }) => level === 'error' && /has expired/.test(message)));
    assert.equal(watched.changes.length, 1, 'there is nothing better to use');
    assert.ok(watched.counts.notAfterMs < watched.clock.now());
  });

  it('that finds the token expired: the file and the time are named', async (t) => {
    const { address } = await service(async () => {
      throw new Refusal(status.UNAUTHENTICATED, 'token has expired');
    });
    const exp = Math.floor(Date.now() / 1000) - 600;
    const { watched, token } = watch(t, address, { token: jwt(exp) });
    await watched.failed(1);
    assert.match(watched.problem, /refuses: token has expired \(UNAUTHENTICATED\)/);
    assert.ok(
      watched.problem.includes(`the token in ${token} expired at ${new Date(exp * 1000).toISOString()}`),
      watched.problem,
    );
    assert.equal(watched.counts.failures.denied, 1);
  });

  it('that refuses for another reason: that reason', async (t) => {
    const { watched } = await problemWith(t, async () => {
      throw new Refusal(status.PERMISSION_DENIED, `the token is not for ${NAME}`);
    });
    assert.match(watched.problem, /refuses: the token is not for .* \(PERMISSION_DENIED\)$/);
    const other = await problemWith(t, async () => {
      throw new Refusal(status.INVALID_ARGUMENT, '');
    });
    assert.match(other.watched.problem, /refuses: no reason given \(INVALID_ARGUMENT\)$/);
    assert.equal(other.watched.counts.failures.error, 1);
  });

  it('that says too much is quoted in one line, and not to its end', async (t) => {
    const { watched } = await problemWith(t, async () => {
      throw new Refusal(status.PERMISSION_DENIED, `no\r\nready\u001b[2J\u2028${'x'.repeat(5000)}`);
    });
    assert.match(watched.problem, /refuses: no ready \[2J x+\.\.\.$/);
    assert.ok(watched.problem.length < 1010);
    assert.ok(!(watched.identity.unready() ?? '').includes('\n'));
  });

  it('that signs another name is not believed', async (t) => {
    const { watched, address } = await problemWith(t, (request) => issue(pki, request, { name: meshName('other') }));
    assert.equal(
      watched.problem,
      `the certificate from the identity service at ${address}: is for another name: ${meshName('other')}, not ${NAME} (identity.name)`,
    );
    assert.equal(watched.counts.failures.name, 1);
    assert.match(watched.identity.unready() ?? '', /another name/);
  });

  it('that sends garbage, nothing, or a certificate that does not fit is not believed', async (t) => {
    const answers: readonly [Answering, RegExp][] = [
      [
        async (request) => ({ ...(await issue(pki, request)), leaf_certificate: Buffer.from('garbage') }),
        /certificate 1 of 2 .*can't be read/,
      ],
      [async (request) => ({ ...(await issue(pki, request)), leaf_certificate: Buffer.alloc(0) }), /can't be read/],
      [
        async (request) => ({ ...(await issue(pki, request)), intermediate_certificates: [] }),
        /was signed by .*issuer.test, which is not in/,
      ],
      [
        async (request) => ({
          ...(await issue(pki, request)),
          leaf_certificate: new X509Certificate((await pki.workload('web')).certificate).raw,
        }),
        /does not belong to the key/,
      ],
      [async (request) => issue(await Pki.make({ name: 'stranger' }), request), /which is not in/],
      [(request) => issue(pki, request, { dates: DATES.expired() }), /expired on/],
      [(request) => issue(pki, request, { dates: DATES.notYet() }), /not valid before/],
    ];
    for (const [answering, reason] of answers) {
      const { watched } = await problemWith(t, answering);
      assert.match(watched.problem, /^the certificate from the identity service at /);
      assert.match(watched.problem, reason);
      assert.equal(watched.counts.failures.credential, 1);
    }
  });

  it('that never answers is given up after identity.timeout', async (t) => {
    const { address, requests } = await service(() => new Promise(() => undefined));
    const { watched } = watch(t, address);
    await watched.until(() => requests.length === 1, 'the request');
    watched.clock.advance(10_000);
    await watched.failed(1);
    assert.equal(
      watched.problem,
      `the identity service at ${address} did not answer within 10000 ms (identity.timeout)`,
    );
    assert.equal(watched.counts.failures.timeout, 1);
    watched.clock.advance(watched.clock.waits[0]);
    await watched.until(() => requests.length === 2, 'another request');
  });

  it('that takes connections and says nothing is given up as well', async (t) => {
    const sockets: Socket[] = [];
    const silent = createServer((socket) => {
      sockets.push(socket.on('error', () => undefined).resume());
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    const connected = new Promise((resolve) => silent.once('connection', resolve));
    const { watched } = watch(t, `127.0.0.1:${(silent.address() as AddressInfo).port}`);
    await connected;
    watched.clock.advance(10_000);
    await watched.failed(1);
    assert.equal(watched.counts.failures.timeout, 1);
  });

  it('whose own certificate is of another authority, or of another name, is not spoken to', async (t) => {
    const { address, requests } = await service((request) => issue(pki, request));
    const stranger = scratch.file('stranger.pem', (await Pki.make({ name: 'stranger' })).anchor);
    const one = watch(t, address, { anchors: stranger });
    await one.watched.failed(1);
    assert.match(
      one.watched.problem,
      /cannot be reached: .*certificate; its certificate must be signed by one of \S+stranger\.pem \(identity\.linkerd\.anchors\)/,
    );
    const other = watch(t, address, { serverName: meshName('somebody') });
    await other.watched.failed(1);
    assert.match(
      other.watched.problem,
      /cannot be reached: .*altnames.*\(expected: somebody\..*, identity\.linkerd\.serverName\)/,
    );
    assert.equal(requests.length, 0, 'no token goes to a stranger');
  });

  it('is not asked without a token or anchors: the file is named', async (t) => {
    const { address, requests } = await service((request) => issue(pki, request));
    const cases: readonly [(token: string, anchors: string) => void, RegExp][] = [
      [(token) => rmSync(token), /token-\d+: does not exist/],
      [(token) => writeFileSync(token, ' \n'), /token-\d+: is empty/],
      [(_, file) => rmSync(file), /own-anchors\.pem: does not exist/],
      [(_, file) => writeFileSync(file, ''), /own-anchors\.pem: is empty/],
      [(_, file) => writeFileSync(file, 'garbage'), /own-anchors\.pem: has no PEM block/],
    ];
    for (const [spoil, reason] of cases) {
      const own = scratch.file('own-anchors.pem', pki.anchor);
      const watched = new Watched();
      t.after(() => watched.identity.stop());
      const token = scratch.file(`token-${files++}`, 'the token');
      spoil(token, own);
      watched.configure(
        { kind: 'linkerd', address, serverName: SERVICE, token, anchors: own, minRefreshMs: 1, maxRefreshMs: 1 },
        { name: NAME },
      );
      await watched.failed(1);
      assert.match(watched.problem, reason);
      assert.equal(watched.counts.failures.credential, 1);
    }
    assert.equal(requests.length, 0);
  });

  it('is left when the configuration names another; what it says afterwards is not heard', async (t) => {
    let answer: () => void = () => undefined;
    const slow = await service(async (request) => {
      await new Promise<void>((resolve) => {
        answer = resolve;
      });
      return issue(pki, request);
    });
    const { watched } = watch(t, slow.address);
    await watched.until(() => slow.requests.length === 1, 'the request');
    watched.identity.configure(null);
    answer();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([watched.changes.length, watched.log.length, watched.clock.waits.length], [0, 0, 0]);
    assert.equal(watched.identity.unready(), null);
  });
});

describe('what a token says of its end', () => {
  it('is told where it is past', () => {
    assert.equal(expiredSince(jwt(1000), 2_000_000), '1970-01-01T00:16:40.000Z');
    assert.equal(expiredSince(jwt(3000), 2_000_000), '');
  });

  it('is nothing where it is no JWT', () => {
    for (const token of ['', 'a', 'a.b.c', 'a.e30.c', 'a.bnVsbA.c', 'a.eyJleHAiOiJ4In0.c'])
      assert.equal(expiredSince(token, 1e15), '');
  });
});

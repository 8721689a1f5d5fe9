// Profiles of TLS as workers are told them, and files that change under them.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Config } from '../../src/config/model.js';
import type { ListenerTlsConfig, ServiceTlsConfig } from '../../src/config/tls-model.js';
import type { CertificateCounts } from '../../src/metrics/certificate-counts.js';
import { TlsProfiles } from '../../src/supervisor/tls-profiles.js';
import type { TlsProfile } from '../../src/tls/profile.js';
import { scratchDirectory } from '../discovery/scratch.js';
import { at, config, fixed, listener, service } from '../policy/fixture.js';
import { type Certified, DATES, Pki } from '../support/pki.js';
import { eventually } from '../support/sluice.js';

const scratch = scratchDirectory();
let pki: Pki;
let first: Certified;
let second: Certified;
const opened: TlsProfiles[] = [];

before(async () => {
  pki = await Pki.make();
  first = await pki.leaf({ dns: ['a.test', '*.b.test'] });
  second = await pki.leaf({ dns: ['a.test'] });
  first.write(scratch.path('files'), 'first');
  pki.writeAnchor(scratch.path('files'), 'ca');
});
after(() => {
  for (const profiles of opened) profiles.close();
});

let directories = 0;

/** Writes `from` as `web.pem` and `web-key.pem` to a directory of its own. */
function place(from: Certified): { directory: string; certificate: string; key: string } {
  const directory = scratch.path(`d${directories++}`);
  return { directory, ...from.write(directory, 'web') };
}

const files = () => ({
  certificate: scratch.path('files/first.pem'),
  key: scratch.path('files/first-key.pem'),
  names: null,
});
const ca = (): string => scratch.path('files/ca.pem');

const listenerTls = (more: Partial<ListenerTlsConfig> = {}): ListenerTlsConfig => ({
  certificates: [files()],
  minVersion: '1.3',
  alpn: null,
  clientAuthority: null,
  clientCertificate: 'none',
  tickets: false,
  ...more,
});
const serviceTls = (more: Partial<ServiceTlsConfig> = {}): ServiceTlsConfig => ({
  serverName: null,
  ca: ca(),
  certificate: null,
  minVersion: '1.3',
  alpn: null,
  ...more,
});

const withListeners = (...all: readonly (ListenerTlsConfig | null)[]): Config =>
  config({ listeners: all.map((tls, index) => listener(at('127.0.0.1', 80 + index), { name: `l${index}`, tls })) });
const withServices = (...all: readonly (ServiceTlsConfig | null)[]): Config =>
  config({ services: all.map((tls, index) => service(`s${index}`, [fixed('10.0.0.1', 443)], { tls })) });

function setUp(pollMs = 3_600_000) {
  const logs: string[] = [];
  const counts: CertificateCounts = { loaded: 0, failed: 0, broken: 0, used: [] };
  const clock = { ms: Date.now() };
  const log = (level: string) => (message: string, fields?: Record<string, unknown>) => {
    logs.push(`${level} ${message}${fields?.problem === undefined ? '' : `: ${String(fields.problem)}`}`);
  };
  let changes = 0;
  const profiles = new TlsProfiles({
    logger: { info: log('info'), warn: log('warn'), error: log('error') },
    pollMs: () => pollMs,
    counts,
    changed: () => {
      changes++;
    },
    now: () => clock.ms,
  });
  opened.push(profiles);
  const apply = (next: Config): void => profiles.commit(profiles.prepare(next));
  const until = (done: () => boolean): Promise<void> => eventually(async () => done(), logs.join('\n'));
  return { profiles, logs, counts, clock, apply, until, changes: () => changes };
}

const leafOf = (profile: TlsProfile): string => new X509Certificate(profile.certificates[0].chain).fingerprint256;
const fingerprint = (one: Certified): string => new X509Certificate(one.certificate).fingerprint256;

/** All mistakes, as a start would report them. */
function refusals(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof AggregateError, String(error));
    return error.errors.map(({ message }) => String(message));
  }
  return [];
}

describe('profiles of TLS', () => {
  it('are made of what the configuration says', () => {
    const { profiles, apply, counts } = setUp();
    apply(
      config({
        listeners: [
          listener(at('::', 1), {
            name: 'edge',
            tls: listenerTls({ clientAuthority: ca(), clientCertificate: 'optional' }),
          }),
          listener(at('::', 2), { name: 'plain' }),
        ],
        services: [
          service('out', [fixed('10.0.0.1', 443)], {
            tls: serviceTls({ serverName: 'out.test', certificate: files() }),
          }),
          service('plain', [fixed('10.0.0.1', 80)]),
        ],
      }),
    );
    const [server, client] = profiles.profiles;
    assert.deepEqual(
      [profiles.listener('edge'), profiles.listener('plain'), profiles.service('out'), profiles.service('plain')],
      [server.slot, 0, client.slot, 0],
    );
    assert.deepEqual(
      { ...server, certificates: server.certificates.map(({ names }) => names), anchors: server.anchors.length },
      {
        slot: 1,
        generation: 1,
        role: 'server',
        certificates: [['a.test', '*.b.test']],
        anchors: 1,
        clientCertificate: 'optional',
        minVersion: '1.3',
        alpn: ['h2', 'http/1.1'],
        tickets: false,
        serverName: null,
        wholeNames: false,
      },
    );
    assert.equal(client.serverName, 'out.test');
    assert.deepEqual(client.certificates[0].names, []);
    assert.deepEqual(client.alpn, ['h2', 'http/1.1']);
    assert.deepEqual([profiles.meshClient, profiles.meshServer], [0, 0]);
    assert.deepEqual(
      counts.used.map(({ use, name, certificate }) => `${use} ${name} ${certificate}`),
      ['listener edge 0', 'listener edge client-authority', 'service out certificate', 'service out ca'],
    );
    assert.deepEqual([counts.loaded, counts.failed, counts.broken], [3, 0, 0], 'each file once for each purpose');
  });

  it('offer what a listener serves, and a service speaks', () => {
    const { profiles, apply } = setUp();
    const services = { http1: 'web', http2: null, tls: null, opaque: null };
    const web = service('web', [fixed('10.0.0.1', 80)]);
    const alpn = (...next: Parameters<typeof listener>[1][]): string[] => {
      apply(
        config({
          listeners: next.map((more) => listener(at('::', 1), { name: 'l', tls: listenerTls(), ...more })),
          services: [web],
        }),
      );
      return profiles.profiles.map((profile) => profile.alpn.join());
    };
    assert.deepEqual(alpn({}), ['h2,http/1.1']);
    assert.deepEqual(alpn({ protocol: 'http1' }), ['http/1.1']);
    assert.deepEqual(alpn({ protocol: 'http2' }), ['h2']);
    assert.deepEqual(alpn({ protocol: 'opaque' }), ['']);
    assert.deepEqual(alpn({ services }), ['http/1.1']);
    assert.deepEqual(alpn({ tls: listenerTls({ alpn: [] }) }), ['']);
    for (const [protocol, expected] of [
      ['http1', 'http/1.1'],
      ['http2', 'h2'],
      ['opaque', ''],
    ] as const) {
      apply(config({ services: [service('s', [fixed('10.0.0.1', 1)], { protocol, tls: serviceTls() })] }));
      assert.equal(profiles.profiles[0].alpn.join(), expected);
    }
  });

  it('are shared by those that say the same, and keep slot and generation while nothing changes', () => {
    const { profiles, apply } = setUp();
    apply(withServices(serviceTls(), serviceTls(), serviceTls({ serverName: 'x.test' })));
    assert.deepEqual(
      ['s0', 's1', 's2'].map((name) => profiles.service(name)),
      [1, 1, 2],
    );
    const before = profiles.profiles;
    apply(withServices(serviceTls(), null, serviceTls({ serverName: 'x.test' })));
    assert.deepEqual(profiles.profiles, before);
    apply(withServices(null, null, serviceTls({ serverName: 'x.test' }), serviceTls({ minVersion: '1.2' })));
    assert.deepEqual(
      ['s0', 's2', 's3'].map((name) => profiles.service(name)),
      [0, 2, 3],
    );
    assert.equal(
      profiles.profiles.find(({ slot }) => slot === 2),
      before[1],
    );
    apply(withServices());
    assert.deepEqual(profiles.profiles, []);
  });

  it('trust whom the system trusts where there is no ca', () => {
    const { profiles, apply } = setUp();
    apply(withServices(serviceTls({ ca: null })));
    assert.ok(profiles.profiles[0].anchors.length > 50);
    assert.ok(new X509Certificate(profiles.profiles[0].anchors[0]).ca);
  });

  it("have this proxy's own identity, as client and as server", () => {
    const { profiles, apply, changes } = setUp();
    apply(withListeners(listenerTls()));
    const identity = {
      chain: first.chain,
      key: first.key,
      anchors: [pki.anchor],
      name: 'a.test',
      names: ['a.test'],
      serverNames: ['a.test'],
      notBeforeMs: 0,
      notAfterMs: 1,
    };
    profiles.setIdentity(identity);
    assert.equal(changes(), 1);
    const by = (slot: number) => profiles.profiles.find((profile) => profile.slot === slot);
    const server = by(profiles.meshServer);
    const client = by(profiles.meshClient);
    assert.deepEqual(
      [server?.role, server?.clientCertificate, server?.certificates[0].names],
      ['server', 'optional', ['a.test']],
    );
    assert.deepEqual([client?.role, client?.serverName, client?.wholeNames], ['client', null, true]);
    profiles.setIdentity({ ...identity, chain: second.chain, key: second.key });
    assert.equal(by(profiles.meshServer)?.slot, server?.slot);
    assert.notEqual(by(profiles.meshServer)?.generation, server?.generation);
    profiles.setIdentity(null);
    assert.deepEqual([profiles.meshClient, profiles.meshServer, profiles.profiles.length], [0, 0, 1]);
  });
});

describe('files that cannot be used', () => {
  it('are all named at the start, and nothing is left of it', async () => {
    const { profiles, apply, counts } = setUp();
    const bad = place(await pki.leaf({ dns: ['a.test'], dates: DATES.expired() }));
    const next = config({
      listeners: [
        listener(at('::', 1), {
          name: 'edge',
          tls: listenerTls({ certificates: [files(), { ...bad, names: null }], clientAuthority: '/none.pem' }),
        }),
        listener(at('::', 2), {
          name: 'other',
          tls: listenerTls({ certificates: [{ ...files(), names: ['a.test', 'x.b.test', 'c.test'] }] }),
        }),
      ],
      services: [service('out', [fixed('10.0.0.1', 443)], { tls: serviceTls({ ca: files().key }) })],
    });
    const said = refusals(() => apply(next)).map((line) =>
      line.replaceAll(`${scratch.path('')}`, '').replace(/\d{4}-[\d:T-]+Z/, 'THEN'),
    );
    assert.deepEqual(said, [
      `listener edge: ${bad.certificate.replace(scratch.path(''), '')}: certificate 1 of 2 (CN=a.test) expired on THEN; renew it`,
      'listener edge: /none.pem: does not exist; create it, or correct the path',
      'listener other: /files/first.pem: certificate 1 (CN=a.test) is not for c.test, as `names` says: it has a.test, *.b.test; correct names, or have it reissued',
      'service out: /files/first-key.pem: has a private key and no certificate; are the two files mixed up?',
    ]);
    assert.equal(counts.failed, 4);
    assert.deepEqual(profiles.profiles, []);
    apply(withListeners(listenerTls()));
    assert.equal(profiles.profiles.length, 1);
    assert.equal(refusals(() => apply(next)).length, 4);
    assert.equal(profiles.listener('l0'), 1, 'what was there is there still');
  });

  it('refuse a reload that names them anew, and not one that has named them before', () => {
    const { profiles, apply, counts, logs } = setUp();
    const web = place(first);
    const tls = listenerTls({ certificates: [{ ...web, names: null }] });
    apply(withListeners(tls));
    writeFileSync(web.key, 'no key');
    apply(withListeners(tls, listenerTls()));
    assert.equal(profiles.profiles.length, 2);
    assert.equal(leafOf(profiles.profiles[0]), fingerprint(first));
    assert.equal(counts.broken, 1);
    assert.match(
      logs.at(-1) ?? '',
      /^error a certificate cannot be used; the last usable one stays in use: has no PEM block/,
    );
    assert.match(profiles.notes()[0], /web-key\.pem: has no PEM block; .*; the previous one stays in use until 20/);
    assert.deepEqual(profiles.unready(), []);
  });
});

describe('files that change', () => {
  const following = (from: Certified, pollMs?: number) => {
    const world = setUp(pollMs);
    const web = place(from);
    world.apply(withListeners(listenerTls({ certificates: [{ ...web, names: null }] })));
    const used = (): string => leafOf(world.profiles.profiles[0]);
    return { ...world, web, used };
  };

  it('are taken over together, in the same slot', async () => {
    const { used, web, until, changes, profiles, logs, counts } = following(first);
    const [before] = profiles.profiles;
    second.write(web.directory, 'web');
    await until(() => used() === fingerprint(second));
    const [now] = profiles.profiles;
    assert.deepEqual([now.slot, now.certificates[0].key === before.certificates[0].key], [before.slot, false]);
    assert.ok(now.generation > before.generation);
    assert.equal(changes(), 1);
    assert.equal(counts.broken, 0);
    assert.deepEqual(logs, ['info certificate taken over']);
  });

  it('that are bad leave the last good ones in use until they are right', async () => {
    const { used, web, until, logs, counts, changes } = following(first);
    writeFileSync(web.certificate, '');
    await until(() => counts.broken === 1);
    assert.equal(used(), fingerprint(first));
    assert.deepEqual(logs, [
      'error a certificate cannot be used; the last usable one stays in use: is empty; put a PEM file there',
    ]);
    rmSync(web.certificate);
    await until(() => logs.length === 2);
    assert.match(logs[1], /does not exist/);
    first.write(web.directory, 'web');
    await until(() => counts.broken === 0);
    assert.equal(logs[2], 'info certificate is usable again');
    assert.equal(changes(), 0);
    second.write(web.directory, 'web');
    await until(() => used() === fingerprint(second));
  });

  it('are reached by links that are swapped, as Kubernetes does', async () => {
    const world = setUp();
    const root = scratch.path(`d${directories++}`);
    mkdirSync(root);
    const version = (name: string, from: Certified): void => {
      from.write(`${root}/${name}`, 'tls');
      symlinkSync(name, `${root}/..tmp`);
      renameSync(`${root}/..tmp`, `${root}/..data`);
    };
    version('..1', first);
    for (const name of ['tls.pem', 'tls-key.pem']) symlinkSync(`..data/${name}`, `${root}/${name}`);
    const certificates = [{ certificate: `${root}/tls.pem`, key: `${root}/tls-key.pem`, names: null }];
    world.apply(withListeners(listenerTls({ certificates })));
    for (const [index, from] of [second, first].entries()) {
      version(`..${index + 2}`, from);
      rmSync(`${root}/..${index + 1}`, { recursive: true });
      await world.until(() => leafOf(world.profiles.profiles[0]) === fingerprint(from));
    }
    assert.deepEqual(world.logs, Array(2).fill('info certificate taken over'));
    assert.equal(world.changes(), 2);
  });

  it('are reached by a link to a directory, which is replaced', async () => {
    const world = setUp();
    const root = scratch.path(`d${directories++}`);
    const point = (name: string, from: Certified): void => {
      from.write(`${root}/releases/${name}`, 'tls');
      symlinkSync(`releases/${name}`, `${root}/next`);
      renameSync(`${root}/next`, `${root}/current`);
    };
    mkdirSync(root);
    point('1', first);
    const certificates = [{ certificate: `${root}/current/tls.pem`, key: `${root}/current/tls-key.pem`, names: null }];
    world.apply(withListeners(listenerTls({ certificates })));
    for (const from of [second, first]) {
      point(from === first ? '3' : '2', from);
      await world.until(() => leafOf(world.profiles.profiles[0]) === fingerprint(from));
    }
  });

  it('of authorities may have several, while they are rotated', async () => {
    const { profiles, apply, until } = setUp();
    const other = await Pki.make({ name: 'other' });
    const file = scratch.file('rotated.pem', pki.anchor);
    apply(withListeners(listenerTls({ clientAuthority: file, clientCertificate: 'required' })));
    const anchors = (): readonly string[] => profiles.profiles[0].anchors;
    writeFileSync(file, pki.anchor + other.anchor);
    await until(() => anchors().length === 2);
    writeFileSync(file, other.anchor);
    await until(() => anchors().length === 1);
    assert.equal(new X509Certificate(anchors()[0]).subject, 'CN=root.other');
  });

  it('not valid yet are used when their time has come', async () => {
    const { used, web, until, clock, counts } = following(first, 20);
    const later = await pki.leaf({
      dns: ['a.test'],
      dates: { notBefore: new Date(clock.ms + 60_000), notAfter: new Date(clock.ms + 3_600_000) },
    });
    later.write(web.directory, 'web');
    await until(() => counts.broken === 1);
    clock.ms += 61_000;
    await until(() => used() === fingerprint(later));
  });

  it('are looked at by a reload, which tells of them itself', () => {
    const { used, web, apply, changes } = following(first);
    second.write(web.directory, 'web');
    apply(withListeners(listenerTls({ certificates: [{ ...web, names: null }] })));
    assert.equal(used(), fingerprint(second));
    assert.equal(changes(), 0);
  });

  it('that nobody names any more are not followed', async () => {
    const { apply, web, counts, logs } = following(first);
    apply(withListeners(null));
    writeFileSync(web.certificate, '');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.deepEqual([logs, counts.broken, counts.used], [[], 0, []]);
  });
});

it('a listener whose certificates have all expired is not ready', () => {
  const { profiles, apply, clock } = setUp();
  apply(withListeners(listenerTls(), null));
  assert.deepEqual(profiles.unready(), []);
  clock.ms += 48 * 3_600_000;
  assert.match(profiles.unready().join(), /^listener l0 has no valid certificate: .*first\.pem expired on 20.*Z$/);
});

// What a cluster's objects say of addresses and of Services.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProfileUpdate } from '../../src/destination/lookup.js';
import { ASKER, MESHED, MESHED_LABELS, namespace, pod, service, TestCluster } from './objects.js';

const WEB = 'web.shop.svc.cluster.local:80';

const profileOf = (update: ProfileUpdate) => {
  assert.equal(update.kind, 'profile');
  return update.kind === 'profile' ? update.profile : assert.fail();
};

describe('what is behind an address', () => {
  it('is a Service, by each of its addresses and ports of TCP', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(
      service('web', '10.96.0.1', {
        clusterIPs: ['10.96.0.1', 'fd00::1'],
        ports: [
          { name: 'http', port: 80, appProtocol: 'kubernetes.io/h2c' },
          { name: 'sql', port: 3306 },
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'sctp', port: 54, protocol: 'SCTP' },
        ],
      }),
    );
    const web = { authority: WEB, opaque: false, protocol: 'http2', endpoint: null };
    assert.deepEqual(profileOf(cluster.profile('10.96.0.1', 80)), web);
    assert.deepEqual(profileOf(cluster.profile('fd00:0::1', 80)), web);
    assert.deepEqual(profileOf(cluster.profile('::ffff:10.96.0.1', 80)), web);
    const sql = profileOf(cluster.profile('10.96.0.1', 3306));
    assert.deepEqual([sql.authority, sql.opaque, sql.protocol], ['web.shop.svc.cluster.local:3306', true, 'opaque']);
    for (const port of [53, 54, 81]) assert.deepEqual(cluster.profile('10.96.0.1', port), { kind: 'unknown' });
    assert.deepEqual(cluster.profile('10.96.0.2', 80), { kind: 'unknown' });
  });

  it('is a Service by its name, whatever becomes of it', () => {
    const cluster = TestCluster.synced();
    const told: ProfileUpdate[] = [];
    const watch = cluster.view.watchProfile({ host: 'db.shop.svc.cluster.local', port: 3306 }, ASKER, (update) =>
      told.push(update),
    );
    const authority = 'db.shop.svc.cluster.local:3306';
    const is = (protocol: string): object => ({ authority, opaque: protocol === 'opaque', protocol, endpoint: null });
    cluster.services.set(service('db', '10.96.0.2', { ports: [{ port: 3306 }] }));
    cluster.services.set(service('db', '10.96.0.2', { ports: [{ port: 3306, appProtocol: 'http' }] }));
    cluster.services.set(service('db', '10.96.0.3', { ports: [{ port: 3307 }] }));
    assert.deepEqual(told.map(profileOf), [is('auto'), is('opaque'), is('http1'), is('auto')]);
    watch.stop();
    cluster.services.set(service('db', '10.96.0.2', { ports: [{ port: 3306 }] }));
    assert.equal(told.length, 4);
    assert.equal(cluster.view.counts.profileTopics, 0);
    assert.deepEqual(cluster.profile('db.shop.example', 80), { kind: 'unknown' });
  });

  it('is a pod, with who is in front of it', () => {
    const cluster = TestCluster.synced();
    const meta = { ...MESHED_LABELS, ownerReferences: [{ kind: 'ReplicaSet', name: 'web-5d', controller: true }] };
    cluster.pods.set(
      pod('web-1', '10.0.0.1', MESHED, {
        ...meta,
        labels: { ...(MESHED_LABELS.labels as object), 'pod-template-hash': '5d' },
      }),
    );
    const { authority, endpoint } = profileOf(cluster.profile('10.0.0.1', 8080));
    assert.equal(authority, '');
    assert.deepEqual(endpoint, {
      address: { host: '10.0.0.1', port: 8080 },
      zone: '',
      weight: 1,
      protocol: 'auto',
      identity: 'web.shop.serviceaccount.identity.sluice.cluster.local',
      proxy: { port: 4143, http2: true },
      metadata: { namespace: 'shop', pod: 'web-1', serviceaccount: 'web', deployment: 'web' },
    });
    const sql = profileOf(cluster.profile('10.0.0.1', 3306));
    assert.deepEqual([sql.opaque, sql.endpoint?.protocol], [true, 'opaque']);
    assert.equal(profileOf(cluster.profile('10.0.0.1', 4191)).endpoint?.identity, '', 'probes go past the proxy');
  });

  it('is a port of a node only where a pod has it', () => {
    const cluster = TestCluster.synced();
    const ports = [
      { containerPort: 8080, hostPort: 80 },
      { containerPort: 53, hostPort: 53, protocol: 'UDP' },
    ];
    cluster.pods.set(pod('web-1', '10.0.0.1', { containers: [{ name: 'app', ports }] }));
    cluster.pods.set(
      pod('agent', '192.168.0.1', {
        hostNetwork: true,
        containers: [{ name: 'app', ports: [{ containerPort: 9100 }] }],
      }),
    );
    const web = profileOf(cluster.profile('192.168.0.1', 80)).endpoint;
    assert.deepEqual(web?.address, { host: '10.0.0.1', port: 8080 });
    const agent = profileOf(cluster.profile('192.168.0.1', 9100)).endpoint;
    assert.deepEqual([agent?.address.port, agent?.metadata.pod], [9100, 'agent']);
    for (const port of [22, 53, 8080]) assert.deepEqual(cluster.profile('192.168.0.1', port), { kind: 'unknown' });
  });

  it('follows whoever has the address', () => {
    const cluster = TestCluster.synced();
    const told: string[] = [];
    const watch = cluster.view.watchProfile({ host: '10.0.0.1', port: 8080 }, ASKER, (update) =>
      told.push(
        update.kind === 'unknown'
          ? 'unknown'
          : update.profile.authority || (update.profile.endpoint?.metadata.pod ?? ''),
      ),
    );
    const old = pod('old', '10.0.0.1', {}, { creationTimestamp: '2026-01-01T00:00:00Z' });
    cluster.pods.set(old);
    // The address has a new pod before the old one is gone.
    cluster.pods.set(pod('new', '10.0.0.1', {}, { creationTimestamp: '2026-01-02T00:00:00Z' }));
    cluster.pods.set({ ...old, metadata: { ...(old.metadata as object), labels: { a: 'b' } } });
    cluster.pods.remove(old);
    cluster.services.set(service('web', '10.0.0.1', { ports: [{ port: 8080 }] }));
    cluster.services.remove(service('web', '10.0.0.1'));
    cluster.services.set(service('again', '10.0.0.1', { ports: [{ port: 8080 }] }));
    assert.deepEqual(told, [
      'unknown',
      'old',
      'new',
      'web.shop.svc.cluster.local:8080',
      'new',
      'again.shop.svc.cluster.local:8080',
    ]);
    watch.stop();
    cluster.services.remove(service('again', '10.0.0.1'));
    assert.equal(told.length, 6);
    assert.equal(cluster.view.counts.watchers + cluster.view.counts.profileTopics, 0);
  });

  it('is said when everything has been listed, and not before', () => {
    const cluster = new TestCluster();
    let told = 0;
    cluster.view.watchProfile({ host: '10.96.0.1', port: 80 }, ASKER, () => told++);
    cluster.view.watchEndpoints(WEB, ASKER, () => told++);
    cluster.services.replace([service('web', '10.96.0.1')]);
    cluster.pods.replace([]);
    cluster.namespaces.replace([]);
    assert.deepEqual([told, cluster.view.synced], [0, false]);
    cluster.slices.replace([]);
    assert.deepEqual([told, cluster.view.synced], [2, true]);
  });
});

describe('whether a port is opaque', () => {
  const cases: readonly [string, string | undefined, string | undefined, number, boolean][] = [
    ['the default list', undefined, undefined, 3306, true],
    ['a list replaces the default', '4406', undefined, 3306, false],
    ['a list has what it names', '4406,5000-5010', undefined, 5005, true],
    ['+ adds to the default', '+4406', undefined, 3306, true],
    ['the namespace replaces the default', undefined, '4406', 3306, false],
    ['the object replaces the namespace', '4407', '4406', 4406, false],
    ['the object adds to the namespace', '+4407', '4406', 4406, true],
    ['both add to the default', '+4407', '+4406', 3306, true],
    ['an empty list has nothing', '', undefined, 3306, false],
    ['names are ports', 'sql', undefined, 4406, true],
    ['what is not a port does not spoil the rest', 'x y,4406', undefined, 4406, true],
  ];
  for (const [what, own, ofNamespace, port, opaque] of cases) {
    it(what, () => {
      const cluster = TestCluster.synced();
      const said = (text: string | undefined) => (text === undefined ? {} : { 'config.linkerd.io/opaque-ports': text });
      cluster.namespaces.set(namespace('shop', said(ofNamespace)));
      cluster.pods.set(
        pod(
          'db',
          '10.0.0.1',
          { containers: [{ name: 'app', ports: [{ name: 'sql', containerPort: 4406 }] }] },
          { annotations: said(own) },
        ),
      );
      const ports = [{ name: 'sql', port: 4406 }, { port: 3306 }, { port: 5005 }, { port: 4407 }];
      cluster.services.set(service('db', '10.96.0.1', { ports }, { annotations: said(own) }));
      assert.equal(profileOf(cluster.profile('10.0.0.1', port)).opaque, opaque);
      assert.equal(profileOf(cluster.profile('10.96.0.1', port)).opaque, opaque);
    });
  }

  it('is said by our own annotation before any other, and changes with the namespace', () => {
    const cluster = TestCluster.synced();
    const annotations = { 'config.linkerd.io/opaque-ports': '80', 'config.sluice.io/opaque-ports': '81' };
    cluster.services.set(service('web', '10.96.0.1', { ports: [{ port: 80 }, { port: 81 }] }, { annotations }));
    cluster.services.set(service('plain', '10.96.0.2'));
    assert.deepEqual(
      [80, 81].map((port) => profileOf(cluster.profile('10.96.0.1', port)).opaque),
      [false, true],
    );
    const told: boolean[] = [];
    cluster.view.watchProfile({ host: '10.96.0.2', port: 80 }, ASKER, (update) => told.push(profileOf(update).opaque));
    cluster.namespaces.set(namespace('shop', { 'config.linkerd.io/opaque-ports': '80' }));
    cluster.namespaces.set(namespace('shop'));
    assert.deepEqual(told, [false, true, false]);
  });

  it('is what appProtocol says, before annotations; what is not known is detected, and told once', () => {
    const cluster = TestCluster.synced();
    const names = [
      'http',
      'grpc',
      'kubernetes.io/ws',
      'https',
      'tls',
      'linkerd.io/opaque',
      'linkerd.io/tcp',
      'mysql',
      '',
    ];
    const ports = names.map((appProtocol, index) => ({ name: `p${index}`, port: 1000 + index, appProtocol }));
    const annotations = { 'config.linkerd.io/opaque-ports': '1000-1100,70000' };
    const all = service('web', '10.96.0.1', { ports }, { annotations });
    cluster.services.set(all);
    const said = ports.map(({ port }) => profileOf(cluster.profile('10.96.0.1', port)).protocol);
    assert.deepEqual(said, ['http1', 'http2', 'http1', 'opaque', 'opaque', 'opaque', 'opaque', 'opaque', 'opaque']);
    cluster.services.set(service('other', '10.96.0.2', { ports: [{ port: 80, appProtocol: 'mysql' }] }));
    assert.deepEqual(profileOf(cluster.profile('10.96.0.2', 80)).protocol, 'auto');
    cluster.services.set({ ...all, more: true });
    assert.deepEqual(
      cluster.problems.map(({ name, field, message }) => [name, field, message]),
      [
        [
          'web',
          'metadata.annotations[config.linkerd.io/opaque-ports]',
          '"70000" is not a port: ports go from 0 to 65535',
        ],
        ['web', 'spec.ports[1007].appProtocol', '"mysql" is unknown; the protocol of the port is detected'],
        ['other', 'spec.ports[80].appProtocol', '"mysql" is unknown; the protocol of the port is detected'],
      ],
    );
    assert.equal(cluster.view.problems, 2);
    cluster.services.remove(all);
    assert.equal(cluster.view.problems, 1);
  });
});

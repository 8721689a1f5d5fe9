// What a cluster's objects say of the endpoints of Services.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EndpointsUpdate, ProfileUpdate } from '../../src/destination/lookup.js';
import { pod as injectable, injected, mesh } from '../inject/pods.js';
import { ASKER, endpoint, MESHED, MESHED_LABELS, pod, service, slice, TestCluster } from './objects.js';

const WEB = 'web.shop.svc.cluster.local:80';

const profileOf = (update: ProfileUpdate) => {
  assert.equal(update.kind, 'profile');
  return update.kind === 'profile' ? update.profile : assert.fail();
};
const only = (update: EndpointsUpdate) => {
  assert.ok(update.kind === 'endpoints' && update.endpoints.length === 1, JSON.stringify(update));
  return update.endpoints[0];
};

describe('the endpoints of a Service', () => {
  it('are those of all its slices, at the ports of its pods', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(
      service('web', '10.96.0.1', {
        ports: [
          { name: 'http', port: 80 },
          { name: 'sql', port: 3306 },
        ],
      }),
    );
    const ports = (http: number) => ({
      ports: [
        { name: 'http', port: http },
        { name: 'sql', port: 3306 },
        { name: 'http', port: 1, protocol: 'UDP' },
      ],
    });
    // A named targetPort is another number in other pods.
    cluster.slices.set(slice('web-b', 'web', [endpoint('10.0.0.3')], ports(8081)));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1'), endpoint('10.0.0.2')], ports(8080)));
    cluster.slices.set(slice('other', 'other', [endpoint('10.0.0.9')]));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:8081']);
    assert.deepEqual(cluster.endpoints('web.shop.svc.cluster.local:3306'), [
      '10.0.0.1:3306',
      '10.0.0.2:3306',
      '10.0.0.3:3306',
    ]);
    assert.equal(cluster.endpoints('web.shop.svc.cluster.local:81'), 'unknown');
    assert.equal(cluster.endpoints('gone.shop.svc.cluster.local:80'), 'unknown');
    for (const nonsense of ['example.com:80', 'web.shop.svc.cluster.local:x', 'a.b.c.d.svc.cluster.local', ''])
      assert.equal(cluster.endpoints(nonsense), 'unknown');
  });

  it('are none of an ExternalName, and those of a headless Service by name and pod', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('far', '', { type: 'ExternalName', externalName: 'example.com', clusterIPs: [] }));
    assert.equal(cluster.endpoints('far.shop.svc.cluster.local:80'), 'unknown');
    cluster.services.set(service('db', 'None', { clusterIPs: ['None'] }));
    const endpoints = [
      endpoint('10.0.0.1', { hostname: 'db-0', pod: 'db-0' }),
      endpoint('10.0.0.2', { hostname: 'db-1', pod: 'db-1' }),
    ];
    cluster.slices.set(slice('db-a', 'db', endpoints));
    for (const [name, ip] of [
      ['db-0', '10.0.0.1'],
      ['db-1', '10.0.0.2'],
    ])
      cluster.pods.set(pod(name, ip));
    assert.deepEqual(cluster.endpoints('db.shop.svc.cluster.local:80'), ['10.0.0.1:8080', '10.0.0.2:8080']);
    assert.deepEqual(cluster.endpoints('db-1.db.shop.svc.cluster.local:80'), ['10.0.0.2:8080']);
    assert.equal(profileOf(cluster.profile('10.0.0.2', 8080)).endpoint?.metadata.pod, 'db-1');
  });

  it('are ready; where none is, those that end and still serve', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    const ending = endpoint('10.0.0.2', { ready: false, serving: true, terminating: true });
    const others = [
      ending,
      endpoint('10.0.0.3', { ready: false, serving: false, terminating: true }),
      endpoint('10.0.0.4', { ready: false }),
    ];
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1', { ready: true }), ...others]));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.1:8080']);
    cluster.slices.set(slice('web-a', 'web', others));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.2:8080']);
    cluster.slices.set(slice('web-a', 'web', []));
    assert.deepEqual(cluster.endpoints(WEB), []);
    // What the controller writes for publishNotReadyAddresses.
    cluster.slices.set(
      slice('web-a', 'web', [endpoint('10.0.0.5', { ready: true, serving: false, terminating: true })]),
    );
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.5:8080']);
    // Between two slices, an endpoint may be in both.
    cluster.slices.set(slice('web-b', 'web', [endpoint('10.0.0.4', { ready: true })]));
    cluster.slices.set(slice('web-a', 'web', others));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.4:8080']);
  });

  it('are in the family that is asked for', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(
      service('web', 'fd00::1', { clusterIPs: ['fd00::1', '10.96.0.1'], ipFamilies: ['IPv6', 'IPv4'] }),
    );
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1')]));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.1:8080'], 'no others');
    cluster.slices.set(slice('web-b', 'web', [endpoint('fd01::1')], { addressType: 'IPv6' }));
    cluster.slices.set(slice('web-c', 'web', [endpoint('example.com')], { addressType: 'FQDN' }));
    assert.deepEqual(cluster.endpoints(WEB), ['fd01::1:8080']);
    assert.deepEqual(cluster.endpoints(WEB, { ...ASKER, family: 4 }), ['10.0.0.1:8080']);
    assert.deepEqual(cluster.endpoints(WEB, { ...ASKER, family: 6 }), ['fd01::1:8080']);
  });

  it('are near, where all have hints', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    const a = { node: 'node-a', zone: 'a', hints: ['a'] };
    const b = { node: 'node-b', zone: 'b', hints: ['b'] };
    const told: string[][] = [];
    cluster.view.watchEndpoints(WEB, ASKER, (update) => {
      if (update.kind === 'endpoints')
        told.push(update.endpoints.map(({ address, zone }) => `${address.host} ${zone}`));
    });
    // Nobody knows yet where the asker is.
    cluster.slices.set(
      slice('web-a', 'web', [endpoint('10.0.0.1', { ...a, node: 'node-x' }), endpoint('10.0.0.2', b)]),
    );
    cluster.slices.set(slice('other', 'other', [endpoint('10.0.0.9', { node: 'node-a', zone: 'a' })]));
    cluster.slices.set(
      slice('web-a', 'web', [endpoint('10.0.0.1', { ...a, hints: undefined }), endpoint('10.0.0.2', b)]),
    );
    assert.deepEqual(told, [[], ['10.0.0.1 a', '10.0.0.2 b'], ['10.0.0.1 a'], ['10.0.0.1 a', '10.0.0.2 b']]);
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1', a), endpoint('10.0.0.2', b)]));
    assert.deepEqual(cluster.endpoints(WEB, { ...ASKER, node: 'node-b' }), ['10.0.0.2:8080']);
    assert.equal((cluster.endpoints(WEB, { ...ASKER, node: 'node-z' }) as string[]).length, 2);
    // Nobody is for zone a any more: anybody is better than nobody.
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.2', b), endpoint('10.0.0.3', b)]));
    assert.equal(told.at(-1)?.length, 2);
    cluster.services.set(service('web', '10.96.0.1', { internalTrafficPolicy: 'Local' }));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1', { node: 'node-a' }), endpoint('10.0.0.2', b)]));
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.1:8080']);
    assert.deepEqual(cluster.endpoints(WEB, { ...ASKER, node: 'node-c' }), []);
  });

  it('wait for their pods, and have an identity where the proxy runs', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1', { pod: 'web-1', zone: 'a' })]));
    const told: string[] = [];
    cluster.view.watchEndpoints(WEB, ASKER, (update) => {
      if (update.kind !== 'endpoints') return;
      told.push(update.endpoints.map(({ identity, proxy }) => `${identity.split('.')[0]} ${proxy.port}`).join());
    });
    const state = (running: boolean) => ({
      containerStatuses: [{ name: 'sluice-proxy', ready: false, state: running ? { running: {} } : { waiting: {} } }],
    });
    cluster.pods.set(pod('web-1', '10.0.0.1', MESHED, MESHED_LABELS, state(false)));
    cluster.pods.set(pod('web-1', '10.0.0.1', MESHED, MESHED_LABELS, state(true)));
    cluster.pods.set(pod('web-1', '10.0.0.1', MESHED, MESHED_LABELS, { ...state(true), more: 1 }));
    // A pod of the same name has been made anew.
    cluster.pods.set(pod('web-1', '10.0.0.2', MESHED, MESHED_LABELS));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.2', { pod: 'web-1' })]));
    cluster.pods.remove(pod('web-1', '10.0.0.2'));
    assert.deepEqual(told, ['', ' 0', 'web 4143', '', 'web 4143', '']);
  });

  it('have no identity at ports that lead past the proxy, and that of whoever has injected them', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1', { pod: 'web-1' })]));
    const identity = (spec: object, meta: object = MESHED_LABELS): string => {
      cluster.pods.set(pod('web-1', '10.0.0.1', { ...spec }, { ...meta }));
      return only(cluster.endpointsUpdate(WEB)).identity;
    };
    const own = 'web.shop.serviceaccount.identity.sluice.cluster.local';
    assert.equal(identity(MESHED), own);
    assert.equal(identity({}), '', 'a label alone is no proxy');
    assert.equal(identity(MESHED, { annotations: { 'config.linkerd.io/skip-inbound-ports': '8000-9000' } }), '');
    const init = (args: readonly string[]) => ({ ...MESHED, initContainers: [{ name: 'sluice-init', args }] });
    assert.equal(identity(init(['--inbound-ports-to-ignore', '4191,8080'])), '');
    assert.equal(identity(init(['--inbound-ports-to-ignore=4191'])), own);
    const native = { initContainers: [{ name: 'sluice-proxy', restartPolicy: 'Always' }] };
    assert.equal(identity(native), own);
    const env = (names: readonly string[]) => ({
      containers: [{ name: 'sluice-proxy', env: names.map((name) => ({ name })) }],
    });
    assert.equal(identity(env(['SLUICE_SIDECAR_POD'])), '', 'a proxy without a name');
    assert.equal(identity(env(['SLUICE_SIDECAR_POD', 'SLUICE_IDENTITY_NAME'])), own);
    const linkerd = {
      containers: [{ name: 'linkerd-proxy', ports: [{ name: 'linkerd-proxy', containerPort: 5143 }] }],
    };
    assert.equal(
      identity(linkerd, { labels: { 'linkerd.io/control-plane-ns': 'linkerd' } }),
      own.replace('sluice', 'linkerd'),
    );
    assert.deepEqual(only(cluster.endpointsUpdate(WEB)).proxy, { port: 5143, http2: true });
  });

  it('know pods as they come from injection', () => {
    const cluster = TestCluster.synced();
    const of = (annotations: object, changes: Parameters<typeof mesh>[0] = {}) => {
      const { metadata, ...made } = injected(injectable({ ...annotations }), { mesh: mesh(changes) }).pod;
      const placed = { ...(metadata as object), namespace: 'shop' };
      cluster.pods.set({ ...made, metadata: placed, status: { phase: 'Running', podIP: '10.0.0.1' } });
      const { identity, proxy } = profileOf(cluster.profile('10.0.0.1', 8080)).endpoint ?? assert.fail();
      return `${identity.split('.')[0]} ${proxy.port}`;
    };
    assert.equal(of({}), 'default 4143');
    assert.equal(of({ 'config.linkerd.io/proxy-enable-native-sidecar': 'false' }), 'default 4143');
    assert.equal(of({ 'config.linkerd.io/inbound-port': '5143' }), 'default 5143');
    assert.equal(of({ 'config.linkerd.io/skip-inbound-ports': '+http' }), ' 0');
    assert.equal(of({}, { trustAnchors: null }), ' 0', 'nobody has an identity');
  });

  it('are told when they change, each time to those who watch, and stay the same where they do not', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    cluster.services.set(service('other', '10.96.0.2'));
    const told: EndpointsUpdate[] = [];
    const watch = cluster.view.watchEndpoints(WEB, ASKER, (update) => told.push(update));
    const second: EndpointsUpdate[] = [];
    cluster.view.watchEndpoints(WEB, { ...ASKER, pod: 'another' }, (update) => second.push(update));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1')]));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1'), endpoint('10.0.0.2', { ready: false })]));
    cluster.slices.set(slice('other-a', 'other', [endpoint('10.0.0.1')]));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1'), endpoint('10.0.0.2')]));
    cluster.services.set(service('web', '10.96.0.1', { selector: { app: 'new' } }));
    assert.equal(told.length, 3);
    const [, one, two] = told;
    assert.ok(one.kind === 'endpoints' && two.kind === 'endpoints');
    assert.equal(one.endpoints[0], two.endpoints[0], 'the same object');
    assert.equal(second[2], two, 'askers of one place share a list');
    watch.stop();
    cluster.services.remove(service('web', '10.96.0.1'));
    assert.deepEqual([told.length, second.at(-1)], [3, { kind: 'unknown' }]);
    assert.deepEqual([cluster.view.counts.watchers, cluster.view.counts.endpointTopics], [1, 1]);
  });

  it('may be more than a slice has', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    const many = (from: number, count: number) =>
      Array.from({ length: count }, (_, index) => endpoint(`10.1.${(from + index) >> 8}.${(from + index) & 255}`));
    cluster.slices.set(slice('web-a', 'web', many(0, 1200)));
    cluster.slices.set(slice('web-b', 'web', many(1200, 1000)));
    assert.equal(cluster.endpoints(WEB).length, 2200);
    assert.equal(cluster.view.counts.endpoints, 2200);
  });

  it('are not spoilt by objects that make no sense', () => {
    const cluster = TestCluster.synced();
    cluster.services.set(service('web', '10.96.0.1'));
    cluster.slices.set(slice('web-a', 'web', [endpoint('10.0.0.1')]));
    const nonsense = [null, 1, 'x', [], [null], { a: 1 }];
    for (const value of nonsense) {
      for (const sink of [cluster.services, cluster.slices, cluster.pods, cluster.namespaces]) {
        sink.set({ metadata: value });
        sink.set({
          metadata: {
            name: 'odd',
            namespace: 'shop',
            labels: { 'kubernetes.io/service-name': 'odd' },
            annotations: value,
          },
          spec: value,
          status: value,
        });
        sink.set({
          metadata: {
            name: 'odd',
            namespace: 'shop',
            labels: { 'kubernetes.io/service-name': 'odd' },
            ownerReferences: value,
          },
          addressType: 'IPv4',
          endpoints: [value, { addresses: value, conditions: value, targetRef: value, hints: value }],
          ports: [value, { port: value, name: value }],
          spec: {
            ports: [value, { port: value }],
            clusterIPs: value,
            containers: [value, { name: 'sluice-proxy', ports: value, env: value }],
            initContainers: value,
          },
          status: { podIPs: value, hostIPs: value, containerStatuses: value },
        });
      }
    }
    assert.deepEqual(cluster.endpoints(WEB), ['10.0.0.1:8080']);
    assert.deepEqual(cluster.endpoints('odd.shop.svc.cluster.local:80'), 'unknown');
  });
});

// What `sidecar` stands for.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadConfig } from '../../src/config/load.js';
import { ConfigError } from '../../src/config/problem.js';
import { expandSidecar, hasGlobalIpv6 } from '../../src/config/sidecar.js';
import { load } from './support.js';

const names = (yaml: string): string[] => load(yaml).listeners.map(({ name }) => name);

describe('sidecar', () => {
  it('tells addresses of IPv6 that lead somewhere from those of every namespace', () => {
    const lo = '00000000000000000000000000000001 01 80 10 80       lo\n';
    const link = 'fe800000000000000000000000000002 02 40 20 80     eth0\n';
    const global = 'fd780000000000000000000000000002 02 40 00 80     eth0\n';
    assert.equal(hasGlobalIpv6(''), false);
    assert.equal(hasGlobalIpv6(lo + link), false);
    assert.equal(hasGlobalIpv6(lo + global + link), true);
  });

  it('is off by default, and leaves the tree alone', () => {
    const tree = { sidecar: { enabled: false }, listeners: [] };
    assert.equal(expandSidecar(tree, true), tree);
    assert.equal(expandSidecar(null, true), null);
    const list = [1];
    assert.equal(expandSidecar(list, true), list);
  });

  it('is the listeners of a proxy in a pod, in IPv4 and IPv6', () => {
    const config = load('sidecar: { enabled: true }');
    const [inbound, outbound] = config.listeners;
    assert.equal(inbound.name, 'inbound');
    assert.equal(inbound.listen.port, 4143);
    assert.equal(inbound.direction, 'inbound');
    assert.equal(inbound.mesh, false);
    assert.deepEqual(outbound.listen, { host: '127.0.0.1', port: 4140 });
    assert.equal(outbound.direction, 'outbound');
    for (const { originalDestination } of config.listeners) assert.equal(originalDestination, true);
    assert.equal(config.admin?.port, 4191);
    assert.equal(config.drain.outbound, 'last');
    const listens = (ipv6: boolean): unknown =>
      (expandSidecar({ sidecar: { enabled: true } }, ipv6) as { listeners: { listen: string }[] }).listeners.map(
        ({ listen }) => listen,
      );
    assert.deepEqual(listens(false), ['0.0.0.0:4143', '127.0.0.1:4140']);
    assert.deepEqual(listens(true), [':4143', '127.0.0.1:4140', '[::1]:4140']);
  });

  it('leaves what the file says', () => {
    const config = load(`
sidecar: { enabled: true, inbound: 5143 }
admin: { listen: "127.0.0.1:5000", shutdown: true }
drain: { outbound: together, grace: 5s }
listeners: [{ name: extra, listen: "127.0.0.1:5001", service: web }]
services: { web: { endpoints: ["127.0.0.1:9"] } }
`);
    assert.deepEqual(config.admin, { host: '127.0.0.1', port: 5000 });
    assert.equal(config.adminShutdown, true);
    assert.deepEqual(config.drain, { holdMs: 2000, graceMs: 5000, outbound: 'together' });
    assert.deepEqual(config.listeners[0].name, 'extra');
    assert.equal(config.listeners[1].listen.port, 5143);
  });

  it('speaks mutual TLS where there is an identity', () => {
    const config = load('sidecar: { enabled: true }\nidentity: { spiffe: { socket: /run/agent.sock } }');
    assert.equal(config.listeners[0].mesh, true);
  });

  it('reports mistakes where they stand', () => {
    assert.throws(() => load('sidecar: { enabled: true, inbound: 70000 }'), /sidecar\.inbound: found 70000/);
    assert.throws(() => load('sidecar: { enabled: true }\nlisteners: 5'), /listeners: found 5/);
    assert.throws(() => load('sidecar: { enabled: true }\nadmin: 5'), /admin: found 5/);
    assert.throws(
      () =>
        names(
          'sidecar: { enabled: true }\nlisteners: [{ name: inbound, listen: "127.0.0.1:1", originalDestination: true }]',
        ),
      /"inbound" is taken by/,
    );
  });

  it('knows the pod by variables alone', () => {
    const pem = '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----';
    const { sidecar, destination, identity, listeners } = loadConfig('-', {
      SLUICE_SIDECAR_ENABLED: 'true',
      SLUICE_SIDECAR_POD: 'web-0',
      SLUICE_SIDECAR_NAMESPACE: '123',
      SLUICE_SIDECAR_NODE: 'true',
      SLUICE_SIDECAR_ACCOUNT: 'default',
      SLUICE_SIDECAR_OPAQUE_PORTS: '3306, 4000-4001,',
      SLUICE_SIDECAR_INBOUND_POLICY: 'all-authenticated',
      SLUICE_SIDECAR_PROBES: '8080/healthz?full=1,9090/',
      SLUICE_SIDECAR_CLUSTER_NETWORKS: '10.0.0.0/8,fd00::/8',
      SLUICE_SIDECAR_CONNECT_TIMEOUT_INBOUND: '100ms',
      SLUICE_SIDECAR_CONNECT_TIMEOUT_OUTBOUND: '2s',
      SLUICE_IDENTITY_NAME: 'default.123.serviceaccount.identity.sluice.cluster.local',
      SLUICE_IDENTITY_LINKERD_ADDRESS: 'sluice-identity.sluice.svc:8080',
      SLUICE_IDENTITY_LINKERD_TOKEN: '/var/run/secrets/tokens/sluice-identity-token',
      SLUICE_IDENTITY_LINKERD_ANCHORS: pem,
      SLUICE_DESTINATION_ADDRESS: 'sluice-destination.sluice.svc:8086',
      SLUICE_DESTINATION_SERVER_NAME: 'sluice-destination.sluice.serviceaccount.identity.sluice.cluster.local',
    });
    const { clusterNetworks, ...pod } = sidecar;
    assert.deepEqual(pod, { enabled: true, pod: 'web-0', namespace: '123', node: 'true', account: 'default' });
    assert.deepEqual(
      clusterNetworks.map(({ text }) => text),
      ['10.0.0.0/8', 'fd00::/8'],
    );
    assert.equal(destination?.defaults.connectTimeoutMs, 2000);
    assert.equal(destination?.source.kind, 'linkerd');
    assert.equal(identity?.source.kind === 'linkerd' && identity.source.anchors, pem);
    const [inbound, outbound] = listeners;
    assert.deepEqual([...(inbound.opaquePorts ?? [])], [3306, 4000, 4001]);
    assert.equal(inbound.connectTimeoutMs, 100);
    assert.equal(inbound.authorization?.default, 'all-authenticated');
    assert.deepEqual(
      inbound.authorization?.rules.map(({ ports, methods, path, exactPath }) => [ports, methods, path, exactPath]),
      [
        [[{ first: 8080, last: 8080 }], ['GET'], '/healthz', true],
        [[{ first: 9090, last: 9090 }], ['GET'], '/', true],
      ],
    );
    assert.equal(outbound.opaquePorts, null);
    assert.equal(outbound.authorization, null);
    assert.equal(outbound.connectTimeoutMs, 2000);
  });

  it('has no opaque ports where the pod has none, and the usual ones where nobody says', () => {
    assert.deepEqual([...(load('sidecar: { enabled: true, opaquePorts: none }').listeners[0].opaquePorts ?? [1])], []);
    assert.equal(load('sidecar: { enabled: true }').listeners[0].opaquePorts, null);
  });

  it('keeps the rules of the file behind those for probes', () => {
    const config = load(`
sidecar: { enabled: true, probes: 80/live }
authorization: { default: deny, rules: [{ name: web, identities: ["*"] }] }
`);
    assert.deepEqual(
      config.listeners[0].authorization?.rules.map(({ name }) => name),
      ['probe-1', 'web'],
    );
    assert.equal(config.listeners[0].authorization?.default, 'deny');
    assert.equal(load('sidecar: { enabled: true, probes: 80/live }').listeners[0].authorization, null);
  });

  it('says what is wrong with a list where the list stands', () => {
    const wrong =
      (keys: string): (() => unknown) =>
      () =>
        load(`sidecar: { enabled: true, ${keys} }`);
    assert.throws(wrong('opaquePorts: "3306,http"'), /sidecar\.opaquePorts: "http" is not a port/);
    assert.throws(wrong('opaquePorts: [1]'), /sidecar\.opaquePorts: found a list/);
    assert.throws(wrong('clusterNetworks: "10.0.0.1/8"'), /sidecar\.clusterNetworks: .* bits set beyond/);
    assert.throws(wrong('inboundPolicy: all'), (error) => {
      // Once, and not of the listener as well that comes of it.
      assert.ok(error instanceof ConfigError);
      return error.problems.length === 1 && /sidecar\.inboundPolicy: "all" is unknown/.test(error.message);
    });
    assert.throws(wrong('inboundPolicy: deny, probes: "80"'), /sidecar\.probes: "80" has no path/);
    assert.throws(
      wrong('inboundPolicy: deny, probes: "80/a//b"'),
      /sidecar\.probes: "\/a\/\/b" has consecutive slashes/,
    );
    assert.throws(wrong('pod: "../x"'), /sidecar\.pod: found/);
    assert.throws(() => load('sidecar: { enabled: true }\ndestination: {}'), /destination\.address: is missing/);
    assert.throws(
      () =>
        load('sidecar: { enabled: true }\nidentity: { spiffe: { socket: /run/a } }\ndestination: { address: "d:1" }'),
      /destination\.serverName: is missing/,
    );
  });

  it('calls a destination service as Linkerd does, and in plain text where there is no identity', () => {
    const of = (identity: string): string | undefined => {
      const { destination } = load(`sidecar: { enabled: true }\n${identity}\ndestination: { address: "d:1" }`);
      return destination?.source.kind === 'linkerd' ? destination.source.serverName : undefined;
    };
    assert.equal(
      of(
        'identity: { name: a.b.serviceaccount.identity.linkerd.cluster.local, files: { certificate: c, key: k, anchors: a } }',
      ),
      'linkerd-destination.linkerd.serviceaccount.identity.linkerd.cluster.local',
    );
    assert.equal(of(''), '');
  });

  it('asks the API server itself, by a map or by a variable, in the mesh that its own identity is of', () => {
    const of = (destination: string, identity = ''): unknown =>
      load(`sidecar: { enabled: true }\n${identity}\ndestination: { ${destination} }`).destination?.source;
    const usual = {
      kind: 'kubernetes',
      kubeconfig: null,
      clusterDomain: 'cluster.local',
      trustDomain: 'cluster.local',
    };
    assert.deepEqual(of('kubernetes: {}'), { ...usual, mesh: 'sluice' });
    const identity =
      'identity: { name: a.b.serviceaccount.identity.linkerd.example.org, files: { certificate: c, key: k, anchors: a } }';
    assert.deepEqual(of('kubernetes: {}', identity), { ...usual, trustDomain: 'example.org', mesh: 'linkerd' });
    const said = 'kubernetes: { kubeconfig: /k, clusterDomain: c.org, trustDomain: t.org, meshNamespace: mesh }';
    const written = {
      kind: 'kubernetes',
      kubeconfig: '/k',
      clusterDomain: 'c.org',
      trustDomain: 't.org',
      mesh: 'mesh',
    };
    assert.deepEqual(of(said, identity), written);
    const { destination } = loadConfig('-', {
      SLUICE_SIDECAR_ENABLED: 'true',
      SLUICE_DESTINATION_KUBERNETES_ENABLED: 'true',
    });
    assert.equal(destination?.source.kind, 'kubernetes');
    assert.throws(
      () => of('kubernetes: {}, address: "d:1"'),
      /destination\.address: names a destination service where/,
    );
    assert.throws(() => of('kubernetes: { enabled: false }'), /destination\.address: is missing/);
    assert.throws(() => of('kubernetes: { kubeconfig: 1 }'), /destination\.kubernetes\.kubeconfig: found 1/);
  });
});

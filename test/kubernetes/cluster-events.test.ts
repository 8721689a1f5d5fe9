// Whatever the order of events, a view says the same as one that has listed what there is in the end, and so have its watchers been told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Requester } from '../../src/destination/lookup.js';
import { runs } from '../support/runs.js';
import {
  ASKER,
  endpoint,
  type Fields,
  MESHED,
  MESHED_LABELS,
  namespace,
  pod,
  service,
  slice,
  TestCluster,
} from './objects.js';

const KINDS = ['services', 'slices', 'pods', 'namespaces'] as const;
type Kind = (typeof KINDS)[number];

interface Step {
  readonly kind: Kind;
  readonly key: string;
  /** Null: it is removed. */
  readonly object: Fields | null;
  /** The whole collection is listed again. */
  readonly list: boolean;
}

const NAMES = ['web', 'db'];
const PODS = ['p0', 'p1', 'p2'];
const IPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const NODES = [
  { node: 'node-a', zone: 'a' },
  { node: 'node-b', zone: 'b' },
];
const ASKERS: readonly Requester[] = [ASKER, { ...ASKER, node: 'node-b', family: 6 }];
const AUTHORITIES = [...NAMES.map((name) => `${name}.shop.svc.cluster.local:80`), 'web.shop.svc.cluster.local:3306'];
const ADDRESSES = [...IPS, '10.96.0.1', '10.96.0.2', '192.168.0.1'].flatMap((host) =>
  [80, 3306, 8080].map((port) => ({ host, port })),
);

const annotations = fc.constantFrom(
  {},
  { 'config.linkerd.io/opaque-ports': '80' },
  { 'config.linkerd.io/opaque-ports': '+8080' },
);
const maybe = fc.option(fc.boolean(), { nil: undefined });

const serviceStep = fc
  .record({
    name: fc.constantFrom(...NAMES),
    ip: fc.constantFrom('10.96.0.1', '10.96.0.2', 'None'),
    ports: fc.subarray([
      { name: '', port: 80 },
      { name: 'sql', port: 3306, appProtocol: 'http' },
      { name: 'u', port: 8080, protocol: 'UDP' },
    ]),
    annotations,
    local: fc.boolean(),
  })
  .map(({ name, ip, ports, annotations, local }) => ({
    kind: 'services' as const,
    key: name,
    object: service(
      name,
      name === 'db' && ip === '10.96.0.1' ? '10.96.0.2' : name === 'web' && ip === '10.96.0.2' ? '10.96.0.1' : ip,
      { ports, internalTrafficPolicy: local ? 'Local' : 'Cluster' },
      { annotations },
    ),
  }));

const said = fc
  .record({
    ip: fc.constantFrom(...IPS),
    ready: maybe,
    serving: maybe,
    terminating: maybe,
    node: fc.constantFrom(...NODES),
    hints: fc.option(fc.subarray(['a', 'b']), { nil: undefined }),
    pod: fc.constantFrom(undefined, ...PODS),
  })
  .map(({ ip, ready, serving, terminating, node, hints, pod }) =>
    endpoint(ip, JSON.parse(JSON.stringify({ ready, serving, terminating, ...node, hints, pod }))),
  );

const sliceStep = fc
  .record({
    name: fc.constantFrom('s0', 's1', 's2'),
    of: fc.constantFrom(...NAMES),
    endpoints: fc.array(said, { maxLength: 4 }),
    port: fc.constantFrom('', 'sql'),
  })
  .map(({ name, of, endpoints, port }) => ({
    kind: 'slices' as const,
    key: name,
    object: slice(name, of, endpoints, { ports: [{ name: port, port: 8080 }] }),
  }));

const podStep = fc
  .record({
    name: fc.constantFrom(...PODS),
    ip: fc.constantFrom(...IPS),
    meshed: fc.boolean(),
    hostPort: fc.constantFrom(undefined, 80),
    annotations,
    created: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    phase: fc.constantFrom('Running', 'Pending', 'Failed'),
  })
  .map(({ name, ip, meshed, hostPort, annotations, created, phase }) => ({
    kind: 'pods' as const,
    key: name,
    object: pod(
      name,
      ip,
      meshed ? MESHED : { containers: [{ name: 'app', ports: [{ containerPort: 8080, hostPort }] }] },
      { ...(meshed ? MESHED_LABELS : {}), annotations, creationTimestamp: created },
      { phase },
    ),
  }));

const namespaceStep = annotations.map((said) => ({
  kind: 'namespaces' as const,
  key: 'shop',
  object: namespace('shop', said),
}));

const step: fc.Arbitrary<Step> = fc
  .tuple(
    fc.oneof(
      { weight: 2, arbitrary: serviceStep },
      { weight: 4, arbitrary: sliceStep },
      { weight: 3, arbitrary: podStep },
      namespaceStep,
    ),
    fc.boolean(),
    fc.integer({ max: 9, min: 0 }),
  )
  .map(([{ kind, key, object }, removed, list]) => ({ kind, key, object: removed ? null : object, list: list === 0 }));

const sorted = (value: unknown): string => JSON.stringify(value);

/** What each watcher was told last. */
class Told {
  readonly last = new Map<string, string>();
  times = 0;

  constructor(cluster: TestCluster) {
    const hear = (key: string) => (update: unknown) => {
      this.times++;
      assert.notEqual(this.last.get(key), sorted(update), 'nothing has changed');
      this.last.set(key, sorted(update));
    };
    for (const address of ADDRESSES) cluster.view.watchProfile(address, ASKER, hear(`${address.host} ${address.port}`));
    for (const authority of AUTHORITIES)
      for (const [index, asker] of ASKERS.entries())
        cluster.view.watchEndpoints(authority, asker, hear(`${authority} ${index}`));
  }
}

test('any sequence of events gives the view of a list', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, early) => {
      const cluster = early ? new TestCluster() : TestCluster.synced();
      const told = new Told(cluster);
      const all: Record<Kind, Map<string, Fields>> = {
        services: new Map(),
        slices: new Map(),
        pods: new Map(),
        namespaces: new Map(),
      };
      if (!early) all.namespaces.set('shop', namespace('shop'));
      for (const { kind, key, object, list } of steps) {
        const before = all[kind].get(key);
        if (object !== null) all[kind].set(key, object);
        else all[kind].delete(key);
        if (list) cluster[kind].replace([...all[kind].values()]);
        else if (object !== null) cluster[kind].set(object);
        else if (before !== undefined) cluster[kind].remove(before);
      }
      if (early) for (const kind of KINDS) cluster[kind].replace([...all[kind].values()]);
      const fresh = new TestCluster();
      for (const kind of KINDS) fresh[kind].replace([...all[kind].values()]);
      assert.deepEqual(told.last, new Told(fresh).last);
      const again = new Told(cluster);
      assert.deepEqual(told.last, again.last);
      const { watchers: _, ...counts } = cluster.view.counts;
      assert.deepEqual(counts, (({ watchers: _, ...others }) => others)({ ...fresh.view.counts }));
    }),
    { numRuns: runs(300) },
  );
});

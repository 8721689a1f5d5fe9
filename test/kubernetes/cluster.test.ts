// A real API server, with its controllers, is followed: Services get their slices, pods become ready, rights and tokens come and go, the
// server ends and returns without the versions that were known.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { EndpointsUpdate, ProfileUpdate } from '../../src/destination/lookup.js';
import type { DiscoveryLogger } from '../../src/discovery/source.js';
import { podAccess } from '../../src/kubernetes/access.js';
import { ApiClient } from '../../src/kubernetes/client.js';
import { Cluster } from '../../src/kubernetes/cluster.js';
import { objectIn, textIn } from '../../src/kubernetes/json.js';
import { kubeconfigAccess } from '../../src/kubernetes/kubeconfig.js';
import { ApiObjects } from '../../src/kubernetes/objects.js';
import { ApiProblem } from '../../src/kubernetes/problem.js';
import { KINDS } from '../../src/kubernetes/stores.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { eventually } from '../support/sluice.js';
import { Waiting } from '../support/waiting.js';
import { ASKER, MESH, MESHED, MESHED_LABELS } from './objects.js';
import { Road } from './road.js';

const PODS = '/api/v1/namespaces/shop/pods';
const SERVICES = '/api/v1/namespaces/shop/services';
/** A controller has to do something first, on a machine that may be busy. */
const TIMEOUT_MS = 60_000;

describe('a cluster that is followed', { skip: lackingKubernetes() }, () => {
  let kubernetes: Kubernetes;
  let cluster: Cluster;
  let road: Road;
  let files: string;
  const logged: string[] = [];
  const note = (message: string, fields: object = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  const logger: DiscoveryLogger = { info: note, warn: note, error: note };
  const changes = new Waiting();
  let endpoints: EndpointsUpdate | null = null;
  let profile: ProfileUpdate | null = null;

  const times = { minBackoffMs: 20, maxBackoffMs: 200 };
  const token = async (): Promise<string> => kubernetes.token('shop', 'watcher', kubernetes.audience);
  const hosts = (): string =>
    endpoints?.kind === 'endpoints'
      ? endpoints.endpoints.map(({ address }) => `${address.host}:${address.port}`).join(' ')
      : String(endpoints?.kind);
  const until = (wanted: string): Promise<void> =>
    changes.until(
      () => hosts() === wanted,
      () => `${wanted} instead of ${hosts()}; ${logged.join('\n')}`,
      TIMEOUT_MS,
    );

  /** A pod that runs and is ready, as a kubelet would report it. */
  const run = async (name: string, ip: string, spec: object = {}, labels: object = {}, ready = true): Promise<void> => {
    const containers = [{ name: 'app', image: 'app', ports: [{ name: 'web', containerPort: 8080 }] }];
    await kubernetes.done('POST', PODS, {
      metadata: { name, labels: { app: 'web', ...labels } },
      spec: { nodeName: 'node-a', containers, ...spec },
    });
    const lastTransitionTime = '2026-01-01T00:00:00Z';
    const condition = (type: string, is = true) => ({ type, status: is ? 'True' : 'False', lastTransitionTime });
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      hostIP: '192.168.0.1',
      conditions: [condition('Ready', ready), condition('PodScheduled')],
    };
    const { metadata } = await kubernetes.done('GET', `${PODS}/${name}`);
    await kubernetes.done('PUT', `${PODS}/${name}/status`, {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata,
      spec: { containers },
      status,
    });
  };

  before(async () => {
    kubernetes = await Kubernetes.start();
    await kubernetes.startControllers();
    road = await Road.to(kubernetes.port);
    files = mkdtempSync(join(tmpdir(), 'cluster-'));
    await kubernetes.namespace('shop');
    await kubernetes.account('shop', 'watcher');
    // Without its node a pod is in no slice.
    const labels = { 'topology.kubernetes.io/zone': 'zone-a' };
    await kubernetes.done('POST', '/api/v1/nodes', { metadata: { name: 'node-a', labels } });
    await eventually(
      async () => (await kubernetes.ask('GET', '/api/v1/namespaces/shop/serviceaccounts/default')).status === 200,
      'pods may be made',
      TIMEOUT_MS,
    );
    writeFileSync(join(files, 'token'), await token());
    const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: String(road.port) };
    const access = podAccess(env, { token: join(files, 'token'), authority: kubernetes.authority });
    cluster = new Cluster({ access, mesh: MESH, times }, { logger });
    cluster.view.watchEndpoints('web.shop.svc.cluster.local:80', ASKER, (update) => {
      endpoints = update;
      changes.wake();
    });
  });
  after(async () => {
    cluster?.stop();
    road?.stop();
    await kubernetes?.stop();
    if (files !== undefined) rmSync(files, { recursive: true });
  });

  it('is read and written, object by object, over one HTTP/2 session', async () => {
    const client = new ApiClient(kubeconfigAccess([kubernetes.kubeconfig]));
    const objects = new ApiObjects(client);
    const path = '/api/v1/namespaces/shop/configmaps';
    const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { a: '1' } };
    assert.deepEqual([await objects.create(path, made), await objects.create(path, made)], [true, false]);
    const found = await objects.get(`${path}/a`);
    assert.ok(found !== null);
    assert.equal(await objects.get(`${path}/b`), null);
    assert.deepEqual(
      [await objects.replace(`${path}/a`, { ...found, data: { a: '2' } }), await objects.replace(`${path}/a`, found)],
      [true, false],
    );
    await client.patch(`${path}/a`, { data: { b: '3' } }, 'merge');
    await client.patch(`${path}/a`, [{ op: 'remove', path: '/data/a' }], 'json');
    assert.equal(await objects.patch(`${path}/a`, { data: { c: '4' } }), true);
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { d: '5' } };
    await client.patch(`${path}/a`, applied, 'apply', { fieldManager: 'test' });
    assert.deepEqual((await client.get(`${path}/a`)).data, { b: '3', c: '4', d: '5' });
    await client.delete(`${path}/a`);
    const gone = await client.get(`${path}/a`).catch((error: unknown) => error);
    assert.ok(gone instanceof ApiProblem);
    assert.equal(gone.message, `GET ${path}/a: status 404 (configmaps "a" not found)`);
    assert.equal(gone.reason, 'NotFound');
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { verb: 'list', resource: 'pods' } },
    };
    const { status } = await client.create('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review);
    assert.equal((status as { allowed?: boolean }).allowed, true);
    assert.equal(client.protocol, 'h2');
    client.close();
  });

  it('is not known before it may be read, and says what is forbidden', async () => {
    cluster.start();
    await eventually(() => cluster.problems.length === KINDS.length, 'all four are forbidden', TIMEOUT_MS);
    const services =
      'GET /api/v1/services: status 403 (services is forbidden: User "system:serviceaccount:shop:watcher" cannot list';
    assert.ok(
      cluster.problems.some((problem) => problem.startsWith(services)),
      cluster.problems.join('\n'),
    );
    assert.deepEqual([cluster.view.synced, endpoints], [false, null]);
    const rules = [
      { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
    ];
    await kubernetes.done('POST', '/apis/rbac.authorization.k8s.io/v1/clusterroles', {
      metadata: { name: 'watcher' },
      rules,
    });
    await kubernetes.bind('watcher', 'shop', 'watcher');
    await cluster.synced;
    await eventually(() => cluster.problems.length === 0, 'nothing is wrong any more', TIMEOUT_MS);
    assert.deepEqual([cluster.view.synced, endpoints], [true, { kind: 'unknown' }]);
    assert.ok(cluster.view.counts.namespaces >= 4);
  });

  it('has the slices that the controller makes, with ports by name, and pods as they become ready', async () => {
    const spec = {
      selector: { app: 'web' },
      ports: [
        { name: 'http', port: 80, targetPort: 'web' },
        { name: 'u', port: 53, protocol: 'UDP' },
      ],
    };
    const made = await kubernetes.done('POST', SERVICES, { metadata: { name: 'web' }, spec });
    await until('');
    await run('web-1', '10.0.0.1');
    await until('10.0.0.1:8080');
    const image = 'app';
    const containers = [
      { name: 'app', image, ports: [{ name: 'web', containerPort: 9090 }] },
      { ...(Array.isArray(MESHED.containers) ? MESHED.containers[1] : {}), image },
    ];
    await run('web-2', '10.0.0.2', { containers }, MESHED_LABELS.labels as object);
    await changes.until(() => hosts().length === '10.0.0.1:8080 10.0.0.2:9090'.length, hosts, TIMEOUT_MS);
    const meshed =
      endpoints?.kind === 'endpoints' ? endpoints.endpoints.find(({ address }) => address.port === 9090) : undefined;
    assert.equal(meshed?.identity, 'default.shop.serviceaccount.identity.sluice.cluster.local');
    assert.equal(meshed?.zone, 'zone-a');
    const host = textIn(objectIn(made, 'spec'), 'clusterIP');
    cluster.view.watchProfile({ host, port: 80 }, ASKER, (update) => {
      profile = update;
      changes.wake();
    });
    const opaque = (): boolean => profile?.kind === 'profile' && profile.profile.opaque;
    assert.equal(opaque(), false);
    await kubernetes.done('PUT', `${SERVICES}/web`, {
      ...made,
      metadata: { ...(made.metadata as object), annotations: { 'config.linkerd.io/opaque-ports': '80' } },
    });
    await changes.until(opaque, () => 'the annotation', TIMEOUT_MS);
    await kubernetes.done('DELETE', `${PODS}/web-1`, { gracePeriodSeconds: 0 });
    await until('10.0.0.2:9090');
  });

  it('is followed to other pods of a Service, and to those that are not ready where it wants them', async () => {
    await run('early-1', '10.0.0.7', {}, { app: 'early' }, false);
    const change = async (spec: object): Promise<void> => {
      const made = await kubernetes.done('GET', `${SERVICES}/web`);
      await kubernetes.done('PUT', `${SERVICES}/web`, { ...made, spec: { ...(made.spec as object), ...spec } });
    };
    await change({ selector: { app: 'early' } });
    await until('');
    await change({ publishNotReadyAddresses: true });
    await until('10.0.0.7:8080');
    await change({ selector: { app: 'web' }, publishNotReadyAddresses: false });
    await until('10.0.0.2:9090');
  });

  it('is followed on with another token, when the one it has has ended', async () => {
    const ended = kubernetes.signedAnew(await token(), { exp: Math.floor(Date.now() / 1000) - 3600 });
    writeFileSync(join(files, 'token'), ended);
    road.close();
    road.open();
    await eventually(
      () => cluster.problems.some((problem) => problem.includes('status 401')),
      'the token is refused',
      TIMEOUT_MS,
    );
    assert.equal(hosts(), '10.0.0.2:9090');
    writeFileSync(join(files, 'token'), await token());
    await eventually(() => cluster.problems.length === 0, 'the new token is taken', TIMEOUT_MS);
  });

  it('is the same after the server was away, and has forgotten the versions that were known', async () => {
    road.close();
    await kubernetes.done('DELETE', `${PODS}/web-2`, { gracePeriodSeconds: 0 });
    await run('web-3', '10.0.0.3');
    await eventually(
      async () =>
        JSON.stringify(
          await kubernetes.done('GET', '/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices'),
        ).includes('10.0.0.3'),
      'the controller has seen it',
      TIMEOUT_MS,
    );
    await kubernetes.stopServer();
    await kubernetes.compact();
    await eventually(() => cluster.problems.length === KINDS.length, 'all four are lost', TIMEOUT_MS);
    assert.equal(hosts(), '10.0.0.2:9090', 'what was known last');
    await kubernetes.startServer();
    const lists = KINDS.map((kind) => cluster.status(kind).lists);
    road.open();
    await until('10.0.0.3:8080');
    assert.ok(cluster.status('slices').lists > lists[KINDS.indexOf('slices')], 'it was listed again');
    await eventually(() => cluster.problems.length === 0, 'nothing is wrong any more', TIMEOUT_MS);
  });
});

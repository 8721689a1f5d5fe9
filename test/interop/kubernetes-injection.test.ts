// The controller in a real Kubernetes: installed by its manifests, with the rights of its account, called by the API server.
import assert from 'node:assert/strict';
import { Agent, request } from 'node:https';
import { after, before, describe, it } from 'node:test';
import { OWNED } from '../../src/controller/issuer-material.js';
import { makeIssuer } from '../../src/controller/issuer-renewal.js';
import { accountName } from '../../src/identity/names.js';
import { Certifying } from '../support/identity-service.js';
import { CONTROLLER_USER, Installed, type Listed, type RunningController, WEBHOOK } from '../support/installed.js';
import { lackingKubectl } from '../support/kubectl.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { signingRequest } from '../support/pki.js';
import { controllerRights, uses } from '../support/role-rights.js';
import { eventually } from '../support/sluice.js';

const WAIT_MS = 60_000;
const DAY_MS = 86_400_000;
const INJECT = { 'linkerd.io/inject': 'enabled' };
const mesh = { mesh: 'sluice', trustDomain: 'cluster.local' };

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
}

interface Pod {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec: { readonly initContainers?: readonly Container[]; readonly containers: readonly Container[] };
}

interface Event {
  readonly reason: string;
  readonly message: string;
  readonly involvedObject: { readonly kind: string; readonly name: string };
}

const proxyOf = (pod: Pod): Container | undefined =>
  pod.spec.initContainers?.find(({ name }) => name === 'sluice-proxy');

describe('the controller in Kubernetes', { skip: lackingKubernetes() || lackingKubectl() }, () => {
  let kubernetes: Kubernetes;
  let installed: Installed;
  let controller: RunningController;
  let other: RunningController;

  const namespace = (name: string, annotations: object = INJECT, labels: object = {}) =>
    kubernetes.done('POST', '/api/v1/namespaces', { metadata: { name, annotations, labels } });
  /** A namespace with the account of its pods, which a controller of Kubernetes makes. */
  const settled = async (name: string, annotations: object = INJECT, labels: object = {}): Promise<void> => {
    await namespace(name, annotations, labels);
    const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
    await eventually(async () => (await kubernetes.ask('GET', path)).status === 200, 'an account', WAIT_MS);
  };
  const made = async (where: string, name: string, annotations: object = {}): Promise<Pod> => {
    const containers = [{ name: 'app', image: 'app:1' }];
    const pod = { metadata: { name, annotations }, spec: { containers } };
    return (await kubernetes.done('POST', `/api/v1/namespaces/${where}/pods`, pod)) as unknown as Pod;
  };
  const events = async (where: string): Promise<readonly Event[]> =>
    ((await kubernetes.done('GET', `/api/v1/namespaces/${where}/events`)) as unknown as Listed<Event>).items;

  before(async () => {
    kubernetes = await Kubernetes.start(undefined, true);
    await kubernetes.startControllers();
    installed = await Installed.apply(kubernetes);
    [controller, other] = await Promise.all([installed.start(), installed.start()]);
    await settled('shop', { ...INJECT, 'config.linkerd.io/opaque-ports': '4406' });
  });
  after(async () => {
    await Promise.all([controller?.stop(), other?.stop()]);
    await kubernetes?.stop();
  });

  it('is one of two that have begun together, with one issuer', async () => {
    const used = ({ log }: RunningController): unknown =>
      log.find(({ message }) => message === 'issuer in use')?.serial;
    assert.ok(used(controller) !== undefined);
    assert.equal(used(other), used(controller));
    const made = [controller, other].flatMap(({ log }) => log.filter(({ message }) => message === 'issuer made'));
    assert.equal(made.length, 1);
    assert.equal(await other.stop(), 0, other.said);
    await installed.call(controller);
  });

  it('gives the pods of a Deployment a proxy, with the image of the controller and the anchors of the mesh', async () => {
    const template = {
      metadata: { labels: { app: 'web' } },
      spec: { containers: [{ name: 'app', image: 'app:1', ports: [{ containerPort: 8080 }] }] },
    };
    const spec = { replicas: 2, selector: { matchLabels: { app: 'web' } }, template };
    await kubernetes.done('POST', '/apis/apps/v1/namespaces/shop/deployments', { metadata: { name: 'web' }, spec });
    let pods: readonly Pod[] = [];
    await eventually(
      async () => {
        const listed = await kubernetes.done('GET', '/api/v1/namespaces/shop/pods?labelSelector=app%3Dweb');
        pods = (listed as unknown as Listed<Pod>).items;
        return pods.length === 2;
      },
      'two pods',
      WAIT_MS,
    );
    const bundle = await kubernetes.done('GET', '/api/v1/namespaces/sluice/configmaps/sluice-identity-trust-roots');
    const anchors = (bundle.data as Record<string, string>)['ca-bundle.crt'];
    for (const pod of pods) {
      const proxy = proxyOf(pod);
      assert.equal(proxy?.image, 'sluice:0.1.0');
      assert.equal(proxy?.env?.find(({ value }) => value === anchors)?.name, 'SLUICE_IDENTITY_LINKERD_ANCHORS');
      assert.equal(pod.metadata.annotations?.['config.linkerd.io/opaque-ports'], '4406', 'of its namespace');
    }
    await eventually(
      async () =>
        (await events('shop')).some(
          ({ reason, involvedObject: { kind, name } }) =>
            reason === 'SluiceInjected' && kind === 'ReplicaSet' && name.startsWith('web-'),
        ),
      'an event on the ReplicaSet',
      WAIT_MS,
    );
  });

  it('gives a Service the opaque ports of its namespace', async () => {
    const service = { metadata: { name: 'db' }, spec: { selector: { app: 'db' }, ports: [{ port: 4406 }] } };
    const { metadata } = await kubernetes.done('POST', '/api/v1/namespaces/shop/services', service);
    const { annotations } = metadata as { annotations: object };
    assert.deepEqual(annotations, { 'config.linkerd.io/opaque-ports': '4406' });
  });

  it('tells whoever applies a pod what is wrong with its annotations, and has it on the object', async () => {
    const manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'wrong', namespace: 'shop', annotations: { 'config.linkerd.io/opaque-ports': '3306,4O06' } },
      spec: { containers: [{ name: 'app', image: 'app:1' }] },
    };
    const { stdout, stderr } = await installed.kubectl.run(['apply', '-f', '-'], JSON.stringify(manifest));
    assert.match(stdout, /^pod\/wrong created/);
    assert.match(stderr, /^Warning: sluice: config\.linkerd\.io\/opaque-ports of the pod: "4O06"/m);
    await eventually(
      async () =>
        (await events('shop')).some(
          ({ reason, message, involvedObject: { name } }) =>
            reason === 'SluiceAnnotationIgnored' && name === 'wrong' && /4O06/.test(message),
        ),
      'an event on the pod',
      WAIT_MS,
    );
  });

  it('has what a Service and a namespace say wrongly as events on them', async () => {
    const wrong = { 'config.linkerd.io/opaque-ports': '70000' };
    await namespace('odd', wrong);
    const ports = [{ port: 80, appProtocol: 'example.com/odd' }];
    await kubernetes.done('POST', '/api/v1/namespaces/odd/services', { metadata: { name: 'odd' }, spec: { ports } });
    const told = async (where: string, kind: string): Promise<boolean> =>
      (await events(where)).some(
        ({ reason, involvedObject: { kind: of, name } }) => reason === 'SluiceIgnored' && of === kind && name === 'odd',
      );
    await eventually(() => told('odd', 'Service'), 'an event on the Service', WAIT_MS);
    await eventually(() => told('default', 'Namespace'), 'an event on the namespace', WAIT_MS);
  });

  it('leaves alone what nobody has asked for, and what is kept from it', async () => {
    await settled('plain', {});
    assert.equal(proxyOf(await made('plain', 'a')), undefined);
    assert.ok(proxyOf(await made('plain', 'b', INJECT)) !== undefined);
    assert.equal(proxyOf(await made('shop', 'c', { 'linkerd.io/inject': 'disabled' })), undefined);
    await settled('kept', INJECT, { 'config.linkerd.io/admission-webhooks': 'disabled' });
    assert.equal(proxyOf(await made('kept', 'd')), undefined);
    assert.equal(proxyOf(await made('kube-system', 'e', INJECT)), undefined);
  });

  it('is refused by namespaces that take no pods whose rules are laid by root, as the documentation says', async () => {
    for (const level of ['restricted', 'baseline', 'privileged']) {
      await settled(level, INJECT, { 'pod-security.kubernetes.io/enforce': level });
      const pod = { metadata: { name: 'a' }, spec: { containers: [{ name: 'app', image: 'app:1' }] } };
      const { status, body } = await kubernetes.ask('POST', `/api/v1/namespaces/${level}/pods`, pod);
      assert.equal(status, level === 'privileged' ? 201 : 403);
      if (status === 403)
        assert.match(String(body.message), new RegExp(`violates PodSecurity "${level}.*NET_ADMIN`, 's'));
    }
  });

  it('issues a certificate for the token of an injected pod', async () => {
    const pod = await made('shop', 'certified');
    assert.ok(proxyOf(pod) !== undefined);
    const path = '/api/v1/namespaces/shop/serviceaccounts/default/token';
    const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name: 'certified' };
    const spec = { audiences: ['identity.l5d.io'], expirationSeconds: 86_400, boundObjectRef };
    const { status } = await kubernetes.done('POST', path, { spec });
    const { token } = status as { token: string };
    const identity = accountName({ account: 'default', namespace: 'shop', ...mesh });
    const environment = Object.fromEntries((proxyOf(pod)?.env ?? []).map(({ name, value }) => [name, value ?? '']));
    const anchors = environment.SLUICE_IDENTITY_LINKERD_ANCHORS;
    const name = environment.SLUICE_IDENTITY_LINKERD_SERVER_NAME;
    const calls = new Certifying(controller.identity, { anchors, name });
    try {
      const { der } = await signingRequest([identity]);
      const { leaf } = await calls.certify({ identity, token, request: der });
      assert.ok(leaf.length > 0);
      const other = accountName({ account: 'default', namespace: 'plain', ...mesh });
      await assert.rejects(calls.certify({ identity: other, token, request: (await signingRequest([other])).der }));
    } finally {
      calls.close();
    }
  });

  it('writes the caBundle again when somebody has overwritten it', async () => {
    const before = await installed.caBundle();
    const change = [{ op: 'replace', path: '/webhooks/0/clientConfig/caBundle', value: '' }];
    const patch = ['patch', 'mutatingwebhookconfiguration', 'sluice-injector', '--type=json'];
    await installed.kubectl.done([...patch, `--patch=${JSON.stringify(change)}`]);
    await eventually(async () => (await installed.caBundle()) === before, 'the caBundle', WAIT_MS);
    await eventually(async () => proxyOf(await made('shop', `again-${Date.now()}`)) !== undefined, 'a proxy', WAIT_MS);
  });

  it('takes another issuer, renews that in time, and API servers trust it', async () => {
    const path = '/api/v1/namespaces/sluice/secrets/sluice-identity-issuer';
    const { metadata } = await kubernetes.done('GET', path);
    const { resourceVersion } = metadata as { resourceVersion: string };
    // Its root has seen more than half of its days, so that the next one is due.
    const data = await makeIssuer({ rootMs: 100 * DAY_MS, issuerMs: 80 * DAY_MS }, Date.now() - 60 * DAY_MS);
    await kubernetes.done('PUT', path, {
      metadata: { name: 'sluice-identity-issuer', namespace: 'sluice', resourceVersion, labels: OWNED },
      type: 'kubernetes.io/tls',
      data,
    });
    const anchors = async (): Promise<number> => {
      const bundle = await kubernetes.done('GET', '/api/v1/namespaces/sluice/configmaps/sluice-identity-trust-roots');
      return (bundle.data as Record<string, string>)['ca-bundle.crt'].split('BEGIN CERTIFICATE').length - 1;
    };
    await eventually(async () => (await anchors()) === 3, 'the anchors of before, of now, and of later', WAIT_MS);
    await eventually(
      async () =>
        Buffer.from((await installed.caBundle()) ?? '', 'base64')
          .toString()
          .split('BEGIN').length === 4,
      'all of them in the caBundle',
      WAIT_MS,
    );
    assert.ok(proxyOf(await made('shop', 'renewed')) !== undefined);
    assert.equal((await controller.page('/ready')).status, 200);
  });

  it('has the rights that it needs, and none besides', async () => {
    // A pod in a namespace that nobody has seen: the API server would have to be quicker than the watch.
    const bundle = Buffer.from((await installed.caBundle()) ?? '', 'base64').toString();
    assert.equal(await asked(controller.injector, bundle, 'never-seen'), 200);
    const records = kubernetes.audited(CONTROLLER_USER);
    const refused = records.filter(({ responseStatus }) => responseStatus?.code === 403);
    assert.deepEqual(refused, []);
    const unused = controllerRights().filter((right) => !records.some((record) => uses(record, right)));
    assert.deepEqual(unused, []);
  });

  it('while it is away pods start without a proxy, or wait, as the manifests say', async () => {
    assert.equal(await controller.stop(), 0, controller.said);
    assert.equal(proxyOf(await made('shop', 'alone')), undefined);
    const change = { webhooks: [{ name: 'inject.sluice.io', failurePolicy: 'Fail' }] };
    await installed.kubectl.done([
      'patch',
      'mutatingwebhookconfiguration',
      'sluice-injector',
      `--patch=${JSON.stringify(change)}`,
    ]);
    const pod = { metadata: { generateName: 'waits-' }, spec: { containers: [{ name: 'app', image: 'app:1' }] } };
    const path = '/api/v1/namespaces/shop/pods';
    await eventually(
      async () => {
        const { status, body } = await kubernetes.ask('POST', path, pod);
        return status === 500 && /failed calling webhook "inject\.sluice\.io"/.test(String(body.message));
      },
      'pods are refused',
      WAIT_MS,
    );
    controller = await installed.start();
    await eventually(async () => (await kubernetes.ask('POST', path, pod)).status === 201, 'pods again', WAIT_MS);
    assert.equal((await kubernetes.ask('GET', WEBHOOK)).status, 200);
  });
});

/** The status that a review of a pod in this namespace gets. */
function asked(port: number, ca: string, namespace: string): Promise<number> {
  const object = { metadata: { name: 'a' }, spec: { containers: [] } };
  const kind = { group: '', version: 'v1', kind: 'Pod' };
  const review = {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid: '1', kind, operation: 'CREATE', namespace, object },
  };
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const agent = new Agent({ ca, keepAlive: false });
    request({ host: 'localhost', port, path: '/inject', method: 'POST', headers, agent }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode ?? 0));
    })
      .on('error', reject)
      .end(JSON.stringify(review));
  });
}

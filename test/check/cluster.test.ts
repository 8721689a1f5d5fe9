// `sluice check` against a real API server, before the installation, after it, and with one thing wrong at a time.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkCluster } from '../../src/check/cluster/check.js';
import type { Report, Section } from '../../src/check/cluster/report.js';
import { ISSUER_LIFETIMES, makeIssuer } from '../../src/controller/issuer-renewal.js';
import { Kubernetes, kubeconfigOf, lackingKubernetes } from '../support/kubernetes.js';
import { temporary } from '../support/servers.js';
import { inherited } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const VERSION = '1.2.3';
const DAY_MS = 86_400_000;
const DEPLOYMENTS = '/apis/apps/v1/namespaces/sluice/deployments';
const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const CORE = '/api/v1/namespaces/sluice';

let kubernetes: Kubernetes;

interface Asking {
  readonly pre?: boolean;
  readonly kubeconfig?: string;
  readonly now?: () => number;
  readonly version?: string;
}

const check = ({ pre = false, kubeconfig = kubernetes.kubeconfig, now = Date.now, version = VERSION }: Asking = {}) =>
  checkCluster({ pre, kubeconfig, context: null, namespace: 'sluice', version, env: {}, now });

/** What is not right: `section: mark description: error`. */
const flaws = ({ sections }: { sections: readonly Section[] }): string[] =>
  sections.flatMap(({ name, checks }) =>
    checks
      .filter(({ result }) => result !== 'success')
      .map(({ description, result, error }) => `${name}: ${result}: ${description}: ${error}`),
  );

const put = (path: string, object: object) => kubernetes.done('PUT', path, object);
const post = (path: string, object: object) => kubernetes.done('POST', path, object);

/** Changes one object for as long as `look` takes. */
async function changed(
  path: string,
  change: (object: Record<string, never>) => object,
  look: () => Promise<void>,
): Promise<void> {
  const bare = path.replace(/\/status$/, '');
  const asWas = structuredClone(await kubernetes.done('GET', bare)) as Record<string, never>;
  await put(path, change(structuredClone(asWas)));
  try {
    await look();
  } finally {
    const { metadata } = (await kubernetes.done('GET', bare)) as { metadata: { resourceVersion: string } };
    const back = { ...asWas, metadata: { ...(asWas.metadata as object), resourceVersion: metadata.resourceVersion } };
    await put(path, back);
  }
}

const template = (labels: object, containers: object[]) => ({ metadata: { labels }, spec: { containers } });

/** `kubectl apply -k`, and what controllers and a kubelet would say of it. */
async function install(): Promise<void> {
  await kubernetes.namespace('sluice');
  const labels = { app: 'sluice-controller' };
  const spec = {
    replicas: 2,
    selector: { matchLabels: labels },
    template: template(labels, [{ name: 'controller', image: 'it' }]),
  };
  await post(DEPLOYMENTS, { metadata: { name: 'sluice-controller' }, spec });
  const deployment = (await kubernetes.done('GET', `${DEPLOYMENTS}/sluice-controller`)) as object;
  await put(`${DEPLOYMENTS}/sluice-controller/status`, {
    ...deployment,
    status: { replicas: 2, readyReplicas: 2, observedGeneration: 1 },
  });
  for (const name of ['sluice-identity', 'sluice-destination', 'sluice-injector'])
    await post(`${CORE}/services`, { metadata: { name }, spec: { ports: [{ port: 443 }] } });
  const secret = (await makeIssuer(ISSUER_LIFETIMES, Date.now())) as Readonly<Record<string, string>>;
  await post(`${CORE}/secrets`, { metadata: { name: 'sluice-identity-issuer' }, data: secret });
  const anchors = Buffer.from(secret['ca.crt'], 'base64').toString();
  await post(`${CORE}/configmaps`, {
    metadata: { name: 'sluice-identity-trust-roots' },
    data: { 'ca-bundle.crt': anchors },
  });
  await kubernetes.namespace('shop');
  await kubernetes.account('shop', 'default');
  await pod('meshed', { name: 'sluice-proxy', image: 'it' });
  const webhook = {
    name: 'inject.sluice.io',
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Ignore',
    clientConfig: { service: { namespace: 'sluice', name: 'sluice-injector' }, caBundle: secret['ca.crt'] },
  };
  await post(WEBHOOKS, { metadata: { name: 'sluice-injector' }, webhooks: [webhook] });
}

async function pod(name: string, ...more: object[]): Promise<void> {
  const annotations = more.length === 0 ? {} : { 'sluice.io/proxy-version': VERSION };
  const containers = [{ name: 'it', image: 'it' }, ...more] as readonly { readonly name: string }[];
  const made = await post('/api/v1/namespaces/shop/pods', { metadata: { name, annotations }, spec: { containers } });
  const containerStatuses = containers.map((container) => ({
    name: container.name,
    ready: true,
    restartCount: 0,
    image: 'it',
    imageID: '',
    state: { running: {} },
  }));
  await put(`/api/v1/namespaces/shop/pods/${name}/status`, {
    ...made,
    status: { phase: 'Running', containerStatuses },
  });
}

describe('sluice check of a cluster', { skip: lackingKubernetes() }, () => {
  before(async () => {
    kubernetes = await Kubernetes.start();
  });

  after(() => kubernetes.stop());

  it('--pre: an administrator can install', async () => {
    const report = await check({ pre: true });
    assert.deepEqual(flaws(report), []);
    assert.deepEqual(
      report.sections.map(({ name }) => name),
      [
        'kubernetes-config',
        'kubernetes-api',
        'kubernetes-version',
        'pre-kubernetes-setup',
        'pre-kubernetes-capability',
      ],
    );
  });

  it('--pre: somebody else can not, and is told what', async () => {
    await kubernetes.account('default', 'nobody');
    const token = await kubernetes.token('default', 'nobody', kubernetes.audience);
    const kubeconfig = join(kubernetes.directory, 'nobody');
    writeFileSync(kubeconfig, kubeconfigOf(kubernetes.url, kubernetes.authority, token));
    const report = await check({ pre: true, kubeconfig });
    const said = flaws(report);
    assert.equal(report.success, false);
    assert.ok(
      said.includes('pre-kubernetes-setup: error: can create clusterroles: the caller may not'),
      said.join('\n'),
    );
    // That it may not look says nothing of what is there.
    assert.ok(
      said.some((line) =>
        line.startsWith("pre-kubernetes-setup: warning: namespace sluice is not there yet: it can't be looked at: "),
      ),
    );
  });

  it('--pre: namespaces that ask for proxies and refuse NET_ADMIN are named', async () => {
    await kubernetes.namespace('closed');
    await changed(
      '/api/v1/namespaces/closed',
      (object) => {
        const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
        const annotations = { 'linkerd.io/inject': 'enabled' };
        return { ...object, metadata: { ...(object.metadata as object), labels, annotations } };
      },
      async () => {
        assert.match(
          flaws(await check({ pre: true }))[0],
          /^pre-kubernetes-capability: warning: .*: closed: pod-security/,
        );
      },
    );
  });

  it('says that nothing is installed', async () => {
    assert.deepEqual(flaws(await check()), [
      'sluice-existence: error: namespace sluice is there: there is no such namespace',
    ]);
  });

  describe('once it is installed', () => {
    before(install);

    it('finds nothing wrong', async () => {
      const report = await check();
      assert.deepEqual(flaws(report), []);
      assert.match(String(report), /√ the controller is ready \(2 of 2\)\n[\s\S]*\nStatus check results are √$/);
    });

    it('--pre says that it is installed', async () => {
      assert.deepEqual(flaws(await check({ pre: true })), [
        'pre-kubernetes-setup: warning: namespace sluice is not there yet: Sluice is installed there',
      ]);
    });

    it('the command says the same, as text and JSON', () => {
      const run = (...args: string[]) =>
        spawnSync(process.execPath, [MAIN, 'check', '--kubeconfig', kubernetes.kubeconfig, ...args], {
          encoding: 'utf8',
          env: inherited(),
        });
      const text = run();
      // The proxy is of another version than this Sluice: a warning.
      assert.match(
        text.stdout,
        /\n‼ proxies are of this version\n {4}this is .*, and they are 1\.2\.3: shop\/meshed\n {4}hint: /,
      );
      assert.equal(text.status, 0);
      const json = run('--pre', '-o', 'json');
      assert.equal(json.status, 0);
      const { success, categories } = JSON.parse(json.stdout) as { success: boolean; categories: Report['sections'] };
      assert.deepEqual([success, categories[0].checks[0].result], [true, 'success']);
      assert.equal(run('--context', 'other').status, 1);
    });

    it('--network-policies reads the cluster where no manifests are named', async () => {
      const policies = '/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies';
      await post(policies, {
        metadata: { name: 'web' },
        spec: { podSelector: {}, ingress: [{ ports: [{ port: 8080 }] }] },
      });
      const args = [MAIN, 'check', '--network-policies', '--kubeconfig', kubernetes.kubeconfig];
      const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env: inherited() });
      assert.match(
        stdout,
        /^the cluster: NetworkPolicy shop\/web: spec\.ingress\[0\]\.ports: admits 8080 of Pod shop\/meshed, and not 4143/,
      );
      assert.equal(status, 1);
      await kubernetes.done('DELETE', `${policies}/web`);
    });

    it('tells of a controller that is not ready', async () => {
      const path = `${DEPLOYMENTS}/sluice-controller/status`;
      const status = (readyReplicas: number) => (object: object) => ({
        ...object,
        status: { replicas: 2, readyReplicas, observedGeneration: 1 },
      });
      await changed(path, status(0), async () => {
        assert.deepEqual(flaws(await check()), ['sluice-existence: error: the controller is ready: none of 2 is']);
      });
      await changed(path, status(1), async () => {
        assert.deepEqual(flaws(await check()), ['sluice-existence: warning: the controller is ready: 1 of 2 are']);
      });
    });

    it('tells of a caBundle that is empty, or fits no anchor', async () => {
      const bundle = (caBundle: string) => (object: Record<string, never>) => {
        const [webhook] = object.webhooks as [{ clientConfig: object }];
        return { ...object, webhooks: [{ ...webhook, clientConfig: { ...webhook.clientConfig, caBundle } }] };
      };
      const path = `${WEBHOOKS}/sluice-injector`;
      await changed(path, bundle(''), async () => {
        assert.match(
          flaws(await check())[0],
          /^sluice-webhook: error: .*: it is empty, so that API servers do not trust/,
        );
      });
      const other = (await makeIssuer(ISSUER_LIFETIMES, Date.now())) as Readonly<Record<string, string>>;
      await changed(path, bundle(other['ca.crt']), async () => {
        assert.match(flaws(await check())[0], /^sluice-webhook: error: .*: none of its certificates is a trust anchor/);
      });
    });

    it('tells of an issuer that nobody trusts, and of what ends', async () => {
      const other = await makeIssuer(ISSUER_LIFETIMES, Date.now());
      const path = `${CORE}/secrets/sluice-identity-issuer`;
      await changed(
        path,
        (object) => ({ ...object, data: other }),
        async () => {
          assert.match(
            flaws(await check()).join('\n'),
            /^sluice-identity: error: the issuer is valid, and signed by a trust anchor: /,
          );
        },
      );
      const issuerLate = flaws(await check({ now: () => Date.now() + 350 * DAY_MS }));
      assert.match(issuerLate.join('\n'), /sluice-identity: warning: the issuer is valid.*: it ends on /);
      const ended = flaws(await check({ now: () => Date.now() + 4000 * DAY_MS }));
      assert.match(ended.join('\n'), /sluice-identity: error: trust anchors are valid: /);
      assert.match(ended.join('\n'), /kubernetes-api: warning: .*: they differ by \d+ s/);
    });

    it('tells of proxies that are not ready, of another version, or missing', async () => {
      const path = '/api/v1/namespaces/shop/pods/meshed/status';
      await changed(
        path,
        (object) => {
          const status = object.status as { containerStatuses: { name: string }[] };
          const containerStatuses = status.containerStatuses.map((each) => ({
            ...each,
            ready: each.name !== 'sluice-proxy',
          }));
          return { ...object, status: { ...status, containerStatuses } };
        },
        async () => {
          assert.deepEqual(flaws(await check()), [
            'sluice-data-plane: error: their proxies are ready: not ready: shop/meshed',
          ]);
        },
      );
      assert.deepEqual(flaws(await check({ version: '9' })), [
        'sluice-data-plane: warning: proxies are of this version: this is 9, and they are 1.2.3: shop/meshed',
      ]);
      await pod('bare');
      await changed(
        '/api/v1/namespaces/shop',
        (object) => ({
          ...object,
          metadata: { ...(object.metadata as object), annotations: { 'linkerd.io/inject': 'enabled' } },
        }),
        async () => {
          assert.deepEqual(flaws(await check()), [
            'sluice-data-plane: warning: pods that ask for a proxy have one: shop/bare: asked for, and not there',
          ]);
        },
      );
    });

    it('has nothing to say of proxies where there are none', async () => {
      await kubernetes.done('DELETE', '/api/v1/namespaces/shop/pods/meshed');
      assert.deepEqual(flaws(await check({ version: '9' })), []);
    });
  });
});

describe('sluice check without a cluster', () => {
  const directory = temporary('check', null);
  after(() => rmSync(directory, { recursive: true }));
  const run = (kubeconfig: string) =>
    checkCluster({
      pre: false,
      kubeconfig,
      context: null,
      namespace: 'sluice',
      version: VERSION,
      env: {},
      now: Date.now,
    });

  it('says which file is missing', async () => {
    const [flaw, ...more] = flaws(await run(join(directory, 'nowhere')));
    assert.match(flaw, /^kubernetes-config: error: an API server is named: .*nowhere does not exist/);
    assert.deepEqual(more, []);
  });

  it('says that nobody answers, and asks no more', async () => {
    const kubeconfig = join(directory, 'kubeconfig');
    const user = { server: 'http://127.0.0.1:1' };
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        clusters: [{ name: 'it', cluster: user }],
        contexts: [{ name: 'it', context: { cluster: 'it' } }],
        'current-context': 'it',
      }),
    );
    const [flaw, ...more] = flaws(await run(kubeconfig));
    assert.match(flaw, /^kubernetes-api: error: the API server answers: GET \/version: .*ECONNREFUSED/);
    assert.deepEqual(more, []);
  });
});

// Pods of a real API server, run as network namespaces: from a Deployment to a connection, and back to nothing.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';
import { PORT } from '../e2e/pods-application.js';
import { ask } from '../e2e/pods-support.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { ADVERTISED, LabNode } from '../support/lab-node.js';
import { application, plainPod } from '../support/meshed-pods.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import type { Pod } from '../support/pod-objects.js';
import { run } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const lacking = lackingKubernetes();
const why = lacking === false ? enterLab(import.meta.url) : lacking;
const NAMESPACE = 'shop';

describe('pods of Kubernetes', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubernetes: Kubernetes;
  let node: LabNode;

  /** What `sluice inject --manual` makes of an object. */
  const injected = async (object: object): Promise<object> => {
    const flags = ['--skip-inbound-ports', `${PORT.CONTROL}`, '--access-log', 'json'];
    const args = [MAIN, 'inject', '--manual', '--output', 'json', ...flags, '-'];
    const { code, stdout, stderr } = await run(process.execPath, args, JSON.stringify(object));
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as object;
  };
  const deploy = async (
    name: string,
    { metadata, spec }: Pod,
    replicas: number,
    meshed = false,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const object = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name },
      spec: {
        replicas,
        selector: { matchLabels: metadata.labels },
        template: { metadata: { labels: metadata.labels, annotations }, spec },
      },
    };
    const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments`;
    await kubernetes.done('POST', path, meshed ? await injected(object) : object);
  };

  before(async () => {
    lab = await PodLab.start();
    kubernetes = await Kubernetes.start(ADVERTISED);
    await kubernetes.startControllers();
    node = await LabNode.start(kubernetes, lab);
    await kubernetes.namespace(NAMESPACE);
    await eventually(
      async () =>
        (await kubernetes.ask('GET', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/default`)).status === 200,
      'an account',
    );
  });
  after(async () => {
    await node?.stop();
    await kubernetes?.stop();
    lab?.stop();
  });

  it('run, are found by their Service, and go', async () => {
    await deploy('web', plainPod('web'), 2, true);
    await deploy('client', plainPod('client'), 1);
    await kubernetes.done('POST', `/api/v1/namespaces/${NAMESPACE}/services`, {
      metadata: { name: 'web' },
      spec: {
        selector: { app: 'web' },
        ipFamilyPolicy: 'PreferDualStack',
        ports: [{ name: 'http', port: 80, targetPort: 'http' }],
      },
    });
    const [client] = await node.ready(NAMESPACE, 'client');
    const webs = await node.ready(NAMESPACE, 'web', 2);
    const seen = new Set<unknown>();
    const answers = async (): Promise<boolean> => {
      const { headers } = await ask(client, { call: 'http', host: 'web', port: 80, agent: false });
      seen.add(headers?.['x-served-by']);
      return webs.every(({ name }) => seen.has(name));
    };
    await eventually(answers, 'both answer');
    // By their proxies.
    for (const web of webs) await web.container('sluice-proxy').said(/"listener":"inbound".*"path":"\/"/);
    const path = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/web`;
    const available = async (): Promise<unknown> =>
      ((await kubernetes.done('GET', path)).status as { availableReplicas?: number }).availableReplicas;
    await eventually(async () => (await available()) === 2, 'the Deployment has heard of it');
    await kubernetes.done('PATCH', path, { spec: { replicas: 0 } });
    await eventually(() => node.pods(NAMESPACE, 'web').length === 0, 'no pods');
    const { items } = await kubernetes.done('GET', `/api/v1/namespaces/${NAMESPACE}/pods?labelSelector=app=web`);
    assert.deepEqual(items, []);
  });

  it('have a token of their account, for the audience of the volume, bound to the pod', async () => {
    const token = { serviceAccountToken: { audience: 'identity.l5d.io', path: 'token', expirationSeconds: 3600 } };
    const volumes = [{ name: 'token', projected: { sources: [token] } }];
    const mounted = { ...application(), volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/tokens' }] };
    await deploy('teller', plainPod('teller', { volumes, containers: [mounted] }), 1);
    const [teller] = await node.ready(NAMESPACE, 'teller');
    const { stdout } = await teller.container('application').exec(['cat', '/var/run/secrets/tokens/token']);
    const spec = { token: stdout, audiences: ['identity.l5d.io'] };
    const { status } = await kubernetes.done('POST', '/apis/authentication.k8s.io/v1/tokenreviews', { spec });
    const { authenticated, user } = status as { authenticated: boolean; user: { username: string; extra: object } };
    assert.deepEqual([authenticated, user.username], [true, `system:serviceaccount:${NAMESPACE}:default`]);
    assert.deepEqual((user.extra as Record<string, unknown>)['authentication.kubernetes.io/pod-name'], [teller.name]);
  });

  it('reach the API server by its Service, with what every pod has', async () => {
    const [teller] = await node.ready(NAMESPACE, 'teller');
    const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
    const script = `curl -sS --cacert ${folder}/ca.crt -H "Authorization: Bearer $(cat ${folder}/token)" https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/version`;
    const { stdout, stderr } = await teller.container('application').exec(['sh', '-c', script]);
    assert.match(stdout, /"major": "1"/, stderr);
  });

  it('are known to a proxy that watches the API server itself, as are the rules of the mesh', async () => {
    // What the documentation says that such a proxy needs.
    const manual = readFileSync(new URL('../../../docs/sidecar.md', import.meta.url), 'utf8');
    const [, block] = /```yaml\n([\s\S]*?)```/.exec(manual) ?? assert.fail('the documentation has no roles');
    const roles = parseAllDocuments(block).map((document) => document.toJS() as { kind: string });
    await kubernetes.namespace('sluice');
    const group = '/apis/rbac.authorization.k8s.io/v1';
    const subjects = [{ kind: 'ServiceAccount', name: 'alone', namespace: NAMESPACE }];
    for (const role of roles) {
      const whole = role.kind === 'ClusterRole';
      const of = whole ? group : `${group}/namespaces/sluice`;
      const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: 'sluice-alone' };
      await kubernetes.done('POST', `${of}/${whole ? 'clusterroles' : 'roles'}`, role);
      const binding = { metadata: { name: 'sluice-alone' }, subjects, roleRef };
      await kubernetes.done('POST', `${of}/${whole ? 'clusterrolebindings' : 'rolebindings'}`, binding);
    }
    await kubernetes.account(NAMESPACE, 'alone');
    await kubernetes.done('POST', '/api/v1/namespaces/sluice/configmaps', {
      metadata: { name: 'sluice-authorization' },
      data: { [`${NAMESPACE}.alone`]: 'default: deny' },
    });
    const variables = {
      SLUICE_DESTINATION_ADDRESS: '',
      SLUICE_DESTINATION_SERVER_NAME: '',
      SLUICE_DESTINATION_KUBERNETES_ENABLED: 'true',
    };
    const additional = Object.entries(variables).map(([name, value]) => ({ name, value }));
    await deploy('site', plainPod('site'), 2);
    await deploy('alone', plainPod('alone', { account: 'alone' }), 1, true, {
      'config.linkerd.io/proxy-additional-env': JSON.stringify(additional),
    });
    await kubernetes.done('POST', `/api/v1/namespaces/${NAMESPACE}/services`, {
      metadata: { name: 'site' },
      spec: { selector: { app: 'site' }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    });
    const sites = await node.ready(NAMESPACE, 'site', 2);
    const [alone] = await node.ready(NAMESPACE, 'alone');
    const labels = { endpoint_state: 'ready', service: `site.${NAMESPACE}.svc.cluster.local:80` };
    const seen = new Set<unknown>();
    await eventually(async () => {
      const { headers } = await ask(alone, { call: 'http', host: 'site', port: 80 });
      seen.add(headers?.['x-served-by']);
      return (await alone.metric('outbound_http_balancer_endpoints', labels)) === 2 && seen.size === 2;
    }, 'both endpoints');
    assert.ok(sites.every(({ name }) => seen.has(name)));
    assert.equal(await alone.metric('sluice_destination_service_connected'), 1);
    const [client] = await node.ready(NAMESPACE, 'client');
    await eventually(async () => {
      const answer = await ask(client, { call: 'http', host: alone.ip, port: PORT.HTTP }).catch(String);
      return typeof answer === 'string' || answer.status !== 200;
    }, 'that nobody is let in');
    await alone.container('sluice-proxy').said(/rules of the mesh/);
  });
});

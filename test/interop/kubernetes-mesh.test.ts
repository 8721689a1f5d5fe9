// The whole of it: `kubectl apply -k k8s/` on a real API server, whose pods run as network namespaces; the controller writes proxies into
// pods, certifies them and tells them where to go.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { PORT } from '../e2e/pods-application.js';
import { type AccessLine, accessLines, ask } from '../e2e/pods-support.js';
import { dashboardExpressions, seriesIn } from '../support/dashboard.js';
import { Kubectl, kustomize, lackingKubectl } from '../support/kubectl.js';
import type { RunningPod } from '../support/kubelet.js';
import { Kubernetes, lackingKubernetes } from '../support/kubernetes.js';
import { ADVERTISED, LabNode } from '../support/lab-node.js';
import { application, plainPod } from '../support/meshed-pods.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import { which } from '../support/servers.js';
import { eventually } from '../support/sluice.js';

const lacking = lackingKubernetes() || lackingKubectl();
const why = lacking === false ? enterLab(import.meta.url) : lacking;
const NAMESPACE = 'shop';
const FOLDER = fileURLToPath(new URL('../../../k8s', import.meta.url));
/** Pods start and end meanwhile, on a machine that may be busy. */
const TIMEOUT_MS = 120_000;
const nameOf = (account: string): string => `${account}.${NAMESPACE}.serviceaccount.identity.sluice.cluster.local`;

describe('an installation', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubernetes: Kubernetes;
  let node: LabNode;

  let webs: RunningPod[];
  let client: RunningPod;

  const labels = { endpoint_state: 'ready', service: `web.${NAMESPACE}.svc.cluster.local:${PORT.HTTP}` };
  /** Waits until the client's proxy knows so many pods of the Service. */
  const known = (count: number): Promise<void> =>
    eventually(async () => {
      // It asks about what somebody goes to.
      await ask(client, { call: 'http', host: 'web', port: PORT.HTTP });
      return (await client.metric('outbound_http_balancer_endpoints', labels)) === count;
    }, `${count} endpoints`);

  const post = (path: string, object: object): Promise<unknown> => kubernetes.done('POST', path, object);
  async function deploy(name: string, replicas: number, annotations: Record<string, string> = {}): Promise<void> {
    await kubernetes.account(NAMESPACE, name);
    const options = { account: name, containers: [application('--hold', '600000')], graceSeconds: 600 };
    const { metadata, spec } = plainPod(name, options);
    const skipped = {
      'config.linkerd.io/skip-inbound-ports': `${PORT.CONTROL}`,
      'config.linkerd.io/access-log': 'true',
    };
    await post(`/apis/apps/v1/namespaces/${NAMESPACE}/deployments`, {
      metadata: { name },
      spec: {
        replicas,
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        selector: { matchLabels: metadata.labels },
        template: { metadata: { labels: metadata.labels, annotations: { ...skipped, ...annotations } }, spec },
      },
    });
  }

  /** Whether a pod that is made now gets a proxy. */
  async function injects(): Promise<boolean> {
    const { metadata, spec } = plainPod('trial', { namespace: NAMESPACE });
    const path = `/api/v1/namespaces/${NAMESPACE}/pods?dryRun=All`;
    const { status, body } = await kubernetes.ask('POST', path, { metadata, spec });
    if (status !== 201) console.log(JSON.stringify(body).slice(0, 400));
    return status === 201 && JSON.stringify(body).includes('sluice-proxy');
  }

  before(async () => {
    lab = await PodLab.start();
    kubernetes = await Kubernetes.start(ADVERTISED);
    await kubernetes.startControllers();
    node = await LabNode.start(kubernetes, lab);
  });
  after(async () => {
    await node?.stop();
    await kubernetes?.stop();
    lab?.stop();
  });

  it('has injected pods ready, and says how long that took', async (t) => {
    const began = performance.now();
    await new Kubectl(kubernetes).apply(FOLDER);
    await post('/api/v1/namespaces', {
      metadata: { name: NAMESPACE, annotations: { 'linkerd.io/inject': 'enabled' } },
    });
    await node.ready('sluice', 'sluice-controller', 2);
    await eventually(injects, 'the API server asks the injector', TIMEOUT_MS);
    await deploy('web', 2, { 'config.linkerd.io/opaque-ports': `${PORT.ECHO}` });
    webs = await node.ready(NAMESPACE, 'web', 2);
    const tookMs = performance.now() - began;
    t.diagnostic(`from kubectl apply to the first pods that are ready: ${(tookMs / 1000).toFixed(1)} s`);
    for (const { containers } of webs)
      assert.deepEqual(
        containers.map(({ spec }) => spec.name),
        ['sluice-init', 'sluice-proxy', 'application'],
      );
  });

  it('encrypts what its pods say to each other, by Service and by pod', async () => {
    await deploy('client', 1);
    await deploy('plain', 1, { 'linkerd.io/inject': 'disabled' });
    const ports = Object.entries({ http: PORT.HTTP, grpc: PORT.H2C, mail: PORT.GREETS, echo: PORT.ECHO });
    await post(`/api/v1/namespaces/${NAMESPACE}/services`, {
      metadata: { name: 'web', annotations: { 'config.linkerd.io/opaque-ports': `${PORT.ECHO}` } },
      spec: {
        selector: { app: 'web' },
        ipFamilyPolicy: 'RequireDualStack',
        ports: ports.map(([name, port]) => ({ name, port, targetPort: port })),
      },
    });
    [client] = await node.ready(NAMESPACE, 'client');
    const [plain] = await node.ready(NAMESPACE, 'plain');
    assert.equal(plain.containers.length, 1);
    await known(2);
    const { spec } = await kubernetes.done('GET', `/api/v1/namespaces/${NAMESPACE}/services/web`);
    const { clusterIPs } = spec as { clusterIPs: string[] };
    const hosts = ['web', ...clusterIPs, webs[0].ip, webs[0].ipv6];
    for (const host of hosts) {
      const { status } = await ask(client, { call: 'http', host, port: PORT.HTTP, path: '/mesh', agent: false });
      assert.equal(status, 200);
      const grpc = await ask(client, { call: 'h2c', host, port: PORT.H2C, path: '/mesh' });
      assert.equal(grpc.headers?.['grpc-status'], '0');
      assert.match((await ask(client, { call: 'tcp', host, port: PORT.GREETS, text: 'x' })).text, /you said x$/);
      assert.equal((await ask(client, { call: 'tcp', host, port: PORT.ECHO, first: 'x' })).text, 'x');
    }
    const lines = (): AccessLine[] =>
      webs
        .flatMap(accessLines)
        .filter(({ client: from }) => [`${client.ip}:`, `[${client.ipv6}]:`].some((ip) => from.startsWith(ip)));
    await eventually(() => lines().length >= 4 * hosts.length, 'the records of all of them');
    for (const line of lines()) assert.equal(line.identity, nameOf('client'), JSON.stringify(line));
    const target = { direction: 'outbound', tls: 'true', server_id: nameOf('web') };
    assert.ok((await client.metric('response_total', target)) >= 2 * hosts.length);
    assert.equal((await ask(plain, { call: 'http', host: 'web', port: PORT.HTTP })).status, 200);
  });

  it('restarts a Deployment under load, and no request fails', async () => {
    await ask(client, { call: 'load', host: 'web', port: PORT.HTTP, connections: 4 });
    await new Kubectl(kubernetes).done(['rollout', 'restart', 'deployment/web', '-n', NAMESPACE]);
    // The application stays until nobody comes any more: a preStop hook makes it.
    const leave = async (old: RunningPod): Promise<void> => {
      await old.container('application').said(/^SIGTERM$/);
      const to = { service: labels.service, target_addr: `${old.ip}:${PORT.HTTP}` };
      const open = (): Promise<number> => client.metric('tcp_open_connections', to);
      await eventually(async () => (await open()) === 0, `nobody goes to ${old.name}`, TIMEOUT_MS);
      await ask(old, { call: 'drain' });
      await eventually(() => old.wiped, `${old.name} is gone`, TIMEOUT_MS);
    };
    await Promise.all(webs.map(leave));
    webs = await node.ready(NAMESPACE, 'web', 2);
    const results = await ask<Record<string, number>>(client, { call: 'unload' });
    assert.deepEqual(Object.keys(results), ['200']);
  });

  it('lets in whom the rules of its ConfigMap let in', async () => {
    const maps = '/api/v1/namespaces/sluice/configmaps';
    const status = async (path: string): Promise<unknown> =>
      (await ask(client, { call: 'http', host: 'web', port: PORT.HTTP, path, agent: false })).status;
    const rule = { name: 'private', action: 'deny', identities: [nameOf('client')], pathPrefix: '/private' };
    await post(maps, {
      metadata: { name: 'sluice-authorization' },
      data: { [`${NAMESPACE}.web`]: JSON.stringify({ rules: [rule] }) },
    });
    await eventually(async () => (await status('/private/x')) === 403, 'the client is kept out');
    assert.equal(await status('/mesh'), 200);
    await kubernetes.done('DELETE', `${maps}/sluice-authorization`);
    await eventually(async () => (await status('/private/x')) === 200, 'nobody is kept out');
  });

  it('ends jobs with their application', async () => {
    const { metadata, spec } = plainPod('job', { restartPolicy: 'Never', labels: { app: 'job' } });
    const annotations = { 'config.linkerd.io/skip-inbound-ports': `${PORT.CONTROL}` };
    await post(`/api/v1/namespaces/${NAMESPACE}/pods`, {
      metadata: { name: 'job', labels: metadata.labels, annotations },
      spec,
    });
    const [job] = await node.ready(NAMESPACE, 'job');
    assert.equal(job.containers.length, 3);
    assert.equal((await ask(job, { call: 'http', host: 'web', port: PORT.HTTP })).status, 200);
    await ask(job, { call: 'exit', code: 0 });
    const phase = async (): Promise<unknown> =>
      ((await kubernetes.done('GET', `/api/v1/namespaces/${NAMESPACE}/pods/job`)).status as { phase: string }).phase;
    await eventually(async () => (await phase()) === 'Succeeded', 'the job has succeeded');
  });

  it('has the series, with their labels, that the dashboard asks for', async () => {
    const controllers = node.pods('sluice', 'sluice-controller');
    const ofController = async ({ ip }: RunningPod) => (await fetch(`http://${ip}:9990/metrics`)).text();
    const pages = [client, ...webs].map((pod) => pod.admin('/metrics'));
    const lines = (await Promise.all([...pages, ...controllers.map(ofController)])).join('\n').split('\n');
    const missing = new Set<string>();
    for (const { name, labels } of dashboardExpressions().flatMap(seriesIn)) {
      const series = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
      if (series.length === 0) missing.add(name);
      else
        for (const label of labels)
          assert.ok(
            series.some((line) => line.includes(`${label}="`)),
            `${name} by ${label}`,
          );
    }
    assert.deepEqual([...missing], []);
  });

  it('runs the demo', async (t) => {
    if (which('mariadbd') === null) return t.skip('mariadbd is not installed');
    // One of each does, but for that whose calls are balanced one by one.
    const manifests = (await kustomize(`${FOLDER}/overlays/demo`)).replaceAll('replicas: 3', 'replicas: 1');
    const kubectl = new Kubectl(kubernetes);
    await kubectl.done(['apply', '-f', '-'], manifests);
    await kubectl.done(['scale', 'deployment/greeter', '--replicas=2', '-n', 'sluice-demo']);
    const apps: Readonly<Record<string, number>> = { web: 1, greeter: 2, mysql: 1, mail: 1, traffic: 1 };
    const started = Object.entries(apps).map(([app, count]) => node.ready('sluice-demo', app, count));
    const pods = (await Promise.all(started)).flat();
    for (const { name, containers } of pods)
      assert.deepEqual(containers.map(({ spec }) => spec.name).slice(0, 2), ['sluice-init', 'sluice-proxy'], name);
    const greeters = pods.filter(({ name }) => name.startsWith('greeter')).map(({ name }) => name);
    const traffic = pods[pods.length - 1];
    const says = traffic.container('traffic');
    const lines = [/^web .*: hello from web-/, /^mysql .* ms: .*MariaDB/, /^mail .*: 220 mail-\S+ ready$/];
    for (const line of [...lines, ...greeters.map((name) => new RegExp(`^greeter .*: hello from ${name}$`))])
      await says.said(line);
    const of = (service: string, port: number) => ({ service: `${service}.sluice-demo.svc.cluster.local:${port}` });
    for (const service of [of('web', 8080), of('greeter', 50_051)])
      assert.ok((await traffic.metric('response_total', { direction: 'outbound', tls: 'true', ...service })) > 0);
    for (const target of [of('mysql', 4406), of('mail', 2525)])
      assert.ok((await traffic.metric('tcp_open_total', { peer: 'dst', tls: 'true', ...target })) > 0, target.service);
    const marked = { direction: 'outbound', verdict: 'opaque', reason: 'hint' };
    assert.ok((await traffic.metric('sluice_verdict_total', marked)) > 0);
    await kubectl.done(['scale', 'deployment', '--all', '--replicas=0', '-n', 'sluice-demo']);
  });

  it('goes on without an API server, and with the next pods when that is back', async () => {
    await kubernetes.stopServer();
    for (let i = 0; i < 10; i++) {
      const { status } = await ask(client, { call: 'http', host: 'web', port: PORT.HTTP, agent: false });
      assert.equal(status, 200);
    }
    await kubernetes.startServer();
    await eventually(injects, 'the API server asks the injector', TIMEOUT_MS);
    await kubernetes.done('PATCH', `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/web`, { spec: { replicas: 3 } });
    const all = await node.ready(NAMESPACE, 'web', 3);
    assert.ok(all.every(({ containers }) => containers.length === 3));
    await known(3);
  });
});

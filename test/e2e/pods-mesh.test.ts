// Injected pods that know each other by a destination service: everything between them is encrypted, and each knows who the other is.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { GivenObjects, Kubelet, type RunningPod } from '../support/kubelet.js';
import { LabDestinations, nameOf, startLabIdentity } from '../support/lab-mesh.js';
import { application, injectedPod, plainPod } from '../support/meshed-pods.js';
import { Pki } from '../support/pki.js';
import { enterLab, type LabService, PodLab } from '../support/pod-lab.js';
import { availableExecutors, type Executor, eventually } from '../support/sluice.js';
import { CERTIFICATES, PORT } from './pods-application.js';
import { type AccessLine, ask, passing, type Wanted } from './pods-support.js';

const why = enterLab(import.meta.url);
const SERVICE = ['10.96.0.80', 'fd96::80'] as const;
const WEB = nameOf('web');
const CLIENT = nameOf('client');

describe('injected pods', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let destinations: LabDestinations;
  let first: RunningPod;
  let second: RunningPod;
  let client: RunningPod;
  let plain: RunningPod;
  let strict: RunningPod;
  /** The pods of the Service. */
  let web: readonly RunningPod[];
  let tell: () => void;
  let start: (
    name: string,
    account: string,
    io: Executor | undefined,
    annotations?: Record<string, string>,
  ) => RunningPod;

  before(async () => {
    lab = await PodLab.start();
    const objects = new GivenObjects();
    kubelet = new Kubelet(lab, objects);
    const { mesh, service, pki } = await startLabIdentity(kubelet, objects, ['default/web', 'default/client']);
    destinations = await LabDestinations.start(pki);
    const services: LabService[] = [service, destinations.service];
    lab.setServices(services);
    const { chain, key } = await (await Pki.make()).leaf({ dns: ['web.test'] });
    objects.configMaps.set('certificate', { 'tls.crt': chain, 'tls.key': key });
    const own = {
      graceSeconds: 600,
      containers: [
        { ...application('--hold', '600000'), volumeMounts: [{ name: 'certificate', mountPath: CERTIFICATES }] },
      ],
      volumes: [{ name: 'certificate', configMap: { name: 'certificate' } }],
    };
    const executors = await availableExecutors();
    start = (name, account, io, annotations = {}) => {
      const env = [
        { name: 'SLUICE_IO', value: io },
        { name: 'SLUICE_DRAIN_HOLD', value: '0s' },
      ];
      return kubelet.run(
        injectedPod(plainPod(name, { ...own, account }), mesh, {
          ...annotations,
          'config.linkerd.io/opaque-ports': `${PORT.ECHO}`,
          'config.linkerd.io/proxy-additional-env': JSON.stringify(env),
        }),
      );
    };
    first = start('first', 'web', executors[0]);
    second = start('second', 'web', executors.at(-1));
    client = start('client', 'client', executors.at(-1));
    strict = start('strict', 'web', executors[0], { 'config.linkerd.io/default-inbound-policy': 'all-authenticated' });
    plain = kubelet.run(plainPod('plain', own));
    await Promise.all([first, second, client, strict, plain].map((pod) => pod.untilReady()));
    web = [first, second];
    tell = () => {
      const service = destinations.tell({
        name: 'web',
        addresses: SERVICE,
        ports: [PORT.HTTP, PORT.H2C, PORT.GREETS, PORT.ECHO, PORT.TLS],
        opaque: [PORT.ECHO],
        members: web.map((pod) => ({ pod, meshed: true })),
      });
      lab.setServices([...services, service]);
    };
    tell();
    const ports = [PORT.HTTP, PORT.ECHO];
    const members = [{ pod: strict, meshed: true }];
    destinations.tell({ name: 'strict', addresses: ['10.96.0.81', 'fd96::81'], ports, opaque: [PORT.ECHO], members });
  });
  after(async () => {
    await destinations?.stop();
    await kubelet?.stop();
    lab?.stop();
  });

  const hosts = (): string[] => [...SERVICE, 'web', first.ip, first.ipv6];
  const path = '/mesh';
  /** What both proxies of the Service's pods, and that of the client, say of `work`. */
  async function seen(wanted: Wanted, work: () => Promise<void>, count: number) {
    const there: AccessLine[] = [];
    const here = await passing(
      client,
      wanted,
      async () => {
        // Which of the two is asked is the balancer's choice.
        const inner = async (): Promise<void> => void there.push(...(await passing(second, wanted, work, 0)));
        there.push(...(await passing(first, wanted, inner, 0)));
      },
      count,
    );
    return { here, there };
  }
  const OWN = ['outbound', 'outbound-ipv6'];
  function assertMeshed({ here, there }: Awaited<ReturnType<typeof seen>>, port: number): void {
    assert.deepEqual([here.length, there.length], [hosts().length, hosts().length]);
    const pods = [first.ip, second.ip, `[${first.ipv6}]`].map((host) => `${host}:${port}`);
    for (const { listener, endpoint = '' } of here)
      assert.ok(OWN.includes(listener) && pods.includes(endpoint), endpoint);
    for (const { listener, identity, endpoint = '' } of there)
      assert.ok(listener === 'inbound' && identity === CLIENT && pods.includes(endpoint), `${identity} ${endpoint}`);
  }

  it('carry HTTP/1.1 and gRPC, encrypted, to a Service and to a pod, and know each other', async () => {
    const http = await seen(
      { path },
      async () => {
        for (const host of hosts()) {
          const { status, text } = await ask(client, { call: 'http', host, port: PORT.HTTP, path, agent: false });
          assert.match(`${status} ${text}`, /^200 served /);
        }
      },
      hosts().length,
    );
    assertMeshed(http, PORT.HTTP);
    const grpc = await seen(
      { path },
      async () => {
        for (const host of hosts()) {
          const { status, text, headers } = await ask(client, { call: 'h2c', host, port: PORT.H2C, path });
          assert.match(`${status} ${text} ${headers?.['grpc-status']}`, /^200 served .* 0$/);
        }
      },
      hosts().length,
    );
    assertMeshed(grpc, PORT.H2C);
    // HTTP/1 shares HTTP/2 connections between proxies, and is itself again at the application.
    assert.ok(http.here.every((line) => line.endpointProtocol === 'HTTP/2'));
    assert.ok(http.there.every((line) => line.endpointProtocol === 'HTTP/1.1'));
  });

  it('carry what is no HTTP: a server that speaks first, and a port that is marked opaque', async () => {
    const greeted = await seen(
      { port: PORT.GREETS },
      async () => {
        for (const host of hosts()) {
          const { text } = await ask(client, { call: 'tcp', host, port: PORT.GREETS, text: 'QUIT' });
          assert.match(text, /^hello .*\nyou said QUIT$/);
        }
      },
      hosts().length,
    );
    assertMeshed(greeted, PORT.GREETS);
    const echoed = await seen(
      { port: PORT.ECHO },
      async () => {
        // What looks like HTTP is not read either.
        const first = 'GET / HTTP/1.1\r\n\r\n';
        for (const host of hosts())
          assert.equal((await ask(client, { call: 'tcp', host, port: PORT.ECHO, first })).text, first);
      },
      hosts().length,
    );
    assertMeshed(echoed, PORT.ECHO);
    // Octets of the application, not those of what proxies say before.
    const octets = (lines: readonly AccessLine[]) => lines.map(({ received }) => received);
    assert.deepEqual(octets(echoed.there), octets(echoed.here));
    const marked = { verdict: 'opaque', reason: 'hint', direction: 'outbound' };
    assert.equal(await client.metric('sluice_verdict_total', marked), hosts().length);
  });

  it("pass on an application's own TLS as it is", async () => {
    for (const host of hosts()) {
      const { text } = await ask(client, { call: 'tls', host, port: PORT.TLS, name: 'web.test' });
      assert.match(text, /^sealed /);
    }
    assert.ok((await client.metric('sluice_tls_passed_total')) > 0);
  });

  it('say so in their metrics', async () => {
    const source = { peer: 'src', tls: 'true', client_id: CLIENT };
    for (const pod of [first, second]) assert.ok((await pod.metric('tcp_open_total', source)) > 0);
    const target = { direction: 'outbound', tls: 'true', server_id: WEB };
    assert.ok((await client.metric('response_total', target)) >= 2 * hosts().length);
    const service = { service: `web.default.svc.cluster.local:${PORT.HTTP}` };
    assert.equal(await client.metric('outbound_http_balancer_endpoints', { ...service, endpoint_state: 'ready' }), 2);
  });

  it('are balanced request by request', async () => {
    const servers = new Set<unknown>();
    const one = async (): Promise<boolean> => {
      const { headers } = await ask(client, { call: 'http', host: 'web', port: PORT.HTTP });
      servers.add(headers?.['x-served-by']);
      return servers.size === 2;
    };
    await eventually(one, 'both serve the same connection');
  });

  it('reach each other where a network policy admits 4143 alone', async () => {
    const rule = (pod: RunningPod): [string, string][] => [
      ['iptables', pod.ip],
      ['ip6tables', pod.ipv6],
    ];
    const policy = (how: '-A' | '-D'): void => {
      for (const [command, ip] of [...rule(first), ...rule(second)])
        execFileSync(command, [how, 'FORWARD', ...`-d ${ip} -p tcp --syn ! --dport 4143 -j REJECT`.split(' ')]);
    };
    policy('-A');
    try {
      for (const host of hosts()) {
        const { status } = await ask(client, { call: 'http', host, port: PORT.HTTP, agent: false });
        assert.equal(status, 200);
        assert.match((await ask(client, { call: 'h2c', host, port: PORT.H2C })).text, /^served /);
        assert.match((await ask(client, { call: 'tcp', host, port: PORT.GREETS, text: 'x' })).text, /you said x$/);
        assert.equal((await ask(client, { call: 'tcp', host, port: PORT.ECHO, first: 'x' })).text, 'x');
      }
      assert.equal(
        (await ask(plain, { call: 'http', host: first.ip, port: PORT.HTTP, agent: false })).text,
        'ECONNREFUSED',
      );
    } finally {
      policy('-D');
    }
    assert.equal((await ask(plain, { call: 'http', host: first.ip, port: PORT.HTTP, agent: false })).status, 200);
  });

  it('are replaced one after the other under load, and no request fails', async () => {
    const ready = (count: number) =>
      eventually(async () => {
        const labels = { endpoint_state: 'ready', service: `web.default.svc.cluster.local:${PORT.HTTP}` };
        return (await client.metric('outbound_http_balancer_endpoints', labels)) === count;
      }, `${count} endpoints`);
    const executors = await availableExecutors();
    const next = [0, 1].map((i) => start(`next-${i}`, 'web', executors[i % executors.length]));
    await Promise.all(next.map((pod) => pod.untilReady()));
    await ask(client, { call: 'load', host: SERVICE[0], port: PORT.HTTP, connections: 8 });
    for (const [i, old] of [first, second].entries()) {
      web = [...web, next[i]];
      tell();
      await ready(3);
      // As it is when Kubernetes deletes a pod: endpoints change, and SIGTERM comes; the application stays for a while.
      web = web.filter((pod) => pod !== old);
      tell();
      const gone = kubelet.delete(old);
      await old.container('application').said(/^SIGTERM$/);
      await ready(2);
      // For as long as it takes to answer what has been sent to it; that is long where others want the machine as well.
      const left = async () => (await old.metric('tcp_open_connections', { peer: 'src', client_id: CLIENT })) === 0;
      await eventually(left, 'what was sent to it is answered');
      await ask(old, { call: 'drain' });
      await gone;
      assert.equal(old.container('sluice-proxy').code, 0);
    }
    const results = await ask<Record<string, number>>(client, { call: 'unload' });
    assert.deepEqual(Object.keys(results), ['200']);
    assert.ok(results['200'] > 0);
  });

  it('let in whom the policy of an annotation lets in, and the probes of the kubelet', async () => {
    // It would not be ready, had its probe been refused.
    for (const host of [strict.ip, strict.ipv6]) {
      assert.equal((await ask(client, { call: 'http', host, port: PORT.HTTP, agent: false })).status, 200);
      assert.equal((await ask(plain, { call: 'http', host, port: PORT.HTTP, agent: false })).status, 403);
      assert.equal((await ask(client, { call: 'tcp', host, port: PORT.ECHO, first: 'x' })).text, 'x');
      assert.notEqual((await ask(plain, { call: 'tcp', host, port: PORT.ECHO, first: 'x' })).text, 'x');
    }
  });

  it('go on while nobody can be asked', async () => {
    await destinations.stop();
    await eventually(async () => (await client.metric('sluice_destination_service_connected')) === 0, 'it is away');
    const { status, headers } = await ask(client, {
      call: 'http',
      host: 'web',
      port: PORT.HTTP,
      path: '/headers',
      agent: false,
    });
    assert.equal(status, 200);
    assert.match(String(headers?.['x-served-by']), /^next-/);
  });
});

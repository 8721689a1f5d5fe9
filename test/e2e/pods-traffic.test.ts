// Pods with a proxy, as the injector makes them, one without, and a Service: what applications say to each other, where it passes, and whom
// they see.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { GivenObjects, Kubelet, type RunningPod } from '../support/kubelet.js';
import { application, meshedPod, plainPod } from '../support/meshed-pods.js';
import { Pki } from '../support/pki.js';
import { enterLab, PodLab } from '../support/pod-lab.js';
import { availableExecutors } from '../support/sluice.js';
import { CERTIFICATES, PORT } from './pods-application.js';
import { type AccessLine, ask, passing, type Wanted } from './pods-support.js';

const why = enterLab(import.meta.url);
const SERVICE = ['10.96.0.80', 'fd96::80'] as const;
const NAME = 'server.default.svc.cluster.local';

describe('pods with a proxy', { skip: why === '' ? false : why }, () => {
  let lab: PodLab;
  let kubelet: Kubelet;
  let server: RunningPod;
  let client: RunningPod;
  let plain: RunningPod;

  before(async () => {
    lab = await PodLab.start();
    const objects = new GivenObjects();
    const pki = await Pki.make();
    const { chain, key } = await pki.leaf({ dns: ['server.test'] });
    objects.configMaps.set('certificate', { 'tls.crt': chain, 'tls.key': key });
    kubelet = new Kubelet(lab, objects);
    // The executors take turns: each is at either end of something.
    const executors = await availableExecutors();
    const own = {
      containers: [{ ...application(), volumeMounts: [{ name: 'certificate', mountPath: CERTIFICATES }] }],
      volumes: [{ name: 'certificate', configMap: { name: 'certificate' } }],
    };
    server = kubelet.run(meshedPod('server', { env: { SLUICE_IO: executors[0] } }, own));
    client = kubelet.run(meshedPod('client', { env: { SLUICE_IO: executors.at(-1) ?? '' } }, own));
    plain = kubelet.run(plainPod('plain', own));
    await Promise.all([server, client, plain].map((pod) => pod.untilReady()));
    const targets = (port: number) => [server.ip, server.ipv6].map((host) => ({ host, port }));
    const ports = Object.values(PORT).map((port) => ({ port, targets: targets(port) }));
    lab.setServices([{ name: 'server', namespace: 'default', addresses: SERVICE, ports }]);
  });
  after(async () => {
    await kubelet.stop();
    lab.stop();
  });

  /** What both proxies say of calls from `from` to `to`, one for each family. */
  async function between(from: RunningPod, to: RunningPod, wanted: Wanted, work: (host: string) => Promise<void>) {
    let there: AccessLine[] = [];
    const both = async (): Promise<void> => {
      for (const { host } of addresses(to)) await work(host);
    };
    const inner = async (): Promise<void> => {
      there = await passing(to, wanted, both, 2);
    };
    const here = await passing(from, wanted, inner, 2);
    return { here, there };
  }

  const addresses = (pod: RunningPod) => [
    { listener: 'outbound', host: pod.ip, bracketed: pod.ip },
    { listener: 'outbound-ipv6', host: pod.ipv6, bracketed: `[${pod.ipv6}]` },
  ];
  /** Connections that its proxy has taken for TLS. */
  const tlsOf = (pod: RunningPod): Promise<number> => pod.metric('sluice_verdict_total', { verdict: 'tls' });
  const pairs = (): [RunningPod, RunningPod][] => [
    [client, server],
    [server, client],
  ];

  it('carries HTTP/1.1, and each proxy knows who asks and where it goes', async () => {
    for (const [from, to] of pairs()) {
      const { here, there } = await between(from, to, { path: '/seen' }, async (host) => {
        const { status, text } = await ask(from, { call: 'http', host, port: PORT.HTTP, path: '/seen', agent: false });
        // Whom the application sees is its own proxy.
        assert.deepEqual([status, text], [200, `served ${host} at ${host}`]);
      });
      const endpoints = addresses(to).map(({ bracketed }) => `${bracketed}:${PORT.HTTP}`);
      assert.deepEqual(
        [...here, ...there].map((line) => [line.listener, line.path, line.endpoint]),
        [
          ['outbound', '/seen', endpoints[0]],
          ['outbound-ipv6', '/seen', endpoints[1]],
          ['inbound', '/seen', endpoints[0]],
          ['inbound', '/seen', endpoints[1]],
        ],
      );
      for (const lines of [here, there])
        for (const [i, { client }] of lines.entries())
          assert.ok(client.startsWith(`${addresses(from)[i].bracketed}:`), `${client} is ${from.name}`);
    }
  });

  it('carries gRPC, with its trailers', async () => {
    for (const [from, to] of pairs()) {
      const path = '/shop.Cart/Get';
      const { here, there } = await between(from, to, { path }, async (host) => {
        const said = await ask(from, { call: 'h2c', host, port: PORT.H2C, path });
        assert.deepEqual([said.status, said.text], [200, `served ${host} at ${host}`]);
        assert.equal(said.headers?.['grpc-status'], '0');
      });
      assert.deepEqual(
        [...here, ...there].map((line) => [line.listener, line.path, line.grpcStatus]),
        [
          ['outbound', path, 0],
          ['outbound-ipv6', path, 0],
          ['inbound', path, 0],
          ['inbound', path, 0],
        ],
      );
    }
  });

  const CONNECTIONS = ['connection outbound', 'connection outbound-ipv6', 'connection inbound'] as const;
  const told = (lines: readonly AccessLine[]): string[] =>
    [...new Set(lines.map((line) => `${line.message} ${line.listener}`))].sort();

  it('waits for a server that speaks first', async () => {
    for (const [from, to] of pairs()) {
      const { here, there } = await between(from, to, { port: PORT.GREETS }, async (host) => {
        const { text } = await ask(from, { call: 'tcp', host, port: PORT.GREETS, text: 'QUIT' });
        assert.equal(text, `hello ${host} at ${host}\nyou said QUIT`);
      });
      assert.deepEqual([...told(here), ...told(there)], CONNECTIONS);
    }
  });

  it("passes on an application's own TLS as it is", async () => {
    for (const [from, to] of pairs()) {
      const before = await Promise.all([from, to].map(tlsOf));
      const { here, there } = await between(from, to, { port: PORT.TLS }, async (host) => {
        const { text } = await ask(from, { call: 'tls', host, port: PORT.TLS, name: 'server.test' });
        assert.equal(text, `sealed ${host} at ${host}`);
      });
      assert.deepEqual([...told(here), ...told(there)], CONNECTIONS);
      const after = await Promise.all([from, to].map(tlsOf));
      assert.deepEqual(
        after,
        before.map((count) => count + 2),
      );
    }
  });

  it('never sees a port that is skipped', async () => {
    const skipped = { port: PORT.SKIPPED };
    for (const [from, to] of pairs()) {
      const calls = async (): Promise<void> => {
        for (const [i, { host }] of addresses(to).entries()) {
          const { text } = await ask(from, { call: 'tcp', host, port: PORT.SKIPPED, text: 'QUIT' });
          // Nobody is between them.
          assert.equal(text, `hello ${addresses(from)[i].host} at ${host}\nyou said QUIT`);
        }
      };
      const both = async (): Promise<void> => assert.deepEqual(await passing(to, skipped, calls, 0), []);
      assert.deepEqual(await passing(from, skipped, both, 0), []);
    }
  });

  it('leaves alone what stays in the pod, by its own addresses and those of the loopback interface', async () => {
    const calls = async (): Promise<void> => {
      for (const host of [server.ip, server.ipv6, '127.0.0.1', '::1']) {
        const { text } = await ask(server, { call: 'http', host, port: PORT.HTTP, path: '/inside', agent: false });
        assert.equal(text, `served ${host} at ${host}`);
      }
    };
    assert.deepEqual(await passing(server, { path: '/inside' }, calls, 0), []);
  });

  it('brings a pod to itself by its Service', async () => {
    for (const [i, host] of SERVICE.entries()) {
      const { host: own, listener } = addresses(server)[i];
      const once = async (): Promise<void> => {
        const { text } = await ask(server, { call: 'http', host, port: PORT.HTTP, path: '/self', agent: false });
        assert.equal(text, `served ${own} at ${own}`);
      };
      const seen = await passing(server, { path: '/self' }, once, 2);
      assert.deepEqual(told(seen), ['request inbound', `request ${listener}`]);
    }
  });

  it('reaches Services, by address and by name', async () => {
    const hosts = [...SERVICE, NAME, 'server', 'server.default'];
    const calls = async (from: RunningPod): Promise<void> => {
      for (const host of hosts) {
        const { text, headers } = await ask(from, { call: 'http', host, port: PORT.HTTP, agent: false });
        assert.match(text, /^served /);
        assert.equal(headers?.['x-served-by'], 'server');
        const greeted = await ask(from, { call: 'tcp', host, port: PORT.GREETS, text: 'QUIT' });
        assert.match(greeted.text, /^hello .*\nyou said QUIT$/);
      }
    };
    await calls(client);
    await calls(plain);
  });

  it('speaks with pods that have none, in either direction', async () => {
    for (const [i, { host }] of addresses(server).entries()) {
      const there = await passing(
        server,
        { path: '/plain' },
        async () => {
          const { text } = await ask(plain, { call: 'http', host, port: PORT.HTTP, path: '/plain', agent: false });
          assert.equal(text, `served ${host} at ${host}`);
        },
        1,
      );
      assert.ok(there[0].client.startsWith(`${addresses(plain)[i].bracketed}:`), there[0].client);
    }
    for (const [i, { host, listener }] of addresses(plain).entries()) {
      const here = await passing(
        client,
        { path: '/to-plain' },
        async () => {
          // What it sees is the pod that asks, as if that had no proxy.
          const { text } = await ask(client, { call: 'http', host, port: PORT.HTTP, path: '/to-plain', agent: false });
          assert.equal(text, `served ${addresses(client)[i].host} at ${host}`);
        },
        1,
      );
      assert.deepEqual(
        here.map((line) => line.listener),
        [listener],
      );
    }
  });
});

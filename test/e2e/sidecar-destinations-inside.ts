// Runs in a network namespace that sidecar-destinations.test.ts has made. Applications and clients are in this process, Sluice is a child.
import assert from 'node:assert/strict';
import { Agent, createServer as createHttp, request, type Server } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2, createServer as createHttp2 } from 'node:http2';
import { connect, createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { FakeDestinations } from '../destination/fake-service.js';
import { availableExecutors, eventually, type Sluice, startSluice } from '../support/sluice.js';
import { SmallApi } from '../support/small-api.js';
import { pod, SLUICE_GID, serviceAddress } from './sidecar-destinations-support.js';

const UNDER = ['setpriv', '--regid', String(SLUICE_GID), '--clear-groups'];
const PORT = 8080;
const IPV6_POD = 'fd78::5';

/** Requests that each pod has been given. */
const served = new Map<string, number>();

async function serve(host: string, port: number): Promise<Server> {
  const server = createHttp(({ url, headers }, response) => {
    served.set(host, (served.get(host) ?? 0) + 1);
    response.end(url === '/host' ? `host ${headers.host}` : host);
  });
  await new Promise<void>((resolve) => server.listen(port, host, resolve));
  return server;
}

/** Streams that were opened at each pod that speaks HTTP/2, and those of them that wait for `finish`. */
const streams = new Map<string, number>();
const unfinished: (() => void)[] = [];

async function serveHttp2(host: string): Promise<Server> {
  const server = createHttp2((incoming, response) => {
    streams.set(host, (streams.get(host) ?? 0) + 1);
    if (incoming.url !== '/slow') response.end(host);
    else {
      response.write('slow ');
      unfinished.push(() => response.end(host));
    }
  });
  await new Promise<void>((resolve) => server.listen(PORT, host, resolve));
  return server as unknown as Server;
}

/** What a stream brings; its beginning is told of first. */
async function stream(session: ClientHttp2Session, path: string, begun: () => void = () => undefined): Promise<string> {
  const answer = session.request({ ':path': path, ':authority': 'grpc' }).setEncoding('utf8');
  let text = '';
  for await (const chunk of answer) {
    if (text === '') begun();
    text += chunk as string;
  }
  return text;
}

/** Answers in capital letters, whatever it is sent. */
const shouts = createServer((socket) =>
  socket.on('error', () => undefined).on('data', (octets) => socket.write(String(octets).toUpperCase())),
);

function get(host: string, port: number, agent?: Agent): Promise<string> {
  return new Promise((resolve, reject) => {
    request({ host, port, agent: agent ?? false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve(`${response.statusCode} ${body}`));
    })
      .on('error', reject)
      .end();
  });
}

async function shout(host: string, port: number): Promise<string> {
  const socket = connect({ host, port });
  socket.on('error', () => undefined).write('get / http/1.1\r\nhost: x\r\n\r\n');
  const answer = await new Promise<string>((resolve) => {
    socket.once('data', (octets) => resolve(String(octets).slice(0, 3)));
    socket.once('close', () => resolve('nothing'));
  });
  socket.destroy();
  return answer;
}

/** `destinations`: on a machine that is busy the service has time for its answers. */
const config = (port: number, destinations = 'resolveTimeout: 20s'): string => `
sidecar: { enabled: true, pod: web-0, namespace: shop, node: here }
admin: { listen: ":4191" }
drain: { outbound: together, hold: 0s, grace: 1s }
destination: { address: "127.0.0.1:${port}", minBackoff: 10ms, maxBackoff: 50ms }
destinations: { ${destinations} }
`;

const servers = [
  ...(await Promise.all([1, 2, 3, 4].map((number) => serve(pod(number), PORT)))),
  // Addresses of Services at which nobody would answer in a cluster: whoever goes where it was going arrives here.
  ...(await Promise.all([1, 5, 9].map((number) => serve(serviceAddress(number), 80)))),
  await serve(IPV6_POD, PORT),
];
const http2Servers = await Promise.all([11, 12].map((number) => serveHttp2(pod(number))));
await new Promise<void>((resolve) => shouts.listen(3307, pod(7), resolve));
after(() => {
  for (const server of servers) server.closeAllConnections();
  for (const server of [...servers, ...http2Servers, shouts]) server.close();
});

const name = (service: string): string => `${service}.shop.svc.cluster.local`;
const at = (...numbers: number[]): { host: string; port: number }[] =>
  numbers.map((number) => ({ host: pod(number), port: PORT }));

for (const io of await availableExecutors()) {
  describe(`${io}: a sidecar`, () => {
    let service: FakeDestinations;
    let sluice: Sluice;
    const ask = async (times: number, address: string, port = 80): Promise<Set<string>> => {
      const answers = new Set<string>();
      for (let i = 0; i < times; i++) answers.add(await get(address, port));
      return answers;
    };

    before(async () => {
      service = await new FakeDestinations().start();
      service.setProfile(`${serviceAddress(1)}:80`, { name: name('web') });
      service.setEndpoints(`${name('web')}:80`, at(1, 2));
      service.setProfile(`${serviceAddress(7)}:3307`, { name: name('db'), opaque: true });
      service.setEndpoints(`${name('db')}:3307`, [{ host: pod(7), port: 3307 }]);
      service.setProfile(`${pod(3)}:${PORT}`, { endpoint: { host: pod(3), port: PORT } });
      service.setProfile(`[${IPV6_POD}]:${PORT}`, { endpoint: { host: IPV6_POD, port: PORT } });
      service.setProfile(`${serviceAddress(9)}:80`, {});
      sluice = await startSluice(config(service.port), io, {}, UNDER);
    });
    after(async () => {
      await sluice.stop();
      service.kill();
    });

    it('is ready, and balances requests to a Service over its endpoints', async () => {
      const seen = new Set<string>();
      let asked = 0;
      await eventually(async () => {
        for (const answer of await ask(20, serviceAddress(1))) seen.add(answer);
        asked += 20;
        return seen.size > 1;
      }, 'answers of both');
      assert.deepEqual([...seen].sort(), [`200 ${pod(1)}`, `200 ${pod(2)}`]);
      assert.match(await sluice.admin('/ready'), /^ready/);
      assert.equal(await sluice.metric('request_total', { service: `${name('web')}:80` }), asked);
      assert.deepEqual(JSON.parse(service.tokens[0]), { ns: 'shop', nodeName: 'here', pod: 'web-0' });
      assert.equal(await sluice.metric('sluice_destination_service_connected'), 1);
      const said = JSON.parse(await sluice.admin(`/explain?listener=outbound&dst=${serviceAddress(1)}:80`)) as {
        service: string;
        endpoints: string[];
      };
      assert.deepEqual(
        [said.service, said.endpoints],
        [`${name('web')}:80`, at(1, 2).map(({ host }) => `${host}:${PORT}`)],
      );
    });

    it('relays what a Service says to be opaque', async () => {
      assert.equal(await shout(serviceAddress(7), 3307), 'GET');
      assert.equal(await sluice.metric('sluice_verdict_total', { verdict: 'opaque', reason: 'hint' }), 1);
    });

    it('names a Service to whoever asks without a Host', async () => {
      const socket = connect({ host: serviceAddress(1), port: 80 });
      socket.on('error', () => undefined).write('GET /host HTTP/1.0\r\n\r\n');
      let text = '';
      for await (const octets of socket) text += String(octets);
      assert.match(text, new RegExp(`host ${name('web')}:80$`));
    });

    it('knows pods by their own addresses', async () => {
      assert.equal(await get(pod(3), PORT), `200 ${pod(3)}`);
      assert.equal(await sluice.metric('request_total', { service: `${pod(3)}:${PORT}` }), 1);
      assert.equal(await get(IPV6_POD, PORT), `200 ${IPV6_POD}`);
      assert.equal(await sluice.metric('request_total', { service: `[${IPV6_POD}]:${PORT}` }), 1);
    });

    it('goes where its client was going when nobody knows what is there', async () => {
      assert.equal(await get(serviceAddress(9), 80), `200 ${serviceAddress(9)}`);
    });

    it('sends nothing to an endpoint that is gone, and loses nothing on the way', async () => {
      const address = serviceAddress(1);
      let going = true;
      let failed = '';
      let done = 0;
      const clients = Array.from({ length: 8 }, async () => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        while (going) {
          const answer = await get(address, 80, agent).catch(String);
          done++;
          if (!answer.startsWith('200')) failed = answer;
        }
        agent.destroy();
      });
      const doing = async (more: number): Promise<void> => {
        const wanted = done + more;
        await eventually(() => done >= wanted, `${more} more requests`);
      };
      await doing(200);
      const updates = await sluice.metric('sluice_destination_service_updates_total');
      service.setEndpoints(`${name('web')}:80`, at(1));
      await eventually(
        async () => (await sluice.metric('sluice_destination_service_updates_total')) > updates,
        'the update',
      );
      // What was under way when it came has ended by now.
      await doing(50);
      const before = served.get(pod(2)) ?? 0;
      await doing(400);
      assert.equal(served.get(pod(2)) ?? 0, before);
      service.setEndpoints(`${name('web')}:80`, at(1, 2));
      await eventually(() => (served.get(pod(2)) ?? 0) > before, 'requests to an endpoint that is back');
      going = false;
      await Promise.all(clients);
      assert.equal(failed, '');
    });

    it('opens no stream to an endpoint that is gone, and lets those end that there are', async () => {
      const address = serviceAddress(6);
      service.setEndpoints(`${name('grpc')}:80`, at(11, 12));
      service.setProfile(`${address}:80`, { name: name('grpc'), protocol: 'HTTP2' });
      const sessions = Array.from({ length: 4 }, () => connectHttp2(`http://${address}:80`));
      for (const session of sessions) session.on('error', () => undefined);
      const each = (path: string, begun?: () => void): Promise<string[]> =>
        Promise.all(sessions.flatMap((session) => [1, 2, 3].map(() => stream(session, path, begun))));
      const both = async (): Promise<boolean> => new Set(await each('/')).size === 2;
      await eventually(both, 'both endpoints');
      let begun = 0;
      const slow = each('/slow', () => begun++);
      await eventually(() => begun === 12, 'streams that go on');
      const updates = await sluice.metric('sluice_destination_service_updates_total');
      service.setEndpoints(`${name('grpc')}:80`, at(11));
      await eventually(
        async () => (await sluice.metric('sluice_destination_service_updates_total')) > updates,
        'the update',
      );
      // What was under way when it came has reached somebody by now.
      for (let i = 0; i < 5; i++) await each('/');
      const before = streams.get(pod(12)) ?? 0;
      for (let i = 0; i < 10; i++) assert.deepEqual([...new Set(await each('/'))], [pod(11)]);
      assert.equal(streams.get(pod(12)), before);
      for (const finish of unfinished.splice(0)) finish();
      for (const text of await slow) assert.match(text, /^slow 10\./);
      for (const session of sessions) session.close();
    });

    it('does what a Service has become, for connections that there are too', async () => {
      const address = serviceAddress(5);
      service.setProfile(`${address}:80`, {});
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      assert.equal(await get(address, 80, agent), `200 ${address}`);
      // There is a Service at this address now.
      service.setEndpoints(`${name('late')}:80`, at(3));
      service.setProfile(`${address}:80`, { name: name('late') });
      await eventually(async () => (await get(address, 80, agent)) === `200 ${pod(3)}`, 'the Service');
      // It is deleted, and another one gets its address.
      service.setEndpoints(`${name('other')}:80`, at(4));
      service.setProfile(`${address}:80`, { name: name('other') });
      await eventually(async () => (await get(address, 80, agent)) === `200 ${pod(4)}`, 'the other Service');
      service.setProfile(`${address}:80`, {});
      await eventually(async () => (await get(address, 80, agent)) === `200 ${address}`, 'nobody');
      agent.destroy();
      // Whoever was opaque is no more, and the other way round.
      service.setEndpoints(`${name('db')}:80`, [{ host: pod(7), port: 3307 }]);
      service.setProfile(`${address}:80`, { name: name('db'), opaque: true });
      await eventually(async () => (await shout(address, 80)) === 'GET', 'relayed octets');
      service.setEndpoints(`${name('db')}:80`, at(1));
      service.setProfile(`${address}:80`, { name: name('db') });
      await eventually(async () => (await get(address, 80).catch(String)) === `200 ${pod(1)}`, 'requests');
    });

    it('refuses a request to a Service without endpoints, and goes to the address of one that is not there', async () => {
      const address = serviceAddress(5);
      service.setEndpoints(`${name('empty')}:80`, []);
      service.setProfile(`${address}:80`, { name: name('empty') });
      await eventually(async () => (await get(address, 80)).startsWith('503'), 'a refusal');
      service.setNone(`${name('empty')}:80`, false);
      await eventually(async () => (await get(address, 80)) === `200 ${address}`, 'the address');
    });

    it('serves on with what it knows while nobody is there to ask, and catches up', async () => {
      const address = serviceAddress(1);
      service.kill();
      await eventually(
        async () => (await sluice.metric('sluice_destination_service_connected')) === 0,
        'the loss of the connection',
      );
      // One that was slow once gets few requests for a while.
      await eventually(
        async () => [...(await ask(20, address))].sort().join() === `200 ${pod(1)},200 ${pod(2)}`,
        'both endpoints',
      );
      assert.match(await sluice.admin('/ready'), /^ready/);
      await eventually(async () => (await sluice.metric('sluice_destination_service_state_age_seconds')) > 0, 'an age');
      service.setEndpoints(`${name('web')}:80`, at(4));
      await service.start();
      await eventually(async () => (await get(address, 80)) === `200 ${pod(4)}`, 'what is new');
      assert.equal(await sluice.metric('sluice_destination_service_state_age_seconds'), 0);
      for (const moved of [
        'sluice_destination_service_connects_total',
        'sluice_destination_service_streams',
        'sluice_destination_service_updates_total',
        'sluice_destination_service_addresses',
        'sluice_destination_service_services',
        'sluice_destination_service_failures_total',
      ])
        assert.ok((await sluice.metric(moved)) > 0, moved);
      service.setEndpoints(`${name('web')}:80`, at(1, 2));
    });

    it('keeps its services over a reload', async () => {
      const reloads = sluice.log.filter(({ message }) => message === 'reloaded').length;
      sluice.reload(`${config(service.port)}log: { level: debug }\n`);
      await sluice.logged(() => sluice.log.filter(({ message }) => message === 'reloaded').length > reloads);
      await eventually(async () => (await ask(20, serviceAddress(1))).size === 2, 'both endpoints');
    });

    it('watches nothing that nobody has used for long', async () => {
      sluice.reload(config(service.port, 'resolveTimeout: 20s, idleTimeout: 50ms'));
      // Services that addresses led to before stay for a while longer: workers might not have heard of that yet.
      await eventually(
        async () => (await sluice.metric('sluice_destination_service_addresses')) === 0,
        'no address that is watched',
      );
      assert.equal(await sluice.metric('sluice_destination_service_connected'), 1);
      await eventually(async () => (await ask(20, serviceAddress(1))).size === 2, 'both endpoints, asked for anew');
    });
  });

  describe(`${io}: a sidecar that watches the API server itself`, () => {
    let api: SmallApi;
    let sluice: Sluice;
    const web = (pods: readonly string[]): object => ({
      metadata: { name: 'web-a', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4',
      ports: [{ name: '', port: PORT }],
      endpoints: pods.map((host) => ({ addresses: [host] })),
    });
    const start = async (): Promise<Sluice> => {
      const text = config(1).replace(/address: "[^"]*"/, `kubernetes: { kubeconfig: "${api.kubeconfig}" }`);
      return startSluice(text, io, {}, UNDER);
    };

    before(async () => {
      api = await SmallApi.start();
      api.put('services', {
        metadata: { name: 'web', namespace: 'shop' },
        spec: { clusterIP: serviceAddress(1), ports: [{ port: 80, targetPort: PORT }] },
      });
      api.put('endpointslices', web([pod(1), pod(2)]));
      sluice = await start();
    });
    after(async () => {
      await sluice.stop();
      await api.stop();
    });

    it('balances, follows changes, and serves on while the API server is away', async () => {
      const answers = async (): Promise<string> => {
        const all = new Set<string>();
        for (let i = 0; i < 20; i++) all.add(await get(serviceAddress(1), 80));
        return [...all].sort().join();
      };
      // Nothing is known at first, and connections go where they were going.
      await eventually(async () => (await answers()) === `200 ${pod(1)},200 ${pod(2)}`, 'both endpoints');
      assert.equal(await sluice.metric('sluice_destination_service_connected'), 1);
      api.put('endpointslices', web([pod(2)]));
      await eventually(async () => (await answers()) === `200 ${pod(2)}`, 'one endpoint');
      api.away = true;
      api.cut();
      await eventually(async () => (await sluice.metric('sluice_destination_service_connected')) === 0, 'the loss');
      assert.equal(await answers(), `200 ${pod(2)}`);
      api.put('endpointslices', web([pod(1)]));
      api.away = false;
      await eventually(async () => (await answers()) === `200 ${pod(1)}`, 'the other endpoint');
      assert.equal(await sluice.metric('sluice_destination_service_failures_total', { reason: 'garbage' }), 0);
    });
  });

  describe(`${io}: a sidecar whose destination service is away from the start`, () => {
    it('goes where its clients were going, and to Services once somebody knows of them', async () => {
      const service = await new FakeDestinations().start();
      service.kill();
      const sluice = await startSluice(config(service.port, 'resolveTimeout: 500ms'), io, {}, UNDER);
      try {
        assert.equal(await get(serviceAddress(1), 80), `200 ${serviceAddress(1)}`);
        assert.match(await sluice.admin('/ready'), /^ready/);
        service.setProfile(`${serviceAddress(1)}:80`, { name: name('web') });
        service.setEndpoints(`${name('web')}:80`, at(1));
        await service.start();
        await eventually(async () => (await get(serviceAddress(1), 80)) === `200 ${pod(1)}`, 'the Service');
      } finally {
        await sluice.stop();
        service.kill();
      }
    });
  });
}

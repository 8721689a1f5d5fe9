// What streams of the destination API say, to the official client of gRPC.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ChannelCredentials, type ClientReadableStream, credentials, loadPackageDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ProfileUpdate } from '../../../src/destination/lookup.js';
import { decodeUpdate } from '../../../src/destination/messages.js';
import { endpointAt } from '../../../src/discovery/endpoint.js';
import {
  DestinationClient,
  endpointsAt,
  MadeUpCluster,
  type Served,
  serveDestinations,
} from '../../support/destination.js';
import { eventually } from '../../support/sluice.js';

const PROTO = fileURLToPath(new URL('../../../../proto/destination.proto', import.meta.url));

type Ask = (request: { readonly path: string }) => ClientReadableStream<object>;

/** What a compiler makes of the description. */
interface Published {
  readonly io: {
    readonly linkerd: {
      readonly proxy: {
        readonly destination: {
          readonly Destination: new (
            place: string,
            security: ChannelCredentials,
          ) => { readonly Get: Ask; readonly GetProfile: Ask; close(): void };
        };
      };
    };
  };
}

const ignored = (): void => undefined;
const WEB = 'web.shop.svc.cluster.local:80';

describe('streams of the destination API', () => {
  const cluster = new MadeUpCluster();
  let served: Served;
  let client: DestinationClient;
  before(async () => {
    served = await serveDestinations(cluster);
    client = new DestinationClient(served.port);
  });
  after(async () => {
    client.close();
    await served.server.close();
  });
  afterEach(() => cluster.service(WEB, null));

  it('begin with all endpoints, then say what differs', async () => {
    const [a, b, c, d] = endpointsAt(4);
    cluster.service(WEB, [a, b, c]);
    const stream = client.get(WEB);
    await stream.knows([a, b, c]);
    assert.deepEqual(stream.messages.map(decodeUpdate), [{ kind: 'add', endpoints: [a, b, c] }]);
    const changed = { ...b, weight: 7 };
    cluster.service(WEB, [a, changed, d]);
    await stream.knows([a, changed, d]);
    assert.deepEqual(stream.messages.slice(1).map(decodeUpdate), [
      { kind: 'add', endpoints: [changed, d] },
      { kind: 'remove', addresses: [c.address] },
    ]);
    // The same in other objects and another order is nothing new; what comes next shows that nothing came before.
    cluster.service(WEB, [{ ...d }, { ...changed }, { ...a }]);
    cluster.service(WEB, [d, a]);
    await stream.knows([a, d]);
    assert.deepEqual(stream.messages.slice(3).map(decodeUpdate), [{ kind: 'remove', addresses: [changed.address] }]);
    stream.call.cancel();
  });

  it('tell a Service without endpoints from one that is not there', async () => {
    const [a] = endpointsAt(1);
    const stream = client.get(WEB);
    const of = async (count: number): Promise<unknown> => {
      await stream.until(({ messages }) => messages.length >= count, `message ${count}`);
      return decodeUpdate(stream.messages[count - 1]);
    };
    cluster.service(WEB, null);
    assert.deepEqual(await of(1), { kind: 'none', exists: false });
    cluster.service(WEB, []);
    assert.deepEqual(await of(2), { kind: 'none', exists: true });
    cluster.service(WEB, [a]);
    assert.deepEqual(await of(3), { kind: 'add', endpoints: [a] });
    cluster.service(WEB, []);
    assert.deepEqual(await of(4), { kind: 'none', exists: true });
    cluster.service(WEB, [a]);
    assert.deepEqual(await of(5), { kind: 'add', endpoints: [a] });
    cluster.service(WEB, null);
    assert.deepEqual(await of(6), { kind: 'none', exists: false });
    stream.call.cancel();
  });

  it('wait while nothing is known, though they are accepted', async () => {
    const stream = client.get('later.shop.svc.cluster.local:80');
    const answered = new Promise((resolve) => stream.call.once('metadata', resolve));
    await answered;
    assert.equal(stream.messages.length, 0);
    cluster.service('later.shop.svc.cluster.local:80', []);
    await stream.knows([]);
    stream.call.cancel();
  });

  it('say many changes at once in one message', async () => {
    const all = endpointsAt(50);
    cluster.service(WEB, all.slice(0, 1));
    const stream = client.get(WEB);
    await stream.knows(all.slice(0, 1));
    const before = served.told.overtaken;
    for (let count = 2; count <= all.length; count++) cluster.service(WEB, all.slice(0, count));
    await stream.knows(all);
    // The first may have gone out at once.
    assert.ok(stream.messages.length <= 3, `${stream.messages.length}`);
    assert.ok(served.told.overtaken - before >= all.length - 3);
    // There and back again is nothing to say.
    const messages = stream.messages.length;
    cluster.service(WEB, all.slice(1));
    cluster.service(WEB, all);
    cluster.service(WEB, all.slice(2));
    await stream.knows(all.slice(2));
    assert.ok(stream.messages.length <= messages + 3);
    stream.call.cancel();
  });

  it('share what is encoded, and what is watched', async () => {
    const all = endpointsAt(20);
    cluster.service(WEB, all);
    const streams = Array.from({ length: 300 }, (_, at) => client.get(WEB, { nodeName: `node-${at % 10}` }));
    await Promise.all(streams.map((stream) => stream.knows(all)));
    assert.equal(cluster.watches, 10);
    const encodings = served.told.encodings;
    cluster.service(WEB, all.slice(1));
    await Promise.all(streams.map((stream) => stream.knows(all.slice(1))));
    assert.equal(served.told.encodings, encodings + 1);
    for (const stream of streams) stream.call.cancel();
    await eventually(() => served.told.streams === 0 && cluster.watches === 0, 'all streams ended, nothing is watched');
    assert.equal(served.server.topics, 0);
  });

  it('go in several messages where there are many endpoints', async () => {
    const all = endpointsAt(20_000).map((endpoint) => ({ ...endpoint, identity: `a.b.serviceaccount.identity.c.d` }));
    cluster.service(WEB, all);
    const stream = client.get(WEB);
    await stream.until((given) => given.endpoints()?.size === all.length, 'all endpoints');
    assert.ok(stream.messages.length > 1);
    for (const { length } of stream.messages) assert.ok(length < 1.1 * (1 << 20));
    stream.call.cancel();
  });

  it('leave out what no message can name', async () => {
    const [a, b] = endpointsAt(2);
    const odd = endpointAt({ host: 'fe80::1%eth0', port: 80 });
    cluster.service(WEB, [a, odd]);
    const stream = client.get(WEB);
    await stream.knows([a]);
    cluster.service(WEB, [b]);
    await stream.knows([b]);
    stream.call.cancel();
  });

  it('tell the profile of an address, whatever it becomes', async () => {
    const address = { host: '10.96.0.1', port: 443 };
    const stream = client.profile('10.96.0.1:443');
    const becomes = async (update: Parameters<MadeUpCluster['profile']>[1]): Promise<void> => {
      const { length } = stream.messages;
      cluster.profile(address, update);
      await stream.until(({ messages }) => messages.length > length, 'a profile');
      assert.deepEqual(stream.profile(443), update);
    };
    await becomes({ kind: 'unknown' });
    const profile = {
      authority: 'api.shop.svc.cluster.local:443',
      opaque: false,
      protocol: 'http2',
      endpoint: null,
    } as const;
    await becomes({ kind: 'profile', profile });
    await becomes({ kind: 'profile', profile: { ...profile, opaque: true } });
    cluster.profile(address, { kind: 'profile', profile: { ...profile, opaque: true } });
    const [endpoint] = endpointsAt(1);
    await becomes({ kind: 'profile', profile: { ...profile, authority: '', endpoint } });
    assert.equal(stream.messages.length, 4);
    stream.call.cancel();
  });

  it('tell what a Service is to whoever asks by its name', async () => {
    const update = (opaque: boolean): ProfileUpdate => ({
      kind: 'profile',
      profile: { authority: WEB, opaque, protocol: 'auto', endpoint: null },
    });
    const named = client.profile('Web.shop.svc.cluster.local.:80');
    for (const opaque of [true, false]) {
      const { length } = named.messages;
      cluster.profile({ host: 'web.shop.svc.cluster.local', port: 80 }, update(opaque));
      await named.until(({ messages }) => messages.length > length, 'a profile');
      assert.deepEqual(named.profile(80), update(opaque));
    }
    named.call.cancel();
  });

  it('take names and contexts as Linkerd does', async () => {
    cluster.service('db-0.db.shop.svc.cluster.local:3306', []);
    cluster.service(WEB, []);
    for (const [path, asked] of [
      ['DB-0.db.shop.svc.cluster.local.:3306', { ns: 'shop', nodeName: 'node-1', pod: 'web-1' }],
      ['web.shop.svc.cluster.local', { ns: 7, nodeName: 'no such name!', pod: ['x'] }],
    ] as const) {
      const stream = client.get(path, asked);
      await stream.knows([]);
      stream.call.cancel();
    }
    assert.deepEqual(cluster.askers.slice(-2), [
      { namespace: 'shop', pod: 'web-1', node: 'node-1' },
      { namespace: '', pod: '', node: '' },
    ]);
  });

  it('refuse what is not a Service, and say why', async () => {
    for (const [path, end] of [
      ['example.com:80', 'INVALID_ARGUMENT: "example.com" is not a Service of this cluster'],
      ['web.shop.svc.other.local:80', 'INVALID_ARGUMENT: "web.shop.svc.other.local" is not a Service of this cluster'],
      ['shop.svc.cluster.local:80', 'INVALID_ARGUMENT: "shop.svc.cluster.local" is not a Service of this cluster'],
      [
        'a.b.c.d.svc.cluster.local:80',
        'INVALID_ARGUMENT: "a.b.c.d.svc.cluster.local" is not a Service of this cluster',
      ],
      ['-.shop.svc.cluster.local:80', 'INVALID_ARGUMENT: "-.shop.svc.cluster.local" is not a Service of this cluster'],
      ['web.shop.svc.cluster.local:0', 'INVALID_ARGUMENT: the path "web.shop.svc.cluster.local:0" is not HOST:PORT'],
      [
        'web.shop.svc.cluster.local:65536',
        'INVALID_ARGUMENT: the path "web.shop.svc.cluster.local:65536" is not HOST:PORT',
      ],
      ['', 'INVALID_ARGUMENT: the path "" is not HOST:PORT'],
      ['grüße:80', 'INVALID_ARGUMENT: "grüße" is not a Service of this cluster'],
      ['10.0.0.1:80', 'INVALID_ARGUMENT: addresses have only a profile; ask for the endpoints of a Service'],
    ])
      assert.equal(await client.get(path).end(), end);
    assert.equal(
      await client.profile(`${'x'.repeat(1000)}:80`).end(),
      `INVALID_ARGUMENT: "${'x'.repeat(253)}…" is not a Service of this cluster`,
    );
    assert.equal(
      await client.call('Get', Buffer.from([0x12, 0x05, 0x61])).end(),
      'INVALID_ARGUMENT: the request is garbled: field 2: the message ends before its value does',
    );
    assert.equal(
      await client.call('Get', Buffer.alloc(20_000)).end(),
      'RESOURCE_EXHAUSTED: the request has 20000 octets; 16384 are allowed',
    );
    assert.equal(await client.call('Other', Buffer.alloc(0)).end(), 'UNIMPLEMENTED: there is no such method');
  });

  it('are understood by who knows nothing but the published description', async () => {
    const loaded = loadPackageDefinition(
      loadSync(PROTO, { keepCase: true, longs: String, enums: String, oneofs: true }),
    );
    const { Destination } = (loaded as unknown as Published).io.linkerd.proxy.destination;
    const published = new Destination(`127.0.0.1:${served.port}`, credentials.createInsecure());
    const identity = 'web.shop.serviceaccount.identity.sluice.cluster.local';
    const [a] = endpointsAt(1);
    cluster.service(WEB, [{ ...a, zone: 'west', identity, proxy: { port: 4143, http2: true } }]);
    const get = published.Get({ path: WEB }).on('error', ignored);
    const [update] = await once(get, 'data');
    get.cancel();
    const [address] = update.add.addrs;
    assert.deepEqual(address.addr, { ip: { ipv4: 0x0a000001, ip: 'ipv4' }, port: 8080 });
    assert.deepEqual(address.metric_labels, { pod: 'web-1', zone: 'west' });
    assert.equal(address.tls_identity.dns_like_identity.name, identity);
    assert.deepEqual(address.protocol_hint, { h2: {}, protocol: 'h2', opaque_transport: { inbound_port: 4143 } });
    const profile = { authority: WEB, opaque: true, protocol: 'opaque', endpoint: null } as const;
    cluster.profile({ host: '10.96.0.9', port: 80 }, { kind: 'profile', profile });
    const ask = published.GetProfile({ path: '10.96.0.9:80' }).on('error', ignored);
    const [told] = await once(ask, 'data');
    ask.cancel();
    assert.deepEqual(told, {
      opaque_protocol: true,
      fully_qualified_name: 'web.shop.svc.cluster.local',
      protocol: 'OPAQUE',
    });
    published.close();
  });

  it('end when their caller waits no longer', async () => {
    cluster.service(WEB, []);
    const stream = client.get(WEB, {}, 100);
    assert.match(await stream.end(), /^DEADLINE_EXCEEDED/);
    await eventually(() => served.told.streams === 0, 'the stream is gone');
  });
});

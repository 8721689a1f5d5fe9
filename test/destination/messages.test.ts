// The destination API's messages, against the published description of them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import protobuf from 'protobufjs';
import type { ServiceProtocol } from '../../src/config/model.js';
import {
  decodeGetDestination,
  decodeProfile,
  decodeUpdate,
  encodeGetDestination,
  encodeProfile,
  encodeUpdate,
} from '../../src/destination/messages.js';
import { type Endpoint, endpointAt } from '../../src/discovery/endpoint.js';
import { ProtobufError } from '../../src/protobuf/reader.js';

const root = protobuf.loadSync(fileURLToPath(new URL('../../../proto/destination.proto', import.meta.url)));
const PACKAGE = 'io.linkerd.proxy.destination';
const NAME = 'web.shop.serviceaccount.identity.sluice.cluster.local';

/** What the published description makes of octets. */
function official(type: string, octets: Uint8Array): unknown {
  const message = root.lookupType(`${PACKAGE}.${type}`);
  return message.toObject(message.decode(octets), { longs: String, enums: String });
}

function octetsOf(type: string, value: object): Uint8Array {
  const message = root.lookupType(`${PACKAGE}.${type}`);
  return message.encode(message.fromObject(value)).finish();
}

const FULL = endpointAt(
  { host: '10.1.2.3', port: 8080 },
  {
    zone: 'west-1a',
    weight: 3,
    protocol: 'http1',
    identity: NAME,
    proxy: { port: 4143, http2: true },
    metadata: { pod: 'web-1', namespace: 'shop' },
  },
);
const FULL_FIELDS = {
  addr: { ip: { ipv4: 0x0a010203 }, port: 8080 },
  weight: 30_000,
  metric_labels: { pod: 'web-1', namespace: 'shop', zone: 'west-1a' },
  tls_identity: { dns_like_identity: { name: NAME }, server_name: { name: NAME } },
  protocol_hint: { h2: {}, opaque_transport: { inbound_port: 4143 } },
  protocol: 'HTTP1',
};
/** With the library's own spelling of names. */
const camel = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value).replace(
      /"([a-z]+_[a-z0-9_]+)":/g,
      (_, name: string) => `"${name.replace(/_(.)/g, (_match, letter: string) => letter.toUpperCase())}":`,
    ),
  );

const PROTOCOLS: readonly ServiceProtocol[] = ['auto', 'http1', 'http2', 'opaque'];
const PLAIN = { noNullPrototype: true } as const;
const words = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/);
const ports = fc.integer({ min: 1, max: 65_535 });
const hosts = fc.oneof(fc.ipV4(), fc.constantFrom('::1', 'fd00::1:2', '2001:db8:1:2:3:4:5:6', '::', 'ffff::'));
const endpoints: fc.Arbitrary<Endpoint> = fc
  .record({
    address: fc.record({ host: hosts, port: ports }, PLAIN),
    zone: fc.oneof(fc.constant(''), words),
    weight: fc.integer({ min: 1, max: 65_535 }),
    protocol: fc.constantFrom(...PROTOCOLS),
    identity: fc.constantFrom('', NAME, 'spiffe://cluster.local/ns/shop/sa/web'),
    proxy: fc.record({ port: fc.oneof(fc.constant(0), ports), http2: fc.boolean() }, PLAIN),
    metadata: fc.dictionary(
      words.filter((word) => word !== 'zone'),
      fc.string({ unit: 'grapheme' }),
      { maxKeys: 5, noNullPrototype: true },
    ),
  })
  // What is opaque is asked for nothing by HTTP/2.
  .map((known) => ({ ...known, proxy: { ...known.proxy, http2: known.proxy.http2 && known.protocol !== 'opaque' } }));

describe('messages of the destination API', () => {
  it('a request has what Linkerd gives it', () => {
    const request = {
      scheme: 'k8s',
      path: 'web.shop.svc.cluster.local:80',
      contextToken: '{"ns":"shop","nodeName":"n"}',
    };
    assert.deepEqual(official('GetDestination', encodeGetDestination(request)), request);
    assert.deepEqual(decodeGetDestination(encodeGetDestination(request)), request);
    assert.deepEqual(decodeGetDestination(new Uint8Array()), { scheme: '', path: '', contextToken: '' });
  });

  it('an endpoint is told with identity, hints, weight, zone and labels', () => {
    const octets = encodeUpdate({ kind: 'add', endpoints: [FULL] });
    assert.deepEqual(official('Update', octets), camel({ add: { addrs: [FULL_FIELDS] } }));
    assert.deepEqual(decodeUpdate(octets), { kind: 'add', endpoints: [FULL] });
  });

  it('each hint has its own message', () => {
    const hintOf = (endpoint: Endpoint): unknown => {
      const update = official('Update', encodeUpdate({ kind: 'add', endpoints: [endpoint] }));
      return (update as { add: { addrs: { protocolHint?: object }[] } }).add.addrs[0].protocolHint;
    };
    const at = { host: '10.0.0.1', port: 80 };
    assert.equal(hintOf(endpointAt(at)), undefined);
    assert.deepEqual(hintOf(endpointAt(at, { proxy: { port: 0, http2: true } })), { h2: {} });
    assert.deepEqual(hintOf(endpointAt(at, { protocol: 'opaque' })), { opaque: {} });
    const opaque = endpointAt(at, { protocol: 'opaque', proxy: { port: 4143, http2: true } });
    assert.deepEqual(hintOf(opaque), { opaque: {}, opaqueTransport: { inboundPort: 4143 } });
  });

  it('endpoints come back as they were', () => {
    fc.assert(
      fc.property(fc.array(endpoints, { maxLength: 5 }), (list) => {
        const octets = encodeUpdate({ kind: 'add', endpoints: list });
        assert.deepEqual(decodeUpdate(octets), { kind: 'add', endpoints: list });
        official('Update', octets);
        const addresses = list.map(({ address }) => address);
        assert.deepEqual(decodeUpdate(encodeUpdate({ kind: 'remove', addresses })), { kind: 'remove', addresses });
      }),
      { numRuns: 200 },
    );
  });

  it("what Linkerd's control plane sends is understood", () => {
    const octets = octetsOf('Update', {
      add: {
        addrs: [
          {
            addr: { ip: { ipv6: { first: '18302628885633695744', last: '7' } }, port: 4143 },
            weight: 10_000,
            metricLabels: { pod: 'p' },
          },
          {
            addr: { ip: { ipv4: 1 }, port: 1 },
            tlsIdentity: { uriLikeIdentity: { uri: 'spiffe://td/a' } },
            metricLabels: { zone: 'z' },
          },
        ],
        metricLabels: { service: 's', pod: 'of the set' },
      },
    });
    assert.deepEqual(decodeUpdate(octets), {
      kind: 'add',
      endpoints: [
        endpointAt({ host: 'fe00::7', port: 4143 }, { metadata: { service: 's', pod: 'p' } }),
        endpointAt(
          { host: '0.0.0.1', port: 1 },
          { zone: 'z', identity: 'spiffe://td/a', metadata: { service: 's', pod: 'of the set' } },
        ),
      ],
    });
    for (const exists of [true, false]) {
      const none = { kind: 'none', exists } as const;
      assert.deepEqual(decodeUpdate(octetsOf('Update', { noEndpoints: { exists } })), none);
      assert.deepEqual(official('Update', encodeUpdate(none)), { noEndpoints: exists ? { exists } : {} });
    }
    assert.deepEqual(decodeUpdate(new Uint8Array()), { kind: 'other' });
  });

  it('a profile names the Service without its port, and the address that was asked for has it', () => {
    const profile = {
      authority: 'web.shop.svc.cluster.local:80',
      opaque: true,
      protocol: 'http2',
      endpoint: null,
    } as const;
    const octets = encodeProfile({ kind: 'profile', profile });
    assert.deepEqual(official('DestinationProfile', octets), {
      opaqueProtocol: true,
      fullyQualifiedName: 'web.shop.svc.cluster.local',
      protocol: 'HTTP2',
    });
    assert.deepEqual(decodeProfile(octets, 80), { kind: 'profile', profile });
    const pod = { authority: '', opaque: false, protocol: 'auto', endpoint: FULL } as const;
    const ofPod = encodeProfile({ kind: 'profile', profile: pod });
    assert.deepEqual(official('DestinationProfile', ofPod), { endpoint: camel(FULL_FIELDS) });
    assert.deepEqual(decodeProfile(ofPod, 8080), { kind: 'profile', profile: pod });
    assert.deepEqual(decodeProfile(encodeProfile({ kind: 'unknown' }), 1), { kind: 'unknown' });
  });

  it('refuses addresses that are none', () => {
    for (const addr of [
      undefined,
      {},
      { port: 80 },
      { ip: { ipv4: 1 } },
      { ip: { ipv4: 1 }, port: 65_536 },
      { ip: {}, port: 1 },
    ])
      assert.throws(
        () => decodeUpdate(octetsOf('Update', { add: { addrs: [addr === undefined ? {} : { addr }] } })),
        ProtobufError,
      );
    const labels = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`label${at}`, '']));
    assert.throws(() => decodeUpdate(octetsOf('Update', { add: { metricLabels: labels } })), ProtobufError);
  });

  it('garbage is a ProtobufError', () => {
    const garbage = fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.array(endpoints, { maxLength: 3 }).chain((list) => {
        const octets = encodeUpdate({ kind: 'add', endpoints: list });
        return fc.tuple(fc.nat(octets.length - 1), fc.nat(255)).map(([at, octet]) => {
          octets[at] = octet;
          return octets;
        });
      }),
    );
    fc.assert(
      fc.property(garbage, (octets) => {
        for (const decode of [decodeUpdate, decodeGetDestination, (given: Uint8Array) => decodeProfile(given, 80)])
          try {
            decode(octets);
          } catch (error) {
            assert.ok(error instanceof ProtobufError, String(error));
          }
      }),
      { numRuns: 1000 },
    );
  });
});

// The controller's destination service and grpc-go, which knows it by its description (proto/destination.proto) alone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ControllerFiles, type ControllerProcess, startController } from '../support/controller.js';
import { lacking, peerClient } from './peers.js';

interface Heard {
  readonly status: string;
  readonly said: string;
  /** As protobuf's JSON has messages. */
  readonly told: readonly object[] | null;
}

const DESCRIPTION = fileURLToPath(new URL('../../../proto/destination.proto', import.meta.url));
const NAME = 'web.shop.serviceaccount.identity.sluice.cluster.local';
const OURS = 'sluice-destination.sluice.serviceaccount.identity.sluice.cluster.local';
const LINKERDS = 'linkerd-destination.sluice.serviceaccount.identity.sluice.cluster.local';
const WEB = 'web.shop.svc.cluster.local';

const WEB_1 = {
  address: '10.0.0.1:8080',
  zone: 'west-1a',
  identity: NAME,
  proxy: { port: 4143, http2: true },
  metadata: { pod: 'web-1' },
};
const WEB_2 = { address: '[fd00::2]:8080', weight: 3, protocol: 'http2' };
const DATABASE = { address: '10.0.0.3:4406', protocol: 'opaque', identity: NAME, proxy: { port: 4143, http2: true } };

/** 10.0.0.1, and fd00::2. */
const FOUR = { ipv4: 167_772_161 };
const SIX = { ipv6: { first: String(0xfd00n << 48n), last: '2' } };

describe('the destination service and grpc-go', { skip: lacking('go') }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-destinations-'));
  const path = (name: string): string => join(directory, name);
  let files: ControllerFiles;
  let controller: ControllerProcess;

  before(async () => {
    files = new ControllerFiles(directory);
    files.describe({
      [`${WEB}:80 10.96.0.1 http1`]: [WEB_1, WEB_2],
      'empty.shop.svc.cluster.local:80 10.96.0.2': [],
      'db.shop.svc.cluster.local:4406 10.96.0.3 opaque': [DATABASE],
    });
    const { cert, key } = await files.certified(NAME);
    writeFileSync(path('certificate.pem'), cert);
    writeFileSync(path('key.pem'), key);
    controller = await startController(files.arguments);
  });
  after(async () => {
    await controller.stop();
    rmSync(directory, { recursive: true });
  });

  const ask = (method: 'Get' | 'GetProfile', asked: string, ...more: (string | number)[]): Promise<Heard> => {
    const own = [
      '-proto',
      DESCRIPTION,
      '-anchors',
      files.path('anchors.pem'),
      '-certificate',
      path('certificate.pem'),
      '-key',
      path('key.pem'),
    ];
    const to = ['-server', OURS, '-method', method, '-path', asked];
    return peerClient<Heard>('go', 'destinations', `127.0.0.1:${controller.ports.destination}`, ...own, ...to, ...more);
  };

  it('tells endpoints with all that is known of them', async () => {
    const context = JSON.stringify({ ns: 'shop', pod: 'web-9', nodeName: 'node-1' });
    const { status, told } = await ask('Get', `${WEB}:80`, '-context', context);
    const tlsIdentity = { dnsLikeIdentity: { name: NAME }, serverName: { name: NAME } };
    const first = {
      addr: { ip: FOUR, port: 8080 },
      weight: 10_000,
      metricLabels: { pod: 'web-1', zone: 'west-1a' },
      tlsIdentity,
      protocolHint: { h2: {}, opaqueTransport: { inboundPort: 4143 } },
    };
    assert.equal(status, 'OK');
    assert.deepEqual(told, [
      { add: { addrs: [first, { addr: { ip: SIX, port: 8080 }, weight: 30_000, protocol: 'HTTP2' }] } },
    ]);
  });

  it('tells Services without endpoints from those that are not there, and refuses what is none', async () => {
    const empty = await ask('Get', 'empty.shop.svc.cluster.local:80');
    assert.deepEqual(empty.told, [{ noEndpoints: { exists: true } }]);
    const nobody = await ask('Get', 'nobody.shop.svc.cluster.local:80');
    assert.deepEqual(nobody.told, [{ noEndpoints: {} }]);
    for (const none of ['example.com:80', '10.96.0.1:80', 'web.shop:99999']) {
      const { status, told } = await ask('Get', none);
      assert.deepEqual([none, status, told], [none, 'InvalidArgument', null]);
    }
  });

  it('tells what is behind an address', async () => {
    const service = await ask('GetProfile', '10.96.0.1:80');
    assert.deepEqual(service.told, [{ fullyQualifiedName: WEB, protocol: 'HTTP1' }]);
    const database = await ask('GetProfile', '10.96.0.3:4406');
    const name = 'db.shop.svc.cluster.local';
    assert.deepEqual(database.told, [{ fullyQualifiedName: name, opaqueProtocol: true, protocol: 'OPAQUE' }]);
    const [pod] = (await ask('GetProfile', '10.0.0.3:4406')).told ?? [];
    const tlsIdentity = { dnsLikeIdentity: { name: NAME }, serverName: { name: NAME } };
    const protocolHint = { opaque: {}, opaqueTransport: { inboundPort: 4143 } };
    const addr = { ip: { ipv4: FOUR.ipv4 + 2 }, port: 4406 };
    const protocol = 'OPAQUE';
    const endpoint = { addr, weight: 10_000, tlsIdentity, protocolHint, protocol };
    assert.deepEqual(pod, { opaqueProtocol: true, protocol, endpoint });
    assert.deepEqual((await ask('GetProfile', '192.0.2.1:80')).told, [{}]);
  });

  it('tells what changes, and under the name that Linkerd has for it', async () => {
    const changing = ask('Get', `${WEB}:80`, '-messages', 2, '-server', LINKERDS);
    const metric = async (): Promise<string> => (await controller.page('/metrics')).body;
    while (!/^sluice_destination_streams\{method="get"\} 1$/m.test(await metric())) await new Promise(setImmediate);
    files.describe({ [`${WEB}:80 10.96.0.1 http1`]: [WEB_1] });
    const { told } = await changing;
    assert.deepEqual(told?.[1], { remove: { addrs: [{ ip: SIX, port: 8080 }] } });
  });
});

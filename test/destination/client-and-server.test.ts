// Our client at our server: what one writes the other reads.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { DestinationClient } from '../../src/destination/client/client.js';
import { noLookupCounts } from '../../src/destination/counts.js';
import type { EndpointsUpdate, ProfileUpdate } from '../../src/destination/lookup.js';
import { endpointAt } from '../../src/discovery/endpoint.js';
import { endpointsAt, MadeUpCluster, type Served, serveDestinations } from '../support/destination.js';
import { meshName, Pki } from '../support/pki.js';
import { Waiting } from '../support/waiting.js';

const AUTHORITY = 'web.shop.svc.cluster.local:80';
const ASKER = { namespace: 'shop', pod: 'web-0', node: 'here' };
const SERVER = meshName('destination');
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

describe('a client and a server of the destination API', () => {
  const cluster = new MadeUpCluster();
  const waiting = new Waiting();
  const counts = noLookupCounts();
  let served: Served;
  let client: DestinationClient;
  before(async () => {
    const pki = await Pki.make();
    const [server, own] = [await pki.leaf({ dns: [SERVER] }), await pki.leaf({ dns: [meshName('web', 'shop')] })];
    const tls = { cert: server.chain, key: server.key, ca: pki.anchor };
    served = await serveDestinations(cluster, { tls });
    const name = meshName('web', 'shop');
    const identity = {
      chain: own.chain,
      key: own.key,
      anchors: [pki.anchor],
      name,
      names: [name],
      serverNames: [name],
    };
    client = new DestinationClient(
      {
        host: '127.0.0.1',
        port: served.port,
        serverName: SERVER,
        timeoutMs: 30_000,
        minBackoffMs: 10,
        maxBackoffMs: 100,
        keepAliveMs: 10_000,
        keepAliveTimeoutMs: 30_000,
        maxMessageBytes: 4_194_304,
        maxEndpoints: 10_000,
      },
      {
        logger: SILENT,
        counts,
        identity: () => ({ ...identity, notBeforeMs: 0, notAfterMs: 0 }),
        random: Math.random,
      },
    );
    client.start();
  });
  after(async () => {
    client.stop();
    await served.server.close();
  });

  it('agree on profiles', async () => {
    const address = { host: '10.96.0.1', port: 80 };
    const told: ProfileUpdate[] = [];
    const watch = client.watchProfile(address, ASKER, (update) => {
      told.push(update);
      waiting.wake();
    });
    const updates: readonly ProfileUpdate[] = [
      { kind: 'profile', profile: { authority: AUTHORITY, opaque: false, protocol: 'http2', endpoint: null } },
      { kind: 'profile', profile: { authority: AUTHORITY, opaque: true, protocol: 'auto', endpoint: null } },
      {
        kind: 'profile',
        profile: {
          authority: '',
          opaque: false,
          protocol: 'auto',
          endpoint: endpointAt(
            { host: 'fd00::7', port: 80 },
            { zone: 'a', identity: meshName('web'), proxy: { port: 4143, http2: true }, protocol: 'http1' },
          ),
        },
      },
      { kind: 'unknown' },
    ];
    for (const update of updates) {
      cluster.profile(address, update);
      await waiting.until(
        () => JSON.stringify(told.at(-1)) === JSON.stringify(update),
        () => `${JSON.stringify(update)} (told: ${JSON.stringify(told.at(-1))})`,
      );
    }
    watch.stop();
  });

  it('agree on thousands of endpoints, and on what becomes of them', async () => {
    let told: EndpointsUpdate | null = null;
    cluster.service(AUTHORITY, endpointsAt(5000));
    const watch = client.watchEndpoints(AUTHORITY, ASKER, (update) => {
      told = update;
      waiting.wake();
    });
    const hosts = (): string[] => (told?.kind === 'endpoints' ? told.endpoints.map(({ address }) => address.host) : []);
    await waiting.until(
      () => hosts().length === 5000,
      () => `5000 endpoints, ${hosts().length} are there`,
    );
    cluster.service(AUTHORITY, endpointsAt(4999, 3));
    const wanted = endpointsAt(4999, 3)
      .map(({ address }) => address.host)
      .sort();
    await waiting.until(
      () => JSON.stringify([...hosts()].sort()) === JSON.stringify(wanted),
      () => 'two that went and one that came',
    );
    cluster.service(AUTHORITY, null);
    await waiting.until(
      () => told?.kind === 'unknown',
      () => 'no service',
    );
    watch.stop();
  });

  it('agree on who asks, and for which addresses', async () => {
    const asker = { ...ASKER, node: 'there', family: 6 } as const;
    cluster.service(AUTHORITY, []);
    let told = 0;
    const watch = client.watchEndpoints(AUTHORITY, asker, () => {
      told++;
      waiting.wake();
    });
    await waiting.until(
      () => told > 0,
      () => 'an answer',
    );
    assert.deepEqual(cluster.askers.at(-1), asker);
    watch.stop();
  });

  it('agree on a Service that is asked for by its name', async () => {
    const address = { host: 'db.shop.svc.cluster.local', port: 3306 };
    const authority = 'db.shop.svc.cluster.local:3306';
    const update: ProfileUpdate = {
      kind: 'profile',
      profile: { authority, opaque: true, protocol: 'opaque', endpoint: null },
    };
    cluster.profile(address, update);
    let told: ProfileUpdate | null = null;
    const watch = client.watchProfile(address, ASKER, (said) => {
      told = said;
      waiting.wake();
    });
    await waiting.until(
      () => told !== null,
      () => 'a profile',
    );
    assert.deepEqual(told, update);
    watch.stop();
  });

  it('have nothing to complain of', () => {
    assert.equal(
      Object.values(counts.failures).reduce((sum, count) => sum + count, 0),
      0,
    );
    assert.equal(counts.connected, true);
  });
});

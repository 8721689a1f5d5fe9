// Which addresses lead to which services, by a cluster that a test makes up.
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { defaultService } from '../../src/config/build.js';
import type { ServiceConfig } from '../../src/config/model.js';
import { parseNetwork } from '../../src/config/networks.js';
import { noLookupCounts } from '../../src/destination/counts.js';
import { type Endpoint, endpointAt } from '../../src/discovery/endpoint.js';
import { DynamicServices } from '../../src/supervisor/dynamic-services.js';
import { LookupResolver } from '../../src/supervisor/lookup-resolver.js';
import { MadeUpCluster } from '../support/destination.js';

const HOLDER = '0|1';
const PROFILE = { opaque: false, protocol: 'auto', endpoint: null } as const;
const at = (host: string): Endpoint =>
  endpointAt({ host, port: 8080 }, { identity: 'web', proxy: { port: 4143, http2: true } });

class Harness {
  readonly cluster = new MadeUpCluster();
  readonly counts = noLookupCounts();
  readonly logged: string[] = [];
  readonly changed: string[] = [];
  readonly settings = new Map<string, ServiceConfig>();
  readonly endpoints = new Map<string, readonly Endpoint[]>();
  readonly released: string[] = [];
  slots = 100;
  waitMs = 30_000;
  readonly resolver: LookupResolver;

  /** A name that the configuration has. */
  configured = '';
  readonly services: DynamicServices;

  constructor({ meshed = true, max = 100, configured = '' } = {}) {
    this.configured = configured;
    const services = new DynamicServices({
      isConfigured: (name) => name === this.configured,
      acquire: () => {
        if (this.slots-- <= 0) throw new Error('there is no room');
      },
      tell: (service) => this.settings.set(service.name, service),
      endpoints: (name, endpoints) => this.endpoints.set(name, endpoints),
      release: (name) => {
        this.released.push(name);
        this.settings.delete(name);
        this.endpoints.delete(name);
      },
    });
    this.services = services;
    this.resolver = new LookupResolver({
      lookup: this.cluster,
      requester: { namespace: 'shop', pod: 'web-0', node: 'here' },
      networks: [parseNetwork('10.0.0.0/8')],
      waitMs: () => this.waitMs,
      max: () => max,
      meshed,
      defaults: defaultService('none'),
      services,
      changed: ({ host, port }) => this.changed.push(`${host}:${port}`),
      counts: this.counts,
      logger: { warn: (message) => this.logged.push(message) },
    });
  }

  service(host: string, authority: string, endpoints: readonly Endpoint[]): void {
    this.cluster.service(authority, endpoints);
    this.cluster.profile({ host, port: 80 }, { kind: 'profile', profile: { ...PROFILE, authority } });
  }

  async ask(host: string, holder = HOLDER): Promise<string | null> {
    const service = await this.resolver.resolve(host, 80, holder);
    return service === null ? null : `${service.protocol} ${service.name}`;
  }
}

let harness: Harness;
afterEach(() => harness.resolver.stop());

describe('a resolver over a lookup', () => {
  it('has one service for all addresses that lead to it', async () => {
    harness = new Harness();
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    harness.service('10.0.0.2', 'web:80', [at('10.1.0.1')]);
    assert.equal(await harness.ask('10.0.0.1'), 'auto web:80');
    assert.equal(await harness.ask('10.0.0.2'), 'auto web:80');
    assert.deepEqual(harness.endpoints.get('web:80'), [at('10.1.0.1')]);
    assert.equal(harness.counts.addresses, 2);
    assert.equal(harness.counts.services, 1);
    assert.equal(harness.cluster.watches, 3);
    harness.resolver.forget('10.0.0.1', 80, HOLDER);
    assert.deepEqual(harness.released, []);
    harness.resolver.forget('10.0.0.2', 80, HOLDER);
    assert.deepEqual(harness.released, ['web:80']);
    assert.equal(harness.cluster.watches, 0);
  });

  it('holds on to an address as long as anybody does', async () => {
    harness = new Harness();
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    await harness.ask('10.0.0.1', '0|1');
    await harness.ask('10.0.0.1', '1|1');
    await harness.ask('10.0.0.1', '10|1');
    harness.resolver.forget('10.0.0.1', 80, '0|1');
    harness.resolver.forgetAll('1|');
    assert.equal(harness.counts.addresses, 1);
    harness.resolver.forgetAll('10|');
    assert.equal(harness.counts.addresses, 0);
  });

  it('asks about the networks of the cluster only', async () => {
    harness = new Harness();
    assert.equal(await harness.ask('192.0.2.1'), null);
    assert.equal(harness.cluster.watches, 0);
  });

  it('answers in time, and tells when it knows better', async () => {
    harness = new Harness();
    harness.waitMs = 1;
    assert.equal(await harness.ask('10.0.0.1'), null);
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    assert.deepEqual(harness.changed, ['10.0.0.1:80']);
    assert.equal(await harness.ask('10.0.0.1'), 'auto web:80');
    // The same again is nothing to tell.
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.2')]);
    assert.equal(harness.changed.length, 1);
    harness.cluster.profile({ host: '10.0.0.1', port: 80 }, { kind: 'unknown' });
    assert.equal(harness.changed.length, 2);
    assert.equal(await harness.ask('10.0.0.1'), null);
  });

  it('is opaque where the Service says so, or all of its pods', async () => {
    harness = new Harness();
    const opaque = { ...at('10.1.0.1'), protocol: 'opaque' } as const;
    harness.service('10.0.0.1', 'db:80', [opaque]);
    assert.equal(await harness.ask('10.0.0.1'), 'opaque db:80');
    harness.service('10.0.0.1', 'db:80', [opaque, at('10.1.0.2')]);
    assert.equal(await harness.ask('10.0.0.1'), 'auto db:80');
    const profile = { ...PROFILE, authority: 'db:80', opaque: true };
    harness.cluster.profile({ host: '10.0.0.1', port: 80 }, { kind: 'profile', profile });
    assert.equal(await harness.ask('10.0.0.1'), 'opaque db:80');
    assert.deepEqual(harness.changed, ['10.0.0.1:80', '10.0.0.1:80']);
  });

  it('knows pods by themselves, and in plain text what has an identity where there is none of our own', async () => {
    harness = new Harness({ meshed: false });
    const profile = { ...PROFILE, authority: '', endpoint: at('10.0.0.9') };
    harness.cluster.profile({ host: '10.0.0.9', port: 80 }, { kind: 'profile', profile });
    assert.equal(await harness.ask('10.0.0.9'), 'auto 10.0.0.9:80');
    assert.deepEqual(harness.endpoints.get('10.0.0.9:80'), [endpointAt({ host: '10.0.0.9', port: 8080 })]);
  });

  it('stays with the service that it has until something is known of the next one', async () => {
    harness = new Harness();
    harness.service('10.0.0.1', 'old:80', [at('10.1.0.1')]);
    await harness.ask('10.0.0.1');
    const profile = { ...PROFILE, authority: 'new:80' };
    harness.cluster.profile({ host: '10.0.0.1', port: 80 }, { kind: 'profile', profile });
    assert.deepEqual(harness.changed, []);
    assert.deepEqual(harness.endpoints.get('old:80'), [at('10.1.0.1')]);
    harness.cluster.service('new:80', [at('10.1.0.2')]);
    assert.deepEqual(harness.changed, ['10.0.0.1:80']);
    assert.equal(await harness.ask('10.0.0.1'), 'auto new:80');
    assert.deepEqual(harness.released, [], 'workers may not have heard of it yet');
  });

  it('has no room for more than there may be, says so once, and counts', async () => {
    harness = new Harness({ max: 2 });
    harness.slots = 1;
    for (const number of [1, 2, 3, 4]) harness.service(`10.0.0.${number}`, `web-${number}:80`, [at('10.1.0.1')]);
    assert.equal(await harness.ask('10.0.0.1'), 'auto web-1:80');
    assert.equal(await harness.ask('10.0.0.2'), null);
    assert.equal(await harness.ask('10.0.0.3'), null);
    assert.equal(await harness.ask('10.0.0.4'), null);
    assert.equal(harness.counts.refused, 3);
    assert.equal(harness.logged.length, 1);
    assert.equal(harness.counts.addresses, 2);
  });

  it('bears somebody who dials one address after another', async () => {
    harness = new Harness({ max: 50 });
    const asked: Promise<string | null>[] = [];
    for (let number = 0; number < 100_000; number++) {
      const host = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
      asked.push(harness.ask(host));
    }
    assert.equal(harness.cluster.watches, 50);
    assert.equal(harness.counts.refused, 99_950);
    assert.equal(harness.logged.length, 1);
    // As a worker forgets what nobody uses, whoever waits goes where it was going.
    harness.resolver.forgetAll('0|');
    assert.ok((await Promise.all(asked)).every((answer) => answer === null));
    assert.equal(harness.cluster.watches, 0);
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    assert.equal(await harness.ask('10.0.0.1'), 'auto web:80');
  });

  it('leaves a name to the configuration that has it', async () => {
    harness = new Harness({ configured: 'web:80' });
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    assert.equal(await harness.ask('10.0.0.1'), null);
    assert.equal(harness.settings.size, 0);
  });

  it('leaves a name to a configuration that takes it later, until that gives it back', async () => {
    harness = new Harness();
    harness.service('10.0.0.1', 'web:80', [at('10.1.0.1')]);
    assert.equal(await harness.ask('10.0.0.1'), 'auto web:80');
    harness.configured = 'web:80';
    harness.services.drop('web:80');
    assert.equal(harness.resolver.peek('10.0.0.1', 80), null);
    assert.equal(await harness.ask('10.0.0.1'), null);
    harness.configured = '';
    assert.equal(await harness.ask('10.0.0.1'), 'auto web:80');
    assert.deepEqual(harness.endpoints.get('web:80'), [at('10.1.0.1')]);
  });

  it('knows what an address speaks that is neither a Service nor a pod', async () => {
    harness = new Harness();
    const profile = { ...PROFILE, authority: '', opaque: true };
    harness.cluster.profile({ host: '10.0.0.7', port: 80 }, { kind: 'profile', profile });
    assert.equal(await harness.ask('10.0.0.7'), 'opaque 10.0.0.7:80');
    assert.deepEqual(harness.endpoints.get('10.0.0.7:80'), [endpointAt({ host: '10.0.0.7', port: 80 })]);
    harness.cluster.profile({ host: '10.0.0.7', port: 80 }, { kind: 'unknown' });
    assert.equal(await harness.ask('10.0.0.7'), null);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Address, EndpointSource, ServiceConfig } from '../../src/config/model.js';
import { Discovery } from '../../src/discovery/discovery.js';
import { DnsSource, type NameCounts } from '../../src/discovery/dns-source.js';
import { type Endpoint, endpointAt } from '../../src/discovery/endpoint.js';
import { DnsEndpointResolver, type EndpointResolver, type Resolution } from '../../src/discovery/resolver.js';
import type { DiscoveryLogger, Report, Source, Sources, Timers, WatchSpec } from '../../src/discovery/source.js';
import { StaticSource } from '../../src/discovery/static-source.js';
import { addressText, sourceText } from '../../src/discovery/text.js';
import { fixed, service } from '../policy/fixture.js';
import { startDnsServer } from './dns-server.js';

const dns = (name: string, port = 80): EndpointSource => ({ kind: 'dns', name, port });

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const texts = (endpoints: readonly Endpoint[]): string =>
  endpoints.map(({ address }) => addressText(address)).join(' ');

const noFiles: Source = {
  watch: () => {
    throw new Error('there are no files here');
  },
};

const dnsSources = (
  resolver: EndpointResolver,
  logger: DiscoveryLogger,
  timers?: Timers,
  counts = new Set<NameCounts>(),
): Sources => {
  const source = new DnsSource({ resolver, logger, counts, ...(timers === undefined ? {} : { timers }) });
  return { static: new StaticSource(), dns: source, srv: source, file: noFiles };
};

/** Discovery with a scripted resolver and timers that fire on demand. */
function setUp() {
  const answers = new Map<string, string[] | Error>();
  const extra = new Map<string, Partial<Resolution>>();
  const asked: string[] = [];
  const reports: string[] = [];
  const logs: string[] = [];
  const timers: { callback: () => void; delayMs: number }[] = [];
  /** Ends of the wait for names. */
  const waits: (() => void)[] = [];
  const resolver: EndpointResolver = {
    resolve: async (source) => {
      asked.push(sourceText(source));
      const answer = (await answers.get(source.name)) ?? Object.assign(new Error('no'), { code: 'ENOTFOUND' });
      if (answer instanceof Error) throw answer;
      const port = source.kind === 'dns' ? source.port : 1;
      const addresses: Address[] = answer.map((host) => ({ host, port }));
      return { addresses, ttlMs: null, unknownFamilies: [], ...extra.get(source.name) };
    },
  };
  const logger: DiscoveryLogger = {
    info: (message) => logs.push(`info ${message}`),
    warn: (message, fields) => logs.push(`warn ${message}: ${fields?.reason}`),
    error: (message) => logs.push(`error ${message}`),
  };
  const counts = new Set<NameCounts>();
  const sources = dnsSources(
    resolver,
    logger,
    {
      set: (callback, delayMs) => {
        const timer = { callback, delayMs };
        timers.push(timer);
        return timer;
      },
      clear: (timer) => {
        const at = (timers as unknown[]).indexOf(timer);
        if (at >= 0) timers.splice(at, 1);
      },
    },
    counts,
  );
  const discovery = new Discovery({
    sources,
    startWaitMs: () => 500,
    timers: { set: (callback) => waits.push(callback), clear: () => undefined },
    onEndpoints: (name, endpoints, resolved) => reports.push(`${name}: ${resolved ? texts(endpoints) : 'unresolved'}`),
  });
  /** Fires the next timer; returns the delay it had. */
  const fire = async (): Promise<number> => {
    const timer = timers.shift();
    assert.ok(timer !== undefined, 'no timer is set');
    timer.callback();
    await settled();
    return timer.delayMs;
  };
  return { discovery, answers, extra, asked, reports, logs, timers, waits, counts, fire };
}

const web = (endpoints: readonly EndpointSource[], overrides: Partial<ServiceConfig> = {}) =>
  service('web', endpoints, overrides);

describe('discovery', () => {
  it('reports every service once at the start, endpoints in the order of the sources and each once', async () => {
    const { discovery, answers, reports } = setUp();
    answers.set('a.example', ['10.0.0.3', '10.0.0.1']);
    await discovery.start([
      web([dns('a.example'), fixed('10.0.0.2', 80), fixed('10.0.0.1', 80)]),
      service('db', [fixed('10.0.0.9', 5432)]),
    ]);
    assert.deepEqual(reports, ['web: 10.0.0.3:80 10.0.0.1:80 10.0.0.2:80', 'db: 10.0.0.9:5432']);
    assert.deepEqual(discovery.endpoints('db'), [endpointAt({ host: '10.0.0.9', port: 5432 })]);
    assert.deepEqual(discovery.endpoints('unknown'), []);
  });

  it('gives endpoints the name that the configuration has for them, and takes a change of it at once', async () => {
    const { discovery, answers } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    const identities = () => discovery.endpoints('web').map(({ identity }) => identity);
    await discovery.start([
      web([
        { kind: 'dns', name: 'a.example', port: 80, identity: 'web.default' },
        { kind: 'static', address: { host: '10.0.0.2', port: 80 }, identity: 'spiffe://a/b' },
        fixed('10.0.0.3', 80),
      ]),
    ]);
    assert.deepEqual(identities(), ['web.default', 'spiffe://a/b', '']);
    await discovery.update([web([{ kind: 'dns', name: 'a.example', port: 80, identity: 'other' }])]);
    assert.deepEqual(identities(), ['other']);
    await discovery.update([web([dns('a.example')])]);
    assert.deepEqual(identities(), ['']);
  });

  it('starts without what does not resolve, says so once, and takes it when it does', async () => {
    const { discovery, answers, reports, logs, fire, counts } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    answers.set('slow.example', Object.assign(new Error('queryA ETIMEOUT'), { code: 'ETIMEOUT' }));
    await discovery.start([web([dns('a.example'), dns('typo.example')]), service('db', [dns('slow.example', 5432)])]);
    assert.deepEqual(reports, ['web: 10.0.0.1:80', 'db: unresolved']);
    assert.deepEqual(
      logs.map((line) => line.slice(0, 70)),
      Array(2).fill('warn endpoint does not resolve; its service goes without it until it does'.slice(0, 70)),
    );
    assert.deepEqual(discovery.unready(), [
      { service: 'db', reasons: ['slow.example:5432: the DNS server did not answer in time (ETIMEOUT)'] },
    ]);
    answers.set('slow.example', Object.assign(new Error('queryA EDESTRUCTION'), { code: 'EDESTRUCTION' }));
    for (let i = 0; i < 3; i++) await fire();
    assert.equal(logs.length, 2, 'another reason is no other outage');
    answers.set('slow.example', ['10.0.0.9']);
    for (let i = 0; i < 3; i++) await fire();
    assert.deepEqual(logs.slice(2), ['info endpoint resolves now']);
    assert.deepEqual(reports.slice(2), ['db: 10.0.0.9:5432']);
    assert.deepEqual(discovery.unready(), []);
    const slow = [...counts].find(({ name }) => name === 'slow.example:5432');
    assert.ok(slow !== undefined && slow.failures === 2 && slow.lastSuccess > 1_700_000_000);
  });

  it('does not wait long for a name that nobody answers for', async () => {
    const { discovery, answers, reports, asked, waits } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    const silent = new Promise<string[]>(() => undefined);
    answers.set('silent.example', silent as unknown as string[]);
    let started = false;
    const starting = discovery.start([web([dns('a.example')]), service('db', [dns('silent.example')])]).then(() => {
      started = true;
    });
    await settled();
    assert.equal(started, false);
    assert.deepEqual(asked, ['a.example:80', 'silent.example:80']);
    waits[0]();
    await starting;
    assert.deepEqual(reports, ['web: 10.0.0.1:80', 'db: unresolved']);
    assert.deepEqual(discovery.unready(), [{ service: 'db', reasons: ['silent.example:80: no answer yet'] }]);
  });

  it('asks again after the TTL, within the bounds of the service', async () => {
    for (const [ttlMs, delay] of [
      [0, 1000],
      [7000, 7000],
      [3_600_000, 60_000],
      [null, 5000],
    ] as const) {
      const { discovery, answers, extra, timers } = setUp();
      answers.set('a.example', ['10.0.0.1']);
      extra.set('a.example', { ttlMs });
      await discovery.start([web([dns('a.example')])]);
      assert.equal(timers[0].delayMs, delay);
    }
  });

  it('sets no timer for addresses', async () => {
    const { discovery, timers } = setUp();
    await discovery.start([web([fixed('10.0.0.1', 80)])]);
    assert.equal(timers.length, 0);
  });

  it('reports changes, and only changes', async () => {
    const { discovery, answers, reports, fire } = setUp();
    answers.set('a.example', ['10.0.0.1', '10.0.0.2']);
    await discovery.start([web([dns('a.example')])]);
    await fire();
    assert.equal(reports.length, 1);
    answers.set('a.example', ['10.0.0.3']);
    await fire();
    assert.deepEqual(reports.slice(1), ['web: 10.0.0.3:80']);
  });

  it('keeps the last known addresses when a name fails, with backoff and one warning', async () => {
    const { discovery, answers, reports, logs, fire, timers } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    await discovery.start([web([dns('a.example')])]);
    answers.delete('a.example');
    assert.equal(await fire(), 5000);
    const delays = [];
    for (let i = 0; i < 8; i++) delays.push(await fire());
    assert.deepEqual(delays, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    assert.deepEqual(logs.length, 1);
    assert.match(logs[0], /^warn .*last known addresses stay in use: there is no such name/);
    answers.set('a.example', Object.assign(new Error('x'), { code: 'ESERVFAIL' }));
    await fire();
    assert.equal(logs.length, 1, 'another reason is no other outage');
    assert.deepEqual(reports, ['web: 10.0.0.1:80']);
    assert.deepEqual(discovery.endpoints('web'), [endpointAt({ host: '10.0.0.1', port: 80 })]);

    answers.set('a.example', ['10.0.0.2']);
    await fire();
    assert.deepEqual(logs.slice(1), ['info endpoint resolves again']);
    assert.deepEqual(reports.slice(1), ['web: 10.0.0.2:80']);
    assert.equal(timers[0].delayMs, 5000);
  });

  it('keeps the addresses of a family that could not be asked for', async () => {
    const { discovery, answers, extra, reports, fire } = setUp();
    answers.set('a.example', ['10.0.0.1', '2001:db8::1']);
    await discovery.start([web([dns('a.example')])]);
    answers.set('a.example', ['10.0.0.2']);
    extra.set('a.example', { unknownFamilies: [6] });
    await fire();
    assert.equal(reports[1], 'web: 10.0.0.2:80 [2001:db8::1]:80');
    extra.delete('a.example');
    await fire();
    assert.equal(reports[2], 'web: 10.0.0.2:80');
  });

  it('takes over a new set of services and reports what changed', async () => {
    const { discovery, answers, reports, asked, timers } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    answers.set('b.example', ['10.0.0.2']);
    await discovery.start([web([dns('a.example')]), service('db', [fixed('10.0.0.9', 1)])]);
    await discovery.update([web([dns('a.example'), dns('b.example')]), service('cache', [fixed('10.0.0.8', 1)])]);
    assert.deepEqual(reports.slice(2), ['web: 10.0.0.1:80 10.0.0.2:80', 'cache: 10.0.0.8:1']);
    assert.deepEqual(asked, ['a.example:80', 'b.example:80'], 'what is known is not asked again');
    assert.equal(timers.length, 2);
    assert.deepEqual(discovery.endpoints('db'), []);
  });

  it('takes over a new set that does not resolve, without what does not', async () => {
    const { discovery, answers, reports } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    await discovery.start([web([dns('a.example')])]);
    await discovery.update([web([dns('typo.example')]), service('db', [fixed('10.0.0.9', 1)])]);
    assert.deepEqual(reports, ['web: 10.0.0.1:80', 'web: unresolved', 'db: 10.0.0.9:1']);
  });

  it('does not fail a reload for a name that fails only now', async () => {
    const { discovery, answers, reports } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    await discovery.start([web([dns('a.example')])]);
    answers.delete('a.example');
    await discovery.update([web([dns('a.example'), fixed('10.0.0.2', 80)])]);
    assert.equal(reports[1], 'web: 10.0.0.1:80 10.0.0.2:80');
  });

  it('takes updates one after the other', async () => {
    const { discovery, answers, reports } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    await Promise.allSettled([
      discovery.start([web([dns('a.example')])]),
      discovery.update([web([dns('typo.example')])]),
      discovery.update([web([fixed('10.0.0.7', 80)])]),
    ]);
    assert.deepEqual(reports, ['web: 10.0.0.1:80', 'web: unresolved', 'web: 10.0.0.7:80']);
  });

  it('is silent after stop, whatever is under way', async () => {
    const { discovery, answers, reports, timers } = setUp();
    answers.set('a.example', ['10.0.0.1']);
    await discovery.start([web([dns('a.example')])]);
    answers.set('a.example', ['10.0.0.2']);
    timers.shift()?.callback();
    discovery.stop();
    await settled();
    assert.deepEqual(reports, ['web: 10.0.0.1:80']);
    assert.equal(timers.length, 0);
  });

  it('follows a real DNS server whose answers change', async () => {
    const server = await startDnsServer({
      'web.example': { ttl: 0, a: ['10.0.0.1'] },
      '_web._tcp.example': { srv: [{ target: 'web.example', port: 8080 }] },
    });
    const reports: string[] = [];
    let onReport: () => void = () => {};
    const discovery = new Discovery({
      sources: dnsSources(new DnsEndpointResolver(() => server.client), {
        info: () => {},
        warn: () => {},
        error: () => {},
      }),
      startWaitMs: () => 10_000,
      onEndpoints: (name, endpoints) => {
        reports.push(`${name}: ${texts(endpoints)}`);
        onReport();
      },
    });
    const sources: EndpointSource[] = [dns('web.example'), { kind: 'srv', name: '_web._tcp.example' }];
    // The real timers, as short as they may be.
    await discovery.start([web(sources, { dnsMinTtlMs: 1, dnsMaxTtlMs: 5 })]);
    assert.deepEqual(reports, ['web: 10.0.0.1:80 10.0.0.1:8080']);
    const changed = new Promise<void>((resolve) => {
      onReport = () => {
        if (reports.at(-1) === 'web: 10.0.0.2:80 [2001:db8::2]:80 10.0.0.2:8080 [2001:db8::2]:8080') resolve();
      };
    });
    server.zone['web.example'] = { ttl: 0, a: ['10.0.0.2'], aaaa: ['2001:db8::2'] };
    // Discovery's timers do not keep the process alive.
    const alive = setInterval(() => {}, 1000);
    await changed;
    clearInterval(alive);
    discovery.stop();
    server.close();
  });

  /** A source whose reports the test makes. */
  class Scripted implements Source {
    readonly watches: { readonly spec: WatchSpec; readonly report: Report; stopped: boolean }[] = [];

    watch(spec: WatchSpec, report: Report) {
      const watch = { spec, report, stopped: false };
      this.watches.push(watch);
      return {
        stop: () => {
          watch.stopped = true;
        },
      };
    }
  }

  const scripted = () => {
    const source = new Scripted();
    const reports: string[] = [];
    const discovery = new Discovery({
      sources: { static: new StaticSource(), dns: source, srv: source, file: source },
      startWaitMs: () => 10_000,
      onEndpoints: (name, endpoints) => reports.push(`${name}: ${texts(endpoints)}`),
    });
    const say = (watch: number, ...hosts: string[]): void =>
      source.watches[watch].report({
        kind: 'endpoints',
        endpoints: hosts.map((host) => endpointAt({ host, port: 80 })),
      });
    return { source, reports, discovery, say };
  };

  it('waits for the first report of every source, and publishes each later one', async () => {
    const { source, reports, discovery, say } = scripted();
    const starting = discovery.start([web([dns('a'), dns('b'), fixed('10.0.0.9', 80)])]);
    await settled();
    say(0, '10.0.0.1');
    await settled();
    assert.deepEqual(reports, []);
    say(1, '10.0.0.2');
    await starting;
    say(1, '10.0.0.3', '10.0.0.1');
    say(1, '10.0.0.3', '10.0.0.1');
    say(0);
    assert.deepEqual(reports, [
      'web: 10.0.0.1:80 10.0.0.2:80 10.0.0.9:80',
      'web: 10.0.0.1:80 10.0.0.3:80 10.0.0.9:80',
      'web: 10.0.0.3:80 10.0.0.1:80 10.0.0.9:80',
    ]);
    assert.deepEqual(
      source.watches.map(({ stopped }) => stopped),
      [false, false],
    );
    discovery.stop();
    assert.deepEqual(
      source.watches.map(({ stopped }) => stopped),
      [true, true],
    );
  });

  it('goes on with the watches that a new configuration needs, and hands on what is known to new ones', async () => {
    const { source, reports, discovery, say } = scripted();
    const starting = discovery.start([web([dns('a'), dns('b')])]);
    await settled();
    say(0, '10.0.0.1');
    say(1, '10.0.0.2');
    await starting;
    const updating = discovery.update([web([dns('a')]), service('other', [dns('b')])]);
    await settled();
    assert.equal(source.watches.length, 3);
    assert.deepEqual(source.watches[2].spec.known, [endpointAt({ host: '10.0.0.2', port: 80 })]);
    // What goes on reports to the old configuration for as long as that is in use.
    say(0, '10.0.0.7');
    assert.equal(reports.at(-1), 'web: 10.0.0.7:80 10.0.0.2:80');
    say(2, '10.0.0.2');
    await updating;
    assert.deepEqual(reports.slice(2), ['web: 10.0.0.7:80', 'other: 10.0.0.2:80']);
    assert.deepEqual(
      source.watches.map(({ stopped }) => stopped),
      [false, true, false],
    );
    say(0, '10.0.0.8');
    assert.equal(reports.at(-1), 'web: 10.0.0.8:80');
  });

  it('publishes what is known of an endpoint beside its address', async () => {
    const { source, reports, discovery, say } = scripted();
    const starting = discovery.start([web([dns('a')])]);
    await settled();
    say(0, '10.0.0.1');
    await starting;
    const address = { host: '10.0.0.1', port: 80 };
    for (const known of [
      { weight: 2 },
      { zone: 'b' },
      { protocol: 'http2' },
      { identity: 'x' },
      { metadata: { a: 'b' } },
    ] as const) {
      source.watches[0].report({ kind: 'endpoints', endpoints: [endpointAt(address, known)] });
      source.watches[0].report({ kind: 'endpoints', endpoints: [endpointAt(address, structuredClone(known))] });
      assert.deepEqual(discovery.endpoints('web'), [endpointAt(address, known)]);
    }
    assert.equal(reports.length, 6);
  });
});

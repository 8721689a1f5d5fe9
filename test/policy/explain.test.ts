import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseMatch } from '../../src/config/match.js';
import type { ListenerConfig } from '../../src/config/model.js';
import { parseNetwork } from '../../src/config/networks.js';
import { explain } from '../../src/policy/explain.js';
import { canonicalHost, listenerFor } from '../../src/policy/listeners.js';
import { at, config, fixed, listener, service } from './fixture.js';

describe('the listener that takes a destination', () => {
  const named = (name: string, host: string, port = 80): ListenerConfig => listener(at(host, port), { name });
  const takes = (listeners: readonly ListenerConfig[], host: string, port = 80) =>
    listenerFor(config({ listeners }), host, port)?.listener.name;

  it('is the one with the exact address before a wildcard', () => {
    const listeners = [named('all', '0.0.0.0'), named('one', '10.0.0.1')];
    assert.equal(takes(listeners, '10.0.0.1'), 'one');
    assert.equal(takes(listeners, '10.0.0.2'), 'all');
  });

  it('must have the port', () => {
    assert.equal(takes([named('all', '0.0.0.0', 81)], '10.0.0.1'), undefined);
  });

  it('of IPv6 takes IPv4 too where it is the only wildcard, never the other way round', () => {
    assert.equal(takes([named('six', '::')], '10.0.0.1'), 'six');
    assert.equal(takes([named('six', '::'), named('four', '0.0.0.0')], '10.0.0.1'), 'four');
    assert.equal(takes([named('six', '::'), named('four', '0.0.0.0')], '::1'), 'six');
    assert.equal(takes([named('four', '0.0.0.0')], '::1'), undefined);
  });

  it('is found under each spelling of an address', () => {
    assert.equal(takes([named('one', '2001:db8::1')], '[2001:0DB8:0:0::1]'), 'one');
    assert.equal(takes([named('one', '10.0.0.1')], '::ffff:10.0.0.1'), 'one');
    assert.equal(takes([named('one', '127.0.0.1')], 'LOCALHOST'), 'one');
    assert.equal(takes([named('one', '::1')], 'localhost'), 'one');
    assert.equal(canonicalHost('::FFFF:192.168.1.200'), '192.168.1.200');
  });
});

describe('the explanation of a destination', () => {
  const all = (explanation: { steps: readonly string[] }): string => explanation.steps.join('\n');

  it('says that no listener takes it, and which there are', () => {
    const result = explain(config(), '127.0.0.1', 9999);
    assert.equal(result.verdict, 'none');
    assert.equal(result.reason, 'no-listener');
    assert.equal(result.listener, null);
    assert.match(all(result), /No listener has port 9999[\s\S]*edge \(127\.0\.0\.1:8080\)/);
  });

  it('says when only another address has the port', () => {
    assert.match(all(explain(config(), '10.9.9.9', 8080)), /Port 8080 is listened on, but at 127\.0\.0\.1:8080 only/);
  });

  it('names the default list and the service of an opaque port', () => {
    const result = explain(config({ listeners: [listener(at('0.0.0.0', 5432))] }), '10.0.0.5', 5432);
    assert.deepEqual(
      [result.verdict, result.reason, result.service, result.listener],
      ['opaque', 'default-port', 'web', 'edge'],
    );
    assert.deepEqual(result.endpoints, ['127.0.0.1:9001', '127.0.0.1:9002']);
    assert.match(all(result), /Port 5432 is opaque by default/);
    assert.match(all(result), /every address of this machine/);
  });

  it('names the configuration where that made the port opaque', () => {
    const asked = config({ opaquePorts: new Set([8080]), annotatedPorts: new Set([8080]) });
    const result = explain(asked, '127.0.0.1', 8080);
    assert.equal(result.reason, 'annotation');
    assert.match(all(result), /names port 8080 as opaque/);
  });

  it("names the listener's hint", () => {
    const asked = config({ listeners: [listener(at('127.0.0.1', 8080), { protocol: 'http2' })] });
    const result = explain(asked, '127.0.0.1', 8080);
    assert.deepEqual([result.verdict, result.reason, result.service], ['http2', 'hint', 'web']);
    assert.match(all(result), /protocol: http2/);
    assert.match(all(result), /HTTP\/2 goes to service web/);
  });

  it('gives the parameters of detection and a service per verdict', () => {
    const services = [
      service('web', [fixed('127.0.0.1', 9001)], { responseTimeoutMs: 1500 }),
      service('db', [{ kind: 'dns', name: 'db.example', port: 5000 }]),
    ];
    const edge = listener(at('127.0.0.1', 8080), { services: { http1: 'web', http2: 'web', tls: null, opaque: 'db' } });
    const result = explain(config({ services, listeners: [edge] }), '127.0.0.1', 8080);
    assert.deepEqual([result.verdict, result.reason, result.service], ['detect', 'detect', null]);
    assert.deepEqual(result.endpoints, ['127.0.0.1:9001', 'db.example:5000']);
    assert.match(all(result), /silent for 50ms, an endpoint of service db is dialled/);
    assert.match(all(result), /After 10s without an answer the connection is relayed as opaque \(reason timeout\)/);
    assert.match(all(result), /TLS that is not for this proxy is refused/);
    assert.match(all(result), /HTTP\/1 goes to service web \(endpoints: 127\.0\.0\.1:9001\).*response timeout 1500ms/);
    assert.match(all(result), /Anything else goes to service db \(endpoints: db\.example:5000\)/);
    assert.match(all(result), /silent for 1h, live for ever, and be half closed for 1m/);
  });

  it('tells how HTTP/2 is balanced, and over what', () => {
    const how = (protocol: 'auto' | 'http1' | 'http2' | 'opaque') =>
      all(explain(config({ services: [service('web', [fixed('127.0.0.1', 9001)], { protocol })] }), '127.0.0.1', 8080));
    assert.match(
      how('http2'),
      /HTTP\/2 goes to service web .*each request is balanced by latency \(peak EWMA\), over HTTP\/2/,
    );
    assert.match(how('http1'), /HTTP\/2 goes to service web .*each request is balanced .*, over HTTP\/1/);
    assert.match(how('auto'), /HTTP\/2 goes to service web .*over what each endpoint is found to speak/);
    assert.match(how('opaque'), /Anything else goes to service web .*each connection is balanced by open connections/);
    assert.match(how('http2'), /An HTTP\/2 client may have \d+ streams open at once/);
  });

  it('says what TLS is ended, and what is dialled with it', () => {
    const one = { certificate: '/a.pem', key: '/b.pem', names: null };
    const tls = {
      certificates: [one, one],
      minVersion: '1.2' as const,
      alpn: null,
      clientAuthority: '/ca.pem',
      clientCertificate: 'required' as const,
      tickets: false,
    };
    const out = { serverName: null, ca: null, certificate: null, minVersion: '1.3' as const, alpn: null };
    const told = (serverName: string | null) =>
      all(
        explain(
          config({
            listeners: [listener(at('127.0.0.1', 8080), { tls })],
            services: [service('web', [fixed('127.0.0.1', 9001)], { tls: { ...out, serverName } })],
          }),
          '127.0.0.1',
          8080,
        ),
      );
    assert.match(
      told(null),
      /TLS 1\.2 and 1\.3 is ended here, with 2 certificates by server name: .* A client needs a certificate\./,
    );
    assert.match(
      told(null),
      /HTTP\/1 goes to service web \(endpoints: 127\.0\.0\.1:9001\) over TLS, each under its own name;/,
    );
    assert.match(told('web.example'), /over TLS as web\.example;/);
  });

  it('names the one service where all verdicts share it', () => {
    assert.equal(explain(config(), '127.0.0.1', 8080).service, 'web');
  });

  it('explains a race that is off, no timeout, and nothing to relay to', () => {
    const detect = { timeoutMs: 0, raceMs: -2, helloMs: 0, learnTtlMs: 0 };
    const off = explain(config({ listeners: [listener(at('127.0.0.1', 8080), { detect })] }), '127.0.0.1', 8080);
    assert.match(all(off), /No endpoint is dialled before the client speaks, because the listener turns it off/);
    assert.match(all(off), /There is no detection timeout/);
    const services = { http1: 'web', http2: 'web', tls: null, opaque: null };
    const closed = explain(config({ listeners: [listener(at('127.0.0.1', 8080), { services })] }), '127.0.0.1', 8080);
    assert.match(all(closed), /After 10s without an answer the connection is closed/);
  });

  it('tells what a running proxy knows: learned destinations and resolved endpoints', () => {
    const live = {
      learned: (name: string) => name === 'edge',
      endpoints: (name: string) => (name === 'web' ? ['10.1.1.1:80'] : []),
    };
    const result = explain(config(), '127.0.0.1', 8080, live);
    assert.equal(result.reason, 'learned');
    assert.deepEqual(result.endpoints, ['10.1.1.1:80']);
    assert.match(all(result), /spoken first within the last 1m, so service web is dialled at once/);
  });
});

describe('the explanation of a destination that connections are redirected from', () => {
  const all = (explanation: { steps: readonly string[] }): string => explanation.steps.join('\n');
  const nowhere = { http1: null, http2: null, tls: null, opaque: null };
  const outbound = (name = 'out', port = 15_001, overrides: Partial<ListenerConfig> = {}) =>
    listener(at('0.0.0.0', port), { name, services: nowhere, originalDestination: true, ...overrides });
  const web = service('web', [fixed('127.0.0.1', 9001)], { match: [parseMatch('10.0.0.0/8:80')] });
  const bytes = service('bytes', [fixed('127.0.0.1', 9002)], {
    match: [parseMatch('10.0.0.1:81')],
    protocol: 'opaque',
  });
  const redirecting = config({
    listeners: [listener(at('127.0.0.1', 8080)), outbound(), outbound('hinted', 15_002, { protocol: 'http1' })],
    services: [web, bytes],
  });

  it('names the service whose match has it, and why', () => {
    const result = explain(redirecting, '10.1.2.3', 80);
    assert.deepEqual([result.listener, result.verdict, result.service], ['out', 'detect', 'web']);
    assert.deepEqual(result.endpoints, ['127.0.0.1:9001']);
    assert.match(all(result), /Listener out \(0\.0\.0\.0:15001\) takes it where it is redirected there/);
    assert.match(all(result), /It belongs to service web, whose match has 10\.0\.0\.0\/8:80\./);
    assert.match(all(result), /an endpoint of service web is dialled/);
  });

  it('says that it goes where it was going', () => {
    const result = explain(redirecting, '192.0.2.1', 8000);
    assert.deepEqual([result.verdict, result.service, result.endpoints], ['detect', null, ['192.0.2.1:8000']]);
    assert.match(all(result), /No service's match names 192\.0\.2\.1:8000, so it goes to that address itself/);
    assert.match(all(result), /silent for 3ms, 192\.0\.2\.1:8000 is dialled/);
    assert.match(all(result), /HTTP\/1 goes to 192\.0\.2\.1:8000 itself/);
    assert.match(all(result), /After 10s without an answer the connection is relayed as opaque/);
  });

  it('goes by the original port, and by a service that is opaque', () => {
    const result = explain(redirecting, '2001:db8::1', 5432);
    assert.deepEqual(
      [result.verdict, result.reason, result.endpoints],
      ['opaque', 'default-port', ['[2001:db8::1]:5432']],
    );
    assert.match(all(result), /Anything else goes to \[2001:db8::1\]:5432 itself/);
    const opaque = explain(redirecting, '10.0.0.1', 81);
    assert.deepEqual([opaque.verdict, opaque.reason, opaque.service], ['opaque', 'hint', 'bytes']);
    assert.match(all(opaque), /The service says protocol: opaque/);
  });

  it('asks the listener that is named', () => {
    const result = explain(redirecting, '192.0.2.1', 8000, {}, 'hinted');
    assert.deepEqual([result.listener, result.verdict, result.reason], ['hinted', 'http1', 'hint']);
    assert.match(
      all(explain(redirecting, '192.0.2.1', 80, {}, 'edge')),
      /No listener with originalDestination is called edge/,
    );
  });

  it('leaves what another listener takes to that, unless one is named', () => {
    assert.equal(explain(redirecting, '127.0.0.1', 8080).listener, 'edge');
    const loop = explain(redirecting, '127.0.0.1', 8080, {}, 'out');
    assert.deepEqual([loop.verdict, loop.reason, loop.listener], ['none', 'loop', 'out']);
    assert.match(all(loop), /Listener edge has this address: it would come back for ever, and is refused/);
  });

  it('says that a connection made to the listener itself leads nowhere', () => {
    const result = explain(redirecting, '127.0.0.1', 15_001);
    assert.deepEqual([result.verdict, result.reason], ['none', 'loop']);
  });
});

describe('the explanation of who may do what', () => {
  const rule = {
    name: 'web',
    action: 'allow' as const,
    ports: null,
    identities: ['*.front.x'],
    networks: null,
    methods: null,
    path: null,
    exactPath: false,
  };
  const authorization = {
    default: 'deny' as const,
    clusterNetworks: [],
    rules: [
      rule,
      {
        ...rule,
        name: 'api',
        identities: null,
        networks: [{ cidr: parseNetwork('10.0.0.0/8'), except: [] }],
        path: '/api',
      },
    ],
  };
  const ask = (client: { from?: string; identity?: string }): string =>
    explain(config({ listeners: [listener(at('0.0.0.0', 80), { authorization })] }), '10.0.0.5', 80, {}, null, {
      from: client.from ?? null,
      identity: client.identity ?? null,
    })
      .steps.filter((step) => /authorized|client/.test(step))
      .join('\n');

  it('names the rules, and those that decide of a client', () => {
    assert.match(ask({}), /web, api are tried in order, then default: deny\.[\s\S]*--from ADDRESS/);
    assert.match(
      ask({ identity: 'a.front.x' }),
      /with the identity a\.front\.x: its requests are allowed, by rule web; what is not read is allowed, by rule web/,
    );
    assert.match(
      ask({ from: '10.1.2.3' }),
      /from 10\.1\.2\.3 without an identity: its requests are decided by method and path \(api, default\); what is not read is denied, by default: deny/,
    );
    assert.match(ask({ from: 'fd00::1', identity: 'b' }), /its requests are denied, by default: deny/);
    assert.equal(
      explain(config(), '127.0.0.1', 8080).steps.some((step) => step.includes('authorized')),
      false,
    );
  });

  it('says who is refused outright', () => {
    const only = { ...authorization, rules: authorization.rules.slice(1) };
    const { steps } = explain(
      config({ listeners: [listener(at('0.0.0.0', 80), { authorization: only })] }),
      '10.0.0.5',
      80,
      {},
      null,
      { from: '192.0.2.1', identity: 'a' },
    );
    assert.match(
      steps.join('\n'),
      /from 192\.0\.2\.1 with the identity a is refused as soon as it connects, by default: deny/,
    );
  });
});

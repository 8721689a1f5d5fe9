// What the options of `sluice identity serve` mean, and what is wrong with those that mean nothing.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { identityServeCommand, serveOptions } from '../../src/cli/identity-serve.js';
import { UsageError } from '../../src/cli/usage.js';

const ISSUER = { issuer: 'issuer.pem', 'issuer-key': 'key.pem' };

it('has a default for everything but the issuer and who vouches for tokens', () => {
  const options = serveOptions({ ...ISSUER, tokens: 'tokens' }, {});
  assert.deepEqual(options, {
    issuer: { certificate: 'issuer.pem', key: 'key.pem', anchors: null },
    tokens: { file: 'tokens' },
    listen: { host: '0.0.0.0', port: 8080 },
    admin: { host: '127.0.0.1', port: 9990 },
    mesh: 'sluice',
    trustDomain: 'cluster.local',
    tlsNames: null,
    lifetimeMs: 86_400_000,
    skewMs: 20_000,
    maxConcurrent: 100,
    maxRate: 200,
    limits: { maxConnections: 1024, maxCalls: 100, maxMessageBytes: 32_768 },
  });
});

it('finds Kubernetes as a pod does, or where it is told to', () => {
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' };
  const inPod = serveOptions({ ...ISSUER, kubernetes: true }, env).tokens;
  assert.deepEqual(inPod, {
    review: {
      server: 'https://10.0.0.1:6443',
      tokenFile: '/var/run/secrets/kubernetes.io/serviceaccount/token',
      authorityFile: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
      audience: 'identity.l5d.io',
      timeoutMs: 5000,
    },
  });
  const six = serveOptions({ ...ISSUER, kubernetes: true }, { KUBERNETES_SERVICE_HOST: 'fd00::1' }).tokens;
  assert.ok('review' in six && six.review.server === 'https://[fd00::1]:443');
  const told = serveOptions(
    { ...ISSUER, kubernetes: true, 'api-server': 'https://api.test:1', audience: 'ours' },
    env,
  ).tokens;
  assert.ok('review' in told && told.review.server === 'https://api.test:1' && told.review.audience === 'ours');
});

it('takes a name of its own for TLS, or the usual ones', () => {
  const given = { ...ISSUER, tokens: 'tokens', tls: true };
  assert.deepEqual(serveOptions({ ...given, mesh: 'linkerd' }, {}).tlsNames, [
    'sluice-identity.linkerd.serviceaccount.identity.linkerd.cluster.local',
    'linkerd-identity.linkerd.serviceaccount.identity.linkerd.cluster.local',
  ]);
  assert.deepEqual(serveOptions({ ...given, 'tls-name': 'ID.test' }, {}).tlsNames, ['id.test']);
});

it('says what is wrong with a call', async () => {
  const issuer = ['--issuer', 'a', '--issuer-key', 'b'];
  const whole = [...issuer, '--tokens', 'c'];
  const cases: [string[], RegExp][] = [
    [[], /which certificate issues\? add --issuer FILE/],
    [['--issuer', 'a'], /which key has the issuer\? add --issuer-key FILE/],
    [issuer, /who vouches for tokens\? add --kubernetes, or --tokens FILE/],
    [[...whole, '--kubernetes'], /--tokens and --kubernetes exclude each other/],
    [[...issuer, '--kubernetes'], /this is not running in a pod; add --api-server/],
    [
      [...issuer, '--kubernetes', '--api-server', 'http://a:1'],
      /--api-server: "http:\/\/a:1" is not https:\/\/HOST:PORT/,
    ],
    [
      [...issuer, '--kubernetes', '--api-server', 'https://a:1', '--api-timeout', '2h'],
      /--api-timeout: 2h is too long/,
    ],
    [[...whole, '--listen', 'localhost:80'], /--listen: "localhost" is not numeric/],
    [[...whole, '--admin', '9990'], /--admin: "9990" has no port/],
    [[...whole, '--lifetime', '10s'], /--lifetime: 10s is too short; write at least 1m/],
    [[...whole, '--lifetime', '400d'], /--lifetime: 400d is too long/],
    [[...whole, '--lifetime', 'day'], /--lifetime: day is not a duration/],
    [[...whole, '--skew', '1'], /--skew: "1" is not a duration/],
    [[...whole, '--mesh', 'a.b'], /--mesh: "a\.b" is not the name of a namespace/],
    [[...whole, '--trust-domain', 'a b'], /--trust-domain: it has the trust domain "a b"/],
    [[...whole, '--tls-name', 'a.test'], /--tls-name needs --tls/],
    [[...whole, '--tls', '--tls-name', 'spiffe://a/b'], /--tls-name: clients check a DNS name/],
    [[...whole, '--tls', '--tls-name', 'a b'], /--tls-name: it is neither/],
    [[...whole, '--max-rate', '0'], /--max-rate: /],
    [[...whole, '--max-connections', '0'], /--max-connections: /],
    [[...whole, '--max-streams', '-1'], /--max-streams/],
    [[...whole, '--max-message', '1B'], /--max-message: /],
    [[...whole, '--max-concurrent', 'many'], /--max-concurrent: /],
    [[...whole, '--log-level', 'loud'], /--log-level: loud is unknown; expected one of error, warn, info, debug/],
    [[...whole, '--issuers', 'x'], /unknown option --issuers; did you mean "--issuer"\?/],
    [[...whole, 'more'], /unexpected argument "more"/],
  ];
  for (const [args, expected] of cases)
    await assert.rejects(identityServeCommand.run(args), (error) => {
      assert.ok(error instanceof UsageError, String(error));
      assert.match(error.message, expected);
      return true;
    });
});

// `sluice identity serve`: the identity service of a mesh.

import type { LogLevel } from '../config/model.js';
import { parseDuration, parseListen, parseSize } from '../config/values.js';
import type { ServeOptions } from '../identity/issuing/serve.js';
import { accountName, parseWorkloadName, trustDomainProblem } from '../identity/names.js';
import { createLogger } from '../log/logger.js';
import { Given, lifetimeOf } from './given.js';
import { dieLogged } from './run.js';
import type { Command } from './usage.js';
import { type Arguments, parseArguments, UsageError } from './usage.js';

const OPTIONS = {
  issuer: { type: 'string' },
  'issuer-key': { type: 'string' },
  anchors: { type: 'string' },
  tokens: { type: 'string' },
  kubernetes: { type: 'boolean' },
  'api-server': { type: 'string' },
  'api-token': { type: 'string' },
  'api-ca': { type: 'string' },
  'api-timeout': { type: 'string' },
  audience: { type: 'string' },
  listen: { type: 'string' },
  admin: { type: 'string' },
  tls: { type: 'boolean' },
  'tls-name': { type: 'string' },
  'trust-domain': { type: 'string' },
  mesh: { type: 'string' },
  lifetime: { type: 'string' },
  skew: { type: 'string' },
  'max-concurrent': { type: 'string' },
  'max-rate': { type: 'string' },
  'max-connections': { type: 'string' },
  'max-streams': { type: 'string' },
  'max-message': { type: 'string' },
  'log-level': { type: 'string' },
} as const;

type Options = Given<keyof typeof OPTIONS>;

/** Where Kubernetes puts what a pod needs to speak to it. */
const IN_CLUSTER = '/var/run/secrets/kubernetes.io/serviceaccount';
const LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug'];

function tokensOf(given: Options, env: NodeJS.ProcessEnv): ServeOptions['tokens'] {
  const file = given.optional('tokens');
  const kubernetes = given.flag('kubernetes');
  if (file !== null && kubernetes) throw new UsageError('--tokens and --kubernetes exclude each other');
  if (file !== null) return { file };
  if (!kubernetes) throw new UsageError('who vouches for tokens? add --kubernetes, or --tokens FILE to try it out');
  const { KUBERNETES_SERVICE_HOST: host = '', KUBERNETES_SERVICE_PORT: port = '443' } = env;
  const inCluster = host === '' ? '' : `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  const server = given.text('api-server', inCluster);
  if (server === '')
    throw new UsageError('KUBERNETES_SERVICE_HOST is not set, so this is no pod; add --api-server https://HOST:PORT');
  if (!URL.canParse(server) || !/^https:\/\/[^/?#@]+\/?$/.test(server))
    throw new UsageError(`--api-server: ${JSON.stringify(server)} is not https://HOST:PORT`);
  return {
    review: {
      server,
      tokenFile: given.text('api-token', `${IN_CLUSTER}/token`),
      authorityFile: given.text('api-ca', `${IN_CLUSTER}/ca.crt`),
      audience: given.text('audience', 'identity.l5d.io'),
      timeoutMs: given.parsed('api-timeout', '5s', (text) =>
        parseDuration(text, { in: 'ms', step: 1, min: '100ms', max: '1m' }),
      ),
    },
  };
}

/** Accounts that proxies expect the service to be: ours, and Linkerd's unless they are told otherwise. */
const TLS_ACCOUNTS = ['sluice-identity', 'linkerd-identity'];

/** The names of the service's own certificate; null: plain text. */
function tlsNamesOf(given: Options, mesh: string, trustDomain: string): string[] | null {
  const name = given.optional('tls-name');
  if (!given.flag('tls')) {
    if (name !== null) throw new UsageError('--tls-name says nothing without --tls');
    return null;
  }
  if (name === null) return TLS_ACCOUNTS.map((account) => accountName({ account, namespace: mesh, mesh, trustDomain }));
  const parsed = parseWorkloadName(name);
  if (typeof parsed === 'string') throw new UsageError(`--tls-name: it ${parsed}`);
  if (parsed.kind !== 'dns') throw new UsageError('--tls-name: callers ask for a DNS name; write one');
  return [parsed.text];
}

export function serveOptions(values: Arguments['values'], env: NodeJS.ProcessEnv): ServeOptions {
  const given: Options = new Given(values);
  const trustDomain = given.text('trust-domain', 'cluster.local');
  const domainProblem = trustDomainProblem(trustDomain);
  if (domainProblem !== null) throw new UsageError(`--trust-domain: it ${domainProblem}`);
  const mesh = given.text('mesh', 'sluice');
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(mesh))
    throw new UsageError(`--mesh: ${JSON.stringify(mesh)} is no name of a namespace`);
  return {
    issuer: {
      certificate: given.required('issuer', 'which certificate issues?'),
      key: given.required('issuer-key', 'which key has the issuer?'),
      anchors: given.optional('anchors'),
    },
    tokens: tokensOf(given, env),
    listen: given.parsed('listen', '0.0.0.0:8080', parseListen),
    admin: given.parsed('admin', '127.0.0.1:9990', parseListen),
    mesh,
    trustDomain,
    tlsNames: tlsNamesOf(given, mesh, trustDomain),
    lifetimeMs: given.parsed('lifetime', '24h', lifetimeOf),
    skewMs: given.parsed('skew', '20s', (text) =>
      parseDuration(text, { in: 'ms', step: 1000, min: '1s', max: '10m', orZero: true }),
    ),
    maxConcurrent: given.integer('max-concurrent', 100, 10_000),
    maxRate: given.integer('max-rate', 200, 100_000),
    limits: {
      maxConnections: given.integer('max-connections', 1024, 65_536),
      maxCalls: given.integer('max-streams', 100, 10_000),
      maxMessageBytes: given.parsed('max-message', '32KiB', (text) => parseSize(text, 1024, 1 << 20)),
    },
  };
}

export const identityServeCommand: Command = {
  help: `Usage: sluice identity serve --issuer FILE --issuer-key FILE (--kubernetes | --tokens FILE) [OPTIONS]

Serves io.linkerd.proxy.identity.Identity/Certify (gRPC): who shows the token of an account gets a certificate for the
name of that account, ACCOUNT.NAMESPACE.serviceaccount.identity.MESH.TRUST-DOMAIN, and for no other. Logs are one JSON
object a line on stderr, one for each certificate that is issued or refused.

What issues:
      --issuer FILE        the issuer's certificate, PEM, with what signed it; read again when it changes
      --issuer-key FILE    its key
      --anchors FILE       what proxies trust; an issuer that does not lead there is refused
      --lifetime TIME      of certificates, never beyond the issuer's (default 24h)
      --skew TIME          certificates begin that much earlier, for clocks that go behind (default 20s)
      --trust-domain NAME  default cluster.local
      --mesh NAME          the namespace of the mesh (default sluice)

Who vouches for tokens:
      --kubernetes         Kubernetes, by TokenReview
      --tokens FILE        lines of TOKEN NAMESPACE/ACCOUNT, to try it out; read again when it changes
      --audience NAME      what tokens must be made for (default identity.l5d.io)
      --api-server URL     the API server; in a pod it is known
      --api-token FILE     our own token for it (default ${IN_CLUSTER}/token)
      --api-ca FILE        what its certificate is from (default ${IN_CLUSTER}/ca.crt)
      --api-timeout TIME   for its answer (default 5s)

Where:
      --listen ADDRESS     default 0.0.0.0:8080
      --admin ADDRESS      /metrics, /ready, /live (default 127.0.0.1:9990)
      --tls                serve in TLS, with a certificate of its own from the issuer
      --tls-name NAME      its name (default sluice-identity.MESH.serviceaccount.identity.MESH.TRUST-DOMAIN, and the
                           same with linkerd-identity)

Bounds:
      --max-concurrent N   requests that are worked on (default 100)
      --max-rate N         requests begun in a second (default 200)
      --max-connections N  connections of callers (default 1024)
      --max-streams N      requests that one of them may have open (default 100)
      --max-message SIZE   of a request (default 32KiB)

      --log-level LEVEL    error, warn, info (default) or debug
  -h, --help               this text

Signals: SIGTERM and SIGINT let open requests end, 10 s at most; SIGHUP reads the files again.

Examples:
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --anchors anchors.pem --kubernetes
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --tokens tokens --tls --listen 127.0.0.1:8080

Exit codes: 0 ended, 1 failed or cut off, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const options = serveOptions(values, process.env);
    const level = LEVELS.find((known) => known === (values['log-level'] ?? 'info'));
    if (level === undefined)
      throw new UsageError(`--log-level: ${values['log-level']} is not known; known are ${LEVELS.join(', ')}`);
    const logger = createLogger({ level });
    dieLogged(logger);
    // Loaded only now: the other commands do without gRPC and the library for certificates.
    const { serveIdentities } = await import('../identity/issuing/serve.js');
    return serveIdentities(options, logger, process);
  },
};

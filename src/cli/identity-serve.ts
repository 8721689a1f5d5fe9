// `sluice identity serve`: a mesh's identity service.
import { parseDuration, parseListen, parseSize } from '../config/values.js';
import type { ServeOptions } from '../identity/issuing/serve.js';
import { accountName, parseWorkloadName } from '../identity/names.js';
import {
  apiServerOf,
  certifying,
  domainNamed,
  IN_CLUSTER,
  ISSUING_OPTIONS,
  loggerOf,
  namespaceNamed,
  reviewOf,
} from './issuing-options.js';
import { OptionReader } from './option-reader.js';
import { type Arguments, type Command, parseArguments, UsageError } from './usage.js';

const text = { type: 'string' } as const;

const OPTIONS = {
  ...ISSUING_OPTIONS,
  issuer: text,
  kubernetes: { type: 'boolean' },
  'api-server': text,
  'api-timeout': text,
  listen: text,
  tls: { type: 'boolean' },
  'tls-name': text,
  mesh: text,
  'max-message': text,
} as const;

type Options = OptionReader<keyof typeof OPTIONS>;

function tokensOf(given: Options, env: NodeJS.ProcessEnv): ServeOptions['tokens'] {
  const file = given.optional('tokens');
  const kubernetes = given.flag('kubernetes');
  if (file !== null && kubernetes) throw new UsageError('--tokens and --kubernetes exclude each other');
  if (file !== null) return { file };
  if (!kubernetes) throw new UsageError('who vouches for tokens? add --kubernetes, or --tokens FILE to try it out');
  const server = given.text('api-server', apiServerOf(env) ?? '');
  if (server === '')
    throw new UsageError(
      'KUBERNETES_SERVICE_HOST is not set, so this is not running in a pod; add --api-server https://HOST:PORT',
    );
  if (!URL.canParse(server) || !/^https:\/\/[^/?#@]+\/?$/.test(server))
    throw new UsageError(`--api-server: ${JSON.stringify(server)} is not https://HOST:PORT`);
  const timeoutMs = given.parsed('api-timeout', '5s', (value) =>
    parseDuration(value, { in: 'ms', step: 1, min: '100ms', max: '1m' }),
  );
  return { review: reviewOf(given, server, timeoutMs) };
}

/** The accounts that proxies expect this service to run as: the default of Sluice's proxies, and that of Linkerd's. */
const TLS_ACCOUNTS = ['sluice-identity', 'linkerd-identity'];

/** The names in the service's own certificate; null: plain text. */
function tlsNamesOf(given: Options, mesh: string, trustDomain: string): string[] | null {
  const name = given.optional('tls-name');
  if (!given.flag('tls')) {
    if (name !== null) throw new UsageError('--tls-name needs --tls');
    return null;
  }
  if (name === null) return TLS_ACCOUNTS.map((account) => accountName({ account, namespace: mesh, mesh, trustDomain }));
  const parsed = parseWorkloadName(name);
  if (typeof parsed === 'string') throw new UsageError(`--tls-name: it ${parsed}`);
  if (parsed.kind !== 'dns') throw new UsageError('--tls-name: clients check a DNS name; write one');
  return [parsed.text];
}

export function serveOptions(values: Arguments['values'], env: NodeJS.ProcessEnv): ServeOptions {
  const given: Options = new OptionReader(values);
  const trustDomain = given.parsed('trust-domain', 'cluster.local', domainNamed);
  const mesh = given.parsed('mesh', 'sluice', namespaceNamed);
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
    ...certifying(given),
    limits: {
      maxConnections: given.integer('max-connections', 1024, 65_536),
      maxCalls: given.integer('max-streams', 100, 10_000),
      maxMessageBytes: given.parsed('max-message', '32KiB', (value) => parseSize(value, 1024, 1 << 20)),
    },
  };
}

export const identityServeCommand: Command = {
  help: `Usage: sluice identity serve --issuer FILE --issuer-key FILE (--kubernetes | --tokens FILE) [OPTIONS]

Serves io.linkerd.proxy.identity.Identity/Certify (gRPC). A client that presents an account's token gets a certificate
for that account's name, ACCOUNT.NAMESPACE.serviceaccount.identity.MESH.TRUST-DOMAIN, and for no other. Logs are one
JSON object a line on stderr, one for each certificate issued or refused.

The issuer:
      --issuer FILE        the issuer's certificate, PEM, with its chain; reread when it changes
      --issuer-key FILE    its key
      --anchors FILE       what proxies trust; an issuer that does not chain to it is refused
      --lifetime TIME      of certificates, never beyond the issuer's (default 24h)
      --skew TIME          certificates become valid this much earlier, for clocks that are slow (default 20s)
      --trust-domain NAME  default cluster.local
      --mesh NAME          the namespace of the mesh (default sluice)

Who vouches for tokens:
      --kubernetes         Kubernetes, by TokenReview
      --tokens FILE        lines of TOKEN NAMESPACE/ACCOUNT, for tests; reread when it changes
      --audience NAME      the audience that tokens must have (default identity.l5d.io)
      --api-server URL     the API server; known by itself in a pod
      --api-token FILE     this service's token for it (default ${IN_CLUSTER}/token)
      --api-ca FILE        the CA of its certificate (default ${IN_CLUSTER}/ca.crt)
      --api-timeout TIME   how long to wait for its answer (default 5s)

Where:
      --listen ADDRESS     default 0.0.0.0:8080
      --admin ADDRESS      /metrics, /ready, /live (default 127.0.0.1:9990)
      --tls                serve over TLS, with a certificate from the issuer
      --tls-name NAME      its name (default sluice-identity.MESH.serviceaccount.identity.MESH.TRUST-DOMAIN, and the
                           same with linkerd-identity)

Bounds:
      --max-concurrent N   requests processed at once (default 100)
      --max-rate N         requests begun in a second (default 200)
      --max-connections N  connections of clients (default 1024)
      --max-streams N      open requests on one connection (default 100)
      --max-message SIZE   size of a request (default 32KiB)

      --log-level LEVEL    error, warn, info (default) or debug
  -h, --help               this text

Signals: SIGTERM and SIGINT let open requests end, for at most 10 s. SIGHUP rereads the files.

Examples:
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --anchors anchors.pem --kubernetes
  sluice identity serve --issuer issuer.pem --issuer-key issuer-key.pem --tokens tokens --tls --listen 127.0.0.1:8080

Exit codes: 0 ended, 1 failed or cut off, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const options = serveOptions(values, process.env);
    const logger = loggerOf(new OptionReader(values));
    // Loaded only now: the other commands need neither gRPC nor the certificate library.
    const { serveIdentities } = await import('../identity/issuing/serve.js');
    return serveIdentities(options, logger, process);
  },
};

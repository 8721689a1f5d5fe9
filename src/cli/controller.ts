// `sluice controller`: the services that a mesh on Kubernetes needs once.
import { setFlagsFromString } from 'node:v8';
import { parseDuration, parseListen } from '../config/values.js';
import type { AssemblyOptions } from '../controller/assembly.js';
import { csiIssuer } from '../inject/csi.js';
import { DEFAULT_LIST, OLDER_LIST, opaqueDefault } from '../inject/installation.js';
import { sluiceVersion } from '../log/process-state.js';
import {
  apiFiles,
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
  namespace: text,
  'cluster-domain': text,
  issuer: text,
  'issuer-certificate': text,
  cluster: text,
  'proxy-image': text,
  'csi-issuer': text,
  'opaque-ports': text,
  'identity-listen': text,
  'destination-listen': text,
  'injector-listen': text,
  'injector-name': text,
  plain: { type: 'boolean' },
  'max-all-streams': text,
  grace: text,
} as const;

type Options = OptionReader<keyof typeof OPTIONS>;

const MAX_CONNECTIONS = 65_536;
const MAX_STREAMS = 1_000_000;
const REVIEW_MS = 5000;
const HEAP_GROWTH_PERCENT = 10;

/** How to reach the API server. */
function apiServer(env: NodeJS.ProcessEnv): string {
  const server = apiServerOf(env);
  if (server === null)
    throw new UsageError(
      'KUBERNETES_SERVICE_HOST is not set, so this is not running in a pod; add --cluster FILE to try it out',
    );
  return server;
}

function issuerOf(given: Options, inFile: boolean): AssemblyOptions['issuer'] {
  const certificate = given.optional('issuer-certificate');
  const issuer = given.optional('issuer');
  if (certificate !== null) {
    if (issuer !== null) throw new UsageError('--issuer and --issuer-certificate exclude each other');
    return {
      certificate,
      key: given.required('issuer-key', 'which key has the issuer?'),
      anchors: given.required('anchors', 'what do proxies trust?'),
    };
  }
  if (inFile)
    throw new UsageError('without Kubernetes there is no Secret with an issuer; add --issuer-certificate FILE');
  if (issuer === null || issuer === 'own') return 'own';
  if (issuer === 'given') return 'given';
  throw new UsageError(`--issuer: ${JSON.stringify(issuer)} is not known; write own or given`);
}

function tokensOf(given: Options, inFile: boolean, env: NodeJS.ProcessEnv): AssemblyOptions['tokens'] {
  const file = given.optional('tokens');
  if (file !== null) return { file };
  if (inFile) throw new UsageError('without Kubernetes nobody vouches for tokens; add --tokens FILE');
  return { review: reviewOf(given, apiServer(env), REVIEW_MS) };
}

export function controllerOptions(values: Arguments['values'], env: NodeJS.ProcessEnv): AssemblyOptions {
  const given: Options = new OptionReader(values);
  const file = given.optional('cluster');
  const time = (name: keyof typeof OPTIONS, fallback: string, max: string): number =>
    given.parsed(name, fallback, (text) => parseDuration(text, { in: 'ms', step: 1, min: '100ms', max }));
  const graceMs = time('grace', '10s', '10m');
  return {
    namespace: given.parsed('namespace', env.SLUICE_POD_NAMESPACE ?? 'sluice', namespaceNamed),
    trustDomain: given.parsed('trust-domain', 'cluster.local', domainNamed),
    clusterDomain: given.parsed('cluster-domain', 'cluster.local', domainNamed),
    cluster: file !== null ? { file } : { env, files: apiFiles(given) },
    issuer: issuerOf(given, file !== null),
    tokens: tokensOf(given, file !== null, env),
    listen: {
      identity: given.parsed('identity-listen', '0.0.0.0:8080', parseListen),
      destination: given.parsed('destination-listen', '0.0.0.0:8086', parseListen),
      injector: given.parsed('injector-listen', '0.0.0.0:8443', parseListen),
    },
    injectorName: given.optional('injector-name'),
    plain: given.flag('plain'),
    proxyImage: given.text('proxy-image', ''),
    csiIssuer: given.optional('csi-issuer') === null ? null : given.parsed('csi-issuer', '', csiIssuer),
    opaquePorts: given.parsed('opaque-ports', DEFAULT_LIST, opaqueDefault),
    pod: env.SLUICE_POD_NAME ?? '',
    ...certifying(given),
    limits: {
      maxConnections: given.integer('max-connections', 10_000, MAX_CONNECTIONS),
      maxStreams: given.integer('max-streams', 2500, MAX_STREAMS),
      maxAllStreams: given.integer('max-all-streams', 200_000, MAX_STREAMS),
      graceMs,
      spreadMs: graceMs / 2,
    },
  };
}

export const controllerCommand: Command = {
  help: `Usage: sluice controller [OPTIONS]

Runs the controller of a mesh on Kubernetes; several replicas may run. It watches Services, EndpointSlices, pods and
namespaces. It tells proxies what is behind addresses and which endpoints Services have
(io.linkerd.proxy.destination.Destination), issues their certificates (io.linkerd.proxy.identity.Identity), and injects
proxies into pods (an admission webhook). In a pod it needs no options. Logs are one JSON object a line on stderr.

The mesh:
      --namespace NAME        the controller's own (default SLUICE_POD_NAMESPACE, or sluice)
      --trust-domain NAME     in names of certificates (default cluster.local)
      --cluster-domain NAME   in names of Services (default cluster.local)
      --proxy-image IMAGE     what pods get (default: the image of the controller's own pod, SLUICE_POD_NAME)
      --opaque-ports LIST     ports relayed without detection unless an annotation says otherwise (default
                              ${DEFAULT_LIST}); ${OLDER_LIST}: as Linkerd 2.10 had them, with 443

The issuer:
      --issuer own|given      own (default): the controller makes the Secret if it is missing, and renews it; given:
                              something else, such as cert-manager, provides the Secret sluice-identity-issuer
      --issuer-certificate FILE, --issuer-key FILE, --anchors FILE   an issuer in files instead, and what proxies trust
      --csi-issuer ISSUER     proxies get certificates from a volume of cert-manager's csi-driver, signed by this
                              issuer: NAME of a ClusterIssuer, KIND/NAME or KIND.GROUP/NAME
      --lifetime TIME         of certificates (default 24h)
      --skew TIME             certificates become valid this much before they are issued (default 20s)
      --audience NAME         the audience that tokens must have (default identity.l5d.io)

Kubernetes:
      --api-token FILE        token for the API server
                              (default ${IN_CLUSTER}/token)
      --api-ca FILE           the CA of the API server's certificate
                              (default ${IN_CLUSTER}/ca.crt)

To try it out without Kubernetes:
      --cluster FILE          lists of endpoints. The name of each is SERVICE.NAMESPACE.svc.DOMAIN:PORT, followed by the
                              Service's addresses, and optionally http1, http2 or opaque. Reread when it changes
      --tokens FILE           lines of TOKEN NAMESPACE/ACCOUNT
      --plain                 the destination service in plain text

Where:
      --identity-listen ADDRESS      default 0.0.0.0:8080
      --destination-listen ADDRESS   default 0.0.0.0:8086
      --injector-listen ADDRESS      default 0.0.0.0:8443
      --injector-name NAME           a name by which API servers outside the cluster call it, besides its Service's
      --admin ADDRESS                /metrics, /ready, /live (default 0.0.0.0:9990)

Bounds:
      --max-connections N     connections to the destination service (default 10000)
      --max-streams N         streams on one of them (default 2500)
      --max-all-streams N     streams on all of them (default 200000)
      --max-concurrent N      certificate requests processed at once (default 100)
      --max-rate N            certificate requests begun in a second (default 200)
      --grace TIME            how long open work may last after a signal (default 10s)

      --log-level LEVEL       error, warn, info (default) or debug
  -h, --help                  this text

Signals: SIGTERM and SIGINT send clients to other replicas, one connection after the other, and let open requests end. A
second signal ends everything at once.

Examples:
  sluice controller
  sluice controller --issuer given --cluster-domain example.internal
  sluice controller --cluster cluster.yaml --tokens tokens --issuer-certificate issuer.pem --issuer-key issuer-key.pem \\
    --anchors anchors.pem

Exit codes: 0 ended, 1 failed or cut off, 2 wrong usage.`,
  async run(args) {
    const { values } = parseArguments(args, OPTIONS, 0);
    const options = controllerOptions(values, process.env);
    const given: Options = new OptionReader(values);
    const admin = given.parsed('admin', '0.0.0.0:9990', parseListen);
    // The texts that a cluster is parsed from are garbage at once. By default the heap would grow to several times its live size before V8
    // collects them.
    setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
    const logger = loggerOf(given);
    // Loaded only now, so that a usage error is reported quickly.
    const [{ assemble }, { runController }, { IssuingMetrics }] = await Promise.all([
      import('../controller/assembly.js'),
      import('../controller/run.js'),
      import('../identity/issuing/metrics.js'),
    ]);
    const metrics = new IssuingMetrics({ version: sluiceVersion() });
    const stages = assemble(options, { metrics, logger });
    return runController({ admin, stages, registry: metrics.registry }, logger, process);
  },
};

// The shape of the file: every key, its default in the notation of the file, and its values. docs/configuration.md lists the same keys; a
// test compares the two.
import * as v from 'valibot';
import { MAX_METRIC_ENDPOINTS, MAX_METRIC_IDENTITIES, MAX_METRIC_SERVICES } from '../metrics/layout.js';
import { DEFAULT_DESTINATIONS, LOCAL_DESTINATIONS, MAX_PSEUDONYM } from '../proxy/capacity.js';
import { MAX_TAPS } from '../tap/request.js';
import { authorization } from './authorization.js';
import { usableCores } from './cores.js';
import { destination } from './destination.js';
import { identity } from './identity-schema.js';
import { metricsOtlp } from './metrics-otlp.js';
import { parseNetwork } from './networks.js';
import {
  boolean,
  choice,
  duration,
  found,
  integer,
  keepAlive,
  map,
  optionalSection,
  optionalTimeout,
  section,
  size,
  timeout,
  value,
} from './schema-parts.js';
import { MAX_STREAMS, service } from './service-schema.js';
import { sidecar } from './sidecar-schema.js';
import { listenerTls } from './tls-schema.js';
import { tracing } from './tracing.js';
import {
  describe,
  parseAccess,
  parseBoolean,
  parseDuration,
  parseInteger,
  parseListen,
  parseName,
  parsePorts,
  ValueError,
} from './values.js';

const KiB = 2 ** 10;
const MiB = 2 ** 20;
const GiB = 2 ** 30;
export const MAX_WORKERS = 64;
/** Memory for heads larger than a buffer (`MAX_HEAD_BYTES` of src/http/scratch-buffers.ts). */
const MAX_HEADER_BYTES = 256 * KiB;
/** Windows are signed 32-bit numbers (RFC 9113 section 6.9.1). */
const MAX_WINDOW = 2 ** 31 - 1;
/** For floods: 0 would end every connection at its first such frame, so 0 is not allowed. */
const MAX_FRAMES = 1_000_000;

const PSEUDONYM = new RegExp(`^[A-Za-z0-9._:-]{1,${MAX_PSEUDONYM}}$`);

/** Silence before the endpoint is dialled: -1: automatic, -2: never. */
function parseRace(input: unknown): number {
  if (input === 'auto') return -1;
  if (input === 'off' || input === false) return -2;
  try {
    return parseDuration(input, { in: 'ms', step: 1 });
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ValueError(`${error.message}; auto and off are allowed too`);
  }
}

function parseMeshHeaders(input: unknown): boolean | 'auto' {
  if (typeof input === 'boolean' || input === 'auto') return input;
  throw new ValueError(`found ${describe(input)}; write true, false or auto, without quotes`);
}

/** A name for Via; null if off. */
function parseVia(input: unknown): string | null {
  if (isOff(input)) return null;
  if (typeof input === 'string' && PSEUDONYM.test(input) && input !== 'on') return input;
  throw new ValueError(
    `found ${describe(input)}; write off, or a name of 1 to ${MAX_PSEUDONYM} letters, digits and . _ : -, such as sluice`,
  );
}

function parseWorkers(input: unknown): number {
  if (input === 'auto') return Math.min(usableCores(), MAX_WORKERS);
  try {
    return parseInteger(input, 1, MAX_WORKERS);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ValueError(`${error.message}, or auto for one per available core`);
  }
}

const isOff = (input: unknown): boolean => input === 'off' || input === false || input === null;
const off = v.pipe(
  v.unknown(),
  v.transform(() => null),
);

const admin = section({
  listen: v.optional(
    value((input) => (isOff(input) ? null : parseListen(input))),
    '127.0.0.1:4191',
  ),
  shutdown: v.optional(boolean(), false),
});

const ports = () => v.array(value(parsePorts), found('a list such as [15432, "4000-4010"]'));
const portList = v.pipe(
  ports(),
  v.transform((add) => ({ only: undefined, add, remove: undefined })),
);
const portChanges = section({ only: v.optional(ports()), add: v.optional(ports()), remove: v.optional(ports()) });

/** A header of version 1, or the fixed part of version 2 with two IPv6 addresses, must fit. */
const MIN_PROXY_HEADER = 108;
const MAX_PROXY_HEADER = 15 * KiB;
const proxyNetworks = v.pipe(
  v.array(value(parseNetwork), found('a list of networks, such as ["10.0.0.0/8"]')),
  v.minLength(1, 'is empty, so nobody could connect; list the networks of your proxies, such as "10.0.0.0/8"'),
);
const proxyHeaders = section({
  from: v.optional(proxyNetworks),
  timeout: v.optional(timeout(), '5s'),
  maxBytes: v.optional(size(MIN_PROXY_HEADER, MAX_PROXY_HEADER), '4KiB'),
});
const isMap = (input: unknown): boolean => typeof input === 'object' && input !== null && !Array.isArray(input);
/** `true` means all defaults. */
const proxyProtocol = v.lazy((input) =>
  isMap(input)
    ? proxyHeaders
    : v.pipe(
        value(parseBoolean),
        v.transform((on) => (on ? v.parse(proxyHeaders, {}) : undefined)),
      ),
);

const serviceName = () => value(parseName);
const verdictService = () => v.optional(value((input) => (input === null ? null : parseName(input))));

const listener = section({
  name: value(parseName),
  listen: value(parseListen),
  protocol: v.optional(choice('detect', 'http1', 'http2', 'opaque'), 'detect'),
  service: v.optional(serviceName()),
  services: v.optional(
    section({
      http1: verdictService(),
      http2: verdictService(),
      tls: verdictService(),
      opaque: verdictService(),
      default: verdictService(),
    }),
  ),
  originalDestination: v.optional(boolean(), false),
  proxyProtocol: v.optional(proxyProtocol),
  direction: v.optional(choice('inbound', 'outbound'), 'inbound'),
  authorization: v.optional(authorization),
  meshHeaders: v.optional(value(parseMeshHeaders), 'auto'),
  halfClose: v.optional(boolean(), false),
  shared: v.optional(boolean(), false),
  via: v.optional(value(parseVia), 'off'),
  date: v.optional(boolean(), false),
  mesh: v.optional(boolean(), false),
  tls: v.optional(listenerTls),
  backlog: v.optional(integer(1, 65_535), 4096),
  keepAlive: v.optional(keepAlive(), '10s'),
  userTimeout: v.optional(optionalTimeout(), '30s'),
  opaquePorts: v.optional(ports()),
  connectTimeout: v.optional(timeout(), '1s'),
  detect: optionalSection({
    timeout: v.optional(optionalTimeout()),
    race: v.optional(value(parseRace)),
    hello: v.optional(optionalTimeout()),
    learnTtl: v.optional(optionalTimeout()),
  }),
});

export const limitsSchema = optionalSection({
  maxConnections: v.optional(integer(1, 1_000_000), 50_000),
  slab: v.optional(size(MiB, GiB), '64MiB'),
  slabIdle: v.optional(optionalTimeout(), '10s'),
  maxBuffered: v.optional(size(16 * KiB, 256 * MiB), '256KiB'),
  maxPipes: v.optional(integer(0, 65_536), 256),
  protocolExpiry: v.optional(timeout(), '10m'),
  http1: optionalSection({
    maxHeaderBytes: v.optional(size(256, MAX_HEADER_BYTES), '64KiB'),
    maxHeaders: v.optional(integer(1, 1024), 256),
    maxTarget: v.optional(size(16, MAX_HEADER_BYTES), '8KiB'),
    headerTimeout: v.optional(timeout(), '10s'),
    bodyTimeout: v.optional(optionalTimeout(), '5m'),
    lingerTimeout: v.optional(timeout(), '30s'),
    maxLinger: v.optional(size(0, GiB), '256MiB'),
    idleTimeout: v.optional(timeout(), '60s'),
    maxRequests: v.optional(integer(0, 2 ** 31 - 1), 0),
    maxPipelined: v.optional(size(16 * KiB, 16 * MiB), '64KiB'),
  }),
  http2: optionalSection({
    maxStreams: v.optional(integer(1, MAX_STREAMS), 128),
    maxHeaderBytes: v.optional(size(256, MAX_HEADER_BYTES), '64KiB'),
    maxHeaders: v.optional(integer(1, 1024), 256),
    headerTimeout: v.optional(timeout(), '10s'),
    idleTimeout: v.optional(timeout(), '1h'),
    bodyTimeout: v.optional(optionalTimeout(), '5m'),
    stallTimeout: v.optional(timeout(), '5m'),
    windowTimeout: v.optional(optionalTimeout(), '1s'),
    discardTimeout: v.optional(optionalTimeout(), '5s'),
    maxDiscard: v.optional(size(0, GiB), '64MiB'),
    streamWindow: v.optional(size(16 * KiB, 16 * MiB), '64KiB'),
    maxStreamWindow: v.optional(size(16 * KiB, 16 * MiB), '1MiB'),
    connectionWindow: v.optional(size(64 * KiB, MAX_WINDOW), '16MiB'),
    maxBuffered: v.optional(size(64 * KiB, 256 * MiB), '4MiB'),
    keepAlive: v.optional(optionalTimeout(), '30s'),
    keepAliveTimeout: v.optional(timeout(), '10s'),
    maxAge: v.optional(optionalTimeout(), 0),
    ageGrace: v.optional(optionalTimeout(), '30s'),
    maxResets: v.optional(integer(1, MAX_FRAMES), 500),
    maxProvokedResets: v.optional(integer(1, MAX_FRAMES), 100),
    maxControlFrames: v.optional(integer(1, MAX_FRAMES), 2000),
    maxEmptyFrames: v.optional(integer(1, MAX_FRAMES), 200),
    maxTinyFrames: v.optional(integer(1, MAX_FRAMES), 10_000),
    maxContinuations: v.optional(integer(0, 1024), 64),
    maxReplay: v.optional(size(0, GiB), '8MiB'),
  }),
  opaque: optionalSection({
    maxConnections: v.optional(integer(0, 1_000_000), 0),
    idleTimeout: v.optional(optionalTimeout(), '1h'),
    lifetime: v.optional(optionalTimeout(), 0),
    halfCloseTimeout: v.optional(optionalTimeout(), '5m'),
  }),
  tls: optionalSection({
    handshakeTimeout: v.optional(timeout(), '10s'),
    maxHandshakes: v.optional(integer(1, 65_536), 1024),
    handshakesPerTurn: v.optional(integer(1, 1024), 8),
    handshakeTurn: v.optional(duration({ in: 'us', step: 1, min: '1us', max: '1s' }), '250us'),
    handshakePatience: v.optional(timeout(), '1s'),
    maxHello: v.optional(size(4 * KiB, 64 * KiB), '20KiB'),
    maxChain: v.optional(size(8 * KiB, MiB), '64KiB'),
  }),
});

export const configSchema = section({
  workers: v.optional(value(parseWorkers), 1),
  io: v.optional(choice('auto', 'uring', 'epoll'), 'auto'),
  warmup: v.optional(choice('auto', 'off'), 'auto'),
  coalesce: v.optional(duration({ in: 'us', step: 1, max: '10ms' }), '50us'),
  admin: v.optional(
    v.lazy((input) => (isOff(input) ? off : admin)),
    {},
  ),
  log: optionalSection({
    level: v.optional(choice('error', 'warn', 'info', 'debug'), 'info'),
    access: v.optional(value(parseAccess), false),
  }),
  metrics: optionalSection({
    maxServices: v.optional(integer(1, MAX_METRIC_SERVICES), 128),
    maxEndpoints: v.optional(integer(1, MAX_METRIC_ENDPOINTS), 512),
    maxIdentities: v.optional(integer(1, MAX_METRIC_IDENTITIES), 128),
    maxScrapes: v.optional(integer(1, 64), 4),
    otlp: v.optional(metricsOtlp),
  }),
  live: optionalSection({
    listeners: v.optional(integer(0, 256), 16),
    waiting: v.optional(integer(0, 256), 16),
    missed: v.optional(integer(1, 3600), 10),
    errors: v.optional(integer(0, 4096), 64),
  }),
  tap: optionalSection({
    listeners: v.optional(integer(0, MAX_TAPS), 4),
    maxRps: v.optional(integer(1, 10_000), 1000),
    maxBuffered: v.optional(size(16 * KiB, 16 * MiB), '256KiB'),
  }),
  tracing: v.optional(tracing),
  drain: optionalSection({
    hold: v.optional(optionalTimeout(), '2s'),
    grace: v.optional(optionalTimeout(), '30s'),
    outbound: v.optional(choice('together', 'last'), 'together'),
  }),
  limits: limitsSchema,
  destinations: optionalSection({
    max: v.optional(integer(1, LOCAL_DESTINATIONS), DEFAULT_DESTINATIONS),
    resolveTimeout: v.optional(timeout(), '500ms'),
    idleTimeout: v.optional(timeout(), '5m'),
  }),
  discovery: optionalSection({
    maxFileSize: v.optional(size(KiB, 256 * MiB), '16MiB'),
    pollInterval: v.optional(duration({ in: 'ms', step: 1, min: '100ms' }), '5s'),
    startWait: v.optional(optionalTimeout(), '500ms'),
  }),
  authorization: v.optional(authorization),
  identity: v.optional(identity),
  destination: v.optional(destination),
  sidecar,
  opaquePorts: v.nullish(
    v.lazy((input) => (Array.isArray(input) ? portList : portChanges)),
    {},
  ),
  detect: optionalSection({
    timeout: v.optional(optionalTimeout(), '10s'),
    race: v.optional(value(parseRace), 'auto'),
    hello: v.optional(optionalTimeout(), '1500ms'),
    learnTtl: v.optional(optionalTimeout(), '10m'),
  }),
  listeners: v.pipe(
    v.array(listener, found('a list of listeners, such as - { name: edge, listen: "127.0.0.1:8080", service: web }')),
    v.minLength(1, 'is empty; add a listener, such as - { name: edge, listen: "127.0.0.1:8080", service: web }'),
  ),
  services: v.pipe(
    map('a map of services by name, such as web: { endpoints: ["127.0.0.1:9001"] }'),
    v.record(v.string(), service),
  ),
});

export type ConfigTree = v.InferOutput<typeof configSchema>;

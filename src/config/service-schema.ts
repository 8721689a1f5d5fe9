// The section of a service: its endpoints, and how to dial and balance them.
import * as v from 'valibot';
import { parseMatch } from './match.js';
import {
  choice,
  duration,
  found,
  integer,
  keepAlive,
  optionalSection,
  optionalTimeout,
  section,
  timeout,
  value,
} from './schema-parts.js';
import { serviceTls } from './tls-schema.js';
import {
  parseEndpoint,
  parseFilePath,
  parseIdentity,
  parseName,
  parseNumber,
  parsePeerProxy,
  parseSize,
  ValueError,
} from './values.js';

const MiB = 2 ** 20;
export const MAX_STREAMS = 10_000;

/** Bytes of a request to keep: -1 is automatic. */
function parseReplay(input: unknown): number {
  if (input === 'auto') return -1;
  try {
    return parseSize(input, 0, 16 * MiB);
  } catch (error) {
    if (!(error instanceof ValueError)) throw error;
    throw new ValueError(`${error.message}, or auto`);
  }
}

/** Latencies may be finer than a millisecond. */
const latency = () => duration({ in: 'ms', step: 0, min: '1us' });

const isFile = (input: unknown): boolean => typeof input === 'object' && input !== null && !Array.isArray(input);
const endpointFile = v.pipe(
  section({ file: value(parseFilePath), key: v.optional(value(parseName)) }),
  v.transform(({ file, key }) => ({ kind: 'file' as const, path: file, key: key ?? null })),
);
const identifiedEndpoint = v.pipe(
  section({
    address: value(parseEndpoint),
    identity: v.optional(value(parseIdentity)),
    proxy: v.optional(value(parsePeerProxy)),
  }),
  v.transform(({ address, identity, proxy }) => ({
    ...address,
    ...(identity === undefined ? {} : { identity }),
    ...(proxy === undefined ? {} : { proxy }),
  })),
);
const hasAddress = (input: unknown): boolean => isFile(input) && 'address' in (input as object);
const endpointList = v.pipe(
  v.array(
    v.lazy((input) => (hasAddress(input) ? identifiedEndpoint : isFile(input) ? endpointFile : value(parseEndpoint))),
    found('a list such as ["127.0.0.1:9001"], or { file: PATH }'),
  ),
  v.minLength(1, 'is empty; list at least one endpoint, such as "127.0.0.1:9001"'),
);
const onlyFile = v.pipe(
  endpointFile,
  v.transform((file) => [file]),
);

/** Settings for dialling and balancing. */
const settings = {
  applicationTls: v.optional(choice('pass', 'wrap'), 'pass'),
  balance: optionalSection({
    policy: v.optional(choice('ewma', 'round-robin'), 'ewma'),
    decay: v.optional(latency(), '10s'),
    defaultRtt: v.optional(latency(), '30ms'),
    failurePenalty: v.optional(duration({ in: 'ms', step: 0 }), '5s'),
  }),
  breaker: optionalSection({
    failures: v.optional(integer(0, 1_000_000), 7),
    minBackoff: v.optional(timeout(), '1s'),
    maxBackoff: v.optional(timeout(), '60s'),
    dialInterval: v.optional(optionalTimeout(), '50ms'),
  }),
  pool: optionalSection({
    maxIdle: v.optional(integer(0, 65_535), 1024),
    maxConnections: v.optional(integer(1, 65_535), 1024),
    idleTimeout: v.optional(timeout(), '4s'),
    maxStreams: v.optional(integer(1, MAX_STREAMS), 100),
    maxAge: v.optional(optionalTimeout(), '1h'),
    spares: v.optional(integer(0, 1024), 0),
    http2Connections: v.optional(integer(1, 1024), 16),
  }),
  retry: optionalSection({
    budget: v.optional(
      value((input) => parseNumber(input, 0, 1)),
      0.2,
    ),
    minPerSecond: v.optional(integer(0, 1_000_000), 10),
    replayBytes: v.optional(value(parseReplay), 'auto'),
  }),
  connectTimeout: v.optional(timeout(), '1s'),
  hedgeDelay: v.optional(optionalTimeout(), '250ms'),
  responseTimeout: v.optional(optionalTimeout(), 0),
  bodyTimeout: v.optional(optionalTimeout()),
  streamTimeout: v.optional(optionalTimeout(), 0),
  keepAlive: v.optional(keepAlive(), '10s'),
  userTimeout: v.optional(optionalTimeout(), '30s'),
};

export const service = section({
  ...settings,
  protocol: v.optional(choice('http1', 'http2', 'opaque', 'auto'), 'auto'),
  proxyProtocol: v.optional(choice('v1', 'v2')),
  endpoints: v.lazy((input) => (isFile(input) ? onlyFile : endpointList)),
  tls: v.optional(serviceTls),
  match: v.optional(v.array(value(parseMatch), found('a list such as ["10.0.0.0/8:5432"]')), []),
  dns: optionalSection({
    minTtl: v.optional(timeout(), '1s'),
    maxTtl: v.optional(timeout(), '60s'),
  }),
});

/** The same for discovered services, whose endpoints the file does not list. */
export const serviceDefaults = optionalSection(settings);

export type ServiceTree = v.InferOutput<typeof service>;
export type ServiceDefaultsTree = NonNullable<v.InferOutput<typeof serviceDefaults>>;

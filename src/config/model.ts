// The configuration after parsing: every default filled in, durations in milliseconds, sizes in bytes. The rest of Sluice reads this; YAML
// text and its errors stay in src/config.

import type { Http2Limits } from '../http2/limits.js';
import type { Family, Network } from './addresses.js';
import type { LookupConfig, SidecarConfig } from './sidecar-model.js';
import type { ListenerTlsConfig, ServiceTlsConfig } from './tls-model.js';

/** The configured protocol of a listener. `detect` examines the first bytes. */
export type ListenerProtocol = 'detect' | 'http1' | 'http2' | 'opaque';

/** The protocol of a service's endpoints. */
export type ServiceProtocol = 'http1' | 'http2' | 'opaque' | 'auto';

export interface Address {
  /** Numeric IPv4 or IPv6 text, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface DetectConfig {
  /** Silence after which detection gives up and relays as opaque (fails open), ms. 0: no limit. */
  readonly timeoutMs: number;
  /**
   * Silence before the opaque endpoint is dialled, ms; -1: short for a service with one endpoint, longer otherwise; -2: never before the
   * verdict.
   */
  readonly raceMs: number;
  /** The minimum of this for a mesh client that has not sent its hello yet, ms. */
  readonly helloMs: number;
  /** How long to remember a destination that spoke first, ms. 0 turns learning off. */
  readonly learnTtlMs: number;
}

/** A service per verdict; `null` if the listener refuses that protocol. */
export interface ListenerServices {
  readonly http1: string | null;
  readonly http2: string | null;
  readonly tls: string | null;
  readonly opaque: string | null;
}

/** The PROXY header that each connection of a listener begins with. */
export interface ProxyHeaderConfig {
  /** Networks that may connect, because the header can claim any client; null: anybody. */
  readonly from: readonly Network[] | null;
  /** Time for the header to arrive, ms. */
  readonly timeoutMs: number;
  /** Maximum size of the header. */
  readonly maxBytes: number;
}

/** Both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** The decision if no rule matches. `cluster-` means only from `clusterNetworks`, `authenticated` only with a verified identity. */
export const AUTHORIZATION_DEFAULTS = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'cluster-unauthenticated',
  'deny',
  'audit',
] as const;
export type AuthorizationDefault = (typeof AUTHORIZATION_DEFAULTS)[number];

/** The name under which a listener's default is counted; rules can't have it. */
export const DEFAULT_RULE = 'default';

/** A rule matches if all its conditions hold; null is no condition. */
export interface AuthorizationRule {
  readonly name: string;
  /** `audit` allows and logs. */
  readonly action: 'allow' | 'deny' | 'audit';
  /** The client's destination port, or else the listener's. */
  readonly ports: readonly PortRange[] | null;
  /** Full names, `*.` and a suffix, a SPIFFE ID prefix and `/*`, or `*`. */
  readonly identities: readonly string[] | null;
  readonly networks: readonly { readonly cidr: Network; readonly except: readonly Network[] }[] | null;
  readonly methods: readonly string[] | null;
  /** A path, or a prefix of whole segments. */
  readonly path: string | null;
  readonly exactPath: boolean;
}

export interface AuthorizationConfig {
  readonly default: AuthorizationDefault;
  readonly clusterNetworks: readonly Network[];
  /** The first match decides. */
  readonly rules: readonly AuthorizationRule[];
}

/** The `direction` label of the metrics. */
export type Direction = 'inbound' | 'outbound';

export interface ListenerConfig {
  readonly name: string;
  readonly listen: Address;
  readonly protocol: ListenerProtocol;
  readonly services: ListenerServices;
  /** Connections go to their original destination, or to the service whose `match` has it; `services` are all null. */
  readonly originalDestination: boolean;
  /** null: no header. */
  readonly proxyProtocol: ProxyHeaderConfig | null;
  readonly direction: Direction;
  /** Whether to remove `l5d-…` fields from requests and add `l5d-client-id`. `auto`: if clients may present certificates. */
  readonly meshHeaders: boolean | 'auto';
  /** Null: everything is allowed. */
  readonly authorization: AuthorizationConfig | null;
  readonly detect: DetectConfig;
  /** Half-closed clients may still wait for their response. */
  readonly halfClose: boolean;
  /** Another process may listen on the same port, like the successor in a restart. */
  readonly shared: boolean;
  /** This proxy's name in Via (RFC 9110 section 7.6.3); null: none is added. */
  readonly via: string | null;
  /** Final responses without Date get one (section 6.6.1). */
  readonly date: boolean;
  /** TLS for this proxy's own names ends here; other TLS passes through. */
  readonly mesh: boolean;
  /** null: TLS is not terminated. */
  readonly tls: ListenerTlsConfig | null;
  readonly backlog: number;
  /** TCP keepalive idle time and interval, ms; 0 turns it off. */
  readonly keepAliveMs: number;
  /** Limit on unacknowledged data, ms; 0: the kernel's default. */
  readonly userTimeoutMs: number;
  /** Ports that it relays without detection, instead of all others; null: those of the whole configuration. */
  readonly opaquePorts: ReadonlySet<number> | null;
  /** Timeout for dialling an original destination, ms. */
  readonly connectTimeoutMs: number;
}

/** The proxy in front of an endpoint, which has the endpoint's identity. */
export interface PeerProxy {
  /** Its port, for all connections, with the opaque transport; 0: connect to the endpoint's port. */
  readonly port: number;
  /** It carries HTTP/1 over HTTP/2 and turns it back (`l5d-orig-proto`). */
  readonly http2: boolean;
}

interface Identified {
  /** The name that the certificates of the endpoints must be for. */
  readonly identity?: string;
  readonly proxy?: PeerProxy;
}

/**
 * Sources of endpoints. `dns`: A/AAAA records of a name; `srv`: a service record with its own ports; `file`: the list at `key` in a file
 * (its only list if that is null).
 */
export type EndpointSource =
  | ({ readonly kind: 'static'; readonly address: Address } & Identified)
  | ({ readonly kind: 'dns'; readonly name: string; readonly port: number } & Identified)
  | ({ readonly kind: 'srv'; readonly name: string } & Identified)
  | { readonly kind: 'file'; readonly path: string; readonly key: string | null };

/** Addresses of one port, from `first` to `last`. */
export interface MatchRange {
  /** As written in the file. */
  readonly text: string;
  readonly family: Family;
  /** Bits that all addresses of the range share. */
  readonly prefix: number;
  readonly port: number;
  /** Keys (see `matchKey` in match.ts) of the lowest and highest address: both are in the range. */
  readonly first: string;
  readonly last: string;
}

export interface BalanceConfig {
  readonly policy: 'ewma' | 'round-robin';
  /** Time in which a latency estimate decays to 1/e, ms. */
  readonly decayMs: number;
  /** Assumed latency of a new endpoint, ms. */
  readonly defaultRttMs: number;
  /** Latency recorded for a failure, ms. 0 records what was measured. */
  readonly failurePenaltyMs: number;
}

export interface BreakerConfig {
  /** Consecutive failures that take an endpoint out. 0 turns the breaker off. */
  readonly failures: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** How long an endpoint that is out is not dialled after a failed connect, ms. 0: no limit. */
  readonly dialIntervalMs: number;
}

export interface PoolConfig {
  /** Idle upstream connections kept per endpoint and worker. */
  readonly maxIdle: number;
  /** Upstream connections per endpoint and worker, idle and busy. */
  readonly maxConnections: number;
  /** How long to keep an idle upstream connection, ms. */
  readonly idleTimeoutMs: number;
  /** Streams on one HTTP/2 connection; never more than the endpoint allows. */
  readonly maxStreams: number;
  /** Age at which an HTTP/2 connection gets no new streams and is replaced, ms; 0: no limit. */
  readonly maxAgeMs: number;
  /** HTTP/2 connections kept open beyond what is needed, per endpoint and worker. */
  readonly spares: number;
  /** HTTP/2 connections per endpoint and worker. */
  readonly http2Connections: number;
}

export interface RetryConfig {
  /** Retries allowed as a share of requests. */
  readonly budget: number;
  /** Retries per second that are always allowed. */
  readonly minPerSecond: number;
  /** Bytes of a request kept for retries; 0 retries only requests without a body, -1 keeps as much as memory allows. */
  readonly replayBytes: number;
}

export interface ServiceConfig {
  readonly name: string;
  readonly protocol: ServiceProtocol;
  /** Whether the application's own TLS goes to an endpoint with an identity unchanged, or inside ours. */
  readonly applicationTls: 'pass' | 'wrap';
  /** Version of the PROXY header sent to endpoints; null for none. */
  readonly proxyProtocol: 'v1' | 'v2' | null;
  readonly endpoints: readonly EndpointSource[];
  /** null: data is sent in plain text, or with the mesh's TLS. */
  readonly tls: ServiceTlsConfig | null;
  /** Original destinations that this service takes over; they do not overlap. */
  readonly match: readonly MatchRange[];
  readonly balance: BalanceConfig;
  readonly breaker: BreakerConfig;
  readonly pool: PoolConfig;
  readonly retry: RetryConfig;
  readonly connectTimeoutMs: number;
  /** How long a dial may take before a second endpoint is dialled, ms. 0 turns this off. */
  readonly hedgeDelayMs: number;
  /** From the end of the request to the first byte of its response, ms. 0: no limit. */
  readonly responseTimeoutMs: number;
  /** Silence inside a body, ms. 0: no limit; -1: the `limits` of the versions apply. */
  readonly bodyTimeoutMs: number;
  /** Silence of a gRPC call or an event stream, ms. 0: no limit. */
  readonly streamTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly userTimeoutMs: number;
  /** Bounds of the DNS refresh interval, ms. */
  readonly dnsMinTtlMs: number;
  readonly dnsMaxTtlMs: number;
}

export interface Http1Limits {
  /** Bytes of start line and fields; at most what a buffer holds. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxTargetBytes: number;
  /** First byte of a request to the end of its head, ms. */
  readonly headerTimeoutMs: number;
  /** Silence inside a request or response body, ms. */
  readonly bodyTimeoutMs: number;
  /** How long and how much to read from a client that was answered before the end of its request. */
  readonly lingerTimeoutMs: number;
  readonly maxLingerBytes: number;
  /** Silence of a client connection between requests, ms. */
  readonly idleTimeoutMs: number;
  /** Requests served on one client connection; 0 is no limit. */
  readonly maxRequests: number;
  /** Pipelined bytes read ahead of the response being sent. */
  readonly maxPipelinedBytes: number;
}

export interface OpaqueLimits {
  /** Connections to one endpoint, per worker; 0 is no limit. */
  readonly maxConnections: number;
  /** Silence in both directions, ms; 0 is none. */
  readonly idleTimeoutMs: number;
  /** Age of a connection, ms; 0 is none. */
  readonly lifetimeMs: number;
  /** How long a half-closed connection may stay silent, ms; 0 is none. */
  readonly halfCloseTimeoutMs: number;
}

export interface TlsLimits {
  /** Timeout of a whole handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes in progress per worker, with clients, and the same number with endpoints. */
  readonly maxHandshakes: number;
  /** Handshake steps per turn of the event loop. */
  readonly handshakesPerTurn: number;
  /** Time for them per turn, µs. */
  readonly handshakeTurnUs: number;
  /** How long a client may keep others waiting for its place, ms. */
  readonly handshakePatienceMs: number;
  /** Maximum bytes of a ClientHello. */
  readonly maxHello: number;
  /** Maximum bytes of an endpoint's chain; half of it for a client. */
  readonly maxChain: number;
}

export interface LimitsConfig {
  /** Open client connections per worker. */
  readonly maxConnections: number;
  /** Buffer memory per worker, bytes. */
  readonly slabBytes: number;
  /** Buffers unused for this long are returned to the system, ms; 0: never. */
  readonly slabIdleMs: number;
  /** Bytes queued to a slow reader before its source is no longer read. */
  readonly maxBufferedBytes: number;
  /** Pipes that splicing may hold per worker; 0 turns splicing off. */
  readonly maxPipes: number;
  /** How long to remember which protocol an endpoint speaks, ms. */
  readonly protocolExpiryMs: number;
  readonly http1: Http1Limits;
  readonly http2: Http2Limits;
  readonly opaque: OpaqueLimits;
  readonly tls: TlsLimits;
}

export interface DestinationsConfig {
  /** Original destinations per worker. */
  readonly max: number;
  /** How long a connection may wait for an answer about its original destination, ms. */
  readonly resolveTimeoutMs: number;
  /** How long to remember a destination without connections, ms. */
  readonly idleTimeoutMs: number;
}

export interface DiscoveryConfig {
  /** Maximum size of a file of endpoints, bytes. */
  readonly maxFileBytes: number;
  /** How often to check files of endpoints, in case the kernel reports no change, ms. */
  readonly pollMs: number;
  /** How long a start or reload waits for names to resolve, ms. */
  readonly startWaitMs: number;
}

/** Source of an identity; paths are absolute. */
export type IdentitySourceConfig =
  | { readonly kind: 'files'; readonly certificate: string; readonly key: string; readonly anchors: string }
  | {
      readonly kind: 'spiffe';
      /** Path of the Workload API's socket. */
      readonly socket: string;
    }
  | {
      readonly kind: 'linkerd';
      /** `host:port` of the identity service. */
      readonly address: string;
      /** The name that its certificate must have. */
      readonly serverName: string;
      /** Files. */
      readonly token: string;
      /** PEM text, instead of a file. */
      readonly anchors: string;
      /** Bounds of the time from one certificate to the request for the next, ms. */
      readonly minRefreshMs: number;
      readonly maxRefreshMs: number;
    };

/** The identity of this proxy. */
export interface IdentityConfig {
  /** The name that the certificate must have; null: any. */
  readonly name: string | null;
  /** The name by which peers ask for this proxy; null: derived from its names. */
  readonly serverName: string | null;
  /** The trust domain that its name must belong to; null: any. */
  readonly trustDomain: string | null;
  /** Timeout of an answer, ms. */
  readonly timeoutMs: number;
  /** Bounds of the wait after a failure, ms. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly source: IdentitySourceConfig;
}

export interface DrainConfig {
  /** After SIGTERM: how long listeners keep accepting while /ready fails, ms. */
  readonly holdMs: number;
  /** After the listeners closed: how long open work may take, ms. */
  readonly graceMs: number;
  /** When to drain listeners with `direction: outbound`: with the others, or after them, once the application is gone. */
  readonly outbound: 'together' | 'last';
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** What the access log contains: everything, nothing, or failures. */
export type AccessMode = boolean | 'errors';

export interface LogConfig {
  readonly level: LogLevel;
  readonly access: AccessMode;
}

/** The live view: src/live. */
export interface LiveConfig {
  /** Maximum number of readers of /events at once. */
  readonly listeners: number;
  /** Maximum number of /state requests waiting for the end of an interval. */
  readonly waiting: number;
  /** Events in a row that a slow reader may miss before its connection is closed. */
  readonly missed: number;
  /** Refusals to keep. */
  readonly errors: number;
}

/** Taps: src/tap. */
export interface TapConfig {
  /** Maximum number at once. */
  readonly listeners: number;
  /** Maximum records per second for each. */
  readonly maxRps: number;
  /** Buffer for a slow reader, bytes. */
  readonly maxBuffered: number;
}

/** Destination and limits of spans: src/tracing. */
export interface TracingConfig {
  /** URL of the collector. */
  readonly endpoint: string;
  /** Share of traces that begin here or carry no decision. */
  readonly sampling: number;
  readonly serviceName: string;
  /** Further resource attributes. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Header fields for the collector. */
  readonly headers: Readonly<Record<string, string>>;
  /** How long to collect spans before sending them, ms. */
  readonly intervalMs: number;
  /** Per second and worker. */
  readonly maxSpans: number;
  /** Memory for unsent spans, bytes. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** Destination and interval of metrics: src/otlp/push.ts. */
export interface MetricsOtlpConfig {
  /** URL of the collector. */
  readonly endpoint: string;
  readonly serviceName: string;
  /** Further resource attributes. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Header fields for the collector. */
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** Memory for unsent points, bytes. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** Numbers of series; what comes later counts in the series `overflow`. */
export interface MetricsConfig {
  readonly maxServices: number;
  readonly maxEndpoints: number;
  /** Identities as label values. */
  readonly maxIdentities: number;
  /** Maximum number of /metrics pages being made at once. */
  readonly maxScrapes: number;
  /** null: metrics are not sent. */
  readonly otlp: MetricsOtlpConfig | null;
}

export interface DestinationConfig extends LookupConfig {
  /** Settings for the services it knows. */
  readonly defaults: ServiceConfig;
}

export interface Config {
  /** Absolute path, or `-` without a file. */
  readonly file: string;
  readonly workers: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  /** Whether workers run their data path before they serve. */
  readonly warmup: 'auto' | 'off';
  /** How long a loop turn may wait for more completions when much is in flight, microseconds. 0 is off. */
  readonly coalesceUs: number;
  readonly admin: Address | null;
  /** The admin port may stop the proxy, on request from this machine. */
  readonly adminShutdown: boolean;
  readonly log: LogConfig;
  readonly metrics: MetricsConfig;
  readonly live: LiveConfig;
  readonly tap: TapConfig;
  /** null: no spans. */
  readonly tracing: TracingConfig | null;
  readonly drain: DrainConfig;
  /** Settings for connections to original destinations that no service takes over. */
  readonly bareService: ServiceConfig;
  readonly limits: LimitsConfig;
  readonly destinations: DestinationsConfig;
  readonly discovery: DiscoveryConfig;
  /** null: this proxy has none. */
  readonly identity: IdentityConfig | null;
  readonly sidecar: SidecarConfig;
  /** Asked about addresses that no service's `match` has; null: nobody. */
  readonly destination: DestinationConfig | null;
  /** Ports relayed without detection. */
  readonly opaquePorts: ReadonlySet<number>;
  /** Those of `opaquePorts` that the file names, rather than the default list. */
  readonly annotatedPorts: ReadonlySet<number>;
  readonly listeners: readonly ListenerConfig[];
  readonly services: readonly ServiceConfig[];
}

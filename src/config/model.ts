// The configuration after parsing: every default filled in, durations in milliseconds, sizes in bytes.
// This is what the rest of Sluice reads; the YAML text and its errors end in src/config.

import type { Http2Limits } from '../http2/limits.js';
import type { Family, Network } from './addresses.js';
import type { LookupConfig, SidecarConfig } from './sidecar-model.js';
import type { ListenerTlsConfig, ServiceTlsConfig } from './tls-model.js';

/** What a listener is told about its traffic. `detect` looks at the first bytes. */
export type ListenerProtocol = 'detect' | 'http1' | 'http2' | 'opaque';

/** What the endpoints of a service speak. */
export type ServiceProtocol = 'http1' | 'http2' | 'opaque' | 'auto';

export interface Address {
  /** Numeric IPv4 or IPv6 text, without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface DetectConfig {
  /** Silence after which detection gives up and relays as opaque (fails open), ms. 0 waits for ever. */
  readonly timeoutMs: number;
  /**
   * Silence after which the opaque endpoint is dialled, ms; -1 chooses: short for a service with one endpoint, longer
   * otherwise; -2 never dials before the verdict.
   */
  readonly raceMs: number;
  /** The same, at least, of a client on a listener of the mesh that has not said its hello yet, ms. */
  readonly helloMs: number;
  /** How long a destination that spoke first is remembered, ms. 0 turns learning off. */
  readonly learnTtlMs: number;
}

/** A service per verdict; `null` where the listener refuses that protocol. */
export interface ListenerServices {
  readonly http1: string | null;
  readonly http2: string | null;
  readonly tls: string | null;
  readonly opaque: string | null;
}

/** The PROXY header that each connection of a listener begins with. */
export interface ProxyHeaderConfig {
  /** Who may connect, as everybody who may says whose connection it is; null is anybody. */
  readonly from: readonly Network[] | null;
  /** Time for the header, ms. */
  readonly timeoutMs: number;
  /** Longest header. */
  readonly maxBytes: number;
}

/** Both ends included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Who may do what where no rule says otherwise. `cluster-` is from `clusterNetworks` only, `authenticated` is with a verified identity only. */
export const AUTHORIZATION_DEFAULTS = [
  'all-unauthenticated',
  'all-authenticated',
  'cluster-authenticated',
  'cluster-unauthenticated',
  'deny',
  'audit',
] as const;
export type AuthorizationDefault = (typeof AUTHORIZATION_DEFAULTS)[number];

/** Under this name the default of a listener is counted; no rule may have it. */
export const DEFAULT_RULE = 'default';

/** All of its conditions hold of what it matches; null is no condition. */
export interface AuthorizationRule {
  readonly name: string;
  /** `audit` allows, and tells of it. */
  readonly action: 'allow' | 'deny' | 'audit';
  /** Where the client was going, or else the listener's. */
  readonly ports: readonly PortRange[] | null;
  /** Names as they are, `*.` and the end of a name, the beginning of a SPIFFE ID and `/*`, or `*`. */
  readonly identities: readonly string[] | null;
  readonly networks: readonly { readonly cidr: Network; readonly except: readonly Network[] }[] | null;
  readonly methods: readonly string[] | null;
  /** A path, or the segments that it begins with. */
  readonly path: string | null;
  readonly exactPath: boolean;
}

export interface AuthorizationConfig {
  readonly default: AuthorizationDefault;
  readonly clusterNetworks: readonly Network[];
  /** The first that matches decides. */
  readonly rules: readonly AuthorizationRule[];
}

/** The `direction` label of the metrics. */
export type Direction = 'inbound' | 'outbound';

export interface ListenerConfig {
  readonly name: string;
  readonly listen: Address;
  readonly protocol: ListenerProtocol;
  readonly services: ListenerServices;
  /** Connections go where their clients were going, or to the service whose `match` names that; `services` are all null. */
  readonly originalDestination: boolean;
  /** null: connections begin with their clients' own bytes. */
  readonly proxyProtocol: ProxyHeaderConfig | null;
  readonly direction: Direction;
  /** Whether fields `l5d-…` of requests are taken out, and `l5d-client-id` is put in. `auto`: where clients show certificates. */
  readonly meshHeaders: boolean | 'auto';
  /** Null: everybody may do everything. */
  readonly authorization: AuthorizationConfig | null;
  readonly detect: DetectConfig;
  /** Clients that end their direction may still wait for their response. */
  readonly halfClose: boolean;
  /** Another process may listen on the same port, as the successor does in a restart. */
  readonly shared: boolean;
  /** Name under which this proxy enters itself in Via (RFC 9110 section 7.6.3); null: it does not. */
  readonly via: string | null;
  /** Final responses without Date get one (section 6.6.1). */
  readonly date: boolean;
  /** TLS that asks for this proxy by name ends here, all other is relayed as it is. */
  readonly mesh: boolean;
  /** null: no TLS is ended here. */
  readonly tls: ListenerTlsConfig | null;
  readonly backlog: number;
  /** TCP keepalive idle and interval, ms; 0 is off. */
  readonly keepAliveMs: number;
  /** TCP_USER_TIMEOUT, ms; 0 is the kernel's default. */
  readonly userTimeoutMs: number;
  /** Ports that it relays without detection, in the place of all others; null: those of the whole configuration. */
  readonly opaquePorts: ReadonlySet<number> | null;
  /** For a dial of the address that a client was going to, ms. */
  readonly connectTimeoutMs: number;
}

/** What is known of the proxy in front of an endpoint, which has its identity. */
export interface PeerProxy {
  /** Its own port, to which every connection goes by the opaque transport; 0: connections go to the endpoint's port. */
  readonly port: number;
  /** It carries HTTP/1 over HTTP/2, and restores it (`l5d-orig-proto`). */
  readonly http2: boolean;
}

interface Identified {
  /** The name that the certificates of the endpoints must be for. */
  readonly identity?: string;
  readonly proxy?: PeerProxy;
}

/**
 * Where endpoints come from. `dns` is A/AAAA of a name, `srv` a service record that brings its own ports, `file` the
 * list at `key` of a file (the file's only list where that is null).
 */
export type EndpointSource =
  | ({ readonly kind: 'static'; readonly address: Address } & Identified)
  | ({ readonly kind: 'dns'; readonly name: string; readonly port: number } & Identified)
  | ({ readonly kind: 'srv'; readonly name: string } & Identified)
  | { readonly kind: 'file'; readonly path: string; readonly key: string | null };

/** Addresses of one port, from `first` to `last`. */
export interface MatchRange {
  /** As the file has it. */
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
  /** Latency that a new endpoint is assumed to have, ms. */
  readonly defaultRttMs: number;
  /** Latency that a failure is recorded as, ms. 0 records what was measured. */
  readonly failurePenaltyMs: number;
}

export interface BreakerConfig {
  /** Consecutive failures that take an endpoint out. 0 turns the breaker off. */
  readonly failures: number;
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  /** How long an endpoint that is out is not dialled after a connect that failed, ms. 0: it is, as often as it is wanted. */
  readonly dialIntervalMs: number;
}

export interface PoolConfig {
  /** Idle upstream connections kept per endpoint and worker. */
  readonly maxIdle: number;
  /** Upstream connections per endpoint and worker, idle and busy. */
  readonly maxConnections: number;
  /** How long an idle upstream connection is kept, ms. */
  readonly idleTimeoutMs: number;
  /** Streams on one HTTP/2 connection; at most what the endpoint allows. */
  readonly maxStreams: number;
  /** Age at which an HTTP/2 connection gets no more streams and is replaced, ms; 0 is never. */
  readonly maxAgeMs: number;
  /** HTTP/2 connections kept open beyond what is needed, per endpoint and worker. */
  readonly spares: number;
  /** HTTP/2 connections per endpoint and worker. */
  readonly http2Connections: number;
}

export interface RetryConfig {
  /** Retries allowed as a share of requests. */
  readonly budget: number;
  /** Retries a second that are always allowed. */
  readonly minPerSecond: number;
  /** Bytes of a request kept for sending it again; 0 retries only what has no body, -1 is as many as memory allows. */
  readonly replayBytes: number;
}

export interface ServiceConfig {
  readonly name: string;
  readonly protocol: ServiceProtocol;
  /** What becomes of TLS that clients bring, on its way to an endpoint with an identity: it goes there as it is, or inside of ours. */
  readonly applicationTls: 'pass' | 'wrap';
  /** The version of the PROXY header that endpoints are sent first; null for none. */
  readonly proxyProtocol: 'v1' | 'v2' | null;
  readonly endpoints: readonly EndpointSource[];
  /** null: what is sent to them is sent as it is, or as the mesh has it. */
  readonly tls: ServiceTlsConfig | null;
  /** Original destinations that this service stands for; none of them overlap. */
  readonly match: readonly MatchRange[];
  readonly balance: BalanceConfig;
  readonly breaker: BreakerConfig;
  readonly pool: PoolConfig;
  readonly retry: RetryConfig;
  readonly connectTimeoutMs: number;
  /** How long a dial may take before a second endpoint races it, ms. 0 is off. */
  readonly hedgeDelayMs: number;
  /** From the whole request sent to the first byte of its response, ms. 0 is none. */
  readonly responseTimeoutMs: number;
  /** Silence inside a body, ms. 0 is none; -1: as `limits` say of the versions. */
  readonly bodyTimeoutMs: number;
  /** Silence of a gRPC call or an event stream, ms. 0 is none. */
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
  /** How long and how much is read from a client that has been answered before it finished its request. */
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
  /** For all of a handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes under way per worker, with clients, and as many with endpoints. */
  readonly maxHandshakes: number;
  /** Steps of handshakes in a turn of the event loop. */
  readonly handshakesPerTurn: number;
  /** Time for them in a turn, µs. */
  readonly handshakeTurnUs: number;
  /** How long a handshake with a client may keep others waiting for its place, ms. */
  readonly handshakePatienceMs: number;
  /** Octets of a ClientHello. */
  readonly maxHello: number;
  /** Octets of the chain that an endpoint shows; a client may show half as many. */
  readonly maxChain: number;
}

export interface LimitsConfig {
  /** Open client connections per worker. */
  readonly maxConnections: number;
  /** Buffer memory per worker, bytes. */
  readonly slabBytes: number;
  /** Buffers that nobody has used for so long are given back to the system, ms; 0: never. */
  readonly slabIdleMs: number;
  /** Bytes queued to a slow reader before its source is no longer read. */
  readonly maxBufferedBytes: number;
  /** Pipes that splicing may hold per worker; 0 turns splicing off. */
  readonly maxPipes: number;
  /** How long it is remembered what an endpoint speaks, ms. */
  readonly protocolExpiryMs: number;
  readonly http1: Http1Limits;
  readonly http2: Http2Limits;
  readonly opaque: OpaqueLimits;
  readonly tls: TlsLimits;
}

export interface DestinationsConfig {
  /** Original destinations that a worker knows at once. */
  readonly max: number;
  /** How long a connection may wait for word about where it was going, ms. */
  readonly resolveTimeoutMs: number;
  /** How long a destination without connections is remembered, ms. */
  readonly idleTimeoutMs: number;
}

export interface DiscoveryConfig {
  /** Size of a file of endpoints beyond which it is not read, bytes. */
  readonly maxFileBytes: number;
  /** How often files of endpoints are looked at where the kernel reports no change, ms. */
  readonly pollMs: number;
  /** How long a start or reload waits for names to resolve, ms. */
  readonly startWaitMs: number;
}

/** Where an identity comes from; paths are absolute. */
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
      /** Or the text of such a file. */
      readonly anchors: string;
      /** Bounds of the time from one certificate to the request for the next, ms. */
      readonly minRefreshMs: number;
      readonly maxRefreshMs: number;
    };

/** Who this proxy is to others. */
export interface IdentityConfig {
  /** The name that the certificate must have; null: any. */
  readonly name: string | null;
  /** The name that peers ask for this proxy by; null: as its names say. */
  readonly serverName: string | null;
  /** The trust domain that its name must be of; null: any. */
  readonly trustDomain: string | null;
  /** How long an answer may take, ms. */
  readonly timeoutMs: number;
  /** Bounds of the wait after a failure, ms. */
  readonly minBackoffMs: number;
  readonly maxBackoffMs: number;
  readonly source: IdentitySourceConfig;
}

export interface DrainConfig {
  /** After SIGTERM: how long listeners go on accepting while /ready says no, ms. */
  readonly holdMs: number;
  /** After the listeners closed: how long open work may take, ms. */
  readonly graceMs: number;
  /** When listeners with `direction: outbound` are drained: with the others, or after them, once the application is gone. */
  readonly outbound: 'together' | 'last';
}

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** Which requests and connections the access log has: all, none, or those that failed. */
export type AccessMode = boolean | 'errors';

export interface LogConfig {
  readonly level: LogLevel;
  readonly access: AccessMode;
}

/** Those who tap: src/tap. */
export interface TapConfig {
  /** How many there may be at once. */
  readonly listeners: number;
  /** Records a second that one of them gets at most. */
  readonly maxRps: number;
  /** What may wait for one that reads slowly, octets. */
  readonly maxBuffered: number;
}

/** Where spans go, and how many: src/tracing. */
export interface TracingConfig {
  /** What they are posted to. */
  readonly endpoint: string;
  /** Share of the traces that begin here, or that nobody has decided on. */
  readonly sampling: number;
  readonly serviceName: string;
  /** More of the resource. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the requests to the collector. */
  readonly headers: Readonly<Record<string, string>>;
  /** How long spans are collected before they are sent, ms. */
  readonly intervalMs: number;
  /** A second, of each worker. */
  readonly maxSpans: number;
  /** What waits to be sent, octets. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** Where metrics are sent to, and how often: src/otlp/push.ts. */
export interface MetricsOtlpConfig {
  /** What they are posted to. */
  readonly endpoint: string;
  readonly serviceName: string;
  /** More of the resource. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the requests to the collector. */
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** What waits to be sent, octets. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** What gets a series of its own in the metrics; what comes later counts in the series `overflow`. */
export interface MetricsConfig {
  readonly maxServices: number;
  readonly maxEndpoints: number;
  /** Identities that are values of labels. */
  readonly maxIdentities: number;
  /** null: they are sent nowhere. */
  readonly otlp: MetricsOtlpConfig | null;
}

export interface DestinationConfig extends LookupConfig {
  /** Settings of the services that it knows. */
  readonly defaults: ServiceConfig;
}

export interface Config {
  /** Absolute path, or `-` where there is no file. */
  readonly file: string;
  readonly workers: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  /** Workers run their data path before they serve; `off`: they do not. */
  readonly warmup: 'auto' | 'off';
  /** How long a loop turn may wait for more completions when much is in flight, microseconds. 0 is off. */
  readonly coalesceUs: number;
  readonly admin: Address | null;
  /** The admin port may be told to end the proxy, from this machine. */
  readonly adminShutdown: boolean;
  readonly log: LogConfig;
  readonly metrics: MetricsConfig;
  readonly tap: TapConfig;
  /** null: no spans are made. */
  readonly tracing: TracingConfig | null;
  readonly drain: DrainConfig;
  /** A service of which nobody says anything: connections that go where their clients were going are treated so. */
  readonly bareService: ServiceConfig;
  readonly limits: LimitsConfig;
  readonly destinations: DestinationsConfig;
  readonly discovery: DiscoveryConfig;
  /** null: this proxy has none. */
  readonly identity: IdentityConfig | null;
  readonly sidecar: SidecarConfig;
  /** Who is asked about addresses that no service's `match` has; null: nobody. */
  readonly destination: DestinationConfig | null;
  /** Ports relayed without detection. */
  readonly opaquePorts: ReadonlySet<number>;
  /** Those of `opaquePorts` that the file (not the default list) names. */
  readonly annotatedPorts: ReadonlySet<number>;
  readonly listeners: readonly ListenerConfig[];
  readonly services: readonly ServiceConfig[];
}

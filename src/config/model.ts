// The configuration after parsing: every default filled in, durations in milliseconds, sizes in bytes. The rest of Sluice reads this; YAML
// text and its errors stay in src/config.

import type { Family, Network } from './addresses.js';
import type { AuthorizationConfig } from './authorization-model.js';
import type { IdentityConfig } from './identity-model.js';
import type { LimitsConfig } from './limits-model.js';
import type { LookupConfig, SidecarConfig } from './sidecar-model.js';
import type { LiveConfig, LogConfig, MetricsConfig, TapConfig, TracingConfig } from './telemetry-model.js';
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

export interface DrainConfig {
  /** After SIGTERM: how long listeners keep accepting while /ready fails, ms. */
  readonly holdMs: number;
  /** After the listeners closed: how long open work may take, ms. */
  readonly graceMs: number;
  /** When to drain listeners with `direction: outbound`: with the others, or after them, once the application is gone. */
  readonly outbound: 'together' | 'last';
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

// Messages from the main thread to a worker: plain data in which every name is replaced by a slot of the shared-memory tables.

import type { AuthorizationConfig } from '../config/authorization-model.js';
import type { LimitsConfig } from '../config/limits-model.js';
import type { PeerProxy, ProxyHeaderConfig, ServiceConfig } from '../config/model.js';
import type { AccessMode } from '../config/telemetry-model.js';
import type { PossibleNames } from '../identity/possible-names.js';
import type { ClientSeriesName } from '../metrics/client-series.js';
import type { WorkerMemory } from '../metrics/shared.js';
import type { TapRecords, TapRequest } from '../tap/request.js';
import type { TlsProfile } from '../tls/profile.js';
import type { PackedSpans } from '../tracing/packed-spans.js';
import type { TracingSettings } from '../tracing/settings.js';
import type { HealthChange } from './health-changes.js';
import type { Refused } from './refusals.js';

/** How a listener treats connections before it has seen any byte. */
export const MODE = { DETECT: 0, HTTP1: 1, HTTP2: 2, OPAQUE: 3 } as const;

export interface ListenerSnapshot {
  /** How long data sent to a client may stay unacknowledged, ms; 0: no limit. */
  readonly userTimeoutMs: number;
  /** Timeout for dialling a client's original destination, ms. */
  readonly connectTimeoutMs: number;
  /** Original ports to relay without detection; null: those of the snapshot. */
  readonly opaquePorts: readonly number[] | null;
  readonly slot: number;
  readonly name: string;
  /** A MODE. */
  readonly mode: number;
  /** The reason, as an index into REASONS, unless the mode is DETECT. */
  readonly reason: number;
  /** Service slots per verdict, in the order of VERDICTS; -1 refuses. */
  readonly services: readonly number[];
  /** -1: no race. */
  readonly raceMs: number;
  /** The minimum of this until a mesh client has sent its hello. */
  readonly helloMs: number;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly learnTtlMs: number;
  /** Connections go to their original destination (SO_ORIGINAL_DST), or where `resolve` sends that address. */
  readonly originalDestination: boolean;
  readonly halfClose: boolean;
  /** Name for Via; null: none is added. */
  readonly via: string | null;
  /** Whether the listener is inbound. */
  readonly inbound: boolean;
  readonly date: boolean;
  /** Null: everything is allowed. */
  readonly authorization: AuthorizationSnapshot | null;
  /** `l5d-…` fields are removed from requests, and `l5d-client-id` is added. */
  readonly meshHeaders: boolean;
  /** The PROXY header expected on each connection; null for none. */
  readonly proxyProtocol: ProxyHeaderConfig | null;
  /** Slot of the TLS profile for its connections, after a PROXY header; 0: plain text. */
  readonly tls: number;
  /** TLS for our own names ends here; other TLS passes through. */
  readonly mesh: boolean;
  /** The receiving worker's listening socket; -1 if it accepts nothing (any more). */
  readonly fd: number;
}

export interface AuthorizationSnapshot {
  readonly config: AuthorizationConfig;
  /** Port of the listener, for connections without an original destination. */
  readonly port: number;
  /** Metric series of each rule; the default's is last. */
  readonly series: readonly number[];
}

export interface EndpointSnapshot {
  readonly slot: number;
  /** Its metric series; 0 if it has none of its own. Constant while it has the slot. */
  readonly series: number;
  readonly host: string;
  readonly port: number;
  /** The name its certificate must be for, if the TLS profile does not say; empty if unknown. */
  readonly identity: string;
  readonly proxy: PeerProxy;
  /** Its share of the service's traffic, relative to the others. */
  readonly weight: number;
}

/** The settings of a service that the data path needs. */
export type ServiceSettings = Pick<
  ServiceConfig,
  | 'name'
  | 'protocol'
  | 'proxyProtocol'
  | 'applicationTls'
  | 'balance'
  | 'breaker'
  | 'pool'
  | 'retry'
  | 'connectTimeoutMs'
  | 'hedgeDelayMs'
  | 'responseTimeoutMs'
  | 'bodyTimeoutMs'
  | 'streamTimeoutMs'
  | 'keepAliveMs'
  | 'userTimeoutMs'
> & {
  /** Slot of the TLS profile for dialling its endpoints, whatever their identity; 0: none. */
  readonly tls: number;
};

export interface ServiceSnapshot {
  readonly slot: number;
  /** As for an endpoint. */
  readonly series: number;
  readonly config: ServiceSettings;
  readonly endpoints: readonly EndpointSnapshot[];
  /** False: there are none because none are known yet. */
  readonly resolved: boolean;
}

/** How to treat connections that go to their original destination, in slots that each worker assigns itself. */
export interface PassthroughSnapshot {
  readonly service: ServiceSettings;
  /** The series shared by all of these services, and by all of their endpoints. */
  readonly serviceSeries: number;
  readonly endpointSeries: number;
}

/** The main thread's answer about an original destination. */
export interface DestinationSnapshot {
  /** A MODE. */
  readonly mode: number;
  /** The reason, as an index into REASONS, unless the mode is DETECT. */
  readonly reason: number;
  /** Service slots per verdict, in the order of VERDICTS; null: no service is known, so the connection goes to the address itself. */
  readonly services: readonly number[] | null;
  /** -1: no race. */
  readonly raceMs: number;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly learnTtlMs: number;
}

export interface Snapshot {
  readonly listeners: readonly ListenerSnapshot[];
  /** A worker's first snapshot has all services; later ones have those that are new or changed. */
  readonly services: readonly ServiceSnapshot[];
  /** null if no listener needs it. */
  readonly passthrough: PassthroughSnapshot | null;
  readonly limits: LimitsConfig;
  /** Limit on clients of all workers together, from the limit on file descriptors. */
  readonly maxClients: number;
  /** Number of client identities that are counted separately. */
  readonly maxIdentities: number;
  readonly coalesceUs: number;
  readonly access: AccessMode;
  /** null: no spans. */
  readonly tracing: TracingSettings | null;
  /** How long a connection may wait for `resolved` before it goes to its original destination, ms. */
  readonly resolveTimeoutMs: number;
  /** How long to keep an unused destination, ms. */
  readonly destinationIdleMs: number;
  /** Original ports to relay without detection. */
  readonly opaquePorts: readonly number[];
  /** Maximum number of original destinations per worker; one with open connections is never dropped. */
  readonly maxDestinations: number;
  /** All current profiles. */
  readonly tls: readonly TlsProfile[];
  /** Slots of the client and server profiles of this proxy's own identity; 0 without one. */
  readonly meshClient: number;
  readonly meshServer: number;
  /** Names by which peers may ask for this proxy before it has an identity. */
  readonly possibleNames: PossibleNames;
}

/** Int32 cells of the table shared by all workers. */
export const LOAD_BOARD = {
  /** LOAD + worker: open client connections, including those being handed over to it. */
  LOAD: 0,
  /** RING + worker: id of its ring, -1 while it has none. */
  RING: 64,
  /** 1: the process is to end, so nobody waits for a warm-up. */
  HURRY: 128,
  SIZE: 129,
} as const;

/** Maximum number of workers on the board. */
export const MAX_WORKERS = 64;

export interface WorkerTask {
  readonly id: number;
  readonly workers: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  readonly port: import('node:worker_threads').MessagePort;
  readonly memory: WorkerMemory;
  /** Int32 per descriptor: worker id + 1 of the thread that must close it. */
  readonly owner: SharedArrayBuffer;
  readonly loadBoard: SharedArrayBuffer;
  readonly learned: SharedArrayBuffer;
  /** An EndpointLoad: what is open on each endpoint, for the main thread. */
  readonly load: SharedArrayBuffer;
  /** Settings of the services used for the warm-up; null: no warm-up. */
  readonly warmup: ServiceSettings | null;
  /** The worker drops the large parts: the task lives as long as the worker. */
  snapshot: Snapshot;
}

export interface DrainMessage {
  readonly kind: 'drain';
  /** `hold`: answer `Connection: close` but keep accepting. `stop`: accept what is queued, then nothing. `force`: close everything. */
  readonly phase: 'hold' | 'stop' | 'force';
  /** Slots of the listeners that drain before the others; null: all drain. */
  readonly listeners: readonly number[] | null;
}

export type ToWorker =
  | { readonly kind: 'snapshot'; readonly snapshot: Snapshot }
  | {
      readonly kind: 'endpoints';
      readonly service: number;
      readonly endpoints: readonly EndpointSnapshot[];
      readonly resolved: boolean;
    }
  /** A new or changed service. */
  | { readonly kind: 'service'; readonly service: ServiceSnapshot }
  | DrainMessage
  /** The answer to `resolve` with the same id. */
  | { readonly kind: 'resolved'; readonly id: number; readonly destination: DestinationSnapshot }
  /** Earlier `resolved` answers may be outdated: ask again for new connections. */
  | { readonly kind: 'unresolved' }
  /** The same for one address. */
  | { readonly kind: 'changed'; readonly host: string; readonly port: number }
  /** The complete list of active taps. */
  | { readonly kind: 'taps'; readonly taps: readonly TapRequest[] }
  /** A sibling has found that there are as many clients as descriptors allow. */
  | { readonly kind: 'crowded' }
  | { readonly kind: 'ping'; readonly id: number };

export type FromWorker =
  | { readonly kind: 'ready'; readonly executor: string; readonly reason: string; readonly threadId: number }
  /** The worker no longer accepts on these sockets, and their queues are empty: they may be closed. */
  | { readonly kind: 'unlistened'; readonly fds: readonly number[] }
  /** Nothing is open any more (after `stop`). */
  | { readonly kind: 'drained' }
  | { readonly kind: 'pong'; readonly id: number }
  /** There are as many clients as descriptors allow: its siblings have idle ones too. */
  | { readonly kind: 'crowded' }
  /** Ended spans, and the number of requests without one because of the rate limit. */
  | { readonly kind: 'spans'; readonly spans: PackedSpans; readonly skipped: number }
  /** Records for a tap. */
  | { readonly kind: 'tapped'; readonly records: TapRecords }
  /** Server names of others that TLS clients asked for, since the last report. */
  | { readonly kind: 'serverNames'; readonly names: readonly (readonly [name: string, count: number])[] }
  /** The series for clients of this identity from now on. */
  | { readonly kind: 'clients'; readonly name: ClientSeriesName }
  | { readonly kind: 'refused'; readonly refused: readonly Refused[] }
  | { readonly kind: 'health'; readonly changes: readonly HealthChange[] }
  /** Asks how to treat connections on listener slot `listener` with the original destination `host` (numeric) and `port`. */
  | {
      readonly kind: 'resolve';
      readonly id: number;
      readonly listener: number;
      readonly host: string;
      readonly port: number;
    }
  /** The worker has dropped this destination. */
  | { readonly kind: 'forgotten'; readonly listener: number; readonly host: string; readonly port: number }
  | {
      readonly kind: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields: Record<string, string | number>;
    };

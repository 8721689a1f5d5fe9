// What the main thread tells a worker: plain data with every name replaced by a slot of the shared-memory tables.
import type {
  AccessMode,
  AuthorizationConfig,
  LimitsConfig,
  PeerProxy,
  ProxyHeaderConfig,
  ServiceConfig,
} from '../config/model.js';
import type { PossibleNames } from '../identity/possible-names.js';
import type { ClientSeriesName } from '../metrics/client-series.js';
import type { WorkerMemory } from '../metrics/shared.js';
import type { TapRecords, TapRequest } from '../tap/request.js';
import type { TlsProfile } from '../tls/profile.js';
import type { TracingSettings } from '../tracing/settings.js';
import type { Span } from '../tracing/span.js';
import type { HealthChange } from './health-news.js';
import type { Refused } from './refusals.js';

/** How a listener's connections are treated before any byte is seen. */
export const MODE = { DETECT: 0, HTTP1: 1, HTTP2: 2, OPAQUE: 3 } as const;

export interface ListenerSnapshot {
  /** How long something that was sent to a client may stay unanswered, ms; 0: for ever. */
  readonly userTimeoutMs: number;
  /** For a dial of the address that a client was going to, ms. */
  readonly connectTimeoutMs: number;
  /** Original ports that it relays without detection; null: those of the snapshot. */
  readonly opaquePorts: readonly number[] | null;
  readonly slot: number;
  readonly name: string;
  /** A MODE. */
  readonly mode: number;
  /** Index into REASONS of why, unless the mode is DETECT. */
  readonly reason: number;
  /** Service slots per verdict, in the order of VERDICTS; -1 refuses. */
  readonly services: readonly number[];
  /** -1: no race. */
  readonly raceMs: number;
  /** The same, at least, until a client of the mesh has said its hello. */
  readonly helloMs: number;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly learnTtlMs: number;
  /** Connections go where the client was going (SO_ORIGINAL_DST), or to what `resolve` says of that address. */
  readonly originalDestination: boolean;
  readonly halfClose: boolean;
  /** Name for Via; null: none is added. */
  readonly via: string | null;
  /** It is for others than the application. */
  readonly inbound: boolean;
  readonly date: boolean;
  /** Null: everybody may do everything. */
  readonly authorization: AuthorizationSnapshot | null;
  /** Fields `l5d-…` of requests are taken out, and `l5d-client-id` is put in. */
  readonly meshHeaders: boolean;
  /** The PROXY header that each connection begins with; null where none does. */
  readonly proxyProtocol: ProxyHeaderConfig | null;
  /** Slot of the TLS profile that its connections begin with, after a PROXY header; 0: plain text. */
  readonly tls: number;
  /** TLS that asks for us by name ends here, all other is relayed as it is. */
  readonly mesh: boolean;
  /** The listening socket of the worker that receives this; -1 where it accepts nothing (any more). */
  readonly fd: number;
}

export interface AuthorizationSnapshot {
  readonly config: AuthorizationConfig;
  /** Port of the listener, for connections without an original destination. */
  readonly port: number;
  /** Series in the metrics of each rule, and last of the default. */
  readonly series: readonly number[];
}

export interface EndpointSnapshot {
  readonly slot: number;
  /** Its series in the metrics; 0 where it has none of its own. The same for as long as it has the slot. */
  readonly series: number;
  readonly host: string;
  readonly port: number;
  /** The name that its certificate must be for, where its TLS profile has none; empty where nobody has said. */
  readonly identity: string;
  readonly proxy: PeerProxy;
  /** Its share of the service's traffic, relative to the others. */
  readonly weight: number;
}

/** What the data path needs to know of a service. */
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
  /** Slot of the TLS profile that its endpoints are dialled with, whoever they are; 0: none. */
  readonly tls: number;
};

export interface ServiceSnapshot {
  readonly slot: number;
  /** As of an endpoint. */
  readonly series: number;
  readonly config: ServiceSettings;
  readonly endpoints: readonly EndpointSnapshot[];
  /** False: there are none because nothing has been heard of them yet. */
  readonly resolved: boolean;
}

/** How connections are treated that go where their clients were going, in slots that each worker gives out by itself. */
export interface PassthroughSnapshot {
  readonly service: ServiceSettings;
  /** Series that all of these services, and all of their endpoints, share. */
  readonly serviceSeries: number;
  readonly endpointSeries: number;
}

/** What the main thread says of an address that a client was going to. */
export interface DestinationSnapshot {
  /** A MODE. */
  readonly mode: number;
  /** Index into REASONS of why, unless the mode is DETECT. */
  readonly reason: number;
  /** Service slots per verdict, in the order of VERDICTS; null: nobody knows better, so the connection goes to the address itself. */
  readonly services: readonly number[] | null;
  /** -1: no race. */
  readonly raceMs: number;
  /** 0: none. */
  readonly timeoutMs: number;
  readonly learnTtlMs: number;
}

export interface Snapshot {
  readonly listeners: readonly ListenerSnapshot[];
  /** All of them in the first one that a worker gets, later those that are new or have other settings. */
  readonly services: readonly ServiceSnapshot[];
  /** null where no listener needs it. */
  readonly passthrough: PassthroughSnapshot | null;
  readonly limits: LimitsConfig;
  /** Clients that all workers together may have, by the limit of file descriptors. */
  readonly maxClients: number;
  /** Identities of clients that are counted by themselves. */
  readonly maxIdentities: number;
  readonly coalesceUs: number;
  readonly access: AccessMode;
  /** null: no spans are made. */
  readonly tracing: TracingSettings | null;
  /** How long a connection may wait for `resolved` before it goes where its client was going, ms. */
  readonly resolveTimeoutMs: number;
  /** How long a destination that no connection uses is kept, ms. */
  readonly destinationIdleMs: number;
  /** Original ports that are relayed without detection. */
  readonly opaquePorts: readonly number[];
  /** Original destinations that a worker knows at most; one with open connections is never forgotten. */
  readonly maxDestinations: number;
  /** All profiles there are now. */
  readonly tls: readonly TlsProfile[];
  /** Slots of the profiles of this proxy's own identity, as a client and as a server; 0 without one. */
  readonly meshClient: number;
  readonly meshServer: number;
  /** Names by which peers may ask for it before it has one. */
  readonly possibleNames: PossibleNames;
}

/** Int32 cells of the table that all workers share. */
export const LOAD_BOARD = {
  /** LOAD + worker: live client connections, those on their way to it included. */
  LOAD: 0,
  /** RING + worker: id of its ring, -1 while it has none. */
  RING: 64,
  SIZE: 128,
} as const;

/** Most workers that the loadBoard has room for. */
export const MAX_WORKERS = 64;

export interface WorkerTask {
  readonly id: number;
  readonly workers: number;
  readonly io: 'auto' | 'uring' | 'epoll';
  readonly port: import('node:worker_threads').MessagePort;
  readonly memory: WorkerMemory;
  /** Int32 per fd: worker id + 1 of the thread that must close it. */
  readonly owner: SharedArrayBuffer;
  readonly loadBoard: SharedArrayBuffer;
  readonly learned: SharedArrayBuffer;
  /** An EndpointLoad: what is open on each endpoint, for the main thread. */
  readonly load: SharedArrayBuffer;
  /** Of the services that it warms up with before it serves; null: it does not. */
  readonly warmup: ServiceSettings | null;
  /** The worker lets go of what is large in it: the task lives as long as the worker. */
  snapshot: Snapshot;
}

export interface DrainMessage {
  readonly kind: 'drain';
  /** `hold`: answer `Connection: close` but go on accepting. `stop`: accept what is queued, then no more. `force`: close all. */
  readonly phase: 'hold' | 'stop' | 'force';
  /** Slots of the listeners that drain before the others; null: all do. */
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
  /** A service that is new, or has other settings. */
  | { readonly kind: 'service'; readonly service: ServiceSnapshot }
  | DrainMessage
  /** The answer to `resolve` with the same id. */
  | { readonly kind: 'resolved'; readonly id: number; readonly destination: DestinationSnapshot }
  /** What `resolved` has said may be true no more: it is asked anew for the next connections. */
  | { readonly kind: 'unresolved' }
  /** The same of one address. */
  | { readonly kind: 'changed'; readonly host: string; readonly port: number }
  /** All those who tap from now on. */
  | { readonly kind: 'taps'; readonly taps: readonly TapRequest[] }
  | { readonly kind: 'ping'; readonly id: number };

export type FromWorker =
  | { readonly kind: 'ready'; readonly executor: string; readonly reason: string; readonly threadId: number }
  /** It accepts on these sockets no more and their queues are empty: they may be closed. */
  | { readonly kind: 'unlistened'; readonly fds: readonly number[] }
  /** Nothing is open any more (after `stop`). */
  | { readonly kind: 'drained' }
  | { readonly kind: 'pong'; readonly id: number }
  /** What somebody who taps gets to see. */
  /** Spans that have ended, and how many requests got none for the rate. */
  | { readonly kind: 'spans'; readonly spans: readonly Span[]; readonly skipped: number }
  | { readonly kind: 'tapped'; readonly records: TapRecords }
  /** Server names of others that TLS connections asked for, since it was told last. */
  | { readonly kind: 'serverNames'; readonly names: readonly (readonly [name: string, count: number])[] }
  /** Where clients of an identity are counted from now on. */
  | { readonly kind: 'clients'; readonly name: ClientSeriesName }
  | { readonly kind: 'refused'; readonly refused: readonly Refused[] }
  | { readonly kind: 'health'; readonly changes: readonly HealthChange[] }
  /** What becomes of connections on listener slot `listener` whose clients were going to `host` (numeric) and `port`? */
  | {
      readonly kind: 'resolve';
      readonly id: number;
      readonly listener: number;
      readonly host: string;
      readonly port: number;
    }
  /** What was asked about has been forgotten. */
  | { readonly kind: 'forgotten'; readonly listener: number; readonly host: string; readonly port: number }
  | {
      readonly kind: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields: Record<string, string | number>;
    };

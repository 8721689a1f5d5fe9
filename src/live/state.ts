// The state of a running proxy as JSON: the response of `/state`, and each event of `/events`. This file has types only, because the dashboard
// and the commands read it too.
//
// Rates are per second, over the interval of `seconds`. Times are in milliseconds. Unknown values are null.

/** The version of this format. New fields do not change it. */
export const STATE_VERSION = 1;

/** Latencies of an interval. */
export interface LiveLatency {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** Counts by bucket (`buckets.ts`). Only if requested, and only for the busiest. */
  readonly distribution?: readonly (readonly [bucket: number, count: number])[];
}

/** Requests and their outcomes. */
export interface LiveGolden {
  readonly requests: number;
  /** 0 to 1. */
  readonly success: number | null;
  /** Time to the first byte of the response. */
  readonly latency: LiveLatency | null;
}

export interface LiveBytes {
  /** Bytes per second from the peer, and to it. */
  readonly read: number;
  readonly written: number;
}

/** Requests of a route class: `read` (GET, HEAD, OPTIONS), `write` (all others) or `grpc`. Counted when the response begins. */
export interface LiveRoute extends LiveGolden {
  readonly route: string;
}

export interface LiveService extends LiveGolden, LiveBytes {
  readonly name: string;
  readonly direction: string;
  /** gRPC calls among the requests. */
  readonly grpc: number;
  readonly inFlight: number;
  readonly retries: number;
  /** Requests whose client left, and requests whose response was cut off. */
  readonly clientLeft: number;
  readonly unanswered: number;
  /** The proxy's own responses, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Connections to its endpoints. */
  readonly connections: number;
  readonly opened: number;
  readonly endpoints: { readonly ready: number; readonly of: number };
  /** Route classes with at least one request. */
  readonly routes: readonly LiveRoute[];
}

export interface LiveEndpoint extends LiveGolden, LiveBytes {
  readonly service: string;
  readonly address: string;
  readonly direction: string;
  /** `ready`, `probation` or `probing`: the best state that any worker has for it. */
  readonly state: string;
  /** Number of workers for which it is not ready, and number of workers that know it. */
  readonly outAt: number;
  readonly workers: number;
  /** `http1`, `http2`: the protocols that it is known to speak. */
  readonly protocols: readonly string[];
  /** The identity that its certificate must have, and how it is dialled, as Linkerd's labels. Empty if unknown. */
  readonly identity: string;
  readonly tls: string;
  readonly noTlsReason: string;
  /** The balancer's estimate, ms. */
  readonly ewma: number | null;
  /** Its share of the requests to its service, or, without requests, of the connections: 0 to 1. */
  readonly share: number | null;
  readonly inFlight: number;
  readonly pool: {
    readonly open: number;
    readonly opened: number;
    readonly idle: number;
    readonly http2: number;
    readonly streams: number;
    readonly streamCapacity: number;
  };
  readonly connectFailures: number;
  readonly lost: number;
}

export interface LiveVerdict {
  readonly verdict: string;
  readonly reason: string;
  readonly rate: number;
  readonly total: number;
}

export interface LiveListener extends LiveBytes {
  readonly name: string;
  readonly direction: string;
  /** Linkerd's labels for its connections if all have the same; otherwise empty. */
  readonly tls: string;
  readonly noTlsReason: string;
  readonly open: number;
  readonly opened: number;
  readonly requests: number;
  /** Detection verdicts and their reasons, since the start. */
  readonly verdicts: readonly LiveVerdict[];
  /** Closed connections, by reason. */
  readonly closed: Readonly<Record<string, number>>;
}

/** Clients of a listener, by identity. */
export interface LiveClient extends LiveBytes {
  readonly listener: string;
  readonly direction: string;
  readonly tls: string;
  readonly noTlsReason: string;
  /** Empty if the client presented none. */
  readonly identity: string;
  readonly open: number;
  readonly opened: number;
  readonly requests: number;
}

export interface LiveWorker {
  readonly id: number;
  readonly ready: boolean;
  readonly connections: number;
  readonly sockets: number;
  /** Share of one core: 0 to 1. */
  readonly cpu: number;
  /** Loop turns in the interval: the longest, and the 99th percentile. */
  readonly turnMax: number | null;
  readonly turnP99: number | null;
  readonly turns: number;
  readonly buffers: number;
  readonly freeBuffers: number;
  /** Bytes per second relayed in the kernel, and by copying. */
  readonly spliced: number;
  readonly copied: number;
  readonly handshakes: number;
  readonly handshakeFailures: number;
}

/** A refusal, or an endpoint that was taken out. The newest comes first. */
export interface LiveError {
  readonly at: number;
  readonly reason: string;
  /** Number of equal errors that this entry stands for. */
  readonly count: number;
  readonly listener: string;
  /** Address; empty for requesters on other machines. */
  readonly client: string;
  readonly identity: string;
  readonly service: string;
  readonly endpoint: string;
  readonly rule: string;
}

export interface LiveState {
  readonly stateVersion: number;
  readonly version: string;
  readonly executor: string;
  readonly pid: number;
  /** Milliseconds since 1970: the time of this state, and of the start. */
  readonly at: number;
  readonly started: number;
  /** Length of the interval, s. */
  readonly seconds: number;
  readonly ready: { readonly ok: boolean; readonly reasons: readonly string[] };
  /** The proxy's identity; empty without one. */
  readonly identity: string;
  readonly total: LiveGolden & LiveBytes & { readonly connections: number; readonly opened: number };
  readonly services: readonly LiveService[];
  readonly endpoints: readonly LiveEndpoint[];
  readonly listeners: readonly LiveListener[];
  readonly clients: readonly LiveClient[];
  readonly workers: readonly LiveWorker[];
  readonly errors: readonly LiveError[];
  /** How many items are not listed. The busiest ones are. */
  readonly omitted: { readonly services: number; readonly endpoints: number; readonly clients: number };
}

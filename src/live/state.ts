// What goes on in a running proxy, as one JSON: the answer of `/state`, and each event of `/events`. Types only: the page and the commands
// of the terminal read it as well.
//
// Rates are a second's, over the interval that `seconds` names. Times are milliseconds. What was not seen is null.

/** The version of this shape: what is added does not change it. */
export const STATE_VERSION = 1;

/** Latencies of an interval. */
export interface LiveLatency {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  /** How many in which bucket (`buckets.ts`); only where it was asked for, of the busiest. */
  readonly distribution?: readonly (readonly [bucket: number, count: number])[];
}

/** Requests, and what became of them. */
export interface LiveGolden {
  readonly requests: number;
  /** 0 to 1. */
  readonly success: number | null;
  /** To the first byte of the response. */
  readonly latency: LiveLatency | null;
}

export interface LiveBytes {
  /** Bytes a second from the peer, and to it. */
  readonly read: number;
  readonly written: number;
}

/** Requests of a class: `read` (GET, HEAD, OPTIONS), `write` (all others) or `grpc`. Here those count whose response has begun. */
export interface LiveRoute extends LiveGolden {
  readonly route: string;
}

export interface LiveService extends LiveGolden, LiveBytes {
  readonly name: string;
  readonly direction: string;
  /** Of the requests, calls of gRPC. */
  readonly grpc: number;
  readonly inFlight: number;
  readonly retries: number;
  /** Requests whose client left, and those whose response was cut off. */
  readonly clientLeft: number;
  readonly unanswered: number;
  /** Responses of the proxy's own, by reason. */
  readonly refused: Readonly<Record<string, number>>;
  /** Of its endpoints. */
  readonly connections: number;
  readonly opened: number;
  readonly endpoints: { readonly ready: number; readonly of: number };
  /** Those of which there has been one. */
  readonly routes: readonly LiveRoute[];
}

export interface LiveEndpoint extends LiveGolden, LiveBytes {
  readonly service: string;
  readonly address: string;
  readonly direction: string;
  /** `ready`, `probation` or `probing`: as the worker sees it that thinks best of it. */
  readonly state: string;
  /** Workers that do not see it as ready, of all that know it. */
  readonly outAt: number;
  readonly workers: number;
  /** `http1`, `http2`: what it is known to speak. */
  readonly protocols: readonly string[];
  /** Who its certificate must say it is, and how it is dialled: Linkerd's labels. Empty where nothing is known. */
  readonly identity: string;
  readonly tls: string;
  readonly noTlsReason: string;
  /** The balancer's estimate, ms. */
  readonly ewma: number | null;
  /** Of the requests to its service, or where there are none, of the connections: 0 to 1. */
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
  /** Linkerd's labels of its connections, where they are the same for all of them; else empty. */
  readonly tls: string;
  readonly noTlsReason: string;
  readonly open: number;
  readonly opened: number;
  readonly requests: number;
  /** What connections were taken for and why, since the start. */
  readonly verdicts: readonly LiveVerdict[];
  /** Connections that ended, by how. */
  readonly closed: Readonly<Record<string, number>>;
}

/** Clients of a listener by who they are. */
export interface LiveClient extends LiveBytes {
  readonly listener: string;
  readonly direction: string;
  readonly tls: string;
  readonly noTlsReason: string;
  /** Empty where none was shown. */
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
  /** Of one core: 0 to 1. */
  readonly cpu: number;
  /** Turns of the loop in the interval: the longest, and the 99th percentile. */
  readonly turnMax: number | null;
  readonly turnP99: number | null;
  readonly turns: number;
  readonly buffers: number;
  readonly freeBuffers: number;
  /** Bytes a second that were relayed in the kernel, and by copying. */
  readonly spliced: number;
  readonly copied: number;
  readonly handshakes: number;
  readonly handshakeFailures: number;
}

/** Something that was refused, or an endpoint that went out. The newest comes first. */
export interface LiveError {
  readonly at: number;
  readonly reason: string;
  /** How many this stands for. */
  readonly count: number;
  readonly listener: string;
  /** Address; empty for askers that are not on this machine. */
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
  /** Milliseconds since 1970: of this state, and of the start. */
  readonly at: number;
  readonly started: number;
  /** Length of the interval. */
  readonly seconds: number;
  readonly ready: { readonly ok: boolean; readonly reasons: readonly string[] };
  /** The proxy's own identity; empty without one. */
  readonly identity: string;
  readonly total: LiveGolden & LiveBytes & { readonly connections: number; readonly opened: number };
  readonly services: readonly LiveService[];
  readonly endpoints: readonly LiveEndpoint[];
  readonly listeners: readonly LiveListener[];
  readonly clients: readonly LiveClient[];
  readonly workers: readonly LiveWorker[];
  readonly errors: readonly LiveError[];
  /** How many more there are than are listed: the busiest are. */
  readonly omitted: { readonly services: number; readonly endpoints: number; readonly clients: number };
}

// The layout of a worker's shared memory. One writer (the worker), plain stores; the main thread reads at any time. Counters and gauges are
// Float64 (exact to 2^53); histograms are Uint32 slots in HdrHistogram's index layout. The hot path adds to `values[base + FIELD]`; bases
// come from `h2Base`, `listenerBase`, `serviceBase` and `endpointBase`.
import { H } from '../http2/counters.js';
import { H2_LIMITS } from '../http2/limits.js';
import { TLS_FAILURES } from '../tls/failures.js';
import { RESPONSE_CELLS } from './response-cells.js';

/** Listeners; slot 0 is the overflow series. */
export const MAX_LISTENERS = 64;
/**
 * Upper bounds of `metrics.maxServices` and `metrics.maxEndpoints`. Far more services and endpoints may be configured
 * (src/proxy/capacity.ts): those without a series of their own share series 0, the overflow.
 */
export const MAX_METRIC_SERVICES = 1024;
export const MAX_METRIC_ENDPOINTS = 8192;
/** Their defaults. */
export const DEFAULT_SERVICES = 128;
export const DEFAULT_ENDPOINTS = 512;
/** Room for those, the overflow and the series of original destinations. */
export const MAX_SERVICE_SERIES = MAX_METRIC_SERVICES + 2;
export const MAX_ENDPOINT_SERIES = MAX_METRIC_ENDPOINTS + 2;
/** Authorization rules of all listeners together; slot 0 is the overflow. */
export const MAX_RULE_SERIES = 513;
/** Upper bound and default of `metrics.maxIdentities`. */
export const MAX_METRIC_IDENTITIES = 1024;
export const DEFAULT_IDENTITIES = 128;
/** Blocks of clients by listener and identity, see C. Connections that find none free count with their listener only. */
export const MAX_CLIENT_SERIES = 1536;

/** Verdicts of detection, in the order of their counters. */
export const VERDICTS = ['http1', 'http2', 'tls', 'opaque'] as const;
/** Why a verdict was reached. `hint` is the listener's own `protocol:`. */
export const REASONS = [
  'annotation',
  'default-port',
  'hint',
  'matched',
  'server-first',
  'learned',
  'timeout',
  'eof',
  'unlikely',
  'alpn',
] as const;

/** How a connection ended. `ok` is an orderly end; `reset` a RST from that side. */
export const CLOSE_REASONS = [
  'ok',
  'reset',
  'timeout',
  'error',
  'refused',
  'protocol',
  'drain',
  'limit',
  'worker_crash',
  'no-endpoint',
  'unauthorized',
  'tls',
] as const;

/** Roles in a TLS handshake: server towards clients, client towards endpoints. */
export const TLS_ROLES = ['server', 'client'] as const;
export const TLS_VERSIONS = ['1.2', '1.3'] as const;
/** Groups of the key exchange. */
export const TLS_GROUPS = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521', 'other'] as const;

/** gRPC has the status codes 0 (OK) to 16 (UNAUTHENTICATED). */
export const GRPC_CODES = 17;
// UNKNOWN, DEADLINE_EXCEEDED, PERMISSION_DENIED, INTERNAL, UNAVAILABLE, DATA_LOSS: what Linkerd classifies as failures.
const GRPC_FAILURES = (1 << 2) | (1 << 4) | (1 << 7) | (1 << 13) | (1 << 14) | (1 << 15);
/** Whether `code` (0 to 16) is a failure of the service; other errors are a valid answer, or caused by the client. */
export const isGrpcFailure = (code: number): boolean => ((GRPC_FAILURES >> code) & 1) !== 0;

/** Per-worker fields. */
export const W = {
  /** 1 once the worker accepts. */
  READY: 0,
  CONNECTIONS_OPEN: 1,
  HANDED_OVER: 2,
  HANDED_IN: 3,
  LOOP_TURNS: 4,
  /** Completions handled. */
  COMPLETIONS: 5,
  /** Longest loop turn since the last sample, µs. */
  LOOP_LAG_MAX_US: 6,
  SLAB_BUFFERS: 7,
  SLAB_FREE: 8,
  /** Receives parked because the slab was exhausted. */
  SLAB_PARKS: 9,
  PIPES_OPEN: 10,
  PIPE_LIMITED: 11,
  SPLICE_STARTS: 12,
  SPLICED_BYTES: 13,
  COPIED_BYTES: 14,
  RETRIES: 15,
  RETRIES_BUDGET: 16,
  CPU_US: 17,
  SOCKETS_OPEN: 18,
  ACCEPT_ERRORS: 19,
  /** Reads paused because a reader was slow. */
  BACKPRESSURE: 20,
  LEARNED: 21,
  RACES_STARTED: 22,
  RACES_SERVER_FIRST: 23,
  RACES_POOLED: 24,
  ACCESS_LOG_DROPPED: 25,
  /** Connections that this worker accepted, whichever worker serves them. */
  ACCEPTED: 26,
  /** Original destinations in the worker's table. */
  DESTINATIONS: 27,
  /** Questions to the main thread about them. */
  DESTINATIONS_ASKED: 28,
  DESTINATIONS_EVICTED: 29,
  /** Connections refused because their destination was a listener of this proxy. */
  DESTINATION_LOOPS: 30,
  /** Connections refused because they had no original destination. */
  DESTINATIONS_MISSING: 31,
  /** Limits that fired, in the order of LIMITS: room for 58. */
  LIMIT: 32,
  /** Buffers held by data waiting to be sent. */
  SLAB_QUEUED: 90,
  /** Buffers that data waiting for one slow reader may hold now. */
  SLAB_SHARE: 91,
  /** Buffers whose pages were returned to the system. */
  SLAB_DISCARDED: 92,
  /** The proxy's own responses, in the order of RESPONSE_REASONS. */
  RESPONSE: 96,
  /** Blocks of H, in the order of H2_ROLES; `h2Base` gives their first values. */
  HTTP2: 128,
  /** Dials raced by a second one, and second ones that finished first. */
  HEDGES: 288,
  HEDGES_WON: 289,
  /** PROXY headers read; connections refused without a valid one, or because of their address. */
  PROXY_HEADERS: 290,
  PROXY_REFUSED: 291,
  PROXY_STRANGERS: 292,
  /** Times that accepting paused for lack of file descriptors. */
  ACCEPT_PAUSES: 293,
  /** Opaque transport headers read; connections refused because of theirs. */
  TRANSPORT_HEADERS: 294,
  TRANSPORT_REFUSED: 295,
  /** ClientHellos on mesh listeners whose server name could not be read. */
  HELLOS_UNREADABLE: 296,
  /** Unencrypted connections to endpoints with an identity, for clients' own TLS. */
  TLS_PASSED: 384,
  /** Duration of the warm-up, µs; and number of requests rehearsed. */
  WARMUP_US: 385,
  WARMUP_REQUESTS: 386,
  /** Connections that use TLS, or will. */
  TLS_OPEN: 297,
  /** TLS handshakes in progress, and those waiting for a place. */
  TLS_HANDSHAKING: 298,
  TLS_WAITING: 299,
  // Blocks by TLS_ROLES:
  /** Completed ones that resumed an earlier session. */
  TLS_RESUMED: 300,
  /** Connections ended without close_notify, and those that violated TLS. */
  TLS_TRUNCATED: 302,
  TLS_BROKEN: 304,
  /** Indexed by `tlsDoneField` and `tlsFailedField`. */
  TLS_DONE: 320,
  TLS_FAILED: 352,
  /** Rests of the worker, taken for V8's compilers. */
  RESTS: 387,
  SIZE: 392,
} as const;

/** Field of W for completed handshakes: indices into TLS_ROLES, TLS_VERSIONS and TLS_GROUPS. */
export const tlsDoneField = (role: number, version: number, group: number): number =>
  W.TLS_DONE + (role * TLS_VERSIONS.length + version) * TLS_GROUPS.length + group;
/** Field of W for handshakes that failed with TLS_FAILURES[cause]. */
export const tlsFailedField = (role: number, cause: number): number =>
  W.TLS_FAILED + role * TLS_FAILURES.length + cause;

/** Limits with a counter each. */
export const LIMITS = [
  'connections',
  'header-bytes',
  'headers',
  'target-bytes',
  'header-time',
  'body-time',
  'idle-time',
  'requests',
  'linger',
  'pipelined-bytes',
  'opaque-idle',
  'opaque-lifetime',
  'half-close',
  'connect-time',
  'response-time',
  'buffered-bytes',
  'pipes',
  'slab',
  'pool-connections',
  'opaque-connections',
  'detect-time',
  'proxy-header-time',
  'proxy-header-bytes',
  'retry-budget',
  'drain-grace',
  'user-timeout',
  'file-descriptors',
  ...H2_LIMITS,
  'h2-peer-header-bytes',
  'h2-header-time',
  'h2-stalled',
  'h2-window',
  'h2-discard',
  'h2-keepalive',
  'h2-idle-time',
  'h2-connection-age',
  'h2-replay',
  'resolve-time',
  'destinations',
  'tls-handshakes',
  'tls-handshake-time',
  'tls-handshakes-per-turn',
] as const;

/** TLS outcomes of client connections on mesh listeners: Linkerd's `tls` and `no_tls_reason`. */
export const LISTENER_TLS = [
  { tls: 'true' },
  { tls: 'opaque' },
  { tls: 'no_identity', no_tls_reason: 'no_tls_from_remote' },
  { tls: 'no_identity', no_tls_reason: 'port_skipped' },
] as const;
/** Indices into LISTENER_TLS: TLS ended here, was passed through, there was none, nobody looked. */
export const SEEN = { ENDED: 0, PASSED: 1, NONE: 2, SKIPPED: 3 } as const;

/** Per-listener fields (`peer="src"`). */
export const L = {
  OPEN_TOTAL: 0,
  OPEN: 1,
  READ_BYTES: 2,
  WRITE_BYTES: 3,
  /** CLOSE + index into CLOSE_REASONS. */
  CLOSE: 4,
  REQUESTS: 16,
  /** Indexed by `verdictField`. */
  VERDICT: 17,
  /** TLS + index into LISTENER_TLS. */
  TLS: 57,
  /** Open connections of clients counted in blocks of C. */
  COUNTED_BY_IDENTITY: 61,
  SIZE: 64,
} as const;

/** For clients of a listener with the same identity, or with the same place in LISTENER_TLS. Same indices as L. */
export const C = { OPEN_TOTAL: 0, OPEN: 1, READ_BYTES: 2, WRITE_BYTES: 3, CLOSE: 4, REQUESTS: 16, SIZE: 24 } as const;

/** Field of L that counts a verdict (index into VERDICTS) for a reason (index into REASONS). */
export const verdictField = (verdict: number, reason: number): number => L.VERDICT + verdict * REASONS.length + reason;

/** Per-rule fields: requests, and connections that are not HTTP. */
export const R = {
  HTTP_ALLOWED: 0,
  HTTP_DENIED: 1,
  TCP_ALLOWED: 2,
  TCP_DENIED: 3,
  /** Connections and tunnels ended by a change of rules. */
  TERMINATED: 4,
  SIZE: 8,
} as const;

/** Per-service fields. */
export const S = {
  REQUESTS: 0,
  RETRIES: 1,
  RETRIES_DENIED: 2,
  NO_ENDPOINT: 3,
  IN_FLIGHT: 4,
  /** Requests that ended without a complete response: the client left, or a response that had begun was cut off. */
  UNANSWERED: 5,
  /** Of REQUESTS, those with a gRPC content type. */
  GRPC_REQUESTS: 6,
  /** gRPC responses passed on that ended without a grpc-status. */
  GRPC_MISSING: 7,
  /** RESPONSE + index into RESPONSE_REASONS: the proxy's own answers. */
  RESPONSE: 8,
  /** GRPC_STATUS + code 0..16: the final status for clients, including the proxy's own. */
  GRPC_STATUS: 40,
  /** Picks of an endpoint that was out, because none was ready. */
  PANIC_PICKS: 57,
  /** Of UNANSWERED, those whose client left (509 elsewhere). */
  CLIENT_LEFT: 58,
  SIZE: 64,
} as const;

/** Per-endpoint fields (`peer="dst"`). */
export const E = {
  OPEN_TOTAL: 0,
  OPEN: 1,
  READ_BYTES: 2,
  WRITE_BYTES: 3,
  /** CLOSE + index into CLOSE_REASONS. */
  CLOSE: 4,
  REQUESTS: 16,
  IN_FLIGHT: 17,
  /** 0 ready, 1 probation, 2 probing. */
  STATE: 18,
  /** Latency estimate, ms. */
  EWMA_MS: 19,
  POOL_IDLE: 20,
  CONNECT_FAILURES: 21,
  BREAKER_OPENED: 22,
  /** Responses lost before their end (reset, timeout, protocol error). */
  FAILURES: 23,
  /** Requests cancelled: the client left, or another connection or endpoint was tried. */
  ABANDONED: 24,
  /** HTTP/2 connections that are open. */
  H2_CONNECTIONS: 25,
  /** Streams open on them. */
  H2_STREAMS: 26,
  /** Streams allowed on them, including open ones. */
  H2_STREAM_CAPACITY: 27,
  /** What the endpoint is known to speak: 0 unknown, 1 HTTP/1, 2 HTTP/2. */
  PROTOCOL: 28,
  /** gRPC responses that ended without a grpc-status. */
  GRPC_MISSING: 29,
  /** Dials not made because the endpoint is out and had been dialled just before. */
  DIALS_PACED: 30,
  /**
   * STATUS + (code - 100): responses by status code 100..599. A gRPC response (status 200 and a gRPC content type) is not counted here but
   * when it ends, by its grpc-status, in GRPC_STATUS or GRPC_MISSING: response_total shows both.
   */
  STATUS: 32,
  /** GRPC_STATUS + code 0..16. */
  GRPC_STATUS: 532,
  /** Responses by status code 600..999, which have no class. */
  STATUS_BEYOND: 549,
  /** PASSED + field below REQUESTS: connections that carry clients' own TLS to an endpoint with an identity. */
  PASSED: 552,
  SIZE: 568,
} as const;

/**
 * Histograms: two significant digits, 1 µs to 2^31 - 1 µs (35.8 minutes; longer times are recorded as that), so that recording needs only
 * 32-bit integers. Same index layout as hdr-histogram-js.
 */
export const HISTOGRAM = { lowest: 1, highest: 2_147_483_647, digits: 2 } as const;
/** Uint32 slots of one histogram: 256 for the first bucket, 128 for each of the 23 doublings above it. */
export const HISTOGRAM_SLOTS = 3200;

/** `h2_connection_streams`: streams that an HTTP/2 connection had served when it closed. */
export const WORKER_HISTOGRAMS = ['loop_turn_us', 'h2_connection_streams', 'tls_accept_us', 'tls_dial_us'] as const;
export const LISTENER_HISTOGRAMS = ['detect_us'] as const;
/** Each is RESPONSE_CELLS histograms; their sum is shown under its name. */
export const SERVICE_HISTOGRAMS = ['response_latency_us'] as const;
export const ENDPOINT_HISTOGRAMS = ['response_latency_us', 'connect_us'] as const;

const LISTENER_HISTOGRAMS_AT = WORKER_HISTOGRAMS.length;
const SERVICE_HISTOGRAMS_AT = LISTENER_HISTOGRAMS_AT + MAX_LISTENERS * LISTENER_HISTOGRAMS.length;
const ENDPOINT_HISTOGRAMS_AT = SERVICE_HISTOGRAMS_AT + MAX_SERVICE_SERIES * RESPONSE_CELLS;
const MAX_HISTOGRAMS = ENDPOINT_HISTOGRAMS_AT + MAX_ENDPOINT_SERIES * ENDPOINT_HISTOGRAMS.length;

// Endpoints come last, in the values and among the histograms: the memory ends after the configured number of series.
const LISTENERS_AT = W.SIZE;
const SERVICES_AT = LISTENERS_AT + MAX_LISTENERS * L.SIZE;
const RULES_AT = SERVICES_AT + MAX_SERVICE_SERIES * S.SIZE;
const CLIENTS_AT = RULES_AT + MAX_RULE_SERIES * R.SIZE;
/** Sums of the recorded values, one per histogram, in the histograms' order. */
export const SUMS_AT = CLIENTS_AT + MAX_CLIENT_SERIES * C.SIZE;
const ENDPOINTS_AT = SUMS_AT + MAX_HISTOGRAMS;

/** Number of Float64 values of a worker with this many endpoint series. */
export const valuesLength = (endpointSeries: number): number => ENDPOINTS_AT + endpointSeries * E.SIZE;
/** Number of histograms of a worker with this many endpoint series. */
export const histogramCount = (endpointSeries: number): number =>
  ENDPOINT_HISTOGRAMS_AT + endpointSeries * ENDPOINT_HISTOGRAMS.length;

/** First counter of H2_LIMITS: `values[H2_LIMITS_AT + LIMIT.X]`. */
export const H2_LIMITS_AT = W.LIMIT + LIMITS.indexOf(H2_LIMITS[0]);
/** First value of H of a role: 0 for the side towards clients (server), 1 towards endpoints (client). */
export const h2Base = (role: number): number => W.HTTP2 + role * H.SIZE;
/** First value of listener `slot`. */
export const listenerBase = (slot: number): number => LISTENERS_AT + slot * L.SIZE;
/** First value of the service series `slot`. */
export const serviceBase = (slot: number): number => SERVICES_AT + slot * S.SIZE;
/** First value of the rule series `slot`. */
export const ruleBase = (slot: number): number => RULES_AT + slot * R.SIZE;
/** First value of the block `series` of clients. */
export const clientBase = (series: number): number => CLIENTS_AT + series * C.SIZE;
/** First value of the endpoint series `slot`. */
export const endpointBase = (slot: number): number => ENDPOINTS_AT + slot * E.SIZE;

/** Number of the worker's histogram `index` (into WORKER_HISTOGRAMS), for `WorkerMetrics.record`. */
export const workerHistogram = (index: number): number => index;
/** Number of histogram `index` (into LISTENER_HISTOGRAMS) of listener `slot`. */
export const listenerHistogram = (slot: number, index: number): number =>
  LISTENER_HISTOGRAMS_AT + slot * LISTENER_HISTOGRAMS.length + index;
/** Number of the latency of the service series `slot`, in a cell that `responseCell` gives. */
export const serviceHistogram = (slot: number, cell: number): number =>
  SERVICE_HISTOGRAMS_AT + slot * RESPONSE_CELLS + cell;
/** Number of histogram `index` (into ENDPOINT_HISTOGRAMS) of the endpoint series `slot`. */
export const endpointHistogram = (slot: number, index: number): number =>
  ENDPOINT_HISTOGRAMS_AT + slot * ENDPOINT_HISTOGRAMS.length + index;

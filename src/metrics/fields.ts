// The metric of every field in layout.ts. The compiler refuses a field without one.
import type { H } from '../http2/counters.js';
import type { E, L, S, W } from './layout.js';

export interface FieldMetric {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  /** Factor from the field's unit to the metric's; 1 if absent. */
  readonly scale?: number;
}

type Fields<Layout, Blocks extends keyof Layout> = Readonly<
  Record<Exclude<keyof Layout, Blocks | 'SIZE'>, FieldMetric>
>;

const counter = (name: string, help: string, scale = 1): FieldMetric => ({ name, type: 'counter', help, scale });
const gauge = (name: string, help: string, scale = 1): FieldMetric => ({ name, type: 'gauge', help, scale });

const TCP_OPEN_TOTAL = counter('tcp_open_total', 'Connections opened, accepted (peer="src") or made (peer="dst")');
const TCP_OPEN = gauge('tcp_open_connections', 'Connections that are open now');
const TCP_READ = counter('tcp_read_bytes_total', 'Bytes read from the peer');
const TCP_WRITE = counter('tcp_write_bytes_total', 'Bytes written to the peer');

/** Labelled with `worker`. */
export const WORKER_FIELDS: Fields<
  typeof W,
  'LIMIT' | 'RESPONSE' | 'HTTP2' | 'TLS_RESUMED' | 'TLS_TRUNCATED' | 'TLS_BROKEN' | 'TLS_DONE' | 'TLS_FAILED'
> = {
  READY: gauge('sluice_worker_ready', '1 once the worker accepts connections'),
  CONNECTIONS_OPEN: gauge('sluice_worker_connections', 'Client connections that the worker holds'),
  HANDED_OVER: counter('sluice_handed_over_total', 'Accepted connections given to a less loaded worker'),
  HANDED_IN: counter('sluice_handed_in_total', 'Connections received from another worker'),
  LOOP_TURNS: counter('sluice_loop_turns_total', 'Turns of the event loop'),
  COMPLETIONS: counter('sluice_completions_total', 'Ring completions handled'),
  LOOP_LAG_MAX_US: gauge('sluice_loop_lag_max_seconds', 'Longest loop turn since the last sample', 1e-6),
  SLAB_BUFFERS: gauge('sluice_slab_buffers', 'Receive buffers of the worker'),
  SLAB_FREE: gauge('sluice_slab_free_buffers', 'Receive buffers that are free'),
  SLAB_PARKS: counter('sluice_slab_parks_total', 'Receives parked because no buffer was free'),
  SLAB_QUEUED: gauge('sluice_slab_queued_buffers', 'Buffers that hold data for slow readers'),
  SLAB_DISCARDED: counter('sluice_slab_discarded_total', 'Buffers whose memory was returned to the system'),
  SLAB_SHARE: gauge('sluice_slab_share_buffers', 'Buffers that may hold data for one slow reader at present'),
  PIPES_OPEN: gauge('sluice_pipes_open', 'Pipes held for splicing'),
  PIPE_LIMITED: counter('sluice_pipe_limited_total', 'Bulk flows copied because no pipe was available'),
  SPLICE_STARTS: counter('sluice_splice_starts_total', 'Flows that changed from copying to splicing'),
  SPLICED_BYTES: counter('sluice_spliced_bytes_total', 'Bytes relayed by splicing'),
  COPIED_BYTES: counter('sluice_copied_bytes_total', 'Bytes relayed by copying'),
  RETRIES: counter('sluice_retries_total', 'Requests retried on another endpoint'),
  RETRIES_BUDGET: counter('sluice_retries_budget_exhausted_total', 'Retries not made because the budget was exhausted'),
  CPU_US: counter('sluice_worker_cpu_seconds_total', 'CPU time of the worker thread', 1e-6),
  WARMUP_US: gauge(
    'sluice_warmup_seconds',
    'Time that the worker warmed up before it served; 0 without a warm-up',
    1e-6,
  ),
  WARMUP_REQUESTS: gauge('sluice_warmup_requests', 'Requests that the worker rehearsed while it warmed up'),
  RESTS: counter('sluice_worker_rests_total', "Rests of 0.8 ms each, taken by a busy worker for V8's compilers"),
  SOCKETS_OPEN: gauge('sluice_worker_sockets', 'Sockets that the worker holds, of clients and endpoints'),
  ACCEPT_ERRORS: counter('sluice_accept_errors_total', 'Accepts that failed'),
  ACCEPT_PAUSES: counter(
    'sluice_accept_pauses_total',
    'Times that accepting paused because the remaining file descriptors are reserved for endpoints',
  ),
  BACKPRESSURE: counter('sluice_backpressure_total', 'Reads paused because the other side reads slowly'),
  LEARNED: counter('sluice_learned_total', 'Destinations learned to speak first'),
  RACES_STARTED: counter('sluice_races_started_total', 'Endpoints dialled while the client was silent'),
  RACES_SERVER_FIRST: counter('sluice_races_server_first_total', 'Races in which the server spoke first'),
  RACES_POOLED: counter('sluice_races_pooled_total', 'Raced connections that joined the HTTP pool'),
  PROXY_HEADERS: counter('sluice_proxy_headers_total', 'PROXY headers at the beginning of client connections'),
  PROXY_REFUSED: counter(
    'sluice_proxy_header_refused_total',
    'Connections refused because they lacked a valid PROXY header',
  ),
  PROXY_STRANGERS: counter(
    'sluice_proxy_header_strangers_total',
    'Connections refused because their address is in no network of proxyProtocol.from',
  ),
  TRANSPORT_HEADERS: counter(
    'sluice_transport_headers_total',
    'Headers of the opaque transport at the beginning of connections of peers',
  ),
  TRANSPORT_REFUSED: counter(
    'sluice_transport_header_refused_total',
    'Connections of the opaque transport refused: no client identity, no valid header in time, or a port of this proxy',
  ),
  HELLOS_UNREADABLE: counter(
    'sluice_hellos_unreadable_total',
    'ClientHellos on mesh listeners whose server name could not be read, so that they were relayed unchanged',
  ),
  TLS_PASSED: counter(
    'sluice_tls_passed_total',
    'Connections to endpoints with an identity that relay the TLS of the client unchanged',
  ),
  HEDGES: counter('sluice_hedges_total', 'Slow dials that were raced by a second one, to another endpoint'),
  HEDGES_WON: counter('sluice_hedges_won_total', 'Second dials that won the race'),
  TLS_OPEN: gauge('sluice_tls_open_connections', 'Connections with TLS, including those still in their handshake'),
  TLS_HANDSHAKING: gauge('sluice_tls_open_handshakes', 'TLS handshakes in progress'),
  TLS_WAITING: gauge('sluice_tls_handshakes_waiting', 'TLS handshakes waiting for their turn'),
  ACCESS_LOG_DROPPED: counter('sluice_access_log_dropped_total', 'Access log lines dropped'),
  ACCEPTED: counter('sluice_accepted_total', 'Connections accepted by the worker, including those given to another'),
  DESTINATIONS: gauge('sluice_destinations', 'Original destinations that the worker knows'),
  DESTINATIONS_ASKED: counter(
    'sluice_destinations_asked_total',
    'Questions of the worker to the main thread about an original destination',
  ),
  DESTINATIONS_EVICTED: counter('sluice_destinations_evicted_total', 'Original destinations forgotten'),
  DESTINATION_LOOPS: counter(
    'sluice_destination_loops_total',
    'Connections refused because their original destination is a listener of this proxy',
  ),
  DESTINATIONS_MISSING: counter(
    'sluice_destination_missing_total',
    'Connections refused because they had not been redirected, and so had no original destination',
  ),
};

/** Labelled with `role` and `worker`. */
export const HTTP2_FIELDS: Fields<typeof H, 'RESET_SENT' | 'RESET_RECEIVED' | 'GOAWAY_SENT' | 'GOAWAY_RECEIVED'> = {
  CONNECTIONS_TOTAL: counter('sluice_http2_connections_total', 'HTTP/2 connections of clients, or to endpoints'),
  CONNECTIONS: gauge('sluice_http2_open_connections', 'HTTP/2 connections that are open now'),
  STREAMS_TOTAL: counter('sluice_http2_streams_total', 'Streams opened by clients, or to endpoints'),
  STREAMS: gauge('sluice_http2_open_streams', 'Streams that are open now'),
  STREAM_STALL_US: counter(
    'sluice_http2_stream_stall_seconds_total',
    'Time that streams had data waiting because the peer left the window of the stream at zero',
    1e-6,
  ),
  STREAM_STALLS: counter(
    'sluice_http2_stream_stalls_total',
    'Times that data of a stream began to wait for its window',
  ),
  CONNECTION_STALL_US: counter(
    'sluice_http2_connection_stall_seconds_total',
    'Time that connections had data waiting because the peer left the window of the connection at zero',
    1e-6,
  ),
  CONNECTION_STALLS: counter(
    'sluice_http2_connection_stalls_total',
    'Times that data of a connection began to wait for its window',
  ),
  HEADER_BLOCKS: counter('sluice_http2_header_blocks_total', 'Header blocks decoded'),
  HEADER_BLOCK_HITS: counter('sluice_http2_header_block_hits_total', 'Header blocks that were recognized as a whole'),
  HEADER_FIELDS: counter('sluice_http2_header_fields_total', 'Fields decoded one by one'),
  HEADER_FIELD_HITS: counter(
    'sluice_http2_header_field_hits_total',
    'Fields decoded one by one that were already known',
  ),
  PINGS_SENT: counter('sluice_http2_pings_sent_total', 'Pings sent to check that the peer is alive'),
  PINGS_RECEIVED: counter('sluice_http2_pings_received_total', 'Pings that the peer sent'),
  SETTINGS_RECEIVED: counter('sluice_http2_settings_received_total', 'SETTINGS frames that the peer sent'),
  RETRIES_REFUSED: counter(
    'sluice_http2_refused_retries_total',
    'Streams sent to another endpoint because the first had not processed them (REFUSED_STREAM, GOAWAY)',
  ),
};

/** Labelled with `direction`, `listener` and, for tcp_*, `peer="src"`. */
export const LISTENER_FIELDS: Fields<typeof L, 'CLOSE' | 'VERDICT' | 'TLS' | 'COUNTED_BY_IDENTITY'> = {
  OPEN_TOTAL: TCP_OPEN_TOTAL,
  OPEN: TCP_OPEN,
  READ_BYTES: TCP_READ,
  WRITE_BYTES: TCP_WRITE,
  REQUESTS: counter('sluice_listener_requests_total', 'Requests that arrived at the listener'),
};

/** Labelled with `direction` and `service`. */
export const SERVICE_FIELDS: Fields<typeof S, 'RESPONSE' | 'GRPC_STATUS' | 'GRPC_MISSING'> = {
  REQUESTS: counter('sluice_service_requests_total', 'Requests routed to the service, retries not counted'),
  RETRIES: counter('sluice_service_retries_total', 'Retried requests of the service'),
  RETRIES_DENIED: counter('sluice_service_retries_denied_total', 'Retries of the service denied by its budget'),
  NO_ENDPOINT: counter('sluice_service_no_endpoint_total', 'Times the service had no endpoint to choose'),
  IN_FLIGHT: gauge('sluice_service_in_flight', 'Requests of the service whose response has not ended yet'),
  UNANSWERED: counter('sluice_service_unanswered_total', 'Requests that ended without a complete response'),
  PANIC_PICKS: counter(
    'sluice_service_panic_picks_total',
    'Times an endpoint that the breaker had taken out was tried because none was ready',
  ),
  CLIENT_LEFT: counter(
    'sluice_service_client_left_total',
    'Requests whose client left before the response was complete',
  ),
  GRPC_REQUESTS: counter('sluice_grpc_requests_total', 'gRPC calls routed to the service, retries not counted'),
};

/** Labelled with `direction`, `service`, `target_addr` and, for tcp_*, `peer="dst"`. STATE and PROTOCOL are shown by value. */
export const ENDPOINT_FIELDS: Fields<typeof E, 'CLOSE' | 'STATUS' | 'GRPC_STATUS' | 'GRPC_MISSING' | 'PASSED'> = {
  OPEN_TOTAL: TCP_OPEN_TOTAL,
  OPEN: TCP_OPEN,
  READ_BYTES: TCP_READ,
  WRITE_BYTES: TCP_WRITE,
  REQUESTS: counter(
    'request_total',
    'Requests sent to an endpoint, or with direction="inbound" those of clients identified by TLS',
  ),
  IN_FLIGHT: gauge('sluice_endpoint_in_flight', 'Requests or opaque connections that the endpoint is busy with'),
  STATE: gauge('sluice_endpoint_state', 'Workers that see the endpoint in this state'),
  EWMA_MS: gauge('sluice_endpoint_ewma_seconds', 'Latency estimate of the balancer, mean over the workers', 1e-3),
  POOL_IDLE: gauge('sluice_endpoint_pool_idle', 'Idle pooled connections'),
  CONNECT_FAILURES: counter('sluice_endpoint_connect_failures_total', 'Connection attempts that failed'),
  BREAKER_OPENED: counter('sluice_endpoint_breaker_opened_total', 'Times the circuit breaker took the endpoint out'),
  DIALS_PACED: counter(
    'sluice_endpoint_dials_paced_total',
    'Connection attempts skipped because the endpoint is out and was dialled just before',
  ),
  FAILURES: counter('sluice_endpoint_failures_total', 'Responses lost before their end'),
  ABANDONED: counter(
    'sluice_endpoint_abandoned_total',
    'Requests abandoned: their client left, or they were sent elsewhere',
  ),
  H2_CONNECTIONS: gauge('sluice_endpoint_http2_connections', 'HTTP/2 connections to the endpoint'),
  H2_STREAMS: gauge('sluice_endpoint_http2_streams', 'Streams open on the HTTP/2 connections to the endpoint'),
  H2_STREAM_CAPACITY: gauge(
    'sluice_endpoint_http2_stream_capacity',
    'Streams that the HTTP/2 connections to the endpoint allow, including open ones',
  ),
  /** Shown together with responses that have a class. */
  STATUS_BEYOND: counter('response_total', 'Responses of endpoints'),
  PROTOCOL: gauge('sluice_endpoint_protocol', 'Workers that know the endpoint to speak this protocol'),
};

/** Values of E.STATE. */
export const ENDPOINT_STATES = ['ready', 'probation', 'probing'] as const;
/** Bits of E.PROTOCOL, the lowest first: an endpoint may speak both. */
export const ENDPOINT_PROTOCOLS = ['http1', 'http2'] as const;

/** Indices of the gauges among `fields`: they end with their worker. */
export function gaugesOf<Key extends string>(
  layout: Readonly<Record<Key, number>>,
  fields: Readonly<Record<Key, FieldMetric>>,
): readonly number[] {
  return (Object.keys(fields) as Key[]).filter((key) => fields[key].type === 'gauge').map((key) => layout[key]);
}

// What requests and connections reveal about an endpoint's health: all permitted conclusions, in one place.
//
// An endpoint is judged by its own actions before its response begins. These are no signals: Sluice's own decisions (limits, refusals,
// closing a connection, a timeout of a silent body), a client's actions (leaving, reading slowly), and requests that the endpoint refused
// unprocessed. The end of a connection is one signal, not one for each of its streams.

export const HEALTH_SIGNAL = {
  /** None, good or bad. */
  NONE: 0,
  /** It works: a response head below 500, the first message or successful end of a gRPC call, an established opaque connection. */
  SUCCESS: 1,
  // All that follow are failures.
  /** It answered 5xx, or a gRPC status that means a failure of the service. */
  ERROR: 2,
  /** It closed a connection, or aborted a stream, that owed a response. */
  RESET: 3,
  /** It exceeded the configured `responseTimeout`. */
  TIMEOUT: 4,
  /** It refused the connection. */
  CONNECT_REFUSED: 5,
  /** It did not answer a connection attempt in time. */
  CONNECT_TIMEOUT: 6,
  /** Its TLS handshake failed: it does not speak TLS, or has the wrong identity. */
  TLS_FAILED: 7,
} as const;

/** Failures in the words of the log, by HEALTH_SIGNAL. */
export const HEALTH_SIGNAL_TEXTS: readonly string[] = [
  '',
  '',
  'error responses',
  'connections broken before their response',
  'response timeouts',
  'refused connects',
  'connect timeouts',
  'failed TLS handshakes',
];

export const isFailure = (signal: number): boolean => signal >= HEALTH_SIGNAL.ERROR;

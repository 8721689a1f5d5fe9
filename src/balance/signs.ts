// What requests and connections reveal about an endpoint's health: all permitted conclusions, in one place.
//
// An endpoint is judged by its own actions before its response begins. These are no signs: Sluice's own decisions (limits, refusals,
// closing a connection, a timeout of a silent body), a client's actions (leaving, reading slowly), and requests that the endpoint refused
// unprocessed. The end of a connection is one sign, not one for each of its streams.

export const SIGN = {
  /** None, good or bad. */
  NONE: 0,
  /** It works: a response head below 500, the first message or successful end of a gRPC call, an established opaque connection. */
  WORKS: 1,
  // All that follow are failures.
  /** It answered 5xx, or a gRPC status that means a failure of the service. */
  ERROR: 2,
  /** It closed a connection, or aborted a stream, that owed a response. */
  BROKEN: 3,
  /** It exceeded the configured `responseTimeout`. */
  LATE: 4,
  /** It refused the connection. */
  REFUSED: 5,
  /** It did not answer a connection attempt in time. */
  UNREACHED: 6,
  /** Its TLS handshake failed: it does not speak TLS, or has the wrong identity. */
  UNTRUSTED: 7,
} as const;

/** Failures in the words of the log, by SIGN. */
export const SIGN_TEXTS: readonly string[] = [
  '',
  '',
  'error responses',
  'connections broken before their response',
  'response timeouts',
  'refused connects',
  'connect timeouts',
  'failed TLS handshakes',
];

export const isFailure = (sign: number): boolean => sign >= SIGN.ERROR;

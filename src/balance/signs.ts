// What requests and connections show of an endpoint's health: all that may be inferred about it, in one place.
//
// An endpoint is held to what it has done itself before its response begins. What Sluice decides by itself (limits, refusals, closing a
// connection, silence in a body that takes too long), what a client does (it leaves, it reads slowly) and what an endpoint has refused
// unprocessed are no sign of anything. Nor is the end of a connection a sign for each stream that was on it: it counts once.

export const SIGN = {
  /** None, good or bad. */
  NONE: 0,
  /** It works: the head of a response below 500, the first message or a good end of a gRPC call, an opaque connection that stands. */
  WORKS: 1,
  // All that follow are failures.
  /** It answered 5xx, or with a gRPC status that stands for a failure of the service. */
  ERROR: 2,
  /** It ended a connection, or broke a stream off, that was to bring a response. */
  BROKEN: 3,
  /** It let the `responseTimeout` that was configured pass. */
  LATE: 4,
  /** It could not be connected to. */
  REFUSED: 5,
  /** It did not answer a connection attempt in time. */
  UNREACHED: 6,
  /** Its TLS handshake failed: it speaks none, or is not who it should be. */
  UNTRUSTED: 7,
} as const;

/** What the log says of failures; indices are SIGN. */
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

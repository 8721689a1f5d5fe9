// Why the proxy answers a request itself instead of passing on an endpoint's response.

/** Values of the reason header, `sluice-error`. */
export const RESPONSE_REASONS = [
  'bad-request',
  'header-too-large',
  'target-too-long',
  'version-not-supported',
  'header-timeout',
  'body-timeout',
  'no-endpoint',
  'connect-failed',
  'connect-timeout',
  'upstream-reset',
  'upstream-protocol',
  'response-timeout',
  'pool-exhausted',
  'memory',
  'not-implemented',
  'misdirected',
  'draining',
  'expectation',
  'stream-refused',
  'http2-refused',
  'unresolved',
  'file-descriptors',
  'max-forwards',
  'unauthorized',
  'no-identity',
] as const;

export type ResponseReason = (typeof RESPONSE_REASONS)[number];

/** Reasons caused by the client. All others are failures of the service. */
export const CLIENT_REASONS: ReadonlySet<ResponseReason> = new Set([
  'bad-request',
  'header-too-large',
  'target-too-long',
  'version-not-supported',
  'header-timeout',
  'body-timeout',
  'not-implemented',
  'misdirected',
  'expectation',
  'max-forwards',
  'unauthorized',
] as const);

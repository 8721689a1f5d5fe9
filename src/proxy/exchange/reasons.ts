// Why the proxy answers in its own name.
import { RESPONSE_REASONS } from '../../http/response-reasons.js';

/** Indices into RESPONSE_REASONS. */
export const WHY = {
  BAD_REQUEST: RESPONSE_REASONS.indexOf('bad-request'),
  HEADER_TIMEOUT: RESPONSE_REASONS.indexOf('header-timeout'),
  BODY_TIMEOUT: RESPONSE_REASONS.indexOf('body-timeout'),
  NO_ENDPOINT: RESPONSE_REASONS.indexOf('no-endpoint'),
  CONNECT_FAILED: RESPONSE_REASONS.indexOf('connect-failed'),
  CONNECT_TIMEOUT: RESPONSE_REASONS.indexOf('connect-timeout'),
  UPSTREAM_RESET: RESPONSE_REASONS.indexOf('upstream-reset'),
  RESPONSE_TIMEOUT: RESPONSE_REASONS.indexOf('response-timeout'),
  POOL_EXHAUSTED: RESPONSE_REASONS.indexOf('pool-exhausted'),
  MEMORY: RESPONSE_REASONS.indexOf('memory'),
  MISDIRECTED: RESPONSE_REASONS.indexOf('misdirected'),
  HEADER_TOO_LARGE: RESPONSE_REASONS.indexOf('header-too-large'),
  UPSTREAM_PROTOCOL: RESPONSE_REASONS.indexOf('upstream-protocol'),
  NOT_IMPLEMENTED: RESPONSE_REASONS.indexOf('not-implemented'),
  STREAM_REFUSED: RESPONSE_REASONS.indexOf('stream-refused'),
} as const;

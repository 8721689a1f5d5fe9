// Why the proxy answers itself.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { CLOSE } from '../connect/connections.js';
import { DIAL } from '../connect/dialer.js';

/** Indices into RESPONSE_REASONS. */
export const REPLY_REASON = {
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
  HTTP2_REFUSED: RESPONSE_REASONS.indexOf('http2-refused'),
  UNRESOLVED: RESPONSE_REASONS.indexOf('unresolved'),
  FILE_DESCRIPTORS: RESPONSE_REASONS.indexOf('file-descriptors'),
  MAX_FORWARDS: RESPONSE_REASONS.indexOf('max-forwards'),
  UNAUTHORIZED: RESPONSE_REASONS.indexOf('unauthorized'),
  NO_IDENTITY: RESPONSE_REASONS.indexOf('no-identity'),
} as const;

/** REPLY_REASON of a dial that could not start, for a DIAL; `lastFailure` is the endpoint's, a HEALTH_SIGNAL. */
export function connectFailureReason(result: number, lastFailure: number): number {
  if (result === DIAL.LIMIT) return REPLY_REASON.POOL_EXHAUSTED;
  if (result === DIAL.FILES) return REPLY_REASON.FILE_DESCRIPTORS;
  if (result === DIAL.NO_IDENTITY) return REPLY_REASON.NO_IDENTITY;
  // The same reason as for the last dial.
  return result === DIAL.PACED && lastFailure === HEALTH_SIGNAL.CONNECT_TIMEOUT
    ? REPLY_REASON.CONNECT_TIMEOUT
    : REPLY_REASON.CONNECT_FAILED;
}

/** CLOSE of the connection of an HTTP/1 client that is answered with REPLY_REASON. */
export function closeReason(why: number): number {
  switch (why) {
    case REPLY_REASON.HEADER_TIMEOUT:
    case REPLY_REASON.BODY_TIMEOUT:
    case REPLY_REASON.RESPONSE_TIMEOUT:
      return CLOSE.TIMEOUT;
    case REPLY_REASON.MEMORY:
      return CLOSE.LIMIT;
    case REPLY_REASON.UPSTREAM_RESET:
    case REPLY_REASON.STREAM_REFUSED:
      return CLOSE.ERROR;
    case REPLY_REASON.NO_ENDPOINT:
    case REPLY_REASON.POOL_EXHAUSTED:
    case REPLY_REASON.CONNECT_FAILED:
    case REPLY_REASON.CONNECT_TIMEOUT:
    case REPLY_REASON.HTTP2_REFUSED:
    case REPLY_REASON.UNRESOLVED:
    case REPLY_REASON.FILE_DESCRIPTORS:
    case REPLY_REASON.MAX_FORWARDS:
    case REPLY_REASON.UNAUTHORIZED:
    case REPLY_REASON.NO_IDENTITY:
      return CLOSE.OK;
    default:
      return CLOSE.PROTOCOL;
  }
}

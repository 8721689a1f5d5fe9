// What requests, responses and trailers must say and must not (RFC 9113 section 8, RFC 8441 section 4).

import type { Facts } from './facts.js';
import { METHOD } from './methods.js';

/** Why a message is malformed (RFC 9113 section 8.1.1). 0 is none of them. */
export const MALFORMED = {
  NAME: 1,
  VALUE: 2,
  CONNECTION_FIELD: 3,
  TE: 4,
  PSEUDO_ORDER: 5,
  PSEUDO_DUPLICATE: 6,
  PSEUDO_UNKNOWN: 7,
  PSEUDO_MISSING: 8,
  PSEUDO_FORBIDDEN: 9,
  PSEUDO_IN_TRAILERS: 10,
  METHOD: 11,
  SCHEME: 12,
  PATH: 13,
  AUTHORITY: 14,
  HOST: 15,
  HOST_DIFFERS: 16,
  STATUS: 17,
  CONTENT_LENGTH: 18,
  CONTENT_LENGTH_DIFFERS: 19,
  CONNECT: 20,
  PROTOCOL: 21,
} as const;

/** By code. */
export const MALFORMED_TEXT: readonly string[] = [
  '',
  'a field name has an octet that is not allowed, upper case included',
  'a field value has an octet that is not allowed, or white space at an end',
  'a field that belongs to a connection',
  'te says something else than trailers',
  'a pseudo-header field after a regular one',
  'a pseudo-header field twice',
  'an unknown pseudo-header field',
  'a pseudo-header field is missing',
  'a pseudo-header field that this kind of message must not have',
  'a pseudo-header field in trailers',
  ':method is no token',
  ':scheme is not valid',
  ':path is empty, does not begin with / or has an octet that is not allowed',
  ':authority is not host[:port]',
  'host is not host[:port], or there are several',
  ':authority and host differ',
  ':status is not a number from 100 to 599, or it is 101',
  'content-length is no number',
  'content-length differs from another one',
  'CONNECT must have :authority with a port, and neither :scheme nor :path',
  ':protocol is for CONNECT only, and is a token',
];

/** Bits of `facts.pseudo`: 1 << (NAME - 1). */
export const PSEUDO = { METHOD: 1, SCHEME: 2, AUTHORITY: 4, PATH: 8, STATUS: 16, PROTOCOL: 32 } as const;
export const PROTOCOL = { NONE: 0, WEBSOCKET: 1, OTHER: 2 } as const;
export const SCHEME = { NONE: 0, HTTP: 1, HTTPS: 2, OTHER: 3 } as const;

/** Form of :path. */
export const PATH_FORM = { NONE: 0, SLASH: 1, ASTERISK: 2, BAD: 3 } as const;

const RESPONSE_ONLY = PSEUDO.STATUS;
const REQUEST_ONLY = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.AUTHORITY | PSEUDO.PATH | PSEUDO.PROTOCOL;
const PLAIN_REQUEST = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.PATH;

/** 0 or the MALFORMED code of a request's header section (RFC 9113 section 8.3.1 and 8.5, RFC 8441 section 4). */
export function checkRequest(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  const pseudo = facts.pseudo;
  if ((pseudo & RESPONSE_ONLY) !== 0) return MALFORMED.PSEUDO_FORBIDDEN;
  if ((pseudo & PSEUDO.METHOD) === 0) return MALFORMED.PSEUDO_MISSING;
  if (facts.method === METHOD.CONNECT && facts.protocol === PROTOCOL.NONE) {
    return pseudo === (PSEUDO.METHOD | PSEUDO.AUTHORITY) ? 0 : MALFORMED.CONNECT;
  }
  if (facts.protocol !== PROTOCOL.NONE && facts.method !== METHOD.CONNECT) return MALFORMED.PROTOCOL;
  if ((pseudo & PLAIN_REQUEST) !== PLAIN_REQUEST) return MALFORMED.PSEUDO_MISSING;
  if (facts.pathForm === PATH_FORM.SLASH) return 0;
  if (facts.pathForm === PATH_FORM.ASTERISK) return facts.method === METHOD.OPTIONS ? 0 : MALFORMED.PATH;
  // Only the URIs of other schemes can have paths of another form.
  return facts.scheme === SCHEME.OTHER && facts.pathLength > 0 ? 0 : MALFORMED.PATH;
}

/** 0 or the MALFORMED code of a response's header section, interim ones too (RFC 9113 section 8.3.2 and 8.6). */
export function checkResponse(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  if ((facts.pseudo & REQUEST_ONLY) !== 0) return MALFORMED.PSEUDO_FORBIDDEN;
  if ((facts.pseudo & PSEUDO.STATUS) === 0) return MALFORMED.PSEUDO_MISSING;
  return facts.status === 101 ? MALFORMED.STATUS : 0;
}

/** 0 or the MALFORMED code of a trailer section (RFC 9113 section 8.1). */
export function checkTrailers(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  return facts.pseudo !== 0 ? MALFORMED.PSEUDO_IN_TRAILERS : 0;
}

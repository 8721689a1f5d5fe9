// Rules for requests, responses and trailers as a whole (RFC 9113 section 8, RFC 8441 section 4).

import { CONNECT_PROTOCOL, type Facts, PATH_FORM, PSEUDO, SCHEME } from './facts.js';
import { MALFORMED } from './malformed.js';
import { METHOD } from './methods.js';

const RESPONSE_ONLY = PSEUDO.STATUS;
const REQUEST_ONLY = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.AUTHORITY | PSEUDO.PATH | PSEUDO.PROTOCOL;
const PLAIN_REQUEST = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.PATH;

/** 0 or the MALFORMED code of a request's header section (RFC 9113 section 8.3.1 and 8.5, RFC 8441 section 4). */
export function checkRequest(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  const pseudo = facts.pseudo;
  if ((pseudo & RESPONSE_ONLY) !== 0) return MALFORMED.PSEUDO_FORBIDDEN;
  if ((pseudo & PSEUDO.METHOD) === 0) return MALFORMED.PSEUDO_MISSING;
  if (facts.method === METHOD.CONNECT && facts.protocol === CONNECT_PROTOCOL.NONE) {
    return pseudo === (PSEUDO.METHOD | PSEUDO.AUTHORITY) ? 0 : MALFORMED.CONNECT;
  }
  if (facts.protocol !== CONNECT_PROTOCOL.NONE && facts.method !== METHOD.CONNECT) return MALFORMED.PROTOCOL;
  if ((pseudo & PLAIN_REQUEST) !== PLAIN_REQUEST) return MALFORMED.PSEUDO_MISSING;
  if (facts.pathForm === PATH_FORM.SLASH) return 0;
  if (facts.pathForm === PATH_FORM.ASTERISK) return facts.method === METHOD.OPTIONS ? 0 : MALFORMED.PATH;
  // Only URIs with other schemes can have other forms of paths.
  return facts.scheme === SCHEME.OTHER && facts.pathLength > 0 ? 0 : MALFORMED.PATH;
}

/** 0 or the MALFORMED code of a response's header section, including interim ones (RFC 9113 section 8.3.2 and 8.6). */
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

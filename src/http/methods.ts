// Request methods, by number.

import { ascii } from './octets.js';

export const METHOD = {
  OTHER: 0,
  GET: 1,
  HEAD: 2,
  POST: 3,
  PUT: 4,
  DELETE: 5,
  CONNECT: 6,
  OPTIONS: 7,
  TRACE: 8,
  PATCH: 9,
} as const;

/** In the order of METHOD. */
const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'].map(ascii);
const GET = METHODS[1];

/** METHOD of the token [start, end). Names are case-sensitive (RFC 9110 section 9.1). */
export function methodOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length === GET.length && isMethod(bytes, start, GET)) return METHOD.GET;
  for (let method = 2; method < METHODS.length; method++) {
    if (METHODS[method].length === length && isMethod(bytes, start, METHODS[method])) return method;
  }
  return METHOD.OTHER;
}

/** RFC 9110 section 9.2.2: sending a request of this METHOD twice has the effect of sending it once. */
export function isIdempotent(method: number): boolean {
  switch (method) {
    case METHOD.GET:
    case METHOD.HEAD:
    case METHOD.PUT:
    case METHOD.DELETE:
    case METHOD.OPTIONS:
    case METHOD.TRACE:
      return true;
    default:
      return false;
  }
}

function isMethod(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}

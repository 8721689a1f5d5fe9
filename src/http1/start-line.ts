// Pieces of the start line: HTTP-version and method (RFC 9112 sections 2.3 and 3.1).
import { ERROR } from './errors.js';
import { ascii } from './octets.js';

const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

const VERSION = ascii('HTTP/1.');
/** Octets of an HTTP-version. */
export const VERSION_LENGTH = 8;
/** In the order of METHOD. */
const METHODS = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'].map(ascii);

/** The minor version's digit (its octet) of the HTTP-version at `at`, 0 where the bytes end before it, or -ERROR. */
export function versionDigit(bytes: Uint8Array, at: number, stop: number, malformed: number): number {
  for (let i = 0; i < VERSION.length; i++) {
    if (at + i === stop) return 0;
    if (bytes[at + i] !== VERSION[i]) return i < 5 ? -malformed : otherVersion(bytes, at + 5, stop, malformed);
  }
  const digit = at + VERSION.length;
  if (digit === stop) return 0;
  return bytes[digit] >= ZERO && bytes[digit] <= NINE ? bytes[digit] : -malformed;
}

/** DIGIT "." DIGIT at `at`, which is not 1.x: another version, or no version at all. */
function otherVersion(bytes: Uint8Array, at: number, stop: number, malformed: number): number {
  for (let i = 0; i < 3; i++) {
    if (at + i === stop) return 0;
    const octet = bytes[at + i];
    if (i === 1 ? octet !== DOT : octet < ZERO || octet > NINE) return -malformed;
  }
  return -ERROR.VERSION;
}

/** METHOD of the token [start, end). Names are case-sensitive (RFC 9110 section 9.1). */
export function methodOf(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  for (let method = 1; method < METHODS.length; method++) {
    if (METHODS[method].length === length && isMethod(bytes, start, METHODS[method])) return method;
  }
  return 0;
}

function isMethod(bytes: Uint8Array, start: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return false;
  return true;
}

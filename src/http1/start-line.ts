// HTTP-version, part of both kinds of start line (RFC 9112 section 2.3).

import { ascii } from '../http/octets.js';
import { MESSAGE_ERROR } from './errors.js';

const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

const VERSION = ascii('HTTP/1.');
/** Octets of an HTTP-version. */
export const VERSION_LENGTH = 8;

/** The minor version's digit (as a byte) of the HTTP-version at `at`, 0 if the bytes end before it, or -MESSAGE_ERROR. */
export function versionDigit(bytes: Uint8Array, at: number, stop: number, malformed: number): number {
  const digit = at + VERSION.length;
  if (digit >= stop || !isHttp1(bytes, at)) return otherVersion(bytes, at, stop, malformed);
  return bytes[digit] >= ZERO && bytes[digit] <= NINE ? bytes[digit] : -malformed;
}

/** `HTTP/1.`, unrolled: a loop over VERSION takes three times as long. */
function isHttp1(bytes: Uint8Array, at: number): boolean {
  return (
    bytes[at] === 0x48 &&
    bytes[at + 1] === 0x54 &&
    bytes[at + 2] === 0x54 &&
    bytes[at + 3] === 0x50 &&
    bytes[at + 4] === 0x2f &&
    bytes[at + 5] === 0x31 &&
    bytes[at + 6] === DOT
  );
}

/** Not a complete `HTTP/1.`: a prefix of it, `HTTP/` DIGIT `.` DIGIT of another version, or no version at all. */
function otherVersion(bytes: Uint8Array, at: number, stop: number, malformed: number): number {
  for (let i = 0; i < VERSION_LENGTH; i++) {
    if (at + i === stop) return 0;
    const octet = bytes[at + i];
    const digit = i === 5 || i === 7;
    if (digit ? octet < ZERO || octet > NINE : octet !== VERSION[i]) return -malformed;
  }
  return -MESSAGE_ERROR.VERSION;
}

// Bytes allowed in names and values of fields. Stricter than RFC 9113 section 8.2.1: a name is a token of RFC 9110 without upper case, a
// value has no control characters except HTAB.

import { MALFORMED } from './malformed.js';
import { COLON, HT, SP, skipToken, skipValue } from './octets.js';

const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

/** 0 or MALFORMED.NAME. A leading colon belongs to the name. */
export function nameError(bytes: Uint8Array, at: number, length: number): number {
  const end = at + length;
  const first = length > 0 && bytes[at] === COLON ? at + 1 : at;
  if (first === end || skipToken(bytes, first, end) !== end) return MALFORMED.NAME;
  for (let p = first; p < end; p++) if (bytes[p] >= UPPER_A && bytes[p] <= UPPER_Z) return MALFORMED.NAME;
  return 0;
}

/** 0 or MALFORMED.VALUE. */
export function valueError(bytes: Uint8Array, at: number, length: number): number {
  if (length === 0) return 0;
  const end = at + length;
  const first = bytes[at];
  const last = bytes[end - 1];
  if (first === SP || first === HT || last === SP || last === HT) return MALFORMED.VALUE;
  return skipValue(bytes, at, end) === end ? 0 : MALFORMED.VALUE;
}

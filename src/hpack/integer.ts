// Integers of HPACK (RFC 7541 section 5.1).

/** Maximum of any integer: all our lengths and indices fit in 31 bits. */
const MAX_INTEGER = 0x7fffffff;
/** Five bytes after the prefix carry 35 bits: more could only be zeros that waste time. */
const MAX_CONTINUATION = 5;

/** Result of `readInteger`: the value, and the position after it. One per caller, reused. */
export class Cursor {
  at = 0;
  value = 0;
}

/**
 * Reads what follows a prefix of all ones, whose value is `prefix`, at `cursor.at`. False if the bytes end before the integer does, if it
 * exceeds 2^31-1 or takes more than five bytes.
 */
export function readInteger(bytes: Uint8Array, end: number, prefix: number, cursor: Cursor): boolean {
  let at = cursor.at;
  let value = prefix;
  let weight = 1;
  for (let i = 0; i < MAX_CONTINUATION; i++) {
    if (at >= end) return false;
    const octet = bytes[at++];
    // A double: 2^28 * 127 does not fit in an int32.
    value += (octet & 0x7f) * weight;
    if (value > MAX_INTEGER) return false;
    if (octet < 0x80) {
      cursor.at = at;
      cursor.value = value;
      return true;
    }
    weight *= 128;
  }
  return false;
}

/** Writes `value` with a prefix of `bits` bits in the byte `first`; returns the position after it. */
export function putInteger(bytes: Uint8Array, at: number, first: number, bits: number, value: number): number {
  const mask = (1 << bits) - 1;
  if (value < mask) {
    bytes[at] = first | value;
    return at + 1;
  }
  let p = at;
  bytes[p++] = first | mask;
  let rest = value - mask;
  while (rest >= 0x80) {
    bytes[p++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  bytes[p++] = rest;
  return p;
}

// host [":" port] of a request target or a Host field (RFC 3986 section 3.2, RFC 9110 section 7.2).
import { COLON, HEX, skipHost } from './octets.js';

const hex = HEX;
const OPEN = 0x5b;
const CLOSE = 0x5d;

/** Whether [start, end) is a non-empty host with an optional port, without userinfo. `raw`: it may contain non-ASCII bytes. */
export function validAuthority(
  bytes: Uint8Array,
  start: number,
  end: number,
  portRequired: boolean,
  raw = false,
): boolean {
  let p = start;
  if (p === end) return false;
  if (bytes[p] === OPEN) {
    p = skipHost(bytes, p + 1, end, true);
    if (p === end || bytes[p] !== CLOSE || p - start < 3) return false;
    p++;
  } else {
    p = skipHost(bytes, p, end, false);
    while (raw && p < end && bytes[p] > 0x7f) {
      const next = skipUtf8(bytes, p, end);
      if (next === p) return false;
      p = skipHost(bytes, next, end, false);
    }
    if (p === start) return false;
  }
  if (p === end) return !portRequired;
  if (bytes[p] !== COLON) return false;
  p++;
  if (p === end) return !portRequired;
  let port = 0;
  for (; p < end; p++) {
    const digit = hex[bytes[p]];
    if (digit > 9) return false;
    port = port * 10 + digit;
    if (port > 65535) return false;
  }
  return true;
}

/** Position after the multi-byte character at `p`; `p` if it is not valid UTF-8 (RFC 3629 section 4). */
function skipUtf8(bytes: Uint8Array, p: number, end: number): number {
  const first = bytes[p];
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || p + length > end) return p;
  const second = bytes[p + 1];
  // Not overlong, not a surrogate, not beyond the last character.
  if ((first === 0xe0 && second < 0xa0) || (first === 0xed && second > 0x9f)) return p;
  if ((first === 0xf0 && second < 0x90) || (first === 0xf4 && second > 0x8f)) return p;
  for (let i = 1; i < length; i++) if ((bytes[p + i] & 0xc0) !== 0x80) return p;
  return p + length;
}

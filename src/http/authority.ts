// host [":" port] of a request target or a Host field (RFC 3986 section 3.2, RFC 9110 section 7.2).
import { COLON, HEX, skipHost } from './octets.js';

const hex = HEX;
const OPEN = 0x5b;
const CLOSE = 0x5d;

/** Whether [start, end) is a host with an optional port. No userinfo; the host is not empty. `raw`: it may have octets that are not ASCII. */
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
    while (raw && p < end && bytes[p] > 0x7f) p = skipHost(bytes, p + 1, end, false);
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

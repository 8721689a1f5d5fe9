// The fields of gRPC over HTTP/2: content-type, grpc-status, grpc-timeout.
import { ascii, equals, HEX, HT, SP } from './octets.js';

const GRPC = ascii('application/grpc');
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
/** TimeoutValue is at most 8 digits. */
const TIMEOUT_DIGITS = 8;
const MAX_MS = 0x7fffffff;
/** The last status code; higher ones count as UNKNOWN. */
const LAST_STATUS = 16;
const UNKNOWN = 2;

/** application/grpc, possibly with a +suffix or parameters; not application/grpc-web. */
export function isGrpc(bytes: Uint8Array, at: number, end: number): boolean {
  const after = at + GRPC.length;
  if (after > end || !equals(bytes, at, after, GRPC)) return false;
  if (after === end) return true;
  const next = bytes[after];
  return next === PLUS || next === SEMICOLON || next === SP || next === HT;
}

export function grpcStatus(bytes: Uint8Array, at: number, end: number): number {
  const length = end - at;
  if (length < 1 || length > 2) return UNKNOWN;
  let value = 0;
  for (let p = at; p < end; p++) {
    const digit = HEX[bytes[p]];
    if (digit > 9) return UNKNOWN;
    value = value * 10 + digit;
  }
  return value <= LAST_STATUS ? value : UNKNOWN;
}

/** In ms; -1 if it is not 1 to 8 digits and a unit. */
export function grpcTimeout(bytes: Uint8Array, at: number, end: number): number {
  const digits = end - at - 1;
  if (digits < 1 || digits > TIMEOUT_DIGITS) return -1;
  let value = 0;
  for (let p = at; p < end - 1; p++) {
    const digit = HEX[bytes[p]];
    if (digit > 9) return -1;
    value = value * 10 + digit;
  }
  switch (bytes[end - 1]) {
    case 0x48: // H
      return value > MAX_MS / 3_600_000 ? MAX_MS : value * 3_600_000;
    case 0x4d: // M
      return value > MAX_MS / 60_000 ? MAX_MS : value * 60_000;
    case 0x53: // S
      return value > MAX_MS / 1000 ? MAX_MS : value * 1000;
    case 0x6d: // m
      return value;
    case 0x75: // u
      return Math.ceil(value / 1000);
    case 0x6e: // n
      return Math.ceil(value / 1_000_000);
    default:
      return -1;
  }
}

// Trailer sections (RFC 9110 section 6.5, RFC 9112 section 7.1.2). They are rare, so clarity comes first here.

import { ascii, COLON, CR, LF, SP, skipSpace, skipToken, skipValue, trimEnd } from '../http/octets.js';
import { MESSAGE_ERROR } from './errors.js';
import { nameError } from './fields.js';

/**
 * Fields that affect a message before its end is seen: framing, routing, control, authentication, content (section 6.5.1); and those of
 * mesh proxies.
 */
const FORBIDDEN = [
  'age',
  'authorization',
  'cache-control',
  'connection',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'http2-settings',
  'keep-alive',
  'location',
  'max-forwards',
  'pragma',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'www-authenticate',
  'x-real-ip',
].map(ascii);
const FORBIDDEN_PREFIXES = ['content-', 'if-', 'l5d-', 'proxy-', 'x-forwarded-'].map(ascii);

const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;

/**
 * Validates the field lines in [start, end), and removes those not allowed in trailers and the whitespace around values. Works in place and
 * never grows: `name:value` stays as it is, `writeTrailers` inserts the space. Returns the new end or -MESSAGE_ERROR.
 */
export function compactTrailers(bytes: Uint8Array, start: number, end: number): number {
  let out = start;
  for (let p = start; p < end; ) {
    const name = p;
    const nameEnd = skipToken(bytes, p, end);
    if (nameEnd === end) return -MESSAGE_ERROR.FIELD_NAME;
    if (nameEnd === name || bytes[nameEnd] !== COLON) return -nameError(bytes[nameEnd], nameEnd === name, p === start);
    const value = skipSpace(bytes, nameEnd + 1, end);
    const spaced = value > nameEnd + 1;
    p = skipValue(bytes, value, end);
    if (p + 1 >= end || bytes[p] !== CR)
      return p < end && bytes[p] !== LF ? -MESSAGE_ERROR.CONTROL : -MESSAGE_ERROR.LINE_END;
    if (bytes[p + 1] !== LF) return -MESSAGE_ERROR.LINE_END;
    const valueEnd = trimEnd(bytes, value, p);
    p += 2;
    if (isForbiddenTrailer(bytes, name, nameEnd)) continue;
    for (let i = name; i <= nameEnd; i++) bytes[out++] = bytes[i];
    if (spaced) bytes[out++] = SP;
    for (let i = value; i < valueEnd; i++) bytes[out++] = bytes[i];
    bytes[out++] = CR;
    bytes[out++] = LF;
  }
  return out;
}

/** Copies compacted trailers to `at` as `name: value`. Returns the position after them, -1 if it would pass `limit`. */
export function writeTrailers(bytes: Uint8Array, start: number, end: number, at: number, limit: number): number {
  let out = at;
  let inName = true;
  for (let p = start; p < end; p++) {
    const octet = bytes[p];
    if (out >= limit) return -1;
    bytes[out++] = octet;
    if (octet === LF) inName = true;
    else if (inName && octet === COLON) {
      inName = false;
      if (bytes[p + 1] === SP) continue;
      if (out >= limit) return -1;
      bytes[out++] = SP;
    }
  }
  return out;
}

/** Whether the field name [start, end), in any case, is not allowed in trailers. */
export function isForbiddenTrailer(bytes: Uint8Array, start: number, end: number): boolean {
  const length = end - start;
  for (const name of FORBIDDEN) if (name.length === length && begins(bytes, start, name)) return true;
  for (const prefix of FORBIDDEN_PREFIXES) if (prefix.length < length && begins(bytes, start, prefix)) return true;
  return false;
}

/** Underscores count as hyphens: gateways that turn names into variables can't tell them apart. */
function begins(bytes: Uint8Array, start: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) {
    const octet = bytes[start + i];
    if ((octet === UNDERSCORE ? HYPHEN : octet | 0x20) !== lower[i]) return false;
  }
  return true;
}

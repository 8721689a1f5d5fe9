// Connection options (RFC 9110 section 7.6.1): what they mean for this connection, and which fields they make hop-by-hop.

import { ascii, equals, HT, SP, skipSpace, skipToken } from '../http/octets.js';
import { MESSAGE_ERROR } from './errors.js';
import type { Head } from './head.js';

/** Bits that `connectionOptions` returns. */
export const OPTION = { CLOSE: 1, KEEP_ALIVE: 2, UPGRADE: 4, NAMED: 8 } as const;

/** FIELD_KIND.HOP of `head.kind`. */
const HOP = 1;
const COMMA = 0x2c;
const SLASH = 0x2f;
const SEMICOLON = 0x3b;
/** Maximum number of options per head: each unknown one is compared with every field. */
const MAX_OPTIONS = 32;

const CLOSE = ascii('close');
const KEEP_ALIVE = ascii('keep-alive');
const UPGRADE = ascii('upgrade');
const TE = ascii('te');
const CONNECTION = ascii('connection');
const TRAILER = ascii('trailer');
const H2C = ascii('h2c');
const TLS = ascii('tls');
/** An upgrade request is sent in one piece with its complete body, because everything after it belongs to the other protocol. */
const MAX_UPGRADE_BODY = 4096;

/**
 * Fields meant for the recipient of the content or for routing. A client that could have them removed on the way could change what the
 * upstream sees, so a request that names one is refused. In responses such names are ignored (some servers announce
 * `Connection: Transfer-Encoding`; we write our own framing anyway).
 */
const END_TO_END = [
  'host',
  'content-length',
  'transfer-encoding',
  'content-type',
  'content-encoding',
  'content-range',
  'cache-control',
  'authorization',
  'cookie',
  'set-cookie',
  'expect',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-real-ip',
].map(ascii);

/** OPTION bits of one Connection value, or -MESSAGE_ERROR. */
export function connectionOptions(bytes: Uint8Array, start: number, end: number, head: Head): number {
  if (equals(bytes, start, end, KEEP_ALIVE)) return OPTION.KEEP_ALIVE;
  let options = 0;
  for (let p = start; p < end; ) {
    const first = optionStart(bytes, p, end);
    if (first === end) break;
    const last = optionEnd(bytes, first, end);
    if (last < 0) {
      // Parameters of keep-alive belong in the field of that name; some clients put them here.
      const after = keepAliveParameters(bytes, first, end);
      if (after < 0 || ++head.optionCount > MAX_OPTIONS) return -MESSAGE_ERROR.CONNECTION_INVALID;
      options |= OPTION.KEEP_ALIVE;
      p = after;
      continue;
    }
    if (++head.optionCount > MAX_OPTIONS) return -MESSAGE_ERROR.CONNECTION_INVALID;
    if (equals(bytes, first, last, CLOSE)) options |= OPTION.CLOSE;
    else if (equals(bytes, first, last, KEEP_ALIVE)) options |= OPTION.KEEP_ALIVE;
    else if (equals(bytes, first, last, UPGRADE)) options |= OPTION.UPGRADE;
    else if (!equals(bytes, first, last, TE)) options |= OPTION.NAMED;
    p = last;
  }
  return options;
}

/** Persistence, upgrade and hop-by-hop fields. `head.chunked` and `hasBody` must be final. Returns 0 or a MESSAGE_ERROR. */
export function connectionMeaning(bytes: Uint8Array, head: Head): number {
  const { options, minor } = head;
  if ((options & OPTION.CLOSE) !== 0) head.keepAlive = false;
  else head.keepAlive = minor === 1 || (options & OPTION.KEEP_ALIVE) !== 0;
  head.upgrade = head.upgrades === 1 && upgradeAllowed(bytes, head);
  if (head.upgrade && head.hasBody && (head.chunked || head.contentLength > MAX_UPGRADE_BODY))
    return MESSAGE_ERROR.UPGRADE_BODY;
  if (head.trailer && !head.chunked) dropFields(bytes, head, TRAILER);
  return (options & OPTION.NAMED) !== 0 ? dropAllNamed(bytes, head) : 0;
}

function upgradeAllowed(bytes: Uint8Array, head: Head): boolean {
  if ((head.options & OPTION.UPGRADE) === 0 || head.minor === 0) return false;
  if ((head.hasBody && head.status !== 0) || head.upgradeStart === head.upgradeEnd) return false;
  // An h2c upgrade would carry requests past us inside the tunnel; we speak HTTP/2 with prior knowledge only. Some clients offer TLS with
  // every request, even with a body (RFC 2817; Apache's client does): ignored.
  for (let p = head.upgradeStart; p < head.upgradeEnd; ) {
    const first = p;
    p = skipToken(bytes, p, head.upgradeEnd);
    if (equals(bytes, first, p, H2C) || (head.hasBody && equals(bytes, first, p, TLS))) return false;
    if (p === first) {
      if (bytes[p] !== COMMA && bytes[p] !== SP && bytes[p] !== SLASH) return false;
      p++;
    }
  }
  return true;
}

function dropAllNamed(bytes: Uint8Array, head: Head): number {
  const { fields } = head;
  for (let i = 0; i < head.count; i++) {
    if (!equals(bytes, fields[4 * i], fields[4 * i + 1], CONNECTION)) continue;
    const result = dropNamed(bytes, fields[4 * i + 2], fields[4 * i + 3], head);
    if (result < 0) return -result;
  }
  return 0;
}

/** Makes every field called `name` (lower-case) hop-by-hop. For rare fields whose treatment depends on the whole head. */
export function dropFields(bytes: Uint8Array, head: Head, name: Uint8Array): void {
  const { fields, kind } = head;
  for (let i = 0; i < head.count; i++) {
    if (equals(bytes, fields[4 * i], fields[4 * i + 1], name)) kind[i] = HOP;
  }
}

/** Makes the fields named in [start, end) hop-by-hop. Returns 0 or -MESSAGE_ERROR. */
function dropNamed(bytes: Uint8Array, start: number, end: number, head: Head): number {
  for (let p = start; p < end; ) {
    const first = optionStart(bytes, p, end);
    if (first === end) break;
    const last = optionEnd(bytes, first, end);
    if (last < 0) {
      p = keepAliveParameters(bytes, first, end);
      if (p < 0) return -MESSAGE_ERROR.CONNECTION_INVALID;
      continue;
    }
    if (isEndToEnd(bytes, first, last)) {
      if (head.status === 0) return -MESSAGE_ERROR.CONNECTION_NAMES;
    } else if (!equals(bytes, first, last, TE)) {
      const { fields, kind } = head;
      for (let i = 0; i < head.count; i++) {
        if (kind[i] === 0 && sameName(bytes, first, last, fields[4 * i], fields[4 * i + 1])) kind[i] = HOP;
      }
    }
    p = last;
  }
  return 0;
}

/** Skips commas and whitespace: the list rule allows empty elements (RFC 9110 section 5.6.1.2). */
function optionStart(bytes: Uint8Array, from: number, end: number): number {
  let p = from;
  while (p < end && (bytes[p] === COMMA || bytes[p] === SP || bytes[p] === HT)) p++;
  return p;
}

/** End of the token at `start`, -1 if there is no token or something other than a comma follows. */
function optionEnd(bytes: Uint8Array, start: number, end: number): number {
  const p = skipToken(bytes, start, end);
  if (p === start) return -1;
  const next = skipSpace(bytes, p, end);
  return next === end || bytes[next] === COMMA ? p : -1;
}

/** End of `keep-alive` with parameters at `start`, before the next comma; -1 for anything else. */
function keepAliveParameters(bytes: Uint8Array, start: number, end: number): number {
  const name = skipToken(bytes, start, end);
  if (!equals(bytes, start, name, KEEP_ALIVE)) return -1;
  let p = skipSpace(bytes, name, end);
  if (p === end || bytes[p] !== SEMICOLON) return -1;
  while (p < end && bytes[p] !== COMMA) p++;
  return p;
}

function isEndToEnd(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = 0; i < END_TO_END.length; i++) if (equals(bytes, start, end, END_TO_END[i])) return true;
  return false;
}

function sameName(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean {
  if (aEnd - a !== bEnd - b) return false;
  for (let i = 0; i < aEnd - a; i++) if (lower(bytes[a + i]) !== lower(bytes[b + i])) return false;
  return true;
}

function lower(octet: number): number {
  return octet >= 0x41 && octet <= 0x5a ? octet | 0x20 : octet;
}

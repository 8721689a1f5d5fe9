// Field lines of a head (RFC 9112 section 5), and the few fields that a proxy has to understand.

import { validAuthority } from '../http/authority.js';
import { EVENT_STREAM, isEventStream } from '../http/content-type.js';
import { ascii, equals, HEX, HT, SP, same, skipSpace, skipToken, skipValue, trimEnd } from '../http/octets.js';
import { connectionOptions } from './connection-options.js';
import { MESSAGE_ERROR } from './errors.js';
import type { Head } from './head.js';

/** `head.kind`: how to treat a field. The writers copy only FORWARD. */
export const FIELD_KIND = { FORWARD: 0, HOP: 1, FRAMING: 2, HOST: 3 } as const;

const hex = HEX;
const FORWARD = FIELD_KIND.FORWARD;
const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const HYPHEN = 0x2d;
const UNDERSCORE = 0x5f;
const COMMA = 0x2c;

const TE = ascii('te');
const HOST = ascii('host');
const EXPECT = ascii('expect');
const TRAILER = ascii('trailer');
const UPGRADE = ascii('upgrade');
const CONNECTION = ascii('connection');
const KEEP_ALIVE = ascii('keep-alive');
const HTTP2_SETTINGS = ascii('http2-settings');
const PROXY_CONNECTION = ascii('proxy-connection');
const CONTENT_TYPE = ascii('content-type');
const CONTENT = ascii('content');
const LENGTH = ascii('length');
const TRANSFER = ascii('transfer');
const ENCODING = ascii('encoding');
const TRAILERS = ascii('trailers');
const CHUNKED = ascii('chunked');
const CONTINUE = ascii('100-continue');

/** Bit set of the lengths of the names above: fields with other lengths are forwarded without comparing their names. */
const KNOWN_LENGTHS = [2, 4, 6, 7, 10, 12, 14, 16, 17].reduce((bits, length) => bits | (1 << length), 0);
const LONGEST_KNOWN = 17;

/**
 * Parses field lines from `from` to the blank line; fills `head.fields`, `head.kind` and the properties of known fields. Returns the
 * position after the blank line, 0 if the bytes end before it, or -MESSAGE_ERROR.
 */
export function parseFields(bytes: Uint8Array, from: number, stop: number, head: Head, maxFields: number): number {
  const { fields, kind } = head;
  let count = 0;
  let p = from;
  for (;;) {
    if (p === stop) return 0;
    if (bytes[p] === CR) {
      if (p + 1 === stop) return 0;
      if (bytes[p + 1] !== LF) return -MESSAGE_ERROR.LINE_END;
      head.count = count;
      return p + 2;
    }
    const nameStart = p;
    const nameEnd = skipToken(bytes, p, stop);
    if (nameEnd === stop) return 0;
    if (bytes[nameEnd] !== COLON || nameEnd === nameStart) {
      return -nameError(bytes[nameEnd], nameEnd === nameStart, count === 0);
    }
    if (count === maxFields) return -MESSAGE_ERROR.TOO_MANY_FIELDS;
    const valueStart = skipSpace(bytes, nameEnd + 1, stop);
    p = skipValue(bytes, valueStart, stop);
    if (p === stop) return 0;
    if (bytes[p] !== CR) return bytes[p] === LF ? -MESSAGE_ERROR.LINE_END : -MESSAGE_ERROR.CONTROL;
    const valueEnd = trimEnd(bytes, valueStart, p);
    if (++p === stop) return 0;
    if (bytes[p] !== LF) return -MESSAGE_ERROR.LINE_END;
    p++;
    const field = count << 2;
    fields[field] = nameStart;
    fields[field + 1] = nameEnd;
    fields[field + 2] = valueStart;
    fields[field + 3] = valueEnd;
    const length = nameEnd - nameStart;
    if (length <= LONGEST_KNOWN && ((KNOWN_LENGTHS >> length) & 1) !== 0) {
      const result = recognise(bytes, nameStart, length, valueStart, valueEnd, head, count);
      if (result < 0) return result;
      kind[count] = result;
    } else kind[count] = FORWARD;
    count++;
  }
}

/** The error of a line whose name stops at `octet`. */
export function nameError(octet: number, empty: boolean, first: boolean): number {
  if (octet === SP || octet === HT) {
    if (!empty) return MESSAGE_ERROR.SPACE_BEFORE_COLON;
    return first ? MESSAGE_ERROR.LEADING_WHITESPACE : MESSAGE_ERROR.OBS_FOLD;
  }
  return empty && octet === LF ? MESSAGE_ERROR.LINE_END : MESSAGE_ERROR.FIELD_NAME;
}

/** Processes a field whose name has the length of a known one. Returns its FIELD_KIND or -MESSAGE_ERROR. */
function recognise(
  bytes: Uint8Array,
  name: number,
  length: number,
  start: number,
  end: number,
  head: Head,
  index: number,
): number {
  switch (length) {
    case 2:
      return same(bytes, name, TE) ? te(bytes, start, end, head, index) : FIELD_KIND.FORWARD;
    case 4:
      return head.status === 0 && same(bytes, name, HOST) ? host(bytes, start, end, head, index) : FIELD_KIND.FORWARD;
    case 6:
      return head.status === 0 && same(bytes, name, EXPECT) ? expect(bytes, start, end, head) : FIELD_KIND.FORWARD;
    case 7:
      if (same(bytes, name, TRAILER)) head.trailer = true;
      return same(bytes, name, UPGRADE) ? upgrade(start, end, head) : FIELD_KIND.FORWARD;
    case 10:
      if (same(bytes, name, CONNECTION)) return connection(bytes, start, end, head);
      return same(bytes, name, KEEP_ALIVE) ? FIELD_KIND.HOP : FIELD_KIND.FORWARD;
    case 12:
      // Most content types are shorter, and need no comparison.
      if (end - start >= EVENT_STREAM.length && head.status !== 0 && same(bytes, name, CONTENT_TYPE))
        head.eventStream = isEventStream(bytes, start, end);
      return FIELD_KIND.FORWARD;
    case 14:
      if (same(bytes, name, CONTENT) && same(bytes, name + 8, LENGTH)) {
        if (bytes[name + 7] === HYPHEN) return contentLength(bytes, start, end, head);
        if (bytes[name + 7] === UNDERSCORE) return -MESSAGE_ERROR.UNDERSCORE_FRAMING;
      }
      return same(bytes, name, HTTP2_SETTINGS) ? FIELD_KIND.HOP : FIELD_KIND.FORWARD;
    case 16:
      return same(bytes, name, PROXY_CONNECTION) ? FIELD_KIND.HOP : FIELD_KIND.FORWARD;
    case 17:
      if (same(bytes, name, TRANSFER) && same(bytes, name + 9, ENCODING)) {
        if (bytes[name + 8] === HYPHEN) return transferEncoding(bytes, start, end, head);
        if (bytes[name + 8] === UNDERSCORE) return -MESSAGE_ERROR.UNDERSCORE_FRAMING;
      }
      return FIELD_KIND.FORWARD;
    default:
      return FIELD_KIND.FORWARD;
  }
}

function host(bytes: Uint8Array, start: number, end: number, head: Head, index: number): number {
  if (head.hostStart >= 0) return -MESSAGE_ERROR.HOST_DUPLICATE;
  // An empty Host is correct for a target without authority (RFC 9112 section 3.2). Names in raw UTF-8 pass, as in other proxies.
  if (start !== end && !validAuthority(bytes, start, end, false, true)) return -MESSAGE_ERROR.HOST_INVALID;
  head.hostStart = start;
  head.hostEnd = end;
  head.hostIndex = index;
  return FIELD_KIND.FORWARD;
}

/** One number. Lists and repetitions are refused even if all values are equal, which RFC 9112 section 6.3 allows. */
function contentLength(bytes: Uint8Array, start: number, end: number, head: Head): number {
  if (head.contentLength >= 0) return -MESSAGE_ERROR.LENGTH_DUPLICATE;
  if (start === end) return -MESSAGE_ERROR.LENGTH_INVALID;
  let value = 0;
  for (let p = start; p < end; p++) {
    const digit = hex[bytes[p]];
    if (digit > 9) return -MESSAGE_ERROR.LENGTH_INVALID;
    value = value * 10 + digit;
    if (value > Number.MAX_SAFE_INTEGER) return -MESSAGE_ERROR.LENGTH_TOO_LARGE;
  }
  head.contentLength = value;
  return FIELD_KIND.FRAMING;
}

function transferEncoding(bytes: Uint8Array, start: number, end: number, head: Head): number {
  if (head.chunked) return -MESSAGE_ERROR.CODING_DUPLICATE;
  if (equals(bytes, start, end, CHUNKED)) {
    head.chunked = true;
    return FIELD_KIND.FRAMING;
  }
  return -codingError(bytes, start, end);
}

/** A list of valid codings that ends in its only `chunked` is not implemented; anything else leaves the length unknown. */
function codingError(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  for (;;) {
    const coding = p;
    p = skipToken(bytes, p, end);
    if (p === coding) return MESSAGE_ERROR.CODING_INVALID;
    const chunked = equals(bytes, coding, p, CHUNKED);
    p = skipSpace(bytes, p, end);
    if (p === end) return chunked ? MESSAGE_ERROR.CODING_UNKNOWN : MESSAGE_ERROR.CODING_INVALID;
    if (chunked || bytes[p] !== COMMA) return MESSAGE_ERROR.CODING_INVALID;
    p = skipSpace(bytes, p + 1, end);
  }
}

function connection(bytes: Uint8Array, start: number, end: number, head: Head): number {
  const options = connectionOptions(bytes, start, end, head);
  if (options < 0) return options;
  head.options |= options;
  return FIELD_KIND.HOP;
}

/** Upgrade is rewritten with its Connection option; with two of them there is no upgrade. */
function upgrade(start: number, end: number, head: Head): number {
  head.upgrades++;
  head.upgradeStart = start;
  head.upgradeEnd = end;
  return FIELD_KIND.HOP;
}

/** `TE: trailers` holds for us, because we forward trailers; we decode no other codings. */
function te(bytes: Uint8Array, start: number, end: number, head: Head, index: number): number {
  if (head.status !== 0 || head.te) return FIELD_KIND.HOP;
  for (let p = start; p < end; ) {
    const first = p;
    p = skipToken(bytes, first, end);
    const last = p;
    p = skipSpace(bytes, p, end);
    if ((p === end || bytes[p] === COMMA) && equals(bytes, first, last, TRAILERS)) {
      // Of a list, only this element is forwarded.
      head.fields[4 * index + 2] = first;
      head.fields[4 * index + 3] = last;
      head.te = true;
      return FIELD_KIND.FORWARD;
    }
    while (p < end && bytes[p] !== COMMA) p++;
    p = skipSpace(bytes, p + 1, end);
  }
  return FIELD_KIND.HOP;
}

/** Parsers may disagree about variants of Expect, which could desynchronise them: exactly one form is forwarded. */
function expect(bytes: Uint8Array, start: number, end: number, head: Head): number {
  if (head.expectContinue || !equals(bytes, start, end, CONTINUE)) return -MESSAGE_ERROR.EXPECTATION;
  head.expectContinue = true;
  return FIELD_KIND.FORWARD;
}

// Field lines for both bridges. An HTTP/2 name or value can contain any byte (RFC 9113 section 10.3), so each is checked again right before
// it becomes text that an HTTP/1 server will split into lines.

import type { FieldList } from '../hpack/field-list.js';
import { NAME } from '../http/field-names.js';
import { ascii, put, putDecimal, same, skipToken, skipValue } from '../http/octets.js';
import { MESSAGE_ERROR } from '../http1/errors.js';

const OTHER = NAME.OTHER;
const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const SP = 0x20;
const ZERO = 0x30;
const UNDERSCORE = 0x5f;
const A = 0x41;
const Z = 0x5a;
/** As in octets.ts: from this size on copyWithin beats a loop. */
const LOOP_BYTES = 15;

const CONTENT_LENGTH = ascii('content-length: ');
const CRLF = ascii('\r\n');
const CONTENT = ascii('content');
const LENGTH = ascii('length');
const TRANSFER = ascii('transfer');
const ENCODING = ascii('encoding');

/** Returned by functions of the bridge if the head would pass `limit`. */
export const NO_ROOM = -MESSAGE_ERROR.HEADER_TOO_LARGE;

/** Writes field `i` as `name: value` CRLF. Returns the position after it or -MESSAGE_ERROR. */
export function writeField(bytes: Uint8Array, list: FieldList, i: number, at: number, limit: number): number {
  const nameAt = list.nameAt[i];
  const nameEnd = nameAt + list.nameLength[i];
  const valueAt = list.valueAt[i];
  const valueEnd = valueAt + list.valueLength[i];
  if (at + (nameEnd - nameAt) + (valueEnd - valueAt) + 4 > limit) return NO_ROOM;
  if (list.name[i] === OTHER) {
    const error = fieldNameError(bytes, nameAt, nameEnd);
    if (error !== 0) return -error;
  }
  if (skipValue(bytes, valueAt, valueEnd) !== valueEnd) return -MESSAGE_ERROR.CONTROL;
  let p = copyText(bytes, nameAt, nameEnd, at);
  bytes[p++] = COLON;
  bytes[p++] = SP;
  p = copyText(bytes, valueAt, valueEnd, p);
  bytes[p++] = CR;
  bytes[p++] = LF;
  return p;
}

/** The error of a name that is not well-known; 0 if there is none. */
export function fieldNameError(bytes: Uint8Array, start: number, end: number): number {
  if (start === end || skipToken(bytes, start, end) !== end) return MESSAGE_ERROR.FIELD_NAME;
  const length = end - start;
  if (length === CONTENT.length + 1 + LENGTH.length && isUnderscored(bytes, start, CONTENT, LENGTH))
    return MESSAGE_ERROR.UNDERSCORE_FRAMING;
  if (length === TRANSFER.length + 1 + ENCODING.length && isUnderscored(bytes, start, TRANSFER, ENCODING))
    return MESSAGE_ERROR.UNDERSCORE_FRAMING;
  return 0;
}

/** Framing fields with underscores: gateways that turn names into variables can't tell them from the real ones. */
function isUnderscored(bytes: Uint8Array, at: number, first: Uint8Array, second: Uint8Array): boolean {
  const middle = at + first.length;
  return bytes[middle] === UNDERSCORE && same(bytes, at, first) && same(bytes, middle + 1, second);
}

/** Copies [from, to) to `at`, where there must be room, and returns the position after it. */
export function copyText(bytes: Uint8Array, from: number, to: number, at: number): number {
  if (to - from < LOOP_BYTES) for (let i = from, o = at; i < to; i++, o++) bytes[o] = bytes[i];
  else bytes.copyWithin(at, from, to);
  return at + to - from;
}

/**
 * Lower-cases a name in place (RFC 9113 section 8.2.1). HTTP/1 names are case-insensitive (RFC 9110 section 5.1), so their head keeps its
 * meaning, and no copy is needed until the list is encoded.
 */
export function lowerName(bytes: Uint8Array, start: number, end: number): void {
  for (let p = start; p < end; p++) {
    const octet = bytes[p];
    if (octet >= A && octet <= Z) bytes[p] = octet | 0x20;
  }
}

/** Writes Content-Length; -1 as the writers of octets.ts. */
export function writeLength(bytes: Uint8Array, contentLength: number, at: number, limit: number): number {
  let p = put(bytes, CONTENT_LENGTH, at, limit);
  p = putDecimal(bytes, contentLength, p, limit);
  return put(bytes, CRLF, p, limit);
}

/** Start of a number after its leading zeros. */
export function skipZeros(bytes: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p + 1 < end && bytes[p] === ZERO) p++;
  return p;
}

/** Copies `list` (which may be expanded) without content-length to `into`, and finishes that. */
export function listWithoutLength(list: FieldList, into: FieldList): void {
  listWithout(list, NAME.CONTENT_LENGTH, into);
}

/** The same without fields named `without`. */
export function listWithout(list: FieldList, without: number, into: FieldList): void {
  list.expand();
  into.clear();
  for (let i = 0; i < list.count; i++) {
    const name = list.name[i];
    if (name === without) continue;
    const neverIndexed = list.neverIndexed[i] === 1;
    if (name === NAME.STATUS) into.addKnown(name, list.valueAt[i], list.valueLength[i], neverIndexed);
    else into.add(list.nameAt[i], list.nameLength[i], list.valueAt[i], list.valueLength[i], neverIndexed);
  }
  into.finish();
}

// Trailer sections between HTTP/1 and HTTP/2 (RFC 9112 section 7.1.2, RFC 9113 section 8.1).

import type { FieldList } from '../hpack/field-list.js';
import { checkTrailers } from '../http/message.js';
import { COLON, CR, SP } from '../http/octets.js';
import { MESSAGE_ERROR } from '../http1/errors.js';
import { isForbiddenTrailer } from '../http1/trailer.js';
import { lowerName, NO_ROOM, writeField } from './fields.js';

const LF = 0x0a;
const ZERO = 0x30;

/**
 * Writes HTTP/2 trailers as field lines, without those not allowed in trailers. `writeLastChunk` accepts the result like that of a
 * BodyReader. Returns the position after them or -MESSAGE_ERROR.
 */
export function writeTrailerFields(bytes: Uint8Array, list: FieldList, at: number, limit: number): number {
  list.expand();
  if (checkTrailers(list.facts) !== 0) return -MESSAGE_ERROR.MALFORMED;
  const { count } = list;
  let p = at;
  for (let i = 0; i < count; i++) {
    const nameAt = list.nameAt[i];
    if (isForbiddenTrailer(bytes, nameAt, nameAt + list.nameLength[i])) continue;
    p = writeField(bytes, list, i, p, limit);
    if (p < 0) return p;
  }
  return p;
}

/** Writes the last chunk, the trailers of `list` (null: none) and the blank line: the end of a chunked body. */
export function writeEnd(bytes: Uint8Array, list: FieldList | null, at: number, limit: number): number {
  if (at + 5 > limit) return NO_ROOM;
  bytes[at] = ZERO;
  bytes[at + 1] = CR;
  bytes[at + 2] = LF;
  const p = list === null ? at + 3 : writeTrailerFields(bytes, list, at + 3, limit - 2);
  if (p < 0) return p;
  bytes[p] = CR;
  bytes[p + 1] = LF;
  return p + 2;
}

/**
 * Loads trailers that a BodyReader found at [start, end), validated and filtered, into `list`. Names are lower-cased in place; the bytes
 * must stay until the list is encoded. Returns the number of fields (0: end the stream without trailers) or -MESSAGE_ERROR.
 */
export function listTrailers(bytes: Uint8Array, start: number, end: number, list: FieldList): number {
  list.clear();
  let count = 0;
  for (let p = start; p < end; count++) {
    const name = p;
    while (p < end && bytes[p] !== COLON) p++;
    const nameEnd = p;
    const value = bytes[p + 1] === SP ? p + 2 : p + 1;
    p = value;
    while (p < end && bytes[p] !== LF) p++;
    lowerName(bytes, name, nameEnd);
    if (!list.add(name, nameEnd - name, value, p - 1 - value)) return -MESSAGE_ERROR.TRAILER_TOO_LARGE;
    p++;
  }
  list.finish();
  return checkTrailers(list.facts) === 0 ? count : -MESSAGE_ERROR.MALFORMED;
}

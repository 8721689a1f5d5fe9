// Max-Forwards of OPTIONS and TRACE (RFC 9110 section 7.6.2): the number of hops the request may still take. We subtract one; at 0 we are
// the last recipient.
import type { FieldList } from '../hpack/field-list.js';
import { NAME } from '../http/field-names.js';
import { METHOD } from '../http/methods.js';
import { ascii, equals, putDecimal, same } from '../http/octets.js';
import { MESSAGE_ERROR } from '../http1/errors.js';
import { FIELD_KIND } from '../http1/fields.js';
import type { Head } from '../http1/head.js';

const MAX_FORWARDS = ascii('max-forwards');
/** The largest number to forward: larger ones are reduced to this (it "SHOULD" be the lesser of the two). */
const MAX_VALUE = 2 ** 31 - 1;
/** Length of MAX_VALUE. */
export const MAX_FORWARDS_BYTES = 10;
const ZERO = 0x30;

/** Whether requests with this METHOD need the check. */
export function countsForwards(method: number): boolean {
  return method === METHOD.OPTIONS || method === METHOD.TRACE;
}

/** Decrements Max-Forwards of the request in `head`, in place. Returns 0 or a MESSAGE_ERROR. */
export function spendForward(bytes: Uint8Array, head: Head): number {
  const { fields, kind, count } = head;
  let found = -1;
  for (let i = 0; i < count; i++) {
    const field = i << 2;
    if (kind[i] !== FIELD_KIND.FORWARD || !equals(bytes, fields[field], fields[field + 1], MAX_FORWARDS)) continue;
    if (found >= 0) return MESSAGE_ERROR.MAX_FORWARDS;
    found = field;
  }
  if (found < 0) return 0;
  const end = fields[found + 3];
  let left = forwards(bytes, fields[found + 2], end);
  if (left <= 0) return left < 0 ? MESSAGE_ERROR.MAX_FORWARDS : last(head.method);
  left = Math.min(left - 1, MAX_VALUE);
  // From the end, because the existing number is at least as long.
  let at = end;
  do {
    bytes[--at] = ZERO + (left % 10);
    left = Math.floor(left / 10);
  } while (left > 0);
  fields[found + 2] = at;
  return 0;
}

/** Like `spendForward`, for the request in `list`, which may be expanded. The number goes to [at, at + MAX_FORWARDS_BYTES). */
export function spendListed(bytes: Uint8Array, list: FieldList, at: number): number {
  list.expand();
  let found = -1;
  for (let i = 0; i < list.count; i++) {
    if (list.name[i] !== NAME.OTHER || list.nameLength[i] !== MAX_FORWARDS.length) continue;
    if (!same(bytes, list.nameAt[i], MAX_FORWARDS)) continue;
    if (found >= 0) return MESSAGE_ERROR.MAX_FORWARDS;
    found = i;
  }
  if (found < 0) return 0;
  const start = list.valueAt[found];
  const left = forwards(bytes, start, start + list.valueLength[found]);
  if (left <= 0) return left < 0 ? MESSAGE_ERROR.MAX_FORWARDS : last(list.facts.method);
  const end = putDecimal(bytes, Math.min(left - 1, MAX_VALUE), at, at + MAX_FORWARDS_BYTES);
  list.replace(found, at, end - at);
  return 0;
}

/** The number in [start, end), or one above MAX_VALUE for any larger one; -1 if it is not a number. */
function forwards(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return -1;
  let value = 0;
  for (let p = start; p < end; p++) {
    const digit = bytes[p] - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = Math.min(value * 10 + digit, MAX_VALUE + 1);
  }
  return value;
}

function last(method: number): number {
  return method === METHOD.OPTIONS ? MESSAGE_ERROR.LAST_OPTIONS : MESSAGE_ERROR.LAST_TRACE;
}

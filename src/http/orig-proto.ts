// The field `l5d-orig-proto`, in which a mesh proxy tells the next one which version of HTTP/1 it carries over HTTP/2: `HTTP/1.1` or
// `HTTP/1.0`, followed by `; absolute-form` if the target was in that form.
import { ascii, equals } from './octets.js';

/** Meaning of the field: `Facts.origin`. */
export const ORIGIN = {
  /** There is none. */
  NONE: 0,
  HTTP1: 1,
  /** HTTP/1, with a target in absolute form. */
  ABSOLUTE: 2,
  /** Something else. */
  OTHER: 3,
} as const;

export const ORIG_PROTO = 'l5d-orig-proto';

/** Values by minor version, and by whether the target was in absolute form. */
export const ORIG_PROTO_VALUES = [
  ['HTTP/1.0', 'HTTP/1.0; absolute-form'],
  ['HTTP/1.1', 'HTTP/1.1; absolute-form'],
] as const;

// In lower case, as `equals` requires.
const PLAIN = [ascii('http/1.1'), ascii('http/1.0')] as const;
const FORM = ascii('absolute-form');
const SEMICOLON = 0x3b;
const SPACE = 0x20;

/** Parses the ORIGIN in a value. */
export function originOf(bytes: Uint8Array, at: number, length: number): number {
  const version = PLAIN[0].length;
  if (length < version) return ORIGIN.OTHER;
  const end = at + version;
  if (!equals(bytes, at, end, PLAIN[0]) && !equals(bytes, at, end, PLAIN[1])) return ORIGIN.OTHER;
  if (length === version) return ORIGIN.HTTP1;
  let form = end + 1;
  if (bytes[end] !== SEMICOLON) return ORIGIN.OTHER;
  while (form < at + length && bytes[form] === SPACE) form++;
  return equals(bytes, form, at + length, FORM) ? ORIGIN.ABSOLUTE : ORIGIN.OTHER;
}

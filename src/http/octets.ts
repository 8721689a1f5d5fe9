// Byte classes and primitives for the codecs. Nothing here allocates after module load.
//
// V8 folds a module's own constants into optimised code (including a table's address and length), but loads an imported binding at every
// use. So scans are next to their tables, and hot modules have their own copies of some byte constants: 120 ns against 80 for a value of 63
// bytes.

export const HT = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

/** tchar of RFC 9110 section 5.6.2. */
const TOKEN = 1;
/** Allowed in a field value or a reason phrase: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5). */
const VALUE_SHIFT = 1;
const VALUE = 1 << VALUE_SHIFT;
/** Allowed in a request target: visible ASCII without `#`, which no form of target contains (RFC 9112 section 3.2). */
const TARGET_SHIFT = 2;
const TARGET = 1 << TARGET_SHIFT;
/** reg-name without pct-encoded: unreserved and sub-delims (RFC 3986 section 3.2.2). Real host names are never percent-encoded. */
const HOST = 8;
/** Inside the brackets of an IPv6 literal. */
const IPV6 = 16;

/** Class bits of every byte. */
const classes = new Uint8Array(256);
/** Value of a hexadecimal digit, 16 for anything else. */
export const HEX = new Uint8Array(256).fill(16);

const mark = (bit: number, octets: string): void => {
  for (let i = 0; i < octets.length; i++) classes[octets.charCodeAt(i)] |= bit;
};
const ALPHANUMERIC = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
mark(TOKEN, `${ALPHANUMERIC}!#$%&'*+-.^_\`|~`);
mark(HOST, `${ALPHANUMERIC}-._~!$&'()*+,;=`);
mark(IPV6, '0123456789abcdefABCDEF:.');
mark(VALUE, '\t');
for (let octet = 0x20; octet < 0x100; octet++) if (octet !== 0x7f) classes[octet] |= VALUE;
for (let octet = 0x21; octet < 0x7f; octet++) if (octet !== 0x23) classes[octet] |= TARGET;
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

// The three scans below process four bytes per iteration and find the place in the last four without a branch, which would usually be
// mispredicted. They are written out because passing the class as an argument would cost what they gain.

/** Position of the first byte in [from, stop) that is not a tchar, or `stop`. The next two are similar. */
export function skipToken(bytes: Uint8Array, from: number, stop: number): number {
  let p = from;
  for (; p + 4 <= stop; p += 4) {
    const one = classes[bytes[p]] & TOKEN;
    const two = classes[bytes[p + 1]] & one;
    const three = classes[bytes[p + 2]] & two;
    if ((classes[bytes[p + 3]] & three) === 0) return p + one + two + three;
  }
  while (p < stop && (classes[bytes[p]] & TOKEN) !== 0) p++;
  return p;
}

/** Skips bytes allowed in a field value or a reason phrase. */
export function skipValue(bytes: Uint8Array, from: number, stop: number): number {
  let p = from;
  for (; p + 4 <= stop; p += 4) {
    const one = classes[bytes[p]] & VALUE;
    const two = classes[bytes[p + 1]] & one;
    const three = classes[bytes[p + 2]] & two;
    if ((classes[bytes[p + 3]] & three) === 0) return p + ((one + two + three) >> VALUE_SHIFT);
  }
  while (p < stop && (classes[bytes[p]] & VALUE) !== 0) p++;
  return p;
}

/** Skips bytes allowed in a request target. */
export function skipTarget(bytes: Uint8Array, from: number, stop: number): number {
  let p = from;
  for (; p + 4 <= stop; p += 4) {
    const one = classes[bytes[p]] & TARGET;
    const two = classes[bytes[p + 1]] & one;
    const three = classes[bytes[p + 2]] & two;
    if ((classes[bytes[p + 3]] & three) === 0) return p + ((one + two + three) >> TARGET_SHIFT);
  }
  while (p < stop && (classes[bytes[p]] & TARGET) !== 0) p++;
  return p;
}

/** Skips SP and HTAB. */
export function skipSpace(bytes: Uint8Array, from: number, stop: number): number {
  let p = from;
  while (p < stop && (bytes[p] === SP || bytes[p] === HT)) p++;
  return p;
}

/** Skips a registered name, or the inside of an IPv6 literal's brackets. */
export function skipHost(bytes: Uint8Array, from: number, stop: number, ipv6: boolean): number {
  const bit = ipv6 ? IPV6 : HOST;
  let p = from;
  while (p < stop && (classes[bytes[p]] & bit) !== 0) p++;
  return p;
}

/** End of [start, end) without trailing SP and HTAB. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && (bytes[p - 1] === SP || bytes[p - 1] === HT)) p--;
  return p;
}

/** Whether the byte is allowed in a field value. */
export function isValue(octet: number): boolean {
  return (classes[octet] & VALUE) !== 0;
}

/** Bytes of an ASCII constant; module load only. */
export const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Whether the `lower.length` bytes at `at` equal `lower` (lower-case) in any case. They must not contain control characters. */
export function same(bytes: Uint8Array, at: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) if ((bytes[at + i] | 0x20) !== lower[i]) return false;
  return true;
}

/** Whether [start, end) equals `lower` in any case. */
export function equals(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  return end - start === lower.length && same(bytes, start, lower);
}

/** From this size on, calling the engine's memmove, 20 ns for any size, beats a loop at 1.3 ns per byte. */
const LOOP_BYTES = 15;

/** Moves [from, to) to `at`; the ranges may overlap. */
export function move(bytes: Uint8Array, from: number, to: number, at: number): void {
  const length = to - from;
  if (length < LOOP_BYTES && at <= from) for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + i];
  else bytes.copyWithin(at, from, to);
}

/** Up to this size, a loop over words at 1.2 ns each beats that call. */
export const WORDS_BYTES = 64;
const WORD_BYTES = 4;

/** Copies [from, to), at most WORDS_BYTES bytes, to `at`; they must not overlap. `view` is a view of all of `bytes`. */
export function moveWords(bytes: Uint8Array, view: DataView, from: number, to: number, at: number): void {
  copyWords(bytes, view, from, to, bytes, view, at);
}

/** The same from `bytes` to `into`, for any length, each with its view. */
export function copyWords(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  to: number,
  into: Uint8Array,
  intoView: DataView,
  at: number,
): void {
  let i = from;
  let o = at;
  for (; i + WORD_BYTES <= to; i += WORD_BYTES, o += WORD_BYTES) intoView.setInt32(o, view.getInt32(i, true), true);
  if (i === to) return;
  if (to - from >= WORD_BYTES) {
    // The last word, overlapping the previous one.
    intoView.setInt32(at + to - from - WORD_BYTES, view.getInt32(to - WORD_BYTES, true), true);
  } else for (; i < to; i++, o++) into[o] = bytes[i];
}

/** Copies [from, to) to `at` and returns the position after it; -1 if it would pass `limit`, or if `at` is already -1. */
export function copy(bytes: Uint8Array, from: number, to: number, at: number, limit: number): number {
  const end = at + to - from;
  if (at < 0 || end > limit) return -1;
  if (to - from < LOOP_BYTES) for (let i = from, o = at; i < to; i++, o++) bytes[o] = bytes[i];
  else bytes.copyWithin(at, from, to);
  return end;
}

/** Writes a constant at `at` and returns the position after it; -1 as for `copy`. */
export function put(bytes: Uint8Array, constant: Uint8Array, at: number, limit: number): number {
  const length = constant.length;
  if (at < 0 || at + length > limit) return -1;
  if (length < LOOP_BYTES) for (let i = 0; i < length; i++) bytes[at + i] = constant[i];
  else bytes.set(constant, at);
  return at + length;
}

/** Writes an integer from 0 to 2^53-1 in decimal; -1 as for `copy`. */
export function putDecimal(bytes: Uint8Array, value: number, at: number, limit: number): number {
  let digits = 1;
  for (let bound = 10; bound <= value; bound *= 10) digits++;
  if (at < 0 || at + digits > limit) return -1;
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const quotient = Math.floor(rest / 10);
    bytes[i] = 0x30 + (rest - quotient * 10);
    rest = quotient;
  }
  return at + digits;
}

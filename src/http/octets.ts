// Octet classes and byte primitives that the codecs are written in. Nothing here allocates after module load.
//
// V8 folds a module's own constants into optimised code (a table's address and length too) but loads an imported binding
// at every use. So scans live here beside their table, and hot modules keep their own copies of a few octets:
// 120 ns against 80 for a value of 63 octets.

export const HT = 0x09;
export const LF = 0x0a;
export const CR = 0x0d;
export const SP = 0x20;
export const COLON = 0x3a;

/** tchar of RFC 9110 section 5.6.2. */
const TOKEN = 1;
/** What a field value or a reason phrase may hold: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5). */
const VALUE_SHIFT = 1;
const VALUE = 1 << VALUE_SHIFT;
/** What a request target may hold: visible ASCII without `#`, which no form of target has (RFC 9112 section 3.2). */
const TARGET_SHIFT = 2;
const TARGET = 1 << TARGET_SHIFT;
/** reg-name without pct-encoded: unreserved and sub-delims (RFC 3986 section 3.2.2). No host in use is percent-encoded. */
const HOST = 8;
/** Inside the brackets of an IPv6 literal. */
const IPV6 = 16;

/** Class bits of every octet. */
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

// The three scans below take four octets a turn and find the place in the last four without a branch, which would be
// mispredicted as a rule. They are written out since a class passed as an argument costs what they gain.

/** Position of the first octet in [from, stop) that is no tchar, or `stop`. The next two scan likewise. */
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

/** Skips what a field value or a reason phrase may hold. */
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

/** Skips what a request target may hold. */
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

/** End of [start, end) without the SP and HTAB at its end. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  let p = end;
  while (p > start && (bytes[p - 1] === SP || bytes[p - 1] === HT)) p--;
  return p;
}

/** Whether a field value may hold this octet. */
export function isValue(octet: number): boolean {
  return (classes[octet] & VALUE) !== 0;
}

/** Bytes of an ASCII constant; module load only. */
export const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** Whether `lower.length` octets at `at` equal `lower` (lower-case) in any case. They must hold no control characters. */
export function same(bytes: Uint8Array, at: number, lower: Uint8Array): boolean {
  for (let i = 0; i < lower.length; i++) if ((bytes[at + i] | 0x20) !== lower[i]) return false;
  return true;
}

/** Whether [start, end) equals `lower` in any case. */
export function equals(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  return end - start === lower.length && same(bytes, start, lower);
}

/** From here on the call into the engine's memmove, 20 ns whatever the size, beats a loop of 1.3 ns an octet. */
const LOOP_BYTES = 15;

/** Moves [from, to) to `at`; they may overlap. */
export function move(bytes: Uint8Array, from: number, to: number, at: number): void {
  const length = to - from;
  if (length < LOOP_BYTES && at <= from) for (let i = 0; i < length; i++) bytes[at + i] = bytes[from + i];
  else bytes.copyWithin(at, from, to);
}

/** Up to here a loop over words, 1.2 ns each, beats that call. */
export const WORDS_BYTES = 64;
const WORD_BYTES = 4;

/** Copies [from, to), of at most WORDS_BYTES octets, to `at`; they must not overlap. `view` is of all of `bytes`. */
export function moveWords(bytes: Uint8Array, view: DataView, from: number, to: number, at: number): void {
  copyWords(bytes, view, from, to, bytes, view, at);
}

/** The same from `bytes` to `into`, of any length; each with its view. */
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
    // The last word once more, from where it ends.
    intoView.setInt32(at + to - from - WORD_BYTES, view.getInt32(to - WORD_BYTES, true), true);
  } else for (; i < to; i++, o++) into[o] = bytes[i];
}

/** Copies [from, to) to `at` and returns the position after it; -1 where it would pass `limit` or `at` already is -1. */
export function copy(bytes: Uint8Array, from: number, to: number, at: number, limit: number): number {
  const end = at + to - from;
  if (at < 0 || end > limit) return -1;
  if (to - from < LOOP_BYTES) for (let i = from, o = at; i < to; i++, o++) bytes[o] = bytes[i];
  else bytes.copyWithin(at, from, to);
  return end;
}

/** Writes a constant at `at` and returns the position after it; -1 as in `copy`. */
export function put(bytes: Uint8Array, constant: Uint8Array, at: number, limit: number): number {
  const length = constant.length;
  if (at < 0 || at + length > limit) return -1;
  if (length < LOOP_BYTES) for (let i = 0; i < length; i++) bytes[at + i] = constant[i];
  else bytes.set(constant, at);
  return at + length;
}

/** Writes an integer of 0 to 2^53-1 in decimal; -1 as in `copy`. */
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

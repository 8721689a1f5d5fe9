// Recognises a connection's protocol from its first bytes. The machine advances one byte at a time and its whole state is one integer, so
// the verdict cannot depend on how the bytes were split, and a connection needs no allocation.
import { advance, DEAD, isRegistered, LONGEST_METHOD, ROOT } from './methods.js';

/** Results of `verdictOf`; from 0 up they are indices into the metrics' VERDICTS. */
export const VERDICT = { MORE: -1, HTTP1: 0, HTTP2: 1, TLS: 2, OPAQUE: 3 } as const;

/** Results of `httpLikelihood`: whether the bytes so far may yet become HTTP. */
export const HTTP_LIKELIHOOD = {
  /** As far as anybody can tell it is the beginning of HTTP or TLS, or nothing at all. */
  LIKELY: 0,
  /** An unregistered method in capitals, like real methods, or an empty line. */
  POSSIBLE: 1,
  /** Words like those that other protocols begin with: `ruok`, `JDWP-Handshake`. */
  UNLIKELY: 2,
} as const;

/** The state of a connection that has sent nothing. */
export const START = 0;

/** Longest method, bytes. The longest registered one (UPDATEREDIRECTREF) has 17. */
export const MAX_METHOD_BYTES = 32;
/** For longer targets, the method and the beginning of the target decide. RFC 9112 section 3 recommends 8000. */
export const MAX_TARGET_BYTES = 8192;

// A state below 0 is final: the complement of its verdict. Otherwise bits 0..3 hold the phase and the rest its counters:
//   EMPTY_LINE  4..6 bytes of leading CRLFs seen
//   METHOD      4..9 length, 10..18 node in the trie of registered methods, 19 UNUSUAL
//   TARGET      4..17 length, 18..19 PREFIX_* of its beginning, 20 method is registered, 21 method does not look like one
//   VERSION     4..6 bytes of `HTTP/1.` seen, 7 method is registered
//   PREFACE     4..8 bytes of the HTTP/2 preface seen
//   TLS         4..6 bytes of the record seen, 7..14 high byte of its length
const EMPTY_LINE = 0;
const METHOD = 1;
const TARGET = 2;
const VERSION = 3;
const PREFACE = 4;
const TLS = 5;

const DONE_HTTP1 = ~VERDICT.HTTP1;
const DONE_HTTP2 = ~VERDICT.HTTP2;
const DONE_TLS = ~VERDICT.TLS;
const DONE_OPAQUE = ~VERDICT.OPAQUE;

const CR = 0x0d;
const LF = 0x0a;
const SP = 0x20;

// RFC 9112 section 2.2: a server should ignore at least one empty line before the request line. We ignore two.
const MAX_EMPTY_LINE_BYTES = 4;

/** In METHOD: a byte that no method in use has. */
const UNUSUAL = 1 << 19;
/** In TARGET: the method had such a byte, or was too long for one. */
const ODD = 1 << 21;

const PREFIX_NONE = 0;
const PREFIX_HTTP_BEGUN = 1; // 'h', 'ht', 'htt'
const PREFIX_WEB = 2; // '/' or 'http'

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0));

const HTTP_1 = ascii('HTTP/1.');
const HTTP_SCHEME = ascii('http');
// RFC 9113 section 3.4.
const HTTP_2_PREFACE = ascii('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

// RFC 9110 section 5.6.2.
const TCHAR = new Uint8Array(256);
for (const byte of ascii("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"))
  TCHAR[byte] = 1;

function emptyLine(state: number, byte: number): number {
  const seen = state >> 4;
  if (seen & 1) return byte === LF ? EMPTY_LINE | ((seen + 1) << 4) : DONE_OPAQUE;
  if (byte === CR) return seen < MAX_EMPTY_LINE_BYTES ? EMPTY_LINE | ((seen + 1) << 4) : DONE_OPAQUE;
  if (seen === 0) {
    if (byte === HTTP_2_PREFACE[0]) return PREFACE | (1 << 4);
    if (byte === 0x16) return TLS | (1 << 4);
  }
  return method(METHOD | (ROOT << 10), byte);
}

function method(state: number, byte: number): number {
  const length = (state >> 4) & 0x3f;
  const node = (state >> 10) & 0x1ff;
  const muted = state & UNUSUAL;
  if (TCHAR[byte] === 1) {
    if (length === MAX_METHOD_BYTES) return DONE_OPAQUE;
    return METHOD | ((length + 1) << 4) | (advance(node, byte) << 10) | muted | (inMethods(byte) ? 0 : UNUSUAL);
  }
  if (byte !== SP || length === 0) return DONE_OPAQUE;
  const odd = muted !== 0 || length > LONGEST_METHOD ? ODD : 0;
  return TARGET | (isRegistered(node) << 20) | odd;
}

/** Methods may be any token, but those in use consist of capitals and hyphens. */
const inMethods = (byte: number): boolean => (byte >= 0x41 && byte <= 0x5a) || byte === 0x2d;

// Bytes from 0x80 up are not allowed in a target, but a client that sends them there speaks HTTP: the HTTP/1 codec refuses them.
function target(state: number, byte: number): number {
  const length = (state >> 4) & 0x3fff;
  const registered = (state >> 20) & 1;
  if (byte === SP) return length > 0 ? VERSION | (registered << 7) : DONE_OPAQUE;
  if (byte < SP || byte === 0x7f) return DONE_OPAQUE;
  let prefix = (state >> 18) & 3;
  if (length === 0 && byte === 0x2f) prefix = PREFIX_WEB;
  else if (length < HTTP_SCHEME.length && (length === 0 || prefix === PREFIX_HTTP_BEGUN)) {
    // Schemes are case-insensitive (RFC 3986 section 3.1).
    if ((byte | 0x20) !== HTTP_SCHEME[length]) prefix = PREFIX_NONE;
    else prefix = length === HTTP_SCHEME.length - 1 ? PREFIX_WEB : PREFIX_HTTP_BEGUN;
  }
  if (length === MAX_TARGET_BYTES) return registered === 1 && prefix === PREFIX_WEB ? DONE_HTTP1 : DONE_OPAQUE;
  return TARGET | ((length + 1) << 4) | (prefix << 18) | (state & (ODD | (1 << 20)));
}

function version(state: number, byte: number): number {
  const seen = (state >> 4) & 7;
  if (byte !== HTTP_1[seen]) return DONE_OPAQUE;
  return seen === HTTP_1.length - 1 ? DONE_HTTP1 : VERSION | ((seen + 1) << 4) | (state & (1 << 7));
}

// PREFACE_AS_HTTP1[n]: the state HTTP/1 would be in after n bytes of the preface, for a client whose method merely
// begins like it (`PROPFIND`, `PRI * HTTP/1.1`).
const PREFACE_AS_HTTP1 = new Int32Array(HTTP_2_PREFACE.length);
PREFACE_AS_HTTP1[0] = METHOD | (ROOT << 10);
for (let i = 1; i < HTTP_2_PREFACE.length; i++)
  PREFACE_AS_HTTP1[i] = step(PREFACE_AS_HTTP1[i - 1], HTTP_2_PREFACE[i - 1]);

function preface(state: number, byte: number): number {
  const seen = state >> 4;
  if (byte !== HTTP_2_PREFACE[seen]) return step(PREFACE_AS_HTTP1[seen], byte);
  return seen === HTTP_2_PREFACE.length - 1 ? DONE_HTTP2 : PREFACE | ((seen + 1) << 4);
}

// RFC 8446 sections 4 and 5.1: content type handshake(22), a legacy version 3.x, a length, msg_type client_hello(1). A message may be
// spread over records of any size but 0; TLS 1.2 allowed a record 256 bytes more than its 2^14 of payload.
const MAX_RECORD = 16384 + 256;
const MIN_RECORD = 1;

function tls(state: number, byte: number): number {
  switch ((state >> 4) & 7) {
    case 1:
      return byte === 3 ? TLS | (2 << 4) : DONE_OPAQUE;
    case 2:
      return byte <= 4 ? TLS | (3 << 4) : DONE_OPAQUE;
    case 3:
      return byte <= MAX_RECORD >> 8 ? TLS | (4 << 4) | (byte << 7) : DONE_OPAQUE;
    case 4: {
      const length = ((state >> 7) << 8) | byte;
      return length >= MIN_RECORD && length <= MAX_RECORD ? TLS | (5 << 4) : DONE_OPAQUE;
    }
    default:
      return byte === 1 ? DONE_TLS : DONE_OPAQUE;
  }
}

function step(state: number, byte: number): number {
  if (state < 0) return state;
  switch (state & 15) {
    case TARGET:
      return target(state, byte);
    case METHOD:
      return method(state, byte);
    case VERSION:
      return version(state, byte);
    case PREFACE:
      return preface(state, byte);
    case TLS:
      return tls(state, byte);
    default:
      return emptyLine(state, byte);
  }
}

/**
 * Feeds the new bytes `bytes[start..end)` of a connection in `state` (initially START) and returns its next state, an int32 to keep with
 * the connection. Bytes after the verdict are ignored.
 */
export function match(state: number, bytes: Uint8Array, start: number, end: number): number {
  let next = state;
  for (let at = start; at < end && next >= 0; at++) next = step(next, bytes[at]);
  return next;
}

/** VERDICT.MORE while the bytes are undecided, else the final verdict. */
export function verdictOf(state: number): number {
  return state < 0 ? ~state : VERDICT.MORE;
}

/** An HTTP_LIKELIHOOD: what to expect of a client that has stopped in `state` without a verdict. */
export function httpLikelihood(state: number): number {
  switch (state & 15) {
    case METHOD:
      if (((state >> 10) & 0x1ff) !== DEAD) return HTTP_LIKELIHOOD.LIKELY;
      return (state & UNUSUAL) !== 0 || ((state >> 4) & 0x3f) > LONGEST_METHOD
        ? HTTP_LIKELIHOOD.UNLIKELY
        : HTTP_LIKELIHOOD.POSSIBLE;
    case TARGET: {
      if (((state >> 20) & 1) !== 0) return HTTP_LIKELIHOOD.LIKELY;
      const web = ((state >> 18) & 3) !== PREFIX_NONE;
      return (state & ODD) !== 0 && !web ? HTTP_LIKELIHOOD.UNLIKELY : HTTP_LIKELIHOOD.POSSIBLE;
    }
    case VERSION:
      // `HTTP/1.` has begun, or a registered method has a target.
      return state >> 4 !== 0 ? HTTP_LIKELIHOOD.LIKELY : HTTP_LIKELIHOOD.POSSIBLE;
    case EMPTY_LINE:
      return state >> 4 !== 0 ? HTTP_LIKELIHOOD.POSSIBLE : HTTP_LIKELIHOOD.LIKELY;
    default:
      return HTTP_LIKELIHOOD.LIKELY;
  }
}

/** Whether a client in `state`, without a verdict, may yet turn out to speak TLS. */
export function mayBeTls(state: number): boolean {
  return state === START || (state & 15) === TLS;
}

// The parser of heads (RFC 9112). It is strict: it refuses anything that two parsers might read differently, because the next one may
// differ.
import { validAuthority } from '../http/authority.js';
import { METHOD, methodOf } from '../http/methods.js';
import { ascii, HEX, same, skipTarget, skipToken, skipValue } from '../http/octets.js';
import { connectionMeaning, dropFields } from './connection-options.js';
import { MESSAGE_ERROR, UPSTREAM } from './errors.js';
import { FIELD_KIND, parseFields } from './fields.js';
import { FORM, FRAMING, type Head, type HeadLimits } from './head.js';
import { VERSION_LENGTH, versionDigit } from './start-line.js';

/** The bytes end before the head does. */
export const MORE = 0;

const LF = 0x0a;
const CR = 0x0d;
const SP = 0x20;
const hex = HEX;
const SLASH = 0x2f;
const QUESTION = 0x3f;
const ASTERISK = 0x2a;
const ZERO = 0x30;

const EXPECT = ascii('expect');
const TE = ascii('te');
const HTTP_SCHEME = ascii('http://');
const HTTPS_SCHEME = ascii('https://');
/** RFC 9112 section 2.2 asks to tolerate one, for clients that send an extra CRLF after a body; we allow one more. */
const MAX_EMPTY_LINES = 2;

/**
 * Position after the first blank line in [from, end), 0 if there is none. A head that trickles in can be scanned once: search on from 3
 * bytes before the last end, and parse when this finds something or the size limit is reached. It also finds a blank line with bare LFs, so
 * that the parser can refuse it at once.
 */
export function headEnd(bytes: Uint8Array, from: number, end: number): number {
  // Above CR, a byte can't be the next to last of a blank line, so two positions can be skipped.
  for (let p = from + 1; p < end; ) {
    const octet = bytes[p];
    if (octet > CR) p += 2;
    else {
      if (octet === LF) {
        const before = bytes[p - 1];
        if (before === LF || (before === CR && p - 2 >= from && bytes[p - 2] === LF)) return p + 1;
      }
      p++;
    }
  }
  return 0;
}

/**
 * Parses a request head in [start, end). Returns the position after it, MORE, or -MESSAGE_ERROR. Never reads outside the range. An error in
 * a prefix is the error of every continuation.
 */
export function parseRequest(bytes: Uint8Array, start: number, end: number, head: Head, limits: HeadLimits): number {
  const bound = start + limits.maxHeaderBytes;
  const stop = Math.min(end, bound);
  const result = requestHead(bytes, start, stop, head, limits);
  return result === MORE && stop === bound ? -MESSAGE_ERROR.HEADER_TOO_LARGE : result;
}

/**
 * Parses a response head in [start, end); `requestMethod`: METHOD of the request. Returns the position after it, MORE, or -(MESSAGE_ERROR +
 * UPSTREAM).
 */
export function parseResponse(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: Head,
  requestMethod: number,
  limits: HeadLimits,
): number {
  const bound = start + limits.maxHeaderBytes;
  const stop = Math.min(end, bound);
  const result = responseHead(bytes, start, stop, head, requestMethod, limits);
  if (result > 0) return result;
  if (result < 0) return result - UPSTREAM;
  return stop === bound ? -(MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM) : MORE;
}

function reset(head: Head): void {
  head.status = 0;
  head.hostStart = -1;
  head.hostEnd = -1;
  head.hostIndex = -1;
  head.contentLength = -1;
  head.chunked = false;
  head.options = 0;
  head.optionCount = 0;
  head.upgrades = 0;
  head.upgradeStart = -1;
  head.upgradeEnd = -1;
  head.expectContinue = false;
  head.continueNow = false;
  head.trailer = false;
  head.te = false;
  head.eventStream = false;
}

function requestHead(bytes: Uint8Array, start: number, stop: number, head: Head, limits: HeadLimits): number {
  let p = start;
  for (let lines = 0; p < stop && (bytes[p] === CR || bytes[p] === LF); lines++) {
    if (bytes[p] === LF) return -MESSAGE_ERROR.LINE_END;
    if (lines === MAX_EMPTY_LINES) return -MESSAGE_ERROR.EMPTY_LINES;
    if (p + 1 === stop) return MORE;
    if (bytes[p + 1] !== LF) return -MESSAGE_ERROR.LINE_END;
    p += 2;
  }
  if (p === stop) return MORE;

  const methodStart = p;
  const methodEnd = skipToken(bytes, p, stop);
  if (methodEnd === stop) return MORE;
  if (bytes[methodEnd] !== SP || methodEnd === methodStart) return -MESSAGE_ERROR.METHOD;

  const targetStart = methodEnd + 1;
  p = skipTarget(bytes, targetStart, stop);
  if (p - targetStart > limits.maxTargetBytes) return -MESSAGE_ERROR.TARGET_TOO_LONG;
  if (p === stop) return MORE;
  if (bytes[p] !== SP) return bytes[p] === CR || bytes[p] === LF ? -MESSAGE_ERROR.REQUEST_LINE : -MESSAGE_ERROR.TARGET;
  const targetEnd = p;
  if (targetEnd === targetStart) return -MESSAGE_ERROR.TARGET;

  const digit = versionDigit(bytes, p + 1, stop, MESSAGE_ERROR.REQUEST_LINE);
  if (digit <= 0) return digit;
  p += 1 + VERSION_LENGTH;
  if (p === stop) return MORE;
  if (bytes[p] !== CR) return bytes[p] === LF ? -MESSAGE_ERROR.LINE_END : -MESSAGE_ERROR.REQUEST_LINE;
  if (++p === stop) return MORE;
  if (bytes[p] !== LF) return -MESSAGE_ERROR.LINE_END;
  p++;

  reset(head);
  head.lineStart = methodStart;
  head.lineEnd = p;
  head.method = methodOf(bytes, methodStart, methodEnd);
  head.methodStart = methodStart;
  head.methodEnd = methodEnd;
  head.targetStart = targetStart;
  head.targetEnd = targetEnd;
  head.minor = digit === ZERO ? 0 : 1;
  if (bytes[targetStart] === SLASH && head.method !== METHOD.CONNECT) {
    head.form = FORM.ORIGIN;
    head.pathStart = targetStart;
    head.pathEnd = targetEnd;
  } else {
    const error = otherForm(bytes, head);
    if (error !== 0) return -error;
  }

  const after = parseFields(bytes, p, stop, head, Math.min(limits.maxHeaders, head.kind.length));
  if (after <= 0) return after;
  head.end = after;
  const error = requestMeaning(bytes, head);
  return error === 0 ? after : -error;
}

/** Checks a request's fields in combination. Returns 0 or a MESSAGE_ERROR. */
function requestMeaning(bytes: Uint8Array, head: Head): number {
  const { method, minor, form } = head;
  if (head.hostStart < 0 && minor === 1) return MESSAGE_ERROR.HOST_MISSING;
  if (head.chunked) {
    if (head.contentLength >= 0) return MESSAGE_ERROR.LENGTH_AND_CODING;
    if (minor === 0) return MESSAGE_ERROR.CODING_IN_1_0;
    head.framing = FRAMING.CHUNKED;
    head.hasBody = true;
  } else {
    head.framing = head.contentLength >= 0 ? FRAMING.LENGTH : FRAMING.NONE;
    head.hasBody = head.contentLength > 0;
  }
  if (method === METHOD.CONNECT || method === METHOD.TRACE) {
    if (head.hasBody) return MESSAGE_ERROR.BODY_NOT_ALLOWED;
    if (method === METHOD.CONNECT && minor === 0) return MESSAGE_ERROR.CONNECT_IN_1_0;
  }
  if (form === FORM.ORIGIN || form === FORM.ASTERISK) {
    head.authorityStart = head.hostStart;
    head.authorityEnd = head.hostEnd;
  } else if (head.hostIndex >= 0) {
    // RFC 9112 section 3.2.2: the target's authority replaces Host, whatever Host says.
    head.kind[head.hostIndex] = FIELD_KIND.HOST;
  }
  if (head.expectContinue && (minor === 0 || !head.hasBody)) {
    // RFC 9110 section 10.1.1: ignored in HTTP/1.0; without a body there is nothing to continue with.
    head.expectContinue = false;
    head.continueNow = minor === 1 && head.framing === FRAMING.LENGTH;
    dropFields(bytes, head, EXPECT);
  }
  if (head.te && minor === 0) {
    head.te = false;
    dropFields(bytes, head, TE);
  }
  if (method === METHOD.CONNECT) head.upgrades = 0;
  return connectionMeaning(bytes, head);
}

function responseHead(
  bytes: Uint8Array,
  start: number,
  stop: number,
  head: Head,
  requestMethod: number,
  limits: HeadLimits,
): number {
  const digit = versionDigit(bytes, start, stop, MESSAGE_ERROR.STATUS_LINE);
  if (digit <= 0) return digit;
  let p = start + VERSION_LENGTH;
  // SP and three digits, then SP and a reason phrase, or the end of the line.
  if (p === stop) return MORE;
  if (bytes[p] !== SP) return -MESSAGE_ERROR.STATUS_LINE;
  let status = 0;
  for (let i = 0; i < 3; i++) {
    if (++p === stop) return MORE;
    const value = hex[bytes[p]];
    if (value > 9) return -MESSAGE_ERROR.STATUS_LINE;
    status = status * 10 + value;
  }
  // RFC 9110 section 15: a status without a class counts as an error of its sender, but is forwarded.
  if (status < 100) return -MESSAGE_ERROR.STATUS_LINE;
  if (++p === stop) return MORE;
  const reasonStart = bytes[p] === SP ? p + 1 : p;
  if (reasonStart > p) p = skipValue(bytes, reasonStart, stop);
  if (p === stop) return MORE;
  const reasonEnd = p;
  if (bytes[p] !== CR) return bytes[p] === LF ? -MESSAGE_ERROR.LINE_END : -MESSAGE_ERROR.STATUS_LINE;
  if (++p === stop) return MORE;
  if (bytes[p] !== LF) return -MESSAGE_ERROR.LINE_END;
  p++;

  reset(head);
  head.lineStart = start;
  head.lineEnd = p;
  head.minor = digit === ZERO ? 0 : 1;
  head.method = METHOD.OTHER;
  head.status = status;
  head.reasonStart = reasonStart;
  head.reasonEnd = reasonEnd;

  const after = parseFields(bytes, p, stop, head, Math.min(limits.maxHeaders, head.kind.length));
  if (after <= 0) return after;
  head.end = after;
  const error = responseMeaning(bytes, head, requestMethod);
  return error === 0 ? after : -error;
}

/** RFC 9112 section 6.3, in its order. Returns 0 or a MESSAGE_ERROR. */
function responseMeaning(bytes: Uint8Array, head: Head, requestMethod: number): number {
  const { status } = head;
  const tunnel = requestMethod === METHOD.CONNECT && status >= 200 && status < 300;
  if (status < 200 || status === 204 || tunnel) {
    // Framing fields are not allowed here (RFC 9110 section 8.6, RFC 9112 section 6.1): they are dropped.
    head.framing = FRAMING.NONE;
    head.contentLength = -1;
    head.chunked = false;
  } else {
    if (head.chunked && head.contentLength >= 0) return MESSAGE_ERROR.LENGTH_AND_CODING;
    if (head.chunked && head.minor === 0) return MESSAGE_ERROR.CODING_IN_1_0;
    if (requestMethod === METHOD.HEAD || status === 304) {
      head.framing = FRAMING.NONE;
      head.chunked = false;
    } else if (head.chunked) head.framing = FRAMING.CHUNKED;
    else head.framing = head.contentLength >= 0 ? FRAMING.LENGTH : FRAMING.CLOSE;
  }
  const { framing } = head;
  head.hasBody =
    framing === FRAMING.CHUNKED || framing === FRAMING.CLOSE || (framing === FRAMING.LENGTH && head.contentLength > 0);
  const error = connectionMeaning(bytes, head);
  if (error !== 0) return error;
  if (framing === FRAMING.CLOSE) head.keepAlive = false;
  return status === 101 && !head.upgrade ? MESSAGE_ERROR.SWITCHING : 0;
}

/** Every form except origin-form. Returns 0 or a MESSAGE_ERROR. */
function otherForm(bytes: Uint8Array, head: Head): number {
  const { targetStart, targetEnd } = head;
  if (head.method === METHOD.CONNECT) {
    // authority-form; the port is required (RFC 9110 section 9.3.6).
    if (!validAuthority(bytes, targetStart, targetEnd, true)) return MESSAGE_ERROR.TARGET_FORM;
    head.form = FORM.AUTHORITY;
    head.authorityStart = targetStart;
    head.authorityEnd = targetEnd;
    head.pathStart = targetEnd;
    head.pathEnd = targetEnd;
    return 0;
  }
  if (targetEnd - targetStart === 1 && bytes[targetStart] === ASTERISK) {
    if (head.method !== METHOD.OPTIONS) return MESSAGE_ERROR.TARGET_FORM;
    head.form = FORM.ASTERISK;
    head.pathStart = targetStart;
    head.pathEnd = targetEnd;
    return 0;
  }
  const length = targetEnd - targetStart;
  let authority: number;
  if (length > HTTP_SCHEME.length && same(bytes, targetStart, HTTP_SCHEME))
    authority = targetStart + HTTP_SCHEME.length;
  else if (length > HTTPS_SCHEME.length && same(bytes, targetStart, HTTPS_SCHEME))
    authority = targetStart + HTTPS_SCHEME.length;
  else return MESSAGE_ERROR.TARGET;
  let path = authority;
  while (path < targetEnd && bytes[path] !== SLASH && bytes[path] !== QUESTION) path++;
  if (!validAuthority(bytes, authority, path, false)) return MESSAGE_ERROR.TARGET;
  head.form = FORM.ABSOLUTE;
  head.authorityStart = authority;
  head.authorityEnd = path;
  head.pathStart = path;
  head.pathEnd = targetEnd;
  return 0;
}

// Heads as this proxy sends them: one canonical form whatever came in, always with our own framing and connection fields. `bytes` holds
// both the parsed head and the output, which must not overlap. All writers return the position after the output, or -1 if it would pass
// `limit` (then discard what was written).

import { METHOD } from '../http/methods.js';
import { ascii, CR, copy, put, putDecimal, SP } from '../http/octets.js';
import { RESPONSE_REASONS } from '../http/response-reasons.js';
import { FORM, FRAMING, type Head } from './head.js';

/** What a response says about its connection. KEEP_ALIVE is for HTTP/1.0 clients that asked for it. */
export const CONNECTION = { NONE: 0, CLOSE: 1, KEEP_ALIVE: 2, UPGRADE: 3 } as const;

const QUESTION = 0x3f;
const ONE = 0x31;
const UPGRADE_REQUIRED = 426;

const CRLF = ascii('\r\n');
const SEPARATOR = ascii(': ');
const SPACE = ascii(' ');
const ROOT = ascii('/');
const ASTERISK = ascii('*');
const REQUEST_VERSION = ascii(' HTTP/1.1\r\n');
const RESPONSE_VERSION = ascii('HTTP/1.1 ');
const HOST = ascii('Host: ');
const CONTENT_LENGTH = ascii('content-length: ');
const CHUNKED = ascii('transfer-encoding: chunked\r\n');
const UPGRADE = ascii('upgrade: ');
const CONNECTION_CLOSE = ascii('connection: close\r\n');
const CONNECTION_KEEP_ALIVE = ascii('connection: keep-alive\r\n');
const CONNECTION_CLOSE_UPGRADE = ascii('connection: close, upgrade\r\n');
const CONNECTION_UPGRADE = ascii('connection: upgrade\r\n');
const CONNECTION_TE = ascii('connection: te\r\n');
const CONNECTION_UPGRADE_TE = ascii('connection: upgrade, te\r\n');

/**
 * Writes the request in `head` for an upstream: HTTP/1.1, origin-form (CONNECT and OPTIONS * keep theirs), the forwarded fields, then the
 * given framing. `upgrade`: request the client's upgrade. [hostAt, hostAt + hostLen) is the Host for an HTTP/1.0 request without one.
 */
export function writeRequest(
  bytes: Uint8Array,
  head: Head,
  at: number,
  limit: number,
  framing: number,
  contentLength: number,
  upgrade: boolean,
  hostAt = 0,
  hostLen = 0,
): number {
  let p = at;
  let from = -1;
  if (head.form === FORM.ORIGIN && head.hostStart >= 0 && isVersion11(bytes, head.lineEnd - 3)) from = head.lineStart;
  else {
    p = writeRequestLine(bytes, head, p, limit);
    if (head.form === FORM.ABSOLUTE || head.form === FORM.AUTHORITY)
      p = writeHost(bytes, head.authorityStart, head.authorityEnd, p, limit);
    else if (head.hostStart < 0) p = writeHost(bytes, hostAt, hostAt + hostLen, p, limit);
  }
  p = writeFields(bytes, head, from, p, limit);
  if (upgrade) {
    p = put(bytes, head.te ? CONNECTION_UPGRADE_TE : CONNECTION_UPGRADE, p, limit);
    p = writeUpgrade(bytes, head, p, limit);
  } else if (head.te) p = put(bytes, CONNECTION_TE, p, limit);
  if (framing === FRAMING.LENGTH) p = writeLength(bytes, contentLength, p, limit);
  else if (framing === FRAMING.CHUNKED) p = put(bytes, CHUNKED, p, limit);
  return put(bytes, CRLF, p, limit);
}

/**
 * Writes the response in `head` for a client: HTTP/1.1 with the original status and reason, the forwarded fields, then the given framing
 * and `connection`. With FRAMING.NONE a Content-Length in the head is kept: it describes the body that HEAD or 304 left out.
 */
export function writeResponse(
  bytes: Uint8Array,
  head: Head,
  at: number,
  limit: number,
  framing: number,
  contentLength: number,
  connection: number,
): number {
  let p = at;
  let from = -1;
  const line = head.lineStart;
  if (isVersion11(bytes, line + 7) && bytes[line + 12] === SP) from = line;
  else {
    p = put(bytes, RESPONSE_VERSION, p, limit);
    p = copy(bytes, line + 9, line + 12, p, limit);
    p = put(bytes, SPACE, p, limit);
    p = copy(bytes, head.reasonStart, head.reasonEnd, p, limit);
    p = put(bytes, CRLF, p, limit);
  }
  p = writeFields(bytes, head, from, p, limit);
  // RFC 9110 section 15.5.22: it lists the protocols that the server prefers.
  const wants = head.status === UPGRADE_REQUIRED && head.upgrades === 1;
  if (wants) {
    p = put(bytes, connection === CONNECTION.CLOSE ? CONNECTION_CLOSE_UPGRADE : CONNECTION_UPGRADE, p, limit);
    p = writeUpgrade(bytes, head, p, limit);
  } else if (connection === CONNECTION.CLOSE) p = put(bytes, CONNECTION_CLOSE, p, limit);
  else if (connection === CONNECTION.KEEP_ALIVE) p = put(bytes, CONNECTION_KEEP_ALIVE, p, limit);
  else if (connection === CONNECTION.UPGRADE) {
    p = put(bytes, CONNECTION_UPGRADE, p, limit);
    p = writeUpgrade(bytes, head, p, limit);
  }
  if (framing === FRAMING.LENGTH) p = writeLength(bytes, contentLength, p, limit);
  else if (framing === FRAMING.CHUNKED) p = put(bytes, CHUNKED, p, limit);
  else if (framing === FRAMING.NONE && head.contentLength >= 0) p = writeLength(bytes, head.contentLength, p, limit);
  return put(bytes, CRLF, p, limit);
}

/** The minor version's digit of a start line that can be copied unchanged. */
function isVersion11(bytes: Uint8Array, digitAt: number): boolean {
  return bytes[digitAt] === ONE;
}

/** Copies the start line from `from` (-1: already written) and the forwarded fields, in runs as long as possible. */
function writeFields(bytes: Uint8Array, head: Head, from: number, at: number, limit: number): number {
  const { fields, kind, count } = head;
  let p = at;
  let runStart = from;
  let runEnd = from < 0 ? -1 : head.lineEnd;
  for (let i = 0; i < count; i++) {
    if (kind[i] !== 0) continue;
    const field = i << 2;
    const nameStart = fields[field];
    const nameEnd = fields[field + 1];
    const valueStart = fields[field + 2];
    const valueEnd = fields[field + 3];
    if (valueStart === nameEnd + 2 && bytes[nameEnd + 1] === SP && bytes[valueEnd] === CR) {
      if (nameStart !== runEnd) {
        if (runEnd > runStart) p = copy(bytes, runStart, runEnd, p, limit);
        runStart = nameStart;
      }
      runEnd = valueEnd + 2;
    } else {
      if (runEnd > runStart) p = copy(bytes, runStart, runEnd, p, limit);
      runStart = runEnd = -1;
      p = copy(bytes, nameStart, nameEnd, p, limit);
      p = put(bytes, SEPARATOR, p, limit);
      p = copy(bytes, valueStart, valueEnd, p, limit);
      p = put(bytes, CRLF, p, limit);
    }
  }
  return runEnd > runStart ? copy(bytes, runStart, runEnd, p, limit) : p;
}

function writeRequestLine(bytes: Uint8Array, head: Head, at: number, limit: number): number {
  let p = copy(bytes, head.methodStart, head.methodEnd, at, limit);
  p = put(bytes, SPACE, p, limit);
  if (head.form === FORM.ABSOLUTE) {
    const empty = head.pathStart === head.pathEnd;
    // RFC 9112 section 3.2.4: OPTIONS with an absolute target without path addresses the server as a whole.
    if (empty && head.method === METHOD.OPTIONS) p = put(bytes, ASTERISK, p, limit);
    else if (empty || bytes[head.pathStart] === QUESTION) p = put(bytes, ROOT, p, limit);
    p = copy(bytes, head.pathStart, head.pathEnd, p, limit);
  } else p = copy(bytes, head.targetStart, head.targetEnd, p, limit);
  return put(bytes, REQUEST_VERSION, p, limit);
}

function writeHost(bytes: Uint8Array, start: number, end: number, at: number, limit: number): number {
  let p = put(bytes, HOST, at, limit);
  p = copy(bytes, start, end, p, limit);
  return put(bytes, CRLF, p, limit);
}

function writeUpgrade(bytes: Uint8Array, head: Head, at: number, limit: number): number {
  let p = put(bytes, UPGRADE, at, limit);
  p = copy(bytes, head.upgradeStart, head.upgradeEnd, p, limit);
  return put(bytes, CRLF, p, limit);
}

function writeLength(bytes: Uint8Array, contentLength: number, at: number, limit: number): number {
  let p = put(bytes, CONTENT_LENGTH, at, limit);
  p = putDecimal(bytes, contentLength, p, limit);
  return put(bytes, CRLF, p, limit);
}

/** Statuses of the proxy's own answers (RFC 9110 section 15, RFC 6585). */
const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  408: 'Request Timeout',
  413: 'Content Too Large',
  414: 'URI Too Long',
  417: 'Expectation Failed',
  421: 'Misdirected Request',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
  508: 'Loop Detected',
};
const OTHER_PHRASE = 'Error';

/** Status lines by status, 400 to 599. */
const STATUS_LINES = Array.from({ length: 200 }, (_, i) =>
  ascii(`HTTP/1.1 ${400 + i} ${PHRASES[400 + i] ?? OTHER_PHRASE}\r\n`),
);
const OK = 200;
const OK_LINE = ascii('HTTP/1.1 200 OK\r\n');
const REASON_FIELDS = RESPONSE_REASONS.map((reason) =>
  ascii(`sluice-error: ${reason}\r\ncontent-type: text/plain\r\n`),
);
const REASON_TEXTS = RESPONSE_REASONS.map(ascii);
const NEWLINE = ascii('\n');

/**
 * Writes one of the proxy's own responses: status 400 to 599, the reason header, and `detail` (or the reason) as its text; or an empty 200.
 * `headOnly` omits the body (HEAD). `date` is the line of that field, if wanted. `out` need not be the slab.
 */
export function writeOwnResponse(
  out: Uint8Array,
  at: number,
  limit: number,
  status: number,
  reasonIndex: number,
  detail: Uint8Array | null,
  close: boolean,
  headOnly: boolean,
  date: Uint8Array | null = null,
): number {
  const empty = status === OK;
  const text = detail === null ? REASON_TEXTS[reasonIndex] : detail;
  let p = put(out, empty ? OK_LINE : STATUS_LINES[status - 400], at, limit);
  if (!empty) p = put(out, REASON_FIELDS[reasonIndex], p, limit);
  if (date !== null) p = put(out, date, p, limit);
  if (close) p = put(out, CONNECTION_CLOSE, p, limit);
  p = writeLength(out, empty ? 0 : text.length + NEWLINE.length, p, limit);
  p = put(out, CRLF, p, limit);
  if (headOnly || empty) return p;
  p = put(out, text, p, limit);
  return put(out, NEWLINE, p, limit);
}

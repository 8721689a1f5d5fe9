// Responses between HTTP/1.1 and HTTP/2 (RFC 9113 sections 8.1 and 8.2, RFC 8441). Any error in one is the endpoint's: errors are
// -(MESSAGE_ERROR + UPSTREAM), as parseResponse returns them.
import type { FieldList } from '../hpack/field-list.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import { RecurrenceFilter } from '../hpack/recurrence-filter.js';
import type { Facts } from '../http/facts.js';
import { NAME } from '../http/field-names.js';
import { checkResponse } from '../http/message.js';
import { METHOD } from '../http/methods.js';
import { ascii, equals, put } from '../http/octets.js';
import { STATUS_TEXTS } from '../http/status-texts.js';
import { ACCEPT_LENGTH, isAccept, putAccept } from '../http/web-socket.js';
import { MESSAGE_ERROR, UPSTREAM } from '../http1/errors.js';
import { FIELD_KIND } from '../http1/fields.js';
import { FRAMING, type Head } from '../http1/head.js';
import { CONNECTION } from '../http1/write.js';
import { lowerName, NO_ROOM, skipZeros, writeField, writeLength } from './fields.js';
import { ACTION, LineCache, SOURCES } from './lines.js';

const CRLF = ascii('\r\n');
const CHUNKED = ascii('transfer-encoding: chunked\r\n');
const CONNECTION_CLOSE = ascii('connection: close\r\n');
const CONNECTION_KEEP_ALIVE = ascii('connection: keep-alive\r\n');
const UPGRADE = ascii('connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ');

const WEBSOCKET = ascii('websocket');
const ACCEPT_NAME = ascii('sec-websocket-accept');

const FIRST_STATUS = 100;
const LAST_STATUS = 999;
/** `HTTP/1.1 ` and three digits: position of the status in a status line. */
const STATUS_AT = 9;
const STATUS_LENGTH = 3;
/** HTTP/2 has no reason phrases (RFC 9113 section 8.3.2): these are the registered ones. */
const STATUS_LINES: (Uint8Array | null)[] = new Array<null>(LAST_STATUS - FIRST_STATUS + 1).fill(null);

/** Created when first needed: only a few are. */
function statusLine(status: number): Uint8Array {
  const line = STATUS_LINES[status - FIRST_STATUS];
  return line === null ? makeStatusLine(status) : line;
}

function makeStatusLine(status: number): Uint8Array {
  const line = ascii(`HTTP/1.1 ${status} ${STATUS_TEXTS[status] ?? ''}\r\n`);
  STATUS_LINES[status - FIRST_STATUS] = line;
  return line;
}

/** Treatment of a field on its way to HTTP/1, by the id of its name. */
const { COPY, SKIP, REFUSE } = ACTION;
const TRAILER = 3;
const ACTIONS = new Uint8Array(256);
for (const id of [NAME.STATUS, NAME.CONTENT_LENGTH, NAME.TE, NAME.HTTP2_SETTINGS]) ACTIONS[id] = SKIP;
ACTIONS[NAME.ORIG_PROTO] = SKIP;
for (const id of [NAME.METHOD, NAME.SCHEME, NAME.AUTHORITY, NAME.PATH, NAME.PROTOCOL]) ACTIONS[id] = REFUSE;
for (const id of [NAME.UNKNOWN_PSEUDO, NAME.CONNECTION, NAME.KEEP_ALIVE]) ACTIONS[id] = REFUSE;
for (const id of [NAME.PROXY_CONNECTION, NAME.TRANSFER_ENCODING, NAME.UPGRADE]) ACTIONS[id] = REFUSE;
ACTIONS[NAME.TRAILER] = TRAILER;

/**
 * FRAMING of a response's body for an HTTP/1 client with this minor version (RFC 9112 section 6.3). `requestMethod`: METHOD of the request;
 * `endStream`: END_STREAM came with the head.
 */
export function responseFraming(facts: Facts, requestMethod: number, minor: number, endStream: boolean): number {
  const { status } = facts;
  if (hasNoContent(status, requestMethod) || requestMethod === METHOD.HEAD || status === 304) return FRAMING.NONE;
  if (endStream || facts.contentLength >= 0) return FRAMING.LENGTH;
  return minor === 0 ? FRAMING.CLOSE : FRAMING.CHUNKED;
}

/** The Content-Length to go with it, -1 for none. */
export function responseLength(facts: Facts, requestMethod: number, endStream: boolean): number {
  const { status } = facts;
  // RFC 9110 section 8.6: not in 1xx, 204, and 2xx to CONNECT.
  if (hasNoContent(status, requestMethod)) return -1;
  if (facts.contentLength >= 0 || !endStream) return facts.contentLength;
  return requestMethod === METHOD.HEAD || status === 304 ? -1 : 0;
}

function hasNoContent(status: number, requestMethod: number): boolean {
  return status < 200 || status === 204 || (requestMethod === METHOD.CONNECT && status < 300);
}

/** Converts heads of responses in the memory shared by all of a worker's connections; one per worker. */
export class ResponseBridge {
  private readonly bytes: Uint8Array;
  private readonly cache: LineCache;
  private readonly recurrence = new RecurrenceFilter(SOURCES);
  private readonly ok: number;

  constructor(memory: HeaderMemory) {
    this.bytes = memory.bytes;
    this.cache = new LineCache(memory.bytes, ACTIONS);
    this.ok = memory.constant(':status', '200');
  }

  /**
   * Writes the response in `list` (which may be expanded) as an HTTP/1.1 head at [at, limit), with the results of `responseFraming` and
   * `responseLength` (a length is written with LENGTH and NONE) and a CONNECTION of write.ts. UPGRADE is for the 2xx that accepts a
   * WebSocket: it becomes the 101 that answers the client's key at `keys[keyAt]`. Returns the position after the head or -(MESSAGE_ERROR +
   * UPSTREAM).
   */
  write(
    list: FieldList,
    at: number,
    limit: number,
    framing: number,
    contentLength: number,
    connection: number,
    keys: Uint8Array,
    keyAt: number,
  ): number {
    const { bytes } = this;
    const { facts, name } = list;
    const { status } = facts;
    if (checkResponse(facts) !== 0) return -(MESSAGE_ERROR.MALFORMED + UPSTREAM);
    // RFC 9113 section 8.6: there is no 101 in HTTP/2.
    if (status < FIRST_STATUS || status > LAST_STATUS || status === 101) return -(MESSAGE_ERROR.STATUS_LINE + UPSTREAM);
    const switching = connection === CONNECTION.UPGRADE;
    if (switching && (status < 200 || status > 299)) return -(MESSAGE_ERROR.SWITCHING + UPSTREAM);
    let p = put(bytes, statusLine(switching ? 101 : status), at, limit);
    const ready = list.template === null || switching ? null : this.cache.lines(list.template);
    if (ready === null) list.expand();
    else p = put(bytes, ready, p, limit);
    if (p < 0) return NO_ROOM - UPSTREAM;
    const { count } = list;
    for (let i = 0; i < count; i++) {
      const action = ACTIONS[name[i]];
      if (action === COPY) {
        if (switching && isAcceptName(bytes, list.nameAt[i], list.nameAt[i] + list.nameLength[i])) continue;
      } else if (action === REFUSE) return -(MESSAGE_ERROR.CONNECTION_FIELD + UPSTREAM);
      else if (action === SKIP || framing !== FRAMING.CHUNKED) continue;
      p = writeField(bytes, list, i, p, limit);
      if (p < 0) return p - UPSTREAM;
    }
    if (switching) {
      p = put(bytes, UPGRADE, p, limit);
      if (p < 0 || p + ACCEPT_LENGTH > limit) return NO_ROOM - UPSTREAM;
      p = put(bytes, CRLF, putAccept(keys, keyAt, bytes, p), limit);
    } else {
      if (connection === CONNECTION.CLOSE) p = put(bytes, CONNECTION_CLOSE, p, limit);
      else if (connection === CONNECTION.KEEP_ALIVE) p = put(bytes, CONNECTION_KEEP_ALIVE, p, limit);
      if (framing === FRAMING.CHUNKED) p = put(bytes, CHUNKED, p, limit);
      else if (framing !== FRAMING.CLOSE && contentLength >= 0) p = writeLength(bytes, contentLength, p, limit);
    }
    p = put(bytes, CRLF, p, limit);
    return p < 0 ? NO_ROOM - UPSTREAM : p;
  }

  /**
   * Builds and finishes `list` from the response in `head`. `webSocket`: it answers an extended CONNECT for which the key at `keys[keyAt]`
   * was sent. Then a 101 that answers that key becomes 200, and a 2xx, which would open the tunnel, is an error. Names are lower-cased in
   * place; the head's bytes must stay until the list is encoded. Returns 0 or -(MESSAGE_ERROR + UPSTREAM).
   */
  list(head: Head, list: FieldList, webSocket: boolean, keys: Uint8Array, keyAt: number, endpoint = 0): number {
    const { bytes } = this;
    const { fields, kind, count, status } = head;
    const switching = status === 101;
    list.clear();
    if (switching) {
      const error = webSocket ? switchError(bytes, head, keys, keyAt) : MESSAGE_ERROR.SWITCHING;
      if (error !== 0) return -(error + UPSTREAM);
      list.addConstant(this.ok);
    } else {
      if (webSocket && status >= 200 && status < 300) return -(MESSAGE_ERROR.NOT_SWITCHED + UPSTREAM);
      list.addKnown(NAME.STATUS, head.lineStart + STATUS_AT, STATUS_LENGTH);
    }
    let fits = true;
    for (let i = 0; i < count; i++) {
      const field = i << 2;
      const nameAt = fields[field];
      const nameEnd = fields[field + 1];
      const valueEnd = fields[field + 3];
      let valueAt = fields[field + 2];
      if (kind[i] !== FIELD_KIND.FORWARD) {
        if (kind[i] !== FIELD_KIND.FRAMING || head.contentLength < 0) continue;
        valueAt = skipZeros(bytes, valueAt, valueEnd);
      } else if (switching && isAcceptName(bytes, nameAt, nameEnd)) continue;
      lowerName(bytes, nameAt, nameEnd);
      fits = list.add(nameAt, nameEnd - nameAt, valueAt, valueEnd - valueAt) && fits;
    }
    if (!fits) return -(MESSAGE_ERROR.TOO_MANY_FIELDS + UPSTREAM);
    list.finishParsed(this.recurrence, endpoint);
    return checkResponse(list.facts) === 0 ? 0 : -(MESSAGE_ERROR.MALFORMED + UPSTREAM);
  }
}

/** RFC 6455 section 4.1: what a client checks before it accepts a 101 as a WebSocket. Returns 0 or a MESSAGE_ERROR. */
function switchError(bytes: Uint8Array, head: Head, keys: Uint8Array, keyAt: number): number {
  if (!equals(bytes, head.upgradeStart, head.upgradeEnd, WEBSOCKET)) return MESSAGE_ERROR.SWITCHING;
  const { fields, count } = head;
  let answers = 0;
  for (let i = 0; i < count; i++) {
    const field = i << 2;
    if (!isAcceptName(bytes, fields[field], fields[field + 1])) continue;
    if (!isAccept(keys, keyAt, bytes, fields[field + 2], fields[field + 3])) return MESSAGE_ERROR.WEBSOCKET_ACCEPT;
    answers++;
  }
  return answers === 1 ? 0 : MESSAGE_ERROR.WEBSOCKET_ACCEPT;
}

function isAcceptName(bytes: Uint8Array, start: number, end: number): boolean {
  return equals(bytes, start, end, ACCEPT_NAME);
}

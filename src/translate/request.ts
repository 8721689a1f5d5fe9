// Requests between HTTP/2 and HTTP/1.1 (RFC 9113 sections 8.2 and 8.3, RFC 8441). Anything that an HTTP/1 server might misread is refused:
// the field list has been validated as HTTP/2, which allows more.

import type { FieldList } from '../hpack/field-list.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import { RecurrenceFilter } from '../hpack/recurrence-filter.js';
import { validAuthority } from '../http/authority.js';
import { CONNECT_PROTOCOL, type Facts, SCHEME } from '../http/facts.js';
import { NAME } from '../http/field-names.js';
import { checkRequest } from '../http/message.js';
import { METHOD } from '../http/methods.js';
import { ascii, equals, put, skipTarget, skipToken, skipValue } from '../http/octets.js';
import { ORIG_PROTO, ORIG_PROTO_VALUES } from '../http/orig-proto.js';
import { KEY_LENGTH, validKey } from '../http/web-socket.js';
import { MESSAGE_ERROR } from '../http1/errors.js';
import { FIELD_KIND } from '../http1/fields.js';
import { FORM, FRAMING, type Head } from '../http1/head.js';
import { copyText, lowerName, NO_ROOM, skipZeros, writeField, writeLength } from './fields.js';
import { ACTION, LineCache, SOURCES } from './lines.js';

const COOKIE = NAME.COOKIE;
const CR = 0x0d;
const LF = 0x0a;
const SP = 0x20;
const ASTERISK = 0x2a;
const SLASH = 0x2f;
const SEMICOLON = 0x3b;
const QUESTION = 0x3f;
/** Of `https` in an absolute-form target. */
const SCHEME_S_AT = 4;

const GET = ascii('GET');
const VERSION_AND_HOST = ascii(' HTTP/1.1\r\nHost: ');
const SCHEMES = [ascii('http://'), ascii('https://')] as const;
const NO_SCHEME = ascii('');
const CRLF = ascii('\r\n');
const COOKIE_NAME = ascii('cookie: ');
const CHUNKED = ascii('transfer-encoding: chunked\r\n');
const TE = ascii('te: trailers\r\nconnection: te\r\n');
const UPGRADE = ascii('upgrade: websocket\r\nconnection: upgrade\r\n');
const UPGRADE_AND_TE = ascii('te: trailers\r\nupgrade: websocket\r\nconnection: upgrade, te\r\n');
const KEY = ascii('sec-websocket-key: ');

const KEY_NAME = ascii('sec-websocket-key');
const TE_NAME = ascii('te');
const WEBSOCKET = ascii('websocket');
const CONTINUE = ascii('100-continue');

/** Treatment of a field on its way to HTTP/1, by the id of its name. */
const { COPY, SKIP, REFUSE } = ACTION;
const HOST = 3;
const CRUMB = 4;
const EXPECT = 5;
const TRAILER = 6;
const ACTIONS = new Uint8Array(256);
for (const id of [NAME.METHOD, NAME.SCHEME, NAME.AUTHORITY, NAME.PATH, NAME.PROTOCOL]) ACTIONS[id] = SKIP;
// Content-Length and TE are rewritten; HTTP2-Settings belongs to an upgrade to h2c.
for (const id of [NAME.CONTENT_LENGTH, NAME.TE, NAME.HTTP2_SETTINGS]) ACTIONS[id] = SKIP;
// Between proxies only.
ACTIONS[NAME.ORIG_PROTO] = SKIP;
for (const id of [NAME.STATUS, NAME.UNKNOWN_PSEUDO, NAME.CONNECTION, NAME.KEEP_ALIVE]) ACTIONS[id] = REFUSE;
for (const id of [NAME.PROXY_CONNECTION, NAME.TRANSFER_ENCODING, NAME.UPGRADE]) ACTIONS[id] = REFUSE;
ACTIONS[NAME.HOST] = HOST;
ACTIONS[NAME.COOKIE] = CRUMB;
ACTIONS[NAME.EXPECT] = EXPECT;
ACTIONS[NAME.TRAILER] = TRAILER;

/** FRAMING of the body as written by `RequestBridge.write`. `endStream`: END_STREAM came with the head. */
export function requestFraming(facts: Facts, endStream: boolean): number {
  if (facts.method === METHOD.CONNECT) return FRAMING.NONE;
  if (requestLength(facts, endStream) >= 0) return FRAMING.LENGTH;
  return endStream ? FRAMING.NONE : FRAMING.CHUNKED;
}

/** Whether the request in `head` asks for a WebSocket, which is an extended CONNECT in HTTP/2. */
export function asksForWebSocket(bytes: Uint8Array, head: Head): boolean {
  return head.upgrade && head.method === METHOD.GET && equals(bytes, head.upgradeStart, head.upgradeEnd, WEBSOCKET);
}

/** Converts heads of requests in the memory shared by all of a worker's connections; one per worker. */
export class RequestBridge {
  /** After `list` with `webSocket`: position of the client's key of KEY_LENGTH bytes, else -1. */
  keyAt = -1;

  private readonly bytes: Uint8Array;
  private readonly cache: LineCache;
  private readonly recurrence = new RecurrenceFilter(SOURCES);
  private readonly connect: number;
  private readonly http: number;
  private readonly https: number;
  private readonly root: number;
  private readonly asterisk: number;
  private readonly websocket: number;
  private readonly te: number;
  /** `l5d-orig-proto`, as ORIG_PROTO_VALUES. */
  private readonly origins: readonly (readonly number[])[];

  constructor(memory: HeaderMemory) {
    this.bytes = memory.bytes;
    this.cache = new LineCache(memory.bytes, ACTIONS);
    this.connect = memory.constant(':method', 'CONNECT');
    this.http = memory.constant(':scheme', 'http');
    this.https = memory.constant(':scheme', 'https');
    this.root = memory.constant(':path', '/');
    this.asterisk = memory.constant(':path', '*');
    this.websocket = memory.constant(':protocol', 'websocket');
    this.te = memory.constant('te', 'trailers');
    this.origins = ORIG_PROTO_VALUES.map((values) => values.map((value) => memory.constant(ORIG_PROTO, value)));
  }

  /**
   * Writes the request in `list` (which may be expanded) as an HTTP/1.1 head at [at, limit). `endStream`: END_STREAM came with it.
   * `requestFraming` says how the body is framed. A WebSocket gets the key at `keys[keyAt]`, KEY_LENGTH bytes from `putKey`. [hostAt,
   * hostAt + hostLength) is the Host for a request without one; `absolute`: write the target in absolute form. Returns the position after
   * the head or -MESSAGE_ERROR.
   */
  write(
    list: FieldList,
    at: number,
    limit: number,
    endStream: boolean,
    keys: Uint8Array,
    keyAt: number,
    hostAt = 0,
    hostLength = 0,
    absolute = false,
  ): number {
    const { bytes } = this;
    const { facts } = list;
    const error = requestError(facts, endStream);
    if (error !== 0) return -error;
    const connect = facts.method === METHOD.CONNECT;
    const webSocket = facts.protocol === CONNECT_PROTOCOL.WEBSOCKET;
    const hasBody = !connect && !endStream && facts.contentLength !== 0;
    const chunked = hasBody && facts.contentLength < 0;
    let p = writeStart(bytes, facts, at, limit, hostAt, hostLength, absolute);
    if (p < 0) return p;
    const ready = list.template === null || webSocket ? null : this.cache.lines(list.template);
    if (ready === null) list.expand();
    else {
      p = put(bytes, ready, p, limit);
      if (p < 0) return NO_ROOM;
    }
    p = this.writeFields(list, p, limit, webSocket, hasBody, chunked);
    if (p < 0) return p;
    if (webSocket) {
      p = put(bytes, facts.teTrailers ? UPGRADE_AND_TE : UPGRADE, p, limit);
      p = put(bytes, KEY, p, limit);
      if (p < 0 || p + KEY_LENGTH > limit) return NO_ROOM;
      for (let i = 0; i < KEY_LENGTH; i++) bytes[p++] = keys[keyAt + i];
      p = put(bytes, CRLF, p, limit);
    } else {
      if (facts.teTrailers) p = put(bytes, TE, p, limit);
      const length = requestLength(facts, endStream);
      if (chunked) p = put(bytes, CHUNKED, p, limit);
      else if (length >= 0) p = writeLength(bytes, length, p, limit);
    }
    p = put(bytes, CRLF, p, limit);
    return p < 0 ? NO_ROOM : p;
  }

  /**
   * Builds and finishes `list` from the request in `head`. `webSocket` turns an upgrade to WebSocket into an extended CONNECT, for
   * endpoints with SETTINGS_ENABLE_CONNECT_PROTOCOL; every other upgrade is dropped, which requests the resource without it (RFC 9110
   * section 7.8). [hostAt, hostAt + hostLength) is the authority for a request without one. `carried`: tells the next proxy the version of
   * HTTP/1, so that it can turn it back. Names are lower-cased in place; the head's bytes must stay until the list is encoded. Returns 0 or
   * -MESSAGE_ERROR.
   */
  list(
    head: Head,
    list: FieldList,
    webSocket: boolean,
    hostAt = 0,
    hostLength = 0,
    carried = false,
    client = 0,
  ): number {
    const { bytes } = this;
    const extended = webSocket && asksForWebSocket(bytes, head);
    const connect = head.method === METHOD.CONNECT;
    this.keyAt = -1;
    list.clear();
    if (extended) list.addConstant(this.connect);
    else list.addKnown(NAME.METHOD, head.methodStart, head.methodEnd - head.methodStart);
    if (!connect) {
      list.addConstant(isHttps(bytes, head) ? this.https : this.http);
      this.addPath(head, list);
    }
    if (head.authorityStart >= 0 && head.authorityEnd > head.authorityStart)
      list.addKnown(NAME.AUTHORITY, head.authorityStart, head.authorityEnd - head.authorityStart);
    else if (hostLength > 0) list.addKnown(NAME.AUTHORITY, hostAt, hostLength);
    if (extended) list.addConstant(this.websocket);
    const error = this.addFields(head, list, extended, connect);
    if (error !== 0) return -error;
    if (extended && this.keyAt < 0) return -MESSAGE_ERROR.WEBSOCKET_KEY;
    if (carried && !this.carry(list, head.minor, head.form === FORM.ABSOLUTE)) return -MESSAGE_ERROR.TOO_MANY_FIELDS;
    list.finishParsed(this.recurrence, client);
    return checkRequest(list.facts) === 0 ? 0 : -MESSAGE_ERROR.MALFORMED;
  }

  /** Adds to `list` which version of HTTP/1 it carries; the caller finishes the list afterwards. False if it is full. */
  carry(list: FieldList, minor: number, absolute: boolean): boolean {
    return list.addConstant(this.origins[minor === 0 ? 0 : 1][absolute ? 1 : 0]);
  }

  /** Writes the fields that are not prepared by a template. Returns the position after them or -MESSAGE_ERROR. */
  private writeFields(
    list: FieldList,
    at: number,
    limit: number,
    webSocket: boolean,
    hasBody: boolean,
    chunked: boolean,
  ): number {
    const { bytes } = this;
    const { name, count } = list;
    let p = at;
    let hosts = 0;
    let crumbs = 0;
    let expectations = 0;
    for (let i = 0; i < count && p >= 0; i++) {
      switch (ACTIONS[name[i]]) {
        case COPY:
          if (!webSocket || !isKey(bytes, list, i)) p = writeField(bytes, list, i, p, limit);
          break;
        case REFUSE:
          return -MESSAGE_ERROR.CONNECTION_FIELD;
        case HOST:
          if (hosts++ > 0) return -MESSAGE_ERROR.HOST_DUPLICATE;
          break;
        case CRUMB:
          if (crumbs++ === 0) p = writeCookie(bytes, list, i, p, limit);
          break;
        case EXPECT: {
          const value = list.valueAt[i];
          if (expectations++ > 0 || !equals(bytes, value, value + list.valueLength[i], CONTINUE))
            return -MESSAGE_ERROR.EXPECTATION;
          // RFC 9110 section 10.1.1: without a body there is nothing to continue with.
          if (hasBody) p = writeField(bytes, list, i, p, limit);
          break;
        }
        case TRAILER:
          if (chunked) p = writeField(bytes, list, i, p, limit);
          break;
      }
    }
    return p;
  }

  private addPath(head: Head, list: FieldList): void {
    const { bytes } = this;
    if (head.pathStart === head.pathEnd) {
      // RFC 9113 section 8.3.1: the path is never empty; OPTIONS with a target without path addresses the server as a whole.
      list.addConstant(head.method === METHOD.OPTIONS ? this.asterisk : this.root);
      return;
    }
    if (bytes[head.pathStart] === QUESTION) {
      // `http://host?query` lacks the slash: the host makes room for it by moving over the last slash before it.
      bytes.copyWithin(head.authorityStart - 1, head.authorityStart, head.authorityEnd);
      head.authorityStart--;
      head.authorityEnd--;
      head.pathStart--;
      bytes[head.pathStart] = SLASH;
    }
    list.addKnown(NAME.PATH, head.pathStart, head.pathEnd - head.pathStart);
  }

  /** Returns 0 or a MESSAGE_ERROR. */
  private addFields(head: Head, list: FieldList, extended: boolean, connect: boolean): number {
    const { bytes } = this;
    const { fields, kind, count, hostIndex } = head;
    let fits = true;
    for (let i = 0; i < count; i++) {
      if (i === hostIndex) continue;
      const field = i << 2;
      const nameAt = fields[field];
      const nameEnd = fields[field + 1];
      const valueEnd = fields[field + 3];
      let valueAt = fields[field + 2];
      if (kind[i] !== FIELD_KIND.FORWARD) {
        if (kind[i] !== FIELD_KIND.FRAMING || head.contentLength < 0 || connect || extended) continue;
        valueAt = skipZeros(bytes, valueAt, valueEnd);
      } else if (head.te && equals(bytes, nameAt, nameEnd, TE_NAME)) {
        fits = list.addConstant(this.te) && fits;
        continue;
      } else if (extended && equals(bytes, nameAt, nameEnd, KEY_NAME)) {
        if (this.keyAt >= 0 || !validKey(bytes, valueAt, valueEnd)) return MESSAGE_ERROR.WEBSOCKET_KEY;
        this.keyAt = valueAt;
        continue;
      }
      lowerName(bytes, nameAt, nameEnd);
      fits = list.add(nameAt, nameEnd - nameAt, valueAt, valueEnd - valueAt) && fits;
      // Only proxies may set it, not the client.
      if (list.name[list.count - 1] === NAME.ORIG_PROTO) list.count--;
    }
    return fits ? 0 : MESSAGE_ERROR.TOO_MANY_FIELDS;
  }
}

/** Content-Length to write, -1 for none. RFC 9110 section 8.6: a method that expects content sends 0 if there is none. */
function requestLength(facts: Facts, endStream: boolean): number {
  const { contentLength, method } = facts;
  if (contentLength >= 0 || !endStream) return method === METHOD.CONNECT ? -1 : contentLength;
  return method === METHOD.POST || method === METHOD.PUT || method === METHOD.PATCH ? 0 : -1;
}

/** Why the message as a whole cannot be expressed in HTTP/1.1. Returns 0 or a MESSAGE_ERROR. */
function requestError(facts: Facts, endStream: boolean): number {
  const { method, contentLength, protocol } = facts;
  // RFC 9113 section 8.1.1: a Content-Length that differs from the length of the DATA frames.
  if (checkRequest(facts) !== 0 || (endStream && contentLength > 0)) return MESSAGE_ERROR.MALFORMED;
  if (protocol === CONNECT_PROTOCOL.OTHER) return MESSAGE_ERROR.PROTOCOL;
  if (method === METHOD.CONNECT) return contentLength > 0 ? MESSAGE_ERROR.BODY_NOT_ALLOWED : 0;
  // origin-form has no scheme: the server assumes that of its port.
  if (facts.scheme !== SCHEME.HTTP && facts.scheme !== SCHEME.HTTPS) return MESSAGE_ERROR.TARGET;
  return method === METHOD.TRACE && !endStream && contentLength !== 0 ? MESSAGE_ERROR.BODY_NOT_ALLOWED : 0;
}

/** Request line and Host. Returns the position after them or -MESSAGE_ERROR. */
function writeStart(
  bytes: Uint8Array,
  facts: Facts,
  at: number,
  limit: number,
  hostAt: number,
  hostLength: number,
  absolute: boolean,
): number {
  const connect = facts.method === METHOD.CONNECT && facts.protocol === CONNECT_PROTOCOL.NONE;
  let host = hostAt;
  let hostEnd = hostAt + hostLength;
  // RFC 9113 section 8.3.1: Host comes from :authority, whatever Host says.
  if (facts.authorityAt >= 0) {
    host = facts.authorityAt;
    hostEnd = host + facts.authorityLength;
    if (!validAuthority(bytes, host, hostEnd, connect)) return -MESSAGE_ERROR.HOST_INVALID;
  } else if (facts.hostAt >= 0) {
    host = facts.hostAt;
    hostEnd = host + facts.hostLength;
    if (hostEnd > host && !validAuthority(bytes, host, hostEnd, false)) return -MESSAGE_ERROR.HOST_INVALID;
  }
  const target = connect ? host : facts.pathAt;
  const targetEnd = connect ? hostEnd : target + facts.pathLength;
  if (!connect && !validPath(bytes, facts, target, targetEnd)) return -MESSAGE_ERROR.TARGET;
  const method = facts.methodAt;
  const methodEnd = method + facts.methodLength;
  if (methodEnd <= method || skipToken(bytes, method, methodEnd) !== methodEnd) return -MESSAGE_ERROR.METHOD;
  const scheme = absolute && !connect ? SCHEMES[facts.scheme === SCHEME.HTTPS ? 1 : 0] : NO_SCHEME;
  const prefix = scheme.length === 0 ? 0 : scheme.length + (hostEnd - host);
  const constants = 1 + VERSION_AND_HOST.length + CRLF.length + prefix;
  if (at + (methodEnd - method) + (targetEnd - target) + (hostEnd - host) + constants > limit) return NO_ROOM;
  let p =
    facts.protocol === CONNECT_PROTOCOL.NONE ? copyText(bytes, method, methodEnd, at) : put(bytes, GET, at, limit);
  bytes[p++] = SP;
  if (prefix > 0) p = copyText(bytes, host, hostEnd, put(bytes, scheme, p, limit));
  // OPTIONS for the server as a whole has no path in absolute form.
  if (prefix === 0 || bytes[target] !== ASTERISK) p = copyText(bytes, target, targetEnd, p);
  p = put(bytes, VERSION_AND_HOST, p, limit);
  p = copyText(bytes, host, hostEnd, p);
  bytes[p++] = CR;
  bytes[p++] = LF;
  return p;
}

/** origin-form, or asterisk-form for OPTIONS (RFC 9112 section 3.2). */
function validPath(bytes: Uint8Array, facts: Facts, start: number, end: number): boolean {
  if (start < 0 || start === end) return false;
  if (bytes[start] === ASTERISK) return end - start === 1 && facts.method === METHOD.OPTIONS;
  return bytes[start] === SLASH && skipTarget(bytes, start, end) === end;
}

/** RFC 9113 section 8.2.3: crumbs are joined to one Cookie with `; `. `first` is the index of the first. */
function writeCookie(bytes: Uint8Array, list: FieldList, first: number, at: number, limit: number): number {
  const { name, count, valueAt, valueLength } = list;
  let p = put(bytes, COOKIE_NAME, at, limit);
  if (p < 0) return NO_ROOM;
  for (let i = first; i < count; i++) {
    if (name[i] !== COOKIE) continue;
    const start = valueAt[i];
    const end = start + valueLength[i];
    // Room for the separator or CRLF after it.
    if (p + (end - start) + 2 > limit) return NO_ROOM;
    if (skipValue(bytes, start, end) !== end) return -MESSAGE_ERROR.CONTROL;
    p = copyText(bytes, start, end, p);
    bytes[p++] = SEMICOLON;
    bytes[p++] = SP;
  }
  bytes[p - 2] = CR;
  bytes[p - 1] = LF;
  return p;
}

function isKey(bytes: Uint8Array, list: FieldList, i: number): boolean {
  const at = list.nameAt[i];
  return equals(bytes, at, at + list.nameLength[i], KEY_NAME);
}

function isHttps(bytes: Uint8Array, head: Head): boolean {
  return head.form === FORM.ABSOLUTE && (bytes[head.targetStart + SCHEME_S_AT] | 0x20) === 0x73;
}

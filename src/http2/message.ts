// What a list of fields says about a message (RFC 9113 section 8, RFC 8441 section 4), and whether it may say so.
import { validAuthority } from '../http1/authority.js';
import { METHOD } from '../http1/head.js';
import { ascii, COLON, equals, HEX, HT, SP, skipTarget, skipToken, skipValue } from '../http1/octets.js';
import { methodOf } from '../http1/start-line.js';
import { FIRST_REGULAR, NAME } from './field-names.js';

/** Why a message is malformed (RFC 9113 section 8.1.1). 0 is none of them. */
export const MALFORMED = {
  NAME: 1,
  VALUE: 2,
  CONNECTION_FIELD: 3,
  TE: 4,
  PSEUDO_ORDER: 5,
  PSEUDO_DUPLICATE: 6,
  PSEUDO_UNKNOWN: 7,
  PSEUDO_MISSING: 8,
  PSEUDO_FORBIDDEN: 9,
  PSEUDO_IN_TRAILERS: 10,
  METHOD: 11,
  SCHEME: 12,
  PATH: 13,
  AUTHORITY: 14,
  HOST: 15,
  HOST_DIFFERS: 16,
  STATUS: 17,
  CONTENT_LENGTH: 18,
  CONTENT_LENGTH_DIFFERS: 19,
  CONNECT: 20,
  PROTOCOL: 21,
} as const;

/** By code. */
export const MALFORMED_TEXT: readonly string[] = [
  '',
  'a field name has an octet that is not allowed, upper case included',
  'a field value has an octet that is not allowed, or white space at an end',
  'a field that belongs to a connection',
  'te says something else than trailers',
  'a pseudo-header field after a regular one',
  'a pseudo-header field twice',
  'an unknown pseudo-header field',
  'a pseudo-header field is missing',
  'a pseudo-header field that this kind of message must not have',
  'a pseudo-header field in trailers',
  ':method is no token',
  ':scheme is not valid',
  ':path is empty, does not begin with / or has an octet that is not allowed',
  ':authority is not host[:port]',
  'host is not host[:port], or there are several',
  ':authority and host differ',
  ':status is not a number from 100 to 599, or it is 101',
  'content-length is no number',
  'content-length differs from another one',
  'CONNECT must have :authority with a port, and neither :scheme nor :path',
  ':protocol is for CONNECT only, and is a token',
];

/** Bits of `facts.pseudo`: 1 << (NAME - 1). */
export const PSEUDO = { METHOD: 1, SCHEME: 2, AUTHORITY: 4, PATH: 8, STATUS: 16, PROTOCOL: 32 } as const;
export const PROTOCOL = { NONE: 0, WEBSOCKET: 1, OTHER: 2 } as const;
export const SCHEME = { NONE: 0, HTTP: 1, HTTPS: 2, OTHER: 3 } as const;

const RESPONSE_ONLY = PSEUDO.STATUS;
const REQUEST_ONLY = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.AUTHORITY | PSEUDO.PATH | PSEUDO.PROTOCOL;
const PLAIN_REQUEST = PSEUDO.METHOD | PSEUDO.SCHEME | PSEUDO.PATH;

/** Form of :path. */
const PATH_NONE = 0;
const PATH_SLASH = 1;
const PATH_ASTERISK = 2;
const PATH_BAD = 3;

const HTTP = ascii('http');
const HTTPS = ascii('https');
const WEBSOCKET = ascii('websocket');
const TRAILERS = ascii('trailers');
const CONTINUE = ascii('100-continue');
const GRPC = ascii('application/grpc');
const PLUS = 0x2b;
const SEMICOLON = 0x3b;
const SLASH = 0x2f;
const ASTERISK = 0x2a;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;
/** gRPC: TimeoutValue is at most 8 digits. */
const TIMEOUT_DIGITS = 8;
const MAX_MS = 0x7fffffff;
/** gRPC status codes end here; what is above counts as UNKNOWN. */
const LAST_GRPC_STATUS = 16;
const GRPC_UNKNOWN = 2;

/**
 * Whether name and value may be on the wire at all: 0, MALFORMED.NAME or MALFORMED.VALUE. Stricter than RFC 9113 section
 * 8.2.1 demands: a name is a token of RFC 9110 without upper case, a value has no control characters but HTAB.
 */
export function fieldError(
  bytes: Uint8Array,
  nameAt: number,
  nameLength: number,
  valueAt: number,
  valueLength: number,
): number {
  const error = nameError(bytes, nameAt, nameLength);
  return error !== 0 ? error : valueError(bytes, valueAt, valueLength);
}

/** 0 or MALFORMED.NAME. A leading colon is one of the name. */
export function nameError(bytes: Uint8Array, at: number, length: number): number {
  const end = at + length;
  const first = length > 0 && bytes[at] === COLON ? at + 1 : at;
  if (first === end || skipToken(bytes, first, end) !== end) return MALFORMED.NAME;
  for (let p = first; p < end; p++) if (bytes[p] >= UPPER_A && bytes[p] <= UPPER_Z) return MALFORMED.NAME;
  return 0;
}

/** 0 or MALFORMED.VALUE. */
export function valueError(bytes: Uint8Array, at: number, length: number): number {
  if (length === 0) return 0;
  const end = at + length;
  const first = bytes[at];
  const last = bytes[end - 1];
  if (first === SP || first === HT || last === SP || last === HT) return MALFORMED.VALUE;
  return skipValue(bytes, at, end) === end ? 0 : MALFORMED.VALUE;
}

/**
 * Facts about a list of fields. Reused: `reset`, `add` per field, `close`. The order of `add` doesn't matter but among
 * fields of one name, so facts of a part of a list can be added to (`copy`). That pseudo-header fields come first is for
 * the caller to see.
 */
export class Facts {
  /** The first MALFORMED code, 0 where there is none. What depends on the kind of message is up to the checks below. */
  error = 0;
  /** PSEUDO bits of those present. */
  pseudo = 0;
  /** METHOD of src/http1/head.ts. */
  method = 0;
  /** 100 to 599; 0 where there is none. */
  status = 0;
  /** SCHEME. */
  scheme = 0;
  /** PROTOCOL of an extended CONNECT. */
  protocol = 0;
  /** -1 where there is none. */
  contentLength = -1;
  /** content-type is application/grpc, or that with a +suffix or parameters. */
  grpc = false;
  /** 0 to 16; -1 where there is none. Any other value is 2, UNKNOWN. */
  grpcStatus = -1;
  /** grpc-timeout in ms, rounded up, at most 2^31-1; -1 where there is none or it is not one. */
  grpcTimeoutMs = -1;
  /** `te: trailers`. */
  teTrailers = false;
  /** `expect: 100-continue`. */
  expectContinue = false;
  hasHost = false;
  /** A Trailer field. */
  trailer = false;
  /** Cookie fields; HTTP/1 wants them as one (RFC 9113 section 8.2.3). */
  cookies = 0;
  /** Positions of values in memory.bytes, valid as long as the list's; -1 where there is none. */
  methodAt = -1;
  methodLength = 0;
  pathAt = -1;
  pathLength = 0;
  authorityAt = -1;
  authorityLength = 0;
  hostAt = -1;
  hostLength = 0;
  /** Form of the path. */
  pathForm = PATH_NONE;

  reset(): void {
    this.error = 0;
    this.pseudo = 0;
    this.method = 0;
    this.status = 0;
    this.scheme = 0;
    this.protocol = 0;
    this.contentLength = -1;
    this.grpc = false;
    this.grpcStatus = -1;
    this.grpcTimeoutMs = -1;
    this.teTrailers = false;
    this.expectContinue = false;
    this.hasHost = false;
    this.trailer = false;
    this.cookies = 0;
    this.methodAt = -1;
    this.methodLength = 0;
    this.pathAt = -1;
    this.pathLength = 0;
    this.authorityAt = -1;
    this.authorityLength = 0;
    this.hostAt = -1;
    this.hostLength = 0;
    this.pathForm = PATH_NONE;
  }

  copy(other: Facts): void {
    this.error = other.error;
    this.pseudo = other.pseudo;
    this.method = other.method;
    this.status = other.status;
    this.scheme = other.scheme;
    this.protocol = other.protocol;
    this.contentLength = other.contentLength;
    this.grpc = other.grpc;
    this.grpcStatus = other.grpcStatus;
    this.grpcTimeoutMs = other.grpcTimeoutMs;
    this.teTrailers = other.teTrailers;
    this.expectContinue = other.expectContinue;
    this.hasHost = other.hasHost;
    this.trailer = other.trailer;
    this.cookies = other.cookies;
    this.methodAt = other.methodAt;
    this.methodLength = other.methodLength;
    this.pathAt = other.pathAt;
    this.pathLength = other.pathLength;
    this.authorityAt = other.authorityAt;
    this.authorityLength = other.authorityLength;
    this.hostAt = other.hostAt;
    this.hostLength = other.hostLength;
    this.pathForm = other.pathForm;
  }

  /** Notes an error, unless there is one already. */
  fail(code: number): void {
    if (this.error === 0) this.error = code;
  }

  /** Notes what a field says whose octets `fieldError` has found good. `name` is a NAME. */
  add(bytes: Uint8Array, name: number, at: number, length: number): void {
    if (name === NAME.OTHER) return;
    if (name < FIRST_REGULAR) this.addPseudo(bytes, name, at, length);
    else this.addRegular(bytes, name, at, length);
  }

  /** Checks what takes several fields. Once more after later `add`s is fine. */
  close(bytes: Uint8Array): void {
    if (this.error !== 0) return;
    if (this.authorityAt >= 0) {
      if (this.hostAt >= 0 && !this.sameHost(bytes)) this.error = MALFORMED.HOST_DIFFERS;
      else if (this.method === METHOD.CONNECT && (this.pseudo & PSEUDO.PROTOCOL) === 0) {
        const end = this.authorityAt + this.authorityLength;
        if (!validAuthority(bytes, this.authorityAt, end, true)) this.error = MALFORMED.CONNECT;
      }
    }
  }

  private sameHost(bytes: Uint8Array): boolean {
    if (this.hostLength !== this.authorityLength) return false;
    for (let i = 0; i < this.hostLength; i++) {
      if (lower(bytes[this.hostAt + i]) !== lower(bytes[this.authorityAt + i])) return false;
    }
    return true;
  }

  private addPseudo(bytes: Uint8Array, name: number, at: number, length: number): void {
    if (name === NAME.UNKNOWN_PSEUDO) {
      this.fail(MALFORMED.PSEUDO_UNKNOWN);
      return;
    }
    const bit = 1 << (name - 1);
    if ((this.pseudo & bit) !== 0) this.fail(MALFORMED.PSEUDO_DUPLICATE);
    this.pseudo |= bit;
    const end = at + length;
    switch (name) {
      case NAME.METHOD:
        if (length === 0 || skipToken(bytes, at, end) !== end) this.fail(MALFORMED.METHOD);
        this.method = methodOf(bytes, at, end);
        this.methodAt = at;
        this.methodLength = length;
        return;
      case NAME.SCHEME:
        if (equals(bytes, at, end, HTTP)) this.scheme = SCHEME.HTTP;
        else if (equals(bytes, at, end, HTTPS)) this.scheme = SCHEME.HTTPS;
        else {
          this.scheme = SCHEME.OTHER;
          if (!validScheme(bytes, at, end)) this.fail(MALFORMED.SCHEME);
        }
        return;
      case NAME.AUTHORITY:
        if (!validAuthority(bytes, at, end, false)) this.fail(MALFORMED.AUTHORITY);
        this.authorityAt = at;
        this.authorityLength = length;
        return;
      case NAME.PATH:
        this.pathAt = at;
        this.pathLength = length;
        if (length > 0 && bytes[at] === SLASH) this.pathForm = PATH_SLASH;
        else this.pathForm = length === 1 && bytes[at] === ASTERISK ? PATH_ASTERISK : PATH_BAD;
        if (skipTarget(bytes, at, end) !== end) this.fail(MALFORMED.PATH);
        return;
      case NAME.STATUS:
        this.status = statusOf(bytes, at, length);
        if (this.status === 0) this.fail(MALFORMED.STATUS);
        return;
      default:
        if (length === 0 || skipToken(bytes, at, end) !== end) this.fail(MALFORMED.PROTOCOL);
        this.protocol = equals(bytes, at, end, WEBSOCKET) ? PROTOCOL.WEBSOCKET : PROTOCOL.OTHER;
    }
  }

  private addRegular(bytes: Uint8Array, name: number, at: number, length: number): void {
    const end = at + length;
    switch (name) {
      case NAME.CONNECTION:
      case NAME.KEEP_ALIVE:
      case NAME.PROXY_CONNECTION:
      case NAME.TRANSFER_ENCODING:
      case NAME.UPGRADE:
        this.fail(MALFORMED.CONNECTION_FIELD);
        return;
      case NAME.TE:
        if (!equals(bytes, at, end, TRAILERS)) this.fail(MALFORMED.TE);
        this.teTrailers = true;
        return;
      case NAME.HOST:
        // An empty Host is what a target without authority calls for (RFC 9110 section 7.2).
        if (this.hasHost || (length > 0 && !validAuthority(bytes, at, end, false))) this.fail(MALFORMED.HOST);
        this.hasHost = true;
        this.hostAt = at;
        this.hostLength = length;
        return;
      case NAME.COOKIE:
        this.cookies++;
        return;
      case NAME.CONTENT_LENGTH: {
        const value = contentLength(bytes, at, end);
        if (value < 0) this.fail(MALFORMED.CONTENT_LENGTH);
        else if (this.contentLength >= 0 && this.contentLength !== value) this.fail(MALFORMED.CONTENT_LENGTH_DIFFERS);
        this.contentLength = value;
        return;
      }
      case NAME.CONTENT_TYPE:
        this.grpc = isGrpc(bytes, at, end);
        return;
      case NAME.EXPECT:
        if (equals(bytes, at, end, CONTINUE)) this.expectContinue = true;
        return;
      case NAME.TRAILER:
        this.trailer = true;
        return;
      case NAME.GRPC_STATUS:
        this.grpcStatus = grpcStatus(bytes, at, end);
        return;
      case NAME.GRPC_TIMEOUT:
        this.grpcTimeoutMs = grpcTimeout(bytes, at, end);
        return;
      default:
    }
  }
}

/** 0 or the MALFORMED code of a request's header section (RFC 9113 section 8.3.1 and 8.5, RFC 8441 section 4). */
export function checkRequest(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  const pseudo = facts.pseudo;
  if ((pseudo & RESPONSE_ONLY) !== 0) return MALFORMED.PSEUDO_FORBIDDEN;
  if ((pseudo & PSEUDO.METHOD) === 0) return MALFORMED.PSEUDO_MISSING;
  if (facts.method === METHOD.CONNECT && facts.protocol === PROTOCOL.NONE) {
    return pseudo === (PSEUDO.METHOD | PSEUDO.AUTHORITY) ? 0 : MALFORMED.CONNECT;
  }
  if (facts.protocol !== PROTOCOL.NONE && facts.method !== METHOD.CONNECT) return MALFORMED.PROTOCOL;
  if ((pseudo & PLAIN_REQUEST) !== PLAIN_REQUEST) return MALFORMED.PSEUDO_MISSING;
  if (facts.pathForm === PATH_SLASH) return 0;
  if (facts.pathForm === PATH_ASTERISK) return facts.method === METHOD.OPTIONS ? 0 : MALFORMED.PATH;
  // Only the URIs of other schemes can have paths of another form.
  return facts.scheme === SCHEME.OTHER && facts.pathLength > 0 ? 0 : MALFORMED.PATH;
}

/** 0 or the MALFORMED code of a response's header section, interim ones too (RFC 9113 section 8.3.2 and 8.6). */
export function checkResponse(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  if ((facts.pseudo & REQUEST_ONLY) !== 0) return MALFORMED.PSEUDO_FORBIDDEN;
  if ((facts.pseudo & PSEUDO.STATUS) === 0) return MALFORMED.PSEUDO_MISSING;
  return facts.status === 101 ? MALFORMED.STATUS : 0;
}

/** 0 or the MALFORMED code of a trailer section (RFC 9113 section 8.1). */
export function checkTrailers(facts: Facts): number {
  if (facts.error !== 0) return facts.error;
  return facts.pseudo !== 0 ? MALFORMED.PSEUDO_IN_TRAILERS : 0;
}

function lower(octet: number): number {
  return octet >= UPPER_A && octet <= UPPER_Z ? octet | 0x20 : octet;
}

function isAlpha(octet: number): boolean {
  const small = octet | 0x20;
  return small >= 0x61 && small <= 0x7a;
}

/** ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ) (RFC 3986 section 3.1). */
function validScheme(bytes: Uint8Array, at: number, end: number): boolean {
  if (at === end || !isAlpha(bytes[at])) return false;
  for (let p = at + 1; p < end; p++) {
    const octet = bytes[p];
    if (!isAlpha(octet) && HEX[octet] > 9 && octet !== PLUS && octet !== 0x2d && octet !== 0x2e) return false;
  }
  return true;
}

function statusOf(bytes: Uint8Array, at: number, length: number): number {
  if (length !== 3) return 0;
  const hundreds = HEX[bytes[at]];
  const tens = HEX[bytes[at + 1]];
  const ones = HEX[bytes[at + 2]];
  if (hundreds < 1 || hundreds > 5 || tens > 9 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** -1 where it is no number up to 2^53-1. */
function contentLength(bytes: Uint8Array, at: number, end: number): number {
  if (at === end) return -1;
  let value = 0;
  for (let p = at; p < end; p++) {
    const digit = HEX[bytes[p]];
    if (digit > 9) return -1;
    value = value * 10 + digit;
    if (value > Number.MAX_SAFE_INTEGER) return -1;
  }
  return value;
}

/** application/grpc, then nothing, a +suffix or parameters; application/grpc-web is something else. */
function isGrpc(bytes: Uint8Array, at: number, end: number): boolean {
  const after = at + GRPC.length;
  if (after > end || !equals(bytes, at, after, GRPC)) return false;
  if (after === end) return true;
  const next = bytes[after];
  return next === PLUS || next === SEMICOLON || next === SP || next === HT;
}

function grpcStatus(bytes: Uint8Array, at: number, end: number): number {
  const length = end - at;
  if (length < 1 || length > 2) return GRPC_UNKNOWN;
  let value = 0;
  for (let p = at; p < end; p++) {
    const digit = HEX[bytes[p]];
    if (digit > 9) return GRPC_UNKNOWN;
    value = value * 10 + digit;
  }
  return value <= LAST_GRPC_STATUS ? value : GRPC_UNKNOWN;
}

/** In ms; -1 where it is not 1 to 8 digits and a unit. */
function grpcTimeout(bytes: Uint8Array, at: number, end: number): number {
  const digits = end - at - 1;
  if (digits < 1 || digits > TIMEOUT_DIGITS) return -1;
  let value = 0;
  for (let p = at; p < end - 1; p++) {
    const digit = HEX[bytes[p]];
    if (digit > 9) return -1;
    value = value * 10 + digit;
  }
  switch (bytes[end - 1]) {
    case 0x48: // H
      return value > MAX_MS / 3_600_000 ? MAX_MS : value * 3_600_000;
    case 0x4d: // M
      return value > MAX_MS / 60_000 ? MAX_MS : value * 60_000;
    case 0x53: // S
      return value > MAX_MS / 1000 ? MAX_MS : value * 1000;
    case 0x6d: // m
      return value;
    case 0x75: // u
      return Math.ceil(value / 1000);
    case 0x6e: // n
      return Math.ceil(value / 1_000_000);
    default:
      return -1;
  }
}

// What the fields of a list mean, gathered one by one, with the errors that are visible in a field regardless of its message.

import { validAuthority } from './authority.js';
import { isEventStream } from './content-type.js';
import { FIRST_REGULAR, NAME } from './field-names.js';
import { grpcStatus, grpcTimeout, isGrpc } from './grpc-fields.js';
import { MALFORMED } from './malformed.js';
import { METHOD, methodOf } from './methods.js';
import { ascii, equals, HEX, skipTarget, skipToken } from './octets.js';
import { ORIGIN, originOf } from './orig-proto.js';

/** Bits of `facts.pseudo`: 1 << (NAME - 1). */
export const PSEUDO = { METHOD: 1, SCHEME: 2, AUTHORITY: 4, PATH: 8, STATUS: 16, PROTOCOL: 32 } as const;
export const CONNECT_PROTOCOL = { NONE: 0, WEBSOCKET: 1, OTHER: 2 } as const;
export const SCHEME = { NONE: 0, HTTP: 1, HTTPS: 2, OTHER: 3 } as const;

/** Form of :path. */
export const PATH_FORM = { NONE: 0, SLASH: 1, ASTERISK: 2, BAD: 3 } as const;

const HTTP = ascii('http');
const HTTPS = ascii('https');
const WEBSOCKET = ascii('websocket');
const TRAILERS = ascii('trailers');
const CONTINUE = ascii('100-continue');
const PLUS = 0x2b;
const SLASH = 0x2f;
const ASTERISK = 0x2a;
const UPPER_A = 0x41;
const UPPER_Z = 0x5a;

/**
 * Facts about a list of fields. Reused: `reset`, `add` per field, `close`. The order of `add` matters only among fields of the same name,
 * so facts of a part of a list can be continued (`copy`). The caller checks that pseudo-header fields come first.
 */
export class Facts {
  /** The first MALFORMED code, 0 for none. message.ts checks what depends on the kind of message. */
  error = 0;
  /** PSEUDO bits of those present. */
  pseudo = 0;
  /** METHOD. */
  method = 0;
  /** 100 to 999; 0 for none. */
  status = 0;
  /** SCHEME. */
  scheme = 0;
  /** CONNECT_PROTOCOL: the protocol of an extended CONNECT (RFC 8441 section 4). */
  protocol = 0;
  /** -1 for none. */
  contentLength = -1;
  /** content-type is application/grpc, possibly with a +suffix or parameters. */
  grpc = false;
  /** content-type is text/event-stream, with or without parameters. */
  eventStream = false;
  /** 0 to 16; -1 for none. Any other value counts as 2, UNKNOWN. */
  grpcStatus = -1;
  /** grpc-timeout in ms, rounded up, at most 2^31-1; -1 if missing or invalid. */
  grpcTimeoutMs = -1;
  /** `te: trailers`. */
  teTrailers = false;
  /** `expect: 100-continue`. */
  expectContinue = false;
  hasHost = false;
  /** Whether there is a Trailer field. */
  trailer = false;
  /** ORIGIN: the version of HTTP/1 carried over HTTP/2. */
  origin: number = ORIGIN.NONE;
  /** Number of Cookie fields; HTTP/1 needs them joined (RFC 9113 section 8.2.3). */
  cookies = 0;
  /** Positions of values in memory.bytes, valid as long as the list's; -1 for none. */
  methodAt = -1;
  methodLength = 0;
  pathAt = -1;
  pathLength = 0;
  authorityAt = -1;
  authorityLength = 0;
  hostAt = -1;
  hostLength = 0;
  /** PATH_FORM. */
  pathForm: number = PATH_FORM.NONE;

  reset(): void {
    this.error = 0;
    this.pseudo = 0;
    this.method = 0;
    this.status = 0;
    this.scheme = 0;
    this.protocol = 0;
    this.contentLength = -1;
    this.grpc = false;
    this.eventStream = false;
    this.grpcStatus = -1;
    this.grpcTimeoutMs = -1;
    this.teTrailers = false;
    this.expectContinue = false;
    this.hasHost = false;
    this.trailer = false;
    this.origin = ORIGIN.NONE;
    this.cookies = 0;
    this.methodAt = -1;
    this.methodLength = 0;
    this.pathAt = -1;
    this.pathLength = 0;
    this.authorityAt = -1;
    this.authorityLength = 0;
    this.hostAt = -1;
    this.hostLength = 0;
    this.pathForm = PATH_FORM.NONE;
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
    this.eventStream = other.eventStream;
    this.grpcStatus = other.grpcStatus;
    this.grpcTimeoutMs = other.grpcTimeoutMs;
    this.teTrailers = other.teTrailers;
    this.expectContinue = other.expectContinue;
    this.hasHost = other.hasHost;
    this.trailer = other.trailer;
    this.origin = other.origin;
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

  /** Records an error, unless there is one already. */
  fail(code: number): void {
    if (this.error === 0) this.error = code;
  }

  /** Processes a field that `nameError` and `valueError` have accepted. `name` is a NAME. */
  add(bytes: Uint8Array, name: number, at: number, length: number): void {
    if (name === NAME.OTHER) return;
    if (name < FIRST_REGULAR) this.addPseudo(bytes, name, at, length);
    else this.addRegular(bytes, name, at, length);
  }

  /** Checks that need several fields. May be repeated after later `add`s. */
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
        if (length > 0 && bytes[at] === SLASH) this.pathForm = PATH_FORM.SLASH;
        else this.pathForm = length === 1 && bytes[at] === ASTERISK ? PATH_FORM.ASTERISK : PATH_FORM.BAD;
        if (skipTarget(bytes, at, end) !== end) this.fail(MALFORMED.PATH);
        return;
      case NAME.STATUS:
        this.status = statusOf(bytes, at, length);
        if (this.status === 0) this.fail(MALFORMED.STATUS);
        return;
      default:
        if (length === 0 || skipToken(bytes, at, end) !== end) this.fail(MALFORMED.PROTOCOL);
        this.protocol = equals(bytes, at, end, WEBSOCKET) ? CONNECT_PROTOCOL.WEBSOCKET : CONNECT_PROTOCOL.OTHER;
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
        // An empty Host is correct for a target without authority (RFC 9110 section 7.2).
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
        this.eventStream = isEventStream(bytes, at, end);
        return;
      case NAME.EXPECT:
        if (equals(bytes, at, end, CONTINUE)) this.expectContinue = true;
        return;
      case NAME.TRAILER:
        this.trailer = true;
        return;
      case NAME.ORIG_PROTO:
        this.origin = this.origin === ORIGIN.NONE ? originOf(bytes, at, length) : ORIGIN.OTHER;
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
  if (hundreds < 1 || hundreds > 9 || tens > 9 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** -1 if it is not a number up to 2^53-1. */
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

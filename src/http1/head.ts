// The parsed head of an HTTP/1 message (RFC 9112), as spans of the parsed bytes.

/** How the end of a body is found. CLOSE is for responses only. */
export const FRAMING = { NONE: 0, LENGTH: 1, CHUNKED: 2, CLOSE: 3 } as const;
/** Form of a request target (RFC 9112 section 3.2). */
export const FORM = { ORIGIN: 0, ABSOLUTE: 1, AUTHORITY: 2, ASTERISK: 3 } as const;

export interface HeadLimits {
  /** From the first byte (including empty lines before a request line) to the end of the blank line. */
  readonly maxHeaderBytes: number;
  /** Field lines; never more than the Head was made for. */
  readonly maxHeaders: number;
  readonly maxTargetBytes: number;
}

/** A parsed head. Reused: each parse overwrites it. All positions are absolute in the parsed bytes. */
export class Head {
  /** METHOD of a request; its bytes are [methodStart, methodEnd). */
  method = 0;
  methodStart = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  /** FORM of the target. */
  form = 0;
  /** Authority of the request: the target's if it has one, else Host's value; -1 if there is none. */
  authorityStart = -1;
  authorityEnd = -1;
  /** Path and query. Empty means `/`; a leading `?` needs a `/` before it. */
  pathStart = 0;
  pathEnd = 0;
  /** Value of the Host field, -1 if there is none. */
  hostStart = -1;
  hostEnd = -1;
  hostIndex = -1;
  /** Start line [lineStart, lineEnd), including its CRLF. */
  lineStart = 0;
  lineEnd = 0;
  /** 0 for HTTP/1.0; 1 for HTTP/1.1 and up to 1.9. */
  minor = 0;
  /** Status of a response, 100 to 999; 0 in a request. */
  status = 0;
  reasonStart = 0;
  reasonEnd = 0;
  /** Field lines. */
  count = 0;
  /** Four positions per field: nameStart, nameEnd, valueStart, valueEnd. Values exclude surrounding whitespace. */
  readonly fields: Int32Array;
  /** FIELD_KIND per field: 0 is forwarded, all others are hop-by-hop or rewritten. */
  readonly kind: Uint8Array;
  /** FRAMING of the body that follows. */
  framing = 0;
  /** Content-Length, -1 if there is none or none is allowed. With framing NONE it describes a body that isn't sent (HEAD, 304). */
  contentLength = -1;
  /** Whether Transfer-Encoding is chunked, and so the framing. */
  chunked = false;
  /** Whether body bytes may follow: chunked, until close, or a length above 0. */
  hasBody = false;
  /** Whether the sender keeps the connection open after this message, as far as this head tells. */
  keepAlive = false;
  /** OPTION bits of all Connection fields. */
  options = 0;
  optionCount = 0;
  /** One Upgrade field, named in Connection, HTTP/1.1, no body, not h2c. */
  upgrade = false;
  upgrades = 0;
  upgradeStart = -1;
  upgradeEnd = -1;
  /** `Expect: 100-continue` of an HTTP/1.1 request with a body. */
  expectContinue = false;
  /** The same without a body, with a length of 0: the client waits nevertheless. */
  continueNow = false;
  /** Whether there is a Trailer field. */
  trailer = false;
  /** `TE: trailers`, which is forwarded. */
  te = false;
  /** A response with the content type text/event-stream. */
  eventStream = false;
  /** Position after the head. */
  end = 0;

  constructor(maxHeaders: number) {
    this.fields = new Int32Array(4 * maxHeaders);
    this.kind = new Uint8Array(maxHeaders);
  }

  /** Appends a field, written as `name: value` CRLF somewhere in the parsed bytes. The caller must not exceed the capacity. */
  append(nameStart: number, nameEnd: number, valueEnd: number): void {
    const { fields, kind, count } = this;
    if (count === kind.length) return;
    const field = count << 2;
    fields[field] = nameStart;
    fields[field + 1] = nameEnd;
    fields[field + 2] = nameEnd + 2;
    fields[field + 3] = valueEnd;
    kind[count] = 0;
    this.count = count + 1;
  }
}

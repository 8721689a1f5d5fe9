// The state of HTTP/1 exchanges: one request and its response. Columns over the socket table; a client connection has at most
// one exchange at a time (pipelined requests wait in its inbox), and an upstream connection serves one.

import { BodyReader } from '../http1/body.js';
import { FRAMING, Head, METHOD } from '../http1/head.js';

/** Of a client connection. */
export const REQUEST = {
  /** Between requests, or in the middle of a head. */
  HEAD: 0,
  /** The body is arriving. */
  BODY: 1,
  /** The request is complete; its response is awaited or under way. */
  COMPLETE: 2,
} as const;

/** Of an upstream connection in an exchange. */
export const RESPONSE = {
  HEAD: 0,
  BODY: 1,
} as const;

/** Where a body direction (named by its source) is on the way from copy to splice. */
export const FLOW = { COPY: 0, PAUSING: 1, DRAINING: 2, SPLICE: 3 } as const;

const NONE = -1;

export class Exchanges {
  /** Parsed last; valid until the next parse. */
  readonly head: Head;
  readonly bodies: BodyReader;

  // By client slot.
  readonly request: Uint8Array;
  readonly service: Int32Array;
  readonly method: Uint8Array;
  /** Minor version of the request. */
  readonly minor: Uint8Array;
  /** The client connection survives this exchange. */
  readonly keep: Uint8Array;
  /** The request asked for an Upgrade. */
  readonly upgrade: Uint8Array;
  /** The head of the final response has been sent. */
  readonly answered: Uint8Array;
  /** A request has begun and is not over. */
  readonly pending: Uint8Array;
  /** Upstreams tried for this request. */
  readonly attempts: Uint8Array;
  /** The endpoint's stream, where the request went to one that speaks HTTP/2 (or the tunnel that came of it); else -1. */
  readonly stream: Int32Array;
  /** The request as it was sent, for a retry: buffer, offset and length. -1 where it can't be sent again. */
  readonly retained: Int32Array;
  readonly retainedAt: Int32Array;
  readonly retainedLength: Int32Array;
  /** When the request head was read, ms. */
  readonly started: Float64Array;
  /** When the first byte of the head that is being read came, ms; 0 if none has. */
  readonly headSince: Float64Array;
  /** Bytes of an incomplete head that were already searched for its end. */
  readonly scanned: Int32Array;
  readonly requests: Int32Array;
  /** FRAMING of the response as the client gets it. */
  readonly framingOut: Uint8Array;
  /** Kept for the access log, where it is on. */
  readonly target: (string | undefined)[] = [];

  // By upstream slot.
  readonly response: Uint8Array;
  /** Some byte of the response has come. */
  readonly heard: Uint8Array;
  /** The connection ended (1) or broke (2) while a send was under way. */
  readonly ended: Uint8Array;
  /** Requests served before this one; more than 0: it may be stale. */
  readonly served: Int32Array;
  /** Bytes of this request that the kernel took. */
  readonly sent: Float64Array;
  readonly status: Uint16Array;
  /** The endpoint keeps the connection open after this response. */
  readonly reusable: Uint8Array;
  /** Time from request to response head, ms. */
  readonly latency: Float64Array;

  // By source of a body.
  readonly flow: Uint8Array;
  readonly throttled: Uint8Array;

  constructor(slots: number, maxHeaders: number, maxTrailerBytes: number) {
    this.head = new Head(maxHeaders);
    this.bodies = new BodyReader(slots, maxTrailerBytes);
    this.request = new Uint8Array(slots);
    this.service = new Int32Array(slots);
    this.method = new Uint8Array(slots);
    this.minor = new Uint8Array(slots);
    this.keep = new Uint8Array(slots);
    this.upgrade = new Uint8Array(slots);
    this.answered = new Uint8Array(slots);
    this.pending = new Uint8Array(slots);
    this.attempts = new Uint8Array(slots);
    this.stream = new Int32Array(slots).fill(NONE);
    this.retained = new Int32Array(slots).fill(NONE);
    this.retainedAt = new Int32Array(slots);
    this.retainedLength = new Int32Array(slots);
    this.started = new Float64Array(slots);
    this.headSince = new Float64Array(slots);
    this.scanned = new Int32Array(slots);
    this.requests = new Int32Array(slots);
    this.framingOut = new Uint8Array(slots);
    this.response = new Uint8Array(slots);
    this.heard = new Uint8Array(slots);
    this.ended = new Uint8Array(slots);
    this.served = new Int32Array(slots);
    this.sent = new Float64Array(slots);
    this.status = new Uint16Array(slots);
    this.reusable = new Uint8Array(slots);
    this.latency = new Float64Array(slots);
    this.flow = new Uint8Array(slots);
    this.throttled = new Uint8Array(slots);
  }

  /** A new client connection for `service`. */
  openClient(client: number, service: number): void {
    this.request[client] = REQUEST.HEAD;
    this.service[client] = service;
    this.requests[client] = 0;
    this.keep[client] = 1;
    this.answered[client] = 0;
    this.pending[client] = 0;
    this.stream[client] = NONE;
    this.retained[client] = NONE;
    this.headSince[client] = 0;
    this.scanned[client] = 0;
    this.flow[client] = FLOW.COPY;
    this.throttled[client] = 0;
  }

  /** A new upstream connection. */
  openUpstream(upstream: number): void {
    this.served[upstream] = 0;
    this.flow[upstream] = FLOW.COPY;
    this.throttled[upstream] = 0;
  }

  /** The upstream connection takes the next request. */
  link(upstream: number): void {
    this.response[upstream] = RESPONSE.HEAD;
    this.heard[upstream] = 0;
    this.ended[upstream] = 0;
    this.sent[upstream] = 0;
    this.scanned[upstream] = 0;
    this.reusable[upstream] = 0;
    this.status[upstream] = 0;
  }

  idempotent(client: number): boolean {
    return isIdempotent(this.method[client]);
  }

  chunkedOut(client: number): boolean {
    return this.framingOut[client] === FRAMING.CHUNKED;
  }
}

/** RFC 9110 section 9.2.2: sending a request of this METHOD twice has the effect of sending it once. */
export function isIdempotent(method: number): boolean {
  switch (method) {
    case METHOD.GET:
    case METHOD.HEAD:
    case METHOD.PUT:
    case METHOD.DELETE:
    case METHOD.OPTIONS:
    case METHOD.TRACE:
      return true;
    default:
      return false;
  }
}

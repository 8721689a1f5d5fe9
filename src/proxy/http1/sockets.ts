// HTTP/1 state of sockets: columns over the socket table. A client's connection has at most one exchange at a time (pipelined requests wait
// in its inbox); a connection to an endpoint serves one.
import { column } from '../../http/columns.js';
import { BodyReader } from '../../http1/body.js';
import { FRAMING, Head } from '../../http1/head.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';

/** State of a client's connection. */
export const REQUEST = {
  /** Between requests, or in the middle of a head. */
  HEAD: 0,
  /** The body is arriving. */
  BODY: 1,
  /** The request is complete; its response is awaited or in progress. */
  COMPLETE: 2,
} as const;

/** State of an endpoint's connection in an exchange. */
export const RESPONSE = {
  HEAD: 0,
  BODY: 1,
  TUNNEL: 2,
  /** The response is complete, but the endpoint is still reading the request. */
  DONE: 3,
} as const;

/** How to forward DATA of an HTTP/2 client to an endpoint, and whether the request is complete. */
export const SENDING = {
  /** Plain: its length is known. */
  PLAIN: 0,
  CHUNKED: 1,
  /** Kept until the endpoint has agreed to a tunnel. */
  AWAITING_TUNNEL: 2,
  TUNNEL: 3,
  /** All of it is on its way. */
  DONE: 4,
  /** The endpoint accepts no more: discard it. */
  REFUSED: 5,
} as const;

/** How an endpoint's connection ended during a send. */
export const ENDED = { NO: 0, CLOSED: 1, BROKEN: 2 } as const;

/** Progress of a direction, named by its source, from copying to splicing. */
export const FLOW = { COPY: 0, PAUSING: 1, DRAINING: 2, SPLICE: 3 } as const;

/** Fields of a message, plus two that may be added. */
const MAX_HEADERS = 1024 + 2;

export class Http1Sockets {
  /** The head parsed last; valid until the next parse. */
  readonly head = new Head(MAX_HEADERS);
  /** Body readers, by source. */
  readonly bodies: BodyReader;

  /** The client whose request is just beginning, -1 for none: an answer at this moment must not start the next request. */
  beginning = -1;

  // Columns for clients.
  readonly request: Uint8Array;
  /** Minor version of the request. */
  readonly minor: Uint8Array;
  /** The connection survives this exchange. */
  readonly keepAlive: Uint8Array;
  /** When the first byte of the current head arrived, ms; 0 if none has. */
  readonly headSince: Float64Array;
  /** Number of requests on the connection. */
  readonly requests: Int32Array;
  /** FRAMING of the response to the client. */
  readonly framingOut: Uint8Array;
  /** 1: the client waits for a 100 before it sends its body. Given another answer it may send its next request instead. */
  readonly expectsContinue: Uint8Array;
  /** 1: the endpoint has answered early and is still reading. */
  readonly mayReadOn: Uint8Array;

  // Columns for endpoints.
  /** The exchange that the connection serves, plus 1; 0 for none. */
  private readonly serving: Int32Array;
  readonly response: Uint8Array;
  /** One of SENDING. */
  readonly sending: Uint8Array;
  /** Whether any byte of the response has arrived. */
  readonly responseBegun: Uint8Array;
  /** One of ENDED. */
  readonly ended: Uint8Array;
  /** Requests served before this one; if more than 0 the connection may be stale. */
  readonly served: Int32Array;
  /** Bytes of this request taken by the kernel. */
  readonly sent: Float64Array;
  /** The endpoint keeps the connection open after this response. */
  readonly reusable: Uint8Array;

  // Columns for either kind of source.
  /** Bytes of an incomplete head already searched for its end. */
  readonly scanned: Int32Array;
  /** 1: that head, or trailer section, is larger than a buffer. */
  readonly large: Uint8Array;
  /** One of FLOW. */
  readonly flow: Uint8Array;
  /** 1: paused because its reader is slow. */
  readonly throttled: Uint8Array;

  constructor(slots: number, maxTrailerBytes: number) {
    this.bodies = new BodyReader(slots, maxTrailerBytes);
    this.request = column(Uint8Array, slots);
    this.minor = column(Uint8Array, slots);
    this.keepAlive = column(Uint8Array, slots);
    this.headSince = column(Float64Array, slots);
    this.requests = column(Int32Array, slots);
    this.framingOut = column(Uint8Array, slots);
    this.expectsContinue = column(Uint8Array, slots);
    this.mayReadOn = column(Uint8Array, slots);
    this.serving = column(Int32Array, slots);
    this.response = column(Uint8Array, slots);
    this.sending = column(Uint8Array, slots);
    this.responseBegun = column(Uint8Array, slots);
    this.ended = column(Uint8Array, slots);
    this.served = column(Int32Array, slots);
    this.sent = column(Float64Array, slots);
    this.reusable = column(Uint8Array, slots);
    this.scanned = column(Int32Array, slots);
    this.large = column(Uint8Array, slots);
    this.flow = column(Uint8Array, slots);
    this.throttled = column(Uint8Array, slots);
  }

  /** Columns by socket of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [
      this.request,
      this.minor,
      this.keepAlive,
      this.headSince,
      this.requests,
      this.framingOut,
      this.expectsContinue,
      this.mayReadOn,
      this.serving,
      this.response,
      this.sending,
      this.responseBegun,
      this.ended,
      this.served,
      this.sent,
      this.reusable,
      this.scanned,
      this.large,
      this.flow,
      this.throttled,
      ...this.bodies.columns(),
    ];
  }

  /** A new client connection. */
  openClient(client: SocketSlot): void {
    this.request[client] = REQUEST.HEAD;
    this.requests[client] = 0;
    this.keepAlive[client] = 1;
    this.headSince[client] = 0;
    this.scanned[client] = 0;
    this.large[client] = 0;
    this.resetFlow(client);
  }

  /** A new connection to an endpoint. */
  openEndpoint(endpoint: SocketSlot): void {
    this.served[endpoint] = 0;
    this.serving[endpoint] = 0;
    this.resetFlow(endpoint);
  }

  /** Assigns a request to the endpoint's connection. */
  link(endpoint: SocketSlot, x: ExchangeSlot): void {
    this.serving[endpoint] = x + 1;
    this.response[endpoint] = RESPONSE.HEAD;
    this.sending[endpoint] = SENDING.DONE;
    this.responseBegun[endpoint] = 0;
    this.ended[endpoint] = ENDED.NO;
    this.sent[endpoint] = 0;
    this.scanned[endpoint] = 0;
    this.large[endpoint] = 0;
    this.reusable[endpoint] = 0;
  }

  /** Detaches it. */
  unlink(endpoint: SocketSlot): void {
    this.serving[endpoint] = 0;
  }

  /** The exchange that an endpoint's connection serves, or -1. */
  exchange(endpoint: SocketSlot): ExchangeSlot | -1 {
    return (this.serving[endpoint] - 1) as ExchangeSlot | -1;
  }

  /** Resets a flow's history for the next message. */
  resetFlow(source: SocketSlot): void {
    this.flow[source] = FLOW.COPY;
    this.throttled[source] = 0;
  }

  /** Whether the client gets its response in chunks. */
  chunkedOut(client: SocketSlot): boolean {
    return this.framingOut[client] === FRAMING.CHUNKED;
  }
}

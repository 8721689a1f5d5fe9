// Exchanges: one request each, with its response. Struct of arrays.
//
// An exchange has two legs. The client's leg determines its number: the exchange of an HTTP/1 client has the slot of the client's socket;
// that of a client's stream has the number of sockets plus the stream's slot. So exchanges need no allocation and no lookup. The endpoint's
// leg changes as endpoints are tried: `kind` says what it is, `id` which socket or stream.

import { column } from '../../http/columns.js';
import { METHOD } from '../../http/methods.js';
import { objectArray } from '../../http/object-array.js';
import type { ExchangeSlot, SocketSlot, StreamSlot } from '../slots.js';

/** Progress of an exchange. table.ts says what follows what. */
export const STATE = {
  /** No request in progress. */
  FREE: 0,
  /** The request is kept, and queued for an HTTP/2 connection. */
  PENDING: 1,
  /** An endpoint has the request, or is getting it; the final response head has not arrived. */
  SENT: 2,
  /** The client is getting the response. */
  RESPONDING: 3,
  /** The endpoint has finished; part of the response is still on its way to the client. */
  FLUSHING: 4,
  /** Bytes in both directions until both sides have ended; no more messages. */
  TUNNEL: 5,
  /** The proxy has answered itself; part of the answer is still on its way. */
  LOCAL_REPLY: 6,
} as const;
export type StateKind = (typeof STATE)[keyof typeof STATE];

/** Endpoints tried for one request, including failed connects. */
export const MAX_ATTEMPTS = 3;

/** Kind of an endpoint's leg: `Exchanges.kind`. */
export const LEG = {
  NONE: 0,
  /** A socket to an endpoint that speaks HTTP/1. */
  HTTP1: 1,
  /** A stream on a connection to one that speaks HTTP/2. */
  HTTP2: 2,
  /** A place in the queue for an HTTP/2 connection. */
  PENDING: 3,
} as const;
export type LegKind = (typeof LEG)[keyof typeof LEG];

/** What a request wants its connection to become: `Exchanges.upgrade`. */
export const UPGRADE = {
  NONE: 0,
  /** Some protocol, by HTTP/1's Upgrade. HTTP/2 cannot express it. */
  OTHER: 1,
  /** A WebSocket: Upgrade in HTTP/1, extended CONNECT (RFC 8441) in HTTP/2. */
  WEBSOCKET: 2,
} as const;

/** Latencies over half an hour count as that, as in the histograms, µs. */
export const MAX_LATENCY_US = 0x7fffffff;
const NONE = -1;

/** Writing takes memory, even writing 0, so a column that is mostly 0 is written only if needed. */
function clear(column: Uint8Array, x: ExchangeSlot): void {
  if (column[x] !== 0) column[x] = 0;
}

/** The connections of clients' streams. */
interface ClientStreams {
  readonly streams: { readonly connection: readonly ({ readonly socket: number } | null)[] };
}

/** Bits of `telemetry`: there is a `target`; a tap may see it; it has a span. */
export const TELEMETRY = { TARGET: 1, TAP: 2, SPAN: 4 } as const;

export class Exchanges {
  /** One of STATE. */
  readonly state: Uint8Array;
  readonly service: Int32Array;
  /** METHOD of the request. */
  readonly method: Uint8Array;
  /** 1: the client speaks gRPC. */
  readonly grpc: Uint8Array;
  /** 1: the response is an event stream, which may be silent without limit. */
  readonly eventStream: Uint8Array;
  /** One of UPGRADE. */
  readonly upgrade: Uint8Array;
  /** 1: the request has no body. */
  readonly bodyless: Uint8Array;
  /** 1: the whole request has been received. */
  readonly requestComplete: Uint8Array;
  /** 1: an endpoint that speaks HTTP/2 has completed its response, and still accepts the request. */
  readonly respondedEarly: Uint8Array;
  /** When the request's head was complete, ms. */
  readonly started: Float64Array;
  /** Endpoints tried. */
  readonly attempts: Uint8Array;
  /** 1: counted as in flight for its service. */
  readonly inFlight: Uint8Array;
  /** 1: counted as in flight for its endpoint. */
  readonly endpointInFlight: Uint8Array;
  /** The last endpoint picked, -1 before. */
  readonly endpoint: Int32Array;
  /** What the balancer returned for it: see `Balancer.begin`. */
  readonly ejections: Int32Array;
  /** 1: a gRPC call whose response has begun but has no message yet. */
  readonly awaitsMessage: Uint8Array;
  /** VERSION of the request to its endpoint. */
  readonly version: Uint8Array;
  /** ORIGIN of a request that a mesh proxy has carried over HTTP/2: what to turn it back into. */
  readonly origin: Uint8Array;
  /** 1: an HTTP/1 request carried over HTTP/2 to a proxy that turns it back. */
  readonly origProto: Uint8Array;
  /** One of LEG, and its number. */
  readonly kind: Uint8Array;
  readonly id: Int32Array;
  /** Status of the endpoint's response, 0 before it arrives. */
  readonly status: Uint16Array;
  /** Its grpc-status, -1 before it arrives. */
  readonly grpcStatus: Int8Array;
  /** Time from request to response head, µs. */
  readonly latencyUs: Int32Array;
  /** Links of the queue for a connection, and time of joining, ms. */
  readonly pendingNext: Int32Array;
  readonly pendingPrev: Int32Array;
  readonly pendingSince: Float64Array;
  /** For the access log and taps, recorded while anybody observes: bytes of the client's and the endpoint's content; the request. */
  readonly received: Float64Array;
  readonly sent: Float64Array;
  readonly target = objectArray<string | undefined>();
  /** What to report when it ends, as TELEMETRY bits. For most it is 0, and their bytes are not counted. */
  readonly telemetry: Uint8Array;
  /** Sec-WebSocket-Key: the client's, or one generated for the endpoint, for WebSockets between different versions of HTTP. */
  readonly keys = new Map<ExchangeSlot, Uint8Array>();

  constructor(
    /** Number of sockets per worker: the exchanges of streams begin here. */
    readonly sockets: number,
    /** Number of streams per worker. */
    readonly streams: number,
  ) {
    const n = sockets + streams;
    this.state = column(Uint8Array, n);
    this.service = column(Int32Array, n);
    this.method = column(Uint8Array, n);
    this.grpc = column(Uint8Array, n);
    this.eventStream = column(Uint8Array, n);
    this.upgrade = column(Uint8Array, n);
    this.bodyless = column(Uint8Array, n);
    this.requestComplete = column(Uint8Array, n);
    this.respondedEarly = column(Uint8Array, n);
    this.started = column(Float64Array, n);
    this.attempts = column(Uint8Array, n);
    this.inFlight = column(Uint8Array, n);
    this.endpointInFlight = column(Uint8Array, n);
    this.endpoint = column(Int32Array, n);
    this.ejections = column(Int32Array, n);
    this.awaitsMessage = column(Uint8Array, n);
    this.version = column(Uint8Array, n);
    this.origin = column(Uint8Array, n);
    this.origProto = column(Uint8Array, n);
    this.kind = column(Uint8Array, n);
    this.id = column(Int32Array, n);
    this.status = column(Uint16Array, n);
    this.grpcStatus = column(Int8Array, n);
    this.latencyUs = column(Int32Array, n);
    this.pendingNext = column(Int32Array, n);
    this.pendingPrev = column(Int32Array, n);
    this.pendingSince = column(Float64Array, n);
    this.received = column(Float64Array, n);
    this.sent = column(Float64Array, n);
    this.telemetry = column(Uint8Array, n);
  }

  /** Columns of which the cells of exchanges may become 0 whose client's slot is free. */
  columns(): readonly ArrayBufferView[] {
    return [
      this.state,
      this.service,
      this.method,
      this.grpc,
      this.eventStream,
      this.upgrade,
      this.bodyless,
      this.requestComplete,
      this.respondedEarly,
      this.started,
      this.attempts,
      this.inFlight,
      this.endpointInFlight,
      this.endpoint,
      this.ejections,
      this.awaitsMessage,
      this.version,
      this.origin,
      this.origProto,
      this.kind,
      this.id,
      this.status,
      this.grpcStatus,
      this.latencyUs,
      this.pendingNext,
      this.pendingPrev,
      this.pendingSince,
      this.received,
      this.sent,
      this.telemetry,
    ];
  }

  /** Total number of exchange slots. */
  get capacity(): number {
    return this.sockets + this.streams;
  }

  ofSocket(client: SocketSlot): ExchangeSlot {
    return client as number as ExchangeSlot;
  }

  ofStream(stream: StreamSlot): ExchangeSlot {
    return (this.sockets + stream) as ExchangeSlot;
  }

  /** Whether the client's leg is a stream; else it is a socket that speaks HTTP/1. */
  isStream(x: ExchangeSlot): boolean {
    return x >= this.sockets;
  }

  /** The client's socket, if it speaks HTTP/1. */
  clientSocket(x: ExchangeSlot): SocketSlot {
    return x as number as SocketSlot;
  }

  /** The client's stream, if it speaks HTTP/2. */
  clientStream(x: ExchangeSlot): StreamSlot {
    return (x - this.sockets) as StreamSlot;
  }

  /** The socket of the client's connection in either version; -1 if its stream has been detached from it. */
  client(x: ExchangeSlot, core: ClientStreams): number {
    return this.isStream(x) ? (core.streams.connection[this.clientStream(x)]?.socket ?? -1) : this.clientSocket(x);
  }

  /** The endpoint's socket; only valid if `kind` is LEG.HTTP1. */
  endpointSocket(x: ExchangeSlot): SocketSlot {
    return this.id[x] as SocketSlot;
  }

  /** The endpoint's stream; only valid if `kind` is LEG.HTTP2. */
  endpointStream(x: ExchangeSlot): StreamSlot {
    return this.id[x] as StreamSlot;
  }

  /** A client's connection begins, with no request in progress. */
  clear(x: ExchangeSlot, service: number): void {
    this.state[x] = STATE.FREE;
    this.inFlight[x] = 0;
    this.kind[x] = LEG.NONE;
    this.service[x] = service;
  }

  /** A request begins. The caller sets `started` itself, because passing a time would allocate. */
  begin(x: ExchangeSlot, service: number, method: number, grpc: boolean): void {
    this.state[x] = STATE.FREE;
    this.service[x] = service;
    this.method[x] = method;
    this.grpc[x] = grpc ? 1 : 0;
    clear(this.eventStream, x);
    clear(this.upgrade, x);
    this.attempts[x] = 0;
    this.inFlight[x] = 0;
    this.endpointInFlight[x] = 0;
    clear(this.respondedEarly, x);
    clear(this.origin, x);
    clear(this.origProto, x);
    this.kind[x] = LEG.NONE;
    this.endpoint[x] = NONE;
    this.status[x] = 0;
    this.grpcStatus[x] = NONE;
    this.latencyUs[x] = NONE;
    clear(this.awaitsMessage, x);
    if (this.received[x] !== 0) this.received[x] = 0;
    if (this.sent[x] !== 0) this.sent[x] = 0;
  }

  /** Whether the request asks for a tunnel: its body, or what looks like one, waits until the endpoint has agreed. */
  asksForTunnel(x: ExchangeSlot): boolean {
    return this.method[x] === METHOD.CONNECT || this.upgrade[x] !== UPGRADE.NONE;
  }

  /** Whether a 2xx of an endpoint that speaks HTTP/2 opens a tunnel; then the request must not end with its head. */
  tunnelsInHttp2(x: ExchangeSlot): boolean {
    return this.method[x] === METHOD.CONNECT || this.upgrade[x] === UPGRADE.WEBSOCKET;
  }

  /**
   * Whether an endpoint with a complete response may want the rest of the request, like one that answers 202 and reads on. An error means
   * it stops reading, a gRPC call is over with its status, and a tunnel is not a message.
   */
  continuesUpload(x: ExchangeSlot): boolean {
    const answering = this.state[x] === STATE.RESPONDING && this.status[x] < 400;
    return answering && this.requestComplete[x] === 0 && this.grpc[x] === 0 && !this.asksForTunnel(x);
  }

  /** Whether the client has the head of a response, or will get no more than it has. */
  answered(x: ExchangeSlot): boolean {
    return this.state[x] >= STATE.RESPONDING;
  }

  /** METHOD that the response answers in HTTP/1 terms: there, a WebSocket is requested with GET. */
  methodInHttp1(x: ExchangeSlot): number {
    return this.upgrade[x] === UPGRADE.WEBSOCKET ? METHOD.GET : this.method[x];
  }
}

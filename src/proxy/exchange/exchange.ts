// Exchanges: one request each, and what becomes of it. Struct of arrays.
//
// An exchange has two legs. Its client's leg names it: the exchange of an HTTP/1 client has the slot of the client's socket, that of a
// client's stream has the stream's slot behind all sockets. So neither has to be allocated or looked up. Its endpoint's leg changes as
// endpoints are tried: `kind` says what it is, `id` which socket or stream.
import { METHOD } from '../../http/methods.js';
import type { ExchangeSlot, SocketSlot, StreamSlot } from '../slots.js';

/** How far an exchange has come. table.ts says what follows what. */
export const STATE = {
  /** Nothing is under way. */
  FREE: 0,
  /** The request is kept, in the line of those that wait for an HTTP/2 connection. */
  WAITING: 1,
  /** An endpoint has the request, or gets it; its final response head has not come. */
  SENT: 2,
  /** The client gets the response. */
  ANSWERING: 3,
  /** The endpoint has said all. Some of it is still on its way to the client. */
  FLUSHING: 4,
  /** No messages any more: bytes, both ways, until each side has ended. */
  TUNNEL: 5,
  /** The proxy has answered in its own name. Some of that is still on its way. */
  OWN: 6,
} as const;
export type StateKind = (typeof STATE)[keyof typeof STATE];

/** Endpoints tried for one request, connect failures included. */
export const MAX_ATTEMPTS = 3;

/** What an endpoint's leg is: `Exchanges.kind`. */
export const LEG = {
  NONE: 0,
  /** A socket to an endpoint that speaks HTTP/1. */
  HTTP1: 1,
  /** A stream on a connection to one that speaks HTTP/2. */
  HTTP2: 2,
  /** A place in the line of those that wait for an HTTP/2 connection. */
  LINE: 3,
} as const;
export type LegKind = (typeof LEG)[keyof typeof LEG];

/** What a request asks its connection to become: `Exchanges.upgrade`. */
export const UPGRADE = {
  NONE: 0,
  /** Some protocol, by HTTP/1's Upgrade. HTTP/2 can't say it. */
  OTHER: 1,
  /** A WebSocket: Upgrade in HTTP/1, extended CONNECT (RFC 8441) in HTTP/2. */
  WEBSOCKET: 2,
} as const;

/** Latencies beyond half an hour count as that, as in the histograms, µs. */
export const MAX_LATENCY_US = 0x7fffffff;
const NONE = -1;

/** A column that is 0 for most exchanges costs memory where it is written only, be that with 0. */
function clear(column: Uint8Array, x: ExchangeSlot): void {
  if (column[x] !== 0) column[x] = 0;
}

/** Which connections clients' streams are on. */
interface ClientStreams {
  readonly streams: { readonly connection: readonly ({ readonly socket: number } | null)[] };
}

export class Exchanges {
  /** One of STATE. */
  readonly state: Uint8Array;
  readonly service: Int32Array;
  /** METHOD of the request. */
  readonly method: Uint8Array;
  /** 1: the client speaks gRPC. */
  readonly grpc: Uint8Array;
  /** 1: the response is a stream of events, which may be silent for as long as it likes. */
  readonly eventStream: Uint8Array;
  /** One of UPGRADE. */
  readonly upgrade: Uint8Array;
  /** 1: the request ends with its head. */
  readonly bare: Uint8Array;
  /** 1: all of the request has come. */
  readonly whole: Uint8Array;
  /** 1: an endpoint that speaks HTTP/2 has said all of its response, and goes on taking the request. */
  readonly over: Uint8Array;
  /** When the head of the request had come, ms. */
  readonly started: Float64Array;
  /** Endpoints tried. */
  readonly attempts: Uint8Array;
  /** 1: counted as in flight with its service. */
  readonly pending: Uint8Array;
  /** 1: counted as in flight with its endpoint. */
  readonly counted: Uint8Array;
  /** Endpoint that was picked last, -1 before. */
  readonly endpoint: Int32Array;
  /** What the balancer gave for it when it was begun there: see `Balancer.begin`. */
  readonly stay: Int32Array;
  /** 1: a gRPC call whose response has begun, but has brought no message yet. */
  readonly silent: Uint8Array;
  /** VERSION in which the request goes to its endpoint. */
  readonly version: Uint8Array;
  /** ORIGIN of a request that a proxy of the mesh has carried over HTTP/2: what it is made again. */
  readonly origin: Uint8Array;
  /** 1: the request is HTTP/1, and is carried over HTTP/2 to a proxy that makes it that again. */
  readonly carried: Uint8Array;
  /** One of LEG, and which. */
  readonly kind: Uint8Array;
  readonly id: Int32Array;
  /** Status of the endpoint's response, 0 until it came. */
  readonly status: Uint16Array;
  /** Its grpc-status, -1 until it came. */
  readonly grpcStatus: Int8Array;
  /** Time from request to response head, µs. */
  readonly latencyUs: Int32Array;
  /** Neighbours in the line for a connection, and since when, ms. */
  readonly lineNext: Int32Array;
  readonly linePrev: Int32Array;
  readonly lineSince: Float64Array;
  /** For the access log and for who taps, counted and kept while somebody wants it: bytes of the client's and the endpoint's content; who asks for what. */
  readonly received: Float64Array;
  readonly sent: Float64Array;
  readonly target: (string | undefined)[] = [];
  /** 1 where there is such a text. */
  readonly told: Uint8Array;
  /** Sec-WebSocket-Key: the client's, or the one made for the endpoint, of WebSockets whose versions of HTTP differ. */
  readonly keys = new Map<ExchangeSlot, Uint8Array>();

  constructor(
    /** Sockets that a worker may have: where the exchanges of streams begin. */
    readonly sockets: number,
    /** Streams that a worker may have. */
    readonly streams: number,
  ) {
    const n = sockets + streams;
    this.state = new Uint8Array(n);
    this.service = new Int32Array(n);
    this.method = new Uint8Array(n);
    this.grpc = new Uint8Array(n);
    this.eventStream = new Uint8Array(n);
    this.upgrade = new Uint8Array(n);
    this.bare = new Uint8Array(n);
    this.whole = new Uint8Array(n);
    this.over = new Uint8Array(n);
    this.started = new Float64Array(n);
    this.attempts = new Uint8Array(n);
    this.pending = new Uint8Array(n);
    this.counted = new Uint8Array(n);
    this.endpoint = new Int32Array(n);
    this.stay = new Int32Array(n);
    this.silent = new Uint8Array(n);
    this.version = new Uint8Array(n);
    this.origin = new Uint8Array(n);
    this.carried = new Uint8Array(n);
    this.kind = new Uint8Array(n);
    this.id = new Int32Array(n);
    this.status = new Uint16Array(n);
    this.grpcStatus = new Int8Array(n);
    this.latencyUs = new Int32Array(n);
    this.lineNext = new Int32Array(n);
    this.linePrev = new Int32Array(n);
    this.lineSince = new Float64Array(n);
    this.received = new Float64Array(n);
    this.sent = new Float64Array(n);
    this.told = new Uint8Array(n);
  }

  /** All exchanges there can be. */
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

  /** The client's socket, where it speaks HTTP/1. */
  clientSocket(x: ExchangeSlot): SocketSlot {
    return x as number as SocketSlot;
  }

  /** The client's stream, where it speaks HTTP/2. */
  clientStream(x: ExchangeSlot): StreamSlot {
    return (x - this.sockets) as StreamSlot;
  }

  /** The socket of the client's connection, whichever version it speaks; -1 where its stream is off it. */
  client(x: ExchangeSlot, core: ClientStreams): number {
    return this.isStream(x) ? (core.streams.connection[this.clientStream(x)]?.socket ?? -1) : this.clientSocket(x);
  }

  /** The endpoint's socket; meaningful where `kind` is LEG.HTTP1. */
  endpointSocket(x: ExchangeSlot): SocketSlot {
    return this.id[x] as SocketSlot;
  }

  /** The endpoint's stream; meaningful where `kind` is LEG.HTTP2. */
  endpointStream(x: ExchangeSlot): StreamSlot {
    return this.id[x] as StreamSlot;
  }

  /** A client's connection begins: nothing is under way on it. */
  clear(x: ExchangeSlot, service: number): void {
    this.state[x] = STATE.FREE;
    this.pending[x] = 0;
    this.kind[x] = LEG.NONE;
    this.service[x] = service;
  }

  /** A request begins. The caller notes when in `started`, as a time that is handed on is allocated. */
  begin(x: ExchangeSlot, service: number, method: number, grpc: boolean): void {
    this.state[x] = STATE.FREE;
    this.service[x] = service;
    this.method[x] = method;
    this.grpc[x] = grpc ? 1 : 0;
    clear(this.eventStream, x);
    clear(this.upgrade, x);
    this.attempts[x] = 0;
    this.pending[x] = 0;
    this.counted[x] = 0;
    clear(this.over, x);
    clear(this.origin, x);
    clear(this.carried, x);
    this.kind[x] = LEG.NONE;
    this.endpoint[x] = NONE;
    this.status[x] = 0;
    this.grpcStatus[x] = NONE;
    this.latencyUs[x] = NONE;
    clear(this.silent, x);
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
   * Whether an endpoint whose response is complete may want the rest of the request: one that says 202 and reads on. An error is said
   * instead of reading on, a call of gRPC is over with its status, and a tunnel is no message.
   */
  goesOn(x: ExchangeSlot): boolean {
    const answering = this.state[x] === STATE.ANSWERING && this.status[x] < 400;
    return answering && this.whole[x] === 0 && this.grpc[x] === 0 && !this.asksForTunnel(x);
  }

  /** Whether the client has got the head of a response, or is to get no more than it has. */
  answered(x: ExchangeSlot): boolean {
    return this.state[x] >= STATE.ANSWERING;
  }

  /** METHOD that the response answers as HTTP/1 has it: a WebSocket is asked for by GET there. */
  methodInHttp1(x: ExchangeSlot): number {
    return this.upgrade[x] === UPGRADE.WEBSOCKET ? METHOD.GET : this.method[x];
  }
}

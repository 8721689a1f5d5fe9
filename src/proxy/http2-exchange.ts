// What the proxy knows of HTTP/2 streams: columns over the streams' slots. An exchange is a client's stream and what serves it: a
// stream on an endpoint's connection, or an HTTP/1 socket. What the endpoint's side knows survives a change of connection.
import type { Chains } from '../http2/chains.js';

const NONE = -1;
/** Latencies beyond half an hour count as that, as in the histograms, µs. */
export const MAX_LATENCY_US = 0x7fffffff;
/** In `socket`: the HTTP/1 connection has done its part. */
export const GONE = -2;

/** What the endpoint's side of an exchange waits for. */
export const WAITING = {
  NO: 0,
  /** In the line of those that wait for an HTTP/2 connection of its endpoint. */
  POOL: 1,
  /** For the HTTP/1 connection that is dialled for it. */
  DIALLED: 2,
} as const;

export class StreamExchanges {
  // By the client's stream.
  readonly service: Int32Array;
  readonly method: Uint8Array;
  readonly grpc: Uint8Array;
  /** When the request came, ms. */
  readonly started: Float64Array;
  /** The head of the final response has been sent. */
  readonly answered: Uint8Array;
  /** Counted as in flight. */
  readonly pending: Uint8Array;
  /** Endpoints tried. */
  readonly attempts: Uint8Array;
  /** The socket of an HTTP/1 client that this slot stands for; -1: it is a stream of a client. */
  readonly client: Int32Array;
  /** Kept for the access log, where it is on. */
  readonly target: (string | undefined)[] = [];

  // By the endpoint's stream.
  readonly endpoint: Int32Array;
  readonly status: Uint16Array;
  /** -1 until it came. */
  readonly grpcStatus: Int8Array;
  /** Time from request to response head, µs; -1 until it came. */
  readonly latencyUs: Int32Array;
  /** Octets of the saved head at the beginning of the replay chain; 0: nothing is kept. */
  readonly saved: Int32Array;
  /** The request is complete in the replay chain. */
  readonly whole: Uint8Array;
  /** The HTTP/1 connection that serves it, -1 where there is none, or GONE. */
  readonly socket: Int32Array;
  /** The request is an extended CONNECT (RFC 8441), which not every endpoint takes. */
  readonly extended: Uint8Array;
  /** One of WAITING. */
  readonly waiting: Uint8Array;
  readonly waitNext: Int32Array;
  readonly waitPrev: Int32Array;
  readonly waitSince: Float64Array;

  constructor(
    slots: number,
    /** Requests as they came, until they need not be sent again. */
    readonly replay: Chains,
  ) {
    this.service = new Int32Array(slots);
    this.method = new Uint8Array(slots);
    this.grpc = new Uint8Array(slots);
    this.started = new Float64Array(slots);
    this.answered = new Uint8Array(slots);
    this.pending = new Uint8Array(slots);
    this.attempts = new Uint8Array(slots);
    this.client = new Int32Array(slots).fill(NONE);
    this.endpoint = new Int32Array(slots);
    this.status = new Uint16Array(slots);
    this.grpcStatus = new Int8Array(slots);
    this.latencyUs = new Int32Array(slots);
    this.saved = new Int32Array(slots);
    this.whole = new Uint8Array(slots);
    this.socket = new Int32Array(slots).fill(NONE);
    this.extended = new Uint8Array(slots);
    this.waiting = new Uint8Array(slots);
    this.waitNext = new Int32Array(slots);
    this.waitPrev = new Int32Array(slots);
    this.waitSince = new Float64Array(slots);
  }

  /** A client's stream begins; the caller notes when in `started`, as a time that is handed on is allocated. */
  openClient(slot: number, service: number, method: number, grpc: boolean): void {
    this.service[slot] = service;
    this.method[slot] = method;
    this.grpc[slot] = grpc ? 1 : 0;
    this.answered[slot] = 0;
    this.pending[slot] = 0;
    this.attempts[slot] = 0;
    this.client[slot] = NONE;
  }

  /** The endpoint's side of an exchange begins. */
  openUpstream(slot: number): void {
    this.endpoint[slot] = NONE;
    this.status[slot] = 0;
    this.grpcStatus[slot] = NONE;
    this.latencyUs[slot] = NONE;
    this.saved[slot] = 0;
    this.whole[slot] = 0;
    this.extended[slot] = 0;
    this.socket[slot] = NONE;
    this.waiting[slot] = WAITING.NO;
  }

  /** Forgets the request: it will not be sent again. */
  forget(slot: number): void {
    if (this.saved[slot] === 0) return;
    this.saved[slot] = 0;
    this.replay.clear(slot);
  }
}

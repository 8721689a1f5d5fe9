// Interfaces through which legs report upwards and pass bytes across. Legs know these, but neither each other nor the code that decides:
// lifecycle.ts implements `ExchangeEvents`; request-forwarder.ts and response-forwarder.ts implement the two sinks.
import type { ExchangeSlot, SocketSlot } from '../slots.js';

/** Events of an exchange. A leg that reports its end has released its socket or stream before. */
export interface ExchangeEvents {
  /**
   * A request has arrived: its head is in `Http1Sockets.head` (HTTP/1 clients) or in `Core.list`, and `Exchanges.begin` was called for it.
   * `meter`: start of its listener's block in the metrics. `error`: 0, or the codec's ERROR for which to reject it.
   */
  request(x: ExchangeSlot, meter: number, error: number): void;
  /** The client's request violates HTTP: `error` is an ERROR of the codec. */
  reject(x: ExchangeSlot, error: number): void;
  /** The proxy answers the request itself, for a reason that is not the endpoint's. */
  replyLocally(x: ExchangeSlot, status: number, why: number): void;
  /** The client's connection ended in the middle of its request. */
  truncated(x: ExchangeSlot): void;
  /** The client has sent more than there is memory for. */
  overflowed(x: ExchangeSlot): void;
  /** There is no buffer for data that would have to wait. */
  outOfMemory(x: ExchangeSlot): void;
  /** The whole request has been received. */
  requestReceived(x: ExchangeSlot): void;
  /** A connection is available for the queued request: `Legs.dequeue` takes it. */
  ready(x: ExchangeSlot): void;
  /** No connection could be established: nothing was processed. */
  connectFailed(x: ExchangeSlot, why: number): void;
  /**
   * The endpoint says that it has not processed the request, and will not. `code`: of the RST_STREAM, or of the GOAWAY (NO_ERROR: it is
   * just closing the connection).
   */
  refused(x: ExchangeSlot, code: number): void;
  /**
   * The endpoint's connection ended before its response did: `reason` is its CLOSE. `stale`: it had served before and nothing of the
   * response had arrived, so it may have ended before the request reached it. `signal`: the HEALTH_SIGNAL for the endpoint.
   */
  connectionLost(x: ExchangeSlot, reason: number, stale: boolean, signal: number): void;
  /** Sends the request again if that is allowed, because the connection may not have taken it. False if nothing was done. */
  retry(x: ExchangeSlot): boolean;
  /** The endpoint's connection accepts no more of the request: sends it again on another if allowed. False if nothing was done. */
  retryStalled(x: ExchangeSlot): boolean;
  /** The endpoint speaks the other version of HTTP: it can't have processed what it could not read. */
  wrongVersion(x: ExchangeSlot): void;
  /**
   * The endpoint aborted the exchange, or violated the protocol. `code`: HTTP/2's, for the client if it must know; `signal`: as for
   * `connectionLost`.
   */
  failed(x: ExchangeSlot, why: number, code: number, signal: number): void;
  /** As `failed`, for a response that can't be parsed: `error` is an ERROR of the codec. */
  malformed(x: ExchangeSlot, error: number): void;
  /** The head of the final response has arrived, with this status. */
  responded(x: ExchangeSlot, status: number): void;
  /** The first message of a gRPC response has arrived (`Exchanges.awaitsMessage`). */
  firstMessage(x: ExchangeSlot): void;
  /** The response is on its way to the client. */
  responding(x: ExchangeSlot): void;
  /** More of the response is on its way: moves its deadline. */
  progress(x: ExchangeSlot): void;
  /** The endpoint has agreed to a tunnel, and the client has been told. `ended`: the endpoint will send nothing. */
  upgraded(x: ExchangeSlot, ended: boolean): void;
  /** The endpoint has completed its response, and has been detached if it speaks HTTP/1. */
  ended(x: ExchangeSlot): void;
  /** A leg has sent everything it was given: the client's, or in a tunnel either. */
  flushed(x: ExchangeSlot): void;
  /** The client has left, or cancels its request. `reason`: the CLOSE of its connection if that is HTTP/1. */
  clientGone(x: ExchangeSlot, reason: number): void;
  /** An HTTP/1 client half-closed while waiting for its response: it has left, unless it has the whole response. */
  clientHalfClosed(x: ExchangeSlot, reason: number): void;
  /** The timer of a client's socket fired, or changed, while it has an exchange. */
  timer(x: ExchangeSlot): void;
  /** Checks the deadlines of an exchange whose client's leg is a stream; true if one of them ended it. */
  expireIfDue(x: ExchangeSlot): boolean;
}

/** From the client's leg to the endpoint's. */
export interface RequestSink {
  /** A piece of a request: what `BodyReader.read` just found in buffer `bid`, with its `result`. False if the exchange is over. */
  piece(x: ExchangeSlot, bid: number, result: number): boolean;
  /** A piece of a request that arrived as DATA. */
  data(x: ExchangeSlot, at: number, length: number, end: boolean): void;
  /** The trailers in `Core.list` end the request. */
  trailers(x: ExchangeSlot): void;
  /** The endpoint accepts no more of the request. */
  refused(x: ExchangeSlot): void;
  /** Ends an exchange with a complete response, although its endpoint still accepts the request. False if it is not one. */
  endEarly(x: ExchangeSlot): boolean;
  /** Everything queued for an endpoint that speaks HTTP/1 has been sent. */
  drained(x: ExchangeSlot): void;
  /** Bytes of the request that waited for an endpoint's window are on their way. */
  moved(x: ExchangeSlot, count: number): void;
  /** The other socket of an exchange between HTTP/1 sockets, -1 if that is something else. */
  oppositeSocket(socket: SocketSlot): SocketSlot | -1;
  /** The endpoint's socket accepted no more of a request spliced to it. */
  endpointSendFailed(endpoint: SocketSlot): void;
}

/** From the endpoint's leg to the client's. */
export interface ResponseSink {
  /** An HTTP/1 response head, in `Http1Sockets.head`; interim if its status is below 200 and not 101. */
  interimHead(x: ExchangeSlot): void;
  /**
   * The final head. [at, end) of `bid` follows it. Returns how far that was used, -1 if there is no more to do with the exchange. `ended`:
   * there is no body.
   */
  finalHead(x: ExchangeSlot, bid: number, at: number, end: number): number;
  /** Like `RequestSink.piece`, in the other direction. */
  piece(x: ExchangeSlot, bid: number, result: number): boolean;
  /** A response head in `Core.list`, interim or final. */
  head(x: ExchangeSlot, end: boolean): void;
  data(x: ExchangeSlot, at: number, length: number, end: boolean): void;
  trailers(x: ExchangeSlot): void;
  /** Everything queued for a client that speaks HTTP/1 has been sent. */
  drained(x: ExchangeSlot): void;
  /** Bytes of the response that waited for a client's window are on their way. */
  moved(x: ExchangeSlot, count: number): void;
}

/** All three interfaces, for parts that are constructed before the implementations. */
export class Reports {
  declare events: ExchangeEvents;
  declare requests: RequestSink;
  declare responses: ResponseSink;
}

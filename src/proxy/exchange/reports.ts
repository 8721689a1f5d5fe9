// What legs report upward, and what they hand across. Legs know these interfaces and neither each other nor who decides: lifecycle.ts
// implements `Control`, request-bytes.ts and response-bytes.ts the two ways.
import type { ExchangeSlot, SocketSlot } from '../slots.js';

/** What has happened to an exchange. A leg that reports the end of its part has let go of its socket or stream before. */
export interface Control {
  /**
   * A request has come: its head is in `Http1Sockets.head` (HTTP/1 clients) or in `Core.list`. `Exchanges.begin` was called for it.
   * `meter`: where its listener's block in the metrics begins. `error`: 0, or the ERROR of the codec for which it is to be rejected.
   */
  request(x: ExchangeSlot, meter: number, error: number): void;
  /** The client's request breaks HTTP: `error` is an ERROR of the codec. */
  reject(x: ExchangeSlot, error: number): void;
  /** The request is answered by the proxy itself, for a reason that is not the endpoint's. */
  giveUp(x: ExchangeSlot, status: number, why: number): void;
  /** The client's connection has ended in the middle of its request. */
  truncated(x: ExchangeSlot): void;
  /** The client has sent more than there is memory for. */
  overrun(x: ExchangeSlot): void;
  /** There is no buffer for something that would have to wait. */
  outOfMemory(x: ExchangeSlot): void;
  /** All of the request has come. */
  uploaded(x: ExchangeSlot): void;
  /** A connection for the request that waits in the line is to be had now: `Legs.leaveLine` takes it. */
  ready(x: ExchangeSlot): void;
  /** No connection could be made: nothing was processed. */
  undialled(x: ExchangeSlot, why: number): void;
  /**
   * The endpoint says that it has not processed the request, and will not. `code`: of the RST_STREAM, or of the GOAWAY (NO_ERROR: only its
   * connection comes to its end).
   */
  refused(x: ExchangeSlot, code: number): void;
  /**
   * The endpoint's connection ended before its response did: `reason` is its CLOSE. `stale`: it had served before and nothing of the
   * response had come, so that it may have ended before the request reached it. `sign`: the SIGN that this is of the endpoint.
   */
  lost(x: ExchangeSlot, reason: number, stale: boolean, sign: number): void;
  /** Sends the request again, if that may be done where the connection may not have taken it. False if nothing was done. */
  retry(x: ExchangeSlot): boolean;
  /** The endpoint's connection takes nothing more of the request: it is sent again on another if it may be. False if nothing was done. */
  stuck(x: ExchangeSlot): boolean;
  /** The endpoint speaks the other version of HTTP: it can't have processed what it could not read. */
  misunderstood(x: ExchangeSlot): void;
  /** The endpoint broke the exchange off, or the rules. `code`: HTTP/2's, for the client if it must know; `sign`: as of `lost`. */
  failed(x: ExchangeSlot, why: number, code: number, sign: number): void;
  /** As `failed`, for a response that can't be read: `error` is an ERROR of the codec. */
  malformed(x: ExchangeSlot, error: number): void;
  /** The head of the final response has come, with this status. */
  responded(x: ExchangeSlot, status: number): void;
  /** The first message of a gRPC response has come (`Exchanges.silent`). */
  spoke(x: ExchangeSlot): void;
  /** It is on its way to the client. */
  answering(x: ExchangeSlot): void;
  /** More of the response is on its way: its deadline moves. */
  progress(x: ExchangeSlot): void;
  /** The endpoint has agreed to a tunnel, and the client has been told. `ended`: the endpoint has nothing to say. */
  agreed(x: ExchangeSlot, ended: boolean): void;
  /** The endpoint has said all of its response, and has been parted with if it speaks HTTP/1. */
  ended(x: ExchangeSlot): void;
  /** A leg has sent all that it was given: the client's, or in a tunnel any. */
  flushed(x: ExchangeSlot): void;
  /** The client has left, or takes its request back. `reason`: the CLOSE of its connection where it is one of HTTP/1. */
  left(x: ExchangeSlot, reason: number): void;
  /** A client of HTTP/1 has ended its direction while it waits for its response: it has left, unless it has got all of that. */
  hungUp(x: ExchangeSlot, reason: number): void;
  /** The time of a client's socket has come, or changed, while it has an exchange. */
  timer(x: ExchangeSlot): void;
  /** Looks at the deadlines of an exchange whose client's leg is a stream; true if it has ended over one. */
  overdue(x: ExchangeSlot): boolean;
}

/** What goes from the client's leg to the endpoint's. */
export interface RequestWay {
  /** A piece of a request: what `BodyReader.read` has just found in buffer `bid`, with its `result`. False if the exchange is over. */
  piece(x: ExchangeSlot, bid: number, result: number): boolean;
  /** A piece of a request that came as DATA. */
  data(x: ExchangeSlot, at: number, length: number, end: boolean): void;
  /** The trailers in `Core.list` end the request. */
  trailers(x: ExchangeSlot): void;
  /** The endpoint takes no more of the request. */
  refused(x: ExchangeSlot): void;
  /** Ends an exchange whose response is whole, though its endpoint still takes the request. False if it is no such one. */
  endEarly(x: ExchangeSlot): boolean;
  /** All that was queued for an endpoint that speaks HTTP/1 is sent. */
  drained(x: ExchangeSlot): void;
  /** Octets of the request that had waited at an endpoint's window are on their way. */
  moved(x: ExchangeSlot, count: number): void;
  /** The socket at the other end of an exchange between HTTP/1 sockets, -1 where that is something else. */
  facing(socket: SocketSlot): SocketSlot | -1;
  /** The endpoint's socket took no more of a request that was spliced to it. */
  endpointSendFailed(endpoint: SocketSlot): void;
}

/** What goes from the endpoint's leg to the client's. */
export interface ResponseWay {
  /** A response head as HTTP/1 reads it, in `Http1Sockets.head`; interim if its status is below 200, but for 101. */
  interimHead(x: ExchangeSlot): void;
  /**
   * The final head. [at, end) of `bid` follows it. Returns how far that was used, -1 if there is no more to do with the exchange.
   * `ended`: there is no body.
   */
  finalHead(x: ExchangeSlot, bid: number, at: number, end: number): number;
  /** As `RequestWay.piece`, the other way. */
  piece(x: ExchangeSlot, bid: number, result: number): boolean;
  /** A response head in `Core.list`, interim or final. */
  head(x: ExchangeSlot, end: boolean): void;
  data(x: ExchangeSlot, at: number, length: number, end: boolean): void;
  trailers(x: ExchangeSlot): void;
  /** All that was queued for a client that speaks HTTP/1 is sent. */
  drained(x: ExchangeSlot): void;
  /** Octets of the response that had waited at a client's window are on their way. */
  moved(x: ExchangeSlot, count: number): void;
}

/** All of them, for those who are made before they are. */
export class Reports {
  declare control: Control;
  declare requests: RequestWay;
  declare responses: ResponseWay;
}

// Responses to HTTP/1 clients: those of endpoints in either version, and the proxy's own.
import { METHOD } from '../../http/methods.js';
import { BODY } from '../../http1/body.js';
import { MESSAGE_ERROR, UPSTREAM } from '../../http1/errors.js';
import { FRAMING } from '../../http1/head.js';
import { CONNECTION, writeOwnResponse, writeResponse } from '../../http1/write.js';
import type { Core } from '../../http2/shared-state.js';
import { BUFFER_CAPACITY } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import { ResponseBridge, responseFraming, responseLength } from '../../translate/response.js';
import type { Context } from '../context.js';
import { type Exchanges, UPGRADE } from '../exchange/exchange.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { BodyRelay } from './bodies.js';
import { type Http1Sockets, REQUEST } from './sockets.js';
import { NO_BUFFER, type StreamBodyWriter } from './stream-body-writer.js';

const NONE = -1;
/** From this status on, the request is not wanted. */
const FIRST_ERROR = 400;
const CONTINUE = 100;
/** Bodies up to this size are sent in one piece with the head. */
const INLINE_BYTES = 4096;
/** Room for the status line and our own fields. */
const HEAD_ROOM = 256;
/** Room for one of the proxy's own responses. */
const OWN_RESPONSE_BYTES = 256;
const NO_KEY = new Uint8Array(0);

export class ResponseWriter {
  /** How much of the data after the head `finalHead` used, and whether the client gets the head, whatever else failed. */
  used = 0;
  began = false;
  private readonly bridge: ResponseBridge;
  /** The prepared answer for an exhausted slab: it can't wait for a buffer. */
  private readonly memoryAt: number;
  private readonly memoryHead: number;
  private readonly memoryLength: number;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly http1: Http1Sockets,
    private readonly bodies: BodyRelay,
    private readonly bodyWriter: StreamBodyWriter,
  ) {
    this.bridge = new ResponseBridge(core.memory);
    const { slab, bytes } = context;
    const at = slab.fixed(OWN_RESPONSE_BYTES);
    const limit = at + OWN_RESPONSE_BYTES;
    this.memoryAt = at;
    this.memoryHead = writeOwnResponse(bytes, at, limit, 503, REPLY_REASON.MEMORY, null, true, true) - at;
    this.memoryLength = writeOwnResponse(bytes, at, limit, 503, REPLY_REASON.MEMORY, null, true, false) - at;
  }

  /** An interim response read as HTTP/1. False if the slab is exhausted. */
  interimHead(client: SocketSlot): boolean {
    const { slab, bytes, sockets, outputLimits } = this.context;
    if (this.http1.head.status === CONTINUE) this.http1.expectsContinue[client] = 0;
    // HTTP/1.0 has none (RFC 9110 section 15.2). There may be any number of them, so a client that does not read gets no more.
    if (this.http1.minor[client] !== 1 || outputLimits.full(client)) return true;
    const buffer = slab.take();
    if (buffer < 0) return false;
    const from = slab.dataStart(buffer);
    const to = writeResponse(bytes, this.http1.head, from, slab.dataEnd(buffer), FRAMING.NONE, NONE, CONNECTION.NONE);
    if (to < 0) {
      slab.release(buffer);
      const { large } = this.bodyWriter;
      const end = writeResponse(bytes, this.http1.head, large.at, large.limit, FRAMING.NONE, NONE, CONNECTION.NONE);
      return end < 0 || large.send(client, end);
    }
    sockets.queue(client, from, to - from, buffer);
    return true;
  }

  /**
   * The final head read as HTTP/1 from `endpoint`, with as much of its body as is in [at, end) of `bid`; sets `used`. Returns 0, NO_BUFFER
   * or -MESSAGE_ERROR.
   */
  finalHead(x: ExchangeSlot, endpoint: SocketSlot, bid: number, at: number, end: number, tunnel: boolean): number {
    const { slab, sockets, bytes } = this.context;
    const { http1 } = this;
    const { head, bodies } = http1;
    const client = this.exchanges.clientSocket(x);
    this.used = at;
    this.began = false;
    const buffer = slab.take();
    if (buffer < 0) return NO_BUFFER;
    // A body of unknown length is chunked if the client knows chunks; otherwise the end of the connection ends it.
    let framing = head.framing;
    if (framing === FRAMING.CHUNKED || framing === FRAMING.CLOSE)
      framing = http1.minor[client] === 1 ? FRAMING.CHUNKED : FRAMING.CLOSE;
    // An endpoint that answers early and keeps its connection is still reading, so the client's connection stays too (see
    // `Http1Endpoints.responseDone`).
    this.settle(client, framing, head.keepAlive && head.status < FIRST_ERROR);
    const connection = this.connection(client, tunnel, head.status === 101);
    const from = slab.dataStart(buffer);
    const limit = slab.dataEnd(buffer);
    let to = writeResponse(bytes, head, from, limit, framing, head.contentLength, connection);
    http1.framingOut[client] = framing;
    if (to < 0) {
      slab.release(buffer);
      return this.largeHead(client, connection);
    }
    this.began = true;
    if (tunnel || !head.hasBody) {
      sockets.queue(client, from, to - from, buffer);
      return 0;
    }
    const result = bodies.read(endpoint, bytes, at, end);
    if (result < 0) {
      sockets.queue(client, from, to - from, buffer);
      return result - UPSTREAM;
    }
    this.used = bodies.consumed;
    const length = bodies.dataEnd - bodies.dataStart;
    if (this.exchanges.telemetry[x] !== 0) this.exchanges.sent[x] += length;
    const chunked = framing === FRAMING.CHUNKED;
    const inline = !chunked && length <= INLINE_BYTES && to + length <= limit;
    if (inline && length > 0) {
      bytes.copyWithin(to, bodies.dataStart, bodies.dataEnd);
      to += length;
    }
    sockets.queue(client, from, to - from, buffer);
    if (!inline && !this.bodies.forward(client, bid, chunked, result === BODY.DONE)) return NO_BUFFER;
    this.bodies.pace(endpoint, client, result, true);
    return 0;
  }

  /** A final head larger than a buffer; what follows it is sent separately. Returns as `finalHead`. */
  private largeHead(client: SocketSlot, connection: number): number {
    const { large } = this.bodyWriter;
    const { head, framingOut } = this.http1;
    const framing = framingOut[client];
    const to = writeResponse(this.context.bytes, head, large.at, large.limit, framing, head.contentLength, connection);
    if (to < 0) return -(MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM);
    if (!large.send(client, to)) return NO_BUFFER;
    this.began = true;
    return 0;
  }

  /** An interim response in `core.list`. Returns 0, NO_BUFFER or -MESSAGE_ERROR. */
  interimList(x: ExchangeSlot): number {
    const client = this.exchanges.clientSocket(x);
    if (this.http1.minor[client] !== 1 || this.context.outputLimits.full(client)) return 0;
    return this.write(client, FRAMING.NONE, NONE, CONNECTION.NONE, NO_KEY);
  }

  /** The final head in `core.list`; `end`: it has no body. Returns as `interimList`. */
  finalList(x: ExchangeSlot, end: boolean, tunnel: boolean): number {
    const { exchanges, http1 } = this;
    const { facts } = this.core.list;
    const client = exchanges.clientSocket(x);
    const webSocket = tunnel && exchanges.upgrade[x] === UPGRADE.WEBSOCKET;
    const method = tunnel ? METHOD.CONNECT : exchanges.method[x];
    const framing = responseFraming(facts, method, http1.minor[client], end);
    this.settle(client, framing, false);
    const connection = this.connection(client, tunnel, webSocket);
    const key = webSocket ? (exchanges.keys.get(x) ?? NO_KEY) : NO_KEY;
    const error = this.write(client, framing, responseLength(facts, method, end), connection, key);
    if (error !== 0) return error;
    http1.framingOut[client] = framing;
    return 0;
  }

  /** A piece of a body that arrived as DATA, and its end. False if the slab is exhausted. */
  data(client: SocketSlot, at: number, length: number, end: boolean): boolean {
    const { bodyWriter } = this;
    return this.http1.chunkedOut(client)
      ? bodyWriter.chunk(client, at, length, end, true)
      : bodyWriter.put(client, at, length);
  }

  /** Trailers in `core.list` end the body; an HTTP/1 client gets them if it gets chunks. Returns 0, NO_BUFFER or -MESSAGE_ERROR. */
  trailers(client: SocketSlot): number {
    return this.http1.chunkedOut(client) ? this.bodyWriter.trailers(client, this.core.list) : 0;
  }

  /** The proxy's own answer. False if it had to become 503 `memory` because the slab is exhausted. */
  own(
    client: SocketSlot,
    status: number,
    why: number,
    detail: Uint8Array | null,
    headOnly: boolean,
    close: boolean,
  ): boolean {
    const { slab, sockets, bytes, added } = this.context;
    const buffer = slab.take();
    if (buffer < 0) {
      sockets.queue(client, this.memoryAt, headOnly ? this.memoryHead : this.memoryLength, NONE);
      return false;
    }
    const at = slab.dataStart(buffer);
    const date = added.dateOf(client);
    const end = writeOwnResponse(bytes, at, slab.dataEnd(buffer), status, why, detail, close, headOnly, date);
    sockets.queue(client, at, end - at, buffer);
    return true;
  }

  /** Decides whether the client's connection outlives this response. `readsOn`: it does, although the request is not complete. */
  private settle(client: SocketSlot, framing: number, readsOn: boolean): void {
    const { sockets, inbox } = this.context;
    const { http1 } = this;
    const last = (sockets.flags[client] & SOCKET.EOF) !== 0 && inbox.empty(client);
    const goesOn = readsOn && http1.expectsContinue[client] === 0;
    http1.mayReadOn[client] = goesOn ? 1 : 0;
    const cut = http1.request[client] !== REQUEST.COMPLETE && !goesOn;
    if (last || framing === FRAMING.CLOSE || cut || this.context.isDraining(client)) http1.keepAlive[client] = 0;
    this.context.connections.active[client] = this.context.reactor.now;
  }

  /** What the response says about its connection: a CONNECTION. */
  private connection(client: SocketSlot, tunnel: boolean, switching: boolean): number {
    if (switching) return CONNECTION.UPGRADE;
    if (tunnel) return CONNECTION.NONE;
    if (this.http1.keepAlive[client] === 0) return CONNECTION.CLOSE;
    return this.http1.minor[client] === 0 ? CONNECTION.KEEP_ALIVE : CONNECTION.NONE;
  }

  /** Writes the head in `core.list`. Returns 0, NO_BUFFER or -MESSAGE_ERROR. */
  private write(client: SocketSlot, framing: number, length: number, connection: number, key: Uint8Array): number {
    const { list, bytes } = this.core;
    const { bodyWriter } = this;
    const { large } = bodyWriter;
    const keys = key.length > 0 ? key : bytes;
    if (list.size + HEAD_ROOM > BUFFER_CAPACITY) {
      const end = this.bridge.write(list, large.at, large.limit, framing, length, connection, keys, 0);
      if (end < 0) return end;
      return large.send(client, end) ? 0 : NO_BUFFER;
    }
    const at = bodyWriter.room(list.size + HEAD_ROOM);
    if (at < 0) return NO_BUFFER;
    const to = this.bridge.write(list, at, bodyWriter.limit, framing, length, connection, keys, 0);
    if (to < 0) return to;
    bodyWriter.wrote(client, to);
    return 0;
  }
}

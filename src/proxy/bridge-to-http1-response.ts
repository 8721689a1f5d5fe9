// Responses of HTTP/1 endpoints to HTTP/2 clients: read as HTTP/1, handed on as an HTTP/2 endpoint's would be.

import { METHOD } from '../http/methods.js';
import { BODY } from '../http1/body.js';
import { MESSAGE_ERRORS } from '../http1/errors.js';
import { headEnd, MORE, parseResponse } from '../http1/head-parser.js';
import { FIRST, firstFrame } from '../http2/first-frame.js';
import { H2_ERROR } from '../http2/frame.js';
import { STREAM } from '../http2/streams.js';
import { ResponseBridge } from '../translate/response.js';
import { listTrailers } from '../translate/trailers.js';
import type { BridgeToHttp1 } from './bridge-to-http1.js';
import { SENDING } from './bridge-to-http1-request.js';
import { CLOSE } from './connect/connections.js';
import { SERVICE_PROTOCOL } from './context.js';
import { RESPONSE } from './exchange.js';
import { WHY } from './http1-answers.js';
import type { Http2 } from './http2.js';
import { GONE } from './http2-exchange.js';

const NONE = -1;

export class BridgedResponses {
  private readonly bridge: ResponseBridge;
  private readonly noKey = new Uint8Array(0);

  constructor(
    private readonly http2: Http2,
    private readonly sockets: BridgeToHttp1,
  ) {
    this.bridge = new ResponseBridge(http2.core.memory);
  }

  data(socket: number, bid: number, at: number, length: number): void {
    const { inbox } = this.http2.context;
    const upstream = this.sockets.stream[socket];
    if (inbox.empty(socket)) {
      this.consume(socket, upstream, bid, at, at + length);
      return;
    }
    inbox.push(socket, bid, at, at + length);
    let merged = inbox.merge(socket);
    for (;;) {
      if (merged < 0) {
        if (merged === -1) this.malformed(socket, upstream, WHY.UPSTREAM_PROTOCOL);
        else this.http2.lifecycle.shed(this.http2.core.streams.peer[upstream], upstream);
        return;
      }
      const first = inbox.shift(socket);
      if (first < 0) return;
      const used = this.consume(socket, upstream, first, inbox.startOf(first), inbox.endOf(first));
      if (this.sockets.stream[socket] !== upstream) return;
      merged = used ? 1 : inbox.merge(socket);
      if (merged === 0) return;
    }
  }

  /** The endpoint has ended its direction. True if that ends its response well. */
  ended(socket: number, upstream: number, reason: number): boolean {
    const { http2 } = this;
    const { exchanges } = http2.http1;
    const slot = http2.core.streams.peer[upstream];
    if (reason !== CLOSE.OK || exchanges.response[socket] !== RESPONSE.BODY) return false;
    if ((http2.core.streams.state[upstream] & STREAM.UNCOUNTED) === 0) {
      if (!exchanges.bodies.eof(socket)) return false;
      this.sockets.letGo(upstream, socket);
    }
    http2.endpointData(slot, upstream, 0, 0, true);
    return true;
  }

  /** Uses [start, end) of `bid`, whose reference it takes over. False if the rest waits in the inbox for more. */
  private consume(socket: number, upstream: number, bid: number, start: number, end: number): boolean {
    const { slab, inbox } = this.http2.context;
    const { response } = this.http2.http1.exchanges;
    let at = start;
    if (response[socket] === RESPONSE.HEAD) {
      at = this.heads(socket, upstream, start, end);
      if (at >= 0 && at < end && response[socket] === RESPONSE.HEAD) {
        this.http2.http1.exchanges.scanned[socket] = end - at;
        inbox.unshift(socket, bid, at, end);
        return false;
      }
    }
    if (at >= 0 && response[socket] === RESPONSE.BODY) at = this.body(socket, upstream, at, end);
    if (at < 0 || at === end) {
      slab.release(bid);
      return true;
    }
    inbox.unshift(socket, bid, at, end);
    return false;
  }

  /** Reads heads up to the final one. Returns how far bytes were used, -1 if the connection has no more to do with the exchange. */
  private heads(socket: number, upstream: number, start: number, end: number): number {
    const { http2 } = this;
    const { context, core } = http2;
    const { bytes, limits } = context;
    const { exchanges } = http2.http1;
    const { head, scanned } = exchanges;
    const slot = core.streams.peer[upstream];
    const key = this.sockets.requests.keys.size > 0 ? this.sockets.requests.keys.get(socket) : undefined;
    const method = key === undefined ? http2.exchanges.method[slot] : METHOD.GET;
    for (let at = start; at < end; ) {
      if (scanned[socket] > 0) {
        const searched = scanned[socket];
        const found = headEnd(bytes, searched > 3 ? at + searched - 3 : at, end);
        if (found === 0 && end - at <= limits.http1.maxHeaderBytes) return at;
      }
      exchanges.heard[socket] = 1;
      const next = parseResponse(bytes, at, end, head, method, limits.http1);
      if (next === MORE) return at;
      if (next < 0) {
        if (firstFrame(bytes, at, end) === FIRST.YES) this.speaksHttp2(socket, upstream);
        else this.malformed(socket, upstream, MESSAGE_ERRORS[-next].reasonIndex);
        return NONE;
      }
      scanned[socket] = 0;
      const error = this.bridge.list(head, core.list, key !== undefined, key ?? this.noKey, 0);
      if (error !== 0) {
        this.malformed(socket, upstream, MESSAGE_ERRORS[-error].reasonIndex);
        return NONE;
      }
      if (head.status >= 200 || head.status === 101) return this.final(socket, upstream, method, next, end);
      http2.endpointResponse(slot, upstream, false);
      if (this.sockets.stream[socket] !== upstream) return NONE;
      at = next;
    }
    return end;
  }

  /** The final head is in `core.list`; [at, end) follows it. */
  private final(socket: number, upstream: number, method: number, at: number, end: number): number {
    const { http2 } = this;
    const { context, core } = http2;
    const { exchanges } = http2.http1;
    const { head, bodies } = exchanges;
    const { streams } = core;
    const slot = streams.peer[upstream];
    const endpoint = http2.exchanges.endpoint[upstream];
    if (context.endpoints.protocol[endpoint] !== SERVICE_PROTOCOL.HTTP1)
      context.learnProtocol(endpoint, SERVICE_PROTOCOL.HTTP1);
    exchanges.response[socket] = RESPONSE.BODY;
    exchanges.reusable[socket] = head.keepAlive ? 1 : 0;
    if (head.status === 101 || (method === METHOD.CONNECT && head.status < 300)) {
      exchanges.reusable[socket] = 0;
      streams.state[upstream] |= STREAM.UNCOUNTED;
      http2.endpointResponse(slot, upstream, false);
      if (this.sockets.stream[socket] !== upstream) return NONE;
      this.sockets.requests.sending[socket] = SENDING.TUNNEL;
      this.sockets.requests.drain(upstream, socket);
      return this.sockets.stream[socket] === upstream ? at : NONE;
    }
    // A tunnel was not agreed to: nothing of what the client had for it goes to the endpoint.
    if (this.sockets.requests.sending[socket] === SENDING.AGREEING)
      this.sockets.requests.sending[socket] = SENDING.REFUSED;
    bodies.begin(socket, head.framing, head.contentLength);
    if (!head.hasBody) {
      if (at < end) exchanges.reusable[socket] = 0;
      this.sockets.letGo(upstream, socket);
      http2.endpointResponse(slot, upstream, true);
      return NONE;
    }
    http2.endpointResponse(slot, upstream, false);
    return this.sockets.stream[socket] === upstream ? at : NONE;
  }

  /** More of the body, or of what comes through a tunnel. Returns as `heads`. */
  private body(socket: number, upstream: number, start: number, end: number): number {
    const { http2 } = this;
    const { core, context } = http2;
    const { bodies, reusable } = http2.http1.exchanges;
    const slot = core.streams.peer[upstream];
    if ((core.streams.state[upstream] & STREAM.UNCOUNTED) !== 0) {
      if (start < end) http2.endpointData(slot, upstream, start, end - start, false);
      if (this.sockets.stream[socket] !== upstream) return NONE;
      this.sockets.pace(socket, slot);
      return end;
    }
    const result = bodies.read(socket, context.bytes, start, end);
    if (result < 0) {
      this.malformed(socket, upstream, MESSAGE_ERRORS[-result].reasonIndex);
      return NONE;
    }
    const { dataStart, dataEnd, consumed, trailerStart, trailerEnd } = bodies;
    if (result !== BODY.DONE) {
      if (dataEnd > dataStart) http2.endpointData(slot, upstream, dataStart, dataEnd - dataStart, false);
      if (this.sockets.stream[socket] !== upstream) return NONE;
      this.sockets.pace(socket, slot);
      return consumed;
    }
    // Bytes after the response belong to no request: they are dropped with the connection.
    if (consumed < end) reusable[socket] = 0;
    this.sockets.letGo(upstream, socket);
    if (trailerEnd === trailerStart) {
      http2.endpointData(slot, upstream, dataStart, dataEnd - dataStart, true);
      return NONE;
    }
    if (dataEnd > dataStart) {
      http2.endpointData(slot, upstream, dataStart, dataEnd - dataStart, false);
      if (http2.exchanges.socket[upstream] !== GONE) return NONE;
    }
    const count = listTrailers(context.bytes, trailerStart, trailerEnd, core.list);
    if (count > 0) http2.endpointTrailers(slot, upstream);
    else if (count === 0) http2.endpointData(slot, upstream, 0, 0, true);
    else http2.lifecycle.endpointFailed(slot, upstream, H2_ERROR.INTERNAL_ERROR, WHY.UPSTREAM_PROTOCOL);
    return NONE;
  }

  /** The endpoint's response can't be read. */
  private malformed(socket: number, upstream: number, why: number): void {
    const { http2 } = this;
    http2.context.connections.close(socket, CLOSE.PROTOCOL);
    http2.lifecycle.endpointFailed(http2.core.streams.peer[upstream], upstream, H2_ERROR.INTERNAL_ERROR, why);
  }

  /** Where it may be so the request is sent in HTTP/2: a server of that has not taken it for one (RFC 9113 section 3.4). */
  private speaksHttp2(socket: number, upstream: number): void {
    const { http2 } = this;
    const { context, exchanges, core } = http2;
    const slot = core.streams.peer[upstream];
    if (context.services.protocol[exchanges.service[slot]] !== SERVICE_PROTOCOL.AUTO) {
      this.malformed(socket, upstream, WHY.UPSTREAM_PROTOCOL);
      return;
    }
    context.learnProtocol(exchanges.endpoint[upstream], SERVICE_PROTOCOL.HTTP2);
    const sent = this.sockets.again(socket, upstream);
    context.connections.close(socket, CLOSE.PROTOCOL);
    if (!sent) http2.lifecycle.endpointFailed(slot, upstream, H2_ERROR.INTERNAL_ERROR, WHY.UPSTREAM_PROTOCOL);
  }
}

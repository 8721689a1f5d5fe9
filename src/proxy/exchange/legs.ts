// Operations on the legs of an exchange, as switches on their kinds. Nothing is decided here: lifecycle.ts decides, and the folders http1
// and http2 know how. Bytes that go straight from one leg to the other are in request-forwarder.ts and response-forwarder.ts.

import { FRAMING } from '../../http1/head.js';
import type { Connection } from '../../http2/connection.js';
import { H2_ERROR } from '../../http2/frame.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { BUFFER_SIZE } from '../../io/slab.js';
import { SOCKET } from '../../io/sockets.js';
import { CLOSE } from '../connect/connections.js';
import { VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { Http1Clients } from '../http1/clients.js';
import type { Http1Endpoints } from '../http1/endpoints.js';
import type { RequestWriter } from '../http1/request-writer.js';
import type { Http1Sockets } from '../http1/sockets.js';
import type { Http2Connections } from '../http2/connections.js';
import type { RequestFields } from '../http2/request-fields.js';
import type { Http2Streams } from '../http2/streams.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { unreachable } from '../unreachable.js';
import { type Exchanges, LEG, type LegKind, STATE, UPGRADE } from './exchange.js';
import { FORM, type ReplayBuffers } from './replay-buffers.js';

const NONE = -1;

/** Where the request to send is. */
export const SOURCE = {
  /** As just read: `Http1Sockets.head`, or `Core.list`. */
  FRESH: 0,
  /** In the kept copy. */
  REPLAY: 1,
  /** Queued as a whole, on a connection that has taken none of it. */
  QUEUED: 2,
} as const;

/** Return values of `lease` in addition to DIAL codes, which are above -10. */
export const LEASE = {
  OK: 0,
  /** The request is queued. */
  PENDING: 1,
  /** The endpoint has not announced WebSocket support (RFC 8441 section 3). */
  NO_WEBSOCKETS: -11,
  /** Out of memory. */
  MEMORY: -12,
  /** Its head is larger than the endpoint accepts. */
  TOO_LARGE: -13,
} as const;

/** The folders that implement the operations. */
export interface Parts {
  readonly http1: Http1Sockets;
  readonly clients: Http1Clients;
  readonly endpoints: Http1Endpoints;
  readonly requests: RequestWriter;
  readonly streams: Http2Streams;
  readonly connections: Http2Connections;
  readonly fields: RequestFields;
}

export class Legs {
  private readonly http1: Http1Sockets;
  private readonly clients: Http1Clients;
  private readonly endpoints: Http1Endpoints;
  private readonly requests: RequestWriter;
  private readonly streams: Http2Streams;
  private readonly connections: Http2Connections;
  private readonly fields: RequestFields;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    parts: Parts,
  ) {
    this.http1 = parts.http1;
    this.clients = parts.clients;
    this.endpoints = parts.endpoints;
    this.requests = parts.requests;
    this.streams = parts.streams;
    this.connections = parts.connections;
    this.fields = parts.fields;
  }

  // The endpoint's leg.

  /** Translates the head of the request for `version`. 0, NO_BUFFER or -H2_ERROR; NOT_KEPT if there is none. */
  prepare(x: ExchangeSlot, version: number, source: number): number {
    const { requests, fields } = this;
    if (source === SOURCE.QUEUED) return 0;
    if (version === VERSION.HTTP1) {
      if (source === SOURCE.REPLAY) return requests.fromKept(x);
      return this.exchanges.isStream(x) ? requests.fromList(x, this.core.list) : requests.fromHead(x);
    }
    if (source === SOURCE.REPLAY) return fields.fromKept(x);
    if (!this.exchanges.isStream(x)) return fields.fromHead(x);
    fields.fromList();
    return 0;
  }

  /** Discards the result of `prepare`. */
  discardPrepared(): void {
    this.requests.drop();
  }

  /** Whether a request at `source` can be sent in `version`. */
  canSend(x: ExchangeSlot, version: number, source: number): boolean {
    const { replay } = this;
    if (source === SOURCE.FRESH) return true;
    if (source === SOURCE.QUEUED && version === VERSION.HTTP1) return true;
    if (!replay.materialize(x)) return false;
    // An upgrade is repeated exactly as its client wrote it.
    const other = replay.form[x] === FORM.FIELDS && version === VERSION.HTTP1 && !this.exchanges.isStream(x);
    return !other || this.exchanges.upgrade[x] === UPGRADE.NONE;
  }

  /** Gets a connection to `endpoint`, or a place in the queue for one. Returns a LEASE or a DIAL code. */
  lease(x: ExchangeSlot, endpoint: number, version: number, newConnection: boolean): number {
    const { connections, endpoints } = this;
    if (version === VERSION.HTTP1) return endpoints.lease(x, endpoint, newConnection);
    const connection = connections.pool.ready(endpoint);
    if (connection !== null) return this.open(x, connection);
    if (!this.replay.materialize(x)) return LEASE.MEMORY;
    const result = connections.pool.enqueue(x, endpoint);
    return result < 0 ? result : LEASE.PENDING;
  }

  /** Leaves the queue for a ready connection. Returns a LEASE; LEASE.PENDING if there is none. */
  dequeue(x: ExchangeSlot): number {
    const { pool } = this.connections;
    const connection = pool.ready(this.exchanges.endpoint[x]);
    if (connection === null) return LEASE.PENDING;
    pool.dequeue(x);
    return this.open(x, connection);
  }

  /** Sends the request on the leased leg. `from`: the connection it is queued on. False if the slab is exhausted. */
  send(x: ExchangeSlot, source: number, from: number): boolean {
    const { exchanges, replay } = this;
    const { requests, http1, fields } = this;
    if (exchanges.kind[x] === LEG.HTTP2) {
      const sent = fields.send(x, source === SOURCE.REPLAY);
      replay.settle(x);
      return sent;
    }
    const socket = exchanges.endpointSocket(x);
    // This connection must return the window to the client that the first one would have returned after sending.
    if (source !== SOURCE.FRESH && exchanges.isStream(x)) this.context.sockets.notifyDrained(socket);
    if (source === SOURCE.QUEUED) {
      this.context.sockets.moveQueue(from, socket);
      http1.sending[socket] = http1.sending[from];
      return true;
    }
    requests.send(socket);
    if (source !== SOURCE.REPLAY) {
      replay.settle(x);
      return true;
    }
    if (!requests.sendKept(x, socket)) return false;
    if (!replay.hasTrailers(x)) return true;
    replay.restoreTrailers(x, this.core.spare);
    const sent = requests.trailers(socket, this.core.spare);
    replay.dropTrailers(x);
    replay.release(x);
    return sent === 0;
  }

  /** After `send`: whether the kept trailers fit what the endpoint accepts. */
  get trailersFit(): boolean {
    return this.fields.trailersFit;
  }

  /** Detaches the exchange from an endpoint that has not processed it. Returns the socket it was queued on, or -1. */
  detach(x: ExchangeSlot): SocketSlot | -1 {
    const { exchanges, context } = this;
    const { http1, endpoints } = this;
    const socket = exchanges.kind[x] === LEG.HTTP1 ? exchanges.endpointSocket(x) : NONE;
    if (socket === NONE) this.connections.pool.dequeue(x);
    else endpoints.detach(x, socket as SocketSlot);
    if (!exchanges.isStream(x)) {
      // The reader that the client was paused for will not report any more; a next slow reader pauses it again.
      const client = exchanges.clientSocket(x);
      http1.resetFlow(client);
      if (exchanges.requestComplete[x] === 0) context.sockets.resume(client);
    }
    return socket as SocketSlot | -1;
  }

  /** Ends the endpoint's leg in any state. Returns an HTTP/2 connection that now has room, for `reuse`. */
  endEndpoint(x: ExchangeSlot, code: number, reason: number): Connection | null {
    const { exchanges } = this;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP1:
        this.endpoints.drop(x, exchanges.endpointSocket(x), reason);
        return null;
      case LEG.HTTP2:
        return this.streams.leave(x, code);
      case LEG.PENDING:
        this.connections.pool.dequeue(x);
        return null;
      case LEG.NONE:
        return null;
      default:
        return unreachable(kind);
    }
  }

  reuse(connection: Connection | null): void {
    if (connection !== null) this.connections.reuse(connection);
  }

  /** Whether the whole request is on its way to an endpoint that speaks HTTP/2. If not, that will be reported. */
  requestSent(x: ExchangeSlot): boolean {
    const { exchanges, core } = this;
    if (exchanges.kind[x] !== LEG.HTTP2) return true;
    const slot = exchanges.endpointStream(x);
    return (core.streams.state[slot] & STREAM.LOCAL_END) !== 0 && core.pending.empty(slot);
  }

  /** Whether the connection to the endpoint is still being established. */
  dialling(x: ExchangeSlot): boolean {
    const { exchanges } = this;
    if (exchanges.kind[x] === LEG.PENDING) return this.connections.pool.dialing(exchanges.endpoint[x]);
    if (exchanges.kind[x] !== LEG.HTTP1) return false;
    return (this.context.sockets.flags[exchanges.endpointSocket(x)] & SOCKET.CONNECTING) !== 0;
  }

  /** Whether the whole request is queued and none of it has been sent. */
  unsent(x: ExchangeSlot): boolean {
    const { exchanges, context } = this;
    if (exchanges.kind[x] !== LEG.HTTP1) return false;
    const socket = exchanges.endpointSocket(x);
    return this.http1.sent[socket] === 0 && (context.sockets.flags[socket] & SOCKET.SENDING) === 0;
  }

  /** Whether no body has been sent to an endpoint that speaks HTTP/2. */
  bodyUnsent(x: ExchangeSlot): boolean {
    if (this.exchanges.kind[x] !== LEG.HTTP2) return false;
    return this.core.pending.bytes[this.exchanges.endpointStream(x)] === this.replay.body.bytes[x];
  }

  /** Whether a send is in progress, so that it is unknown how much of the request has gone. */
  sending(x: ExchangeSlot): boolean {
    const { exchanges, context } = this;
    if (exchanges.kind[x] !== LEG.HTTP1) return false;
    return (context.sockets.flags[exchanges.endpointSocket(x)] & SOCKET.SENDING) !== 0;
  }

  /** Time of the last transfer from or to the endpoint, ms. */
  activeEndpoint(x: ExchangeSlot): number {
    const { exchanges } = this;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP1:
        return this.context.connections.active[exchanges.id[x]];
      case LEG.HTTP2:
        return this.core.streams.active[exchanges.id[x]];
      case LEG.PENDING:
      case LEG.NONE:
        return 0;
      default:
        return unreachable(kind);
    }
  }

  /** Whether the client has the whole response while the endpoint still accepts the request. */
  answeredEarly(x: ExchangeSlot): boolean {
    return this.endpoints.answeredEarly(x);
  }

  /** Ends such an exchange once the whole request has been sent. True if it was one. */
  uploaded(x: ExchangeSlot): boolean {
    const { exchanges, context } = this;
    if (!this.endpoints.answeredEarly(x) || exchanges.requestComplete[x] === 0) return false;
    const socket = exchanges.endpointSocket(x);
    if (context.sockets.queued[socket] === 0) return this.endpoints.endEarly(x);
    context.sockets.notifyDrained(socket);
    return true;
  }

  /** Ends it now. False if it is not one. */
  endEarly(x: ExchangeSlot): boolean {
    return this.endpoints.endEarly(x);
  }

  /** Whether any byte of the response has arrived from an endpoint that speaks HTTP/1. */
  responseBegun(x: ExchangeSlot): boolean {
    const { exchanges } = this;
    return exchanges.kind[x] === LEG.HTTP1 && this.http1.responseBegun[exchanges.endpointSocket(x)] === 1;
  }

  /** Closes the idle connections of an endpoint that turned out to be different. */
  closeIdle(endpoint: number): void {
    this.endpoints.idle.closeOf(endpoint);
  }

  /** Whether the endpoint holds up a stalled body: it accepts none of the request, or sends none of the response. */
  endpointStalls(x: ExchangeSlot): boolean {
    const { exchanges, context, core } = this;
    const { queued } = context.sockets;
    if (exchanges.answered(x)) {
      if (exchanges.isStream(x)) return core.pending.empty(exchanges.clientStream(x));
      return queued[exchanges.clientSocket(x)] === 0 && !this.spliceBlocked(x, false);
    }
    if (exchanges.kind[x] === LEG.HTTP2) return !core.pending.empty(exchanges.endpointStream(x));
    if (exchanges.kind[x] !== LEG.HTTP1) return false;
    return queued[exchanges.endpointSocket(x)] > 0 || this.spliceBlocked(x, true);
  }

  // The client's leg.

  activeClient(x: ExchangeSlot): number {
    const { exchanges } = this;
    return exchanges.isStream(x)
      ? this.core.streams.active[exchanges.clientStream(x)]
      : this.context.connections.active[exchanges.clientSocket(x)];
  }

  /** Whether the whole response has been passed to the client's leg and is on its way. */
  clientEnded(x: ExchangeSlot): boolean {
    return this.exchanges.isStream(x) ? this.streams.ended(x) : true;
  }

  /** Whether the whole response has been sent to an HTTP/1 client, although its endpoint's stream has not ended. */
  clientHasResponse(x: ExchangeSlot): boolean {
    const { exchanges, core } = this;
    if (exchanges.state[x] !== STATE.RESPONDING || exchanges.kind[x] !== LEG.HTTP2) return false;
    const framing = this.http1.framingOut[exchanges.clientSocket(x)];
    if (framing === FRAMING.NONE) return true;
    return framing === FRAMING.LENGTH && core.streams.expected[exchanges.endpointStream(x)] === 0;
  }

  /** The client has its response: its stream ends, or its connection continues with the next request. */
  next(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (!exchanges.isStream(x)) {
      this.clients.next(exchanges.clientSocket(x));
      return;
    }
    // Out of memory, its end has not been sent.
    if (this.streams.ended(x)) this.streams.conclude(x);
    else this.streams.finish(x, H2_ERROR.INTERNAL_ERROR);
  }

  /** The response can't be completed, and the client must not take it for complete. */
  abort(x: ExchangeSlot, code: number, reason: number): void {
    const { exchanges, context } = this;
    if (exchanges.isStream(x)) {
      // An answered request has been processed, whatever the endpoint says.
      const processed = code === H2_ERROR.REFUSED_STREAM && exchanges.answered(x);
      this.streams.finish(x, processed ? H2_ERROR.INTERNAL_ERROR : code);
      return;
    }
    const client = exchanges.clientSocket(x);
    this.http1.keepAlive[client] = 0;
    exchanges.state[x] = STATE.LOCAL_REPLY;
    // With chunks or a length the missing end is visible; a body that ends with the connection needs a reset.
    if (reason === CLOSE.TIMEOUT || this.http1.framingOut[client] === FRAMING.CLOSE)
      context.connections.abort(client, reason);
    else context.connections.closeWhenSent(client, reason);
  }

  /** The client has left. */
  close(x: ExchangeSlot, reason: number): void {
    const { exchanges, context } = this;
    if (exchanges.isStream(x)) this.streams.finish(x, H2_ERROR.CANCEL);
    else {
      exchanges.state[x] = STATE.LOCAL_REPLY;
      context.connections.close(exchanges.clientSocket(x), reason);
    }
  }

  /** The proxy's own answer has been queued: ends the client's connection, or its stream once that is sent. */
  afterLocalReply(x: ExchangeSlot, reason: number): void {
    const { exchanges } = this;
    exchanges.state[x] = STATE.LOCAL_REPLY;
    if (exchanges.isStream(x)) {
      if (this.streams.ended(x)) this.next(x);
      return;
    }
    const client = exchanges.clientSocket(x);
    if (this.http1.keepAlive[client] === 1) this.clients.next(client);
    else this.clients.linger(client, reason);
  }

  // Both legs.

  /** Whether one side of a tunnel has ended. */
  halfClosed(x: ExchangeSlot): boolean {
    return this.clientEof(x) || this.endpointEof(x);
  }

  /** Whether both sides have ended, and everything they sent is on its way. */
  tunnelEnded(x: ExchangeSlot): boolean {
    return this.clientEof(x) && this.endpointEof(x) && !this.tunnelBlocked(x);
  }

  private open(x: ExchangeSlot, connection: Connection): number {
    if (this.exchanges.upgrade[x] !== UPGRADE.NONE && this.exchanges.tunnelsInHttp2(x) && !connection.peerConnect)
      return LEASE.NO_WEBSOCKETS;
    const { size } = this.core.list;
    if (size > connection.peerHeaderBytes) return LEASE.TOO_LARGE;
    if (size > BUFFER_SIZE && !this.context.outputLimits.withinShare(connection.socket, size)) return LEASE.MEMORY;
    return this.streams.open(x, connection) ? LEASE.OK : LEASE.MEMORY;
  }

  /** Whether the destination holds up a splice: of the request, or of the response. */
  private spliceBlocked(x: ExchangeSlot, request: boolean): boolean {
    const { exchanges, context } = this;
    if (exchanges.isStream(x)) return false;
    if (request) return context.splicer.blocked(exchanges.clientSocket(x));
    return exchanges.kind[x] === LEG.HTTP1 && context.splicer.blocked(exchanges.endpointSocket(x));
  }

  private clientEof(x: ExchangeSlot): boolean {
    const { exchanges, context, core } = this;
    return exchanges.isStream(x)
      ? (core.streams.state[exchanges.clientStream(x)] & STREAM.REMOTE_END) !== 0
      : (context.sockets.flags[exchanges.clientSocket(x)] & SOCKET.EOF) !== 0;
  }

  private endpointEof(x: ExchangeSlot): boolean {
    const { exchanges, context, core } = this;
    return exchanges.kind[x] === LEG.HTTP2
      ? (core.streams.state[exchanges.endpointStream(x)] & STREAM.REMOTE_END) !== 0
      : (context.sockets.flags[exchanges.endpointSocket(x)] & SOCKET.EOF) !== 0;
  }

  /** Whether data waits for a window. */
  private tunnelBlocked(x: ExchangeSlot): boolean {
    const { exchanges, core } = this;
    if (exchanges.isStream(x) && !core.pending.empty(exchanges.clientStream(x))) return true;
    return exchanges.kind[x] === LEG.HTTP2 && !core.pending.empty(exchanges.endpointStream(x));
  }
}

// Tunnels with a stream on at least one side (RFC 9113 section 8.5, RFC 8441): the bytes of a socket become the DATA of a stream, or the
// DATA of one stream that of another. Each direction ends separately. A tunnel between two sockets is an opaque relay. The exchange that
// opened it has already been accounted for.
import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { NO_PIECE } from '../../http2/buffer-chains.js';
import { H2_ERROR } from '../../http2/frame.js';
import type { Core } from '../../http2/shared-state.js';
import { SOCKET } from '../../io/sockets.js';
import { CLOSE, closeOf, SOCKET_KIND } from '../connect/connections.js';
import type { Context } from '../context.js';
import type { Backpressure } from '../exchange/backpressure.js';
import { type Exchanges, LEG, STATE } from '../exchange/exchange.js';
import type { Legs } from '../exchange/legs.js';
import { OUTCOME } from '../exchange/outcome.js';
import type { Permissions } from '../exchange/permissions.js';
import type { ReplayBuffers } from '../exchange/replay-buffers.js';
import type { Reports } from '../exchange/reports.js';
import type { RequestLog } from '../exchange/request-log.js';
import type { Http1Endpoints } from '../http1/endpoints.js';
import { type Http1Sockets, SENDING } from '../http1/sockets.js';
import type { StreamBodyWriter } from '../http1/stream-body-writer.js';
import type { Http2Streams } from '../http2/streams.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { OpaqueRelay } from './opaque.js';

const NONE = -1;

/** The parts that tunnels use. */
export interface TunnelParts {
  readonly context: Context;
  readonly core: Core;
  readonly exchanges: Exchanges;
  readonly replay: ReplayBuffers;
  readonly legs: Legs;
  readonly http1: Http1Sockets;
  readonly endpoints: Http1Endpoints;
  readonly streams: Http2Streams;
  readonly bodyWriter: StreamBodyWriter;
  readonly backpressure: Backpressure;
  readonly opaque: OpaqueRelay;
  readonly reports: Reports;
  readonly requestLog: RequestLog;
  readonly permissions: Permissions;
}

export class Tunnels {
  constructor(private readonly parts: TunnelParts) {}

  /** Client and endpoint have agreed. What either has sent already is in its inbox, or kept. */
  open(x: ExchangeSlot): void {
    const { exchanges, endpoints, opaque } = this.parts;
    const socket = exchanges.kind[x] === LEG.HTTP1 ? exchanges.endpointSocket(x) : NONE;
    if (!exchanges.isStream(x) && socket >= 0) {
      endpoints.detach(x, socket as SocketSlot);
      exchanges.state[x] = STATE.LOCAL_REPLY;
      this.forget(x);
      if (this.parts.context.observed) this.parts.requestLog.tunnelBegun(exchanges.clientSocket(x));
      opaque.tunnel(exchanges.clientSocket(x), socket);
      return;
    }
    exchanges.state[x] = STATE.TUNNEL;
    if (socket >= 0) this.openEndpoint(x, socket as SocketSlot);
    this.forget(x);
    if (exchanges.state[x] === STATE.TUNNEL && !exchanges.isStream(x)) this.openClient(x, exchanges.clientSocket(x));
  }

  /** Bytes from the client; `end`: the last ones. */
  fromClient(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, core, streams, bodyWriter, backpressure, context } = this.parts;
    const { frames, sender } = streams.machine;
    core.clock[0] = context.reactor.now;
    if (exchanges.telemetry[x] !== 0) exchanges.received[x] += length;
    if (exchanges.kind[x] === LEG.HTTP1) {
      const socket = exchanges.endpointSocket(x);
      if (!bodyWriter.put(socket, at, length)) {
        this.outOfMemory(x);
        return;
      }
      // The client's leg is a stream, because this is not a tunnel between two sockets.
      if (bodyWriter.belowLimit(socket)) frames.credit(exchanges.clientStream(x), length);
      if (end) context.sockets.shutdown(socket);
    } else {
      const slot = exchanges.endpointStream(x);
      const moved = sender.data(slot, at, length, end);
      if (moved < 0) {
        this.outOfMemory(x);
        return;
      }
      if (exchanges.isStream(x)) frames.credit(exchanges.clientStream(x), moved);
      else backpressure.holdClient(x, core.pending, slot);
    }
    if (end) this.halfClosed(x);
  }

  /** Bytes from the endpoint; `end`: the last ones. */
  fromEndpoint(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, core, streams, bodyWriter, backpressure, context } = this.parts;
    const { frames, sender } = streams.machine;
    core.clock[0] = context.reactor.now;
    if (exchanges.telemetry[x] !== 0) exchanges.sent[x] += length;
    if (!exchanges.isStream(x)) {
      const client = exchanges.clientSocket(x);
      if (!bodyWriter.put(client, at, length)) {
        this.outOfMemory(x);
        return;
      }
      if (bodyWriter.belowLimit(client)) frames.credit(exchanges.endpointStream(x), length);
      if (end) context.sockets.shutdown(client);
    } else {
      const moved = sender.data(exchanges.clientStream(x), at, length, end);
      if (moved < 0) {
        this.outOfMemory(x);
        return;
      }
      if (exchanges.kind[x] === LEG.HTTP2) frames.credit(exchanges.endpointStream(x), moved);
      else if (!end) backpressure.holdEndpoint(x, exchanges.endpointSocket(x));
    }
    if (end) this.halfClosed(x);
  }

  /** Some data has been sent. The tunnel is over once both sides have finished. */
  flushed(x: ExchangeSlot): void {
    const { exchanges, context, legs } = this.parts;
    if (!legs.tunnelEnded(x)) return;
    const socket = this.detach(x, H2_ERROR.NO_ERROR, CLOSE.OK);
    if (socket >= 0) context.connections.closeWhenSent(socket, CLOSE.OK);
    if (exchanges.isStream(x)) this.parts.streams.finish(x, H2_ERROR.NO_ERROR);
    else context.connections.closeWhenSent(exchanges.clientSocket(x), CLOSE.OK);
  }

  /** The endpoint's side broke: the client gets a reset after the preceding data. */
  broken(x: ExchangeSlot, code: number, reason: number): void {
    const { exchanges, context } = this.parts;
    const socket = this.detach(x, H2_ERROR.CANCEL, reason);
    if (socket >= 0) context.connections.close(socket, reason);
    if (exchanges.isStream(x)) this.parts.streams.finish(x, code);
    else context.connections.abortWhenSent(exchanges.clientSocket(x), CLOSE.RESET);
  }

  /** The client has left: the endpoint gets the same. */
  clientGone(x: ExchangeSlot, reason: number): void {
    const { exchanges, context } = this.parts;
    const socket = this.detach(x, H2_ERROR.CANCEL, reason);
    if (socket >= 0) context.connections.abortWhenSent(socket, reason);
    if (exchanges.isStream(x)) this.parts.streams.finish(x, H2_ERROR.CANCEL);
    else context.connections.close(exchanges.clientSocket(x), reason);
  }

  /** It has been silent, half closed or open for too long. */
  expired(x: ExchangeSlot): void {
    const { exchanges, context } = this.parts;
    const socket = this.detach(x, H2_ERROR.CANCEL, CLOSE.TIMEOUT);
    if (socket >= 0) context.connections.closeWhenSent(socket, CLOSE.TIMEOUT);
    if (exchanges.isStream(x)) this.parts.streams.finish(x, H2_ERROR.CANCEL);
    else context.connections.closeWhenSent(exchanges.clientSocket(x), CLOSE.TIMEOUT);
  }

  /** The rules now forbid it: closes both sides. */
  deny(x: ExchangeSlot): void {
    const { exchanges, context, opaque, permissions } = this.parts;
    const client = exchanges.client(x, this.parts.core);
    context.authorization.terminated(client, permissions.codeOfTunnel(x));
    if (exchanges.state[x] !== STATE.TUNNEL) {
      // Between two sockets it is an opaque relay.
      opaque.deny(client);
      return;
    }
    const socket = this.detach(x, H2_ERROR.CANCEL, CLOSE.UNAUTHORIZED);
    if (socket >= 0) context.connections.abort(socket, CLOSE.UNAUTHORIZED);
    if (exchanges.isStream(x)) this.parts.streams.finish(x, H2_ERROR.CANCEL);
    else context.connections.abort(client, CLOSE.UNAUTHORIZED);
  }

  // Events of sockets that are one side of a tunnel.

  data(socket: SocketSlot, bid: number, at: number, length: number): void {
    const { context } = this.parts;
    const x = this.of(socket);
    context.connections.active[socket] = context.reactor.now;
    if (this.isClient(socket)) this.fromClient(x, at, length, false);
    else this.fromEndpoint(x, at, length, false);
    context.slab.release(bid);
  }

  eof(socket: SocketSlot): void {
    const { context } = this.parts;
    const x = this.of(socket);
    context.connections.active[socket] = context.reactor.now;
    if (this.isClient(socket)) this.fromClient(x, 0, 0, true);
    else this.fromEndpoint(x, 0, 0, true);
  }

  failed(socket: SocketSlot, errno: number): void {
    const reason = closeOf(errno);
    const x = this.of(socket);
    this.parts.core.clock[0] = this.parts.context.reactor.now;
    if (this.isClient(socket)) this.parts.reports.events.clientGone(x, reason);
    else this.parts.reports.events.connectionLost(x, reason, false, HEALTH_SIGNAL.NONE);
  }

  /** Everything queued has been sent: the other side may continue. */
  drained(socket: SocketSlot): void {
    const { exchanges, core, streams, context } = this.parts;
    const x = this.of(socket);
    const slot = this.isClient(socket) ? exchanges.endpointStream(x) : exchanges.clientStream(x);
    core.clock[0] = context.reactor.now;
    streams.machine.frames.credit(slot, core.streams.held[slot]);
  }

  /** The endpoint's socket becomes one side of a tunnel. */
  private openEndpoint(x: ExchangeSlot, socket: SocketSlot): void {
    const { context, http1, replay, bodyWriter, exchanges } = this.parts;
    const { sockets, inbox, slab } = context;
    const { body } = replay;
    sockets.kind[socket] = SOCKET_KIND.TUNNEL;
    http1.sending[socket] = SENDING.TUNNEL;
    http1.resetFlow(socket);
    for (let piece = body.start(x); piece !== NO_PIECE; piece = body.following(piece)) {
      const length = body.pieceLength(piece);
      if (!bodyWriter.put(socket, body.pieceAt(piece), length)) {
        this.outOfMemory(x);
        return;
      }
      this.parts.streams.machine.frames.credit(exchanges.clientStream(x), length);
    }
    if (replay.has(x) && replay.whole[x] === 1) sockets.shutdown(socket);
    for (let bid = inbox.shift(socket); bid >= 0; bid = inbox.shift(socket)) {
      const at = inbox.startOf(bid);
      this.fromEndpoint(x, at, inbox.endOf(bid) - at, false);
      slab.release(bid);
      if (exchanges.state[x] !== STATE.TUNNEL) return;
    }
    if ((sockets.flags[socket] & SOCKET.EOF) === 0) sockets.resume(socket);
    else this.fromEndpoint(x, 0, 0, true);
  }

  /** The client's socket becomes one side of a tunnel. */
  private openClient(x: ExchangeSlot, client: SocketSlot): void {
    const { context, http1, exchanges, reports } = this.parts;
    const { sockets, inbox, wheel, slab, connections } = context;
    sockets.kind[client] = SOCKET_KIND.TUNNEL;
    connections.relayedTo[client] = exchanges.endpoint[x];
    http1.resetFlow(client);
    wheel.cancel(client);
    for (let bid = inbox.shift(client); bid >= 0; bid = inbox.shift(client)) {
      const at = inbox.startOf(bid);
      this.fromClient(x, at, inbox.endOf(bid) - at, false);
      slab.release(bid);
      if (exchanges.state[x] !== STATE.TUNNEL) return;
    }
    if ((sockets.flags[client] & SOCKET.EOF) !== 0) this.fromClient(x, 0, 0, true);
    else if (http1.throttled[client] === 0) sockets.resume(client);
    if (exchanges.state[x] === STATE.TUNNEL) reports.events.timer(x);
  }

  /** One side has finished. A half-closed tunnel may be silent for a shorter time. */
  private halfClosed(x: ExchangeSlot): void {
    const { exchanges, reports } = this.parts;
    this.flushed(x);
    if (exchanges.state[x] === STATE.TUNNEL && !exchanges.isStream(x)) reports.events.timer(x);
  }

  /** No memory for waiting data: ends both sides. */
  private outOfMemory(x: ExchangeSlot): void {
    this.broken(x, H2_ERROR.ENHANCE_YOUR_CALM, CLOSE.LIMIT);
  }

  /** Detaches the endpoint's leg, which ends the exchange. Returns its socket, if it has one. */
  private detach(x: ExchangeSlot, code: number, reason: number): SocketSlot | -1 {
    const { exchanges, endpoints, streams, legs, context, requestLog } = this.parts;
    if (context.observed) requestLog.ended(x, OUTCOME.TUNNEL, exchanges.status[x], reason);
    const socket = exchanges.kind[x] === LEG.HTTP1 ? exchanges.endpointSocket(x) : NONE;
    exchanges.state[x] = STATE.LOCAL_REPLY;
    this.forget(x);
    context.authorization.forget(x);
    if (socket >= 0) endpoints.detach(x, socket as SocketSlot);
    else if (exchanges.kind[x] === LEG.HTTP2) legs.reuse(streams.leave(x, code));
    return socket as SocketSlot | -1;
  }

  private forget(x: ExchangeSlot): void {
    const { replay, exchanges } = this.parts;
    replay.release(x);
    if (exchanges.keys.size > 0) exchanges.keys.delete(x);
  }

  private of(socket: SocketSlot): ExchangeSlot {
    const { exchanges, http1 } = this.parts;
    return this.isClient(socket) ? exchanges.ofSocket(socket) : (http1.exchange(socket) as ExchangeSlot);
  }

  private isClient(socket: SocketSlot): boolean {
    return this.parts.context.connections.listener[socket] >= 0;
  }
}

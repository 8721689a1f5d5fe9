// Streams as legs of exchanges: protocol events go upwards or across; operations on streams are here.

import { HEALTH_SIGNAL } from '../../balance/health-signals.js';
import { VERDICT } from '../../detect/matcher.js';
import { column } from '../../http/columns.js';
import { CONNECT_PROTOCOL as MESSAGE_PROTOCOL } from '../../http/facts.js';
import { METHOD } from '../../http/methods.js';
import { ORIGIN } from '../../http/orig-proto.js';
import { MESSAGE_ERROR, UPSTREAM } from '../../http1/errors.js';
import type { BufferChains } from '../../http2/buffer-chains.js';
import { NO_PIECE } from '../../http2/buffer-chains.js';
import { type Connection, ROLE } from '../../http2/connection.js';
import { H2_ERROR, isErrorCode } from '../../http2/frame.js';
import type { Http2Machine } from '../../http2/machine.js';
import type { Core, Http2Events } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { E, LIMITS } from '../../metrics/layout.js';
import { countsForwards, spendListed } from '../../translate/max-forwards.js';
import { CLOSE } from '../connect/connections.js';
import type { Context } from '../context.js';
import { type Exchanges, LEG, STATE, UPGRADE } from '../exchange/exchange.js';
import type { ReplayBuffers } from '../exchange/replay-buffers.js';
import { REPLY_REASON } from '../exchange/reply-reasons.js';
import type { Reports } from '../exchange/reports.js';
import type { ExchangeSlot, StreamSlot } from '../slots.js';

const LIMIT_DISCARD = LIMITS.indexOf('h2-discard');
/** The rest of a request may keep coming for this multiple of the silence that would end it. */
export const DISCARD_SILENCES = 12;
const BOTH_ENDS = STREAM.LOCAL_END | STREAM.REMOTE_END;

/** Events of streams that concern their connection. */
export interface ConnectionEvents {
  violated(connection: Connection, code: number): void;
  settings(connection: Connection): void;
  goaway(connection: Connection, last: number, code: number): void;
  shutdownRead(connection: Connection): void;
  /** An endpoint's connection has room again. */
  reuse(connection: Connection): void;
  /** Closes the connection if nothing is left on it. */
  closeIfDrained(connection: Connection): void;
  /** An endpoint's connection has got a stream. */
  endpointStreamOpened(connection: Connection): void;
  /** A client's connection has got a stream, for `service`. */
  clientStreamOpened(connection: Connection, service: number): void;
  /** One of its streams is answered while its request continues. */
  discardBegun(connection: Connection): void;
}

export class Http2Streams implements Http2Events {
  declare machine: Http2Machine;
  declare connections: ConnectionEvents;
  /** By an endpoint's stream: its exchange, plus 1; 0 for none. */
  private readonly serving: Int32Array;
  /**
   * By a client's stream that was answered before the end of its request: since when the rest is discarded, ms, and how much was; 0 for
   * none.
   */
  private readonly discardsSince: Float64Array;
  private readonly discarded: Int32Array;

  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly reports: Reports,
  ) {
    this.serving = column(Int32Array, core.streams.capacity);
    this.discardsSince = column(Float64Array, core.streams.capacity);
    this.discarded = column(Int32Array, core.streams.capacity);
  }

  /** Columns by stream of which the cells of free slots may become 0. */
  columns(): readonly ArrayBufferView[] {
    return [this.serving, this.discardsSince, this.discarded];
  }

  // Protocol events.

  request(connection: Connection, slot: number, end: boolean): void {
    const { exchanges } = this;
    const { list } = this.core;
    const { facts } = list;
    const x = this.begin(connection, slot, facts.method, facts.grpc);
    const { added, meshFields, traceFields } = this.context;
    let error = 0;
    if (countsForwards(facts.method)) error = spendListed(this.core.bytes, list, added.forwardsAt);
    if (traceFields.active) traceFields.inList(list);
    if (meshFields.active) meshFields.inList(list, connection.socket);
    if (added.active) added.toListedRequest(list, connection.socket);
    // Only a peer with a certificate of the mesh is believed.
    if (facts.origin !== ORIGIN.NONE && this.context.hasIdentity(connection.socket)) exchanges.origin[x] = facts.origin;
    exchanges.bodyless[x] = end ? 1 : 0;
    exchanges.requestComplete[x] = end ? 1 : 0;
    if (facts.protocol !== MESSAGE_PROTOCOL.NONE)
      exchanges.upgrade[x] = facts.protocol === MESSAGE_PROTOCOL.WEBSOCKET ? UPGRADE.WEBSOCKET : UPGRADE.OTHER;
    this.replay.keepFields(x, list, end);
    this.reports.events.request(x, this.context.connections.meter[connection.socket], error);
    if (exchanges.kind[x] !== LEG.NONE) this.connections.clientStreamOpened(connection, exchanges.service[x]);
  }

  requestTooLarge(connection: Connection, slot: number, end: boolean): void {
    const { facts } = this.core.list;
    const x = this.begin(connection, slot, facts.method, facts.grpc);
    this.exchanges.requestComplete[x] = end ? 1 : 0;
    if (connection.blockOutOfMemory) this.reports.events.outOfMemory(x);
    else this.reports.events.reject(x, MESSAGE_ERROR.HEADER_TOO_LARGE);
  }

  tooLarge(connection: Connection, slot: number): void {
    const { events } = this.reports;
    if (connection.role === ROLE.SERVER) {
      const x = this.exchanges.ofStream(slot as StreamSlot);
      // Already answered: nobody waits for them.
      if (this.exchanges.kind[x] === LEG.NONE) return;
      this.exchanges.requestComplete[x] = 1;
      if (connection.blockOutOfMemory) events.outOfMemory(x);
      else events.reject(x, MESSAGE_ERROR.TRAILER_TOO_LARGE);
      return;
    }
    const x = this.exchange(slot);
    if (x < 0) return;
    this.detach(x as ExchangeSlot);
    this.connections.reuse(connection);
    if (connection.blockOutOfMemory) events.outOfMemory(x as ExchangeSlot);
    else events.malformed(x as ExchangeSlot, MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM);
  }

  response(_connection: Connection, slot: number, end: boolean): void {
    const x = this.exchange(slot);
    if (x >= 0) this.reports.responses.head(x as ExchangeSlot, end);
  }

  trailers(connection: Connection, slot: number): void {
    if (connection.role === ROLE.CLIENT) {
      const x = this.exchange(slot);
      if (x >= 0) this.reports.responses.trailers(x as ExchangeSlot);
      return;
    }
    const x = this.exchanges.ofStream(slot as StreamSlot);
    this.exchanges.requestComplete[x] = 1;
    if (this.exchanges.kind[x] !== LEG.NONE) {
      const { meshFields } = this.context;
      if (meshFields.active) meshFields.inTrailers(this.core.list, connection.socket);
      this.reports.requests.trailers(x);
      if (this.exchanges.state[x] === STATE.RESPONDING) this.reports.events.requestReceived(x);
    } else if (this.discardsSince[slot] > 0) this.finish(x, H2_ERROR.NO_ERROR);
  }

  data(connection: Connection, slot: number, at: number, length: number, end: boolean): void {
    if (connection.role === ROLE.CLIENT) {
      const x = this.exchange(slot);
      if (x >= 0) this.reports.responses.data(x as ExchangeSlot, at, length, end);
      return;
    }
    const x = this.exchanges.ofStream(slot as StreamSlot);
    if (this.exchanges.kind[x] === LEG.NONE) {
      // Already answered: the rest of the request is not wanted.
      this.machine.frames.credit(slot, length);
      if (this.discardsSince[slot] > 0) this.discard(x, slot, length, end);
      return;
    }
    if (end) this.exchanges.requestComplete[x] = 1;
    this.reports.requests.data(x, at, length, end);
    if (end && this.exchanges.state[x] === STATE.RESPONDING) this.reports.events.requestReceived(x);
  }

  reset(connection: Connection, slot: number, code: number): void {
    if (connection.role === ROLE.SERVER) {
      this.reports.events.clientGone(this.exchanges.ofStream(slot as StreamSlot), CLOSE.RESET);
      return;
    }
    const x = this.exchange(slot) as ExchangeSlot;
    const whole = (this.core.streams.state[slot] & STREAM.REMOTE_END) !== 0;
    this.detach(x);
    this.connections.reuse(connection);
    // RFC 9113 section 8.1: the response is complete, and no more of the request is wanted. `flushed` ends the exchange.
    if (whole && this.exchanges.state[x] !== STATE.TUNNEL) {
      if (this.exchanges.respondedEarly[x] === 1)
        this.reports.events.connectionLost(x, CLOSE.OK, false, HEALTH_SIGNAL.NONE);
      return;
    }
    if (code === H2_ERROR.REFUSED_STREAM) this.reports.events.refused(x, code);
    else {
      const seen = code === H2_ERROR.NO_ERROR ? H2_ERROR.INTERNAL_ERROR : code;
      // An endpoint's objection to a request says nothing about the endpoint.
      this.reports.events.failed(
        x,
        REPLY_REASON.UPSTREAM_RESET,
        seen,
        isErrorCode(code) ? HEALTH_SIGNAL.NONE : HEALTH_SIGNAL.RESET,
      );
    }
  }

  streamFailed(connection: Connection, slot: number, _code: number): void {
    if (connection.role === ROLE.SERVER) {
      this.reports.events.clientGone(this.exchanges.ofStream(slot as StreamSlot), CLOSE.PROTOCOL);
      return;
    }
    const x = this.exchange(slot) as ExchangeSlot;
    this.detach(x);
    this.connections.reuse(connection);
    this.reports.events.failed(x, REPLY_REASON.UPSTREAM_PROTOCOL, H2_ERROR.INTERNAL_ERROR, HEALTH_SIGNAL.NONE);
  }

  connectionFailed(connection: Connection, code: number): void {
    this.connections.violated(connection, code);
  }

  settings(connection: Connection): void {
    this.connections.settings(connection);
  }

  goaway(connection: Connection, last: number, code: number): void {
    this.connections.goaway(connection, last, code);
  }

  shutdownAcknowledged(connection: Connection): void {
    this.connections.shutdownRead(connection);
  }

  dataSent(slot: number, count: number): void {
    const connection = this.core.streams.connection[slot];
    if (connection === null) return;
    if (connection.role === ROLE.SERVER) {
      this.reports.responses.moved(this.exchanges.ofStream(slot as StreamSlot), count);
      return;
    }
    const x = this.exchange(slot);
    if (x >= 0) this.reports.requests.moved(x as ExchangeSlot, count);
  }

  flushed(slot: number): void {
    const connection = this.core.streams.connection[slot];
    if (connection === null) return;
    if (connection.role === ROLE.SERVER) this.reports.events.flushed(this.exchanges.ofStream(slot as StreamSlot));
    else {
      const x = this.exchange(slot);
      if (x < 0) return;
      if (this.exchanges.state[x] === STATE.TUNNEL) this.reports.events.flushed(x as ExchangeSlot);
      else if (this.exchanges.respondedEarly[x] === 1) this.reports.events.requestReceived(x as ExchangeSlot);
    }
  }

  // Streams of endpoints.

  /** The exchange of an endpoint's stream, or -1. */
  exchange(slot: number): ExchangeSlot | -1 {
    return (this.serving[slot] - 1) as ExchangeSlot | -1;
  }

  /** Opens a stream for the exchange on `connection`, to its endpoint. False if there is no slot. */
  open(x: ExchangeSlot, connection: Connection): boolean {
    const { core, exchanges, context } = this;
    const { streams } = core;
    const slot = streams.allocate();
    if (slot < 0) return false;
    this.serving[slot] = x + 1;
    exchanges.kind[x] = LEG.HTTP2;
    exchanges.id[x] = slot;
    this.machine.sender.openStream(slot, connection);
    this.connections.endpointStreamOpened(connection);
    context.values[context.endpoints.base[exchanges.endpoint[x]] + E.H2_STREAMS]++;
    streams.active[slot] = context.reactor.now;
    if (exchanges.method[x] === METHOD.HEAD) streams.state[slot] |= STREAM.BODILESS;
    return true;
  }

  /** Sends the head in `core.list` to the endpoint. `end`: with the end of the request. */
  sendHead(x: ExchangeSlot, end: boolean): void {
    this.machine.sender.headers(this.exchanges.endpointStream(x), this.core.list, end);
  }

  /** Sends a kept body, and its end if it is `whole`, through the queue, which leaves it unchanged. False if the slab is exhausted. */
  sendKept(x: ExchangeSlot, body: BufferChains, whole: boolean): boolean {
    const { core, exchanges } = this;
    const slot = exchanges.endpointStream(x);
    for (let piece = body.start(x); piece !== NO_PIECE; piece = body.following(piece)) {
      if (!core.pending.append(slot, body.pieceAt(piece), body.pieceLength(piece))) return false;
    }
    if (!body.empty(x)) this.machine.sender.sendQueued(slot, whole);
    return true;
  }

  /** Sends [at, at + length) to the endpoint, like `Sender.data`. */
  sendData(x: ExchangeSlot, at: number, length: number, end: boolean): number {
    return this.machine.sender.data(this.exchanges.endpointStream(x), at, length, end);
  }

  /** Ends the endpoint's leg: with RST_STREAM and `code` unless both sides have ended. Returns the connection if it now has room. */
  leave(x: ExchangeSlot, code: number): Connection | null {
    const { streams } = this.core;
    const slot = this.exchanges.endpointStream(x);
    const connection = streams.connection[slot];
    const open = (streams.state[slot] & STREAM.OPEN) !== 0;
    if (open) {
      if ((streams.state[slot] & BOTH_ENDS) !== BOTH_ENDS) this.machine.sender.reset(slot, code);
      else this.machine.sender.close(slot);
    }
    this.detach(x);
    return open ? connection : null;
  }

  /** Detaches the exchange from a stream that has left its connection. */
  detach(x: ExchangeSlot): void {
    const { exchanges, context, core } = this;
    const slot = exchanges.endpointStream(x);
    context.values[context.endpoints.base[exchanges.endpoint[x]] + E.H2_STREAMS]--;
    exchanges.kind[x] = LEG.NONE;
    this.serving[slot] = 0;
    core.streams.release(slot);
  }

  // Streams of clients.

  /**
   * Removes the client's stream from its connection and frees its slot: the exchange no longer exists. `code`: reset it with this unless it
   * has ended.
   */
  finish(x: ExchangeSlot, code: number): void {
    const { streams } = this.core;
    const { sender } = this.machine;
    const slot = this.exchanges.clientStream(x);
    const connection = streams.connection[slot];
    const state = streams.state[slot];
    if ((state & STREAM.OPEN) !== 0) {
      if ((state & BOTH_ENDS) !== BOTH_ENDS) sender.reset(slot, code);
      else sender.close(slot);
    }
    this.exchanges.state[x] = STATE.FREE;
    this.discardsSince[slot] = 0;
    streams.release(slot);
    if (connection !== null) this.connections.closeIfDrained(connection);
  }

  /**
   * The client has the whole response. If its request is incomplete, it may be a client that reads no answer before it has sent everything:
   * the rest is discarded for a while before the stream is reset (RFC 9113 section 8.1).
   */
  conclude(x: ExchangeSlot): void {
    const { streams } = this.core;
    const slot = this.exchanges.clientStream(x);
    const connection = streams.connection[slot];
    const open = (streams.state[slot] & (STREAM.OPEN | STREAM.REMOTE_END)) === STREAM.OPEN;
    if (!open || connection === null || connection.limits.discardTimeoutMs === 0) {
      this.finish(x, H2_ERROR.NO_ERROR);
      return;
    }
    this.exchanges.state[x] = STATE.LOCAL_REPLY;
    this.discardsSince[slot] = this.context.reactor.now;
    streams.active[slot] = this.context.reactor.now;
    this.discarded[slot] = 0;
    // Nobody waits for this data any more; the window is open again.
    this.machine.frames.credit(slot, streams.held[slot]);
    this.connections.discardBegun(connection);
  }

  /** Whether the discarded rest of a client's request has stopped, or has been coming for too long. */
  discardsTooLong(connection: Connection, slot: number): boolean {
    const since = this.discardsSince[slot];
    const { now } = this.context.reactor;
    const silence = connection.limits.discardTimeoutMs;
    return since > 0 && now >= Math.min(this.core.streams.active[slot] + silence, since + DISCARD_SILENCES * silence);
  }

  /** Discards this much of a request. */
  private discard(x: ExchangeSlot, slot: number, length: number, end: boolean): void {
    this.discarded[slot] += length;
    if (end) this.finish(x, H2_ERROR.NO_ERROR);
    else if (this.discarded[slot] > this.context.limits.http2.maxDiscardBytes) this.refuseRest(x);
  }

  /** Tells a client that the rest of its request is not wanted. */
  refuseRest(x: ExchangeSlot): void {
    this.context.limited(LIMIT_DISCARD);
    this.finish(x, H2_ERROR.NO_ERROR);
  }

  /** Whether everything for the client's stream has been sent. */
  ended(x: ExchangeSlot): boolean {
    return (this.core.streams.state[this.exchanges.clientStream(x)] & STREAM.LOCAL_END) !== 0;
  }

  private begin(connection: Connection, slot: number, method: number, grpc: boolean): ExchangeSlot {
    const { exchanges, context } = this;
    const x = exchanges.ofStream(slot as StreamSlot);
    exchanges.begin(x, context.serviceFor(connection.socket, VERDICT.HTTP2), method, grpc);
    exchanges.started[x] = context.reactor.now;
    return x;
  }
}

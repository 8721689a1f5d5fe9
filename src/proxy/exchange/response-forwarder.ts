// Responses on their way from the endpoint's leg to the client's: whether the endpoint may send more, and who is told of what. The
// HTTP-specific parts are in the folders http1, http2 and translate.
import { BODY } from '../../http1/body.js';
import { MESSAGE_ERROR, UPSTREAM } from '../../http1/errors.js';
import type { Core } from '../../http2/shared-state.js';
import { BUFFER_SIZE } from '../../io/slab.js';
import { LIMITS } from '../../metrics/layout.js';
import { listTrailers } from '../../translate/trailers.js';
import { KNOWN, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import { RESPONSE } from '../http1/sockets.js';
import { NO_BUFFER } from '../http1/stream-body-writer.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { unreachable } from '../unreachable.js';
import { type Exchanges, LEG, type LegKind, STATE } from './exchange.js';
import type { ReplayBuffers } from './replay-buffers.js';
import type { Reports, ResponseSink } from './reports.js';
import type { ForwardingParts } from './request-forwarder.js';

const NONE = -1;
const LIMIT_PEER_HEADER_BYTES = LIMITS.indexOf('h2-peer-header-bytes');
const FIELDS_TOO_LARGE = -(MESSAGE_ERROR.HEADER_TOO_LARGE + UPSTREAM);

export class ResponseForwarder implements ResponseSink {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly parts: ForwardingParts,
    private readonly reports: Reports,
  ) {}

  // Responses of endpoints that speak HTTP/1.

  interimHead(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (!exchanges.isStream(x)) {
      if (!this.parts.responses.interimHead(exchanges.clientSocket(x))) this.reports.events.outOfMemory(x);
      return;
    }
    const error = this.parts.responseFields.fromHead(x);
    if (error === 0) this.parts.responseFields.interim(x);
    else this.reports.events.malformed(x, -error);
  }

  finalHead(x: ExchangeSlot, bid: number, at: number, end: number): number {
    const { exchanges, context, core } = this;
    const { events } = this.reports;
    const { responses, responseFields, http1 } = this.parts;
    const socket = exchanges.endpointSocket(x);
    const { status, hasBody } = http1.head;
    const tunnel = http1.response[socket] === RESPONSE.TUNNEL;
    if (http1.head.eventStream) exchanges.eventStream[x] = 1;
    context.protocols.learn(exchanges.endpoint[x], VERSION.HTTP1, KNOWN.SPOKEN);
    if (context.added.active) context.added.toResponse(http1.head, exchanges.client(x, core));
    let error = 0;
    let used = at;
    if (exchanges.isStream(x)) {
      error = responseFields.fromHead(x);
      if (error === 0) error = this.unfit(x);
      if (error === 0) {
        events.responded(x, status);
        if (!responseFields.final(x, !hasBody && !tunnel, tunnel)) return NONE;
        events.responding(x);
      }
    } else {
      events.responded(x, status);
      error = responses.finalHead(x, socket, bid, at, end, tunnel);
      used = responses.used;
      if (responses.began) {
        events.responding(x);
        if (hasBody && !http1.bodies.finished(socket)) events.progress(x);
      }
    }
    if (error !== 0) {
      if (error === NO_BUFFER) events.outOfMemory(x);
      else events.malformed(x, -error);
      return NONE;
    }
    if (!tunnel) return exchanges.kind[x] === LEG.NONE ? NONE : used;
    if (at < end) {
      context.slab.retain(bid);
      context.inbox.push(socket, bid, at, end);
    }
    events.upgraded(x, false);
    return NONE;
  }

  piece(x: ExchangeSlot, bid: number, result: number): boolean {
    const { exchanges } = this;
    const { http1, bodies } = this.parts;
    const done = result === BODY.DONE;
    const socket = exchanges.endpointSocket(x);
    if (exchanges.awaitsMessage[x] === 1 && http1.bodies.dataEnd > http1.bodies.dataStart)
      this.reports.events.firstMessage(x);
    if (exchanges.telemetry[x] !== 0) exchanges.sent[x] += http1.bodies.dataEnd - http1.bodies.dataStart;
    if (exchanges.isStream(x)) return this.responseToStream(x, socket, done);
    const client = exchanges.clientSocket(x);
    if (!bodies.forward(client, bid, http1.chunkedOut(client), done)) {
      this.reports.events.outOfMemory(x);
      return false;
    }
    if (done) return true;
    bodies.pace(socket, client, result, true);
    this.reports.events.progress(x);
    return true;
  }

  // Responses of endpoints that speak HTTP/2.

  head(x: ExchangeSlot, end: boolean): void {
    const { exchanges, parts } = this;
    const { events } = this.reports;
    const { facts } = this.core.list;
    const { status } = facts;
    if (status < 200) {
      // The endpoint has begun to process the request.
      this.replay.release(x);
      if (exchanges.isStream(x)) parts.responseFields.interim(x);
      else this.check(x, parts.responses.interimList(x));
      return;
    }
    const { added } = this.context;
    if (added.active) added.toListedResponse(this.core.list, exchanges.client(x, this.core));
    if (!this.check(x, this.unfit(x))) return;
    const tunnel = status < 300 && exchanges.tunnelsInHttp2(x);
    if (end) exchanges.grpcStatus[x] = facts.grpcStatus;
    if (facts.eventStream) exchanges.eventStream[x] = 1;
    events.responded(x, status);
    // RFC 9110 section 9.3.6: a length in a 2xx to CONNECT has no meaning.
    if (tunnel) this.core.streams.expected[exchanges.endpointStream(x)] = NONE;
    if (exchanges.isStream(x)) {
      if (!parts.responseFields.final(x, end, tunnel)) return;
    } else if (!this.check(x, parts.responses.finalList(x, end, tunnel))) return;
    events.responding(x);
    if (tunnel) events.upgraded(x, end);
    else if (end) this.ended(x);
    else events.progress(x);
  }

  data(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, parts } = this;
    const { events } = this.reports;
    if (exchanges.state[x] === STATE.TUNNEL) {
      parts.tunnels.fromEndpoint(x, at, length, end);
      return;
    }
    if (exchanges.awaitsMessage[x] === 1 && length > 0) events.firstMessage(x);
    if (exchanges.telemetry[x] !== 0) exchanges.sent[x] += length;
    const slot = exchanges.endpointStream(x);
    const { frames, sender } = parts.streams.machine;
    if (exchanges.isStream(x)) {
      const moved = sender.data(exchanges.clientStream(x), at, length, end);
      if (moved < 0) {
        events.outOfMemory(x);
        return;
      }
      if (moved > 0) frames.credit(slot, moved);
    } else {
      const client = exchanges.clientSocket(x);
      if (!parts.responses.data(client, at, length, end)) {
        events.outOfMemory(x);
        return;
      }
      if (!end && parts.bodyWriter.belowLimit(client)) frames.credit(slot, length);
    }
    if (end) this.ended(x);
  }

  trailers(x: ExchangeSlot): void {
    const { exchanges, parts, core } = this;
    const { events } = this.reports;
    if (exchanges.state[x] === STATE.TUNNEL) {
      parts.tunnels.fromEndpoint(x, 0, 0, true);
      return;
    }
    exchanges.grpcStatus[x] = core.list.facts.grpcStatus;
    if (!this.check(x, this.unfit(x))) return;
    if (exchanges.isStream(x)) {
      if (!parts.streams.machine.sender.trailers(exchanges.clientStream(x), core.list)) {
        events.outOfMemory(x);
        return;
      }
    } else if (!this.check(x, parts.responses.trailers(exchanges.clientSocket(x)))) return;
    this.ended(x);
  }

  /**
   * The response of an endpoint that speaks HTTP/2 is complete, and with it the exchange, unless the endpoint may want more of the request.
   */
  private ended(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (exchanges.kind[x] === LEG.HTTP2 && exchanges.continuesUpload(x)) exchanges.respondedEarly[x] = 1;
    else this.reports.events.ended(x);
  }

  // Flow control of the response.

  moved(x: ExchangeSlot, count: number): void {
    const { exchanges } = this;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP2:
        this.parts.streams.machine.frames.credit(exchanges.endpointStream(x), count);
        break;
      case LEG.HTTP1:
        this.parts.backpressure.resumeEndpoint(x, exchanges.endpointSocket(x));
        break;
      // The endpoint has finished.
      case LEG.PENDING:
      case LEG.NONE:
        break;
      default:
        unreachable(kind);
    }
  }

  drained(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP1:
        this.parts.bodies.drained(exchanges.endpointSocket(x), exchanges.clientSocket(x));
        break;
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        core.clock[0] = this.context.reactor.now;
        this.parts.streams.machine.frames.credit(slot, core.streams.held[slot]);
        break;
      }
      // The endpoint has finished.
      case LEG.PENDING:
      case LEG.NONE:
        break;
      default:
        unreachable(kind);
    }
  }

  /** A piece of a response that was read as HTTP/1, to a client's stream. False if the exchange is over. */
  private responseToStream(x: ExchangeSlot, socket: SocketSlot, done: boolean): boolean {
    const { exchanges, core, context } = this;
    const { dataStart, dataEnd, trailerStart, trailerEnd } = this.parts.http1.bodies;
    const { sender } = this.parts.streams.machine;
    const slot = exchanges.clientStream(x);
    const trailers = done && trailerEnd > trailerStart;
    const length = dataEnd - dataStart;
    core.clock[0] = context.reactor.now;
    core.streams.active[slot] = context.reactor.now;
    if ((length > 0 || (done && !trailers)) && sender.data(slot, dataStart, length, done && !trailers) < 0) {
      this.reports.events.outOfMemory(x);
      return false;
    }
    if (!trailers) {
      if (!done) this.parts.backpressure.holdEndpoint(x, socket);
      return true;
    }
    const count = listTrailers(context.bytes, trailerStart, trailerEnd, core.list);
    if (count < 0) {
      this.reports.events.malformed(x, -count);
      return false;
    }
    if (!this.check(x, this.unfit(x))) return false;
    const sent = count > 0 ? sender.trailers(slot, core.list) : sender.data(slot, trailerEnd, 0, true) >= 0;
    if (!sent) this.reports.events.outOfMemory(x);
    return sent;
  }

  /**
   * Why the client cannot get fields of the size of those in `core.list`: it refuses them, or reads too little. 0, NO_BUFFER or
   * -MESSAGE_ERROR.
   */
  private unfit(x: ExchangeSlot): number {
    const { exchanges, core, context } = this;
    if (!exchanges.isStream(x)) return 0;
    const { size } = core.list;
    const client = core.streams.connection[exchanges.clientStream(x)];
    if (client === null) return 0;
    if (size <= client.peerHeaderBytes)
      return size <= BUFFER_SIZE || context.outputLimits.withinShare(client.socket, size) ? 0 : NO_BUFFER;
    context.limited(LIMIT_PEER_HEADER_BYTES);
    return FIELDS_TOO_LARGE;
  }

  /** Reports a writer's error; true if there was none. */
  private check(x: ExchangeSlot, error: number): boolean {
    if (error === 0) return true;
    if (error === NO_BUFFER) this.reports.events.outOfMemory(x);
    else this.reports.events.malformed(x, -error);
    return false;
  }
}

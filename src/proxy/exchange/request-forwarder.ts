// Requests on their way from the client's leg to the endpoint's: where bytes go, what is kept of them, and whether the client may send
// more. The HTTP-specific parts are in the folders http1, http2 and translate.
import { BODY } from '../../http1/body.js';
import { MESSAGE_ERROR } from '../../http1/errors.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { LIMITS } from '../../metrics/layout.js';
import { listTrailers } from '../../translate/trailers.js';
import type { Context } from '../context.js';
import type { BodyRelay } from '../http1/bodies.js';
import type { ResponseWriter } from '../http1/response-writer.js';
import { SENDING } from '../http1/sockets.js';
import type { StreamBodyWriter } from '../http1/stream-body-writer.js';
import type { ResponseFields } from '../http2/response-fields.js';
import type { Tunnels } from '../relay/tunnel.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import { unreachable } from '../unreachable.js';
import type { Backpressure } from './backpressure.js';
import { type Exchanges, LEG, type LegKind, STATE } from './exchange.js';
import type { Parts } from './legs.js';
import type { ReplayBuffers } from './replay-buffers.js';
import type { Reports, RequestSink } from './reports.js';

const NONE = -1;
const LIMIT_PEER_HEADER_BYTES = LIMITS.indexOf('h2-peer-header-bytes');

/** What this needs besides the legs. */
export interface ForwardingParts extends Parts {
  readonly bodies: BodyRelay;
  readonly bodyWriter: StreamBodyWriter;
  readonly responses: ResponseWriter;
  readonly responseFields: ResponseFields;
  readonly tunnels: Tunnels;
  readonly backpressure: Backpressure;
}

export class RequestForwarder implements RequestSink {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly parts: ForwardingParts,
    private readonly reports: Reports,
  ) {}

  piece(x: ExchangeSlot, bid: number, result: number): boolean {
    const { exchanges, replay } = this;
    const { http1, bodies } = this.parts;
    const done = result === BODY.DONE;
    const { dataStart, dataEnd, trailerStart, trailerEnd } = http1.bodies;
    const trailers = done && trailerEnd > trailerStart;
    const length = dataEnd - dataStart;
    if (exchanges.kind[x] === LEG.NONE) return false;
    const socket = exchanges.endpointSocket(x);
    if (exchanges.kind[x] !== LEG.HTTP1 || http1.sending[socket] !== SENDING.DONE) {
      if (length > 0 || (done && !trailers)) this.data(x, dataStart, length, done && !trailers);
      return (!trailers || this.listedTrailers(x, trailerStart, trailerEnd)) && exchanges.kind[x] !== LEG.NONE;
    }
    if (trailers) replay.release(x);
    else replay.keepData(x, dataStart, length, done);
    const client = exchanges.clientSocket(x);
    if (!bodies.forward(socket, bid, http1.bodies.remaining(client) < 0, done)) {
      this.reports.events.outOfMemory(x);
      return false;
    }
    bodies.pace(client, socket, result, !replay.has(x));
    return true;
  }

  data(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, replay } = this;
    if (exchanges.state[x] === STATE.TUNNEL) {
      this.parts.tunnels.fromClient(x, at, length, end);
      return;
    }
    if (exchanges.telemetry[x] !== 0 && exchanges.isStream(x)) exchanges.received[x] += length;
    this.core.clock[0] = this.context.reactor.now;
    const isKept = replay.keepData(x, at, length, end);
    let sent = true;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP1:
        sent = this.toHttp1(x, at, length, end, isKept);
        break;
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        this.core.streams.active[slot] = this.context.reactor.now;
        const moved = this.parts.streams.sendData(x, at, length, end);
        sent = moved >= 0;
        if (sent) this.took(x, moved);
        break;
      }
      case LEG.PENDING:
        sent = isKept;
        if (sent && !exchanges.isStream(x)) this.parts.backpressure.holdClient(x, replay.body, x);
        break;
      // The endpoint has released it: the rest is not needed.
      case LEG.NONE:
        break;
      default:
        unreachable(kind);
    }
    if (!sent) this.reports.events.outOfMemory(x);
  }

  trailers(x: ExchangeSlot): void {
    const { exchanges, replay, core } = this;
    const { list, streams } = core;
    if (exchanges.state[x] === STATE.TUNNEL) {
      this.parts.tunnels.fromClient(x, 0, 0, true);
      return;
    }
    let sent = true;
    const kind = exchanges.kind[x] as LegKind;
    switch (kind) {
      case LEG.HTTP1: {
        const socket = exchanges.endpointSocket(x);
        if (this.parts.http1.sending[socket] === SENDING.AWAITING_TUNNEL) {
          replay.keepData(x, 0, 0, true);
          break;
        }
        replay.release(x);
        sent = this.parts.requests.trailers(socket, list) === 0;
        break;
      }
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        if (!this.parts.streams.machine.sender.fits(slot, list)) {
          this.context.limited(LIMIT_PEER_HEADER_BYTES);
          this.reports.events.reject(x, MESSAGE_ERROR.TRAILER_TOO_LARGE);
          return;
        }
        const connection = streams.connection[slot];
        if (connection !== null && !this.context.outputLimits.withinShare(connection.socket, list.size)) {
          sent = false;
          break;
        }
        replay.release(x);
        sent = this.parts.streams.machine.sender.trailers(slot, list) || (streams.state[slot] & STREAM.OPEN) === 0;
        break;
      }
      case LEG.PENDING:
        sent = replay.keepTrailers(x, list);
        break;
      // The endpoint has released it: the rest is not needed.
      case LEG.NONE:
        break;
      default:
        unreachable(kind);
    }
    if (!sent) this.reports.events.outOfMemory(x);
  }

  moved(x: ExchangeSlot, count: number): void {
    const { exchanges, core } = this;
    if (exchanges.isStream(x)) {
      this.parts.streams.machine.frames.credit(exchanges.clientStream(x), count);
      return;
    }
    const slot = exchanges.endpointStream(x);
    core.streams.active[slot] = this.context.reactor.now;
    this.parts.backpressure.resumeClient(x, core.pending, slot);
  }

  refused(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    if (!exchanges.isStream(x)) return;
    const slot = exchanges.clientStream(x);
    this.parts.streams.machine.frames.credit(slot, core.streams.held[slot]);
  }

  endEarly(x: ExchangeSlot): boolean {
    return this.parts.endpoints.endEarly(x);
  }

  drained(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    if (exchanges.isStream(x)) {
      core.clock[0] = this.context.reactor.now;
      this.refused(x);
      return;
    }
    const client = exchanges.clientSocket(x);
    const socket = exchanges.endpointSocket(x);
    this.parts.bodies.drained(client, socket);
    // What arrived as a list of fields is paused here; http1/bodies.ts pauses relayed bodies.
    if (this.parts.http1.sending[socket] !== SENDING.DONE) this.parts.backpressure.startClient(x);
  }

  oppositeSocket(socket: SocketSlot): SocketSlot | -1 {
    const { exchanges } = this;
    if (this.context.connections.listener[socket] >= 0) {
      const x = exchanges.ofSocket(socket);
      return exchanges.kind[x] === LEG.HTTP1 ? exchanges.endpointSocket(x) : NONE;
    }
    const x = this.parts.http1.exchange(socket);
    return x >= 0 && !exchanges.isStream(x as ExchangeSlot) ? exchanges.clientSocket(x as ExchangeSlot) : NONE;
  }

  endpointSendFailed(endpoint: SocketSlot): void {
    this.parts.endpoints.sendFailed(endpoint);
  }

  /** Bytes of a request have been passed to a stream: its client may send as many more. */
  private took(x: ExchangeSlot, moved: number): void {
    const { exchanges, core } = this;
    if (!exchanges.isStream(x)) this.parts.backpressure.holdClient(x, core.pending, exchanges.endpointStream(x));
    else if (moved > 0) this.parts.streams.machine.frames.credit(exchanges.clientStream(x), moved);
  }

  /** A piece that arrived as DATA, or whose request arrived as a list of fields, to an endpoint that speaks HTTP/1. */
  private toHttp1(x: ExchangeSlot, at: number, length: number, end: boolean, isKept: boolean): boolean {
    const { exchanges, parts } = this;
    const socket = exchanges.endpointSocket(x);
    if (parts.http1.sending[socket] === SENDING.AWAITING_TUNNEL) return isKept;
    if (!parts.requests.data(socket, at, length, end)) return false;
    const fast = parts.bodyWriter.belowLimit(socket);
    if (!exchanges.isStream(x)) {
      if (!fast) this.parts.backpressure.stopClient(x);
    } else if (fast) parts.streams.machine.frames.credit(exchanges.clientStream(x), length);
    return true;
  }

  /** Trailers that `BodyReader` found, ending a request whose endpoint gets them as a list. False if the exchange is over. */
  private listedTrailers(x: ExchangeSlot, start: number, end: number): boolean {
    const count = listTrailers(this.core.bytes, start, end, this.core.list);
    if (count < 0) {
      this.reports.events.reject(x, -count);
      return false;
    }
    if (count > 0) this.trailers(x);
    else this.data(x, end, 0, true);
    return true;
  }
}

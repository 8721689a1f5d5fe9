// Bytes on their way from one leg to the other: which leg they go to, what of them is kept, who may send more. What the versions of HTTP
// make of them is in the folders http1, http2 and translate.
import { BODY } from '../../http1/body.js';
import type { Core } from '../../http2/shared-state.js';
import { STREAM } from '../../http2/streams.js';
import { listTrailers } from '../../translate/trailers.js';
import { KNOWN, VERSION } from '../connect/protocols.js';
import type { Context } from '../context.js';
import type { BodyRelay } from '../http1/bodies.js';
import { NO_BUFFER, type PieceWriter } from '../http1/piece-writer.js';
import type { ResponseWriter } from '../http1/response-writer.js';
import { RESPONSE, SENDING } from '../http1/sockets.js';
import type { ResponseFields } from '../http2/response-fields.js';
import type { Tunnels } from '../relay/tunnel.js';
import type { ExchangeSlot, SocketSlot } from '../slots.js';
import type { Backpressure } from './backpressure.js';
import { type Exchanges, LEG, STATE } from './exchange.js';
import type { KeptRequests } from './kept.js';
import type { Parts } from './legs.js';
import type { Across, Reports } from './reports.js';

const NONE = -1;

/** What this needs beside the legs. */
export interface Ways extends Parts {
  readonly bodies: BodyRelay;
  readonly pieces: PieceWriter;
  readonly responses: ResponseWriter;
  readonly responseFields: ResponseFields;
  readonly tunnels: Tunnels;
  readonly backpressure: Backpressure;
}

export class BytesAcross implements Across {
  constructor(
    private readonly context: Context,
    private readonly core: Core,
    private readonly exchanges: Exchanges,
    private readonly kept: KeptRequests,
    private readonly ways: Ways,
    private readonly reports: Reports,
  ) {}

  // Requests.

  requestPiece(x: ExchangeSlot, bid: number, result: number): boolean {
    const { exchanges, kept } = this;
    const { http1, bodies } = this.ways;
    const done = result === BODY.DONE;
    const { dataStart, dataEnd, trailerStart, trailerEnd } = http1.bodies;
    const trailers = done && trailerEnd > trailerStart;
    const length = dataEnd - dataStart;
    if (exchanges.kind[x] === LEG.NONE) return false;
    const socket = exchanges.endpointSocket(x);
    if (exchanges.kind[x] !== LEG.HTTP1 || http1.sending[socket] !== SENDING.DONE) {
      if (length > 0 || (done && !trailers)) this.requestData(x, dataStart, length, done && !trailers);
      return (!trailers || this.listedTrailers(x, trailerStart, trailerEnd)) && exchanges.kind[x] !== LEG.NONE;
    }
    if (trailers) kept.forget(x);
    else kept.keepData(x, dataStart, length, done);
    const client = exchanges.clientSocket(x);
    if (!bodies.forward(socket, bid, http1.bodies.remaining(client) < 0, done)) {
      this.reports.control.outOfMemory(x);
      return false;
    }
    bodies.pace(client, socket, result, !kept.keeps(x));
    return true;
  }

  requestData(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, kept } = this;
    if (exchanges.state[x] === STATE.TUNNEL) {
      this.ways.tunnels.fromClient(x, at, length, end);
      return;
    }
    this.core.clock[0] = this.context.reactor.now;
    const isKept = kept.keepData(x, at, length, end);
    let sent = true;
    switch (exchanges.kind[x]) {
      case LEG.HTTP1:
        sent = this.toHttp1(x, at, length, end, isKept);
        break;
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        this.core.streams.active[slot] = this.context.reactor.now;
        const moved = this.ways.streams.sendData(x, at, length, end);
        sent = moved >= 0;
        if (sent) this.took(x, moved);
        break;
      }
      case LEG.LINE:
        sent = isKept;
        if (sent && !exchanges.isStream(x)) this.ways.backpressure.holdClient(x, kept.body.bytes[x]);
        break;
      default:
    }
    if (!sent) this.reports.control.outOfMemory(x);
  }

  requestTrailers(x: ExchangeSlot): void {
    const { exchanges, kept, core } = this;
    const { list, streams } = core;
    if (exchanges.state[x] === STATE.TUNNEL) {
      this.ways.tunnels.fromClient(x, 0, 0, true);
      return;
    }
    let sent = true;
    switch (exchanges.kind[x]) {
      case LEG.HTTP1: {
        const socket = exchanges.endpointSocket(x);
        if (this.ways.http1.sending[socket] === SENDING.AGREEING) {
          kept.keepData(x, 0, 0, true);
          break;
        }
        kept.forget(x);
        sent = this.ways.requests.trailers(socket, list) === 0;
        break;
      }
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        kept.forget(x);
        sent = this.ways.streams.machine.sender.trailers(slot, list) || (streams.state[slot] & STREAM.OPEN) === 0;
        break;
      }
      case LEG.LINE:
        sent = kept.keepTrailers(x, list);
        break;
      default:
    }
    if (!sent) this.reports.control.outOfMemory(x);
  }

  requestMoved(x: ExchangeSlot, count: number): void {
    const { exchanges, core } = this;
    if (exchanges.isStream(x)) {
      this.ways.streams.machine.frames.credit(exchanges.clientStream(x), count);
      return;
    }
    const slot = exchanges.endpointStream(x);
    core.streams.active[slot] = this.context.reactor.now;
    this.ways.backpressure.resumeClient(x, core.pending.bytes[slot]);
  }

  requestRefused(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    if (!exchanges.isStream(x)) return;
    const slot = exchanges.clientStream(x);
    this.ways.streams.machine.frames.credit(slot, core.streams.held[slot]);
  }

  requestDrained(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    if (exchanges.isStream(x)) {
      core.clock[0] = this.context.reactor.now;
      this.requestRefused(x);
      return;
    }
    const client = exchanges.clientSocket(x);
    const socket = exchanges.endpointSocket(x);
    this.ways.bodies.drained(client, socket);
    // What came as a list of fields is held back here, as a body that is relayed is there.
    if (this.ways.http1.sending[socket] !== SENDING.DONE) this.ways.backpressure.resumeClient(x, 0);
  }

  facing(socket: SocketSlot): SocketSlot | -1 {
    const { exchanges } = this;
    if (this.context.connections.listener[socket] >= 0) {
      const x = exchanges.ofSocket(socket);
      return exchanges.kind[x] === LEG.HTTP1 ? exchanges.endpointSocket(x) : NONE;
    }
    const x = this.ways.http1.exchange(socket);
    return x >= 0 && !exchanges.isStream(x as ExchangeSlot) ? exchanges.clientSocket(x as ExchangeSlot) : NONE;
  }

  endpointSendFailed(endpoint: SocketSlot): void {
    this.ways.endpoints.sendFailed(endpoint);
  }

  // Responses of endpoints that speak HTTP/1.

  interimHead(x: ExchangeSlot): void {
    const { exchanges } = this;
    if (!exchanges.isStream(x)) {
      if (!this.ways.responses.interimHead(exchanges.clientSocket(x))) this.reports.control.outOfMemory(x);
      return;
    }
    const error = this.ways.responseFields.fromHead(x);
    if (error === 0) this.ways.responseFields.interim(x);
    else this.reports.control.malformed(x, -error);
  }

  finalHead(x: ExchangeSlot, bid: number, at: number, end: number): number {
    const { exchanges, context } = this;
    const { control } = this.reports;
    const { responses, responseFields, http1 } = this.ways;
    const socket = exchanges.endpointSocket(x);
    const { status, hasBody } = http1.head;
    const tunnel = http1.response[socket] === RESPONSE.TUNNEL;
    context.protocols.learn(exchanges.endpoint[x], VERSION.HTTP1, KNOWN.SPOKEN);
    let error = 0;
    let used = at;
    if (exchanges.isStream(x)) {
      error = responseFields.fromHead(x);
      if (error === 0) {
        control.responded(x, status);
        if (!responseFields.final(x, !hasBody && !tunnel)) return NONE;
        control.answering(x);
      }
    } else {
      control.responded(x, status);
      error = responses.finalHead(x, socket, bid, at, end, tunnel);
      used = responses.used;
      if (responses.began) {
        control.answering(x);
        control.progress(x);
      }
    }
    if (error !== 0) {
      if (error === NO_BUFFER) control.outOfMemory(x);
      else control.malformed(x, -error);
      return NONE;
    }
    if (!tunnel) return exchanges.kind[x] === LEG.NONE ? NONE : used;
    if (at < end) {
      context.slab.retain(bid);
      context.inbox.push(socket, bid, at, end);
    }
    control.agreed(x, false);
    return NONE;
  }

  responsePiece(x: ExchangeSlot, bid: number, result: number): boolean {
    const { exchanges } = this;
    const { http1, bodies } = this.ways;
    const done = result === BODY.DONE;
    const socket = exchanges.endpointSocket(x);
    if (exchanges.isStream(x)) return this.responseToStream(x, socket, done);
    const client = exchanges.clientSocket(x);
    if (!bodies.forward(client, bid, http1.chunkedOut(client), done)) {
      this.reports.control.outOfMemory(x);
      return false;
    }
    if (done) return true;
    bodies.pace(socket, client, result, true);
    this.reports.control.progress(x);
    return true;
  }

  // Responses of endpoints that speak HTTP/2.

  responseHead(x: ExchangeSlot, end: boolean): void {
    const { exchanges, ways } = this;
    const { control } = this.reports;
    const { facts } = this.core.list;
    const { status } = facts;
    if (status < 200) {
      if (exchanges.isStream(x)) ways.responseFields.interim(x);
      else this.check(x, ways.responses.interimList(x));
      return;
    }
    const tunnel = status < 300 && exchanges.tunnelsInHttp2(x);
    if (end) exchanges.grpcStatus[x] = facts.grpcStatus;
    control.responded(x, status);
    // RFC 9110 section 9.3.6: a length that a 2xx to CONNECT has means nothing.
    if (tunnel) this.core.streams.expected[exchanges.endpointStream(x)] = NONE;
    if (exchanges.isStream(x)) {
      if (!ways.responseFields.final(x, end)) return;
    } else if (!this.check(x, ways.responses.finalList(x, end, tunnel))) return;
    control.answering(x);
    if (tunnel) control.agreed(x, end);
    else if (end) control.ended(x);
    else control.progress(x);
  }

  responseData(x: ExchangeSlot, at: number, length: number, end: boolean): void {
    const { exchanges, ways } = this;
    const { control } = this.reports;
    if (exchanges.state[x] === STATE.TUNNEL) {
      ways.tunnels.fromEndpoint(x, at, length, end);
      return;
    }
    const slot = exchanges.endpointStream(x);
    const { frames, sender } = ways.streams.machine;
    if (exchanges.isStream(x)) {
      const moved = sender.data(exchanges.clientStream(x), at, length, end);
      if (moved < 0) {
        control.outOfMemory(x);
        return;
      }
      if (moved > 0) frames.credit(slot, moved);
    } else {
      const client = exchanges.clientSocket(x);
      if (!ways.responses.data(client, at, length, end)) {
        control.outOfMemory(x);
        return;
      }
      if (!end && ways.pieces.keepsUp(client)) frames.credit(slot, length);
    }
    if (end) control.ended(x);
  }

  responseTrailers(x: ExchangeSlot): void {
    const { exchanges, ways, core } = this;
    const { control } = this.reports;
    if (exchanges.state[x] === STATE.TUNNEL) {
      ways.tunnels.fromEndpoint(x, 0, 0, true);
      return;
    }
    exchanges.grpcStatus[x] = core.list.facts.grpcStatus;
    if (exchanges.isStream(x)) {
      if (!ways.streams.machine.sender.trailers(exchanges.clientStream(x), core.list)) {
        control.outOfMemory(x);
        return;
      }
    } else if (!this.check(x, ways.responses.trailers(exchanges.clientSocket(x)))) return;
    control.ended(x);
  }

  // Who may send more of a response.

  responseMoved(x: ExchangeSlot, count: number): void {
    const { exchanges } = this;
    switch (exchanges.kind[x]) {
      case LEG.HTTP2:
        this.ways.streams.machine.frames.credit(exchanges.endpointStream(x), count);
        break;
      case LEG.HTTP1:
        this.ways.backpressure.resumeEndpoint(x, exchanges.endpointSocket(x));
        break;
      default:
    }
  }

  responseDrained(x: ExchangeSlot): void {
    const { exchanges, core } = this;
    switch (exchanges.kind[x]) {
      case LEG.HTTP1:
        this.ways.bodies.drained(exchanges.endpointSocket(x), exchanges.clientSocket(x));
        break;
      case LEG.HTTP2: {
        const slot = exchanges.endpointStream(x);
        core.clock[0] = this.context.reactor.now;
        this.ways.streams.machine.frames.credit(slot, core.streams.held[slot]);
        break;
      }
      default:
    }
  }

  /** Octets of a request have gone to a stream: its client may send as many more. */
  private took(x: ExchangeSlot, moved: number): void {
    const { exchanges, core } = this;
    if (!exchanges.isStream(x)) this.ways.backpressure.holdClient(x, core.pending.bytes[exchanges.endpointStream(x)]);
    else if (moved > 0) this.ways.streams.machine.frames.credit(exchanges.clientStream(x), moved);
  }

  /** A piece that came as DATA, or whose request came as a list of fields, to an endpoint that speaks HTTP/1. */
  private toHttp1(x: ExchangeSlot, at: number, length: number, end: boolean, isKept: boolean): boolean {
    const { exchanges, ways } = this;
    const socket = exchanges.endpointSocket(x);
    if (ways.http1.sending[socket] === SENDING.AGREEING) return isKept;
    if (!ways.requests.data(socket, at, length, end)) return false;
    const fast = ways.pieces.keepsUp(socket);
    if (!exchanges.isStream(x)) {
      if (!fast) this.ways.backpressure.holdClient(x, this.context.sockets.queued[socket]);
    } else if (fast) ways.streams.machine.frames.credit(exchanges.clientStream(x), length);
    return true;
  }

  /** Trailers that `BodyReader` has found end a request whose endpoint gets them as a list. False if the exchange is over. */
  private listedTrailers(x: ExchangeSlot, start: number, end: number): boolean {
    const count = listTrailers(this.core.bytes, start, end, this.core.list);
    if (count < 0) {
      this.reports.control.reject(x, -count);
      return false;
    }
    if (count > 0) this.requestTrailers(x);
    else this.requestData(x, end, 0, true);
    return true;
  }

  /** A piece of a response that was read as HTTP/1, to a client's stream. False if the exchange is over. */
  private responseToStream(x: ExchangeSlot, socket: SocketSlot, done: boolean): boolean {
    const { exchanges, core, context } = this;
    const { dataStart, dataEnd, trailerStart, trailerEnd } = this.ways.http1.bodies;
    const { sender } = this.ways.streams.machine;
    const slot = exchanges.clientStream(x);
    const trailers = done && trailerEnd > trailerStart;
    const length = dataEnd - dataStart;
    core.clock[0] = context.reactor.now;
    core.streams.active[slot] = context.reactor.now;
    if ((length > 0 || (done && !trailers)) && sender.data(slot, dataStart, length, done && !trailers) < 0) {
      this.reports.control.outOfMemory(x);
      return false;
    }
    if (!trailers) {
      if (!done) this.ways.backpressure.holdEndpoint(x, socket);
      return true;
    }
    const count = listTrailers(context.bytes, trailerStart, trailerEnd, core.list);
    if (count < 0) {
      this.reports.control.malformed(x, -count);
      return false;
    }
    const sent = count > 0 ? sender.trailers(slot, core.list) : sender.data(slot, trailerEnd, 0, true) >= 0;
    if (!sent) this.reports.control.outOfMemory(x);
    return sent;
  }

  /** Tells of what a writer says; true if it is well. */
  private check(x: ExchangeSlot, error: number): boolean {
    if (error === 0) return true;
    if (error === NO_BUFFER) this.reports.control.outOfMemory(x);
    else this.reports.control.malformed(x, -error);
    return false;
  }
}

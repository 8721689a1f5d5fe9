// How exchanges end, well or badly: what is accounted, what happens to the endpoint's leg, and what the client is told. The order matters:
// the endpoint's leg goes first, so that its place is free when the client's next request is read.
import { H2_ERROR } from '../../http2/frame.js';
import { CLOSE } from '../connect/connections.js';
import type { ExchangeSlot } from '../slots.js';
import { type Exchanges, STATE } from './exchange.js';
import type { ExchangeStats } from './exchange-stats.js';
import type { Legs } from './legs.js';
import type { LocalReplies } from './local-replies.js';
import { OUTCOME } from './outcome.js';
import type { ReplayBuffers } from './replay-buffers.js';
import { closeReason, REPLY_REASON } from './reply-reasons.js';

/** Details of an event. One object for all events, because one per event would be allocated. */
export interface Outcome {
  /** Of the response, or of the proxy's own answer, with its REPLY_REASON and a detail for its body. */
  status: number;
  why: number;
  detail: Uint8Array | null;
  /** H2_ERROR for a client's stream. */
  code: number;
  /** The endpoint reset its stream with `code`. */
  reset: boolean;
  /** CLOSE of the responsible connection. */
  reason: number;
  /** The HEALTH_SIGNAL for the endpoint's health. */
  signal: number;
}

export class Endings {
  readonly outcome: Outcome = {
    status: 0,
    why: 0,
    detail: null,
    code: H2_ERROR.NO_ERROR,
    reset: false,
    reason: 0,
    signal: 0,
  };

  constructor(
    private readonly exchanges: Exchanges,
    private readonly replay: ReplayBuffers,
    private readonly legs: Legs,
    private readonly stats: ExchangeStats,
    private readonly localReplies: LocalReplies,
    private readonly authorization: { forget(exchange: number): void },
  ) {}

  /** The endpoint failed to complete its response, and none of it has gone to the client. */
  blame(x: ExchangeSlot): void {
    const { stats, legs } = this;
    stats.failed(x, this.outcome.signal);
    const connection = legs.endEndpoint(x, H2_ERROR.CANCEL, this.outcome.reason);
    this.sendLocalReply(x);
    legs.reuse(connection);
  }

  /** Sends the proxy's own answer; an endpoint that has the request is not at fault. */
  replyLocally(x: ExchangeSlot): void {
    const { legs } = this;
    this.abandonEndpoint(x);
    const connection = legs.endEndpoint(x, H2_ERROR.CANCEL, CLOSE.OK);
    this.sendLocalReply(x);
    legs.reuse(connection);
  }

  private sendLocalReply(x: ExchangeSlot): void {
    const { stats, localReplies, legs } = this;
    this.release(x);
    const { why, detail, code, reset } = this.outcome;
    const status = localReplies.send(x, this.outcome.status, why, detail, code, reset);
    stats.repliedLocally(x, status, why);
    legs.afterLocalReply(x, closeReason(why));
  }

  /** The client's response is cut off; the endpoint's part in that is accounted for. */
  abort(x: ExchangeSlot): void {
    const { stats, exchanges, legs } = this;
    const { status, why, code, reset } = this.outcome;
    const connection = legs.endEndpoint(x, H2_ERROR.CANCEL, this.outcome.reason);
    this.release(x);
    const reason = why === REPLY_REASON.BODY_TIMEOUT ? CLOSE.TIMEOUT : CLOSE.ERROR;
    if (this.isGrpcCall(x) && this.localReplies.endGrpcCall(x, status, why, code, reset)) {
      // For a call the status is the answer, wherever it appears.
      stats.repliedLocally(x, exchanges.status[x], why);
      legs.afterLocalReply(x, reason);
    } else {
      stats.ended(x, OUTCOME.ABORTED, why);
      legs.abort(x, code, reason);
    }
    legs.reuse(connection);
  }

  /** The client has left. */
  abandon(x: ExchangeSlot): void {
    const { stats, legs } = this;
    const { reason } = this.outcome;
    this.abandonEndpoint(x);
    const connection = legs.endEndpoint(x, H2_ERROR.CANCEL, CLOSE.OK);
    // Any other reason is our own.
    if (reason === CLOSE.OK || reason === CLOSE.RESET || reason === CLOSE.TLS) stats.clientGone(x);
    stats.ended(x, OUTCOME.CLIENT_GONE, reason);
    this.release(x);
    legs.close(x, reason);
    legs.reuse(connection);
  }

  /** The client has the whole response. */
  complete(x: ExchangeSlot): void {
    const { stats, legs } = this;
    stats.succeeded(x);
    stats.ended(x, OUTCOME.COMPLETE, 0);
    // An endpoint that has answered before the end of the request does not want the rest (RFC 9113 section 8.1).
    const connection = legs.endEndpoint(x, H2_ERROR.NO_ERROR, CLOSE.OK);
    this.release(x);
    legs.next(x);
    legs.reuse(connection);
  }

  /** Whether the client is in the middle of a gRPC call: trailers can tell it how the call ends. */
  private isGrpcCall(x: ExchangeSlot): boolean {
    const { exchanges } = this;
    const answering = exchanges.state[x] === STATE.RESPONDING && exchanges.status[x] === 200;
    return answering && exchanges.grpc[x] === 1 && exchanges.isStream(x);
  }

  /** Detaches the exchange from its endpoint, if it has one. */
  private abandonEndpoint(x: ExchangeSlot): void {
    const { exchanges, stats } = this;
    const state = exchanges.state[x];
    if (state >= STATE.PENDING && state <= STATE.FLUSHING) stats.abandoned(x);
  }

  /** Discards what was kept for the exchange. */
  private release(x: ExchangeSlot): void {
    const { replay, exchanges } = this;
    replay.release(x);
    replay.dropTrailers(x);
    if (exchanges.keys.size > 0) exchanges.keys.delete(x);
    this.authorization.forget(x);
  }
}

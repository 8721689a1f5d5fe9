// How exchanges end, well or badly: what is accounted, what happens to the endpoint's leg, and what the client is told. The order matters:
// the endpoint's leg goes first, so that its place is free when the client's next request is read.
import { H2_ERROR } from '../../http2/frame.js';
import { CLOSE } from '../connect/connections.js';
import type { ExchangeSlot } from '../slots.js';
import type { Accounts } from './accounts.js';
import type { Answers } from './answers.js';
import { type Exchanges, STATE } from './exchange.js';
import type { KeptRequests } from './kept.js';
import type { Legs } from './legs.js';
import { OUTCOME } from './outcome.js';
import { closeReason, WHY } from './reasons.js';

/** Details of an event. One object for all events, because one per event would be allocated. */
export interface Outcome {
  /** Of the response, or of the proxy's own answer, with its WHY and a detail for its body. */
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
    private readonly kept: KeptRequests,
    private readonly legs: Legs,
    private readonly accounts: Accounts,
    private readonly answers: Answers,
    private readonly authorization: { forget(exchange: number): void },
  ) {}

  /** The endpoint failed to complete its response, and none of it has gone to the client. */
  blame(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    accounts.failed(x, this.outcome.signal);
    const connection = legs.leave(x, H2_ERROR.CANCEL, this.outcome.reason);
    this.sendAnswer(x);
    legs.reuse(connection);
  }

  /** Sends the proxy's own answer; an endpoint that has the request is not at fault. */
  answer(x: ExchangeSlot): void {
    const { legs } = this;
    this.disengage(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, CLOSE.OK);
    this.sendAnswer(x);
    legs.reuse(connection);
  }

  private sendAnswer(x: ExchangeSlot): void {
    const { accounts, answers, legs } = this;
    this.forget(x);
    const { why, detail, code, reset } = this.outcome;
    const status = answers.send(x, this.outcome.status, why, detail, code, reset);
    accounts.answered(x, status, why);
    legs.afterAnswer(x, closeReason(why));
  }

  /** The client's response is cut off; the endpoint's part in that is accounted for. */
  cut(x: ExchangeSlot): void {
    const { accounts, exchanges, legs } = this;
    const { status, why, code, reset } = this.outcome;
    const connection = legs.leave(x, H2_ERROR.CANCEL, this.outcome.reason);
    this.forget(x);
    const reason = why === WHY.BODY_TIMEOUT ? CLOSE.TIMEOUT : CLOSE.ERROR;
    if (this.isCall(x) && this.answers.endCall(x, status, why, code, reset)) {
      // For a call the status is the answer, wherever it appears.
      accounts.answered(x, exchanges.status[x], why);
      legs.afterAnswer(x, reason);
    } else {
      accounts.ended(x, OUTCOME.CUT, why);
      legs.cut(x, code, reason);
    }
    legs.reuse(connection);
  }

  /** The client has left. */
  abandon(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    const { reason } = this.outcome;
    this.disengage(x);
    const connection = legs.leave(x, H2_ERROR.CANCEL, CLOSE.OK);
    // Any other reason is our own.
    if (reason === CLOSE.OK || reason === CLOSE.RESET || reason === CLOSE.TLS) accounts.clientLeft(x);
    accounts.ended(x, OUTCOME.LEFT, reason);
    this.forget(x);
    legs.close(x, reason);
    legs.reuse(connection);
  }

  /** The client has the whole response. */
  complete(x: ExchangeSlot): void {
    const { accounts, legs } = this;
    accounts.succeeded(x);
    accounts.ended(x, OUTCOME.WHOLE, 0);
    // An endpoint that has answered before the end of the request does not want the rest (RFC 9113 section 8.1).
    const connection = legs.leave(x, H2_ERROR.NO_ERROR, CLOSE.OK);
    this.forget(x);
    legs.next(x);
    legs.reuse(connection);
  }

  /** Whether the client is in the middle of a gRPC call: trailers can tell it how the call ends. */
  private isCall(x: ExchangeSlot): boolean {
    const { exchanges } = this;
    const answering = exchanges.state[x] === STATE.ANSWERING && exchanges.status[x] === 200;
    return answering && exchanges.grpc[x] === 1 && exchanges.isStream(x);
  }

  /** Detaches the exchange from its endpoint, if it has one. */
  private disengage(x: ExchangeSlot): void {
    const { exchanges, accounts } = this;
    const state = exchanges.state[x];
    if (state >= STATE.WAITING && state <= STATE.FLUSHING) accounts.abandoned(x);
  }

  /** Discards what was kept for the exchange. */
  private forget(x: ExchangeSlot): void {
    const { kept, exchanges } = this;
    kept.forget(x);
    kept.dropTrailers(x);
    if (exchanges.keys.size > 0) exchanges.keys.delete(x);
    this.authorization.forget(x);
  }
}

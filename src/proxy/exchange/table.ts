// The events of an exchange, and the action for each.
//
// A request arrives (REQUEST) and is dispatched: an endpoint is picked and a connection leased or dialled, or the request is queued for
// one (PENDING) until it is available (READY). Once it has been sent (SENT), five things can go wrong, with different consequences:
//
//   CONNECT_FAILED   no connection could be established: nothing was processed, so the request goes elsewhere, whatever its method
//   WRONG_VERSION    the endpoint speaks the other version: nothing was processed, so the same endpoint is asked again
//   REFUSED          the endpoint says that it has processed nothing: the request is sent again, if the budget allows
//   CONNECTION_LOST  the connection ended: sent again if nothing can have been processed, or processing it twice does no harm
//   FAILED           the endpoint broke the protocol, or took too long: it is at fault
//
// Its response begins (RESPONDED) and goes to the client (RESPONDING) until the endpoint has finished (ENDED); the rest is flushed to the
// client (FLUSHING, FLUSHED). From RESPONDING on nothing can be sent again: an error cuts the response off. Or client and endpoint agree on
// a tunnel (UPGRADED), which is accounted for at once and ends when both sides have ended. The client may leave at any time (CLIENT_GONE),
// and the proxy may have its own reason to answer (REPLY_LOCALLY): neither says anything about the endpoint.
import { STATE } from './exchange.js';

/** Events. */
export const EVENT = {
  REQUEST: 0,
  READY: 1,
  CONNECT_FAILED: 2,
  WRONG_VERSION: 3,
  REFUSED: 4,
  CONNECTION_LOST: 5,
  FAILED: 6,
  RESPONDED: 7,
  UPGRADED: 8,
  ENDED: 9,
  FLUSHED: 10,
  CLIENT_GONE: 11,
  REPLY_LOCALLY: 12,
} as const;
export const EVENTS = Object.keys(EVENT) as (keyof typeof EVENT)[];
export const EVENT_COUNT = EVENTS.length;

/** Actions. */
export const ACTION = {
  /** Can't happen: a report of it is a bug. */
  IMPOSSIBLE: 0,
  /** Nothing: it concerns a leg that has done its part. */
  NONE: 1,
  /** Find an endpoint, and send the request to it. */
  DISPATCH: 2,
  /** Leave the queue for the connection that is ready. */
  SEND: 3,
  /** Send the request to another endpoint. */
  FAILOVER: 4,
  /** Send it to the same endpoint, in the other version. */
  TRANSLATE: 5,
  /** Send it again if the budget allows. If it is not kept, a client that speaks HTTP/2 is told that it may do so; any other gets an answer. */
  RETRY: 6,
  /** Send it again if it may be, else blame the endpoint. */
  RETRY_OR_BLAME: 7,
  /** Account for a failure of the endpoint, and answer in the proxy's own name. */
  BLAME: 8,
  /** Record status and latency; the request will not be sent again. */
  BEGIN: 9,
  /** The two legs become a tunnel. */
  TUNNEL: 10,
  /** Wait until the client has the whole response. */
  FLUSH: 11,
  /** Account for the exchange, and continue with the client's next request. */
  COMPLETE: 12,
  /** Account for a failure of the endpoint; the client must not take what it got for complete. */
  ABORT: 13,
  /** Detach the exchange from its endpoint, which is not at fault, and end the client's leg. */
  ABANDON: 14,
  /** Detach it from its endpoint, which is not at fault, and answer. */
  LOCAL_REPLY: 15,
  /** Like ABORT, but the endpoint is not at fault. */
  ABORT_BLAMELESS: 16,
  /** The tunnel ends if both sides have ended. */
  TUNNEL_FLUSHED: 17,
  /** The tunnel breaks: the client gets a reset after the preceding data. */
  TUNNEL_BROKEN: 18,
  /** The tunnel's client has left. */
  TUNNEL_CLIENT_GONE: 19,
  /** The proxy's own answer has been sent. */
  END: 20,
} as const;
export const ACTIONS = Object.keys(ACTION) as (keyof typeof ACTION)[];

type Row = Partial<Record<keyof typeof EVENT, keyof typeof ACTION>>;

/** By state: the action for each event. Events not listed are impossible. */
const ROWS: Readonly<Record<keyof typeof STATE, Row>> = {
  FREE: { REQUEST: 'DISPATCH', CLIENT_GONE: 'ABANDON', REPLY_LOCALLY: 'LOCAL_REPLY', FLUSHED: 'NONE' },
  PENDING: {
    READY: 'SEND',
    CONNECT_FAILED: 'FAILOVER',
    WRONG_VERSION: 'TRANSLATE',
    CLIENT_GONE: 'ABANDON',
    REPLY_LOCALLY: 'LOCAL_REPLY',
  },
  SENT: {
    CONNECT_FAILED: 'FAILOVER',
    WRONG_VERSION: 'TRANSLATE',
    REFUSED: 'RETRY',
    CONNECTION_LOST: 'RETRY_OR_BLAME',
    FAILED: 'BLAME',
    RESPONDED: 'BEGIN',
    CLIENT_GONE: 'ABANDON',
    REPLY_LOCALLY: 'LOCAL_REPLY',
  },
  RESPONDING: {
    REFUSED: 'ABORT',
    CONNECTION_LOST: 'ABORT',
    FAILED: 'ABORT',
    UPGRADED: 'TUNNEL',
    ENDED: 'FLUSH',
    FLUSHED: 'NONE',
    CLIENT_GONE: 'ABANDON',
    REPLY_LOCALLY: 'ABORT_BLAMELESS',
  },
  FLUSHING: {
    REFUSED: 'NONE',
    CONNECTION_LOST: 'NONE',
    FAILED: 'NONE',
    FLUSHED: 'COMPLETE',
    CLIENT_GONE: 'ABANDON',
    REPLY_LOCALLY: 'ABORT_BLAMELESS',
  },
  TUNNEL: {
    REFUSED: 'TUNNEL_BROKEN',
    CONNECTION_LOST: 'TUNNEL_BROKEN',
    FAILED: 'TUNNEL_BROKEN',
    FLUSHED: 'TUNNEL_FLUSHED',
    CLIENT_GONE: 'TUNNEL_CLIENT_GONE',
    REPLY_LOCALLY: 'TUNNEL_BROKEN',
  },
  LOCAL_REPLY: { FLUSHED: 'END', CLIENT_GONE: 'ABANDON', REPLY_LOCALLY: 'NONE', ENDED: 'NONE' },
};

export const STATES = Object.keys(STATE) as (keyof typeof STATE)[];

/** `TABLE[state * EVENT_COUNT + event]` is an ACTION. */
export const TABLE = Uint8Array.from(
  STATES.flatMap((state) => EVENTS.map((event) => ACTION[ROWS[state][event] ?? 'IMPOSSIBLE'])),
);

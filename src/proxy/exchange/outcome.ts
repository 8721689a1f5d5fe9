// How exchanges end for their clients, as numbers and in words.
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { CLOSE_REASONS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';

/** How the exchange ended for the client. */
export const OUTCOME = {
  /** It got a complete response from the endpoint. */
  COMPLETE: 0,
  /** The proxy answered: `why` is an index into RESPONSE_REASONS. */
  LOCAL_REPLY: 1,
  /** The response was cut off; `why` likewise. */
  ABORTED: 2,
  /** The client left: `why` is the CLOSE of its connection. */
  CLIENT_GONE: 3,
  /** It was a tunnel; `why` is the CLOSE of the side that ended it. */
  TUNNEL: 4,
} as const;

/** The reason in a word: '' if all went well. */
export function endReason(outcome: number, why: number): string {
  switch (outcome) {
    case OUTCOME.COMPLETE:
      return '';
    case OUTCOME.CLIENT_GONE:
      if (why === CLOSE.TIMEOUT) return 'client-timeout';
      if (why === CLOSE.PROTOCOL) return 'bad-request';
      return why === CLOSE.LIMIT || why === CLOSE.DRAIN ? CLOSE_REASONS[why] : 'client-left';
    case OUTCOME.TUNNEL:
      return why === CLOSE.OK ? '' : CLOSE_REASONS[why];
    default:
      return RESPONSE_REASONS[why];
  }
}

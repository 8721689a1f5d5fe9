// How exchanges end for their clients, as numbers and in words.
import { RESPONSE_REASONS } from '../../http/response-reasons.js';
import { CLOSE_REASONS } from '../../metrics/layout.js';
import { CLOSE } from '../connect/connections.js';

/** How the exchange has ended for the client. */
export const OUTCOME = {
  /** It has got a whole response of the endpoint. */
  WHOLE: 0,
  /** The proxy has answered: `why` is an index into RESPONSE_REASONS. */
  ANSWERED: 1,
  /** The response was cut off: the same. */
  CUT: 2,
  /** The client has left: `why` is the CLOSE of its connection. */
  LEFT: 3,
  /** It was a tunnel: the same, of whichever side ended it. */
  TUNNEL: 4,
} as const;

/** Why, in a word: '' where all went well. */
export function endReason(outcome: number, why: number): string {
  switch (outcome) {
    case OUTCOME.WHOLE:
      return '';
    case OUTCOME.LEFT:
      if (why === CLOSE.TIMEOUT) return 'client-timeout';
      if (why === CLOSE.PROTOCOL) return 'bad-request';
      return why === CLOSE.LIMIT || why === CLOSE.DRAIN ? CLOSE_REASONS[why] : 'client-left';
    case OUTCOME.TUNNEL:
      return why === CLOSE.OK ? '' : CLOSE_REASONS[why];
    default:
      return RESPONSE_REASONS[why];
  }
}

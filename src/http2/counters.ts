// What is counted of HTTP/2: a block of numbers for each side that Sluice is on. Where a block begins is up to whoever owns the
// array that it lies in; a connection is told (`meter`) and adds to `values[meter + H.X]`.

import { H2_ERROR } from './frame.js';

/** Sides of an HTTP/2 connection: Sluice is the server of its clients and the client of its endpoints. */
export const H2_ROLES = ['server', 'client'] as const;

/** Names of error codes by their number; the last one stands for all that the RFC does not know. */
export const H2_ERRORS: readonly string[] = [...Object.keys(H2_ERROR), 'other'];
const H2_OTHER = H2_ERRORS.length - 1;
/** Place of a 32-bit error code in a block of H: `values[base + H.RESET_SENT + h2Error(code)]++`. */
export const h2Error = (code: number): number => (code >= 0 && code < H2_OTHER ? code : H2_OTHER);

/** Places in the block of a role: `values[connection.meter + H.X]`. */
export const H = {
  CONNECTIONS_TOTAL: 0,
  CONNECTIONS: 1,
  STREAMS_TOTAL: 2,
  STREAMS: 3,
  /** Time that streams had data waiting at their own zero window, µs, added when the wait ends. */
  STREAM_STALL_US: 4,
  STREAM_STALLS: 5,
  /** The same at the connection's window. */
  CONNECTION_STALL_US: 6,
  CONNECTION_STALLS: 7,
  /** Header blocks decoded, and those of them that the cache of whole blocks knew. */
  HEADER_BLOCKS: 8,
  HEADER_BLOCK_HITS: 9,
  /** Fields decoded one by one, and those of them that a cache knew. */
  HEADER_FIELDS: 10,
  HEADER_FIELD_HITS: 11,
  PINGS_SENT: 12,
  /** Pings of the peer; acknowledgements are not counted. */
  PINGS_RECEIVED: 13,
  SETTINGS_RECEIVED: 14,
  /** Streams sent to another endpoint after REFUSED_STREAM or a GOAWAY. */
  RETRIES_REFUSED: 15,
  /** RESET_SENT + h2Error(code); likewise the next three. */
  RESET_SENT: 16,
  RESET_RECEIVED: 32,
  GOAWAY_SENT: 48,
  GOAWAY_RECEIVED: 64,
  SIZE: 80,
} as const;

// Counters of HTTP/2: a block of numbers for each of Sluice's roles. The owner of the array decides where a block begins; a connection adds
// to `values[meter + H.X]`.

import { H2_ERROR } from './frame.js';

/** Roles in an HTTP/2 connection: Sluice is the server of its clients and the client of its endpoints. */
export const H2_ROLES = ['server', 'client'] as const;

/** Names of error codes by number; the last one stands for all codes that the RFC does not define. */
export const H2_ERRORS: readonly string[] = [...Object.keys(H2_ERROR), 'other'];
const H2_OTHER = H2_ERRORS.length - 1;
/** Index of a 32-bit error code in a block of H: `values[base + H.RESET_SENT + h2Error(code)]++`. */
export const h2Error = (code: number): number => (code >= 0 && code < H2_OTHER ? code : H2_OTHER);

/** Indices in the block of a role: `values[connection.meter + H.X]`. */
export const H = {
  CONNECTIONS_TOTAL: 0,
  CONNECTIONS: 1,
  STREAMS_TOTAL: 2,
  STREAMS: 3,
  /** Time that streams had data waiting for their own window, µs, added when the wait ends. */
  STREAM_STALL_US: 4,
  STREAM_STALLS: 5,
  /** The same for the connection window. */
  CONNECTION_STALL_US: 6,
  CONNECTION_STALLS: 7,
  /** Header blocks decoded, and those found whole in the cache. */
  HEADER_BLOCKS: 8,
  HEADER_BLOCK_HITS: 9,
  /** Fields decoded individually, and those found in a cache. */
  HEADER_FIELDS: 10,
  HEADER_FIELD_HITS: 11,
  PINGS_SENT: 12,
  /** PINGs from the peer, not counting acknowledgements. */
  PINGS_RECEIVED: 13,
  SETTINGS_RECEIVED: 14,
  /** Streams sent to another endpoint after REFUSED_STREAM or a GOAWAY. */
  RETRIES_REFUSED: 15,
  /** RESET_SENT + h2Error(code); the next three likewise. */
  RESET_SENT: 16,
  RESET_RECEIVED: 32,
  GOAWAY_SENT: 48,
  GOAWAY_RECEIVED: 64,
  SIZE: 80,
} as const;

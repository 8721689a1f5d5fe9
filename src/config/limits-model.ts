// The limits of the configuration after parsing: what connections and requests may take.
import type { Http2Limits } from '../http2/limits.js';

export interface Http1Limits {
  /** Bytes of start line and fields; at most what a buffer holds. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  readonly maxTargetBytes: number;
  /** First byte of a request to the end of its head, ms. */
  readonly headerTimeoutMs: number;
  /** Silence inside a request or response body, ms. */
  readonly bodyTimeoutMs: number;
  /** How long and how much to read from a client that was answered before the end of its request. */
  readonly lingerTimeoutMs: number;
  readonly maxLingerBytes: number;
  /** Silence of a client connection between requests, ms. */
  readonly idleTimeoutMs: number;
  /** Requests served on one client connection; 0 is no limit. */
  readonly maxRequests: number;
  /** Pipelined bytes read ahead of the response being sent. */
  readonly maxPipelinedBytes: number;
}

export interface OpaqueLimits {
  /** Connections to one endpoint, per worker; 0 is no limit. */
  readonly maxConnections: number;
  /** Silence in both directions, ms; 0 is none. */
  readonly idleTimeoutMs: number;
  /** Age of a connection, ms; 0 is none. */
  readonly lifetimeMs: number;
  /** How long a half-closed connection may stay silent, ms; 0 is none. */
  readonly halfCloseTimeoutMs: number;
}

export interface TlsLimits {
  /** Timeout of a whole handshake, ms. */
  readonly handshakeTimeoutMs: number;
  /** Handshakes in progress per worker, with clients, and the same number with endpoints. */
  readonly maxHandshakes: number;
  /** Handshake steps per turn of the event loop. */
  readonly handshakesPerTurn: number;
  /** Time for them per turn, µs. */
  readonly handshakeTurnUs: number;
  /** How long a client may keep others waiting for its place, ms. */
  readonly handshakePatienceMs: number;
  /** Maximum bytes of a ClientHello. */
  readonly maxHello: number;
  /** Maximum bytes of an endpoint's chain; half of it for a client. */
  readonly maxChain: number;
}

export interface LimitsConfig {
  /** Open client connections per worker. */
  readonly maxConnections: number;
  /** Buffer memory per worker, bytes. */
  readonly slabBytes: number;
  /** Buffers unused for this long are returned to the system, ms; 0: never. */
  readonly slabIdleMs: number;
  /** Bytes queued to a slow reader before its source is no longer read. */
  readonly maxBufferedBytes: number;
  /** Pipes that splicing may hold per worker; 0 turns splicing off. */
  readonly maxPipes: number;
  /** How long to remember which protocol an endpoint speaks, ms. */
  readonly protocolExpiryMs: number;
  readonly http1: Http1Limits;
  readonly http2: Http2Limits;
  readonly opaque: OpaqueLimits;
  readonly tls: TlsLimits;
}

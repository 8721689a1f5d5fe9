// Limits on peers, and the names under which violations are counted.

/** The largest block that is read to its end, whatever happens to its message. A longer one is an attack. */
export const MAX_BLOCK_BYTES = 1024 * 1024;

/** Per connection, with defaults. Floods are counted in windows of 10 s. */
export interface Http2Limits {
  /** Streams that a client may have open; announced to it. */
  readonly maxStreams: number;
  /** Bytes of a field list as RFC 9113 section 6.5.2 counts them: uncompressed, plus 32 per field. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** First to last frame of a header block, and the client's preface, ms. */
  readonly headerTimeoutMs: number;
  /** Silence of a client connection without streams, ms. */
  readonly idleTimeoutMs: number;
  /** Time without progress on a stream in either direction, ms; 0 is no limit. */
  readonly bodyTimeoutMs: number;
  /** How long data may wait for a window, ms. */
  readonly stallTimeoutMs: number;
  /** How long an endpoint's connection window may stay at zero before the connection gets no more streams, ms; 0 is no limit. */
  readonly windowTimeoutMs: number;
  /** The rest of an answered request is read and discarded until it has been silent for this long, ms, and at most this many bytes. */
  readonly discardTimeoutMs: number;
  readonly maxDiscardBytes: number;
  /** Initial window of a stream, bytes. */
  readonly streamWindow: number;
  /** Maximum window of a flowing stream, bytes. */
  readonly maxStreamWindow: number;
  readonly connectionWindow: number;
  /** Bytes held for slow readers on all streams of a connection. */
  readonly maxBufferedBytes: number;
  /** Silence with open streams before a PING is sent, ms; 0 turns this off. */
  readonly keepAliveMs: number;
  /** Time for the answer to a PING, ms. */
  readonly keepAliveTimeoutMs: number;
  /** Age of a client connection at which it is sent a GOAWAY, ms; 0 is no limit. */
  readonly maxAgeMs: number;
  /** How long its streams may continue after that, ms. */
  readonly ageGraceMs: number;
  /** RST_STREAM frames from the peer, per window. */
  readonly maxResets: number;
  /** Streams that the peer made Sluice reset, per window. */
  readonly maxProvokedResets: number;
  /** SETTINGS, PING, PRIORITY, GOAWAY and unknown frames, per window. */
  readonly maxControlFrames: number;
  /** DATA, HEADERS and CONTINUATION frames without content that end nothing, per window. */
  readonly maxEmptyFrames: number;
  /** DATA frames with little content, per window. */
  readonly maxTinyFrames: number;
  /** CONTINUATION frames of one header block. */
  readonly maxContinuations: number;
  /** Bytes of requests kept for retries, per worker. */
  readonly maxReplayBytes: number;
}

/** Limits that the machine itself counts: `values[core.limitsAt + LIMIT.X]`. The owner's timers count the others. */
export const H2_LIMITS = [
  'h2-streams',
  'h2-resets',
  'h2-provoked-resets',
  'h2-control-frames',
  'h2-empty-frames',
  'h2-tiny-data',
  'h2-continuations',
  'h2-header-bytes',
  'h2-buffered',
] as const;

/** Indices in H2_LIMITS. */
export const LIMIT = {
  STREAMS: H2_LIMITS.indexOf('h2-streams'),
  RESETS: H2_LIMITS.indexOf('h2-resets'),
  PROVOKED: H2_LIMITS.indexOf('h2-provoked-resets'),
  CONTROLS: H2_LIMITS.indexOf('h2-control-frames'),
  EMPTIES: H2_LIMITS.indexOf('h2-empty-frames'),
  TINIES: H2_LIMITS.indexOf('h2-tiny-data'),
  CONTINUATIONS: H2_LIMITS.indexOf('h2-continuations'),
  HEADER_BYTES: H2_LIMITS.indexOf('h2-header-bytes'),
  BUFFERED: H2_LIMITS.indexOf('h2-buffered'),
} as const;

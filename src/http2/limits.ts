// How much a peer may ask for, and the names under which it is counted that one asked for more.

/** The largest block that is read to its end, whatever becomes of its message. One that goes on is an attack. */
export const MAX_BLOCK_BYTES = 1024 * 1024;

/** Per connection, where nothing else is said. Floods are counted in windows of 10 s. */
export interface Http2Limits {
  /** Streams that a client may have open at once; announced to it. */
  readonly maxStreams: number;
  /** Bytes of a field list as RFC 9113 section 6.5.2 counts them: uncompressed, 32 more for each field. */
  readonly maxHeaderBytes: number;
  readonly maxHeaders: number;
  /** First to last frame of a header block, and the client's preface, ms. */
  readonly headerTimeoutMs: number;
  /** Silence of a client connection without a stream, ms. */
  readonly idleTimeoutMs: number;
  /** Silence of a stream on which neither side moves, ms; 0 is none. */
  readonly bodyTimeoutMs: number;
  /** How long data may wait at a zero window, ms. */
  readonly stallTimeoutMs: number;
  /** How long the window of an endpoint's connection may stand at zero before it gets no more streams, ms; 0 is for ever. */
  readonly windowTimeoutMs: number;
  /** The rest of a request that is answered is taken and thrown away: until it has been silent for so long, ms, and so many bytes of it. */
  readonly discardTimeoutMs: number;
  readonly maxDiscardBytes: number;
  /** Window that a stream begins with, bytes. */
  readonly streamWindow: number;
  /** Window that a stream which flows is widened up to, bytes. */
  readonly maxStreamWindow: number;
  readonly connectionWindow: number;
  /** Bytes of all streams of a connection held back for slow readers. */
  readonly maxBufferedBytes: number;
  /** Silence, while streams are open, after which a PING is sent, ms; 0 is off. */
  readonly keepAliveMs: number;
  /** How long the answer to a PING may take, ms. */
  readonly keepAliveTimeoutMs: number;
  /** Age of a client connection at which it is sent a GOAWAY, ms; 0 is none. */
  readonly maxAgeMs: number;
  /** How long its streams may go on then, ms. */
  readonly ageGraceMs: number;
  /** RST_STREAM frames from the peer, per window. */
  readonly maxResets: number;
  /** Streams that the peer made Sluice reset, per window. */
  readonly maxProvokedResets: number;
  /** SETTINGS, PING, PRIORITY, GOAWAY and unknown frames, per window. */
  readonly maxControlFrames: number;
  /** DATA, HEADERS and CONTINUATION frames without content that end nothing, per window. */
  readonly maxEmptyFrames: number;
  /** DATA frames with little in them, per window. */
  readonly maxTinyFrames: number;
  /** CONTINUATION frames of one header block. */
  readonly maxContinuations: number;
  /** Bytes of requests kept for sending them again, per worker. */
  readonly maxReplayBytes: number;
}

/** Limits that the machine itself counts when they fire: `values[core.limitsAt + LIMIT.X]`. Others are for its owner's timers. */
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

/** Places in H2_LIMITS. */
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

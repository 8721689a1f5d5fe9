// The state of one HTTP/2 connection, in either role. Pure data: the receiver, the sender and the stream store work on it.
import { Decoder } from '../hpack/decoder.js';
import type { DiscardingDecoder } from '../hpack/discarding-decoder.js';
import { Encoder } from '../hpack/encoder.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import { H2_ROLES } from './counters.js';
import { DEFAULT_WINDOW, FRAME_HEADER_BYTES, PREFACE } from './frame.js';
import type { Http2Limits } from './limits.js';

/** Our role: SERVER towards clients, CLIENT towards endpoints. In the order of H2_ROLES. */
export const ROLE = { SERVER: H2_ROLES.indexOf('server'), CLIENT: H2_ROLES.indexOf('client') } as const;

/** What the next bytes of a connection are. */
export const READ_STATE = {
  PREFACE: 0,
  /** A frame header. */
  HEADER: 1,
  /** The Pad Length octet of a DATA frame. */
  PAD_LENGTH: 2,
  /** Payload of a DATA frame, passed on as it arrives. */
  DATA: 3,
  /** Payload of any other frame, handled once complete. */
  PAYLOAD: 4,
  /** Bytes to discard: padding, DATA of closed streams, unknown frames. */
  SKIP: 5,
  /** Nothing: the connection has failed. */
  FAILED: 6,
} as const;

/** Progress of a connection towards its end. */
export const CONNECTION_STATE = {
  /** Streams may be opened. */
  OPEN: 0,
  /** Our GOAWAY with the highest stream id has been sent: new streams are still accepted (RFC 9113 section 6.8). */
  SHUTTING_DOWN: 1,
  /** A final GOAWAY was sent or received: no new streams. */
  DRAINING: 2,
  /** A connection error: only our GOAWAY is still sent. */
  FAILED: 3,
} as const;

/** Both HPACK table sizes: the default, which every peer has agreed to before it sends anything. */
export const TABLE_BYTES = 4096;
const BUCKETS = 64;
const NONE = -1;

export class Connection {
  readonly decoder: Decoder;
  readonly encoder: Encoder;

  // What is being read.
  readState: number;
  /** Received bytes of the preface, the frame header or a whole payload. */
  partialBytes = 0;
  readonly frameHeader = new Uint8Array(FRAME_HEADER_BYTES);
  length = 0;
  type = 0;
  flags = 0;
  stream = 0;
  /** Remaining bytes of the payload (DATA, SKIP). */
  remaining = 0;
  /** Padding at the end of the current DATA frame. */
  padding = 0;
  /** Slot of the stream of the DATA, -1 once it is unwanted. */
  dataSlot = NONE;
  /** Buffer in which a fragmented payload is assembled, -1 for none. */
  partialBuffer = NONE;
  /** Stream with an incomplete header block (then only CONTINUATION may follow), 0 for none. */
  blockStream = 0;
  blockFlags = 0;
  blockBuffer = NONE;
  /** Further buffers, full except the last; allocated when first needed. */
  blockMore: Int32Array | undefined;
  blockMoreCount = 0;
  /** Bytes of the block in its buffers. */
  blockLength = 0;
  /** All received bytes of the block. */
  blockTotal = 0;
  /** Reads a block that is too large to keep. Below: its method, as far as it was read. */
  discarding: DiscardingDecoder | undefined;
  blockMethod = 0;
  /** It is within the limits as far as known, but there was no memory for it. */
  blockOutOfMemory = false;
  blockSince = 0;
  continuations = 0;
  settingsSeen = false;
  /** The peer has acknowledged our settings and follows them from now on. */
  settingsAcked = false;

  // Flow control (RFC 9113 section 5.2).
  sendWindow = DEFAULT_WINDOW;
  recvWindow = DEFAULT_WINDOW;
  /** Bytes to return to the peer's window, not yet announced. */
  recvCredit = 0;
  /** Received bytes waiting for a slow reader. */
  held = 0;
  /** Of these, bytes not returned to the peer because memory was short. */
  deferred = 0;
  /** The excess held has been counted. */
  overBudget = false;
  /** When data began to wait for the connection window, ms; 0: none waits. */
  stalledSince = 0;
  /** When our window on it was used up, ms; 0: it is not. */
  emptySince = 0;

  // The peer's settings.
  peerWindow = DEFAULT_WINDOW;
  /** Unlimited until the peer sets it; the pool checks `settingsSeen` first. */
  peerStreams = 0x7fffffff;
  peerConnect = false;
  /**
   * The largest list of fields that the peer accepts. Advisory only (RFC 9113 section 6.5.2), but many close the connection because of a
   * larger one.
   */
  peerHeaderBytes = 0x7fffffff;

  // Streams.
  readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  readonly bucketMask = BUCKETS - 1;
  active = 0;
  /** Highest stream id opened by the peer. */
  lastPeerId = 0;
  /** Next id that we will open. */
  nextId = 1;
  opened = 0;
  /** Streams whose data waits for a window or the socket: a ring of slots. */
  blockedHead = NONE;
  blockedTail = NONE;
  /** Ids of streams that we reset, because frames on their way may still arrive: a ring, allocated at the first reset. */
  resetIds: Int32Array | undefined;
  resetAt = 0;
  /** Highest id dropped from the ring: ids up to it are unknown. */
  resetsForgotten = 0;

  /** Latest time until which the rest of a request may still be discarded, over all streams, ms; maintained by the owner. */
  discardsUntil = 0;
  /** Since when it has had no stream, ms; maintained by the owner. */
  idleSince: number;
  /** When the owner checks it next, ms; 0: not armed. */
  timerAt = 0;
  state: number = CONNECTION_STATE.OPEN;
  /** The peer has reported a violation by us. */
  errorReceived = false;
  /** Last stream id of our final GOAWAY. */
  goawayLast = 0x7fffffff;
  /** Our PING has not been answered yet. */
  pingPending = false;
  pingSentAt = 0;

  // Output.
  outBuffer = NONE;
  outStart = 0;
  outEnd = 0;
  outLimit = 0;
  dirty = false;
  /** The socket's queue is full enough. */
  congested = false;

  // Allowances (abuse.ts), counted per period.
  periodStart = 0;
  useful = 0;
  answered = 0;
  resets = 0;
  provokedResets = 0;
  controlFrames = 0;
  emptyFrames = 0;
  tinyFrames = 0;
  /** It has exceeded an allowance and gets no more streams: for endpoints. */
  overAllowance = false;
  /** Bytes that the peer has reason to return to its windows: those of DATA, once for the stream and once for the connection. */
  windowDue = 0;
  /** Answers to PING and SETTINGS queued while the socket was busy. */
  answersQueued = 0;

  constructor(
    /** Slot of the socket in the socket table, under which output is queued. */
    readonly socket: number,
    readonly role: number,
    /** Start of its role's counters (H). */
    readonly meter: number,
    memory: HeaderMemory,
    readonly limits: Http2Limits,
    readonly since: number,
  ) {
    this.decoder = new Decoder(memory, TABLE_BYTES);
    this.encoder = new Encoder(memory, TABLE_BYTES);
    this.readState = role === ROLE.SERVER ? READ_STATE.PREFACE : READ_STATE.HEADER;
    this.periodStart = since;
    this.idleSince = since;
  }

  get server(): boolean {
    return this.role === ROLE.SERVER;
  }

  /** The connection holds as much for slow readers as it should. */
  get overBuffered(): boolean {
    return this.held > this.limits.maxBufferedBytes;
  }

  /** No stream can be opened on it any more, by either side. */
  get closing(): boolean {
    return this.state >= CONNECTION_STATE.DRAINING;
  }

  /** Whether a header block, or any frame except DATA, is incomplete. */
  get partial(): boolean {
    return this.blockStream !== 0 || this.partialBuffer !== NONE;
  }

  /** Whether we have reset stream `id`, as far as known: frames for it may still arrive. */
  wasReset(id: number): boolean {
    return id <= this.resetsForgotten || (this.resetIds?.includes(id) ?? false);
  }
}

/** Remaining bytes of the preface after `partialBytes`. */
export const PREFACE_BYTES = PREFACE.length;

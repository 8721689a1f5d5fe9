// The state of one HTTP/2 connection, whichever side of it we are on. Nothing here does anything: the receiver, the sender and
// the streams' store work on it.
import { Decoder } from '../hpack/decoder.js';
import { Encoder } from '../hpack/encoder.js';
import type { HeaderMemory } from '../hpack/memory/header-memory.js';
import type { Skimmer } from '../hpack/skimmer.js';
import { H2_ROLES } from './counters.js';
import { DEFAULT_WINDOW, FRAME_HEADER_BYTES, PREFACE } from './frame.js';
import type { Http2Limits } from './limits.js';

/** Which side we are: SERVER towards clients, CLIENT towards endpoints. The order of H2_ROLES. */
export const ROLE = { SERVER: H2_ROLES.indexOf('server'), CLIENT: H2_ROLES.indexOf('client') } as const;

/** What the next octets of a connection are. */
export const READING = {
  PREFACE: 0,
  /** A frame header. */
  HEADER: 1,
  /** The Pad Length octet of a DATA frame. */
  PAD_LENGTH: 2,
  /** Payload of a DATA frame, passed on as it comes. */
  DATA: 3,
  /** Payload of any other frame, handled when it is whole. */
  PAYLOAD: 4,
  /** Octets that nobody wants: padding, DATA of closed streams, unknown frames. */
  SKIP: 5,
  /** Nothing: the connection has failed. */
  NOTHING: 6,
} as const;

/** How far the end of a connection has come. */
export const GOING = {
  /** Streams are opened. */
  OPEN: 0,
  /** Our GOAWAY with the highest stream id is out: new streams are still taken (RFC 9113 section 6.8). */
  SHUTTING_DOWN: 1,
  /** A final GOAWAY was sent or received: no new streams. */
  LEAVING: 2,
  /** A connection error: nothing but our GOAWAY is still sent. */
  FAILED: 3,
} as const;

/** Both settings of HPACK tables: the default, which every peer has agreed to before it says anything. */
export const TABLE_BYTES = 4096;
const BUCKETS = 64;
const NONE = -1;

export class Connection {
  readonly decoder: Decoder;
  readonly encoder: Encoder;

  // What is being read.
  reading: number;
  /** Octets of the preface, the frame header or a whole payload that have come so far. */
  got = 0;
  readonly head = new Uint8Array(FRAME_HEADER_BYTES);
  length = 0;
  type = 0;
  flags = 0;
  stream = 0;
  /** Octets of the payload still to come (DATA, SKIP). */
  left = 0;
  /** Padding at the end of the DATA frame that is being read. */
  padding = 0;
  /** Slot of the stream that the DATA belongs to, -1 once nobody wants it. */
  dataSlot = NONE;
  /** Buffer in which a payload cut by the network is put together, -1 for none. */
  carry = NONE;
  /** Stream whose header block is not complete (then only CONTINUATION may come), 0 for none. */
  blockStream = 0;
  blockFlags = 0;
  blockBuffer = NONE;
  /** Further buffers, which are full but for the last; made when first needed. */
  blockMore: Int32Array | undefined;
  blockMoreCount = 0;
  /** Octets of the block in its buffers. */
  blockLength = 0;
  /** All octets of the block that have come. */
  blockTotal = 0;
  /** Reads the block where it is too large to be kept. Its method, as far as that was looked at, is below. */
  skimmer: Skimmer | undefined;
  blockMethod = 0;
  /** It is within the limits, as far as that is known, but there was no memory for it. */
  blockStarved = false;
  blockSince = 0;
  continuations = 0;
  settingsSeen = false;
  /** The peer has acknowledged ours: it keeps to them from here on. */
  settingsAcked = false;

  // Flow control (RFC 9113 section 5.2).
  sendWindow = DEFAULT_WINDOW;
  recvWindow = DEFAULT_WINDOW;
  /** Octets that the peer may have back, not yet announced. */
  recvCredit = 0;
  /** Octets received that wait for a slow reader. */
  held = 0;
  /** Octets of these that were not given back to the peer, as memory was short. */
  deferred = 0;
  /** It has been noted that too much is held. */
  overBudget = false;
  /** Since when data waits at a zero connection window, ms; 0: it doesn't. */
  stalledSince = 0;
  /** Since when our window on it is used up, ms; 0: it is not. */
  emptySince = 0;

  // What the peer has set.
  peerWindow = DEFAULT_WINDOW;
  /** Unlimited until it says so; the pool asks `settingsSeen` first. */
  peerStreams = 0x7fffffff;
  peerConnect = false;
  /** The largest list of fields that it takes. Advice only (RFC 9113 section 6.5.2), but many end the connection over one that is larger. */
  peerHeaderBytes = 0x7fffffff;

  // Streams.
  readonly buckets = new Int32Array(BUCKETS).fill(NONE);
  readonly bucketMask = BUCKETS - 1;
  active = 0;
  /** Highest stream id that the peer has opened. */
  lastPeerId = 0;
  /** Next id that we open. */
  nextId = 1;
  opened = 0;
  /** Streams with data that waits for a window or the socket: a ring of slots. */
  blockedHead = NONE;
  blockedTail = NONE;
  /** Ids of streams that we reset, as what was under way may still come: a ring, made at the first reset. */
  resetIds: Int32Array | undefined;
  resetAt = 0;
  /** Highest id that was in the ring and is no more: of those up to it nobody knows. */
  resetsForgotten = 0;

  /** Until when the rest of a request may still be taken, for the last stream of which that holds, ms; kept by its owner. */
  discardsUntil = 0;
  /** Since when it has had no stream, ms; kept by its owner. */
  idleSince: number;
  /** When its owner looks at it next, ms; 0: not armed. */
  timerAt = 0;
  going: number = GOING.OPEN;
  /** The peer has said that we broke its rules. */
  complained = false;
  /** Last stream id of our final GOAWAY. */
  goawayLast = 0x7fffffff;
  /** A PING of ours waits for its answer. */
  pingPending = false;
  pingSentAt = 0;

  // Output.
  outBuffer = NONE;
  outStart = 0;
  outEnd = 0;
  outLimit = 0;
  dirty = false;
  /** The socket has as much as it should hold. */
  congested = false;

  // Allowances (abuse.ts), counted per period.
  periodStart = 0;
  wanted = 0;
  answered = 0;
  resets = 0;
  provoked = 0;
  controls = 0;
  empties = 0;
  tinies = 0;
  /** It has gone beyond one, and gets no more streams: for endpoints. */
  excessive = false;
  /** Octets that the peer has reason to give back to its windows: those of DATA, once for the stream and once for the connection. */
  windowDue = 0;
  /** Answers to PING and SETTINGS that were queued while the socket was busy. */
  answersQueued = 0;

  constructor(
    /** Slot of the socket in the sockets' table: the name under which output is queued. */
    readonly socket: number,
    readonly role: number,
    /** Where the counters (H) of its role begin. */
    readonly meter: number,
    memory: HeaderMemory,
    readonly limits: Http2Limits,
    readonly since: number,
  ) {
    this.decoder = new Decoder(memory, TABLE_BYTES);
    this.encoder = new Encoder(memory, TABLE_BYTES);
    this.reading = role === ROLE.SERVER ? READING.PREFACE : READING.HEADER;
    this.periodStart = since;
    this.idleSince = since;
  }

  get server(): boolean {
    return this.role === ROLE.SERVER;
  }

  /** As much is held for slow readers as should be on one connection. */
  get crowded(): boolean {
    return this.held > this.limits.maxBufferedBytes;
  }

  /** No stream can be opened on it any more, by whoever opens them. */
  get closing(): boolean {
    return this.going >= GOING.LEAVING;
  }

  /** Whether a header block, or any frame but DATA, has begun to come and is not whole. */
  get partial(): boolean {
    return this.blockStream !== 0 || this.carry !== NONE;
  }

  /** Whether we have reset stream `id`, as far as that is known: what was under way on it may still come. */
  wasReset(id: number): boolean {
    return id <= this.resetsForgotten || (this.resetIds?.includes(id) ?? false);
  }
}

/** Octets of the preface still expected where `got` have come. */
export const PREFACE_BYTES = PREFACE.length;

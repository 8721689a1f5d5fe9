// Counts and measurements of a thread, in memory that the main thread reads at any time. Recording uses integers in typed arrays: no
// allocation.

/** Kinds of errors, as named in results. */
export const ERROR_KINDS = [
  'refused',
  'unreachable',
  'reset',
  'timeout',
  'closed',
  'protocol',
  'http1',
  'http2',
  'plain',
  'tls-only',
  'certificate',
  'name',
  'client-certificate',
  'tls',
  'goaway',
  'local',
  'messages',
  'status',
] as const;
export type ErrorKind = (typeof ERROR_KINDS)[number];

const numbers = ERROR_KINDS.map((kind, number) => [kind, number] as const);
/** Their numbers. */
export const ERROR = Object.fromEntries(numbers) as Readonly<Record<ErrorKind, number>>;

/** Histograms of a thread. */
export const HISTOGRAM = { LATENCY: 0, SERVICE: 1, CONNECT: 2, MESSAGE: 3 } as const;
const HISTOGRAMS = 4;

/** Three significant digits, of µs. */
export const DIGITS = 3;
export const HIGHEST_US = 2_147_483_647;
/** Values below this have a slot each; above, each doubling has half as many slots. */
const LINEAR = 2048;
export const SLOTS = LINEAR + 20 * (LINEAR / 2);

/** Lower status codes are counted separately; all others in the last one. */
const STATUSES = 1000;

/** Indices of a thread's values. */
export const AT = {
  /** Its PHASE. */
  PHASE: 0,
  /** Connections ready, and failed, during preparation. */
  READY: 1,
  FAILED: 2,
  DONE: 3,
  READ: 4,
  WRITTEN: 5,
  OPENED: 6,
  UNSENT: 7,
  /** Start and end of the measured time, µs of the monotonic clock. */
  BEGAN: 8,
  ENDED: 9,
  /** CPU time of the thread in it, µs. */
  CPU: 10,
  /** Ticks of it in user space, and in the kernel. */
  USER_TICKS: 11,
  SYSTEM_TICKS: 12,
  /** Requests and connections in progress now. */
  BUSY: 13,
  OPEN: 14,
  /** All work done, measured or not. */
  ALL_DONE: 15,
  ALL_ERRORS: 16,
  /** Messages on calls that have several. */
  MESSAGES_SENT: 17,
  MESSAGES_RECEIVED: 18,
  /** Pauses before a connection was made again. */
  PAUSES: 19,
  /** The error code of the first GOAWAY that had one. */
  GOAWAY_CODE: 20,
  SUMS: 21,
  ERRORS: 21 + HISTOGRAMS,
  STATUSES: 21 + HISTOGRAMS + ERROR_KINDS.length,
  SIZE: 21 + HISTOGRAMS + ERROR_KINDS.length + STATUSES,
} as const;

/** Progress of a thread. */
export const PHASE = { PREPARING: 0, PREPARED: 1, RUNNING: 2, DRAINING: 3, CLOSING: 4, OVER: 5 } as const;

/** Plain and cloneable, for messages. */
export interface TallyMemory {
  readonly values: SharedArrayBuffer;
  readonly counts: SharedArrayBuffer;
  readonly unexpected: SharedArrayBuffer;
}

/** How much is kept of the first thing that came and was no answer. Before it is its length. */
const UNEXPECTED_BYTES = 64;

export function allocateTally(): TallyMemory {
  return {
    values: new SharedArrayBuffer(AT.SIZE * Float64Array.BYTES_PER_ELEMENT),
    counts: new SharedArrayBuffer(HISTOGRAMS * SLOTS * Uint32Array.BYTES_PER_ELEMENT),
    unexpected: new SharedArrayBuffer(1 + UNEXPECTED_BYTES),
  };
}

/** Slot of `micros`, an integer from 0 to HIGHEST_US: HdrHistogram's index for three digits. */
export function slotOf(micros: number): number {
  const doublings = 21 - Math.clz32(micros | (LINEAR - 1));
  return (doublings << 10) + (micros >>> doublings);
}

/** Smallest value in `slot`, µs. */
export function lowestOf(slot: number): number {
  if (slot < LINEAR) return slot;
  const doublings = (slot >>> 10) - 1;
  return ((slot & 1023) + 1024) * 2 ** doublings;
}

/** The thread's side: the only writer. */
export class Tally {
  readonly values: Float64Array;
  private readonly counts: Uint32Array;
  private readonly unexpectedOctets: Uint8Array;

  constructor(memory: TallyMemory) {
    this.values = new Float64Array(memory.values);
    this.counts = new Uint32Array(memory.counts);
    this.unexpectedOctets = new Uint8Array(memory.unexpected);
  }

  /** Negative values count as 0: a turn's clock may be older than what it is compared with. */
  record(histogram: number, micros: number): void {
    const value = micros >= HIGHEST_US ? HIGHEST_US : micros > 0 ? micros | 0 : 0;
    this.counts[histogram * SLOTS + slotOf(value)]++;
    this.values[AT.SUMS + histogram] += value;
  }

  error(kind: number): void {
    this.values[AT.ERRORS + kind]++;
  }

  /** Keeps the beginning of what came and was no answer: of the first, for people. */
  unexpected(bytes: Uint8Array, at: number, length: number): void {
    const kept = this.unexpectedOctets;
    const count = Math.min(length, UNEXPECTED_BYTES);
    if (kept[0] !== 0) return;
    for (let i = 0; i < count; i++) kept[1 + i] = bytes[at + i];
    kept[0] = count;
  }

  /** Keeps why the server wants no more requests: of the first that says so. */
  goaway(code: number): void {
    if (this.values[AT.GOAWAY_CODE] === 0) this.values[AT.GOAWAY_CODE] = code;
  }

  status(code: number): void {
    this.values[AT.STATUSES + (code < STATUSES ? code : STATUSES - 1)]++;
  }
}

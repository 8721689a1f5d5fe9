// What a thread has counted and measured, in memory that the main thread reads at any time. Recording is integers in typed arrays: nothing is allocated.

/** What goes wrong, as results name it. */
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
  'tls',
  'goaway',
  'local',
  'status',
] as const;
export type ErrorKind = (typeof ERROR_KINDS)[number];

const numbers = ERROR_KINDS.map((kind, number) => [kind, number] as const);
/** Their numbers. */
export const ERROR = Object.fromEntries(numbers) as Readonly<Record<ErrorKind, number>>;

/** Histograms of a thread. */
export const HISTOGRAM = { LATENCY: 0, SERVICE: 1, CONNECT: 2 } as const;
const HISTOGRAMS = 3;

/** Three significant digits, of µs. */
export const DIGITS = 3;
export const HIGHEST_US = 2_147_483_647;
/** Values below this have a slot each; above, each doubling is divided into half as many. */
const LINEAR = 2048;
export const SLOTS = LINEAR + 20 * (LINEAR / 2);

/** Of status codes below it, each is counted; of others the last. */
const STATUSES = 1000;

/** Places in a thread's values. */
export const AT = {
  /** Its PHASE. */
  PHASE: 0,
  /** Connections that can be used, and that failed, while it prepares. */
  READY: 1,
  FAILED: 2,
  DONE: 3,
  READ: 4,
  WRITTEN: 5,
  OPENED: 6,
  UNSENT: 7,
  /** When the measured time began and ended, µs of the monotonic clock. */
  BEGAN: 8,
  ENDED: 9,
  /** CPU time of the thread in it, µs. */
  CPU: 10,
  /** Ticks of it in user space, and in the kernel. */
  USER_TICKS: 11,
  SYSTEM_TICKS: 12,
  /** Requests and connections under way now. */
  BUSY: 13,
  OPEN: 14,
  /** Whatever was done, measured or not. */
  ALL_DONE: 15,
  ALL_ERRORS: 16,
  SUMS: 17,
  ERRORS: 17 + HISTOGRAMS,
  STATUSES: 17 + HISTOGRAMS + ERROR_KINDS.length,
  SIZE: 17 + HISTOGRAMS + ERROR_KINDS.length + STATUSES,
} as const;

/** How far a thread has come. */
export const PHASE = { PREPARING: 0, PREPARED: 1, RUNNING: 2, DRAINING: 3, CLOSING: 4, OVER: 5 } as const;

/** Plain and cloneable, so that it can travel in a message. */
export interface TallyMemory {
  readonly values: SharedArrayBuffer;
  readonly counts: SharedArrayBuffer;
}

export function allocateTally(): TallyMemory {
  return {
    values: new SharedArrayBuffer(AT.SIZE * Float64Array.BYTES_PER_ELEMENT),
    counts: new SharedArrayBuffer(HISTOGRAMS * SLOTS * Uint32Array.BYTES_PER_ELEMENT),
  };
}

/** Slot of `micros`, an integer from 0 to HIGHEST_US: HdrHistogram's index for three digits. */
export function slotOf(micros: number): number {
  const doublings = 21 - Math.clz32(micros | (LINEAR - 1));
  return (doublings << 10) + (micros >>> doublings);
}

/** Smallest value that `slot` stands for, µs. */
export function lowestOf(slot: number): number {
  if (slot < LINEAR) return slot;
  const doublings = (slot >>> 10) - 1;
  return ((slot & 1023) + 1024) * 2 ** doublings;
}

/** The thread's end: the only writer. */
export class Tally {
  readonly values: Float64Array;
  private readonly counts: Uint32Array;

  constructor(memory: TallyMemory) {
    this.values = new Float64Array(memory.values);
    this.counts = new Uint32Array(memory.counts);
  }

  /** Negative values count as 0, as the clock of a turn may be older than what it is compared with. */
  record(histogram: number, micros: number): void {
    const value = micros >= HIGHEST_US ? HIGHEST_US : micros > 0 ? micros | 0 : 0;
    this.counts[histogram * SLOTS + slotOf(value)]++;
    this.values[AT.SUMS + histogram] += value;
  }

  error(kind: number): void {
    this.values[AT.ERRORS + kind]++;
  }

  status(code: number): void {
    this.values[AT.STATUSES + (code < STATUSES ? code : STATUSES - 1)]++;
  }
}

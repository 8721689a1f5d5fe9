// Reads what the threads of a load have measured while they run: sums, and what is new since the last reading.
import { H2_ERROR } from '../http2/frame.js';
import { AT, ERROR_KINDS, HISTOGRAM, SLOTS, type TallyMemory } from './tally.js';

/** Recordings of one histogram, summed over threads: by slot, and their sum in µs. */
export interface HistogramCounts {
  readonly counts: Float64Array;
  readonly sum: number;
}

/** Only the slots in use: the form in which an interval is kept. */
export interface SparseCounts {
  readonly slots: Uint16Array;
  readonly counts: Float64Array;
  readonly sum: number;
}

export class Measurements {
  private readonly values: readonly Float64Array[];
  private readonly counts: readonly Uint32Array[];
  private readonly firsts: readonly Uint8Array[];

  constructor(memories: readonly TallyMemory[]) {
    this.values = memories.map(({ values }) => new Float64Array(values));
    this.firsts = memories.map(({ unexpected }) => new Uint8Array(unexpected));
    this.counts = memories.map(({ counts }) => new Uint32Array(counts));
  }

  /** For a place in AT: the sum over all threads, or the minimum, or the maximum. */
  sum(at: number): number {
    return this.values.reduce((sum, values) => sum + values[at], 0);
  }

  min(at: number): number {
    return Math.min(...this.values.map((values) => values[at]));
  }

  max(at: number): number {
    return Math.max(...this.values.map((values) => values[at]));
  }

  errors(): Record<string, number> {
    const entries = ERROR_KINDS.map((kind, i) => [kind, this.sum(AT.ERRORS + i)] as const);
    return Object.fromEntries(entries.filter(([, count]) => count > 0));
  }

  /** How the first thing began that was no answer, an octet a character; undefined: nothing was. */
  unexpected(): string | undefined {
    const first = this.firsts.find(([length]) => length > 0);
    return first === undefined ? undefined : Buffer.from(first.subarray(1, 1 + first[0])).toString('latin1');
  }

  /** Why HTTP/2 connections were ended by GOAWAY: the name of its error code; undefined: for no error, or not at all. */
  goaway(): string | undefined {
    const code = this.max(AT.GOAWAY_CODE);
    if (code === H2_ERROR.NO_ERROR) return undefined;
    return Object.entries(H2_ERROR).find(([, number]) => number === code)?.[0] ?? `code ${code}`;
  }

  errorCount(): number {
    return ERROR_KINDS.reduce((sum, _, i) => sum + this.sum(AT.ERRORS + i), 0);
  }

  statuses(): Record<string, number> {
    const found: Record<string, number> = {};
    for (let at = AT.STATUSES; at < AT.SIZE; at++) {
      const count = this.sum(at);
      if (count > 0) found[String(at - AT.STATUSES)] = count;
    }
    return found;
  }

  histogram(histogram: number): HistogramCounts {
    const counts = new Float64Array(SLOTS);
    for (const each of this.counts) {
      const from = histogram * SLOTS;
      for (let slot = 0; slot < SLOTS; slot++) counts[slot] += each[from + slot];
    }
    return { counts, sum: this.sum(AT.SUMS + histogram) };
  }
}

/** New content of a histogram since the last reading. */
export class IntervalRecorder {
  private readonly before = new Float64Array(SLOTS);
  private sum = 0;

  constructor(
    private readonly measured: Measurements,
    private readonly histogram: number = HISTOGRAM.LATENCY,
  ) {}

  take(): SparseCounts {
    const now = this.measured.histogram(this.histogram);
    const slots: number[] = [];
    const counts: number[] = [];
    for (let slot = 0; slot < SLOTS; slot++) {
      const more = now.counts[slot] - this.before[slot];
      if (more <= 0) continue;
      slots.push(slot);
      counts.push(more);
      this.before[slot] = now.counts[slot];
    }
    const sum = now.sum - this.sum;
    this.sum = now.sum;
    return { slots: Uint16Array.from(slots), counts: Float64Array.from(counts), sum };
  }
}

export function merge(parts: readonly SparseCounts[]): HistogramCounts {
  const all = new Float64Array(SLOTS);
  let total = 0;
  for (const { slots, counts, sum } of parts) {
    for (let i = 0; i < slots.length; i++) all[slots[i]] += counts[i];
    total += sum;
  }
  return { counts: all, sum: total };
}

/** Value at a percentile of sparse slots, µs; 0 if there are none. */
export function percentileOf(
  { slots, counts }: SparseCounts,
  percentile: number,
  lowestOf: (slot: number) => number,
): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let left = Math.ceil((total * percentile) / 100);
  for (let i = 0; i < slots.length; i++) {
    left -= counts[i];
    if (left <= 0) return lowestOf(slots[i] + 1) - 1;
  }
  return 0;
}

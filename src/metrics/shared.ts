// A worker's memory and its recorder. The recorder runs per request: integers only, no allocation.
import { DEFAULT_ENDPOINTS, HISTOGRAM, HISTOGRAM_SLOTS, histogramCount, SUMS_AT, valuesLength } from './layout.js';

/** The worker's memory: plain and cloneable, for messages. */
export interface WorkerMemory {
  /** Float64 in the order of layout.ts. */
  readonly values: SharedArrayBuffer;
  /** Histograms of HISTOGRAM_SLOTS Uint32 each. */
  readonly histograms: SharedArrayBuffer;
}

/** Zeroed memory for one worker: 100 MB of address space by default, of which the kernel backs only touched pages. */
export function allocateWorkerMemory(endpointSeries = DEFAULT_ENDPOINTS + 2): WorkerMemory {
  const histograms = histogramCount(endpointSeries);
  return {
    values: new SharedArrayBuffer(valuesLength(endpointSeries) * Float64Array.BYTES_PER_ELEMENT),
    histograms: new SharedArrayBuffer(histograms * HISTOGRAM_SLOTS * Uint32Array.BYTES_PER_ELEMENT),
  };
}

/** Slot of `value` (an integer, 0 to HISTOGRAM.highest) in a histogram: HdrHistogram's index for two digits. */
export function slotOf(value: number): number {
  // Values below 256 have a slot each; above, every doubling has 128 slots.
  const doublings = 24 - Math.clz32(value | 255);
  return (doublings << 7) + (value >>> doublings);
}

/** The worker's side: the only writer of its memory. */
export class WorkerMetrics {
  readonly values: Float64Array;
  private readonly counts: Uint32Array;

  constructor(memory: WorkerMemory) {
    this.values = new Float64Array(memory.values);
    this.counts = new Uint32Array(memory.histograms);
  }

  /**
   * Records `micros` in a histogram, numbered by `workerHistogram`, `listenerHistogram`, `serviceHistogram` or `endpointHistogram`.
   * Fractions are cut off, negative values count as 0, values over the range as its end.
   */
  record(histogram: number, micros: number): void {
    const value = micros >= HISTOGRAM.highest ? HISTOGRAM.highest : micros > 0 ? micros | 0 : 0;
    this.counts[histogram * HISTOGRAM_SLOTS + slotOf(value)]++;
    this.values[SUMS_AT + histogram] += value;
  }
}

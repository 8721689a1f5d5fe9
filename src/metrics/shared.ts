// A worker's memory and the recorder that writes it. The recorder runs per request: integers only, nothing allocated.
import { DEFAULT_ENDPOINTS, HISTOGRAM, HISTOGRAM_SLOTS, histogramCount, SUMS_AT, valuesLength } from './layout.js';

/** What a worker is handed: plain and cloneable, so that it can travel in a message. */
export interface WorkerMemory {
  /** Float64 in the order of layout.ts. */
  readonly values: SharedArrayBuffer;
  /** Histograms of HISTOGRAM_SLOTS Uint32 each. */
  readonly histograms: SharedArrayBuffer;
}

/** Zeroed memory for one worker: 100 MB of address space by default, of which the kernel backs only the pages that are touched. */
export function allocateWorkerMemory(endpointSeries = DEFAULT_ENDPOINTS + 2): WorkerMemory {
  const histograms = histogramCount(endpointSeries);
  return {
    values: new SharedArrayBuffer(valuesLength(endpointSeries) * Float64Array.BYTES_PER_ELEMENT),
    histograms: new SharedArrayBuffer(histograms * HISTOGRAM_SLOTS * Uint32Array.BYTES_PER_ELEMENT),
  };
}

/** Slot of `value` (an integer, 0 to HISTOGRAM.highest) in a histogram: HdrHistogram's index for two digits. */
export function slotOf(value: number): number {
  // Values below 256 have a slot each; above, every doubling is divided into 128.
  const doublings = 24 - Math.clz32(value | 255);
  return (doublings << 7) + (value >>> doublings);
}

/** The worker's end: the only writer of its memory. */
export class WorkerMetrics {
  readonly values: Float64Array;
  private readonly counts: Uint32Array;

  constructor(memory: WorkerMemory) {
    this.values = new Float64Array(memory.values);
    this.counts = new Uint32Array(memory.histograms);
  }

  /**
   * Counts `micros` in a histogram, whose number `workerHistogram`, `listenerHistogram`, `serviceHistogram` or
   * `endpointHistogram` gives. Fractions are cut off, negative values count as 0, values past the range as its end.
   */
  record(histogram: number, micros: number): void {
    const value = micros >= HISTOGRAM.highest ? HISTOGRAM.highest : micros > 0 ? micros | 0 : 0;
    this.counts[histogram * HISTOGRAM_SLOTS + slotOf(value)]++;
    this.values[SUMS_AT + histogram] += value;
  }
}

// What a service's cells are together.
import type { HistogramData } from './histogram.js';

/** Sums of cells. A service of which only one cell has anything needs no memory for it. */
export class CellSums {
  readonly #sums = new Map<number, Float64Array>();

  /** All of a service's cells together; null where nothing was recorded. */
  of(slot: number, cells: readonly (HistogramData | null)[]): HistogramData | null {
    const filled = cells.filter((cell) => cell !== null);
    if (filled.length <= 1) {
      this.#sums.delete(slot);
      return filled[0] ?? null;
    }
    let counts = this.#sums.get(slot);
    if (counts === undefined) {
      counts = new Float64Array(filled[0].counts.length);
      this.#sums.set(slot, counts);
    }
    counts.fill(0);
    let count = 0;
    let sum = 0;
    for (const cell of filled) {
      for (let at = 0; at < counts.length; at++) counts[at] += cell.counts[at];
      count += cell.count;
      sum += cell.sum;
    }
    return { counts, count, sum };
  }
}

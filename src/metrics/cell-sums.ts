// The sum of a service's cells.
import type { HistogramData, SnapshotHolders } from './histogram.js';

type Cells = readonly (HistogramData | null)[];

interface Kept {
  readonly cells: Cells;
  readonly sum: HistogramData;
}

/** Sums of cells. A service with content in only one cell needs no memory for it. */
export class CellSums {
  readonly #kept = new Map<number, Kept>();

  constructor(private readonly holders: Readonly<SnapshotHolders> = { count: 0 }) {}

  /** The sum of a service's cells; null if nothing was recorded. */
  of(slot: number, cells: Cells): HistogramData | null {
    const filled = cells.filter((cell) => cell !== null);
    if (filled.length <= 1) {
      this.#kept.delete(slot);
      return filled[0] ?? null;
    }
    const kept = this.#kept.get(slot);
    if (kept?.cells.every((cell, at) => cell === cells[at])) return kept.sum;
    // Who holds the one before keeps it as it was.
    const counts =
      kept === undefined || this.holders.count > 0
        ? new Float64Array(filled[0].counts.length)
        : kept.sum.counts.fill(0);
    let count = 0;
    let sum = 0;
    for (const cell of filled) {
      for (let at = 0; at < counts.length; at++) counts[at] += cell.counts[at];
      count += cell.count;
      sum += cell.sum;
    }
    const made = { counts, count, sum, of: kept?.sum.of ?? {} };
    this.#kept.set(slot, { cells: [...cells], sum: made });
    return made;
  }
}

// What was recorded in the last whole interval. The totals are looked at every ten seconds, but only while somebody asks: a proxy that
// nobody looks at is not woken, and keeps nothing.
import type { HistogramData } from '../metrics/histogram.js';
import type { NamedHistogram } from './catalog.js';

/** Lengths that can be asked for, by name: marks between their ends. */
export const INTERVALS: Readonly<Record<string, number>> = { '10s': 1, '1m': 6 };
export const BETWEEN_MARKS_MS = 10_000;
/** Marks that are kept: those of the longest interval. */
const KEPT = Math.max(...Object.values(INTERVALS)) + 1;
/** After the last question. */
const FORGET_MS = 120_000;

/** The slots of a histogram in which something was recorded. */
interface Sparse {
  readonly named: NamedHistogram;
  readonly slots: Uint16Array;
  readonly counts: Float64Array;
  readonly count: number;
  readonly sum: number;
}

interface Mark {
  readonly atMs: number;
  readonly histograms: ReadonlyMap<string, Sparse>;
}

export interface WholeInterval {
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly NamedHistogram[];
}

export interface IntervalSource {
  /** All histograms as they are now. */
  readonly take: () => readonly NamedHistogram[];
  readonly now: () => number;
  /** Calls `run` once, after a while, and keeps nothing awake. */
  readonly later: (run: () => void, ms: number) => void;
}

export class Intervals {
  readonly #source: IntervalSource;
  #marks: Mark[] = [];
  #askedMs = 0;
  #waiting = false;

  constructor(source: IntervalSource) {
    this.#source = source;
  }

  /** The last interval of so many marks; or how long it is until there is one, ms. */
  ask(marks: number): WholeInterval | number {
    this.#askedMs = this.#source.now();
    if (this.#marks.length === 0) this.#mark();
    const last = this.#marks.length - 1;
    if (last < marks) return Math.max(0, this.#marks[0].atMs + marks * BETWEEN_MARKS_MS - this.#source.now());
    const [before, after] = [this.#marks[last - marks], this.#marks[last]];
    return { startMs: before.atMs, endMs: after.atMs, histograms: difference(before, after) };
  }

  /** Marks that are held. */
  get held(): number {
    return this.#marks.length;
  }

  #mark(): void {
    const histograms = new Map(this.#source.take().map((named) => [named.id, sparse(named)] as const));
    this.#marks.push({ atMs: this.#source.now(), histograms });
    if (this.#marks.length > KEPT) this.#marks.shift();
    if (this.#waiting) return;
    this.#waiting = true;
    this.#source.later(() => this.#due(), BETWEEN_MARKS_MS);
  }

  #due(): void {
    this.#waiting = false;
    if (this.#source.now() - this.#askedMs > FORGET_MS) this.#marks = [];
    else this.#mark();
  }
}

function sparse(named: NamedHistogram): Sparse {
  const { counts, count, sum } = named.data;
  const filled: number[] = [];
  for (let slot = 0; slot < counts.length; slot++) if (counts[slot] !== 0) filled.push(slot);
  const own = Float64Array.from(filled, (slot) => counts[slot]);
  return { named, slots: Uint16Array.from(filled), counts: own, count, sum };
}

/** What has come between two marks; a histogram that is smaller than it was began anew, and counts whole. */
function difference(before: Mark, after: Mark): NamedHistogram[] {
  return [...after.histograms].flatMap(([id, now]) => {
    const then = before.histograms.get(id);
    if (then !== undefined && then.count === now.count) return [];
    const data = less(now, then) ?? less(now, undefined);
    return data === null || data.count === 0 ? [] : [{ ...now.named, data }];
  });
}

function less(now: Sparse, then: Sparse | undefined): HistogramData | null {
  const counts = new Float64Array(now.named.data.counts.length);
  now.slots.forEach((slot, at) => {
    counts[slot] = now.counts[at];
  });
  if (then === undefined) return { counts, count: now.count, sum: now.sum };
  for (let at = 0; at < then.slots.length; at++) {
    counts[then.slots[at]] -= then.counts[at];
    if (counts[then.slots[at]] < 0) return null;
  }
  return { counts, count: now.count - then.count, sum: Math.max(0, now.sum - then.sum) };
}

// The recordings of the last complete interval. Totals are read every ten seconds, but only while somebody asks, so that an unobserved proxy
// is not woken and keeps nothing in memory.
import type { HistogramData } from '../metrics/histogram.js';
import { HISTOGRAM_SLOTS } from '../metrics/layout.js';
import { inPieces, type Steps } from '../metrics/steps.js';
import type { NamedHistogram } from './catalog.js';

/** The available lengths by name, in numbers of snapshot intervals. */
export const INTERVALS: Readonly<Record<string, number>> = { '10s': 1, '1m': 6 };
export const SNAPSHOT_INTERVAL_MS = 10_000;
/** Number of snapshots to keep: enough for the longest interval. */
const KEPT = Math.max(...Object.values(INTERVALS)) + 1;
/** Snapshots are dropped this long after the last request, ms. */
const FORGET_MS = 120_000;

/** The non-empty slots of a histogram. */
interface Sparse {
  /** Without its content, which goes on. */
  readonly named: Omit<NamedHistogram, 'data'>;
  readonly of: object;
  readonly slots: Uint16Array;
  readonly counts: Float64Array;
  readonly count: number;
  readonly sum: number;
}

interface Snapshot {
  readonly atMs: number;
  readonly histograms: ReadonlyMap<string, Sparse>;
}

export interface CompleteInterval {
  readonly startMs: number;
  readonly endMs: number;
  readonly histograms: readonly NamedHistogram[];
}

export interface TakenHistograms {
  readonly histograms: readonly NamedHistogram[];
  readonly release: () => void;
}

export interface IntervalSource {
  /** All histograms as they are now, and as they stay until `release` is called. */
  readonly take: () => Promise<TakenHistograms>;
  readonly now: () => number;
  /** Calls `run` once after a delay, without keeping the process alive. */
  readonly later: (run: () => void, ms: number) => void;
  /** Lets the event loop turn. */
  readonly turn: () => Promise<unknown>;
}

export class Intervals {
  readonly #source: IntervalSource;
  #snapshots: Snapshot[] = [];
  #askedMs = 0;
  #waiting = false;
  /** A snapshot that is being made. */
  #pendingSnapshot: Promise<void> | null = null;

  constructor(source: IntervalSource) {
    this.#source = source;
  }

  /** The last interval of this many snapshot intervals; or the time until there is one, ms. */
  async ask(intervals: number): Promise<CompleteInterval | number> {
    this.#askedMs = this.#source.now();
    if (this.#snapshots.length === 0) await this.#takeSnapshot();
    const last = this.#snapshots.length - 1;
    if (last < intervals)
      return Math.max(0, this.#snapshots[0].atMs + intervals * SNAPSHOT_INTERVAL_MS - this.#source.now());
    const [before, after] = [this.#snapshots[last - intervals], this.#snapshots[last]];
    return {
      startMs: before.atMs,
      endMs: after.atMs,
      histograms: await inPieces(difference(before, after), this.#source.turn),
    };
  }

  /** Number of snapshots in memory. */
  get held(): number {
    return this.#snapshots.length;
  }

  #takeSnapshot(): Promise<void> {
    this.#pendingSnapshot ??= this.#makeSnapshot().finally(() => {
      this.#pendingSnapshot = null;
    });
    return this.#pendingSnapshot;
  }

  async #makeSnapshot(): Promise<void> {
    if (!this.#waiting) {
      this.#waiting = true;
      this.#source.later(() => void this.#due(), SNAPSHOT_INTERVAL_MS);
    }
    const atMs = this.#source.now();
    const { histograms, release } = await this.#source.take();
    try {
      this.#snapshots.push({ atMs, histograms: await inPieces(sparseById(histograms), this.#source.turn) });
    } finally {
      release();
    }
    if (this.#snapshots.length > KEPT) this.#snapshots.shift();
  }

  async #due(): Promise<void> {
    this.#waiting = false;
    if (this.#source.now() - this.#askedMs > FORGET_MS) this.#snapshots = [];
    else await this.#takeSnapshot();
  }
}

function* sparseById(histograms: readonly NamedHistogram[]): Steps<ReadonlyMap<string, Sparse>> {
  const all = new Map<string, Sparse>();
  for (const named of histograms) {
    all.set(named.id, sparse(named));
    yield;
  }
  return all;
}

function sparse({ data, ...named }: NamedHistogram): Sparse {
  const { counts, count, sum, of } = data;
  const filled: number[] = [];
  for (let slot = 0; slot < counts.length; slot++) if (counts[slot] !== 0) filled.push(slot);
  const own = Float64Array.from(filled, (slot) => counts[slot]);
  return { named, of, slots: Uint16Array.from(filled), counts: own, count, sum };
}

/** The difference of two snapshots. A histogram that became smaller was reset, so all of it counts. */
function* difference(before: Snapshot, after: Snapshot): Steps<NamedHistogram[]> {
  const all: NamedHistogram[] = [];
  for (const [id, now] of after.histograms) {
    const then = before.histograms.get(id);
    if (then !== undefined && then.count === now.count) continue;
    const data = less(now, then) ?? less(now, undefined);
    if (data !== null && data.count > 0) all.push({ ...now.named, data });
    yield;
  }
  return all;
}

function less(now: Sparse, then: Sparse | undefined): HistogramData | null {
  const counts = new Float64Array(HISTOGRAM_SLOTS);
  now.slots.forEach((slot, at) => {
    counts[slot] = now.counts[at];
  });
  const { of } = now;
  if (then === undefined) return { counts, count: now.count, sum: now.sum, of };
  for (let at = 0; at < then.slots.length; at++) {
    counts[then.slots[at]] -= then.counts[at];
    if (counts[then.slots[at]] < 0) return null;
  }
  return { counts, count: now.count - then.count, sum: Math.max(0, now.sum - then.sum), of };
}

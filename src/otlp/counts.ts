// What the metrics know of the metrics that are sent to a collector.

export interface PushCounts {
  /** Whether there is a collector. */
  wanted: boolean;
  /** Points that were to be sent. */
  points: number;
  /** Points that came to nothing: no room in the queue, or refused by the collector in what it took. */
  readonly dropped: { queue: number; rejected: number };
  /** Messages with points in them: taken by the collector, or given up. */
  readonly messages: { sent: number; dropped: number };
  /** Tries that failed and were followed by another. */
  retries: number;
  /** Rounds that were left out, as the collector had not taken the one before yet. */
  skipped: number;
  /** Puts into this what is counted elsewhere; null: nothing is. */
  look: (() => void) | null;
}

export const noPushCounts = (): PushCounts => ({
  wanted: false,
  points: 0,
  dropped: { queue: 0, rejected: 0 },
  messages: { sent: 0, dropped: 0 },
  retries: 0,
  skipped: 0,
  look: null,
});

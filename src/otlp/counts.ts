// Counts of metrics pushed to a collector, for the proxy's own metrics.

export interface PushCounts {
  /** Whether there is a collector. */
  wanted: boolean;
  /** Points to send. */
  points: number;
  /** Lost points: no room in the queue, or rejected by the collector in a message that it accepted. */
  readonly dropped: { queue: number; rejected: number };
  /** Messages with points: accepted by the collector, or given up. */
  readonly messages: { sent: number; dropped: number };
  /** Failed attempts that were followed by another. */
  retries: number;
  /** Rounds that were skipped, because the collector had not yet accepted the previous one. */
  skipped: number;
  /** Copies in what is counted elsewhere; null: nothing is. */
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

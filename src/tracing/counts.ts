// Counts of spans, for the metrics.

export interface TracingCounts {
  /** Whether there is a collector. */
  wanted: boolean;
  /** Spans made by workers. */
  spans: number;
  /** Lost spans: over the rate limit, no room in the queue, or rejected by the collector in a message that it accepted. */
  readonly dropped: { rate: number; queue: number; rejected: number };
  /** Messages with spans: accepted by the collector, or given up. */
  readonly messages: { sent: number; dropped: number };
  /** Copies in what is counted elsewhere; null: nothing is. */
  look: (() => void) | null;
}

export const noTracingCounts = (): TracingCounts => ({
  wanted: false,
  spans: 0,
  dropped: { rate: 0, queue: 0, rejected: 0 },
  messages: { sent: 0, dropped: 0 },
  look: null,
});

// What the metrics know of spans.

export interface TracingCounts {
  /** Whether there is a collector. */
  wanted: boolean;
  /** Spans that workers have made. */
  spans: number;
  /** Spans that came to nothing: beyond so many a second, no room in the queue, or refused by the collector in what it took. */
  readonly dropped: { rate: number; queue: number; rejected: number };
  /** Messages with spans in them: taken by the collector, or given up. */
  readonly messages: { sent: number; dropped: number };
  /** Puts into this what is counted elsewhere; null: nothing is. */
  look: (() => void) | null;
}

export const noTracingCounts = (): TracingCounts => ({
  wanted: false,
  spans: 0,
  dropped: { rate: 0, queue: 0, rejected: 0 },
  messages: { sent: 0, dropped: 0 },
  look: null,
});

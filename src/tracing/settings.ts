// What workers are told of tracing.

export interface TracingSettings {
  /** Share of the traces that begin here, or that nobody has decided on, 0 to 1. */
  readonly sampling: number;
  /** How long spans are collected, ms. */
  readonly intervalMs: number;
  /** Spans a second that a worker makes at most. */
  readonly maxSpans: number;
}

// Workers' settings for tracing.

export interface TracingSettings {
  /** Share to sample of traces that begin here, or that have no decision yet, 0 to 1. */
  readonly sampling: number;
  /** How long spans are collected before they are sent, ms. */
  readonly intervalMs: number;
  /** Maximum number of spans per second and worker. */
  readonly maxSpans: number;
}

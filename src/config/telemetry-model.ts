// The configuration of what the proxy reports, after parsing: logs, metrics, live view, taps and traces.

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** What the access log contains: everything, nothing, or failures. */
export type AccessMode = boolean | 'errors';

export interface LogConfig {
  readonly level: LogLevel;
  readonly access: AccessMode;
}

/** The live view: src/live. */
export interface LiveConfig {
  /** Maximum number of readers of /events at once. */
  readonly listeners: number;
  /** Maximum number of /state requests waiting for the end of an interval. */
  readonly waiting: number;
  /** Events in a row that a slow reader may miss before its connection is closed. */
  readonly missed: number;
  /** Refusals to keep. */
  readonly errors: number;
}

/** Taps: src/tap. */
export interface TapConfig {
  /** Maximum number at once. */
  readonly listeners: number;
  /** Maximum records per second for each. */
  readonly maxRps: number;
  /** Buffer for a slow reader, bytes. */
  readonly maxBuffered: number;
}

/** Destination and limits of spans: src/tracing. */
export interface TracingConfig {
  /** URL of the collector. */
  readonly endpoint: string;
  /** Share of traces that begin here or carry no decision. */
  readonly sampling: number;
  readonly serviceName: string;
  /** Further resource attributes. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Header fields for the collector. */
  readonly headers: Readonly<Record<string, string>>;
  /** How long to collect spans before sending them, ms. */
  readonly intervalMs: number;
  /** Per second and worker. */
  readonly maxSpans: number;
  /** Memory for unsent spans, bytes. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** Destination and interval of metrics: src/otlp/push.ts. */
export interface MetricsOtlpConfig {
  /** URL of the collector. */
  readonly endpoint: string;
  readonly serviceName: string;
  /** Further resource attributes. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Header fields for the collector. */
  readonly headers: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** Memory for unsent points, bytes. */
  readonly maxQueued: number;
  readonly timeoutMs: number;
}

/** Numbers of series; what comes later counts in the series `overflow`. */
export interface MetricsConfig {
  readonly maxServices: number;
  readonly maxEndpoints: number;
  /** Identities as label values. */
  readonly maxIdentities: number;
  /** Maximum number of /metrics pages being made at once. */
  readonly maxScrapes: number;
  /** null: metrics are not sent. */
  readonly otlp: MetricsOtlpConfig | null;
}

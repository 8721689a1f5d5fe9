// Counters of a destination client, for the metrics.

/** Why an answer, or a connection, is invalid. */
export const LOOKUP_FAILURES = ['unreachable', 'timeout', 'status', 'garbage', 'size', 'broken'] as const;
export type LookupFailure = (typeof LOOKUP_FAILURES)[number];

export interface LookupCounts {
  /** Whether there is a destination service to ask. */
  wanted: boolean;
  connected: boolean;
  /** When it was last heard from, or first asked, ms since 1970. */
  heardMs: number;
  connects: number;
  /** Open streams. */
  streams: number;
  updates: number;
  /** Watched addresses, and the services behind them. */
  addresses: number;
  services: number;
  /** Those that found no room. */
  refused: number;
  readonly failures: Record<LookupFailure, number>;
  /** Updates this from elsewhere; null: it is updated directly. */
  look: (() => void) | null;
}

export function noLookupCounts(): LookupCounts {
  return {
    wanted: false,
    connected: false,
    heardMs: 0,
    connects: 0,
    streams: 0,
    updates: 0,
    addresses: 0,
    services: 0,
    refused: 0,
    look: null,
    failures: Object.fromEntries(LOOKUP_FAILURES.map((reason) => [reason, 0])) as Record<LookupFailure, number>,
  };
}
